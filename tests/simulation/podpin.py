"""One life of the operator: the real reconciler, adapter and mirrors, woken as the real queue would wake them.

A life knows what it has read and heard, and nothing else. It looks when there is news, when a time comes for which its
last look has asked, and again after a failure; nobody else makes it look. It ends by a crash or is put an end to.
"""

from __future__ import annotations

import asyncio
import functools
import json
import selectors
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, cast

from podpin import reconcile
from podpin.adapters.kube.cluster import Cluster
from podpin.checking import Checking
from podpin.core.checks import Outcome, Passed
from podpin.core.names import Key, Place
from podpin.core.spec import Spec, parse_spec
from podpin.core.spec.checks import CheckSpec
from podpin.core.status import Status, parse_status
from podpin.errors import PodpinError, Unavailable
from podpin.inquiry import Failed, Found
from podpin.poller import Look
from podpin.reconcile import Reconciler
from podpin.rollouts import Rollouts
from tests.builders import at, digest
from tests.simulation.connection import Crash

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping
    from datetime import datetime

    from podpin.adapters.kube.api import Api
    from podpin.core.observation import Pod
    from podpin.poller import Poller, Wish
    from tests.simulation.api import Json
    from tests.simulation.clockwork import Clockwork
    from tests.simulation.connection import Connection
    from tests.simulation.images import Registry

WEB: Final = Key("shop", "web")
HEARS_AFTER: Final = 0.02
"""Seconds that news takes to reach podpin."""
INTERVAL: Final = 60.0
"""Seconds between two looks at the registry."""
FIRST_BACKOFF, LONGEST_BACKOFF = 0.005, 60.0


@functools.lru_cache(maxsize=256)
def _read_spec(text: str) -> Spec:
    return parse_spec(json.loads(text))


@functools.lru_cache(maxsize=256)
def _read_status(text: str) -> Status:
    return parse_status(json.loads(text))


# A rollout is read at each look, and is mostly the same as the last time: reading it is a fifth of what a look costs.
vars(reconcile).update(
    parse_spec=lambda raw: _read_spec(json.dumps(raw)),
    parse_status=lambda raw: _read_status(json.dumps(raw)),
)


class _Selector(selectors.SelectSelector):
    """Never waits: it says that the loop has nothing more to do now, and until when."""

    def __init__(self) -> None:
        super().__init__()
        self.loop: PaperLoop | None = None

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None or timeout > 0:
            assert self.loop is not None
            self.loop.idle(timeout)
        return []


class PaperLoop(asyncio.SelectorEventLoop):
    """An event loop that lives on the clockwork, and stops whenever nothing is left to do at this moment."""

    def __init__(self, clock: Clockwork, wakes: Callable[[], None]) -> None:
        selector = _Selector()
        self._paper = clock
        super().__init__(selector)
        selector.loop = self
        self._wakes = wakes

    def time(self) -> float:
        return self._paper.now

    def idle(self, timeout: float | None) -> None:
        """Nothing is left to do, or nothing for so many seconds."""
        if timeout is not None:
            self._paper.after(timeout, self._wakes)
        self.stop()

    def catch_up(self) -> None:
        """Do all that can be done now."""
        self.run_forever()


class Poller_:  # noqa: N801 -- stands in for podpin's Poller
    """What podpin's poller would have found: it has a look at start, at each interval, and when it is asked to."""

    def __init__(self, clock: Clockwork, registry: Registry, wakes: Callable[[], None]) -> None:
        self._clock, self._registry, self._wakes = clock, registry, wakes
        self._look: Look | None = None
        self._followed = self._ended = False

    def end(self) -> None:
        """Its podpin is no more."""
        self._ended = True

    def follow(self, key: Key, wishes: Mapping[str, Wish]) -> dict[str, Look | None]:
        """The newest look."""
        if not self._followed:
            self._followed = True
            self._clock.after(0.1, self._poll)
        return dict.fromkeys(wishes, self._look)

    def look_now(self, key: Key) -> float:
        """Somebody asks for a look."""
        self._clock.after(0.1, self.look)
        return self._clock.now

    def forget(self, key: Key) -> None:
        """The rollout is suspended, or gone."""
        self._look, self._followed = None, False

    def _poll(self) -> None:
        if self._followed and not self._ended:
            self._clock.after(INTERVAL, self._poll)
            self.look()

    def look(self) -> None:
        """Ask the registry."""
        if self._ended or not self._followed:
            return
        before, last = self._look, self._look.last if self._look else None
        registry = self._registry
        if registry.down:
            self._look = Look(Failed("RegistryUnavailable", "it does not answer"), self._clock.now, last)
        elif registry.tag is None or registry.tag in registry.lost:
            self._look = Look(Failed("TagNotFound", "the registry has no tag live"), self._clock.now, last)
        else:
            found = Found("live", digest(registry.tag))
            self._look = Look(found, self._clock.now, found)
        if before is None or before.outcome != self._look.outcome or before.at < self._clock.now - 0.05:
            self._wakes()


class Podpin:
    def __init__(
        self, loop: PaperLoop, connection: Connection, registry: Registry, now: Callable[[], datetime]
    ) -> None:
        self.loop, self.connection, self.clock, self._registry = loop, connection, connection.clock, registry
        self.alive = True
        self.basis: Json = {}
        """The ImageRollout as it was known when the look that is under way began."""
        self.basis_pods: list[Pod] = []
        """The Pods likewise."""
        self.began = now()
        """When that was, by podpin's own clock."""
        self._now = now
        self.looks = 0
        self.died = False
        self._busy = self._woken = False
        self._due: float | None = None
        self._failures = 0
        self.poller = Poller_(self.clock, registry, self.wake)
        self._rollouts = Rollouts(self._changed)
        self._cluster = Cluster(cast("Api", connection), (), self._changed)
        checking = Checking(self, lambda _: self.wake())
        self.reconciler = Reconciler(
            self._rollouts, self._cluster, cast("Poller", self.poller), self, checking, lambda: now()
        )
        self._tasks = [loop.create_task(mirror.run()) for mirror in self._cluster.mirrors]
        self._tasks.append(loop.create_task(self._watch()))
        self.hear()

    def end(self) -> None:
        """Put an end to this life."""
        self.alive = False
        self.poller.end()
        tasks = [*self._tasks, *asyncio.all_tasks(self.loop)]
        for task in tasks:
            task.cancel()
        if not self.loop.is_running():
            self.loop.catch_up()

    def known(self, key: Key) -> Json:
        """An ImageRollout as podpin knows it; empty where it knows none."""
        return self._rollouts.get(key) or {}

    def pods(self) -> list[Pod]:
        """The rollout's own Pods as podpin knows them."""
        return [pod for pod in self._cluster.pods(WEB) if not pod.canary and not pod.pulls]

    def replicas(self) -> int:
        """How many replicas the Deployment has, as podpin knows it; 0 without one."""
        workload = self._cluster.workload(WEB, Place("Deployment", "web"))
        return workload.replicas if workload else 0

    async def probe(self, check: CheckSpec, key: Key, release: str) -> Outcome:
        """What a check of the user's own comes to: all is well here."""
        return Passed()

    async def exists(self, repository: object, exact: str, access: object) -> bool:
        """The registry's word on a digest, where podpin asks for it."""
        if self._registry.down:
            raise Unavailable("the registry does not answer")
        return self._registry.has(exact)

    # --- waking

    async def _watch(self) -> None:
        """As kopf's watch of ImageRollouts, with the sweep that finds what it has missed."""
        path = "/apis/podpin.dev/v1alpha1/imagerollouts"
        while True:
            try:
                page = await self.connection.request("GET", path)
                for raw in page["items"]:
                    if self._rollouts.put(raw):
                        self.wake()
                for key in {*self._rollouts} - {Key("shop", raw["metadata"]["name"]) for raw in page["items"]}:
                    self._rollouts.drop(key)
                    self.reconciler.forget(key)
                version = {"resourceVersion": page["metadata"]["resourceVersion"]}
                async for kind, raw in await self.connection.watch(path, version):
                    if kind == "DELETED":
                        key = Key("shop", raw["metadata"]["name"])
                        if self._rollouts.drop(key, int(raw["metadata"]["resourceVersion"])):
                            self.reconciler.forget(key)
                    elif self._rollouts.put(raw):
                        self.wake()
            except PodpinError:
                await asyncio.sleep(1.0)

    def _changed(self, key: Key) -> None:
        self.wake()

    def wake(self) -> None:
        """Something has changed: have a look soon, once."""
        if self.alive and not self._woken:
            self._woken = True
            self.clock.after(0.0, self._turn)

    def hear(self) -> None:
        """Take in what has come over the wire by now."""
        if self.alive and not self.loop.is_running():
            self.loop.catch_up()

    def _turn(self) -> None:
        if not self.alive:
            return
        if self._busy or self.loop.is_running():
            self.clock.after(0.01, self._turn)
            return
        self._woken = False
        self.look()

    def look(self) -> None:
        """Have one look and act on it; afterwards it stands when to look again."""
        self._busy = True
        self.looks += 1
        self._due = None
        try:
            wait = self._done(self._reconciled())
        except Crash:
            self.died = True
        except PodpinError as error:
            asked = error.retry_after or 0.0 if isinstance(error, Unavailable) else 0.0
            self._later(max(asked, min(LONGEST_BACKOFF, FIRST_BACKOFF * 2.0 ** min(self._failures, 30))))
            self._failures += 1
        else:
            self._failures = 0
            if wait is not None:
                self._later(wait.total_seconds())
        finally:
            self._busy = False
            if self.died:
                self.end()

    async def _reconciled(self) -> timedelta | None:
        self.basis, self.basis_pods, self.began = self.known(WEB), self.pods(), self._now()
        return await self.reconciler.reconcile(WEB)

    def _done(self, work: Coroutine[Any, Any, timedelta | None]) -> timedelta | None:
        return self.loop.run_until_complete(work)

    def _later(self, seconds: float) -> None:
        due = self._due = self.clock.now + seconds

        def comes() -> None:
            if self._due == due:
                self._due = None
                self.wake()

        self.clock.after(seconds, comes)


def time_of(clock: Clockwork, skew: float) -> datetime:
    """What a clock says that is so many seconds ahead."""
    return at(clock.now + skew)


def ready_of(raw: Json | None) -> tuple[str, str]:
    """Status and reason of the condition Ready."""
    conditions = (raw or {}).get("status", {}).get("conditions") or ()
    return next(((each["status"], each["reason"]) for each in conditions if each["type"] == "Ready"), ("", ""))
