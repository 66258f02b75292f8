"""Requests to the API server: what goes out, what comes back, and which of podpin's errors each trouble becomes."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest
from kubernetes.aio.client.configuration import Configuration
from tests.adapters.kube.scripted import ApiServer, Reply, failure

from podpin import __version__
from podpin.adapters.kube.api import APPLY, JSON, JSON_PATCH, MERGE, METADATA_LIST, Api, Expired
from podpin.errors import Conflict, Denied, Invalid, NotFound, PodpinError, Unavailable

if TYPE_CHECKING:
    from collections.abc import Mapping

PODS = "/api/v1/pods"


async def listen(api: Api, query: Mapping[str, str] | None = None) -> list[tuple[str, Any]]:
    """All that a watch tells until it ends."""
    return [event async for event in await api.watch(PODS, query or {})]


async def test_a_request_carries_its_query_and_says_who_asks(server: ApiServer, api: Api) -> None:
    server.on("GET", PODS, Reply(body={"kind": "PodList"}))
    answer = await api.request("GET", PODS, query={"labelSelector": "a/b=c d", "limit": "1"}, accept=METADATA_LIST)
    assert answer == {"kind": "PodList"}
    assert server.last.query == {"labelSelector": "a/b=c d", "limit": "1"}
    assert server.last.headers["Accept"] == METADATA_LIST
    assert server.last.headers["User-Agent"] == f"podpin/{__version__}"


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (APPLY, {"metadata": {"name": "web"}}),
        (MERGE, {"metadata": {"annotations": {"a": None}}}),
        (JSON_PATCH, [{"op": "test", "path": "/metadata/uid", "value": "u"}]),
    ],
)
async def test_a_write_goes_out_as_json_of_its_own_kind(server: ApiServer, api: Api, kind: str, body: object) -> None:
    server.on("PATCH", PODS, Reply(body={}))
    await api.request("PATCH", PODS, body=body, kind=kind)
    assert server.last.headers["Content-Type"] == kind
    assert server.last.body == body


async def test_who_observes_is_told_of_each_request_and_of_what_came(server: ApiServer) -> None:
    told: list[tuple[str, str, int | None]] = []
    configuration = Configuration(host=server.url)
    configuration.retries = None
    api = Api(configuration, observe=lambda *what: told.append(what))
    server.on("GET", PODS, Reply(body={}), failure(404), Reply(body={}))
    await api.request("GET", PODS)
    with pytest.raises(NotFound):
        await api.request("GET", PODS)
    listening = asyncio.ensure_future(listen(api))
    (await server.watch()).end()
    await listening
    configuration.host = "http://127.0.0.1:1"
    await api.close()
    away = Api(configuration, observe=lambda *what: told.append(what))
    with pytest.raises(Unavailable):
        await away.request("PATCH", PODS)
    await away.close()
    assert told == [("GET", PODS, 200), ("GET", PODS, 404), ("WATCH", PODS, 200), ("PATCH", PODS, None)]


async def test_a_token_goes_along(server: ApiServer) -> None:
    configuration = Configuration(host=server.url, api_key={"BearerToken": "s3cret"})
    configuration.api_key_prefix = {"BearerToken": "Bearer"}
    api = Api(configuration)
    server.on("GET", PODS, Reply(body={}))
    await api.request("GET", PODS)
    await api.close()
    assert server.last.headers["Authorization"] == "Bearer s3cret"


@pytest.mark.parametrize(
    ("reply", "error", "says"),
    [
        (failure(400, "bad field"), Invalid, "bad field"),
        (failure(401, "who?"), Denied, "who?"),
        (failure(403, "pods is forbidden"), Denied, "pods is forbidden"),
        (failure(404, "no pod"), NotFound, "no pod"),
        (failure(405), Invalid, "so it is"),
        (failure(409, "changed"), Conflict, "changed"),
        (failure(410, "too old"), Expired, "too old"),
        (failure(413), Invalid, "so it is"),
        (failure(415), Invalid, "so it is"),
        (failure(422, "immutable"), Invalid, "immutable"),
        (failure(429, "slow down"), Unavailable, "slow down"),
        (failure(500, "etcd"), Unavailable, "etcd"),
        (Reply(502, b"<html>bad gateway</html>"), Unavailable, "<html>bad gateway</html>"),
        (Reply(503, b""), Unavailable, "HTTP 503"),
        (Reply(500, ["odd"]), Unavailable, '["odd"]'),
        (Reply(404, {"message": None}), NotFound, "HTTP 404"),
        (Reply(200, b"<html>"), Unavailable, "The API server answered something that is no JSON."),
    ],
)  # fmt: skip
async def test_each_refusal_is_told_in_the_api_server_s_words(
    server: ApiServer, api: Api, reply: Reply, error: type[PodpinError], says: str
) -> None:
    server.on("GET", PODS, reply)
    with pytest.raises(PodpinError) as refusal:
        await api.request("GET", PODS)
    assert (type(refusal.value), str(refusal.value)) == (error, says)


async def test_an_answer_that_is_no_object_is_an_empty_one(server: ApiServer, api: Api) -> None:
    server.on("GET", PODS, Reply(body=[1]))
    assert await api.request("GET", PODS) == {}


@pytest.mark.parametrize(
    ("headers", "wait"), [({}, None), ({"retry_after": "7"}, 7.0), ({"retry_after": "Fri, 01 Jan 2027"}, None)]
)
async def test_a_wait_that_is_asked_for_is_passed_on(
    server: ApiServer, api: Api, headers: dict[str, str], wait: float | None
) -> None:
    server.on("GET", PODS, failure(429, **headers))
    with pytest.raises(Unavailable) as refusal:
        await api.request("GET", PODS)
    assert refusal.value.retry_after == wait


async def test_nothing_is_asked_twice_by_itself(server: ApiServer, api: Api) -> None:
    server.on("GET", PODS, failure(503))
    with pytest.raises(Unavailable):
        await api.request("GET", PODS)
    assert server.count("GET", PODS) == 1


async def test_a_server_that_is_down_is_unavailable_and_asked_anew_when_it_is_back(server: ApiServer, api: Api) -> None:
    server.on("GET", PODS, Reply(body={"kind": "PodList"}))
    await server.stop()
    with pytest.raises(Unavailable, match="The API server does not answer: "):
        await api.request("GET", PODS)
    with pytest.raises(Unavailable, match="The API server does not answer: "):
        await listen(api)
    await server.restart()
    assert await api.request("GET", PODS) == {"kind": "PodList"}


async def test_an_answer_that_breaks_off_is_unavailable(server: ApiServer, api: Api) -> None:
    server.on("GET", PODS, Reply(200, b'{"kind":', {"Content-Length": "8"}))
    with pytest.raises(Unavailable, match="no JSON"):
        await api.request("GET", PODS)


# --- watches


async def test_events_come_one_by_one_however_they_are_cut(server: ApiServer, api: Api) -> None:
    listening = asyncio.ensure_future(listen(api, {"resourceVersion": "5"}))
    stream = await server.watch()
    events = [("ADDED", {"metadata": {"name": "ünï"}}), ("DELETED", {"metadata": {"name": "b"}})]
    text = b"".join(
        json.dumps({"type": kind, "object": body}, ensure_ascii=False).encode() + b"\n" for kind, body in events
    )
    for start in range(0, len(text), 5):
        stream.raw(text[start : start + 5])
    stream.raw(text)
    stream.end()
    assert await listening == [*events, *events]
    assert stream.asked.query == {"resourceVersion": "5", "watch": "true"}
    assert stream.asked.headers["Accept"] == JSON


async def test_a_watch_that_ends_with_half_a_line_just_ends(server: ApiServer, api: Api) -> None:
    listening = asyncio.ensure_future(listen(api))
    stream = await server.watch()
    stream.send("ADDED", {})
    stream.raw(b'{"type": "MODIF')
    stream.end()
    assert await listening == [("ADDED", {})]


async def test_a_watch_that_says_nothing_just_ends(server: ApiServer, api: Api) -> None:
    listening = asyncio.ensure_future(listen(api))
    (await server.watch()).end()
    assert await listening == []


@pytest.mark.parametrize(
    ("code", "error"), [(410, Expired), (403, Denied), (429, Unavailable), (500, Unavailable), (504, Unavailable)]
)
async def test_an_error_is_the_same_within_a_watch_and_instead_of_one(
    server: ApiServer, api: Api, code: int, error: type[PodpinError]
) -> None:
    server.refuse_watches(failure(code, "why"))
    with pytest.raises(error, match="why"):
        await listen(api)
    listening = asyncio.ensure_future(listen(api))
    stream = await server.watch()
    stream.send("ADDED", {})
    stream.send("ERROR", failure(code, "why").body)
    with pytest.raises(error, match="why"):
        await listening


@pytest.mark.parametrize("chunk", [b"<html>\n", b"{\n", b"[1]\n", b"7\n", b"{}\n", b'{"type": "ADDED"}\n'])
async def test_what_is_no_event_is_a_server_that_does_not_answer(server: ApiServer, api: Api, chunk: bytes) -> None:
    listening = asyncio.ensure_future(listen(api))
    stream = await server.watch()
    stream.raw(chunk)
    with pytest.raises(Unavailable, match="does not answer"):
        await listening
    stream.end()


async def test_a_connection_that_breaks_in_mid_watch_is_unavailable(server: ApiServer, api: Api) -> None:
    listening = asyncio.ensure_future(listen(api))
    stream = await server.watch()
    stream.send("ADDED", {})
    await server.stop()
    with pytest.raises(Unavailable, match="does not answer"):
        await listening
    await server.restart()


async def test_whoever_stops_listening_closes_the_watch(server: ApiServer, api: Api) -> None:
    listening = asyncio.ensure_future(listen(api))
    stream = await server.watch()
    listening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await listening
    server.on("GET", PODS, Reply(body={}))
    assert await api.request("GET", PODS) == {}
    stream.end()


@pytest.mark.parametrize(
    "path",
    ["/api/v1/namespaces/a/secrets/../../b/secrets/x", "/api/v1/pods/..", "/api/v1/./pods", "/api//v1", "/api/v1/a..b",
     "/api/v1/pods?watch=true", "/api/v1/pods#x", "/api/v1/%2e%2e/pods", "/api/v1/a b",
     "/api/v1/a\nb", "/api/v1/\u2025", "/api/v1\\pods", "pods", "/api/v1/pods/", ""],
)  # fmt: skip
async def test_a_path_that_could_be_taken_for_another_one_is_never_sent(server: ApiServer, api: Api, path: str) -> None:
    with pytest.raises(Invalid, match="no such path"):
        await api.request("GET", path)
    with pytest.raises(Invalid, match="no such path"):
        await api.watch(path, {})
    assert server.asked == []


async def test_an_object_that_is_too_long_to_be_one_is_not_read_to_its_end(
    server: ApiServer, api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.on("GET", PODS, Reply(body={"kind": "x" * 2**21}))
    assert await api.request("GET", PODS)
    monkeypatch.setattr("podpin.adapters.kube.api.LONGEST_OBJECT", 2**20)
    with pytest.raises(Unavailable, match="longer than 1 MiB"):
        await api.request("GET", PODS)
    assert await api.request("GET", PODS, query={"limit": "500"})


@pytest.mark.parametrize("left", [0.0, -5.0])
async def test_who_does_not_lead_may_look_and_writes_nothing(server: ApiServer, left: float) -> None:
    api = Api(Configuration(host=server.url), lambda: left)
    server.on("GET", PODS, Reply(body={"kind": "PodList"}))
    assert await api.request("GET", PODS) == {"kind": "PodList"}
    for method in ("POST", "PUT", "PATCH", "DELETE"):
        with pytest.raises(Unavailable, match="does not lead any more"):
            await api.request(method, PODS, body={})
    await api.close()
    assert [asked.method for asked in server.asked] == ["GET"]


async def test_a_write_is_waited_for_no_longer_than_podpin_leads() -> None:
    gone = asyncio.Event()

    async def never(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()
        await writer.wait_closed()
        gone.set()

    async with await asyncio.start_server(never, "127.0.0.1", 0) as silent:
        api = Api(Configuration(host=f"http://127.0.0.1:{silent.sockets[0].getsockname()[1]}"), lambda: 0.2)
        begun = asyncio.get_running_loop().time()
        with pytest.raises(Unavailable):
            await api.request("PATCH", PODS, body={})
        assert 0.1 < asyncio.get_running_loop().time() - begun < 5
        await api.close()
        await gone.wait()
