"""The heart: each state, each signal, and what is done about it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from tests.builders import (
    REPOSITORY,
    START,
    at,
    container,
    digest,
    pod,
    pods,
    record,
    release_id,
    rollout,
    run,
    seen,
    spec,
    waiting,
    workload,
)
from tests.decisions import OTHER, ready_of, told

from podpin.core.config import Moved, Reference
from podpin.core.decision import Apply, Decision, Judge, Prune, Requests, Rollout, Write
from podpin.core.observation import Observation, Pod, Resolved, Unresolved
from podpin.core.release import source_of
from podpin.core.rollout import decide
from podpin.core.spec import Problem
from podpin.core.status import CandidateStatus, ImageStatus, RequestsStatus, Status, WorkloadStatus
from podpin.core.transitions import SIGNALS, TRANSITIONS, State
from podpin.core.workload import pod_template

CRASHING = waiting("CrashLoopBackOff", restarts=2, last=run())
SICK = (pod("b", CRASHING, name="web-b-0"), *pods("a"))
NO_WAY_BACK = spec(rollback={"enabled": False})
BY_REQUEST = record("b", "Rejected", 2)
BY_REQUEST = BY_REQUEST.judged(BY_REQUEST.verdict and replace(BY_REQUEST.verdict, reason="RollbackRequested"))
DOWN = Unresolved("RegistryUnavailable", "the registry does not answer")


def candidate(letter: str, started: float = 0) -> Status:
    return Status(
        candidate=CandidateStatus(release=release_id(letter), images=(), started_at=at(started), clock_from=at(started))
    )


def chosen(letter: str) -> Status:
    """The choice that the last look at the registry left behind, for the spec as it is."""
    tag = f"1.0.{ord(letter) - 97}"
    source = source_of(spec().images[0])
    return Status(
        images=(
            ImageStatus(
                container="app", repository=REPOSITORY, tag=tag, digest=digest(letter), resolved_at=START, source=source
            ),
        )
    )


@dataclass(frozen=True)
class Row:
    says: str
    seen: Observation
    does: list[str]
    ready: str
    rollout: Rollout = field(default_factory=rollout)
    now: float = 13
    events: list[str] | None = None
    holds: dict[str, Any] = field(default_factory=dict)


ROWS = [
    # nothing runs
    Row("waits, silently, for the registry's first answer", seen(None), [], "", events=[]),
    Row("starts the first release, on record first", seen("a"), ["write a", "apply a"], "Unknown Progressing", events=["Progressing"]),
    Row("says so when the registry gives nothing", seen(None, images={"app": DOWN}), [], "False RegistryUnavailable"),
    Row("brings the stable release back when its workload is gone", seen("a", records=(record("a", "Stable"),)), ["apply a"], "Unknown Progressing"),
    Row("brings the stable release back while the registry is down", seen(None, images={"app": DOWN}, records=(record("a", "Stable"),)), ["apply a"], "Unknown Progressing", rollout(status=chosen("a"))),
    Row("brings the stable release back, not the rejected one", seen("b", records=(record("a", "Stable"), record("b", "Rejected", 2))), ["apply a"], "Unknown RollingBack"),
    # a candidate is tried
    Row("lets a candidate come up", seen("b", workload=workload("b", ready=False), pods=(pod("b", container(ready=False)), *pods("a")), records=(record("a", "Stable"), record("b"))), [], "Unknown Progressing", rollout(status=candidate("b"))),
    Row("lets a candidate bake", seen("b", workload=workload("b"), pods=pods("b"), records=(record("a", "Stable"), record("b"))), [], "Unknown Progressing", rollout(status=candidate("b")), now=12),
    Row("makes a healthy candidate the stable release", seen("b", workload=workload("b"), pods=pods("b"), records=(record("a", "Stable"), record("b"))), ["stable b"], "True RolledOut", events=["RolledOut"]),
    Row("proves nothing by Pods of a Deployment that somebody changed", seen("b", workload=workload("b", drifted=True), pods=pods("b"), records=(record("a", "Stable"), record("b"))), ["apply b"], "Unknown Progressing"),
    Row("rejects a failing candidate and goes back, verdict first", seen("b", workload=workload("b", ready=False), pods=SICK, records=(record("a", "Stable"), record("b"))), ["reject b", "apply a"], "True RolledBack", events=["Rejected", "RolledBack"]),
    Row("leaves a failing first release, there being nothing to go back to", seen("a", workload=workload("a", ready=False), pods=(pod("a", CRASHING),), records=(record("a"),)), ["reject a"], "False Rejected", events=["Rejected"]),
    Row("is not ready when the changed spec asks for what there is not", seen("a", images={"app": Unresolved("TagNotFound", "no such tag")}, workload=workload("a"), pods=pods("a"), records=(record("a", "Stable"),)), [], "False TagNotFound"),
    Row("leaves a failing release where rollback is switched off", seen("b", workload=workload("b", NO_WAY_BACK, ready=False), pods=SICK, records=(record("a", "Stable"), record("b"))), ["reject b"], "False Rejected", rollout(NO_WAY_BACK)),
    Row("gives up a candidate for a newer release", seen("c", workload=workload("b", ready=False), pods=SICK, records=(record("a", "Stable"), record("b"))), ["write c", "apply c"], "Unknown Progressing", rollout(status=candidate("b"))),
    Row("keeps what was proven in the moment that a newer release came", seen("c", workload=workload("b"), pods=pods("b"), records=(record("a", "Stable"), record("b"))), ["stable b", "write c", "apply c"], "Unknown Progressing"),
    Row("goes back at once when the stable release is wanted again", seen("a", workload=workload("b", ready=False), pods=SICK, records=(record("a", "Stable"), record("b"))), ["apply a"], "True RolledOut"),
    Row("goes back when what is wanted now was rejected before", seen("c", workload=workload("b", ready=False), pods=SICK, records=(record("a", "Stable"), record("b"), record("c", "Rejected", 2))), ["apply a"], "True RolledBack"),
    Row("goes on judging a candidate while the registry is down", seen(None, images={"app": DOWN}, workload=workload("b", ready=False), pods=SICK, records=(record("a", "Stable"), record("b"))), ["reject b", "apply a"], "True RolledBack", rollout(status=chosen("b"))),
    Row("writes the record that is missing of what runs and is wanted", seen("a", workload=workload("a"), pods=pods("a")), ["write a"], "Unknown Progressing"),
    # the stable release runs
    Row("does nothing where all is as it should be", seen("a", workload=workload("a"), pods=pods("a"), records=(record("a", "Stable"),)), [], "True RolledOut", events=[]),
    Row("starts a newer release", seen("b", workload=workload("a"), pods=pods("a"), records=(record("a", "Stable"),)), ["write b", "apply b"], "Unknown Progressing"),
    Row("starts a changed template", seen("a", workload=workload("a"), pods=pods("a"), records=(record("a", "Stable"),)), ["write a'", "apply a'"], "Unknown Progressing", rollout(OTHER)),
    Row("tries an older stable release anew when it is wanted", seen("a", workload=workload("b"), pods=pods("b"), records=(record("a", "Stable"), record("b", "Stable", 2))), ["apply a"], "Unknown Progressing"),
    Row("does nothing while the registry is down", seen(None, images={"app": DOWN}, workload=workload("a"), pods=pods("a"), records=(record("a", "Stable"),)), [], "True RolledOut", rollout(status=chosen("a")), events=["RegistryUnavailable"]),
    Row("applies a changed number of replicas without a new release", seen("a", workload=workload("a"), pods=pods("a"), records=(record("a", "Stable"),)), ["apply a"], "True RolledOut", rollout(spec(workload={"replicas": 3}))),
    Row("mends what somebody changed", seen("a", workload=workload("a", drifted=True), pods=pods("a"), records=(record("a", "Stable"),)), ["apply a"], "True RolledOut"),
    Row("does not roll back a stable release that falls ill later", seen("a", workload=workload("a", ready=False), pods=(pod("a", container(ready=False), ready_changed=at(30), phase="Running"),), records=(record("e", "Stable"), record("a", "Stable", 2))), [], "False Degraded", now=45),
    Row("gives a Pod that went away ten seconds to come back", seen("a", workload=workload("a", ready=False), pods=(pod("a", container(ready=False), ready_changed=at(30), phase="Running"),), records=(record("a", "Stable"),)), [], "Unknown Progressing", now=39),
    Row("stays ready while it is scaled up", seen("a", workload=workload("a", ready=False, replicas=3, total=3), pods=(*pods("a"), pod("a", container(ready=False), name="new")), records=(record("a", "Stable"),)), [], "True RolledOut"),
    Row("is rolling back while the rejected release's Pods are there and too few of its own", seen("b", workload=workload("a", ready=False), pods=(*pods("a", 1), *pods("b", 1)), records=(record("a", "Stable"), record("b", "Rejected", 2))), [], "Unknown RollingBack"),
    Row("gives a new Pod of the stable release until the deadline", seen("a", workload=workload("a", ready=False), pods=(pod("a", container(ready=False)),), records=(record("a", "Stable"),)), [], "Unknown Progressing", now=59),
    Row("calls it degraded when a new Pod of the stable release does not come up", seen("a", workload=workload("a", ready=False), pods=(pod("a", container(ready=False)),), records=(record("a", "Stable"),)), [], "False Degraded", now=60),
    Row("knows nothing of the records of a rollout that had its name before", seen("b", records=(record("a", "Stable", owner="another"), record("b", "Rejected", 2, owner="another"))), ["write b", "apply b"], "Unknown Progressing"),
    Row("knows nothing of records that were orphaned, either", seen("b", records=(record("b", "Rejected", 2, owner=None),)), ["write b", "apply b"], "Unknown Progressing"),
    Row("judges nothing where no replicas are wanted", seen("a", workload=workload("a", replicas=0, total=0, updated=0, available=0), records=(record("a"),)), [], "True ScaledToZero", now=5000),
    # a rejected release is wanted
    Row("holds the stable release against a rejected one", seen("b", workload=workload("a"), pods=pods("a"), records=(record("a", "Stable"), record("b", "Rejected", 2))), [], "True RolledBack", events=[]),
    Row("is not ready while it holds against the user's own change", seen("a", workload=workload("a", OTHER), pods=pods("a"), records=(record("a", "Stable"), record("a", "Rejected", 2, OTHER))), ["apply a"], "False RolledBack", rollout(OTHER)),
    Row("leaves the hold for a newer release", seen("c", workload=workload("a"), pods=pods("a"), records=(record("a", "Stable"), record("b", "Rejected", 2))), ["write c", "apply c"], "Unknown Progressing"),
    Row("does not try the rejected digest under another name", seen("b", images={"app": Resolved("9.9.9", digest("b"))}, workload=workload("a"), pods=pods("a"), records=(record("a", "Stable"), record("b", "Rejected", 2))), [], "True RolledBack"),
    Row("finishes a rollback that was cut short after the verdict", seen("b", workload=workload("b", ready=False), pods=SICK, records=(record("a", "Stable"), record("b", "Rejected", 2))), ["apply a"], "True RolledBack"),
    # the first release failed
    Row("lets a failed first release recover", seen("a", workload=workload("a"), pods=pods("a"), records=(record("a", "Rejected"),)), ["stable a"], "True RolledOut"),
    Row("tries a fixed image after a failed first release", seen("b", workload=workload("a", ready=False), pods=(pod("a", CRASHING),), records=(record("a", "Rejected"),)), ["write b", "apply b"], "Unknown Progressing"),
    Row("does not judge a failed first release again", seen("a", workload=workload("a", ready=False), pods=(pod("a", CRASHING),), records=(record("a", "Rejected"),)), [], "False Rejected"),
    Row("goes back once rollback is switched on", seen("b", workload=workload("b", ready=False), pods=SICK, records=(record("a", "Stable"), record("b", "Rejected", 2))), ["apply a"], "True RolledBack"),
    # people ask
    Row("tries a rejected release again when asked", seen("b", workload=workload("a"), pods=pods("a"), records=(record("a", "Stable"), record("b", "Rejected", 2))), ["forgive b", "apply b"], "Unknown Progressing", rollout(requests=Requests(retry="1"))),
    Row("tries it again once only", seen("b", workload=workload("a"), pods=pods("a"), records=(record("a", "Stable"), record("b", "Rejected", 2))), [], "True RolledBack", rollout(requests=Requests(retry="1"), status=Status(requests=RequestsStatus(retry="1", obeyed=1)))),
    Row("does not try again what a record shows to have been tried for this", seen("b", workload=workload("a"), pods=pods("a"), records=(record("a", "Stable"), record("b", "Rejected", 2, request="1:retry=1"))), [], "True RolledBack", rollout(requests=Requests(retry="1"))),
    Row("says that there is nothing to retry", seen("a", workload=workload("a"), pods=pods("a"), records=(record("a", "Stable"),)), [], "True RolledOut", rollout(requests=Requests(retry="1")), events=["RequestRefused"]),
    Row("goes back to the previous release when asked", seen("b", workload=workload("b"), pods=pods("b"), records=(record("a", "Stable"), record("b", "Stable", 2))), ["reject b", "apply a"], "Unknown RollingBack", rollout(requests=Requests(rollback_to="previous"))),
    Row("goes back to the very release that was asked for", seen("c", workload=workload("c"), pods=pods("c"), records=(record("a", "Stable"), record("b", "Stable", 2), record("c", "Stable", 3))), ["stable a", "reject c", "apply a"], "Unknown RollingBack", rollout(requests=Requests(rollback_to=release_id("a")))),
    Row("goes back from a candidate when asked", seen("b", workload=workload("b", ready=False), pods=(pod("b", container(ready=False)), *pods("a")), records=(record("a", "Stable"), record("b"))), ["reject b", "apply a"], "True RolledBack", rollout(requests=Requests(rollback_to="previous"))),
    Row("goes back once, though podpin died before saying so", seen("b", workload=workload("a"), pods=pods("a"), records=(record("e", "Stable"), record("a", "Stable", 2), record("b", "Rejected", 3, request="1:rollback-to=previous"))), [], "True RolledBack", rollout(requests=Requests(rollback_to="previous"))),
    Row("goes on going back when podpin died after the verdict, though what runs is healthy", seen("b", workload=workload("b"), pods=pods("b"), records=(record("a", "Stable"), record("b", "Rejected", 2, request="1:rollback-to=previous"))), ["apply a"], "Unknown RollingBack", rollout(requests=Requests(rollback_to="previous"))),
    Row("goes on going back when asked, whatever the spec says of rolling back by itself", seen("b", workload=workload("b"), pods=pods("b"), records=(record("a", "Stable"), BY_REQUEST)), ["apply a"], "Unknown RollingBack", rollout(NO_WAY_BACK)),
    Row("goes on going back to the very release when podpin died between the two verdicts", seen("c", workload=workload("c"), pods=pods("c"), records=(record("a", "Stable", 4), record("b", "Stable", 2), record("c", "Stable", 3))), ["reject c", "apply a"], "Unknown RollingBack", rollout(requests=Requests(rollback_to=release_id("a")))),
    Row("refuses to go back to what never was stable", seen("a", workload=workload("a"), pods=pods("a"), records=(record("a", "Stable"),)), [], "True RolledOut", rollout(requests=Requests(rollback_to="0123456789")), events=["RequestRefused"]),
    # what it must not touch
    Row("touches nothing while suspended", seen("b", workload=workload("a"), pods=pods("a"), records=(record("a", "Stable"),)), [], "True Suspended", rollout(spec(suspend=True))),
    Row("touches nothing of somebody else's Deployment", seen("a", workload=workload("a", owner="someone")), [], "False WorkloadConflict"),
    Row("touches nothing on an invalid spec", seen("b", workload=workload("a"), records=(record("a", "Stable"),)), [], "False InvalidPolicy", replace(rollout(), spec=Problem("InvalidPolicy", "the range does not parse"))),
]  # fmt: skip


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.says)
def test_decision(row: Row) -> None:
    decision = decide(row.rollout, row.seen, at(row.now))
    assert [told(action) for action in decision.actions] == row.does
    assert ready_of(decision.status) == row.ready
    if row.events is not None:
        assert [notice.reason for notice in decision.notices] == row.events


def decision(one: Rollout, world: Observation, now: float = 13) -> Decision:
    return decide(one, world, at(now))


# --- the clock of a candidate


HELD_UP: dict[str, Any] = {"unschedulable": "no room", "scheduled_at": None, "ready": False}
TRIED = {"workload": workload("b", ready=False), "records": (record("a", "Stable"), record("b"))}


def test_the_clock_stands_still_while_the_cluster_holds_the_release_up() -> None:
    blocked = seen("b", pods=(replace(pod("b", **HELD_UP), containers=()),), **TRIED)
    first = decision(rollout(status=candidate("b")), blocked, 20).status
    assert first.candidate is not None
    assert first.candidate.paused_since == at(20)
    later = decision(rollout(status=first), blocked, 500).status
    assert later == first, "standing still is written once"
    free = seen(
        "b",
        pods=(pod("b", container(ready=False, running_since=None, waiting="ContainerCreating"), scheduled_at=None),),
        **TRIED,
    )
    again = decision(rollout(status=later), free, 520)
    assert ready_of(again.status) == "Unknown Progressing"
    assert again.status.candidate is not None
    assert again.status.candidate.paused_since is None
    assert again.status.candidate.clock_from == at(500), "500 of 520 seconds did not count"
    assert again.recheck_at == at(560)


def test_the_deadline_survives_a_restart_of_podpin() -> None:
    slow = seen("b", pods=(pod("b", container(ready=False)), *pods("a")), **TRIED)
    assert decision(rollout(status=candidate("b")), slow, 61).actions == ()
    assert [type(action) for action in decision(rollout(status=candidate("b")), slow, 62).actions] == [Judge, Apply]


# --- what is said, and how often


def test_the_numbers_stand_still_on_the_way_back_and_are_the_stable_releases_when_that_serves() -> None:
    both = (record("a", "Stable"), record("b", "Rejected", 2))
    before = Status(replicas=2, ready_replicas=2)
    coming = seen("b", workload=workload("a", ready=False), pods=(*pods("a", 1), *pods("b", 1)), records=both)
    told_then = decide(rollout(status=before), coming, at(13)).status
    assert (ready_of(told_then), told_then.replicas, told_then.ready_replicas) == ("Unknown RollingBack", 2, 2)
    there = seen("b", workload=workload("a"), pods=pods("a"), records=both)
    short = Status(replicas=1, ready_replicas=0)
    told_then = decide(rollout(status=short), there, at(13)).status
    assert (ready_of(told_then), told_then.replicas, told_then.ready_replicas) == ("True RolledBack", 2, 2)


@pytest.mark.parametrize("serves", [True, False])
def test_a_failed_release_is_counted_by_its_own_pods_whatever_those_beside_it_do(serves: bool) -> None:
    beside = pod("e", container(ready=serves), name="web-e-1", ready=serves)
    failed = workload("a", replicas=1, total=2, updated=1, available=int(serves))
    world = seen(
        "a", workload=failed, pods=(pod("a", CRASHING, ready=False), beside), records=(record("a", "Rejected"),)
    )
    status = decision(rollout(), world).status
    assert (status.replicas, status.ready_replicas) == (1, 0)


def test_deciding_twice_on_the_same_world_says_and_does_nothing_the_second_time() -> None:
    for row in ROWS:
        first = decide(row.rollout, row.seen, at(row.now))
        if first.actions:
            continue
        second = decide(replace(row.rollout, status=first.status), row.seen, at(row.now))
        assert second.status == first.status, row.says
        assert second.actions == (), row.says
        assert [notice.reason for notice in second.notices] == [], row.says


def test_a_verdict_that_never_got_into_status_is_found_in_the_records() -> None:
    world = seen(
        "b", workload=workload("a"), pods=pods("a"), records=(record("a", "Stable"), record("b", "Rejected", 2))
    )
    status = decision(rollout(), world).status
    assert [(entry.release, entry.result) for entry in status.history] == [
        (release_id("b"), "Rejected"),
        (release_id("a"), "Stable"),
    ]
    assert [entry.release for entry in status.rejected] == [release_id("b")]
    assert status.stable is not None
    assert status.stable.release == release_id("a")


def test_a_failed_first_release_that_comes_up_after_all_is_looked_at_again_when_it_has_baked() -> None:
    world = seen("a", workload=workload("a"), pods=pods("a"), records=(record("a", "Rejected"),))
    baking = decision(rollout(), world, 12)
    assert baking.actions == ()
    assert baking.recheck_at == at(13)


def test_putting_back_and_making_anew_are_told_by_events() -> None:
    drifted = seen("a", workload=workload("a", drifted=True), pods=pods("a"), records=(record("a", "Stable"),))
    assert [notice.reason for notice in decision(rollout(), drifted).notices] == ["DriftCorrected"]
    gone = seen("a", records=(record("a", "Stable"),))
    assert [notice.reason for notice in decision(rollout(), gone).notices] == ["WorkloadRestored"]


def test_a_stable_image_that_the_registry_lost_is_warned_of_while_it_is_so() -> None:
    steady: dict[str, Any] = {"workload": workload("a"), "pods": pods("a"), "records": (record("a", "Stable"),)}
    lost = decision(rollout(), seen("a", lost=(("app", digest("a")),), **steady))
    assert [one.reason for one in lost.status.conditions if one.type == "StableLost"] == ["DigestGone"]
    assert [(notice.type, notice.reason) for notice in lost.notices] == [("Warning", "DigestGone")]
    assert ready_of(lost.status) == "True RolledOut"
    found = decision(rollout(status=lost.status), seen("a", **steady))
    assert not [one for one in found.status.conditions if one.type == "StableLost"]


def test_a_candidate_that_gave_way_stands_in_history() -> None:
    world = seen("c", pods=pods("a"), **TRIED)
    status = decision(rollout(status=candidate("b", 5)), world).status
    assert (status.history[0].release, status.history[0].result) == (release_id("b"), "Superseded")


@pytest.mark.parametrize(
    ("world", "requests", "told"),
    [
        (seen("b", workload=workload("b"), pods=pods("b"), records=(record("a", "Stable"), record("b"))), Requests(), [("b", None)]),
        (seen("b", workload=workload("b"), pods=pods("b"), records=(record("a", "Stable"), record("b", request="1:retry=anna: 2nd try"))), Requests(retry="anna: 2nd try"), [("b", "retry=anna: 2nd try")]),
        (seen("b", workload=workload("b"), pods=pods("b"), records=(record("a", "Stable"), record("b"))), Requests(approve=release_id("b")), [("b", f"approve={release_id('b')}")]),
        (seen("b", workload=workload("b"), pods=pods("b"), records=(record("a", "Stable"), record("b"))), Requests(approve=release_id("a")), [("b", None)]),
        (seen("b", workload=workload("b"), pods=pods("b"), records=(record("a", "Stable"), record("c", "Stable", 2), record("b", "Stable", 3))), Requests(rollback_to=release_id("a")), [("b", f"rollback-to={release_id('a')}"), ("a", f"rollback-to={release_id('a')}")]),
        (seen("b", workload=workload("b", ready=False), pods=SICK, records=(record("a", "Stable", request="1:retry=x"), record("b"))), Requests(), [("b", None)]),
    ],
    ids=["by podpin itself", "tried again", "approved of", "another was approved of", "gone back by request", "gone back from"],
)  # fmt: skip
def test_history_has_who_asked_for_it(world: Observation, requests: Requests, told: Any) -> None:
    status = decision(rollout(requests=requests), world, 60).status
    new = [(entry.release, entry.asked) for entry in status.history if entry.ended_at == at(60)]
    assert sorted(new) == sorted((release_id(letter), asked) for letter, asked in told)


def test_a_workload_that_was_refused_is_not_sent_again() -> None:
    world = seen("b", workload=workload("a"), pods=pods("a"), records=(record("a", "Stable"),))
    first = decision(rollout(), world)
    apply = next(action for action in first.actions if isinstance(action, Apply))
    from podpin.core import report

    refused = report.refused(Status(), apply.intent, "spec.foo: unknown", None)
    second = decision(rollout(status=refused), world)
    assert second.actions == ()
    assert [notice.reason for notice in second.notices] == ["WorkloadRefused"]
    assert ready_of(second.status) == "False WorkloadRefused"
    assert decision(rollout(status=second.status), world).status == second.status
    mended = decision(rollout(spec(workload={"minReadySeconds": 1}), refused), world)
    assert [type(action) for action in mended.actions] == [Write, Apply]
    assert mended.status.refused is None


# --- records are pruned, never those that matter


def test_what_runs_is_judged_although_a_newer_workload_was_refused() -> None:
    from podpin.core import report

    wish = spec(template={"spec": {"containers": [{"name": "app", "typo": 1}]}})
    sick = seen("b", workload=workload("b", ready=False), pods=SICK, records=(record("a", "Stable"), record("b")))
    apply = next(one for one in decision(rollout(wish), sick).actions if isinstance(one, Apply))
    refused = report.refused(Status(), apply.intent, "unknown field", None)
    rolled = decision(rollout(wish, refused), sick)
    assert [type(one) for one in rolled.actions] == [Judge, Apply]
    assert ready_of(rolled.status) == "False WorkloadRefused"


def test_two_refused_workloads_are_not_sent_in_turn() -> None:
    from podpin.core import report

    status = Status()
    for intent in ("first", "second"):
        status = report.refused(status, intent, "no", None)
    assert status.refused is not None
    assert status.refused.intents == ("second", "first")


def test_a_retry_clears_what_was_refused() -> None:
    from podpin.core import report

    world = seen("b", workload=workload("a"), pods=pods("a"), records=(record("a", "Stable"),))
    apply = next(action for action in decision(rollout(), world).actions if isinstance(action, Apply))
    refused = report.refused(Status(), apply.intent, "a policy that is gone now", None)
    again = decision(rollout(status=refused, requests=Requests(retry="1")), world)
    assert [type(action) for action in again.actions] == [Write, Apply]


def test_a_retry_of_what_runs_makes_its_pods_anew() -> None:
    failed = seen(
        "a", workload=workload("a", ready=False), pods=(pod("a", CRASHING),), records=(record("a", "Rejected"),)
    )
    done = decision(rollout(requests=Requests(retry="now")), failed)
    assert [type(action) for action in done.actions] == [Judge, Apply]
    apply = done.actions[1]
    assert isinstance(apply, Apply)
    assert apply.release is not None
    made = pod_template("web", apply.release)
    assert made["metadata"]["annotations"] == {"podpin.dev/retried": "1:retry=now"}


def test_the_first_status_does_not_wait_for_a_slow_registry() -> None:
    new = rollout(created=at(0))
    early = decision(new, seen(None), 1)
    assert early.status == Status()
    assert early.recheck_at == at(2)
    late = decision(new, seen(None), 2)
    assert ready_of(late.status) == "Unknown Resolving"


def test_old_records_are_pruned_but_never_the_stable_the_running_or_the_wanted_one() -> None:
    old = tuple(replace(record("a", "Rejected", n + 1), release=f"old{n:02}") for n in range(25))
    stable = replace(record("a", "Stable", 1), verdict=replace(record("a", "Stable").verdict, order=0))  # type: ignore[type-var]
    world = seen("b", workload=workload("a"), pods=pods("a"), records=(*old, stable, record("b", "Rejected", 30)))
    pruned = {action.release for action in decision(rollout(), world).actions if isinstance(action, Prune)}
    assert pruned == {f"old{n:02}" for n in range(5)}


# --- the table itself


def test_every_state_has_a_row_of_transitions_and_every_signal_is_heeded_somewhere() -> None:
    assert set(TRANSITIONS) == set(State)
    assert {signal for heeded in TRANSITIONS.values() for signal in heeded} == set(SIGNALS)


def test_the_choice_that_podpin_died_over_stands_until_the_registry_answers() -> None:
    """It had applied b and died before its status said so: nobody goes back to a, now or at the look after this one."""
    before = Status(
        images=(image_status("a"),),
        workload=WorkloadStatus(name="web", uid="d1", generation=2, intent="-", release=release_id("a")),
    )
    world = seen(None, workload=workload("b"), pods=pods("b"), records=(record("a", "Stable"), record("b")))
    decision = decide(rollout(status=before), world, at(13))
    assert [type(action).__name__ for action in decision.actions] == ["Judge"]
    assert [image.digest for image in decision.status.images] == [digest("b")]
    judged = replace(world, records=(record("a", "Stable"), record("b", "Stable", 2)))
    caught_up = decision.status.model_copy(
        update={"workload": WorkloadStatus(name="web", uid="d1", generation=3, intent="-", release=release_id("b"))}
    )
    assert decide(rollout(status=caught_up), judged, at(14)).actions == ()


def test_the_choice_that_podpin_died_over_stands_also_where_the_one_before_it_was_rejected() -> None:
    """Only the stable release is gone back to: what runs is not, so it was chosen."""
    before = Status(
        images=(image_status("c"),),
        workload=WorkloadStatus(name="web", uid="d1", generation=2, intent="-", release=release_id("a")),
    )
    tried = {"workload": workload("b", ready=False), "pods": (pod("b", container(ready=False)), *pods("a"))}
    world = seen(None, records=(record("a", "Stable"), record("c", "Rejected", 2), record("b")), **tried)
    decision = decide(rollout(status=before), world, at(13))
    assert decision.actions == ()
    assert [image.digest for image in decision.status.images] == [digest("b")]


def image_status(letter: str) -> ImageStatus:
    """The choice of a version, as status has it."""
    image = spec().images[0]
    return ImageStatus(
        container="app",
        repository=image.repository,
        tag=f"1.0.{ord(letter) - 97}",
        digest=digest(letter),
        resolved_at=at(0),
        source=source_of(image),
    )


MISSED = {"workload": workload("a", ready=False), "records": (record("a", "Stable"),)}
RUNS = "release {} runs (web:1.0.0@{}); but Pod web-1 is not ready".format(release_id("a"), "a" * 12)
CHANGED = (Moved(Reference("ConfigMap", "settings"), "helm"),)
DEGRADED = [
    ("names the Pod where its state tells no more", pod("a", waiting("CrashLoopBackOff", restarts=1, last=run())), (), RUNS),
    ("tells why the Pod is not ready", pod("a", waiting("CrashLoopBackOff", restarts=3, last=run())), (), f"{RUNS}: container app exited 3 times or more, last with code 1 (Error)"),
    ("tells what the Pod is configured by and has changed", pod("a", container(ready=False), probed=False), CHANGED, f"{RUNS}; ConfigMap settings was changed by helm after the release had proven healthy: restore it, or roll out a version that fits"),
]  # fmt: skip


@pytest.mark.parametrize(("says", "one", "moved", "message"), DEGRADED, ids=[row[0] for row in DEGRADED])
def test_degraded(says: str, one: Pod, moved: tuple[Moved, ...], message: str) -> None:
    decision = decide(rollout(), seen("a", pods=(one,), moved=moved, **MISSED), at(60))
    assert ready_of(decision.status) == "False Degraded"
    assert decision.status.conditions[0].message == message
