"""A release that is pulled onto a real node first: what the kubelet shows, and that nothing else has changed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from tests.cluster.application import other_architecture
from tests.cluster.images import push_app
from tests.e2e.faultproxy import Shot
from tests.e2e.stage import RELEASE
from tests.e2e.test_adoption import image_of, workload
from tests.e2e.test_crashes import played
from tests.e2e.world import version_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.cluster.application import Kind
    from tests.e2e.stage import Stage
    from tests.e2e.world import Json

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]

MISSING = "sha256:" + "0" * 64
PULLS = "podpin.dev/pulls-for"


def pulling(stage: Stage) -> dict[str, Json]:
    """The Pods that pull, and are there now."""
    return {name: pod for name, pod in stage.world.now("pods", stage.namespace).items() if is_puller(pod)}


def pulled(stage: Stage) -> list[list[Json]]:
    """The lives of all Pods that have ever pulled here."""
    return [life for life in stage.world.ever("pods", stage.namespace).values() if is_puller(life[0])]


def is_puller(pod: Json) -> bool:
    return PULLS in (pod["metadata"].get("labels") or {})


def past_the_pull(pod: Json) -> str | None:
    """Why its container was refused a start, once its image was there."""
    for part in pod["status"].get("containerStatuses", ()):
        (state,) = part["state"].values()
        if state.get("reason") in ("StartError", "CreateContainerConfigError"):
            return str(state["reason"])
    return None


def steady(stage: Stage, **changes: Any) -> frozenset[str]:
    """Version 1.0.0 is stable, and the next is to be pulled first; returns the names of its Pods."""
    stage.push("1.0.0")
    rollout = {"prePull": True, **changes.pop("rollout", {})}
    stage.apply(stage.rollout(rollout=rollout, **changes))
    stage.until_stable("1.0.0")
    return stage.serving()


@pytest.mark.parametrize(("kind", "user"), [("Deployment", ""), ("Pods", ""), ("Deployment", "1000")])
def test_a_version_is_on_the_node_before_anything_changes(stage: Stage, kind: str, user: str) -> None:
    stage.need("audit")
    steady(stage, workload={"kind": kind})
    begun = stage.mark()
    stage.push("1.1.0", user=user)
    stage.look()
    stage.until_stable("1.1.0")
    (life,) = pulled(stage)
    shown = next(pod for pod in life if past_the_pull(pod))
    assert past_the_pull(shown) == ("StartError" if user else "CreateContainerConfigError")
    release, every = stage.release("1.1.0"), stage.world.ever("pods", stage.namespace).values()
    news = [pods[0] for pods in every if pods[0]["metadata"]["labels"][RELEASE] == release and not is_puller(pods[0])]
    assert version_of(shown) < min(map(version_of, news)), "the image was there before the first Pod of the release"
    stage.until(lambda: not pulling(stage), "the Pod that pulled to be gone")
    stage.assert_pinned()
    wrote = [f"{one.verb} {one.resource}" for one in stage.writes(begun)]
    assert wrote[:2] == ["create pods", "patch imagerollouts"]
    assert not stage.events("NotPulled")


def test_a_statefulset_of_somebody_elses_is_pulled_for_as_well(stage: Stage) -> None:
    stage.push("1.0.0")
    stage.apply(workload(stage, "1.0.0", "StatefulSet", serviceName="front"))
    stage.kubectl("rollout", "status", "statefulset/front", "--timeout=120s")
    target = {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "front"}
    stage.apply(stage.rollout(workload=None, targetRef=target, rollout={"prePull": True}))
    stage.until_stable("1.0.0")
    before = image_of(stage, "statefulset")
    stage.push("1.1.0", "wrong_platform")
    stage.change(
        {"spec": {"images": [{**stage.object()["spec"]["images"][0], "platforms": [f"linux/{other_architecture()}"]}]}}
    )
    stage.look()
    stage.until_says("RolledBack", "WrongPlatform")
    assert image_of(stage, "statefulset") == before
    assert len(pulled(stage)) == 1


def missing(stage: Stage, rollout: Json) -> None:
    """Another digest is wanted, which no registry has."""
    rollout["spec"]["images"][0]["policy"] = {"digest": {"value": MISSING}}
    stage.apply(rollout)


def foreign(stage: Stage, rollout: Json) -> None:
    """The next version is for another platform, as the spec demands."""
    stage.push("1.1.0", "wrong_platform")
    rollout["spec"]["images"][0]["platforms"] = [f"linux/{other_architecture()}"]
    stage.apply(rollout)


def incomplete(stage: Stage, rollout: Json) -> None:
    """The registry has lost a layer of the next version, though not its manifest."""
    stage.push("1.1.0", version=stage.namespace)
    manifest = json.loads(stage.registry.manifest(stage.repository, "1.1.0")[1])
    stage.registry.ask("DELETE", f"/v2/{stage.repository}/blobs/{manifest['layers'][-1]['digest']}")
    stage.apply(rollout)
    stage.look()


def denied(stage: Stage, rollout: Json) -> None:
    """The next version is in a registry into which podpin is let and the node is not."""
    stage.need("private-registry")
    private = stage.cluster.private_registry
    push_app(private, stage.repository, "1.1.0")
    stage.apply([private.pull_secret("looks", stage.namespace), private.ca_secret("ca", stage.namespace)])
    rollout["spec"]["images"][0]["repository"] = f"{private.address}/{stage.repository}"
    rollout["spec"]["registry"] |= {"pullSecrets": [{"name": "looks"}], "caSecret": {"name": "ca"}}
    stage.apply(rollout)


@pytest.mark.parametrize(
    ("break_it", "reason", "words"),
    [
        pytest.param(missing, "ImageNotFound", "no such image", id="it is missing"),
        pytest.param(foreign, "WrongPlatform", "no variant for the platform", id="it is for another platform"),
        pytest.param(
            incomplete, "ProgressDeadlineExceeded", "registry has not confirmed", id="a layer of it is missing"
        ),
        pytest.param(denied, "ProgressDeadlineExceeded", "imagePullSecrets", id="the node may not pull it"),
    ],
)
def test_what_cannot_be_had_is_rejected_and_nothing_was_touched(
    stage: Stage, break_it: Callable[[Stage, Json], None], reason: str, words: str
) -> None:
    serving = steady(stage, rollout={"progressDeadline": "15s"})
    generation, begun = stage.deployment()["metadata"]["generation"], stage.mark()
    break_it(stage, stage.rollout(rollout={"prePull": True, "progressDeadline": "15s"}))
    stage.until_says("RolledBack", words)
    (rejected,) = stage.status()["rejected"]
    assert rejected["reason"] == reason
    assert stage.deployment()["metadata"]["generation"] == generation
    assert len(stage.replica_sets()) == 1
    stage.assert_untouched(serving)
    stage.until(lambda: not pulling(stage), "the Pod that pulled to be gone")
    assert len(pulled(stage)) == 1
    wrote = [f"{one.verb} {one.resource}" for one in stage.writes(begun)]
    assert "patch deployments" not in wrote
    assert len(wrote) <= 7, f"status, a Pod, status, perhaps what is in the way, record, its end, status: {wrote}"


def test_a_broken_entrypoint_is_for_the_trial_to_find(stage: Stage) -> None:
    kind: Kind = "missing_binary"
    serving = steady(stage)
    stage.push("1.1.0", kind)
    stage.look()
    stage.until_says("RolledBack", "CannotStart")
    stage.assert_untouched(serving)
    assert len(pulled(stage)) == 1


def test_a_strict_namespace_lets_the_pod_in_and_a_quota_that_does_not_holds_nothing_up(stage: Stage) -> None:
    steady(stage, workload={"replicas": 1})
    stage.kubectl("label", "namespace", stage.namespace, "pod-security.kubernetes.io/enforce=restricted")
    stage.push("1.1.0")
    stage.look()
    stage.until_says("PodsNotCreated", "PodSecurity")
    assert len(pulled(stage)) == 1, "the release's own Pods are refused, that which pulled it was not"
    stage.kubectl("label", "namespace", stage.namespace, "pod-security.kubernetes.io/enforce-")
    stage.until_stable("1.1.0", timeout=200)
    stage.kubectl("create", "quota", "full", "--hard=pods=1")
    stage.push("1.2.0")
    stage.look()
    stage.until(lambda: stage.events("NotPulled"), "podpin to say that it could not pull")
    assert "exceeded quota" in stage.events("NotPulled")[0]["message"]
    stage.kubectl("delete", "quota", "full")
    stage.until_stable("1.2.0", timeout=200)


def test_it_is_given_up_when_it_is_paused_and_goes_with_the_rollout(stage: Stage) -> None:
    steady(stage)
    slow = stage.rollout(rollout={"prePull": True})
    denied(stage, slow)
    stage.until_says("PrePulling", "imagePullSecrets")
    stage.annotate("pause", "incident")
    stage.until_says("Paused")
    stage.until(lambda: not pulling(stage), "the Pod to be gone while paused")
    stage.change({"metadata": {"annotations": {"podpin.dev/pause": None}}})
    stage.until(lambda: pulling(stage), "it to be made again")
    stage.kubectl("delete", "imagerollout", "web")
    stage.until(lambda: not stage.world.now("pods", stage.namespace), "everything to be collected")


@pytest.mark.parametrize("number", range(1, 6))
@pytest.mark.parametrize("kind", ["good", "wrong_platform"])
def test_a_death_at_any_write_leaves_no_pod_behind(bare_stage: Stage, kind: Kind, number: int) -> None:
    stage = bare_stage
    with played(stage) as (podpin, proxy):
        manifest = stage.rollout(rollout={"prePull": True}, workload={"replicas": 1})
        stage.push("1.0.0")
        stage.apply(manifest)
        stage.until_stable("1.0.0")
        proxy.aim(Shot(number, "after"))
        stage.push("1.1.0", kind)
        if kind == "wrong_platform":
            manifest["spec"]["images"][0]["platforms"] = [f"linux/{other_architecture()}"]
            stage.apply(manifest)
        else:
            stage.annotate("reconcile", "now")
        verdict, reason = ("Stable", "RolledOut") if kind == "good" else ("WrongPlatform", "RolledBack")

        def over() -> bool:
            if not podpin.runs:
                podpin.start(wait=False)
            ready = stage.condition("Ready")
            return ready.get("reason") == reason and ":1.1.0@" in ready["message"] and podpin.runs

        stage.until(over, "the end", timeout=200)
        assert not proxy.missed
        stage.until(lambda: not pulling(stage), "no Pod that pulls to be left")
        assert stage.verdicts() == {"1.0.0": "Stable", "1.1.0": verdict}
        assert len(stage.templates()) == (2 if kind == "good" else 1)
        stage.assert_pinned()
