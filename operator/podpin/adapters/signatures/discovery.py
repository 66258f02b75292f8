"""Where the signatures of a digest are: the registry's list of referrers, its fallback tag, and cosign's older tag.

All of it is strangers' word. Registries answer the first with pages, with other people's web sites, or with the image
itself; so a manifest counts only if its `subject` is our digest, it is fetched by digest, and what is looked at has a
limit in number and size. What a signature then says is `core.trust`'s to judge.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol, TypeVar

from podpin.adapters.registry.manifest import (
    INDEX_TYPES,
    Descriptor,
    Manifest,
    descriptor_of,
    descriptors_in,
    read_object,
)
from podpin.core.trust import (
    BUNDLE_TYPES,
    PREDICATE_ANNOTATION,
    SIGN_PREDICATE,
    SIMPLE_ARTIFACT,
    SIMPLE_SIGNING,
    Flaw,
    Signature,
    fallback_tag,
    legacy_tag,
    parse_bundle,
    parse_simple,
)
from podpin.errors import Denied, Invalid, NotFound, Untrusted

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable

    from podpin.core.keyring import Access
    from podpin.core.reference import Repository

_T = TypeVar("_T")

MOST_SIGNATURES: Final = 32
"""How many signatures of one digest are looked at: everybody who may push can add more."""
MOST_BYTES: Final = 128 * 1024
"""The longest signature. cosign's own are a few kilobytes long, with a certificate and a log entry."""

_ARTIFACT_TYPES: Final = frozenset({*BUNDLE_TYPES, SIMPLE_ARTIFACT})


class Registry(Protocol):
    """All registries, as far as signatures go. Its methods raise podpin.errors."""

    async def manifest(self, repository: Repository, name: str, access: Access) -> Manifest:
        """The manifest behind a tag or digest, proven."""

    async def blob(self, repository: Repository, digest: str, access: Access, most_bytes: int) -> bytes:
        """The blob of a digest, proven."""

    async def referrers(self, repository: Repository, digest: str, access: Access) -> tuple[Descriptor, ...] | None:
        """What refers to a digest, unproven; None where the registry cannot tell."""


class Search:
    """One search for the signatures of one digest."""

    def __init__(self, registry: Registry, repository: Repository, digest: str, access: Access) -> None:
        self._registry = registry
        self._repository = repository
        self._digest = digest
        self._access = access
        self._seen: set[str] = set()
        self._looked = 0

    async def signatures(self) -> AsyncIterator[Signature | Flaw]:
        """All that may be signatures, as they are found, and flaws in place of those that cannot be read.

        Raises Unavailable and Denied where the registry could not be asked.
        """
        for place in (self._referrers, self._fallback):
            for descriptor in await place():
                if descriptor.digest in self._seen or not _may_sign(descriptor):
                    continue
                self._seen.add(descriptor.digest)
                async for found in self._artifact(descriptor.digest):
                    yield found
                    if found is Flaw.TOO_MANY:
                        return
        manifest = await self._tagged(legacy_tag(self._digest))
        if manifest is not None:
            async for found in self._layers(manifest, counted=False):
                yield found

    async def _referrers(self) -> tuple[Descriptor, ...]:
        try:
            return await self._registry.referrers(self._repository, self._digest, self._access) or ()
        except (Denied, NotFound):
            return ()  # some refuse what they don't know; if they refuse us, they say so again at once

    async def _fallback(self) -> list[Descriptor]:
        manifest = await self._tagged(fallback_tag(self._digest))
        return descriptors_in(manifest.body) if manifest is not None and manifest.media_type in INDEX_TYPES else []

    async def _tagged(self, tag: str) -> Manifest | None:
        """What a tag names, unless that is the image itself: some read `sha256-…` as its digest."""
        manifest = await _if_readable(self._registry.manifest(self._repository, tag, self._access))
        return None if manifest is None or manifest.digest == self._digest else manifest

    async def _artifact(self, digest: str) -> AsyncIterator[Signature | Flaw]:
        if self._looked >= MOST_SIGNATURES:
            yield Flaw.TOO_MANY
            return
        self._looked += 1
        manifest = await _if_readable(self._registry.manifest(self._repository, digest, self._access))
        target = descriptor_of((read_object(manifest.body) or {}).get("subject")) if manifest is not None else None
        if manifest is None or target is None or target.digest != self._digest:
            yield Flaw.UNREADABLE
            return
        async for found in self._layers(manifest, counted=True):
            yield found

    async def _layers(self, manifest: Manifest, *, counted: bool) -> AsyncIterator[Signature | Flaw]:
        """The signatures in a manifest, of which the first may have been counted with it."""
        for layer in descriptors_in(manifest.body, "layers"):
            if layer.media_type != SIMPLE_SIGNING and layer.media_type not in BUNDLE_TYPES:
                continue
            if not counted and self._looked >= MOST_SIGNATURES:
                yield Flaw.TOO_MANY
                return
            self._looked += not counted
            counted = False
            yield await self._read(layer) or Flaw.UNREADABLE

    async def _read(self, layer: Descriptor) -> Signature | None:
        if layer.size > MOST_BYTES:
            return None
        content = await _if_readable(self._registry.blob(self._repository, layer.digest, self._access, MOST_BYTES))
        if content is None:
            return None
        return parse_simple(content, layer.annotations) if layer.media_type == SIMPLE_SIGNING else parse_bundle(content)


async def _if_readable(asked: Awaitable[_T]) -> _T | None:
    """What is there, or None where that is nothing, or nothing that can be used."""
    try:
        return await asked
    except (NotFound, Untrusted, Invalid):
        return None


def _may_sign(descriptor: Descriptor) -> bool:
    """Whether to fetch it. Lists lack types where tools leave them out, and never the other way round."""
    if descriptor.artifact_type and descriptor.artifact_type not in _ARTIFACT_TYPES:
        return False
    return bool(descriptor.annotations.get(PREDICATE_ANNOTATION, SIGN_PREDICATE) == SIGN_PREDICATE)
