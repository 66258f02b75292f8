"""The policy `promote`: take what another rollout has proven. The cluster knows that, and no registry.

Whoever has the other rollout at hand asks `promoted`, and uses that answer in place of `choose`. Only its stable
release counts: a candidate on trial, a release that was rolled back and a source that is suspended change nothing; one
that is Degraded is waited for. What another namespace has is told to those alone whom the source lets in; to others it
is as if there were no such rollout.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Final

from podpin.core import names
from podpin.core.duration import format_duration
from podpin.core.names import Key
from podpin.core.policy.choice import Choice, NoMatch
from podpin.core.policy.terms import SOURCE_DEGRADED, TOO_YOUNG, PassedOver
from podpin.core.reference import ReferenceInvalid, parse_pin

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from podpin.core.spec.images import PromotePolicy

NEEDS_TAGS: Final = False
NEEDS_REGISTRY: Final = True


@dataclass(frozen=True, slots=True)
class Source:
    """The other rollout: whom it lets in (its annotation, or None), and what has proven stable there.

    `stable` are the pins of its stable release by container, `before` those of the stable releases before it, newest
    first, each with since when it was stable.
    """

    lets_in: str | None
    stable: Mapping[str, str]
    since: datetime | None
    before: tuple[tuple[Mapping[str, str], datetime], ...] = ()
    degraded: bool = False


def source_key(policy: PromotePolicy) -> Key:
    """Which rollout the image is taken from."""
    return Key(policy.from_.namespace, policy.from_.name)


def promoted(
    policy: PromotePolicy, container: str, target: Key, source: Source | None, now: datetime, holds: str | None = None
) -> Choice | PassedOver:
    """What the container of the rollout `target` takes from `source`, or why it takes nothing, or nothing yet.

    `holds` is the digest that the target has taken already: it is not waited for again.
    """
    key = source_key(policy)
    if key == target:
        return PassedOver("SourceInvalid", f"The rollout cannot promote from itself: name another one than {key}.")
    if source is None or not _lets_in(source, key, target):
        return PassedOver(
            "SourceMissing",
            f"There is no ImageRollout {key} from which namespace {target.namespace} may promote: check "
            f"policy.promote.from, or annotate that rollout with {names.PROMOTE_TO}={target.namespace}.",
        )
    wanted = policy.from_.container or container
    if source.since is None:
        return PassedOver("SourceNotProven", f"The ImageRollout {key} has no stable release yet.")
    image = source.stable.get(wanted)
    if image is None:
        there = ", ".join(sorted(source.stable))
        return PassedOver(
            "SourceMissing",
            f"The stable release of ImageRollout {key} has no image for container {wanted}; it has {there}: name one "
            "of these as policy.promote.from.container.",
        )
    try:
        pin = parse_pin(image)
    except ReferenceInvalid:
        return PassedOver("SourceNotProven", f"The status of ImageRollout {key} names an image that cannot be read.")
    if pin.digest == holds:
        return Choice(pin.tag, pin.digest)
    if source.degraded:
        return PassedOver(SOURCE_DEGRADED, f"the ImageRollout {key} is Degraded with {pin.tag or pin.digest}")
    ripe = _proven_since(source, wanted, pin.digest, source.since) + policy.healthy_for
    if now < ripe:
        age = format_duration(policy.healthy_for)
        return PassedOver(
            TOO_YOUNG, f"the ImageRollout {key} has run {pin.tag or pin.digest} for less than {age}", ripe
        )
    return Choice(pin.tag, pin.digest)


def _proven_since(source: Source, container: str, digest: str, since: datetime) -> datetime:
    """Since when this very image has been stable: a changed template is no reason to begin anew."""
    for pins, at in source.before:
        if not pins.get(container, "").endswith(f"@{digest}"):
            break
        since = min(since, at)
    return since


def _lets_in(source: Source, key: Key, target: Key) -> bool:
    if key.namespace == target.namespace:
        return True
    allowed = [name.strip() for name in (source.lets_in or "").split(",")]
    return "*" in allowed or target.namespace in allowed


def check(policy: PromotePolicy) -> str | None:  # noqa: ARG001 -- the schema has checked all there is
    """Nothing is left for the operator to see."""
    return None


def refuse(policy: PromotePolicy, tag: str) -> str | None:  # noqa: ARG001
    """There is no choice among tags, so none is refused."""
    return None


def choose(policy: PromotePolicy, tags: Sequence[str]) -> NoMatch:  # noqa: ARG001
    """Without the other rollout there is no answer."""
    return NoMatch(f"What {source_key(policy)} has proven is known in its cluster alone.")


def advance(policy: PromotePolicy, chosen: str, new: Choice | NoMatch) -> Choice | NoMatch:  # noqa: ARG001
    """What is proven is followed, forwards and back."""
    return new
