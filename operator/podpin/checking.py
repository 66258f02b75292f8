"""Makes the users' checks of releases that bake, beside the work: a slow answer must hold up no rollout's turn.

A rollout's turn says which trial is under way and hears what has been said in it so far; when there is more to hear,
the rollout is woken. Everything is in memory: after a restart the counting begins anew.

How much is made at once is bounded, over all and for each namespace, so that nobody takes all the places.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final, Protocol

from podpin.core.checks import Failed, NotMade, Outcome, Passed, Tally
from podpin.core.names import Key
from podpin.core.spec.checks import CheckSpec
from podpin.core.trial import Trial

AT_ONCE: Final = 64
AT_ONCE_IN_ONE_NAMESPACE: Final = 8

log = logging.getLogger(__name__)


class Prober(Protocol):
    """Who asks the addresses."""

    async def probe(self, check: CheckSpec, key: Key, release: str) -> Outcome:
        """Make a check once, within its timeout; raises nothing that is expected."""


@dataclass(slots=True)
class _Course:
    """A trial under way: its checks, each a task, and what they have said."""

    trial: Trial
    tallies: dict[str, Tally] = field(default_factory=dict)
    tasks: list[asyncio.Task[None]] = field(default_factory=list)

    def stop(self) -> None:
        for task in self.tasks:
            task.cancel()


class Checking:
    """The checks of all rollouts. `wake` is called with the key of one whose checks have something new to say."""

    def __init__(self, prober: Prober, wake: Callable[[Key], None]) -> None:
        self._prober = prober
        self._wake = wake
        self._courses: dict[Key, _Course] = {}
        self._places = _Places(AT_ONCE, AT_ONCE_IN_ONE_NAMESPACE)

    def tallies(self, key: Key, trial: Trial | None) -> Mapping[str, Tally]:
        """What the checks of this trial have said so far, by name; it goes on until another is named, or none."""
        course = self._courses.get(key)
        if course is not None and course.trial != trial:
            self.forget(key)
            course = None
        if course is None:
            if trial is None:
                return {}
            course = self._courses[key] = _Course(trial)
            for check in trial.checks:
                course.tasks.append(asyncio.ensure_future(self._repeat(key, course, check)))
        return dict(course.tallies)

    async def unfit(self, key: Key, release: str, checks: Sequence[CheckSpec], patience: float) -> frozenset[str]:
        """The names of those that do not pass with this release, each made once, within so many seconds."""
        tasks = {asyncio.ensure_future(self._once(key, release, check)): check.name for check in checks}
        try:
            done, _ = await asyncio.wait(tasks, timeout=patience)
        finally:
            for task in tasks:
                task.cancel()
        return frozenset(name for task, name in tasks.items() if task not in done or task.result() != Passed())

    def forget(self, key: Key) -> None:
        """Make no more checks of this rollout."""
        course = self._courses.pop(key, None)
        if course is not None:
            course.stop()

    async def close(self) -> None:
        """End all checks."""
        courses, self._courses = list(self._courses.values()), {}
        for course in courses:
            course.stop()
        await asyncio.gather(*(task for course in courses for task in course.tasks), return_exceptions=True)

    async def _repeat(self, key: Key, course: _Course, check: CheckSpec) -> None:
        """Make one check again and again, until it has failed too often for anything to change."""
        tally = Tally()
        while tally.failures <= check.failures_allowed:
            outcome = await self._once(key, course.trial.release, check)
            before, tally = tally, tally.after(outcome)
            course.tallies[check.name] = tally
            if not (isinstance(before.last, Passed) and isinstance(outcome, Passed)):
                self._wake(key)
            await asyncio.sleep(check.interval.total_seconds())

    async def _once(self, key: Key, release: str, check: CheckSpec) -> Outcome:
        async with self._places.take(key.namespace):
            try:
                outcome = await self._prober.probe(check, key, release)
            except Exception:
                log.exception("%s: podpin has a bug in making the check %s", key, check.name)
                outcome = NotMade("podpin has a bug: see its log")
        if isinstance(outcome, Failed | NotMade):
            told = outcome.what if isinstance(outcome, Failed) else outcome.why
            log.info("%s: the check %s of release %s: %s", key, check.name, release, told, extra={"release": release})
        return outcome


class _Places:
    """So many places, and not all of them for one namespace."""

    def __init__(self, most: int, most_of_one: int) -> None:
        self._all = asyncio.Semaphore(most)
        self._most_of_one = most_of_one
        self._of: dict[str, asyncio.Semaphore] = {}
        self._users: Counter[str] = Counter()

    @asynccontextmanager
    async def take(self, namespace: str) -> AsyncIterator[None]:
        """Wait for a place among the namespace's own first: who waits there keeps nobody else from one."""
        own = self._of.setdefault(namespace, asyncio.Semaphore(self._most_of_one))
        self._users[namespace] += 1
        try:
            async with own, self._all:
                yield
        finally:
            self._users[namespace] -= 1
            if not self._users[namespace]:
                del self._users[namespace], self._of[namespace]
