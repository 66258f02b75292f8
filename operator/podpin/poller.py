"""Looks at repositories, again and again, on behalf of all rollouts that follow them.

What follows a repository with the same credentials shares one poller (a group, below), whatever the number of
rollouts: one look costs one list of the tags, if a policy chooses among them, and one HEAD for each tag that was
chosen. So a thousand rollouts of one tag cost one HEAD per interval. A digest that is new is looked into once: whether
it may be taken (`core.policy.terms`), and what the user is told about it.

The reconciler says what a rollout follows (`follow`), asks for a look at once (`look_now`), and is woken when an
answer has changed. It never waits here, and nothing here decides anything: choosing is `core.policy`, what follows
from it `core.rollout`.

How it is built, for ten thousand repositories in little memory:

    key ──▶ follower ──▶ party ──▶ group ──▶ heap of when each group is due ──▶ looks under way

A follower is one container of one rollout. A party is all followers of a repository whose credentials come from the
same place: those are read before each look, and only then is it known which parties share what they may see, hence a
group. There is one heap and one task that starts looks; a look has a task while it lasts. A host with no look under
way may always begin one, so a slow registry holds up nobody else.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import logging
import math
import random
import time
from collections import deque
from dataclasses import dataclass, replace
from datetime import datetime
from enum import Enum, auto
from typing import TYPE_CHECKING, Final

from podpin.clock import now
from podpin.core.hooks.notice import Extent
from podpin.core.mirrors import mirrors_of
from podpin.core.policy import advance, choose, needs_registry, needs_times
from podpin.core.policy.choice import Choice
from podpin.core.policy.terms import NO_TERMS, Terms
from podpin.errors import Denied, Invalid, NotFound, PodpinError, Unavailable
from podpin.inquiry import (
    Failed,
    Found,
    Given,
    Inquiry,
    Memory,
    Outcome,
    Question,
    Reasons,
    Registry,
    Verifier,
    broken,
    failed,
)
from podpin.observer import UNOBSERVED, Observer

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Mapping, Sequence

    from podpin.core.hooks.notice import Notice
    from podpin.core.keyring import Access
    from podpin.core.mirrors import Mirror
    from podpin.core.names import Key
    from podpin.core.reference import Repository
    from podpin.core.spec.images import Selection

MOST_LOOKS: Final = 64
"""How many looks may be under way before hosts that have one already must wait."""
MOST_LOOKS_PER_HOST: Final = 8
MOST_QUESTIONS: Final = 8
"""How many questions one look asks at a time."""
MOST_LOADS: Final = 16
"""How many credentials one look reads at a time."""
FIRST_BACKOFF: Final = 5.0
"""Seconds until the first retry when a registry was unavailable; each further one waits twice as long."""
LONGEST_WAIT: Final = 3600.0
"""Seconds that a registry may ask us to stay away, where the interval is shorter."""
FRESH: Final = 2.0
"""Seconds for which an answer also serves a follower that comes after it: at a start, many come for the same."""
_FIRST_SPREAD: Final = 5
"""How many times `jitter` the second look of a group is spread, so that the crowd of a start disperses."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class AccessSource:
    """Where a rollout's credentials come from: names of objects in its own namespace, never what they hold."""

    namespace: str
    pull_secrets: tuple[str, ...] = ()
    template_secrets: tuple[str, ...] = ()
    service_account: str = "default"
    ca_secret: str | None = None
    key_secrets: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Wish:
    """What one container of a rollout follows.

    `interval` is in seconds. `chosen` and `known` are the tag and the digest that the rollout's status holds for this
    very policy, or None: no lower version than `chosen` is found again by accident. When `chosen` goes back to None,
    the choice is made afresh. `built` is when that was built, and `described` whether the status says what it is.
    `keep` is the digest of the stable release: whether it is still there is looked at too, for it may have to be pulled
    again. `given` is the choice of a policy that does not choose by the repository, or why it takes nothing yet.
    """

    repository: Repository
    selection: Selection
    interval: float
    source: AccessSource
    chosen: str | None = None
    known: str | None = None
    keep: str | None = None
    terms: Terms = NO_TERMS
    built: datetime | None = None
    described: bool = True
    given: Given = None


@dataclass(frozen=True, slots=True)
class Look:
    """What came of the newest look.

    `at` is when it began, in the poller's monotonic seconds: whatever happened in the registry before is in it.
    `last` is the newest image that was found for this wish, this time or earlier. `lost` is the digest that was to be
    kept, where the registry says that it is gone.
    """

    outcome: Outcome
    at: float
    last: Found | None = None
    lost: str | None = None


class _State(Enum):
    RESTING = auto()
    WAITING = auto()
    LOOKING = auto()


class _Follower:
    """One container of one rollout.

    `mark` is the highest tag found, `asked` the time at which a look was asked for that has not been done yet, `told`
    the digest of which it was told what it is.
    """

    __slots__ = ("asked", "key", "look", "mark", "party", "told", "wish")

    def __init__(self, key: Key, wish: Wish) -> None:
        self.key = key
        self.wish = wish
        self.mark = wish.chosen
        self.look: Look | None = None
        self.asked: float | None = None
        self.party: _Party | None = None
        self.told: str | None = None

    @property
    def held(self) -> Found | None:
        """What was taken last for this very policy: nothing is demanded of it any more."""
        if self.look is not None and self.look.last is not None:
            return Found(self.look.last.tag, self.look.last.digest)
        return None if self.wish.known is None else Found(self.wish.chosen, self.wish.known)

    def is_curious(self, digest: str) -> bool:
        """Whether it is still to be told what the image of this digest is."""
        return self.told != digest and not (self.wish.described and self.wish.known == digest)

    @property
    def question(self) -> Question:
        """What it asks of a look."""
        wish = self.wish
        return Question(wish.selection, self.mark, wish.terms, self.held, wish.built, wish.given)


class _Party:
    """All followers of a repository whose credentials come from one place."""

    __slots__ = ("followers", "group", "source")

    def __init__(self, source: AccessSource, group: _Group) -> None:
        self.source = source
        self.group = group
        self.followers: list[_Follower] = []


class _Group:
    """Parties that see the same of one repository, and the schedule of its looks.

    `fingerprint` is None until the credentials of its then only party could be read. `due` is the time of its valid
    entry in the heap, `pace` the interval that it was planned by, and `failures` counts the looks in a row that found
    something unavailable. `again` says that a look was called for while one was under way: it may have begun too early.
    Those that look closely (`deep`) may take their time, and are a group of their own, lest others wait for them.
    `answered_at` is when the newest look ended to which the registry had an answer, or when the group began; `notified`
    is when the registry told of a push that no look has answered yet.
    """

    __slots__ = (
        "again",
        "answered_at",
        "deep",
        "due",
        "failures",
        "fingerprint",
        "looked_at",
        "memory",
        "notified",
        "pace",
        "parties",
        "repository",
        "state",
    )

    def __init__(self, repository: Repository, now: float, *, deep: bool) -> None:
        self.repository = repository
        self.answered_at = now
        self.notified: float | None = None
        self.deep = deep
        self.fingerprint: str | None = None
        self.parties: list[_Party] = []
        self.state = _State.RESTING
        self.due = math.inf
        self.pace = math.inf
        self.looked_at: float | None = None
        self.failures = 0
        self.again = False
        self.memory = Memory()

    def followers(self) -> Iterator[_Follower]:
        return itertools.chain.from_iterable(party.followers for party in self.parties)


class Poller:
    """All that is followed, by all rollouts. For one event loop.

    `load_access` reads credentials from where a source says they are; it raises podpin.errors. `wake` is called, from
    within the event loop, with the key of a rollout whose answers have changed. `verifier` looks at signatures; without
    it nothing that must be signed is found. `load_platforms` says for which platforms a placement (`core.placement`)
    has nodes. `monotonic` gives seconds, `clock` the time and `rng` numbers in [0, 1). `jitter` is the share by which
    intervals are drawn out at random. No repository is looked at more often than each `min_interval` seconds, unless
    somebody asks for a look or it was unavailable. `mirrors` are those that the registry asks: who has other
    credentials there may see something else. The `observer` hears of answers.
    """

    def __init__(
        self,
        registry: Registry,
        load_access: Callable[[AccessSource], Awaitable[Access]],
        wake: Callable[[Key], None],
        *,
        verifier: Verifier | None = None,
        load_platforms: Callable[[str], Awaitable[tuple[str, ...]]] | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        clock: Callable[[], datetime] = now,
        rng: Callable[[], float] = random.random,
        jitter: float = 0.1,
        min_interval: float = 0.0,
        mirrors: Sequence[Mirror] = (),
        observer: Observer = UNOBSERVED,
    ) -> None:
        self._observer = observer
        self._registry = registry
        self._verifier = verifier
        self._load_platforms = load_platforms
        self._clock = clock
        self._load_access = load_access
        self._wake = wake
        self._monotonic = monotonic
        self._rng = rng
        self._jitter = jitter
        self._min_interval = min_interval
        self._mirrors = mirrors
        self._keys: dict[Key, dict[str, _Follower]] = {}
        self._parties: dict[tuple[Repository, AccessSource, bool], _Party] = {}
        self._paths: dict[str, list[_Party]] = {}
        self._groups: dict[tuple[Repository, str, bool], _Group] = {}
        self._heap: list[tuple[float, int, _Group]] = []
        self._tiebreak = itertools.count()
        self._waiting: dict[str, deque[_Group]] = {}
        self._under_way: dict[str, int] = {}
        self._all_under_way = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._news = asyncio.Event()

    # --- what the reconciler asks

    def follow(self, key: Key, wishes: Mapping[str, Wish]) -> dict[str, Look | None]:
        """Say all that a rollout follows, by container, and learn what is known of it now.

        To be called at each reconcile: it costs next to nothing where nothing changed. None is what has not been
        looked at yet; a look is under way or about to be, and `wake` is called when it is done.
        """
        followers = self._keys.get(key)
        if followers is None:
            followers = self._keys[key] = {}
        for container in [container for container in followers if container not in wishes]:
            self._leave(followers.pop(container))
        for container, wish in wishes.items():
            follower = followers.get(container)
            if follower is None or not _continues(follower.wish, wish):
                if follower is not None:
                    self._leave(follower)
                follower = followers[container] = _Follower(key, wish)
                self._join(follower)
            elif follower.wish != wish:
                self._renew(follower, wish)
        if not followers:
            del self._keys[key]
        return {container: follower.look for container, follower in followers.items()}

    def look_now(self, key: Key) -> float:
        """Ask for a look at all that the rollout follows, at once, whatever the schedule says.

        Returns the time: a `Look` with that `at` or a later one is the one that was asked for. `wake` is called when
        it is done, even if it changed nothing.
        """
        now = self._monotonic()
        for follower in self._keys.get(key, {}).values():
            if follower.party is None:
                self._tell(follower, _without_registry(follower.wish.selection), now)
                self._wake(key)
            else:
                follower.asked = now
                self._call(follower.party.group)
        return now

    def look_at(self, notices: Collection[Notice]) -> int:
        """Look at once at what something was pushed to, on behalf of all that follow it.

        Where nobody follows a repository at the host that the notice names, or it names none, its path alone counts:
        registries don't always know under which name they are reached. `wake` is called only for those whose answer
        has changed. Returns how many looks that takes at most. Notices that come before a look has begun share it.
        """
        called: dict[_Group, None] = {}
        for notice in notices:
            paths = [notice.path] if notice.extent is Extent.EXACT else _meant(notice, self._paths)
            found = [party.group for path in paths for party in self._paths.get(path, ())]
            here = [group for group in found if group.repository.host.lower() == notice.host]
            called.update(dict.fromkeys(here or found))
        for group in called:
            if group.notified is None:
                group.notified = self._monotonic()
            if group.state is _State.LOOKING:
                group.again = True
            else:
                self._call(group)
        return len(called)

    def forget(self, key: Key) -> None:
        """Follow nothing any more on behalf of this rollout."""
        for follower in self._keys.pop(key, {}).values():
            self._leave(follower)

    def ages(self) -> dict[str, tuple[float, float]]:
        """By host, of all its repositories that are followed: the most seconds since the newest look that the registry
        had an answer to, and by how many of them that is overdue at the most."""
        now = self._monotonic()
        ages: dict[str, tuple[float, float]] = {}
        for group in {party.group for party in self._parties.values()}:
            host, age = group.repository.host, now - group.answered_at
            late = 0.0 if math.isinf(group.pace) else max(0.0, age - group.pace * (1 + self._jitter * _FIRST_SPREAD))
            oldest, latest = ages.get(host, (0.0, 0.0))
            ages[host] = (max(oldest, age), max(latest, late))
        return ages

    # --- who follows what

    def _join(self, follower: _Follower) -> None:
        wish = follower.wish
        if not needs_registry(wish.selection):
            follower.look = _look_at(_without_registry(wish.selection), self._monotonic(), None)
            return
        place = (wish.repository, wish.source, _is_deep(wish))
        party = self._parties.get(place)
        if party is None:
            group = _Group(wish.repository, self._monotonic(), deep=_is_deep(wish))
            party = self._parties[place] = _Party(wish.source, group)
            group.parties.append(party)
            self._paths.setdefault(wish.repository.path, []).append(party)
        answer = self._fresh_answer(party.group, follower)
        follower.party = party
        party.followers.append(follower)
        if answer is None:
            self._call(party.group)
        else:
            follower.look = answer
            follower.mark = _mark(answer.outcome, follower.mark)
            self._hasten(party.group, wish.interval)

    def _renew(self, follower: _Follower, wish: Wish) -> None:
        """The same is followed, but the status has moved on, or the interval is another one."""
        before, look = follower.wish, follower.look
        if wish.chosen != before.chosen:
            follower.mark = wish.chosen
        follower.wish = wish
        if (
            look is not None
            and isinstance(look.outcome, Found)
            and wish.described
            and wish.known == look.outcome.digest
        ):
            follower.look = replace(look, outcome=_bare(look.outcome), last=look.last and _bare(look.last))
        if follower.party is not None and _is_deep(wish) != follower.party.group.deep:
            self._leave(follower)
            self._join(follower)
        if follower.party is not None:
            self._hasten(follower.party.group, wish.interval)
            # What tags have named before grows with every release, and is no news.
            if (wish.terms._replace(named=()), wish.given) != (before.terms._replace(named=()), before.given):
                follower.asked = self._monotonic()
                self._call(follower.party.group)

    def _leave(self, follower: _Follower) -> None:
        party = follower.party
        if party is None:
            return
        follower.party = None
        party.followers.remove(follower)
        if not party.followers:
            repository = party.group.repository
            del self._parties[repository, party.source, party.group.deep]
            self._paths[repository.path].remove(party)
            if not self._paths[repository.path]:
                del self._paths[repository.path]
            self._take_out(party)

    def _take_out(self, party: _Party) -> None:
        """Take a party out of its group, and forget the group that is empty then."""
        group = party.group
        group.parties.remove(party)
        if not group.parties:
            self._rename(group, None)

    def _rename(self, group: _Group, fingerprint: str | None) -> None:
        if group.fingerprint is not None:
            del self._groups[group.repository, group.fingerprint, group.deep]
        group.fingerprint = fingerprint
        if fingerprint is not None:
            self._groups[group.repository, fingerprint, group.deep] = group

    def _move(self, party: _Party, fingerprint: str) -> None:
        """Put a party where its credentials belong. Its followers get a look through them at once."""
        self._take_out(party)
        group = self._groups.get((party.group.repository, fingerprint, party.group.deep))
        if group is None:
            group = _Group(party.group.repository, self._monotonic(), deep=party.group.deep)
            self._rename(group, fingerprint)
        for follower in party.followers:
            answer = self._fresh_answer(group, follower)
            if answer is not None:
                self._tell(follower, answer.outcome, answer.at)
            elif follower.look is not None:
                follower.asked = self._monotonic()  # what it was told may not hold for the new credentials
        party.group = group
        group.parties.append(party)
        if _is_awaited(group):
            self._call(group)

    def _fresh_answer(self, group: _Group, follower: _Follower) -> Look | None:
        """What another follower of the group, with the same policy, was told just now, if it holds for this one too."""
        wish, held, oldest = follower.wish, follower.held, self._monotonic() - FRESH
        if group.deep or wish.given is not None or wish.terms.immutable:
            return None  # what one may take another may not yet
        for other in group.followers():
            look = other.look
            if (
                look is not None
                and look.at >= oldest
                and isinstance(look.outcome, Found)
                and look.outcome.passed_over is None
                and (other.wish.selection, other.wish.terms) == (wish.selection, wish.terms)
                and (look.outcome.judged or (held is not None and held.digest == look.outcome.digest))
            ):
                tag = look.outcome.tag
                if advance(wish.selection, follower.mark, Choice(tag, None)) == Choice(tag, None):
                    found = look.outcome if other.wish.keep == wish.keep else replace(look.outcome, new_bytes=None)
                    return Look(found, look.at, found)
        return None

    # --- when to look

    def _call(self, group: _Group) -> None:
        """Look at once. One that is under way is not disturbed: when it ends without the answer, another follows."""
        if group.state is _State.WAITING:
            queue = self._waiting[group.repository.host]
            if queue[0] is not group:
                queue.appendleft(group)
        elif group.state is _State.RESTING:
            self._plan(group, self._monotonic())

    def _hasten(self, group: _Group, interval: float) -> None:
        """Look earlier than planned if this interval is shorter than the one that the plan was made for."""
        interval = max(interval, self._min_interval)
        if group.state is _State.RESTING and group.looked_at is not None and interval < group.pace:
            group.pace = interval
            self._plan(group, min(group.due, group.looked_at + interval * (1 + self._jitter * self._rng())))

    def _rest(self, group: _Group, trouble: Unavailable | None) -> None:
        """Plan the next look after one that has ended, or after one that could not begin."""
        wanted = min(follower.wish.interval for follower in group.followers())
        interval = group.pace = max(wanted, self._min_interval)
        if trouble is None:
            spread = self._jitter * (_FIRST_SPREAD if group.looked_at is None else 1)
            group.failures = 0
            wait = interval * (1 + spread * self._rng())
        else:
            wait = min(FIRST_BACKOFF * 2 ** min(group.failures, 16), interval) * (0.75 + 0.5 * self._rng())
            group.failures += 1
            if trouble.retry_after is not None:
                asked = trouble.retry_after * (1 + self._jitter * self._rng())
                wait = min(max(wait, asked), max(interval, LONGEST_WAIT))
        self._plan(group, self._monotonic() + wait)

    def _plan(self, group: _Group, due: float) -> None:
        group.due = due
        heapq.heappush(self._heap, (due, next(self._tiebreak), group))
        if self._heap[0][2] is group:
            self._news.set()
        # Entries of groups that were called or forgotten since stay behind; they must not become the most.
        if len(self._heap) > 2 * len(self._parties) + 64:
            self._heap = [entry for entry in self._heap if _is_valid(entry)]
            heapq.heapify(self._heap)

    async def run(self) -> None:
        """Look when it is time, until cancelled."""
        try:
            while True:
                self._news.clear()
                self._queue_due()
                self._start_waiting()
                await self._until_due()
        finally:
            tasks = list(self._tasks)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _until_due(self) -> None:
        """Sleep until the next look is due or something has changed."""
        wait = self._heap[0][0] - self._monotonic() if self._heap else None
        try:
            async with asyncio.timeout(wait):
                await self._news.wait()
        except TimeoutError:
            pass

    def _queue_due(self) -> None:
        now = self._monotonic()
        while self._heap and self._heap[0][0] <= now:
            entry = heapq.heappop(self._heap)
            group = entry[2]
            if _is_valid(entry):
                group.due = math.inf
                group.state = _State.WAITING
                self._waiting.setdefault(group.repository.host, deque()).append(group)

    def _start_waiting(self) -> None:
        """Start the looks that may start: always one per host, and more as far as the limits allow."""
        for host, queue in list(self._waiting.items()):
            while queue and self._may_start(host):
                group = queue.popleft()
                if group.state is not _State.WAITING:
                    continue  # it was called to the front of the queue, and this is its old place
                group.state = _State.LOOKING
                group.again = False
                self._under_way[host] = self._under_way.get(host, 0) + 1
                self._all_under_way += 1
                task = asyncio.create_task(self._look(group))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
            if not queue:
                del self._waiting[host]

    def _may_start(self, host: str) -> bool:
        here = self._under_way.get(host, 0)
        return here == 0 or (here < MOST_LOOKS_PER_HOST and self._all_under_way < MOST_LOOKS)

    # --- looking

    async def _look(self, group: _Group) -> None:
        """One look: read the credentials, ask the registry, tell the followers, plan the next."""
        trouble: Unavailable | None = None
        ripe: datetime | None = None
        try:
            trouble, ripe = await self._look_through(group, self._monotonic())
        except Exception:
            log.exception("looking at %s failed", group.repository)
            told = broken(group.repository)
            for follower in list(group.followers()):
                self._tell(follower, told, self._monotonic())
            trouble = Unavailable(told.message)
        finally:
            self._end_look(group, trouble, ripe)

    def _end_look(self, group: _Group, trouble: Unavailable | None, ripe: datetime | None) -> None:
        host = group.repository.host
        self._all_under_way -= 1
        self._under_way[host] -= 1
        if not self._under_way[host]:
            del self._under_way[host]
        group.state = _State.RESTING
        if group.parties:
            if group.again or _is_awaited(group):
                self._call(group)
            else:
                self._rest(group, trouble)
            group.looked_at = self._monotonic()
            if trouble is None:
                group.answered_at = group.looked_at
                if not group.again:
                    group.notified = None
            if ripe is not None and trouble is None:
                self._hasten(group, max(1.0, (ripe - self._clock()).total_seconds()))
        self._news.set()

    async def _look_through(self, group: _Group, at: float) -> tuple[Unavailable | None, datetime | None]:
        """Look, and return the trouble if the registry or the credentials were not available, and when a version that
        is too young will be old enough."""
        access, trouble = await self._enter(group, at)
        if access is None:
            return trouble, None
        known = _known_digests(group)
        inquiry = Inquiry(
            self._registry,
            group.repository,
            access,
            known,
            group.memory,
            self._load_platforms,
            self._verifier,
            self._clock(),
        )
        asking: dict[Question, list[_Follower]] = {}
        for follower in group.followers():
            asking.setdefault(follower.question, []).append(follower)
        answers: dict[Question, Outcome] = {}
        questions = iter(_in_turn(asking))

        async def work(most: int | None = None) -> None:
            for question in itertools.islice(questions, most):
                answers[question] = await inquiry.answer(question)
                self._observer.resolved(_reason_of(answers[question]))
                for follower in asking[question]:
                    if _still_asks(follower, group, question):
                        self._tell(follower, answers[question], at)
                    elif follower.party is not None and follower.party.group is group:
                        group.again = True  # its question has changed meanwhile, and this look may have seen news

        # The first goes alone: if the registry does not answer that one, the others need not be asked.
        await work(most=1)
        async with asyncio.TaskGroup() as workers:
            for _ in range(min(MOST_QUESTIONS, len(asking) - len(answers))):
                workers.create_task(work())
        # Those that have joined meanwhile with the same question are told too; the others get a look of their own.
        for follower in list(group.followers()):
            if follower.look is None and (answer := answers.get(follower.question)) is not None:
                self._tell(follower, answer, at)
        lost = await inquiry.lost(dict.fromkeys(follower.wish.keep for follower in group.followers()))
        for follower in list(group.followers()):
            if follower.wish.keep in lost:
                self._tell_lost(follower, follower.wish.keep if lost[follower.wish.keep] else None)
        if inquiry.trouble is None:
            await self._describe(group, inquiry)
        group.memory = inquiry.memory()
        return inquiry.trouble or inquiry.bug or inquiry.delayed, inquiry.ripe

    async def _describe(self, group: _Group, inquiry: Inquiry) -> None:
        """Tell those that do not know it yet what their images are. Nothing waits for it, and it may fail.

        Nobody is woken for it whose status will be written anyway, since the image is new.
        """
        told: dict[tuple[str, Terms, str | None], Found | None] = {}
        for follower in list(group.followers()):
            look, wish = follower.look, follower.wish
            if look is None or not isinstance(look.outcome, Found) or not follower.is_curious(look.outcome.digest):
                continue
            asked = (look.outcome.digest, wish.terms, wish.keep)
            if asked not in told:
                told[asked] = await inquiry.described(look.outcome, wish.terms, wish.keep)
            found = told[asked]
            if found is None or follower.look is not look:
                continue
            follower.told = found.digest
            outcome = replace(look.outcome, facts=found.facts, new_bytes=found.new_bytes)
            follower.look = replace(look, outcome=outcome, last=outcome)
            if follower.wish.known == found.digest:
                self._wake(follower.key)

    async def _enter(self, group: _Group, at: float) -> tuple[Access | None, Unavailable | None]:
        """Read the credentials of all parties, send those elsewhere that see something else by now, and enter with
        the rest.

        Returns an access to look through, or None where nobody is left who could look; then also whether it is worth
        trying again soon.
        """
        access: Access | None = None
        trouble: Unavailable | None = None
        parties = list(group.parties)
        for start in range(0, len(parties), MOST_LOADS):
            batch = parties[start : start + MOST_LOADS]
            for party, loaded in zip(batch, await self._load(batch), strict=True):
                if party.group is not group or not party.followers:
                    continue  # it has left meanwhile
                if isinstance(loaded, PodpinError):
                    trouble = loaded if isinstance(loaded, Unavailable) else None
                    self._shut_out(party, loaded, at, trouble)
                    continue
                copies = mirrors_of(self._mirrors, group.repository)
                fingerprint = loaded.fingerprint_for(group.repository, *copies)
                if fingerprint != group.fingerprint:
                    if len(group.parties) > 1 or (group.repository, fingerprint, group.deep) in self._groups:
                        self._move(party, fingerprint)
                        continue
                    self._rename(group, fingerprint)
                access = loaded
        return access, trouble

    async def _load(self, parties: Sequence[_Party]) -> Sequence[Access | PodpinError]:
        async def load(source: AccessSource) -> Access | PodpinError:
            try:
                return await self._load_access(source)
            except PodpinError as error:
                return error

        if len(parties) == 1:
            return [await load(parties[0].source)]
        return await asyncio.gather(*(load(party.source) for party in parties))

    def _shut_out(self, party: _Party, error: PodpinError, at: float, trouble: Unavailable | None) -> None:
        """Tell a party that its credentials cannot be read, and let it try again alone."""
        told = failed(error, _SECRET_REASONS)
        self._observer.resolved(told.reason)
        for follower in list(party.followers):
            self._tell(follower, told, at)
        if len(party.group.parties) == 1:
            self._rename(party.group, None)
            return
        self._take_out(party)
        party.group = _Group(party.group.repository, self._monotonic(), deep=party.group.deep)
        party.group.parties.append(party)
        self._rest(party.group, trouble)

    def _tell(self, follower: _Follower, outcome: Outcome, at: float) -> None:
        before = follower.look
        lost = before.lost if before is not None and before.lost == follower.wish.keep else None
        since = follower.party.group.notified if follower.party is not None else None
        if since is not None and isinstance(outcome, Found) and (follower.held or outcome).digest != outcome.digest:
            self._observer.noticed(outcome.digest, since)
        follower.look = _look_at(outcome, at, before, lost)
        follower.mark = _mark(outcome, follower.mark)
        changed = before is None or (before.outcome, before.lost) != (outcome, lost)
        if follower.asked is not None and at >= follower.asked:
            follower.asked = None
            changed = True
        if changed:
            self._wake(follower.key)

    def _tell_lost(self, follower: _Follower, lost: str | None) -> None:
        if follower.look is not None and follower.look.lost != lost:
            follower.look = replace(follower.look, lost=lost)
            self._wake(follower.key)


_SECRET_REASONS: Final[Reasons] = {
    NotFound: "SecretMissing",
    Invalid: "SecretInvalid",
    Denied: "SecretDenied",
    PodpinError: "SecretUnavailable",
}


def _mark(outcome: Outcome, before: str | None) -> str | None:
    """The high-water mark after a look: what was found, since that is never lower than what was before."""
    return outcome.tag if isinstance(outcome, Found) and outcome.tag is not None else before


def _reason_of(outcome: Outcome) -> str:
    if isinstance(outcome, Failed):
        return outcome.reason
    return outcome.passed_over.reason if outcome.passed_over is not None else "Resolved"


def _look_at(outcome: Outcome, at: float, before: Look | None, lost: str | None = None) -> Look:
    if isinstance(outcome, Found) and before is not None and isinstance(before.outcome, Found):
        same = outcome.facts is None and outcome.digest == before.outcome.digest
        if same:  # what it is was told already, and has perhaps not been heard yet
            outcome = replace(outcome, facts=before.outcome.facts, new_bytes=before.outcome.new_bytes)
    last = outcome if isinstance(outcome, Found) else before.last if before is not None else None
    return Look(outcome, at, last, lost)


def _without_registry(selection: Selection) -> Outcome:
    """The answer to a policy that knows it already."""
    choice = choose(selection, ())
    if isinstance(choice, Choice) and choice.digest is not None:
        return Found(choice.tag, choice.digest)
    return Failed("PolicyInvalid", "The policy names no image.")


def _continues(before: Wish, now: Wish) -> bool:
    """Whether what was found for the one holds for the other."""
    return (
        before.repository == now.repository
        and before.selection == now.selection
        and before.source == now.source
        and before.terms.platforms == now.terms.platforms
        and before.terms.verify == now.terms.verify
    )


def _meant(notice: Notice, paths: Iterable[str]) -> list[str]:
    """Those of the paths that the notice can be about."""
    if notice.extent is Extent.BELOW:
        start = f"{notice.path}/"
        return [path for path in paths if path == notice.path or path.startswith(start)]
    end = f"/{notice.path}"
    return [path for path in paths if path == notice.path or (path.endswith(end) and "/" not in path[: -len(end)])]


def _bare(found: Found) -> Found:
    """The same without what the status tells by now."""
    return replace(found, facts=None, new_bytes=None)


def _is_deep(wish: Wish) -> bool:
    """Whether many requests may be needed for an answer."""
    terms = wish.terms
    return needs_times(wish.selection) or bool(terms.platforms or terms.min_age or terms.verify)


def _in_turn(asking: Mapping[Question, Sequence[_Follower]]) -> list[Question]:
    """The questions in the order in which to ask: those first that somebody waits for, and each namespace in turn."""
    counts: dict[str, int] = {}
    places: dict[Question, tuple[bool, int]] = {}
    for question, followers in asking.items():
        namespace = followers[0].key.namespace
        counts[namespace] = counts.get(namespace, 0) + 1
        awaited = any(follower.look is None or follower.asked is not None for follower in followers)
        places[question] = (not awaited, counts[namespace])
    return sorted(places, key=lambda question: places[question])


def _still_asks(follower: _Follower, group: _Group, question: Question) -> bool:
    """Whether a follower is there still with its question, after somebody was waited for."""
    return follower.party is not None and follower.party.group is group and follower.question == question


def _is_awaited(group: _Group) -> bool:
    """Whether somebody waits for a look that has not been done yet."""
    return any(follower.look is None or follower.asked is not None for follower in group.followers())


def _is_valid(entry: tuple[float, int, _Group]) -> bool:
    due, _, group = entry
    return group.state is _State.RESTING and group.due == due and bool(group.parties)


def _known_digests(group: _Group) -> dict[str, str]:
    """By tag, the digest that somebody in the group has already: what was found before, or else what stands in a
    status."""
    known: dict[str, str] = {}
    for follower in group.followers():
        wish = follower.wish
        if wish.chosen is not None and wish.known is not None:
            known.setdefault(wish.chosen, wish.known)
    for follower in group.followers():
        last = follower.look.last if follower.look is not None else None
        if last is not None and last.tag is not None:
            known[last.tag] = last.digest
    return known
