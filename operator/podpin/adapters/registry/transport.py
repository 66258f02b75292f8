"""One HTTP request to a host that is not to be trusted, and what can go wrong with it.

Everything podpin asks of a registry or a token server passes through `Transport.fetch`: the scheme and the address are
checked for every hop, bodies are cut off, redirects are followed by hand so that a credential stays with its origin,
and aiohttp's errors end here.
"""

from __future__ import annotations

import re
import ssl
import zlib
from collections import OrderedDict
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, NoReturn

import aiohttp
from aiohttp import hdrs
from yarl import URL

from podpin.adapters.registry.addresses import Place, Reach, VettedResolver
from podpin.adapters.registry.limits import Gates, Limits, parse_retry_after, read_quota
from podpin.errors import Invalid, PodpinError, Unavailable, Untrusted

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

    from multidict import CIMultiDictProxy

_SESSIONS_KEPT: Final = 16
_HOST: Final = re.compile(r"[a-z0-9._-]+|[0-9a-f:.]+", re.ASCII | re.IGNORECASE)
_LONGEST_HOST: Final = 253
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back, from where: its status, its headers and its body, which is decoded and within its limit."""

    url: URL
    status: int
    headers: CIMultiDictProxy[str]
    body: bytes


def authority(url: URL) -> str:
    """A URL's host with its port if that is not the scheme's own, in lowercase, as an administrator names it."""
    return (url.host_port_subcomponent or "").lower()


def read_url(text: str) -> URL | None:
    """A URL out of a stranger's text; None if it is none."""
    try:
        return URL(text)
    except (ValueError, IndexError):  # yarl stumbles over "https://[::1]:443@"
        return None


def same_origin(one: URL, other: URL) -> bool:
    """Whether both have the same scheme, host and port."""
    return one.origin() == other.origin()


class Transport:
    """HTTP for the registry client: few sessions, one per CA, shared by all hosts.

    `insecure_hosts` speak plain HTTP, and may be on loopback; `reachable_hosts` may be at any address. Each is an exact
    `host[:port]`. `private_ranges` says whether other hosts may be in private networks. `observe` is told of each
    request that was sent: the host, the status that came or None, and the seconds until its answer was there.
    """

    def __init__(
        self,
        *,
        insecure_hosts: frozenset[str],
        reachable_hosts: frozenset[str],
        private_ranges: bool,
        limits: Limits,
        monotonic: Callable[[], float],
        rng: Callable[[], float],
        observe: Callable[[str, int | None, float], None] = lambda _host, _status, _seconds: None,
    ) -> None:
        self._monotonic = monotonic
        self._observe = observe
        self._insecure_hosts = frozenset(host.lower() for host in insecure_hosts)
        self._limits = limits
        self._gates = Gates(limits, monotonic, rng)
        self._reach = Reach(
            frozenset(self._place(host) for host in reachable_hosts),
            frozenset(self._place(host) for host in insecure_hosts),
            private_ranges,
        )
        self._resolver = VettedResolver(self._reach)
        self._sessions: OrderedDict[bytes | None, _Session] = OrderedDict()

    def scheme_for(self, host: str) -> str:
        """How to speak to `host[:port]`: `http` for those that the administrator named, `https` for all others."""
        return "http" if host.lower() in self._insecure_hosts else "https"

    def _place(self, host: str) -> Place:
        url = URL(f"{self.scheme_for(host)}://{host.lower()}")
        return url.raw_host or "", url.port or 0

    def check_hop(self, url: URL) -> None:
        """Raise Untrusted for a URL that podpin does not ask: another scheme, plain HTTP, or a user in it.

        Raises Invalid for a host that is an address where podpin must not connect to.
        """
        host = url.raw_host or ""
        if url.scheme not in {"http", "https"} or not _HOST.fullmatch(host) or len(host) > _LONGEST_HOST:
            raise Untrusted("A registry sent podpin to an address that is no web address; ask the registry's operator.")
        where = authority(url)
        if url.user is not None or url.password is not None:
            raise Untrusted(f"A registry sent podpin to {where} with credentials in the address, which it never uses.")
        if url.scheme == "http" and where not in self._insecure_hosts:
            raise Untrusted(
                f"A registry sent podpin to {where} by plain HTTP; the administrator can allow that host by "
                "--insecure-registry.",
            )
        self._reach.check_literal(host, url.port or 0)

    async def fetch(
        self,
        method: str,
        url: URL,
        *,
        who: str,
        ca: bytes | None,
        headers: Mapping[str, str],
        authorization: str | None,
        most_bytes: int,
        redirects: int = 0,
        form: Mapping[str, str] | None = None,
    ) -> Answer:
        """Ask once, and follow up to `redirects` redirects; the authorization goes to `url`'s own origin alone.

        A `form` is sent as the request's body; a request that has one must not be redirected.
        Returns whatever status came, except for those that say to come back later. `most_bytes` bounds the body of a
        good answer (more raises Untrusted); that of an error is cut off. Raises Unavailable, Untrusted and Invalid.
        """
        here = url
        for _ in range(redirects + 1):
            self.check_hop(here)
            sent = dict(headers)
            if authorization is not None and same_origin(here, url):
                sent[hdrs.AUTHORIZATION] = authorization
            answer = await self._exchange(method, here, who=who, ca=ca, headers=sent, most_bytes=most_bytes, form=form)
            if answer.status not in _REDIRECTS:
                return answer
            here = _target(answer, who)
        raise Untrusted(f"The {who} at {authority(url)} redirects more often than podpin follows.")

    async def close(self) -> None:
        """End all connections."""
        sessions, self._sessions = list(self._sessions.values()), OrderedDict()
        for session in sessions:
            await session.client.close()
        await self._resolver.close()

    async def _exchange(
        self,
        method: str,
        url: URL,
        *,
        who: str,
        ca: bytes | None,
        headers: Mapping[str, str],
        most_bytes: int,
        form: Mapping[str, str] | None,
    ) -> Answer:
        host = authority(url)
        status: int | None = None
        async with self._gates.enter(host), self._session(ca) as client:
            begun = self._monotonic()
            try:
                async with client.request(method, url, headers=headers, data=form, allow_redirects=False) as response:
                    status = response.status
                    body = await self._read(response, who, most_bytes)
            except PodpinError:
                raise
            except (aiohttp.ClientError, ssl.SSLError, OSError, ValueError, zlib.error) as error:
                self._translate(error, url, who)
            finally:
                self._observe(host, status, self._monotonic() - begun)
        answer = Answer(url, response.status, response.headers, body)
        self._come_back_later(answer, who)
        return answer

    async def _read(self, response: aiohttp.ClientResponse, who: str, most_bytes: int) -> bytes:
        """Read the body up to its limit, before decoding and after, and cut off the rest of an error's."""
        good = response.status < HTTPStatus.BAD_REQUEST
        most = most_bytes if good else self._limits.error_bytes
        body = bytearray()
        async for chunk in response.content.iter_any():
            body += chunk
            if len(body) > most:
                response.close()
                break
        decoded = _decode(bytes(body[: most + 1]), response.headers.get(hdrs.CONTENT_ENCODING), most + 1)
        if decoded is None:
            raise Untrusted(
                f"The {who} at {authority(response.url)} answers in an encoding that podpin did not ask for."
            )
        if len(decoded) > most or len(body) > most:
            if good:
                raise Untrusted(
                    f"The {who} at {authority(response.url)} answers with more than {most:,} bytes, "
                    "which is no answer to what podpin asked.",
                )
            return decoded[:most]
        return decoded

    def _come_back_later(self, answer: Answer, who: str) -> None:
        """Raise Unavailable for the statuses that say so, and leave the host alone where it is the host's own."""
        host, status = authority(answer.url), answer.status
        if status in {HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE}:
            wait = parse_retry_after(answer.headers.get(hdrs.RETRY_AFTER), answer.headers.get(hdrs.DATE))
            if status == HTTPStatus.SERVICE_UNAVAILABLE:
                reason = f"The {who} at {host} is not in service (HTTP 503); podpin waits before it asks again."
            elif quota := read_quota(answer.headers.get("RateLimit-Limit")):
                reason = (
                    f"The {who} at {host} allows no more than {quota} (HTTP 429), and that is used up; podpin waits "
                    "before it asks again. Other credentials, or a mirror, may allow more."
                )
            else:
                reason = f"The {who} at {host} has had too many requests (HTTP 429); podpin waits before it asks again."
            raise self._gates.back_off(host, reason, wait)
        self._gates.calm(host)
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR or status == HTTPStatus.REQUEST_TIMEOUT:
            raise Unavailable(f"The {who} at {host} fails to answer (HTTP {status}); podpin asks again later.")

    def _translate(self, error: Exception, url: URL, who: str) -> NoReturn:
        """Turn what aiohttp, ssl or the socket raised into podpin's own error."""
        host = authority(url)
        match error:
            case aiohttp.InvalidURL():
                raise Invalid(f"The {who}'s host {host} is not one that can be reached.") from error
            case TimeoutError():
                reason = f"The {who} at {host} did not answer in time; podpin asks again later."
                raise self._gates.back_off(host, reason) from error
            case aiohttp.ClientConnectorCertificateError():
                raise Untrusted(_certificate_flaw(error.certificate_error, host, who)) from error
            case aiohttp.ClientSSLError() | ssl.SSLError():
                raise Untrusted(_tls_flaw(error, host, who)) from error
            case aiohttp.ClientConnectorDNSError():
                reason = f"The {who}'s host {host} has no address in the DNS; check its name, or ask again later."
                raise self._gates.back_off(host, reason) from error
            case aiohttp.ClientConnectorError():
                reason = f"The {who} at {host} cannot be reached; podpin asks again later."
                raise self._gates.back_off(host, reason) from error
            case aiohttp.ClientResponseError() | zlib.error():
                raise Untrusted(
                    f"The {who} at {host} answers with what is not HTTP; check the host and port."
                ) from error
            case aiohttp.ClientError() | OSError():
                raise Unavailable(f"The {who} at {host} broke off its answer; podpin asks again later.") from error
            case _:
                raise Invalid(f"The {who}'s host {host} is not one that can be reached.") from error

    @asynccontextmanager
    async def _session(self, ca: bytes | None) -> AsyncIterator[aiohttp.ClientSession]:
        session = self._sessions.get(ca)
        if session is None:
            session = self._sessions[ca] = _Session(self._open(ca))
        self._sessions.move_to_end(ca)
        session.users += 1
        try:
            await self._close_idle()
            yield session.client
        finally:
            session.users -= 1

    async def _close_idle(self) -> None:
        """CAs come from namespaces' Secrets, and each costs a megabyte: keep those in use and those used last."""
        while len(self._sessions) > _SESSIONS_KEPT:
            idle = next((session for session in self._sessions.items() if not session[1].users), None)
            if idle is None:
                return
            del self._sessions[idle[0]]
            await idle[1].client.close()

    def _open(self, ca: bytes | None) -> aiohttp.ClientSession:
        limits = self._limits
        connector = aiohttp.TCPConnector(
            ssl=_tls(ca),
            resolver=self._resolver,
            limit=0,  # The gates limit; a second limit would let one host wait for another.
        )
        return aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            headers={hdrs.ACCEPT_ENCODING: "identity", hdrs.USER_AGENT: "podpin"},
            timeout=aiohttp.ClientTimeout(total=limits.total_seconds, sock_connect=limits.connect_seconds),
        )


class _Session:
    """An aiohttp session and how many requests are in it."""

    __slots__ = ("client", "users")

    def __init__(self, client: aiohttp.ClientSession) -> None:
        self.client = client
        self.users = 0


def _target(answer: Answer, who: str) -> URL:
    """Where a redirect leads."""
    location = read_url(answer.headers.get(hdrs.LOCATION, ""))
    if location:
        return answer.url.join(location)
    raise Untrusted(f"The {who} at {authority(answer.url)} redirects to nowhere (HTTP {answer.status}).")


def _decode(body: bytes, encoding: str | None, most: int) -> bytes | None:
    """Undo a Content-Encoding, which nobody asked for, to no more than `most` bytes; None for one that podpin lacks."""
    match (encoding or "identity").strip().lower():
        case "identity":
            return body
        case "gzip" | "x-gzip" | "deflate":
            # 32 over the window's size: zlib finds out by itself which of the two it is.
            return zlib.decompressobj(zlib.MAX_WBITS | 32).decompress(body, most)
        case _:
            return None


def _tls(ca: bytes | None) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if ca is not None:
        # Python 3.13 became stricter about private CAs' form than the kubelet is, which has to pull in the end.
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        try:
            # Comments between the certificates may be in any language.
            context.load_verify_locations(cadata=ca.decode("ascii", "ignore"))
        except (ssl.SSLError, ValueError) as error:
            raise Invalid(
                "The CA for the registry holds no certificate that can be read; put certificates in PEM into the "
                "Secret that spec.registry.caSecret names.",
            ) from error
    return context


def _certificate_flaw(error: Exception, host: str, who: str) -> str:
    verdict = error.verify_code if isinstance(error, ssl.SSLCertVerificationError) else 0
    match verdict:
        case 10:
            return f"The certificate of the {who} at {host} has expired; have it renewed."
        case 62 | 64:
            return f"The certificate of the {who} at {host} is for another name; use the name that stands in it."
        case _:
            return (
                f"The certificate of the {who} at {host} is signed by nobody that podpin trusts; "
                "put its CA into a Secret and name that in spec.registry.caSecret."
            )


def _tls_flaw(error: Exception, host: str, who: str) -> str:
    inner = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
    reason = str(getattr(inner, "reason", "") or "")
    if "WRONG_VERSION_NUMBER" in reason or "HTTP_REQUEST" in reason or "RECORD_LAYER_FAILURE" in reason:
        return (
            f"The {who} at {host} does not speak TLS there; if it is meant to speak plain HTTP, the administrator can "
            f"allow that by --insecure-registry {host}."
        )
    return f"No TLS connection to the {who} at {host} comes about; check its host, port and certificate."
