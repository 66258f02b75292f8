"""podpin's rights: enough, and none too many. The audit log of everything that podpin does says which it used."""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
import yaml
from tests.cluster.images import push_app
from tests.e2e.program import Program
from tests.manifests.installed import (
    ACCOUNT,
    CRD,
    GROUPS,
    MANIFESTS,
    Json,
    Right,
    Rollout,
    granted,
    refused,
    used,
    web,
)
from tests.waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.cluster.audit import Entry
    from tests.cluster.protocol import Cluster

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(300)]

NAMESPACE = "rights"


@pytest.fixture(scope="module")
def requests(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Entry]]:
    """All requests of a podpin that has done everything it can do, with the rights of the manifests alone."""
    for feature in ("audit", "identities", "private-registry"):
        if not cluster.can(feature):
            pytest.skip(f"this cluster can't do {feature!r}")
    cluster.apply(CRD, "--server-side")
    cluster.kubectl.serve("imagerollouts", "podpin.dev")
    cluster.apply(MANIFESTS / "rbac.yaml")
    cluster.apply(MANIFESTS / "pin-config.yaml")
    cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
    words = ("create", "rolebinding", "podpin-pin-config", "--clusterrole=podpin-pin-config")
    cluster.kubectl(*words, f"--serviceaccount={ACCOUNT.removeprefix('system:serviceaccount:')}", "-n", NAMESPACE)
    begun = cluster.audit.position()
    podpin = Program(
        cluster.kubeconfig_for(ACCOUNT, GROUPS),
        tmp_path_factory.mktemp("podpin") / "log",
        cluster.environment(),
        insecure=[cluster.registry.address],
    )
    podpin.start()
    try:
        Story(cluster, begun).play()
        code, _ = podpin.terminate(timeout=5)
        assert code == 0, podpin.said()
        yield cluster.audit.requests(user=ACCOUNT, since=begun)
    finally:
        podpin.kill()
        cluster.kubectl("delete", "namespace", NAMESPACE, "--wait=false")
        cluster.kubectl.delete(MANIFESTS / "rbac.yaml")
        cluster.kubectl.delete(MANIFESTS / "pin-config.yaml")


def test_nothing_that_podpin_asks_is_refused(requests: list[Entry]) -> None:
    assert requests
    assert refused(requests) == []


def test_no_right_is_given_that_is_not_used(requests: list[Entry]) -> None:
    assert sorted(map(str, granted(rules()) - used(requests))) == []


def test_the_audit_log_misses_no_use_of_a_right(requests: list[Entry]) -> None:
    assert sorted(map(str, used(requests) - granted(rules()))) == []


def rules() -> list[Json]:
    """What podpin is allowed, in all."""
    files = (MANIFESTS / "rbac.yaml", MANIFESTS / "pin-config.yaml")
    return [rule for file in files for rule in next(yaml.safe_load_all(file.read_text()))["rules"]]


@dataclass(frozen=True)
class Story:
    """A bit of everything: what goes well, what goes wrong, and what needs a question asked."""

    cluster: Cluster
    begun: int

    def play(self) -> None:
        """All of it. What can go on beside something else is begun first."""
        self.begin_with_a_password()
        self.begin_with_a_missing_volume()
        self.begin_with_a_name_that_is_taken()
        self.begin_with_workloads_of_others()
        self.roll_out_and_back()
        self.go_back_to_a_record_that_cannot_be_read()
        self.change_the_deployment_behind_its_back()
        self.lose_the_configuration()
        self.change_the_spec_often()
        self.change_what_is_pinned()
        self.rollout("secret").wait_healthy("secret:1.0.0" + self.digest("private", "1.0.0"))
        self.rollout("mount").wait("the missing volume to be told of", lambda status: "settings" in json.dumps(status))
        self.rollout("taken").wait("the owner to be told of", lambda status: "Stalled" in json.dumps(status))
        self.be_the_controller_of_pods()
        self.roll_a_stateful_set_back()
        self.delete_in_mid_rollout()

    def begin_with_a_password(self) -> None:
        """Secrets: the password, and the registry's authority."""
        private = self.cluster.private_registry
        push_app(private, self.path("secret"), "1.0.0")
        self.cluster.apply([private.pull_secret("pull", NAMESPACE), private.ca_secret("authority", NAMESPACE)])
        body = web(NAMESPACE, f"{private.address}/{self.path('secret')}", name="secret")
        body["spec"]["registry"] = {"pullSecrets": [{"name": "pull"}], "caSecret": {"name": "authority"}}
        body["spec"]["workload"]["template"]["spec"]["imagePullSecrets"] = [{"name": "pull"}]
        self.cluster.apply(body)

    def begin_with_a_missing_volume(self) -> None:
        """Events of a Pod: nothing else tells why it does not start."""
        body = self.web("mount")
        pod = body["spec"]["workload"]["template"]["spec"]
        pod["volumes"] = [{"name": "settings", "configMap": {"name": "settings"}}]
        pod["containers"][0]["volumeMounts"] = [{"name": "settings", "mountPath": "/settings"}]
        self.cluster.apply(body)

    def begin_with_a_name_that_is_taken(self) -> None:
        """A Deployment of that name which somebody else has made."""
        self.cluster.kubectl("create", "deployment", "taken", "-n", NAMESPACE, "--image=x", "--replicas=0")
        self.cluster.apply(self.web("taken"))

    def begin_with_workloads_of_others(self) -> None:
        """One of each kind is adopted, and its Pod of the first version serves."""
        self.push("set", "1.0.0")
        for kind in ("StatefulSet", "DaemonSet", "CronJob"):
            name, image = f"a-{kind.lower()}", f"{self.cluster.registry.address}/{self.path('set')}:1.0.0"
            body, api = workload_of_others(kind, name, image)
            rollout = web(NAMESPACE, image.rpartition(":")[0], name=name, policy={"semver": {"range": ">=1"}})
            del rollout["spec"]["workload"]
            rollout["spec"]["targetRef"] = {"apiVersion": api, "kind": kind, "name": name}
            self.cluster.apply([body, rollout])

    def roll_a_stateful_set_back(self) -> None:
        """It waits for its broken Pod, which is deleted."""
        for kind in ("statefulset", "daemonset", "cronjob"):
            self.rollout(f"a-{kind}").wait_healthy("set:1.0.0" + self.digest("set", "1.0.0"))
        self.push("set", "1.1.0", kind="missing_binary")
        self.rollout("a-statefulset").ask(reconcile="1")
        self.wait_for_use(Right("", "pods", "delete"))

    def roll_out_and_back(self) -> None:
        """The main job."""
        self.cluster.apply(self.web("web", ">=1"))
        rollout = self.rollout("web")
        rollout.wait_healthy("web:1.0.0" + self.digest("web", "1.0.0"))
        self.push("web", "1.1.0")
        rollout.ask(reconcile="1")
        rollout.wait_healthy("web:1.1.0" + self.digest("web", "1.1.0"))
        self.push("web", "1.2.0", kind="missing_binary")
        rollout.ask(reconcile="2")
        rollout.wait("1.2.0 to be rejected", lambda status: status.get("rejected"))
        rollout.wait_healthy("web:1.1.0" + self.digest("web", "1.1.0"))
        self.push("web", "1.3.0")
        self.cluster.kubectl(
            "patch", "imagerollout", "web", "-n", NAMESPACE, "--type=merge", "-p",
            json.dumps({"spec": {"rollout": {"canary": {"replicas": 1}}}}),
        )  # fmt: skip
        rollout.ask(reconcile="3")
        rollout.wait_healthy("web:1.3.0" + self.digest("web", "1.3.0"))

    def go_back_to_a_record_that_cannot_be_read(self) -> None:
        """Something that podpin counts on is not there: it then asks whether the ImageRollout itself still is."""
        kubectl = self.cluster.kubectl
        records = kubectl.get("controllerrevisions", "-n", NAMESPACE, "-l", "podpin.dev/rollout=web")["items"]
        first = min(records, key=lambda one: one["metadata"]["creationTimestamp"])
        metadata = {name: first["metadata"][name] for name in ("name", "labels", "annotations", "ownerReferences")}
        spoilt = {**first, "data": {"spoilt": True}, "metadata": {**metadata, "namespace": NAMESPACE}}
        kubectl.delete(first)
        kubectl.apply(spoilt)
        release = first["metadata"]["labels"]["podpin.dev/release"]
        self.rollout("web").ask(rollback_to=release)
        self.wait_for_use(Right("podpin.dev", "imagerollouts", "get"))
        self.rollout("web").ask(rollback_to="")

    def change_the_deployment_behind_its_back(self) -> None:
        """podpin looks at it in full, and puts it right."""
        self.cluster.apply(self.web("drift"))
        rollout = self.rollout("drift")
        rollout.wait_healthy("web:1.0.0" + self.digest("web", "1.0.0"))
        image = rollout.image()
        self.cluster.kubectl("set", "image", "deployment/drift", "app=elsewhere:1", "-n", NAMESPACE)
        wait_for(lambda: rollout.image() == image, 30, "the image to be put right")

    def lose_the_configuration(self) -> None:
        """A Pod of the stable release is made anew and does not start: is its ConfigMap, its Secret what it was?"""
        config = {"metadata": {"name": "lost", "namespace": NAMESPACE}, "apiVersion": "v1"}
        kubectl, body = self.cluster.kubectl, self.web("lost")
        pod = body["spec"]["workload"]["template"]["spec"]
        sources: list[Json] = [{"configMapRef": {"name": "lost"}}, {"secretRef": {"name": "lost", "optional": True}}]
        pod["containers"][0]["envFrom"] = sources
        body["spec"]["rollout"] = {**body["spec"].get("rollout", {}), "progressDeadline": "20s"}
        self.cluster.apply([{**config, "kind": "ConfigMap"}, body])
        rollout = self.rollout("lost")
        rollout.wait_healthy("web:1.0.0" + self.digest("web", "1.0.0"))
        kubectl("delete", "configmap", "lost", "-n", NAMESPACE)
        kubectl("delete", "pods", "-n", NAMESPACE, "-l", "podpin.dev/rollout=lost", "--wait=false")
        rollout.wait("the missing ConfigMap to be told of", lambda status: "lost is missing" in json.dumps(status))

    def change_the_spec_often(self) -> None:
        """More releases than are kept: the records of the oldest are deleted."""
        body = self.web("busy")
        for count in range(40):
            body["spec"]["workload"]["template"]["metadata"] = {"annotations": {"count": str(count)}}
            self.cluster.apply(body)
            if count > 5 and Right("apps", "controllerrevisions", "delete") in self.used():
                return
        self.wait_for_use(Right("apps", "controllerrevisions", "delete"))

    def change_what_is_pinned(self) -> None:
        """Copies are made for each release, and deleted with the last one that has them."""
        body = self.web("pinned")
        sources = [{"configMapRef": {"name": "pinned"}}, {"secretRef": {"name": "pinned"}}]
        workload = body["spec"]["workload"]
        workload["pinConfig"] = True
        never = {"httpGet": {"path": "/never", "port": 8080}}  # so that each gives way to the next, and few are kept
        workload["template"]["spec"]["containers"][0] |= {"envFrom": sources, "readinessProbe": never}
        for count in range(8):
            config = {"apiVersion": "v1", "metadata": {"name": "pinned", "namespace": NAMESPACE}}
            both = [{**config, "kind": kind, "stringData": {"count": str(count)}} for kind in ("ConfigMap", "Secret")]
            both[0]["data"] = both[0].pop("stringData")
            workload["template"]["metadata"] = {"annotations": {"count": str(count)}}
            self.cluster.apply([*both, body])
            wait_for(functools.partial(self.is_copied, str(count)), 30, "a copy to be made")
        for kind in ("configmaps", "secrets"):
            self.wait_for_use(Right("", kind, "delete"))

    def is_copied(self, count: str) -> bool:
        found = self.cluster.kubectl.get("configmaps", "-n", NAMESPACE, "-l", "podpin.dev/rollout=pinned")["items"]
        return any(one["data"] == {"count": count} for one in found)

    def be_the_controller_of_pods(self) -> None:
        """Pods are made, evicted for newer ones, adopted where they were orphaned, deleted where they are too many."""
        rollout = self.rollout("own")
        for versions, tag in (("1.0.0", "1.0.0"), (">=1", "1.3.0")):
            body = self.web("own", versions)
            body["spec"]["workload"] |= {"kind": "Pods", "replicas": 1}
            self.cluster.apply(body)
            rollout.wait_healthy(f"web:{tag}" + self.digest("web", tag))
        self.wait_for_use(Right("", "pods/eviction", "create"))
        kubectl = self.cluster.kubectl
        pods = kubectl.get("pods", "-n", NAMESPACE, "-l", "podpin.dev/rollout=own")["items"]
        here = [pod["metadata"]["name"] for pod in pods if "deletionTimestamp" not in pod["metadata"]]
        kubectl("patch", "pod", here[0], "-n", NAMESPACE, "-p", '{"metadata": {"ownerReferences": null}}')
        self.wait_for_use(Right("", "pods", "patch"))
        kubectl("scale", "imagerollout/own", "--replicas=0", "-n", NAMESPACE)
        self.wait_for_use(Right("", "pods", "delete"))

    def delete_in_mid_rollout(self) -> None:
        """Kubernetes collects what podpin made; podpin has nothing to do."""
        kubectl = self.cluster.kubectl
        kubectl("delete", "imagerollout", "busy", "-n", NAMESPACE, "--timeout=30s")
        left = ("get", "deployment,controllerrevision", "-n", NAMESPACE, "-l", "podpin.dev/rollout=busy", "-o", "name")
        wait_for(lambda: kubectl(*left) == "", 30, "what podpin had made to be collected", seen=lambda: kubectl(*left))

    # --- how it is told

    def rollout(self, name: str) -> Rollout:
        return Rollout(self.cluster, NAMESPACE, name)

    def path(self, repository: str) -> str:
        """New for each run: a cluster that goes on running remembers what was pushed."""
        return f"{NAMESPACE}-{self.begun}/{repository}"

    def push(self, repository: str, tag: str, kind: str = "good") -> str:
        return push_app(self.cluster.registry, self.path(repository), tag, kind)  # type: ignore[arg-type]

    def digest(self, repository: str, tag: str) -> str:
        """As `kubectl get` shows it, after the tag."""
        if repository == "private":
            digest = self.cluster.private_registry.digest(self.path("secret"), tag)
        else:
            digest = self.cluster.registry.digest(self.path(repository), tag)
        return "@" + digest.removeprefix("sha256:")[:12]

    def web(self, name: str, versions: str = "1.0.0") -> Json:
        if not self.cluster.registry.tags(self.path("web")):
            self.push("web", "1.0.0")
        repository = f"{self.cluster.registry.address}/{self.path('web')}"
        return web(NAMESPACE, repository, name=name, policy={"semver": {"range": versions}})

    def used(self) -> set[Right]:
        return used(self.cluster.audit.requests(user=ACCOUNT, since=self.begun))

    def wait_for_use(self, right: Right) -> None:
        wait_for(lambda: right in self.used(), 60, f"podpin to use its right to {right}", every=0.5)


def workload_of_others(kind: str, name: str, image: str) -> tuple[Json, str]:
    """A workload as somebody else makes it, and the group of its kind."""
    pod: Json = {"terminationGracePeriodSeconds": 1, "containers": [{"name": "app", "image": image}]}
    metadata = {"name": name, "namespace": NAMESPACE}
    if kind == "CronJob":
        job = {"spec": {"template": {"spec": {**pod, "restartPolicy": "Never"}}}}
        spec: Json = {"schedule": "0 0 1 1 *", "jobTemplate": job}
        return {"apiVersion": "batch/v1", "kind": kind, "metadata": metadata, "spec": spec}, "batch/v1"
    labels = {"app": name}
    spec = {"selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}, "spec": pod}}
    if kind == "StatefulSet":
        spec["serviceName"] = name
    return {"apiVersion": "apps/v1", "kind": kind, "metadata": metadata, "spec": spec}, "apps/v1"
