"""What the cluster does to a release is never blamed on it: it is held up, the user is told by what, and it goes on as
soon as it can, however long that took."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from tests.cluster.errors import ClusterError
from tests.cluster.local import LocalCluster
from tests.e2e.gate import NODE
from tests.e2e.stage import both_kinds, is_ready, pod_of, stays

if TYPE_CHECKING:
    from tests.e2e.stage import Stage
    from tests.e2e.world import Json

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]

HOLIDAYS = "no new Pods before the holidays are over"
DEADLINE = 20
"""Seconds: shorter than each of these faults lasts, and long enough for a node that is busy."""


def steady(stage: Stage, manifest: Json) -> frozenset[str]:
    """Bring up 1.0.0, with a short deadline from then on; return the Pods that serve."""
    stage.push("1.0.0")
    stage.apply(manifest)
    stage.until_stable("1.0.0")
    manifest["spec"]["rollout"]["progressDeadline"] = f"{DEADLINE}s"
    stage.apply(manifest)
    return stage.serving()


def outlasts_the_deadline(stage: Stage, serving: frozenset[str], reason: str) -> None:
    """The fault is told, and nobody is blamed, for longer than the deadline."""
    stays(DEADLINE + 3, lambda: stage.condition("Ready")["reason"] == reason, f"the user is told {reason}")
    assert "held up by the cluster, not by the release" in stage.condition("Ready")["message"]
    assert stage.condition("Ready")["status"] == "Unknown"
    assert stage.condition("Reconciling")["status"] == "True"
    assert not stage.status().get("rejected")
    stage.assert_untouched(serving)


@both_kinds
def test_no_node_takes_the_pods_until_one_does(stage: Stage, kind: str) -> None:
    mark = f"podpin.test/{stage.namespace}"
    node = stage.cluster.kubectl.get("nodes")["items"][0]["metadata"]["name"]
    manifest = stage.rollout(workload={"kind": kind})
    serving = steady(stage, manifest)
    pod_of(manifest)["nodeSelector"] = {mark: "yes"}
    stage.apply(manifest)
    stage.until_says("Unschedulable", "node")
    outlasts_the_deadline(stage, serving, "Unschedulable")
    stage.cluster.kubectl("label", "node", node, f"{mark}=yes")
    stage.until_says("RolledOut")
    assert len(stage.templates()) == 2
    stage.cluster.kubectl("label", "node", node, f"{mark}-")


@both_kinds
def test_a_quota_refuses_the_pods_until_it_is_lifted(stage: Stage, kind: str) -> None:
    serving = steady(stage, stage.rollout(workload={"kind": kind}))
    stage.kubectl("create", "quota", "tight", "--hard=pods=2")
    stage.push("1.1.0")
    stage.look()
    stage.until_says("PodsNotCreated", "exceeded quota: tight")
    outlasts_the_deadline(stage, serving, "PodsNotCreated")
    stage.kubectl("delete", "quota", "tight")
    stage.until_stable("1.1.0", timeout=150)
    assert stage.verdicts() == {"1.0.0": "Stable", "1.1.0": "Stable"}


def test_a_config_map_that_is_mounted_is_missing_until_it_is_made(stage: Stage) -> None:
    manifest = stage.rollout()
    serving = steady(stage, manifest)
    pod_of(manifest)["volumes"] = [{"name": "settings", "configMap": {"name": "settings"}}]
    pod_of(manifest)["containers"][0]["volumeMounts"] = [{"name": "settings", "mountPath": "/settings"}]
    stage.apply(manifest)
    stage.until_says("VolumeNotReady", 'configmap "settings" not found')
    outlasts_the_deadline(stage, serving, "VolumeNotReady")
    stage.kubectl("create", "configmap", "settings", "--from-literal=color=blue")
    stage.until_says("RolledOut", timeout=150)
    assert len(stage.templates()) == 2


@pytest.mark.parametrize("status", [503, 429])
def test_the_registry_does_not_serve_the_node_until_it_does(stage: Stage, status: int) -> None:
    gate = stage.gate()
    manifest = stage.rollout()
    manifest["spec"]["images"][0]["repository"] = f"{gate.address}/{stage.repository}"
    serving = steady(stage, manifest)
    gate.turn_away(NODE, status)
    stage.push("1.1.0")
    stage.look()
    stage.until_says("RegistryUnavailable", "the registry does not serve the image")
    outlasts_the_deadline(stage, serving, "RegistryUnavailable")
    gate.let_in()
    stage.until_stable("1.1.0", timeout=150)
    assert stage.verdicts() == {"1.0.0": "Stable", "1.1.0": "Stable"}


@both_kinds
def test_the_pods_of_the_candidate_are_evicted_and_replaced(stage: Stage, kind: str) -> None:
    manifest = stage.rollout(workload={"kind": kind})
    serving = steady(stage, manifest)
    stage.change({"spec": {"rollout": {"bakeTime": "6s", "progressDeadline": "60s"}}})
    stage.until_says("RolledOut")
    stage.push("1.1.0")
    stage.look()
    bad = stage.release("1.1.0")
    first = stage.until(lambda: next(iter(stage.pods(bad)), None), "a Pod of the candidate")
    evicted = stage.pods()[first]["metadata"]["uid"]
    evict(stage, first)
    stage.until_stable("1.1.0")
    assert evicted not in {pod["metadata"]["uid"] for pod in stage.pods().values()}
    assert stage.templates() == [stage.release("1.0.0"), bad]
    assert serving.isdisjoint(stage.pods())


@both_kinds
def test_the_pods_of_the_stable_release_are_evicted_and_nothing_is_rolled_back(stage: Stage, kind: str) -> None:
    steady(stage, stage.rollout(workload={"kind": kind}))
    stage.push("1.1.0")
    stage.look()
    stage.until_stable("1.1.0")
    for name in stage.serving():
        evict(stage, name)
    release = stage.release("1.1.0")
    stage.until(
        lambda: len(stage.pods(release)) == 2 and stage.condition("Ready")["reason"] == "RolledOut", "two new Pods"
    )
    assert stage.templates() == [stage.release("1.0.0"), release]


def evict(stage: Stage, pod: str) -> None:
    """What `kubectl drain` does to a Pod."""
    body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod, "namespace": stage.namespace}}
    path = f"/api/v1/namespaces/{stage.namespace}/pods/{pod}/eviction"
    stage.cluster.kubectl("create", "--raw", path, "-f", "-", stdin=json.dumps(body))


def test_an_admission_policy_refuses_the_pods_until_it_is_lifted(stage: Stage) -> None:
    serving = steady(stage, stage.rollout())
    names = {"name": stage.namespace}
    here = {"matchLabels": {"kubernetes.io/metadata.name": stage.namespace}}
    pods = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}
    frozen = {"expression": "false", "message": HOLIDAYS}
    kind = {"apiVersion": "admissionregistration.k8s.io/v1", "metadata": names}
    stage.apply(
        [
            {
                **kind,
                "kind": "ValidatingAdmissionPolicy",
                "spec": {"matchConstraints": {"resourceRules": [pods]}, "validations": [frozen]},
            },
            {
                **kind,
                "kind": "ValidatingAdmissionPolicyBinding",
                "spec": {
                    "policyName": stage.namespace,
                    "validationActions": ["Deny"],
                    "matchResources": {"namespaceSelector": here},
                },
            },
        ]
    )
    try:
        stage.until(lambda: is_refused(stage), "the policy to be enforced")
        stage.push("1.1.0")
        stage.look()
        stage.until_says("PodsNotCreated", HOLIDAYS)
        outlasts_the_deadline(stage, serving, "PodsNotCreated")
    finally:
        for resource in ("validatingadmissionpolicybinding", "validatingadmissionpolicy"):
            stage.cluster.kubectl("delete", resource, stage.namespace)
    stage.until_stable("1.1.0", timeout=150)
    assert stage.verdicts() == {"1.0.0": "Stable", "1.1.0": "Stable"}


def is_refused(stage: Stage) -> bool:
    """Whether a Pod cannot be made in this namespace."""
    try:
        stage.kubectl("run", "probe", f"--image={stage.registry.address}/{stage.repository}:1.0.0", "--dry-run=server")
    except ClusterError as error:
        return HOLIDAYS in str(error)
    return False


@both_kinds
def test_the_node_is_gone_for_a_while_in_the_middle_of_a_trial(lone_stage: Stage, kind: str) -> None:
    stage = lone_stage
    cluster = stage.cluster
    if not isinstance(cluster, LocalCluster):
        pytest.skip("this cluster's kubelet cannot be stopped")
    steady(stage, stage.rollout(workload={"kind": kind}))
    stage.change({"spec": {"rollout": {"bakeTime": "2m"}}})
    stage.push("1.1.0")
    stage.look()
    until_all_ready(stage)
    cluster.stop_part("kubelet")
    try:
        stage.until_says("NodeLost", "which has stopped answering", timeout=120)
        assert not stage.status().get("rejected")
        assert stage.condition("Ready")["status"] == "Unknown"
    finally:
        cluster.start_part("kubelet")
    until_all_ready(stage)
    stage.change({"spec": {"rollout": {"bakeTime": "1s"}}})
    stage.until_stable("1.1.0")
    assert stage.templates() == [stage.release("1.0.0"), stage.release("1.1.0")]
    assert stage.verdicts() == {"1.0.0": "Stable", "1.1.0": "Stable"}


def until_all_ready(stage: Stage) -> None:
    """Wait until both Pods of 1.1.0 are ready, and podpin knows."""

    def ready() -> bool:
        pods = stage.pods(stage.release("1.1.0")).values()
        return [is_ready(pod) for pod in pods] == [True, True]

    stage.until(ready, "two ready Pods of the candidate")
    stage.until_says("Progressing")
