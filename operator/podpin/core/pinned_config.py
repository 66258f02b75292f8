"""Copies of the ConfigMaps and Secrets that a release is configured by, so that a rollback brings back what ran. Pure.

Each copy belongs to one state of one object's contents. Its name tells which, by a hash, so the same contents have the
same copy in every release, and other contents make another release. The template that goes on record names the copies
instead of the objects: whatever runs a release, or goes back to it, needs to know no more.

The hash is keyed. Names are for everybody to read, and a Secret with few possible values could be guessed from a plain
hash of it. The key is in a Secret of the rollout's own: who can read that can read the other Secrets as well.
"""

from __future__ import annotations

import base64
import copy
import hashlib
import hmac
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from podpin.core import names
from podpin.core.config import CONFIG_MAP, SECRET, Reference, places
from podpin.core.reading import array, mapping, text

MOST_REFERENCES: Final = 32
"""How many objects of one template are copied."""
MOST_BYTES: Final = 2**20
"""How long the contents of all of them may be together, as the API server has them."""
KEY_FIELD: Final = "key"
"""Where the Secret with a rollout's key has it."""
KEY_BYTES: Final = 32
_HASH: Final = 16
_NOT_COPIED: Final = frozenset({"kubernetes.io/service-account-token", "bootstrap.kubernetes.io/token"})
"""Types of Secrets that are Kubernetes' own to make: they are credentials of the cluster, no configuration."""
_NAME: Final = re.compile(r"[a-z0-9](?:[-a-z0-9.]{0,251}[a-z0-9])?", re.ASCII)


class Copy(NamedTuple):
    """A copy of a ConfigMap or a Secret."""

    kind: str
    of: str
    """The name of the object that it is a copy of."""
    name: str
    """Its own name, which tells what is in it."""

    def __str__(self) -> str:
        """As people name it: `ConfigMap web-settings-0123456789abcdef`."""
        return f"{self.kind} {self.name}"


@dataclass(frozen=True, slots=True)
class Contents:
    """What a look at the template's ConfigMaps and Secrets has found: the copies that a release of now would have."""

    copies: tuple[Copy, ...] = ()
    missing: tuple[Copy, ...] = ()
    """Those that are not there: not yet, or somebody has deleted them."""


def hash_of(key: bytes, kind: str, of: str, raw: Mapping[str, Any]) -> str:
    """The keyed hash of what Pods see of an object, which is named `of` or is a copy of the one that is."""
    seen = {
        "v": 1,
        "kind": kind,
        "of": of,
        "type": text(raw.get("type")),
        "data": mapping(raw.get("data")),
        "binaryData": mapping(raw.get("binaryData")),
    }
    canonical = json.dumps(seen, sort_keys=True, separators=(",", ":"))
    return hmac.new(key, canonical.encode(), hashlib.sha256).hexdigest()[:_HASH]


def copy_of(rollout: str, key: bytes, kind: str, of: str, raw: Mapping[str, Any]) -> Copy | None:
    """The copy that an object's contents have; None for what is never copied, and stays named as it is."""
    if kind == SECRET and raw.get("type") in _NOT_COPIED:
        return None
    stem = f"{rollout}-{of}"[: 253 - 1 - _HASH].rstrip("-.")
    return Copy(kind, of, f"{stem}-{hash_of(key, kind, of, raw)}")


def size_of(raw: Mapping[str, Any]) -> int:
    """How long an object's contents are, in bytes as the API server has them."""
    parts = (mapping(raw.get("data")), mapping(raw.get("binaryData")))
    return sum(len(name) + len(str(value).encode()) for part in parts for name, value in part.items())


def with_copies(template: Mapping[str, Any], copies: Iterable[Copy]) -> dict[str, Any]:
    """The template with the copies' names wherever it names the objects that they are copies of."""
    there = {(one.kind, one.of): one.name for one in copies}
    changed = copy.deepcopy(dict(template))
    for kind, field, place in places(changed):
        name = there.get((kind, text(place.get(field))))
        if name is not None:
            assert isinstance(place, dict), "what is copied deeply may be changed"
            place[field] = name
    return changed


def manifest_of(key: names.Key, uid: str, one: Copy, raw: Mapping[str, Any]) -> dict[str, Any]:
    """The copy as an object: the contents, immutable, and nothing else of the original but the type of a Secret.

    The rollout owns it, so that it is collected with it, and is not its controller: nothing keeps it as it is.
    """
    owner = {"apiVersion": names.API_VERSION, "kind": names.KIND, "name": key.name, "uid": uid}
    contents = {field: raw[field] for field in ("type", "data", "binaryData") if raw.get(field)}
    return {
        "apiVersion": "v1",
        "kind": one.kind,
        "metadata": {
            "name": one.name,
            "namespace": key.namespace,
            "labels": {names.LABEL_ROLLOUT: key.name, names.LABEL_MANAGED_BY: names.FIELD_MANAGER},
            "annotations": {names.ANNOTATION_COPY_OF: one.of},
            "ownerReferences": [owner],
        },
        "immutable": True,
        **contents,
    }


def key_manifest(key: names.Key, uid: str, secret: bytes) -> dict[str, Any]:
    """The Secret with a rollout's key."""
    raw = {"type": "Opaque", "data": {KEY_FIELD: base64.b64encode(secret).decode()}}
    body = manifest_of(key, uid, Copy(SECRET, "", names.config_key_name(key.name, uid)), raw)
    del body["metadata"]["annotations"]
    return body


def key_in(key: names.Key, uid: str, raw: Mapping[str, Any]) -> bytes | None:
    """A rollout's key as read back, or None where the Secret is none of podpin's, or is spoilt."""
    try:
        secret = base64.b64decode(text(mapping(raw.get("data")).get(KEY_FIELD)), validate=True)
    except ValueError:
        return None
    return secret if is_owned(key, uid, mapping(raw.get("metadata"))) and len(secret) == KEY_BYTES else None


def is_owned(key: names.Key, uid: str, metadata: Mapping[str, Any]) -> bool:
    """Whether podpin has made an object for this rollout."""
    labels = mapping(metadata.get("labels"))
    mine = {names.LABEL_ROLLOUT: key.name, names.LABEL_MANAGED_BY: names.FIELD_MANAGER}
    owners = map(mapping, array(metadata.get("ownerReferences")))
    return mine.items() <= labels.items() and any(owner.get("uid") == uid for owner in owners)


def is_faithful(key: bytes, one: Copy, raw: Mapping[str, Any]) -> bool:
    """Whether the copy has in it what its name says, and nobody can change that."""
    return raw.get("immutable") is True and one.name.endswith(f"-{hash_of(key, one.kind, one.of, raw)}")


def written(copies: Sequence[Copy]) -> str:
    """The copies as they stand on a release's record."""
    return json.dumps([list(one) for one in copies])


def read(noted: object) -> tuple[Copy, ...]:
    """The copies that a record names; none where the note is spoilt."""
    try:
        raw = json.loads(noted) if isinstance(noted, str) else []
    except ValueError:
        return ()
    entries = [entry for entry in array(raw) if isinstance(entry, list) and len(entry) == len(Copy._fields)]
    return tuple(Copy(*entry) for entry in entries if entry[0] in (CONFIG_MAP, SECRET) and all(map(_is_name, entry)))


def _is_name(value: object) -> bool:
    return isinstance(value, str) and (value in (CONFIG_MAP, SECRET) or _NAME.fullmatch(value) is not None)


def changed(old: Sequence[Copy], new: Sequence[Copy]) -> str:
    """Which objects have other contents in one release than in another, in words; nothing where none has."""
    before = {(one.kind, one.of): one.name for one in old}
    told = [f"{one.kind} {one.of}" for one in new if before.get((one.kind, one.of), one.name) != one.name]
    return f", with another {', '.join(told)}" if told else ""


def too_many(found: Sequence[Reference]) -> str:
    """Why so many objects are not copied, in a sentence; empty where they are."""
    if len(found) <= MOST_REFERENCES:
        return ""
    return f"the template names {len(found)} ConfigMaps and Secrets, and workload.pinConfig copies {MOST_REFERENCES}"
