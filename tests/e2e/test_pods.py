"""`workload.kind: Pods` on a real node, with a real kubelet: podpin is the controller of the Pods."""

from __future__ import annotations

import json
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from tests.e2e.stage import RELEASE, is_ready, restarts

if TYPE_CHECKING:
    from tests.e2e.stage import Stage
    from tests.e2e.world import Json

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]


def pods_rollout(stage: Stage, **changes: Any) -> Json:
    workload = {"kind": "Pods", **changes.pop("workload", {})}
    return stage.rollout(workload=workload, **changes)


def running(stage: Stage) -> dict[str, str]:
    """The Pods that are there and ready, with their release, by name."""
    return {name: pod["metadata"]["labels"][RELEASE] for name, pod in stage.pods().items() if is_ready(pod)}


def until_only(stage: Stage, tag: str, count: int) -> None:
    stage.until(
        lambda: (
            list(running(stage).values()) == [stage.release(tag)] * count == [stage.release(tag)] * len(stage.pods())
        ),
        f"{count} Pods of {tag} and no others",
    )


def test_a_good_version_costs_a_record_a_verdict_two_statuses_and_two_writes_for_each_pod(stage: Stage) -> None:
    stage.need("audit")
    stage.push("1.0.0")
    stage.apply(pods_rollout(stage))
    stage.until_stable("1.0.0")
    until_only(stage, "1.0.0", 2)
    assert stage.deployment() == {}
    begun = stage.mark()
    stage.push("1.1.0")
    stage.look()
    stage.until_stable("1.1.0")
    until_only(stage, "1.1.0", 2)
    wrote = Counter(
        f"{one.verb} {one.resource}{'/' + one.subresource if one.subresource else ''}" for one in stage.writes(begun)
    )
    stage.notes.append(f"writes: {wrote}")
    assert wrote == {
        "patch controllerrevisions": 2,
        "create pods": 2,
        "create pods/eviction": 2,
        "patch imagerollouts/status": 2,
    }
    stage.assert_pinned()


def test_a_pod_that_is_deleted_by_hand_is_replaced_and_replicas_are_scaled(stage: Stage) -> None:
    stage.push("1.0.0")
    stage.apply(pods_rollout(stage))
    stage.until_stable("1.0.0")
    gone = next(iter(running(stage)))
    begun = time.monotonic()
    stage.kubectl("delete", "pod", gone, "--wait=false")
    stage.until(lambda: len(running(stage)) == 2 and gone not in stage.pods(), "another Pod in its place")
    assert time.monotonic() - begun < 30
    stage.kubectl("scale", "imagerollout/web", "--replicas=5")
    until_only(stage, "1.0.0", 5)
    stage.until(lambda: stage.status().get("replicas") == 5 == stage.status().get("readyReplicas"), "five to be told")
    scale = json.loads(stage.kubectl("get", "imagerollout", "web", "--subresource=scale", "-o", "json"))
    assert scale["status"]["selector"] == "podpin.dev/rollout=web"
    stage.kubectl("scale", "imagerollout/web", "--replicas=1")
    until_only(stage, "1.0.0", 1)
    stage.kubectl("delete", "imagerollout", "web")
    stage.until(lambda: not stage.world.now("pods", stage.namespace), "the Pods to be collected")


def test_a_budget_is_honoured_on_the_way_forward_and_ignored_on_the_way_back(stage: Stage) -> None:
    stage.push("1.0.0")
    stage.apply(pods_rollout(stage))
    stage.until_stable("1.0.0")
    budget = {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {"name": "web", "namespace": stage.namespace},
        "spec": {"minAvailable": 99, "selector": {"matchLabels": {"app": "web"}}},
    }
    stage.cluster.apply(budget)
    stage.until(
        lambda: json.loads(stage.kubectl("get", "pdb", "web", "-o", "json"))["status"].get("observedGeneration"),
        "the budget to be known",
    )
    serving = frozenset(running(stage))
    stage.push("1.1.0", "missing_binary")
    stage.look()
    stage.until_says("RolledBack", ":1.1.0@")
    stage.until(lambda: frozenset(stage.pods()) == serving, "the bad Pod to go, whatever the budget says")
    stage.push("1.2.0")
    stage.look()
    ready = stage.until_says("EvictionRefused", "disruption budget")
    assert ready["status"] == "Unknown"
    stage.assert_untouched(serving)
    stage.kubectl("delete", "pdb", "web")
    stage.until_stable("1.2.0")
    until_only(stage, "1.2.0", 2)


def test_in_place_keeps_uid_node_and_address_and_a_failed_update_is_taken_back_in_place(stage: Stage) -> None:
    stage.push("1.0.0")
    stage.apply(pods_rollout(stage, workload={"inPlace": True}))
    stage.until_stable("1.0.0")

    def who() -> set[tuple[str, str, str, str]]:
        return {
            (name, pod["metadata"]["uid"], pod["spec"]["nodeName"], pod["status"]["podIP"])
            for name, pod in stage.pods().items()
        }

    before = who()
    assert len(before) == 2
    stage.push("1.1.0")
    stage.look()
    stage.until_stable("1.1.0")
    assert who() == before
    assert [restarts(pod) for pod in stage.pods().values()] == [1, 1]
    for pod in stage.pods().values():
        assert ":1.1.0@sha256:" in pod["spec"]["containers"][0]["image"]
    stage.push("1.2.0", "missing_binary")
    stage.look()
    stage.until_says("RolledBack", ":1.2.0@")
    stage.until(lambda: list(running(stage).values()) == [stage.release("1.1.0")] * 2, "both to serve 1.1.0 again")
    assert who() == before
    assert min(restarts(pod) for pod in stage.pods().values()) == 1, "one at a time: the other was not touched"
    assert stage.verdicts() == {"1.0.0": "Stable", "1.1.0": "Stable", "1.2.0": "CannotStart"}
    stage.assert_pinned()
