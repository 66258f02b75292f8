"""What a 401 demands: the WWW-Authenticate headers of RFC 9110, which registries use in all their freedom.

There may be several headers, several challenges in one header, quoted strings with escapes and commas in them, and
parameters without a value. A challenge that cannot be read is left out, so that a good one beside it still counts.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_WORD: Final = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
# Some proxies part parameters by semicolons.
_SEPARATORS: Final = re.compile(r"[ \t,;]*", re.ASCII)
_SCHEME: Final = re.compile(rf"({_WORD})(?=[ \t,]|$)", re.ASCII)
_PARAMETER: Final = re.compile(
    rf'({_WORD})[ \t]*=[ \t]*(?:"((?:[^"\\]|\\.)*)"|([^\s",;=][^\s",;]*))[ \t]*(?=[,;]|[ \t]|$)', re.ASCII
)
_TOKEN68: Final = re.compile(r"[0-9A-Za-z._~+/-]+=*[ \t]*(?=,|$)", re.ASCII)
_ESCAPE: Final = re.compile(r"\\(.)", re.DOTALL)
_LONGEST: Final = 16 * 1024


@dataclass(frozen=True, slots=True)
class Challenge:
    """One demand: its scheme in lowercase (`bearer`, `basic`, …) and its parameters, their names in lowercase."""

    scheme: str
    parameters: Mapping[str, str] = field(default_factory=dict)


def parse_challenges(headers: Iterable[str]) -> tuple[Challenge, ...]:
    """Read all WWW-Authenticate headers of one answer, in their order. Of a repeated parameter, the first counts."""
    return tuple(challenge for header in headers for challenge in _parse(header[:_LONGEST]))


def _parse(header: str) -> list[Challenge]:
    challenges: list[Challenge] = []
    parameters: dict[str, str] = {}
    at = _skip(header, 0)
    while at < len(header):
        # A parameter is tried first: a scheme is never followed by "=".
        if found := _PARAMETER.match(header, at):
            name, quoted, plain = found.groups()
            value = plain if quoted is None else _ESCAPE.sub(r"\1", quoted)
            parameters.setdefault(name.lower(), value)
        elif found := _SCHEME.match(header, at):
            parameters = {}
            challenges.append(Challenge(found[1].lower(), parameters))
            after = _skip(header, found.end())
            blob = _TOKEN68.match(header, after)
            if blob and not _SCHEME.match(header, after) and not _PARAMETER.match(header, after):
                at = _skip(header, blob.end())
                continue
        else:
            return challenges
        at = _skip(header, found.end())
    return challenges


def _skip(header: str, at: int) -> int:
    found = _SEPARATORS.match(header, at)
    return found.end() if found else at
