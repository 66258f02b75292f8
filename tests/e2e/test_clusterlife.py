"""What a rollout lives through in a real cluster, a row for each and for both kinds: autoscalers, drained and lost nodes,
hands and other controllers, none, one and 200 replicas, releases that come while others are under way.

Each row begins with 1.0.0 proven and serving. It says which verdicts there are in the end, with how many writes of
podpin's at most, and how many Pods have been ready at any moment. That the stable release is never lost, and that podpin
writes nothing once all has come to rest, holds of every row.

Nodes that are drained, lost and replaced, and those that take 200 Pods, exist on paper only: kwok says of their Pods that
they run. All else about that cluster is real, as on the other one, where a kubelet runs them.
"""

from __future__ import annotations

import itertools
import json
import threading
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import pytest
from tests.cluster.errors import ClusterError
from tests.e2e.stage import RELEASE, both_kinds, is_ready, pod_of, stays
from tests.e2e.test_faults_of_the_cluster import evict
from tests.e2e.world import version_of
from tests.waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.e2e.stage import Stage
    from tests.e2e.world import Json

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]

TOUCHES: Final = itertools.count(1)
SERVICE: Final = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "web"},
    "spec": {"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": 8080}]},
}
POOL: Final = "podpin.test/pool"
"""The label by which a stage's Pods find its nodes."""


@dataclass(frozen=True)
class Row:
    shows: str
    story: Callable[[Stage, str], None]
    verdicts: dict[str, str]
    """By tag, what became of each release besides 1.0.0, which is stable."""
    writes: tuple[int, int]
    """How many writes podpin makes at most besides those of Pods: with a Deployment, and with Pods."""
    pods: int = 0
    """How many writes of Pods podpin makes at most, where it makes them itself."""
    ready: int = 2
    """How many Pods are ready at any moment."""
    replicas: int | None = 2
    terms: dict[str, Any] = field(default_factory=lambda: {"bakeTime": "3s"})
    nodes: int = 0


def take(stage: Stage, tag: str, kind: Any = "good", **more: Any) -> None:
    """A version is pushed, and podpin looks."""
    stage.push(tag, kind, **more)
    stage.look()


def until_ready(stage: Stage, count: int, tag: str | None = None, timeout: float = 90) -> None:
    """Wait until so many Pods are ready: of this tag, and no others, where one is given."""

    def ready() -> bool:
        pods = stage.pods().values()
        right = tag is None or {pod["metadata"]["labels"][RELEASE] for pod in pods} <= {stage.release(tag)}
        return right and sum(map(is_ready, pods)) == count

    stage.until(ready, f"{count} ready Pods of {tag or 'any version'}", timeout)


def scale(stage: Stage, kind: str, count: int) -> None:
    """As an autoscaler does: by the scale subresource of what it scales."""
    stage.kubectl("scale", "deployment/web" if kind == "Deployment" else "imagerollout/web", f"--replicas={count}")


# --- autoscalers


def autoscaler(stage: Stage, kind: str, least: int, most: int) -> None:
    """A HorizontalPodAutoscaler. It knows no load here, and keeps the replicas within its bounds."""
    api, scaled = ("apps/v1", "Deployment") if kind == "Deployment" else ("podpin.dev/v1alpha1", "ImageRollout")
    resource = {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 50}}
    spec = {
        "scaleTargetRef": {"apiVersion": api, "kind": scaled, "name": "web"},
        "minReplicas": least,
        "maxReplicas": most,
        "metrics": [{"type": "Resource", "resource": resource}],
    }
    stage.apply(
        {"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "web"}, "spec": spec}
    )


def an_autoscaler_scales_in_mid_trial(stage: Stage, kind: str) -> None:
    take(stage, "1.1.0")
    stage.until(lambda: stage.pods(stage.release("1.1.0")), "the trial to begin")
    autoscaler(stage, kind, 4, 6)
    until_ready(stage, 4, "1.1.0")
    autoscaler(stage, kind, 1, 3)
    until_ready(stage, 3, "1.1.0")
    stage.until_stable("1.1.0")


def a_vertical_autoscaler_gives_other_resources(stage: Stage, kind: str) -> None:
    """It changes Pods at their admission, evicts those that are there, and resizes one that runs."""
    limits = [{"type": "Container", "defaultRequest": {"cpu": "11m"}, "default": {"memory": "64Mi"}}]
    stage.apply({"apiVersion": "v1", "kind": "LimitRange", "metadata": {"name": "vpa"}, "spec": {"limits": limits}})
    take(stage, "1.1.0")
    stage.until(lambda: stage.pods(stage.release("1.1.0")), "the trial to begin")
    for name, pod in list(stage.pods().items()):
        uid = pod["metadata"]["uid"]
        evict(stage, name)
        stage.until(lambda: uid not in uids(stage), "the Pod to go")  # noqa: B023
        until_ready(stage, 2)
    stage.until_stable("1.1.0")
    name = next(iter(stage.pods()))
    change = {"spec": {"containers": [{"name": "app", "resources": {"requests": {"cpu": "13m"}}}]}}
    stage.kubectl("patch", "pod", name, "--subresource=resize", "-p", json.dumps(change))
    stage.until(lambda: requests_of(stage, name) == "13m", "the Pod to be resized")
    assert {requests_of(stage, name) for name in stage.pods()} == {"11m", "13m"}


def uids(stage: Stage) -> set[str]:
    return {str(pod["metadata"]["uid"]) for pod in stage.pods().values()}


def requests_of(stage: Stage, name: str) -> str:
    """What CPU a Pod's container asks for."""
    return str(stage.pods()[name]["spec"]["containers"][0]["resources"]["requests"]["cpu"])


# --- nodes


def node_of(stage: Stage, nth: int) -> str:
    return f"{stage.namespace}-{nth}"


def make_nodes(stage: Stage, numbers: range) -> None:
    """Nodes for this stage's Pods alone."""
    for nth in numbers:
        labels = {POOL: stage.namespace, "kubernetes.io/hostname": node_of(stage, nth)}
        stage.cluster.apply(
            {"apiVersion": "v1", "kind": "Node", "metadata": {"name": node_of(stage, nth), "labels": labels}}
        )
    names = [f"node/{node_of(stage, nth)}" for nth in numbers]
    stage.cluster.kubectl("wait", "--for=condition=Ready", "--timeout=60s", *names)


def budget(stage: Stage) -> None:
    """At most one Pod may be taken away at a time, by whoever asks."""
    spec = {"maxUnavailable": 1, "selector": {"matchLabels": {"app": "web"}}}
    stage.apply({"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "web"}, "spec": spec})

    def known() -> bool:
        # A controller that does not know the kind yet, for its definition is new, looks again when the budget is touched.
        stage.kubectl("annotate", "pdb", "web", f"test/touched={next(TOUCHES)}", "--overwrite")
        status = json.loads(stage.kubectl("get", "pdb", "web", "-o", "json")).get("status") or {}
        return status.get("disruptionsAllowed") == 1

    wait_for(known, 90, "the budget to be known", every=1)


def drain(stage: Stage, nth: int) -> None:
    """`kubectl drain`, and nothing is left on the node."""
    node = node_of(stage, nth)
    stage.cluster.kubectl("drain", node, "--ignore-daemonsets", "--timeout=90s")
    stage.until(
        lambda: node not in {pod["spec"].get("nodeName") for pod in stage.pods().values()}, "the node to be empty"
    )


def a_node_is_drained(stage: Stage, kind: str) -> None:
    budget(stage)
    take(stage, "1.1.0")
    until_ready(stage, 6, "1.1.0")
    drain(stage, 0)
    stage.until_stable("1.1.0")
    until_ready(stage, 6, "1.1.0")


def the_cluster_is_upgraded(stage: Stage, kind: str) -> None:
    budget(stage)
    take(stage, "1.1.0")
    for nth in range(3):
        make_nodes(stage, range(nth + 3, nth + 4))
        drain(stage, nth)
        stage.cluster.kubectl("delete", "node", node_of(stage, nth))
    stage.until_stable("1.1.0")
    until_ready(stage, 6, "1.1.0")


def a_spot_node_is_lost(stage: Stage, kind: str) -> None:
    take(stage, "1.1.0")
    until_ready(stage, 6, "1.1.0")
    lost = {name for name, pod in stage.pods().items() if pod["spec"]["nodeName"] == node_of(stage, 0)}
    assert lost
    gone = {stage.pods()[name]["metadata"]["uid"] for name in lost}
    stage.cluster.kubectl("delete", "node", node_of(stage, 0))
    stage.until(lambda: not gone & uids(stage), "the cluster to give the Pods up", 180)
    stage.until_stable("1.1.0")
    until_ready(stage, 6, "1.1.0")


# --- hands, and other controllers


def image(stage: Stage, tag: str) -> str:
    return f"app={stage.pin(tag)}"


def somebody_sets_an_image_by_hand(stage: Stage, kind: str) -> None:
    stage.push("0.9.0", "crash")
    take(stage, "1.1.0")
    stage.until(lambda: stage.pods(stage.release("1.1.0")), "the trial to begin")
    if kind == "Deployment":
        stage.kubectl("set", "image", "deployment/web", image(stage, "0.9.0"))
        change = {
            "spec": {"strategy": {"rollingUpdate": {"maxUnavailable": 1}}, "template": {"spec": {"hostname": "me"}}}
        }
        stage.kubectl("patch", "deployment", "web", "-p", json.dumps(change))
    else:
        for name in stage.pods(stage.release("1.1.0")):
            stage.kubectl("set", "image", f"pod/{name}", image(stage, "0.9.0"))
    stage.until_stable("1.1.0")
    stage.until(lambda: stage.images() == {stage.pin("1.1.0")}, "nothing else to run")
    stage.until(lambda: stage.events("DriftCorrected"), "the event")


def another_controller_writes_the_image(stage: Stage, kind: str) -> None:
    stage.push("0.9.0")
    rival = Rival(stage, kind, image(stage, "0.9.0"))
    with rival:
        stage.until(lambda: rival.writes >= 5, "it to write against podpin")
        stage.until_says("ImageContested", "kubectl-set" if kind == "Deployment" else "somebody keeps changing")
        stays(20, lambda: stage.condition("Ready")["reason"] == "ImageContested", "the user is told")
    stage.until(lambda: stage.images() == {stage.pin("1.0.0")}, "podpin's own image to run again", 150)


class Rival:
    """Another controller, which puts its own image into the workload whenever another one is there."""

    def __init__(self, stage: Stage, kind: str, image: str) -> None:
        self._stage, self._kind, self._image = stage, kind, image
        self.writes = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _work(self) -> None:
        while not self._over.wait(0.2):
            for name in self._others():
                try:
                    self._stage.kubectl("set", "image", name, self._image)
                except ClusterError:
                    continue  # it has gone meanwhile
                self.writes += 1

    def _others(self) -> list[str]:
        own = self._image.partition("=")[2]
        if self._kind == "Deployment":
            template = self._stage.deployment()["spec"]["template"]["spec"]
            return [] if template["containers"][0]["image"] == own else ["deployment/web"]
        return [
            f"pod/{name}" for name, pod in self._stage.pods().items() if pod["spec"]["containers"][0]["image"] != own
        ]


# --- numbers, and releases that come while others are under way


def nobody_is_wanted_for_a_while(stage: Stage, kind: str) -> None:
    stage.change({"spec": {"workload": {"replicas": 0}}})
    stage.until_says("ScaledToZero")
    stage.until(lambda: not stage.pods(), "the Pods to go")
    take(stage, "1.1.0")
    stage.until(lambda: len(stage.templates()) == 2, "the new release to stand ready")
    stage.until_says("ScaledToZero")
    stays(5, lambda: stage.condition("Ready")["reason"] == "ScaledToZero", "nobody is wanted")
    stage.change({"spec": {"workload": {"replicas": 2}}})
    stage.until_stable("1.1.0")


def a_good_and_a_bad_release(stage: Stage, kind: str) -> None:
    take(stage, "1.1.0")
    stage.until_stable("1.1.0")
    take(stage, "1.2.0", "missing_binary")
    stage.until_says("RolledBack", ":1.2.0@")
    stage.until(lambda: stage.images() == {stage.pin("1.1.0")}, "nothing else to run")


def two_releases_in_a_minute(stage: Stage, kind: str) -> None:
    take(stage, "1.1.0")
    stage.until(lambda: stage.pods(stage.release("1.1.0")), "the trial to begin")
    take(stage, "1.2.0")
    stage.until_stable("1.2.0")
    stage.until(lambda: stage.images() == {stage.pin("1.2.0")}, "nothing else to run")


def a_release_comes_during_the_rollback(stage: Stage, kind: str) -> None:
    take(stage, "1.1.0", "becomes_unready", after=6)
    stage.until(lambda: stage.verdicts().get("1.1.0") == "ReadinessLost", "the verdict")
    take(stage, "1.3.0")
    stage.until_stable("1.3.0")
    stage.until(lambda: stage.images() == {stage.pin("1.3.0")}, "nothing else to run")


def two_hundred_take_a_good_release(stage: Stage, kind: str) -> None:
    take(stage, "1.1.0")
    stage.until_stable("1.1.0", timeout=240)
    until_ready(stage, 200, "1.1.0")


def two_hundred_are_asked_to_go_back(stage: Stage, kind: str) -> None:
    take(stage, "1.1.0")
    until_ready(stage, 200, "1.1.0", timeout=240)
    stage.annotate("rollback-to", "previous")
    stage.until_says("RolledBack", "RollbackRequested", timeout=240)
    until_ready(stage, 200, "1.0.0", timeout=240)
    assert kind == "Pods" or {"25%", "100%"} == {surge_of(body) for body in since(stage, "deployments", 0)}
    stage.until(lambda: kind == "Pods" or surge_of(stage.deployment()) == "25%", "the user's own strategy again")


def surge_of(deployment: Json) -> str:
    """How many Pods more than wanted there may be."""
    return str(deployment["spec"]["strategy"]["rollingUpdate"]["maxSurge"])


LONG = {"bakeTime": "20s"}

ROWS = [
    Row("an autoscaler scales up and down in mid-trial", an_autoscaler_scales_in_mid_trial, {"1.1.0": "Stable"}, (12, 11), 10, terms=LONG),
    Row("a vertical autoscaler gives Pods other resources", a_vertical_autoscaler_gives_other_resources, {"1.1.0": "Stable"}, (7, 6), 8, ready=1, terms=LONG),
    Row("somebody sets a broken image in mid-rollout", somebody_sets_an_image_by_hand, {"1.1.0": "Stable"}, (12, 7), 10, ready=1),
    Row("another controller keeps writing the image", another_controller_writes_the_image, {}, (60, 30), 24, ready=0),
    Row("no replicas are wanted for a while", nobody_is_wanted_for_a_while, {"1.1.0": "Stable"}, (16, 11), 4, ready=0),
    Row("a good and a bad release of one replica", a_good_and_a_bad_release, {"1.1.0": "Stable", "1.2.0": "CannotStart"}, (12, 10), 4, ready=1, replicas=1),
    Row("two releases in a minute", two_releases_in_a_minute, {"1.1.0": "", "1.2.0": "Stable"}, (10, 8), 8, terms=LONG),
    Row("a release comes in the middle of a rollback", a_release_comes_during_the_rollback, {"1.1.0": "ReadinessLost", "1.3.0": "Stable"}, (17, 15), 16, ready=0, terms=LONG),
]  # fmt: skip

ROWS_ON_PAPER = [
    Row("a node is drained in mid-trial", a_node_is_drained, {"1.1.0": "Stable"}, (9, 10), 20, ready=5, replicas=6, terms=LONG, nodes=3),
    Row("the nodes are replaced one by one in mid-trial", the_cluster_is_upgraded, {"1.1.0": "Stable"}, (12, 20), 40, ready=5, replicas=6, terms=LONG, nodes=3),
    Row("a spot node is lost in mid-trial", a_spot_node_is_lost, {"1.1.0": "Stable"}, (14, 20), 20, ready=1, replicas=6, terms=LONG, nodes=3),
    Row("a good release of 200 replicas", two_hundred_take_a_good_release, {"1.1.0": "Stable"}, (8, 7), 400, ready=200, replicas=200, nodes=4),
    Row("a rollback of 200 replicas that serve", two_hundred_are_asked_to_go_back, {"1.1.0": "RollbackRequested"}, (20, 16), 800, ready=200, replicas=200, terms={"bakeTime": "10m"}, nodes=4),
]  # fmt: skip


@both_kinds
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.shows)
def test_row(stage: Stage, row: Row, kind: str) -> None:
    lives_through(stage, row, kind)


@both_kinds
@pytest.mark.parametrize("row", ROWS_ON_PAPER, ids=lambda row: row.shows)
def test_row_on_paper(paper_stage: Stage, row: Row, kind: str) -> None:
    lives_through(paper_stage, row, kind)


def lives_through(stage: Stage, row: Row, kind: str) -> None:
    """1.0.0 serves, the story is told, and all that the row says is so."""
    stage.need("audit")
    autoscaled = row.story is an_autoscaler_scales_in_mid_trial and kind == "Deployment"
    manifest = stage.rollout(workload={"kind": kind, "replicas": None if autoscaled else row.replicas})
    if row.nodes:
        make_nodes(stage, range(row.nodes))
        stage.apply(SERVICE)  # by which the scheduler spreads Pods that no ReplicaSet has made
        pod_of(manifest)["nodeSelector"] = {POOL: stage.namespace}
    stage.push("1.0.0")
    stage.apply(manifest)
    stage.until_stable("1.0.0")
    if autoscaled:
        scale(stage, kind, 2)
        until_ready(stage, 2)
    stage.change({"spec": {"rollout": row.terms}})
    stage.until_says("RolledOut")
    begun, at = stage.mark(), version_of(stage.object())
    row.story(stage, kind)
    stage.until(lambda: tells_of(stage) == 2 * [len(stage.pods())], "podpin to have told of all Pods")
    stage.until(lambda: rests(stage), "podpin to write nothing any more")
    wrote = Counter(f"{one.verb} {one.resource}/{one.subresource}" for one in stage.writes(begun))
    pods = sum(count for what, count in wrote.items() if " pods/" in what)
    stage.notes.append(f"writes: {dict(wrote)}")
    assert stage.verdicts() == {"1.0.0": "Stable", **row.verdicts}
    assert wrote.total() - pods <= row.writes[kind == "Pods"], dict(wrote)
    assert pods <= row.pods * (kind == "Pods"), dict(wrote)
    assert min(ready_counts(stage, at)) >= row.ready
    assert all((body.get("status") or {}).get("stable") for body in since(stage, "rollouts", at))
    stage.assert_pinned()


def rests(stage: Stage) -> bool:
    """podpin writes nothing for 3 seconds. A kubelet on paper goes by a Pod's name: it may take away a second time what
    was made anew under the name of one that has gone, and that Pod is replaced."""
    last = stage.mark()
    stays(3, lambda: stage.writes(last) == [], "podpin writes nothing", every=1)
    return True


def tells_of(stage: Stage) -> list[int]:
    """How many Pods there are and how many are ready, by the status."""
    return [stage.status()["replicas"], stage.status()["readyReplicas"]]


def since(stage: Stage, kind: str, version: int) -> Iterator[Json]:
    """All states of all objects of a kind from a resource version on, and of each the last one before, in their order."""
    states: list[Json] = []
    for history in stage.world.ever(kind, stage.namespace).values():
        before = [body for body in history if version_of(body) <= version]
        states += [*before[-1:], *(body for body in history if version_of(body) > version)]
    return iter(sorted(states, key=version_of))


def ready_counts(stage: Stage, version: int) -> list[int]:
    """How many Pods were ready from a resource version on, at each change of one."""
    ready: dict[str, bool] = {}
    counts = [len(stage.serving())]
    for body in since(stage, "pods", version):
        ready[body["metadata"]["uid"]] = is_ready(body) and "deletionTimestamp" not in body["metadata"]
        if version_of(body) > version:
            counts.append(sum(ready.values()))
    return counts
