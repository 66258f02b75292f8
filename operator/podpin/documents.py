"""YAML as kubectl reads it, with the line of everything in it.

The API server gets JSON; what becomes of a bare `2026-12-20`, `1:30`, `y` or `1e3` on the way is settled by kubectl's
YAML library, which differs from Python's: times stay texts, there is no counting in sixties, `y` is true. A checker
that reads them otherwise would refuse what kubectl takes, and let pass what it does not.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import yaml

from podpin.core.structure import Path

MOST_PLACES: Final = 1_000_000
"""How much one document may hold, aliases written out: more is a riddle, and no manifest."""


@dataclass(frozen=True, slots=True)
class Document:
    """One document of a file."""

    source: str
    body: Any
    lines: Mapping[Path, tuple[int, int]]
    twice: tuple[Path, ...] = ()
    """Keys that stand twice in one mapping."""

    def place_of(self, at: Path) -> tuple[int, int]:
        """Line and column, counted from 1, of what stands at a path, or of the nearest that holds it."""
        while at not in self.lines and at:
            at = at[:-1]
        return self.lines.get(at, (1, 1))


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A file that is no YAML, or not from some line on."""

    source: str
    line: int
    column: int
    message: str


class _Loader(yaml.SafeLoader):
    """Scalars as kubectl's library tells them apart."""

    bool_values = {**yaml.SafeLoader.bool_values, "y": True, "n": False}  # noqa: RUF012 -- as its parent has it
    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012


def _resolve(tag: str, pattern: str, first: str) -> None:
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{tag}", re.compile(f"^(?:{pattern})$"), list(first))


_resolve("bool", "y|Y|yes|Yes|YES|n|N|no|No|NO|true|True|TRUE|false|False|FALSE|on|On|ON|off|Off|OFF", "yYnNtTfFoO")
_resolve("int", "[-+]?(?:0b[01_]+|0[0-7_]+|0|[1-9][0-9_]*|0x[0-9a-fA-F_]+)", "-+0123456789")
_resolve("float", r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)",
         "-+0123456789.")  # fmt: skip
_resolve("null", "~|null|Null|NULL", "~nN")
_Loader.yaml_implicit_resolvers.setdefault("", []).append(("tag:yaml.org,2002:null", re.compile("^$")))
_resolve("merge", "<<", "<")


def documents_in(text: str, source: str) -> Iterator[Document | Unreadable]:
    """The documents of a file, in their order; what can't be read ends it. The items of a List are documents too."""
    try:
        loader = _Loader(text)
        while loader.check_node():
            reading, root = _Reading(loader), loader.get_node()
            body = reading.value(root, ()) if root is not None else None
            whole = Document(source, body, reading.lines, tuple(reading.twice))
            yield from _items(whole)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        said = " ".join(f"{error.problem or error.context}".split())
        yield Unreadable(
            source, mark.line + 1 if mark else 1, mark.column + 1 if mark else 1, f"this is no YAML: {said}"
        )
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        column = error.position - text.rfind("\n", 0, error.position)
        yield Unreadable(source, line, column, f"this is no YAML: {error.reason}, such as U+{error.character:04X}")
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        yield Unreadable(source, 1, 1, f"this is no YAML: {' '.join(str(error).split())}")


def _items(document: Document) -> Iterator[Document]:
    body = document.body
    if not (isinstance(body, Mapping) and body.get("kind") == "List" and isinstance(body.get("items"), list)):
        yield document
        return
    for nth, item in enumerate(body["items"]):
        root: Path = ("items", nth)
        lines = {at[2:]: place for at, place in document.lines.items() if at[:2] == root}
        twice = tuple(at[2:] for at in document.twice if at[:2] == root)
        yield Document(document.source, item, lines, twice)


@dataclass
class _Reading:
    """One document on its way from nodes to values."""

    loader: _Loader
    lines: dict[Path, tuple[int, int]] = field(default_factory=dict)
    twice: list[Path] = field(default_factory=list)
    open: list[yaml.Node] = field(default_factory=list)

    def value(self, node: yaml.Node, at: Path) -> Any:
        self._place(node, at)
        if any(one is node for one in self.open):
            raise ValueError("an alias holds itself")
        self.open.append(node)
        try:
            match node:
                case yaml.MappingNode():
                    return self._mapping(node, at)
                case yaml.SequenceNode():
                    return [self.value(one, (*at, nth)) for nth, one in enumerate(node.value)]
                case _:
                    return self.loader.construct_object(node)
        finally:
            self.open.pop()

    def _mapping(self, node: yaml.MappingNode, at: Path) -> dict[str, Any]:
        written = [_key(self.loader, key) for key, _ in node.value if key.tag != "tag:yaml.org,2002:merge"]
        self.twice += [(*at, key) for key in dict.fromkeys(written) if written.count(key) > 1]
        self.loader.flatten_mapping(node)
        told: dict[str, Any] = {}
        for key, value in node.value:
            name = _key(self.loader, key)
            told[name] = self.value(value, (*at, name))
            self._place(key, (*at, name))
        return told

    def _place(self, node: yaml.Node, at: Path) -> None:
        self.lines[at] = (node.start_mark.line + 1, node.start_mark.column + 1)
        if len(self.lines) > MOST_PLACES:
            raise ValueError("it holds too much, its aliases written out")


def _key(loader: _Loader, node: yaml.Node) -> str:
    """A key as it is in JSON."""
    value = loader.construct_object(node) if isinstance(node, yaml.ScalarNode) else None
    match value:
        case str():
            return value
        case bool():
            return str(value).lower()
        case int() | float():
            return str(value)
        case _:
            raise yaml.constructor.ConstructorError(None, None, "a key must be a text", node.start_mark)
