"""`podpin status`: what a pipeline is told."""

from __future__ import annotations

from typing import Any

import pytest
from tests.cli.objects import condition, rollout

from podpin.cli.views.outcome import Result, outcome

STALLED = (condition("Stalled", "True", "ContainerNotFound"),)
FINAL, OPEN = True, False


@pytest.mark.parametrize(
    ("raw", "result", "final"),
    [
        pytest.param(rollout(), Result.READY, FINAL, id="what is wanted runs"),
        pytest.param(rollout("ScaledToZero"), Result.READY, FINAL, id="nothing is wanted, and nothing runs"),
        pytest.param(rollout("RolledBack"), Result.FAILED, FINAL, id="it was rolled back, though the old one serves"),
        pytest.param(rollout("RollingBack", "Unknown"), Result.FAILED, OPEN, id="it is being rolled back"),
        pytest.param(rollout("Rejected", "False"), Result.FAILED, FINAL, id="it failed with nothing to go back to"),
        pytest.param(
            rollout("ContainerNotFound", "False", conditions=STALLED),
            Result.FAILED,
            FINAL,
            id="nobody can use the spec",
        ),
        pytest.param(rollout("Progressing", "Unknown"), Result.NOT_YET, OPEN, id="it is tried"),
        pytest.param(rollout("AwaitingApproval"), Result.NOT_YET, OPEN, id="it waits for a person"),
        pytest.param(rollout("Suspended"), Result.NOT_YET, OPEN, id="it is suspended"),
        pytest.param(rollout("Degraded", "False"), Result.NOT_YET, OPEN, id="Pods are missing, and may come back"),
        pytest.param(rollout("RegistryDenied", "False"), Result.NOT_YET, OPEN, id="the registry gives nothing yet"),
        pytest.param(
            rollout(conditions=(condition("Resolved", "False", "RegistryUnavailable"),)),
            Result.NOT_YET,
            OPEN,
            id="what was proven runs, but the registry does not say whether that is what is wanted",
        ),
        pytest.param(
            rollout(conditions=(condition("Resolved", "True", "TooYoung"),)),
            Result.READY,
            FINAL,
            id="a newer version is passed over",
        ),
        pytest.param(rollout(""), Result.NOT_YET, OPEN, id="podpin has said nothing"),
        pytest.param(rollout(observedGeneration=1), Result.NOT_YET, OPEN, id="podpin has not seen the newest spec"),
        pytest.param(
            rollout(annotations={"podpin.dev/reconcile": "2"}, requests={"reconcile": "1"}),
            Result.NOT_YET,
            OPEN,
            id="podpin has been asked to look and has not yet",
        ),
        pytest.param(
            rollout("RolledBack", annotations={"podpin.dev/retry": "2"}),
            Result.NOT_YET,
            OPEN,
            id="a retry has been asked for and not begun",
        ),
        pytest.param(
            rollout(annotations={"podpin.dev/reconcile": "1"}, requests={"reconcile": "1"}),
            Result.READY,
            FINAL,
            id="what was asked for has been done",
        ),
        pytest.param(
            rollout(metadata={"deletionTimestamp": "2026-03-01T12:00:00Z"}), Result.FAILED, FINAL, id="it is deleted"
        ),
    ],
)
def test_the_answer_and_whether_waiting_may_change_it(raw: dict[str, Any], result: Result, final: bool) -> None:
    answer = outcome(raw)
    assert (answer.result, answer.final) == (result, final)
    assert "web" in answer.line.plain


def test_the_line_has_the_reason_and_the_message() -> None:
    assert outcome(rollout(message="release aaaa runs")).line.plain == "✓ web  RolledOut  release aaaa runs"
