"""A canary on a real node: a few Pods behind the same Service, judged alone before anything else is touched."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from tests.e2e.stage import both_kinds, stays
from tests.e2e.test_adoption import adopting, workload

if TYPE_CHECKING:
    from tests.cluster.application import Kind
    from tests.e2e.stage import Stage
    from tests.e2e.world import Json

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]

STEPS = {"steps": [{"replicas": 1, "bakeTime": "2s"}, {"percent": 100, "bakeTime": "1s", "pause": True}]}


def canary(stage: Stage) -> Json:
    """The canary's Deployment now, or an empty one."""
    return stage.deployment("web-canary")


def few(stage: Stage) -> dict[str, Json]:
    """The canary's Pods."""
    return {name: pod for name, pod in stage.pods().items() if "podpin.dev/track" in pod["metadata"]["labels"]}


def steady(stage: Stage, kind: str = "Deployment", **terms: object) -> frozenset[str]:
    """Version 1.0.0 is stable; returns the names of its Pods."""
    stage.push("1.0.0")
    stage.apply(stage.rollout(rollout=terms, workload={"kind": kind}))
    stage.until_stable("1.0.0")
    return stage.serving()


@both_kinds
def test_a_version_goes_from_step_to_step_waits_for_approval_and_takes_over(stage: Stage, kind: str) -> None:
    serving = steady(stage, kind, canary=STEPS)
    service = {"kind": "Service", "apiVersion": "v1", "metadata": {"name": "web", "namespace": stage.namespace}}
    stage.cluster.apply({**service, "spec": {"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": 8080}]}})
    stage.push("1.1.0")
    stage.look()
    ready = stage.until_says("AwaitingApproval", ":1.1.0@")
    assert ready["status"] == "True"
    release = stage.release("1.1.0")
    assert f"podpin.dev/approve={release}/2" in ready["message"]
    assert len(few(stage)) == 2
    assert (
        stage.status()["candidate"]["canary"] | {"step": 2, "of": 2, "replicas": 2}
        == stage.status()["candidate"]["canary"]
    )
    stage.until(lambda: len(endpoints(stage)) == 4, "the Service to send to stable Pods and canary alike")
    stage.assert_untouched(serving)
    stays(3, lambda: canary(stage) != {}, "nobody approves, so nothing goes on")
    assert (
        stage.status()["running"] | {"image": "web:1.0.0", "ready": "2/2", "trying": "web:1.1.0"}
        == stage.status()["running"]
    )

    stage.annotate("approve", f"{release}/2")
    stage.until_stable("1.1.0")
    stage.until(lambda: not canary(stage) and not few(stage), "the canary to be gone")
    assert stage.verdicts() == {"1.0.0": "Stable", "1.1.0": "Stable"}
    assert len(stage.templates()) == 2, "the workload was moved once"
    stage.assert_pinned()


@both_kinds
@pytest.mark.parametrize(
    ("bad", "reason"), [("missing_binary", "CannotStart"), ("unready", "ProgressDeadlineExceeded")]
)
def test_a_bad_version_goes_with_its_canary_and_the_workload_was_never_touched(
    stage: Stage, bad: Kind, reason: str, kind: str
) -> None:
    stage.need("audit")
    serving = steady(stage, kind, canary={"replicas": 1}, progressDeadline="6s")
    before, begun = stage.templates(), stage.mark()
    stage.push("1.1.0", bad)
    stage.look()
    ready = stage.until_says("RolledBack", ":1.1.0@")
    assert ready["status"] == "True"
    assert stage.verdicts() == {"1.0.0": "Stable", "1.1.0": reason}
    stage.until(lambda: not canary(stage) and not few(stage), "the canary to be gone")
    stage.assert_untouched(serving)
    assert stage.templates() == before
    wrote = [f"{one.verb} {one.resource}" for one in stage.writes(begun)]
    assert wrote.count("delete deployments") == 1
    assert len(wrote) <= 7, f"record, canary, status, verdict, removal, status, and one for what was learned: {wrote}"


def test_a_canary_stands_beside_an_adopted_deployment_as_its_author_has_it(stage: Stage) -> None:
    stage.push("1.0.0")
    stage.apply(workload(stage, "1.0.0"))
    stage.kubectl("rollout", "status", "deployment/front", "--timeout=60s")
    terms = {"canary": {"replicas": 1, "bakeTime": "2s"}, "progressDeadline": "20s"}
    stage.apply(adopting(stage, rollout=terms))
    stage.until_stable("1.0.0")
    generation, serving = stage.deployment("front")["metadata"]["generation"], stage.serving()
    stage.push("1.1.0", "missing_binary")
    stage.look()
    stage.until_says("RolledBack", ":1.1.0@")
    assert stage.verdicts() == {"1.0.0": "Stable", "1.1.0": "CannotStart"}
    stage.until(lambda: not canary(stage) and not few(stage), "the canary to be gone")
    stage.assert_untouched(serving)
    assert stage.deployment("front")["metadata"]["generation"] == generation
    stage.push("1.2.0")
    stage.look()
    (pod,) = stage.until(lambda: few(stage).values(), "the canary's Pod")
    assert pod["metadata"]["labels"]["app"] == "front", "it stands behind the Services of the others"
    assert pod["spec"]["containers"][0]["env"] == [{"name": "A", "value": "1"}]
    stage.until_stable("1.2.0")
    stage.until(lambda: not canary(stage) and not few(stage), "the canary to be gone")
    stage.assert_pinned()


@both_kinds
def test_scaling_the_workload_disturbs_no_canary_and_a_canary_no_scaling(stage: Stage, kind: str) -> None:
    steady(stage, kind, canary={"percent": 50, "bakeTime": "6s"})
    stage.push("1.1.0")
    stage.look()
    stage.until(lambda: canary(stage), "the canary")
    stage.change({"spec": {"workload": {"replicas": 4}}})
    stage.until(lambda: len(stage.pods()) == 5, "four Pods and the canary's one")
    assert canary(stage)["spec"]["replicas"] == 1
    stage.until_stable("1.1.0")
    assert len(stage.pods()) == 4
    assert {generation(body) for body in stage.world.history("deployments", stage.namespace, "web-canary")} == {1}


@both_kinds
def test_a_canary_is_given_up_for_a_newer_version_and_when_a_person_says_so(stage: Stage, kind: str) -> None:
    serving = steady(stage, kind, canary={"replicas": 1, "bakeTime": "10m"})
    for version in ("1.1.0", "1.2.0"):
        stage.push(version)
        stage.look()
        stage.until(lambda: f":{version}@" in json.dumps(canary(stage)), f"a canary of {version}")  # noqa: B023
    stage.annotate("rollback-to", "previous")
    stage.until_says("RolledBack", "a person asked to go back")
    stage.until(lambda: not canary(stage), "the canary to be gone")
    stage.assert_untouched(serving)
    assert stage.verdicts() == {"1.0.0": "Stable", "1.1.0": "", "1.2.0": "RollbackRequested"}


def test_a_deployment_that_has_the_canarys_name_already_is_left_alone(stage: Stage) -> None:
    serving = steady(stage, canary={"replicas": 1})
    stage.kubectl("create", "deployment", "web-canary", "--image=x", "--replicas=0")
    before = stage.until(lambda: canary_by_hand(stage)["metadata"]["uid"], "it to be there")
    stage.push("1.1.0")
    stage.look()
    stage.until_says("WorkloadConflict", "a Deployment named web-canary exists and is not this rollout's")
    stage.assert_untouched(serving)
    assert canary_by_hand(stage)["metadata"]["uid"] == before
    stage.kubectl("delete", "deployment", "web-canary")
    stage.look()
    stage.until_stable("1.1.0")


def canary_by_hand(stage: Stage) -> Json:
    """The Deployment of the canary's name, asked of the API server."""
    found: Json = stage.cluster.kubectl.get("deployment", "web-canary", "-n", stage.namespace)
    return found


def generation(body: Json) -> int:
    """Of which writing of its spec this is."""
    return int(body["metadata"]["generation"])


def endpoints(stage: Stage) -> list[str]:
    """The addresses that the Service sends to."""
    slices = stage.cluster.kubectl.get("endpointslices", "-n", stage.namespace, "-l", "kubernetes.io/service-name=web")[
        "items"
    ]
    return [
        address
        for one in slices
        for endpoint in one.get("endpoints") or ()
        if endpoint["conditions"].get("ready")
        for address in endpoint["addresses"]
    ]
