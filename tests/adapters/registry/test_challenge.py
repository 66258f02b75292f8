"""WWW-Authenticate headers, as found in the wild and worse."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podpin.adapters.registry.challenge import Challenge, parse_challenges

ROWS = {
    "nothing": ([], []),
    "an empty header": ([""], []),
    "a scheme alone": (["Basic"], [("basic", {})]),
    "a quoted parameter": (['Basic realm="a b"'], [("basic", {"realm": "a b"})]),
    "a plain parameter": (["Basic realm=abc"], [("basic", {"realm": "abc"})]),
    "a URL without quotes": (["Bearer realm=https://a.io/t?x=y"], [("bearer", {"realm": "https://a.io/t?x=y"})]),
    "the usual": (
        ['Bearer realm="https://a.io/token",service="a.io",scope="repository:x:pull"'],
        [("bearer", {"realm": "https://a.io/token", "service": "a.io", "scope": "repository:x:pull"})],
    ),
    "a comma within quotes": (
        ['Bearer scope="repository:x:pull,push"'],
        [("bearer", {"scope": "repository:x:pull,push"})],
    ),
    "escapes": ([r'Basic realm="a \"b\" \\ c"'], [("basic", {"realm": r'a "b" \ c'})]),
    "blanks around the equals sign": (['Basic realm = "a" , x = y'], [("basic", {"realm": "a", "x": "y"})]),
    "blanks instead of commas": (['Bearer realm="a" service="b"'], [("bearer", {"realm": "a", "service": "b"})]),
    "semicolons instead of commas": (['Bearer realm="a"; service="b"'], [("bearer", {"realm": "a", "service": "b"})]),
    "names in capitals": (['BEARER Realm="A"'], [("bearer", {"realm": "A"})]),
    "two headers": (["Negotiate", 'Basic realm="x"'], [("negotiate", {}), ("basic", {"realm": "x"})]),
    "two challenges in one header": (
        ['Basic realm="x", Bearer realm="y",service="z"'],
        [("basic", {"realm": "x"}), ("bearer", {"realm": "y", "service": "z"})],
    ),
    "a token instead of parameters": (
        ['Negotiate YWJj==, Basic realm="x"'],
        [("negotiate", {}), ("basic", {"realm": "x"})],
    ),
    "too many commas": ([' ,, Basic realm="x",, '], [("basic", {"realm": "x"})]),
    "a parameter twice": (["Bearer realm=a, realm=b"], [("bearer", {"realm": "a"})]),
    "a parameter without a scheme": (['realm="x"'], []),
    "an empty value": (['Bearer realm="",service=""'], [("bearer", {"realm": "", "service": ""})]),
    "a quote without an end": (['Bearer realm="x'], [("bearer", {})]),
    "a good header after a bad one": (['"', 'Basic realm="x"'], [("basic", {"realm": "x"})]),
}


@pytest.mark.parametrize(("headers", "expected"), ROWS.values(), ids=ROWS)
def test_reads(headers: list[str], expected: list[tuple[str, dict[str, str]]]) -> None:
    assert parse_challenges(headers) == tuple(Challenge(scheme, parameters) for scheme, parameters in expected)


def test_no_header_takes_long() -> None:
    started = time.perf_counter()
    for part in ('a="', "a ", "a=", '"\\', "Bearer ", 'a="b" ', ",", ";", "=", '\\"', "a=b,"):
        parse_challenges([part * 10_000])
    assert time.perf_counter() - started < 5


WORDS = st.text("abcdefghijklmnopqrstuvwxyz-", min_size=1, max_size=8)
CHALLENGES = st.lists(
    st.tuples(WORDS, st.dictionaries(WORDS, st.text(max_size=12), min_size=1, max_size=3)), max_size=3
)


@given(CHALLENGES, st.sampled_from([", ", ",", " , ,"]))
def test_reads_back_whatever_is_written_as_the_standard_has_it(
    challenges: list[tuple[str, dict[str, str]]], separator: str
) -> None:
    def quoted(text: str) -> str:
        return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'

    header = separator.join(
        f"{scheme} {separator.join(f'{name}={quoted(value)}' for name, value in parameters.items())}"
        for scheme, parameters in challenges
    )
    assert parse_challenges([header]) == tuple(Challenge(*challenge) for challenge in challenges)


@given(st.lists(st.text(alphabet='Bearer Bsic=",\\; \tä/:', max_size=40), max_size=3))
def test_any_header_gives_an_answer(headers: list[str]) -> None:
    for challenge in parse_challenges(headers):
        assert challenge.scheme == challenge.scheme.lower()
