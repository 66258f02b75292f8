"""YAML as kubectl reads it, with the line of everything."""

from __future__ import annotations

from typing import Any

import pytest

from podpin.documents import Document, Unreadable, documents_in

SCALARS: tuple[tuple[str, str, Any], ...] = (
    ("a day is a text", "2026-12-20", "2026-12-20"),
    ("a time is a text", "2026-12-20T00:00:00Z", "2026-12-20T00:00:00Z"),
    ("nothing is counted in sixties", "1:30", "1:30"),
    ("y is yes", "y", True),
    ("off is no", "off", False),
    ("a commit of digits and one e is a number, which is why it wants quotes", "1234e2", 123400.0),
    ("a leading zero makes it octal", "0644", 420),
    ("a version of two numbers is a number", "1.20", 1.2),
    ("a version of three is a text", "1.2.3", "1.2.3"),
    ("an equals sign is a text", "=", "="),
    ("nothing", "", None),
    ("a tilde is nothing", "~", None),
    ("what is in quotes is a text", '"1"', "1"),
)


@pytest.mark.parametrize(("written", "value"), [row[1:] for row in SCALARS], ids=[row[0] for row in SCALARS])
def test_scalars_are_what_kubectl_takes_them_for(written: str, value: object) -> None:
    [document] = documents_in(f"a: {written}\n", "x")
    assert isinstance(document, Document)
    assert document.body == {"a": value}


def test_everything_has_its_line() -> None:
    [first, second] = documents_in("kind: A\nlist:\n- one\n- {two: 2}\n---\n\nkind: B\n", "x")
    assert isinstance(first, Document)
    assert isinstance(second, Document)
    assert first.place_of(("list", 1, "two")) == (4, 4)
    assert first.place_of(("list", 0)) == (3, 3)
    assert first.place_of(("list", 1, "three", "deeper")) == (4, 3)
    assert second.place_of(("kind",)) == (7, 1)


def test_the_items_of_a_list_are_documents_with_their_own_lines() -> None:
    one, two = documents_in("kind: List\nitems:\n- kind: A\n- kind: B\n  metadata: {name: b}\n", "x")
    assert isinstance(one, Document)
    assert isinstance(two, Document)
    assert (one.body, two.body["metadata"]) == ({"kind": "A"}, {"name": "b"})
    assert two.place_of(("metadata", "name")) == (5, 14)


def test_keys_are_texts_as_in_json() -> None:
    [document] = documents_in("1: a\ntrue: b\n", "x")
    assert isinstance(document, Document)
    assert document.body == {"1": "a", "true": "b"}


def test_a_key_that_stands_twice_is_told() -> None:
    [document] = documents_in("a:\n  b: 1\n  b: 2\n", "x")
    assert isinstance(document, Document)
    assert document.twice == (("a", "b"),)


def test_anchors_and_merges_are_written_out() -> None:
    [document] = documents_in("base: &base {a: 1, b: 2}\nmine: {<<: *base, b: 3}\n", "x")
    assert isinstance(document, Document)
    assert document.body["mine"] == {"a": 1, "b": 3}
    assert document.twice == ()


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ("a: 1\nb: {\n", 3, "this is no YAML"),
        ("a: b: c\n", 1, "mapping values are not allowed here"),
        ("a: !!python/object:os.system x\n", 1, "could not determine a constructor"),
        ("? [1]\n: x\n", 1, "a key must be a text"),
        ("a: &a [*a]\n", 1, "an alias holds itself"),
        ("a: 1\nb: \x01\n", 2, "special characters are not allowed, such as U+0001"),
    ],
    ids=[
        "it ends too early",
        "two keys on a line",
        "a tag of another language",
        "a list for a key",
        "a circle",
        "a character that is none",
    ],
)
def test_what_is_no_yaml_is_told_with_its_line(text: str, line: int, says: str) -> None:
    *_, broken = documents_in(text, "x")
    assert isinstance(broken, Unreadable)
    assert broken.line == line
    assert says in broken.message


def test_what_multiplies_itself_is_given_up() -> None:
    text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
    text += "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 9))
    [broken] = documents_in(text, "x")
    assert isinstance(broken, Unreadable)
    assert "holds too much" in broken.message


def test_what_came_before_a_broken_document_is_kept() -> None:
    first, broken = documents_in("a: 1\n---\nb: {\n", "x")
    assert isinstance(first, Document)
    assert isinstance(broken, Unreadable)
