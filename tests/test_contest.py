"""Somebody keeps writing what podpin owns: it is put back, at once at first, and never without end."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from podpin.core.contest import MOST, PATIENCE, WITHIN, contest_of, remembered, rival_of
from tests.builders import START, at, raw_spec
from tests.world import Podpin, World, later, texts


async def steady() -> tuple[World, Podpin]:
    """Release A is stable and runs."""
    world = World()
    podpin = Podpin(world)
    world.apply(raw_spec())
    world.push("a")
    await podpin.settle()
    world.become_ready()
    later(world, 11)
    await podpin.settle()
    return world, podpin


def rival_writes(world: World, nth: int) -> None:
    """A pipeline puts its own image into the Deployment again."""
    assert world.deployment is not None
    template: Any = world.deployment["spec"]["template"]
    containers = [{**template["spec"]["containers"][0], "image": f"registry.example.com/shop/web:by-{nth}"}]
    world.edit_deployment(template={**template, "spec": {**template["spec"], "containers": containers}})
    world.deployment["metadata"]["managedFields"] = [
        {"manager": "podpin", "time": "2026-03-01T12:00:01Z", "fieldsV1": {"f:spec": {"f:template": {}}}},
        {"manager": "argocd", "time": "2026-03-01T12:00:02Z", "fieldsV1": {"f:spec": {"f:template": {}}}},
        {"manager": "kcm", "time": "2026-03-01T12:00:03Z", "fieldsV1": {"f:status": {}}},
    ]


async def fought(world: World, podpin: Podpin, *, times: int, every: float) -> list[float]:
    """After each change, when podpin puts it back, in seconds since the start."""
    corrected = []
    for nth in range(times):
        rival_writes(world, nth)
        before = len([write for write in world.writes if write.startswith("workload")])
        await podpin.settle()
        if len([write for write in world.writes if write.startswith("workload")]) > before:
            corrected.append((world.now - START).total_seconds())
        later(world, every)
    return corrected


async def test_a_change_by_hand_is_put_back_at_once_and_told_by_an_event() -> None:
    world, podpin = await steady()
    assert len(await fought(world, podpin, times=MOST - 1, every=1)) == MOST - 1
    assert texts(world.notices).count("DriftCorrected") == MOST - 1
    assert podpin.ready == ("True", "RolledOut")


async def test_who_writes_against_podpin_is_named_and_put_right_once_a_minute() -> None:
    world, podpin = await steady()
    corrected = await fought(world, podpin, times=300, every=1)
    assert len(corrected) <= MOST + 300 / PATIENCE.total_seconds()
    assert corrected[-1] > 240, "it never gives up"
    assert podpin.ready == ("False", "ImageContested")
    assert "argocd keeps changing what podpin applies to the Deployment" in podpin.message
    assert texts(world.notices).count("ImageContested") == 1
    assert texts(world.notices).count("DriftCorrected") == MOST


async def test_it_is_over_when_nobody_writes_against_podpin_any_more() -> None:
    world, podpin = await steady()
    await fought(world, podpin, times=MOST + 1, every=1)
    assert podpin.ready == ("False", "ImageContested")
    wait = await podpin.look()
    assert wait is not None
    assert wait <= PATIENCE, "it looks again by itself"
    later(world, 61)
    await podpin.settle()
    assert ":by-" not in str(world.deployment)
    later(world, WITHIN.total_seconds())
    await podpin.settle()
    assert podpin.ready == ("True", "RolledOut")
    assert await podpin.settle() == []


@pytest.mark.parametrize(
    ("times", "now", "contested"),
    [
        pytest.param([], 0, False, id="nothing was ever corrected"),
        pytest.param([1, 2, 3, 4], 5, False, id="four times are chance"),
        pytest.param([1, 2, 3, 4, 5], 5, True, id="five times within ten minutes are none"),
        pytest.param([1, 2, 3, 4, 5], 601, False, id="ten minutes after the first of five it is over"),
        pytest.param([1, 200, 400, 500, 599, 700], 701, True, id="the last five count"),
    ],
)
def test_contested(times: list[float], now: float, contested: bool) -> None:
    found = contest_of([at(moment) for moment in times], "argocd", at(now))
    assert (found is not None) is contested
    if found is not None:
        assert found.correct_from == at(times[-1]) + PATIENCE
        assert found.over > at(now)


def test_only_the_last_corrections_are_kept_in_mind() -> None:
    times: tuple[Any, ...] = ()
    for second in range(100):
        times = remembered(times, START + timedelta(seconds=second))
    assert len(times) == 2 * MOST
    assert times[-1] == at(99)


def test_a_rival_without_a_name_is_somebody() -> None:
    assert rival_of([]) == "somebody"
