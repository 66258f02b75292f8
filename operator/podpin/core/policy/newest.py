"""The policy `newest`: the image that was built last.

The build time is the publisher's word for it (`core.image` says where it stands). So this policy fits repositories
whose tags have no order, such as those named after commits. A tag whose build time is not known is passed over. Of
several tags with one build time the one that comes last in the order of characters wins.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from podpin.core.policy.choice import Choice, NoMatch
from podpin.core.policy.order import best, keep

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime


@dataclass(frozen=True, slots=True)
class Newest:
    """The policy, with the build times that are known, by tag."""

    NEEDS_TAGS: ClassVar[bool] = True
    NEEDS_REGISTRY: ClassVar[bool] = True

    times: Mapping[str, datetime] = field(default_factory=dict)

    def knowing(self, times: Mapping[str, datetime]) -> Newest:
        """The same policy with these build times."""
        return Newest(times)

    def check(self, policy: Any) -> str | None:  # noqa: ARG002 -- the schema has checked all there is
        """Nothing is left for the operator to see."""
        return None

    def refuse(self, policy: Any, tag: str) -> str | None:  # noqa: ARG002
        """Why the tag is passed over, in a few words."""
        return None if tag in self.times else "it does not say when it was built"

    def choose(self, policy: Any, tags: Sequence[str]) -> Choice | NoMatch:  # noqa: ARG002
        """The tag that was built last."""
        found = best(tags, self.times.get, "asc")
        if found is not None:
            return Choice(found, None)
        if not tags:
            return NoMatch("No tag of the repository can be the newest: the repository has no tags.")
        return NoMatch("No tag of the repository says when its image was built: take another policy.")

    def advance(self, policy: Any, chosen: str, new: Choice | NoMatch) -> Choice | NoMatch:  # noqa: ARG002
        """Keep `chosen` where `new` was built before it, or is nothing."""
        return keep(chosen, new, self.times.get, "asc")
