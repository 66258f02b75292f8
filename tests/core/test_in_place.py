"""A Pod whose image was changed while it ran: what is taken for the new image's doing, and what is not."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.builders import UID, at, digest

from podpin.core.in_place import UNSTARTED, note
from podpin.core.names import ANNOTATION_PATCHED
from podpin.core.observation import Pod, pod_of
from podpin.core.signals import CLUSTER_SIGNALS, FAILURE_SIGNALS, had_been_ready
from podpin.core.times import write_time

OLD, NEW = digest("a"), digest("b")
NOTE = note(at(100), ["app"], [{"name": "app", "restartCount": 2, "containerID": "c"}])


def time(second: float) -> str:
    return write_time(at(second))


def status(
    restarts: int, *, ready: bool, state: Any, last: Any = None, image: str = OLD, **more: Any
) -> dict[str, Any]:
    last = {"terminated": last} if last else {}
    image_id = f"registry/web@{image}"
    return {
        "name": "app",
        "restartCount": restarts,
        "ready": ready,
        "state": state,
        "lastState": last,
        "imageID": image_id,
        **more,
    }


def running(since: float) -> dict[str, Any]:
    return {"running": {"startedAt": time(since)}}


KILLED = {"exitCode": 137, "reason": "Error", "startedAt": time(2), "finishedAt": time(101)}
FAILED = {"exitCode": 1, "reason": "Error", "startedAt": time(102), "finishedAt": time(103)}
BACK_OFF = {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off"}}


def seen(app: dict[str, Any], *, ready: float | None, since: float = 3, noted: str = NOTE, beside: bool = False) -> Pod:
    """A Pod with `app` changed at second 100; `ready` is since when it is ready, or `since` since when it is not."""
    side = {"name": "side", "restartCount": 0, "ready": True, "state": running(2)}
    condition = {"type": "Ready", "status": "False" if ready is None else "True"}
    condition["lastTransitionTime"] = time(since if ready is None else ready)
    mains = [
        {"name": "app", "image": f"registry/web@{NEW}", "readinessProbe": {"exec": {}}},
        {"name": "side", "image": "x"},
    ]
    pod = pod_of(
        {
            "metadata": {
                "name": "web-0",
                "uid": "u",
                "labels": {"podpin.dev/rollout": "web", "podpin.dev/release": "b"},
                "annotations": {ANNOTATION_PATCHED: noted},
                "creationTimestamp": time(0),
                "ownerReferences": [
                    {"apiVersion": "podpin.dev/v1alpha1", "kind": "ImageRollout", "uid": UID, "controller": True}
                ],
            },
            "spec": {"nodeName": "n", "containers": mains if beside else mains[:1]},
            "status": {
                "phase": "Running",
                "conditions": [condition],
                "containerStatuses": [app, *([side] if beside else [])],
            },
        }
    )
    assert pod is not None
    return pod


def finding(pod: Pod) -> str | None:
    every = (signal(pod) for signal in (*CLUSTER_SIGNALS, *FAILURE_SIGNALS))
    return None if pod.ready else next((found.reason for found in every if found), None)


@pytest.mark.parametrize("beside", [False, True], ids=["alone", "beside another container"])
@pytest.mark.parametrize(
    ("app", "ready", "since", "is_ready", "says"),
    [
        (status(2, ready=True, state=running(2)), 3, 0, False, None),
        (status(2, ready=False, state={"terminated": KILLED}), None, 101, False, None),
        (status(2, ready=False, state={"waiting": {"reason": "ContainerCreating"}}, last=KILLED), None, 101, False, None),
        (status(2, ready=False, state={"waiting": {"reason": "ErrImagePull", "message": "x: not found"}}, last=KILLED), None, 101, False, "ImageNotFound"),
        (status(3, ready=False, state=running(102), last=KILLED, image=NEW), None, 101, False, None),
        (status(3, ready=True, state=running(102), last=KILLED, image=NEW), 104, 0, True, None),
        (status(5, ready=False, state=BACK_OFF, last=FAILED, image=NEW), None, 101, False, "CrashLooping"),
        (status(4, ready=False, state=BACK_OFF, last=FAILED, image=NEW), None, 101, False, None),
        (status(3, ready=False, state=running(102), last=KILLED, image=NEW), None, 200, False, "ReadinessLost"),
        (status(2, ready=True, state=running(2), image=NEW), 3, 0, True, None),
    ],
    ids=[
        "the kubelet has not noticed yet: what runs is the old image",
        "the old container was stopped: no crash",
        "the new one is being made",
        "the new image cannot be pulled",
        "the new one starts: the readiness that the old one lost is not held against it",
        "the new one is ready",
        "the new one crashes again and again",
        "the new one has crashed twice: the stop before does not count as the third time",
        "the new one was ready and is no longer",
        "the change was taken back before the kubelet noticed: the image that is wanted runs",
    ],
)  # fmt: skip
def test_what_is_seen_of_it(
    app: dict[str, Any], ready: float | None, since: float, is_ready: bool, says: str | None, beside: bool
) -> None:
    pod = seen(app, ready=ready, since=since, beside=beside)
    assert pod.ready is is_ready
    assert finding(pod) == says


def test_readiness_counts_from_the_new_start_on_where_the_kubelet_never_withdrew_it() -> None:
    pod = seen(status(3, ready=True, state=running(102), last=KILLED, image=NEW), ready=3)
    assert pod.ready
    assert pod.ready_changed == at(102)
    assert pod.created == at(100), "it has not been late since it was made long ago"


def test_a_container_that_went_on_running_had_not_been_ready_with_the_new_one() -> None:
    pod = seen(status(3, ready=False, state=running(102), last=KILLED, image=NEW), ready=None, since=101, beside=True)
    assert not had_been_ready(pod)


def test_a_container_that_was_never_started_has_its_first_start_before_it() -> None:
    noted = note(at(100), ["app"], [{"name": "app", "restartCount": 0, "containerID": ""}])
    assert json.loads(noted)["restarts"] == {"app": UNSTARTED}
    pod = seen(status(0, ready=True, state=running(102), image=NEW), ready=103, noted=noted)
    assert pod.ready
    assert pod.containers[0].restarts == 0


@given(
    st.text() | st.sampled_from(['{"at": 1}', "[]", "null", '{"at": "2026-03-01T12:00:00Z", "restarts": {"app": "x"}}'])
)
def test_a_note_that_somebody_has_spoilt_changes_nothing(noted: str) -> None:
    pod = seen(status(2, ready=True, state=running(2)), ready=3, noted=noted)
    assert pod.ready
