"""Label selectors, as kubectl and the API server read them: which rollouts are this podpin's, where several share them.

The API server selects what is listed and watched. podpin has to know too: what it gets in answer to its own write may
have left its share meanwhile.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, NamedTuple

_KEY: Final = r"(?:[a-z0-9](?:[-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9](?:[-A-Za-z0-9_.]*[A-Za-z0-9])?"
_VALUE: Final = r"(?:[A-Za-z0-9](?:[-A-Za-z0-9_.]*[A-Za-z0-9])?)?"
_EQUAL: Final = re.compile(rf"({_KEY})\s*(==|=|!=)\s*({_VALUE})", re.ASCII)
_AMONG: Final = re.compile(rf"({_KEY})\s+(in|notin)\s*\(\s*({_VALUE}(?:\s*,\s*{_VALUE})*)\s*\)", re.ASCII)
_THERE: Final = re.compile(rf"(!?)\s*({_KEY})", re.ASCII)
_COMMA: Final = re.compile(r",(?![^(]*\))")


class SelectorInvalid(ValueError):  # noqa: N818 -- named for what the selector is
    """It is no label selector; the text says why, in a sentence."""


class Term(NamedTuple):
    """One demand on the labels."""

    key: str
    among: frozenset[str] | None
    """The values; None is any."""
    holds: bool
    """Whether the label has to be there and be among them, or must not be."""

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether these labels meet it. A label that is not there is not among any values."""
        there = self.key in labels and (self.among is None or labels[self.key] in self.among)
        return there is self.holds


class Selector(NamedTuple):
    """All of these demands. There are none in a selector that selects everything."""

    terms: tuple[Term, ...] = ()
    text: str = ""
    """As it is sent to the API server."""

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether an object with these labels is selected."""
        return all(term.matches(labels) for term in self.terms)


EVERYTHING: Final = Selector()


def parse_selector(text: str) -> Selector:
    """Read a selector: `shard=a`, `shard in (a, b)`, `!shard`, several with commas. Raises SelectorInvalid."""
    parts = [part.strip() for part in _COMMA.split(text)]
    return Selector(tuple(map(_term, parts)), ",".join(parts))


def _term(text: str) -> Term:
    if found := _EQUAL.fullmatch(text):
        key, sign, value = found.groups()
        return Term(key, frozenset({value}), sign != "!=")
    if found := _AMONG.fullmatch(text):
        key, sign, values = found.groups()
        return Term(key, frozenset(value.strip() for value in values.split(",")), sign == "in")
    if found := _THERE.fullmatch(text):
        return Term(found[2], None, not found[1])
    raise SelectorInvalid(f"{text!r} is no label selector: write shard=a, shard!=a, shard in (a, b), shard or !shard")
