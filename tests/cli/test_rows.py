"""`podpin get`: the row that each rollout gets."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from tests.cli.objects import NOW, candidate, chosen, condition, rejected, rollout, waiting

from podpin.cli.output import console_on, table
from podpin.cli.views.ages import length
from podpin.cli.views.marks import Mark, mark_of
from podpin.cli.views.rows import heads, rows


def told(*raws: dict[str, Any], everywhere: bool = False, wide: bool = False) -> list[str]:
    lines = table(heads(everywhere=everywhere, wide=wide), rows(raws, NOW, everywhere=everywhere, wide=wide))
    return [line.plain for line in lines]


def test_the_columns_are_as_wide_as_they_need() -> None:
    assert told(rollout(), rollout(name="a-longer-name", reason="", running=None, stable=None)) == [
        "  NAME            IMAGE       DIGEST         REASON      PODS   NEXT   AGE",
        "✓ web             web:1.0.0   aaaaaaaaaaaa   RolledOut   2/2           60m",
        "◐ a-longer-name                                                        60m",
    ]


def test_all_namespaces_and_the_wide_form_have_a_column_more_each() -> None:
    assert told(rollout(message="release aaaa runs"), everywhere=True, wide=True) == [
        "  NAMESPACE   NAME   IMAGE       DIGEST         REASON      PODS   NEXT   AGE   MESSAGE",
        "✓ shop        web    web:1.0.0   aaaaaaaaaaaa   RolledOut   2/2           60m   release aaaa runs",
    ]


@pytest.mark.parametrize(
    ("raw", "following"),
    [
        pytest.param(rollout(), "", id="nothing, where what is wanted runs"),
        pytest.param(
            rollout("Progressing", "Unknown", candidate=candidate()), "◐ web:1.1.0 is tried", id="what is tried"
        ),
        pytest.param(rollout("AwaitingApproval", waiting=waiting()), "○ web:1.1.0 waits", id="what waits for a person"),
        pytest.param(
            rollout("Frozen", waiting=waiting("Frozen", until="2026-03-02T08:00:00Z")),
            "○ web:1.1.0 waits until 2026-03-02T08:00:00Z",
            id="what waits for a time",
        ),
        pytest.param(
            rollout("RolledBack", rejected=[rejected()]), "✗ web:1.1.0 failed: CrashLooping", id="what failed"
        ),
        pytest.param(
            rollout("RolledBack", images=[chosen()], rejected=[rejected("1.0.1", "c", 3100), rejected()]),
            "✗ web:1.1.0 failed: CrashLooping",
            id="of several, the one that is wanted",
        ),
        pytest.param(rollout(rejected=[rejected()]), "", id="not what failed long ago"),
    ],
)
def test_what_comes_next(raw: dict[str, Any], following: str) -> None:
    row = rows([raw], NOW, everywhere=False, wide=False)[0]
    assert str(row[5]) == following


@pytest.mark.parametrize(
    ("raw", "mark"),
    [
        pytest.param(rollout(), Mark.GOOD, id="rolled out"),
        pytest.param(rollout(""), Mark.MOVING, id="podpin has said nothing yet"),
        pytest.param(rollout("Progressing", "Unknown"), Mark.MOVING, id="under way"),
        pytest.param(rollout("Unschedulable", "Unknown"), Mark.MOVING, id="held up by the cluster"),
        pytest.param(rollout("AwaitingApproval"), Mark.WAITING, id="a person must approve"),
        pytest.param(rollout("Paused", "Unknown"), Mark.WAITING, id="a person has paused it"),
        pytest.param(rollout("RolledBack"), Mark.BACK, id="a version failed, and the one before serves"),
        pytest.param(
            rollout("RolledBack", "False", conditions=(condition("Stalled", "True", "RolledBack"),)),
            Mark.BAD,
            id="a changed spec failed, and waits for its author",
        ),
        pytest.param(rollout("Degraded", "False"), Mark.BAD, id="Pods are missing"),
        pytest.param(rollout("TagNotFound", "False"), Mark.BAD, id="there is nothing to run"),
        pytest.param(rollout(metadata={"deletionTimestamp": "2026-03-01T12:00:00Z"}), Mark.GOING, id="is deleted"),
    ],
)
def test_how_a_rollout_stands_is_seen_at_a_glance(raw: dict[str, Any], mark: Mark) -> None:
    assert mark_of(raw) is mark


@pytest.mark.parametrize(
    ("of", "words"),
    [
        (timedelta(seconds=-3), "0s"),
        (timedelta(seconds=119), "119s"),
        (timedelta(minutes=4, seconds=30), "4m30s"),
        (timedelta(minutes=5), "5m"),
        (timedelta(minutes=179), "179m"),
        (timedelta(hours=5, minutes=10), "5h10m"),
        (timedelta(hours=47), "47h"),
        (timedelta(days=3, hours=1), "3d1h"),
        (timedelta(days=90), "90d"),
        (timedelta(days=800), "2y70d"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_length_of_time_is_told_as_kubectl_tells_it(of: timedelta, words: str) -> None:
    assert length(of) == words


def test_nothing_is_coloured_where_nobody_sees_it(capsys: pytest.CaptureFixture[str]) -> None:
    console = console_on()
    for line in table(["NAME"], [[Mark.BAD.before("web" * 60)]]):
        console.print(line)
    assert capsys.readouterr().out == f"NAME\n✗ {'web' * 60}\n"
