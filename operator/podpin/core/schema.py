"""From pydantic models to the structural schema of a CustomResourceDefinition.

The API server takes a narrow dialect of OpenAPI: no references, no `anyOf` with null, no tuples; and what types
cannot say it takes as CEL. No library writes that dialect from pydantic, so this module does, in two parts:

- **Markers** stand in the models' annotations: `Rule`, `Text`, `Span`, `Keyed`, `Cut`, `Shaped`. Each states one
  demand once and enforces it twice, in the same words: in Python when the operator parses, in the schema when the
  user applies.
- **`structural`** turns pydantic's JSON schema of a model into the dialect. It knows a short list of keywords and
  raises `NotExpressible` for everything else, so that nothing is lost in silence.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar, Final, Self

from pydantic import BaseModel, ConfigDict, GetCoreSchemaHandler, GetJsonSchemaHandler, model_validator
from pydantic.alias_generators import to_camel
from pydantic.json_schema import GenerateJsonSchema
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from podpin.core.duration import ADVICE, GRAMMAR, MAX_LENGTH, format_duration, parse_duration

if TYPE_CHECKING:
    from collections.abc import Callable

Json = dict[str, Any]

VALIDATIONS: Final = "x-kubernetes-validations"
# Merged into the schema of an object whose unknown fields belong to somebody else and are kept.
OPEN: Final = ConfigDict(json_schema_extra={"x-kubernetes-preserve-unknown-fields": True})


# Is this expression a duration? To be formatted with the expression.
DURATION_CEL: Final = "{{}}.matches('^{}$')".format(GRAMMAR.replace("{", "{{").replace("}", "}}"))


class NotExpressible(ValueError):  # noqa: N818 -- names what is the case, as all errors here do
    """A model says something for which the API server's dialect has no words."""


def refused(message: str) -> PydanticCustomError:
    """The error by which a marker refuses a value; the message is for the user and stands as it is."""
    return PydanticCustomError("refused", "{sentence}", {"sentence": message})


@dataclass(frozen=True, slots=True)
class Rule:
    """A demand in CEL and the same in Python; `holds` is None where only the API server can know (`oldSelf`)."""

    cel: str
    message: str
    holds: Callable[[Any], bool] | None = None

    def check(self, value: Any) -> Any:
        """`value`, or the refusal."""
        if self.holds is not None and not self.holds(value):
            raise refused(self.message)
        return value

    def validation(self) -> Json:
        """The entry in `x-kubernetes-validations`."""
        return {"rule": self.cel, "message": self.message}

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self.check, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> Json:
        return _with_validations(handler(schema), self.validation())


@dataclass(frozen=True, slots=True)
class Text:
    """A string of a grammar. The first hint whose pattern is in a bad value names the mistake; else `message` does.

    The patterns are ours, not a user's, and keep to what Python's `re` and RE2 read alike.
    """

    grammar: str
    message: str
    max_length: int
    hints: tuple[tuple[str, str], ...] = ()

    def check(self, value: str) -> str:
        """`value`, or the refusal."""
        if len(value) > self.max_length:
            raise refused(f"must have at most {self.max_length} characters")
        if not re.fullmatch(self.grammar, value):
            raise refused(next((advice for bad, advice in self.hints if re.search(bad, value)), self.message))
        return value

    def validation(self) -> Json:
        """The entry in `x-kubernetes-validations`: one rule, so that one mistake brings one sentence."""
        entry = {"rule": f"self.matches({_raw(f'^(?:{self.grammar})$')})", "message": self.message}
        if self.hints:
            chosen = json.dumps(self.message)
            for bad, advice in reversed(self.hints):
                chosen = f"self.matches({_raw(bad)}) ? {json.dumps(advice)} : {chosen}"
            entry["messageExpression"] = chosen
        return entry

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self.check, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> Json:
        return _with_validations(handler(schema) | {"maxLength": self.max_length}, self.validation())


@dataclass(frozen=True, slots=True)
class Span:
    """A duration from `least` to `most`: text in the resource, a timedelta in Python."""

    least: str
    most: str

    def parse(self, value: object) -> timedelta:
        """The timedelta, or the refusal. Python code may hand over a timedelta as it is."""
        if isinstance(value, str) and re.fullmatch(GRAMMAR, value):
            value = parse_duration(value)
        if not isinstance(value, timedelta):
            raise refused(ADVICE)
        if not parse_duration(self.least) <= value <= parse_duration(self.most):
            raise refused(self._advice)
        return value

    @property
    def _advice(self) -> str:
        return f"must be between {self.least} and {self.most}"

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            self.parse, serialization=core_schema.plain_serializer_function_ser_schema(format_duration)
        )

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> Json:
        bounds = f"duration(self) >= duration({self.least!r}) && duration(self) <= duration({self.most!r})"
        return {
            "type": "string",
            "maxLength": MAX_LENGTH,
            VALIDATIONS: [
                {"rule": DURATION_CEL.format("self"), "message": ADVICE},
                # Only what is a duration is measured: a rule that cannot be evaluated adds a second, unreadable line.
                {"rule": f"!{DURATION_CEL.format('self')} || ({bounds})", "message": self._advice},
            ],
        }


@dataclass(frozen=True, slots=True)
class Keyed:
    """A list in which `key` names each entry once, so that several writers can apply their own entries."""

    key: str

    def check(self, entries: tuple[Any, ...]) -> tuple[Any, ...]:
        """`entries`, or the refusal."""
        seen: set[str] = set()
        for entry in entries:
            name = getattr(entry, self.key)
            if name in seen:
                raise refused(f"has two entries for the {self.key} {name!r}; keep one")
            seen.add(name)
        return entries

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self.check, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> Json:
        return handler(schema) | {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": [self.key]}


@dataclass(frozen=True, slots=True)
class Cut:
    """A text or a list of which Python keeps no more than the first `length`; the schema refuses more."""

    length: int

    def check(self, value: Any) -> Any:
        """The part of `value` that is kept."""
        return value[: self.length]

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self.check, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> Json:
        body = handler(schema)
        return body | {"maxItems" if body["type"] == "array" else "maxLength": self.length}


@dataclass(frozen=True, slots=True)
class Shaped:
    """JSON that is kept as the user wrote it, after a model has looked at the parts of it that podpin understands."""

    model: type[BaseModel]

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_wrap_validator_function(self._look, handler.generate_schema(self.model))

    @staticmethod
    def _look(value: Any, validate: Callable[[Any], Any]) -> Any:
        validate(value)
        return value


class Part(BaseModel):
    """A piece of the resource: frozen, camelCase outside, unknown fields dropped as the API server drops them."""

    model_config = ConfigDict(
        frozen=True,
        extra="ignore",
        alias_generator=to_camel,
        validate_by_alias=True,
        validate_by_name=True,
        use_attribute_docstrings=True,
    )

    rules: ClassVar[tuple[Rule, ...]] = ()
    """What must hold between the fields."""

    @model_validator(mode="after")
    def _obey_rules(self) -> Self:
        for rule in self.rules:
            rule.check(self)
        return self

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> Json:
        body = handler.resolve_ref_schema(handler(schema))
        if cls.rules:
            body[VALIDATIONS] = [rule.validation() for rule in cls.rules]
        return body


def structural(model: type[BaseModel]) -> Json:
    """The structural schema of `model`, references inlined."""
    document = model.model_json_schema(by_alias=True, mode="validation", schema_generator=_Generator)
    return _Structural(document.get("$defs", {})).of(document, ())


class _Generator(GenerateJsonSchema):
    """pydantic's generator, with defaults as the user would write them."""

    def encode_default(self, dft: Any) -> Any:
        match dft:
            case timedelta():
                return format_duration(dft)
            case BaseModel():
                # The API server fills in the defaults of an empty object's fields by itself.
                return {}
            case _:
                return super().encode_default(dft)


# Copied as they stand.
_PLAIN: Final = frozenset(
    {"type", "enum", "format", "pattern", "minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems",
     "minProperties", "maxProperties", "required", "nullable", VALIDATIONS, "x-kubernetes-list-type",
     "x-kubernetes-list-map-keys", "x-kubernetes-map-type", "x-kubernetes-preserve-unknown-fields",
     "x-kubernetes-int-or-string"}
)  # fmt: skip
# Said by pydantic, of no use to the API server: it prunes what it does not know and has no titles.
_DROPPED: Final = frozenset({"$defs", "title"})


class _Structural:
    """One run over one document."""

    def __init__(self, definitions: Json) -> None:
        self._definitions = definitions

    def of(self, node: Json, at: tuple[str, ...], within: tuple[str, ...] = ()) -> Json:
        """The schema of `node`; `at` is its path, for errors, and `within` are the references that led to it."""
        node, within = self._whole(node, at, within)
        out: Json = {}
        for word, said in node.items():
            match word:
                case "description":
                    out[word] = " ".join(said.split())
                case _ if word in _PLAIN:
                    out[word] = said
                case _ if word in _DROPPED:
                    pass
                case "properties":
                    out[word] = {name: self.of(child, (*at, name), within) for name, child in said.items()}
                case "items":
                    out[word] = self.of(said, (*at, "[]"), within)
                case "const":
                    out["enum"] = [said]
                case "additionalProperties" if isinstance(said, dict):
                    out[word] = self.of(said, (*at, "{}"), within)
                case "additionalProperties" if said is True:
                    out["x-kubernetes-preserve-unknown-fields"] = True
                case "default":
                    # Null and the empty list mean the same as leaving out, which needs no default.
                    if said is not None and said != []:
                        out[word] = said
                case _:
                    raise _lost(at, f"{word} has no counterpart in a structural schema")
        if "type" not in out and "x-kubernetes-int-or-string" not in out:
            raise _lost(at, "has no type")
        return dict(sorted(out.items()))

    def _whole(self, node: Json, at: tuple[str, ...], within: tuple[str, ...]) -> tuple[Json, tuple[str, ...]]:
        """`node` with its reference or its optional alternative merged in; its own words win over those."""
        node = dict(node)
        inner: Json = {}
        if branches := node.pop("anyOf", None):
            given = [branch for branch in branches if branch.get("type") != "null"]
            if sorted(str(branch.get("type")) for branch in given) == ["integer", "string"]:
                inner = {"x-kubernetes-int-or-string": True}
            elif len(given) == 1:
                inner, within = self._whole(given[0], at, within)
            else:
                raise _lost(at, "is a union, which a structural schema cannot say")
        if name := node.pop("$ref", "").removeprefix("#/$defs/"):
            if name in within:
                raise _lost(at, f"{name} contains itself")
            inner, within = self._whole(self._definitions[name], at, (*within, name))
        return {**inner, **node}, within


def _lost(at: tuple[str, ...], what: str) -> NotExpressible:
    return NotExpressible(f"{'.'.join(at) or 'the root'}: {what}")


def _raw(pattern: str) -> str:
    """A CEL raw string."""
    if "'" in pattern:
        raise NotExpressible(f"a pattern with a quote: {pattern}")
    return f"r'{pattern}'"


def _with_validations(schema: Json, *entries: Json) -> Json:
    return schema | {VALIDATIONS: [*schema.get(VALIDATIONS, []), *entries]}
