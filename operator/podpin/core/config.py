"""What a Pod template takes from ConfigMaps and Secrets, and what has become of that since.

A rollback brings a template back, and the template only names its configuration: where a ConfigMap was changed together
with the image, the old release comes back with the new contents. podpin cannot know what the contents mean, but it can
say that they are others than those that the release had proven healthy with.

The template is the user's, in whatever shape: what is read here is total, and what is odd counts as not there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, NamedTuple

from podpin.core import names
from podpin.core.reading import array, mapping
from podpin.core.times import read_time

CONFIG_MAP: Final = "ConfigMap"
SECRET: Final = "Secret"  # noqa: S105 -- a kind
MOST_TOLD: Final = 3
"""How many objects one message names."""
CONTENTS: Final = frozenset({"f:data", "f:binaryData"})
"""Who manages none of these fields of an object has not changed what Pods see of it."""


class Reference(NamedTuple):
    """A ConfigMap or a Secret from which the containers of a template take configuration."""

    kind: str
    name: str
    optional: bool = False
    """The Pods start without it, wherever they name it."""

    def __str__(self) -> str:
        """As people name it: `ConfigMap settings`."""
        return f"{self.kind} {self.name}"


@dataclass(frozen=True, slots=True)
class Moved:
    """A reference that is not any more what it was when the release proved healthy."""

    reference: Reference
    by: str | None = None
    """The field manager that changed it last; empty where it has no name, None where the object is missing."""


def references(template: Mapping[str, Any]) -> tuple[Reference, ...]:
    """All ConfigMaps and Secrets whose contents the template's containers see, each once, sorted.

    Not among them are the credentials with which images are pulled and storage is attached: the kubelet uses those
    itself.
    """
    found: dict[tuple[str, str], bool] = {}
    for kind, field, place in places(template):
        name = place.get(field)
        if isinstance(name, str) and name:
            optional = place.get("optional") is True
            found[kind, name] = found.get((kind, name), True) and optional
    return tuple(Reference(kind, name, optional) for (kind, name), optional in sorted(found.items()))


def places(template: Mapping[str, Any]) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """Each place that names one: its kind, the field with the name, and the object that has the field."""
    pod = mapping(template.get("spec"))
    for volume in map(mapping, array(pod.get("volumes"))):
        yield CONFIG_MAP, "name", mapping(volume.get("configMap"))
        yield SECRET, "secretName", mapping(volume.get("secret"))
        for source in map(mapping, array(mapping(volume.get("projected")).get("sources"))):
            yield CONFIG_MAP, "name", mapping(source.get("configMap"))
            yield SECRET, "name", mapping(source.get("secret"))
    for container in map(mapping, (*array(pod.get("containers")), *array(pod.get("initContainers")))):
        for source in map(mapping, array(container.get("envFrom"))):
            yield CONFIG_MAP, "name", mapping(source.get("configMapRef"))
            yield SECRET, "name", mapping(source.get("secretRef"))
        for variable in map(mapping, array(container.get("env"))):
            source = mapping(variable.get("valueFrom"))
            yield CONFIG_MAP, "name", mapping(source.get("configMapKeyRef"))
            yield SECRET, "name", mapping(source.get("secretKeyRef"))


def moved(reference: Reference, metadata: Mapping[str, Any] | None, proven: datetime) -> Moved | None:
    """What became of an object since a release proved healthy, by its metadata; None for nothing that is certain.

    Field managers are dated to the second, and so is the verdict: what falls into one second counts as not changed.
    A key that was taken away leaves no date; the Pod's own state tells of that.
    """
    if metadata is None:
        return None if reference.optional else Moved(reference)
    if names.ANNOTATION_COPY_OF in mapping(metadata.get("annotations")):
        return None  # a copy of podpin's, which is immutable: one that was made anew has the same in it
    changes = [
        (at, str(entry.get("manager") or ""))
        for entry in map(mapping, array(metadata.get("managedFields")))
        if CONTENTS & mapping(entry.get("fieldsV1")).keys() and (at := read_time(entry.get("time"))) is not None
    ]
    at, by = max(changes, default=(None, ""))
    return Moved(reference, by) if at is not None and at > proven else None


def suspicion(changes: Sequence[Moved]) -> str:
    """What is said of such objects, and what to do; nothing where there are none."""
    if not changes:
        return ""
    gone = [f"{one.reference} is missing" for one in changes if one.by is None]
    others = [
        f"{one.reference} was changed{f' by {one.by}' if one.by else ''} after the release had proven healthy"
        for one in changes
        if one.by is not None
    ]
    every = [*gone, *others]
    more = f"; and {len(every) - MOST_TOLD} more" if len(every) > MOST_TOLD else ""
    what = "it" if len(every) == 1 else "them"
    advice = f"restore {what}, or roll out a version that fits"
    return f"; {'; '.join(every[:MOST_TOLD])}{more}: {advice}"
