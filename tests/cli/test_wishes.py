"""The requests: what is written and said, and when there is nothing to ask for."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.builders import at
from tests.cli.objects import candidate, chosen, condition, entry, pinned, rejected, rollout, stable, waiting

from podpin.cli.views import wishes
from podpin.cli.views.releases import Known, from_records, from_status, named, previous
from podpin.cli.views.wishes import Senseless, Wish
from podpin.core.status import Status, parse_status

NOW = at(0)
STAMP = "2026-03-01T12:00:00Z"
CANARY = {"step": 1, "of": 2, "replicas": 1, "since": STAMP}
GONE = (condition("Resolved", "False", "TagNotFound"),)
ROLLED_BACK = rollout("RolledBack", rejected=[rejected()])
SUSPENDED = {"suspend": True, "workload": {"kind": "Deployment"}}


def status_of(raw: dict[str, Any]) -> Status:
    return parse_status(raw["status"])


def written(wish: Wish | Senseless) -> dict[str, str | None] | str:
    """What is written; or why nothing is, in words."""
    return wish.why if isinstance(wish, Senseless) else dict(wish.annotations) or wish.said


APPROVAL = "podpin.dev/approve"


@pytest.mark.parametrize(
    ("raw", "which", "does"),
    [
        pytest.param(
            rollout("AwaitingApproval", waiting=waiting()), None, {APPROVAL: "bbbb"}, id="a release that waits for it"
        ),
        pytest.param(
            rollout("OutsideWindow", waiting=waiting("OutsideWindow")), "bbbb", {APPROVAL: "bbbb"}, id="one by its name"
        ),
        pytest.param(
            rollout("AwaitingApproval", candidate=candidate(canary=CANARY)),
            None,
            {APPROVAL: "bbbb/1"},
            id="a canary's step that is done",
        ),
        pytest.param(
            rollout("AwaitingApproval", candidate=candidate(canary=CANARY), waiting=waiting(letter="c")),
            None,
            "More than one thing waits: say podpin approve web bbbb/1 or podpin approve web cccc.",
            id="two things, and nobody said which",
        ),
        pytest.param(
            rollout("AwaitingApproval", candidate=candidate(canary=CANARY), waiting=waiting(letter="c")),
            "bbbb",
            {APPROVAL: "bbbb/1"},
            id="two things, and one is named",
        ),
        pytest.param(
            rollout("AwaitingApproval", waiting=waiting()),
            "cccc",
            "'cccc' does not wait for approval: bbbb does.",
            id="one that does not wait",
        ),
        pytest.param(rollout(), None, "Nothing to approve: no release of web waits.", id="nothing waits"),
        pytest.param(
            rollout("Paused", waiting=waiting("Paused")),
            None,
            "Nothing to approve: release bbbb waits, but not for a person: Paused.",
            id="what waits for something else",
        ),
        pytest.param(
            rollout("Progressing", "Unknown", candidate=candidate()),
            None,
            "Nothing to approve: release bbbb is being tried and waits for nobody.",
            id="what is being tried",
        ),
        pytest.param(
            rollout("AwaitingApproval", waiting=waiting(), annotations={APPROVAL: "bbbb"}),
            None,
            "Approved already: release bbbb (web:1.1.0@bbbbbbbbbbbb) may begin.",
            id="approved already",
        ),
        pytest.param(
            rollout("Suspended", waiting=waiting(), spec=SUSPENDED),
            None,
            "web is suspended: podpin does nothing for it until spec.suspend is false.",
            id="suspended",
        ),
    ],
)
def test_approve(raw: dict[str, Any], which: str | None, does: object) -> None:
    assert written(wishes.approve(raw, status_of(raw), which)) == does


RETRY = "podpin.dev/retry"


@pytest.mark.parametrize(
    ("raw", "words", "does"),
    [
        pytest.param(ROLLED_BACK, None, {RETRY: STAMP}, id="what was rejected"),
        pytest.param(ROLLED_BACK, "anna", {RETRY: f"anna ({STAMP})"}, id="with who and why"),
        pytest.param(rollout(conditions=GONE), None, {RETRY: STAMP}, id="where the tag is gone"),
        pytest.param(
            rollout(rejected=[rejected()]),
            None,
            "Nothing to retry: no release that web wants was rejected.",
            id="not where what is wanted runs, whatever failed before",
        ),
        pytest.param(
            rollout("Progressing", "Unknown", candidate=candidate(letter="c"), rejected=[rejected()]),
            None,
            "Nothing to retry: release cccc is being tried.",
            id="not while another is tried",
        ),
    ],
)
def test_retry(raw: dict[str, Any], words: str | None, does: object) -> None:
    assert written(wishes.retry(raw, status_of(raw), words, NOW)) == does


def test_a_retry_names_what_is_wanted_and_not_what_was_rejected_last() -> None:
    by_request = rejected("1.0.1", "c", 3100, "RollbackRequested")
    raw = rollout("RolledBack", images=[chosen()], rejected=[by_request, rejected()])
    wish = wishes.retry(raw, status_of(raw), None, NOW)
    assert isinstance(wish, Wish)
    assert wish.said == "Asked podpin to try release bbbb (web:1.1.0@bbbbbbbbbbbb) once more."


def test_a_retry_of_what_is_paused_says_that_it_will_wait() -> None:
    raw = rollout("RolledBack", rejected=[rejected()], annotations={"podpin.dev/pause": ""})
    wish = wishes.retry(raw, status_of(raw), None, NOW)
    assert isinstance(wish, Wish)
    assert wish.said == (
        "Asked podpin to try release bbbb (web:1.1.0@bbbbbbbbbbbb) once more; it is paused, so nothing begins before "
        "podpin resume web."
    )


BACK = "podpin.dev/rollback-to"
HISTORY = [
    entry("Stable", "1.0.0", "a", 60),
    entry("Rejected", "0.9.1", "d", 50, reason="CrashLooping"),
    entry("Stable", "0.9.0", "c", 40),
    entry("Superseded", "0.8.0", "e", 30),
]
TWO = rollout(history=HISTORY, rejected=[rejected("0.9.1", "d", 50)])
ONE = rollout(history=HISTORY[:1])


@pytest.mark.parametrize(
    ("raw", "which", "does"),
    [
        pytest.param(TWO, None, {BACK: "previous"}, id="the one before"),
        pytest.param(TWO, "cccc", {BACK: "cccc"}, id="by its id"),
        pytest.param(TWO, "ccc", {BACK: "cccc"}, id="by its first digits"),
        pytest.param(TWO, "0.9.0", {BACK: "cccc"}, id="by its tag"),
        pytest.param(
            rollout("Progressing", "Unknown", candidate=candidate(), history=HISTORY),
            None,
            {BACK: "previous"},
            id="from what is tried to the stable one",
        ),
        pytest.param(
            rollout("Rejected", "False", rejected=[rejected()], history=HISTORY[:1]),
            None,
            {BACK: "previous"},
            id="from what failed and was left as it is, to the stable one",
        ),
        pytest.param(
            rollout(
                "ImageContested",
                "False",
                rejected=[rejected()],
                history=HISTORY[:1],
                workload={"name": "web", "uid": "u", "generation": 2, "intent": "i", "release": "bbbb"},
            ),
            "1.0.0",
            {BACK: "aaaa"},
            id="the same, while Ready has another reason",
        ),
        pytest.param(TWO, "aaaa", "Nothing to go back to: release aaaa runs already.", id="what runs"),
        pytest.param(
            TWO,
            "dddd",
            "Release dddd was rejected (CrashLooping): only one that proved stable can be gone back to.",
            id="what failed",
        ),
        pytest.param(
            TWO,
            "eeee",
            "Release eeee never proved stable: only one that proved stable can be gone back to.",
            id="what was never decided",
        ),
        pytest.param(
            ONE, "2.0.0", "Nothing to go back to: '2.0.0' is no release that is known here: aaaa.", id="an unknown one"
        ),
        pytest.param(
            ONE, None, "Nothing to go back to: web has no other stable release on record.", id="there is only one"
        ),
        pytest.param(
            rollout(history=HISTORY, annotations={BACK: "cccc"}),
            "cccc",
            "Asked already: podpin is to take web back to release cccc (web:0.9.0@cccccccccccc).",
            id="asked already",
        ),
    ],
)
def test_rollback(raw: dict[str, Any], which: str | None, does: object) -> None:
    status = status_of(raw)
    assert written(wishes.rollback(raw, status, from_status(status), which, complete=True)) == does


def test_the_same_rollback_as_before_is_taken_off_first() -> None:
    raw = rollout(history=HISTORY, annotations={BACK: "previous"}, requests={"rollbackTo": "previous"})
    wish = wishes.rollback(raw, status_of(raw), from_status(status_of(raw)), None, complete=True)
    assert isinstance(wish, Wish)
    assert (wish.over, wish.annotations) == (BACK, {BACK: "previous"})


def test_where_not_all_releases_are_known_podpin_is_asked_all_the_same() -> None:
    status = status_of(ONE)
    assert written(wishes.rollback(ONE, status, from_status(status), None, complete=False)) == {BACK: "previous"}


PAUSE = "podpin.dev/pause"


@pytest.mark.parametrize(
    ("there", "words", "does"),
    [
        pytest.param(None, "incident 7", {PAUSE: "incident 7"}, id="with a reason"),
        pytest.param(None, None, {PAUSE: ""}, id="without one"),
        pytest.param("incident 7", None, "web is paused already (incident 7).", id="already"),
        pytest.param("incident 7", "incident 8", {PAUSE: "incident 8"}, id="for another reason"),
    ],
)
def test_pause(there: str | None, words: str | None, does: object) -> None:
    raw = rollout(annotations={} if there is None else {PAUSE: there})
    assert written(wishes.pause(raw, words)) == does


def test_resume_takes_the_pause_off_and_writes_nothing_where_there_is_none() -> None:
    assert written(wishes.resume(rollout(annotations={PAUSE: ""}))) == {PAUSE: None}
    assert written(wishes.resume(rollout())) == "web is not paused."


def test_reconcile_has_another_value_each_time() -> None:
    assert written(wishes.reconcile(rollout(), NOW)) == {"podpin.dev/reconcile": STAMP}
    assert written(wishes.reconcile(rollout(), at(0.5))) == {"podpin.dev/reconcile": "2026-03-01T12:00:00.500000Z"}
    assert "suspended" in str(written(wishes.reconcile(rollout(spec=SUSPENDED), NOW)))


def record(letter: str, tag: str, order: int = 0, *, owner: str = "u1", result: str = "Stable") -> dict[str, Any]:
    verdict = {"result": result, "order": order, "reason": "R", "message": "", "started": STAMP, "at": STAMP}
    images = {one["container"]: one["image"] for one in pinned(tag, letter)}
    annotations = {"podpin.dev/images": json.dumps(images), "podpin.dev/verdict": json.dumps(verdict)}
    return {
        "metadata": {
            "name": f"web-{letter * 4}",
            "labels": {"podpin.dev/release": letter * 4},
            "annotations": annotations if order else {**annotations, "podpin.dev/verdict": ""},
            "ownerReferences": [{"kind": "ImageRollout", "uid": owner, "controller": True}],
        }
    }


def test_records_are_known_by_their_verdicts_and_those_of_others_are_passed_over() -> None:
    of_others = [record("x", "9", 9, owner="u2"), {"metadata": {"name": "web-7f", "labels": {}}}]
    raws = [record("a", "1.0.0", 1), record("c", "1.2.0"), record("b", "1.1.0", 2, result="Rejected"), *of_others]
    found = from_records(raws, "u1")
    assert [(one.release, one.result) for one in found] == [("cccc", None), ("bbbb", "Rejected"), ("aaaa", "Stable")]


def test_previous_is_the_newest_verdict_and_not_the_newest_release() -> None:
    raws = [record("a", "1.0.0", 5), record("b", "1.1.0", 2), record("c", "1.2.0", 3)]
    status = parse_status({"stable": stable("1.0.0", "a")})
    found = previous(from_records(raws, "u1"), status)
    assert found is not None
    assert found.release == "cccc"


@pytest.mark.parametrize(
    ("words", "found"),
    [
        pytest.param("stable", "aaaa", id="by what it is"),
        pytest.param("candidate", "there is no release that is candidate", id="what is not there"),
        pytest.param("1.1", "'1.1' is more than one release: bbbb, bccc", id="a tag of two"),
        pytest.param("bb", "'bb' is no release that is known here: aaaa, bbbb, bccc", id="too few digits"),
    ],
)
def test_how_a_release_is_named(words: str, found: str) -> None:
    images = tuple((one["container"], one["image"]) for one in pinned("1.1", "b"))
    known = [Known("aaaa", ()), Known("bbbb", images), Known("bccc", images)]
    one = named(words, known, parse_status({"stable": stable()}))
    assert (one.release if isinstance(one, Known) else one) == found
