"""The policy `numeric`: the highest number, or the lowest: build numbers, dates, and dotted groups such as CalVer.

Numbers are exact, however long: read as floating point, as Flux does, 20260821225045000 and 20260821225045001 are
equal. Dotted groups are compared one by one, so that 2026.10 comes after 2026.9; where one has more groups than the
other and all before are equal, it is the higher. Leading zeros count for nothing, and a `v` may lead.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from podpin.core.policy.choice import Choice, NoMatch
from podpin.core.policy.order import best, keep

if TYPE_CHECKING:
    from collections.abc import Sequence

    from podpin.core.spec.images import NumericPolicy

NEEDS_TAGS: Final = True
NEEDS_REGISTRY: Final = True

_NUMBER: Final = re.compile(r"v?[0-9]+(?:\.[0-9]+)*", re.ASCII)


def check(policy: NumericPolicy) -> str | None:  # noqa: ARG001 -- the schema has checked all there is
    """Nothing is left for the operator to see."""
    return None


def refuse(policy: NumericPolicy, tag: str) -> str | None:  # noqa: ARG001
    """Why the tag is passed over, in a few words."""
    return "it is no number" if number(tag) is None else None


def choose(policy: NumericPolicy, tags: Sequence[str]) -> Choice | NoMatch:
    """The tag that is the highest number, or the lowest."""
    found = best(tags, number, policy.order)
    if found is not None:
        return Choice(found, None)
    if not tags:
        return NoMatch("No tag of the repository is a number: the repository has no tags.")
    return NoMatch("No tag of the repository is a number such as 42 or 2026.10.1.")


def advance(policy: NumericPolicy, chosen: str, new: Choice | NoMatch) -> Choice | NoMatch:
    """Keep `chosen` where `new` is a step back or nothing: the list was stale or has shrunk."""
    return keep(chosen, new, number, policy.order)


def number(tag: str) -> tuple[int, ...] | None:
    """The groups of a number, or None for a tag that is none."""
    if not _NUMBER.fullmatch(tag):
        return None
    return tuple(map(int, tag.removeprefix("v").split(".")))
