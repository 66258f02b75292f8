"""podpin's life as a Helm release: installed, upgraded, uninstalled, installed again, and taken away for good.

Through all of it one application runs, and is never touched but to get a newer version.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import pytest
import yaml
from tests.charts.rendering import CHART, helm
from tests.cluster import network, operator_image
from tests.cluster.errors import ClusterError
from tests.cluster.images import push_app
from tests.manifests.installed import CRD, NAMESPACE, Rollout, pod, web
from tests.waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.cluster.protocol import Cluster

Json = dict[str, Any]

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]  # Helm and the image may have to be built first

MINE: Final = "podpin-by-helm"
DEFINITION: Final = "crd/imagerollouts.podpin.dev"
GUARD: Final = "validatingadmissionpolicybinding/podpin-guard"
NEWER: Final = "prePull"
"""A field that the definition of the older chart lacks."""


@dataclass
class Seen:
    """What there was at each step, by the step's name."""

    applications: dict[str, Json] = field(default_factory=dict)
    """The application's Deployment."""
    pods: dict[str, set[str]] = field(default_factory=dict)
    """The uids of the application's Pods."""
    definitions: dict[str, Json] = field(default_factory=dict)
    refusal: str = ""
    """What the API server said to whoever would have deleted the definition."""
    left: str = ""
    """What was there of podpin after it was uninstalled."""
    digests: dict[str, str] = field(default_factory=dict)


@dataclass
class Life:
    """One release on one cluster."""

    cluster: Cluster
    scratch: Path
    seen: Seen

    def helm(self, *words: str | Path, values: Json | None = None) -> str:
        """As somebody who has the cluster's kubeconfig."""
        environment = {
            "KUBECONFIG": str(self.cluster.kubeconfig),
            "NO_PROXY": network.ALL,
            **{f"HELM_{place}_HOME": str(self.scratch / place) for place in ("CACHE", "CONFIG", "DATA")},
        }
        return helm(*words, "--namespace", NAMESPACE, values=values, environment=environment, timeout=200)

    def values(self) -> Json:
        """podpin's image by digest, and that the test's registry speaks plain HTTP."""
        registry = self.cluster.registry.address
        repository, _, digest = operator_image.push(f"{registry}/podpin/podpin").partition("@")
        return {
            "image": {"repository": repository.rpartition(":")[0], "digest": digest},
            "registries": {"insecure": [registry]},
            "crds": {"guard": True},
        }

    def older_chart(self) -> Path:
        """The chart of a podpin whose ImageRollouts have one field less."""
        chart = shutil.copytree(CHART, self.scratch / "older")
        definition = yaml.safe_load(CRD.read_text())
        del rollout_of(definition)[NEWER]
        (chart / "files" / CRD.name).write_text(yaml.safe_dump(definition))
        return chart

    def push(self, tag: str) -> str:
        """A version of the application; what `kubectl get` shows of it."""
        self.seen.digests[tag] = push_app(self.cluster.registry, f"{MINE}/web", tag)
        return f"web:{tag}@{self.seen.digests[tag].removeprefix('sha256:')[:12]}"

    def note(self, step: str) -> None:
        """See what there is."""
        kubectl = self.cluster.kubectl
        self.seen.applications[step] = kubectl.get("deployment", "web", "-n", MINE)
        pods = kubectl.get("pods", "-n", MINE)["items"]
        self.seen.pods[step] = {one["metadata"]["uid"] for one in pods if "deletionTimestamp" not in one["metadata"]}
        found = kubectl.get("crd", "--field-selector", "metadata.name=imagerollouts.podpin.dev")["items"]
        self.seen.definitions[step] = found[0] if found else {}

    def live(self) -> None:
        """All of it."""
        kubectl, rollout = self.cluster.kubectl, Rollout(self.cluster, MINE)
        wait = ("--wait", "--timeout", "120s")
        self.helm("install", "podpin", self.older_chart(), "--create-namespace", *wait, values=self.values())
        kubectl.serve("imagerollouts", "podpin.dev")
        kubectl.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": MINE}})
        first = self.push("1.0.0")
        kubectl.apply(web(MINE, f"{self.cluster.registry.address}/{MINE}/web"))
        rollout.wait_healthy(first)
        self.note("installed")

        before = pod(self.cluster)["metadata"]["uid"]
        self.helm("upgrade", "podpin", CHART, *wait, values={**self.values(), "log": {"level": "debug"}})
        wait_for(lambda: pod(self.cluster)["metadata"]["uid"] != before, 60, "a new Pod of podpin")
        rollout.ask(reconcile="1")
        rollout.wait("the new podpin to have looked", lambda status: "reconcile" in str(status.get("requests")))
        self.note("upgraded")

        self.helm("uninstall", "podpin", *wait)
        words = ("get", "deployments,pods,serviceaccounts,secrets", "-n", NAMESPACE, "-o", "name")
        gone = ("serviceaccount/default", "")
        wait_for(lambda: kubectl(*words).strip() in gone, 60, "podpin to be gone", seen=lambda: kubectl(*words))
        self.seen.left = kubectl(
            "get", "clusterroles,clusterrolebindings", "-l", "app.kubernetes.io/name=podpin", "-o", "name"
        )
        with pytest.raises(ClusterError) as refused:
            kubectl("delete", DEFINITION)
        self.seen.refusal = str(refused.value)
        self.note("uninstalled")

        self.helm("install", "podpin", CHART, *wait, values=self.values())
        second = self.push("1.1.0")
        rollout.ask(reconcile="2")
        rollout.wait_healthy(second)
        self.note("installed again")

        self.helm("uninstall", "podpin", *wait)
        kubectl("delete", "imagerollouts", "--all", "--all-namespaces", "--cascade=orphan", "--timeout=60s")
        kubectl("annotate", DEFINITION, "podpin.dev/deletable=yes")
        kubectl("delete", DEFINITION, "--timeout=60s")
        self.note("taken away")


def rollout_of(definition: Json) -> Json:
    """The fields of spec.rollout in a definition of ImageRollout."""
    schema = definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    fields: Json = schema["properties"]["spec"]["properties"]["rollout"]["properties"]
    return fields


@pytest.fixture(scope="module")
def seen(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seen]:
    """What was seen in a whole life; whatever other tests have left of podpin is taken away before."""
    for left in (DEFINITION, f"namespace/{NAMESPACE}"):
        cluster.kubectl("delete", left, "--ignore-not-found", "--timeout=60s")
    life = Life(cluster, tmp_path_factory.mktemp("helm"), Seen())
    try:
        life.live()
        yield life.seen
    finally:
        try:
            life.helm("uninstall", "podpin", "--ignore-not-found")
        except ClusterError as error:
            print(error)
        guards = (GUARD, GUARD.replace("binding", ""))
        for left in (*guards, f"namespace/{NAMESPACE}", f"namespace/{MINE}", DEFINITION):
            cluster.kubectl("delete", left, "--ignore-not-found", "--timeout=60s")


def image(application: Json) -> str:
    (container,) = application["spec"]["template"]["spec"]["containers"]
    return str(container["image"])


def test_an_upgrade_brings_the_newer_definition(seen: Seen) -> None:
    assert NEWER not in rollout_of(seen.definitions["installed"])
    assert NEWER in rollout_of(seen.definitions["upgraded"])


@pytest.mark.parametrize("step", ["upgraded", "uninstalled"])
def test_the_application_is_not_touched_while_podpin_is(seen: Seen, step: str) -> None:
    before, after = seen.applications["installed"], seen.applications[step]
    assert seen.pods[step] == seen.pods["installed"]
    assert after["metadata"]["generation"] == before["metadata"]["generation"]
    assert image(after).endswith(f"web:1.0.0@{seen.digests['1.0.0']}")


def test_uninstalling_takes_away_everything_but_the_definition_and_the_rollouts(seen: Seen) -> None:
    assert seen.left == ""
    assert seen.definitions["uninstalled"]["metadata"]["uid"] == seen.definitions["installed"]["metadata"]["uid"]
    owners = seen.applications["uninstalled"]["metadata"]["ownerReferences"]
    assert [owner["kind"] for owner in owners] == ["ImageRollout"]


def test_the_definition_is_not_deleted_unasked_where_there_is_a_guard(seen: Seen) -> None:
    assert "with it would go all ImageRollouts, and with them what they run; if that is meant: kubectl" in seen.refusal


def test_a_podpin_that_is_installed_again_goes_on_from_there(seen: Seen) -> None:
    assert image(seen.applications["installed again"]).endswith(f"web:1.1.0@{seen.digests['1.1.0']}")


def test_without_rollouts_and_definition_the_application_runs_on_as_an_ordinary_deployment(seen: Seen) -> None:
    before, after = seen.applications["installed again"], seen.applications["taken away"]
    assert seen.definitions["taken away"] == {}
    assert after["metadata"]["uid"] == before["metadata"]["uid"]
    assert "ownerReferences" not in after["metadata"]
    assert image(after) == image(before)
    assert seen.pods["taken away"] == seen.pods["installed again"]
