"""Choosing a tag: each policy's rows, the rule against stepping back, and that the order of the list never matters."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podpin.core.policy import POLICIES, Choice, NoMatch, advance, check, choose, needs_registry, needs_tags
from podpin.core.semver import RangeInvalid, parse_range, parse_version
from podpin.core.spec import DigestPolicy, Policy, SemverPolicy, TagPolicy

if TYPE_CHECKING:
    from collections.abc import Sequence

DIGEST = "sha256:" + "a" * 64
SIGNATURE = "sha256-" + "b" * 64


def semver(wanted: str) -> Policy:
    return Policy(semver=SemverPolicy(range=wanted))


def tag(name: str) -> Policy:
    return Policy(tag=TagPolicy(name=name))


def digest(value: str = DIGEST) -> Policy:
    return Policy(digest=DigestPolicy(value=value))


CHOICES: dict[str, tuple[Policy, str, Choice]] = {
    "takes the highest version in the range": (semver(">=1"), "1.0.0 1.10.0 1.9.0", Choice("1.10.0", None)),
    "takes the only one": (semver("*"), "1.0.0", Choice("1.0.0", None)),
    "leaves what is higher than the range": (semver("^1.2"), "1.2.0 1.4.1 2.0.0", Choice("1.4.1", None)),
    "passes over what is no version": (semver("*"), "latest 1.0.0 3f2a9c1 stable-2", Choice("1.0.0", None)),
    "takes a version with a leading v": (semver("*"), "v1.1.0 1.0.0", Choice("v1.1.0", None)),
    "leaves pre-releases": (semver(">=1"), "1.0.0 1.1.0-rc.1", Choice("1.0.0", None)),
    "takes a pre-release where the range names one": (semver(">=1-0"), "1.0.0 1.1.0-rc.1", Choice("1.1.0-rc.1", None)),
    "prefers the release to its pre-release": (semver(">=1-0"), "1.1.0-rc.1 1.1.0", Choice("1.1.0", None)),
    "prefers the spelling with the most numbers": (semver("*"), "1 1.0 1.0.0", Choice("1.0.0", None)),
    "prefers more numbers to a leading v": (semver("*"), "v1.0 1.0.0 v1", Choice("1.0.0", None)),
    "prefers a leading v among equals": (semver("*"), "1.0.0 v1.0.0", Choice("v1.0.0", None)),
    "counts no dots of a pre-release": (semver("*-0"), "1.0-a.b.c 1.0.0-a.b.c", Choice("1.0.0-a.b.c", None)),
    "passes over a plus sign that was replaced": (semver("*"), "1.0.0 1.0.1_build.7", Choice("1.0.0", None)),
    "never takes a signature": (semver("*"), f"1.0.0 {SIGNATURE}.sig {SIGNATURE}", Choice("1.0.0", None)),
    "follows the tag that is named": (tag("latest"), "1.0.0 latest", Choice("latest", None)),
    "follows it where no list was asked for": (tag("latest"), "", Choice("latest", None)),
    "runs the digest that is named": (digest(), "", Choice(None, DIGEST)),
}


@pytest.mark.parametrize(("policy", "tags", "choice"), CHOICES.values(), ids=CHOICES)
def test_choose(policy: Policy, tags: str, choice: Choice) -> None:
    assert choose(policy, tags.split()) == choice
    assert choose(policy, tags.split()[::-1]) == choice


NO_MATCHES = {
    "there are no tags": ("", "the repository has no tags"),
    "there are only signatures": (f"{SIGNATURE} {SIGNATURE}.sig", "the repository has no tags"),
    "there are no versions": ("latest stable", "none of its tags is a version"),
    "all versions are too low": ("latest 1.0.0 1.9.0 v1.2", "the highest version there is 1.9.0"),
    "the versions in it are pre-releases": ("2.1.0-rc.1 2.0.0-rc.9 1.0.0 3.0.0", "pre-releases such as 2.1.0-rc.1 are"),
}


@pytest.mark.parametrize(("tags", "reason"), NO_MATCHES.values(), ids=NO_MATCHES)
def test_says_why_nothing_matches(tags: str, reason: str) -> None:
    answer = choose(semver("~2"), tags.split())
    assert isinstance(answer, NoMatch)
    assert reason in answer.message
    assert '"~2"' in answer.message
    assert answer.message.endswith(".")


def test_the_reason_does_not_change_while_other_tags_come_and_go() -> None:
    before = choose(semver("~2"), ["1.9.0", "latest"])
    assert choose(semver("~2"), ["latest", "nightly", "1.8.0", "1.9.0", "0.1.0"]) == before


NOTHING = NoMatch("No tag.")
ADVANCES: dict[str, tuple[Policy, str | None, Choice | NoMatch, Choice | NoMatch]] = {
    "nothing was chosen yet": (semver("*"), None, Choice("1.0.0", None), Choice("1.0.0", None)),
    "nothing is new": (semver("*"), "1.0.0", Choice("1.0.0", None), Choice("1.0.0", None)),
    "a higher version is taken": (semver("*"), "1.0.0", Choice("1.1.0", None), Choice("1.1.0", None)),
    "a shrunken list keeps the version": (semver("*"), "1.1.0", Choice("1.0.0", None), Choice("1.1.0", None)),
    "an empty list keeps the version": (semver("*"), "1.1.0", NOTHING, Choice("1.1.0", None)),
    "a lower spelling is not taken": (semver("*"), "1.1.0", Choice("1.1", None), Choice("1.1.0", None)),
    "a higher spelling is taken": (semver("*"), "1.1", Choice("1.1.0", None), Choice("1.1.0", None)),
    "a narrower range lets go": (semver("<1.1"), "1.1.0", Choice("1.0.0", None), Choice("1.0.0", None)),
    "a range that admits nothing lets go": (semver(">2"), "1.1.0", NOTHING, NOTHING),
    "what was chosen is no version": (semver("*"), "latest", Choice("1.0.0", None), Choice("1.0.0", None)),
    "a pre-release is let go by a range without": (
        semver("*"),
        "1.1.0-rc.1",
        Choice("1.0.0", None),
        Choice("1.0.0", None),
    ),
    "nothing was chosen and nothing is there": (semver("*"), None, NOTHING, NOTHING),
    "a tag has no order": (tag("old"), "new", Choice("old", None), Choice("old", None)),
    "a digest has no order": (digest(), "1.0.0", Choice(None, DIGEST), Choice(None, DIGEST)),
}


@pytest.mark.parametrize(("policy", "chosen", "new", "expected"), ADVANCES.values(), ids=ADVANCES)
def test_advance(policy: Policy, chosen: str | None, new: Choice | NoMatch, expected: Choice | NoMatch) -> None:
    assert advance(policy, chosen, new) == expected


# Policy; needs tags; needs the registry.
NEEDS: dict[str, tuple[Policy, bool, bool]] = {
    "tag": (tag("latest"), False, True),
    "semver": (semver("*"), True, True),
    "digest": (digest(), False, False),
}


@pytest.mark.parametrize("name", POLICIES)
def test_each_policy_says_what_it_needs(name: str) -> None:
    policy, tags, registry = NEEDS[name]
    assert needs_tags(policy) is tags
    assert needs_registry(policy) is registry


CHECKS: dict[str, tuple[Policy, str | None]] = {
    "a range that parses": (semver(">=1 <2"), None),
    "a range that does not": (semver(">=1 <2.y"), '"2.y" is no version'),
    "a tag": (tag("latest"), None),
    "a digest": (digest(), None),
}


@pytest.mark.parametrize(("policy", "complaint"), CHECKS.values(), ids=CHECKS)
def test_check(policy: Policy, complaint: str | None) -> None:
    said = check(policy)
    assert (said is None) == (complaint is None)
    assert complaint is None or complaint in str(said)


def test_choosing_by_a_range_that_does_not_parse_is_refused() -> None:
    with pytest.raises(RangeInvalid):
        choose(semver("one"), ["1.0.0"])


def test_every_policy_of_the_spec_is_in_the_table() -> None:
    assert set(POLICIES) == set(Policy.model_fields)


NUMBER = st.sampled_from(["0", "1", "2", "02", "10"])
TAG = st.one_of(
    st.builds(
        "{}{}{}".format,
        st.sampled_from(["", "v"]),
        st.lists(NUMBER, min_size=1, max_size=4).map(".".join),
        st.sampled_from(["", "", "-rc", "-rc.1", "-0", "+b", "_b"]),
    ),
    st.sampled_from(["latest", SIGNATURE, f"{SIGNATURE}.sig"]),
)
RANGE = st.sampled_from(["*", "*-0", ">=1", "~1", "^0.1-0", "!=1.x", "<2 || >=10", "1 - 2"])


@given(RANGE, st.lists(TAG, max_size=12).flatmap(lambda tags: st.tuples(st.just(tags), st.permutations(tags))))
def test_the_order_of_the_list_never_matters(wanted: str, lists: tuple[Sequence[str], Sequence[str]]) -> None:
    one, other = lists
    assert choose(semver(wanted), one) == choose(semver(wanted), other)
    assert choose(semver(wanted), one) == choose(semver(wanted), [*one, *other])


@given(RANGE, st.lists(TAG, max_size=12))
def test_no_tag_in_the_range_is_higher_than_the_choice(wanted: str, tags: list[str]) -> None:
    admitted = [v for name in tags if (v := parse_version(name)) is not None and parse_range(wanted).admits(v)]
    answer = choose(semver(wanted), tags)
    if isinstance(answer, NoMatch):
        assert admitted == []
    else:
        assert answer.tag in tags
        assert parse_version(str(answer.tag)) == max(admitted)


@given(RANGE, st.lists(st.lists(TAG, max_size=6), min_size=1, max_size=6))
def test_the_choice_never_steps_back_whatever_lists_come(wanted: str, lists: list[list[str]]) -> None:
    policy = semver(wanted)
    chosen: str | None = None
    seen: list[str] = []
    for tags in lists:
        seen += tags
        answer = advance(policy, chosen, choose(policy, tags))
        assert answer == choose(policy, seen) or isinstance(answer, NoMatch)
        chosen = answer.tag if isinstance(answer, Choice) else None
