"""What may hold a new release back: an ordered, closed list of gates, each a small function.

Gates protect what runs: they are asked before a new release is started, and never before going back. Where no stable
release is there to be protected, those that a person has a say in (approval, freeze, windows) hold nothing: whoever
applied the rollout has asked for it. Who approves of a release by its name, or asks for it to be tried again, has
looked at the time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from podpin.core import names
from podpin.core.spec import Spec
from podpin.core.spec.update import MANUAL
from podpin.core.windows import UNFORESEEN, next_opening, open_until

PAUSED: Final = "Paused"
MOST_WORDS: Final = 200
"""How much of what somebody gives as the reason of a pause is told."""


@dataclass(frozen=True, slots=True)
class Hold:
    """Why a release may not be started yet, what to do, and until when, if that is known."""

    reason: str
    message: str
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Asking:
    """A release that asks to be started."""

    release: str
    rollout: str
    spec: Spec
    now: datetime
    guarded: bool
    """A stable release is there to be protected."""
    named: bool
    """A person has asked for this very release: approved of it, or asked for it to be tried again."""
    awaited: str | None
    """What is waited for of other rollouts, in a sentence, or None."""
    pause: str | None
    """The annotation that pauses the rollout, or None."""


def _paused(asking: Asking) -> Hold | None:
    return None if asking.pause is None else Hold(PAUSED, paused_by(asking.pause))


def _depends(asking: Asking) -> Hold | None:
    return None if asking.awaited is None else Hold("AwaitingDependency", asking.awaited)


def _unapproved(asking: Asking) -> Hold | None:
    if asking.spec.update.mode != MANUAL or asking.named or not asking.guarded:
        return None
    command = f"kubectl annotate --overwrite ir {asking.rollout} {names.REQUEST_APPROVE}={asking.release}"
    return Hold("AwaitingApproval", f"spec.update.mode is Manual: {command}")


def _frozen(asking: Asking) -> Hold | None:
    if asking.named or not asking.guarded:
        return None
    end = open_until((one.opening for one in asking.spec.update.freeze), asking.now)
    if end is None:
        return None
    message = f"spec.update.freeze holds it back; {_anyway(asking)}"
    return Hold("Frozen", message, None if end is UNFORESEEN else end)


def _outside(asking: Asking) -> Hold | None:
    windows = tuple(one.opening for one in asking.spec.update.windows)
    if not windows or asking.named or not asking.guarded or open_until(windows, asking.now) is not None:
        return None
    message = f"it waits for the next of spec.update.windows; {_anyway(asking)}"
    return Hold("OutsideWindow", message, next_opening(windows, asking.now))


def _anyway(asking: Asking) -> str:
    return f"annotate {names.REQUEST_APPROVE}={asking.release} to let it begin at once"


def paused_by(why: str) -> str:
    """The sentence about a pause."""
    told = f" ({why[:MOST_WORDS]})" if why else ""
    return f"paused by the annotation {names.PAUSE}{told}: take that away to let it go on"


GATES: Final[tuple[Callable[[Asking], Hold | None], ...]] = (
    _paused,  # nothing else matters while a person wants everything to stand still
    _depends,  # before approval: nobody should approve of what could not begin
    _unapproved,  # before the calendar, which an approval passes too: no window is told of meanwhile
    _frozen,
    _outside,
)


def hold_of(asking: Asking) -> Hold | None:
    """The first gate that is closed, or None where the release may be started."""
    return next((hold for gate in GATES if (hold := gate(asking)) is not None), None)
