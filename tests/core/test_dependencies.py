"""What a rollout waits for of the others that it depends on."""

from __future__ import annotations

from typing import Any

import pytest
from tests.builders import at, pods, record, release_id, rollout, seen, spec, workload
from tests.decisions import ready_of, told

from podpin.core.decision import Requests
from podpin.core.dependencies import awaited
from podpin.core.rollout import decide


def body(status: str = "True", reason: str = "RolledOut", observed: int = 1, wants: tuple[str, ...] = ()) -> Any:
    return {
        "metadata": {"generation": 1},
        "spec": {"dependsOn": [{"name": one} for one in wants]},
        "status": {
            "observedGeneration": observed,
            "conditions": [
                {"type": "Resolved", "status": "True"},
                {"type": "Ready", "status": status, "reason": reason},
            ],
        },
    }


MISSING = "it waits for the ImageRollout migration, which is not there"
NOT_YET = "it waits for the ImageRollout migration, which does not run its wanted release healthily yet"


@pytest.mark.parametrize(
    ("migration", "sentence"),
    [
        pytest.param(body(), None, id="nothing, where it runs what it wants"),
        pytest.param(body(reason="ScaledToZero"), None, id="nothing, where it is to have no Pods"),
        pytest.param(None, MISSING, id="one that is not there"),
        pytest.param({"metadata": {"generation": 1}}, NOT_YET, id="one that podpin has not looked at"),
        pytest.param(body(observed=0), NOT_YET, id="one whose newest spec is not answered yet"),
        pytest.param(body("Unknown", "Progressing"), NOT_YET, id="one on trial"),
        pytest.param(body("True", "RolledBack"), NOT_YET, id="one that was rolled back"),
        pytest.param(body("True", "AwaitingApproval"), NOT_YET, id="one that is held back"),
        pytest.param(body("True", "Suspended"), NOT_YET, id="one that is suspended"),
        pytest.param(body("True", "Paused"), NOT_YET, id="one that is paused"),
        pytest.param(body("False", "Degraded"), NOT_YET, id="one that is ill"),
    ],
)
def test_it_waits_for(migration: Any, sentence: str | None) -> None:
    assert awaited("web", ["migration"], {"web": body(wants=("migration",)), "migration": migration}.get) == sentence


def test_a_circle_is_named() -> None:
    there = {"web": body(wants=("a",)), "a": body(wants=("b", "c")), "b": body(wants=("web",)), "c": body()}
    told = "spec.dependsOn leads in a circle: web, which waits for a, which waits for b, which waits for web: "
    assert awaited("web", ["a"], there.get) == told + "take one of them out"
    assert awaited("web", ["web"], {"web": body(wants=("web",))}.get) is not None


def test_one_that_waits_for_a_circle_is_in_none_and_the_search_ends() -> None:
    there = {"web": body(wants=("a",)), "a": body(wants=("b",)), "b": body(wants=("a",))}
    assert awaited("web", ["a"], there.get) is None


STEADY: Any = {"workload": workload("a"), "pods": pods("a"), "records": (record("a", "Stable"),)}


def test_a_new_release_waits_be_it_the_first_or_approved_of() -> None:
    for one in (rollout(), rollout(requests=Requests(approve=release_id("b")))):
        decision = decide(one, seen("b", awaited=MISSING, **STEADY), at(13))
        assert (decision.actions, ready_of(decision.status)) == ((), "True AwaitingDependency")
    first = decide(rollout(), seen("a", awaited=MISSING), at(13))
    assert (first.actions, ready_of(first.status)) == ((), "False AwaitingDependency")


def test_what_runs_already_waits_for_nobody() -> None:
    decision = decide(rollout(), seen("a", awaited=MISSING, **STEADY), at(13))
    assert (decision.actions, ready_of(decision.status)) == ((), "True RolledOut")


def test_the_stable_release_comes_back_without_waiting() -> None:
    decision = decide(rollout(spec()), seen("b", awaited=MISSING, records=(record("a", "Stable"),)), at(13))
    assert [told(action) for action in decision.actions] == ["apply a"]
