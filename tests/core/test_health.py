"""One judgement from many Pods: healthy, baking, waiting, blocked or failing."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import pytest
from tests.builders import REPOSITORY, at, container, digest, pod, pods, release_id, run, seen, waiting, workload

from podpin.core.health import Baking, Blocked, Failing, Health, Healthy, Idle, Terms, Waiting, assess
from podpin.core.observation import Observation

TERMS = Terms(deadline=timedelta(seconds=60), bake=timedelta(seconds=10))
CRASHING = waiting("CrashLoopBackOff", restarts=2, last=run(started=2, finished=3))
UNSCHEDULABLE: dict[str, Any] = {"unschedulable": "no node has room", "scheduled_at": None, "ready": False}
GONE = waiting("ErrImagePull", "manifest unknown: not found", image=f"{REPOSITORY}:1.0.1@{digest('b')}")
LOST: dict[str, Any] = {"ready": False, "ready_changed": at(40), "phase": "Running"}


@dataclass(frozen=True)
class Row:
    says: str
    world: Observation
    now: float
    expected: type[Health]
    detail: Any = None
    clock: float = 0


def world(*many: Any, whole: bool = False, **fields: Any) -> Observation:
    changes = {field: fields.pop(field) for field in tuple(fields) if field not in ("gone", "records", "partial_at")}
    return seen("b", workload=replace(workload("b", ready=whole), **changes), pods=tuple(many), **fields)


ROWS = [
    Row("all ready and undisturbed for the bake time is healthy", world(*pods("b"), whole=True), 13, Healthy),
    Row("all ready, but not for long enough, bakes until it is", world(*pods("b"), whole=True), 12.9, Baking, at(13)),
    Row("one Pod that came later keeps the others baking", world(*pods("b", 1), pod("b", name="late", ready_changed=at(8)), whole=True), 14, Baking, at(18)),
    Row("an old Pod that is still there is not healthy", world(*pods("b"), whole=True, total=3), 20, Waiting, at(72)),
    Row("a Deployment that has not seen its newest generation is not healthy", world(*pods("b"), whole=True, generation=4), 20, Waiting),
    Row("Pods that the mirror has not seen ready are not healthy, whatever the Deployment counts", world(pod("b", container(ready=False)), whole=True), 20, Waiting),
    Row("no replicas, nothing to judge", world(replicas=0, total=0, updated=0), 500, Idle),
    Row("no Pod yet waits for the controllers", world(), 5, Waiting, at(60)),
    Row("no Pod for long is the controllers' fault", world(), 121, Blocked, "PodsNotCreated"),
    Row("a Deployment that somebody paused stops the clock", world(pod("b", container(ready=False)), paused=True), 5000, Blocked, "WorkloadPaused"),
    Row("a Pod that was evicted and not replaced yet stops the clock", world(pod("b", container(ready=False), phase="Failed", reason="Evicted")), 5000, Blocked, "PodEvicted"),
    Row("a Pod that the scheduler never looked at stops the clock", world(replace(pod("b", container(ready=False)), node=None, scheduled_at=None, containers=())), 5000, Blocked, "Unschedulable"),
    Row("a sidecar that crashes is the release's fault", world(pod("b", container(ready=True), waiting("CrashLoopBackOff", name="proxy", restarts=9, last=run()))), 40, Failing, "CrashLooping"),
    Row("one exit of a container without a readiness probe is none of three", world(pod("b", container(ready=False, running_since=None, ended=run(started=2, finished=40)), probed=False, **LOST)), 41, Waiting),
    Row("the dead of the stable release are no control group", world(pod("b", container(ready=False), **LOST), pod("a", container(ready=False), **{**LOST, "phase": "Failed"})), 41, Failing, "ReadinessLost"),
    Row("nor are the Pods of a release that never was stable", world(pod("b", container(ready=False), **LOST), pod("c", container(ready=False), **LOST)), 41, Failing, "ReadinessLost"),
    Row("whole by the node's clock, but not for long by podpin's own", world(*pods("b"), whole=True, partial_at=at(100)), 105, Baking, at(110)),
    Row("a Pod that starts moves the deadline once", world(pod("b", container(ready=False, running_since=at(30)))), 40, Waiting, at(90)),
    Row("a container that starts again does not", world(pod("b", container(ready=False, running_since=at(30), restarts=1, last=run()))), 40, Waiting, at(61)),
    Row("never ready by the deadline fails", world(pod("b", container(ready=False))), 62, Failing, "ProgressDeadlineExceeded"),
    Row("and not a moment earlier", world(pod("b", container(ready=False))), 61.9, Waiting),
    Row("all Pods crash-looping fails at once", world(pod("b", CRASHING), pod("b", CRASHING, name="web-2")), 5, Failing, "CrashLooping"),
    Row("one crash-looping Pod among ready ones waits for the deadline", world(pod("b", CRASHING), *pods("b", 1)), 5, Waiting),
    Row("one crash-looping Pod among starting ones waits", world(pod("b", CRASHING), pod("b", waiting("ContainerCreating"), name="web-2")), 5, Waiting),
    Row("a Pod that the cluster holds up does not save the others", world(pod("b", CRASHING), pod("b", name="web-2", **UNSCHEDULABLE)), 5, Failing, "CrashLooping"),
    Row("all Pods held up by the cluster stop the clock", world(pod("b", **UNSCHEDULABLE)), 5000, Blocked, "Unschedulable"),
    Row("a Pod held up beside one that just starts does not", world(pod("b", **UNSCHEDULABLE), pod("b", container(ready=False), name="web-2")), 5000, Failing, "ProgressDeadlineExceeded"),
    Row("a quota stops the clock", world(not_created=("FailedCreate", "exceeded quota: pods")), 5000, Blocked, "PodsNotCreated"),
    Row("a quota does not excuse the Pods that exist", world(pod("b", CRASHING), not_created=("FailedCreate", "exceeded quota")), 5, Failing, "CrashLooping"),
    Row("an image that the registry confirms to be gone fails", world(pod("b", GONE), gone=frozenset({digest("b")})), 5, Failing, "ImageNotFound"),
    Row("an image that only the kubelet misses has until the deadline", world(pod("b", GONE)), 60, Waiting, at(61)),
    Row("and no longer", world(pod("b", GONE)), 61, Failing, "ProgressDeadlineExceeded"),
    Row("an image that is not the one the registry lost is not gone", world(pod("b", GONE), gone=frozenset({digest("c")})), 5, Waiting),
    Row("readiness lost by all Pods fails", world(pod("b", container(ready=False), **LOST)), 41, Failing, "ReadinessLost"),
    Row("readiness that a kubelet may only have forgotten has a round of the probe", world(pod("b", container(ready=False), probe_round=timedelta(seconds=12), **LOST)), 41, Waiting, at(52)),
    Row("and not a moment more", world(pod("b", container(ready=False), probe_round=timedelta(seconds=12), **LOST)), 52, Failing, "ReadinessLost"),
    Row("an exit after having been ready needs no such proof", world(pod("b", container(ready=False, running_since=None, ended=run(started=2, finished=40)), probe_round=timedelta(seconds=12), **LOST)), 41, Failing, "RestartedAfterReady"),
    Row("a container that its node has lost stops the clock", world(pod("b", container(ready=False, running_since=None, ended=run(255, "Unknown", started=2, finished=40)), **LOST)), 5000, Blocked, "NodeLost"),
    Row("unless the stable Pods lose it too", world(pod("b", container(ready=False), **LOST), pod("a", container(ready=False), **LOST)), 41, Blocked, "StableFailingToo"),
    Row("a missing image is no stable Pod's doing", world(pod("b", GONE), pod("a", container(ready=False), **LOST), gone=frozenset({digest("b")})), 41, Failing, "ImageNotFound"),
    Row("the deadline does not pass while the stable Pods fail too", world(pod("b", container(ready=False)), pod("a", container(ready=False), **LOST)), 500, Blocked, "StableFailingToo"),
    Row("Pods that go away are not judged", world(pod("b", CRASHING, deleting=True)), 5, Waiting),
    Row("Pods of other releases are not judged", world(pod("c", CRASHING)), 5, Waiting),
    Row("a Pod that is ready a second at a time does not live for ever", world(pod("b", container(running_since=at(400), restarts=40, last=run()), ready_changed=at(401)), pod("b", CRASHING, name="web-2")), 402, Failing, "ProgressDeadlineExceeded"),
    Row("a Pod that has gone and is not replaced yet is no Pod that was not ready in time", world(*pods("b", 1), total=1, updated=1, available=1), 500, Waiting, at(620)),
    Row("nor is one that an autoscaler has only just asked for", world(*pods("b"), whole=True, replicas=3, generation=4), 500, Waiting, at(620)),
    Row("the clock stands still from the moment at which the stable Pods fail too, not from the deadline on", world(pod("b", container(ready=False)), pod("a", container(ready=False), **LOST)), 45, Blocked, "StableFailingToo"),
]  # fmt: skip


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.says)
def test_judgement(row: Row) -> None:
    health = assess(release_id("b"), row.world, TERMS, at(row.clock), at(row.now), release_id("a"))
    assert isinstance(health, row.expected), health
    match health:
        case Baking(until) if row.detail:
            assert until == row.detail
        case Waiting(deadline) if row.detail:
            assert deadline == row.detail
        case Blocked(finding) | Failing(finding):
            assert finding.reason == row.detail


def test_a_pull_that_is_refused_is_told_before_the_deadline() -> None:
    denied = waiting("ErrImagePull", "pull access denied, repository does not exist or may require authorization")
    health = assess(release_id("b"), world(pod("b", denied)), TERMS, at(0), at(5))
    assert isinstance(health, Waiting)
    assert health.finding is not None
    assert health.finding.reason == "ImagePullDenied"


def test_the_same_pods_in_another_order_give_the_same_judgement() -> None:
    many = [pod("b", name=f"web-{n}", **UNSCHEDULABLE) for n in range(4)]
    one = assess(release_id("b"), world(*many), TERMS, at(0), at(5))
    other = assess(release_id("b"), world(*reversed(many)), TERMS, at(0), at(5))
    assert one == other


def test_readiness_that_may_come_back_within_a_round_of_the_probe_is_not_told_and_untold_at_each_turn() -> None:
    lost = pod("b", container(ready=False), probe_round=timedelta(seconds=12), **LOST)
    health = assess(release_id("b"), world(lost), TERMS, at(0), at(41))
    assert isinstance(health, Waiting)
    assert health.finding is None
