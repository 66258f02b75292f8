"""What a version must be besides being chosen: there for the platforms, old enough, not re-pushed, and signed.

A policy says which version is the best; these say whether it may be taken yet. One that may not is passed over, and
the next best is asked. They are asked of a digest that is new to the rollout, never of one that it has taken already.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final, NamedTuple

from podpin.core.duration import format_duration

if TYPE_CHECKING:
    from podpin.core.image import Facts
    from podpin.core.spec.images import Demand

TOO_YOUNG: Final = "TooYoung"
PLATFORM_MISSING: Final = "PlatformMissing"
TAG_MOVED: Final = "TagMoved"
NOT_VERIFIED: Final = "NotVerified"
CANNOT_VERIFY: Final = "CannotVerify"
SOURCE_DEGRADED: Final = "SourceDegraded"


class Terms(NamedTuple):
    """What is demanded of a new version.

    `placement` says which nodes' platforms count where `platforms` are not given (`core.placement`). `named` are the
    digests that tags have named before, by which a tag that may not move is recognized. `verify` are the signatures
    that are demanded, for an adapter to look at (`core.trust`).
    """

    platforms: tuple[str, ...] = ()
    placement: str | None = None
    min_age: timedelta | None = None
    immutable: bool = False
    named: tuple[tuple[str, str], ...] = ()
    verify: tuple[Demand, ...] = ()


NO_TERMS: Final = Terms()


@dataclass(frozen=True, slots=True)
class PassedOver:
    """Why a version is not taken: a reason for machines, and a sentence that stays the same while the cause does.

    `ripe` is when it may be taken, where that is a matter of time.
    """

    reason: str
    message: str
    ripe: datetime | None = None


def sentence(message: str) -> str:
    """What is said of a version that is passed over, as a sentence of its own."""
    return f"{message[:1].upper()}{message[1:]}."


def moved(terms: Terms, tag: str, digest: str) -> PassedOver | None:
    """The objection to a tag that names another digest than it did, where tags may not move."""
    if not terms.immutable:
        return None
    before = [named for name, named in terms.named if name == tag]
    if not before or digest in before:
        return None
    return PassedOver(
        TAG_MOVED,
        f"tag {tag} named {before[0]} and was pushed again as {digest}, which immutableTags does not allow: "
        "give the new image a tag of its own, or set immutableTags to false",
    )


def object_to(terms: Terms, wanted: tuple[str, ...], name: str, facts: Facts, now: datetime) -> PassedOver | None:
    """The first objection to an image of this name, or None. `wanted` are the platforms that count."""
    if not facts.platforms and terms.platforms:
        return PassedOver(PLATFORM_MISSING, f"{name} does not say for which platform it is, and platforms are demanded")
    if facts.platforms and (lacking := facts.lacks(wanted)):
        whose = "spec.images.platforms demands" if terms.platforms else "the nodes for this template need"
        return PassedOver(
            PLATFORM_MISSING,
            f"{name} has no image for {', '.join(lacking)}, which {whose}; it has {', '.join(facts.platforms)}",
        )
    if not terms.min_age:
        return None
    age = format_duration(terms.min_age)
    if facts.created is None:
        return PassedOver(TOO_YOUNG, f"{name} does not say when it was built, so it counts as younger than {age}")
    ripe = facts.created + terms.min_age
    return PassedOver(TOO_YOUNG, f"{name} was built less than {age} ago", ripe) if now < ripe else None
