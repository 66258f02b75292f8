"""Copies of configuration: what a template's ConfigMaps and Secrets contain now, and that a release's copies are there.

podpin watches none of them, for they are strangers' objects. It reads them as often as it looks at the registry, and at
once when there is a reason: another spec, another choice of an image, or somebody who asks.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final, Protocol

from podpin.core.config import Reference, references
from podpin.core.decision import Rollout
from podpin.core.names import Key
from podpin.core.observation import Observation, Resolved, Unresolved
from podpin.core.pinned_config import (
    MOST_BYTES,
    Contents,
    Copy,
    copy_of,
    is_faithful,
    manifest_of,
    size_of,
    too_many,
)
from podpin.core.release import Release
from podpin.core.spec import Spec
from podpin.errors import Conflict, Denied, Invalid, PodpinError, Unavailable

LOOK_AGAIN: Final = timedelta(seconds=10)
"""After how long it is looked again for what stood in the way."""
RIGHTS: Final = "the rights for workload.pinConfig are in manifests/pin-config.yaml"

log = logging.getLogger(__name__)


class Configs(Protocol):
    """What is asked of the cluster."""

    async def config(self, key: Key, kind: str, name: str) -> Mapping[str, Any] | None:
        """A ConfigMap or a Secret in the rollout's namespace, or None where there is none."""

    async def config_metadata(self, key: Key, kind: str, name: str) -> Mapping[str, Any] | None:
        """Its metadata alone."""

    async def config_key(self, key: Key, uid: str, known: bytes | None) -> bytes:
        """The key by which a rollout's copies get their names, made where there is none; `known` is what it was."""

    async def write_copy(self, key: Key, manifest: Mapping[str, Any]) -> None:
        """Make a copy; raises Conflict where the name is taken."""


class CopyRefused(Exception):  # noqa: N818 -- named for what became of the copy
    """A release that is to be started cannot have its copies: nothing newer than what runs is wanted for now."""


class _CopyTaken(PodpinError):  # noqa: N818 -- says what the name is
    """An object has the name of a copy, and something else in it, or may have soon."""


@dataclass(slots=True)
class _Known:
    """What the last look has found, and what for."""

    reason: object
    at: datetime
    contents: Contents | Unresolved
    lasts: timedelta
    """After how long it is looked again."""
    withheld: tuple[Copy, ...] = ()
    """The copies of a release that was about to start and could not have them: it is not wanted before it has."""


class Pinning:
    """Looks at rollouts' configuration, and sees to the copies of it."""

    def __init__(self, cluster: Configs) -> None:
        self._cluster = cluster
        self._known: dict[Key, _Known] = {}
        self._keys: dict[Key, tuple[str, bytes]] = {}

    def forget(self, key: Key) -> None:
        """Forget a rollout that is no more."""
        self._known.pop(key, None)
        self._keys.pop(key, None)

    async def contents(
        self, rollout: Rollout, spec: Spec, seen: Observation, now: datetime
    ) -> tuple[Contents | Unresolved | None, timedelta | None]:
        """What the rollout is configured by now, and after how long to look again; None where it is not pinned.

        Raises Unavailable where the API server does not answer, and never has since there was a reason to look.
        """
        if not spec.pins_config or spec.suspend:
            self._known.pop(rollout.key, None)
            return None, None
        chosen = tuple((name, one.digest) for name, one in seen.images.items() if isinstance(one, Resolved))
        reason = (rollout.uid, rollout.generation, rollout.requests, chosen)
        known = self._known.get(rollout.key)
        if known is None or known.reason != reason:
            known = self._known[rollout.key] = await self._look(rollout, spec, reason, now)
        elif now - known.at >= known.lasts:
            known = self._known[rollout.key] = await self._look_again(rollout, spec, known, now)
        return known.contents, known.at + known.lasts - now

    async def ensure(self, rollout: Rollout, release: Release, now: datetime, *, current: bool) -> None:
        """Make those of a release's copies that are not there.

        `current` says that the release is what was just looked at: its objects then have the contents that it is to
        run with, or have changed since, and Conflict is raised. Of any other release a copy that is gone can't be had
        again, unless its object is what it was: the release goes without it, and its Pods tell.
        Raises CopyRefused where a copy of the current release is not to be had. What the rollout is configured by then
        counts as unknown until it is tried again: what runs goes on, is judged, and gives way to the stable release.
        Going back to another release is not held up by that.
        """
        if not release.copies:
            return
        try:
            await self._ensure(rollout, release.copies, current=current)
        except (Denied, Invalid, Unavailable, _CopyTaken) as error:
            if current:
                known = self._known.get(rollout.key)
                if known is not None:
                    self._known[rollout.key] = _without(replace(known, at=now), release.copies, error)
                raise CopyRefused(str(error)) from error
            told = "%s: the copies of release %s could not be seen to: %s"
            log.warning(told, rollout.key, release.id, error, extra={"release": release.id})

    async def restore(self, rollout: Rollout, copies: Sequence[Copy]) -> None:
        """Make copies again that are gone of what runs; what cannot be made now is tried again at the next look."""
        try:
            await self._ensure(rollout, copies, current=False)
        except PodpinError as error:
            log.warning("%s: copies of what runs could not be made again: %s", rollout.key, error)
            self._seen_to(rollout, copies)

    async def _ensure(self, rollout: Rollout, copies: Sequence[Copy], *, current: bool) -> None:
        secret = await self._key(rollout)
        done = await asyncio.gather(
            *(self._one(rollout, secret, one, current=current) for one in copies), return_exceptions=True
        )
        errors = sorted((one for one in done if one is not None), key=lambda one: not isinstance(one, Conflict))
        for error in errors:
            if isinstance(error, Conflict):
                self._known.pop(rollout.key, None)
            raise error
        self._seen_to(rollout, copies)

    def _seen_to(self, rollout: Rollout, copies: Sequence[Copy]) -> None:
        known = self._known.get(rollout.key)
        if known is not None and isinstance(known.contents, Contents):
            left = tuple(one for one in known.contents.missing if one not in copies)
            known.contents = replace(known.contents, missing=left)

    async def _one(self, rollout: Rollout, secret: bytes, one: Copy, *, current: bool) -> None:
        key = rollout.key
        there = await self._cluster.config(key, one.kind, one.name)
        if there is not None:
            if is_faithful(secret, one, there):
                return  # whoever has made it
            taken = f"a {one} exists that is not podpin's copy of {one.of}"
            if current:
                raise _CopyTaken(f"{taken}: delete it, and podpin makes the copy")
            log.warning("%s: %s; it is left as it is", key, taken)
            return
        original = await self._cluster.config(key, one.kind, one.of)
        if original is not None and copy_of(key.name, secret, one.kind, one.of, original) == one:
            await self._cluster.write_copy(key, manifest_of(key, rollout.uid, one, original))
            log.info("%s: %s %s copied to %s", key, one.kind, one.of, one.name)
        elif current:
            raise Conflict(f"{one.kind} {one.of} has changed since podpin looked at it.")
        else:
            log.warning("%s: %s is gone, and %s has other contents by now", key, one, one.of)

    async def _look_again(self, rollout: Rollout, spec: Spec, known: _Known, now: datetime) -> _Known:
        try:
            found = await self._look(rollout, spec, known.reason, now)
        except Unavailable as error:
            log.info("%s: what it is configured by could not be read: %s", rollout.key, error)
            return replace(known, at=now, lasts=LOOK_AGAIN)
        if not isinstance(found.contents, Contents) or not known.withheld or found.contents.copies != known.withheld:
            return found
        try:
            await self._ensure(rollout, known.withheld, current=True)
        except (Denied, Invalid, Unavailable, _CopyTaken) as error:
            return _without(found, known.withheld, error)
        return replace(found, contents=Contents(known.withheld))

    async def _look(self, rollout: Rollout, spec: Spec, reason: object, now: datetime) -> _Known:
        found = references(spec.template)
        contents: Contents | Unresolved
        try:
            if sentence := too_many(found):
                contents = Unresolved("ConfigNotCopied", sentence)
            else:
                contents = await self._read(rollout, found) if found else Contents()
        except Denied as error:
            contents = _forbidden(error)
        except Invalid as error:
            contents = Unresolved("ConfigNotCopied", str(error))
        lasts = spec.registry.interval if isinstance(contents, Contents) else LOOK_AGAIN
        return _Known(reason, now, contents, lasts)

    async def _read(self, rollout: Rollout, found: tuple[Reference, ...]) -> Contents | Unresolved:
        key, secret = rollout.key, await self._key(rollout, anew=True)
        copies, size = [], 0
        for reference in found:
            raw = await self._cluster.config(key, reference.kind, reference.name)
            if raw is None and reference.optional:
                continue
            if raw is None:
                told = f"{reference} does not exist in namespace {key.namespace}: create it, or mark it as optional"
                return Unresolved("ConfigMissing", told)
            size += size_of(raw)
            if size > MOST_BYTES:
                told = f"the ConfigMaps and Secrets of the template are longer than {MOST_BYTES // 2**20} MiB together"
                return Unresolved("ConfigNotCopied", f"{told}, which workload.pinConfig does not copy")
            one = copy_of(key.name, secret, reference.kind, reference.name, raw)
            copies += [one] if one is not None else []
        missing = [one for one in copies if await self._cluster.config_metadata(key, one.kind, one.name) is None]
        return Contents(tuple(copies), tuple(missing))

    async def _key(self, rollout: Rollout, *, anew: bool = False) -> bytes:
        uid, known = self._keys.get(rollout.key, ("", b""))
        if anew or uid != rollout.uid:
            old = known if uid == rollout.uid else None
            known = await self._cluster.config_key(rollout.key, rollout.uid, old)
            self._keys[rollout.key] = (rollout.uid, known)
        return known


def _forbidden(error: Denied) -> Unresolved:
    return Unresolved("ConfigForbidden", f"podpin may not copy configuration: {error}; {RIGHTS}")


def _without(known: _Known, copies: tuple[Copy, ...], error: PodpinError) -> _Known:
    """The same where these copies cannot be had for now."""
    told = ", ".join(f"{one.kind} {one.of}" for one in copies)
    contents = Unresolved("ConfigNotCopied", f"{told} cannot be copied: {error}")
    if isinstance(error, Denied):
        contents = _forbidden(error)
    return replace(known, contents=contents, lasts=LOOK_AGAIN, withheld=copies)
