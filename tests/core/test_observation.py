"""From real Pods and Deployments to what deciding needs of them; and from anything at all to nothing worse than less."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from podpin.core import names
from podpin.core.observation import Container, Pod, Run, Workload, pod_of, workload_of

POD: dict[str, Any] = yaml.safe_load("""
apiVersion: v1
kind: Pod
metadata:
  name: web-7d9c5b8f6d-x2x7k
  namespace: shop
  uid: 9f1c
  creationTimestamp: "2026-03-01T12:00:00Z"
  labels: {podpin.dev/rollout: web, podpin.dev/release: 33ac086849, pod-template-hash: 7d9c5b8f6d}
spec:
  nodeName: node-1
  containers: [{name: app, image: "r/web@sha256:aa"}]
status:
  phase: Running
  conditions:
  - {type: PodScheduled, status: "True", lastTransitionTime: "2026-03-01T12:00:01Z"}
  - {type: Ready, status: "False", reason: ContainersNotReady, lastTransitionTime: "2026-03-01T12:00:09Z"}
  initContainerStatuses:
  - name: setup
    ready: true
    restartCount: 0
    state:
      terminated: {exitCode: 0, reason: Completed, startedAt: "2026-03-01T12:00:02Z", finishedAt: "2026-03-01T12:00:03Z"}
  containerStatuses:
  - name: app
    ready: false
    restartCount: 2
    state: {waiting: {reason: CrashLoopBackOff, message: back-off 20s restarting failed container}}
    lastState:
      terminated: {exitCode: 137, reason: OOMKilled, message: oom, startedAt: "2026-03-01T12:00:04Z",
                   finishedAt: "2026-03-01T12:00:09Z"}
  - {name: side, ready: true, restartCount: 0, state: {running: {startedAt: "2026-03-01T12:00:04Z"}}, lastState: {}}
""")

DEPLOYMENT: dict[str, Any] = yaml.safe_load("""
apiVersion: apps/v1
kind: Deployment
metadata:
  name: web
  namespace: shop
  uid: d1
  generation: 4
  annotations: {podpin.dev/intent: c1d71e3e53, deployment.kubernetes.io/revision: "3"}
  ownerReferences:
  - {apiVersion: v1, kind: ConfigMap, name: other, uid: no-controller}
  - {apiVersion: podpin.dev/v1alpha1, kind: ImageRollout, name: web, uid: 5f3b, controller: true}
spec:
  replicas: 3
  template: {metadata: {labels: {podpin.dev/release: 33ac086849}}}
status:
  observedGeneration: 3
  replicas: 4
  updatedReplicas: 2
  readyReplicas: 3
  availableReplicas: 1
  conditions:
  - {type: Available, status: "True", reason: MinimumReplicasAvailable}
  - {type: ReplicaFailure, status: "True", reason: FailedCreate, message: exceeded quota}
""")


def second(number: int) -> datetime:
    return datetime(2026, 3, 1, 12, 0, number, tzinfo=UTC)


def pod(**changes: Any) -> dict[str, Any]:
    """The Pod with some parts of its metadata, spec or status replaced, by `part__field`; None takes one out."""
    raw = {**POD, "metadata": dict(POD["metadata"]), "spec": dict(POD["spec"]), "status": dict(POD["status"])}
    for path, value in changes.items():
        part, _, field = path.partition("__")
        raw[part][field] = value
        if value is None:
            del raw[part][field]
    return raw


def seen(**changes: Any) -> Pod:
    found = pod_of(pod(**changes))
    assert found is not None
    return found


def condition(kind: str, status: str, **more: str) -> list[dict[str, str]]:
    return [{"type": kind, "status": status, "lastTransitionTime": "2026-03-01T12:00:05Z", **more}]


def test_a_pod_is_seen_with_all_that_tells_why_it_is_not_ready() -> None:
    assert pod_of(POD) == Pod(
        name="web-7d9c5b8f6d-x2x7k",
        uid="9f1c",
        release="33ac086849",
        created=second(0),
        phase="Running",
        node="node-1",
        ready=False,
        ready_changed=second(9),
        scheduled_at=second(1),
        containers=(
            Container(
                "setup", init=True, ready=True, ended=Run(0, "Completed", "", started=second(2), finished=second(3))
            ),
            Container(
                "app",
                restarts=2,
                waiting="CrashLoopBackOff",
                message="back-off 20s restarting failed container",
                image="r/web@sha256:aa",
                last=Run(137, "OOMKilled", "oom", started=second(4), finished=second(9)),
            ),
            Container("side", ready=True, running_since=second(4)),
        ),
        images=(("app", "r/web@sha256:aa"),),
    )


@pytest.mark.parametrize(
    ("owners", "owner"),
    [
        ([], None),
        ([{"kind": "ImageRollout", "apiVersion": "podpin.dev/v1alpha1", "uid": "5f3b"}], None),
        ([{"kind": "ImageRollout", "apiVersion": "podpin.dev/v1alpha1", "uid": "5f3b", "controller": True}], "5f3b"),
        ([{"kind": "ImageRollout", "apiVersion": "example.com/v1", "uid": "5f3b", "controller": True}], ""),
        ([{"kind": "ReplicaSet", "apiVersion": "apps/v1", "uid": "r1", "controller": True}], ""),
    ],
    ids=["nobody", "an owner that controls nothing", "a rollout", "another group's ImageRollout", "a ReplicaSet"],
)
def test_a_pod_tells_who_controls_it(owners: list[Any], owner: str | None) -> None:
    seen = pod_of({**POD, "metadata": {**POD["metadata"], "ownerReferences": owners}})
    assert seen is not None
    assert seen.owner == owner


def test_pods_with_the_same_images_share_them() -> None:
    one, other = pod_of(POD), pod_of({**POD, "metadata": {**POD["metadata"], "name": "web-2"}})
    assert one is not None
    assert other is not None
    assert one.images is other.images


def test_a_pod_that_was_just_made_is_seen_as_pending() -> None:
    found = seen(status__conditions=None, status__containerStatuses=None, status__initContainerStatuses=None,
                 status__phase="Pending", spec__nodeName=None)  # fmt: skip
    assert (found.phase, found.node, found.ready, found.ready_changed, found.containers) == (
        "Pending", None, False, None, (),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "field", "value"),
    [
        ({}, "deleting", False),
        ({"metadata__deletionTimestamp": "2026-03-01T12:00:09Z"}, "deleting", True),
        ({"status__conditions": condition("Ready", "True")}, "ready", True),
        ({"status__conditions": condition("Ready", "True")}, "ready_changed", second(5)),
        ({"status__conditions": condition("Ready", "Unknown")}, "ready", False),
        ({"status__conditions": condition("PodScheduled", "False", reason="Unschedulable", message="no cpu")},
         "unschedulable", "no cpu"),
        ({"status__conditions": condition("PodScheduled", "False", reason="SchedulingGated")}, "unschedulable", ""),
        ({"status__conditions": condition("PodScheduled", "False", reason="Unschedulable")}, "scheduled_at", None),
        ({"status__conditions": condition("DisruptionTarget", "True", reason="PreemptionByScheduler")},
         "disrupted", "PreemptionByScheduler"),
        ({"status__conditions": condition("DisruptionTarget", "True")}, "disrupted", "Disrupted"),
        ({"status__conditions": condition("DisruptionTarget", "False", reason="x")}, "disrupted", None),
        ({"spec__readinessGates": [{"conditionType": "lb"}]}, "gated", True),
        ({"spec__readinessGates": []}, "gated", False),
        ({"status__reason": "Evicted", "status__phase": "Failed"}, "reason", "Evicted"),
        ({"metadata__labels": {"podpin.dev/release": "b", "podpin.dev/rollout": "", "podpin.dev/pulls-for": "web"}},
         "pulls", True),
        ({}, "pulls", False),
        ({"status__message": "low on memory"}, "message", "low on memory"),
    ],
)  # fmt: skip
def test_a_pod_is_seen_as(changes: dict[str, Any], field: str, value: object) -> None:
    assert getattr(seen(**changes), field) == value


def test_a_container_that_waits_without_a_reason_waits_all_the_same() -> None:
    found = seen(status__containerStatuses=[{"name": "app", "state": {"waiting": {}}}])
    assert found.containers[-1].waiting == ""


def test_a_container_that_nobody_has_looked_at_yet_is_neither_waiting_nor_running() -> None:
    found = seen(status__initContainerStatuses=None, status__containerStatuses=[{"name": "app", "state": {}}])
    assert found.containers == (Container("app"),)


@pytest.mark.parametrize(
    "raw",
    [
        {},
        pod(metadata__labels={"podpin.dev/rollout": "web"}),
        pod(metadata__labels={"podpin.dev/release": ""}),
        pod(metadata__labels=None),
        pod(metadata__creationTimestamp=None),
        pod(metadata__creationTimestamp="once"),
    ],
    ids=["empty", "without a release", "with an empty one", "without labels", "never made", "made at no time"],
)
def test_what_is_no_pod_of_a_release_is_not_seen(raw: dict[str, Any]) -> None:
    assert pod_of(raw) is None


def test_a_deployment_is_seen_with_its_owner_and_its_counts() -> None:
    assert workload_of(DEPLOYMENT) == Workload(
        uid="d1",
        owner="5f3b",
        owned_by="ImageRollout web",
        generation=4,
        observed_generation=3,
        release="33ac086849",
        intent="c1d71e3e53",
        replicas=3,
        total=4,
        updated=2,
        available=1,
        not_created=("FailedCreate", "exceeded quota"),
    )


@pytest.mark.parametrize(
    ("spec", "replicas"), [({}, 1), ({"replicas": None}, 1), ({"replicas": 0}, 0), ({"replicas": 5}, 5)], ids=str
)
def test_replicas_that_are_left_out_are_one(spec: dict[str, Any], replicas: int) -> None:
    assert workload_of({**DEPLOYMENT, "spec": spec}).replicas == replicas


def test_a_bare_deployment_is_nobody_s() -> None:
    assert workload_of({"metadata": {"uid": "d1"}}) == Workload(uid="d1", owner=None)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@st.composite
def spoilt(draw: st.DrawFn, good: dict[str, Any]) -> Any:
    """A good object in which anything below the top may have been replaced by anything."""

    def spoil(node: Any) -> Any:
        if draw(st.integers(0, 9)) == 0:
            return draw(JSON)
        if isinstance(node, dict):
            return {name: spoil(child) for name, child in node.items()}
        if isinstance(node, list):
            return [spoil(child) for child in node]
        return node

    return {name: spoil(child) for name, child in good.items()}


@given(spoilt(POD) | st.dictionaries(st.text(max_size=9), JSON))
def test_any_pod_can_be_read(raw: dict[str, Any]) -> None:
    found = pod_of(raw)
    assert found is None or isinstance(hash(found), int)


@given(spoilt(DEPLOYMENT) | st.dictionaries(st.text(max_size=9), JSON))
def test_any_deployment_can_be_read(raw: dict[str, Any]) -> None:
    assert isinstance(hash(workload_of(raw)), int)


SECOND = timedelta(seconds=1)
SLOW = {"startupProbe": {"periodSeconds": 5, "timeoutSeconds": 2}, "readinessProbe": {"successThreshold": 3}}


@pytest.mark.parametrize(
    ("containers", "sidecars", "expected"),
    [
        ([{}], [], 0 * SECOND),
        ([{"readinessProbe": {"periodSeconds": 1}}], [], 10 * SECOND),
        ([{"readinessProbe": {"periodSeconds": 1}}, SLOW, {}], [], 38 * SECOND),
        ([{"readinessProbe": {"periodSeconds": 1}}], [{**SLOW, "restartPolicy": "Always"}], 38 * SECOND),
        ([{"readinessProbe": {"periodSeconds": 1}}], [SLOW], 10 * SECOND),
        ([{"readinessProbe": {"periodSeconds": 2**31 - 1, "successThreshold": 100_000}}], [], 600 * SECOND),
        ([{"readinessProbe": {"periodSeconds": -(2**31), "successThreshold": 100_000}}], [], 10 * SECOND),
        ([{"readinessProbe": {"periodSeconds": "often"}}], [], 11 * SECOND),
    ],
    ids=[
        "nothing without a probe",
        "never less than a kubelet needs",
        "that of the slowest container, with its startup",
        "a sidecar has its part in it",
        "an init container has not",
        "never for ever, whatever a stranger writes",
        "never less than nothing",
        "the default for what is no number",
    ],
)
def test_a_round_of_the_probes_is(containers: list[Any], sidecars: list[Any], expected: timedelta) -> None:
    metadata = {"name": "web-1", "labels": {names.LABEL_RELEASE: "abc"}, "creationTimestamp": "2026-01-01T00:00:00Z"}
    spec = {
        "containers": [{"name": f"c{at}", **one} for at, one in enumerate(containers)],
        "initContainers": [{"name": f"i{at}", **one} for at, one in enumerate(sidecars)],
    }
    seen = pod_of({"metadata": metadata, "spec": spec})
    assert seen is not None
    assert seen.probe_round == expected
