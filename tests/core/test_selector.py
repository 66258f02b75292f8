"""Label selectors: read as the API server reads them, and refused in a sentence where it would refuse them."""

from __future__ import annotations

import re

import pytest

from podpin.core.names import lease_name
from podpin.core.selector import EVERYTHING, SelectorInvalid, parse_selector

A, B, NONE = {"shard": "a"}, {"shard": "b"}, {"team": "x"}


@pytest.mark.parametrize(
    ("text", "selected", "left_out"),
    [
        pytest.param("shard=a", [A, {**A, **NONE}], [B, NONE, {}], id="equal"),
        pytest.param("shard == a", [A], [B], id="equal, as programmers write it"),
        pytest.param("shard!=a", [B, NONE, {}], [A], id="not equal, which a label that is not there is not either"),
        pytest.param("shard in (a, b)", [A, B], [NONE], id="among"),
        pytest.param(
            "shard notin (a)", [B, NONE, {}], [A], id="not among, which a label that is not there is not either"
        ),
        pytest.param("shard", [A, B], [NONE], id="there"),
        pytest.param("!shard", [NONE, {}], [A, B], id="not there: for those that nobody has assigned"),
        pytest.param(
            "shard in (a,b),team=x, !old", [{**A, "team": "x"}], [A, {**A, "team": "x", "old": ""}], id="all of several"
        ),
        pytest.param("shard=", [{"shard": ""}], [A, {}], id="an empty value"),
        pytest.param("example.com/shard=a-1.b_c", [{"example.com/shard": "a-1.b_c"}], [A], id="with a prefix"),
    ],
)
def test_it_selects(text: str, selected: list[dict[str, str]], left_out: list[dict[str, str]]) -> None:
    selector = parse_selector(text)
    assert [labels for labels in (*selected, *left_out) if selector.matches(labels)] == selected


def test_no_selector_selects_everything() -> None:
    assert EVERYTHING.matches({})
    assert EVERYTHING.text == ""


@pytest.mark.parametrize(
    "text",
    ["", "shard=a,", "shard is a", "shard in a", "shard in ()x", "shard>3", "-a=b", "a=b c", "a=-b", "a/b/c=d", "a=ä"],
)
def test_what_is_none_is_refused_in_a_sentence(text: str) -> None:
    with pytest.raises(SelectorInvalid, match=r" is no label selector: write shard=a, "):
        parse_selector(text)


def test_each_share_has_a_lease_of_its_own_with_a_name_that_tells_which() -> None:
    assert lease_name("") == "podpin"
    found = [
        lease_name(text)
        for text in ("shard=a", "shard=b", "shard-a", "shard in (a,b)", "example.com/" + "x" * 90 + "=y")
    ]
    assert len(set(found)) == len(found)
    assert found[0].startswith("podpin-shard-a-")
    assert all(re.fullmatch(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?", name) and len(name) <= 63 for name in found)
