"""What `podpin init` proposes for a workload: a manifest with which nothing is wrong, and which changes nothing."""

from __future__ import annotations

from copy import deepcopy
from typing import Any, Final

import pytest
import yaml
from tests.specs import DIGEST

from podpin.core.flaws import flaws_of
from podpin.core.kinds import KINDS
from podpin.core.policy.guess import KINDS as KINDS_OF_POLICIES
from podpin.core.proposal import NotProposable, Wishes, propose

Json = dict[str, Any]

WRITTEN: Final[Json] = {
    "metadata": {"labels": {"app": "web"}, "annotations": {"note": "kept"}},
    "spec": {
        "containers": [
            {
                "name": "app",
                "image": "registry.example.com:5000/shop/web:v1.4.2",
                "ports": [{"containerPort": 8080}],
                "readinessProbe": {"httpGet": {"path": "/healthz", "port": 8080}, "periodSeconds": 2},
                "env": [{"name": "COUNT", "value": "5"}],
            }
        ],
        "serviceAccountName": "web",
        "volumes": [{"name": "settings", "configMap": {"name": "settings"}}],
    },
}
"""A Pod template as somebody wrote it."""


def live(template: Json) -> Json:
    """The template as the API server shows it."""
    body = deepcopy(template)
    body["metadata"] |= {"creationTimestamp": None}
    body["metadata"]["annotations"] |= {"kubectl.kubernetes.io/restartedAt": "2026-01-01T00:00:00Z"}
    body["spec"] |= {
        "dnsPolicy": "ClusterFirst", "restartPolicy": "Always", "schedulerName": "default-scheduler",
        "securityContext": {}, "terminationGracePeriodSeconds": 30, "serviceAccount": "web",
    }  # fmt: skip
    for container in body["spec"]["containers"]:
        container |= {
            "imagePullPolicy": "IfNotPresent", "resources": {}, "terminationMessagePath": "/dev/termination-log",
            "terminationMessagePolicy": "File",
        }  # fmt: skip
        container["ports"][0]["protocol"] = "TCP"
        container["readinessProbe"] |= {"failureThreshold": 3, "successThreshold": 1, "timeoutSeconds": 1}
        container["readinessProbe"]["httpGet"]["scheme"] = "HTTP"
    body["spec"]["volumes"][0]["configMap"]["defaultMode"] = 420
    return body


def workload(kind: str = "Deployment", template: Json | None = None, **spec: Any) -> Json:
    template = deepcopy(WRITTEN) if template is None else template
    body = KINDS[kind].around(template)
    body["spec"] |= spec
    return {
        "apiVersion": KINDS[kind].api_version,
        "kind": kind,
        "metadata": {"name": "web", "namespace": "shop"},
        **body,
    }


def with_image(image: str) -> Json:
    template = deepcopy(WRITTEN)
    template["spec"]["containers"][0]["image"] = image
    return workload(template=template)


def proposed(body: Json, **wishes: Any) -> Json:
    text = propose(body, Wishes(**wishes))
    manifest: Json = yaml.safe_load(text)
    assert [flaw.message for flaw in flaws_of(manifest)] == []
    assert all(len(line) <= 120 for line in text.splitlines())
    return manifest


def test_a_workload_of_its_own_has_the_template_without_the_image() -> None:
    manifest = proposed(workload(replicas=3))
    template = deepcopy(WRITTEN)
    del template["spec"]["containers"][0]["image"]
    assert manifest["metadata"] == {"name": "web", "namespace": "shop"}
    assert manifest["spec"] == {
        "images": [
            {
                "container": "app",
                "repository": "registry.example.com:5000/shop/web",
                "policy": {"semver": {"range": "^1.4.2"}},
            }
        ],
        "rollout": {"progressDeadline": "10m", "bakeTime": "30s"},
        "workload": {"kind": "Deployment", "replicas": 3, "template": template},
    }


def test_what_the_api_server_added_by_itself_is_left_out_again() -> None:
    assert proposed(workload(template=live(WRITTEN))) == proposed(workload())


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_that_can_be_adopted_is(kind: str) -> None:
    spec = proposed(workload(kind), adopt=True)["spec"]
    assert spec["targetRef"] == {"apiVersion": KINDS[kind].api_version, "kind": kind, "name": "web"}
    assert "workload" not in spec
    assert [image["container"] for image in spec["images"]] == ["app"]


def test_what_podpin_does_not_make_is_adopted_unasked_and_that_is_said() -> None:
    text = propose(workload("StatefulSet"), Wishes())
    assert "targetRef:" in text
    assert "podpin makes no StatefulSet of its own, but it can adopt this one." in text


def test_every_line_of_podpins_own_that_decides_something_says_what() -> None:
    text = propose(workload(minReadySeconds=5), Wishes())
    own = text.partition("    template:")[0].partition("spec:\n")[2].splitlines()
    silent = [line.strip() for line in own if "#" not in line]
    assert silent == ["- container: app", "policy:", "semver:", "rollout:", "kind: Deployment", "minReadySeconds: 5"]


SETTINGS: Final[tuple[tuple[str, Json, Json], ...]] = (
    ("the usual strategy is left to podpin's own", {"strategy": {"type": "RollingUpdate", "rollingUpdate": {
        "maxSurge": "25%", "maxUnavailable": "25%"}}}, {"strategy": None}),
    ("another strategy stays", {"strategy": {"type": "Recreate"}}, {"strategy": {"type": "Recreate"}}),
    ("the wait for readiness stays", {"minReadySeconds": 5}, {"minReadySeconds": 5}),
    ("no number of Pods is one Pod", {}, {"replicas": 1}),
    ("none are none", {"replicas": 0}, {"replicas": 0}),
)  # fmt: skip


@pytest.mark.parametrize(("spec", "kept"), [row[1:] for row in SETTINGS], ids=[row[0] for row in SETTINGS])
def test_the_deployments_own_settings(spec: Json, kept: Json) -> None:
    own = proposed(workload(**spec))["spec"]["workload"]
    assert {name: own.get(name) for name in kept} == kept


@pytest.mark.parametrize(
    ("seconds", "deadline"), [(30, "30s"), (600, "10m"), (2**31 - 1, "24h")], ids=["short", "usual", "never"]
)
def test_the_deadline_stays_as_far_as_podpin_knows_such_a_long_one(seconds: int, deadline: str) -> None:
    rollout = proposed(workload(progressDeadlineSeconds=seconds))["spec"]["rollout"]
    assert rollout["progressDeadline"] == deadline


def test_containers_whose_image_is_exact_are_left_alone() -> None:
    template = deepcopy(WRITTEN)
    template["spec"]["containers"].append({"name": "proxy", "image": f"envoy:v1.30@{DIGEST}"})
    template["spec"]["initContainers"] = [{"name": "setup", "image": "shop/setup:build-57"}]
    spec = proposed(workload(template=template))["spec"]
    assert [image["container"] for image in spec["images"]] == ["app", "setup"]
    assert spec["workload"]["template"]["spec"]["containers"][1]["image"] == f"envoy:v1.30@{DIGEST}"


def test_where_every_image_is_exact_the_first_container_is_managed() -> None:
    spec = proposed(with_image(f"shop/web:1.4.2@{DIGEST}"), adopt=True)["spec"]
    assert spec["images"][0]["policy"] == {"semver": {"range": "^1.4.2"}}


def test_only_the_containers_that_are_named_are_managed() -> None:
    template = deepcopy(WRITTEN)
    template["spec"]["containers"].append({"name": "proxy", "image": "envoy:v1.30"})
    spec = proposed(workload(template=template), adopt=True, containers=("proxy",))["spec"]
    assert [image["container"] for image in spec["images"]] == ["proxy"]


def test_names_that_are_no_words_in_yaml_stay_names() -> None:
    body = workload()
    body["metadata"] = {"name": "123", "namespace": "on"}
    assert proposed(body)["metadata"] == {"name": "123", "namespace": "on"}
    assert proposed(body, adopt=True)["spec"]["targetRef"]["name"] == "123"


POLICIES: Final[tuple[tuple[str, str, str, Json], ...]] = (
    ("a range of one's own", "shop/web:1.4.2", "semver=~1.4", {"semver": {"range": "~1.4"}}),
    ("a range where there is no version", "shop/web:stable", "semver=>=1", {"semver": {"range": ">=1"}}),
    ("the range that the version gives", "shop/web:1.4.2", "semver", {"semver": {"range": "^1.4.2"}}),
    ("the tag that runs", "shop/web:1.4.2", "tag", {"tag": {"name": "1.4.2"}}),
    ("another tag", "shop/web:1.4.2", "tag=stable", {"tag": {"name": "stable"}}),
    ("no tag at all is the latest", "shop/web", "tag", {"tag": {"name": "latest"}}),
    ("the digest that runs", f"shop/web:1.4.2@{DIGEST}", "digest", {"digest": {"value": DIGEST}}),
    ("the highest number", "shop/web:stable", "numeric", {"numeric": {"order": "asc"}}),
    ("the first by its characters", "shop/web:stable", "alphabetical=desc", {"alphabetical": {"order": "desc"}}),
    ("the newest", "shop/web:stable", "newest", {"newest": {}}),
)  # fmt: skip


@pytest.mark.parametrize(
    ("image", "policy", "written"), [row[1:] for row in POLICIES], ids=[row[0] for row in POLICIES]
)
def test_a_policy_that_is_asked_for_is_taken(image: str, policy: str, written: Json) -> None:
    assert proposed(with_image(image), policy=policy)["spec"]["images"][0]["policy"] == written


def test_every_policy_that_can_be_asked_for_is_known() -> None:
    assert {policy.partition("=")[0] for _, _, policy, _ in POLICIES} == {*KINDS_OF_POLICIES}


def test_a_policy_that_is_asked_for_keeps_the_filter_that_fits_it() -> None:
    image = proposed(with_image("shop/web:1.27.3-alpine"), policy="semver=~1.27")["spec"]["images"][0]
    assert image["policy"] == {"semver": {"range": "~1.27"}}
    assert image["tags"]["include"] == r"^(?P<version>[0-9]+\.[0-9]+\.[0-9]+)-alpine$"


OWNED: Final = {"ownerReferences": [{"kind": "Rollout", "name": "web", "controller": True}]}
REFUSED: Final[tuple[tuple[str, Json, Json, str], ...]] = (
    ("a ReplicaSet", {"kind": "ReplicaSet"}, {}, "a ReplicaSet rolls nothing out: podpin adopts one of Deployment"),
    ("no kind at all", {"kind": None}, {}, "a thing without a kind rolls nothing out"),
    ("an old version of the kind", {"apiVersion": "extensions/v1beta1"}, {}, "podpin knows that of apps/v1"),
    ("no name", {"metadata": {}}, {}, "the Deployment has no name"),
    ("one that another controller has", {"metadata": {"name": "web", **OWNED}}, {},
     "the Deployment web is controlled by the Rollout web, which would write its images too"),
    ("one that has an ImageRollout", {"metadata": {"name": "web", "labels": {"podpin.dev/rollout": "shop"}}}, {},
     "the Deployment web has an ImageRollout already: shop"),
    ("no containers", {"spec": {}}, {}, "the Deployment web has no containers: is it a whole manifest?"),
    ("no such container", {}, {"containers": ("front",)}, "there is no container 'front'; there are app"),
    ("a container left without a digest", {"spec": {"template": {"spec": {"containers": [
        {"name": "app", "image": "a:1"}, {"name": "b", "image": "b:1"}]}}}}, {"containers": ("app",)},
     "the image of container 'b' has no digest"),
    ("a container without an image", {"spec": {"template": {"spec": {"containers": [{"name": "app"}]}}}}, {},
     "container 'app' has no image"),
    ("an image that is none", {"spec": {"template": {"spec": {"containers": [{"name": "app", "image": "A b"}]}}}}, {},
     "the image of container 'app': "),
    ("no such policy", {}, {"policy": "best"}, "there is no policy 'best'"),
    ("a digest where there is none", {}, {"policy": "digest"}, "the image names no digest"),
)  # fmt: skip


@pytest.mark.parametrize(("change", "wishes", "says"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_what_can_not_be_proposed_is_told_in_a_sentence(change: Json, wishes: Json, says: str) -> None:
    with pytest.raises(NotProposable) as refused:
        propose(workload() | change, Wishes(**wishes))
    assert says in str(refused.value)


def test_a_range_can_not_be_guessed_where_there_is_no_version() -> None:
    with pytest.raises(NotProposable) as refused:
        propose(with_image("shop/web:stable"), Wishes(policy="semver"))
    assert str(refused.value) == "the tag 'stable' is no version to begin with: write --policy semver=RANGE"
