"""The room that makes checks: again and again, beside the work, bounded, and no longer than it must."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from podpin.checking import AT_ONCE_IN_ONE_NAMESPACE, Checking
from podpin.core.checks import Failed, NotMade, Outcome, Passed, Tally
from podpin.core.names import Key
from podpin.core.spec.checks import CheckSpec
from podpin.core.trial import Trial
from tests.builders import at

WEB = Key("shop", "web")
FAILED = Failed("HTTP 500 where 200-399 was expected")


def check(name: str = "front", **fields: Any) -> CheckSpec:
    # A pause that the schema would refuse: these tests do not wait for a clock.
    made = CheckSpec.model_validate({"name": name, "http": {"url": "http://web/"}, **fields})
    return made.model_copy(update={"interval": timedelta(milliseconds=1)})


def trial(*checks: CheckSpec, seconds: float = 0) -> Trial:
    return Trial("0a1b", None, at(seconds), checks or (check(),))


async def until(predicate: Callable[[], object], what: str) -> None:
    """Let the room have turns until something is the case; the test's own timeout is the limit."""
    async with asyncio.timeout(20):
        while not predicate():  # noqa: ASYNC110 -- what is waited for has no event of its own
            await asyncio.sleep(0.001)
    assert predicate(), what


class Prober:
    """Answers as it is told, the last answer for ever, and counts who is being asked at once."""

    def __init__(self, *outcomes: Outcome | Exception) -> None:
        self.outcomes = list(outcomes)
        self.asked: Counter[str] = Counter()
        self.now: Counter[str] = Counter()
        self.most: Counter[str] = Counter()
        self.gate: asyncio.Event | None = None

    async def probe(self, check: CheckSpec, key: Key, release: str) -> Outcome:
        self.asked[check.name] += 1
        self.now[key.namespace] += 1
        self.most[key.namespace] = max(self.most[key.namespace], self.now[key.namespace])
        try:
            await (self.gate.wait() if self.gate else asyncio.sleep(0))
        finally:
            self.now[key.namespace] -= 1
        outcome = self.outcomes.pop(0) if len(self.outcomes) > 1 else self.outcomes[0]
        if isinstance(outcome, Exception):
            raise outcome
        return outcome


async def test_a_check_is_made_again_and_again_and_wakes_the_rollout_when_there_is_news() -> None:
    prober, woken = Prober(FAILED, Passed()), list[Key]()
    checking = Checking(prober, woken.append)
    assert checking.tallies(WEB, trial()) == {}
    await until(lambda: prober.asked["front"] > 5, "it to be made again")
    told = checking.tallies(WEB, trial())["front"]
    assert (told.last, told.failures) == (Passed(), 1)
    assert woken == [WEB, WEB]
    await checking.close()


async def test_it_is_made_no_more_once_it_has_failed_too_often() -> None:
    prober = Prober(FAILED)
    checking = Checking(prober, lambda _: None)
    checking.tallies(WEB, trial())
    await until(lambda: prober.asked["front"] == 3, "three runs")
    for _ in range(50):
        await asyncio.sleep(0.001)
    assert prober.asked["front"] == 3
    assert checking.tallies(WEB, trial())["front"].failures == 3
    await checking.close()


async def test_another_trial_begins_the_counting_anew_and_none_ends_it() -> None:
    prober = Prober(Passed())
    checking = Checking(prober, lambda _: None)
    checking.tallies(WEB, trial())
    await until(lambda: checking.tallies(WEB, trial()), "the first run")
    assert checking.tallies(WEB, trial(seconds=9)) == {}
    await until(lambda: checking.tallies(WEB, trial(seconds=9)), "the first run of the other")
    assert checking.tallies(WEB, None) == {}
    count = prober.asked["front"]
    for _ in range(20):
        await asyncio.sleep(0.001)
    assert prober.asked["front"] == count
    await checking.close()


async def test_a_rollout_that_is_forgotten_is_checked_no_more() -> None:
    prober = Prober(Passed())
    checking = Checking(prober, lambda _: None)
    checking.tallies(WEB, trial())
    checking.forget(WEB)
    checking.forget(WEB)
    for _ in range(5):
        await asyncio.sleep(0)
    assert not prober.asked
    await checking.close()


async def test_one_namespace_does_not_take_all_the_places() -> None:
    prober = Prober(Passed())
    prober.gate = asyncio.Event()
    checking = Checking(prober, lambda _: None)
    for nth in range(30):
        checking.tallies(Key("greedy", f"web-{nth}"), trial())
    checking.tallies(WEB, trial())
    await until(lambda: prober.now["shop"] == 1, "the other namespace to have its turn")
    assert prober.most["greedy"] == AT_ONCE_IN_ONE_NAMESPACE
    prober.gate.set()
    await until(lambda: prober.asked["front"] > 31, "all to have had theirs")
    await checking.close()


async def test_a_bug_in_it_is_logged_and_blamed_on_nobody() -> None:
    checking = Checking(Prober(RuntimeError("oops")), lambda _: None)
    checking.tallies(WEB, trial())
    await until(lambda: checking.tallies(WEB, trial()), "the first run")
    told: Tally = checking.tallies(WEB, trial())["front"]
    assert isinstance(told.last, NotMade)
    assert told.failures == 0
    await checking.close()


async def test_what_does_not_pass_with_the_stable_release_is_found_in_one_run_of_each() -> None:
    prober = Prober(Passed(), FAILED)
    checking = Checking(prober, lambda _: None)
    assert await checking.unfit(WEB, "0a1b", (check("good"), check("bad")), 5) == {"bad"}
    assert prober.asked == {"good": 1, "bad": 1}
    prober.gate = asyncio.Event()
    assert await checking.unfit(WEB, "0a1b", (check("slow"),), 0.01) == {"slow"}
    await checking.close()
