"""What holds a new release back, what passes, and what is never held."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from tests.builders import at, container, pod, pods, record, release_id, rollout, run, seen, spec, waiting, workload
from tests.decisions import ready_of, told

from podpin.core.decision import Apply, Manner, Requests, Rollout
from podpin.core.observation import Observation
from podpin.core.rollout import decide
from podpin.core.spec import Problem, Spec, problem_of
from podpin.core.status import CandidateStatus, RequestsStatus, Status, render_status

A, B = release_id("a"), release_id("b")
MANUAL = spec(update={"mode": "Manual"})
# The tests' world begins on a Sunday at noon, UTC.
MONDAYS = spec(update={"windows": [{"cron": "0 9 * * 1", "duration": "8h"}]})
SUNDAYS = spec(update={"windows": [{"cron": "0 9 * * 0", "duration": "8h"}]})
FROZEN = spec(update={"freeze": [{"from": "2026-02-28T00:00:00Z", "to": "2026-03-03T00:00:00Z"}]})
THAWED = spec(update={"freeze": [{"from": "2026-02-20T00:00:00Z", "to": "2026-03-01T12:00:00Z"}]})
CRASHING = waiting("CrashLoopBackOff", restarts=2, last=run())
STABLE = (record("a", "Stable"),)
STEADY: dict[str, Any] = {"workload": workload("a"), "pods": pods("a"), "records": STABLE}
TRYING: dict[str, Any] = {
    "workload": workload("b", ready=False),
    "pods": (pod("b", container(ready=False)), *pods("a")),
    "records": (*STABLE, record("b")),
}
FAILING: dict[str, Any] = {**TRYING, "pods": (pod("b", CRASHING), *pods("a"))}
PROVEN: dict[str, Any] = {"workload": workload("b"), "pods": pods("b"), "records": (*STABLE, record("b"))}
FORGIVEN = replace(record("b"), request="1:retry=now")
REJECTED: dict[str, Any] = {**STEADY, "records": (*STABLE, record("b", "Rejected", 2))}
STARTS = ["write b", "apply b"]


def asked(wish: Spec, **requests: str) -> Rollout:
    return rollout(wish, requests=Requests(**requests))


def paused(wish: Spec | None = None, **fields: Any) -> Rollout:
    return rollout(wish, paused="incident 7", **fields)


@dataclass(frozen=True)
class Row:
    says: str
    rollout: Rollout
    seen: Observation
    does: list[str]
    ready: str
    events: list[str] | None = field(default=None)


ROWS = [
    Row("nothing holds a release by default", rollout(), seen("b", **STEADY), STARTS, "Unknown Progressing"),
    Row("does nothing where nothing new is wanted", rollout(MANUAL), seen("a", **STEADY), [], "True RolledOut", []),
    # approval
    Row("waits for a person to approve", rollout(MANUAL), seen("b", **STEADY), [], "True AwaitingApproval", ["AwaitingApproval"]),
    Row("starts what a person has approved of", asked(MANUAL, approve=B), seen("b", **STEADY), STARTS, "Unknown Progressing", ["Progressing"]),
    Row("takes the approval of a canary's step for one of its release", asked(MANUAL, approve=f"{B}/1"), seen("b", **STEADY), STARTS, "Unknown Progressing"),
    Row("waits on when another release is approved of, and says so", asked(MANUAL, approve="0123456789"), seen("b", **STEADY), [], "True AwaitingApproval", ["RequestRefused", "AwaitingApproval"]),
    Row("waits on when a part of its name is approved of", asked(MANUAL, approve=B[:8]), seen("b", **STEADY), [], "True AwaitingApproval", ["RequestRefused", "AwaitingApproval"]),
    Row("says that a rejected release is not approved of but retried", asked(MANUAL, approve=B), seen("b", **REJECTED), [], "True RolledBack", ["RequestRefused"]),
    Row("says nothing of an approval of what runs", asked(MANUAL, approve=A), seen("a", **STEADY), [], "True RolledOut", []),
    Row("starts the first release without approval", rollout(MANUAL), seen("b"), STARTS, "Unknown Progressing"),
    Row("retries without approval", asked(MANUAL, retry="now"), seen("b", **REJECTED), ["forgive b", "apply b"], "Unknown Progressing"),
    Row("goes on with a retry that podpin died over", asked(MANUAL, retry="now"), seen("b", **{**STEADY, "records": (*STABLE, FORGIVEN)}), ["apply b"], "Unknown Progressing"),
    Row("asks again when what was once tried again is wanted much later", rollout(MANUAL, Status(requests=RequestsStatus(retry="now", obeyed=1)), requests=Requests(retry="now")), seen("b", **{**STEADY, "records": (*STABLE, FORGIVEN)}), [], "True AwaitingApproval"),
    Row("waits when the first release proves stable in the moment that another one comes", rollout(MANUAL), seen("c", workload=workload("b"), pods=pods("b"), records=(record("b"),)), ["stable b"], "True AwaitingApproval"),
    Row("asks again before an older stable release is wanted back", rollout(MANUAL), seen("b", **{**STEADY, "records": (record("b", "Stable", 1), record("a", "Stable", 2))}), [], "True AwaitingApproval"),
    # windows and freeze
    Row("waits for its window", rollout(MONDAYS), seen("b", **STEADY), [], "True OutsideWindow", ["OutsideWindow"]),
    Row("starts within its window", rollout(SUNDAYS), seen("b", **STEADY), STARTS, "Unknown Progressing"),
    Row("starts outside its window what a person has approved of", asked(MONDAYS, approve=B), seen("b", **STEADY), STARTS, "Unknown Progressing"),
    Row("starts the first release at any time", rollout(MONDAYS), seen("b"), STARTS, "Unknown Progressing"),
    Row("proves a candidate when the window is closed", rollout(MONDAYS), seen("b", **PROVEN), ["stable b"], "True RolledOut"),
    Row("waits while frozen", rollout(FROZEN), seen("b", **STEADY), [], "True Frozen", ["Frozen"]),
    Row("starts when the freeze is over", rollout(THAWED), seen("b", **STEADY), STARTS, "Unknown Progressing"),
    Row("starts in spite of a freeze what a person has approved of", asked(FROZEN, approve=B), seen("b", **STEADY), STARTS, "Unknown Progressing"),
    Row("lets an earlier candidate go on while a newer release waits", rollout(MONDAYS), seen("c", **TRYING), [], "Unknown Progressing"),
    # pause
    Row("starts nothing while paused", paused(), seen("b", **STEADY), [], "True Paused", ["Paused"]),
    Row("starts not even the first release while paused", paused(), seen("b"), [], "False Paused"),
    Row("starts not even what a person has approved of while paused", paused(requests=Requests(approve=B)), seen("b", **STEADY), [], "True Paused"),
    Row("retries nothing while paused", paused(requests=Requests(retry="now")), seen("b", **REJECTED), [], "True RolledBack", []),
    Row("makes a candidate's Deployment stand still", paused(), seen("b", **TRYING), ["apply b"], "Unknown Paused"),
    Row("proves nothing while paused", paused(), seen("b", **PROVEN), ["apply b"], "Unknown Paused"),
    # going back is never held
    *(
        Row(f"takes a failing candidate back, {how}", each, seen("b", **FAILING), ["reject b", "apply a"], "True RolledBack")
        for how, each in (("Manual", rollout(MANUAL)), ("frozen", rollout(FROZEN)), ("paused", paused()))
    ),
    *(
        Row(f"makes the stable release anew while another waits, {how}", each, seen("b", records=STABLE), ["apply a"], "Unknown Progressing")
        for how, each in (("Manual", rollout(MANUAL)), ("frozen", rollout(FROZEN)), ("paused", paused()))
    ),
    Row("finishes a rollback that podpin died over, though a newer release waits", rollout(FROZEN), seen("c", **{**FAILING, "records": (*STABLE, record("b", "Rejected", 2))}), ["apply a"], "True Frozen"),
    Row("goes back when a person asks, paused and frozen", paused(FROZEN, requests=Requests(rollback_to="previous")), seen("b", **TRYING), ["reject b", "apply a"], "True RolledBack"),
    Row("goes back to the stable release when that is wanted, paused and frozen", paused(FROZEN), seen("a", **TRYING), ["apply a"], "True RolledOut"),
]  # fmt: skip


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.says)
def test_gate(row: Row) -> None:
    decision = decide(row.rollout, row.seen, at(13))
    assert [told(action) for action in decision.actions] == row.does
    assert ready_of(decision.status) == row.ready
    if row.events is not None:
        assert [notice.reason for notice in decision.notices] == row.events


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.says)
def test_waiting_is_told_once(row: Row) -> None:
    first = decide(row.rollout, row.seen, at(13))
    if not first.actions:
        second = decide(replace(row.rollout, status=first.status), row.seen, at(14))
        assert second.status == first.status
        assert second.notices == ()


def test_what_waits_its_command_and_until_when_stand_in_status() -> None:
    status = decide(rollout(MANUAL), seen("b", **STEADY), at(13)).status
    assert status.waiting is not None
    assert (status.waiting.release, status.waiting.until) == (B, None)
    message = next(one.message for one in status.conditions if one.type == "Ready")
    assert message.endswith(
        f"waits: spec.update.mode is Manual: kubectl annotate --overwrite ir web podpin.dev/approve={B}"
    )
    later = decide(rollout(MONDAYS), seen("b", **STEADY), at(13))
    assert render_status(later.status)["waiting"]["until"] == "2026-03-02T09:00:00Z"
    assert later.recheck_at is not None
    assert later.recheck_at.isoformat() == "2026-03-02T09:00:00+00:00"
    assert decide(rollout(MONDAYS), seen("b", **STEADY), later.recheck_at).actions != ()


def test_a_refused_approval_counts_as_handled() -> None:
    status = decide(asked(MANUAL, approve="nonsense"), seen("b", **STEADY), at(13)).status
    assert status.requests == RequestsStatus(approve="nonsense")


# --- a pause in the middle of a trial


def pausing() -> Apply:
    """What is applied when a trial is paused."""
    (apply,) = decide(paused(status=candidate()), seen("b", **TRYING), at(13)).actions
    assert isinstance(apply, Apply)
    return apply


def candidate() -> Status:
    return Status(candidate=CandidateStatus(release=B, images=(), started_at=at(0), clock_from=at(0)))


def still(**changes: Any) -> Observation:
    """The trial with its Deployment as podpin has paused it."""
    world = {**TRYING, **changes}
    return seen("b", **{**world, "workload": replace(world["workload"], paused=True, intent=pausing().mark)})


def test_a_paused_deployment_is_left_alone_while_the_pause_lasts() -> None:
    assert pausing().manner is Manner.PAUSED
    assert decide(paused(status=candidate()), still(), at(20)).actions == ()


def test_the_clock_stands_still_while_paused_and_goes_on_afterwards() -> None:
    began = decide(paused(status=candidate()), seen("b", **TRYING), at(13)).status
    late = decide(paused(status=began), still(), at(5000))
    assert (late.actions, late.status) == ((), began)
    resumed = decide(rollout(status=began), still(), at(5001))
    (apply,) = resumed.actions
    assert isinstance(apply, Apply)
    assert apply.manner is Manner.USUAL
    assert ready_of(resumed.status) == "Unknown Progressing"
    assert resumed.status.candidate is not None
    assert resumed.status.candidate.paused_since is None


def test_a_candidate_that_fails_by_its_own_fault_is_taken_back_though_its_deployment_is_paused() -> None:
    decision = decide(paused(status=candidate()), still(pods=FAILING["pods"]), at(20))
    assert [told(action) for action in decision.actions] == ["reject b", "apply a"]
    assert [one.manner for one in decision.actions if isinstance(one, Apply)] == [Manner.USUAL]


def test_a_deployment_that_somebody_else_has_paused_is_still_told_of() -> None:
    other = seen("b", **{**TRYING, "workload": replace(TRYING["workload"], paused=True)})
    assert ready_of(decide(rollout(status=candidate()), other, at(20)).status) == "Unknown WorkloadPaused"


@pytest.mark.parametrize(
    ("update", "words"),
    [
        ({"windows": [{"cron": "0 25 * * *", "duration": "1h"}]}, "spec.update.windows[0]: the cron expression '0 25 * * *' cannot be read: bad hour"),
        ({"freeze": [{"cron": "0 9 * * *", "duration": "1h", "timeZone": "Mars/Base"}]}, "spec.update.freeze[0]: the time zone 'Mars/Base' is not known"),
        ({"freeze": [{"from": "2026-03-02T00:00:00Z", "to": "2026-03-01T00:00:00Z"}]}, "it ends before it begins"),
    ],
)  # fmt: skip
def test_times_that_make_no_sense_stall_the_rollout(update: dict[str, Any], words: str) -> None:
    problem = problem_of(spec(update=update))
    assert isinstance(problem, Problem)
    assert problem.reason == "InvalidWindow"
    assert words in problem.message
