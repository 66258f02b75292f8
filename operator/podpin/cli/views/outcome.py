"""Where a rollout stands, as one of few answers: what `podpin status` says to a pipeline by its exit status.

What was asked for and has not been handled yet counts as under way, so that `podpin reconcile web` and then
`podpin status web --wait` waits for what that look brings.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Final

from rich.text import Text

from podpin.cli.views.marks import Mark, condition, mark_of
from podpin.core import names
from podpin.core.reading import mapping, number, text


class Result(IntEnum):
    """The answers, by their exit status. 1 and 2 mean that there is none."""

    READY = 0
    """What is wanted runs, and is proven."""
    FAILED = 3
    """What was wanted has failed, or can't be used: a person must do something."""
    NOT_YET = 4
    """It is under way, or waits, or the registry does not say what is wanted."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """An answer, and whether waiting may change it."""

    result: Result
    line: Text
    final: bool


_REQUESTS: Final = {
    names.REQUEST_RECONCILE: ("reconcile", "look at the registry"),
    names.REQUEST_RETRY: ("retry", "try again"),
    names.REQUEST_ROLLBACK: ("rollbackTo", "go back"),
}
PROVEN: Final = frozenset({"RolledOut", "ScaledToZero"})
FALLEN: Final = frozenset({"RolledBack", "Rejected"})


def outcome(raw: Mapping[str, Any]) -> Outcome:
    """Where an ImageRollout stands."""
    metadata, status, ready = mapping(raw.get("metadata")), mapping(raw.get("status")), condition(raw, "Ready")
    name, reason, message = text(metadata.get("name")), text(ready.get("reason")), text(ready.get("message"))
    if metadata.get("deletionTimestamp"):
        return _answer(Result.FAILED, Mark.GOING, name, "", "it is being deleted", final=True)
    if not ready:
        return _answer(Result.NOT_YET, Mark.MOVING, name, "", "podpin has said nothing yet")
    if number(status.get("observedGeneration")) < number(metadata.get("generation")):
        return _answer(Result.NOT_YET, Mark.MOVING, name, reason, "podpin has not answered the changed spec yet")
    mark = mark_of(raw)
    if (wish := pending(raw)) is not None and reason != "Suspended":
        return _answer(Result.NOT_YET, Mark.MOVING, name, reason, f"podpin was asked to {wish} and has not done it yet")
    if reason == "RollingBack":
        return _answer(Result.FAILED, mark, name, reason, message)
    if reason in FALLEN or condition(raw, "Stalled").get("status") == "True":
        return _answer(Result.FAILED, mark, name, reason, message, final=True)
    known = condition(raw, "Resolved").get("status") != "False"
    if reason in PROVEN and ready.get("status") == "True" and known:
        return _answer(Result.READY, Mark.GOOD, name, reason, message, final=True)
    return _answer(Result.NOT_YET, mark, name, reason, message)


def pending(raw: Mapping[str, Any]) -> str | None:
    """What was asked for by annotation and is not handled yet, in a few words, or None."""
    annotations = mapping(mapping(raw.get("metadata")).get("annotations"))
    handled = mapping(mapping(raw.get("status")).get("requests"))
    for annotation, (field, wish) in _REQUESTS.items():
        if annotation in annotations and annotations[annotation] != handled.get(field):
            return wish
    return None


def _answer(result: Result, mark: Mark, name: str, reason: str, message: str, *, final: bool = False) -> Outcome:
    line = mark.before(name, "bold")
    if reason:
        line.append(f"  {reason}", style=mark.style)
    line.append(f"  {message}")
    return Outcome(result, line, final)
