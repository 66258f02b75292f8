"""What a Pod template says that Kubernetes does not know: a misspelt field, a number where a text belongs.

The schema of ImageRollout keeps the template as it is written, for its fields are Kubernetes' own and come and go with
versions. So the API server finds fault with it only when podpin applies the workload, and the user reads of it in the
condition Stalled. Here the models of the Kubernetes client are asked instead, which are those of one version. A field
that is like a known one is an error; one that is like none may be newer than the client, and is a warning.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from podpin.core.structure import Flaw, Path, dotted, quoted, unknown, value_at

TEMPLATE: Final[Path] = ("spec", "workload", "template", "spec")

_QUANTITIES: Final = frozenset({"limits", "requests", "overhead", "sizeLimit", "divisor", "capacity"})
"""Amounts may be numbers, though the models call them texts."""
_WORDS: Final[Mapping[str, tuple[type, ...]]] = {"str": (str,), "bool": (bool,), "int": (int,), "float": (int, float)}
_NAMES: Final = {"str": "string", "bool": "boolean", "int": "integer", "float": "number"}


def flaws_in_pods(manifest: Mapping[str, Any]) -> list[Flaw]:
    """What Kubernetes would find wrong with the Pod template of an ImageRollout's manifest, if it has one."""
    pod = value_at(manifest, TEMPLATE)
    if not isinstance(pod, Mapping):
        return []
    from kubernetes.aio.client import models  # only now: it is large, and not every manifest has a template

    return [*_in_object(models, "V1PodSpec", pod, TEMPLATE)]


def _in_object(models: Any, name: str, value: Mapping[str, Any], at: Path) -> Iterator[Flaw]:
    model = getattr(models, name)
    types = {model.attribute_map[field]: kind for field, kind in model.openapi_types.items()}
    for key, one in value.items():
        if key in types:
            yield from _in_value(models, types[key], one, (*at, key))
            continue
        flaw = unknown(types, key, at)
        known = "did you mean" in flaw.message
        yield Flaw(flaw.at, flaw.message if known else f"{flaw.message}, in the version that podpin knows", None, known)


def _in_value(models: Any, kind: str, value: Any, at: Path) -> Iterator[Flaw]:
    if value is None or kind == "object":
        return
    inner = re.fullmatch(r"(List|Dict)\[(?:str, )?(.+)\]", kind)
    match inner.groups() if inner else None:
        case ("List", of):
            if isinstance(value, list):
                for nth, one in enumerate(value):
                    yield from _in_value(models, of, one, (*at, nth))
            else:
                yield _mistyped(at, "array", value)
        case ("Dict", of):
            if isinstance(value, Mapping):
                for key, one in value.items():
                    yield from _in_value(models, of, one, (*at, key))
            else:
                yield _mistyped(at, "object", value)
        case _ if kind in _WORDS:
            fits = isinstance(value, _WORDS[kind]) and (kind == "bool" or not isinstance(value, bool))
            amount = not _QUANTITIES.isdisjoint(at) and isinstance(value, int | float)
            if not fits and not amount:
                yield _mistyped(at, _NAMES[kind], value)
        case _ if hasattr(models, kind):
            if isinstance(value, Mapping):
                yield from _in_object(models, kind, value, at)
            else:
                yield _mistyped(at, "object", value)
        case _:
            pass  # a time, which is a text


def _mistyped(at: Path, wanted: str, value: Any) -> Flaw:
    hint = ": put it in quotes" if wanted == "string" and isinstance(value, int | float) else ""
    shown = "" if isinstance(value, list | Mapping) else f", and {quoted(value)} is none"
    return Flaw(at, f"{dotted(at)}: must be of type {wanted}{shown}{hint}")
