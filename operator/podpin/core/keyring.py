"""Which credentials belong to a repository: the kubelet's own rules.

podpin must see a registry with the eyes of the node that will pull: a tag that only podpin could read would roll out
and then fail, and a credential sent where the kubelet would not send it is a leak. So the matching is that of
Kubernetes' pkg/credentialprovider: the host label by label, the port exactly, the path by its beginning, and *all* that
match, in reverse lexical order of their keys. A plain string prefix would give registry.example.com's password to
registry.example.com.evil.org.

Of an entry the kubelet reads `username`, `password` and `auth` alone. An `identitytoken`, which is all that a login to
Azure and some others leaves, is kept beside them: podpin can look with it, and the nodes pull by means of their own.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from urllib.parse import unquote

from podpin.core.reference import DOCKER_HUB

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from podpin.core.reference import Repository

DOCKER_CONFIG_JSON: Final = "kubernetes.io/dockerconfigjson"
"""The type of a Secret that holds a whole ~/.docker/config.json under the key `.dockerconfigjson`."""

DOCKER_CFG: Final = "kubernetes.io/dockercfg"
"""The older type: the hosts alone, under the key `.dockercfg`."""

_FIELDS: Final = frozenset({"auths", "username", "password", "auth", "identitytoken"})
_DOCKER_HUB_KEY: Final = "index.docker.io"
_DOCKER_HUB_HOSTS: Final = frozenset({DOCKER_HUB, _DOCKER_HUB_KEY})
_API_VERSION: Final = re.compile(r"/v[12](?=/)", re.ASCII)
_BAD_ESCAPE: Final = re.compile(r"%(?![0-9A-Fa-f]{2})", re.ASCII)
_PORT: Final = re.compile(r"[0-9]*", re.ASCII)
_LONE_SURROGATE: Final = re.compile("[\ud800-\udfff]")


class KeyringInvalid(ValueError):  # noqa: N818 -- it names the state, like podpin.errors
    """A Secret that holds no registry credentials. The text names the Secret and the flaw, and never its content."""


class SecretData(NamedTuple):
    """A Secret as far as credentials go: its name and type, and its values with base64 already undone."""

    name: str
    type: str
    data: Mapping[str, bytes]


@dataclass(frozen=True, slots=True)
class Credential:
    """A user's name and password, or a token that the registry's token server exchanges, or both.

    Neither its repr nor its str shows a secret.
    """

    username: str
    password: str = field(repr=False)
    identity_token: str | None = field(default=None, repr=False)

    @property
    def has_password(self) -> bool:
        """Whether there is anything to send by Basic authentication."""
        return bool(self.username or self.password)


@dataclass(frozen=True, slots=True, repr=False)
class Keyring:
    """Credentials by where they apply, in the order in which the kubelet tries them. `Keyring()` is anonymous."""

    entries: tuple[tuple[str, Credential], ...] = ()

    @classmethod
    def of_secrets(cls, secrets: Iterable[SecretData]) -> Keyring:
        """Read pull secrets, in the order in which the Pod names them.

        Raises KeyringInvalid for a Secret of another type and for one whose content the kubelet could not read either.
        (The kubelet itself passes over Secrets of other types: leave those out before, where that is wanted.)
        """
        entries = [entry for secret in secrets for entry in _read(secret)]
        # sort() keeps the order of equal keys, which is the order of the Secrets.
        entries.sort(key=lambda entry: entry[0], reverse=True)
        return cls(tuple(entries))

    def lookup(self, repository: Repository) -> tuple[Credential, ...]:
        """All credentials that apply to the repository, each once, in the order in which to try them."""
        target = str(repository)
        found = [credential for key, credential in self.entries if key_matches(key, target)]
        if not found and repository.host in _DOCKER_HUB_HOSTS:
            found = [credential for key, credential in self.entries if key == _DOCKER_HUB_KEY]
        return tuple(dict.fromkeys(found))

    def __repr__(self) -> str:
        return f"Keyring({', '.join(key for key, _ in self.entries)})"


@dataclass(frozen=True, slots=True)
class Access:
    """How to reach a registry on a rollout's behalf: with which credentials, and which CA (PEM) besides the usual.

    `keys` are the public keys (PEM) by the name of their Secret, by which the images' signatures are to be verified.
    """

    keyring: Keyring = Keyring()
    ca: bytes | None = field(default=None, repr=False)
    keys: tuple[tuple[str, bytes], ...] = field(default=(), repr=False)

    def fingerprint_for(self, repository: Repository, *mirrored: Repository) -> str:
        """Tell accesses apart that may see different things there, or where it is mirrored: a sha256 in hex.

        It covers the matching credentials, the CA and the keys, so it is equal for all who may share one poller, and a
        constant for anonymous access without keys. It is made from passwords: a key for tables in memory, not to be
        logged or stored.
        """
        digest = hashlib.sha256()
        for number, place in enumerate((repository, *mirrored)):
            for credential in self.keyring.lookup(place):
                secrets = (credential.username, credential.password, credential.identity_token or "")
                for part in (str(number), *secrets):
                    digest.update(_framed(part.encode("utf-8", "surrogatepass")))
        if self.ca is not None:
            digest.update(b"ca" + _framed(self.ca))
        for name, key in self.keys:
            digest.update(b"key" + _framed(name.encode()) + _framed(key))
        return digest.hexdigest()


def key_matches(key: str, target: str) -> bool:
    """Whether a credential's key (`*.example.com:5000/team`) applies to a target (`host[:port]/path`)."""
    key_host, _, key_path = key.partition("/")
    target_host, _, target_path = target.partition("/")
    key_name, key_port = _split_port(key_host)
    target_name, target_port = _split_port(target_host)
    key_labels, target_labels = key_name.split("."), target_name.split(".")
    return (
        key_port == target_port
        and len(key_labels) == len(target_labels)
        and target_path.startswith(key_path)
        and all(_label_matches(pattern, label) for pattern, label in zip(key_labels, target_labels, strict=True))
    )


def _framed(value: bytes) -> bytes:
    return len(value).to_bytes(8, "big") + value


def _read(secret: SecretData) -> Iterator[tuple[str, Credential]]:
    if secret.type == DOCKER_CONFIG_JSON:
        hosts = _folded(_object(secret, ".dockerconfigjson")).get("auths")
    elif secret.type == DOCKER_CFG:
        hosts = _object(secret, ".dockercfg")
    else:
        raise KeyringInvalid(
            f'Secret "{secret.name}" has type {secret.type or "Opaque"}; a pull secret has type {DOCKER_CONFIG_JSON}, '
            "as kubectl create secret docker-registry makes it.",
        )
    if hosts is None:
        return
    if not isinstance(hosts, dict):
        raise _flaw(secret, "its list of registries is not a JSON object")
    for host, entry in hosts.items():
        key = _key(host)
        credential = _credential(secret, entry)
        if key is not None and credential is not None:
            yield key, credential


def _object(secret: SecretData, key: str) -> dict[str, Any]:
    try:
        value = json.loads(secret.data[key])
    except KeyError:
        raise _flaw(secret, f"it has no key {key}") from None
    except (ValueError, RecursionError):
        # The parser's own words quote the content.
        raise _flaw(secret, f"its {key} is not JSON") from None
    if not isinstance(value, dict):
        raise _flaw(secret, f"its {key} is not a JSON object")
    return value


def _folded(value: dict[str, Any]) -> dict[str, Any]:
    """Give `Auths` and the like their usual spelling: Go's JSON, and so the kubelet, reads keys in any case."""
    return {(name.lower() if name.lower() in _FIELDS else name): part for name, part in value.items()}


def _credential(secret: SecretData, entry: Any) -> Credential | None:
    """Read one registry's entry, or return None for one with nothing in it."""
    if entry is None:
        return None
    if not isinstance(entry, dict):
        raise _flaw(secret, "a registry's entry is not a JSON object")
    folded = _folded(entry)
    username, password, auth = (folded.get(name) or "" for name in ("username", "password", "auth"))
    if not (isinstance(username, str) and isinstance(password, str) and isinstance(auth, str)):
        raise _flaw(secret, "a registry's username, password or auth is not a string")
    token = folded.get("identitytoken")
    # The kubelet does not look at it, so that nothing in it can be wrong.
    identity = token if isinstance(token, str) and token and not _LONE_SURROGATE.search(token) else None
    if auth:
        return Credential(*_decode_auth(secret, auth), identity)
    if not (username or password or identity):
        return None
    username, password = (_LONE_SURROGATE.sub("\ufffd", part) for part in (username, password))
    return Credential(username, password, identity)


def _decode_auth(secret: SecretData, auth: str) -> tuple[str, str]:
    """Undo the base64 of `user:password`, with padding or without; the password may hold colons.

    Bytes that are not UTF-8 survive as surrogate escapes, and go out again as they were.
    """
    digits = auth.replace("\r", "").replace("\n", "")
    if not auth.rstrip().endswith("="):
        digits += "=" * (-len(digits) % 4)
    try:
        decoded = base64.b64decode(digits, validate=True).decode("utf-8", "surrogateescape")
    except (ValueError, binascii.Error):
        raise _flaw(secret, "a registry's auth is not base64") from None
    username, colon, password = decoded.partition(":")
    if not colon:
        raise _flaw(secret, "a registry's auth is not the base64 of user:password")
    return username, password


def _flaw(secret: SecretData, what: str) -> KeyringInvalid:
    return KeyringInvalid(f'Secret "{secret.name}" holds no registry credentials that can be read: {what}.')


def _key(location: str) -> str | None:
    """Reduce a config's key, maybe a whole URL, to `host[:port][/path]`; None for one that the kubelet passes over."""
    rest = location
    for scheme in ("https://", "http://"):
        if location.startswith(scheme):
            rest = location[len(scheme) :]
            break
    rest = rest.partition("#")[0].partition("?")[0]
    authority, slash, path = rest.partition("/")
    host = authority.rpartition("@")[2]
    name, port = _split_port(host)
    if not _PORT.fullmatch(port) or any(sign.isspace() or not sign.isprintable() for sign in name):
        return None
    path = slash + path
    if _BAD_ESCAPE.search(path):
        return None
    path = unquote(path)
    path = path[3:] if _API_VERSION.match(path) else path
    return host if path in ("", "/") else host + path


def _split_port(host: str) -> tuple[str, str]:
    """Cut the port off; an IPv6 address keeps its brackets only without one, as in Go's net.SplitHostPort."""
    name, colon, port = host.rpartition(":")
    if not colon or "]" in port:
        return host, ""
    if name.startswith("[") and name.endswith("]"):
        return name[1:-1], port
    return (host, "") if ":" in name else (name, port)


def _label_matches(pattern: str, text: str) -> bool:
    """Match one label by Go's filepath.Match: `*`, `?`, `[a-z]`, `[^a]`, backslash. In time pattern x text at worst."""
    pieces = _pieces(pattern)
    if pieces is None:
        return False
    first, *others = pieces
    if not _fits(first, text, 0):
        return False
    if not others:
        return len(first) == len(text)
    *middle, last = others
    at = len(first)
    for piece in middle:
        # Each piece between two stars takes the first place where it fits: a later one leaves less to the rest.
        found = next((here for here in range(at, len(text) - len(piece) + 1) if _fits(piece, text, here)), None)
        if found is None:
            return False
        at = found + len(piece)
    return len(text) - len(last) >= at and _fits(last, text, len(text) - len(last))


class _Signs(NamedTuple):
    """What one place of a pattern accepts: a character within any of the ranges, or within none of them."""

    ranges: tuple[tuple[str, str], ...]
    negated: bool = False


def _fits(piece: list[_Signs], text: str, at: int) -> bool:
    return len(text) - at >= len(piece) and all(
        any(low <= sign <= high for low, high in signs.ranges) != signs.negated
        for signs, sign in zip(piece, text[at:], strict=False)
    )


def _pieces(pattern: str) -> list[list[_Signs]] | None:
    """Cut a pattern at its stars, or return None for one that Go calls malformed."""
    pieces: list[list[_Signs]] = [[]]
    rest = list(reversed(pattern))
    while rest:
        sign = rest.pop()
        if sign == "*":
            pieces.append([])
            continue
        if sign == "?":
            signs: _Signs | None = _Signs((), negated=True)
        elif sign == "[":
            signs = _bracket(rest)
        elif sign == "\\":
            signs = _Signs(((rest[-1], rest.pop()),)) if rest else None
        else:
            signs = _Signs(((sign, sign),))
        if signs is None:
            return None
        pieces[-1].append(signs)
    return pieces


def _bracket(rest: list[str]) -> _Signs | None:
    """Read `[…]` after its opening from a reversed stack of characters; None if it is malformed."""
    negated = bool(rest) and rest[-1] == "^"
    if negated:
        rest.pop()
    ranges: list[tuple[str, str]] = []
    while rest:
        if rest[-1] == "]" and ranges:
            rest.pop()
            return _Signs(tuple(ranges), negated)
        low = high = _bracket_sign(rest)
        if rest and rest[-1] == "-":
            rest.pop()
            high = _bracket_sign(rest)
        if low is None or high is None:
            return None
        ranges.append((low, high))
    return None


def _bracket_sign(rest: list[str]) -> str | None:
    if not rest or rest[-1] in "-]":
        return None
    sign = rest.pop()
    if sign == "\\":
        return rest.pop() if rest else None
    return sign
