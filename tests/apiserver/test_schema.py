"""What the user reads when the API server refuses a spec, and that it takes the good ones: the same table as for the
operator's parser, through a real `kubectl apply`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests import statuses
from tests.cluster.errors import ClusterError
from tests.specs import BAD, DIGEST, REPOSITORIES, Bad, adopting, full, good

from podpin.core.flaws import flaws_of
from podpin.core.status import parse_status, render_status

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.cluster.kubectl import Kubectl
    from tests.cluster.local import LocalCluster

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(120)]

CRD = Path(__file__).parent.parent.parent / "crds" / "imagerollouts.podpin.dev.yaml"
CHANGE = "make a new ImageRollout"


@pytest.fixture(scope="module")
def kubectl(control_plane: LocalCluster) -> Kubectl:
    control_plane.apply(CRD, "--server-side")
    control_plane.kubectl.serve("imagerollouts", "podpin.dev")
    return control_plane.kubectl


def rollout(spec: dict[str, Any], name: str = "web") -> dict[str, Any]:
    return {"apiVersion": "podpin.dev/v1alpha1", "kind": "ImageRollout", "metadata": {"name": name}, "spec": spec}


def refusal(kubectl: Kubectl, manifest: dict[str, Any]) -> str:
    """What kubectl says to a manifest that must not pass."""
    with pytest.raises(ClusterError) as refused:
        kubectl.apply(manifest, "--dry-run=server")
    return str(refused.value)


def stored(kubectl: Kubectl, spec: dict[str, Any], name: str) -> dict[str, Any]:
    """What the API server has made of a spec."""
    kubectl.apply(rollout(spec, name))
    answer: dict[str, Any] = kubectl.get("imagerollout", name)["spec"]
    return answer


def test_the_api_server_finds_nothing_to_object_to(kubectl: Kubectl) -> None:
    conditions = kubectl.get("crd", "imagerollouts.podpin.dev")["status"]["conditions"]
    assert {one["type"]: one["status"] for one in conditions} == {"NamesAccepted": "True", "Established": "True"}


def test_what_is_left_out_is_filled_in(kubectl: Kubectl) -> None:
    assert stored(kubectl, good(), "defaults") == {
        **good(),
        "images": [{**good()["images"][0], "immutableTags": False}],
        "registry": {"interval": "5m"},
        "suspend": False,
        "rollout": {"progressDeadline": "10m", "bakeTime": "30s", "prePull": False},
        "update": {"mode": "Auto"},
        "rollback": {"enabled": True},
        "workload": {**good()["workload"], "minReadySeconds": 0, "inPlace": False, "pinConfig": False},
    }


def test_a_spec_with_every_field_is_kept_whole(kubectl: Kubectl) -> None:
    assert stored(kubectl, full(), "whole") == full()


def test_a_null_is_as_good_as_nothing(kubectl: Kubectl) -> None:
    spec = good()
    spec["images"][0]["policy"]["tag"] = None
    spec["workload"] |= {"replicas": None, "selector": None, "strategy": None}
    kept = stored(kubectl, spec, "nulls")
    assert kept["images"] == [{**good()["images"][0], "immutableTags": False}]
    assert "replicas" not in kept["workload"]


@pytest.mark.parametrize("repository", REPOSITORIES)
def test_every_way_to_write_a_repository_passes(kubectl: Kubectl, repository: str) -> None:
    spec = good()
    spec["images"][0]["repository"] = repository
    kubectl.apply(rollout(spec), "--dry-run=server")


@pytest.mark.parametrize("bad", BAD, ids=lambda bad: bad.name)
def test_refuses_with_a_sentence_for_the_user_which_podpin_check_says_word_for_word(kubectl: Kubectl, bad: Bad) -> None:
    spec = good()
    bad.change(spec)
    said = refusal(kubectl, rollout(spec))
    assert bad.at in said
    assert bad.says in said
    told = [flaw.message for flaw in flaws_of(rollout(spec))]
    assert told
    assert [sentence for sentence in told if sentence not in said] == []


def test_one_mistake_brings_one_sentence(kubectl: Kubectl) -> None:
    spec = good()
    spec["images"][0]["repository"] = f"docker://R.io/Shop:1@{DIGEST}"
    said = refusal(kubectl, rollout(spec))
    assert said.count("repository must not carry") == 1
    assert "evaluation error" not in said


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (lambda spec: spec.update(suspended=True), "spec.suspended"),
        (lambda spec: spec["images"][0].update(platform="linux/amd64"), "spec.images[0].platform"),
        (lambda spec: spec["images"][0]["policy"].update(semvr={}), "spec.images[0].policy.semvr"),
        (lambda spec: spec.update(rollout={"baketime": "1m"}), "spec.rollout.baketime"),
        (lambda spec: spec["workload"].update(replica=3), "spec.workload.replica"),
        (lambda spec: spec["workload"]["template"].update(contianers=[]), "spec.workload.template.contianers"),
        (lambda spec: spec["workload"]["template"].update(metadata={"label": {}}),
         "spec.workload.template.metadata.label"),
    ],
)  # fmt: skip
def test_an_unknown_field_is_named(kubectl: Kubectl, change: Callable[[Any], object], field: str) -> None:
    spec = good()
    change(spec)
    assert f'unknown field "{field}"' in refusal(kubectl, rollout(spec))


def test_an_unknown_field_is_dropped_where_nobody_is_strict_and_those_of_the_pod_are_kept(kubectl: Kubectl) -> None:
    spec = good()
    spec["workload"]["template"]["spec"]["nodeSelector"] = {"disk": "ssd"}
    kubectl.apply(rollout({**spec, "suspended": True}, "lax"), "--validate=ignore")
    kept = kubectl.get("imagerollout", "lax")["spec"]
    assert "suspended" not in kept
    assert kept["workload"]["template"] == spec["workload"]["template"]


@pytest.mark.parametrize(
    ("before", "after", "says"),
    [
        ({"selector": {"matchLabels": {"app": "web"}}}, {"selector": {"matchLabels": {"tier": "front"}}},
         f"spec.workload.selector: Invalid value: selector cannot be changed: {CHANGE}"),
        ({"selector": {"matchLabels": {"app": "web"}}}, {},
         f"spec.workload: Invalid value: selector cannot be added or removed later: {CHANGE}"),
        ({}, {"selector": {"matchLabels": {"app": "web"}}},
         f"spec.workload: Invalid value: selector cannot be added or removed later: {CHANGE}"),
        ({}, {"kind": "StatefulSet"}, 'spec.workload.kind: Unsupported value: "StatefulSet"'),
    ],
    ids=["selector changed", "selector removed", "selector added", "kind changed"],
)  # fmt: skip
def test_what_cannot_change_says_so(
    kubectl: Kubectl, before: dict[str, Any], after: dict[str, Any], says: str, request: pytest.FixtureRequest
) -> None:
    name = "fixed-" + request.node.callspec.id.replace(" ", "-")
    spec = good()
    kubectl.apply(rollout({**spec, "workload": spec["workload"] | before}, name))
    assert says in refusal(kubectl, rollout({**spec, "workload": spec["workload"] | after}, name))


@pytest.mark.parametrize(
    ("after", "says"),
    [
        (adopting(name="other"), "spec.targetRef: Invalid value: targetRef cannot be changed"),
        (good(), "workload and targetRef cannot take each other's place later"),
    ],
    ids=["another target", "a workload instead"],
)
def test_a_target_cannot_change(kubectl: Kubectl, after: dict[str, Any], says: str) -> None:
    kubectl.apply(rollout(adopting(), "adopting"))
    assert f"{says}: {CHANGE}" in refusal(kubectl, rollout(after, "adopting"))


def test_a_name_must_fit_into_a_label(kubectl: Kubectl) -> None:
    kubectl.apply(rollout(good(), "a" * 63), "--dry-run=server")
    said = refusal(kubectl, rollout(good(), "a" * 64))
    assert "metadata.name must have at most 63 characters: it becomes a label of the Pods" in said


def test_a_rollout_does_not_depend_on_itself(kubectl: Kubectl) -> None:
    said = refusal(kubectl, rollout(good() | {"dependsOn": [{"name": "web"}]}, "web"))
    assert "spec.dependsOn names the rollout itself, which would wait for ever: take that out" in said


def test_the_largest_spec_is_not_too_dear_to_check(kubectl: Kubectl) -> None:
    names = [f"{'c' * 59}{number:03}" for number in range(64)]
    spec = full()
    spec["images"] = [
        {
            "container": name,
            "repository": f"{'registry.' * 10}example.com/{'shop/' * 30}web",
            "policy": {"semver": {"range": "1 || " * 51 + "2"}},
        }
        for name in names[:32]
    ]
    pod = spec["workload"]["template"]["spec"]
    pod["containers"] = [{"name": name, "image": "i" * 1024} for name in names]
    pod["initContainers"] = [{"name": f"i{name}", "image": "i" * 1024} for name in names]
    labels = {f"{'l' * 59}{number:03}": "v" * 63 for number in range(64)}
    spec["workload"]["template"]["metadata"] = {"labels": labels, "annotations": dict.fromkeys(labels, "v" * 500)}
    spec["workload"]["selector"] = {"matchLabels": dict(list(labels.items())[:8])}
    kubectl.apply(rollout(spec, "largest"), "--server-side", "--dry-run=server")


def test_an_autoscaler_finds_what_it_needs(kubectl: Kubectl) -> None:
    kubectl.apply(rollout(good(), "scaled"))
    say(kubectl, "scaled", {"replicas": 3, "selector": "podpin.dev/rollout=scaled"})
    kubectl("scale", "imagerollout/scaled", "--replicas=5")
    scale = json.loads(
        kubectl("get", "--raw", "/apis/podpin.dev/v1alpha1/namespaces/default/imagerollouts/scaled/scale")
    )
    assert scale["spec"] == {"replicas": 5}
    assert scale["status"] == {"replicas": 3, "selector": "podpin.dev/rollout=scaled"}
    assert kubectl.get("imagerollout", "scaled")["spec"]["workload"]["replicas"] == 5


def say(kubectl: Kubectl, name: str, status: dict[str, Any]) -> None:
    kubectl("patch", "imagerollout", name, "--subresource=status", "--type=merge", "-p", json.dumps({"status": status}))


def test_status_is_stored_as_it_was_written(kubectl: Kubectl) -> None:
    kubectl.apply(rollout(good(), "told"))
    say(kubectl, "told", render_status(statuses.full()))
    kept = kubectl.get("imagerollout", "told")["status"]
    assert kept == statuses.wire()
    assert parse_status(kept) == statuses.full()


def test_one_line_tells_what_runs_and_how_it_is(kubectl: Kubectl) -> None:
    kubectl.apply(rollout(good(), "line"))
    say(kubectl, "line", render_status(statuses.full()))
    heading, line = kubectl("get", "ir", "line").splitlines()
    assert heading.split() == ["NAME", "IMAGE", "DIGEST", "READY", "REASON", "PODS", "AGE"]
    assert line.split()[:-1] == ["line", "web:1.0.0", "0123456789ab", "Unknown", "Progressing", "3/3"]
    heading, line = kubectl("get", "podpin", "-o", "wide", "--field-selector=metadata.name=line").splitlines()
    assert heading.split()[-1] == "MESSAGE"
    assert line.endswith("trying release c3")


def test_a_rollout_can_be_waited_for(kubectl: Kubectl) -> None:
    kubectl.apply(rollout(good(), "waited"))
    ready = {**statuses.wire()["conditions"][0], "status": "True", "observedGeneration": 1}
    say(kubectl, "waited", {"observedGeneration": 1, "conditions": [ready]})
    kubectl("wait", "--for=condition=Ready", "--timeout=5s", "imagerollout/waited")


@pytest.mark.parametrize(
    "field", ["spec.images.policy.semver.range", "spec.rollout.bakeTime", "status.rejected.reason"]
)
def test_kubectl_explains_every_field(kubectl: Kubectl, field: str) -> None:
    told = kubectl("explain", f"imagerollout.{field}")
    assert "DESCRIPTION" in told
    assert "<empty>" not in told
