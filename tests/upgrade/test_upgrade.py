"""Objects that earlier podpins have stored, looked at by this one: it takes them as they are."""

from __future__ import annotations

import copy
import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

import pytest

from tests.upgrade.__main__ import CASES, become_ready, push, told
from tests.world import Podpin, World, later

OBJECTS: Final = Path(__file__).parent / "objects"
STORED: Final = [
    pytest.param(case, id=f"{file.stem}-{name}")
    for file in sorted(OBJECTS.glob("*.json"))
    for name, case in json.loads(file.read_text())["cases"].items()
]
each_stored = pytest.mark.parametrize("case", STORED)


def world_of(case: dict[str, Any]) -> tuple[World, Podpin]:
    """The cluster as the earlier podpin has left it, an hour later."""
    case = copy.deepcopy(case)
    world = World(
        now=datetime.fromisoformat(case["time"]),
        rollout=case["rollout"],
        deployment=case["deployment"],
        records=case["records"],
        own=case["pods"],
    )
    world._version = 5000  # later than anything that is stored
    push(world, case["rollout"]["spec"], "c")
    if world.deployment is not None:
        world.become_ready()
    later(world, 3600)
    return world, Podpin(world)


def identities(world: World) -> dict[str, Any]:
    """What must be the same: which releases there are, what was found of each, what runs and which one is stable."""
    assert world.rollout is not None
    return {
        "records": {name: record["metadata"]["annotations"] for name, record in sorted(world.records.items())},
        "template": world.deployment and world.deployment["spec"]["template"],
        "pods": {name: pod["spec"] for name, pod in sorted(world.own.items())},
        "stable": world.rollout["status"]["stable"]["release"],
        "rejected": [one["release"] for one in world.rollout["status"]["rejected"]],
    }


def test_there_is_something_stored_of_every_case() -> None:
    assert {param.id.partition("-")[2] for param in STORED} == set(CASES)  # type: ignore[union-attr]


@each_stored
async def test_nothing_rolls_out_and_nothing_is_written_but_what_is_new_to_tell(case: dict[str, Any]) -> None:
    world, podpin = world_of(case)
    before = copy.deepcopy(identities(world))
    assert await podpin.settle() in ([], ["status"])
    assert await podpin.settle() == []
    assert identities(world) == before
    assert podpin.ready == ("True", "RolledBack")


@each_stored
async def test_what_was_rejected_stays_rejected_and_what_is_stable_is_gone_back_to(case: dict[str, Any]) -> None:
    world, podpin = world_of(case)
    stable = identities(world)["stable"]
    await podpin.settle()
    push(world, case["rollout"]["spec"], "d")
    await podpin.settle()
    assert world.rollout is not None
    fourth = world.rollout["status"]["candidate"]["release"]
    assert fourth not in case["records"]
    if world.deployment is None:
        world.own_crash(fourth)
    else:
        world.fail_to_start()
    await podpin.settle()
    await become_ready(world, podpin)
    assert podpin.ready == ("True", "RolledBack")
    assert identities(world)["stable"] == stable
    assert fourth in identities(world)["rejected"]


@each_stored
async def test_a_restore_without_the_status_comes_to_the_same_releases(case: dict[str, Any]) -> None:
    world, podpin = world_of(case)
    before = identities(world)
    assert world.rollout is not None
    world.rollout = {**world.rollout, "status": {}}
    await podpin.settle()
    after = identities(world)
    assert (after["stable"], after["rejected"], after["template"]) == (
        before["stable"],
        before["rejected"],
        before["template"],
    )
    assert not [one for one in world.writes if one != "status"]


@pytest.mark.parametrize("name", CASES)
async def test_what_this_podpin_stores_is_what_it_takes_as_it_is(name: str) -> None:
    world, podpin = world_of(json.loads(json.dumps(await told(dict(CASES[name])))))
    assert await podpin.settle() == []
    assert world.now - datetime.fromisoformat("2026-03-01T12:00:00+00:00") > timedelta(hours=1)
