"""Signatures of images: where they are found, and whether they hold.

`Verifier` is what the rest sees. It is asked about a digest and never about a tag, so that what was verified is what is
written. That an image was verified is remembered, since neither its bytes nor its signature can change; that it was not
is asked anew each time, since a signature often comes some seconds after the image.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from podpin.adapters.registry.manifest import INDEX_TYPES, descriptor_of, read_object
from podpin.adapters.signatures.discovery import Registry, Search
from podpin.adapters.signatures.keyless import Keyless
from podpin.core.reference import parse_digest
from podpin.core.trust import Flaw, Signature, flaw_in, refusal
from podpin.errors import Unavailable, Unverifiable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Sequence
    from pathlib import Path

    from podpin.adapters.registry.manifest import Manifest
    from podpin.adapters.signatures.keys import PublicKey
    from podpin.core.keyring import Access
    from podpin.core.reference import Repository
    from podpin.core.spec.images import Demand, SigstoreDemand

MOST_PLATFORMS: Final = 64
"""Of how many manifests an index may consist whose platforms are to be signed; attestations count too."""
_REMEMBERED: Final = 4096


class Verifier:
    """Whether images are signed as demanded. `trusted_root` is the file to verify sigstore's identities with."""

    def __init__(self, registry: Registry, trusted_root: Path | None = None) -> None:
        self._registry = registry
        self._keyless = Keyless(trusted_root)
        self._verified: OrderedDict[tuple[Repository, str, str], None] = OrderedDict()

    async def verify(
        self,
        repository: Repository,
        digest: str,
        access: Access,
        demands: tuple[Demand, ...],
        *,
        name: str,
        shared: dict[str, object] | None = None,
    ) -> str | None:
        """None where the image with this digest meets all demands; else why not, in words that begin with its `name`.

        Whoever asks the same repository with the same access several times, for one look, may keep what is found for
        all of them in `shared`: others' demands then cost no further requests.
        Keys in Secrets are taken from `access`. Raises podpin.errors: Unverifiable where nothing at all can be verified
        so, for a key that cannot be read or a trusted root that is missing; Unavailable, Denied and the like where the
        registry could not be asked.
        """
        parse_digest(digest)
        checks = [await self._check_of(demand, access) for demand in demands]
        known = (repository, digest, _fingerprint(checks, access))
        if known not in self._verified:
            searches = _Searches(self._registry, repository, access, {} if shared is None else shared)
            for check, flaw in (await self._unmet(digest, checks, searches)).items():
                return refusal(name, check.demand, flaw)
            self._verified[known] = None
            if len(self._verified) > _REMEMBERED:
                self._verified.popitem(last=False)
        return None

    async def _check_of(self, demand: Demand, access: Access) -> _Check:
        if demand.sigstore is not None:
            root = await asyncio.to_thread(self._keyless.prepare)
            return _Check(demand, keyless=self._keyless, root=root)
        from podpin.adapters.signatures.keys import load_keys  # only who verifies pays for the cryptography

        assert demand.cosign is not None, "the schema sees to it"
        name = demand.cosign.public_key_secret
        if name is None:
            return _Check(
                demand, load_keys((demand.cosign.public_key or "").encode(), "publicKey in spec.images[].verify")
            )
        pem = dict(access.keys).get(name)
        if pem is None:
            raise Unverifiable(f"The public key in Secret {name}, which verify names, is not at hand.")
        return _Check(demand, load_keys(pem, f"The key cosign.pub of Secret {name}"))

    async def _unmet(self, digest: str, checks: Sequence[_Check], searches: _Searches) -> dict[_Check, Flaw]:
        """The demands that are not met, with the flaw that tells the most."""
        whole = [check for check in checks if check.demand.subject != "platform"]
        unmet = await self._unmet_by(digest, whole, searches)
        parts = [
            check
            for check in checks
            if check.demand.subject == "platform" or (check.demand.subject == "either" and check in unmet)
        ]
        if parts:
            by_part = await self._unmet_by_platforms(digest, parts, searches)
            for check in parts:
                if check not in by_part:
                    unmet.pop(check, None)
                else:
                    unmet[check] = max(unmet.get(check, Flaw.MISSING), by_part[check])
        return unmet

    async def _unmet_by_platforms(
        self, digest: str, checks: Sequence[_Check], searches: _Searches
    ) -> dict[_Check, Flaw]:
        manifest = await searches.manifest(digest)
        children = [digest]
        if manifest.media_type in INDEX_TYPES:
            listed = (read_object(manifest.body) or {}).get("manifests", [])
            if len(listed) > MOST_PLATFORMS:
                return dict.fromkeys(checks, Flaw.TOO_MANY)
            found = [descriptor_of(entry) for entry in listed]
            if None in found:
                return dict.fromkeys(checks, Flaw.UNREADABLE)  # a node may be able to run what podpin cannot name
            # Buildkit's attestations are children of no platform.
            children = [child.digest for child in found if child is not None and child.platform != "unknown/unknown"]
        unmet: dict[_Check, Flaw] = dict.fromkeys(checks, Flaw.MISSING) if not children else {}
        for child in dict.fromkeys(children):
            # What one platform lacks no other can make good.
            left = [check for check in checks if check not in unmet]
            unmet |= await self._unmet_by(child, left, searches)
        return unmet

    async def _unmet_by(self, digest: str, checks: Iterable[_Check], searches: _Searches) -> dict[_Check, Flaw]:
        unmet = dict.fromkeys(checks, Flaw.MISSING)
        if not unmet:
            return unmet
        async for found in searches.of(digest):
            for check, before in list(unmet.items()):
                flaw = found if isinstance(found, Flaw) else await check.flaw_in(found, digest)
                if flaw is None:
                    del unmet[check]
                else:
                    unmet[check] = max(before, flaw)
            if not unmet:
                break
        return unmet


class _Searches:
    """The searches of one look in one repository, by digest."""

    def __init__(self, registry: Registry, repository: Repository, access: Access, begun: dict[str, object]) -> None:
        self._registry, self._repository, self._access = registry, repository, access
        self._begun = begun

    async def manifest(self, digest: str) -> Manifest:
        return await self._registry.manifest(self._repository, digest, self._access)

    def of(self, digest: str) -> _Findings:
        """What a search finds: one that was begun already goes on."""
        begun = self._begun.get(digest)
        if not isinstance(begun, _Findings) or begun.failed:
            begun = _Findings(Search(self._registry, self._repository, digest, self._access))
            self._begun[digest] = begun
        return begun


class _Findings:
    """What a search finds, one after another, for several that may look at once."""

    def __init__(self, search: Search) -> None:
        self.failed = False
        self._found: list[Signature | Flaw] = []
        self._rest = search.signatures()
        self._whole = False
        self._lock = asyncio.Lock()

    async def __aiter__(self) -> AsyncIterator[Signature | Flaw]:
        at = 0
        while True:
            if at == len(self._found) and not await self._go_on(at):
                return
            yield self._found[at]
            at += 1

    async def _go_on(self, at: int) -> bool:
        """Find one more; False where there is none."""
        async with self._lock:
            if at < len(self._found):
                return True
            if self.failed:
                raise Unavailable("The search for signatures was broken off; podpin searches again later.")
            if self._whole:
                return False
            try:
                self._found.append(await anext(self._rest))
            except StopAsyncIteration:
                self._whole = True
            except BaseException:
                self.failed = True
                raise
            return not self._whole


@dataclass(frozen=True, eq=False, slots=True)
class _Check:
    """One demand, and what it takes to find out whether a signature meets it."""

    demand: Demand
    keys: tuple[PublicKey, ...] = ()
    keyless: Keyless | None = None
    root: str = ""

    async def flaw_in(self, signature: Signature, digest: str) -> Flaw | None:
        """What is wrong with the signature, or None. Who signed is asked first: others' words count for nothing."""
        flaw = await self._flaw_in_signer(signature)
        return flaw if flaw is not None else flaw_in(signature, digest)

    async def _flaw_in_signer(self, signature: Signature) -> Flaw | None:
        if self.demand.sigstore is not None:
            return await self._flaw_in_identity(signature, self.demand.sigstore)
        from podpin.adapters.signatures.keys import is_signed_by

        signed = any(is_signed_by(key, signature.message, signature.signature) for key in self.keys)
        return None if signed else Flaw.ANOTHER_SIGNER

    async def _flaw_in_identity(self, signature: Signature, demand: SigstoreDemand) -> Flaw | None:
        if not signature.keyless:
            return Flaw.ANOTHER_SIGNER
        if signature.form == "simple":
            return Flaw.OLD_LAYOUT
        assert self.keyless is not None, "a demand for an identity has been given what verifies it"
        return await asyncio.to_thread(self.keyless.flaw_in, signature, demand)


def _fingerprint(checks: Iterable[_Check], access: Access) -> str:
    """Tells demands apart, with the keys that they name and the root that they trust."""
    keys = dict(access.keys)
    digest = hashlib.sha256()
    for check in checks:
        cosign = check.demand.cosign
        key = keys.get(cosign.public_key_secret or "", b"") if cosign is not None else b""
        for part in (check.demand.model_dump_json().encode(), key, check.root.encode()):
            digest.update(hashlib.sha256(part).digest())
    return digest.hexdigest()
