"""Everything that is wrong with one ImageRollout's manifest, without a cluster.

Three look at it, in this order, and each says what it would say in earnest: the API server's strict decoder and its
structural schema (`podpin.core.structure`); the rules of the models, which are the sentences of the CRD; and the
operator (`problems_of`), which would answer with Stalled. Where one has found fault with a place, the next is silent
about what hangs on it, so one mistake brings one sentence.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from pydantic import ValidationError

from podpin.core import names
from podpin.core.reading import mapping
from podpin.core.schema import structural
from podpin.core.spec import Spec, problems_of
from podpin.core.spec.whole import WHOLE
from podpin.core.structure import Flaw, Path, dotted, flaws_in, homes_of, quoted, unknown, value_at, without_nulls

_FIELDS: Final = dict.fromkeys(("apiVersion", "kind", "metadata", "spec", "status"))
_METADATA: Final = dict.fromkeys(
    ("annotations", "creationTimestamp", "deletionGracePeriodSeconds", "deletionTimestamp", "finalizers",
     "generateName", "generation", "labels", "managedFields", "name", "namespace", "ownerReferences",
     "resourceVersion", "selfLink", "uid")
)  # fmt: skip
_LABEL: Final = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN: Final = rf"{_LABEL}(\.{_LABEL})*"
_SUBDOMAIN_ADVICE: Final = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and "
    f"end with an alphanumeric character (e.g. 'example.com', regex used for validation is '{_SUBDOMAIN}')"
)
_LABEL_ADVICE: Final = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with "
    f"an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '{_LABEL}')"
)


def is_rollout(body: Any) -> bool:
    """Whether a document is meant to be an ImageRollout, whatever else is wrong with it."""
    return isinstance(body, Mapping) and body.get("kind") == names.KIND


def flaws_of(manifest: Mapping[str, Any]) -> list[Flaw]:
    """Everything that is wrong with the manifest of an ImageRollout, in the order of its judges."""
    version = manifest.get("apiVersion")
    if version != names.API_VERSION:
        told = f'no matches for kind "{names.KIND}" in version "{version or ""}": write {names.API_VERSION}'
        return [Flaw(("apiVersion",), told)]
    flaws = [*_in_envelope(manifest)]
    body = without_nulls({"properties": {"spec": spec_schema()}}, manifest).get("spec")
    if body is None:
        return [*flaws, Flaw(("spec",), "spec: Required value")]
    flaws += map(_at_home, flaws_in(spec_schema(), body, ("spec",)))
    spec, refused = _judged(body, flawed=bool(flaws))
    flaws += [one for one in refused if not hangs_on(one.at, flaws)]
    if spec is not None and not flaws:
        flaws += _of_the_whole({**manifest, "spec": body})
        flaws += [Flaw(one.at, one.message, one.reason) for one in problems_of(spec)]
    return flaws


@functools.cache
def spec_schema() -> dict[str, Any]:
    """The schema by which the API server judges a spec."""
    return structural(Spec)


def spec_in(manifest: Mapping[str, Any]) -> Spec | None:
    """The spec of a manifest, or None where it can't be read."""
    body = without_nulls({"properties": {"spec": spec_schema()}}, manifest).get("spec")
    return _judged(body, flawed=False)[0]


def _in_envelope(manifest: Mapping[str, Any]) -> Iterator[Flaw]:
    for name in (one for one in manifest if one not in _FIELDS):
        homes = [*homes_of(spec_schema(), name, ("spec",))]
        yield unknown(_FIELDS, name, (), dotted(min(homes, key=len)) if homes else None)
    metadata = manifest.get("metadata")
    if not isinstance(metadata, Mapping):
        yield Flaw(("metadata",), "metadata.name: Required value: name or generateName is required")
        return
    for name in (one for one in metadata if one not in _METADATA):
        yield unknown(_METADATA, name, ("metadata",))
    for field in ("labels", "annotations"):
        pairs = metadata.get(field)
        if pairs is not None and not isinstance(pairs, Mapping):
            yield Flaw(("metadata", field), f"metadata.{field}: must be an object of keys and texts")
        for key, value in mapping(pairs).items():
            if not isinstance(value, str):
                at = ("metadata", field, key)
                yield Flaw(at, f"metadata.{field}.{key}: must be a text, and {quoted(value)} is none: put it in quotes")
    yield from _named(metadata)


def _named(metadata: Mapping[str, Any]) -> Iterator[Flaw]:
    name, namespace = metadata.get("name"), metadata.get("namespace")
    if not name:
        if not metadata.get("generateName"):
            yield Flaw(("metadata", "name"), "metadata.name: Required value: name or generateName is required")
    elif not isinstance(name, str) or not re.fullmatch(_SUBDOMAIN, name):
        yield Flaw(("metadata", "name"), f"metadata.name: Invalid value: {quoted(name)}: {_SUBDOMAIN_ADVICE}")
    if namespace is not None and (not isinstance(namespace, str) or not re.fullmatch(_LABEL, namespace)):
        at = ("metadata", "namespace")
        yield Flaw(at, f"metadata.namespace: Invalid value: {quoted(namespace)}: {_LABEL_ADVICE}")


def _at_home(flaw: Flaw) -> Flaw:
    """A field that is known elsewhere, with where that is."""
    if not flaw.message.startswith("unknown field") or "did you mean" in flaw.message:
        return flaw
    name = str(flaw.at[-1])
    homes = [home for home in homes_of(spec_schema(), name, ("spec",)) if "template" not in home]
    if not homes:
        return flaw
    return Flaw(flaw.at, f"{flaw.message}; it belongs under {dotted(min(homes, key=len))}")


def _judged(body: Any, *, flawed: bool) -> tuple[Spec | None, list[Flaw]]:
    """The spec, or what its models refuse: the sentences of the rules. `flawed` says that its structure is."""
    try:
        return Spec.model_validate(body, by_alias=True, by_name=False), []
    except ValidationError as error:
        said = [dict(one) for one in error.errors(include_url=False)]
    # Of the structure the schema has spoken: what pydantic has to say of it is said only for want of anything else.
    rules = [one for one in said if one["type"] == "refused"]
    return None, [_refusal(one, body) for one in (rules if rules or flawed else said)]


def _refusal(error: Mapping[str, Any], body: Any) -> Flaw:
    at: Path = ("spec", *error["loc"])
    value = value_at(body, at[1:])
    shown = "" if isinstance(value, dict | list) or value is None else f"{quoted(value)}: "
    return Flaw(at, f"{dotted(at)}: Invalid value: {shown}{error['msg']}")


def hangs_on(at: Path, flaws: list[Flaw]) -> bool:
    """Whether fault was found already with the place itself, with what it is in, or with what is in it."""
    return any(at[: len(one.at)] == one.at or one.at[: len(at)] == at for one in flaws)


def _of_the_whole(manifest: Mapping[str, Any]) -> Iterator[Flaw]:
    if not isinstance(name := manifest["metadata"].get("name"), str):
        return
    for rule in WHOLE:
        if rule.holds is not None and not rule.holds(manifest):
            at: Path = (
                ("metadata", "name") if len(name) > 63 and "metadata.name" in rule.message else ("spec", "dependsOn")
            )
            yield Flaw(at, rule.message)
