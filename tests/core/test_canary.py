"""The canary: what is done with it in each state of the world, and what the workload beside it has of it, which is nothing."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from tests.builders import (
    REPOSITORY,
    at,
    container,
    digest,
    images,
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
from tests.decisions import ready_of, told

from podpin.core import report
from podpin.core.canary import Step, steps_of
from podpin.core.decision import ApplyCanary, Requests, Rollout
from podpin.core.observation import Workload
from podpin.core.release import release_of, source_of
from podpin.core.rollout import decide
from podpin.core.status import CanaryStatus, CandidateStatus, ImageStatus, Status

if TYPE_CHECKING:
    from podpin.core.observation import Observation, Pod
    from podpin.core.spec import Spec

TERMS = {"progressDeadline": "60s", "bakeTime": "10s"}
ONE = spec(rollout={**TERMS, "canary": {"replicas": 1, "bakeTime": "20s"}})
TWO = spec(
    workload={"replicas": 4},
    rollout={**TERMS, "canary": {"steps": [{"percent": 10, "bakeTime": "20s", "pause": True}, {"percent": 50}]}},
)
NO_WAY_BACK = spec(rollback={"enabled": False}, rollout={**TERMS, "canary": {"replicas": 1}})
CRASHING = waiting("CrashLoopBackOff", restarts=2, last=run())
A, B, C = record("a", "Stable"), record("b"), record("b", "Rejected", 2)
STEADY: dict[str, Any] = {"workload": workload("a"), "pods": pods("a")}


def beside(letter: str, step: int = 1, count: int = 1, wish: Spec = ONE, **fields: Any) -> Workload:
    """The canary's Deployment in a step, all of its Pods up unless told otherwise."""
    whole = workload(letter, wish)
    from podpin.core.canary import canary_intent

    release = release_of(wish, images(letter))
    return replace(
        whole,
        **{
            "uid": "c1",
            "intent": canary_intent(release.id, release.images, None, step, count),
            "replicas": count,
            "total": count,
            "updated": count,
            "available": count,
            "step": (step, count),
            **fields,
        },
    )


def few(letter: str, count: int = 1, **fields: Any) -> tuple[Pod, ...]:
    """Pods of the canary, ready since second 3 unless told otherwise."""
    return tuple(pod(letter, name=f"web-canary-{nth}", canary=True, **fields) for nth in range(count))


def tried(letter: str = "b", step: int = 1, of: int = 1, count: int = 1, since: float = 2) -> Status:
    told_of = CanaryStatus(step=step, of=of, replicas=count, since=at(since))
    return Status(
        candidate=CandidateStatus(
            release=release_id(letter), images=(), started_at=at(2), clock_from=at(since), canary=told_of
        )
    )


@dataclass(frozen=True)
class Row:
    says: str
    seen: Observation
    does: list[str]
    ready: str
    rollout: Rollout = field(default_factory=lambda: rollout(ONE))
    now: float = 13
    events: list[str] | None = None


SICK = (*pods("a"), *few("b", ready=False, phase="Pending"))
SICK = tuple(replace(one, containers=(CRASHING,)) if one.canary else one for one in SICK)
BROKEN = beside("b", available=0)

ROWS = [
    Row("goes straight with the first release, for there is nothing to protect", seen("a"), ["write a", "apply a"], "Unknown Progressing"),
    Row("tries a new release by canary, and leaves the workload alone", seen("b", **STEADY, records=(A,)), ["write b", "canary b 1 with 1"], "Unknown Progressing", events=["Progressing"]),
    Row("finishes what podpin died over: the record is there, the canary is not", seen("b", **STEADY, records=(A, B)), ["canary b 1 with 1"], "Unknown Progressing"),
    Row("lets the canary come up", seen("b", workload=workload("a"), pods=(*pods("a"), *few("b", ready=False)), canary=BROKEN, records=(A, B)), [], "Unknown Progressing", rollout(ONE, tried())),
    Row("lets the canary bake for its own time", seen("b", workload=workload("a"), pods=(*pods("a"), *few("b")), canary=beside("b"), records=(A, B)), [], "Unknown Progressing", rollout(ONE, tried()), now=22.9, events=[]),
    Row("gives the release to the workload once the canary has baked, and takes the canary away", seen("b", workload=workload("a"), pods=(*pods("a"), *few("b")), canary=beside("b"), records=(A, B)), ["apply b", "remove canary"], "Unknown Progressing", rollout(ONE, tried()), now=23, events=["Promoted"]),
    Row("takes a canary away that is left after podpin's death", seen("b", workload=workload("b", ready=False), pods=(*pods("a"), *few("b")), canary=beside("b"), records=(A, B)), ["remove canary"], "Unknown Progressing", rollout(ONE, tried()), now=24),
    Row("rejects a canary that fails, and the workload has not been touched", seen("b", workload=workload("a"), pods=SICK, canary=BROKEN, records=(A, B)), ["reject b", "remove canary"], "True RolledBack", rollout(ONE, tried()), events=["Rejected", "RolledBack"]),
    Row("takes the rejected canary away where podpin died after the verdict", seen("b", workload=workload("a"), pods=SICK, canary=BROKEN, records=(A, C)), ["remove canary"], "True RolledBack", rollout(ONE, tried())),
    Row("leaves a failed canary where rollback is switched off", seen("b", workload=workload("a"), pods=SICK, canary=BROKEN, records=(A, B)), ["reject b"], "True RolledBack", rollout(NO_WAY_BACK, tried())),
    Row("goes on leaving it", seen("b", workload=workload("a"), pods=SICK, canary=BROKEN, records=(A, C)), [], "True RolledBack", rollout(NO_WAY_BACK)),
    Row("does not leave it when another release is wanted", seen("a", workload=workload("a"), pods=SICK, canary=BROKEN, records=(A, C)), ["remove canary"], "True RolledOut", rollout(NO_WAY_BACK)),
    Row("gives the canary to a newer release", seen("c", workload=workload("a"), pods=SICK, canary=BROKEN, records=(A, B)), ["write c", "canary c 1 with 1"], "Unknown Progressing", rollout(ONE, tried())),
    Row("takes the canary away when the stable release is wanted again", seen("a", workload=workload("a"), pods=SICK, canary=BROKEN, records=(A, B)), ["remove canary"], "True RolledOut", rollout(ONE, tried())),
    Row("takes it away when what is wanted now was rejected before", seen("c", workload=workload("a"), pods=SICK, canary=BROKEN, records=(A, B, record("c", "Rejected", 2))), ["remove canary"], "True RolledBack", rollout(ONE, tried())),
    Row("goes on judging the canary while the registry is down", seen(None, workload=workload("a"), pods=SICK, canary=BROKEN, records=(A, B)), ["reject b", "remove canary"], "True RolledOut", rollout(ONE, tried())),
    Row("makes the canary again when somebody deleted it", seen("b", **STEADY, records=(A, B)), ["canary b 1 with 1"], "Unknown Progressing", rollout(ONE, tried())),
    Row("puts the number of its Pods back when somebody changed it", seen("b", workload=workload("a"), pods=(*pods("a"), *few("b")), canary=beside("b", replicas=0), records=(A, B)), ["canary b 1 with 1"], "Unknown Progressing", rollout(ONE, tried())),
    Row("does not blame the canary when the stable Pods fail at the same time", seen("b", workload=workload("a", ready=False), pods=(*pods("a", ready=False, ready_changed=at(5)), *SICK[-1:]), canary=BROKEN, records=(A, B)), [], "Unknown StableFailingToo", rollout(ONE, tried())),
    Row("tells that the stable release is degraded while a canary is tried", seen("b", workload=workload("a", ready=False), pods=(*pods("a", 1), pod("a", container(ready=False), name="ill", phase="Running", ready_changed=at(5)), *few("b")), canary=beside("b"), records=(A, B)), [], "False Degraded", rollout(ONE, tried()), now=20),
    Row("rejects the canary, and touches nothing else, when asked to go back", seen("b", workload=workload("a"), pods=(*pods("a"), *few("b")), canary=beside("b"), records=(A, B)), ["reject b", "remove canary"], "True RolledBack", rollout(ONE, tried(), requests=Requests(rollback_to="previous"))),
    Row("goes back to an older release than the one that runs when asked for that", seen("b", workload=workload("a"), pods=(*pods("a"), *few("b")), canary=beside("b"), records=(record("e", "Stable"), record("a", "Stable", 2), B)), ["stable e", "reject b", "apply e", "remove canary"], "Unknown RollingBack", rollout(ONE, tried(), requests=Requests(rollback_to=release_id("e")))),
    Row("tries a rejected release again by canary", seen("b", **STEADY, records=(A, C)), ["forgive b", "canary b 1 with 1"], "Unknown Progressing", rollout(ONE, requests=Requests(retry="1"))),
    Row("goes straight where no replicas are wanted", seen("b", workload=workload("a", replicas=0, total=0, updated=0, available=0), records=(A,)), ["write b", "apply b"], "Unknown Progressing", rollout(spec(workload={"replicas": 0}, rollout={**TERMS, "canary": {"replicas": 1}}))),
    Row("lets the workload take over at once when canaries are switched off", seen("b", workload=workload("a"), pods=(*pods("a"), *few("b", ready=False)), canary=BROKEN, records=(A, B)), ["apply b", "remove canary"], "Unknown Progressing", rollout(spec(), tried()), events=["Promoted"]),
    Row("touches no canary while suspended", seen("b", workload=workload("a"), pods=SICK, canary=BROKEN, records=(A, B)), [], "True Suspended", rollout(spec(suspend=True, rollout={**TERMS, "canary": {"replicas": 1}}), tried())),
    Row("does nothing where all is as it should be", seen("a", **STEADY, records=(A,)), [], "True RolledOut", events=[]),
]  # fmt: skip


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.says)
def test_decision(row: Row) -> None:
    decision = decide(row.rollout, row.seen, at(row.now))
    assert [told(action) for action in decision.actions] == row.does
    assert ready_of(decision.status) == row.ready
    if row.events is not None:
        assert [notice.reason for notice in decision.notices] == row.events
    if not decision.actions:
        again = decide(replace(row.rollout, status=decision.status), row.seen, at(row.now))
        assert again.status == decision.status, "deciding twice says nothing the second time"
        assert again.notices == ()


def test_the_choice_that_podpin_died_over_stands_until_the_registry_answers() -> None:
    told_last = ImageStatus(
        container="app",
        repository=REPOSITORY,
        tag="1.0.0",
        digest=digest("a"),
        resolved_at=at(0),
        source=source_of(ONE.images[0]),
    )
    world = seen(None, workload=workload("a"), pods=(*pods("a"), *few("b")), canary=beside("b"), records=(A, B))
    caught = decide(rollout(ONE, Status(images=(told_last,))), world, at(5))
    assert caught.actions == (), "the canary goes on, though status says that the stable release is wanted"
    assert caught.status.images[0].digest == digest("b")
    reverted = decide(rollout(ONE, tried().model_copy(update={"images": (told_last,)})), world, at(5))
    assert [told(action) for action in reverted.actions] == ["remove canary"], "told of once, it can be taken back"


def test_each_step_has_its_pods_its_bake_time_and_its_own_deadline() -> None:
    world = {"workload": workload("a", TWO), "records": (record("a", "Stable", wish=TWO), record("b", wish=TWO))}
    first = decide(rollout(TWO), seen("b", **world, pods=pods("a", 4)), at(2))
    assert [told(action) for action in first.actions] == ["canary b 1 with 1"], "a tenth of four, rounded up"
    paused = seen("b", **world, pods=(*pods("a", 4), *few("b")), canary=beside("b", wish=TWO))
    waits = decide(rollout(TWO, first.status), paused, at(23))
    assert waits.actions == ()
    assert ready_of(waits.status) == "True AwaitingApproval"
    assert f"podpin.dev/approve={release_id('b')}/1" in waits.status.conditions[0].message
    assert decide(rollout(TWO, waits.status), paused, at(5000)).status == waits.status, "nobody is hurried"
    wrong = decide(rollout(TWO, waits.status, requests=Requests(approve=f"{release_id('c')}/1")), paused, at(100))
    assert wrong.actions == ()
    yes = Requests(approve=f"{release_id('b')}/1")
    second = decide(rollout(TWO, waits.status, requests=yes), paused, at(100))
    assert [told(action) for action in second.actions] == ["canary b 2 with 2"]
    assert second.status.candidate is not None
    assert second.status.candidate.started_at == at(2)
    assert second.status.candidate.clock_from == at(100)
    assert second.status.candidate.canary == CanaryStatus(step=2, of=2, replicas=2, since=at(100))
    both = seen("b", **world, pods=(*pods("a", 4), *few("b", 2)), canary=beside("b", 2, 2, TWO))
    baking = decide(rollout(TWO, second.status, requests=yes), both, at(109))
    assert baking.actions == (), "Pods that were ready before count from the beginning of the step"
    assert baking.recheck_at == at(110)
    done = decide(rollout(TWO, baking.status, requests=yes), both, at(110))
    assert [told(action) for action in done.actions] == ["apply b", "remove canary"]


def test_the_canary_keeps_its_size_when_the_workload_is_scaled_in_its_step() -> None:
    scaled = spec(workload={"replicas": 40}, rollout=TWO_TERMS)
    world = {
        "workload": workload("a", scaled),
        "records": (record("a", "Stable", wish=scaled), record("b", wish=scaled)),
    }
    now = seen("b", **world, pods=(*pods("a", 40), *few("b")), canary=beside("b", wish=scaled))
    assert decide(rollout(scaled, tried(of=2)), now, at(10)).actions == ()


TWO_TERMS = {**TERMS, "canary": {"steps": [{"percent": 10}, {"percent": 50}]}}


@pytest.mark.parametrize(
    ("step", "replicas", "size"),
    [
        pytest.param(Step(3, None, timedelta(), False), 1, 3, id="a number is a number, however many the workload has"),
        pytest.param(Step(None, 10, timedelta(), False), 1, 1, id="there is always one"),
        pytest.param(Step(None, 10, timedelta(), False), 10, 1, id="a tenth of ten"),
        pytest.param(Step(None, 10, timedelta(), False), 11, 2, id="rounded up"),
        pytest.param(Step(None, 100, timedelta(), False), 200, 200, id="as many again"),
    ],
)
def test_size(step: Step, replicas: int, size: int) -> None:
    assert step.size(replicas) == size


def test_a_step_without_a_bake_time_has_that_of_the_rollout() -> None:
    assert [step.bake for step in steps_of(TWO)] == [timedelta(seconds=20), timedelta(seconds=10)]


def test_the_clock_of_a_canary_stands_still_while_the_cluster_holds_it_up() -> None:
    held = few("b", ready=False, unschedulable="no room", scheduled_at=None, phase="Pending")
    held = tuple(replace(one, containers=()) for one in held)
    world = seen("b", workload=workload("a"), pods=(*pods("a"), *held), canary=BROKEN, records=(A, B))
    first = decide(rollout(ONE, tried()), world, at(20))
    assert ready_of(first.status) == "Unknown Unschedulable"
    assert first.status.candidate is not None
    assert first.status.candidate.paused_since == at(20)
    assert decide(rollout(ONE, first.status), world, at(5000)).actions == ()


def test_a_canary_that_never_gets_ready_is_rejected_at_the_deadline() -> None:
    slow = few("b", ready=False, phase="Running")
    slow = tuple(replace(one, containers=(container(ready=False),)) for one in slow)
    world = seen("b", workload=workload("a"), pods=(*pods("a"), *slow), canary=BROKEN, records=(A, B))
    assert decide(rollout(ONE, tried()), world, at(61)).actions == ()
    late = decide(rollout(ONE, tried()), world, at(62))
    assert [told(action) for action in late.actions] == ["reject b", "remove canary"]


def test_what_runs_and_what_is_tried_stand_in_the_columns() -> None:
    world = seen("b", workload=workload("a"), pods=(*pods("a"), *few("b")), canary=beside("b"), records=(A, B))
    running = decide(rollout(ONE, tried()), world, at(13)).status.running
    assert running is not None
    assert (running.image, running.ready, running.trying) == ("web:1.0.0", "2/2", "web:1.0.1")


MANUAL = spec(update={"mode": "Manual"}, rollout={**TERMS, "canary": {"replicas": 1, "bakeTime": "20s"}})
UP = {"workload": workload("a"), "pods": (*pods("a"), *few("b")), "canary": beside("b"), "records": (A, B)}


def test_a_release_that_awaits_approval_has_no_canary_before_it_is_approved_of() -> None:
    world = seen("b", **STEADY, records=(A,))
    waits = decide(rollout(MANUAL), world, at(13))
    assert waits.actions == ()
    assert ready_of(waits.status) == "True AwaitingApproval"
    yes = rollout(MANUAL, waits.status, requests=Requests(approve=release_id("b")))
    assert [told(action) for action in decide(yes, world, at(14)).actions] == ["write b", "canary b 1 with 1"]


def test_a_rejected_release_that_is_tried_again_needs_no_other_approval() -> None:
    again = rollout(MANUAL, requests=Requests(retry="1"))
    done = decide(again, seen("b", **STEADY, records=(A, C)), at(13))
    assert [told(action) for action in done.actions] == ["forgive b", "canary b 1 with 1"]


def test_a_paused_canary_is_not_promoted_but_fails_all_the_same() -> None:
    paused = rollout(ONE, tried(), paused="lunch")
    waits = decide(paused, seen("b", **UP), at(100))
    assert waits.actions == ()
    ready = waits.status.conditions[0]
    assert ready.reason == "Paused"
    assert "paused by the annotation podpin.dev/pause (lunch)" in ready.message
    assert "cluster" not in ready.message
    assert decide(replace(paused, status=waits.status), seen("b", **UP), at(200)).status == waits.status
    resumed = decide(rollout(ONE, waits.status), seen("b", **UP), at(5000))
    assert [told(action) for action in resumed.actions] == ["apply b", "remove canary"]
    sick = seen("b", workload=workload("a"), pods=SICK, canary=BROKEN, records=(A, B))
    assert [told(action) for action in decide(paused, sick, at(13)).actions] == ["reject b", "remove canary"]


def test_a_newer_release_that_is_held_back_leaves_the_canary_as_it_is() -> None:
    done = decide(rollout(MANUAL, tried()), seen("c", **UP), at(13))
    assert done.actions == ()
    assert done.status.waiting is not None
    assert done.status.waiting.release == release_id("c")
    assert done.status.candidate is not None
    assert done.status.candidate.release == release_id("b")


# --- what is left after podpin's death, or after somebody else's doing


def test_the_stable_workload_comes_back_beside_its_canary_when_somebody_deleted_it() -> None:
    alone = seen("b", pods=few("b"), canary=beside("b"), records=(A, B))
    assert [told(action) for action in decide(rollout(ONE, tried()), alone, at(10)).actions] == ["apply a"]


def test_a_canary_that_is_left_over_proves_and_fails_nobody_else() -> None:
    crashing = replace(pod("c", ready=False, phase="Pending"), containers=(CRASHING,))
    left = {"workload": workload("c", ready=False), "canary": beside("b"), "records": (A, B, record("c"))}
    good = decide(rollout(spec(), tried()), seen("c", pods=(*pods("a"), crashing, *few("b")), **left), at(500))
    assert "stable c" not in [told(action) for action in good.actions]
    assert "remove canary" in [told(action) for action in good.actions]
    sick = replace(few("b", ready=False)[0], containers=(CRASHING,))
    coming = pod("c", container(ready=False), ready=False)
    bad = decide(rollout(spec(), tried()), seen("c", pods=(*pods("a"), coming, sick), **left), at(10))
    assert [told(action) for action in bad.actions] == ["remove canary"]


def test_going_back_to_the_very_release_that_a_canary_tries_gives_it_the_workload() -> None:
    tries_a = {"workload": workload("b"), "pods": (*pods("b"), *few("a")), "canary": beside("a")}
    world = seen("a", **tries_a, records=(record("a", "Stable", 1), record("b", "Stable", 2)))
    asked = rollout(ONE, tried("a"), requests=Requests(rollback_to=release_id("a")))
    done = decide(asked, world, at(10))
    assert [told(action) for action in done.actions] == ["reject b", "apply a", "remove canary"]


def test_a_step_that_the_api_server_refuses_is_asked_for_once() -> None:
    world = {"workload": workload("a", STEPS), "records": (record("a", "Stable", wish=STEPS), record("b", wish=STEPS))}
    done = seen("b", **world, pods=(*pods("a"), *few("b")), canary=beside("b", wish=STEPS))
    asks = decide(rollout(STEPS, tried(of=2)), done, at(30))
    (apply,) = asks.actions
    assert isinstance(apply, ApplyCanary)
    refused = report.refused(tried(of=2), apply.intent, "too many", None)
    again = decide(rollout(STEPS, refused), done, at(31))
    assert again.actions == ()
    assert ready_of(again.status) == "False WorkloadRefused"
    assert again.notices
    later = decide(rollout(STEPS, again.status), done, at(3000))
    assert (later.actions, later.notices, later.status) == ((), (), again.status)


STEPS = spec(rollout={**TERMS, "canary": {"steps": [{"replicas": 1}, {"percent": 100}]}})


def test_switching_canaries_off_starts_nothing_while_paused() -> None:
    world = seen("b", **UP)
    paused = decide(rollout(spec(), tried(), paused="lunch"), world, at(13))
    assert [told(action) for action in paused.actions] == ["remove canary"]
    assert [told(action) for action in decide(rollout(spec(), tried()), world, at(13)).actions] == [
        "apply b",
        "remove canary",
    ]


def test_whoever_makes_the_steps_fewer_meanwhile_keeps_the_pause_after_the_last_one() -> None:
    fewer = spec(rollout={**TERMS, "canary": {"replicas": 1, "pause": True}})
    world = seen("b", workload=workload("a"), pods=(*pods("a"), *few("b")), canary=beside("b", 2), records=(A, B))
    waits = decide(rollout(fewer, tried(step=2, of=2)), world, at(500))
    assert waits.actions == ()
    assert ready_of(waits.status) == "True AwaitingApproval"
    approved = rollout(fewer, waits.status, requests=Requests(approve=f"{release_id('b')}/1"))
    assert [told(action) for action in decide(approved, world, at(501)).actions] == ["apply b", "remove canary"]
