"""Takes the Lease when it may be taken, keeps it, and gives it up: of several podpins, one works.

A standby watches the Lease, so that one that is given up is taken at once; if the watch is silent, the clock decides.
A leader that cannot renew stops in time: `left` says for how many seconds it may still write, the adapter to the API
server asks that before each write, and no write is waited for beyond it. Then the work is ended, what was learned is
forgotten, and podpin stands by again, in the same process: nothing has to be started or read anew for that.

What is decided, and why no two ever work at the same time, is in `core/election.py`.
"""

from __future__ import annotations

import asyncio
import logging
import math
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Final, Protocol

from podpin import clock
from podpin.adapters.kube.api import Expired
from podpin.adapters.kube.lease import Held
from podpin.core.election import RETRY, Record, Sight, free_at, released, sighted, silent_from, taken
from podpin.errors import Conflict, Denied, NotFound, PodpinError, Unavailable

ATTEMPT: Final = 4.0
"""Seconds for which one try is waited for: a connection that is dead without anybody knowing must not take all the time
that there is."""
RELEASE: Final = 1.0
"""Seconds within which the Lease is given up, or left to run out."""

log = logging.getLogger(__name__)


class Lease(Protocol):
    """What is held."""

    namespace: str

    async def read(self) -> Held | None:
        """The Lease as it is now, or None where there is none."""

    async def write(self, record: Record, before: Held | None) -> Held:
        """Have the Lease say this, if it is still as it was seen before."""

    async def watch(self, version: str) -> AsyncIterator[Held | None]:
        """Its states from this resource version on; None is that it was deleted."""


def seconds() -> float:
    """Monotonic seconds that go on while the machine is suspended, where the system has such a clock."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()


class Leader:
    """One of those that want the Lease; `me` is what it calls itself there, and nobody else may.

    `monotonic` gives seconds, `now` the time.
    """

    def __init__(
        self,
        lease: Lease,
        me: str,
        *,
        monotonic: Callable[[], float] = seconds,
        now: Callable[[], datetime] = clock.now,
    ) -> None:
        self.me, self.namespace = me, lease.namespace
        self._lease, self._monotonic, self._now = lease, monotonic, now
        self._sight: Sight | None = None
        self._held: Held | None = None
        self._silent_from = -math.inf
        self._news = asyncio.Event()
        self.trouble: str | None = None
        """Why it is not known who leads, in a sentence, or None."""

    @property
    def leads(self) -> bool:
        """Whether this one holds the Lease, and may write."""
        return self.left() > 0

    @property
    def holder(self) -> str | None:
        """Who holds the Lease, as far as is known, or None."""
        return (self._sight.record.holder if self._sight else "") or None

    def left(self) -> float:
        """For how many seconds this one may still write; 0 or less is not at all."""
        return self._silent_from - self._monotonic()

    async def run(self, begin: Callable[[], None], end: Callable[[], Awaitable[None]]) -> None:
        """Call `begin` whenever this one leads from now on, and `end` when it does not any more, until cancelled."""
        while True:
            await self._stand_by()
            log.info("%s leads", self.me)
            begin()
            await self._hold()
            self._silent_from = -math.inf
            log.warning("%s does not lead any more: %s", self.me, self.trouble or f"{self.holder} does")
            await end()

    async def release(self) -> None:
        """Write no more, and give the Lease up if it is held; to be called once `run` has been cancelled."""
        led, self._silent_from = self.leads, -math.inf
        if not led:
            return
        with suppress(PodpinError, TimeoutError):
            async with asyncio.timeout(RELEASE):
                await self._give_up()
                return
        log.warning("the Lease could not be given up: it runs out by itself")

    async def _give_up(self) -> None:
        while self._sight is not None and self._sight.record.holder == self.me:
            try:
                self._see(await self._lease.write(released(self._sight.record, self._time()), self._held))
            except Conflict:  # a renewal was on its way
                self._see(await self._lease.read())

    # --- standing by

    async def _stand_by(self) -> None:
        """Wait for the Lease, and take it."""
        watching = asyncio.ensure_future(self._watch())
        try:
            told = None
            while True:
                self._news.clear()
                wait = math.inf if self._sight is None else free_at(self._sight, self.me) - self._monotonic()
                if wait <= 0:
                    if await self._take():
                        return
                    wait = _about(RETRY)
                elif self.holder not in (None, told):
                    told = self.holder
                    log.info("%s stands by: %s leads", self.me, told)
                with suppress(TimeoutError):
                    async with asyncio.timeout(None if math.isinf(wait) else wait):
                        await self._news.wait()
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)

    async def _watch(self) -> None:
        """See what the Lease says, until cancelled."""
        while True:
            begun = self._monotonic()
            try:
                await self._read()
                version = str(self._held.raw["metadata"]["resourceVersion"]) if self._held else ""
                async for held in await self._lease.watch(version):
                    self._see(held)
            except Expired:
                pass
            except PodpinError as error:
                self._complain(error)
            await asyncio.sleep(max(0.0, begun + _about(RETRY) - self._monotonic()))

    async def _take(self) -> bool:
        """Try to take the Lease; returns whether it is held. If somebody was faster, that is known then."""
        try:
            await self._write()
        except (Conflict, NotFound):
            with suppress(PodpinError):
                await self._read()
        except PodpinError as error:
            self._complain(error)
        return self.leads

    # --- leading

    async def _hold(self) -> None:
        """Renew, until it is too late or somebody else has the Lease."""
        while (left := self.left()) > 0:
            await asyncio.sleep(min(RETRY, left))
            if not self.leads:
                return
            try:
                await self._renew()
            except PodpinError as error:
                self._complain(error)
            if self.holder != self.me:
                return

    async def _renew(self) -> None:
        try:
            await self._write()
        except (Conflict, NotFound):
            # Somebody has changed or deleted it, or an answer was lost: what counts is whose it is now.
            await self._read()
            if self._held is None or self.holder == self.me:
                await self._write()

    # --- the Lease

    async def _write(self) -> None:
        assert self._sight is not None, "nobody takes what they have not seen"
        asked = self._monotonic()
        record = taken(self._sight.record, self.me, self._time())
        self._see(await self._in_time(self._lease.write(record, self._held)))
        self._silent_from = silent_from(asked)

    async def _read(self) -> None:
        self._see(await self._in_time(self._lease.read()))

    async def _in_time(self, asked: Awaitable[Held | None]) -> Held | None:
        """No try takes longer than this, nor one of a leader longer than it may lead."""
        left = self.left()
        try:
            # Not wait_for: until Python 3.12, that may swallow a cancellation.
            async with asyncio.timeout(min(ATTEMPT, left) if left > 0 else ATTEMPT):
                return await asked
        except TimeoutError as error:
            raise Unavailable("The API server does not answer in time.") from error

    def _see(self, held: Held | None) -> None:
        self._held, self.trouble = held, None
        self._sight = sighted(self._sight, held.record if held else None, self._monotonic())
        self._news.set()

    def _complain(self, error: PodpinError) -> None:
        hint = ". Apply manifests/ha." if isinstance(error, Denied) else ""
        trouble = f"podpin can't use the Lease {self._lease}: {error}{hint}"
        if trouble != self.trouble:
            log.warning("%s Trying again every %.0f s.", trouble, RETRY)
        self.trouble = trouble

    def _time(self) -> str:
        return self._now().astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _about(wait: float) -> float:
    """A little more, by chance: of several that wait, not all come at once."""
    return wait * random.uniform(1.0, 1.2)  # noqa: S311
