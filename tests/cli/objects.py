"""What the API server has of a rollout and its Pods, in the few fields that the command line shows."""

from __future__ import annotations

from typing import Any, Final

from tests.builders import START, at, digest

from podpin.core.times import write_time

Json = dict[str, Any]
NOW: Final = at(3600)
REPOSITORY: Final = "registry.example.com/shop/web"


def time(seconds: float) -> str:
    """A time as Kubernetes writes it, so many seconds after the start of the test's world."""
    return write_time(at(seconds))


def pinned(tag: str, letter: str) -> list[Json]:
    """A release's images."""
    return [{"container": "app", "image": f"{REPOSITORY}:{tag}@{digest(letter)}"}]


def stable(tag: str = "1.0.0", letter: str = "a", since: float = 60) -> Json:
    """The part of status about the stable release."""
    return {"release": letter * 4, "images": pinned(tag, letter), "since": time(since)}


def candidate(tag: str = "1.1.0", letter: str = "b", started: float = 3500, **more: Any) -> Json:
    """The part about what is tried."""
    at_ = time(started)
    return {"release": letter * 4, "images": pinned(tag, letter), "startedAt": at_, "clockFrom": at_, **more}


def waiting(reason: str = "AwaitingApproval", tag: str = "1.1.0", letter: str = "b", **more: Any) -> Json:
    """The part about what waits."""
    return {"release": letter * 4, "images": pinned(tag, letter), "reason": reason, **more}


def rejected(tag: str = "1.1.0", letter: str = "b", when: float = 3000, reason: str = "CrashLooping") -> Json:
    """An entry about what failed."""
    message = "container app exited 3 times or more, last with code 1 (Error)"
    return {
        "release": letter * 4,
        "images": pinned(tag, letter),
        "reason": reason,
        "message": message,
        "at": time(when),
    }


def chosen(tag: str = "1.1.0", letter: str = "b", **more: Any) -> Json:
    """An entry about what the policy chooses."""
    told = {"container": "app", "repository": REPOSITORY, "tag": tag, "digest": digest(letter)}
    return {**told, "resolvedAt": time(3000), "source": "5eed", **more}


def entry(result: str, tag: str, letter: str, ended: float, **more: Any) -> Json:
    """An entry of the history; its trial took ten seconds."""
    told = {"release": letter * 4, "images": pinned(tag, letter), "result": result}
    return {**told, "startedAt": time(ended - 10), "endedAt": time(ended), **more}


def condition(kind: str, status: str, reason: str, message: str = "") -> Json:
    """A condition."""
    told = {"type": kind, "status": status, "reason": reason, "message": message}
    return {**told, "lastTransitionTime": write_time(START)}


def rollout(
    reason: str = "RolledOut",
    ready: str = "True",
    *,
    name: str = "web",
    message: str = "so it is",
    conditions: tuple[Json, ...] = (),
    annotations: Json | None = None,
    spec: Json | None = None,
    metadata: Json | None = None,
    **status: Any,
) -> Json:
    """An ImageRollout that runs 1.0.0; keywords replace or, with None, take away parts of its status."""
    told = [condition("Ready", ready, reason, message), *conditions] if reason else []
    parts = {
        "observedGeneration": 2,
        "conditions": told,
        "running": {"image": "web:1.0.0", "digest": "a" * 12, "ready": "2/2"},
        "stable": stable(),
        **status,
    }
    return {
        "apiVersion": "podpin.dev/v1alpha1",
        "kind": "ImageRollout",
        "metadata": {
            "name": name,
            "namespace": "shop",
            "generation": 2,
            "creationTimestamp": time(0),
            "annotations": annotations or {},
            **(metadata or {}),
        },
        "spec": spec or {"workload": {"kind": "Deployment", "replicas": 2}},
        "status": {key: value for key, value in parts.items() if value is not None},
    }


def pod(name: str, letter: str, *, ready: bool = True, labels: Json | None = None, **container: Any) -> Json:
    """A Pod of a release; keywords are fields of its container's status."""
    conditions = [
        {"type": "PodScheduled", "status": "True", "lastTransitionTime": time(3500)},
        {"type": "Ready", "status": str(ready), "lastTransitionTime": time(3505)},
    ]
    state = {"running": {"startedAt": time(3502)}}
    own = {"podpin.dev/rollout": "web", "podpin.dev/release": letter * 4, **(labels or {})}
    return {
        "metadata": {"name": name, "uid": name, "creationTimestamp": time(3500), "labels": own},
        "spec": {"nodeName": "node-1", "containers": [{"name": "app", "readinessProbe": {"periodSeconds": 1}}]},
        "status": {
            "phase": "Running",
            "conditions": conditions,
            "containerStatuses": [
                {"name": "app", "ready": ready, "restartCount": 0, "state": state, "lastState": {}, **container}
            ],
        },
    }


def crashing(name: str, letter: str, restarts: int = 3, **more: Any) -> Json:
    """A Pod whose container exits again and again."""
    last = {"terminated": {"exitCode": 1, "reason": "Error", "startedAt": time(3503), "finishedAt": time(3504)}}
    state = {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off"}}
    return pod(name, letter, ready=False, restartCount=restarts, state=state, lastState=last, **more)


def deployment(letter: str, *, name: str = "web", replicas: int = 2, **status: int) -> Json:
    """A Deployment that runs a release, whole unless `status` says otherwise."""
    counts = {"replicas": replicas, "updatedReplicas": replicas, "availableReplicas": replicas, **status}
    return {
        "metadata": {"name": name, "uid": name, "labels": {"podpin.dev/rollout": "web"}},
        "spec": {"replicas": replicas, "template": {"metadata": {"labels": {"podpin.dev/release": letter * 4}}}},
        "status": counts,
    }
