"""How a thing stands, at a glance: one symbol and one colour each, the same everywhere.

Reading is of raw objects, without the models: `podpin get` is to start as fast as kubectl.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any, Final

from rich.text import Text

from podpin.core.reading import array, mapping, text


class Mark(Enum):
    """A symbol and its colour."""

    GOOD = ("✓", "green")
    MOVING = ("◐", "yellow")
    """It is under way and goes on by itself."""
    WAITING = ("○", "cyan")
    """It waits: for a person, for a time, or because somebody has said so."""
    BACK = ("↩", "yellow")
    """What serves is good, and a newer version has failed."""
    BAD = ("✗", "red")
    GOING = ("·", "dim")
    """It is on its way out."""

    @property
    def symbol(self) -> str:
        """Its symbol."""
        return self.value[0]

    @property
    def style(self) -> str:
        """Its colour."""
        return self.value[1]

    def before(self, words: str, style: str = "") -> Text:
        """The symbol, and words behind it."""
        line = Text(self.symbol, style=self.style)
        line.append(" ")
        line.append(words, style=style)
        return line


HELD: Final = frozenset(
    {"AwaitingApproval", "AwaitingDependency", "OutsideWindow", "Frozen", "Paused", "Suspended", "ScaledToZero"}
)
"""Reasons of Ready for which nothing happens until a person, a time or another rollout lets it."""
FELL_BACK: Final = frozenset({"RolledBack", "RollingBack"})


def condition(raw: Mapping[str, Any], kind: str) -> Mapping[str, Any]:
    """One of an object's conditions; empty where there is none."""
    conditions = array(mapping(raw.get("status")).get("conditions"))
    return next((one for one in map(mapping, conditions) if one.get("type") == kind), {})


def mark_of(raw: Mapping[str, Any]) -> Mark:
    """How an ImageRollout stands."""
    ready = condition(raw, "Ready")
    reason, status = text(ready.get("reason")), text(ready.get("status"))
    if mapping(raw.get("metadata")).get("deletionTimestamp"):
        return Mark.GOING
    if condition(raw, "Stalled").get("status") == "True":
        return Mark.BAD
    if reason in FELL_BACK:
        return Mark.BACK
    if status == "False":
        return Mark.WAITING if reason in HELD else Mark.BAD
    if reason in HELD:
        return Mark.WAITING
    return Mark.GOOD if status == "True" else Mark.MOVING
