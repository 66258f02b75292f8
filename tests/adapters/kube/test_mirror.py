"""The slim copy: current after every kind of trouble that a watch can have, and never behind podpin's own writes."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

import pytest
from tests.adapters.kube.scripted import ApiServer, Reply, Stream, failure, page

from podpin.adapters.kube.api import METADATA_LIST, METADATA_ONLY
from podpin.adapters.kube.mirror import LONGEST_WAIT, PAGE, Mirror
from podpin.core.names import Key

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from podpin.adapters.kube.api import Api

PODS = "/api/v1/pods"
WEB, API = Key("shop", "web"), Key("shop", "api")


def pod(name: str, version: int, rollout: str | None = "web", **labels: str) -> dict[str, Any]:
    """A Pod whose projection is `name@version`, or nothing with `odd`."""
    if rollout is not None:
        labels["podpin.dev/rollout"] = rollout
    return {
        "metadata": {"namespace": "shop", "name": name, "resourceVersion": str(version), "labels": labels},
        "spec": {"much": "that is dropped"},
    }


def project(raw: Any) -> str | None:
    metadata = raw["metadata"]
    if metadata["labels"].get("odd") == "stumble":
        raise OverflowError("a number that nobody foresaw")
    return None if "odd" in metadata["labels"] else f"{metadata['name']}@{metadata['resourceVersion']}"


class Copy:
    """A mirror at work. Its waits are written down and take no time; `told` is whom it has told of a change."""

    def __init__(self, api: Api, **how: Any) -> None:
        self.told: list[Key] = []
        self.waits: list[float] = []
        self.troubles: list[str | None] = []
        self._news = asyncio.Event()
        self.mirror = Mirror(api, PODS, project, self._changed, pause=self._pause, **how)

    def _changed(self, key: Key) -> None:
        self.told.append(key)
        self._news.set()

    async def _pause(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.troubles.append(self.mirror.trouble)
        self._news.set()
        await asyncio.sleep(0)

    def of(self, key: Key = WEB) -> list[str]:
        return sorted(self.mirror.of(key))

    async def until(self, holds: Callable[[], bool]) -> None:
        """Wait for something to hold; looked at after each news."""
        async with asyncio.timeout(10):
            while not holds():
                self._news.clear()
                await self._news.wait()


@contextlib.asynccontextmanager
async def running(copy: Copy) -> AsyncIterator[Copy]:
    task = asyncio.ensure_future(copy.mirror.run())
    try:
        yield copy
        assert not task.done(), task
    finally:
        task.cancel()
        await asyncio.wait([task])


async def settled(stream: Stream, copy: Copy, version: int) -> None:
    """All that was sent before has arrived: shown by an object that comes last."""
    stream.send("ADDED", pod("last", version, rollout="elsewhere"))
    await copy.until(lambda: copy.of(Key("shop", "elsewhere")) == [f"last@{version}"])


# --- lists


async def test_an_empty_cluster_is_an_empty_copy(server: ApiServer, api: Api) -> None:
    server.on("GET", PODS, page(version=5))
    async with running(Copy(api)) as copy:
        stream = await server.watch()
        await asyncio.wait_for(copy.mirror.synced.wait(), 10)
        assert copy.of() == []
        assert copy.told == []
        assert copy.mirror.named(WEB, "a") is None
        assert copy.mirror.trouble is None
        assert stream.asked.query["resourceVersion"] == "5"
        assert stream.asked.query["allowWatchBookmarks"] == "true"
        assert stream.asked.query["labelSelector"] == "podpin.dev/rollout"
        assert 400 <= int(stream.asked.query["timeoutSeconds"]) <= 600


async def test_a_long_list_is_read_page_by_page_and_followed_from_its_version(server: ApiServer, api: Api) -> None:
    server.on("GET", PODS, page(pod("a", 1), pod("b", 2, "api"), version=9, more="next"), page(pod("c", 3), version=9))
    async with running(Copy(api)) as copy:
        stream = await server.watch()
        assert copy.of() == ["a@1", "c@3"]
        assert copy.of(API) == ["b@2"]
        assert copy.mirror.named(WEB, "a") == "a@1"
        assert copy.mirror.named(API, "a") is None
        assert sorted(copy.told) == [API, WEB, WEB]
        first, second, _ = server.asked
        assert first.query == {"labelSelector": "podpin.dev/rollout", "limit": PAGE}
        assert second.query == {"labelSelector": "podpin.dev/rollout", "limit": PAGE, "continue": "next"}
        assert stream.asked.query["resourceVersion"] == "9"


async def test_only_metadata_is_asked_for_where_that_is_enough(server: ApiServer, api: Api) -> None:
    server.on("GET", PODS, page(version=5))
    async with running(Copy(api, metadata_only=True)):
        stream = await server.watch()
        assert server.asked[0].headers["Accept"] == METADATA_LIST
        assert stream.asked.headers["Accept"] == METADATA_ONLY


async def test_a_page_that_has_expired_begins_the_list_anew(server: ApiServer, api: Api) -> None:
    server.on("GET", PODS, page(pod("a", 1), version=5, more="next"), failure(410), page(pod("b", 7), version=8))
    async with running(Copy(api)) as copy:
        await server.watch()
        assert copy.of() == ["b@7"]
        assert copy.waits == []


async def test_whoever_is_told_of_a_list_is_not_told_of_news_and_the_other_way_round(
    server: ApiServer, api: Api
) -> None:
    """What a list shows is the bulk of a start or a resync: live news goes before it."""
    server.on("GET", PODS, page(pod("a", 1), pod("b", 2, "api"), version=5), page(pod("a", 7), version=9))
    listed: list[Key] = []
    async with running(Copy(api, listed=listed.append)) as copy:
        stream = await server.watch()
        assert (sorted(listed), copy.told) == ([API, WEB], [])
        stream.send("MODIFIED", pod("a", 6))
        await copy.until(lambda: copy.of() == ["a@6"])
        assert (sorted(listed), copy.told) == ([API, WEB], [WEB])
        stream.send("ERROR", failure(410).body)
        await server.watch()
        assert (sorted(listed), copy.told) == ([API, API, WEB, WEB], [WEB])


# --- news


async def test_the_watch_keeps_the_copy_current(server: ApiServer, api: Api) -> None:
    server.on("GET", PODS, page(pod("a", 1), version=5))
    async with running(Copy(api)) as copy:
        stream = await server.watch()
        copy.told.clear()
        stream.send("ADDED", pod("b", 6))
        stream.send("MODIFIED", pod("a", 7))
        stream.send("DELETED", pod("b", 8))
        stream.send("ADDED", pod("c", 9, "api"))
        await copy.until(lambda: copy.of(API) == ["c@9"])
        assert copy.of() == ["a@7"]
        assert copy.told == [WEB, WEB, WEB, API]


async def test_a_bookmark_tells_nobody_and_moves_the_place_to_go_on_from(server: ApiServer, api: Api) -> None:
    server.on("GET", PODS, page(pod("a", 1), version=5))
    async with running(Copy(api)) as copy:
        stream = await server.watch()
        copy.told.clear()
        stream.bookmark(50)
        stream.end()
        stream = await server.watch()
        assert stream.asked.query["resourceVersion"] == "50"
        assert copy.told == []
        assert copy.waits == []
        assert server.count("GET", PODS) == 1


async def test_a_watch_that_ends_goes_on_where_it_was_without_a_list(server: ApiServer, api: Api) -> None:
    server.on("GET", PODS, page(version=5))
    async with running(Copy(api)) as copy:
        for version in (6, 7, 8):
            stream = await server.watch()
            assert stream.asked.query["resourceVersion"] == str(version - 1)
            stream.send("ADDED", pod("a", version))
            stream.end()
        await server.watch()
        assert copy.of() == ["a@8"]
        assert copy.waits == []
        assert server.count("GET", PODS) == 1


async def test_an_object_without_a_namespace_or_that_cannot_be_read_is_passed_over(server: ApiServer, api: Api) -> None:
    cluster_wide = pod("a", 1)
    del cluster_wide["metadata"]["namespace"]
    server.on("GET", PODS, page(cluster_wide, pod("b", 2, odd="yes"), version=5))
    async with running(Copy(api)) as copy:
        await server.watch()
        assert copy.of() == []
        assert copy.of(Key("", "web")) == ["a@1"]


async def test_an_object_over_which_its_reading_stumbles_takes_no_other_along(
    server: ApiServer, api: Api, caplog: pytest.LogCaptureFixture
) -> None:
    server.on("GET", PODS, page(pod("a", 1), pod("b", 2, odd="stumble"), version=5))
    async with running(Copy(api)) as copy:
        stream = await server.watch()
        assert copy.of() == ["a@1"]
        stream.send("MODIFIED", pod("b", 6, odd="stumble"))
        stream.send("MODIFIED", pod("a", 7))
        await copy.until(lambda: copy.of() == ["a@7"])
    assert "cannot read b" in caplog.text


async def test_an_object_that_can_no_longer_be_read_is_no_longer_there(server: ApiServer, api: Api) -> None:
    server.on("GET", PODS, page(pod("a", 1), version=5))
    async with running(Copy(api)) as copy:
        stream = await server.watch()
        stream.send("MODIFIED", pod("a", 6, odd="yes"))
        await copy.until(lambda: copy.of() == [])
        stream.send("MODIFIED", pod("a", 7))
        await copy.until(lambda: copy.of() == ["a@7"])


async def test_an_object_that_has_lost_its_label_is_gone(server: ApiServer, api: Api) -> None:
    """The API server tells of it as deleted, with the labels that it had or with those that it has."""
    server.on("GET", PODS, page(pod("a", 1), pod("b", 2), version=5))
    async with running(Copy(api)) as copy:
        stream = await server.watch()
        copy.told.clear()
        stream.send("DELETED", pod("a", 6))
        stream.send("DELETED", pod("b", 7, rollout=None))
        await copy.until(lambda: copy.told == [WEB, WEB])
        assert copy.of() == []


async def test_an_object_whose_label_names_another_rollout_moves_there_and_both_are_told(
    server: ApiServer, api: Api
) -> None:
    server.on("GET", PODS, page(pod("a", 1), version=5))
    async with running(Copy(api)) as copy:
        stream = await server.watch()
        copy.told.clear()
        stream.send("MODIFIED", pod("a", 6, "api"))
        await copy.until(lambda: copy.of(API) == ["a@6"])
        assert copy.of() == []
        assert sorted(copy.told) == [API, WEB]


async def test_what_is_to_be_counted_by_no_selector_is_held_under_its_other_label(server: ApiServer, api: Api) -> None:
    puller = pod("a", 2, "", **{"podpin.dev/pulls-for": "web"})
    server.on("GET", PODS, page(pod("b", 1, ""), puller, version=5))
    async with running(Copy(api)) as copy:
        await server.watch()
        assert copy.of() == ["a@2"]
        assert copy.told == [WEB]


async def test_older_news_is_dropped(server: ApiServer, api: Api) -> None:
    server.on("GET", PODS, page(pod("a", 9), version=9))
    async with running(Copy(api)) as copy:
        stream = await server.watch()
        copy.mirror.put(pod("a", 30))
        stream.send("MODIFIED", pod("a", 20))
        stream.send("DELETED", pod("a", 21))
        await settled(stream, copy, 22)
        assert copy.of() == ["a@30"]


async def test_an_object_made_anew_is_news_again(server: ApiServer, api: Api) -> None:
    server.on("GET", PODS, page(pod("a", 9), version=9))
    async with running(Copy(api)) as copy:
        stream = await server.watch()
        stream.send("DELETED", pod("a", 10))
        stream.send("ADDED", pod("a", 100))
        await copy.until(lambda: copy.of() == ["a@100"])


# --- podpin's own writes


async def test_an_own_write_is_there_before_the_watch_tells_of_it(server: ApiServer, api: Api) -> None:
    server.on("GET", PODS, page(pod("a", 1), version=5))
    async with running(Copy(api)) as copy:
        stream = await server.watch()
        copy.told.clear()
        assert copy.mirror.put(pod("a", 7)) == "a@7"
        assert copy.mirror.put(pod("b", 8)) == "b@8"
        assert copy.of() == ["a@7", "b@8"]
        assert copy.told == []
        stream.send("MODIFIED", pod("a", 7))
        stream.send("ADDED", pod("b", 8))
        await copy.until(lambda: copy.told == [WEB, WEB])
        assert copy.of() == ["a@7", "b@8"]


async def test_an_own_write_does_not_undo_newer_news(server: ApiServer, api: Api) -> None:
    server.on("GET", PODS, page(pod("a", 1), version=5))
    async with running(Copy(api)) as copy:
        stream = await server.watch()
        stream.send("MODIFIED", pod("a", 8))
        await copy.until(lambda: copy.of() == ["a@8"])
        copy.mirror.put(pod("a", 7))
        assert copy.of() == ["a@8"]


async def test_an_own_write_that_the_watch_knows_to_be_deleted_again_does_not_come_back(
    server: ApiServer, api: Api
) -> None:
    server.on("GET", PODS, page(version=5))
    async with running(Copy(api)) as copy:
        stream = await server.watch()
        stream.send("ADDED", pod("a", 7))
        stream.send("DELETED", pod("a", 8))
        await copy.until(lambda: len(copy.told) == 2)
        assert copy.mirror.put(pod("a", 7)) == "a@7"
        assert copy.of() == []
        copy.mirror.put(pod("a", 9))
        assert copy.of() == ["a@9"]


async def test_an_own_deletion_counts_at_once(server: ApiServer, api: Api) -> None:
    server.on("GET", PODS, page(pod("a", 1), pod("b", 2), version=5))
    async with running(Copy(api)) as copy:
        await server.watch()
        assert copy.mirror.drop("shop", "a") == WEB
        assert copy.mirror.drop("shop", "a") is None
        assert copy.of() == ["b@2"]


# --- gaps


def expired_in_stream(server: ApiServer, stream: Stream) -> None:
    stream.send("ERROR", failure(410, "too old resource version").body)


def expired_as_http(server: ApiServer, stream: Stream) -> None:
    server.refuse_watches(failure(410, "too old resource version"))
    stream.end()


@pytest.mark.parametrize("expire", [expired_in_stream, expired_as_http])
async def test_what_was_deleted_in_a_gap_is_found_by_the_next_list(
    server: ApiServer, api: Api, expire: Callable[[ApiServer, Stream], None]
) -> None:
    server.on("GET", PODS, page(pod("a", 1), pod("b", 2, "api"), pod("c", 3), version=5))
    async with running(Copy(api)) as copy:
        stream = await server.watch()
        copy.told.clear()
        server.on("GET", PODS, page(pod("c", 90), pod("d", 91), version=95))
        expire(server, stream)
        stream = await server.watch()
        assert stream.asked.query["resourceVersion"] == "95"
        assert copy.of() == ["c@90", "d@91"]
        assert copy.of(API) == []
        assert sorted(copy.told) == [API, WEB, WEB, WEB]
        assert copy.waits == []


async def test_an_own_write_that_is_newer_than_the_list_outlives_it(server: ApiServer, api: Api) -> None:
    server.on("GET", PODS, page(pod("a", 1), version=5))
    async with running(Copy(api)) as copy:
        stream = await server.watch()
        copy.mirror.put(pod("new", 40))
        copy.mirror.put(pod("a", 41))
        server.on("GET", PODS, page(pod("a", 1), version=30))
        expired_in_stream(server, stream)
        await server.watch()
        assert copy.of() == ["a@41", "new@40"]


# --- trouble


async def test_a_server_that_is_down_is_waited_for_ever_longer_and_told(server: ApiServer, api: Api) -> None:
    server.on("GET", PODS, page(pod("a", 1), version=5))
    async with running(Copy(api)) as copy:
        await server.watch()
        await server.stop()
        await copy.until(lambda: len(copy.waits) >= 6)
        most = [1.0, 2.0, 4.0, 8.0, 16.0, LONGEST_WAIT]
        assert all(top / 2 <= wait <= top for top, wait in zip(most, copy.waits, strict=False))
        assert all("podpin can't watch pods: The API server does not answer: " in str(told) for told in copy.troubles)
        assert copy.of() == ["a@1"]
        await server.restart()
        stream = await server.watch()
        assert stream.asked.query["resourceVersion"] == "5"
        assert server.count("GET", PODS) == 1
        stream.send("MODIFIED", pod("a", 6))
        await copy.until(lambda: copy.of() == ["a@6"])
        assert copy.mirror.trouble is None


@pytest.mark.parametrize("nth", [0, 1], ids=["list", "watch"])
async def test_a_missing_right_is_told_and_it_goes_on_once_it_is_granted(server: ApiServer, api: Api, nth: int) -> None:
    forbidden = failure(403, "pods is forbidden")
    if nth == 0:
        server.on("GET", PODS, forbidden, forbidden, page(pod("a", 1), version=5))
    else:
        server.on("GET", PODS, page(pod("a", 1), version=5))
        server.refuse_watches(forbidden, forbidden)
    async with running(Copy(api)) as copy:
        await server.watch()
        assert copy.troubles == ["podpin can't watch pods: pods is forbidden"] * 2
        assert copy.waits[1] > copy.waits[0] * 0.999
        assert copy.mirror.synced.is_set()
        await copy.until(lambda: copy.mirror.trouble is None)
        assert copy.of() == ["a@1"]


async def test_a_wait_that_the_server_asks_for_is_kept_within_reason(server: ApiServer, api: Api) -> None:
    server.on("GET", PODS, failure(429, retry_after="7"), failure(429, retry_after="3600"), page(version=5))
    server.refuse_watches(failure(429, retry_after="8"))
    async with running(Copy(api)) as copy:
        await server.watch()
        assert copy.waits == [7.0, LONGEST_WAIT, 8.0]


async def test_the_wait_is_short_again_after_something_was_heard(server: ApiServer, api: Api) -> None:
    server.on("GET", PODS, page(version=5))
    server.refuse_watches(*[failure(500)] * 6)
    async with running(Copy(api)) as copy:
        stream = await server.watch()
        assert copy.waits[-1] >= 15
        server.refuse_watches(failure(500))
        stream.bookmark(6)
        stream.end()
        await server.watch()
        assert copy.waits[-1] <= 1


async def test_a_watch_that_ends_at_once_again_and_again_is_not_asked_in_circles(server: ApiServer, api: Api) -> None:
    server.on("GET", PODS, page(version=5))
    server.refuse_watches(*[Reply(200, b"")] * 6)
    async with running(Copy(api)) as copy:
        await server.watch()
        assert len(copy.waits) == 4
        assert copy.waits[-1] >= 4
        assert copy.troubles == [None] * 4


async def test_a_version_that_expires_at_once_again_and_again_is_not_listed_in_circles(
    server: ApiServer, api: Api
) -> None:
    server.on("GET", PODS, page(version=5))
    server.refuse_watches(*[failure(410)] * 6)
    async with running(Copy(api)) as copy:
        await server.watch()
        assert len(copy.waits) == 4
        assert copy.waits[-1] >= 4


@pytest.mark.parametrize(
    "chunk", [b"\x00\xff\n", b'{"type": "ADDED", "object": 3}\n', b'{"type": "ERROR", "object": {}}\n'], ids=str
)
async def test_nonsense_from_the_server_is_trouble_and_not_the_end(server: ApiServer, api: Api, chunk: bytes) -> None:
    server.on("GET", PODS, page(pod("a", 1), version=5))
    async with running(Copy(api)) as copy:
        stream = await server.watch()
        stream.raw(chunk)
        stream.end()
        await server.watch()
        assert len(copy.waits) == 1
        assert copy.of() == ["a@1"]
