"""Workloads that somebody else has made: podpin pins their images, judges, goes back, and leaves the rest alone."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.e2e.stage import Stage
    from tests.e2e.world import Json

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]

PROBE = {"httpGet": {"path": "/healthz", "port": 8080}, "periodSeconds": 1, "failureThreshold": 1}


def workload(stage: Stage, tag: str, kind: str = "Deployment", **fields: Any) -> Json:
    """A workload as its author writes it, with a tag."""
    container = {
        "name": "app",
        "image": f"{stage.registry.address}/{stage.repository}:{tag}",
        "readinessProbe": PROBE,
        "env": [{"name": "A", "value": "1"}],
    }
    template = {
        "metadata": {"labels": {"app": "front"}},
        "spec": {"terminationGracePeriodSeconds": 1, "containers": [container]},
    }
    spec = {"replicas": 2, "selector": {"matchLabels": {"app": "front"}}, "template": template, **fields}
    return {"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": "front"}, "spec": spec}


def adopting(stage: Stage, kind: str = "Deployment", api: str = "apps/v1", name: str = "web", **spec: Any) -> Json:
    """A rollout that takes the workload over."""
    target = {"apiVersion": api, "kind": kind, "name": "front"}
    return stage.rollout(name, workload=None, targetRef=target, **spec)


def image_of(stage: Stage, kind: str = "deployment") -> str:
    """What image the workload's template names now."""
    body = json.loads(stage.kubectl("get", kind, "front", "-o", "json"))["spec"]
    template = body["jobTemplate"]["spec"]["template"] if kind == "cronjob" else body["template"]
    return str(template["spec"]["containers"][0]["image"])


def owned_by_podpin(stage: Stage, kind: str = "deployment") -> Json:
    """The fields of the workload that podpin owns."""
    body = json.loads(stage.kubectl("get", kind, "front", "-o", "json", "--show-managed-fields"))
    (mine,) = [one["fieldsV1"] for one in body["metadata"]["managedFields"] if one["manager"] == "podpin"]
    fields: Json = mine
    return fields


def test_a_deployment_is_pinned_moved_and_rolled_back_and_its_author_goes_on_writing_it(stage: Stage) -> None:
    first = stage.push("1.0.0")
    stage.apply(workload(stage, "1.0.0"))
    stage.kubectl("rollout", "status", "deployment/front", "--timeout=60s")
    second = stage.push("1.1.0", "crash")
    stage.apply(adopting(stage))
    # The first choice is bad: what ran before adoption is known exactly, and comes back.
    stage.until_says("RolledBack", ":1.1.0@")
    assert image_of(stage) == f"{stage.registry.address}/{stage.repository}:1.0.0@{first}"
    assert stage.verdicts() == {"1.0.0": "Stable", "1.1.0": "CrashLooping"}
    third = stage.push("1.2.0")
    assert len({first, second, third}) == 3
    stage.look()
    stage.until_stable("1.2.0")
    pinned = f"{stage.registry.address}/{stage.repository}:1.2.0@{third}"
    assert image_of(stage) == pinned
    marks: Json = {"f:podpin.dev/release": {}, "f:podpin.dev/rollout": {}}
    assert owned_by_podpin(stage) == {
        "f:metadata": {
            "f:annotations": {"f:podpin.dev/intent": {}},
            "f:labels": {"f:podpin.dev/rollout": {}},
        },
        "f:spec": {
            "f:template": {
                "f:metadata": {"f:labels": marks},
                "f:spec": {"f:containers": {'k:{"name":"app"}': {".": {}, "f:image": {}, "f:name": {}}}},
            }
        },
    }
    # The author applies the manifest again: three replicas, another setting, and the old tag.
    changed = workload(stage, "1.0.0", replicas=3)
    changed["spec"]["template"]["spec"]["containers"][0]["env"][0]["value"] = "2"
    stage.apply(changed)
    stage.until(lambda: image_of(stage) == pinned, "podpin to put its image back")
    stage.until_says("RolledOut")
    stage.kubectl("rollout", "status", "deployment/front", "--timeout=60s")
    live = stage.deployment("front")["spec"]
    assert live["replicas"] == 3
    assert live["template"]["spec"]["containers"][0]["env"] == [{"name": "A", "value": "2"}]
    assert stage.events("DriftCorrected")
    stage.until(lambda: stage.status()["running"]["ready"] == "3/3", "the new Pod to be counted")
    # Letting go leaves it as it is.
    stage.kubectl("delete", "imagerollout", "web", "--timeout=30s")
    stage.until(lambda: not stage.world.now("records", stage.namespace), "the records to be collected")
    assert image_of(stage) == pinned


def test_the_second_rollout_for_one_workload_is_refused_until_the_first_is_gone(stage: Stage) -> None:
    stage.push("1.0.0")
    stage.apply(workload(stage, "1.0.0"))
    stage.apply(adopting(stage))
    stage.until_stable("1.0.0")
    stage.apply(adopting(stage, name="other"))
    said = stage.until_says("WorkloadConflict", "has the ImageRollout web already", name="other")
    assert said["status"] == "False"
    stage.kubectl("delete", "imagerollout", "web", "--timeout=30s")
    stage.until_stable("1.0.0", name="other")


def test_what_is_not_there_yet_is_waited_for(stage: Stage) -> None:
    stage.push("1.0.0")
    stage.apply(adopting(stage))
    stage.until_says("TargetNotFound", "there is no Deployment front")
    body = workload(stage, "1.0.0")
    body["spec"]["template"]["spec"]["containers"][0]["name"] = "server"
    stage.apply(body)
    stage.until_says("ContainerNotFound", "it has server")
    stage.kubectl("delete", "deployment", "front")
    stage.apply(workload(stage, "1.0.0"))
    stage.until_stable("1.0.0")


@pytest.mark.parametrize("policy", ["OrderedReady", "Parallel"])
def test_a_stateful_set_that_waits_for_a_broken_pod_is_really_rolled_back(stage: Stage, policy: str) -> None:
    first = stage.push("1.0.0")
    stage.apply(workload(stage, "1.0.0", "StatefulSet", serviceName="front", podManagementPolicy=policy))
    stage.apply(adopting(stage, "StatefulSet"))
    stage.until_stable("1.0.0")
    serving = stage.pods()
    assert set(serving) == {"front-0", "front-1"}
    stage.push("1.1.0", "crash")
    stage.look()
    stage.until_says("RolledBack", ":1.1.0@")
    stage.until(lambda: stage.status()["running"]["ready"] == "2/2", "the StatefulSet to be whole again")
    assert image_of(stage, "statefulset") == f"{stage.registry.address}/{stage.repository}:1.0.0@{first}"
    # With Parallel its controller goes on by itself, and one of the two is the first.
    assert len(stage.events("Unstuck")) in ((1,) if policy == "OrderedReady" else (0, 1))
    # Pod 0 was never touched: the StatefulSet begins with the last one, which alone was broken and removed.
    assert stage.pods()["front-0"]["metadata"]["uid"] == serving["front-0"]["metadata"]["uid"]
    stage.push("1.2.0")
    stage.look()
    stage.until_stable("1.2.0")
    assert stage.verdicts()["1.1.0"] == "CrashLooping"


def test_a_daemon_set_is_pinned_and_rolled_back(stage: Stage) -> None:
    first = stage.push("1.0.0")
    body = workload(stage, "1.0.0", "DaemonSet")
    del body["spec"]["replicas"]
    stage.apply(body)
    stage.apply(adopting(stage, "DaemonSet"))
    stage.until_stable("1.0.0")
    stage.push("1.1.0", "crash")
    stage.look()
    stage.until_says("RolledBack", ":1.1.0@")
    assert image_of(stage, "daemonset") == f"{stage.registry.address}/{stage.repository}:1.0.0@{first}"
    stage.until(lambda: stage.status()["running"]["ready"] == "1/1", "its Pod to be ready again")


def test_what_moves_only_when_its_author_wants_it_is_not_blamed(stage: Stage) -> None:
    stage.push("1.0.0")
    strategy = {"type": "OnDelete"}
    stage.apply(workload(stage, "1.0.0", "StatefulSet", serviceName="front", updateStrategy=strategy))
    stage.until(lambda: len([one for one in stage.pods() if one.startswith("front-")]) == 2, "both Pods")
    stage.apply(adopting(stage, "StatefulSet"))
    stage.until_says("HeldByStrategy", "OnDelete")
    stage.kubectl("delete", "pod", "front-0", "front-1")
    stage.until_stable("1.0.0")


def test_a_cron_job_is_pinned_and_its_release_counts_as_stable(stage: Stage) -> None:
    first = stage.push("1.0.0")
    container = {"name": "app", "image": f"{stage.registry.address}/{stage.repository}:1.0.0"}
    job = {"spec": {"template": {"spec": {"restartPolicy": "Never", "containers": [container]}}}}
    spec = {"schedule": "0 0 1 1 *", "suspend": True, "jobTemplate": job}
    stage.apply({"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "front"}, "spec": spec})
    stage.apply(adopting(stage, "CronJob", "batch/v1"))
    stage.until_stable("1.0.0")
    assert image_of(stage, "cronjob") == f"{stage.registry.address}/{stage.repository}:1.0.0@{first}"
    second = stage.push("1.1.0")
    stage.look()
    stage.until_stable("1.1.0")
    assert image_of(stage, "cronjob") == f"{stage.registry.address}/{stage.repository}:1.1.0@{second}"
    live = json.loads(stage.kubectl("get", "cronjob", "front", "-o", "json"))["spec"]
    assert (live["suspend"], live["schedule"]) == (True, "0 0 1 1 *")
