"""What a new version must be besides being chosen, and in which words it is passed over."""

from __future__ import annotations

from datetime import timedelta

import pytest
from tests.builders import at, digest

from podpin.core.image import Facts
from podpin.core.policy.terms import PassedOver, Terms, moved, object_to

AMD = ("linux/amd64",)
HOUR = Terms(min_age=timedelta(hours=1))

OBJECTIONS: dict[str, tuple[Terms, tuple[str, ...], Facts, PassedOver | None]] = {
    "nothing is demanded": (Terms(), (), Facts(), None),
    "the platform is there": (Terms(), AMD, Facts(("linux/arm64", "linux/amd64")), None),
    "a node's platform is missing": (
        Terms(),
        ("linux/amd64", "linux/arm64"),
        Facts(AMD),
        PassedOver(
            "PlatformMissing",
            "tag 2 has no image for linux/arm64, which the nodes for this template need; it has linux/amd64",
        ),
    ),
    "a demanded platform is missing": (
        Terms(platforms=AMD),
        AMD,
        Facts(("linux/arm64",)),
        PassedOver(
            "PlatformMissing",
            "tag 2 has no image for linux/amd64, which spec.images.platforms demands; it has linux/arm64",
        ),
    ),
    "an unknown platform does for the nodes": (Terms(), AMD, Facts(), None),
    "but not where one is demanded": (
        Terms(platforms=AMD),
        AMD,
        Facts(),
        PassedOver("PlatformMissing", "tag 2 does not say for which platform it is, and platforms are demanded"),
    ),
    "old enough to the second": (HOUR, (), Facts(created=at(-3600)), None),
    "too young": (
        HOUR,
        (),
        Facts(created=at(-3599)),
        PassedOver("TooYoung", "tag 2 was built less than 1h ago", at(1)),
    ),
    "built in the future": (
        HOUR,
        (),
        Facts(created=at(60)),
        PassedOver("TooYoung", "tag 2 was built less than 1h ago", at(3660)),
    ),
    "of unknown age": (
        HOUR,
        (),
        Facts(),
        PassedOver("TooYoung", "tag 2 does not say when it was built, so it counts as younger than 1h"),
    ),
    "of unknown age where none is demanded": (Terms(min_age=timedelta()), (), Facts(), None),
}


@pytest.mark.parametrize(("terms", "wanted", "facts", "objection"), OBJECTIONS.values(), ids=OBJECTIONS)
def test_object_to(terms: Terms, wanted: tuple[str, ...], facts: Facts, objection: PassedOver | None) -> None:
    assert object_to(terms, wanted, "tag 2", facts, at(0)) == objection


NAMED = (("1", digest("b")), ("1", digest("a")))
MOVES = {
    "tags may move": (Terms(named=NAMED), "1", "c", False),
    "a tag that was not seen before": (Terms(immutable=True, named=NAMED), "2", "c", False),
    "what it named last": (Terms(immutable=True, named=NAMED), "1", "b", False),
    "what it named earlier": (Terms(immutable=True, named=NAMED), "1", "a", False),
    "something else": (Terms(immutable=True, named=NAMED), "1", "c", True),
}


@pytest.mark.parametrize(("terms", "tag", "letter", "refused"), MOVES.values(), ids=MOVES)
def test_moved(terms: Terms, tag: str, letter: str, refused: bool) -> None:
    objection = moved(terms, tag, digest(letter))
    assert (objection is not None) is refused
    assert objection is None or f"tag 1 named {digest('b')} and was pushed again as {digest('c')}" in objection.message
