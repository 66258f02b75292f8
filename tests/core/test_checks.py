"""The users' own checks: what one run means, and what all of them say of a release that bakes."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import pytest
from tests.builders import at, images, pods, record, release_id, rollout, seen, spec, workload
from tests.decisions import ready_of

from podpin.core.checks import (
    Failed,
    NotMade,
    Outcome,
    Passed,
    Silent,
    Tally,
    expand,
    judge_numbers,
    judge_silence,
    judge_status,
)
from podpin.core.health import Baking, Blocked, Failing, Health, Healthy, Terms, Waiting, assess
from podpin.core.names import Key
from podpin.core.observation import Observation
from podpin.core.release import release_of
from podpin.core.rollout import decide
from podpin.core.spec.checks import CheckSpec, HttpCheck, PrometheusCheck
from podpin.core.trial import control_of, trial_of

FRONT = {"name": "front", "http": {"url": "http://web.$(namespace).svc/"}}
CHECKS = tuple(CheckSpec.model_validate(one) for one in (FRONT, {"name": "api", "http": {"url": "http://api"}}))
TERMS = Terms(deadline=timedelta(seconds=60), bake=timedelta(seconds=10), checks=CHECKS)
PASSED, SILENT, FAILED = Passed(), Silent(), Failed("HTTP 500 where 200-399 was expected")
NOT_MADE = NotMade("the host web has no address in the DNS")


def tally(*outcomes: Outcome) -> Tally:
    result = Tally()
    for outcome in outcomes:
        result = result.after(outcome)
    return result


# --- one run


@pytest.mark.parametrize(
    ("expected", "status", "outcome"),
    [
        ({}, 200, PASSED),
        ({}, 399, PASSED),
        ({}, 400, Failed("HTTP 400 where 200-399 was expected")),
        ({}, 199, Failed("HTTP 199 where 200-399 was expected")),
        ({"min": 204, "max": 204}, 204, PASSED),
        ({"min": 204, "max": 204}, 200, Failed("HTTP 200 where 204 was expected")),
        ({"min": 404, "max": 404}, 404, PASSED),
        ({"max": 299}, 302, Failed("HTTP 302 where 200-299 was expected")),
    ],
)
def test_a_status_is_good_within_what_is_expected(expected: dict[str, int], status: int, outcome: Outcome) -> None:
    check = HttpCheck.model_validate({"url": "http://web", "status": expected})
    assert judge_status(check, status) == outcome


def test_no_answer_is_told_with_what_was_expected() -> None:
    refused = judge_silence(HttpCheck(url="http://web"), "a refused connection")
    assert refused == Failed("a refused connection where HTTP 200-399 was expected")


@pytest.mark.parametrize(
    ("bounds", "numbers", "outcome"),
    [
        pytest.param({"max": 0.5}, [0.5, 0.1], PASSED, id="every number at its bound or within"),
        pytest.param({"max": 0.5}, [0.1, 0.75], Failed("0.75 where 0.5 or less was expected"), id="one number above"),
        pytest.param({"min": 10}, [9.5], Failed("9.5 where 10 or more was expected"), id="one below"),
        pytest.param({"min": 0, "max": 1}, [0.0, 1.0], PASSED, id="between two bounds"),
        pytest.param({"max": 1}, [], SILENT, id="no number"),
        pytest.param({"max": 1}, [float("nan")], SILENT, id="none of nothing: 0/0"),
        pytest.param({"max": 1}, [float("nan"), 2.0], Failed("2 where 1 or less was expected"), id="one beside NaN"),
        pytest.param({"max": 1}, [float("inf")], Failed("inf where 1 or less was expected"), id="without end"),
    ],
)
def test_numbers_are_good_within_their_bounds(bounds: Any, numbers: list[float], outcome: Outcome) -> None:
    check = PrometheusCheck.model_validate({"address": "http://p", "query": "up", **bounds})
    assert judge_numbers(check, numbers) == outcome


@pytest.mark.parametrize(
    ("text", "expanded"),
    [
        ("http://$(name).$(namespace).svc/$(release)", "http://web.shop.svc/0a1b"),
        ('up{pod=~"^web-(a|b)$"}', 'up{pod=~"^web-(a|b)$"}'),
        ("$name ${name} $(other)", "$name ${name} $(other)"),
    ],
)
def test_the_words_are_filled_in_and_nothing_else(text: str, expanded: str) -> None:
    assert expand(text, Key("shop", "web"), "0a1b") == expanded


# --- all of them


@dataclass(frozen=True)
class Row:
    says: str
    tallies: dict[str, Tally]
    now: float
    expected: type[Health]
    message: str = ""
    unfit: frozenset[str] = field(default_factory=frozenset)
    reason: str = ""


GOOD = tally(PASSED)
ROWS = [
    Row("all passed and the bake time is over", {"front": GOOD, "api": GOOD}, 13, Healthy),
    Row("all passed, but the bake time is not over", {"front": GOOD, "api": GOOD}, 12, Baking),
    Row("nothing was checked yet while the bake time runs", {}, 5, Baking),
    Row("the bake time is over, and one has not passed yet", {"front": GOOD}, 20, Waiting, "the check api has not been made yet"),
    Row("the last run failed, which it may", {"front": tally(PASSED, FAILED), "api": GOOD}, 20, Waiting, "the check front has failed: HTTP 500 where 200-399 was expected"),
    Row("a failure that may be is told while it bakes", {"front": tally(FAILED), "api": GOOD}, 5, Baking, "the check front has failed: HTTP 500"),
    Row("and goes on being told when it passes again, lest it flap", {"front": tally(FAILED, PASSED), "api": GOOD}, 5, Baking, "the check front has failed"),
    Row("failures that may be are forgiven at the end", {"front": tally(FAILED, FAILED, PASSED), "api": GOOD}, 13, Healthy),
    Row("one failure too many fails at once", {"front": tally(FAILED, FAILED, FAILED), "api": GOOD}, 5, Failing, "the check front failed more than twice: HTTP 500 where 200-399 was expected", reason="CheckFailed"),
    Row("failures need not come in a row", {"front": tally(FAILED, PASSED, FAILED, PASSED, FAILED)}, 5, Failing, reason="CheckFailed"),
    Row("one that cannot be made twice in a row holds it up", {"front": tally(NOT_MADE, NOT_MADE), "api": GOOD}, 5, Blocked, "the check front cannot be made: the host web has no address in the DNS", reason="CheckUnavailable"),
    Row("once may be a hiccup", {"front": tally(NOT_MADE), "api": GOOD}, 5, Baking),
    Row("one that is never made holds it up, however late", {"front": tally(NOT_MADE, NOT_MADE), "api": GOOD}, 9000, Blocked, reason="CheckUnavailable"),
    Row("one that was not made by the deadline is not the release's fault", {"front": GOOD}, 9000, Blocked, "has not been made yet", reason="CheckUnavailable"),
    Row("a query without a number is waited for", {"front": tally(SILENT), "api": GOOD}, 20, Waiting, "the check front has given no number yet"),
    Row("until the deadline", {"front": tally(SILENT), "api": GOOD}, 9000, Failing, "not all checks passed before the progress deadline: the check front has given no number yet", reason="ProgressDeadlineExceeded"),
    Row("a failure does not last beyond the deadline", {"front": tally(PASSED, FAILED), "api": GOOD}, 9000, Failing, reason="ProgressDeadlineExceeded"),
    Row("one that failed before the release as well is not blamed on it", {"front": tally(FAILED, FAILED, FAILED), "api": GOOD}, 9000, Blocked, "did not before this release was started either", frozenset({"front"}), "CheckUnavailable"),
    Row("nor is its silence", {"front": tally(SILENT), "api": GOOD}, 9000, Blocked, "", frozenset({"front"}), "CheckUnavailable"),
    Row("but when it passes it is good", {"front": tally(FAILED, PASSED), "api": GOOD}, 13, Healthy, "", frozenset({"front"})),
    Row("and it excuses no other", {"front": tally(FAILED, FAILED, FAILED), "api": GOOD}, 5, Failing, "", frozenset({"api"}), "CheckFailed"),
]  # fmt: skip


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.says)
def test_what_the_checks_say(row: Row) -> None:
    world = seen("b", workload=workload("b"), pods=pods("b"), checks=row.tallies, unfit=row.unfit)
    health = assess(release_id("b"), world, TERMS, at(0), at(row.now))
    assert isinstance(health, row.expected), health
    finding = getattr(health, "finding", None)
    assert row.message in (finding.message if finding else "")
    assert bool(row.message) or finding is None or row.reason
    if row.reason:
        assert finding is not None
        assert finding.reason == row.reason


def test_without_all_pods_the_checks_say_nothing() -> None:
    world = seen("b", workload=workload("b", ready=False), pods=pods("b", 1), checks={"front": tally(*[FAILED] * 3)})
    assert isinstance(assess(release_id("b"), world, TERMS, at(0), at(5)), Waiting)


# --- when they are made


def checked(**changes: Any) -> Any:
    return spec(rollout={"progressDeadline": "60s", "bakeTime": "10s", "checks": [FRONT]}, **changes)


def baking(wish: Any, **fields: Any) -> Observation:
    records = (record("a", "Stable", wish=wish), record("b", wish=wish))
    return seen("b", workload=workload("b", wish), pods=pods("b", wish=wish), records=records, **fields)


def test_a_release_that_bakes_is_checked_from_when_all_was_up() -> None:
    wish = checked()
    trial = trial_of(wish, baking(wish), at(5))
    assert trial is not None
    assert (trial.release, trial.since, trial.checks) == (release_id("b", wish), at(3), wish.rollout.checks)
    assert trial_of(wish, baking(wish), at(9)) == trial
    later = trial_of(wish, baking(wish, partial_at=at(6)), at(9))
    assert later is not None
    assert later.since == at(6)


def test_nothing_is_checked_without_a_release_that_bakes() -> None:
    wish = checked()
    world = baking(wish)
    assert world.workload is not None
    assert trial_of(spec(), baking(spec()), at(5)) is None
    assert trial_of(checked(suspend=True), world, at(5)) is None
    assert trial_of(wish, replace(world, workload=None), at(5)) is None
    assert trial_of(wish, replace(world, workload=replace(world.workload, available=1)), at(5)) is None
    assert trial_of(wish, replace(world, records=(record("b", "Stable", wish=wish),)), at(5)) is None
    idle = replace(world.workload, replicas=0, total=0, updated=0, available=0)
    assert trial_of(wish, replace(world, workload=idle, pods=()), at(5)) is None


def test_a_rejected_release_that_was_left_running_is_checked_too() -> None:
    wish = checked()
    assert trial_of(wish, replace(baking(wish), records=(record("b", "Rejected", wish=wish),)), at(5)) is not None


def test_the_stable_release_is_checked_where_another_is_about_to_start() -> None:
    wish = checked()
    stable = (record("a", "Stable", wish=wish),)
    world = seen("b", workload=workload("a", wish), pods=pods("a", wish=wish), records=stable)
    wanted = release_of(wish, images("b"))
    assert control_of(wish, world, wanted) == release_id("a", wish)
    assert control_of(spec(), world, wanted) is None
    assert control_of(wish, world, None) is None
    assert control_of(wish, baking(wish), wanted) is None
    assert control_of(wish, replace(world, records=(*stable, record("b", "Rejected", 2, wish=wish))), wanted) is None


def test_before_a_canary_no_control_is_taken_for_its_checks_may_ask_the_canary_itself() -> None:
    wish = spec(rollout={"bakeTime": "10s", "canary": {"replicas": 1}, "checks": [FRONT]})
    world = seen(
        "b", workload=workload("a", wish), pods=pods("a", wish=wish), records=(record("a", "Stable", wish=wish),)
    )
    assert control_of(wish, world, release_of(wish, images("b"))) is None


def test_what_podpin_died_over_before_it_could_tell_of_the_control_is_not_blamed() -> None:
    wish = spec(rollout={"progressDeadline": "60s", "bakeTime": "10s", "checks": [FRONT]})
    tallies = {"front": Tally(Failed("HTTP 500"), 50, "HTTP 500")}
    world = seen("b", workload=workload("b", wish), pods=pods("b", wish=wish), checks=tallies)
    world = replace(world, records=(record("a", "Stable", wish=wish), record("b", wish=wish)))
    done = decide(rollout(wish), world, at(40))
    assert done.actions == ()
    assert ready_of(done.status) == "Unknown CheckUnavailable"
    assert done.status.candidate is not None
    assert done.status.candidate.unfit == ("front",)
