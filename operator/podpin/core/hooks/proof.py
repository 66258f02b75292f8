"""How a notice proves where it comes from: by a secret in a header, or by a signature over its body.

Everything is compared in constant time. A source that can send neither has its URL's path for a secret, as has every
other whose entry holds no secret.
"""

from __future__ import annotations

import base64
import hmac
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping


class Proof(Protocol):
    """What one source can send. `by_body` says whether the body must be there first; `sent` names it for people."""

    @property
    def by_body(self) -> bool:
        """Whether it is a signature over the body."""

    @property
    def sent(self) -> str | None:
        """The header that it comes in; None where this source sends no proof."""

    def holds(self, secret: str, headers: Mapping[str, str], body: bytes) -> bool:
        """Whether these headers, by their names in lowercase, prove knowledge of the secret."""


def same(given: str, wanted: str) -> bool:
    """Compare two texts in a time that does not tell how much of them is equal."""
    return hmac.compare_digest(given.encode(errors="backslashreplace"), wanted.encode(errors="backslashreplace"))


@dataclass(frozen=True, slots=True)
class Secret:
    """The secret itself, in one of these headers.

    In Authorization it may also come as `Bearer SECRET`, or, if it is written USER:PASSWORD, as HTTP's Basic.
    """

    headers: tuple[str, ...]
    by_body: bool = False

    @property
    def sent(self) -> str | None:
        """The headers, as one would say them."""
        return " or ".join(name.title() for name in self.headers)

    def holds(self, secret: str, headers: Mapping[str, str], body: bytes) -> bool:  # noqa: ARG002 -- of the port
        """Whether a header is the secret."""
        proven = False
        for name in self.headers:
            given = headers.get(name, "")
            forms = [secret]
            if name == "authorization":
                basic = base64.b64encode(secret.encode()).decode()
                forms += [f"Bearer {secret}", f"Basic {basic}"]
            for form in forms:
                proven |= same(given, form)
        return proven


@dataclass(frozen=True, slots=True)
class Signature:
    """An HMAC of the body, in hexadecimal digits behind a prefix; or, for some, the secret itself."""

    header: str
    algorithm: Literal["sha1", "sha256"]
    prefix: str = ""
    or_plain: bool = False
    by_body: bool = True

    @property
    def sent(self) -> str | None:
        """The header, as one would say it."""
        return self.header.title()

    def holds(self, secret: str, headers: Mapping[str, str], body: bytes) -> bool:
        """Whether the header is the body's signature."""
        given = headers.get(self.header, "")
        signed = self.prefix + hmac.new(secret.encode(), body, self.algorithm).hexdigest()
        proven = same(given, signed)
        if self.or_plain:
            proven |= same(given, secret)
        return proven


@dataclass(frozen=True, slots=True)
class _Nothing:
    by_body: bool = False
    sent: str | None = None

    def holds(self, secret: str, headers: Mapping[str, str], body: bytes) -> bool:  # noqa: ARG002 -- of the port
        return False


NONE: Final[Proof] = _Nothing()
"""This source sends nothing but the notice."""
AUTHORIZATION: Final[Proof] = Secret(("authorization",))
GITLAB: Final[Proof] = Secret(("x-gitlab-token", "authorization"))
