"""One of several podpins leads: how it passes from one to the next, by a clock that jumps."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest

from podpin.adapters.kube.api import Expired
from podpin.adapters.kube.lease import Held
from podpin.core.election import DEADLINE, LASTS, RETRY, Record
from podpin.errors import Conflict, Denied, NotFound, PodpinError, Unavailable
from podpin.leader import ATTEMPT, Leader
from tests.virtual_time import in_virtual_time, now

START = datetime(2026, 11, 24, 6, tzinfo=UTC)


class ApiServer:
    """One Lease: replaced only by those who know its version, and watched."""

    def __init__(self) -> None:
        self.held: Held | None = None
        self.version = 100
        self.writes: list[tuple[float, str]] = []
        self.watchers: list[asyncio.Queue[Held | None]] = []

    def put(self, record: Record | None) -> Held | None:
        self.version += 1
        self.held = record and Held(record, {"metadata": {"resourceVersion": str(self.version)}})
        for watcher in self.watchers:
            watcher.put_nowait(self.held)
        return self.held


@dataclass
class Line:
    """The way of one podpin to the API server."""

    server: ApiServer
    namespace: str = "podpin-system"
    error: PodpinError | None = None
    """How every request fails."""
    hangs: bool = False
    """Requests are not answered, and are not heard either."""
    loses_answers: bool = False
    deaf: bool = False
    """The watch is open and tells nothing."""
    asked: list[str] = field(default_factory=list)

    async def _pass(self, what: str) -> None:
        self.asked.append(what)
        await asyncio.sleep(0.01)
        if self.hangs:
            await asyncio.Event().wait()
        if self.error is not None:
            raise self.error

    async def read(self) -> Held | None:
        await self._pass("read")
        return self.server.held

    async def write(self, record: Record, before: Held | None) -> Held:
        await self._pass("write")
        there = self.server.held
        if before is not None and there is None:
            raise NotFound("gone")
        if (before and before.raw) != (there and there.raw):
            raise Conflict("changed")
        held = self.server.put(record)
        self.server.writes.append((now(), record.holder))
        if self.loses_answers:
            await asyncio.Event().wait()
        assert held is not None
        return held

    async def watch(self, version: str) -> AsyncIterator[Held | None]:
        await self._pass("watch")
        return self._news()

    async def _news(self) -> AsyncIterator[Held | None]:
        news: asyncio.Queue[Held | None] = asyncio.Queue()
        self.server.watchers.append(news)
        try:
            while True:
                told = await news.get()
                if not self.deaf:
                    yield told
        finally:
            self.server.watchers.remove(news)


class Podpin:
    """One of them: what it works and when is written down."""

    def __init__(self, server: ApiServer, name: str, skew: float = 0.0) -> None:
        self.line = Line(server)
        self.leader = Leader(
            self.line, name, monotonic=lambda: now() + skew, now=lambda: START + timedelta(seconds=now() - 7 * skew)
        )
        self.begun: list[float] = []
        self.ended: list[float] = []
        self._running = asyncio.ensure_future(self.leader.run(self._begin, self._end))

    def _begin(self) -> None:
        self.begun.append(now())

    async def _end(self) -> None:
        assert not self.leader.leads
        self.ended.append(now())

    async def crash(self) -> None:
        """Gone without a word."""
        self._running.cancel()
        await asyncio.gather(self._running, return_exceptions=True)

    async def stop(self) -> None:
        """Told to."""
        await self.crash()
        await self.leader.release()


@asynccontextmanager
async def running(*podpins: Podpin) -> AsyncIterator[None]:
    try:
        yield
    finally:
        for one in podpins:
            await one.crash()


async def until(holds: Callable[[], object], seconds: float) -> float:
    """Wait until something is so; returns how long that took."""
    begun = now()
    while not holds():
        assert now() - begun < seconds, f"not so within {seconds} s"
        await asyncio.sleep(0.01)
    return now() - begun


async def pair(server: ApiServer) -> tuple[Podpin, Podpin]:
    """A leader, and one that stands by and whose clocks show something else."""
    first = Podpin(server, "first")
    await until(lambda: first.begun, 1)
    second = Podpin(server, "second", skew=-3600)
    await asyncio.sleep(60)
    assert (first.leader.leads, second.leader.leads) == (True, False)
    return first, second


@in_virtual_time
async def test_who_is_alone_leads_at_once_and_goes_on() -> None:
    server = ApiServer()
    only = Podpin(server, "only")
    async with running(only):
        await until(lambda: only.begun, 0.1)
        await asyncio.sleep(3600)
        assert only.leader.leads
        assert not only.ended
        assert len(server.writes) == pytest.approx(3600 / RETRY, rel=0.05)
        assert server.held is not None
        assert server.held.record.transitions == 0


@in_virtual_time
async def test_a_lease_that_was_given_up_or_is_one_s_own_from_before_is_taken_at_once() -> None:
    for left in (Record("", 1.0, "t", "t", 4), Record("only", LASTS, "t", "t", 4)):
        server = ApiServer()
        server.put(left)
        only = Podpin(server, "only")
        async with running(only):
            await until(lambda one=only: one.begun, 0.1)  # type: ignore[misc]


@in_virtual_time
async def test_the_standby_writes_nothing_and_asks_nothing_while_the_leader_renews() -> None:
    server = ApiServer()
    first, second = await pair(server)
    async with running(first, second):
        second.line.asked.clear()
        await asyncio.sleep(600)
        assert second.line.asked == []
        assert second.leader.holder == "first"
        assert {holder for _, holder in server.writes} == {"first"}


@in_virtual_time
async def test_a_leader_that_stops_hands_over_at_once() -> None:
    server = ApiServer()
    first, second = await pair(server)
    async with running(first, second):
        await first.stop()
        assert await until(lambda: second.begun, 1) < 0.1
        await asyncio.sleep(60)
        assert server.held is not None
        assert (server.held.record.holder, server.held.record.transitions) == ("second", 1)


@in_virtual_time
async def test_a_leader_that_dies_is_followed_when_its_lease_has_run_out() -> None:
    server = ApiServer()
    first, second = await pair(server)
    async with running(first, second):
        await first.crash()
        assert LASTS - RETRY - 0.1 <= await until(lambda: second.begun, 20) <= LASTS + 0.1


@in_virtual_time
async def test_a_watch_that_says_nothing_loses_nobody_the_lease_and_delays_no_takeover_for_long() -> None:
    server = ApiServer()
    first, second = await pair(server)
    async with running(first, second):
        second.line.deaf = True
        await asyncio.sleep(600)
        assert not second.begun
        await first.crash()
        assert await until(lambda: second.begun, 40) <= 2 * LASTS


@pytest.mark.parametrize("trouble", ["refused", "silent", "answers lost"])
@in_virtual_time
async def test_a_leader_that_cannot_renew_ends_its_work_before_anybody_else_begins(trouble: str) -> None:
    server = ApiServer()
    first, second = await pair(server)
    async with running(first, second):
        cut = now()
        first.line.error = Unavailable("down") if trouble == "refused" else None
        first.line.hangs, first.line.loses_answers = trouble == "silent", trouble == "answers lost"
        await until(lambda: not first.leader.leads, DEADLINE + 0.1)
        await until(lambda: first.ended, 0.1)
        assert first.ended[0] - cut <= DEADLINE
        if trouble == "answers lost":  # what it asked for was done
            await first.crash()
        await until(lambda: second.begun, LASTS + 2 * RETRY)
        assert second.begun[0] >= first.ended[0] + LASTS - DEADLINE - RETRY


@in_virtual_time
async def test_a_leader_survives_a_short_absence_of_the_api_server() -> None:
    server = ApiServer()
    first, second = await pair(server)
    async with running(first, second):
        for line in (first.line, second.line):
            line.hangs = True
        await asyncio.sleep(DEADLINE - ATTEMPT - RETRY)
        for line in (first.line, second.line):
            line.hangs = False
        await asyncio.sleep(60)
        assert first.leader.leads
        assert (first.ended, second.begun) == ([], [])
        assert first.leader.trouble is None


@in_virtual_time
async def test_after_a_long_absence_of_the_api_server_one_of_them_leads_again() -> None:
    server = ApiServer()
    first, second = await pair(server)
    async with running(first, second):
        for one in (first, second):
            one.line.error = Unavailable("down")
        await asyncio.sleep(120)
        assert first.leader.trouble == "podpin can't use the Lease " + f"{first.line}: down"
        assert (len(first.ended), first.leader.leads, second.leader.leads) == (1, False, False)
        for one in (first, second):
            one.line.error = None
        await until(lambda: first.leader.leads or second.leader.leads, 3 * RETRY)
        await asyncio.sleep(60)
        assert first.leader.leads is not second.leader.leads


@in_virtual_time
async def test_who_was_frozen_must_not_write_when_it_wakes() -> None:
    server, asleep = ApiServer(), 0.0
    first = Podpin(server, "first")
    await until(lambda: first.begun, 1)
    first.leader._monotonic = lambda: now() + asleep
    asleep = DEADLINE + 1  # its tasks have slept too, and think that nothing has happened
    async with running(first):
        assert not first.leader.leads
        assert first.leader.left() < 0
        await until(lambda: len(first.begun) == 2, 3 * RETRY)
        assert len(first.ended) == 1


@in_virtual_time
async def test_a_leader_to_whom_somebody_else_s_name_is_shown_stops_at_once() -> None:
    server = ApiServer()
    first, second = await pair(server)
    async with running(first, second):
        server.put(Record("stranger", LASTS, "t", "t", 9))
        await until(lambda: first.ended, RETRY + 0.1)
        assert not first.leader.leads
        assert first.leader.holder == "stranger"


@in_virtual_time
async def test_a_lease_that_is_deleted_is_made_again_by_its_holder() -> None:
    server = ApiServer()
    first, second = await pair(server)
    async with running(first, second):
        server.put(None)
        await asyncio.sleep(60)
        assert (first.leader.leads, first.ended, second.begun) == (True, [], [])
        assert server.held is not None
        assert server.held.record.holder == "first"


@in_virtual_time
async def test_of_many_that_wait_one_follows() -> None:
    server = ApiServer()
    first, second = await pair(server)
    others = [Podpin(server, f"other-{number}") for number in range(5)]
    async with running(first, second, *others):
        await asyncio.sleep(30)
        await first.stop()
        await asyncio.sleep(60)
        leading = [one for one in (second, *others) if one.leader.leads]
        assert len(leading) == 1
        assert sum(len(one.begun) for one in (second, *others)) == 1


@in_virtual_time
async def test_missing_rights_are_told_in_a_sentence_and_seen_to_be_granted() -> None:
    server = ApiServer()
    only = Podpin(server, "only")
    only.line.error = Denied("leases is forbidden")
    async with running(only):
        await asyncio.sleep(60)
        assert only.leader.trouble is not None
        assert only.leader.trouble.endswith(": leases is forbidden. Apply manifests/ha.")
        assert len(only.line.asked) < 60 / RETRY + 5, "it asks too often"
        only.line.error = None
        await until(lambda: only.begun, 2 * RETRY)
        assert only.leader.trouble is None


@in_virtual_time
async def test_a_watch_from_too_long_ago_is_begun_anew() -> None:
    server = ApiServer()
    first, _second = await pair(server)
    third = Podpin(server, "third")
    third.line.error = Expired("too old resource version")
    async with running(first, _second, third):
        await asyncio.sleep(10)
        third.line.error = None
        await until(lambda: third.leader.holder == "first", 3 * RETRY)
        assert third.leader.trouble is None


@in_virtual_time
async def test_giving_up_in_the_middle_of_a_renewal_gives_up_what_the_renewal_made() -> None:
    server = ApiServer()
    first, second = await pair(server)
    async with running(first, second):
        first.line.loses_answers = True
        count = len(server.writes)
        await until(lambda: len(server.writes) > count, 5)
        await first.crash()
        first.line.loses_answers = False
        await first.leader.release()
        assert await until(lambda: second.begun, 1) < 0.1


@in_virtual_time
async def test_who_stands_by_gives_nothing_up() -> None:
    server = ApiServer()
    first, second = await pair(server)
    async with running(first, second):
        await second.stop()
        await asyncio.sleep(60)
        assert first.leader.leads
        assert {holder for _, holder in server.writes} == {"first"}


@in_virtual_time
async def test_a_leader_that_cannot_give_up_does_not_wait_for_long() -> None:
    server = ApiServer()
    first, second = await pair(server)
    async with running(first, second):
        first.line.hangs = True
        begun = now()
        await first.stop()
        assert now() - begun <= 1.1
        assert not first.leader.leads
        await until(lambda: second.begun, LASTS + RETRY)
