"""Which version is taken, and which is passed over although the policy likes it best: on a real node and registry."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from tests.adapters.signatures.signing import pem
from tests.cluster.application import architecture, other_architecture
from tests.cluster.signatures import sign

from podpin.clock import now

if TYPE_CHECKING:
    from tests.e2e.stage import Stage
    from tests.e2e.world import Json

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]


def image(stage: Stage, **fields: Any) -> Json:
    """The entry of `spec.images`, with these fields."""
    repository = f"{stage.registry.address}/{stage.repository}"
    return {"container": "app", "repository": repository, "policy": {"semver": {"range": ">=1"}}, **fields}


def ago(**length: float) -> str:
    return (now() - timedelta(**length)).isoformat()


def test_a_version_that_no_node_could_run_is_passed_over(stage: Stage) -> None:
    stage.push("1.0.0")
    stage.apply(stage.rollout(workload={"replicas": 1}))
    stage.until_stable("1.0.0")
    stage.push("1.1.0", "wrong_platform")
    stage.look()
    stage.until(lambda: stage.condition("Resolved").get("reason") == "PlatformMissing", "the user to be told")
    told = stage.condition("Resolved")
    assert told["status"] == "True"
    assert (
        f"tag 1.1.0 has no image for linux/{architecture()}, which the nodes for this template need" in told["message"]
    )
    assert stage.condition("Ready")["reason"] == "RolledOut"
    stage.push("1.1.1", form="index")
    stage.look()
    stage.until_stable("1.1.1")
    assert len(stage.templates()) == 2
    assert set(stage.status()["images"][0]["platforms"]) == {f"linux/{architecture()}", f"linux/{other_architecture()}"}


def test_status_says_what_the_image_is_and_how_much_of_it_is_new(stage: Stage) -> None:
    stage.push("1.0.0", created="2026-03-01T12:00:00Z")
    stage.apply(stage.rollout(workload={"replicas": 1}))
    stage.until_stable("1.0.0")
    first = stage.status()["images"][0]
    assert first["created"] == "2026-03-01T12:00:00Z"
    assert first["sizeBytes"] > 500_000  # all of busybox
    assert "newBytes" not in first
    stage.push("1.1.0")
    stage.look()
    stage.until_stable("1.1.0")
    second = stage.status()["images"][0]
    assert 0 < second["newBytes"] < 10_000 < second["sizeBytes"]
    assert "created" not in second


def test_a_version_is_taken_when_it_is_old_enough(stage: Stage) -> None:
    stage.push("1.0.0", created=ago(hours=1))
    stage.apply(stage.rollout(images=[image(stage, minAge="20s")], workload={"replicas": 1}))
    stage.until_stable("1.0.0")
    stage.push("1.1.0", created=ago(seconds=0))
    stage.push("1.2.0")  # of unknown age
    stage.look()
    stage.until(lambda: stage.condition("Resolved").get("reason") == "TooYoung", "the user to be told")
    assert "tag 1.2.0 does not say when it was built" in stage.condition("Resolved")["message"]
    stage.until_stable("1.1.0", timeout=60)  # by itself, for the interval is a day


def test_a_tag_that_was_pushed_again_is_refused_where_tags_are_immutable(stage: Stage) -> None:
    first = stage.push("1.0.0", version="one")
    stage.apply(stage.rollout(images=[image(stage, immutableTags=True)], workload={"replicas": 1}))
    stage.until_stable("1.0.0")
    stage.push("1.0.0", version="two")
    stage.look()
    stage.until(lambda: stage.events("TagMoved"), "the warning")
    assert stage.events("TagMoved")[0]["type"] == "Warning"
    assert stage.status()["images"][0]["digest"] == first
    stage.push("1.0.1")
    stage.look()
    stage.until_stable("1.0.1")
    assert len(stage.templates()) == 2


def test_a_version_is_taken_when_it_is_signed_with_the_key_in_the_secret(stage: Stage) -> None:
    demanded = image(stage, verify=[{"cosign": {"publicKeySecret": "cosign"}}])
    first = stage.push("1.0.0")
    stage.apply(stage.rollout(images=[demanded], workload={"replicas": 1}))
    stage.until(lambda: stage.condition("Resolved").get("reason") == "SecretMissing", "the user to be told")
    stage.apply(
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "cosign"}, "stringData": {"cosign.pub": pem()}}
    )
    stage.look()
    stage.until(lambda: stage.condition("Verified").get("reason") == "NotVerified", "the user to be told")
    assert "Tag 1.0.0 has no signature" in stage.condition("Verified")["message"]
    assert stage.templates() == []
    sign(stage.registry, stage.repository, first)
    stage.look()
    stage.until_stable("1.0.0")
    assert stage.condition("Verified")["status"] == "True"
    second = stage.push("1.1.0")
    stage.look()
    stage.until(lambda: stage.events("NotVerified"), "the warning")
    assert stage.events("NotVerified")[0]["type"] == "Warning"
    assert stage.status()["images"][0]["digest"] == first
    assert stage.condition("Ready")["reason"] == "RolledOut"
    sign(stage.registry, stage.repository, second)
    stage.look()
    stage.until_stable("1.1.0")
    assert len(stage.templates()) == 2


def test_the_image_that_was_built_last_is_taken(stage: Stage) -> None:
    stage.push("f3a1", created=ago(hours=3))
    stage.push("09bc", created=ago(hours=2))
    stage.push("undated", "crash")
    stage.apply(stage.rollout(images=[image(stage, policy={"newest": {}})], workload={"replicas": 1}))
    stage.until_stable("09bc")
    stage.push("77de", "crash", created=ago(hours=4))
    stage.push("0000", created=ago(hours=1))
    stage.look()
    stage.until_stable("0000")
    assert stage.templates() == [stage.release("09bc"), stage.release("0000")]


def test_what_one_rollout_has_proven_another_takes(stage: Stage) -> None:
    stage.push("1.0.0")
    stage.apply(stage.rollout("first", workload={"replicas": 1}))
    policy = {"promote": {"from": {"namespace": stage.namespace, "name": "first"}, "healthyFor": "3s"}}
    stage.apply(stage.rollout("second", images=[image(stage, policy=policy)], workload={"replicas": 1}))
    stage.until_stable("1.0.0", name="second")

    stage.push("1.1.0", "crash")
    stage.look("first")
    stage.until_says("RolledBack", "CrashLooping", name="first")
    stage.push("1.2.0")
    stage.look("first")
    stage.until_stable("1.2.0", name="first")
    stage.until_stable("1.2.0", name="second")
    assert len(stage.templates("second")) == 2, "the second has never seen what the first one rejected"

    stage.kubectl("delete", "imagerollout", "first", "--wait=true")
    stage.until(lambda: stage.condition("Resolved", "second").get("reason") == "SourceMissing", "the user to be told")
    assert stage.condition("Ready", "second")["status"] == "True"
    assert len(stage.templates("second")) == 2
