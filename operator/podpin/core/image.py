"""What an image is, read from its manifests: platforms, build time, size, and what it is built on.

The documents come from strangers whose digests were proven and whose contents were not. So reading is total: what is
missing or odd is unknown, never an error.

Build time is the publisher's word. It stands in the annotation `org.opencontainers.image.created` of the index or of
the manifest, or as `created` in the config; the first of these that is there counts. Builds that are to be reproducible
write 1970 or 1980 there, which says nothing: times before 2010 count as unknown, for no image format is that old, and
so do those after 2200. Times count to the second, as Kubernetes keeps them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from podpin.core.reading import array, mapping
from podpin.core.times import read_time

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

CREATED: Final = "org.opencontainers.image.created"
BASE_NAME: Final = "org.opencontainers.image.base.name"
BASE_DIGEST: Final = "org.opencontainers.image.base.digest"
EARLIEST: Final = datetime(2010, 1, 1, tzinfo=UTC)
LATEST: Final = datetime(2200, 1, 1, tzinfo=UTC)
MOST_PLATFORMS: Final = 32
MOST_LAYERS: Final = 256

_DIGEST: Final = re.compile("sha256:[0-9a-f]{64}", re.ASCII)
_WORD: Final = re.compile("[a-z0-9][a-z0-9._-]{0,31}", re.ASCII)
_BASE: Final = re.compile(r"[\x21-\x7e]{1,255}", re.ASCII)
_PLAIN_VARIANTS: Final = frozenset({("arm64", "v8"), ("amd64", "v1")})
"""Variants that mean the same as none, as containerd normalizes them."""

Documents = Mapping[str, Any]


class Child(NamedTuple):
    """An image of an index: its digest, and its platform as `os/arch` or `os/arch/variant`."""

    digest: str
    platform: str


class Layer(NamedTuple):
    """A blob that has to be pulled; its size is in bytes."""

    digest: str
    size: int


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of an image. The layers, config included, are those for one of its platforms."""

    platforms: tuple[str, ...] = ()
    created: datetime | None = None
    base: str | None = None
    layers: tuple[Layer, ...] = ()

    @property
    def size(self) -> int | None:
        """Bytes to pull in all, or None where that is not known."""
        return sum(layer.size for layer in self.layers) if self.layers else None

    def new_beside(self, other: Facts) -> int | None:
        """Bytes to pull where all of `other` is there already, or None where that is not known."""
        if not self.layers or not other.layers:
            return None
        there = {layer.digest for layer in other.layers}
        return sum(layer.size for layer in self.layers if layer.digest not in there)

    def lacks(self, wanted: Iterable[str]) -> list[str]:
        """Those of the wanted platforms that the image does not have."""
        return [one for one in wanted if not any(_is_for(platform, one) for platform in self.platforms)]


def children_of(index: Documents) -> tuple[Child, ...]:
    """The images of an index, without attestations and without those that name no platform."""
    return tuple(_children(index))


def _children(index: Documents) -> Iterator[Child]:
    for entry in array(index.get("manifests"))[: 4 * MOST_PLATFORMS]:
        if not isinstance(entry, Mapping) or _annotation(entry, "vnd.docker.reference.type"):
            continue
        digest, platform = entry.get("digest"), platform_of(mapping(entry.get("platform")))
        if isinstance(digest, str) and _DIGEST.fullmatch(digest) and platform is not None:
            yield Child(digest, platform)


def pick(children: Sequence[Child], wanted: Sequence[str]) -> Child | None:
    """The image to look into: that of the first wanted platform, or else the first there is."""
    for one in wanted:
        for child in children:
            if _is_for(child.platform, one):
                return child
    return children[0] if children else None


def config_of(manifest: Documents) -> str | None:
    """The digest of a manifest's config, or None where it has none."""
    digest = mapping(manifest.get("config")).get("digest")
    return digest if isinstance(digest, str) and _DIGEST.fullmatch(digest) else None


def facts_of(index: Documents | None, manifest: Documents | None, config: Documents | None) -> Facts:
    """What these documents say; those that were not read are None."""
    top, inner, deep = (mapping(document) for document in (index, manifest, config))
    labels = mapping(mapping(deep.get("config")).get("Labels"))
    own = platform_of(deep)
    platforms = [child.platform for child in children_of(top)] if index is not None else [own] if own else []
    created = _first(_time(_annotation(top, CREATED)), _time(_annotation(inner, CREATED)), _time(deep.get("created")))
    base = [
        _first(_text(_annotation(top, name)), _text(_annotation(inner, name)), _text(labels.get(name)))
        for name in (BASE_NAME, BASE_DIGEST)
    ]
    return Facts(
        platforms=tuple(dict.fromkeys(platforms))[:MOST_PLATFORMS],
        created=created,
        base="@".join(part for part in base if part) or None,
        layers=tuple(_layers(inner)),
    )


def created_of(document: Documents) -> datetime | None:
    """The build time that an index or a manifest carries in its annotations."""
    return _time(_annotation(document, CREATED))


def platform_of(names: Documents) -> str | None:
    """`os/arch` or `os/arch/variant` of a platform or a config; None where it names none."""
    parts = [names.get(part) for part in ("os", "architecture", "variant")]
    words = [part for part in parts if isinstance(part, str) and _WORD.fullmatch(part) and part != "unknown"]
    if parts[2] in (None, "") and len(words) == 2:
        return "/".join(words)
    return "/".join(words) if len(words) == 3 else None


def _layers(manifest: Documents) -> Iterator[Layer]:
    for blob in [manifest.get("config"), *array(manifest.get("layers"))][:MOST_LAYERS]:
        digest, size = mapping(blob).get("digest"), mapping(blob).get("size")
        if isinstance(digest, str) and _DIGEST.fullmatch(digest) and type(size) is int and 0 <= size < 2**50:
            yield Layer(digest, size)


def _is_for(platform: str, wanted: str) -> bool:
    """Whether an image for the one runs where the other is wanted: a variant counts where it is asked for."""
    os, arch, variant = _split(platform)
    wanted_os, wanted_arch, wanted_variant = _split(wanted)
    return (os, arch) == (wanted_os, wanted_arch) and wanted_variant in (None, variant)


def _split(platform: str) -> tuple[str, str, str | None]:
    os, arch, *rest = (*platform.split("/", 2), "", "")[:3]
    variant = rest[0] or None
    return os, arch, None if (arch, variant) in _PLAIN_VARIANTS else variant


def _time(value: object) -> datetime | None:
    found = read_time(value) if isinstance(value, str) and len(value) <= 64 else None
    return found.replace(microsecond=0) if found is not None and EARLIEST <= found < LATEST else None


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and _BASE.fullmatch(value) else None


def _annotation(document: Documents, name: str) -> object:
    return mapping(document.get("annotations")).get(name)


def _first(*values: Any) -> Any:
    return next((value for value in values if value is not None), None)
