"""Which Authorization header a registry wants, and to whom a password may go for it.

A registry answers 401 and names its price: Basic, or a token from a server (the realm) that it names too. Most clients
carry the password to whatever realm they are told, which has been a CVE in containerd and others. Here a password goes
to the registry's own host, to realms known to be the registry's, or to those that the administrator trusts; without a
password any realm may be asked, within the rules for addresses.

Tokens are kept per registry, realm, service, scope *and credential*: one tenant never gets another's.
"""

from __future__ import annotations

import base64
import re
from collections import OrderedDict
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, TypeVar

from aiohttp import hdrs
from yarl import URL

from podpin.adapters.registry.challenge import Challenge, parse_challenges
from podpin.adapters.registry.manifest import read_object
from podpin.adapters.registry.transport import Answer, Transport, authority, read_url
from podpin.errors import Denied, Invalid, PodpinError, Untrusted

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from podpin.core.keyring import Credential

KNOWN_REALMS: Final[Mapping[str, frozenset[str]]] = {
    "registry-1.docker.io": frozenset({"auth.docker.io"}),
    "registry.gitlab.com": frozenset({"gitlab.com"}),
    "docker.elastic.co": frozenset({"docker-auth.elastic.co"}),
}
"""Public registries whose token server has another host than they have."""

_K = TypeVar("_K")
_V = TypeVar("_V")

_KEPT: Final = 512
_LONGEST_SCOPE: Final = 1024
_SHORTEST_LIFE_SECONDS: Final = 60.0
_LONGEST_LIFE_SECONDS: Final = 24 * 3600.0
_NO_EXCHANGE: Final = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED})
"""What token servers say that know nothing of exchanging tokens: 404 is Google's, 401 Artifactory's (so containerd)."""

_TOKEN: Final = re.compile(r"[\x21-\x7e]{1,16384}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Errand:
    """What a request is for: the registry's base URL, the repository's path there, and with whose rights.

    `lent` says that the credential is podpin's own, and no Secret's.
    """

    registry: URL
    path: str
    credential: Credential | None
    ca: bytes | None
    lent: bool = False

    @property
    def scope(self) -> str:
        """The right that podpin asks for: to pull, and nothing else."""
        return f"repository:{self.path}:pull"


@dataclass(frozen=True, slots=True)
class _TokenKey:
    registry: str
    realm: str
    service: str | None
    scopes: tuple[str, ...]
    credential: Credential | None


class Authorizer:
    """Answers challenges, and remembers what a registry wanted, so that the next request need not be refused first.

    `trusted_realms` maps a registry's `host[:port]` to the `host[:port]` of token servers that may see its passwords.
    """

    def __init__(
        self,
        transport: Transport,
        *,
        trusted_realms: Mapping[str, frozenset[str]],
        token_bytes: int,
        monotonic: Callable[[], float],
    ) -> None:
        self._transport = transport
        self._trusted_realms = {
            registry.lower(): frozenset(realm.lower() for realm in realms)
            for registry, realms in trusted_realms.items()
        }
        self._token_bytes = token_bytes
        self._monotonic = monotonic
        self._wanted: OrderedDict[str, Challenge] = OrderedDict()
        self._odd_scopes: OrderedDict[tuple[str, str], str] = OrderedDict()
        self._tokens: OrderedDict[_TokenKey, tuple[str, float]] = OrderedDict()

    async def expected(self, errand: Errand) -> str | None:
        """The header that this registry wanted the last time, or None to ask without. Raises as `respond` does."""
        challenge = self._wanted.get(str(errand.registry))
        if challenge is None:
            return None
        scope = self._odd_scopes.get((str(errand.registry), errand.path))
        if scope is not None:
            challenge = Challenge(challenge.scheme, {**challenge.parameters, "scope": scope})
        try:
            return await self._header(challenge, errand, fresh=False)
        except (Denied, Untrusted):
            # It may want something else by now, and then says so.
            return None

    async def respond(self, answer: Answer, errand: Errand, sent: str | None) -> str | None:
        """The header that a 401 asks for, or None if no other than the one that was `sent` can be given.

        Raises Denied if the token server refuses, Untrusted if it may not be asked, Unavailable if it does not answer.
        """
        refusal: PodpinError | None = None
        for challenge in parse_challenges(answer.headers.getall(hdrs.WWW_AUTHENTICATE, [])):
            try:
                header = await self._header(challenge, errand, fresh=True)
            except (Denied, Untrusted, Invalid) as error:
                refusal = refusal or error
                continue
            if header is not None and header != sent:
                self._remember(challenge, errand)
                return header
        if refusal is not None:
            raise refusal
        return None

    async def _header(self, challenge: Challenge, errand: Errand, *, fresh: bool) -> str | None:
        if challenge.scheme == "basic" and errand.credential is not None and errand.credential.has_password:
            return _basic(errand.credential)
        if challenge.scheme == "bearer" and "realm" in challenge.parameters:
            return f"Bearer {await self._token(challenge, errand, fresh=fresh)}"
        return None

    def _remember(self, challenge: Challenge, errand: Errand) -> None:
        """Keep what holds for all of the registry's repositories, and this one's scope if it has one of its own."""
        kept = {name: value for name, value in challenge.parameters.items() if name in {"realm", "service"}}
        _put(self._wanted, str(errand.registry), Challenge(challenge.scheme, kept))
        scope = challenge.parameters.get("scope", errand.scope)
        if scope != errand.scope and len(scope) <= _LONGEST_SCOPE:
            _put(self._odd_scopes, (str(errand.registry), errand.path), scope)

    async def _token(self, challenge: Challenge, errand: Errand, *, fresh: bool) -> str:
        realm = self._realm(challenge.parameters["realm"], errand)
        service = challenge.parameters.get("service")
        asked = challenge.parameters.get("scope", "").split(" ")
        scopes = tuple(dict.fromkeys(scope for scope in (*asked, errand.scope) if scope))
        key = _TokenKey(str(errand.registry), str(realm), service, scopes, errand.credential)
        now = self._monotonic()
        kept = self._tokens.get(key)
        if kept is not None and not fresh and now < kept[1]:
            self._tokens.move_to_end(key)
            return kept[0]
        token, life = await self._fetch_token(realm, service, scopes, errand)
        _put(self._tokens, key, (token, now + life))
        return token

    def _realm(self, text: str, errand: Errand) -> URL:
        """Check where a token is to be had. Raises Untrusted."""
        registry = authority(errand.registry)
        realm = read_url(text)
        if realm is None or not realm.absolute:
            raise Untrusted(f"The registry at {registry} names no address where podpin could get a token.")
        self._transport.check_hop(realm)
        realm = realm.with_fragment(None)
        if errand.credential is None:
            return realm
        host = authority(realm)
        trusted = KNOWN_REALMS.get(registry, frozenset()) | self._trusted_realms.get(registry, frozenset())
        if realm.host != errand.registry.host and host not in trusted:
            raise Untrusted(
                f"The registry at {registry} wants its password sent to {host}, which is not known to belong to it; "
                "the administrator can trust that token server with --trusted-realm.",
            )
        return realm

    async def _fetch_token(
        self, realm: URL, service: str | None, scopes: tuple[str, ...], errand: Errand
    ) -> tuple[str, float]:
        """Ask the token server. Returns the token and for how many seconds it is good."""
        host = authority(realm)
        credential = errand.credential
        if credential is not None and credential.identity_token is not None:
            answer = await self._exchange(realm, service, scopes, credential.identity_token, errand)
            if answer.status in _NO_EXCHANGE and credential.has_password:
                answer = await self._ask(realm, service, scopes, errand)
        else:
            answer = await self._ask(realm, service, scopes, errand)
        if answer.status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
            raise Denied(_refused(f"The token server at {host}", errand, answer.status))
        if answer.status != HTTPStatus.OK:
            raise Untrusted(f"The token server at {host} gives no token (HTTP {answer.status}).")
        content = read_object(answer.body) or {}
        token = content.get("token") or content.get("access_token")
        if not isinstance(token, str) or not _TOKEN.fullmatch(token):
            raise Untrusted(f"The token server at {host} answers without a token.")
        return token, _life(content.get("expires_in"))

    async def _ask(self, realm: URL, service: str | None, scopes: tuple[str, ...], errand: Errand) -> Answer:
        """Ask for a token as distribution's protocol has it: by GET, with a password or without."""
        query = [] if service is None else [("service", service)]
        query += [("scope", scope) for scope in scopes]
        return await self._transport.fetch(
            "GET",
            realm.extend_query(query),
            who="token server",
            ca=errand.ca,
            headers={hdrs.ACCEPT: "application/json"},
            authorization=None if errand.credential is None else _basic(errand.credential),
            most_bytes=self._token_bytes,
        )

    async def _exchange(
        self, realm: URL, service: str | None, scopes: tuple[str, ...], identity_token: str, errand: Errand
    ) -> Answer:
        """Ask for a token as its OAuth2 variant has it: by POST, in exchange for a refresh token."""
        form = {"grant_type": "refresh_token", "client_id": "podpin", "refresh_token": identity_token}
        form |= {"scope": " ".join(scopes)} | ({} if service is None else {"service": service})
        return await self._transport.fetch(
            "POST",
            realm,
            who="token server",
            ca=errand.ca,
            headers={hdrs.ACCEPT: "application/json"},
            authorization=None,
            most_bytes=self._token_bytes,
            form=form,
        )


def _put(table: OrderedDict[_K, _V], key: _K, value: _V) -> None:
    """Keep a value under a key that comes from a stranger: the oldest make room."""
    table[key] = value
    table.move_to_end(key)
    if len(table) > _KEPT:
        table.popitem(last=False)


def denied(errand: Errand, status: int) -> Denied:
    """The error for a registry that refuses what podpin has to offer."""
    return Denied(_refused(f"The registry at {authority(errand.registry)}", errand, status))


def _refused(who: str, errand: Errand, status: int) -> str:
    if errand.credential is None:
        return (
            f"{who} does not show {errand.path} without credentials (HTTP {status}); name a pull secret for it in "
            "spec.registry.pullSecrets, and check the repository's name."
        )
    if errand.lent:
        return (
            f"{who} refuses podpin's own identity in the cloud for {errand.path} (HTTP {status}); have it "
            "granted the right to pull, or name a pull secret in spec.registry.pullSecrets."
        )
    return (
        f"{who} refuses the pull secret's credentials for {errand.path} (HTTP {status}); check the Secret, its rights, "
        "and the repository's name."
    )


def _basic(credential: Credential) -> str:
    pair = f"{credential.username}:{credential.password}".encode("utf-8", "surrogateescape")
    return f"Basic {base64.b64encode(pair).decode('ascii')}"


def _life(expires_in: object) -> float:
    """For how many seconds to use a token: a little less than it is good for, and 60 where nothing sensible is said."""
    if isinstance(expires_in, bool) or not isinstance(expires_in, (int, float)) or not expires_in > 0:
        expires_in = _SHORTEST_LIFE_SECONDS
    return min(max(float(expires_in), _SHORTEST_LIFE_SECONDS), _LONGEST_LIFE_SECONDS) * 0.9
