"""Asks the addresses of users' checks: a status from anybody, numbers from Prometheus.

Who writes a rollout names the address, and podpin asks it from inside the cluster. So the rules are those of registries
(`podpin.adapters.registry.addresses`): every name is checked for the very addresses that the connection uses. It is a
GET without any credential; redirects are not followed, no cookie is kept, and the body of an answer is not read, or
only to find numbers in it. What is told of an answer is its status or a number, never its words.
"""

from __future__ import annotations

import errno
import json
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

import aiohttp
from aiohttp import hdrs
from yarl import URL

from podpin.adapters.registry.addresses import Place, Reach, VettedResolver
from podpin.core.checks import NotMade, Outcome, expand, judge_numbers, judge_silence, judge_status
from podpin.core.reading import array, mapping
from podpin.errors import Invalid

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from contextlib import AbstractAsyncContextManager

    from podpin.core.names import Key
    from podpin.core.spec.checks import CheckSpec, HttpCheck, PrometheusCheck

MOST_BYTES: Final = 1024 * 1024
"""Of an answer of Prometheus, which is to be a few numbers."""
_PORTS: Final = {"http": 80, "https": 443}
_TO_CONNECT: Final = 0.8
"""The part of a timeout that a connection may take, the name's lookup included."""
_NO_WAY: Final = frozenset({errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EHOSTDOWN, errno.ENETDOWN})


class CheckClient:
    """Makes one check at a time. `reachable_hosts` may be at any address, each as an exact `host[:port]`, of which the
    ports 80 and 443 are meant where there is none; `private_ranges` says whether others may be in private networks.
    """

    def __init__(self, *, reachable_hosts: Iterable[str] = (), private_ranges: bool = True) -> None:
        named = frozenset(place for host in reachable_hosts for place in _places(host))
        self._reach = Reach(named=named, private=private_ranges)
        self._resolver = VettedResolver(self._reach)
        self._session: aiohttp.ClientSession | None = None

    async def probe(self, check: CheckSpec, key: Key, release: str) -> Outcome:
        """Make a check once. Whatever comes of it is an outcome."""
        seconds = check.timeout.total_seconds()
        if check.http is not None:
            return await self._ask(check.http, expand(check.http.url, key, release), seconds)
        assert check.prometheus is not None, "the spec has exactly one of the two"
        return await self._query(check.prometheus, key, release, seconds)

    async def close(self) -> None:
        """End all connections."""
        if self._session is not None:
            await self._session.close()
        await self._resolver.close()

    async def _ask(self, check: HttpCheck, text: str, seconds: float) -> Outcome:
        try:
            async with self._get(self._vetted(text), seconds) as response:
                status = response.status
                response.close()  # Its body is nobody's business here.
        except Invalid as error:
            return NotMade(str(error))
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return _no_way(error) or judge_silence(check, _silence(error))
        return judge_status(check, status)

    async def _query(self, check: PrometheusCheck, key: Key, release: str, seconds: float) -> Outcome:
        try:
            url = self._vetted(expand(check.address, key, release).rstrip("/") + "/api/v1/query")
            query = {"query": expand(check.query, key, release), "timeout": f"{seconds:g}s"}
            async with self._get(url.with_query(query), seconds) as response:
                status, body = response.status, await _read(response)
        except Invalid as error:
            return NotMade(str(error))
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return _no_way(error) or NotMade(f"Prometheus gives no answer: {_silence(error)}")
        if status == HTTPStatus.BAD_REQUEST:
            return NotMade("Prometheus does not take the query (HTTP 400): try it there, and correct it")
        if status != HTTPStatus.OK:
            return NotMade(f"Prometheus answers with HTTP {status}")
        if len(body) > MOST_BYTES:
            return NotMade(f"Prometheus answers with more than {MOST_BYTES:,} bytes: let the query aggregate")
        numbers = _numbers(body)
        if numbers is None:
            return NotMade("what answers is no Prometheus, or the query gives something else than plain numbers")
        return judge_numbers(check, numbers)

    def _vetted(self, text: str) -> URL:
        """The address, if podpin may ask there. Raises Invalid, also for one that cannot be read."""
        try:
            url = URL(text)
            host, port = url.raw_host, url.port
        except (ValueError, IndexError):  # yarl stumbles over "http://[::1]:80@"
            host, port = None, None
        if not host or not port or url.scheme not in _PORTS or url.raw_user is not None or url.raw_password is not None:
            raise Invalid("its address cannot be read; write it as in http://web.shop.svc:8080/healthz")
        self._reach.check_literal(host, port)
        return url

    def _get(self, url: URL, seconds: float) -> AbstractAsyncContextManager[aiohttp.ClientResponse]:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(resolver=self._resolver, limit=0, force_close=True),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                headers={hdrs.USER_AGENT: "podpin", hdrs.ACCEPT_ENCODING: "identity"},
            )
        # A connection that does not come about is told from an answer that does not: only the second is the release's.
        timeout = aiohttp.ClientTimeout(total=seconds, connect=seconds * _TO_CONNECT)
        return self._session.get(url, allow_redirects=False, timeout=timeout)


def _places(host: str) -> Iterator[Place]:
    """The places that an administrator's `host[:port]` names."""
    url = URL(f"http://{host.lower()}")
    ports = (url.explicit_port,) if url.explicit_port else _PORTS.values()
    for port in ports:
        yield url.raw_host or "", port


async def _read(response: aiohttp.ClientResponse) -> bytes:
    """The body, cut off soon after it is too long."""
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > MOST_BYTES:
            response.close()
            break
    return bytes(body)


def _no_way(error: Exception) -> NotMade | None:
    """Why nobody could be asked at all, which no release is to blame for, or None."""
    match error:
        case aiohttp.InvalidURL():
            return NotMade("its address cannot be read; write it as in http://web.shop.svc:8080/healthz")
        case aiohttp.ClientConnectorDNSError():
            return NotMade(f"the host {error.host} has no address in the DNS")
        case aiohttp.ClientConnectorCertificateError():
            return NotMade(f"podpin does not trust the certificate of {error.host}, or it is for another name")
        case aiohttp.ClientSSLError():
            return NotMade(f"no TLS connection to {error.host} comes about; check its port")
        case aiohttp.ConnectionTimeoutError():
            return NotMade("no connection to its address comes about in time; a NetworkPolicy may forbid it to podpin")
        case aiohttp.ClientConnectorError() if error.os_error.errno in _NO_WAY:
            return NotMade(f"no way leads to {error.host}")
        case _:
            return None


def _silence(error: Exception) -> str:
    """What is the case where somebody could be asked, and gave no answer."""
    match error:
        case TimeoutError():
            return "no answer in time"
        case aiohttp.ClientConnectorError() if error.os_error.errno == errno.ECONNREFUSED:
            return "a refused connection"
        case aiohttp.ClientResponseError():
            return "an answer that is not HTTP"
        case _:
            return "a broken connection"


def _numbers(body: bytes) -> list[float] | None:
    """The numbers in an answer of Prometheus' API: of a scalar or an instant vector. None if there are others in it."""
    try:
        data = mapping(mapping(json.loads(body)).get("data"))
        match data.get("resultType"):
            case "scalar":
                pairs = [array(data.get("result"))]
            case "vector":
                pairs = [array(mapping(series).get("value")) for series in array(data.get("result"))]
            case _:
                return None
        return [float(number) for _, number in pairs]
    except (ValueError, TypeError, RecursionError):
        return None
