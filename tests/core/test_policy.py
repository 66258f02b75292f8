"""Choosing a tag: each policy's rows, the rule against stepping back, and that the order of the list never matters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.builders import at

from podpin.core.names import Key
from podpin.core.policy import (
    MOST_DATED,
    POLICIES,
    Choice,
    NoMatch,
    advance,
    check,
    choose,
    dated,
    explain,
    limit_of,
    needs_registry,
    needs_tags,
    needs_times,
)
from podpin.core.policy.promote import Source, promoted
from podpin.core.policy.terms import PassedOver
from podpin.core.semver import RangeInvalid, parse_range, parse_version
from podpin.core.spec.images import (
    AlphabeticalPolicy,
    DigestPolicy,
    NewestPolicy,
    NumericPolicy,
    Policy,
    PromotePolicy,
    Selection,
    SemverPolicy,
    TagPolicy,
    TagsSpec,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

DIGEST = "sha256:" + "a" * 64
SIGNATURE = "sha256-" + "b" * 64


def semver(wanted: str, **tags: Any) -> Selection:
    return Selection(Policy(semver=SemverPolicy(range=wanted)), _filter(tags))


def numeric(order: Literal["asc", "desc"] = "asc", **tags: Any) -> Selection:
    return Selection(Policy(numeric=NumericPolicy(order=order)), _filter(tags))


def alphabetical(order: Literal["asc", "desc"] = "asc", **tags: Any) -> Selection:
    return Selection(Policy(alphabetical=AlphabeticalPolicy(order=order)), _filter(tags))


def newest(**tags: Any) -> Selection:
    return Selection(Policy(newest=NewestPolicy()), _filter(tags))


def promote(**fields: Any) -> PromotePolicy:
    source = {"namespace": "staging", "name": "web", **fields.pop("source", {})}
    return PromotePolicy.model_validate({"from": source, **fields})


def _filter(tags: dict[str, Any]) -> TagsSpec | None:
    return TagsSpec(**tags) if tags else None


def tag(name: str) -> Selection:
    return Selection(Policy(tag=TagPolicy(name=name)))


def digest(value: str = DIGEST) -> Selection:
    return Selection(Policy(digest=DigestPolicy(value=value)))


CHOICES: dict[str, tuple[Selection, str, Choice]] = {
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
    "takes the highest number": (numeric(), "9 10 100 99", Choice("100", None)),
    "takes the lowest number where the order is downwards": (numeric("desc"), "9 10 100 99", Choice("9", None)),
    "tells numbers apart that floating point does not": (
        numeric(),
        "20260821225045000 20260821225045001",
        Choice("20260821225045001", None),
    ),
    "takes numbers of any length": (numeric(), f"{10**100} {10**100 + 1} 7", Choice(f"{10**100 + 1}", None)),
    "compares dotted groups one by one": (numeric(), "2026.9 2026.10 2026.1", Choice("2026.10", None)),
    "takes more groups for higher": (numeric(), "1.2 1.2.0 1.1.9", Choice("1.2.0", None)),
    "takes nothing for a number that only looks like one": (
        numeric(),
        "7 1e5 inf 0x10 1. .5 -8 ٣ 1_0",
        Choice("7", None),
    ),
    "counts no leading zeros": (numeric(), "007 8 0006", Choice("8", None)),
    "takes the last spelling of one number": (numeric(), "7 007 v7", Choice("v7", None)),
    "and downwards too": (numeric("desc"), "7 007 v7 8", Choice("v7", None)),
    "takes the last tag by its characters": (alphabetical(), "a c B b", Choice("c", None)),
    "takes the first where the order is downwards": (alphabetical("desc"), "a c B b", Choice("B", None)),
    "has no mind for numbers in characters": (alphabetical(), "10 9", Choice("9", None)),
    "takes no signature for a tag": (alphabetical(), f"a {SIGNATURE}.sig", Choice("a", None)),
    "takes only what is included": (semver("*", include="^v"), "v1.0.0 1.1.0", Choice("v1.0.0", None)),
    "leaves what is excluded": (semver("*-0", exclude=["-rc", "^2"]), "1.0.0 1.1.0-rc.1 2.0.0", Choice("1.0.0", None)),
    "searches anywhere in the tag": (alphabetical(include="prod"), "x-prod-1 z-dev", Choice("x-prod-1", None)),
    "reads what is extracted, and takes the whole tag": (
        semver(">=1", include=r"^web-(?P<v>[0-9.]+)$", extract="$v"),
        "web-1.2.0 web-1.10.0 api-9.0.0",
        Choice("web-1.10.0", None),
    ),
    "extracts by number, and puts together": (
        numeric(include=r"^(\d{4})-(\d+)-[0-9a-f]+$", extract="${1}.$2"),
        "2026-9-ffff 2026-10-0000 2026-2-aaaa",
        Choice("2026-10-0000", None),
    ),
    "takes the last of the tags that yield one value": (
        numeric(include=r"^build-(\d+)-", extract="$1"),
        "build-7-b build-7-c build-7-a build-6-z",
        Choice("build-7-c", None),
    ),
    "passes over what yields nothing": (alphabetical(include=r"^a(.*)$", extract="$1"), "a ab", Choice("ab", None)),
    "takes each exclusion for itself": (alphabetical(exclude=[r"\Qb", "c"]), "a b c", Choice("a", None)),
    "passes over a value that grows too long": (
        numeric(include="^(9{128}|1)$", extract="$1" * 100),
        f"1 {'9' * 128}",
        Choice("1", None),
    ),
    "takes a dollar for itself": (alphabetical(include="a", extract="$$"), "a b", Choice("a", None)),
    "follows the tag that is named": (tag("latest"), "1.0.0 latest", Choice("latest", None)),
    "follows it where no list was asked for": (tag("latest"), "", Choice("latest", None)),
    "runs the digest that is named": (digest(), "", Choice(None, DIGEST)),
}


@pytest.mark.parametrize(("policy", "tags", "choice"), CHOICES.values(), ids=CHOICES)
def test_choose(policy: Selection, tags: str, choice: Choice) -> None:
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


OTHER_REASONS = {
    "there is no number": (numeric(), "latest 1.0-rc", "is a number such as 42"),
    "there are no tags to order": (numeric(), "", "the repository has no tags"),
    "there are no tags to sort": (alphabetical(), "", "has no tags"),
    "the filter lets nothing through": (semver("*", include="^v"), "1.0.0 2.0.0", "passes spec.images.tags"),
    "the filter leaves no version": (semver("*", exclude=["^1"]), "1.0.0 latest", "none of its tags is a version"),
}


@pytest.mark.parametrize(("selection", "tags", "reason"), OTHER_REASONS.values(), ids=OTHER_REASONS)
def test_each_policy_says_why_nothing_matches(selection: Selection, tags: str, reason: str) -> None:
    answer = choose(selection, tags.split())
    assert isinstance(answer, NoMatch)
    assert reason in answer.message
    assert answer.message.endswith(".")


NOTHING = NoMatch("No tag.")
BUILD: dict[str, Any] = {"include": r"^[a-z]-(\d+)$", "extract": "$1"}
ADVANCES: dict[str, tuple[Selection, str | None, Choice | NoMatch, Choice | NoMatch]] = {
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
    "a higher number is taken": (numeric(), "9", Choice("10", None), Choice("10", None)),
    "a lower number is not": (numeric(), "10", Choice("9", None), Choice("10", None)),
    "nor a higher one where the order is downwards": (numeric("desc"), "9", Choice("10", None), Choice("9", None)),
    "a number stays when none is left": (numeric(), "10", NOTHING, Choice("10", None)),
    "what was chosen is no number": (numeric(), "latest", Choice("1", None), Choice("1", None)),
    "a later tag is taken": (alphabetical(), "a", Choice("b", None), Choice("b", None)),
    "an earlier tag is not": (alphabetical(), "b", Choice("a", None), Choice("b", None)),
    "what is extracted decides": (numeric(**BUILD), "z-10", Choice("a-9", None), Choice("z-10", None)),
    "and lets a higher one pass": (numeric(**BUILD), "z-10", Choice("a-11", None), Choice("a-11", None)),
    "of one value, the last tag stays": (numeric(**BUILD), "z-10", Choice("a-10", None), Choice("z-10", None)),
    "of one value, a later tag is taken": (numeric(**BUILD), "a-10", Choice("z-10", None), Choice("z-10", None)),
    "an extracted value stays when none is left": (numeric(**BUILD), "a-10", NOTHING, Choice("a-10", None)),
    "what is not included any more is let go": (numeric(**BUILD), "10", Choice("a-9", None), Choice("a-9", None)),
    "a tag has no order": (tag("old"), "new", Choice("old", None), Choice("old", None)),
    "a digest has no order": (digest(), "1.0.0", Choice(None, DIGEST), Choice(None, DIGEST)),
}


@pytest.mark.parametrize(("policy", "chosen", "new", "expected"), ADVANCES.values(), ids=ADVANCES)
def test_advance(policy: Selection, chosen: str | None, new: Choice | NoMatch, expected: Choice | NoMatch) -> None:
    assert advance(policy, chosen, new) == expected


# Policy; needs tags; needs the registry.
NEEDS: dict[str, tuple[Selection, bool, bool]] = {
    "tag": (tag("latest"), False, True),
    "semver": (semver("*"), True, True),
    "numeric": (numeric(), True, True),
    "alphabetical": (alphabetical(), True, True),
    "newest": (newest(), True, True),
    "promote": (Selection(Policy(promote=promote())), False, True),
    "digest": (digest(), False, False),
}


@pytest.mark.parametrize("name", POLICIES)
def test_each_policy_says_what_it_needs(name: str) -> None:
    policy, tags, registry = NEEDS[name]
    assert needs_tags(policy) is tags
    assert needs_registry(policy) is registry
    assert needs_times(policy) is (name == "newest")


BUILT = {"a": at(1), "b": at(3), "c": at(2), "d": at(3)}
NEWEST: dict[str, tuple[str, str | None, Choice | None]] = {
    "takes what was built last": ("a c", None, Choice("c", None)),
    "takes the last of those that were built at once": ("a b c d", None, Choice("d", None)),
    "passes over what does not say when it was built": ("a x", None, Choice("a", None)),
    "takes nothing where none says so": ("x y", None, None),
    "goes on to what was built later": ("a b", "a", Choice("b", None)),
    "does not go back where the list has shrunk": ("a", "b", Choice("b", None)),
    "does not go back where it is empty": ("", "b", Choice("b", None)),
    "goes on from what is not known any more": ("a", "y", Choice("a", None)),
}


@pytest.mark.parametrize(("tags", "mark", "choice"), NEWEST.values(), ids=NEWEST)
def test_newest(tags: str, mark: str | None, choice: Choice | None) -> None:
    for names in (tags.split(), tags.split()[::-1]):
        found = advance(newest(), mark, choose(newest(), names, BUILT), BUILT)
        assert found == choice if choice else isinstance(found, NoMatch)


def test_newest_explains_each_tag() -> None:
    ranked, reasons = explain(newest(), ["a", "b", "x"], 5, BUILT)
    assert ranked == ["b", "a"]
    assert reasons == {"x": "it does not say when it was built"}


def test_newest_looks_into_the_last_tags_by_their_numbers() -> None:
    tags = [f"build-{number}" for number in range(95, 106)] + [f"{SIGNATURE}.sig", "latest"]
    assert dated(newest(limit=3), tags) == ["build-104", "build-105", "latest"]
    assert dated(newest(limit=2, include="^build"), tags) == ["build-104", "build-105"]
    assert dated(newest(exclude=["9"]), tags) == [f"build-{number}" for number in range(100, 106)] + ["latest"]


def test_newest_refuses_more_tags_than_it_would_look_into() -> None:
    tags = [str(number) for number in range(MOST_DATED + 1)]
    refusal = dated(newest(), tags)
    assert isinstance(refusal, NoMatch)
    assert f"More than {MOST_DATED} tags" in refusal.message
    assert refusal == dated(newest(exclude=["x"]), [*tags, "1000"])
    assert len(dated(newest(), tags[1:])) == MOST_DATED  # type: ignore[arg-type]


def test_a_limit_says_how_many_are_tried() -> None:
    assert limit_of(semver("*")) == 10
    assert limit_of(semver("*", include="x")) == 10
    assert limit_of(semver("*", limit=3)) == 3


TARGET, STAGING = Key("prod", "web"), Key("staging", "web")
PROVEN = {"app": f"staging.example.com/shop/web:1.4.2@{DIGEST}"}
OTHER = {"app": f"staging.example.com/shop/web:1.4.1@sha256:{'e' * 64}"}
PROMOTED: dict[str, tuple[PromotePolicy, Key, Source | None, Choice | PassedOver | str]] = {
    "what has been proven": (promote(), TARGET, Source("prod", PROVEN, at(-60)), Choice("1.4.2", DIGEST)),
    "in one namespace without being asked": (
        promote(),
        Key("staging", "copy"),
        Source(None, PROVEN, at(-60)),
        Choice("1.4.2", DIGEST),
    ),
    "where everybody is let in": (promote(), TARGET, Source("*", PROVEN, at(-60)), Choice("1.4.2", DIGEST)),
    "where several are": (promote(), TARGET, Source("dev, prod", PROVEN, at(-60)), Choice("1.4.2", DIGEST)),
    "nothing where others are let in": (promote(), TARGET, Source("production", PROVEN, at(-60)), "SourceMissing"),
    "nothing where nobody is": (promote(), TARGET, Source(None, PROVEN, at(-60)), "SourceMissing"),
    "nothing where there is no such rollout": (promote(), TARGET, None, "SourceMissing"),
    "nothing where nothing is proven": (promote(), TARGET, Source("*", {}, None), "SourceNotProven"),
    "nothing where that container is not": (
        promote(source={"container": "web"}),
        TARGET,
        Source("*", PROVEN, at(-60)),
        "SourceMissing",
    ),
    "another container by its name": (
        promote(source={"container": "other"}),
        TARGET,
        Source("*", {"other": PROVEN["app"]}, at(-60)),
        Choice("1.4.2", DIGEST),
    ),
    "nothing from itself": (promote(), STAGING, Source("*", PROVEN, at(-60)), "SourceInvalid"),
    "what was healthy for long enough": (
        promote(healthyFor="1m"),
        TARGET,
        Source("*", PROVEN, at(-60)),
        Choice("1.4.2", DIGEST),
    ),
    "nothing yet": (
        promote(healthyFor="1m"),
        TARGET,
        Source("*", PROVEN, at(-59)),
        PassedOver("TooYoung", "the ImageRollout staging/web has run 1.4.2 for less than 1m", at(1)),
    ),
    "what was stable before under another template": (
        promote(healthyFor="1m"),
        TARGET,
        Source("prod", PROVEN, at(-1), before=((PROVEN, at(-1)), (PROVEN, at(-60)))),
        Choice("1.4.2", DIGEST),
    ),
    "not what was stable before another image was": (
        promote(healthyFor="1m"),
        TARGET,
        Source("prod", PROVEN, at(-1), before=((PROVEN, at(-1)), (OTHER, at(-30)), (PROVEN, at(-60)))),
        PassedOver("TooYoung", "the ImageRollout staging/web has run 1.4.2 for less than 1m", at(59)),
    ),
    "nothing from a source that is not well": (
        promote(),
        TARGET,
        Source("prod", PROVEN, at(-60), degraded=True),
        "SourceDegraded",
    ),
    "nothing by an image that somebody wrote into its status": (
        promote(),
        TARGET,
        Source("prod", {"app": "web:latest"}, at(-60)),
        "SourceNotProven",
    ),
}


@pytest.mark.parametrize(("policy", "target", "source", "taken"), PROMOTED.values(), ids=PROMOTED)
def test_promoted(policy: PromotePolicy, target: Key, source: Source | None, taken: Choice | PassedOver | str) -> None:
    found = promoted(policy, "app", target, source, at(0))
    assert (found.reason if isinstance(taken, str) and isinstance(found, PassedOver) else found) == taken


def test_what_is_taken_already_is_not_waited_for_again() -> None:
    young = Source("prod", PROVEN, at(-1), degraded=True)
    assert promoted(promote(healthyFor="1h"), "app", TARGET, young, at(0), DIGEST) == Choice("1.4.2", DIGEST)


def test_a_stranger_hears_the_same_whether_there_is_such_a_rollout_or_not() -> None:
    closed = promoted(promote(), "app", TARGET, Source("dev", PROVEN, at(-60)), at(0))
    assert closed == promoted(promote(), "app", TARGET, None, at(0))
    assert "annotate that rollout with podpin.dev/promote-to=prod" in str(closed)


CHECKS: dict[str, tuple[Selection, str | None]] = {
    "a range that parses": (semver(">=1 <2"), None),
    "a range that does not": (semver(">=1 <2.y"), '"2.y" is no version'),
    "a filter that compiles": (semver("*", include=r"^(?P<v>\d+)(-[a-z]+)?$", extract="${v}-$2$$"), None),
    "a pattern that does not": (semver("*", include="(1"), 'tags.include "(1" is no regular expression'),
    "a pattern that looks back": (semver("*", exclude=["ok", "(?<=a)b"]), 'tags.exclude[1] "(?<=a)b" is no'),
    "a pattern that grows too large": (semver("*", include="((a{100}){100}){100}"), "is no regular expression"),
    "a group that is not there": (
        semver("*", include="(?P<v>a)", extract="$w"),
        "names $w, which tags.include does not have; it has $0, $1, $v",
    ),
    "a number of a group that is not there": (semver("*", include="(a)", extract="$2"), "names $2"),
    "a dollar without a name": (semver("*", include="a", extract="a$"), "has a $ without a name"),
    "a tag": (tag("latest"), None),
    "a digest": (digest(), None),
}


@pytest.mark.parametrize(("policy", "complaint"), CHECKS.values(), ids=CHECKS)
def test_check(policy: Selection, complaint: str | None) -> None:
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
    extract = {"include": r"^v?([0-9.]+)", "extract": "$1"}
    for selection in (numeric(), numeric("desc", **extract), alphabetical(), alphabetical("desc", **extract)):
        assert choose(selection, one) == choose(selection, other) == choose(selection, [*one, *other])
    assert choose(semver(wanted, **extract), one) == choose(semver(wanted, **extract), other)
    assert choose(semver(wanted), one) == choose(semver(wanted), other)
    assert choose(semver(wanted), one) == choose(semver(wanted), [*one, *other])


@given(
    st.dictionaries(TAG, st.integers(0, 2) | st.none(), max_size=10).flatmap(
        lambda built: st.tuples(st.just(built), st.permutations([*built]))
    )
)
def test_nor_does_it_where_build_times_decide(given: tuple[dict[str, int | None], Sequence[str]]) -> None:
    built, shuffled = given
    times = {name: at(second) for name, second in built.items() if second is not None}
    for selection in (newest(), newest(limit=3), newest(include="v")):
        names, others = dated(selection, [*built]), dated(selection, shuffled)
        assert names == others
        assert not isinstance(names, NoMatch)
        assert choose(selection, [*built], times) == choose(selection, shuffled, times)


@given(RANGE, st.lists(TAG, max_size=12))
def test_no_tag_in_the_range_is_higher_than_the_choice(wanted: str, tags: list[str]) -> None:
    admitted = [v for name in tags if (v := parse_version(name)) is not None and parse_range(wanted).admits(v)]
    answer = choose(semver(wanted), tags)
    if isinstance(answer, NoMatch):
        assert admitted == []
    else:
        assert answer.tag in tags
        assert parse_version(str(answer.tag)) == max(admitted)


SELECTION = st.one_of(
    RANGE.map(semver),
    st.sampled_from([numeric(), numeric("desc"), alphabetical(), alphabetical("desc", exclude=["rc"])]),
    st.sampled_from([numeric(include=r"^v?([0-9.]+)", extract="$1"), semver("*-0", include="v(.*)", extract="$1")]),
)


@given(SELECTION, st.lists(st.lists(TAG, max_size=6), min_size=1, max_size=6))
def test_the_choice_never_steps_back_whatever_lists_come(policy: Selection, lists: list[list[str]]) -> None:
    chosen: str | None = None
    seen: list[str] = []
    for tags in lists:
        seen += tags
        answer = advance(policy, chosen, choose(policy, tags))
        assert answer == choose(policy, seen) or isinstance(answer, NoMatch)
        chosen = answer.tag if isinstance(answer, Choice) else None
