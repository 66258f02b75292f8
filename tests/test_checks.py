"""Checks in a rollout's turn: what is told, what is written, and what is not."""

from __future__ import annotations

from typing import Any

from podpin.core.checks import Failed, NotMade, Passed
from podpin.core.names import LABEL_RELEASE
from tests.builders import raw_spec
from tests.world import Podpin, World, later, texts

FRONT = {"name": "front", "http": {"url": "http://web.$(namespace).svc/"}}
FAILED = Failed("HTTP 500 where 200-399 was expected")


def wish(**rollout: Any) -> dict[str, Any]:
    return raw_spec(rollout={"progressDeadline": "60s", "bakeTime": "10s", "checks": [FRONT], **rollout})


def message(world: World) -> str:
    assert world.rollout is not None
    conditions = world.rollout["status"]["conditions"]
    return str(next(one["message"] for one in conditions if one["type"] == "Ready"))


async def proven() -> tuple[World, Podpin]:
    """The first release has passed its check and is stable."""
    world = World()
    world.apply(wish())
    world.push("a")
    podpin = Podpin(world)
    await podpin.settle()
    world.become_ready()
    await podpin.settle()
    podpin.checks.say(Passed())
    later(world, 11)
    await podpin.settle()
    assert podpin.ready == ("True", "RolledOut")
    world.asked.clear()
    return world, podpin


async def baking() -> tuple[World, Podpin, str]:
    """The second one is up, and bakes; with it the release before, to go back to."""
    world, podpin = await proven()
    stable = world.release
    assert stable is not None
    world.push("b")
    await podpin.settle()
    world.become_ready()
    await podpin.settle()
    world.writes.clear()
    return world, podpin, stable


async def test_a_release_that_passes_costs_no_write_more_than_without_checks() -> None:
    world, podpin, _ = await baking()
    for _run in range(3):
        podpin.checks.say(Passed())
        assert await podpin.settle() == []
    later(world, 11)
    assert await podpin.settle() == [f"verdict Stable on {world.release}", "status"]
    assert podpin.ready == ("True", "RolledOut")


async def test_a_release_is_not_stable_before_its_check_has_passed() -> None:
    world, podpin, _ = await baking()
    later(world, 11)
    await podpin.settle()
    assert podpin.ready == ("Unknown", "Progressing")
    assert "the check front has not been made yet" in message(world)
    podpin.checks.say(Passed())
    await podpin.settle()
    assert podpin.ready == ("True", "RolledOut")


async def test_a_release_that_fails_its_check_too_often_is_rolled_back() -> None:
    world, podpin, stable = await baking()
    bad = world.release
    written = []
    for _run in range(3):
        podpin.checks.say(FAILED)
        written.append(await podpin.settle())
    assert written == [["status"], [], [f"verdict Rejected on {bad}", f"workload {stable}", "status"]]
    assert podpin.ready[1] in ("RolledBack", "RollingBack")
    assert "CheckFailed" in message(world)
    assert "HTTP 500 where 200-399 was expected" in message(world)
    assert texts(world.notices)[-2:] == ["Rejected", "RolledBack"]
    assert world.asked["refresh"] >= 1


async def test_a_check_that_cannot_be_made_holds_it_up_and_blames_nobody() -> None:
    world, podpin, _ = await baking()
    for _run in range(2):
        podpin.checks.say(NotMade("the host web has no address in the DNS"))
        await podpin.settle()
    assert podpin.ready == ("Unknown", "CheckUnavailable")
    later(world, 9000)
    assert await podpin.settle() == []
    podpin.checks.say(Passed())
    await podpin.settle()
    assert podpin.ready == ("True", "RolledOut")


async def test_a_check_that_fails_with_the_stable_release_too_is_not_blamed_on_the_new_one() -> None:
    world, podpin = await proven()
    world.unfit = frozenset({"front"})
    world.push("b")
    await podpin.settle()
    assert sum(asked.startswith("checks of") for asked in world.asked) == 1
    world.become_ready()
    await podpin.settle()
    for _run in range(9):
        podpin.checks.say(FAILED)
        await podpin.settle()
    assert podpin.ready == ("Unknown", "CheckUnavailable")
    podpin = Podpin(world)
    await podpin.settle()
    podpin.checks.say(FAILED)
    later(world, 11)
    await podpin.settle()
    assert podpin.ready == ("Unknown", "CheckUnavailable")


async def test_after_a_restart_the_counting_begins_anew() -> None:
    world, podpin, _ = await baking()
    podpin.checks.say(Passed())
    podpin.checks.say(FAILED)
    podpin.checks.say(FAILED)
    await podpin.settle()
    podpin = Podpin(world)
    later(world, 11)
    await podpin.settle()
    podpin.checks.say(FAILED)
    await podpin.settle()
    assert podpin.ready == ("Unknown", "Progressing")
    podpin.checks.say(Passed())
    await podpin.settle()
    assert podpin.ready == ("True", "RolledOut")


async def test_what_is_stable_or_suspended_or_gone_is_not_checked() -> None:
    world, podpin = await proven()
    count = len(world.checked)
    later(world, 1000)
    await podpin.settle()
    world.push("b")
    await podpin.settle()
    world.apply({**wish(), "suspend": True})
    world.become_ready()
    await podpin.settle()
    world.rollout = None
    await podpin.look()
    assert len(world.checked) == count


async def test_a_first_release_that_failed_its_check_stays_rejected_until_it_passes_a_whole_bake_time() -> None:
    world = World()
    world.apply(wish())
    world.push("a")
    podpin = Podpin(world)
    await podpin.settle()
    world.become_ready()
    await podpin.settle()
    for _run in range(3):
        podpin.checks.say(FAILED)
        await podpin.settle()
    assert podpin.ready == ("False", "Rejected")
    later(world, 1000)
    assert await podpin.settle() == []
    podpin = Podpin(world)
    await podpin.settle()
    podpin.checks.say(Passed())
    await podpin.settle()
    assert podpin.ready == ("True", "RolledOut")


async def test_each_step_of_a_canary_is_checked_anew() -> None:
    world, podpin = await proven()
    world.apply(wish(canary={"steps": [{"replicas": 1, "bakeTime": "5s"}, {"replicas": 1, "bakeTime": "5s"}]}))
    await podpin.settle()
    world.checked.clear()
    world.push("b")
    await podpin.settle()
    assert world.canary is not None
    tried = world.canary["spec"]["template"]["metadata"]["labels"][LABEL_RELEASE]
    world.become_ready_beside()
    await podpin.settle()
    podpin.checks.say(FAILED)
    podpin.checks.say(Passed())
    later(world, 6)
    await podpin.settle()
    assert [(trial.release, trial.step and trial.step[0]) for trial in world.checked] == [(tried, 1), (tried, 2)]
