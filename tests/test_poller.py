"""The poller, with a scripted registry and in virtual time: an hour of polling takes milliseconds and never varies."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from podpin.core.hooks import Extent, Notice
from podpin.core.image import Facts, Layer
from podpin.core.keyring import Access, Credential, Keyring
from podpin.core.mirrors import Mirror
from podpin.core.names import Key
from podpin.core.policy.terms import PassedOver, Terms
from podpin.core.reference import Repository
from podpin.core.spec.images import (
    Demand,
    DigestPolicy,
    NewestPolicy,
    Policy,
    PromotePolicy,
    Selection,
    SemverPolicy,
    TagPolicy,
    TagsSpec,
)
from podpin.errors import Denied, Invalid, NotFound, PodpinError, Unavailable, Untrusted, Unverifiable
from podpin.inquiry import Failed, Found
from podpin.observer import Observer
from podpin.poller import (
    FIRST_BACKOFF,
    MOST_LOOKS,
    MOST_LOOKS_PER_HOST,
    AccessSource,
    Look,
    Poller,
    Wish,
)
from tests.builders import START
from tests.virtual_time import VirtualLoop

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Sequence
    from datetime import datetime

INTERVAL = 300.0
WEB = Repository("one.example.com", "shop/web")
API = Repository("one.example.com", "shop/api")
ELSEWHERE = Repository("two.example.com", "shop/web")
SHOP = AccessSource("shop")
BANK = AccessSource("bank", pull_secrets=("bank-registry",))
ONE = Key("shop", "one")
TWO = Key("shop", "two")


def in_virtual_time(story: Coroutine[Any, Any, None]) -> None:
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(story)


def now() -> float:
    return asyncio.get_running_loop().time()


def clock() -> datetime:
    """The time of day goes with the virtual time."""
    return START + timedelta(seconds=now())


def tag(name: str) -> Policy:
    return Policy(tag=TagPolicy(name=name))


def semver(wanted: str) -> Policy:
    return Policy(semver=SemverPolicy(range=wanted))


def digest_of(text: str) -> str:
    return "sha256:" + text.encode().hex().ljust(64, "0")[:64]


def access_with(password: str) -> Access:
    return Access(Keyring((("one.example.com", Credential("user", password)),)))


@dataclass(frozen=True)
class Request:
    at: float
    what: str
    repository: Repository
    tag: str | None
    access: Access
    known: str | None


@dataclass
class FakeRegistry:
    """A registry whose tags are in `digests`. `failure` says what goes wrong, `delay` how long each request takes."""

    digests: dict[Repository, dict[str, str]] = field(default_factory=dict)
    failure: Callable[[Request], Exception | None] = lambda _: None
    delay: Callable[[Request], float] = lambda _: 0.01
    facts: dict[str, Facts] = field(default_factory=dict)
    inspected: list[tuple[str, tuple[str, ...]]] = field(default_factory=list)
    hidden: set[str] = field(default_factory=set)
    """Tags that are there, and not in the list."""
    requests: list[Request] = field(default_factory=list)
    under_way: Counter[str] = field(default_factory=Counter)
    most_under_way: Counter[str] = field(default_factory=Counter)

    def push(self, repository: Repository, name: str, content: str = "") -> None:
        self.digests.setdefault(repository, {})[name] = digest_of(content or name)

    def built(self, name: str, minutes_ago: float | None, repository: Repository = WEB, **facts: Any) -> None:
        """Push a tag whose image was built so long ago."""
        self.push(repository, name)
        created = None if minutes_ago is None else clock() - timedelta(minutes=minutes_ago)
        self.facts[digest_of(name)] = Facts(created=created, **facts)

    def count(self, what: str, repository: Repository = WEB) -> int:
        return sum(request.what == what and request.repository == repository for request in self.requests)

    async def list_tags(self, repository: Repository, access: Access) -> tuple[str, ...]:
        await self._answer(Request(now(), "list", repository, None, access, None))
        if repository not in self.digests:
            raise NotFound(f"Repository {repository} does not exist.")
        return tuple(name for name in self.digests[repository] if name not in self.hidden)

    async def resolve(self, repository: Repository, tag: str, access: Access, *, known: str | None = None) -> str:
        await self._answer(Request(now(), "head", repository, tag, access, known))
        if tag not in self.digests.get(repository, {}):
            raise NotFound(f"Tag {tag} of {repository} does not exist.")
        return self.digests[repository][tag]

    async def exists(self, repository: Repository, digest: str, access: Access) -> bool:
        await self._answer(Request(now(), "exists", repository, digest, access, None))
        return digest in self.digests.get(repository, {}).values()

    async def inspect(
        self, repository: Repository, digest: str, access: Access, wanted: Sequence[str] = (), *, briefly: bool = False
    ) -> Facts:
        self.inspected.append((digest, tuple(wanted)))
        await asyncio.sleep(0)
        failure = self.failure(Request(now(), "inspect", repository, digest, access, None))
        if failure is not None:
            raise failure
        return self.facts.get(digest, Facts())

    async def _answer(self, request: Request) -> None:
        self.requests.append(request)
        host = request.repository.host
        self.under_way[host] += 1
        self.most_under_way[host] = max(self.most_under_way[host], self.under_way[host])
        try:
            await asyncio.sleep(self.delay(request))
        finally:
            self.under_way[host] -= 1
        failure = self.failure(request)
        if failure is not None:
            raise failure


@dataclass
class FakeVerifier:
    """Says of the digests in `says` why they are not signed, or raises that; all others are."""

    says: dict[str, str | Exception] = field(default_factory=dict)
    asked: list[tuple[str, Access]] = field(default_factory=list)
    meanwhile: Callable[[], None] = lambda: None

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
        assert demands
        assert shared is not None
        self.asked.append((digest, access))
        self.meanwhile()
        await asyncio.sleep(0)
        said = self.says.get(digest)
        if isinstance(said, Exception):
            raise said
        return None if said is None else f"{name} {said}"


@dataclass
class World:
    """A poller at work, with all that it touches."""

    poller: Poller
    registry: FakeRegistry
    accesses: dict[AccessSource, Access | Exception]
    loads: list[AccessSource]
    woken: list[Key]
    placements: dict[str, tuple[str, ...] | Exception]
    verifier: FakeVerifier

    def follow(self, key: Key, policy: Policy, repository: Repository = WEB, **rest: Any) -> Look | None:
        selection = Selection(policy, rest.pop("tags", None))
        wish = Wish(repository, selection, **{"interval": INTERVAL, "source": SHOP, **rest})
        return self.poller.follow(key, {"app": wish})["app"]

    def outcome(self, key: Key) -> Found | Failed | None:
        """What is known, asked without changing what is followed."""
        look = self.look(key)
        return None if look is None else look.outcome

    def look(self, key: Key) -> Look | None:
        return self.poller._keys[key]["app"].look


def story(tell: Callable[[World], Awaitable[None]]) -> Callable[[], None]:
    """A test told as a coroutine over a world whose poller runs."""

    async def play() -> None:
        registry = FakeRegistry()
        accesses: dict[AccessSource, Access | Exception] = {}
        loads: list[AccessSource] = []
        woken: list[Key] = []

        async def load_access(source: AccessSource) -> Access:
            loads.append(source)
            await asyncio.sleep(0.001)
            access = accesses.get(source, Access())
            if isinstance(access, Exception):
                raise access
            return access

        placements: dict[str, tuple[str, ...] | Exception] = {}

        async def load_platforms(placement: str) -> tuple[str, ...]:
            found = placements.get(placement, ())
            if isinstance(found, Exception):
                raise found
            return found

        verifier = FakeVerifier()
        poller = Poller(
            registry,
            load_access,
            woken.append,
            verifier=verifier,
            load_platforms=load_platforms,
            monotonic=now,
            clock=clock,
            rng=lambda: 0.5,
            jitter=0.1,
        )
        running = asyncio.create_task(poller.run())
        try:
            await tell(World(poller, registry, accesses, loads, woken, placements, verifier))
            assert not running.done()
        finally:
            running.cancel()
            await asyncio.wait([running])
        assert not poller._tasks

    def test() -> None:
        in_virtual_time(play())

    test.__name__ = tell.__name__
    test.__doc__ = tell.__doc__
    return test


@story
async def test_the_first_look_comes_at_once_and_wakes(world: World) -> None:
    world.registry.push(WEB, "latest")
    assert world.follow(ONE, tag("latest")) is None
    await asyncio.sleep(1)
    found = Found("latest", digest_of("latest"))
    assert world.follow(ONE, tag("latest")) == Look(found, 0.0, found)
    assert world.woken == [ONE]


@story
async def test_a_quiet_hour_costs_one_head_per_interval_and_wakes_nobody(world: World) -> None:
    world.registry.push(WEB, "latest")
    world.follow(ONE, tag("latest"))
    await asyncio.sleep(1)
    world.woken.clear()
    await asyncio.sleep(3600)
    assert world.registry.count("list") == 0
    assert 10 <= world.registry.count("head") <= 1 + 3600 / INTERVAL
    assert {request.known for request in world.registry.requests[1:]} == {digest_of("latest")}
    assert world.woken == []


@story
async def test_a_thousand_rollouts_of_one_tag_cost_one_head(world: World) -> None:
    world.registry.push(WEB, "latest")
    keys = [Key(f"namespace-{number}", "web") for number in range(1000)]
    for key in keys:
        world.follow(key, tag("latest"), source=AccessSource(key.namespace))
    await asyncio.sleep(60)
    assert world.registry.count("head") <= 2
    assert sorted(world.woken) == sorted(keys)
    world.woken.clear()
    world.registry.requests.clear()
    world.registry.push(WEB, "latest", "moved")
    await asyncio.sleep(1.5 * INTERVAL)
    assert world.registry.count("head") == 1
    assert sorted(world.woken) == sorted(keys)
    assert {world.outcome(key) for key in keys} == {Found("latest", digest_of("moved"))}


@story
async def test_those_who_come_one_after_the_other_at_a_start_share_an_answer(world: World) -> None:
    world.registry.push(WEB, "1.0.0")
    for number in range(100):
        world.follow(Key("shop", str(number)), semver("*"), chosen="1.0.0" if number % 2 else None)
        await asyncio.sleep(0.01)
    await asyncio.sleep(1)
    assert world.registry.count("list") <= 2
    assert all(world.outcome(Key("shop", str(number))) == Found("1.0.0", digest_of("1.0.0")) for number in range(100))


@story
async def test_a_rollout_that_comes_later_gets_a_look_of_its_own(world: World) -> None:
    world.registry.push(WEB, "latest")
    world.follow(ONE, tag("latest"))
    await asyncio.sleep(10)
    world.registry.push(WEB, "latest", "newer")
    assert world.follow(TWO, tag("latest")) is None
    await asyncio.sleep(1)
    assert world.outcome(TWO) == world.outcome(ONE) == Found("latest", digest_of("newer"))


@story
async def test_a_look_lists_once_and_resolves_each_chosen_tag_once(world: World) -> None:
    for name in ("1.0.0", "1.1.0", "2.0.0", "edge"):
        world.registry.push(WEB, name)
    policies = [semver("*"), semver(">=1"), semver("^1"), tag("edge"), tag("2.0.0")]
    for number, policy in enumerate(policies):
        world.follow(Key("shop", str(number)), policy)
    await asyncio.sleep(1)
    assert world.registry.count("list") == 1
    assert sorted(str(request.tag) for request in world.registry.requests if request.what == "head") == [
        "1.1.0",
        "2.0.0",
        "edge",
    ]
    tags = [outcome.tag for n in range(5) if isinstance(outcome := world.outcome(Key("shop", str(n))), Found)]
    assert tags == ["2.0.0", "2.0.0", "1.1.0", "edge", "2.0.0"]


@story
async def test_only_those_are_woken_whose_answer_changed(world: World) -> None:
    world.registry.push(WEB, "1.0.0")
    world.registry.push(WEB, "2.0.0")
    world.follow(ONE, semver("^1"))
    world.follow(TWO, semver("^2"))
    await asyncio.sleep(1)
    world.woken.clear()
    world.registry.push(WEB, "2.1.0")
    await asyncio.sleep(2 * INTERVAL)
    assert world.woken == [TWO]


@story
async def test_several_containers_of_a_rollout_are_answered_by_name(world: World) -> None:
    world.registry.push(WEB, "latest")
    world.registry.push(API, "1.0.0")
    wishes = {
        "web": Wish(WEB, Selection(tag("latest")), INTERVAL, SHOP),
        "api": Wish(API, Selection(semver("*")), INTERVAL, SHOP),
        "fixed": Wish(API, Selection(Policy(digest=DigestPolicy(value=digest_of("fixed")))), INTERVAL, SHOP),
    }
    world.poller.follow(ONE, wishes)
    await asyncio.sleep(1)
    looks = world.poller.follow(ONE, wishes)
    assert {name: look.outcome for name, look in looks.items() if look is not None} == {
        "web": Found("latest", digest_of("latest")),
        "api": Found("1.0.0", digest_of("1.0.0")),
        "fixed": Found(None, digest_of("fixed")),
    }
    del wishes["web"]
    assert set(world.poller.follow(ONE, wishes)) == {"api", "fixed"}


@story
async def test_a_digest_costs_no_request_and_no_credentials(world: World) -> None:
    fixed = Policy(digest=DigestPolicy(value=digest_of("fixed")))
    look = world.follow(ONE, fixed)
    assert look is not None
    assert look.outcome == Found(None, digest_of("fixed"))
    await asyncio.sleep(INTERVAL)
    asked = world.poller.look_now(ONE)
    look = world.follow(ONE, fixed)
    assert look is not None
    assert look.at >= asked
    assert world.woken == [ONE]
    assert world.registry.requests == []
    assert world.loads == []


@story
async def test_following_the_same_again_asks_nothing(world: World) -> None:
    world.registry.push(WEB, "1.0.0")
    for _ in range(100):
        world.follow(ONE, semver("*"))
        await asyncio.sleep(0.1)
    world.follow(ONE, semver("*"), chosen="1.0.0", known=digest_of("1.0.0"))
    await asyncio.sleep(1)
    assert len(world.registry.requests) == 2
    assert world.woken == [ONE]


@story
async def test_another_policy_is_another_question(world: World) -> None:
    world.registry.push(WEB, "1.0.0")
    world.registry.push(WEB, "2.0.0")
    world.follow(ONE, semver("^1"))
    await asyncio.sleep(10)
    assert world.follow(ONE, semver("^2")) is None
    await asyncio.sleep(1)
    assert world.outcome(ONE) == Found("2.0.0", digest_of("2.0.0"))
    assert world.follow(ONE, semver("^2"), API) is None


@story
async def test_what_stands_in_status_saves_fetching_what_is_known(world: World) -> None:
    world.registry.push(WEB, "1.0.0")
    world.follow(ONE, semver("*"), chosen="1.0.0", known=digest_of("1.0.0"))
    await asyncio.sleep(1)
    assert world.registry.requests[-1].known == digest_of("1.0.0")


# --- never back by accident


@story
async def test_a_stale_list_does_not_move_the_choice_back(world: World) -> None:
    world.registry.push(WEB, "1.0.0")
    world.registry.push(WEB, "1.1.0")
    world.follow(ONE, semver("*"))
    await asyncio.sleep(1)
    world.woken.clear()

    async def stale(repository: Repository, access: Access) -> tuple[str, ...]:
        return ("1.0.0",)

    world.registry.list_tags = stale  # type: ignore[method-assign]
    await asyncio.sleep(3 * INTERVAL)
    assert world.outcome(ONE) == Found("1.1.0", digest_of("1.1.0"))
    assert world.woken == []


@story
async def test_a_tag_that_is_gone_is_said_to_be_gone_and_the_last_image_stays_known(world: World) -> None:
    world.registry.push(WEB, "1.0.0")
    world.registry.push(WEB, "1.1.0")
    world.follow(ONE, semver("*"))
    await asyncio.sleep(1)
    del world.registry.digests[WEB]["1.1.0"]
    await asyncio.sleep(2 * INTERVAL)
    look = world.look(ONE)
    assert look is not None
    assert isinstance(look.outcome, Failed)
    assert look.outcome.reason == "TagNotFound"
    assert "1.1.0 of one.example.com/shop/web, the best version so far by the policy, is gone" in look.outcome.message
    assert look.last == Found("1.1.0", digest_of("1.1.0"))


@story
async def test_the_mark_of_the_status_holds_after_a_restart(world: World) -> None:
    world.registry.push(WEB, "1.0.0")
    world.follow(ONE, semver("*"), chosen="1.1.0")
    await asyncio.sleep(1)
    outcome = world.outcome(ONE)
    assert isinstance(outcome, Failed)
    assert outcome.reason == "TagNotFound"


@story
async def test_an_answer_that_was_shared_is_a_mark_too(world: World) -> None:
    world.registry.push(WEB, "1.0.0")
    world.registry.push(WEB, "1.1.0")
    world.follow(ONE, semver("*"))
    await asyncio.sleep(1)
    assert world.follow(TWO, semver("*")) is not None
    world.poller.forget(ONE)
    del world.registry.digests[WEB]["1.1.0"]
    await asyncio.sleep(2 * INTERVAL)
    look = world.look(TWO)
    assert look is not None
    assert isinstance(look.outcome, Failed)
    assert look.last == Found("1.1.0", digest_of("1.1.0"))


@story
async def test_an_answer_below_the_mark_is_not_shared(world: World) -> None:
    world.registry.push(WEB, "1.0.0")
    world.follow(ONE, semver("*"))
    await asyncio.sleep(1)
    world.registry.push(WEB, "1.1.0")
    assert world.follow(TWO, semver("*"), chosen="1.1.0") is None
    await asyncio.sleep(1)
    assert world.outcome(TWO) == Found("1.1.0", digest_of("1.1.0"))


@story
async def test_the_stable_digest_is_looked_for_only_where_no_tag_was_found_to_name_it(world: World) -> None:
    world.registry.push(WEB, "latest")
    world.follow(ONE, tag("latest"), keep=digest_of("latest"))
    await asyncio.sleep(1)
    assert world.registry.count("exists") == 0
    world.registry.push(WEB, "old")
    world.follow(TWO, tag("latest"), keep=digest_of("old"))
    world.poller.look_now(TWO)
    await asyncio.sleep(1)
    assert world.registry.count("exists") == 1
    look = world.look(TWO)
    assert look is not None
    assert look.lost is None


@story
async def test_a_stable_digest_that_is_gone_is_told_and_wakes(world: World) -> None:
    world.registry.push(WEB, "latest")
    world.registry.push(WEB, "old")
    world.follow(ONE, tag("latest"), keep=digest_of("old"))
    await asyncio.sleep(1)
    del world.registry.digests[WEB]["old"]
    world.woken.clear()
    await asyncio.sleep(2 * INTERVAL)
    look = world.look(ONE)
    assert look is not None
    assert look.lost == digest_of("old")
    assert world.woken == [ONE]
    world.registry.push(WEB, "old")
    await asyncio.sleep(2 * INTERVAL)
    look = world.look(ONE)
    assert look is not None
    assert look.lost is None
    assert world.woken == [ONE, ONE]


@story
async def test_a_registry_that_does_not_answer_has_lost_nothing(world: World) -> None:
    world.registry.push(WEB, "latest")
    world.registry.failure = lambda request: Unavailable("away") if request.what == "exists" else None
    world.follow(ONE, tag("latest"), keep=digest_of("old"))
    await asyncio.sleep(1)
    look = world.look(ONE)
    assert look is not None
    assert look.lost is None
    assert look.outcome == Found("latest", digest_of("latest"))


@story
async def test_choosing_afresh_may_go_back(world: World) -> None:
    world.registry.push(WEB, "1.0.0")
    world.registry.push(WEB, "1.1.0")
    world.follow(ONE, semver("*"), chosen="1.1.0")
    await asyncio.sleep(1)
    del world.registry.digests[WEB]["1.1.0"]
    world.follow(ONE, semver("*"), chosen=None)
    world.poller.look_now(ONE)
    await asyncio.sleep(1)
    assert world.outcome(ONE) == Found("1.0.0", digest_of("1.0.0"))


# --- when it goes wrong

# Which request fails, how, the reason, and the wait until the next look in seconds.
FAILURES: dict[str, tuple[str, PodpinError | None, str | None, tuple[float, float]]] = {
    "nothing fails": ("list", None, None, (INTERVAL, 1.5 * INTERVAL)),
    "the repository does not exist": ("list", NotFound("no."), "RepositoryNotFound", (INTERVAL, 1.5 * INTERVAL)),
    "the tag does not exist": ("head", NotFound("no."), "TagNotFound", (INTERVAL, 1.5 * INTERVAL)),
    "the list is refused": ("list", Denied("no."), "RegistryDenied", (INTERVAL, 1.5 * INTERVAL)),
    "the tag is refused": ("head", Denied("no."), "RegistryDenied", (INTERVAL, 1.5 * INTERVAL)),
    "the certificate is not trusted": ("list", Untrusted("no."), "RegistryUntrusted", (INTERVAL, 1.5 * INTERVAL)),
    "the request is wrong": ("head", Invalid("no."), "RegistryRefused", (INTERVAL, 1.5 * INTERVAL)),
    "the registry is down": ("list", Unavailable("no."), "RegistryUnavailable", (3, 7)),
    "the registry goes down half-way": ("head", Unavailable("no."), "RegistryUnavailable", (3, 7)),
    "the registry says when": ("list", Unavailable("no.", retry_after=60), "RegistryUnavailable", (60, 67)),
    "the registry wants an hour": ("list", Unavailable("no.", retry_after=3600), "RegistryUnavailable", (3600, 3601)),
    "the registry wants a year": ("list", Unavailable("no.", retry_after=3e7), "RegistryUnavailable", (3600, 3601)),
    "the registry wants no wait": ("list", Unavailable("no.", retry_after=0), "RegistryUnavailable", (3, 7)),
}


@pytest.mark.parametrize(("what", "error", "reason", "wait"), FAILURES.values(), ids=FAILURES)
def test_failures(what: str, error: PodpinError | None, reason: str | None, wait: tuple[float, float]) -> None:
    @story
    async def told(world: World) -> None:
        world.registry.push(WEB, "1.0.0")
        world.registry.failure = lambda request: error if request.what == what else None
        world.follow(ONE, semver("*"))
        await asyncio.sleep(1)
        if reason is None:
            assert world.outcome(ONE) == Found("1.0.0", digest_of("1.0.0"))
        else:
            assert world.outcome(ONE) == Failed(reason, "no.")
        assert world.woken == [ONE]
        await asyncio.sleep(2 * wait[1])
        second = [request.at for request in world.registry.requests if request.what == "list"][1]
        assert wait[0] <= second <= wait[1]
        assert world.woken == [ONE]

    told()


@story
async def test_no_tag_matches_and_the_message_says_why(world: World) -> None:
    world.registry.push(WEB, "1.0.0")
    world.follow(ONE, semver("^2"))
    await asyncio.sleep(1)
    outcome = world.outcome(ONE)
    assert isinstance(outcome, Failed)
    assert outcome.reason == "NoMatchingTag"
    assert "1.0.0" in outcome.message


@story
async def test_a_range_that_does_not_parse_is_answered_too(world: World) -> None:
    world.registry.push(WEB, "1.0.0")
    world.follow(ONE, semver("one"))
    world.follow(TWO, semver("*"))
    await asyncio.sleep(1)
    outcome = world.outcome(ONE)
    assert isinstance(outcome, Failed)
    assert outcome.reason == "PolicyInvalid"
    assert world.outcome(TWO) == Found("1.0.0", digest_of("1.0.0"))


@story
async def test_retries_wait_longer_each_time_but_no_longer_than_the_interval(world: World) -> None:
    world.registry.failure = lambda _: Unavailable("down.")
    world.follow(ONE, tag("latest"))
    await asyncio.sleep(5000)
    times = [request.at for request in world.registry.requests]
    waits = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert waits[:6] == pytest.approx([FIRST_BACKOFF * 2**n for n in range(6)], rel=0.1)
    assert waits[6:] == pytest.approx([INTERVAL] * len(waits[6:]), rel=0.1)
    assert len(waits) > 8


@story
async def test_a_registry_that_comes_back_is_noticed_and_the_interval_holds_again(world: World) -> None:
    world.registry.push(WEB, "latest")
    world.follow(ONE, tag("latest"))
    await asyncio.sleep(1)
    found = world.outcome(ONE)
    world.registry.failure = lambda _: Unavailable("down.")
    await asyncio.sleep(1.5 * INTERVAL)
    look = world.look(ONE)
    assert look is not None
    assert (look.outcome, look.last) == (Failed("RegistryUnavailable", "down."), found)
    world.registry.failure = lambda _: None
    await asyncio.sleep(INTERVAL)
    assert world.outcome(ONE) == found
    assert world.woken == [ONE, ONE, ONE]
    world.registry.requests.clear()
    await asyncio.sleep(3600)
    assert 10 <= len(world.registry.requests) <= 12
    world.registry.failure = lambda _: Unavailable("down again.")
    await asyncio.sleep(INTERVAL)
    waits = [request.at for request in world.registry.requests[-7:]]
    assert min(later - earlier for earlier, later in itertools.pairwise(waits)) < 2 * FIRST_BACKOFF


@story
async def test_after_one_request_went_unanswered_a_look_asks_no_more(world: World) -> None:
    world.registry.failure = lambda _: Unavailable("down.")
    for number in range(10):
        world.follow(Key("shop", str(number)), tag(f"tag-{number}"))
    world.follow(ONE, semver("*"))
    await asyncio.sleep(1)
    assert len(world.registry.requests) == 1
    assert world.outcome(ONE) == world.outcome(Key("shop", "9")) == Failed("RegistryUnavailable", "down.")


@story
async def test_a_bug_is_told_and_does_not_stop_the_others(world: World) -> None:
    world.registry.push(API, "latest")
    world.registry.failure = lambda request: KeyError("bug") if request.repository == WEB else None
    world.follow(ONE, tag("latest"), WEB)
    world.follow(TWO, tag("latest"), API)
    await asyncio.sleep(1)
    outcome = world.outcome(ONE)
    assert isinstance(outcome, Failed)
    assert outcome.reason == "InternalError"
    assert "bug" not in outcome.message
    assert isinstance(world.outcome(TWO), Found)
    world.registry.push(WEB, "latest")
    world.registry.failure = lambda _: None
    await asyncio.sleep(10)
    assert isinstance(world.outcome(ONE), Found)


# --- asked for


@story
async def test_a_look_that_was_asked_for_comes_at_once_and_wakes_even_if_nothing_changed(world: World) -> None:
    world.registry.push(WEB, "latest")
    world.follow(ONE, tag("latest"))
    world.follow(TWO, tag("latest"))
    await asyncio.sleep(100)
    world.woken.clear()
    asked = world.poller.look_now(ONE)
    await asyncio.sleep(1)
    look = world.look(ONE)
    assert look is not None
    assert look.at >= asked == 100
    assert world.woken == [ONE]
    await asyncio.sleep(INTERVAL - 10)
    assert len(world.registry.requests) == 2


@story
async def test_asking_while_a_look_is_under_way_brings_another(world: World) -> None:
    world.registry.push(WEB, "latest")
    world.registry.delay = lambda _: 10
    world.follow(ONE, tag("latest"))
    await asyncio.sleep(5)
    world.registry.push(WEB, "latest", "newer")
    asked = world.poller.look_now(ONE)
    assert world.poller.look_now(ONE) == asked
    await asyncio.sleep(10)
    look = world.look(ONE)
    assert look is not None
    assert look.at < asked
    await asyncio.sleep(10)
    look = world.look(ONE)
    assert look is not None
    assert look.at >= asked
    assert look.outcome == Found("latest", digest_of("newer"))
    assert len(world.registry.requests) == 2


@story
async def test_a_thousand_that_ask_together_cost_one_look(world: World) -> None:
    world.registry.push(WEB, "latest")
    keys = [Key("shop", str(number)) for number in range(1000)]
    for key in keys:
        world.follow(key, tag("latest"))
    await asyncio.sleep(10)
    world.woken.clear()
    world.registry.requests.clear()
    for key in keys:
        world.poller.look_now(key)
    await asyncio.sleep(1)
    assert len(world.registry.requests) == 1
    assert sorted(world.woken) == sorted(keys)


@story
async def test_asking_does_not_wait_for_a_backoff(world: World) -> None:
    world.registry.push(WEB, "latest")
    world.registry.failure = lambda _: Unavailable("down.", retry_after=250)
    world.follow(ONE, tag("latest"))
    await asyncio.sleep(1)
    world.registry.failure = lambda _: None
    world.poller.look_now(ONE)
    await asyncio.sleep(1)
    assert isinstance(world.outcome(ONE), Found)


@story
async def test_asking_for_what_nobody_follows_does_nothing(world: World) -> None:
    world.poller.look_now(ONE)
    world.poller.forget(ONE)
    assert world.poller.follow(ONE, {}) == {}
    await asyncio.sleep(INTERVAL)
    assert (world.registry.requests, world.loads, world.woken) == ([], [], [])


@story
async def test_asking_without_end_leaves_no_heap_behind(world: World) -> None:
    world.registry.push(WEB, "latest")
    world.follow(ONE, tag("latest"))
    for _ in range(1000):
        world.poller.look_now(ONE)
        await asyncio.sleep(1)
    assert len(world.poller._heap) < 100


# --- looking when a registry says that there is news


PUSHED = Notice("one.example.com", "shop/web")


@story
async def test_a_notice_brings_a_look_at_once_and_wakes_those_whose_answer_changed(world: World) -> None:
    for name in ("latest", "other"):
        world.registry.push(WEB, name)
    world.registry.push(API, "latest")
    world.follow(ONE, tag("latest"))
    world.follow(TWO, tag("other"))
    world.follow(Key("shop", "three"), tag("latest"), API)
    await asyncio.sleep(100)
    world.woken.clear()
    world.registry.requests.clear()
    world.registry.push(WEB, "latest", "newer")
    assert world.poller.look_at([PUSHED]) == 1
    await asyncio.sleep(1)
    assert world.outcome(ONE) == Found("latest", digest_of("newer"))
    assert world.woken == [ONE]
    assert {request.repository for request in world.registry.requests} == {WEB}


class Ear(Observer):
    """Hears what the poller tells."""

    def __init__(self) -> None:
        self.reasons: list[str] = []
        self.pushes: list[tuple[str, float]] = []

    def resolved(self, reason: str) -> None:
        self.reasons.append(reason)

    def noticed(self, digest: str, since: float) -> None:
        self.pushes.append((digest, since))


@story
async def test_the_observer_hears_of_a_push_from_the_first_notice_on(world: World) -> None:
    world.poller._observer = ear = Ear()
    world.registry.push(WEB, "latest")
    world.follow(ONE, tag("latest"))
    await asyncio.sleep(100)
    assert ear.pushes == [], "what is there at first was pushed nobody knows when"
    world.poller.look_at([PUSHED])
    await asyncio.sleep(100)
    assert ear.pushes == [], "nothing was new"
    world.registry.push(WEB, "latest", "newer")
    world.registry.failure = lambda _: Unavailable("down")
    world.poller.look_at([PUSHED])
    await asyncio.sleep(1)
    world.registry.failure = lambda _: None
    await asyncio.sleep(100)
    assert ear.pushes == [(digest_of("newer"), 200.0)]
    world.registry.push(WEB, "latest", "newest")
    await asyncio.sleep(2 * INTERVAL)
    assert len(ear.pushes) == 1, "nobody told of that one"


@story
async def test_the_observer_hears_each_answer_once(world: World) -> None:
    world.poller._observer = ear = Ear()
    world.registry.push(WEB, "latest")
    for number in range(5):
        world.follow(Key("shop", str(number)), tag("latest"))
    world.follow(TWO, tag("absent"))
    await asyncio.sleep(1)
    assert sorted(ear.reasons) == ["Resolved", "TagNotFound"]


@story
async def test_how_old_the_newest_answer_is_counts_for_each_host(world: World) -> None:
    assert world.poller.ages() == {}
    world.registry.push(WEB, "latest")
    world.follow(ONE, tag("latest"))
    await asyncio.sleep(INTERVAL / 2)
    ((host, (age, late)),) = world.poller.ages().items()
    assert (host, late) == (WEB.host, 0)
    assert 0 < age <= INTERVAL / 2
    world.registry.failure = lambda _: Unavailable("down")
    await asyncio.sleep(10 * INTERVAL)
    age, late = world.poller.ages()[WEB.host]
    assert 10 * INTERVAL <= age <= 11 * INTERVAL
    assert 8 * INTERVAL <= late < age
    world.poller.forget(ONE)
    assert world.poller.ages() == {}


@story
async def test_a_forged_notice_costs_one_head_and_nothing_else(world: World) -> None:
    world.registry.push(WEB, "latest")
    for number in range(100):
        world.follow(Key("shop", str(number)), tag("latest"))
    await asyncio.sleep(100)
    world.woken.clear()
    world.registry.requests.clear()
    assert world.poller.look_at([PUSHED]) == 1
    await asyncio.sleep(INTERVAL - 10)
    assert [request.what for request in world.registry.requests] == ["head"]
    assert world.woken == []


@story
async def test_notices_that_come_together_cost_one_look(world: World) -> None:
    world.registry.push(WEB, "latest")
    world.follow(ONE, tag("latest"))
    await asyncio.sleep(100)
    for _ in range(1000):
        world.poller.look_at([PUSHED, PUSHED])
    await asyncio.sleep(1)
    assert len(world.registry.requests) == 2


@story
async def test_notices_while_a_look_is_under_way_bring_one_more(world: World) -> None:
    world.registry.push(WEB, "latest")
    world.registry.delay = lambda _: 10
    world.follow(ONE, tag("latest"))
    await asyncio.sleep(100)
    world.poller.look_at([PUSHED])
    for second in range(8):
        await asyncio.sleep(1)
        world.registry.push(WEB, "latest", f"newer-{second}")
        world.poller.look_at([PUSHED])
    world.registry.delay = lambda _: 0.01
    await asyncio.sleep(100)
    assert [round(request.at) for request in world.registry.requests] == [0, 100, 110]
    assert world.outcome(ONE) == Found("latest", digest_of("newer-7"))


@story
async def test_a_notice_for_a_repository_that_waits_for_its_turn_brings_no_second_look(world: World) -> None:
    others = [Repository("one.example.com", f"shop/{number}") for number in range(MOST_LOOKS_PER_HOST)]
    for repository in (*others, WEB):
        world.registry.push(repository, "latest")
        world.follow(Key("shop", repository.path), tag("latest"), repository)
    world.registry.delay = lambda _: 10
    await asyncio.sleep(1)
    for _ in range(100):
        world.poller.look_at([PUSHED])
    await asyncio.sleep(100)
    assert world.registry.count("head") == 1


@pytest.mark.parametrize(
    ("notice", "looked_at"),
    [
        (Notice("one.example.com", "shop/web"), {WEB}),
        (Notice("two.example.com", "shop/web"), {ELSEWHERE}),
        (Notice(None, "shop/web"), {WEB, ELSEWHERE}),
        (Notice("nobody.example.com", "shop/web"), {WEB, ELSEWHERE}),
        (Notice("one.example.com", "shop/nothing"), set()),
        (Notice(None, "web"), set()),
        (Notice(None, "shop"), set()),
        (Notice(None, "shop", Extent.BELOW), {WEB, ELSEWHERE, API}),
        (Notice("one.example.com", "shop", Extent.BELOW), {WEB, API}),
        (Notice(None, "sho", Extent.BELOW), set()),
        (Notice(None, "shop/web", Extent.BELOW), {WEB, ELSEWHERE}),
        (Notice(None, "web", Extent.BEHIND), {WEB, ELSEWHERE}),
        (Notice(None, "shop/api", Extent.BEHIND), {API}),
        (Notice(None, "eb", Extent.BEHIND), set()),
        (Notice(None, "image", Extent.BEHIND), set()),
    ],
    ids=str,
)
def test_which_repositories_a_notice_means(notice: Notice, looked_at: set[Repository]) -> None:
    deep = Repository("one.example.com", "a/b/image")

    @story
    async def test(world: World) -> None:
        for repository in (WEB, ELSEWHERE, API, deep):
            world.registry.push(repository, "latest")
            world.follow(Key("shop", str(repository)), tag("latest"), repository)
        await asyncio.sleep(100)
        world.registry.requests.clear()
        assert world.poller.look_at([notice]) == len(looked_at)
        await asyncio.sleep(1)
        assert {request.repository for request in world.registry.requests} == looked_at
        assert len(world.registry.requests) == len(looked_at)

    test()


@story
async def test_each_of_those_that_see_something_else_gets_its_look(world: World) -> None:
    world.accesses[BANK] = access_with("bank")
    world.registry.push(WEB, "latest")
    world.follow(ONE, tag("latest"))
    world.follow(TWO, tag("latest"), source=BANK)
    await asyncio.sleep(100)
    assert world.poller.look_at([PUSHED]) == 2
    await asyncio.sleep(1)
    assert world.registry.count("head") == 4


@story
async def test_a_notice_is_not_lost_when_credentials_change_while_they_are_read(world: World) -> None:
    world.registry.push(WEB, "latest")
    world.follow(ONE, tag("latest"))
    world.follow(TWO, tag("latest"), source=BANK)
    await asyncio.sleep(100)
    world.accesses[BANK] = access_with("bank")
    world.poller.look_at([PUSHED])
    await asyncio.sleep(0.0005)
    world.registry.push(WEB, "latest", "newer")
    world.poller.look_at([PUSHED])
    await asyncio.sleep(1)
    assert world.outcome(ONE) == world.outcome(TWO) == Found("latest", digest_of("newer"))


@story
async def test_a_notice_counts_as_the_look_of_its_interval(world: World) -> None:
    world.registry.push(WEB, "latest")
    world.follow(ONE, tag("latest"))
    await asyncio.sleep(100)
    world.poller.look_at([PUSHED])
    await asyncio.sleep(INTERVAL - 1)
    assert len(world.registry.requests) == 2
    await asyncio.sleep(INTERVAL * 0.2)
    assert len(world.registry.requests) == 3


@story
async def test_a_notice_of_what_is_not_followed_any_more_does_nothing(world: World) -> None:
    world.registry.push(WEB, "latest")
    world.follow(ONE, tag("latest"))
    world.follow(TWO, tag("latest"), source=BANK)
    await asyncio.sleep(1)
    world.poller.forget(ONE)
    assert world.poller.look_at([PUSHED]) == 1
    world.poller.forget(TWO)
    assert world.poller.look_at([PUSHED]) == 0
    assert world.poller._paths == {}


# --- the schedule


@story
async def test_the_smallest_interval_of_a_group_counts(world: World) -> None:
    world.registry.push(WEB, "latest")
    world.follow(ONE, tag("latest"), interval=3600)
    await asyncio.sleep(100)
    world.follow(TWO, tag("latest"), interval=60)
    await asyncio.sleep(600)
    assert 9 <= len(world.registry.requests) <= 12
    world.poller.forget(TWO)
    await asyncio.sleep(100)
    world.registry.requests.clear()
    await asyncio.sleep(3000)
    assert len(world.registry.requests) == 0


@story
async def test_a_shorter_interval_takes_effect_at_once(world: World) -> None:
    world.registry.push(WEB, "latest")
    world.follow(ONE, tag("latest"), interval=3600)
    await asyncio.sleep(100)
    world.follow(ONE, tag("latest"), interval=60)
    await asyncio.sleep(10)
    assert len(world.registry.requests) == 2


@story
async def test_no_rollout_is_looked_at_more_often_than_the_administrator_allows(world: World) -> None:
    world.poller._min_interval = INTERVAL
    world.registry.push(WEB, "latest")
    world.follow(ONE, tag("latest"), interval=INTERVAL)
    world.follow(TWO, tag("latest"), interval=10.0)
    await asyncio.sleep(1)
    world.follow(ONE, tag("latest"), interval=20.0)
    await asyncio.sleep(3600)
    assert 10 <= world.registry.count("head") <= 1 + 3600 / INTERVAL
    world.registry.requests.clear()
    world.poller.look_now(ONE)
    await asyncio.sleep(1)
    assert world.registry.count("head") == 1


@story
async def test_what_is_forgotten_is_not_looked_at_and_leaves_nothing(world: World) -> None:
    world.registry.push(WEB, "latest")
    world.registry.delay = lambda _: 1
    for key in (ONE, TWO):
        world.follow(key, tag("latest"))
    world.follow(Key("shop", "three"), tag("latest"), API)
    await asyncio.sleep(0.5)
    world.poller.forget(ONE)
    world.poller.forget(TWO)
    await asyncio.sleep(10)
    world.poller.forget(Key("shop", "three"))
    world.registry.requests.clear()
    await asyncio.sleep(3600)
    assert world.registry.requests == []
    assert world.woken == [Key("shop", "three")]
    poller = world.poller
    assert (poller._keys, poller._parties, poller._groups, poller._waiting, poller._under_way) == ({}, {}, {}, {}, {})
    assert poller._heap == []


@story
async def test_what_is_forgotten_while_its_credentials_are_read_leaves_nothing(world: World) -> None:
    world.follow(ONE, tag("latest"))
    await asyncio.sleep(0.0005)
    assert world.loads == [SHOP]
    world.poller.forget(ONE)
    await asyncio.sleep(3600)
    assert (world.registry.requests, world.woken, world.poller._groups) == ([], [], {})


def test_many_repositories_do_not_march_in_step() -> None:
    async def play() -> None:
        registry = FakeRegistry()
        drawn = iter(range(10**9))

        async def load_access(source: AccessSource) -> Access:
            return Access()

        poller = Poller(registry, load_access, lambda _: None, monotonic=now, rng=lambda: next(drawn) * 0.618 % 1)
        for number in range(1000):
            repository = Repository(f"host-{number}.example.com", "web")
            registry.push(repository, "latest")
            poller.follow(Key("shop", str(number)), {"app": Wish(repository, Selection(tag("latest")), INTERVAL, SHOP)})
        running = asyncio.create_task(poller.run())
        await asyncio.sleep(10)
        assert len(asyncio.all_tasks()) == 2
        registry.requests.clear()
        await asyncio.sleep(2 * INTERVAL)
        second = Counter(int(request.at) // 10 for request in registry.requests[:1000])
        assert max(second.values()) < 150
        running.cancel()
        await asyncio.wait([running])

    in_virtual_time(play())


@story
async def test_a_slow_registry_delays_nobody_elses_looks(world: World) -> None:
    world.registry.delay = lambda request: 0.01 if request.repository == ELSEWHERE else 1000
    slow = [Repository(f"slow-{number % 20}.example.com", f"web-{number}") for number in range(2000)]
    for number, repository in enumerate(slow):
        world.registry.push(repository, "latest")
        world.follow(Key("slow", str(number)), tag("latest"), repository)
    await asyncio.sleep(1)
    world.registry.push(ELSEWHERE, "latest")
    world.follow(ONE, tag("latest"), ELSEWHERE)
    await asyncio.sleep(1)
    assert isinstance(world.outcome(ONE), Found)
    assert max(world.registry.most_under_way.values()) <= MOST_LOOKS_PER_HOST
    assert sum(world.registry.most_under_way.values()) <= MOST_LOOKS + len(world.registry.most_under_way)
    assert len(asyncio.all_tasks()) <= MOST_LOOKS + 30


@story
async def test_a_crowd_at_one_host_is_served_in_turn_and_one_that_is_called_goes_first(world: World) -> None:
    crowd = [Repository("one.example.com", f"web-{number}") for number in range(200)]
    world.registry.delay = lambda _: 1
    for number, repository in enumerate(crowd):
        world.registry.push(repository, "latest")
        world.follow(Key("crowd", str(number)), tag("latest"), repository)
    await asyncio.sleep(1)
    world.poller.look_now(Key("crowd", "199"))
    await asyncio.sleep(2)
    assert isinstance(world.outcome(Key("crowd", "199")), Found)
    assert world.outcome(Key("crowd", "198")) is None
    await asyncio.sleep(200 / MOST_LOOKS_PER_HOST + 2)
    assert len(world.registry.requests) == 200
    assert all(isinstance(world.outcome(Key("crowd", str(number))), Found) for number in range(200))


# --- credentials


@story
async def test_different_credentials_never_share_a_look(world: World) -> None:
    world.registry.push(WEB, "latest")
    world.accesses[BANK] = access_with("secret")
    world.follow(ONE, tag("latest"))
    world.follow(TWO, tag("latest"), source=BANK)
    await asyncio.sleep(1)
    assert {request.access for request in world.registry.requests} == {Access(), access_with("secret")}
    assert len(world.registry.requests) == 2


@story
async def test_different_credentials_for_a_mirror_never_share_a_look(world: World) -> None:
    world.poller._mirrors = (Mirror(WEB.host, "mirror.example.com", tags=True),)
    world.registry.push(WEB, "latest")
    secret = Access(Keyring((("mirror.example.com", Credential("me", "secret")),)))
    world.accesses[BANK] = secret
    world.follow(ONE, tag("latest"))
    world.follow(TWO, tag("latest"), source=BANK)
    await asyncio.sleep(1)
    assert {request.access for request in world.registry.requests} == {Access(), secret}
    assert len(world.registry.requests) == 2


@story
async def test_equal_credentials_from_different_places_share_a_look(world: World) -> None:
    world.registry.push(WEB, "latest")
    sources = [AccessSource(f"namespace-{number}", ("registry",)) for number in range(50)]
    for source in sources:
        world.accesses[source] = access_with("secret")
        world.follow(Key(source.namespace, "web"), tag("latest"), source=source)
    await asyncio.sleep(1)
    world.registry.requests.clear()
    world.loads.clear()
    await asyncio.sleep(1.5 * INTERVAL)
    assert len(world.registry.requests) == 1
    assert sorted(world.loads, key=str) == sorted(sources, key=str)


@story
async def test_a_source_whose_credentials_change_moves_to_those_who_have_the_same(world: World) -> None:
    world.registry.push(WEB, "latest")
    world.accesses[BANK] = access_with("old")
    world.follow(ONE, tag("latest"))
    world.follow(TWO, tag("latest"), source=BANK)
    await asyncio.sleep(1)
    world.accesses[BANK] = Access()
    await asyncio.sleep(2 * INTERVAL)
    world.registry.requests.clear()
    await asyncio.sleep(10 * INTERVAL)
    assert {request.access for request in world.registry.requests} == {Access()}
    assert len(world.registry.requests) <= 10
    assert len(world.poller._groups) == 1
    assert world.woken.count(ONE) == 1


@story
async def test_one_of_many_whose_credentials_change_leaves_the_others_in_peace(world: World) -> None:
    world.registry.push(WEB, "latest")
    world.follow(ONE, tag("latest"))
    world.follow(TWO, tag("latest"), source=BANK)
    await asyncio.sleep(1)
    world.registry.failure = lambda request: Denied("no.") if request.access == access_with("wrong") else None
    world.accesses[BANK] = access_with("wrong")
    await asyncio.sleep(2 * INTERVAL)
    assert world.outcome(TWO) == Failed("RegistryDenied", "no.")
    assert isinstance(world.outcome(ONE), Found)
    assert world.woken.count(ONE) == 1


# What reading the credentials runs into, the reason, and the longest wait until they are read again, in seconds.
SECRETS: dict[str, tuple[Exception | None, str | None, float]] = {
    "nothing": (None, None, 1.5 * INTERVAL),
    "a Secret that is missing": (NotFound("Secret x is missing."), "SecretMissing", 1.5 * INTERVAL),
    "a Secret of the wrong type": (Invalid("Secret x is wrong."), "SecretInvalid", 1.5 * INTERVAL),
    "no right to read it": (Denied("May not read Secret x."), "SecretDenied", 1.5 * INTERVAL),
    "an API server that is away": (Unavailable("No API server."), "SecretUnavailable", 100),
}


@pytest.mark.parametrize("alone", [True, False], ids=["alone", "among others"])
@pytest.mark.parametrize(("error", "reason", "wait"), SECRETS.values(), ids=SECRETS)
def test_credentials_that_cannot_be_read(error: Exception | None, reason: str | None, wait: float, alone: bool) -> None:
    @story
    async def told(world: World) -> None:
        world.registry.push(WEB, "latest")
        found = Found("latest", digest_of("latest"))
        if not alone:
            world.follow(TWO, tag("latest"))
        world.follow(ONE, tag("latest"), source=BANK)
        await asyncio.sleep(1)
        assert world.outcome(ONE) == found
        if error is not None:
            world.accesses[BANK] = error
        await asyncio.sleep(1.4 * INTERVAL)
        look = world.look(ONE)
        assert look is not None
        assert look.outcome == (found if error is None else Failed(str(reason), str(error)))
        assert look.last == found
        world.accesses.pop(BANK, None)
        await asyncio.sleep(3 * wait)
        assert world.outcome(ONE) == found
        assert world.woken.count(ONE) == (1 if error is None else 3)
        if not alone:
            assert world.outcome(TWO) == found
            assert world.woken.count(TWO) == 1
        assert len(world.poller._groups) == 1

    told()


@story
async def test_credentials_that_stay_unreadable_are_read_less_often(world: World) -> None:
    world.accesses[SHOP] = Unavailable("No API server.")
    world.follow(ONE, tag("latest"))
    await asyncio.sleep(3600)
    assert 10 <= len(world.loads) <= 20
    assert world.woken == [ONE]


@story
async def test_credentials_are_kept_by_nobody_between_looks(world: World) -> None:
    world.registry.push(WEB, "latest")
    world.accesses[SHOP] = access_with("secret")
    world.follow(ONE, tag("latest"))
    await asyncio.sleep(1)
    world.registry.requests.clear()
    kept = [group.fingerprint for group in world.poller._groups.values()]
    assert kept == [access_with("secret").fingerprint_for(WEB)]
    follower = world.poller._keys[ONE]["app"]
    party = follower.party
    assert party is not None
    for thing in (follower, party, party.group):
        assert not any(isinstance(getattr(thing, name), Access) for name in thing.__slots__)


def test_stopping_ends_what_is_under_way() -> None:
    async def play() -> None:
        registry = FakeRegistry(delay=lambda _: 1000)

        async def load_access(source: AccessSource) -> Access:
            return Access()

        poller = Poller(registry, load_access, lambda _: None, monotonic=now)
        poller.follow(ONE, {"app": Wish(WEB, Selection(tag("latest")), INTERVAL, SHOP)})
        running = asyncio.create_task(poller.run())
        await asyncio.sleep(1)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert now() == 1
        assert asyncio.all_tasks() == {asyncio.current_task()}

    in_virtual_time(play())


# --- what a new version must be


AMD, BOTH = ("linux/amd64",), ("linux/amd64", "linux/arm64")
MINUTE = timedelta(minutes=1)


@story
async def test_a_version_without_a_platform_of_the_nodes_is_passed_over_for_the_next(world: World) -> None:
    world.placements["anywhere"] = BOTH
    world.registry.built("1.0.0", 60, platforms=BOTH)
    world.registry.built("1.1.0", 60, platforms=AMD)
    world.follow(ONE, semver("*"), terms=Terms(placement="anywhere"))
    await asyncio.sleep(1)
    outcome = world.outcome(ONE)
    assert isinstance(outcome, Found)
    assert (outcome.tag, outcome.digest) == ("1.0.0", digest_of("1.0.0"))
    assert outcome.passed_over is not None
    assert outcome.passed_over.message.startswith("tag 1.1.0 has no image for linux/arm64")


@story
async def test_where_no_node_is_known_no_platform_is_demanded(world: World) -> None:
    world.placements["anywhere"] = ()
    world.registry.built("1.0.0", 60, platforms=AMD)
    world.follow(ONE, semver("*"), terms=Terms(placement="anywhere"))
    await asyncio.sleep(1)
    assert world.outcome(ONE) == Found("1.0.0", digest_of("1.0.0"))


@story
async def test_nodes_that_cannot_be_read_let_nothing_through_and_are_read_again_soon(world: World) -> None:
    world.placements["anywhere"] = Unavailable("the API server does not answer")
    world.registry.built("1.0.0", 60, platforms=AMD)
    world.follow(ONE, semver("*"), terms=Terms(placement="anywhere"))
    await asyncio.sleep(1)
    outcome = world.outcome(ONE)
    assert isinstance(outcome, Failed)
    assert outcome.reason == "NodesUnknown"
    world.placements["anywhere"] = AMD
    await asyncio.sleep(15)
    assert world.outcome(ONE) == Found("1.0.0", digest_of("1.0.0"))


@story
async def test_where_the_registry_does_not_show_the_platforms_the_nodes_are_left_to_find_out(world: World) -> None:
    world.placements["anywhere"] = BOTH
    world.registry.built("1.0.0", 60, platforms=AMD)
    world.registry.failure = lambda request: Unavailable("blobs are elsewhere") if request.what == "inspect" else None
    world.follow(ONE, semver("*"), terms=Terms(placement="anywhere"))
    await asyncio.sleep(1)
    assert world.outcome(ONE) == Found("1.0.0", digest_of("1.0.0"))
    world.registry.push(WEB, "1.1.0")
    await asyncio.sleep(INTERVAL * 1.5)  # and the schedule is as it was
    assert world.outcome(ONE) == Found("1.1.0", digest_of("1.1.0"))


@story
async def test_what_one_holds_unjudged_is_not_handed_to_another(world: World) -> None:
    world.placements["anywhere"] = BOTH
    world.registry.built("1.0.0", 60, platforms=BOTH)
    world.registry.built("1.1.0", 60, platforms=AMD)
    terms = Terms(placement="anywhere")
    world.follow(ONE, semver("*"), terms=terms, chosen="1.1.0", known=digest_of("1.1.0"))
    await asyncio.sleep(1)
    world.follow(TWO, semver("*"), terms=terms)
    await asyncio.sleep(1)
    assert world.outcome(ONE) == Found("1.1.0", digest_of("1.1.0"))
    outcome = world.outcome(TWO)
    assert isinstance(outcome, Found)
    assert outcome.tag == "1.0.0"


@story
async def test_who_looks_closely_keeps_nobody_else_waiting(world: World) -> None:
    for minor in range(30):
        world.registry.built(f"1.{minor}.0", 60, platforms=AMD)
    world.registry.delay = lambda _: 1.0
    world.follow(ONE, semver("*"), terms=Terms(platforms=("linux/arm64",)), tags=TagsSpec(limit=250))
    world.follow(TWO, tag("1.0.0"))
    await asyncio.sleep(1.5)
    assert world.outcome(TWO) == Found("1.0.0", digest_of("1.0.0"))
    assert world.look(ONE) is None
    await asyncio.sleep(2)
    asked = world.poller.look_now(TWO)
    await asyncio.sleep(1.5)
    look = world.look(TWO)
    assert look is not None
    assert look.at >= asked


@story
async def test_a_follower_that_comes_to_look_closely_keeps_what_it_has(world: World) -> None:
    world.registry.built("1.0.0", 60)
    world.follow(ONE, semver("*"))
    await asyncio.sleep(1)
    held: dict[str, Any] = {"chosen": "1.0.0", "known": digest_of("1.0.0")}
    look = world.follow(ONE, semver("*"), terms=Terms(min_age=MINUTE), **held)
    assert look is not None
    world.registry.built("1.1.0", 0)
    await asyncio.sleep(1)
    outcome = world.outcome(ONE)
    assert isinstance(outcome, Found)
    assert (outcome.tag, outcome.passed_over and outcome.passed_over.reason) == ("1.0.0", "TooYoung")
    world.follow(ONE, semver("*"), **held)
    await asyncio.sleep(1)
    assert world.outcome(ONE) == Found("1.1.0", digest_of("1.1.0"))


@story
async def test_a_registry_that_asks_to_be_left_alone_is_even_when_something_ripens(world: World) -> None:
    world.registry.built("1.0.0", 60)
    world.registry.built("1.1.0", 0)
    world.follow(ONE, semver("*"), terms=Terms(min_age=MINUTE))
    await asyncio.sleep(1)
    world.registry.failure = lambda _: Unavailable("429", retry_after=3000)
    world.poller.look_now(ONE)
    await asyncio.sleep(1)
    world.registry.requests.clear()
    await asyncio.sleep(2900)
    assert world.registry.requests == []


@story
async def test_what_is_held_already_is_not_judged_by_nodes_that_came_later(world: World) -> None:
    world.placements["anywhere"] = BOTH
    world.registry.built("1.0.0", 60, platforms=AMD)
    terms = Terms(placement="anywhere")
    world.follow(ONE, semver("*"), terms=terms, chosen="1.0.0", known=digest_of("1.0.0"))
    await asyncio.sleep(1)
    assert world.outcome(ONE) == Found("1.0.0", digest_of("1.0.0"))
    assert world.registry.inspected == []


@story
async def test_nothing_that_may_be_taken_is_said_with_the_reason_of_the_best(world: World) -> None:
    world.registry.built("1.0.0", 60, platforms=("linux/s390x",))
    world.registry.built("1.1.0", 60, platforms=AMD)
    world.follow(ONE, semver("*"), terms=Terms(platforms=("linux/arm64",)))
    await asyncio.sleep(1)
    outcome = world.outcome(ONE)
    assert isinstance(outcome, Failed)
    assert outcome.reason == "PlatformMissing"
    assert outcome.message.startswith("Tag 1.1.0 has no image for linux/arm64")


@story
async def test_no_more_candidates_are_tried_than_the_limit_says(world: World) -> None:
    for minor in range(9):
        world.registry.built(f"1.{minor}.0", 60, platforms=AMD)
    world.follow(ONE, semver("*"), terms=Terms(platforms=("linux/arm64",)), tags=TagsSpec(limit=3))
    await asyncio.sleep(1)
    assert [request.tag for request in world.registry.requests if request.what == "head"] == ["1.8.0", "1.7.0", "1.6.0"]


@story
async def test_what_is_too_young_is_taken_as_soon_as_it_is_old_enough(world: World) -> None:
    world.registry.built("1.0.0", 60)
    world.registry.built("1.1.0", 0)
    world.follow(ONE, semver("*"), terms=Terms(min_age=MINUTE))
    await asyncio.sleep(1)
    outcome = world.outcome(ONE)
    assert isinstance(outcome, Found)
    assert outcome.tag == "1.0.0"
    assert outcome.passed_over == PassedOver("TooYoung", "tag 1.1.0 was built less than 1m ago", START + MINUTE)
    world.woken.clear()
    await asyncio.sleep(65)  # far less than the interval
    assert world.outcome(ONE) == Found("1.1.0", digest_of("1.1.0"))
    assert world.woken == [ONE]


@story
async def test_a_moved_tag_that_is_too_young_leaves_the_image_as_it_was(world: World) -> None:
    world.registry.built("latest", 60)
    world.follow(ONE, tag("latest"), terms=Terms(min_age=MINUTE))
    await asyncio.sleep(1)
    old = digest_of("latest")
    world.registry.push(WEB, "latest", "newer")
    world.registry.facts[digest_of("newer")] = Facts(created=clock())
    world.poller.look_now(ONE)
    await asyncio.sleep(1)
    outcome = world.outcome(ONE)
    assert isinstance(outcome, Found)
    assert (outcome.digest, outcome.passed_over and outcome.passed_over.reason) == (old, "TooYoung")
    await asyncio.sleep(65)
    assert world.outcome(ONE) == Found("latest", digest_of("newer"))


@story
async def test_what_is_passed_over_for_good_costs_one_head_per_look_and_wakes_nobody(world: World) -> None:
    world.registry.built("1.0.0", 60)
    world.registry.built("1.1.0", None)
    world.follow(ONE, semver("*"), terms=Terms(min_age=MINUTE))
    await asyncio.sleep(1)
    world.woken.clear()
    world.registry.requests.clear()
    world.registry.inspected.clear()
    await asyncio.sleep(INTERVAL * 1.5)
    assert [request.what for request in world.registry.requests] == ["list", "head", "head"]
    assert world.registry.inspected == []
    assert world.woken == []
    assert {request.tag: request.known for request in world.registry.requests if request.tag} == {
        "1.0.0": digest_of("1.0.0"),
        "1.1.0": digest_of("1.1.0"),
    }


@story
async def test_a_tag_that_moved_while_it_was_passed_over_is_refused_where_tags_are_immutable(world: World) -> None:
    world.registry.built("1.0.0", 60)
    world.registry.built("1.1.0", 0)
    world.follow(ONE, semver("*"), terms=Terms(immutable=True, min_age=MINUTE))
    await asyncio.sleep(1)
    world.registry.push(WEB, "1.1.0", "another")
    world.registry.facts[digest_of("another")] = Facts(created=clock() - timedelta(days=1))
    await asyncio.sleep(70)
    outcome = world.outcome(ONE)
    assert isinstance(outcome, Found)
    assert (outcome.tag, outcome.passed_over and outcome.passed_over.reason) == ("1.0.0", "TagMoved")


@story
async def test_an_immutable_tag_that_was_pushed_again_is_refused(world: World) -> None:
    world.registry.push(WEB, "1.0.0")
    old = digest_of("1.0.0")
    terms = Terms(immutable=True, named=(("1.0.0", old),))
    world.follow(ONE, semver("*"), terms=terms, chosen="1.0.0", known=old)
    await asyncio.sleep(1)
    assert world.outcome(ONE) == Found("1.0.0", old)
    world.registry.push(WEB, "1.0.0", "another")
    await asyncio.sleep(INTERVAL * 1.5)
    outcome = world.outcome(ONE)
    assert isinstance(outcome, Found)
    assert (outcome.digest, outcome.passed_over and outcome.passed_over.reason) == (old, "TagMoved")
    world.registry.push(WEB, "1.0.1")
    await asyncio.sleep(INTERVAL * 1.5)
    assert world.outcome(ONE) == Found("1.0.1", digest_of("1.0.1"))


@story
async def test_a_registry_that_breaks_off_in_between_is_no_reason_to_take_the_next(world: World) -> None:
    world.registry.built("1.0.0", 60)
    world.registry.built("1.1.0", 60)
    world.registry.failure = lambda request: Unavailable("slow") if request.what == "inspect" else None
    world.follow(ONE, semver("*"), terms=Terms(min_age=MINUTE))
    await asyncio.sleep(1)
    assert world.outcome(ONE) == Failed("RegistryUnavailable", "slow")


# --- what must be signed


SIGNED = Terms(verify=(Demand.model_validate({"cosign": {"publicKeySecret": "shop-cosign"}}),))


@story
async def test_a_version_that_is_not_signed_is_passed_over_for_the_next(world: World) -> None:
    world.registry.push(WEB, "1.0.0")
    world.registry.push(WEB, "1.1.0")
    world.verifier.says[digest_of("1.1.0")] = "is not signed"
    world.follow(ONE, semver("*"), terms=SIGNED)
    await asyncio.sleep(1)
    passed = PassedOver("NotVerified", "tag 1.1.0 is not signed")
    assert world.outcome(ONE) == Found("1.0.0", digest_of("1.0.0"), passed)
    assert [digest for digest, _ in world.verifier.asked] == [digest_of("1.1.0"), digest_of("1.0.0")]


@story
async def test_a_version_that_is_signed_later_is_taken_then(world: World) -> None:
    world.registry.push(WEB, "1.0.0")
    world.verifier.says[digest_of("1.0.0")] = "is not signed"
    world.follow(ONE, semver("*"), terms=SIGNED)
    await asyncio.sleep(1)
    assert world.outcome(ONE) == Failed("NotVerified", "Tag 1.0.0 is not signed.")
    world.verifier.says.clear()
    await asyncio.sleep(INTERVAL * 1.5)
    assert world.outcome(ONE) == Found("1.0.0", digest_of("1.0.0"))


@story
async def test_what_is_held_already_is_not_verified_again(world: World) -> None:
    world.registry.push(WEB, "1.0.0")
    world.follow(ONE, semver("*"), terms=SIGNED, chosen="1.0.0", known=digest_of("1.0.0"))
    await asyncio.sleep(INTERVAL * 2)
    assert world.outcome(ONE) == Found("1.0.0", digest_of("1.0.0"))
    assert world.verifier.asked == []


@story
async def test_a_moved_tag_that_is_not_signed_leaves_the_image_as_it_was(world: World) -> None:
    world.registry.push(WEB, "latest")
    world.follow(ONE, tag("latest"), terms=SIGNED)
    await asyncio.sleep(1)
    world.registry.push(WEB, "latest", "newer")
    world.verifier.says[digest_of("newer")] = "is not signed"
    world.poller.look_now(ONE)
    await asyncio.sleep(1)
    passed = PassedOver("NotVerified", "tag latest is not signed")
    assert world.outcome(ONE) == Found("latest", digest_of("latest"), passed)


@story
async def test_a_tag_that_moves_while_it_is_verified_is_taken_as_it_was_verified(world: World) -> None:
    world.registry.push(WEB, "latest", "signed")
    world.follow(ONE, tag("latest"), terms=SIGNED)
    world.verifier.meanwhile = lambda: world.registry.push(WEB, "latest", "swapped")
    await asyncio.sleep(1)
    assert world.outcome(ONE) == Found("latest", digest_of("signed"))
    assert [digest for digest, _ in world.verifier.asked] == [digest_of("signed")]


@story
async def test_what_was_taken_before_signatures_were_demanded_counts_for_nothing(world: World) -> None:
    world.registry.push(WEB, "latest")
    world.verifier.says[digest_of("latest")] = "is not signed"
    world.follow(ONE, tag("latest"))
    await asyncio.sleep(1)
    assert world.outcome(ONE) == Found("latest", digest_of("latest"))
    assert world.follow(ONE, tag("latest"), terms=SIGNED) is None
    await asyncio.sleep(1)
    assert world.outcome(ONE) == Failed("NotVerified", "Tag latest is not signed.")


@story
async def test_one_look_verifies_a_version_once_for_all_who_demand_the_same(world: World) -> None:
    world.registry.push(WEB, "1.0.0")
    world.registry.push(WEB, "1.1.0")
    world.verifier.says[digest_of("1.1.0")] = "is not signed"
    for key in (ONE, TWO):
        world.follow(key, semver("*" if key == ONE else ">=1"), terms=SIGNED)
    await asyncio.sleep(1)
    assert sorted(digest for digest, _ in world.verifier.asked) == [digest_of("1.0.0"), digest_of("1.1.0")]


@story
async def test_different_keys_never_share_a_verdict(world: World) -> None:
    world.registry.push(WEB, "1.0.0")
    keys = {source: Access(keys=(("shop-cosign", source.namespace.encode()),)) for source in (SHOP, BANK)}
    world.accesses.update(keys)
    world.follow(ONE, semver("*"), terms=SIGNED, source=SHOP)
    world.follow(TWO, semver("*"), terms=SIGNED, source=BANK)
    await asyncio.sleep(1)
    assert sorted(access.keys for _, access in world.verifier.asked) == sorted(one.keys for one in keys.values())


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (Unverifiable("the key cannot be read"), "CannotVerify"),
        (Unavailable("slow"), "RegistryUnavailable"),
        (Denied("no"), "RegistryDenied"),
    ],
)
def test_what_cannot_be_verified_now_is_no_reason_to_take_the_next(error: Exception, reason: str) -> None:
    @story
    async def play(world: World) -> None:
        world.registry.push(WEB, "1.0.0")
        world.registry.push(WEB, "1.1.0")
        world.verifier.says[digest_of("1.1.0")] = error
        world.follow(ONE, semver("*"), terms=SIGNED)
        await asyncio.sleep(1)
        assert world.outcome(ONE) == Failed(reason, str(error))

    play()


@story
async def test_without_a_verifier_nothing_that_must_be_signed_is_found(world: World) -> None:
    world.registry.push(WEB, "1.0.0")
    world.poller._verifier = None
    world.follow(ONE, semver("*"), terms=SIGNED)
    await asyncio.sleep(1)
    outcome = world.outcome(ONE)
    assert isinstance(outcome, Failed)
    assert outcome.reason == "CannotVerify"


# --- what the image is


@story
async def test_a_new_image_is_described_once_and_beside_the_stable_one(world: World) -> None:
    shared, own = Layer("sha256:shared", 100), Layer("sha256:own", 20)
    world.registry.built("1.0.0", 60, layers=(shared,))
    world.registry.built("1.1.0", 60, layers=(shared, own))
    world.follow(ONE, semver("*"), keep=digest_of("1.0.0"))
    await asyncio.sleep(1)
    outcome = world.outcome(ONE)
    assert isinstance(outcome, Found)
    assert outcome.facts is not None
    assert (outcome.facts.size, outcome.new_bytes) == (120, 20)
    world.registry.inspected.clear()
    await asyncio.sleep(INTERVAL * 3)
    assert world.registry.inspected == []


@story
async def test_what_the_status_does_not_tell_yet_is_asked_once(world: World) -> None:
    world.registry.built("1.0.0", 60, layers=(Layer("sha256:x", 100),))
    world.follow(ONE, semver("*"), chosen="1.0.0", known=digest_of("1.0.0"), described=False)
    await asyncio.sleep(1)
    outcome = world.outcome(ONE)
    assert isinstance(outcome, Found)
    assert outcome.facts is not None
    world.follow(ONE, semver("*"), chosen="1.0.0", known=digest_of("1.0.0"), described=True)
    await asyncio.sleep(INTERVAL * 3)
    assert len(world.registry.inspected) == 1


@pytest.mark.parametrize("error", [Denied("no"), Unavailable("429", retry_after=3000)], ids=["denied", "unavailable"])
def test_an_image_that_cannot_be_described_is_taken_all_the_same(error: PodpinError) -> None:
    @story
    async def tell(world: World) -> None:
        world.registry.built("1.0.0", 60)
        world.registry.failure = lambda request: error if request.what == "inspect" else None
        world.follow(ONE, semver("*"))
        await asyncio.sleep(1)
        outcome = world.outcome(ONE)
        assert isinstance(outcome, Found)
        assert (outcome.tag, outcome.facts) == ("1.0.0", None)
        assert world.woken == [ONE]
        world.registry.failure = lambda _: None
        world.follow(ONE, semver("*"), chosen="1.0.0", known=digest_of("1.0.0"), described=False)
        await asyncio.sleep(INTERVAL * 1.5)
        outcome = world.outcome(ONE)
        assert isinstance(outcome, Found)
        assert outcome.facts is not None
        assert world.woken == [ONE, ONE]  # the status has not said it yet

    tell()


@story
async def test_what_an_image_is_stays_known_until_the_status_says_it(world: World) -> None:
    world.registry.built("1.0.0", 60)
    world.follow(ONE, semver("*"))
    await asyncio.sleep(INTERVAL * 3)
    outcome = world.outcome(ONE)
    assert isinstance(outcome, Found)
    assert outcome.facts is not None
    world.follow(ONE, semver("*"), chosen="1.0.0", known=digest_of("1.0.0"), described=True)
    outcome = world.outcome(ONE)
    assert isinstance(outcome, Found)
    assert outcome.facts is None
    assert len(world.registry.inspected) == 1


@story
async def test_a_thousand_rollouts_are_told_of_one_image_by_one_question(world: World) -> None:
    world.registry.built("latest", 60)
    world.registry.failure = lambda request: Denied("no") if request.what == "inspect" else None
    for number in range(1000):
        world.follow(Key("shop", str(number)), tag("latest"))
    await asyncio.sleep(1)
    assert len(world.registry.inspected) <= 2


# --- newest


NEWEST = Policy(newest=NewestPolicy())


@story
async def test_newest_looks_into_each_tag_once(world: World) -> None:
    for name, age in (("a", 30), ("b", 10), ("c", 20), ("d", None)):
        world.registry.built(name, age)
    world.follow(ONE, NEWEST)
    await asyncio.sleep(1)
    assert world.outcome(ONE) == Found("b", digest_of("b"))
    world.registry.inspected.clear()
    world.registry.requests.clear()
    await asyncio.sleep(INTERVAL * 1.5)
    assert [request.what for request in world.registry.requests] == ["list", "head"]
    world.registry.built("0", 0)
    await asyncio.sleep(INTERVAL * 1.5)
    assert world.outcome(ONE) == Found("0", digest_of("0"))
    assert [digest for digest, _ in world.registry.inspected] == [digest_of("0")] * 2  # to date it, to describe it


@story
async def test_newest_does_not_go_back_where_the_list_has_shrunk(world: World) -> None:
    world.registry.built("a", 30)
    world.registry.built("b", 10)
    world.follow(ONE, NEWEST, chosen="b", known=digest_of("b"), built=clock() - timedelta(minutes=10))
    del world.registry.digests[WEB]["b"]
    await asyncio.sleep(1)
    outcome = world.outcome(ONE)
    assert isinstance(outcome, Failed)
    assert outcome.reason == "TagNotFound"


@story
async def test_newest_keeps_the_chosen_tag_that_only_the_list_lacks(world: World) -> None:
    world.registry.built("a", 30)
    world.registry.built("b", 10)
    # After a restart; the status does not say when it was built.
    world.follow(ONE, NEWEST, chosen="b", known=digest_of("b"))
    world.registry.hidden.add("b")
    await asyncio.sleep(1)
    for _ in range(3):
        assert world.outcome(ONE) == Found("b", digest_of("b"))
        world.poller.look_now(ONE)
        await asyncio.sleep(1)


@story
async def test_newest_asks_once_for_what_cannot_be_read(world: World) -> None:
    world.registry.built("a", 30)
    for number in range(20):
        world.registry.push(WEB, f"odd-{number}")
    world.registry.failure = lambda request: (
        Untrusted("schema 1") if request.what == "head" and "odd" in str(request.tag) else None
    )
    world.follow(ONE, NEWEST)
    await asyncio.sleep(1)
    assert world.outcome(ONE) == Found("a", digest_of("a"))
    world.registry.requests.clear()
    await asyncio.sleep(INTERVAL * 1.5)
    assert [request.what for request in world.registry.requests] == ["list", "head"]


@story
async def test_newest_does_without_a_tag_that_never_answers(world: World) -> None:
    world.registry.built("a", 30)
    world.registry.built("b", 10)
    world.registry.failure = lambda r: Unavailable("500") if r.what == "inspect" and r.tag == digest_of("b") else None
    world.follow(ONE, NEWEST)
    world.follow(TWO, tag("a"))
    await asyncio.sleep(1)
    assert world.outcome(ONE) == Failed("RegistryUnavailable", "500")
    assert world.outcome(TWO) == Found("a", digest_of("a"))
    await asyncio.sleep(60)
    assert world.outcome(ONE) == Found("a", digest_of("a"))


@story
async def test_newest_does_not_believe_in_the_future(world: World) -> None:
    world.registry.built("a", 30)
    world.registry.built("forged", -24 * 60)
    world.follow(ONE, NEWEST)
    await asyncio.sleep(1)
    assert world.outcome(ONE) == Found("a", digest_of("a"))


@story
async def test_newest_says_when_there_are_too_many_tags_and_asks_for_none_of_them(world: World) -> None:
    for number in range(101):
        world.registry.built(f"t{number}", number)
    world.follow(ONE, NEWEST)
    world.follow(TWO, NEWEST, tags=TagsSpec(limit=2))
    await asyncio.sleep(1)
    outcome = world.outcome(ONE)
    assert isinstance(outcome, Failed)
    assert outcome.reason == "TooManyTags"
    assert world.outcome(TWO) == Found("t99", digest_of("t99"))
    assert world.registry.count("head") == 2


@story
async def test_newest_goes_on_where_a_registry_had_enough(world: World) -> None:
    for number in range(12):
        world.registry.built(f"t{number:02}", number)
    world.registry.failure = lambda request: (
        Unavailable("429") if request.what == "head" and request.tag == "t09" else None
    )
    world.follow(ONE, NEWEST)
    await asyncio.sleep(1)
    assert world.outcome(ONE) == Failed("RegistryUnavailable", "429")
    before = len(world.registry.inspected)
    assert before >= 8
    world.registry.failure = lambda _: None
    world.poller.look_now(ONE)
    await asyncio.sleep(1)
    assert world.outcome(ONE) == Found("t00", digest_of("t00"))
    assert len(world.registry.inspected) == 12 + 1  # and the chosen one is described


@story
async def test_newest_dates_a_chosen_tag_anew_that_was_pushed_again(world: World) -> None:
    world.registry.built("a", 30)
    world.registry.built("edge", 10)
    world.follow(ONE, NEWEST)
    await asyncio.sleep(1)
    world.registry.push(WEB, "edge", "older")
    world.registry.facts[digest_of("older")] = Facts(created=clock() - timedelta(minutes=60))
    world.woken.clear()
    world.poller.look_now(ONE)
    await asyncio.sleep(1)
    assert world.outcome(ONE) == Found("a", digest_of("a"))  # at once, and never the older one
    await asyncio.sleep(INTERVAL * 2.5)
    assert world.outcome(ONE) == Found("a", digest_of("a"))
    assert world.woken == [ONE]


# --- promote


PROMOTE = Policy(promote=PromotePolicy.model_validate({"from": {"namespace": "staging", "name": "web"}}))


@story
async def test_what_another_rollout_has_proven_is_taken_if_the_repository_has_it(world: World) -> None:
    world.registry.push(WEB, "1.4.2")
    given = Found("1.4.2", digest_of("1.4.2"))
    world.follow(ONE, PROMOTE, given=given)
    await asyncio.sleep(1)
    assert world.outcome(ONE) == given
    elsewhere = Found("9", digest_of("9"))
    world.follow(ONE, PROMOTE, given=elsewhere)
    await asyncio.sleep(1)
    outcome = world.outcome(ONE)
    assert isinstance(outcome, Failed)
    assert outcome.reason == "PromotedMissing"


@story
async def test_what_is_to_be_promoted_later_leaves_what_there_is(world: World) -> None:
    world.registry.push(WEB, "1.4.2")
    later = PassedOver("TooYoung", "the ImageRollout staging/web has run 1.4.3 for less than 1h", START)
    world.follow(ONE, PROMOTE, given=later, chosen="1.4.2", known=digest_of("1.4.2"))
    world.follow(TWO, PROMOTE, given=later)
    await asyncio.sleep(1)
    assert world.outcome(ONE) == Found("1.4.2", digest_of("1.4.2"), later)
    assert world.outcome(TWO) == Failed("TooYoung", "The ImageRollout staging/web has run 1.4.3 for less than 1h.")
    assert world.registry.requests == []


# --- what goes wrong stays where it went wrong


@story
async def test_newest_does_not_ask_without_end_for_a_tag_that_was_pushed_again(world: World) -> None:
    world.registry.built("a", 30)
    world.registry.built("edge", 10)
    world.follow(ONE, NEWEST)
    await asyncio.sleep(1)
    world.registry.push(WEB, "edge", "anew")
    world.registry.failure = lambda request: Unavailable("no blobs") if request.what == "inspect" else None
    world.registry.inspected.clear()
    world.poller.look_now(ONE)
    await asyncio.sleep(1)
    assert len(world.registry.inspected) <= 2
    assert world.outcome(ONE) == Failed("RegistryUnavailable", "no blobs")
    world.registry.failure = lambda _: None
    world.registry.facts[digest_of("anew")] = Facts(created=clock())
    await asyncio.sleep(15)
    assert world.outcome(ONE) == Found("edge", digest_of("anew"))


@story
async def test_newest_asks_later_for_what_could_not_be_read_once(world: World) -> None:
    world.registry.built("a", 30)
    world.registry.built("b", 10)
    world.registry.failure = lambda r: NotFound("behind") if r.what == "head" and r.tag == "b" else None
    world.follow(ONE, NEWEST)
    await asyncio.sleep(1)
    assert world.outcome(ONE) == Found("a", digest_of("a"))
    world.registry.failure = lambda _: None
    await asyncio.sleep(INTERVAL * 4)
    assert world.outcome(ONE) == Found("b", digest_of("b"))


@story
async def test_when_one_knows_its_choice_was_built_says_nothing_to_another(world: World) -> None:
    world.registry.built("v1", None)
    world.registry.built("v2", 10)
    built = clock() - timedelta(minutes=1)
    world.follow(ONE, NEWEST, chosen="v1", known=digest_of("v1"), built=built)
    world.follow(TWO, NEWEST)
    await asyncio.sleep(1)
    assert world.outcome(ONE) == Found("v1", digest_of("v1"))
    assert world.outcome(TWO) == Found("v2", digest_of("v2"))


@story
async def test_news_that_was_seen_while_the_question_changed_is_not_lost(world: World) -> None:
    world.registry.push(WEB, "1.0.0")
    world.follow(ONE, semver("*"), terms=Terms(immutable=True))
    await asyncio.sleep(1)
    world.registry.push(WEB, "1.1.0")
    world.registry.delay = lambda _: 1.0
    assert world.poller.look_at([Notice(WEB.host, WEB.path)]) == 1
    await asyncio.sleep(1.5)
    named = (("1.0.0", digest_of("1.0.0")),)
    held: dict[str, Any] = {"chosen": "1.0.0", "known": digest_of("1.0.0")}
    world.follow(ONE, semver("*"), terms=Terms(immutable=True, named=named), **held)
    await asyncio.sleep(10)
    assert world.outcome(ONE) == Found("1.1.0", digest_of("1.1.0"))


@story
async def test_what_an_image_is_wakes_who_has_written_its_status_meanwhile(world: World) -> None:
    world.registry.built("1.0.0", 60)
    slow = asyncio.Event()
    inspect = world.registry.inspect

    async def late(*arguments: Any, **how: Any) -> Facts:
        await slow.wait()
        return await inspect(*arguments, **how)

    world.registry.inspect = late  # type: ignore[method-assign]
    world.follow(ONE, semver("*"))
    await asyncio.sleep(1)
    world.follow(ONE, semver("*"), chosen="1.0.0", known=digest_of("1.0.0"), described=False)
    world.woken.clear()
    slow.set()
    await asyncio.sleep(1)
    assert world.woken == [ONE]


@story
async def test_a_signature_that_could_not_be_looked_for_is_looked_for_again_soon(world: World) -> None:
    world.registry.push(WEB, "1.0.0")
    world.verifier.says[digest_of("1.0.0")] = Unavailable("referrers are down")
    world.follow(ONE, semver("*"), terms=SIGNED)
    await asyncio.sleep(1)
    assert world.outcome(ONE) == Failed("RegistryUnavailable", "referrers are down")
    world.verifier.says.clear()
    await asyncio.sleep(15)
    assert world.outcome(ONE) == Found("1.0.0", digest_of("1.0.0"))


@story
async def test_many_that_promote_one_image_ask_for_it_once(world: World) -> None:
    world.registry.digests[WEB] = {}
    for number in range(50):
        known: dict[str, Any] = {"chosen": "0", "known": digest_of(str(number))}
        world.follow(Key("shop", str(number)), PROMOTE, given=Found("9", digest_of("9")), **known)
    await asyncio.sleep(1)
    assert world.registry.count("exists") == 1


@story
async def test_a_namespace_with_many_questions_does_not_come_before_all_others(world: World) -> None:
    for number in range(100):
        world.registry.push(WEB, f"t{number}")
        world.follow(Key("crowd", str(number)), tag(f"t{number}"))
    world.registry.push(WEB, "mine")
    world.follow(ONE, tag("mine"))
    world.registry.delay = lambda _: 1.0
    await asyncio.sleep(3)
    assert world.outcome(ONE) == Found("mine", digest_of("mine"))
    assert world.outcome(Key("crowd", "99")) is None
