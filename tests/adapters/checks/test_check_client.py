"""Checks over real sockets: what each answer counts as, where podpin does not go, and what it does not tell."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web
from tests.adapters.registry.scripted import Authority, Scripted, reply, serving

from podpin.adapters.checks import MOST_BYTES, CheckClient
from podpin.core.checks import Failed, NotMade, Outcome, Passed, Silent
from podpin.core.names import Key
from podpin.core.spec.checks import CheckSpec

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

WEB = Key("shop", "web")
SECRET = "the words of a body"


@pytest.fixture
async def server() -> AsyncIterator[Scripted]:
    async with serving() as scripted:
        yield scripted


async def probe(check: dict[str, Any], *hosts: str, **how: Any) -> Outcome:
    client = CheckClient(reachable_hosts=hosts, **how)
    try:
        return await client.probe(CheckSpec.model_validate({"name": "front", "timeout": "2s", **check}), WEB, "0a1b")
    finally:
        await client.close()


async def ask(server: Scripted, path: str = "/", **check: Any) -> Outcome:
    return await probe({"http": {"url": f"http://{server.host}{path}"}, **check}, server.host)


async def query(server: Scripted, **prometheus: Any) -> Outcome:
    wanted = {"address": f"http://{server.host}/prom/", "query": 'up{pod=~"$(name)-.*"}', "max": 1, **prometheus}
    return await probe({"prometheus": wanted}, server.host)


def vector(*values: str) -> dict[str, Any]:
    series = [{"metric": {"pod": str(nth)}, "value": [1.5, value]} for nth, value in enumerate(values)]
    return {"status": "success", "data": {"resultType": "vector", "result": series}}


# --- a status


async def test_the_words_of_the_address_are_filled_in_and_no_credential_goes_with_it(server: Scripted) -> None:
    server.on("*", reply(200, SECRET))
    assert await ask(server, "/$(namespace)/$(name)?release=$(release)") == Passed()
    assert server.asked == ["GET /shop/web?release=0a1b"]
    sent = server.seen[0].headers
    assert set(sent) == {"Host", "User-Agent", "Accept", "Accept-Encoding", "Connection"}


async def test_a_bad_status_is_the_release_s_and_told_without_a_word_of_the_body(server: Scripted) -> None:
    server.on("*", reply(500, SECRET))
    assert await ask(server) == Failed("HTTP 500 where 200-399 was expected")


async def test_a_redirect_is_an_answer_and_is_not_followed(server: Scripted) -> None:
    server.on("*", reply(302, location="http://169.254.169.254/latest/meta-data/"))
    assert await ask(server) == Passed()
    assert len(server.seen) == 1


async def test_a_body_without_end_is_not_read(server: Scripted) -> None:
    async def endless(request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        with contextlib.suppress(ConnectionError):
            while not server.closing.is_set():
                await response.write(b"x" * 65536)
        return response

    server.on("*", endless)
    assert await ask(server) == Passed()


async def test_cookies_are_not_kept(server: Scripted) -> None:
    server.on("*", reply(200, set_cookie="who=me"))
    client = CheckClient(reachable_hosts=[server.host])
    check = CheckSpec.model_validate({"name": "front", "http": {"url": f"http://{server.host}/"}})
    for _ in range(2):
        assert await client.probe(check, WEB, "0a1b") == Passed()
    await client.close()
    assert all("Cookie" not in request.headers for request in server.seen)


async def test_no_answer_in_time_is_the_release_s(server: Scripted) -> None:
    server.on("*", server.silence)
    outcome = await ask(server, timeout="200ms")
    assert outcome == Failed("no answer in time where HTTP 200-399 was expected")


async def test_a_refused_connection_is_the_release_s() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        host = f"127.0.0.1:{taken.getsockname()[1]}"
        outcome = await probe({"http": {"url": f"http://{host}/"}}, host)
    assert outcome == Failed("a refused connection where HTTP 200-399 was expected")


@pytest.mark.parametrize(
    ("says", "what"),
    [(b"SSH-2.0-OpenSSH_9.2\r\n\r\n", "an answer that is not HTTP"), (b"", "a broken connection")],
)
async def test_what_is_no_answer_in_http_is_the_release_s(says: bytes, what: str) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(says)
        writer.close()

    listening = await asyncio.start_server(talk, "127.0.0.1", 0)
    host = f"127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    outcome = await probe({"http": {"url": f"http://{host}/"}}, host)
    listening.close()
    assert outcome == Failed(f"{what} where HTTP 200-399 was expected")


async def test_a_name_without_an_address_is_not_the_release_s(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object) -> object:
        raise socket.gaierror(socket.EAI_NONAME, "unknown")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    outcome = await probe({"http": {"url": "http://web.$(namespace).svc:8080/"}})
    assert outcome == NotMade("the host web.shop.svc has no address in the DNS")


async def test_a_certificate_that_nobody_trusts_is_not_the_release_s(tmp_path: Path) -> None:
    async with serving(tls=Authority.create(tmp_path).context()) as server:
        outcome = await probe({"http": {"url": f"https://{server.host}/"}}, server.host)
        assert isinstance(outcome, NotMade)
        assert "does not trust the certificate of 127.0.0.1" in outcome.why
        assert server.seen == []


async def test_a_port_without_tls_is_not_the_release_s(server: Scripted) -> None:
    outcome = await probe({"http": {"url": f"https://{server.host}/"}}, server.host)
    assert outcome == NotMade("no TLS connection to 127.0.0.1 comes about; check its port")


# --- where podpin does not go


FORBIDDEN = {
    "loopback": "127.0.0.1",
    "loopback by name": "localhost",
    "loopback over IPv6": "[::1]",
    "loopback, mapped": "[::ffff:127.0.0.1]",
    "loopback in another spelling": "2130706433",
    "any address": "0.0.0.0",
    "the metadata service": "169.254.169.254",
    "the metadata service, mapped": "[::ffff:a9fe:a9fe]",
    "the metadata service in another spelling": "0xa9fea9fe",
    "AWS's over IPv6": "[fd00:ec2::254]",
    "link-local over IPv6": "[fe80::1]",
}


@pytest.mark.parametrize("host", FORBIDDEN.values(), ids=FORBIDDEN)
@pytest.mark.parametrize("kind", ["http", "prometheus"])
async def test_nobody_s_rollout_makes_podpin_ask(server: Scripted, host: str, kind: str) -> None:
    url = f"http://{host}:{server.host.rpartition(':')[2]}"
    check = {"http": {"url": url}} if kind == "http" else {"prometheus": {"address": url, "query": "up", "max": 1}}
    outcome = await probe(check)
    assert isinstance(outcome, NotMade)
    assert "podpin does not" in outcome.why
    assert server.seen == []


def leads_to(address: str) -> Any:
    return lambda host, port, *_: [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]


@pytest.mark.parametrize("address", ["127.0.0.1", "169.254.169.254", "100.100.100.200"])
async def test_a_name_that_leads_there_is_refused(
    server: Scripted, monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", leads_to(address))
    outcome = await probe({"http": {"url": f"http://web.shop.svc:{server.host.rpartition(':')[2]}/"}}, "other.shop.svc")
    assert isinstance(outcome, NotMade)
    assert "The host web.shop.svc leads to" in outcome.why
    assert server.seen == []


async def test_private_networks_are_asked_unless_they_are_denied(monkeypatch: pytest.MonkeyPatch) -> None:
    connected: list[str] = []

    async def connect(*_: Any, addr_infos: Any, **__: Any) -> socket.socket:
        connected.append(addr_infos[0][4][0])
        raise ConnectionRefusedError(111, "refused")

    monkeypatch.setattr("aiohttp.connector.aiohappyeyeballs.start_connection", connect)
    monkeypatch.setattr(socket, "getaddrinfo", leads_to("10.96.0.7"))
    check = {"http": {"url": "http://web.shop.svc/"}}
    assert isinstance(await probe(check), Failed)
    assert connected == ["10.96.0.7"]
    for url in ("http://web.shop.svc/", "http://10.96.0.7/"):
        denied = await probe({"http": {"url": url}}, private_ranges=False)
        assert isinstance(denied, NotMade)
        assert "a private address" in denied.why
    assert isinstance(await probe(check, "web.shop.svc", private_ranges=False), Failed)
    assert connected == ["10.96.0.7"] * 2


# --- numbers


async def test_prometheus_is_asked_by_its_api_with_the_words_filled_in(server: Scripted) -> None:
    server.on("*", reply(200, vector("0.5", "1")))
    assert await query(server) == Passed()
    asked = server.seen[0]
    assert asked.path == "/prom/api/v1/query"
    assert asked.query["query"] == 'up{pod=~"web-.*"}'


NUMBERS: list[tuple[str, Any, Outcome]] = [
    ("a scalar", {"data": {"resultType": "scalar", "result": [1, "0.25"]}}, Passed()),
    ("a number too high", vector("0", "7"), Failed("7 where 1 or less was expected")),
    ("nothing", vector(), Silent()),
    ("no number", vector("NaN"), Silent()),
]


@pytest.mark.parametrize(("says", "body", "outcome"), NUMBERS, ids=[row[0] for row in NUMBERS])
async def test_what_prometheus_answers_is_judged(server: Scripted, says: str, body: Any, outcome: Outcome) -> None:
    server.on("*", reply(200, body))
    assert await query(server) == outcome


TROUBLE: list[tuple[str, int, Any, str]] = [
    ("a query that it does not understand", 400, {"error": SECRET}, "does not take the query (HTTP 400)"),
    ("a failure of its own", 503, SECRET, "answers with HTTP 503"),
    ("a login page", 302, SECRET, "answers with HTTP 302"),
    ("somebody else", 200, f"<html>{SECRET}</html>", "what answers is no Prometheus"),
    ("a range", 200, {"data": {"resultType": "matrix", "result": []}}, "something else than plain numbers"),
    ("a number that is none", 200, vector(SECRET), "something else than plain numbers"),
    ("half a pair", 200, {"data": {"resultType": "scalar", "result": [1]}}, "something else than plain numbers"),
    ("an abyss", 200, "[" * 100_000, "what answers is no Prometheus"),
    ("too much", 200, "x" * (MOST_BYTES + 1), "more than 1,048,576 bytes"),
]


@pytest.mark.parametrize(("says", "status", "body", "why"), TROUBLE, ids=[row[0] for row in TROUBLE])
async def test_trouble_with_prometheus_is_not_the_release_s(
    server: Scripted, says: str, status: int, body: Any, why: str
) -> None:
    server.on("*", reply(status, body))
    outcome = await query(server)
    assert isinstance(outcome, NotMade)
    assert why in outcome.why
    assert SECRET not in outcome.why


async def test_a_prometheus_that_is_not_there_is_not_the_release_s(server: Scripted) -> None:
    server.on("*", server.silence)
    wanted = {"address": f"http://{server.host}", "query": "up", "max": 1}
    outcome = await probe({"prometheus": wanted, "timeout": "200ms"}, server.host)
    assert outcome == NotMade("Prometheus gives no answer: no answer in time")
