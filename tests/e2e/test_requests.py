"""Requests by annotation: each is obeyed, once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.e2e.stage import both_kinds, container_of

if TYPE_CHECKING:
    from tests.e2e.stage import Stage

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]


def three_versions(stage: Stage, kind: str) -> None:
    """1.0.0, 1.1.0 and 1.2.0, each stable in its turn."""
    for tag in ("1.0.0", "1.1.0", "1.2.0"):
        stage.push(tag)
        if tag == "1.0.0":
            stage.apply(stage.rollout(workload={"kind": kind, "replicas": 1}))
        else:
            stage.look()
        stage.until_stable(tag)


@both_kinds
def test_a_retry_tries_what_was_rejected_once_more(stage: Stage, kind: str) -> None:
    manifest = stage.rollout(workload={"kind": kind, "replicas": 1})
    stage.push("1.0.0")
    stage.apply(manifest)
    stage.until_stable("1.0.0")
    reference = {"secretKeyRef": {"name": "database", "key": "password"}}
    container_of(manifest)["env"] = [{"name": "PASSWORD", "valueFrom": reference}]
    stage.apply(manifest)
    stage.until_says("RolledBack", "BadContainerConfig")
    stable, asked = stage.templates()[0], stage.templates()[1]

    stage.annotate("retry", "too-early")
    stage.until(lambda: stage.templates() == [stable, asked, stable, asked, stable], "a second try, and the way back")
    stage.until_says("RolledBack", "BadContainerConfig")

    stage.kubectl("create", "secret", "generic", "database", "--from-literal=password=x")
    stage.annotate("retry", "now")
    stage.until_says("RolledOut", asked)
    assert stage.status()["requests"]["retry"] == "now"
    stage.look()
    assert stage.templates() == [stable, asked, stable, asked, stable, asked]


def test_a_retry_of_what_is_not_rejected_is_refused_with_an_event(stage: Stage) -> None:
    stage.push("1.0.0")
    stage.apply(stage.rollout(workload={"replicas": 1}))
    stage.until_stable("1.0.0")
    stage.annotate("retry", "why-not")
    stage.until(lambda: stage.events("RequestRefused"), "the event")
    assert "is not rejected" in stage.events("RequestRefused")[0]["message"]
    assert len(stage.templates()) == 1


@both_kinds
def test_rollback_to_previous_goes_back_once_and_holds(stage: Stage, kind: str) -> None:
    three_versions(stage, kind)
    releases = [stage.release(tag) for tag in ("1.0.0", "1.1.0", "1.2.0")]
    stage.annotate("rollback-to", "previous")
    ready = stage.until_says("RolledBack", "RollbackRequested")
    assert ":1.1.0@" in ready["message"].partition(";")[0]
    stage.look()
    stage.until_says("RolledBack", "RollbackRequested")
    assert stage.templates() == [*releases, releases[1]]
    assert stage.verdicts() == {"1.0.0": "Stable", "1.1.0": "Stable", "1.2.0": "RollbackRequested"}

    stage.push("1.3.0")
    stage.look()
    stage.until_stable("1.3.0")


@both_kinds
def test_rollback_to_a_release_goes_back_to_that_one(stage: Stage, kind: str) -> None:
    three_versions(stage, kind)
    oldest = stage.release("1.0.0")
    stage.annotate("rollback-to", oldest)
    stage.until_says("RolledBack", f"release {oldest} runs")
    assert stage.templates()[-1] == oldest
    assert stage.status()["stable"]["release"] == oldest


def test_rollback_to_an_unknown_release_is_refused_with_an_event(stage: Stage) -> None:
    stage.push("1.0.0")
    stage.apply(stage.rollout(workload={"replicas": 1}))
    stage.until_stable("1.0.0")
    stage.annotate("rollback-to", "0123456789")
    stage.until(lambda: stage.events("RequestRefused"), "the event")
    message = stage.events("RequestRefused")[0]["message"]
    assert "'0123456789' is no release that proved stable here" in message
    assert stage.release("1.0.0") in message
    stage.until(lambda: stage.status()["requests"]["rollbackTo"] == "0123456789", "the request to count as handled")
    stage.look()
    assert len(stage.events("RequestRefused")) == 1
    assert len(stage.templates()) == 1
