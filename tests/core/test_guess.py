"""Which policy is guessed from a tag: careful, and always one that takes the tag itself."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

import pytest
from tests.specs import DIGEST

from podpin.core.policy import POLICIES, check, choose, needs_tags
from podpin.core.policy.choice import Choice
from podpin.core.policy.guess import KINDS, SHAPES, guess
from podpin.core.spec import parse_image

COMMIT: Final = "3f2a9c1"
TAGS: Final[tuple[tuple[str, dict[str, Any], str | None, tuple[str, ...], tuple[str, ...]], ...]] = (
    # tag, policy, include, also taken, never taken
    ("1.4.2", {"semver": {"range": "^1.4.2"}}, None, ("1.4.3", "1.10.0"), ("2.0.0", "1.5.0-rc.1", "latest")),
    ("v1.4.2", {"semver": {"range": "^1.4.2"}}, None, ("v1.4.3",), ("v2.0.0",)),
    ("0.4.2", {"semver": {"range": "^0.4.2"}}, None, ("0.4.9",), ("0.5.0",)),
    ("0.0.3", {"semver": {"range": "^0.0.3"}}, None, (), ("0.0.4",)),
    ("1.5.0-rc.1", {"semver": {"range": "^1.5.0-rc.1"}}, None, ("1.5.0-rc.2", "1.5.0"), ("2.0.0",)),
    ("1.27.3-alpine", {"semver": {"range": "^1.27.3"}}, r"^(?P<version>[0-9]+\.[0-9]+\.[0-9]+)-alpine$",
     ("1.27.4-alpine",), ("1.27.4", "1.27.4-debian", "2.0.0-alpine")),
    ("1.27.3-alpine3.19", {"semver": {"range": "^1.27.3"}}, r"^(?P<version>[0-9]+\.[0-9]+\.[0-9]+)-alpine3\.19$",
     ("1.27.4-alpine3.19",), ("1.27.4-alpine3x19",)),
    ("web-v1.4.2", {"semver": {"range": "^1.4.2"}}, r"^web-v?(?P<version>[0-9]+\.[0-9]+\.[0-9]+)$",
     ("web-v1.4.3",), ("api-v1.4.3", "web-v2.0.0")),
    (f"1.4.2-{COMMIT}", {"semver": {"range": "^1.4.2"}}, r"^(?P<version>[0-9]+\.[0-9]+\.[0-9]+)-[0-9a-f]{7}$",
     ("1.4.3-0000001",), ("1.4.3-alpine",)),
    ("1.4.2-17", {"numeric": {"order": "asc"}}, r"^([0-9]+\.[0-9]+\.[0-9]+)-([0-9]+)$", ("1.4.2-18", "1.4.3-1"),
     ("1.4.9-rc",)),
    ("2026.10.1", {"numeric": {"order": "asc"}}, r"^[0-9]{4}\.[0-9]+\.[0-9]+$", ("2026.10.2", "2027.1.0"),
     ("99999", "20270101")),
    ("2026.10", {"numeric": {"order": "asc"}}, r"^[0-9]{4}\.[0-9]+$", ("2026.11",), ("2027.1.1",)),
    ("20261001", {"numeric": {"order": "asc"}}, "^[0-9]+$", ("20261002",), ("2026.10.2",)),
    ("2026-10-01", {"alphabetical": {"order": "asc"}}, "^[0-9]{4}-[0-9]{2}-[0-9]{2}$", ("2026-10-02",), ("stable",)),
    ("1041", {"numeric": {"order": "asc"}}, "^[0-9]+$", ("1042",), ("main-1042",)),
    ("1.2.3.4", {"numeric": {"order": "asc"}}, r"^[0-9]+\.[0-9]+\.[0-9]+\.[0-9]+$", ("1.2.3.5",), ("9.9.9",)),
    ("build-57", {"numeric": {"order": "asc"}}, "^build-(?P<number>[0-9]+)$", ("build-58",), ("main-58", "99")),
    (f"main-1041-{COMMIT}", {"numeric": {"order": "asc"}}, "^main-(?P<number>[0-9]+)-[0-9a-f]{7}$",
     ("main-1042-0000001",), ("dev-1042-0000001",)),
    (COMMIT, {"newest": {}}, "^[0-9a-f]{7}$", ("0000001",), ("stable",)),
    (f"main-{COMMIT}", {"newest": {}}, "^main-[0-9a-f]{7}$", ("main-0000001",), ("dev-0000001",)),
    ("latest", {"tag": {"name": "latest"}}, None, (), ()),
    ("stable", {"tag": {"name": "stable"}}, None, (), ()),
    ("16", {"tag": {"name": "16"}}, None, (), ()),
    ("1.27", {"tag": {"name": "1.27"}}, None, (), ()),
    ("24.04", {"tag": {"name": "24.04"}}, None, (), ()),
    ("3.12-slim", {"tag": {"name": "3.12-slim"}}, None, (), ()),
    ("debian-12", {"tag": {"name": "debian-12"}}, None, (), ()),
    ("default", {"tag": {"name": "default"}}, None, (), ()),
)  # fmt: skip


@pytest.mark.parametrize(("tag", "policy", "include", "taken", "passed"), TAGS, ids=[row[0] for row in TAGS])
def test_the_policy_follows_from_the_tag(
    tag: str, policy: dict[str, Any], include: str | None, taken: tuple[str, ...], passed: tuple[str, ...]
) -> None:
    found = guess(tag)
    assert found.policy == policy
    assert (found.tags or {}).get("include") == include
    assert choice(tag, [tag]) == tag
    for other in taken:
        assert choice(tag, [tag, other]) == other
    for other in passed:
        assert choice(tag, [tag, other]) == tag


def choice(tag: str, tags: list[str]) -> str | None:
    """What the guessed policy takes among tags; of equal ones, the later one was built later."""
    found = guess(tag)
    raw = {"container": "app", "repository": "shop/web", "policy": found.policy}
    image = parse_image(raw | ({"tags": found.tags} if found.tags else {}))
    assert check(image.selection) is None
    if not needs_tags(image.selection):
        assert image.policy.tag is not None
        return image.policy.tag.name
    times = {one: datetime(2026, 1, nth + 1, tzinfo=UTC) for nth, one in enumerate(tags)}
    chosen = choose(image.selection, tags, times)
    return chosen.tag if isinstance(chosen, Choice) else None


def test_an_image_by_its_digest_alone_stays_it() -> None:
    assert guess(None, DIGEST).policy == {"digest": {"value": DIGEST}}


def test_an_image_without_tag_and_digest_is_the_latest() -> None:
    assert guess(None).policy == {"tag": {"name": "latest"}}


def test_a_tag_beside_a_digest_says_what_to_follow() -> None:
    assert guess("1.4.2", DIGEST).policy == {"semver": {"range": "^1.4.2"}}


def test_every_guess_says_why_in_a_line() -> None:
    for tag, *_ in TAGS:
        found = guess(tag)
        assert 10 < len(found.why) < 100
        assert (found.kept is None) == (found.tags is None)


def test_every_shape_is_met_by_a_row() -> None:
    met = {next(nth for nth, shape in enumerate(SHAPES) if shape(tag) is not None) for tag, *_ in TAGS}
    assert met == set(range(len(SHAPES)))


def test_every_policy_can_be_asked_for_but_the_one_that_needs_another_rollout() -> None:
    assert {*KINDS} == {*POLICIES} - {"promote"}
