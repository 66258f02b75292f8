"""What a line of the log says of a decision."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.builders import at

from podpin.core.account import MOST_TOLD, account_of
from podpin.core.decision import (
    AdoptPod,
    Apply,
    ApplyCanary,
    CreatePod,
    Decision,
    DeletePod,
    EndPull,
    EvictPod,
    Judge,
    Notice,
    PatchPod,
    Prune,
    RemoveCanary,
    Restore,
    StartPull,
    Unstick,
)
from podpin.core.release import Record, Verdict
from podpin.core.status import CandidateStatus, Condition, ReleaseStatus, Status

TRYING = Record("a", "hash", ())
FAILED = replace(TRYING, verdict=Verdict("Rejected", 1, "CrashLooping", "it crashed", at(0), at(5)))
APPLY = Apply("a", None, "intent", None)


@pytest.mark.parametrize(
    ("action", "told", "release"),
    [
        (APPLY, "apply a", "a"),
        (ApplyCanary("a", None, "intent", None, 2, 1), "apply canary a, step 2", "a"),
        (Judge(FAILED), "judge a: Rejected (CrashLooping)", "a"),
        (Judge(TRYING), "judge a: to be tried again", "a"),
        (RemoveCanary("u"), "remove canary", None),
        (Unstick("web-0", "u"), "delete Pod web-0", None),
        (AdoptPod("web-0", "u"), "adopt Pod web-0", None),
        (CreatePod("web-0", "a", None), "create Pod web-0", "a"),
        (DeletePod("web-0", "u"), "delete Pod web-0", None),
        (EvictPod("web-0", "u"), "evict Pod web-0", None),
        (PatchPod("web-0", "u", "a", (), None, at(0)), "change Pod web-0", "a"),
        (StartPull("pull-0", {}), "pull by Pod pull-0", None),
        (EndPull("pull-0", "u"), "end pull by Pod pull-0", None),
        (Restore(()), "restore 0 copies", None),
        (Prune("b"), "prune b", None),
    ],
    ids=str,
)
def test_each_action_is_told_in_few_words(action: object, told: str, release: str | None) -> None:
    account = account_of(Decision(Status(), actions=(action,)))  # type: ignore[arg-type]
    assert account is not None
    assert account.actions == (told,)
    assert account.release == release


def test_a_decision_that_does_and_says_nothing_is_not_told() -> None:
    assert account_of(Decision(Status(), recheck_at=at(5))) is None


def test_a_decision_that_only_says_something_is_told() -> None:
    ready = Condition(type="Ready", status="False", reason="Degraded", last_transition_time=at(0))
    stable = ReleaseStatus(release="s", images=(), since=at(0))
    decision = Decision(Status(conditions=(ready,), stable=stable), notices=(Notice("Warning", "Degraded", "so"),))
    account = account_of(decision)
    assert account is not None
    assert account.fields() == {"release": "s", "ready": "False", "reason": "Degraded", "actions": ()}
    assert account.sentence == "Degraded: nothing to do"


def test_what_is_tried_comes_before_what_serves() -> None:
    stable = ReleaseStatus(release="s", images=(), since=at(0))
    candidate = CandidateStatus(release="c", images=(), started_at=at(0), clock_from=at(0))
    account = account_of(Decision(Status(stable=stable, candidate=candidate), actions=(Prune("b"),)))
    assert account is not None
    assert account.release == "c"


def test_what_is_applied_comes_before_what_is_judged() -> None:
    account = account_of(Decision(Status(), actions=(Judge(FAILED), replace(APPLY, id="s"))))
    assert account is not None
    assert (account.release, account.actions) == ("s", ("judge a: Rejected (CrashLooping)", "apply s"))


def test_hundreds_of_pods_are_not_told_one_by_one() -> None:
    account = account_of(Decision(Status(), actions=tuple(DeletePod(f"web-{n}", "u") for n in range(200))))
    assert account is not None
    assert len(account.actions) == MOST_TOLD + 1
    assert account.actions[-1] == f"{200 - MOST_TOLD} more"
