"""What a worker does with what a rollout's turn ends in: when the rollout comes back, and who is told."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, cast

import pytest

from podpin.core.names import Key
from podpin.errors import Denied, Invalid, Unavailable
from podpin.serve import AGAIN_SECONDS, Podpin
from podpin.settings import Settings
from tests.virtual_time import in_virtual_time, now

if TYPE_CHECKING:
    from datetime import timedelta

    from podpin.adapters.kube.api import Api
    from podpin.reconcile import Reconciler

WEB = Key("shop", "web")


class Turns:
    """A reconciler of which each turn ends in the same error."""

    def __init__(self, error: Exception, confession: Exception | None = None) -> None:
        self.error, self.confession = error, confession
        self.times: list[float] = []
        self.confessed: list[Key] = []
        self.forgotten: list[Key] = []

    async def reconcile(self, key: Key) -> timedelta | None:
        self.times.append(now())
        raise self.error

    def forget(self, key: Key) -> None:
        self.forgotten.append(key)

    async def confess(self, key: Key) -> None:
        self.confessed.append(key)
        if self.confession is not None:
            raise self.confession


async def an_hour_of(turns: Turns) -> list[float]:
    """Let a worker have its turns; returns the waits between them."""
    podpin = Podpin(Settings(), cast("Api", None), asyncio.Event())
    podpin._reconciler = cast("Reconciler", turns)
    podpin._queue.add(WEB)
    worker = asyncio.ensure_future(podpin._work())
    await asyncio.sleep(3600)
    podpin._queue.stop()
    await worker
    await podpin._registry.close()
    return [later - earlier for earlier, later in zip(turns.times, turns.times[1:], strict=False)]


@pytest.mark.parametrize("error", [Denied("no"), Unavailable("down", retry_after=5), Invalid("no such thing")])
@in_virtual_time
async def test_what_the_outside_world_stands_in_the_way_of_is_tried_again_within_a_minute(error: Exception) -> None:
    turns = Turns(error)
    waits = await an_hour_of(turns)
    assert max(waits) == pytest.approx(AGAIN_SECONDS)
    assert turns.confessed == []


@pytest.mark.parametrize("confession", [None, Denied("no"), ZeroDivisionError()])
@in_virtual_time
async def test_a_bug_is_confessed_and_comes_back_ever_later(confession: Exception | None) -> None:
    turns = Turns(ZeroDivisionError(), confession)
    waits = await an_hour_of(turns)
    assert min(waits) >= 1
    assert waits == sorted(waits)
    assert turns.confessed == [WEB] * len(turns.times)


class Endless(Turns):
    """A reconciler whose turns do not end by themselves."""

    async def reconcile(self, key: Key) -> timedelta | None:
        self.times.append(now())
        await asyncio.sleep(3600)
        raise AssertionError("somebody should have ended this")


@in_virtual_time
async def test_who_does_not_lead_any_more_ends_its_work_at_once_forgets_it_and_begins_anew_when_it_leads_again() -> (
    None
):
    turns = Endless(AssertionError())
    podpin = Podpin(Settings(), cast("Api", None), asyncio.Event())
    podpin._reconciler = cast("Reconciler", turns)
    podpin._rollouts.put({"metadata": {"namespace": "shop", "name": "web", "resourceVersion": "1"}})
    podpin._queue.add(WEB)
    podpin._begin_term()
    await asyncio.sleep(10)
    await podpin._end_term()
    assert now() == 10
    assert (turns.times, turns.forgotten) == ([0.0], [WEB])
    await asyncio.sleep(10)
    assert turns.times == [0.0], "a standby does not work"
    podpin._begin_term()
    await asyncio.sleep(10)
    assert turns.times == [0.0, 20.0]
    assert podpin._ended is None
    await podpin._end_term()
    await podpin._registry.close()


async def test_a_standby_watches_the_kinds_that_are_adopted_before_anybody_asks_for_them() -> None:
    asked: list[tuple[Key, str]] = []

    class Cluster:
        def blind(self, key: Key, kind: str) -> None:
            asked.append((key, kind))

    podpin = Podpin(Settings(), cast("Api", None), asyncio.Event())
    podpin._cluster = cast("Any", Cluster())
    for number, kind in enumerate(("StatefulSet", "Unheard", None)):
        spec = {"targetRef": {"kind": kind, "name": "db"}} if kind else {"workload": {"kind": "Deployment"}}
        metadata = {"namespace": "shop", "name": f"web-{number}", "resourceVersion": "1"}
        podpin._rollouts.put({"metadata": metadata, "spec": spec})
    podpin._watch_kinds()
    assert asked == [(Key("shop", "web-0"), "StatefulSet")]
    await podpin._registry.close()
