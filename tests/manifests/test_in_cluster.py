"""podpin as users run it: a Pod from its own image, installed with `kubectl apply -k`, doing the main job."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from tests.cluster.errors import ClusterError
from tests.cluster.images import push_app
from tests.manifests.installed import ACCOUNT, MANIFESTS, NAMESPACE, Rollout, installed, pod, refused, web
from tests.waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.cluster.application import Kind
    from tests.cluster.protocol import Cluster

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]  # the image may have to be built first

MINE = "podpin-in-cluster"
MIB = 2**20


@dataclass(frozen=True, slots=True)
class Told:
    """What the main job has left behind to be looked at."""

    cluster: Cluster
    begun: int
    images: list[str]
    """What the Deployment ran, one after the other."""
    digests: dict[str, str]

    def pin(self, tag: str) -> str:
        """How podpin has to write it."""
        return f"{self.cluster.registry.address}/{MINE}/web:{tag}@{self.digests[tag]}"


@pytest.fixture(scope="module")
def told(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Told]:
    begun = cluster.audit.position() if cluster.can("audit") else 0
    with installed(cluster, MANIFESTS, tmp_path_factory.mktemp("overlay")):
        cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": MINE}})
        try:
            yield do_the_main_job(cluster, begun)
        finally:
            cluster.kubectl("delete", "namespace", MINE, "--timeout=60s")


def do_the_main_job(cluster: Cluster, begun: int) -> Told:
    told = Told(cluster, begun, [], {})

    def push(tag: str, kind: Kind = "good") -> None:
        told.digests[tag] = push_app(cluster.registry, f"{MINE}/web", tag, kind)

    def shown(tag: str) -> str:
        return f"web:{tag}@{told.digests[tag].removeprefix('sha256:')[:12]}"

    for left in cluster.registry.tags(f"{MINE}/web"):  # of an earlier run, on a cluster that goes on running
        cluster.registry.delete(f"{MINE}/web", cluster.registry.digest(f"{MINE}/web", left))
    push("1.0.0")
    rollout = Rollout(cluster, MINE)
    cluster.apply(web(MINE, f"{cluster.registry.address}/{MINE}/web"), "--validate=strict")
    rollout.wait_healthy(shown("1.0.0"))
    told.images.append(rollout.image())

    push("1.1.0")
    rollout.ask(reconcile="1")
    rollout.wait_healthy(shown("1.1.0"))
    told.images.append(rollout.image())

    push("1.2.0", "missing_binary")
    rollout.ask(reconcile="2")
    rollout.wait("1.2.0 to be rejected", lambda status: status.get("rejected"))
    rollout.wait_healthy(shown("1.1.0"))
    told.images.append(rollout.image())
    return told


def test_it_rolls_out_by_digest_takes_up_what_is_newer_and_undoes_what_is_bad(told: Told) -> None:
    assert told.images == [told.pin("1.0.0"), told.pin("1.1.0"), told.pin("1.1.0")]
    (rejected,) = Rollout(told.cluster, MINE).get()["status"]["rejected"]
    assert rejected["images"] == [{"container": "app", "image": told.pin("1.2.0")}]


def test_the_pod_has_never_restarted_and_says_that_it_is_well(told: Told) -> None:
    mine = pod(told.cluster)
    assert [one["restartCount"] for one in mine["status"]["containerStatuses"]] == [0]
    proxy = f"/api/v1/namespaces/{NAMESPACE}/pods/http:{mine['metadata']['name']}:8080/proxy"
    assert told.cluster.kubectl("get", "--raw", f"{proxy}/healthz").strip() == "ok"
    assert told.cluster.kubectl("get", "--raw", f"{proxy}/readyz").strip() == "ok"


def test_its_log_is_one_object_a_line_and_tells_of_no_error(told: Told) -> None:
    lines = told.cluster.kubectl("logs", "-n", NAMESPACE, "deployment/podpin").splitlines()
    levels = {json.loads(line)["level"] for line in lines}
    assert "info" in levels
    assert "error" not in levels


def test_nothing_that_it_asks_is_refused(told: Told) -> None:
    if not told.cluster.can("audit"):
        pytest.skip("this cluster's audit log can't be read")
    requests = told.cluster.audit.requests("podpin/", user=ACCOUNT, since=told.begun)
    assert requests
    assert refused(told.cluster.audit.requests(user=ACCOUNT, since=told.begun)) == []


def test_its_namespace_admits_the_strictest_pods_alone(told: Told) -> None:
    """podpin's own Pod is there already."""
    labels = told.cluster.kubectl.get("namespace", NAMESPACE)["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"
    assert pod(told.cluster)["spec"]["containers"][0]["securityContext"]["readOnlyRootFilesystem"] is True
    loose = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "loose", "namespace": NAMESPACE},
        "spec": {"containers": [{"name": "loose", "image": "loose"}]},
    }
    with pytest.raises(ClusterError, match='violates PodSecurity "restricted'):
        told.cluster.kubectl.apply(loose, "--dry-run=server")


def test_it_needs_less_memory_than_it_asks_for(told: Told) -> None:
    mine = pod(told.cluster)
    asked = mine["spec"]["containers"][0]["resources"]["requests"]["memory"]
    assert asked.endswith("Mi")

    def used() -> int:
        summary = told.cluster.kubectl("get", "--raw", f"/api/v1/nodes/{mine['spec']['nodeName']}/proxy/stats/summary")
        pods = json.loads(summary)["pods"]
        (known,) = [one for one in pods if one["podRef"]["uid"] == mine["metadata"]["uid"]]
        return int(known["containers"][0]["memory"]["workingSetBytes"])

    bytes_used = wait_for(used, 30, "the kubelet to have measured", every=1, retry_on=(KeyError, ValueError))
    assert 20 * MIB < bytes_used < int(asked.removesuffix("Mi")) * MIB


def test_whoever_may_edit_a_namespace_may_have_rollouts_there_and_nobody_writes_their_status(told: Told) -> None:
    kubectl = told.cluster.kubectl
    for role in ("view", "edit", "admin"):
        kubectl("create", "rolebinding", role, f"--clusterrole={role}", f"--user={role}er", "-n", MINE)

    def may(user: str, verb: str, subresource: str = "") -> bool:
        asked = (verb, "imagerollouts.podpin.dev", f"--subresource={subresource}", f"--as={user}")
        try:
            return kubectl("auth", "can-i", *asked, "-n", MINE).strip() == "yes"
        except ClusterError:
            return False

    wait_for(lambda: may("editer", "create"), 20, "Kubernetes to have put the roles together")
    assert [may("viewer", verb) for verb in ("get", "watch", "create", "patch", "delete")] == [True, True] + [False] * 3
    assert all(may("editer", verb) for verb in ("get", "create", "update", "patch", "delete"))
    assert all(may("adminer", verb) for verb in ("get", "create", "update", "patch", "delete"))
    assert not may("adminer", "patch", "status")
    assert may("editer", "patch", "scale")


def test_a_stopped_pod_is_gone_at_once_and_the_next_one_goes_on_without_a_write(told: Told) -> None:
    before, position = pod(told.cluster), told.cluster.audit.position() if told.cluster.can("audit") else 0
    generation = told.cluster.kubectl.get("deployment", "web", "-n", MINE)["metadata"]["generation"]
    words = ("delete", "pod", before["metadata"]["name"], "-n", NAMESPACE, "--timeout=9s")
    told.cluster.kubectl(*words)  # its grace of ten seconds has not run out
    told.cluster.kubectl("-n", NAMESPACE, "rollout", "status", "deployment/podpin", "--timeout=60s")
    Rollout(told.cluster, MINE).wait("the new Pod to be at work", lambda _: served(told.cluster, before))
    assert told.cluster.kubectl.get("deployment", "web", "-n", MINE)["metadata"]["generation"] == generation
    if told.cluster.can("audit"):
        assert told.cluster.audit.writes("podpin/", user=ACCOUNT, since=position, namespace=MINE) == []


def served(cluster: Cluster, before: dict[str, dict[str, str]]) -> bool:
    mine = pod(cluster)
    return bool(
        mine["metadata"]["uid"] != before["metadata"]["uid"]
        and all(one["ready"] for one in mine["status"]["containerStatuses"])
    )
