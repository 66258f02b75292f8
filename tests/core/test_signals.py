"""What each state of a Pod says, and whose fault it is."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from tests.builders import at, container, pod, run, waiting

from podpin.core.observation import Container, Pod
from podpin.core.signals import CLUSTER_SIGNALS, FAILURE_SIGNALS, pull_explanation, standing

NOT_FOUND = 'failed to pull and unpack image "r.example.com/web@sha256:aa": failed to resolve reference: r.example.com/web@sha256:aa: not found'
NO_PLATFORM = "rpc error: code = NotFound desc = failed to pull image: no match for platform in manifest: not found"
NO_BINARY = 'failed to create containerd task: runc create failed: exec: "/bin/no": stat /bin/no: no such file or directory: unknown'


@dataclass(frozen=True)
class Row:
    says: str
    containers: tuple[Container, ...] = (container(),)
    fields: dict[str, Any] = field(default_factory=dict)
    cluster: str | None = None
    image: str | None = None
    told: str | None = None


def looping(failures: int, **run_fields: Any) -> Container:
    return waiting("CrashLoopBackOff", restarts=failures - 1, last=run(**run_fields))


ROWS = [
    Row("nothing is found in a Pod that is ready"),
    Row("nothing is found in a Pod that has only just been made", (waiting("ContainerCreating"),)),
    Row("nothing is found in a Pod that runs and is not ready yet", (container(ready=False),)),
    Row(
        "an unschedulable Pod is the cluster's",
        (),
        {"unschedulable": "0/3 nodes: Insufficient cpu", "ready": False},
        "Unschedulable",
    ),
    Row(
        "a Pod that is being evicted is the cluster's",
        (waiting("CrashLoopBackOff", restarts=9),),
        {"disrupted": "EvictionByEvictionAPI"},
        "PodDisrupted",
    ),
    Row(
        "a Pod that was evicted is the cluster's",
        (container(ready=False, running_since=None),),
        {"phase": "Failed", "reason": "Evicted"},
        "PodEvicted",
    ),
    Row(
        "a Pod whose node went silent is the cluster's",
        (container(),),
        {"ready": False, "phase": "Running"},
        "NodeLost",
    ),
    Row(
        "a Pod that waits for its readiness gate is nobody's fault",
        (container(),),
        {"ready": False, "phase": "Running", "gated": True},
    ),
    Row(
        "a volume that can't be mounted is the cluster's",
        (waiting("ContainerCreating"),),
        {"trouble": 'configmap "x" not found'},
        "VolumeNotReady",
    ),
    Row(
        "a kubelet that lags behind a ConfigMap is the cluster's",
        (waiting("CreateContainerConfigError", "failed to sync configmap cache: timed out waiting for the condition"),),
        cluster="VolumeNotReady",
    ),
    Row(
        "too many requests is the cluster's",
        (waiting("ErrImagePull", "unexpected status: 429 Too Many Requests"),),
        cluster="RegistryUnavailable",
    ),
    Row(
        "a registry in trouble is the cluster's",
        (waiting("ErrImagePull", "received unexpected HTTP status: 503 Service Unavailable"),),
        cluster="RegistryUnavailable",
    ),
    Row(
        "a registry out of reach is the cluster's",
        (waiting("ImagePullBackOff", "Back-off pulling image: dial tcp 10.0.0.1:443: connect: connection refused"),),
        cluster="RegistryUnavailable",
    ),
    Row("an image that does not exist is the image's", (waiting("ErrImagePull", NOT_FOUND),), image="ImageNotFound"),
    Row(
        "and stays so while the kubelet backs off",
        (waiting("ImagePullBackOff", f'Back-off pulling image "x": ErrImagePull: {NOT_FOUND}'),),
        image="ImageNotFound",
    ),
    Row(
        "a name that can't be parsed is the image's",
        (waiting("InvalidImageName", "couldn't parse image name"),),
        image="InvalidImageName",
    ),
    Row(
        "no variant for the node's platform is the image's",
        (waiting("ErrImagePull", NO_PLATFORM),),
        image="WrongPlatform",
    ),
    Row(
        "a missing binary is the image's, at once",
        (container(ready=False, running_since=None, ended=run(128, "StartError", NO_BINARY)),),
        image="CannotStart",
    ),
    Row(
        "and while it waits for the next attempt",
        (waiting("CrashLoopBackOff", last=run(128, "StartError", NO_BINARY)),),
        image="CannotStart",
    ),
    Row(
        "another architecture's binary is the image's",
        (container(ready=False, running_since=None, ended=run(128, "StartError", "exec /app: exec format error")),),
        image="CannotStart",
    ),
    Row(
        "an image without a command is the image's",
        (waiting("CreateContainerError", "no command specified"),),
        image="CannotStart",
    ),
    Row(
        "a runtime out of breath is not the image's, yet",
        (container(ready=False, running_since=None, ended=run(128, "StartError", "context deadline exceeded")),),
    ),
    Row(
        "a missing key is the config's",
        (waiting("CreateContainerConfigError", "couldn't find key url in Secret shop/db"),),
        image="BadContainerConfig",
    ),
    Row("one crash is not enough", (container(ready=False, running_since=None, ended=run()),)),
    Row("two crashes are not enough", (looping(2),)),
    Row("three crashes are a crash loop", (looping(3),), image="CrashLooping"),
    Row(
        "a crash loop counts while the container is up again, too",
        (container(ready=False, restarts=3, last=run()),),
        image="CrashLooping",
    ),
    Row(
        "exiting with 0 again and again is a crash loop",
        (looping(3, code=0, reason="Completed"),),
        image="CrashLooping",
    ),
    Row("three kills for memory are told as such", (looping(3, code=137, reason="OOMKilled"),), image="OutOfMemory"),
    Row("one kill for memory is not enough", (looping(1, code=137, reason="OOMKilled"),)),
    Row(
        "an init container that fails again and again is the image's",
        (waiting("CrashLoopBackOff", name="init", init=True, restarts=2, last=run()), waiting("PodInitializing")),
        image="InitContainerFailed",
    ),
    Row(
        "an init container that has done its work is fine",
        (container("init", init=True, running_since=None, ended=run(0, "Completed")),),
    ),
    Row(
        "losing readiness is the image's",
        (container(ready=False),),
        {"ready_changed": at(30), "phase": "Running"},
        image="ReadinessLost",
    ),
    Row(
        "exiting after having been ready is the image's",
        (container(ready=False, running_since=None, ended=run(started=2, finished=30)),),
        {"ready_changed": at(30), "phase": "Running"},
        image="RestartedAfterReady",
    ),
    Row(
        "a container that the runtime has lost is the cluster's",
        (container(ready=False, running_since=None, ended=run(255, "Unknown", started=2, finished=30)),),
        {"ready_changed": at(30), "phase": "Running"},
        cluster="NodeLost",
        image="RestartedAfterReady",
    ),
    Row(
        "and that it is not ready at once when it runs again is nobody's fault",
        (container(ready=False, running_since=at(60), restarts=1, last=run(255, "Unknown", started=2, finished=30)),),
        {"ready_changed": at(30), "phase": "Running"},
    ),
    Row(
        "a container that was lost three times is the image's",
        (waiting("CrashLoopBackOff", restarts=2, last=run(255, "Unknown", started=2, finished=30)),),
        {"ready_changed": at(30), "phase": "Running"},
        image="CrashLooping",
    ),
    Row(
        "a container that was lost and whose image is gone is not the node's any more",
        (waiting("ImagePullBackOff", NOT_FOUND, restarts=1, last=run(255, "Unknown", started=2, finished=30)),),
        {"ready_changed": at(30), "phase": "Running"},
        image="ImageNotFound",
    ),
    Row(
        "a container that crashes beside a lost one is not hidden by it",
        (
            waiting("ContainerCreating", restarts=1, last=run(255, "Unknown", started=2, finished=30)),
            waiting("CrashLoopBackOff", name="other", restarts=9, last=run()),
        ),
        {"ready_changed": at(30), "phase": "Running"},
        image="CrashLooping",
    ),
    Row(
        "a program that says 255 itself has exited",
        (container(ready=False, running_since=None, ended=run(255, "Error", started=2, finished=30)),),
        {"ready_changed": at(30), "phase": "Running"},
        image="RestartedAfterReady",
    ),
    Row(
        "a pull that is refused waits for the deadline, but is told",
        (waiting("ErrImagePull", "pull access denied, authorization failed"),),
        told="ImagePullDenied",
    ),
    Row(
        "an untrusted certificate waits for the deadline, but is told",
        (waiting("ErrImagePull", "tls: failed to verify certificate: x509: certificate signed by unknown authority"),),
        told="ImagePullUntrusted",
    ),
    Row(
        "any other failure to pull waits for the deadline, but is told",
        (waiting("ErrImagePull", "something new"),),
        told="ImagePullFailed",
    ),
]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.says)
def test_signal(row: Row) -> None:
    one = pod("a", *row.containers, **row.fields)
    cluster = first(CLUSTER_SIGNALS, one)
    assert cluster == row.cluster
    if cluster is None:
        assert first(FAILURE_SIGNALS, one) == row.image
        explanation = pull_explanation(one)
        if row.image is None:
            assert (explanation.reason if explanation else None) == row.told


def test_messages_name_the_container_and_no_pod_of_an_image_s_fault() -> None:
    """All Pods of a release fail alike: naming one of them would make the message flap."""
    finding = next(found for signal in FAILURE_SIGNALS if (found := signal(pod("a", looping(3), name="web-xyz"))))
    assert "app" in finding.message
    assert "web-xyz" not in finding.message


CONFIG = 'configmap "settings" not found'
STANDING = [
    ("a Pod without a node, whatever the scheduler counts", pod("a", ready=False, unschedulable="0/3 nodes: 2 Insufficient cpu"), "it fits on no node"),
    ("a Pod whose node went silent", pod("a", ready=False, phase="Running"), "its node node-1 has stopped answering"),
    ("a pull that fails, whatever the words", pod("a", waiting("ImagePullBackOff", "Back-off")), "the image of container app can't be pulled"),
    ("the same in another attempt", pod("a", waiting("ErrImagePull", NOT_FOUND)), "the image of container app can't be pulled"),
    ("a container that cannot be created", pod("a", waiting("CreateContainerConfigError", CONFIG)), f"container app cannot be created: {CONFIG}"),
    ("a kubelet that lags behind says nothing that stays", pod("a", waiting("CreateContainerConfigError", "failed to sync configmap cache: timed out")), None),
    ("one that has run waits for its configuration in turns", pod("a", waiting("CreateContainerConfigError", CONFIG, restarts=1, last=run())), None),
    ("a missing program", pod("a", waiting("CrashLoopBackOff", last=run(128, "StartError", NO_BINARY))), 'container app cannot be started: exec: "/bin/no": stat /bin/no: no such file or directory'),
    ("a container that has exited twice", pod("a", looping(2)), None),
    ("a container that exits again and again", pod("a", looping(4)), "container app exited 3 times or more, last with code 1 (Error)"),
    ("the same while it runs once more", pod("a", container(ready=False, restarts=4, last=run())), "container app exited 3 times or more, last with code 1 (Error)"),
    ("an init container that fails", pod("a", waiting("CrashLoopBackOff", name="first", init=True, restarts=3, last=run()), waiting("PodInitializing")), "init container first exited 3 times or more, last with code 1 (Error)"),
    ("too little memory", pod("a", waiting("CrashLoopBackOff", restarts=3, last=run(137, "OOMKilled"))), "container app was killed 3 times or more for using more memory than its limit"),
    ("containers that are never created", pod("a", waiting("ContainerCreating"), waiting("ContainerCreating", name="other")), "it waits for a volume or for its network"),
    ("the same before an init container", pod("a", waiting("PodInitializing", name="first", init=True), waiting("PodInitializing")), "it waits for a volume or for its network"),
    ("a container that is created anew", pod("a", waiting("ContainerCreating", restarts=1, last=run())), None),
    ("a probe that does not succeed", pod("a", container(ready=False)), "container app runs, but its readiness probe does not succeed"),
    ("the same after an init container has done its part", pod("a", container("first", init=True, ready=True, running_since=None, ended=run(0, "Completed")), container(ready=False)), "container app runs, but its readiness probe does not succeed"),
    ("no probe, and not ready yet", pod("a", container(ready=False), probed=False), None),
    ("a Pod of which nothing is known", replace(pod("a", ready=False), containers=()), None),
]  # fmt: skip


@pytest.mark.parametrize(("says", "one", "told"), STANDING, ids=[row[0] for row in STANDING])
def test_what_stands_in_the_way_of_a_pod(says: str, one: Pod, told: str | None) -> None:
    assert standing(one) == told


def first(signals: Any, one: Pod) -> str | None:
    return next((found.reason for signal in signals if (found := signal(one))), None)
