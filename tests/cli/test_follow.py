"""What is followed while somebody watches: it is current, and what may not be read is left out."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from tests.adapters.kube.scripted import ApiServer, failure, page

from podpin.cli.follow import Followed, Source
from podpin.errors import Unavailable

if TYPE_CHECKING:
    from podpin.cli.cluster import Cluster

PATH = "/api/v1/namespaces/shop/pods"
PODS = Source("Pods", PATH, {"labelSelector": "podpin.dev/rollout=web"})


def one(name: str, version: int, **more: str) -> dict[str, object]:
    return {"metadata": {"name": name, "resourceVersion": str(version)}, **more}


def names(followed: Followed) -> list[str]:
    return [str(body["metadata"]["name"]) for body in followed.of("Pods")]


async def test_a_look_shows_all_pages(server: ApiServer, cluster: Cluster) -> None:
    server.on("GET", PATH, page(one("b", 1), version=5, more="next"), page(one("a", 2), version=5))
    followed = Followed(cluster, [PODS])
    await followed.look()
    assert names(followed) == ["a", "b"]
    assert server.asked[0].query == {"labelSelector": "podpin.dev/rollout=web", "limit": "500"}


async def test_what_happens_later_is_seen(server: ApiServer, cluster: Cluster) -> None:
    server.on("GET", PATH, page(one("a", 1), version=5))
    async with Followed(cluster, [PODS]) as followed:
        stream = await server.watch()
        assert stream.asked.query["resourceVersion"] == "5"
        stream.send("ADDED", one("b", 6))
        assert await followed.next(10)
        assert names(followed) == ["a", "b"]
        stream.send("DELETED", one("a", 7))
        assert await followed.next(10)
        assert names(followed) == ["b"]


async def test_a_watch_that_ends_goes_on_where_it_was(
    server: ApiServer, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("podpin.cli.follow.BREATH", 0)
    server.on("GET", PATH, page(one("a", 1), version=5))
    async with Followed(cluster, [PODS]):
        stream = await server.watch()
        stream.bookmark(9)
        stream.end()
        assert (await server.watch()).asked.query["resourceVersion"] == "9"
    assert server.count("GET", PATH) == 1


async def test_a_watch_from_too_long_ago_is_begun_anew(server: ApiServer, cluster: Cluster) -> None:
    server.on("GET", PATH, page(one("a", 1), version=5), page(one("b", 8), version=8))
    server.refuse_watches(failure(410))
    async with Followed(cluster, [PODS]) as followed:
        assert (await server.watch()).asked.query["resourceVersion"] == "8"
        assert names(followed) == ["b"]


async def test_what_may_not_be_read_is_left_out_and_not_asked_for_again(server: ApiServer, cluster: Cluster) -> None:
    server.on("GET", PATH, failure(403, "pods is forbidden"))
    async with Followed(cluster, [PODS]) as followed:
        assert names(followed) == []
        assert followed.refused == {"Pods": "pods is forbidden"}
        assert not await followed.next(0.05)
    assert server.count("GET", PATH) == 1


async def test_while_the_api_server_is_away_what_was_known_stays_and_is_said_to_be_old(
    server: ApiServer, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("podpin.cli.follow.PAUSE", 0.01)
    server.on("GET", PATH, page(one("a", 1), version=5))
    server.refuse_watches(failure(500, "etcd is away"))
    async with Followed(cluster, [PODS]) as followed:
        assert await followed.next(10)
        assert names(followed) == ["a"]
        assert followed.trouble == {"Pods": "etcd is away"}
        async with asyncio.timeout(10):
            await server.watch()
        assert followed.trouble == {}


async def test_an_api_server_that_is_away_from_the_beginning_is_an_error(server: ApiServer, cluster: Cluster) -> None:
    server.on("GET", PATH, failure(503, "not now"))
    with pytest.raises(Unavailable, match="not now"):
        await Followed(cluster, [PODS]).look()
