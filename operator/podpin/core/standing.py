"""What all checks together say of a release that bakes, and whose fault it is when they do not pass.

More failures than are allowed are the release's. A check that cannot be made is never blamed on it, and neither is one
that did not pass with the stable release either, before anything was changed: it says nothing about what is new.

Runs are counted from when the bake time began, in memory alone: what was not seen counts for nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from podpin.core.checks import Failed, NotMade, Passed, Silent, Tally
from podpin.core.signals import Finding
from podpin.core.spec.checks import CheckSpec

CHECK_FAILED: Final = "CheckFailed"
CHECK_UNAVAILABLE: Final = "CheckUnavailable"
IN_A_ROW: Final = 2
"""How often in a row a check must not have been made before that is told: once may be a hiccup."""


@dataclass(frozen=True, slots=True)
class Standing:
    """Where all checks of a release stand; without any of these, all have passed."""

    failing: Finding | None = None
    """One failed more often than it may."""
    blocked: Finding | None = None
    """One cannot be made, or says nothing about the release."""
    pending: Finding | None = None
    """One has not passed yet, or not the last time."""
    blameless: bool = False
    """What is pending was not made, so that no deadline counts for it."""
    troubled: Finding | None = None
    """One has failed, though not more often than it may, whatever it says now."""


def standing_of(checks: Sequence[CheckSpec], tallies: Mapping[str, Tally], unfit: Iterable[str]) -> Standing:
    """Where the checks stand. `unfit` are the names of those that did not pass before the release was started."""
    unfit = frozenset(unfit)
    known = [(check, tallies.get(check.name, Tally())) for check in checks]
    failed = [(check, tally) for check, tally in known if tally.failures and check.name not in unfit]
    for check, tally in failed:
        if tally.failures > check.failures_allowed:
            return Standing(failing=Finding(CHECK_FAILED, _failure(check, tally)))
    for check, tally in known:
        if isinstance(tally.last, NotMade) and tally.not_made >= IN_A_ROW:
            message = f"the check {check.name} cannot be made: {tally.last.why}"
            return Standing(blocked=Finding(CHECK_UNAVAILABLE, message))
        if check.name in unfit and isinstance(tally.last, Failed | Silent):
            message = f"the check {check.name} does not pass, and did not before this release was started either"
            return Standing(blocked=Finding(CHECK_UNAVAILABLE, message))
    troubled = next((_finding(f"has failed: {tally.first_failure}", check) for check, tally in failed), None)
    waiting = [(check, tally) for check, tally in known if not isinstance(tally.last, Passed)]
    for check, tally in waiting:
        if isinstance(tally.last, Failed):
            return Standing(pending=_finding(f"has failed: {tally.first_failure}", check), troubled=troubled)
        if isinstance(tally.last, Silent):
            return Standing(pending=_finding("has given no number yet", check), troubled=troubled)
    for check, _ in waiting:
        return Standing(pending=_finding("has not been made yet", check), blameless=True, troubled=troubled)
    return Standing(troubled=troubled)


def _finding(what: str, check: CheckSpec) -> Finding:
    return Finding("Progressing", f"the check {check.name} {what}")


def _failure(check: CheckSpec, tally: Tally) -> str:
    allowed = check.failures_allowed
    often = "although none of its failures is allowed" if allowed == 0 else f"more than {_times(allowed)}"
    return f"the check {check.name} failed {often}: {tally.first_failure}"


def _times(count: int) -> str:
    return {1: "once", 2: "twice"}.get(count, f"{count} times")
