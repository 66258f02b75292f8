"""A webhook that reaches the podpin that stands by comes to the one that leads, or its sender is told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import pytest
from aiohttp import web

from podpin.errors import NotFound
from podpin.forwarding import FORWARDED, Forwarding
from podpin.listening import listen
from tests.test_probes import free_port

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from podpin.adapters.kube.api import Api
    from podpin.leader import Leader


@dataclass
class Election:
    me: str = "podpin-b"
    holder: str | None = "podpin-a"
    leads: bool = False


class Pods:
    """The API server's Pods, by path."""

    def __init__(self) -> None:
        self.addresses: dict[str, str] = {"/api/v1/namespaces/podpin-system/pods/podpin-a": "127.0.0.1"}
        self.asked: list[str] = []

    async def request(self, method: str, path: str) -> dict[str, Any]:
        self.asked.append(f"{method} {path}")
        if path not in self.addresses:
            raise NotFound("no such Pod")
        return {"status": {"podIP": self.addresses[path]}}


class Leading:
    """The webhooks of the podpin that leads."""

    def __init__(self) -> None:
        self.port = free_port()
        self.heard: list[tuple[str, str, dict[str, str], bytes]] = []

    async def answer(self, request: web.Request) -> web.Response:
        self.heard.append((request.method, request.raw_path, dict(request.headers), await request.read()))
        return web.Response(status=202, text="accepted\n")


@pytest.fixture
async def leading() -> AsyncIterator[Leading]:
    one = Leading()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", one.answer)
    runner = await listen(app, f"127.0.0.1:{one.port}", "webhooks", "--hook-address")
    yield one
    await runner.cleanup()


def way(election: Election, pods: Pods, port: int) -> Forwarding:
    return Forwarding(cast("Leader", election), cast("Api", pods), "podpin-system", port)


HEADERS = {"Authorization": "Bearer s3cret", "Content-Type": "application/json", "Host": "hooks", "Content-Length": "9"}


async def test_it_is_handed_on_as_it_came_and_the_leader_is_looked_up_once(leading: Leading) -> None:
    pods = Pods()
    forwarding = way(Election(), pods, leading.port)
    for _ in range(2):
        assert await forwarding.hand_on("/hook/plain/x?a=b%20c", HEADERS, b'{"a": 1}') == (202, "accepted\n")
    await forwarding.close()
    method, path, headers, body = leading.heard[0]
    assert (method, path, body) == ("POST", "/hook/plain/x?a=b%20c", b'{"a": 1}')
    assert headers["Authorization"] == "Bearer s3cret"
    assert headers["Content-Length"] == "8"
    assert headers[FORWARDED] == "1"
    assert pods.asked == ["GET /api/v1/namespaces/podpin-system/pods/podpin-a"]


@pytest.mark.parametrize(
    ("election", "headers"),
    [
        pytest.param(Election(holder=None), HEADERS, id="nobody leads"),
        pytest.param(Election(holder="podpin-b"), HEADERS, id="one's own name: it led a moment ago"),
        pytest.param(Election(holder="stranger"), HEADERS, id="the holder is no Pod of this namespace"),
        pytest.param(Election(), {**HEADERS, FORWARDED: "1"}, id="it has been handed on once already"),
    ],
)
async def test_what_cannot_be_handed_on_is_said_to_be(
    leading: Leading, election: Election, headers: dict[str, str]
) -> None:
    forwarding = way(election, Pods(), leading.port)
    assert await forwarding.hand_on("/hook/plain/x", headers, b"{}") is None
    await forwarding.close()
    assert leading.heard == []


async def test_a_leader_that_does_not_answer_is_looked_up_anew() -> None:
    pods = Pods()
    forwarding = way(Election(), pods, free_port())
    for _ in range(2):
        assert await forwarding.hand_on("/hook/plain/x", HEADERS, b"{}") is None
    await forwarding.close()
    assert len(pods.asked) == 2
