"""A canary's life from its first Pod to the workload, and what is left when podpin dies at any write of it."""

from __future__ import annotations

from typing import Any

import pytest

from podpin.errors import Unavailable
from tests.builders import raw_spec, release_id, spec
from tests.world import Crash, Podpin, World, later, texts

TERMS: dict[str, Any] = {"progressDeadline": "60s", "bakeTime": "10s"}
STEPS = {**TERMS, "canary": {"steps": [{"replicas": 1, "bakeTime": "20s"}, {"percent": 100, "pause": True}]}}
A, B = release_id("a", spec(rollout=STEPS)), release_id("b", spec(rollout=STEPS))


async def steady(**terms: Any) -> tuple[World, Podpin]:
    """Release A is stable, and B has just been pushed."""
    world = World()
    podpin = Podpin(world)
    world.apply(raw_spec(rollout=terms or STEPS))
    world.push("a")
    await podpin.settle()
    world.become_ready()
    later(world, 11)
    await podpin.settle()
    world.push("b")
    world.writes.clear()
    return world, podpin


async def test_a_good_version_goes_through_its_steps_and_then_takes_the_workload_over() -> None:
    world, podpin = await steady()
    assert await podpin.settle() == [f"record {B}", "canary 1/1", "status"]
    assert world.release == A
    world.become_ready_beside()
    assert await podpin.settle() == [], "coming up costs no write"
    later(world, 20)
    assert await podpin.settle() == ["canary 2/2", "status"]
    world.become_ready_beside()
    later(world, 10)
    assert await podpin.settle() == ["status"], "it says once that it awaits approval"
    assert podpin.ready == ("True", "AwaitingApproval")
    later(world, 3600)
    assert await podpin.settle() == []
    world.apply(approve=f"{B}/2")
    assert (await podpin.settle())[:2] == [f"workload {B}", "remove canary"]
    world.become_ready()
    later(world, 11)
    assert await podpin.settle() == [f"verdict Stable on {B}", "status"]
    assert podpin.ready == ("True", "RolledOut")
    assert world.templates == [A, B]
    assert [said for said in texts(world.notices) if said != "RolledOut"] == [
        "Progressing", "Progressing", "StepDone", "AwaitingApproval", "Promoted",
    ]  # fmt: skip


async def test_a_bad_version_costs_three_writes_and_the_workload_none() -> None:
    world, podpin = await steady()
    await podpin.settle()
    generation = (world.deployment or {})["metadata"]["generation"]
    world.canary_fails()
    assert await podpin.settle() == [f"verdict Rejected on {B}", "remove canary", "status"]
    assert podpin.ready == ("True", "RolledBack")
    assert (world.deployment or {})["metadata"]["generation"] == generation
    assert await podpin.settle() == []


@pytest.mark.parametrize("death", range(1, 11))
async def test_the_end_is_the_same_when_podpin_dies_after_write(death: int) -> None:
    world, podpin = await steady()
    world.apply(approve=f"{B}/2")
    world.crash_after = death
    for _ in range(30):
        try:
            await podpin.look()
        except Crash:
            podpin = Podpin(world)
        if (
            world.canary is not None
            and len([one for one in world.pods if one.canary]) != world.canary["spec"]["replicas"]
        ):
            world.become_ready_beside()
        if world.release == B and not any(one.release == B and not one.canary for one in world.pods):
            world.become_ready()
        later(world, 11)
    assert world.crash_after is None, "podpin was not killed"
    assert podpin.ready == ("True", "RolledOut")
    assert world.canary is None
    assert world.templates == [A, B], "rolled out once"
    assert [write for write in world.writes if write.startswith("canary")] in (
        ["canary 1/1", "canary 2/2"],
        ["canary 1/1", "canary 1/1", "canary 2/2"],
    )


async def test_a_deployment_of_that_name_which_is_somebody_elses_is_never_touched() -> None:
    world, podpin = await steady()
    world.canary = {
        "metadata": {"name": "web-canary", "uid": "theirs", "resourceVersion": "1", "generation": 1},
        "spec": {"template": {}},
    }
    with pytest.raises(Unavailable):
        await podpin.look()
    assert world.writes == [f"record {B}", "status"]
    assert podpin.ready == ("False", "WorkloadConflict")
    assert "a Deployment named web-canary exists and is not this rollout's" in podpin.message
    assert world.canary["metadata"]["uid"] == "theirs"
    with pytest.raises(Unavailable):
        await podpin.look()
    assert len(world.writes) == 2, "it is told once"
    world.canary = None
    assert "canary 1/1" in await podpin.settle(), "and tried again by itself"
