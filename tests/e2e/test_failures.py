"""Every way in which a new version can fail, each on a real node.

Rejected with its reason, rolled back, and the Pods of the stable release never touched.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from tests.cluster.application import other_architecture
from tests.e2e.stage import both_kinds, container_of, pod_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.cluster.application import Kind
    from tests.cluster.images import Format
    from tests.e2e.stage import Stage
    from tests.e2e.world import Json

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]

MISSING = "sha256:" + "0" * 64


@dataclass(frozen=True)
class Row:
    """A stable 1.0.0, and then something that fails: a version of a bad kind, or a changed spec."""

    shows: str
    reasons: tuple[str, ...]
    kind: Kind | None = None
    after: float = 1
    prepare: Callable[[Json], None] = lambda rollout: None
    change: Callable[[Json], None] | None = None
    words: str = ""
    rollout: tuple[str, str] = ("60s", "1s")
    replicas: int = 2
    form: Format = "oci"


def demand_another_platform(rollout: Json) -> None:
    rollout["spec"]["images"][0]["platforms"] = [f"linux/{other_architecture()}"]


def limit_memory(rollout: Json) -> None:
    container_of(rollout)["resources"] = {"limits": {"memory": "24Mi"}}


def check_page_first(rollout: Json) -> None:
    """An init container of the same image fails where the page is missing."""
    pod_of(rollout)["initContainers"] = [{"name": "check", "command": ["/bin/sh", "-c", "test -e /www/healthz"]}]
    rollout["spec"]["images"].append({**rollout["spec"]["images"][0], "container": "check"})


def ask_for_missing_key(rollout: Json) -> None:
    reference = {"secretKeyRef": {"name": "database", "key": "password"}}
    container_of(rollout)["env"] = [{"name": "PASSWORD", "valueFrom": reference}]


def ask_for_missing_digest(rollout: Json) -> None:
    rollout["spec"]["images"][0]["policy"] = {"digest": {"value": MISSING}}


ROWS = [
    Row("its digest is in no registry", ("ImageNotFound",), change=ask_for_missing_digest, words="no such image"),
    Row(
        "it is for another platform, which the spec demanded",
        ("WrongPlatform",),
        "wrong_platform",
        prepare=demand_another_platform,
        form="index",
        words="no variant for the platform",
    ),
    Row("its program is missing", ("CannotStart",), "missing_binary", words="no such file or directory"),
    # Older runtimes tell this on the container's standard error only, and then it is a crash like any other.
    Row("its program is for another machine", ("CannotStart", "CrashLooping"), "exec_format"),
    Row("its configuration lacks a key", ("BadContainerConfig",), change=ask_for_missing_key, words="database"),
    Row("it crashes again and again", ("CrashLooping",), "crash", words="exited 3 times or more, last with code 1"),
    Row("it takes too much memory", ("OutOfMemory",), "oom", prepare=limit_memory, words="more memory than its limit"),
    Row("its init container fails", ("InitContainerFailed",), "unready", prepare=check_page_first, words="check"),
    Row(
        "it is never ready", ("ProgressDeadlineExceeded",), "unready", rollout=("10s", "1s"), words="progress deadline"
    ),
    Row(
        "it loses its readiness while baking",
        ("ReadinessLost",),
        "becomes_unready",
        after=5,
        rollout=("60s", "30s"),
        replicas=1,
        words="had been ready",
    ),
    Row(
        "it restarts while baking",
        ("RestartedAfterReady", "ReadinessLost"),
        "restarts_later",
        after=5,
        rollout=("60s", "30s"),
        replicas=1,
        words="had been ready",
    ),
]


@both_kinds
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.shows)
def test_is_rejected_and_rolled_back_when(stage: Stage, row: Row, kind: str) -> None:
    deadline, bake = row.rollout
    workload = {"kind": kind, "replicas": row.replicas}
    manifest = stage.rollout(rollout={"progressDeadline": "60s", "bakeTime": "1s"}, workload=workload)
    row.prepare(manifest)
    stage.push("1.0.0", form=row.form)
    stage.apply(manifest)
    stage.until_stable("1.0.0")
    serving = stage.serving()
    stage.change({"spec": {"rollout": {"progressDeadline": deadline, "bakeTime": bake}}})
    stage.until_says("RolledOut")

    if row.kind is not None:
        stage.push("1.1.0", row.kind, after=row.after)
        stage.look()
    if row.change is not None:
        row.change(manifest)
        stage.apply(manifest)
    ready = stage.until_says("RolledBack")
    rejected = stage.status()["rejected"]
    assert len(rejected) == 1
    assert rejected[0]["reason"] in row.reasons
    assert row.words in rejected[0]["message"]
    assert ready["status"] == ("True" if row.kind else "False"), "what the user changed is not what runs"
    assert bool(stage.condition("Stalled")) == (row.change is not None)
    stable, bad = stage.status()["stable"]["release"], rejected[0]["release"]
    stage.until(lambda: not stage.pods(bad), "the Pods of the rejected release to go")
    assert stage.templates() == [stable, bad, stable]
    stage.until(lambda: stage.events("RolledBack"), "the event")
    assert [event["reason"] for event in stage.events()][-2:] == ["Rejected", "RolledBack"]
    if row.rollout[1] == "1s":  # while baking, the stable Pods have gone already
        stage.assert_untouched(serving)
    stage.assert_pinned()


def test_is_rejected_when_it_was_deleted_before_the_node_pulled_it(stage: Stage) -> None:
    stage.need("audit")
    mark = f"podpin.test/{stage.namespace}"
    node = stage.cluster.kubectl.get("nodes")["items"][0]["metadata"]["name"]
    stage.cluster.kubectl("label", "node", node, f"{mark}=yes")
    manifest = stage.rollout()
    pod_of(manifest)["nodeSelector"] = {mark: "yes"}
    stage.push("1.0.0")
    stage.apply(manifest)
    stage.until_stable("1.0.0")
    serving = stage.serving()
    stage.cluster.kubectl("label", "node", node, f"{mark}-")
    digest = stage.push("1.1.0")
    stage.look()
    stage.until_says("Unschedulable", ":1.1.0@")
    stage.registry.delete(stage.repository, digest)
    stage.cluster.kubectl("label", "node", node, f"{mark}=yes")
    stage.until_says("RolledBack", "ImageNotFound")
    stage.assert_untouched(serving)
    stage.cluster.kubectl("label", "node", node, f"{mark}-")


@both_kinds
def test_a_first_release_that_fails_is_left_as_it_is_until_a_fixed_one_comes(stage: Stage, kind: str) -> None:
    stage.push("1.0.0", "missing_binary")
    stage.apply(stage.rollout(workload={"kind": kind}))
    ready = stage.until_says("Rejected", "there is no stable release to go back to")
    assert ready["status"] == "False"
    assert stage.condition("Stalled")["status"] == "True"
    assert stage.templates() == [stage.release("1.0.0")]
    assert len(stage.pods(stage.release("1.0.0"))) == 2
    stage.push("1.0.1")
    stage.look()
    stage.until_stable("1.0.1")
    assert stage.verdicts() == {"1.0.0": "CannotStart", "1.0.1": "Stable"}


@both_kinds
def test_without_rollback_the_verdict_is_told_and_the_workload_left(stage: Stage, kind: str) -> None:
    stage.push("1.0.0")
    stage.apply(stage.rollout(rollback={"enabled": False}, workload={"kind": kind}))
    stage.until_stable("1.0.0")
    serving = stage.serving()
    stage.push("1.1.0", "missing_binary")
    stage.look()
    ready = stage.until_says("Rejected", "spec.rollback.enabled is false")
    assert ready["status"] == "False"
    assert stage.templates() == [stage.release("1.0.0"), stage.release("1.1.0")]
    stage.assert_untouched(serving)
    stage.change({"spec": {"rollback": {"enabled": True}}})
    stage.until_says("RolledBack", "CannotStart")
    stage.assert_untouched(serving)


@both_kinds
def test_nothing_happens_when_there_is_nothing_new(stage: Stage, kind: str) -> None:
    stage.need("audit")
    stage.push("1.0.0")
    stage.push("0.9.0")
    stage.apply(stage.rollout(workload={"kind": kind}))
    stage.until_stable("1.0.0")
    serving, before = stage.serving(), stage.mark()
    stage.push("0.9.1")
    stage.push("not-a-version")
    stage.registry.tag(stage.repository, "1.0.0", "1.0.0")
    stage.look()
    stage.look()
    assert [(one.resource, one.subresource) for one in stage.writes(before)] == [("imagerollouts", "status")] * 2
    assert stage.templates() == [stage.release("1.0.0")]
    stage.assert_untouched(serving)
