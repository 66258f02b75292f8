"""The hands that make and take away the Pods that only pull a release.

A refusal is no error: a quota, a policy or a missing right says that a node cannot be tried, and what it said is kept
for the next look, which passes that node over. It is kept for as long as the release waits to be pulled.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from podpin.core.decision import EndPull, StartPull
from podpin.core.names import Key
from podpin.errors import Denied, Invalid

log = logging.getLogger(__name__)


class Pods(Protocol):
    """What is needed of a cluster."""

    async def create_pod(self, key: Key, uid: str, manifest: Mapping[str, Any]) -> bool:
        """Make a Pod, unless it is there; returns whether the name is podpin's to use."""

    async def delete_pod(self, key: Key, name: str, uid: str) -> None:
        """Delete a Pod of this uid."""


@dataclass(slots=True)
class Pulling:
    """What is remembered of one rollout's pulls between two looks."""

    refused: Mapping[str, str] = field(default_factory=dict)
    """By the name of a Pod, why it could not be made."""

    async def work(self, pods: Pods, key: Key, uid: str, actions: Sequence[StartPull | EndPull]) -> bool:
        """Carry the actions out; returns whether a node is to be passed over that was not so before.

        Raises podpin's errors where it is not known what has become of one; doing it again does no harm.
        """
        before = self.refused
        await asyncio.gather(*(self._once(pods, key, uid, action) for action in actions))
        return self.refused != before

    async def _once(self, pods: Pods, key: Key, uid: str, action: StartPull | EndPull) -> None:
        if isinstance(action, StartPull):
            await self._start(pods, key, uid, action)
        else:
            await pods.delete_pod(key, action.name, action.uid)

    async def _start(self, pods: Pods, key: Key, uid: str, action: StartPull) -> None:
        try:
            free = await pods.create_pod(key, uid, action.manifest)
        except (Denied, Invalid) as error:
            log.info("%s: Pod %s, which was to pull a release, is refused: %s", key, action.name, error)
            self.refused = {**self.refused, action.name: str(error)}
            return
        if not free:
            self.refused = {**self.refused, action.name: f"somebody else's Pod is called {action.name}"}
