"""Versions and ranges of versions, as Flux, Helm and Argo users write them.

Those users know the grammar of the Go library Masterminds/semver (v3.5.0), and a range that they bring along has to
mean here what it means there, oddities included: `~0.0.0` is any version, `^*` is 0.0.0 alone, `<=*` ends before 0.1.0,
and a hyphen range swallows the blanks around it. No Python library agrees with it (shared/registries.md, section 2), so
this is our own code. It was compared with that library by differential fuzzing, and no difference is known. Its limits
are kept as well: versions up to 256 characters, ranges up to 512 with 32 alternatives, and numbers that fit into
64 bits. With a longer number a tag is no version; in a pre-release such a number counts as text.

All of it rests on one idea: a version is a tuple that Python compares by itself, and each part of a range is an
interval of such tuples, or a hole in it. `(1, 3)` sorts before every 1.3.x, pre-releases of 1.3.0 included, because a
tuple sorts before its own continuations; `(*key, ())` sorts just after `key`. So ten thousand tags take milliseconds.
"""

from __future__ import annotations

import re
from functools import lru_cache, total_ordering
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable

Key: TypeAlias = tuple[Any, ...]
"""A version's place in the order of versions: nothing but to be compared.

(major, minor, patch, 1), and for a pre-release (major, minor, patch, 0, *identifiers), for it comes before the version
itself. An identifier is (0, number) or (1, text): numbers sort before text.
"""

_NUMBERS: Final = 3
_FINAL: Final = 1
_PRERELEASE: Final = 0
_END_OF_FINAL: Final[Key] = (_FINAL,)

_LONGEST_VERSION: Final = 256
_LONGEST_RANGE: Final = 512
_MOST_ALTERNATIVES: Final = 32
_LONGEST_QUOTE: Final = 80
_TOO_BIG: Final = 1 << 64
_FEWEST_DIGITS_TOO_BIG: Final = len(str(_TOO_BIG))

# Nothing is ever given back (`++`, `?+`): each part ends where its own characters end, so there is one way to read.
_IDENTIFIERS: Final = r"[0-9A-Za-z-]++(?:\.[0-9A-Za-z-]++)*+"
_VERSION: Final = re.compile(
    rf"v?+([0-9]++)(?:\.([0-9]++))?+(?:\.([0-9]++))?+(?:-({_IDENTIFIERS}))?+(?:\+{_IDENTIFIERS})?+", re.ASCII
).fullmatch
_BLANKS: Final = r"[ \t\n\f\r]"  # Go's \s; Python's would take the vertical tab as well
# What a comparison may name: each part a number or a wildcard. That a single | is taken for a digit, though mostly for
# one of a number that then does not read, is how the grammar is.
_PART: Final = r"[0-9xX*|]++"
_OPERAND_TEXT: Final = rf"(v?({_PART})(?:\.({_PART}))?(?:\.({_PART}))?(?:-({_IDENTIFIERS}))?(?:\+{_IDENTIFIERS})?)"
_OPERAND: Final = re.compile(_OPERAND_TEXT, re.ASCII)
_HYPHEN: Final = re.compile(rf"{_BLANKS}*{_OPERAND_TEXT}{_BLANKS}+-{_BLANKS}+{_OPERAND_TEXT}{_BLANKS}*", re.ASCII)
_HYPHEN_FROM, _HYPHEN_TO = 1, 1 + _OPERAND.groups
_COMPARISON: Final = re.compile(rf"{_BLANKS}*([=!<>~^]*){_BLANKS}*([^ \t\n\f\r,]*){_BLANKS}*(,?)")
_WILDCARDS: Final = frozenset({"x", "X", "*"})


class RangeInvalid(ValueError):  # noqa: N818 -- it names the range's state, like podpin.errors
    """A range that does not parse. Its text is one sentence for the user, and names the part that is wrong."""


@total_ordering
class Version:
    """A version, ordered and equal by the precedence of SemVer 2.0.0, section 11.

    So the spelling (`1.0` or `v1.0.0`) and build metadata do not count. `original` is the text that it was parsed from,
    and `key` its place in the order. Not to be changed once made.
    """

    __slots__ = ("key", "original")

    def __init__(self, key: Key, original: str) -> None:
        self.key: Final = key
        self.original: Final = original

    @property
    def major(self) -> int:
        """The first number."""
        return int(self.key[0])

    @property
    def minor(self) -> int:
        """The second number, 0 where none is written."""
        return int(self.key[1])

    @property
    def patch(self) -> int:
        """The third number, 0 where none is written."""
        return int(self.key[2])

    @property
    def prerelease(self) -> str:
        """What stands behind the hyphen, or the empty string."""
        return ".".join(str(identifier) for _, identifier in self.key[4:])

    @property
    def metadata(self) -> str:
        """What stands behind the plus sign, or the empty string."""
        return self.original.partition("+")[2]

    def __eq__(self, other: object) -> bool:
        return self.key == other.key if isinstance(other, Version) else NotImplemented

    def __lt__(self, other: Version) -> bool:
        return bool(self.key < other.key) if isinstance(other, Version) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.key)

    def __str__(self) -> str:
        return self.original

    def __repr__(self) -> str:
        return f"Version({self.original!r})"


def parse_version(text: str) -> Version | None:
    """Read a version leniently, or return None.

    A leading `v`, missing parts (`1`, `1.2-rc.1`) and leading zeros (`2025.07.03`) are fine; but a number in a
    pre-release may not lead with a zero (SemVer 2.0.0, section 9).
    """
    key = precedence(text)
    return None if key is None else Version(key, text)


def precedence(text: str) -> Key | None:
    """The place of `text` in the order of versions, or None where it is none: `parse_version` for many."""
    match = _VERSION(text)
    if match is None:
        return None
    major, minor, patch, pre = match.groups()
    end = _END_OF_FINAL if pre is None else _end_of_prerelease(pre)
    if end is None:
        return None
    key = (int(major), int(minor) if minor else 0, int(patch) if patch else 0, *end)
    # Only a long text can be too long, or hold a number that does not fit into 64 bits.
    if len(text) >= _FEWEST_DIGITS_TOO_BIG and (len(text) > _LONGEST_VERSION or max(key[:_NUMBERS]) >= _TOO_BIG):
        return None
    return key


@lru_cache(maxsize=1024)  # a repository's tags end in the same few words: -alpine, -rc.1
def _end_of_prerelease(pre: str) -> Key | None:
    """What follows the numbers in a pre-release's key; None where a number leads with a zero."""
    parts: list[int | tuple[int, int | str]] = [_PRERELEASE]
    for part in pre.split("."):
        if not part.isdecimal():
            parts.append((1, part))
        elif part[0] == "0" and len(part) > 1:
            return None
        else:
            number = int(part)
            parts.append((0, number) if number < _TOO_BIG else (1, part))
    return tuple(parts)


class _Hole(NamedTuple):
    """What `!=` takes out: numbers that begin with `numbers` and, unless `rest` is None, have just that behind them."""

    numbers: Key
    rest: Key | None

    def holds(self, key: Key) -> bool:
        return key[: len(self.numbers)] == self.numbers and (self.rest is None or key[_NUMBERS:] == self.rest)


class _Alternative(NamedTuple):
    """What stands between two `||`: all versions from `low` to just before `high`, without the holes.

    Pre-releases are in it only if one of its comparisons names a pre-release: the group is asked, not each comparison.
    """

    low: Key
    high: Key
    prereleases: bool
    holes: tuple[_Hole, ...]


_LOWEST: Final[Key] = ()
_HIGHEST: Final[Key] = (_TOO_BIG,)


class Range:
    """A range of versions, ready to be asked. `text` is what the user wrote."""

    __slots__ = ("_alternatives", "text")

    def __init__(self, text: str, alternatives: tuple[_Alternative, ...]) -> None:
        self.text: Final = text
        self._alternatives: Final = alternatives

    def admits(self, version: Version) -> bool:
        """Whether the range holds this version. A pre-release is held only where the range names a pre-release."""
        return self.admits_key(version.key)

    def admits_key(self, key: Key) -> bool:
        """`admits` for a version's key."""
        final = key[_NUMBERS] == _FINAL
        for low, high, prereleases, holes in self._alternatives:
            if low <= key < high and (final or prereleases) and not (holes and any(hole.holds(key) for hole in holes)):
                return True
        return False

    def spans_key(self, key: Key) -> bool:
        """Whether the range would hold this version if pre-releases counted like all others. To explain a refusal."""
        return any(
            low <= key < high and not any(hole.holds(key) for hole in holes)
            for low, high, _, holes in self._alternatives
        )

    def __repr__(self) -> str:
        return f"Range({self.text!r})"


@lru_cache(maxsize=1024)
def parse_range(text: str) -> Range:
    """Read a range: comparisons joined by a comma or blanks (all must hold), groups of them joined by `||` (one must).

    A comparison is an operator (`= != > < >= => <= =< ~ ~> ^`, or none) before a version, which may be partial (`1.2`)
    or hold wildcards (`1.x`); `1.2 - 1.4` is from one to the other, both included. Raises RangeInvalid.
    """
    if not text.strip():
        msg = 'The range is empty; "*" takes every version.'
        raise RangeInvalid(msg)
    if len(text) > _LONGEST_RANGE:
        msg = f"The range is {len(text)} characters long; at most {_LONGEST_RANGE} are allowed."
        raise RangeInvalid(msg)
    groups = _without_hyphens(text).split("||")
    if len(groups) > _MOST_ALTERNATIVES:
        msg = f"The range has {len(groups)} alternatives joined by ||; at most {_MOST_ALTERNATIVES} are allowed."
        raise RangeInvalid(msg)
    return Range(text, tuple(_parse_alternative(group, text) for group in groups))


def _without_hyphens(text: str) -> str:
    """Write `1.2 - 1.4` as two comparisons.

    Each finding replaces the first place that reads the same, and takes the blanks around it along: so `3 1 - 2` is
    refused, while `1 - 2 3` and `3, 1 - 2` are not. As in Masterminds/semver.
    """
    rewritten = text
    for found in _HYPHEN.finditer(text):
        rewritten = rewritten.replace(found[0], f">= {found[_HYPHEN_FROM]}, <= {found[_HYPHEN_TO]} ", 1)
    return rewritten


class _Operand(NamedTuple):
    """What a comparison names. `parts` of its numbers are fixed: 3 in `1.2.3`, 2 in `1.2` and `1.2.x`, 0 in `*`.

    Those that are not fixed are 0 in `key`.
    """

    key: Key
    parts: int


_EXACT: Final = 3


def _parse_alternative(group: str, text: str) -> _Alternative:
    """Read what stands between two `||` of the range `text`."""
    low, high = _LOWEST, _HIGHEST
    holes: list[_Hole] = []
    prereleases = False
    position, separator = 0, ","
    while position < len(group) or separator == ",":
        match = _COMPARISON.match(group, position)
        assert match is not None, "it matches the empty string too"
        operator, named, separator = match.groups()
        operand = _parse_operand(named)
        if operand is None or (operator not in _INTERVALS and operator != "!="):
            raise RangeInvalid(_complaint(text, operator, named))
        prereleases = prereleases or operand.key[_NUMBERS] == _PRERELEASE
        if operator == "!=":
            holes.append(_hole(operand))
        else:
            start, end = _INTERVALS[operator](operand)
            low, high = max(low, start), min(high, end)
        position = match.end()
    return _Alternative(low, high, prereleases, tuple(holes))


def _parse_operand(named: str) -> _Operand | None:
    """Read `1.2.3`, `1.2`, `1.x` or `*`, or return None. Behind a wildcard only the pre-release is looked at."""
    match = _OPERAND.fullmatch(named)
    if match is None:
        return None
    whole, major, minor, patch, pre = match.groups()
    if major in _WILDCARDS:
        parts, numbers = 0, "0"
    elif minor is None or minor in _WILDCARDS:
        parts, numbers = 1, major
    elif patch is None or patch in _WILDCARDS:
        parts, numbers = 2, f"{major}.{minor}"
    else:
        parts, numbers = _EXACT, whole
    key = precedence(numbers if parts == _EXACT or pre is None else f"{numbers}-{pre}")
    return None if key is None else _Operand(key, parts)


def _complaint(text: str, operator: str, named: str) -> str:
    """The sentence for a comparison that does not read. `text` is the whole range."""
    where = f"The range {_quote(text)} does not parse"
    if operator not in _INTERVALS and operator != "!=":
        return f"{where}: {_quote(operator)} is no operator; there are = != > < >= <= ~ and ^."
    if named:
        return f"{where}: {_quote(named)} is no version such as 1.2.3, 1.2, 1.x or 1.2.3-rc.1."
    if operator:
        return f"{where}: a version is missing after {_quote(operator)}."
    return f"{where}: a comparison is missing before or after a comma or ||."


def _quote(part: str) -> str:
    return f'"{part}"' if len(part) <= _LONGEST_QUOTE else f'"{part[:_LONGEST_QUOTE]}…"'


def _hole(operand: _Operand) -> _Hole:
    """`!=1` takes out all of 1, `!=1.2` the final versions of 1.2, and `!=1.2-rc` its pre-releases of that name."""
    key, parts = operand
    return _Hole(key[: parts or _NUMBERS], None if parts == 1 else key[_NUMBERS:])


def _just_after(key: Key) -> Key:
    return (*key, ())


def _end(key: Key, parts: int) -> Key:
    """Just before the next version in the last of the first `parts` numbers: (1, 3) for (1, 2, 7, …) and 2."""
    return (*key[: parts - 1], key[parts - 1] + 1)


def _equal(operand: _Operand) -> tuple[Key, Key]:
    return (operand.key, _just_after(operand.key)) if operand.parts == _EXACT else _tilde(operand)


def _greater(operand: _Operand) -> tuple[Key, Key]:
    """`>1.2` begins at 1.3, pre-releases of 1.3.0 included."""
    key, parts = operand
    return _end(key, parts) if parts in (1, 2) else _just_after(key), _HIGHEST


def _less(operand: _Operand) -> tuple[Key, Key]:
    return _LOWEST, operand.key


def _at_least(operand: _Operand) -> tuple[Key, Key]:
    return operand.key, _HIGHEST


def _at_most(operand: _Operand) -> tuple[Key, Key]:
    """`<=1.2` holds all of 1.2; `<=*`, oddly, ends with 0.0."""
    key, parts = operand
    return _LOWEST, _just_after(key) if parts == _EXACT else _end(key, parts or 2)


def _tilde(operand: _Operand) -> tuple[Key, Key]:
    """`~1.2.3` is from there to the end of 1.2, `~1` all of 1; `~0.0.0`, oddly, has no end."""
    key, parts = operand
    if parts in (0, _EXACT) and key[:_NUMBERS] == (0, 0, 0):
        return key, _HIGHEST
    return key, _end(key, min(parts, 2))


def _caret(operand: _Operand) -> tuple[Key, Key]:
    """`^1.2.3` is from there to the end of 1, `^0.2.3` of 0.2, `^0.0.3` of 0.0.3. (`^*` is 0.0.0 alone.)"""
    key, parts = operand
    if key[0] > 0 or parts == 1:
        return key, _end(key, 1)
    if key[1] > 0 or parts == 2:
        return key, _end(key, 2)
    return key, _end(key, 3)


_INTERVALS: Final[dict[str, Callable[[_Operand], tuple[Key, Key]]]] = {
    "": _equal,
    "=": _equal,
    ">": _greater,
    "<": _less,
    ">=": _at_least,
    "=>": _at_least,
    "<=": _at_most,
    "=<": _at_most,
    "~": _tilde,
    "~>": _tilde,
    "^": _caret,
}
"""From where to just before where each operator reaches. `!=` is a hole and stands apart."""
