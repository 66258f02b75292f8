"""What may hold a new release back, on the real node: approval, a window that opens, and a pause in mid-rollout."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from tests.e2e.stage import both_kinds, stays

from podpin.clock import now

if TYPE_CHECKING:
    from tests.e2e.stage import Stage

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]


def stable(stage: Stage, kind: str = "Deployment", **update: object) -> None:
    """1.0.0 is stable under these rules, and 1.1.0 is there."""
    stage.push("1.0.0")
    stage.apply(stage.rollout(workload={"kind": kind, "replicas": 1}, update=update))
    stage.until_stable("1.0.0")
    stage.push("1.1.0")


@both_kinds
def test_a_release_waits_for_approval_costs_one_write_and_begins_when_it_is_approved_of(
    stage: Stage, kind: str
) -> None:
    stable(stage, kind, mode="Manual")
    stage.look()
    before = stage.mark()
    stage.until_says("AwaitingApproval", ":1.1.0@")
    waiting = stage.status()["waiting"]
    assert f"podpin.dev/approve={waiting['release']}" in stage.condition("Ready")["message"]
    assert stage.condition("Ready")["status"] == "True"
    assert waiting["release"] in stage.kubectl("get", "ir", "web", "-o", "wide")
    stays(3, lambda: len(stage.templates()) == 1, "nothing begins without approval")
    assert stage.writes(before) == []

    stage.annotate("approve", "0123456789")
    stage.until(lambda: stage.events("RequestRefused"), "the event about an approval of nothing")
    stays(2, lambda: len(stage.templates()) == 1, "another release's approval is none")

    stage.annotate("approve", waiting["release"])
    stage.until_stable("1.1.0")
    assert "waiting" not in stage.status()
    assert stage.status()["requests"]["approve"] == waiting["release"]


@both_kinds
def test_a_bad_release_that_was_approved_of_is_taken_back_without_asking(stage: Stage, kind: str) -> None:
    stable(stage, kind, mode="Manual")
    stage.push("1.2.0", "crash")
    stage.look()
    stage.until_says("AwaitingApproval", ":1.2.0@")
    stage.annotate("approve", stage.status()["waiting"]["release"])
    stage.until_says("RolledBack", ":1.2.0@")
    assert stage.verdicts()["1.0.0"] == "Stable"


def test_a_release_waits_for_its_window_and_begins_by_itself_when_that_opens(stage: Stage) -> None:
    opens = (now().astimezone(UTC) + timedelta(seconds=75)).replace(second=0, microsecond=0)
    stable(stage, windows=[{"cron": f"{opens.minute} {opens.hour} * * *", "duration": "10m"}])
    stage.look()
    stage.until_says("OutsideWindow", ":1.1.0@")
    until = datetime.fromisoformat(stage.status()["waiting"]["until"])
    assert until == opens
    stage.until_stable("1.1.0", timeout=150)
    began = datetime.fromisoformat(stage.status()["history"][0]["startedAt"])
    assert timedelta(0) <= began - opens < timedelta(seconds=10)


@both_kinds
def test_a_pause_in_mid_rollout_stops_the_workload_and_the_clock_until_it_is_taken_away(
    stage: Stage, kind: str
) -> None:
    stage.push("1.0.0")
    stage.apply(stage.rollout(rollout={"progressDeadline": "20s"}, workload={"kind": kind, "minReadySeconds": 6}))
    stage.until_stable("1.0.0")
    serving = stage.serving()
    stage.push("1.1.0")
    stage.look()
    stage.until(lambda: len(stage.templates()) == 2, "the rollout to begin")
    stage.annotate("pause", "incident 7")
    stage.until_says("Paused", "incident 7")
    if kind == "Deployment":
        stage.until(lambda: stage.deployment()["spec"].get("paused") is True, "the Deployment to be paused")
    before = stage.mark()
    stays(25, lambda: stage.condition("Ready")["reason"] == "Paused", "paused for longer than the deadline")
    assert stage.writes(before) == []
    assert serving <= set(stage.pods()), "the workload stands still"

    stage.change({"metadata": {"annotations": {"podpin.dev/pause": None}}})
    stage.until_stable("1.1.0")
    assert kind == "Pods" or not stage.deployment()["spec"].get("paused")
    assert "Rejected" not in [one["reason"] for one in stage.events()]


@both_kinds
def test_a_candidate_that_fails_while_it_is_paused_is_taken_back(stage: Stage, kind: str) -> None:
    stable(stage, kind)
    stage.push("1.2.0", "crash")
    stage.look()
    stage.until(lambda: len(stage.templates()) == 2, "the rollout to begin")
    stage.annotate("pause", "")
    stage.until_says("RolledBack", ":1.2.0@")
    stage.until(lambda: stage.images() == {stage.pin("1.0.0")}, "only the stable release to run")
    assert kind == "Pods" or not stage.deployment()["spec"].get("paused")


def test_the_web_begins_when_the_migration_runs_what_it_wants(stage: Stage) -> None:
    stage.push("1.0.0")
    web = stage.rollout(workload={"replicas": 1})
    web["spec"]["dependsOn"] = [{"name": "migration"}]
    stage.apply(web)
    assert "which is not there" in stage.until_says("AwaitingDependency")["message"]
    assert stage.deployment() == {}
    stage.apply(stage.rollout("migration", workload={"replicas": 1}, rollout={"bakeTime": "3s"}))
    stage.until_stable("1.0.0", name="migration")
    stage.until_stable("1.0.0")
    first = stage.world.history("deployments", stage.namespace, "web")[0]
    proven = stage.status("migration")["stable"]["since"]
    assert first["metadata"]["creationTimestamp"] >= proven
