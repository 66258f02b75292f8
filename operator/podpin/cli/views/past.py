"""The history of a rollout: one line for each release that was tried, newest first, and before them what is to come."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Final

from rich.text import Text

from podpin.cli.views.ages import age, length
from podpin.cli.views.marks import Mark
from podpin.cli.views.releases import pins_text
from podpin.core.status import Status

Cell = Text | str
MARKS: Final = {"Stable": Mark.GOOD, "Rejected": Mark.BAD, "Superseded": Mark.GOING}


def heads(*, wide: bool) -> list[str]:
    """The columns."""
    return ["  RELEASE", "IMAGE", "RESULT", "REASON", "ENDED", "TOOK", "ASKED", *(["MESSAGE"] if wide else [])]


def rows(status: Status, now: datetime, *, wide: bool) -> Iterator[list[Cell]]:
    """A row for each release: what waits, what is tried, and what was."""
    for row in _rows(status, now):
        yield row if wide else row[:-1]


def _rows(status: Status, now: datetime) -> Iterator[list[Cell]]:
    waiting, candidate = status.waiting, status.candidate
    if waiting is not None:
        images = pins_text(waiting.images)
        yield [Mark.WAITING.before(waiting.release), images, _result(Mark.WAITING), waiting.reason, "", "", "", ""]
    if candidate is not None:
        took = age(candidate.started_at, now)
        images = pins_text(candidate.images)
        yield [Mark.MOVING.before(candidate.release), images, _result(Mark.MOVING), "", "", took, "", ""]
    for entry in status.history:
        mark = MARKS[entry.result]
        runs = status.stable is not None and entry.release == status.stable.release and entry.result == "Stable"
        yield [
            mark.before(entry.release, "bold" if runs else ""),
            pins_text(entry.images),
            Text(entry.result, style=mark.style),
            entry.reason or "",
            f"{age(entry.ended_at, now)} ago",
            length(entry.ended_at - entry.started_at),
            entry.asked or "",
            entry.message or "",
        ]


def _result(mark: Mark) -> Text:
    return Text({Mark.WAITING: "Waiting", Mark.MOVING: "Trying"}[mark], style=mark.style)
