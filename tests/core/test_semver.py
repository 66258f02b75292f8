"""Versions and ranges. What Masterminds/semver v3.5.0 answers is the law; each row was checked against that library."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podpin.core.semver import RangeInvalid, Version, parse_range, parse_version, precedence

VERSIONS = {
    "a full version": ("1.2.3", (1, 2, 3, "", "")),
    "a leading v": ("v1.2.3", (1, 2, 3, "", "")),
    "two numbers": ("1.2", (1, 2, 0, "", "")),
    "one number": ("v1", (1, 0, 0, "", "")),
    "a pre-release": ("1.2.3-rc.1", (1, 2, 3, "rc.1", "")),
    "a pre-release with hyphens": ("1.2.3-rc-1-x", (1, 2, 3, "rc-1-x", "")),
    "a pre-release behind a partial version": ("1.2-5", (1, 2, 0, "5", "")),
    "a pre-release that begins with a zero and holds letters": ("1.2.3-0abc123", (1, 2, 3, "0abc123", "")),
    "build metadata": ("1.2.3-x.Y.0+build-7.01", (1, 2, 3, "x.Y.0", "build-7.01")),
    "leading zeros in the numbers, as CalVer has them": ("2025.07.03", (2025, 7, 3, "", "")),
    "a date, which is a major version": (
        "20221209-update-renovatejson-v4",
        (20221209, 0, 0, "update-renovatejson-v4", ""),
    ),
    "the greatest number of 64 bits": ("1.18446744073709551615.3", (1, 18446744073709551615, 3, "", "")),
    "256 characters": ("1.0.0-" + "a" * 250, (1, 0, 0, "a" * 250, "")),
}

NO_VERSIONS = {
    "nothing": "",
    "a word": "latest",
    "a commit": "3f2a9c1",
    "a v alone": "v",
    "a capital V": "V1.2.3",
    "two v": "vv1.2.3",
    "four numbers": "1.2.3.4",
    "a number missing in the middle": "1..3",
    "a dot at the end": "1.2.",
    "letters for the last number": "1.2.beta",
    "a wildcard": "1.2.x",
    "an operator": ">1.2.3",
    "a leading zero in a pre-release's number": "1.2.3-rc.01",
    "an empty pre-release": "1.2.3-",
    "an empty part of a pre-release": "1.0.0-alpha..1",
    "an underscore in a pre-release": "1.0.0-alpha_beta",
    "a plus sign that was replaced for the registry": "1.0.0_build.7",
    "two plus signs": "9.8.7+meta+meta",
    "empty build metadata": "1.1.2+",
    "a blank before it": " 1.2.3",
    "a line feed behind it": "1.2.3\n",
    "a number that does not fit into 64 bits": "1.18446744073709551616.0",
    "a minus sign": "-1.2.3",
    "digits that are not ASCII": "1.2.٣",
    "257 characters": "1.0.0-" + "a" * 251,
    "a signature's tag": "sha256-" + "0" * 64 + ".sig",
}


@pytest.mark.parametrize(("text", "parts"), VERSIONS.values(), ids=VERSIONS)
def test_reads(text: str, parts: tuple[int, int, int, str, str]) -> None:
    version = parse_version(text)
    assert version is not None
    assert (version.major, version.minor, version.patch, version.prerelease, version.metadata) == parts
    assert version.original == str(version) == text
    assert precedence(text) == version.key


@pytest.mark.parametrize("text", NO_VERSIONS.values(), ids=NO_VERSIONS)
def test_passes_over(text: str) -> None:
    assert parse_version(text) is None
    assert precedence(text) is None


ASCENDING = [
    "0.0.0-0",
    "0.0.0",
    "0.0.1",
    "1.0.0-0",
    "1.0.0-1",
    "1.0.0-9",
    "1.0.0-10",
    "1.0.0-18446744073709551615",
    "1.0.0--1",
    "1.0.0-100000000000000000000",  # does not fit into 64 bits, so it is text
    "1.0.0-1a",
    "1.0.0-99999999999999999999",
    "1.0.0-A",
    "1.0.0-alpha",
    "1.0.0-alpha.1",
    "1.0.0-alpha.1.0",
    "1.0.0-alpha.beta",
    "1.0.0-beta",
    "1.0.0-beta.2",
    "1.0.0-beta.11",
    "1.0.0-rc.1",
    "1.0.0",
    "1.0.1-a",
    "1.0.1",
    "1.2.0",
    "1.10.0",
    "2.0.0-x",
    "2.0.0",
    "10.0.0",
    "20260821.0.0",
]


def version(text: str) -> Version:
    parsed = parse_version(text)
    assert parsed is not None
    return parsed


def test_versions_are_ordered_by_precedence() -> None:
    for low, high in itertools.combinations([version(text) for text in ASCENDING], 2):
        assert low < high
        assert high > low
        assert low <= high
        assert low != high


EQUAL = {
    "the same text": ("1.2.3", "1.2.3"),
    "with and without v": ("v1.2.3", "1.2.3"),
    "partial and full": ("1", "1.0.0"),
    "leading zeros": ("1.02.3", "1.2.3"),
    "different build metadata": ("1.2.3-a+b", "1.2.3-a+c"),
}


@pytest.mark.parametrize(("one", "other"), EQUAL.values(), ids=EQUAL)
def test_spelling_and_metadata_do_not_count(one: str, other: str) -> None:
    assert version(one) == version(other)
    assert not version(one) < version(other)
    assert hash(version(one)) == hash(version(other))


def test_a_version_is_not_to_be_compared_with_something_else() -> None:
    assert version("1.0.0") != "1.0.0"
    with pytest.raises(TypeError):
        _ = version("1.0.0") < "1.0.0"  # type: ignore[operator]


# What each range holds, and what it does not.
RANGES = {
    "*": ("0.0.0 1.2.3 99.0.0", "1.0.0-rc.1 0.0.0-0"),
    "x": ("0.0.0 1.2.3", "1.0.0-rc.1"),
    "X.7.8": ("0.0.0 1.2.3", "1.0.0-rc.1"),
    "*-0": ("0.0.0-0 0.0.0 1.0.0-rc.1 7", ""),
    "1.2.3": ("1.2.3 v1.2.3 1.2.3+build", "1.2.4 1.2.2 1.2.3-rc.1"),
    "=1.2.3": ("1.2.3", "1.2.4 1.2.3-rc.1"),
    "= 1.2.3-rc.1": ("1.2.3-rc.1", "1.2.3 1.2.3-rc.2 1.2.3-rc"),
    "v1.2.3+build": ("1.2.3 1.2.3+other", "1.2.4"),
    "1": ("1.0.0 1.9.9", "2.0.0 0.9.0 1.0.0-a"),
    "1.2": ("1.2.0 1.2.9", "1.3.0 1.1.9"),
    "1.x": ("1.0.0 1.9.9", "2.0.0 0.9.0 2.0.0-a"),
    "1.x.3": ("1.0.0 1.9.9", "2.0.0"),
    "1.2.*": ("1.2.0 1.2.9", "1.3.0"),
    "=1.2": ("1.2.0 1.2.9", "1.3.0"),
    "1.2-rc": ("1.2.0-rc 1.2.0 1.2.5-a", "1.2.0-a 1.3.0-a"),
    "!=1.2.3": ("1.2.4 1.2.2", "1.2.3 v1.2.3 1.2.4-a"),
    "!=1.2.3-a": ("1.2.3 1.2.3-b 1.2.3-a.1 1.0.0-a", "1.2.3-a"),
    "!=1": ("2.0.0 0.1.0", "1.0.0 1.2.3 2.0.0-a"),
    "!=1.x": ("2.0.0", "1.0.0 1.2.3"),
    "!=1.2.x": ("1.3.0 1.1.0", "1.2.0 1.2.9"),
    "!=1.2, >0-0": ("1.3.0 1.2.0-a 1.2.7-a", "1.2.0 1.2.9"),
    "!=1.2-a": ("1.2.0 1.2.0-b", "1.2.0-a 1.2.9-a"),
    "!=1-a": ("2.0.0", "1.0.0 1.0.0-b"),
    "!=*": ("0.0.1 1.0.0", "0.0.0 1.0.0-a"),
    ">1.2.3": ("1.2.4 2.0.0", "1.2.3 1.2.2 2.0.0-a"),
    ">1.2.3-a": ("1.2.3-b 1.2.3 1.2.4-a 9.0.0-a", "1.2.3-a 1.2.2"),
    ">1.2": ("1.3.0 2.0.0", "1.2.0 1.2.9"),
    ">1": ("2.0.0", "1.0.0 1.9.9"),
    ">1-0": ("2.0.0-a 2.0.0", "1.0.0 1.9.9"),
    ">*": ("0.0.1 1.0.0", "0.0.0"),
    "<1.2.3": ("1.2.2 0.0.0", "1.2.3 1.2.3-a 1.0.0-a"),
    "<1.2.3-b": ("1.2.3-a 1.2.2 0.0.0-0", "1.2.3-b 1.2.3"),
    "<1.2": ("1.1.9", "1.2.0 1.2.5"),
    "<1": ("0.9.9", "1.0.0"),
    "<*": ("", "0.0.0 1.0.0 0.0.0-0"),
    ">=1.2.3": ("1.2.3 9.0.0", "1.2.2 9.0.0-a"),
    ">=1.2.3-0": ("1.2.3-0 1.2.3-a 1.2.3 9.0.0-a", "1.2.2 1.2.2-z"),
    "=>1.2": ("1.2.0 2.0.0", "1.1.9"),
    "<=1.2.3": ("1.2.3 1.2.3+b 0.0.0", "1.2.4"),
    "<=1.2": ("1.2.0 1.2.9 0.1.0", "1.3.0"),
    "=<1": ("1.9.9 0.0.0", "2.0.0"),
    "<=1-0": ("1.9.9 1.9.9-a 1.0.0-0", "2.0.0 2.0.0-0"),
    "<=*": ("0.0.0 0.0.9", "0.1.0 1.0.0"),
    "~1.2.3": ("1.2.3 1.2.9", "1.3.0 1.2.2 1.2.4-a"),
    "~1.2.3-a": ("1.2.3-a 1.2.3-b 1.2.3 1.2.4-a", "1.3.0-a 1.2.3-0"),
    "~1.2": ("1.2.0 1.2.9", "1.3.0 1.1.0"),
    "~>1": ("1.0.0 1.9.9", "2.0.0 0.9.0"),
    "~*": ("0.0.0 9.9.9", "1.0.0-a"),
    "~0": ("0.0.0 0.9.9", "1.0.0"),
    "~0.0": ("0.0.0 0.0.9", "0.1.0"),
    "~0.0.0": ("0.0.0 9.9.9", ""),
    "^1.2.3": ("1.2.3 1.9.9", "1.2.2 2.0.0 1.5.0-a"),
    "^1.2.3-0": ("1.2.3-a 1.2.3 1.5.0-a", "2.0.0-a 1.2.2"),
    "^1.2": ("1.2.0 1.9.9", "1.1.0 2.0.0"),
    "^1": ("1.0.0 1.9.9", "2.0.0"),
    "^0.2.3": ("0.2.3 0.2.9", "0.3.0 0.2.2 1.0.0"),
    "^0.2": ("0.2.0 0.2.9", "0.3.0"),
    "^0.0.3": ("0.0.3", "0.0.4 0.0.2"),
    "^0.0.3-a": ("0.0.3-b 0.0.3", "0.0.4 0.0.4-a"),
    "^0.0": ("0.0.0 0.0.9", "0.1.0"),
    "^0": ("0.0.0 0.9.9", "1.0.0"),
    "^*": ("0.0.0", "0.0.1 0.1.0 1.0.0"),
    "1.2 - 1.4.5": ("1.2.0 1.4.5", "1.1.9 1.4.6"),
    "1.2 - 1.4": ("1.2.0 1.4.9", "1.5.0"),
    "1.2.3-a - 1.2.3": ("1.2.3-b 1.2.3", "1.2.4 1.2.2"),
    " 1 - 2 , !=1.5 ": ("1.0.0 2.9.9", "1.5.0 3.0.0"),
    "1 - 2 || 5 - 6": ("1.0.0 6.9.9", "3.0.0 7.0.0"),
    "1 - 2 3 - 4": ("", "1.0.0 2.0.0 3.0.0"),
    ">=1.4 <2": ("1.4.0 1.9.9", "1.3.9 2.0.0 1.5.0-a"),
    ">=1.4,<2": ("1.4.0 1.9.9", "1.3.9 2.0.0"),
    ">= 1.4 , < 2 , != 1.5.0": ("1.4.0", "1.5.0 2.0.0"),
    ">=1.4\t<2\n": ("1.4.0", "2.0.0"),
    ">=1.4 <2-0": ("1.4.0 1.5.0-a", "1.4.0-a 2.0.0-0 2.0.0-a"),
    "1.x||>=3.1": ("1.5.0 3.1.0", "2.0.0 3.0.0"),
    "1.x || >=3.1-0": ("1.5.0 3.1.0-a", "1.5.0-a 2.0.0"),
    ">3 <2": ("", "1.0.0 2.5.0 4.0.0"),
    "<18446744073709551615": ("18446744073709551614", "18446744073709551615"),
    ">=18446744073709551615": ("18446744073709551615 18446744073709551615.18446744073709551615", "1"),
    "1.x.99999999999999999999": ("1.5.0", "2.0.0"),
}


@pytest.mark.parametrize(("text", "held", "refused"), [(text, *row) for text, row in RANGES.items()], ids=list(RANGES))
def test_a_range_holds(text: str, held: str, refused: str) -> None:
    wanted = parse_range(text)
    assert wanted.text == text
    assert {tag: wanted.admits(version(tag)) for tag in f"{held} {refused}".split()} == {
        **dict.fromkeys(held.split(), True),
        **dict.fromkeys(refused.split(), False),
    }


# A range, and what the message must name.
NO_RANGES = {
    "nothing": ("", "empty"),
    "blanks alone": (" \t", "empty"),
    "a word": ("latest", '"latest"'),
    "an operator alone": (">=", 'missing after ">="'),
    "an unknown operator": (">>1", '">>" is no operator'),
    "two operators": ("> =1", '"=1"'),
    "a blank version before an or": ("|| 1", "missing"),
    "nothing behind an or": ("1 ||", "missing"),
    "nothing between two ors": ("1 || || 2", "missing"),
    "a leading comma": (",1", "missing"),
    "a trailing comma": ("1,", "missing"),
    "two commas": ("1,,2", "missing"),
    "four numbers": (">=1.2.3.4", '"1.2.3.4"'),
    "a wildcard with letters": ("1.x.y", '"1.x.y"'),
    "a doubled wildcard": ("1.xx", '"1.xx"'),
    "a wildcard among digits": ("1.2x", '"1.2x"'),
    "a single |": ("1|2", r'"1\|2"'),
    "no separator": ("1.2>3", '"1.2>3"'),
    "an operator before a hyphen range": (">1 - 2", r"operator"),
    "three ends of a hyphen range": ("1 - 2 - 3", '"-"'),
    "a hyphen range right behind a version": ("3 1 - 2", '"3>="'),
    "a hyphen range without its second blank": ("1 -2", '"-2"'),
    "a leading zero in a pre-release's number": (">=1.0.0-01", '"1.0.0-01"'),
    "the same behind a wildcard": ("1.x-01", '"1.x-01"'),
    "a number that does not fit into 64 bits": (">=18446744073709551616", '"18446744073709551616"'),
    "a vertical tab for a blank": ("1\v2", "no version"),
    "a no-break space for a blank": (">=1\u00a0<2", "no version"),
    "a capital V": ("V1", '"V1"'),
    "513 characters": ("1".ljust(513), "513"),
    "33 alternatives": (" || ".join(["1"] * 33), "33 alternatives"),
}


@pytest.mark.parametrize(("text", "named"), NO_RANGES.values(), ids=NO_RANGES)
def test_a_range_that_does_not_parse_is_named(text: str, named: str) -> None:
    with pytest.raises(RangeInvalid, match=named) as wrong:
        parse_range(text)
    sentence = str(wrong.value)
    assert sentence.startswith("The range")
    assert sentence.endswith(".")
    assert len(sentence) < 300


def test_the_longest_range_and_the_most_alternatives_parse() -> None:
    assert parse_range("1".ljust(512)).admits(version("1.0.0"))
    assert parse_range(" || ".join(["1"] * 32)).admits(version("1.0.0"))


NUMBER = st.integers(0, 3).map(str)
PRERELEASE = st.lists(st.sampled_from(["0", "1", "10", "a", "rc", "-"]), min_size=1, max_size=3).map(".".join)
VERSION = st.builds(lambda numbers, pre: ".".join(numbers) + pre, st.lists(NUMBER, min_size=1, max_size=3),
                    st.one_of(st.just(""), PRERELEASE.map("-{}".format)))  # fmt: skip
OPERATOR = st.sampled_from(["", "=", "!=", ">", "<", ">=", "<=", "~", "^"])
COMPARISON = st.builds("{}{}".format, OPERATOR, VERSION)


@given(st.text("0123x*.-+ v|,<>=!~^a\t", max_size=40), VERSION)
def test_any_text_is_a_range_or_is_refused_with_a_sentence(text: str, tag: str) -> None:
    try:
        wanted = parse_range(text)
    except RangeInvalid:
        with pytest.raises(RangeInvalid, match=r"^The range .*\.$"):
            parse_range(text)
    else:
        assert wanted.admits(version(tag)) in {True, False}


@given(COMPARISON, COMPARISON, VERSION)
def test_or_holds_what_either_holds(one: str, other: str, text: str) -> None:
    either = parse_range(f"{one} || {other}")
    candidate = version(text)
    assert either.admits(candidate) == (parse_range(one).admits(candidate) or parse_range(other).admits(candidate))


@given(COMPARISON, COMPARISON, VERSION.filter(lambda text: "-" not in text))
def test_and_holds_the_final_versions_that_both_hold(one: str, other: str, text: str) -> None:
    both = parse_range(f"{one}, {other}")
    candidate = version(text)
    assert both.admits(candidate) == (parse_range(one).admits(candidate) and parse_range(other).admits(candidate))


@given(VERSION, VERSION)
def test_comparisons_agree_with_the_order(limit: str, text: str) -> None:
    full = version(limit)
    exact = f"{full.major}.{full.minor}.{full.patch}-{full.prerelease or '0'}"
    candidate, end = version(text), version(exact)
    assert parse_range(f">{exact}").admits(candidate) == (candidate > end)
    assert parse_range(f">={exact}").admits(candidate) == (candidate >= end)
    assert parse_range(f"<{exact}").admits(candidate) == (candidate < end)
    assert parse_range(f"<={exact}").admits(candidate) == (candidate <= end)
    assert parse_range(f"={exact}").admits(candidate) == (candidate == end)
    assert parse_range(f"!={exact}").admits(candidate) == (candidate != end)
