"""Whether what a registry sent is the manifest that it claims to be.

A digest is proven here, over the bytes as they came: registries send wrong digest headers, and none at all. A document
that two readers could take for two different images (CVE-2021-41190) is refused, and so is Docker's schema 1, whose
digest names no content.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from podpin.core.reference import ReferenceInvalid, parse_digest
from podpin.errors import Untrusted

if TYPE_CHECKING:
    from collections.abc import Mapping

INDEX_TYPES: Final = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
IMAGE_TYPES: Final = (
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)

ACCEPT: Final = ", ".join((*INDEX_TYPES, *IMAGE_TYPES))
"""All that podpin reads. With less, a registry answers an index with one platform's digest, or with 404."""

MOST_DESCRIPTORS: Final = 1024
"""Of how many entries of a list podpin takes note, where it is looking for something in it."""

_SCHEMA_1: Final = frozenset(
    {
        "application/vnd.docker.distribution.manifest.v1+json",
        "application/vnd.docker.distribution.manifest.v1+prettyjws",
    }
)


@dataclass(frozen=True, slots=True)
class Manifest:
    """A manifest or an index whose digest was computed from its bytes; the media type is one of those above."""

    digest: str
    media_type: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Descriptor:
    """What an index or a manifest says of another document: nothing of it is proven but the digest's form."""

    digest: str
    media_type: str = ""
    artifact_type: str = ""
    size: int = 0
    platform: str = ""
    """OS and architecture, as in linux/amd64."""
    annotations: Mapping[str, Any] = field(default_factory=dict)


def media_type(content_type: str | None) -> str:
    """A Content-Type header without its parameters, in lowercase; empty if there is none."""
    return (content_type or "").partition(";")[0].strip().lower()


def is_web_page(content_type: str | None, body: bytes) -> bool:
    """Whether this is a page for people: a login form, a proxy's error, a host that is no registry."""
    return media_type(content_type) in {"text/html", "application/xhtml+xml"} or body.lstrip()[:1] == b"<"


def read_object(body: bytes) -> dict[str, Any] | None:
    """Parse a JSON object out of a stranger's answer; None if it is none."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def descriptors_in(body: bytes, key: str = "manifests") -> list[Descriptor]:
    """What a document lists under `manifests`, or `layers`: the first of it, without entries that cannot be read."""
    listed = (read_object(body) or {}).get(key)
    found = [descriptor_of(entry) for entry in listed[:MOST_DESCRIPTORS]] if isinstance(listed, list) else []
    return [descriptor for descriptor in found if descriptor is not None]


def descriptor_of(entry: Any) -> Descriptor | None:
    """One descriptor, or None for what is none, or has no digest that podpin can use."""
    if not isinstance(entry, dict):
        return None
    try:
        digest = parse_digest(str(entry.get("digest")))
    except ReferenceInvalid:
        return None
    size, platform, annotations = entry.get("size"), entry.get("platform"), entry.get("annotations")
    platform = platform if isinstance(platform, dict) else {}
    return Descriptor(
        digest,
        _text(entry.get("mediaType")),
        _text(entry.get("artifactType")),
        size if isinstance(size, int) else 0,
        f"{platform.get('os', '')}/{platform.get('architecture', '')}" if platform else "",
        annotations if isinstance(annotations, dict) else {},
    )


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


_KNOWN: Final = frozenset(
    {"schemaVersion", "mediaType", "artifactType", "manifests", "config", "layers", "subject", "annotations", "digest",
     "size", "urls", "data", "platform", "architecture", "os", "os.version", "os.features", "variant", "features"}
)  # fmt: skip
_FOLDED: Final = frozenset(name.casefold() for name in _KNOWN)


class _Members(dict[str, Any]):
    """An object, and whether another reader could read other members out of it."""

    __slots__ = ("ambiguous",)

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        super().__init__(pairs)
        folded = [name.casefold() for name, _ in pairs]
        odd = any(name in _FOLDED and pair[0] not in _KNOWN for name, pair in zip(folded, pairs, strict=True))
        self.ambiguous = odd or len(set(folded)) < len(folded)


def _is_ambiguous(value: Any) -> bool:
    """Whether two readers could take a document for two different ones.

    Container runtimes are written in Go, whose decoder takes a name in any case, and the last one where there are
    several. The texts in annotations are taken as they are.
    """
    if isinstance(value, _Members):
        return value.ambiguous or any(_is_ambiguous(part) for name, part in value.items() if name != "annotations")
    return isinstance(value, list) and any(map(_is_ambiguous, value))


def prove_manifest(where: str, content_type: str | None, body: bytes) -> Manifest:
    """Return a manifest or index with the digest computed from its bytes, after checking that it is one.

    `where` names it for the sentence. Raises Untrusted.
    """
    claimed = media_type(content_type)
    if claimed in _SCHEMA_1:
        raise _schema_1(where)
    if is_web_page(content_type, body):
        raise Untrusted(f"{where} is a web page and no manifest; check the repository's host.")
    try:
        manifest = json.loads(body, object_pairs_hook=_Members)
    except (ValueError, RecursionError):
        manifest = None
    if not isinstance(manifest, _Members):
        raise Untrusted(f"{where} is no manifest: it is not a JSON object.")
    if _is_ambiguous(manifest):
        raise Untrusted(f"{where} can be read as two different images: it spells a name twice, or in another case.")
    if manifest.get("schemaVersion") == 1:
        raise _schema_1(where)
    inner = manifest.get("mediaType")
    if inner is not None and claimed and inner != claimed:
        raise Untrusted(f"{where} contradicts itself: its Content-Type and its mediaType differ.")
    if "manifests" in manifest and ("layers" in manifest or "config" in manifest or "fsLayers" in manifest):
        raise Untrusted(f"{where} can be read as two different images: it has both manifests and layers.")
    kind = claimed or inner
    if kind is None:
        kind = INDEX_TYPES[0] if "manifests" in manifest else IMAGE_TYPES[0]
    if kind in INDEX_TYPES:
        whole = isinstance(manifest.get("manifests"), list)
    elif kind in IMAGE_TYPES:
        whole = isinstance(manifest.get("config"), dict) and isinstance(manifest.get("layers"), list)
    else:
        raise Untrusted(f"{where} is neither a manifest nor an index that podpin knows.")
    if not whole:
        raise Untrusted(f"{where} lacks what its media type promises.")
    return Manifest(digest_of(body), kind, body)


def digest_of(body: bytes) -> str:
    """The digest of these bytes, as `sha256:` and 64 hexadecimal digits."""
    return f"sha256:{hashlib.sha256(body).hexdigest()}"


def _schema_1(where: str) -> Untrusted:
    return Untrusted(f"{where} is in Docker's old schema 1, which cannot be pinned; push it again with a newer tool.")
