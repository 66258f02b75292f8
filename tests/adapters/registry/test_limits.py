"""Registries that are slow, endless, overloaded or broken: what they cost, and whom."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import socket
from typing import TYPE_CHECKING

import pytest
from aiohttp import web
from tests.adapters.registry.scripted import IMAGE, Scripted, manifest, reply

from podpin.adapters.registry.client import RegistryClient
from podpin.adapters.registry.limits import Gates, Limits, parse_retry_after, read_quota
from podpin.core.keyring import Access
from podpin.core.reference import Repository, parse_repository
from podpin.errors import Unavailable, Untrusted

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.adapters.registry.conftest import Clock, NewClient, Serve
    from tests.adapters.registry.scripted import Reply

ANYBODY = Access()
HEAD, GET = "HEAD /v2/app/manifests/1", "GET /v2/app/manifests/1"
IMPATIENT = Limits(total_seconds=0.2, connect_seconds=0.2)


def endless(sent: list[int], status: int = 200) -> Reply:
    """Ten gigabytes, of which `sent` counts what went out before the client hung up."""

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse(status=status, headers={"Content-Type": IMAGE})
        response.content_length = 10_000_000_000
        await response.prepare(request)
        with contextlib.suppress(ConnectionError):
            while True:
                await response.write(b" " * 65_536)
                sent.append(65_536)
        return response

    return answer


@pytest.mark.parametrize(("path", "most"), [("manifests/1", "4,194,304"), ("tags/list", "8,388,608")])
async def test_a_body_of_ten_gigabytes_is_cut_off(
    registry: Scripted, client: RegistryClient, path: str, most: str
) -> None:
    sent: list[int] = []
    registry.on(HEAD, reply(405))
    registry.on(f"GET /v2/app/{path}", endless(sent))
    with pytest.raises(Untrusted, match=f"more than {most} bytes"):
        await (
            client.list_tags(registry.app, ANYBODY)
            if path == "tags/list"
            else client.resolve(registry.app, "1", ANYBODY)
        )
    assert sum(sent) < 64 * 2**20  # What the sockets' buffers took included.


async def test_an_error_of_ten_gigabytes_is_only_begun(registry: Scripted, client: RegistryClient) -> None:
    sent: list[int] = []
    registry.on(HEAD, reply(405))
    registry.on(GET, endless(sent, 500))
    with pytest.raises(Unavailable, match="HTTP 500"):
        await client.resolve(registry.app, "1", ANYBODY)
    assert sum(sent) < 64 * 2**20


async def test_a_small_body_that_unpacks_to_a_large_one_is_cut_off(registry: Scripted, client: RegistryClient) -> None:
    bomb = gzip.compress(b" " * 100_000_000)
    registry.on(HEAD, reply(405))
    registry.on(GET, reply(200, bomb, kind=IMAGE, content_encoding="gzip"))
    with pytest.raises(Untrusted, match="more than 4,194,304 bytes"):
        await client.resolve(registry.app, "1", ANYBODY)


async def test_a_registry_that_says_nothing_for_a_minute_is_given_up(registry: Scripted, new_client: NewClient) -> None:
    registry.on("*", registry.silence)
    with pytest.raises(Unavailable, match="did not answer in time"):
        await new_client(registry, limits=IMPATIENT).resolve(registry.app, "1", ANYBODY)


async def test_who_observes_is_told_of_each_request_and_of_what_came(registry: Scripted, new_client: NewClient) -> None:
    told: list[tuple[str, int | None]] = []
    client = new_client(registry, limits=IMPATIENT, observe=lambda host, status, seconds: told.append((host, status)))
    digest = registry.serves("1")
    await client.resolve(registry.app, "1", ANYBODY, known=digest)
    assert told == [(registry.host, 200)]
    registry.on(HEAD, reply(429, retry_after="120"))
    for _ in range(3):  # only the first is sent
        with pytest.raises(Unavailable):
            await client.resolve(registry.app, "1", ANYBODY)
    assert told == [(registry.host, 200), (registry.host, 429)]


async def test_who_observes_is_told_that_no_answer_came(registry: Scripted, new_client: NewClient) -> None:
    told: list[tuple[str, int | None, bool]] = []
    client = new_client(
        registry, limits=IMPATIENT, observe=lambda host, status, seconds: told.append((host, status, seconds >= 0))
    )
    registry.on("*", registry.silence)
    with pytest.raises(Unavailable, match="did not answer in time"):
        await client.resolve(registry.app, "1", ANYBODY)
    assert told == [(registry.host, None, True)]


async def test_a_body_that_stops_half_way_is_given_up(registry: Scripted, new_client: NewClient) -> None:
    async def half(request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": IMAGE, "Content-Length": "100"})
        await response.prepare(request)
        await response.write(b"{")
        return await registry.silence(request)

    registry.on(HEAD, reply(405))
    registry.on(GET, half)
    with pytest.raises(Unavailable, match="did not answer in time"):
        await new_client(registry, limits=IMPATIENT).resolve(registry.app, "1", ANYBODY)


async def test_an_answer_that_breaks_off_is_no_answer(registry: Scripted, client: RegistryClient) -> None:
    async def broken(request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": IMAGE, "Content-Length": "100"})
        await response.prepare(request)
        await response.write(b"{")
        assert request.transport is not None
        request.transport.abort()
        return response

    registry.on(HEAD, reply(405))
    registry.on(GET, broken)
    with pytest.raises(Unavailable, match="broke off"):
        await client.resolve(registry.app, "1", ANYBODY)


@contextlib.asynccontextmanager
async def speaking(words: bytes) -> AsyncIterator[Repository]:
    """A server that says the same to everybody, and hangs up."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(words)
        writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    async with server:
        yield Repository(f"127.0.0.1:{server.sockets[0].getsockname()[1]}", "app")


@pytest.mark.parametrize(
    "words",
    [b"SSH-2.0-OpenSSH_9.2\r\n", b"\x15\x03\x01\x00\x02\x02\x16", b"HTTP/1.1 200 OK\r\n" + b"X: " + b"a" * 100_000],
)
async def test_what_is_not_http_is_said_to_be_so(words: bytes) -> None:
    async with speaking(words) as repository:
        client = RegistryClient(insecure_hosts=frozenset({repository.host}))
        with pytest.raises(Untrusted, match="not HTTP"):
            await client.resolve(repository, "1", ANYBODY)
        await client.close()


async def test_a_host_that_does_not_listen_is_left_alone_for_a_while(clock: Clock) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        host = f"127.0.0.1:{free.getsockname()[1]}"
        client = RegistryClient(insecure_hosts=frozenset({host}), monotonic=clock, rng=lambda: 0.5)
        for _ in range(2):
            with pytest.raises(Unavailable, match="cannot be reached") as caught:
                await client.resolve(Repository(host, "app"), "1", ANYBODY)
            assert caught.value.retry_after == pytest.approx(0.75)
        await client.close()


async def test_a_name_without_an_address_is_said_to_have_none(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> None:
    def unknown(*_: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    client = RegistryClient(monotonic=clock)
    with pytest.raises(Unavailable, match=r"host r\.example has no address in the DNS"):
        await client.resolve(parse_repository("r.example/app"), "1", ANYBODY)
    await client.close()


async def test_429_is_honoured_for_the_whole_host_and_for_no_other(
    registry: Scripted, serve: Serve, new_client: NewClient, clock: Clock
) -> None:
    other = await serve()
    other.serves("1")
    client = new_client(registry, other)
    registry.on("*", reply(429, retry_after="120"), manifest())
    with pytest.raises(Unavailable, match="too many requests") as first:
        await client.resolve(registry.app, "1", ANYBODY)
    # Later than asked, by up to a tenth.
    assert first.value.retry_after == pytest.approx(126)
    clock.now += 100
    for attempt in (
        client.resolve(Repository(registry.host, "another"), "1", ANYBODY),
        client.list_tags(registry.app, ANYBODY),
        client.exists(registry.app, "sha256:" + "0" * 64, ANYBODY),
    ):
        with pytest.raises(Unavailable) as again:
            await attempt
        assert again.value.retry_after == pytest.approx(26)
        assert str(again.value) == str(first.value)
    assert len(registry.seen) == 1
    await client.resolve(other.app, "1", ANYBODY)
    clock.now += 27
    await client.resolve(registry.app, "1", ANYBODY)
    assert len(registry.seen) == 3


async def test_429_for_an_hour_costs_a_handful_of_requests(
    registry: Scripted, client: RegistryClient, clock: Clock
) -> None:
    registry.on("*", reply(429))
    for _ in range(3600):
        with pytest.raises(Unavailable):
            await client.resolve(registry.app, "1", ANYBODY)
        clock.now += 1
    assert 10 < len(registry.seen) < 30


async def test_an_answer_ends_the_growth_of_the_waits(registry: Scripted, client: RegistryClient, clock: Clock) -> None:
    waits = []
    registry.on("*", *[reply(503)] * 4, manifest(), manifest(), reply(503))
    for _ in range(6):
        with contextlib.suppress(Unavailable):
            await client.resolve(registry.app, "1", ANYBODY)
            continue
        with pytest.raises(Unavailable) as caught:
            await client.resolve(registry.app, "1", ANYBODY)
        waits.append(caught.value.retry_after)
        clock.now += 1000
    assert waits == [pytest.approx(0.75 * factor) for factor in (1, 2, 4, 8, 1)]


RETRY_AFTER = {
    "seconds": ("120", None, 120),
    "blanks around": (" 7 ", None, 7),
    "zero": ("0", None, 0),
    "nothing": (None, None, None),
    "an empty text": ("", None, None),
    "a date": ("Wed, 21 Oct 2026 07:30:00 GMT", "Wed, 21 Oct 2026 07:28:00 GMT", 120),
    "a date that is over": ("Wed, 21 Oct 2026 07:00:00 GMT", "Wed, 21 Oct 2026 07:28:00 GMT", 0),
    "a date without the server's own": ("Wed, 21 Oct 2026 07:30:00 GMT", None, None),
    "a negative number": ("-5", None, None),
    "digits of another script": ("\u0661\u0662", None, None),
    "nonsense": ("soon", "later", None),
    "digits without end": ("9" * 5000, None, 9_999_999_999),
}


@pytest.mark.parametrize(("value", "date", "seconds"), RETRY_AFTER.values(), ids=RETRY_AFTER)
def test_reads_retry_after(value: str | None, date: str | None, seconds: float | None) -> None:
    assert parse_retry_after(value, date) == seconds


QUOTAS = {
    "Docker Hub's": ("100;w=21600", "100 requests in 6h"),
    "blanks around": (" 10;w=60 ", "10 requests in 1m"),
    "no window": ("100", None),
    "more than one, as the draft of the standard has it": ("100, 100;w=60", None),
    "words": ("many;w=long", None),
    "digits without end": ("9" * 5000 + ";w=1", None),
    "the longest": ("9999999;w=9999999", "9999999 requests in 2777h46m39s"),
    "nothing": (None, None),
}


@pytest.mark.parametrize(("value", "words"), QUOTAS.values(), ids=QUOTAS)
def test_reads_a_quota(value: str | None, words: str | None) -> None:
    assert read_quota(value) == words


async def test_a_wait_asked_for_is_capped() -> None:
    gates = Gates(Limits(), lambda: 0.0, lambda: 0.0)
    assert gates.back_off("r.io", "busy", 10.0**9).retry_after == 3600
    with pytest.raises(Unavailable, match="busy"):
        async with gates.enter("r.io"):
            pass


async def test_a_longer_wait_wins_and_failures_together_count_once() -> None:
    gates = Gates(Limits(), lambda: 0.0, lambda: 1.0)
    assert gates.back_off("r.io", "busy").retry_after == 1
    assert gates.back_off("r.io", "busy").retry_after == 1
    assert gates.back_off("r.io", "busy", 10).retry_after == pytest.approx(11)
    assert gates.back_off("r.io", "busy", 5).retry_after == pytest.approx(11)


async def test_one_slow_registry_holds_up_no_other(serve: Serve, new_client: NewClient) -> None:
    slow, quick = await serve(), await serve()
    slow.on("*", slow.silence)
    quick.serves("1")
    client = new_client(slow, quick, limits=Limits(requests_per_host=1, requests=2))
    waiting = [asyncio.create_task(client.resolve(slow.app, "1", ANYBODY)) for _ in range(20)]
    for _ in range(3):
        await client.resolve(quick.app, "1", ANYBODY)
    assert not any(task.done() for task in waiting)
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    assert len(slow.seen) <= 1


async def test_no_host_gets_more_than_its_share_of_requests_at_once(registry: Scripted, new_client: NewClient) -> None:
    running = most = 0

    async def count(request: web.BaseRequest) -> web.StreamResponse:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0)
        running -= 1
        return await manifest()(request)

    registry.on("*", count)
    client = new_client(registry, limits=Limits(requests_per_host=3))
    await asyncio.gather(*(client.resolve(registry.app, "1", ANYBODY) for _ in range(30)))
    assert most <= 3


async def test_a_host_with_nothing_under_way_is_let_in_whatever_the_others_do() -> None:
    gates = Gates(Limits(requests=2), lambda: 0.0, lambda: 0.0)
    async with contextlib.AsyncExitStack() as stack:
        for number in range(4):
            await stack.enter_async_context(gates.enter(f"slow{number}"))
        for _ in range(2):
            await stack.enter_async_context(gates.enter("slow0"))
        async with asyncio.timeout(1), gates.enter("quick"):
            pass
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05), gates.enter("slow1"):
                pass


async def test_hosts_of_strangers_are_forgotten_but_not_those_left_alone() -> None:
    now = 0.0
    gates = Gates(Limits(), lambda: now, lambda: 0.0)
    gates.back_off("busy", "busy", 100)
    for number in range(5000):
        async with gates.enter(f"host{number}"):
            pass
    assert len(gates._gates) <= 1024
    with pytest.raises(Unavailable):
        async with gates.enter("busy"):
            pass
