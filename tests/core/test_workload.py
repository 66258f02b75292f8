"""The Deployment that comes of a spec and a release, against tests/golden: `<case>.yaml` goes in, `<case>.expected.yaml`
comes out. An expected file that changes restarts Pods all over the world when podpin is upgraded: do it knowingly."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from tests.builders import digest, images, spec

from podpin.core.decision import ApplyCanary
from podpin.core.names import Key
from podpin.core.reference import parse_pin
from podpin.core.release import release_of
from podpin.core.spec import Spec, parse_spec
from podpin.core.workload import (
    BUILDERS,
    DEFAULT_STRATEGY,
    canary,
    deployment,
    intent_of,
    owner_reference,
    pod_template,
    selector_of,
    strategy_of,
)

WEB = Key("shop", "web")
OWNER = owner_reference("web", "5f3b")
GOLDEN = Path(__file__).parent.parent / "golden"
CASES = sorted(path for path in GOLDEN.glob("*.yaml") if not path.name.endswith(".expected.yaml"))


def build(case: dict[str, Any]) -> dict[str, Any]:
    wish = parse_spec(case["spec"])
    release = release_of(wish, tuple(case["images"].items()))
    return deployment(WEB, OWNER, wish.workload, release, intent_of(wish.workload, release.id, release.images))


def read(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load(path.read_text())
    return content


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_the_manifest_is_the_golden_one(path: Path) -> None:
    assert build(read(path)) == read(path.with_suffix(".expected.yaml"))


def test_no_golden_file_is_left_over() -> None:
    assert len(CASES) >= 3
    assert {path.name for path in GOLDEN.iterdir()} == {
        name for path in CASES for name in (path.name, f"{path.stem}.expected.yaml")
    }


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_every_container_runs_an_exact_image(path: Path) -> None:
    pod = build(read(path))["spec"]["template"]["spec"]
    for container in (*pod["containers"], *pod.get("initContainers", ())):
        assert parse_pin(container["image"]).digest.startswith("sha256:"), container


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_what_goes_in_is_left_as_it_is(path: Path) -> None:
    case = read(path)
    before = copy.deepcopy(case)
    wish = parse_spec(case["spec"])
    release = release_of(wish, tuple(case["images"].items()))
    template = copy.deepcopy(release.template)
    pod_template("web", release)["metadata"]["labels"]["more"] = "of it"
    assert case == before
    assert release.template == template


@pytest.mark.parametrize(
    ("replicas", "stands"), [(None, False), (0, True), (3, True)], ids=["left out", "none", "three"]
)
def test_replicas_stand_in_the_manifest_only_when_the_user_names_them(replicas: int | None, stands: bool) -> None:
    wish = spec(workload={"replicas": replicas})
    body = deployment(WEB, OWNER, wish.workload, release_of(wish, images("a")), "i")
    assert ("replicas" in body["spec"]) is stands
    assert body["spec"].get("replicas") == replicas


@pytest.mark.parametrize(
    ("given_", "wanted"),
    [
        (None, DEFAULT_STRATEGY),
        ({}, DEFAULT_STRATEGY),
        ({"type": "RollingUpdate"}, DEFAULT_STRATEGY),
        ({"rollingUpdate": {}}, DEFAULT_STRATEGY),
        ({"rollingUpdate": {"maxUnavailable": 1}},
         {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": 1}}),
        ({"rollingUpdate": {"maxSurge": 2}},
         {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 2, "maxUnavailable": 0}}),
        ({"type": "Recreate"}, {"type": "Recreate"}),
    ],
    ids=str,
)  # fmt: skip
def test_nobody_is_unavailable_unless_the_user_says_so(given_: Any, wanted: Any) -> None:
    assert strategy_of(spec(workload={"strategy": given_}).workload) == wanted


def test_podpin_s_own_label_selects_the_pods_and_the_user_may_add_others() -> None:
    assert selector_of("web", spec().workload) == {"podpin.dev/rollout": "web"}
    labels = {"metadata": {"labels": {"app": "web"}}}
    wish = spec(workload={"selector": {"matchLabels": {"app": "web"}}}, template=labels)
    assert selector_of("web", wish.workload) == {"app": "web", "podpin.dev/rollout": "web"}


@pytest.mark.parametrize(
    "wish",
    [
        spec(workload={"replicas": 3}),
        spec(workload={"replicas": None}),
        spec(workload={"strategy": {"type": "Recreate"}}),
        spec(workload={"minReadySeconds": 1}),
    ],
    ids=["replicas", "no replicas", "strategy", "minReadySeconds"],
)
def test_the_intent_changes_with_everything_that_is_applied(wish: Spec) -> None:
    release = release_of(wish, images("a"))
    intent = intent_of(wish.workload, release.id, release.images)
    assert intent != intent_of(spec().workload, release.id, release.images)
    assert intent != intent_of(wish.workload, "another", release.images)
    assert intent != intent_of(wish.workload, release.id, images("a", tag="another"))


def test_the_intent_does_not_change_by_itself() -> None:
    release = release_of(spec(), images("a"))
    assert intent_of(spec().workload, release.id, release.images) == intent_of(
        spec(suspend=True).workload, release.id, release.images
    )


def test_an_owner_controls_and_asks_for_no_rights_on_finalizers() -> None:
    assert owner_reference("web", "u") == {
        "apiVersion": "podpin.dev/v1alpha1",
        "kind": "ImageRollout",
        "name": "web",
        "uid": "u",
        "controller": True,
    }


def test_each_kind_has_its_builder() -> None:
    assert set(BUILDERS) == {"Deployment"}


NAMES = st.text("abc", min_size=1, max_size=3)


@given(
    st.lists(NAMES, min_size=1, max_size=4, unique=True),
    st.lists(NAMES, max_size=2, unique=True),
    st.data(),
)
def test_never_is_a_managed_container_without_a_digest(names: list[str], init: list[str], data: st.DataObject) -> None:
    """Whatever image the user wrote for it, and wherever it stands."""
    early = [name for name in init if name not in names]
    managed = data.draw(st.lists(st.sampled_from([*names, *early]), min_size=1, unique=True))
    written = st.none() | st.sampled_from(["web", "web:latest", f"web@{digest('f')}", ""])

    def containers(of: list[str]) -> list[dict[str, Any]]:
        made = [{"name": name, "image": data.draw(written)} for name in of]
        return [{key: value for key, value in each.items() if value is not None} for each in made]

    entries = [{"container": name, "repository": "web", "policy": {"tag": {"name": "1"}}} for name in managed]
    pod = {"containers": containers(names), "initContainers": containers(early)}
    wish = spec(images=entries, template={"spec": pod})
    release = release_of(wish, tuple((name, f"web:1@{digest('a')}") for name in managed))
    made = deployment(WEB, OWNER, wish.workload, release, "i")["spec"]["template"]["spec"]
    images_of = {each["name"]: each.get("image") for each in (*made["containers"], *made["initContainers"])}
    assert {name: images_of[name] for name in managed} == dict.fromkeys(managed, f"web:1@{digest('a')}")
    assert images_of.keys() == {*names, *early}


def test_a_canary_is_the_workload_with_few_pods_and_labels_of_its_own() -> None:
    case = read(GOLDEN / "whole.yaml")
    wish = parse_spec(case["spec"])
    release = release_of(wish, tuple(case["images"].items()))
    apply = ApplyCanary(release.id, release, "i1", None, 2, 3)
    made = canary(WEB, OWNER, pod_template("web", release), wish.workload.min_ready_seconds, apply)
    usual = deployment(WEB, OWNER, wish.workload, release, "i1")
    track = {"podpin.dev/track": "canary"}
    usual["metadata"]["name"] = "web-canary"
    usual["metadata"]["annotations"]["podpin.dev/step"] = "2/3"
    for labels in (usual["metadata"]["labels"], usual["spec"]["template"]["metadata"]["labels"]):
        labels.update(track)
    usual["spec"]["selector"]["matchLabels"] = {"podpin.dev/rollout": "web", **track}
    usual["spec"] |= {"replicas": 3, "strategy": {"type": "Recreate"}}
    assert made == usual
