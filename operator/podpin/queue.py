"""The work queue: keys in, one worker per key out, with controller-runtime's semantics.

A key that is added twice waits once. A key that is added while it is being worked on is worked on again afterwards,
never at the same time. Failures come back with exponential backoff for that key alone. News of a live change goes
before the bulk of a start or a resync, so that a user's `kubectl apply` does not wait behind ten thousand others.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections import OrderedDict
from collections.abc import Callable

from podpin.core.names import Key
from podpin.observer import UNOBSERVED, Observer

FIRST_BACKOFF = 0.005
LONGEST_BACKOFF = 1000.0


class WorkQueue:
    """Keys waiting to be worked on, now or later. For one event loop; times are its monotonic seconds."""

    def __init__(self, now: Callable[[], float] | None = None, observer: Observer = UNOBSERVED) -> None:
        self._now = now or (lambda: asyncio.get_running_loop().time())
        self._observer = observer
        # Since when each waits or is worked on.
        self._live: OrderedDict[Key, float] = OrderedDict()
        self._bulk: OrderedDict[Key, float] = OrderedDict()
        self._working: dict[Key, float] = {}
        self._dirty: dict[Key, float] = {}
        self._failures: dict[Key, int] = {}
        self._due: dict[Key, float] = {}
        self._later: list[tuple[float, int, Key]] = []
        self._tiebreak = itertools.count()
        self._news = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._stopped = False

    def __len__(self) -> int:
        """How many keys wait to be worked on at once."""
        return len(self._live) + len(self._bulk)

    @property
    def idle(self) -> bool:
        """Nothing waits and nothing is worked on; what is due later does not count."""
        return not self._live and not self._bulk and not self._working

    def working(self) -> list[float]:
        """For how many seconds each of the keys that are worked on has been so."""
        now = self._now() if self._working else 0.0
        return [now - since for since in self._working.values()]

    def add(self, key: Key, *, bulk: bool = False) -> None:
        """Have a key worked on: soon, or, for the bulk of a start or a resync, once nothing live waits."""
        if self._stopped:
            return
        if key in self._working:
            if key not in self._dirty:
                self._dirty[key] = self._now()
                self._observer.added()
            return
        if key in self._live or (bulk and key in self._bulk):
            return
        self._wait(key, self._bulk.pop(key, None), self._bulk if bulk else self._live)

    def _wait(self, key: Key, since: float | None, line: OrderedDict[Key, float]) -> None:
        if since is None:
            since = self._now()
            self._observer.added()
        line[key] = since
        self._news.set()

    def add_later(self, key: Key, seconds: float) -> None:
        """Have a key worked on after a while. The earliest time asked for counts."""
        due = self._now() + seconds
        known = self._due.get(key)
        if self._stopped or (known is not None and known <= due):
            return
        self._due[key] = due
        self._observer.put_off()
        heapq.heappush(self._later, (due, next(self._tiebreak), key))
        # What has been overtaken since stays behind; it must not become the most.
        if len(self._later) > 2 * len(self._due) + 64:
            self._later = [entry for entry in self._later if self._due.get(entry[2]) == entry[0]]
            heapq.heapify(self._later)
        self._arm()

    def failed(self, key: Key, at_least: float = 0.0, at_most: float = LONGEST_BACKOFF) -> float:
        """Have a key come back after its backoff, which is at most `at_most` seconds, but at least after `at_least`.

        Returns the wait in seconds.
        """
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        wait = max(at_least, min(at_most, FIRST_BACKOFF * 2.0 ** min(failures, 30)))
        self.add_later(key, wait)
        return wait

    def succeeded(self, key: Key) -> None:
        """Forget a key's failures."""
        self._failures.pop(key, None)

    def forget(self, key: Key) -> None:
        """Forget all about a key that is no more, but for work on it that is under way."""
        self._failures.pop(key, None)
        self._due.pop(key, None)

    async def get(self) -> Key | None:
        """The next key to work on, or None once the queue is stopped. Each key got must be given back with `done`."""
        while True:
            if self._stopped:
                return None
            line = self._live or self._bulk
            if line:
                key, since = line.popitem(last=False)
                self._working[key] = now = self._now()
                self._due.pop(key, None)
                self._observer.taken(key, now - since)
                return key
            self._news.clear()
            await self._news.wait()

    def done(self, key: Key) -> None:
        """Give a key back."""
        since = self._working.pop(key, None)
        if since is not None:
            self._observer.given_back(key, self._now() - since)
        dirty = self._dirty.pop(key, None)
        if dirty is not None and not self._stopped:
            self._wait(key, dirty, self._live)

    def stop(self) -> None:
        """Hand out no more keys; work under way goes on."""
        self._stopped = True
        if self._timer is not None:
            self._timer.cancel()
        self._news.set()

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._later:
            self._timer = asyncio.get_running_loop().call_later(
                max(0.0, self._later[0][0] - self._now()), self._release
            )

    def _release(self) -> None:
        now = self._now()
        while self._later and self._later[0][0] <= now:
            due, _, key = heapq.heappop(self._later)
            if self._due.get(key) == due:
                del self._due[key]
                self.add(key)
        self._arm()
