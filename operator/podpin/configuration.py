"""What is asked about the ConfigMaps and Secrets that a rollout's template names, and when.

podpin watches none of them: they are strangers' objects, and thousands of rollouts would cost as many watches. It asks
where something depends on the answer, and takes it for current for a while.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final, Protocol

from podpin.core.canary import apart
from podpin.core.config import Moved, Reference, moved, references
from podpin.core.decision import Rollout
from podpin.core.kinds import KINDS
from podpin.core.names import Key, Place
from podpin.core.observation import Observation
from podpin.core.readiness import missed
from podpin.core.release import Release
from podpin.core.rollout import wanted_release
from podpin.core.spec import Spec
from podpin.errors import PodpinError

MOST_REFERENCES: Final = 32
"""Of how many objects of one template it is asked what became of them."""
STILL_SO: Final = timedelta(minutes=1)
"""How long it is taken for current what became of them."""

log = logging.getLogger(__name__)


class Cluster(Protocol):
    """What is asked of the cluster."""

    async def live_workload(self, key: Key, place: Place) -> Mapping[str, Any] | None:
        """The workload in a place as it is now, whoever owns it."""

    async def release(self, key: Key, release: str) -> Release | None:
        """A release, whole, from its record."""

    async def config_metadata(self, key: Key, kind: str, name: str) -> Mapping[str, Any] | None:
        """The metadata of a ConfigMap or a Secret in the rollout's namespace, or None where there is none."""


@dataclass(slots=True)
class _Inquest:
    """What was learned of one release's configuration."""

    release: str
    references: tuple[Reference, ...] | None = None
    """None as long as they could not be read."""
    at: datetime | None = None
    moved: dict[Reference, Moved | None] = field(default_factory=dict)


class Configuration:
    """Asks about rollouts' configuration, and remembers the answers for a while."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._inquests: dict[Key, _Inquest] = {}

    def forget(self, key: Key) -> None:
        """Forget a rollout that is no more."""
        self._inquests.pop(key, None)

    async def moved(
        self, rollout: Rollout, spec: Spec, seen: Observation, now: datetime
    ) -> tuple[tuple[Moved, ...], timedelta | None]:
        """What the stable release is configured by and is not what it was, and after how long to ask again.

        It is asked only while Pods of the release are missed. An object that cannot be asked about is what it was when
        it last could.
        """
        key, release = rollout.key, seen.workload.release if seen.workload else None
        record = next((one for one in seen.records if (one.release, one.owner) == (release, rollout.uid)), None)
        verdict = record.verdict if record is not None and record.is_stable and not spec.suspend else None
        if record is None or verdict is None or missed(spec, apart(seen), record.release, now) is None:
            self._inquests.pop(key, None)
            return (), None
        inquest = self._inquests.get(key)
        if inquest is None or inquest.release != record.release:
            inquest = self._inquests[key] = _Inquest(record.release)
        if inquest.at is None or now - inquest.at >= STILL_SO:
            inquest.at = now
            await self._inquire(rollout, spec, seen, inquest, verdict.at)
        if inquest.references == () and spec.target_ref is None:
            return (), None
        return tuple(one for one in inquest.moved.values() if one), inquest.at + STILL_SO - now

    async def _inquire(
        self, rollout: Rollout, spec: Spec, seen: Observation, inquest: _Inquest, proven: datetime
    ) -> None:
        key = rollout.key
        if inquest.references is None or spec.target_ref is not None:
            # A release's own template stays as it is; that of somebody else's workload is its author's to change.
            try:
                template = await self._template(rollout, spec, seen, inquest.release)
            except PodpinError as error:
                log.info(
                    "%s: what release %s is configured by could not be read: %s",
                    key,
                    inquest.release,
                    error,
                    extra={"release": inquest.release},
                )
                return
            inquest.references = references(template)[:MOST_REFERENCES]
        told, inquest.moved = inquest.moved, {}
        for reference in inquest.references:
            try:
                metadata = await self._cluster.config_metadata(key, reference.kind, reference.name)
            except PodpinError as error:
                log.info("%s: what became of %s could not be asked: %s", key, reference, error)
                inquest.moved[reference] = told.get(reference)
            else:
                inquest.moved[reference] = moved(reference, metadata, proven)

    async def _template(self, rollout: Rollout, spec: Spec, seen: Observation, release: str) -> Mapping[str, Any]:
        """The Pod template that the release runs with: its own, or that of the workload that was adopted."""
        if spec.target_ref is not None:
            place = spec.place(rollout.key.name)
            live = await self._cluster.live_workload(rollout.key, place)
            return KINDS[place.kind].template_of(live) if live else {}
        whole = wanted_release(rollout, spec, seen)
        if whole is None or whole.id != release:
            whole = await self._cluster.release(rollout.key, release)
        return whole.template if whole else {}
