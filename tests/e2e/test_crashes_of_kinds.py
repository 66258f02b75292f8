"""kill -9 at the writes of every other way to run a release: Pods of podpin's own, in place, adopted, approved of.

How many writes there are differs from run to run, for Pods come and go beside them. So each row kills podpin after one
write of each act, or after each of them, and what must be the same in the end is what counts for a user: the verdicts,
their order, what runs, and that nothing else is left.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import pytest
from tests.e2e.faultproxy import Shot
from tests.e2e.stage import RELEASE, is_ready
from tests.e2e.test_adoption import adopting, workload
from tests.e2e.test_crashes import VERSIONS, approve, orders, played

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.e2e.faultproxy import FaultProxy
    from tests.e2e.program import Program
    from tests.e2e.stage import Stage
    from tests.e2e.world import Json

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]


@dataclass(frozen=True)
class Way:
    """One way in which a release is run."""

    spec: dict[str, Any] = field(default_factory=dict)
    adopts: bool = False
    fewest: int = 5
    """As many writes each act has at least; 0 where all of them are enough."""


CANARY: Final = {"rollout": {"canary": {"replicas": 1, "bakeTime": "1s"}}}
WAYS: Final = {
    "Pods": Way({"workload": {"kind": "Pods", "replicas": 1}}),
    "Pods in place": Way({"workload": {"kind": "Pods", "replicas": 1, "inPlace": True}}),
    "adopted": Way(adopts=True),
    "approved of": Way({"workload": {"replicas": 1}, "update": {"mode": "Manual"}}),
    "Pods by canary": Way({"workload": {"kind": "Pods", "replicas": 1}, **CANARY}, fewest=0),
    "adopted by canary": Way(CANARY, adopts=True, fewest=0),
}
EVERY: Final = tuple(Shot(number, "after") for number in range(1, 16))
ROWS: Final = [
    *(
        pytest.param(name, (Shot(number, moment),), id=f"{name}-{number}-{moment}")
        for name, way in WAYS.items()
        for number in range(1, way.fewest + 1)
        for moment in ("before", "after")
    ),
    *(pytest.param(name, EVERY, id=f"{name}-every") for name in WAYS),
]


@pytest.mark.parametrize(("name", "shots"), ROWS)
def test_the_end_is_the_same_when_podpin_is_killed(bare_stage: Stage, name: str, shots: Sequence[Shot]) -> None:
    stage = bare_stage
    with played(stage) as (podpin, proxy):
        for act in VERSIONS:
            play(stage, podpin, proxy, name, act, shots)
            assert len(proxy.missed) < len(shots), f"{act}: podpin was not killed"
            assert the_end(stage) == expected(act)
        stage.assert_pinned()


def play(stage: Stage, podpin: Program, proxy: FaultProxy, name: str, act: str, shots: Sequence[Shot]) -> None:
    """One act, with podpin killed at each of the shots and started again."""
    way = WAYS[name]
    if act == "1.0.0" and way.adopts:
        stage.push("0.9.0")
        stage.apply(workload(stage, "0.9.0", replicas=1))
        stage.kubectl("rollout", "status", "deployment/front", "--timeout=120s")
    proxy.aim(*shots)
    stage.push(act, "missing_binary" if act == "1.2.0" else "good")
    if act == "1.0.0":
        manifest = adopting(stage, **way.spec) if way.adopts else stage.rollout(**way.spec)
        stage.apply(manifest)
    else:
        stage.annotate("reconcile", act)
    reason = "RolledBack" if act == "1.2.0" else "RolledOut"

    def over() -> bool:
        if not podpin.runs:
            podpin.start(wait=False)
        approve(stage)
        ready = stage.condition("Ready")
        return ready.get("reason") == reason and f":{act}@" in ready["message"] and podpin.runs and settled(stage, act)

    stage.until(over, f"the act {act} to end", timeout=240)


def settled(stage: Stage, act: str) -> bool:
    """The one Pod that is wanted is there and ready, no other, and podpin has told all verdicts."""
    pods, stable = list(stage.pods().values()), stage.status()["stable"]["release"]
    told = {entry["release"] for entry in stage.status().get("history", ())}
    alone = len(pods) == 1 and is_ready(pods[0]) and pods[0]["metadata"]["labels"].get(RELEASE) == stable
    return alone and stage.release(act) in told and not stage.status().get("candidate")


def the_end(stage: Stage) -> Json:
    """What a user would look at, by tags instead of ids."""
    status = stage.status()
    tags = {stage.release(tag): tag for tag in stage.verdicts()}
    return {
        "verdicts": {tag: verdict for tag, verdict in stage.verdicts().items() if tag in VERSIONS},
        "in the order": [tag for tag in orders(stage, tags) if tag in VERSIONS],
        "stable": tags[status["stable"]["release"]],
        "rejected": [(tags[one["release"]], one["reason"]) for one in status.get("rejected", ())],
        "waiting": status.get("waiting"),
        "image": [
            container["image"].partition("@")[0].rpartition(":")[2]
            for pod in stage.pods().values()
            for container in pod["spec"]["containers"]
        ],
    }


def expected(act: str) -> Json:
    """What it must be."""
    tried, bad = [tag for tag in VERSIONS if tag <= act], act == "1.2.0"
    runs = "1.1.0" if bad else act
    return {
        "verdicts": {tag: "CannotStart" if tag == "1.2.0" else "Stable" for tag in tried},
        "in the order": tried,
        "stable": runs,
        "rejected": [("1.2.0", "CannotStart")] if bad else [],
        "waiting": None,
        "image": [runs],
    }
