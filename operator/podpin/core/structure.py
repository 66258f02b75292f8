"""What the API server says of a value that has not the structure that the schema gives: offline, in its own words.

It is the part of its judgement that comes before the rules: types, lists of values, lengths, what is required, and
fields that are not known. The schema is the one that is made from the models (`podpin.core.schema`), so there is no
second list of fields here. What is not known is told with the field that was probably meant.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

Path = tuple[str | int, ...]
"""Where in a manifest: keys and places in lists."""

OPEN: Final = "x-kubernetes-preserve-unknown-fields"
EITHER: Final = "x-kubernetes-int-or-string"


@dataclass(frozen=True, slots=True)
class Flaw:
    """Something that is wrong with a manifest, or unwise in it: where, and one sentence for the user."""

    at: Path
    message: str
    reason: str | None = None
    """The reason that podpin would give for Stalled, where the API server sees nothing wrong."""
    is_error: bool = True


def dotted(at: Path) -> str:
    """A path as the API server writes it."""
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in at).removeprefix(".")


def value_at(body: Any, at: Path) -> Any:
    """What stands at a path; None where there is nothing."""
    for step in at:
        try:
            body = body[step]
        except (KeyError, IndexError, TypeError):
            return None
    return body


def without_nulls(schema: Mapping[str, Any], value: Any) -> Any:
    """`value` without the nulls that the API server takes for nothing at all."""
    match value:
        case dict():
            fields, others = schema.get("properties") or {}, schema.get("additionalProperties") or {}
            known = {name: fields.get(name, others) for name in value}
            return {
                name: without_nulls(known[name], one)
                for name, one in value.items()
                if one is not None or not known[name]
            }
        case list():
            return [without_nulls(schema.get("items") or {}, one) for one in value]
        case _:
            return value


def flaws_in(schema: Mapping[str, Any], value: Any, at: Path) -> Iterator[Flaw]:
    """Everything in `value`, which stands at `at`, that the schema does not let pass. Nulls are no matter of it."""
    if flaw := _mistyped(schema, value, at):
        yield flaw
        return
    yield from _outside(schema, value, at)
    if isinstance(value, Mapping):
        yield from _in_object(schema, value, at)
    elif isinstance(value, list):
        yield from _in_list(schema, value, at)


def unknown(known: Mapping[str, Any], name: str, at: Path, elsewhere: str | None = None) -> Flaw:
    """That a field is not known where it stands; `elsewhere` is what it belongs under."""
    said = f'unknown field "{dotted((*at, name))}"'
    if meant := meant_by(name, known):
        return Flaw((*at, name), f'{said}; did you mean "{meant}"?')
    return Flaw((*at, name), f"{said}; it belongs under {elsewhere}" if elsewhere else said)


def meant_by(name: str, known: Mapping[str, Any]) -> str | None:
    """The field that somebody who wrote `name` probably meant."""
    spelt = {one.lower(): one for one in known}
    close = difflib.get_close_matches(name.lower(), spelt, n=1, cutoff=0.7)
    return spelt[close[0]] if close else None


def homes_of(schema: Mapping[str, Any], name: str, at: Path = ()) -> Iterator[Path]:
    """Everywhere in the schema that has a field of this name."""
    for one, inner in (schema.get("properties") or {}).items():
        if one == name:
            yield at
        yield from homes_of(inner, name, (*at, one))
    if "items" in schema:
        yield from homes_of(schema["items"], name, at)


def quoted(value: Any) -> str:
    """A value as the API server shows it in a sentence."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str)


def _type_of(value: Any) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case int():
            return "integer"
        case float():
            return "number"
        case str():
            return "string"
        case list():
            return "array"
        case _:
            return "object"


def _mistyped(schema: Mapping[str, Any], value: Any, at: Path) -> Flaw | None:
    wanted = ("integer", "string") if schema.get(EITHER) else tuple(filter(None, [schema.get("type")]))
    found = _type_of(value)
    whole = isinstance(value, float) and value.is_integer() and "integer" in wanted
    if not wanted or found in wanted or whole or (found == "integer" and "number" in wanted):
        return None
    asked, shown = ",".join(wanted), found
    if "format" in schema and found not in ("string", "array", "null"):
        asked, shown = schema["format"], "double" if found == "number" else ""
    return _invalid(at, quoted(shown), f'must be of type {asked}: "{shown}"')


def _invalid(at: Path, value: str, what: str) -> Flaw:
    return Flaw(at, f"{dotted(at)}: Invalid value: {value}: {dotted(at)} in body {what}")


def _outside(schema: Mapping[str, Any], value: Any, at: Path) -> Iterator[Flaw]:
    """What is too long, too short, too much, too little, or none of the values that there are."""
    where = dotted(at)
    if (values := schema.get("enum")) and value not in values:
        yield Flaw(at, f"{where}: Unsupported value: {quoted(value)}: supported values: {_several(values)}")
    match value:
        case str():
            if len(value) > (most := schema.get("maxLength", len(value))):
                yield Flaw(at, f"{where}: Too long: may not be more than {most} bytes")
            if len(value) < (least := schema.get("minLength", 0)):
                yield _invalid(at, quoted(value), f"should be at least {least} chars long")
        case bool():
            pass
        case int() | float():
            if value > (most := schema.get("maximum", value)):
                yield _invalid(at, quoted(value), f"should be less than or equal to {_number(most)}")
            if value < (least := schema.get("minimum", value)):
                yield _invalid(at, quoted(value), f"should be greater than or equal to {_number(least)}")
        case list() | dict():
            ends = ("maxItems", "minItems") if isinstance(value, list) else ("maxProperties", "minProperties")
            if len(value) > (most := schema.get(ends[0], len(value))):
                yield Flaw(at, f"{where}: Too many: {len(value)}: must have at most {most} items")
            if len(value) < (least := schema.get(ends[1], 0)):
                what = "items" if isinstance(value, list) else "properties"
                yield _invalid(at, str(len(value)), f"should have at least {least} {what}")
        case _:
            pass


def _several(values: list[Any]) -> str:
    return ", ".join(quoted(str(one)) for one in values)


def _number(bound: float) -> str:
    """As Go writes it: large ones with an exponent."""
    return str(bound) if abs(bound) < 1e21 else f"{bound:e}"


def _in_object(schema: Mapping[str, Any], value: Mapping[str, Any], at: Path) -> Iterator[Flaw]:
    fields, others = schema.get("properties") or {}, schema.get("additionalProperties")
    misspelt = set()
    for name, one in value.items():
        if name in fields:
            yield from flaws_in(fields[name], one, (*at, name))
        elif others:
            yield from flaws_in(others, one, (*at, name))
        elif not schema.get(OPEN):
            yield unknown(fields, name, at)
            misspelt.add(meant_by(name, fields))
    for name in schema.get("required") or ():
        if name not in value and name not in misspelt:
            yield Flaw((*at, name), f"{dotted((*at, name))}: Required value")


def _in_list(schema: Mapping[str, Any], value: list[Any], at: Path) -> Iterator[Flaw]:
    for nth, one in enumerate(value):
        yield from flaws_in(schema.get("items") or {}, one, (*at, nth))
    keys = schema.get("x-kubernetes-list-map-keys")
    if not keys or not all(isinstance(one, Mapping) for one in value):
        return
    seen: dict[str, int] = {}
    for nth, one in enumerate(value):
        key = quoted({name: one[name] for name in keys if name in one})
        seen[key] = seen.get(key, 0) + 1
        if seen[key] == 2:
            yield Flaw((*at, nth), f"{dotted((*at, nth))}: Duplicate value: {key}")
