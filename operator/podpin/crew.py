"""Carrying out what was decided about Pods: many at once, but slowly at first where new ones may be refused.

A refusal is no error here. A quota, an admission policy or a disruption budget says "not now", and what it said is
kept for the next look, which tells the user and waits. Whatever else fails leaves it open what has been done, so the
Pods are read anew before anything more is decided.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Final, Protocol

from podpin.core.decision import AdoptPod, CreatePod, DeletePod, EvictPod, PatchPod, PodAction
from podpin.core.names import Key
from podpin.core.observation import Hindrance
from podpin.errors import Denied, Invalid, PodpinError

AT_ONCE: Final = 16
"""How many writes of one rollout are under way at the same time."""
FIRST_WAIT: Final = timedelta(seconds=2)
LONGEST_WAIT: Final = timedelta(seconds=60)
"""How long to wait before Pods are made again that were refused, at first and at most."""
ASK_BUDGET: Final = timedelta(seconds=5)
"""How long to wait before a budget is asked again."""

log = logging.getLogger(__name__)


class Pods(Protocol):
    """What the crew needs of a cluster."""

    async def create_pod(self, key: Key, uid: str, manifest: Mapping[str, Any]) -> bool:
        """Make a Pod, unless it is there; returns whether the name is podpin's to use."""

    async def delete_pod(self, key: Key, name: str, uid: str) -> None:
        """Delete a Pod of this uid."""

    async def evict_pod(self, key: Key, name: str, uid: str) -> str | None:
        """Evict a Pod of this uid; returns why its budget does not allow it, or None."""

    async def patch_pod(self, key: Key, action: PatchPod) -> None:
        """Change the images of a running Pod; raises Invalid or Denied where that is not allowed."""

    async def adopt_pod(self, key: Key, uid: str, name: str, pod_uid: str) -> None:
        """Make the ImageRollout of `uid` the controller of a Pod that has none."""


@dataclass(slots=True)
class Crew:
    """What is remembered of one rollout's Pods between two looks."""

    hindrance: Hindrance = field(default_factory=Hindrance)
    refusals: int = 0
    """How often in a row Pods were refused."""
    unsure: bool = False
    """It is not known what has become of a write: the Pods must be read anew."""

    def again_at(self, now: datetime) -> datetime | None:
        """When what was refused is to be tried again: no news from the cluster need come by then."""
        waits = (self.hindrance.create_from, self.hindrance.remove_from)
        return min((at for at in waits if at is not None and at > now), default=None)

    async def work(
        self,
        pods: Pods,
        key: Key,
        uid: str,
        actions: Sequence[PodAction],
        manifest: Callable[[CreatePod], Mapping[str, Any]],
        now: datetime,
    ) -> bool:
        """Carry out the actions; returns whether something new stands in the way that the user is to be told.

        Raises the first error that is no refusal, once everything else has been tried.
        """
        before = self.hindrance
        self.unsure = True
        await _all(self._once(pods, key, uid, one) for one in actions if isinstance(one, AdoptPod | DeletePod))
        await _all(self._patch(pods, key, one) for one in actions if isinstance(one, PatchPod))
        await self._evict(pods, key, [one for one in actions if isinstance(one, EvictPod)], now)
        await self._create(pods, key, uid, [one for one in actions if isinstance(one, CreatePod)], manifest, now)
        self.unsure = False
        return replace(self.hindrance, create_from=None, remove_from=None) != replace(
            before, create_from=None, remove_from=None
        )

    async def _once(self, pods: Pods, key: Key, uid: str, action: AdoptPod | DeletePod) -> None:
        if isinstance(action, AdoptPod):
            await pods.adopt_pod(key, uid, action.name, action.uid)
        else:
            await pods.delete_pod(key, action.name, action.uid)

    async def _patch(self, pods: Pods, key: Key, action: PatchPod) -> None:
        try:
            await pods.patch_pod(key, action)
        except (Denied, Invalid) as error:
            log.info("%s: the images of Pod %s can't be changed, so it is replaced: %s", key, action.name, error)
            unpatchable = self.hindrance.unpatchable | {action.uid}
            self.hindrance = replace(self.hindrance, unpatchable=unpatchable)

    async def _evict(self, pods: Pods, key: Key, actions: Sequence[EvictPod], now: datetime) -> None:
        if not actions and (self.hindrance.remove_from is None or self.hindrance.remove_from > now):
            return
        why: str | None = None
        for action in actions:  # one after another: the first that is refused speaks for all
            why = await pods.evict_pod(key, action.name, action.uid)
            if why is not None:
                log.info("%s: Pod %s is not evicted: %s", key, action.name, why)
                break
        later = now + ASK_BUDGET if why is not None else None
        self.hindrance = replace(self.hindrance, not_removed=why, remove_from=later)

    async def _create(
        self,
        pods: Pods,
        key: Key,
        uid: str,
        actions: Sequence[CreatePod],
        manifest: Callable[[CreatePod], Mapping[str, Any]],
        now: datetime,
    ) -> None:
        if not actions and (self.hindrance.create_from is None or self.hindrance.create_from > now):
            return
        refusals: list[Denied | Invalid] = []

        async def create(action: CreatePod) -> None:
            try:
                free = await pods.create_pod(key, uid, manifest(action))
            except (Denied, Invalid) as error:
                refusals.append(error)
                return
            if not free:
                self.hindrance = replace(self.hindrance, taken=self.hindrance.taken | {action.name})

        waiting, batch = list(actions), 1
        while waiting and not refusals:
            await _all(map(create, waiting[:batch]))
            waiting, batch = waiting[batch:], min(2 * batch, AT_ONCE)
        if not refusals:
            self.refusals = 0
            self.hindrance = replace(self.hindrance, not_created=None, create_from=None)
            return
        wait = min(FIRST_WAIT * 2 ** min(self.refusals, 10), LONGEST_WAIT)
        self.refusals += 1
        log.info("%s: Pods are refused, to be tried again in %s: %s", key, wait, refusals[0])
        known = self.hindrance.not_created
        # The words of a refusal have a Pod's name and counts in them: while it goes on, the first words stand.
        told = known if known is not None else ("FailedCreate", str(refusals[0]))
        self.hindrance = replace(self.hindrance, not_created=told, create_from=now + wait)


async def _all(works: Iterable[Awaitable[None]]) -> None:
    """Do all of it, not too much at once, and raise the first error when everything has been tried."""
    room = asyncio.Semaphore(AT_ONCE)

    async def one(work: Awaitable[None]) -> PodpinError | None:
        async with room:
            try:
                await work
            except PodpinError as error:
                return error
        return None

    errors = [error for error in await asyncio.gather(*map(one, works)) if error is not None]
    if errors:
        raise errors[0]
