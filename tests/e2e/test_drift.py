"""Who else writes to the workload: what podpin applied is put back, what it left out is respected."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.e2e.stage import Stage

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]


def test_an_image_set_by_hand_is_put_back(stage: Stage) -> None:
    stage.push("1.0.0")
    other = stage.push("0.9.0")
    stage.apply(stage.rollout())
    stage.until_stable("1.0.0")
    image = f"{stage.registry.address}/{stage.repository}"
    stage.kubectl("set", "image", "deployment/web", f"app={image}@{other}")

    def mended() -> bool:
        images = [
            body["spec"]["template"]["spec"]["containers"][0]["image"]
            for body in stage.world.history("deployments", stage.namespace, "web")
        ]
        return any(other in one for one in images) and other not in images[-1]

    stage.until(mended, "podpin to put its own image back")
    stage.until_stable("1.0.0")
    stage.until(lambda: len(stage.serving()) == 2, "the stable release's Pods")
    assert len(stage.events("Progressing")) == 1, "the same release is not tried again"


def test_undoing_a_rollout_behind_podpins_back_is_undone(stage: Stage) -> None:
    stage.push("1.0.0")
    stage.apply(stage.rollout())
    stage.until_stable("1.0.0")
    stage.push("1.1.0")
    stage.look()
    stage.until_stable("1.1.0")
    stage.kubectl("rollout", "undo", "deployment/web")
    old, new = stage.release("1.0.0"), stage.release("1.1.0")
    stage.until(lambda: stage.templates() == [old, new, old, new], "podpin to go forward again")
    stage.until_stable("1.1.0")
    assert stage.verdicts() == {"1.0.0": "Stable", "1.1.0": "Stable"}


def test_a_deployment_that_somebody_deletes_is_made_again(stage: Stage) -> None:
    stage.push("1.0.0")
    stage.apply(stage.rollout())
    stage.until_stable("1.0.0")
    uid = stage.deployment()["metadata"]["uid"]
    stage.kubectl("delete", "deployment", "web", "--wait=false")
    stage.until(lambda: stage.deployment()["metadata"]["uid"] != uid, "another Deployment")
    stage.until_stable("1.0.0")
    assert stage.verdicts() == {"1.0.0": "Stable"}


def test_what_others_add_to_the_deployment_stays_and_costs_no_write(stage: Stage) -> None:
    stage.need("audit")
    stage.push("1.0.0")
    stage.apply(stage.rollout())
    stage.until_stable("1.0.0")
    before = stage.mark()
    stage.kubectl("annotate", "deployment", "web", "example.com/owner=me")
    stage.kubectl("patch", "deployment", "web", "--type=merge", "-p", json.dumps({"spec": {"revisionHistoryLimit": 3}}))
    stage.look()
    assert [(one.resource, one.subresource) for one in stage.writes(before)] == [("imagerollouts", "status")]
    deployment = json.loads(stage.kubectl("get", "deployment", "web", "-o", "json"))
    assert deployment["metadata"]["annotations"]["example.com/owner"] == "me"
    assert deployment["spec"]["revisionHistoryLimit"] == 3


def test_an_autoscaler_may_own_the_replicas(stage: Stage) -> None:
    stage.need("audit")
    stage.push("1.0.0")
    stage.apply(stage.rollout(workload={"replicas": None}))
    stage.until_stable("1.0.0")
    before = stage.mark()
    stage.kubectl("scale", "deployment/web", "--replicas=3")
    stage.until(lambda: stage.status()["readyReplicas"] == 3, "three Pods to be counted")
    assert {(one.resource, one.subresource) for one in stage.writes(before)} == {("imagerollouts", "status")}
    stage.push("1.1.0")
    stage.look()
    stage.until_stable("1.1.0")
    assert stage.deployment()["spec"]["replicas"] == 3
    assert len(stage.serving()) == 3


def test_the_rollout_itself_can_be_scaled(stage: Stage) -> None:
    stage.push("1.0.0")
    stage.apply(stage.rollout(workload={"replicas": 1}))
    stage.until_stable("1.0.0")
    serving = stage.serving()
    stage.kubectl("scale", "ir/web", "--replicas=3")
    stage.until(lambda: stage.status()["readyReplicas"] == 3, "three Pods")
    stage.until_stable("1.0.0")
    stage.assert_untouched(serving)
    scale = json.loads(stage.kubectl("get", "ir", "web", "--subresource=scale", "-o", "json"))
    assert scale["status"] == {"replicas": 3, "selector": "podpin.dev/rollout=web"}
    stage.kubectl("scale", "ir/web", "--replicas=0")
    stage.until_says("ScaledToZero")
    assert len(stage.templates()) == 1
