"""The policy `alphabetical`: the last tag in the order of characters, or the first.

Characters are compared by their code, as Go and `LC_ALL=C sort` do: digits before capitals, capitals before the others.
It fits tags that are made for it, such as RELEASE.2026-03-01T12-00-00Z.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from podpin.core.policy.choice import Choice, NoMatch
from podpin.core.policy.order import best, keep

if TYPE_CHECKING:
    from collections.abc import Sequence

    from podpin.core.spec.images import AlphabeticalPolicy

NEEDS_TAGS: Final = True
NEEDS_REGISTRY: Final = True


def check(policy: AlphabeticalPolicy) -> str | None:  # noqa: ARG001 -- the schema has checked all there is
    """Nothing is left for the operator to see."""
    return None


def refuse(policy: AlphabeticalPolicy, tag: str) -> str | None:  # noqa: ARG001
    """Every tag has its place in the order."""
    return None


def choose(policy: AlphabeticalPolicy, tags: Sequence[str]) -> Choice | NoMatch:
    """The last tag, or the first."""
    found = best(tags, _itself, policy.order)
    return NoMatch("The repository has no tags.") if found is None else Choice(found, None)


def advance(policy: AlphabeticalPolicy, chosen: str, new: Choice | NoMatch) -> Choice | NoMatch:
    """Keep `chosen` where `new` is a step back or nothing: the list was stale or has shrunk."""
    return keep(chosen, new, _itself, policy.order)


def _itself(tag: str) -> str:
    return tag
