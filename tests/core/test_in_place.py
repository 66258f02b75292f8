"""A Pod whose image was changed while it ran: what is taken for the new image's doing, and what is not."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.builders import UID, at, digest

from podpin.core.in_place import UNSTARTED, Before, note, read
from podpin.core.names import ANNOTATION_PATCHED
from podpin.core.observation import Pod, pod_of
from podpin.core.signals import CLUSTER_SIGNALS, FAILURE_SIGNALS, had_been_ready
from podpin.core.times import write_time

OLD, NEW, BETWEEN, ALIAS = digest("a"), digest("b"), digest("c"), digest("d")


def changed(
    restarts: int = 2,
    image: str = OLD,
    *,
    started: bool = True,
    noted: str = "",
    to: str = NEW,
    containers: Any = ("app",),
    observed: int = 3,
    since: float = 2,
) -> str:
    """The note on a Pod whose `app` has the image changed, at second 100, from one that the kubelet reported so."""
    app = {"name": "app", "restartCount": restarts, "imageID": f"registry/web@{image}" if started else ""}
    app["containerID"] = "c" if started else ""
    app["state"] = running(since) if started else {}
    metadata = {"generation": 4 if noted else 3, "annotations": {ANNOTATION_PATCHED: noted}}
    spec = {"containers": [{"name": "app", "image": f"registry/web@{to}"}]}
    status = {"observedGeneration": observed, "containerStatuses": [app]}
    return note(at(100), containers, {"metadata": metadata, "spec": spec, "status": status})


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


NOTE = changed()
TWICE = changed(noted=changed(to=BETWEEN), to=BETWEEN)
"""Changed to another image first, and to the one that is wanted before the kubelet had heard of it."""
KILLED = {"exitCode": 137, "reason": "Error", "startedAt": time(2), "finishedAt": time(101)}
FAILED = {"exitCode": 1, "reason": "Error", "startedAt": time(102), "finishedAt": time(103)}
BACK_OFF = {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off"}}


def seen(
    app: dict[str, Any],
    *,
    ready: float | None,
    since: float = 3,
    noted: str = NOTE,
    beside: bool = False,
    observed: int | None = 5,
    grace: int | None = None,
) -> Pod:
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
            "spec": {
                "nodeName": "n",
                "containers": mains if beside else mains[:1],
                "terminationGracePeriodSeconds": grace,
            },
            "status": {
                "phase": "Running",
                **({} if observed is None else {"observedGeneration": observed}),
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


@pytest.mark.parametrize(
    ("app", "noted", "observed", "ready_since"),
    [
        (status(3, ready=True, state=running(102), image=NEW), NOTE, 4, 102),
        (status(3, ready=True, state=running(102), image=NEW), NOTE, None, 102),
        (status(3, ready=True, state=running(102), image=OLD), NOTE, 3, None),
        (status(3, ready=True, state=running(102), image=NEW), NOTE, 3, None),
        (status(2, ready=True, state=running(2), image=OLD), NOTE, 4, None),
        (status(3, ready=True, state=running(102), image=ALIAS), NOTE, 4, 102),
        (status(3, ready=True, state=running(102), image=OLD), NOTE, 4, 192),
        (status(2, ready=True, state=running(2), image=NEW), changed(image=NEW), 4, None),
        (status(3, ready=True, state=running(102), image=NEW), changed(image=NEW), 4, 192),
        (status(3, ready=True, state=running(102), image=NEW), TWICE, 5, 102),
        (status(3, ready=True, state=running(102), image=NEW), TWICE, 4, None),
        (status(3, ready=True, state=running(102), image=BETWEEN), TWICE, 5, 192),
        (status(4, ready=True, state=running(104), image=NEW), TWICE, 5, 104),
        (status(0, ready=True, state=running(102), image=NEW), changed(0, started=False), 4, 102),
        (status(0, ready=True, state=running(102), image=OLD), changed(0, started=False), 4, 192),
        (status(0, ready=True, state=running(102), image=NEW), changed(0, started=False), 3, None),
    ],
    ids=[
        "it was restarted and runs the digest",
        "a cluster that counts no generations: the digest is enough",
        "a crash of the old one before the kubelet knew is no proof",
        "the kubelet does not know of the change: whatever it says is of before",
        "the kubelet knows, and is stopping the old one still",
        "a runtime that reports another name of the new contents",
        "nothing tells it from a crash of the old one, but that the kubelet lets it run",
        "the same digest, of another repository: the old one runs still",
        "the same digest, of another repository, and started anew",
        "changed twice: it runs the digest that is wanted last",
        "changed twice: the kubelet does not know of the second change",
        "changed twice: the start of the first change is no proof",
        "changed twice and started twice",
        "never started: the first start is the new one's",
        "never started: the first start is the old one's",
        "never started: the kubelet does not know of the change",
    ],
)
def test_what_is_a_proof_that_the_new_image_runs(
    app: dict[str, Any], noted: str, observed: int | None, ready_since: float | None
) -> None:
    pod = seen(app, ready=3, noted=noted, observed=observed)
    assert pod.ready is (ready_since is not None)
    if ready_since is not None:
        assert pod.ready_changed == at(ready_since)
        assert pod.containers[0].restarts == 0, "the kubelet's own stops are no crashes"


def test_a_container_is_given_as_long_to_stop_as_its_pod_says() -> None:
    pod = seen(status(3, ready=True, state=running(102), image=OLD), ready=3, grace=5)
    assert pod.ready_changed == at(102 + 5 + 60)


@pytest.mark.parametrize(
    ("app", "noted", "crashes"),
    [
        (status(3, ready=False, state={"terminated": FAILED}, image=NEW), NOTE, 1),
        (status(4, ready=False, state=BACK_OFF, last=FAILED, image=NEW), NOTE, 1),
        (status(5, ready=False, state=BACK_OFF, last=FAILED, image=NEW), TWICE, 1),
        (status(4, ready=False, state=BACK_OFF, last=FAILED, image=OLD), NOTE, 1),
        (status(2, ready=False, state={"terminated": FAILED}, image=OLD), NOTE, 0),
    ],
    ids=[
        "its first run has failed",
        "it has been started once more",
        "changed twice: both stops are the kubelet's",
        "it fails, whatever the runtime calls it",
        "what has ended is the old one",
    ],
)
def test_a_crash_is_told_from_a_stop(app: dict[str, Any], noted: str, crashes: int) -> None:
    (container,) = seen(app, ready=None, since=103, noted=noted).containers
    assert container.restarts + (container.ended is not None) == crashes


def test_a_container_whose_change_is_not_proven_stays_noted_when_another_is_changed() -> None:
    noted = read(changed(noted=changed(), to=NEW, containers=("side",)))
    assert noted is not None
    assert noted.containers["app"] == Before(2, f"registry/web@{OLD}", settled=True)
    assert noted.containers["side"] == Before(UNSTARTED, "", settled=False)
    assert noted.generation == 5
    proven = read(changed(image=NEW, restarts=3, noted=changed(), to=NEW, containers=("side",), observed=4))
    assert proven is not None
    assert list(proven.containers) == ["side"]
    # A runtime with names of its own: the change of second -100 has been outlived since.
    old = changed(image=ALIAS, restarts=1).replace(time(100), time(-100))
    settled = read(changed(image=ALIAS, noted=old, observed=4, since=-98))
    young = read(changed(image=ALIAS, noted=old, observed=4, since=50))
    assert [one.containers["app"].settled for one in (settled, young) if one] == [True, False]


@given(st.text() | st.sampled_from(['{"at": 1}', "[]", "null", NOTE.replace("2", "x")]))
def test_a_note_that_somebody_has_spoilt_changes_nothing(noted: str) -> None:
    pod = seen(status(2, ready=True, state=running(2)), ready=3, noted=noted)
    assert pod.ready
