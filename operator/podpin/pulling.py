"""The hands that make and take away the Pods that only pull a release.

A refusal is no error: a quota, a policy or a missing right says that a node cannot be tried, and what it said is kept
for the next look, which passes that node over. It is kept for as long as the release waits to be pulled. What fails in
another way is tried again, but no failure keeps podpin from telling what it does: it is raised after that.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from podpin.core.decision import EndPull, StartPull
from podpin.core.names import Key
from podpin.core.observation import Container, Pod
from podpin.core.prepull import is_wordless
from podpin.core.signals import PULL_REASONS
from podpin.errors import Denied, Invalid, PodpinError

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
    """By the name of a Pod, why it could not be made, or not be taken away to be made anew."""
    unmade: Mapping[str, str] = field(default_factory=dict)
    """By the name of a Pod, what went wrong when it was to be made; it may be made yet."""
    words: Mapping[tuple[str, str], str] = field(default_factory=dict)
    """By the uid of a Pod and the name of its container, why its image could not be pulled the last time."""
    failure: PodpinError | None = None
    """What the last work came to, where it has to be done again."""

    def forget(self) -> None:
        """Nothing is pulled any more."""
        self.refused, self.unmade = {}, {}

    def recalled(self, pods: Iterable[Pod]) -> tuple[Pod, ...]:
        """The Pods with what their containers have said last, where a kubelet says only that it backs off."""
        words: dict[tuple[str, str], str] = {}

        def spoken(pod: Pod, one: Container) -> Container:
            if one.waiting not in PULL_REASONS:
                return one
            if is_wordless(one):
                one = replace(one, message=self.words.get((pod.uid, one.name), one.message))
            words[pod.uid, one.name] = one.message
            return one

        told = tuple(replace(pod, containers=tuple(spoken(pod, one) for one in pod.containers)) for pod in pods)
        self.words = words
        return told

    async def work(self, pods: Pods, key: Key, uid: str, actions: Sequence[StartPull | EndPull]) -> bool:
        """Carry the actions out; returns whether a node is to be passed over that was not so before.

        Where it is not known what has become of one, `failure` is one of podpin's errors; doing it again does no harm.
        """
        before = self.refused
        ends = asyncio.gather(*(self._once(pods, key, uid, action) for action in actions), return_exceptions=True)
        wrong = [one for one in await ends if one is not None]
        for one in wrong:
            if not isinstance(one, PodpinError):
                raise one
        self.failure = next((one for one in wrong if isinstance(one, PodpinError)), None)
        starts = {action.name for action in actions if isinstance(action, StartPull)}
        return any(name in starts for name in self.refused.keys() - before.keys())

    def raise_failure(self) -> None:
        """Raise what has gone wrong, once."""
        failure, self.failure = self.failure, None
        if failure is not None:
            raise failure

    async def _once(self, pods: Pods, key: Key, uid: str, action: StartPull | EndPull) -> None:
        if isinstance(action, StartPull):
            await self._start(pods, key, uid, action)
        else:
            await self._end(pods, key, action)

    async def _end(self, pods: Pods, key: Key, action: EndPull) -> None:
        try:
            await pods.delete_pod(key, action.name, action.uid)
        except (Denied, Invalid) as error:
            log.info("%s: Pod %s, which only pulls a release, may not be taken away: %s", key, action.name, error)
            self.refused = {**self.refused, action.name: f"the one that is there may not be taken away: {error}"}

    async def _start(self, pods: Pods, key: Key, uid: str, action: StartPull) -> None:
        try:
            free = await pods.create_pod(key, uid, action.manifest)
        except (Denied, Invalid) as error:
            log.info("%s: Pod %s, which was to pull a release, is refused: %s", key, action.name, error)
            self.refused = {**self.refused, action.name: str(error)}
            return
        except PodpinError as error:
            # The first words stay: each attempt may find others, and the status would be written each time.
            self.unmade = {action.name: str(error), **self.unmade}
            raise
        self.unmade = {name: why for name, why in self.unmade.items() if name != action.name}
        if not free:
            self.refused = {**self.refused, action.name: f"somebody else's Pod is called {action.name}"}
