"""The policy `digest`: run exactly one image. It knows its answer already, so no registry is ever asked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from podpin.core.policy.choice import Choice

if TYPE_CHECKING:
    from collections.abc import Sequence

    from podpin.core.policy.choice import NoMatch
    from podpin.core.spec.images import DigestPolicy

NEEDS_TAGS: Final = False
NEEDS_REGISTRY: Final = False


def check(policy: DigestPolicy) -> str | None:  # noqa: ARG001 -- the schema has checked all there is
    """Nothing is left for the operator to see."""
    return None


def refuse(policy: DigestPolicy, tag: str) -> str | None:  # noqa: ARG001
    """There is no choice among tags, so none is refused."""
    return None


def choose(policy: DigestPolicy, tags: Sequence[str]) -> Choice:  # noqa: ARG001
    """The digest that is named."""
    return Choice(None, policy.value)


def advance(policy: DigestPolicy, chosen: str, new: Choice | NoMatch) -> Choice | NoMatch:  # noqa: ARG001
    """A digest has no order."""
    return new
