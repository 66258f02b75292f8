"""What is asked of one repository in one look, and what the answers are: the poller says when and for whom.

Tags are listed once and each chosen tag is resolved once, whatever the number of questions. A version that is new to
whoever asks is looked into before it is taken (`core.policy.terms`); one that may not be taken is passed over, and the
next best is asked, as long as that is no step back.

What goes wrong stays with the question that it went wrong for. Only a repository that cannot be listed, or a tag that
cannot be resolved, is trouble for the whole look.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol, TypeAlias

from podpin.core.image import Facts
from podpin.core.policy import (
    NO_TIMES,
    NoMatch,
    advance,
    choose,
    dated,
    limit_of,
    needs_tags,
    needs_times,
)
from podpin.core.policy.choice import Choice
from podpin.core.policy.tags import TagsInvalid
from podpin.core.policy.terms import CANNOT_VERIFY, NOT_VERIFIED, PassedOver, Terms, moved, object_to, sentence
from podpin.core.semver import RangeInvalid
from podpin.errors import Denied, Invalid, NotFound, PodpinError, Unavailable, Untrusted, Unverifiable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

    from podpin.core.keyring import Access
    from podpin.core.reference import Repository
    from podpin.core.spec.images import Demand, Selection

MOST_DATED_AT_ONCE: Final = 4
"""Into how many tags one look looks at a time to learn when they were built."""
MOST_FAILURES: Final = 3
"""At how many looks in a row a tag may hold up the others that cannot be dated for want of an answer."""
AHEAD: Final = timedelta(hours=1)
"""How far in the future a build time may lie before it is not believed: clocks differ, and so do publishers."""
LATER: Final = timedelta(minutes=10)
"""How soon a tag is looked into again of which it could not be learned when its image was built."""
AGAIN: Final = timedelta(seconds=10)
"""How soon a look is repeated that could not learn which nodes there are."""

log = logging.getLogger(__name__)


class Registry(Protocol):
    """All registries. Its methods raise podpin.errors."""

    async def list_tags(self, repository: Repository, access: Access) -> tuple[str, ...]:
        """All tags of the repository."""

    async def resolve(self, repository: Repository, tag: str, access: Access, *, known: str | None = None) -> str:
        """The digest that the tag names. One HEAD where it is still the `known` one."""

    async def exists(self, repository: Repository, digest: str, access: Access) -> bool:
        """Whether the digest is there. False only where the registry itself says that it is not."""

    async def inspect(
        self, repository: Repository, digest: str, access: Access, wanted: Sequence[str] = (), *, briefly: bool = False
    ) -> Facts:
        """What the image of this digest is, in particular for the first of the wanted platforms that it has.

        Briefly, no more is asked than its platforms take.
        """


class Verifier(Protocol):
    """What looks at signatures."""

    async def verify(
        self,
        repository: Repository,
        digest: str,
        access: Access,
        demands: tuple[Demand, ...],
        *,
        name: str,
        shared: dict[str, object] | None = None,
    ) -> str | None:
        """None where the image with this digest is signed as demanded; else why not, in words that begin with its name.

        What is found is kept in `shared` for whoever asks the same repository again in the same look.
        Raises podpin.errors: Unverifiable where nothing can be verified so.
        """


@dataclass(frozen=True, slots=True)
class Found:
    """The image that the policy takes now.

    `passed_over` says why a better one is not taken. `judged` says that everything demanded was asked of it in this
    look. `facts` are told of a digest that was new, and `new_bytes` are those to be pulled beside the stable release.
    """

    tag: str | None
    digest: str
    passed_over: PassedOver | None = None
    judged: bool = field(default=False, compare=False)
    facts: Facts | None = field(default=None, compare=False)
    new_bytes: int | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Failed:
    """Why there is no answer.

    `reason` is one word in CamelCase, `message` a sentence for the user that stays the same while the cause does.
    """

    reason: str
    message: str


Outcome: TypeAlias = Found | Failed
Given: TypeAlias = Found | Failed | PassedOver | None


class Question(NamedTuple):
    """What somebody asks of a look; equal for those who get the same answer.

    `mark` is the best tag found so far, `held` what was taken last, `built` when that was built, and `given` the choice
    of a policy that does not choose by the repository.
    """

    selection: Selection
    mark: str | None
    terms: Terms
    held: Found | None
    built: datetime | None
    given: Given


class Dated(NamedTuple):
    """The digest that a tag named, or nothing where it could not be read, and when that was built, if it says so.

    What could not be learned is asked again at the time `again`.
    """

    digest: str
    built: datetime | None
    again: datetime | None = None


@dataclass(slots=True)
class Memory:
    """What is remembered of a repository from one look to the next: what was used in the newest, and no more."""

    dates: dict[str, Dated] = field(default_factory=dict)
    """By tag, what was learned of when its image was built."""
    digests: dict[str, str] = field(default_factory=dict)
    """By tag, the digest that it named, so that one HEAD tells whether it still does."""
    firsts: dict[str, str] = field(default_factory=dict)
    """By tag, the digest that it named when it was first tried, where tags may not move."""
    facts: dict[tuple[str, tuple[str, ...] | None], Facts] = field(default_factory=dict)
    """By digest and wanted platforms, what the image is; None for what was learned of its platforms alone."""
    failures: dict[str, int] = field(default_factory=dict)
    """By tag, at how many looks in a row it could not be learned when its image was built."""


class Inquiry:
    """The questions of one look.

    `known` are digests that somebody has already, by tag. `trouble` is set when the registry turns out to be
    unavailable; nothing more is asked of it then. `bug` is set when podpin itself has failed, `delayed` when a question
    alone could not be answered now. `ripe` is when an answer may be another one by the mere passing of time: the first
    of the versions that are too young is old enough then.
    """

    def __init__(
        self,
        registry: Registry,
        repository: Repository,
        access: Access,
        known: Mapping[str, str],
        memory: Memory,
        platforms: Callable[[str], Awaitable[tuple[str, ...]]] | None,
        verifier: Verifier | None,
        now: datetime,
    ) -> None:
        self.trouble: Unavailable | None = None
        self.bug: Unavailable | None = None
        self.delayed: Unavailable | None = None
        self.ripe: datetime | None = None
        self._registry = registry
        self._repository = repository
        self._access = access
        self._known = {**memory.digests, **known}
        self._memory = memory
        self._used = Memory()
        self._platforms = platforms
        self._verifier = verifier
        self._now = now
        self._tags: Sequence[str] | Failed | None = None
        self._choices: dict[tuple[object, ...], Choice | NoMatch] = {}
        self._resolved: dict[str, Outcome] = {}
        self._placements: dict[str, tuple[str, ...] | Failed] = {}
        self._unread: dict[tuple[str, tuple[str, ...] | None], PodpinError] = {}
        self._searches: dict[str, object] = {}
        self._there: dict[str, bool | Failed] = {}
        self._locks: dict[tuple[object, ...], asyncio.Lock] = {}
        self._cut_short = False
        self._verdicts: dict[tuple[str, tuple[Demand, ...], str], PassedOver | Failed | None] = {}

    async def answer(self, question: Question) -> Outcome:
        """The answer to one question. What podpin itself does wrong is told, and does not reach the other questions."""
        try:
            return await self._answer(question)
        except (RangeInvalid, TagsInvalid) as error:
            return Failed("PolicyInvalid", str(error))
        except Exception:
            log.exception("a question about %s could not be answered", self._repository)
            told = broken(self._repository)
            self.bug = Unavailable(told.message)
            return told

    async def _answer(self, question: Question) -> Outcome:
        if question.given is not None:
            return await self._taken_over(question, question.given)
        tags: Sequence[str] | Failed = await self._list() if needs_tags(question.selection) else ()
        if isinstance(tags, Failed):
            return tags
        times: Mapping[str, datetime] | Failed = NO_TIMES
        if needs_times(question.selection):
            async with self._lock("times"):  # what one looks into the next has seen
                times = await self._times(question, tags)
        return times if isinstance(times, Failed) else await self._best(question, tags, times)

    async def _best(self, question: Question, tags: Sequence[str], times: Mapping[str, datetime]) -> Outcome:
        """The best version that may be taken: the policy's choice, or the next one where that is passed over."""
        selection, passed, tried, redated = question.selection, None, frozenset[str](), set[str]()
        while len(tried) < limit_of(selection):
            new = await self._choice(question, tags, tried, times)
            choice = advance(selection, question.mark, new, times)
            if isinstance(choice, NoMatch):
                if passed is None:
                    return Failed("NoMatchingTag", choice.message)
                break
            if choice.digest is not None:
                return Found(choice.tag, choice.digest)
            assert choice.tag is not None, "a choice names a tag or a digest"
            if choice.tag in tried:
                break
            outcome = await self._resolve(choice.tag)
            if isinstance(outcome, Failed):
                if choice != new and outcome.reason == TAG_NOT_FOUND:
                    return Failed(TAG_NOT_FOUND, _withdrawn(choice.tag, self._repository))
                return outcome
            dated_as = self._used.dates.get(choice.tag)
            if dated_as is not None and dated_as.digest != outcome.digest and choice.tag not in redated:
                redated.add(choice.tag)
                times = await self._dated_anew(choice.tag, times)
                if self.trouble is not None:
                    return failed(self.trouble, REGISTRY_REASONS)
                continue
            objection = await self._objection(question, outcome)
            if isinstance(objection, Failed):
                return objection
            if objection is None:
                held = question.held is not None and question.held.digest == outcome.digest
                return replace(outcome, passed_over=passed, judged=not held)
            passed = passed or objection
            tried |= {choice.tag}
            if not tags:
                break
        assert passed is not None
        return self._held(question, passed)

    async def _choice(
        self, question: Question, tags: Sequence[str], tried: frozenset[str], times: Mapping[str, datetime]
    ) -> Choice | NoMatch:
        """The policy's choice among those that were not tried; asked once in one look, for it takes milliseconds."""
        selection = question.selection
        if not tags:
            return choose(selection, tags, times)
        # When its own choice was built somebody may know by a status that others do not have.
        asked = (selection, tried, (question.mark, question.built) if times else None)
        if asked not in self._choices:
            await asyncio.sleep(0)  # let the others in before each
            left = [tag for tag in tags if tag not in tried] if tried else tags
            self._choices[asked] = choose(selection, left, times)
        return self._choices[asked]

    def _held(self, question: Question, passed: PassedOver) -> Outcome:
        """What is left where nothing may be taken: what was taken before."""
        if question.held is None:
            return Failed(passed.reason, sentence(passed.message))
        return Found(question.held.tag, question.held.digest, passed)

    async def _taken_over(self, question: Question, given: Found | Failed | PassedOver) -> Outcome:
        """What somebody else has chosen, if the repository has it and it may be taken."""
        if isinstance(given, PassedOver):
            return self._held(question, given)
        if isinstance(given, Failed) or (question.held is not None and question.held.digest == given.digest):
            return given
        there = await self._exists(given.digest)
        if isinstance(there, Failed):
            return there
        if not there:
            return Failed(
                "PromotedMissing",
                f"{self._repository} does not have {given.digest}, which is to be promoted: copy the image there, "
                "with its digest preserved.",
            )
        objection = await self._objection(question, given)
        if isinstance(objection, PassedOver):
            return self._held(question, objection)
        return objection or replace(given, judged=True)

    # --- may it be taken?

    async def _objection(self, question: Question, found: Found) -> PassedOver | Failed | None:
        """Why a version may not be taken, or why that cannot be known now. What is held already passes."""
        if question.held is not None and question.held.digest == found.digest:
            return None
        terms, name = question.terms, f"tag {found.tag}" if found.tag is not None else found.digest
        objection: PassedOver | Failed | None = self._moved(terms, found)
        if objection is None:
            objection = await self._unfit(terms, found.digest, name)
        if objection is None and terms.verify:
            objection = await self._unsigned(found.digest, terms.verify, name)
        return objection

    def _moved(self, terms: Terms, found: Found) -> PassedOver | None:
        if found.tag is None or not terms.immutable:
            return None
        first = self._used.firsts[found.tag] = self._memory.firsts.get(found.tag, found.digest)
        if not any(tag == found.tag for tag, _ in terms.named):
            terms = terms._replace(named=((found.tag, first),))
        return moved(terms, found.tag, found.digest)

    async def _unfit(self, terms: Terms, digest: str, name: str) -> PassedOver | Failed | None:
        """The objection to its platforms or its age."""
        wanted = await self._wanted(terms)
        if isinstance(wanted, Failed):
            self._again_at(self._now + AGAIN)
            return wanted
        if terms.platforms or terms.min_age:
            facts = await self._look_into(digest, wanted)
            if isinstance(facts, PodpinError):
                return self._later(facts, REGISTRY_REASONS)
        elif wanted:
            # Nobody has asked for this: where the registry does not tell the platforms, the nodes will.
            brief = await self._look_into(digest, None)
            facts = Facts() if isinstance(brief, PodpinError) else brief
        else:
            return None
        objection = object_to(terms, wanted, name, facts, self._now)
        if objection is not None and objection.ripe is not None:
            self._again_at(objection.ripe)
        return objection

    def _again_at(self, at: datetime) -> None:
        self.ripe = min(at, self.ripe or at)

    async def _wanted(self, terms: Terms) -> tuple[str, ...] | Failed:
        """The platforms that count: those that are demanded, or those of the nodes that it can be placed on."""
        if terms.platforms or terms.placement is None or self._platforms is None:
            return terms.platforms
        async with self._lock("nodes", terms.placement):
            known = self._placements.get(terms.placement)
            if known is None:
                try:
                    known = await self._platforms(terms.placement)
                except PodpinError as error:
                    known = Failed("NodesUnknown", f"For which platforms there are nodes cannot be read now: {error}")
                self._placements[terms.placement] = known
            return known

    async def _unsigned(self, digest: str, demands: tuple[Demand, ...], name: str) -> PassedOver | Failed | None:
        """Why a version is not signed as demanded, asked once in one look; last, because it asks for most."""
        asked = (digest, demands, name)
        async with self._lock("verify", *asked):
            if asked not in self._verdicts:
                self._verdicts[asked] = self._given_up() or await self._verify(digest, demands, name)
            return self._verdicts[asked]

    async def _verify(self, digest: str, demands: tuple[Demand, ...], name: str) -> PassedOver | Failed | None:
        if self._verifier is None:
            return Failed(CANNOT_VERIFY, "Signatures are demanded, and nothing is there to verify them.")
        try:
            said = await self._verifier.verify(
                self._repository, digest, self._access, demands, name=name, shared=self._searches
            )
        except PodpinError as error:
            return self._later(error, {Unverifiable: CANNOT_VERIFY, **REGISTRY_REASONS})
        return None if said is None else PassedOver(NOT_VERIFIED, said)

    # --- what it is

    async def described(self, found: Found, terms: Terms, keep: str | None) -> Found | None:
        """The same with what the image is, and beside the stable release's; None where the registry does not tell."""
        wanted = await self._wanted(terms)
        platforms = () if isinstance(wanted, Failed) else wanted
        facts = await self._look_into(found.digest, platforms)
        if isinstance(facts, PodpinError):
            return None
        beside = None if keep in (None, found.digest) else await self._look_into(keep, platforms)
        new_bytes = facts.new_beside(beside) if isinstance(beside, Facts) else None
        return replace(found, facts=facts, new_bytes=new_bytes)

    async def _look_into(self, digest: str | None, wanted: tuple[str, ...] | None) -> Facts | PodpinError:
        """What the image is, or why that cannot be learned.

        With `wanted` None its platforms alone, by as few requests as that takes.
        """
        assert digest is not None
        async with self._lock("image", digest):
            return await self._read(digest, wanted)

    async def _read(self, digest: str, wanted: tuple[str, ...] | None) -> Facts | PodpinError:
        asked = (digest, wanted)
        if asked in self._unread:
            return self._unread[asked]
        brief = (digest, None)
        known = self._used.facts.get(asked) or self._memory.facts.get(asked)
        if known is None and wanted is not None:
            # An image by itself is told whole at once; of an index, that its platforms are known is not enough.
            short = self._used.facts.get(brief) or self._memory.facts.get(brief)
            known = short if short is not None and short.layers else None
        if known is None:
            try:
                known = await self._registry.inspect(
                    self._repository, digest, self._access, wanted or (), briefly=wanted is None
                )
            except PodpinError as error:
                self._unread[asked] = error
                return error
        self._used.facts[asked] = known
        return known

    # --- when it was built

    async def _times(self, question: Question, tags: Sequence[str]) -> dict[str, datetime] | Failed:
        """When the candidates were built. Only those tags are looked into that were not seen before."""
        names = dated(question.selection, tags)
        if isinstance(names, NoMatch):
            return Failed("TooManyTags", names.message)
        mark = question.mark
        asked = names if mark is None or mark in names else [*names, mark]
        unseen = [name for name in asked if name not in self._used.dates and self._is_due(name)]
        for start in range(0, len(unseen), MOST_DATED_AT_ONCE):
            await asyncio.gather(*(self._date(name) for name in unseen[start : start + MOST_DATED_AT_ONCE]))
            if self.trouble is not None:
                return failed(self.trouble, REGISTRY_REASONS)
        for name in asked:
            if name in self._memory.dates:
                self._used.dates.setdefault(name, self._memory.dates[name])
        times = {name: self._used.dates[name].built for name in asked if name in self._used.dates}
        if mark is not None and times.get(mark) is None:
            times[mark] = question.built
        return self._believed(times)

    def _is_due(self, tag: str) -> bool:
        known = self._memory.dates.get(tag)
        return known is None or (known.again is not None and known.again <= self._now)

    def _believed(self, times: Mapping[str, datetime | None]) -> dict[str, datetime]:
        latest = self._now + AHEAD
        return {name: built for name, built in times.items() if built is not None and built <= latest}

    async def _dated_anew(self, tag: str, times: Mapping[str, datetime]) -> dict[str, datetime]:
        """The times, after a tag turned out to name another digest than the one that was looked into."""
        await self._date(tag)
        self._choices.clear()
        rest: dict[str, datetime | None] = {name: built for name, built in times.items() if name != tag}
        dated_as = self._used.dates.get(tag)
        return self._believed({**rest, tag: dated_as.built if dated_as is not None else None})

    async def _date(self, tag: str) -> None:
        """Learn when a tag's image was built. What cannot be read is not asked for at every look."""
        outcome = await self._resolve(tag)
        built: datetime | None = None
        again: datetime | None = self._now + LATER
        if isinstance(outcome, Found):
            try:
                built = (await self._registry.inspect(self._repository, outcome.digest, self._access)).created
                again = None
            except Unavailable as error:
                failures = self._used.failures[tag] = self._memory.failures.get(tag, 0) + 1
                if failures < MOST_FAILURES:
                    self.trouble = error
                    return
            except PodpinError as error:
                log.debug("when %s:%s was built is not known: %s", self._repository, tag, error)
        elif self.trouble is not None:
            return
        # Kept at once: what was learned before the registry had enough need not be asked again.
        digest = outcome.digest if isinstance(outcome, Found) else ""
        self._memory.dates[tag] = self._used.dates[tag] = Dated(digest, built, again)

    # --- the registry

    def _lock(self, *what: object) -> asyncio.Lock:
        """Who asks the same as another waits for the other's answer."""
        return self._locks.setdefault(what, asyncio.Lock())

    async def _list(self) -> Sequence[str] | Failed:
        async with self._lock("tags"):
            if self._tags is None:
                self._tags = self._given_up()
            if self._tags is None:
                try:
                    self._tags = await self._registry.list_tags(self._repository, self._access)
                except PodpinError as error:
                    self._tags = self._note(error, {NotFound: "RepositoryNotFound", **REGISTRY_REASONS})
            return self._tags

    async def _resolve(self, tag: str) -> Outcome:
        async with self._lock("tag", tag):
            return await self._named(tag)

    async def _named(self, tag: str) -> Outcome:
        outcome = self._resolved.get(tag) or self._given_up()
        if outcome is None:
            try:
                digest = await self._registry.resolve(self._repository, tag, self._access, known=self._known.get(tag))
                outcome = Found(tag, digest)
                self._used.digests[tag] = digest
            except PodpinError as error:
                outcome = self._note(error, {NotFound: TAG_NOT_FOUND, **REGISTRY_REASONS})
            self._resolved[tag] = outcome
        return outcome

    async def _exists(self, digest: str) -> bool | Failed:
        async with self._lock("exists", digest):
            if digest not in self._there:
                given_up = self._given_up()
                if given_up is not None:
                    return given_up
                try:
                    self._there[digest] = await self._registry.exists(self._repository, digest, self._access)
                except PodpinError as error:
                    self._there[digest] = self._note(error, REGISTRY_REASONS)
            return self._there[digest]

    async def lost(self, digests: Iterable[str | None]) -> dict[str, bool]:
        """Which of the digests are gone, as far as the registry tells. What a tag was found to name is there.

        To be asked when all questions are answered.
        """
        self._cut_short = self.trouble is not None
        there = {outcome.digest for outcome in self._resolved.values() if isinstance(outcome, Found)}
        known: dict[str, bool] = {}
        for digest in digests:
            if digest is None or self.trouble is not None:
                continue
            exists = digest in there or await self._exists(digest)
            if not isinstance(exists, Failed):
                known[digest] = not exists
        return known

    def memory(self) -> Memory:
        """What is worth knowing at the next look: what was used in this one, or all where this one did not get far."""
        used, before = self._used, self._memory
        if self._cut_short:
            return Memory(
                {**before.dates, **used.dates},
                {**before.digests, **used.digests},
                {**before.firsts, **used.firsts},
                {**before.facts, **used.facts},
                {**before.failures, **used.failures},
            )
        return used

    def _given_up(self) -> Failed | None:
        return None if self.trouble is None else failed(self.trouble, REGISTRY_REASONS)

    def _later(self, error: PodpinError, reasons: Reasons) -> Failed:
        """What stays with its question, and is asked again soon where that may help."""
        if isinstance(error, Unavailable):
            self.delayed = error
        return failed(error, reasons)

    def _note(self, error: PodpinError, reasons: Reasons) -> Failed:
        if isinstance(error, Unavailable):
            self.trouble = error
        return failed(error, reasons)


TAG_NOT_FOUND: Final = "TagNotFound"

Reasons: TypeAlias = "Mapping[type[PodpinError], str]"

REGISTRY_REASONS: Final[Reasons] = {
    Denied: "RegistryDenied",
    Untrusted: "RegistryUntrusted",
    Invalid: "RegistryRefused",
    PodpinError: "RegistryUnavailable",
}


def failed(error: PodpinError, reasons: Reasons) -> Failed:
    """The reason is that of the error's own class, or the general one."""
    return Failed(reasons.get(type(error), reasons[PodpinError]), str(error))


def broken(repository: Repository) -> Failed:
    """The answer where podpin itself has a bug."""
    return Failed("InternalError", f"podpin failed to look at {repository}: its log says why.")


def _withdrawn(tag: str, repository: Repository) -> str:
    return (
        f"Tag {tag} of {repository}, the best version so far by the policy, is gone. podpin does not go back to an "
        "earlier one by itself: push it again, ask for another choice by podpin.dev/retry, or change the policy."
    )
