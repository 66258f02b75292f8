"""kill -9 at every single write of a first rollout, of a second one and of a rollback.

The same end each time, no release rolled out twice, nothing forgotten.

Each row plays the same three acts with a podpin of its own behind a proxy: a first version, a better one, and one that
does not start. In each act podpin is killed once, at the write of that number, and started again. There is a play for
each way in which a release can come to the workload.
"""

from __future__ import annotations

import contextlib
import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import pytest
from tests.e2e.faultproxy import FaultProxy, Shot
from tests.e2e.stage import RELEASE

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.e2e.faultproxy import Moment
    from tests.e2e.program import Program
    from tests.e2e.stage import Stage

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]

RECORD, WORKLOAD, STATUS = "PATCH controllerrevisions", "PATCH deployments", "PATCH status"
CANARY, GONE = "PATCH canary", "DELETE canary"


@dataclass(frozen=True)
class Play:
    """One way in which a release comes to the workload, and every write of it, act by act.

    The acts are a first version, a better one, and one that does not start. The second write of a record is its
    verdict.
    """

    acts: dict[str, list[str]]
    spec: dict[str, Any] = field(default_factory=dict)
    moved_by_the_bad: bool = True
    """The workload itself has tried the bad version."""
    canaries: tuple[str, ...] = ()
    """The versions that a canary has tried."""


FIRST: Final = [RECORD, WORKLOAD, STATUS, RECORD, STATUS]
PLAYS: Final = {
    "straight": Play(
        {"1.0.0": FIRST, "1.1.0": FIRST, "1.2.0": [RECORD, WORKLOAD, STATUS, RECORD, WORKLOAD, STATUS]},
    ),
    "by canary, with approval": Play(
        {
            "1.0.0": FIRST,
            "1.1.0": [RECORD, CANARY, STATUS, STATUS, WORKLOAD, GONE, STATUS, RECORD, STATUS],
            "1.2.0": [RECORD, CANARY, STATUS, RECORD, GONE, STATUS],
        },
        {"rollout": {"canary": {"replicas": 1, "pause": True}}},
        moved_by_the_bad=False,
        canaries=("1.1.0", "1.2.0"),
    ),
}
WALK: Final = [
    pytest.param(name, number, moment, id=f"{name}-{number}-{moment}")
    for name, play in PLAYS.items()
    for number in range(1, 1 + max(map(len, play.acts.values())))
    for moment in ("before", "after")
]
VERSIONS: Final = ("1.0.0", "1.1.0", "1.2.0")
each_play = pytest.mark.parametrize("name", PLAYS)


@each_play
def test_nobody_is_killed_and_the_writes_are_those_that_are_walked_here(bare_stage: Stage, name: str) -> None:
    with played(bare_stage) as (podpin, proxy):
        for act, writes in PLAYS[name].acts.items():
            wrote = play(bare_stage, podpin, proxy, name, act, ())
            if act == "1.0.0" and len(wrote) > len(writes):
                assert wrote.pop(3) == STATUS, "its Pods are counted at once, unless the verdict comes with them"
            assert wrote == writes
            assert the_end(bare_stage, act) == expected(name, act)


@pytest.mark.parametrize(("name", "number", "moment"), WALK)
def test_the_end_is_the_same_when_podpin_is_killed_at_write(
    bare_stage: Stage, name: str, number: int, moment: Moment
) -> None:
    with played(bare_stage) as (podpin, proxy):
        for act, writes in PLAYS[name].acts.items():
            shots = [Shot(number, moment)] if number <= len(writes) else []
            play(bare_stage, podpin, proxy, name, act, shots)
            assert not proxy.missed, f"{act}: podpin was not killed"
            assert the_end(bare_stage, act) == expected(name, act)


@each_play
def test_the_end_is_the_same_when_podpin_is_killed_after_each_write_and_each_that_follows(
    bare_stage: Stage, name: str
) -> None:
    with played(bare_stage) as (podpin, proxy):
        for act in PLAYS[name].acts:
            play(bare_stage, podpin, proxy, name, act, [Shot(number, "after") for number in range(1, 16)])
            assert the_end(bare_stage, act) == expected(name, act)


@contextlib.contextmanager
def played(stage: Stage) -> Iterator[tuple[Program, FaultProxy]]:
    """A podpin for this namespace alone, and the proxy through which it speaks."""
    stage.need("identities")
    way = stage.folder / f"{stage.namespace}.kubeconfig"
    podpin = stage.make_podpin(stage.namespace, kubeconfig=way, namespaces=[stage.namespace])
    proxy = FaultProxy(stage.kubeconfig, podpin.kill)
    proxy.start(way)
    try:
        podpin.start()
        yield podpin, proxy
        assert podpin.trouble() == []
    except AssertionError as error:
        error.add_note(podpin.said())
        raise
    finally:
        podpin.kill()
        proxy.stop()


def play(stage: Stage, podpin: Program, proxy: FaultProxy, name: str, act: str, shots: Sequence[Shot]) -> list[str]:
    """One act, with podpin killed and started again at each of the shots; returns the writes that were tried."""
    proxy.aim(*shots)
    stage.push(act, "missing_binary" if act == "1.2.0" else "good")
    if act == "1.0.0":
        stage.apply(stage.rollout(**PLAYS[name].spec, workload={"replicas": 1}))
    else:
        stage.annotate("reconcile", act)
    reason, asked = "RolledBack" if act == "1.2.0" else "RolledOut", None if act == "1.0.0" else act

    def over() -> bool:
        if not podpin.runs:
            podpin.start(wait=False)
        approve(stage)
        ready, handled = stage.condition("Ready"), (stage.status().get("requests") or {}).get("reconcile")
        done = ready.get("reason") == reason and f":{act}@" in ready["message"] and handled == asked
        return done and podpin.runs and settled(stage)

    stage.until(over, f"the act {act} to end", timeout=240)
    return list(proxy.writes)


def approve(stage: Stage) -> None:
    """Approve of what podpin says that it waits for."""
    ready = stage.condition("Ready")
    if ready.get("reason") != "AwaitingApproval":
        return
    asked = re.search(r"podpin\.dev/approve=(\S+)", ready["message"])
    annotations = stage.object()["metadata"].get("annotations") or {}
    if asked and annotations.get("podpin.dev/approve") != asked[1]:
        stage.annotate("approve", asked[1])


def settled(stage: Stage) -> bool:
    """Nothing is under way: the Pods are those that are wanted, podpin has said its last word, and it has been seen."""
    status, deployment = stage.status(), stage.deployment()
    told = status.get("running", {}).get("ready") == "1/1" and stage.condition("Resolved")
    records = stage.world.now("records", stage.namespace).values()
    judged = all("podpin.dev/verdict" in record["metadata"]["annotations"] for record in records)
    if not told or not judged or not deployment or len(stage.pods()) != 1 or stage.deployment("web-canary"):
        return False
    runs, stable = deployment["spec"]["template"]["metadata"]["labels"][RELEASE], status["stable"]["release"]
    return bool(runs == stable)


def the_end(stage: Stage, act: str) -> dict[str, Any]:
    """All that must be the same after an act, whatever happened on the way; times apart, and by tags instead of ids."""
    status, deployment = stage.status(), stage.deployment()
    tags = {stage.release(tag): tag for tag in VERSIONS if tag <= act}
    return {
        "verdicts": stage.verdicts(),
        "in the order": orders(stage, tags),
        "templates": [tags[release] for release in stage.templates()],
        "revision": deployment["metadata"]["annotations"]["deployment.kubernetes.io/revision"],
        "replica sets": sorted(tags[release] for release in stage.replica_sets()),
        "conditions": [(one["type"], one["status"], one["reason"]) for one in status["conditions"]],
        "stable": tags[status["stable"]["release"]],
        "candidate": status.get("candidate"),
        "rejected": [(tags[one["release"]], one["reason"]) for one in status.get("rejected", ())],
        "history": [(tags[one["release"]], one["result"], one.get("reason")) for one in status["history"]],
        "intent": status["workload"]["intent"] == deployment["metadata"]["annotations"]["podpin.dev/intent"],
        "handled": (status.get("requests") or {}).get("reconcile"),
    }


def expected(name: str, act: str) -> dict[str, Any]:
    """What it must be."""
    tried, bad = [tag for tag in VERSIONS if tag <= act], act == "1.2.0"
    ran = [tag for tag in tried if tag != "1.2.0" or PLAYS[name].moved_by_the_bad]
    templates = [*ran, "1.1.0"] if bad and PLAYS[name].moved_by_the_bad else ran
    results = {tag: ("Rejected", "CannotStart") if tag == "1.2.0" else ("Stable", "RolledOut") for tag in tried}
    return {
        "verdicts": {tag: "CannotStart" if tag == "1.2.0" else "Stable" for tag in tried},
        "in the order": tried,
        "templates": templates,
        "revision": str(len(templates)),
        "replica sets": sorted([*ran, *(tag for tag in PLAYS[name].canaries if tag <= act)]),
        "conditions": [("Ready", "True", "RolledBack" if bad else "RolledOut"), ("Resolved", "True", "Resolved")],
        "stable": templates[-1],
        "candidate": None,
        "rejected": [("1.2.0", "CannotStart")] if bad else [],
        "history": [(tag, *results[tag]) for tag in reversed(tried)],
        "intent": True,
        "handled": None if act == "1.0.0" else act,
    }


def orders(stage: Stage, tags: dict[str, str]) -> list[str]:
    """The releases in the order of their verdicts."""
    found = {}
    for body in stage.world.now("records", stage.namespace).values():
        verdict = json.loads(body["metadata"]["annotations"]["podpin.dev/verdict"])
        found[verdict["order"]] = tags[body["metadata"]["labels"][RELEASE]]
    return [found[order] for order in sorted(found)]
