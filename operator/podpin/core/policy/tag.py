"""The policy `tag`: follow one tag, whatever digest it names. The tag is taken at its word, so no list is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from podpin.core.policy.choice import Choice

if TYPE_CHECKING:
    from collections.abc import Sequence

    from podpin.core.policy.choice import NoMatch
    from podpin.core.spec.images import TagPolicy

NEEDS_TAGS: Final = False
NEEDS_REGISTRY: Final = True


def check(policy: TagPolicy) -> str | None:  # noqa: ARG001 -- the schema has checked all there is
    """Nothing is left for the operator to see."""
    return None


def refuse(policy: TagPolicy, tag: str) -> str | None:  # noqa: ARG001
    """There is no choice among tags, so none is refused."""
    return None


def choose(policy: TagPolicy, tags: Sequence[str]) -> Choice:  # noqa: ARG001
    """The tag that is named, whether or not the list holds it: resolving it tells."""
    return Choice(policy.name, None)


def advance(policy: TagPolicy, chosen: str, new: Choice | NoMatch) -> Choice | NoMatch:  # noqa: ARG001
    """A tag has no order: what is named is followed, forwards and back."""
    return new
