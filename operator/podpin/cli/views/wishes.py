"""What a request comes to: which annotations it needs, and what it does in a sentence, or why it makes no sense now.

podpin answers a senseless request with an event that nobody may see. Here it is said at once, and nothing is written.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from podpin.cli.views.marks import condition
from podpin.cli.views.rejections import wanted
from podpin.cli.views.releases import Known, named, pins_text, previous, running
from podpin.core import names
from podpin.core.reading import mapping, text
from podpin.core.release import STABLE, images_text
from podpin.core.status import Status

Body = Mapping[str, Any]
ANSWERS: Final = frozenset({"AwaitingApproval", "Frozen", "OutsideWindow"})
"""What an approval lets a release pass."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What to write, which may be nothing, and what that does."""

    said: str
    annotations: Mapping[str, str | None] = field(default_factory=dict)
    over: str | None = None
    """An annotation that podpin must see taken off before: it has handled this value of it already."""


@dataclass(frozen=True, slots=True)
class Senseless:
    """Why there is nothing to ask for."""

    why: str


def approve(raw: Body, status: Status, which: str | None) -> Wish | Senseless:
    """Let what waits begin, or a canary go on."""
    if (why := _suspended(raw)) is not None:
        return why
    name, open_ = _name(raw), _approvable(raw, status)
    if which is not None:
        open_ = {value: told for value, told in open_.items() if which in (value, value.partition("/")[0])}
        if not open_:
            return Senseless(f"{which!r} does not wait for approval: {_what_waits(raw, status)}.")
    if not open_:
        return Senseless(f"Nothing to approve: {_what_waits(raw, status)}.")
    if len(open_) > 1:
        told = " or ".join(f"podpin approve {name} {value}" for value in open_)
        return Senseless(f"More than one thing waits: say {told}.")
    value, told = next(iter(open_.items()))
    if _annotation(raw, names.REQUEST_APPROVE) == value:
        return Wish(f"Approved already: {told}.")
    return Wish(f"Approved: {told}.", {names.REQUEST_APPROVE: value})


def _approvable(raw: Body, status: Status) -> dict[str, str]:
    """What an approval would let go on, by the value of its annotation."""
    found, candidate, waits = {}, status.candidate, status.waiting
    awaits = text(condition(raw, "Ready").get("reason")) == "AwaitingApproval"
    if awaits and candidate is not None and candidate.canary is not None:
        step = candidate.canary
        told = (
            f"release {candidate.release} ({pins_text(candidate.images)}) goes on after step {step.step} of {step.of}"
        )
        found[f"{candidate.release}/{step.step}"] = told
    if waits is not None and waits.reason in ANSWERS:
        found[waits.release] = f"release {waits.release} ({pins_text(waits.images)}) may begin"
    return found


def _what_waits(raw: Body, status: Status) -> str:
    if _approvable(raw, status):
        return " and ".join(f"{value} does" for value in _approvable(raw, status))
    waits, candidate = status.waiting, status.candidate
    if waits is not None:
        return f"release {waits.release} waits, but not for a person: {waits.reason}"
    if candidate is not None:
        return f"release {candidate.release} is being tried and waits for nobody"
    return f"no release of {_name(raw)} waits"


def retry(raw: Body, status: Status, words: str | None, now: datetime) -> Wish | Senseless:
    """Try what was rejected once more."""
    if (why := _suspended(raw)) is not None:
        return why
    name, ready, resolved = _name(raw), condition(raw, "Ready"), condition(raw, "Resolved")
    asked = {names.REQUEST_RETRY: f"{words} ({_stamp(now)})" if words else _stamp(now)}
    if resolved.get("status") == "False" and resolved.get("reason") == "TagNotFound":
        return Wish(f"Asked podpin to choose for {name} among the tags that are left.", asked)
    reason = text(ready.get("reason"))
    if not status.rejected or reason == "RolledOut":
        return Senseless(f"Nothing to retry: no release that {name} wants was rejected.")
    if status.candidate is not None:
        return Senseless(f"Nothing to retry: release {status.candidate.release} is being tried.")
    id_ = wanted(raw).get("release")
    failed = next((one for one in status.rejected if one.release == id_), status.rejected[0])
    told = f"Asked podpin to try release {failed.release} ({pins_text(failed.images)}) once more"
    return Wish(f"{told}{_but_paused(raw)}.", asked)


def rollback(
    raw: Body, status: Status, known: Sequence[Known], which: str | None, *, complete: bool
) -> Wish | Senseless:
    """Go back to a release that proved stable. `complete` says that no other release can be there than the known."""
    if (why := _suspended(raw)) is not None:
        return why
    name = _name(raw)
    if which is None or which == "previous":
        target, value = previous(known, status), "previous"
        if target is None and complete:
            return Senseless(f"Nothing to go back to: {name} has no other stable release on record.")
    else:
        found = named(which, known, status)
        if isinstance(found, str):
            return Senseless(f"Nothing to go back to: {found}.")
        target, value = found, found.release
    if target is not None and target.release == running(status):
        return Senseless(f"Nothing to go back to: release {target.release} runs already.")
    if target is not None and target.result != STABLE:
        why_not = f"was rejected ({target.reason})" if target.result == "Rejected" else "never proved stable"
        return Senseless(f"Release {target.release} {why_not}: only one that proved stable can be gone back to.")
    told = f"to release {target.release} ({images_text(target.images)})" if target else "to the stable release before"
    handled = status.requests.rollback_to if status.requests else None
    there = _annotation(raw, names.REQUEST_ROLLBACK)
    if there == value != handled:
        return Wish(f"Asked already: podpin is to take {name} back {told}.")
    said = f"Asked podpin to take {name} back {told}; it stays there until something newer comes."
    return Wish(said, {names.REQUEST_ROLLBACK: value}, names.REQUEST_ROLLBACK if handled == value else None)


def pause(raw: Body, words: str | None) -> Wish | Senseless:
    """Let nothing new begin or go on."""
    name, there = _name(raw), _annotation(raw, names.PAUSE)
    if there is not None and (words is None or words == there):
        return Wish(f"{name} is paused already{f' ({there})' if there else ''}.")
    said = f"Paused {name}: nothing new begins or goes on, and what fails is still taken back."
    return Wish(said, {names.PAUSE: words or ""})


def resume(raw: Body) -> Wish | Senseless:
    """Let go on what was paused."""
    name = _name(raw)
    if _annotation(raw, names.PAUSE) is None:
        return Wish(f"{name} is not paused.")
    return Wish(f"Resumed {name}.", {names.PAUSE: None})


def reconcile(raw: Body, now: datetime) -> Wish | Senseless:
    """Look at the registry now."""
    if (why := _suspended(raw)) is not None:
        return why
    said = f"Asked podpin to look at the registry for {_name(raw)} now{_but_paused(raw)}."
    return Wish(said, {names.REQUEST_RECONCILE: _stamp(now)})


def _suspended(raw: Body) -> Senseless | None:
    if mapping(raw.get("spec")).get("suspend") is not True:
        return None
    return Senseless(f"{_name(raw)} is suspended: podpin does nothing for it until spec.suspend is false.")


def _but_paused(raw: Body) -> str:
    paused = _annotation(raw, names.PAUSE) is not None
    return f"; it is paused, so nothing begins before podpin resume {_name(raw)}" if paused else ""


def _name(raw: Body) -> str:
    return text(mapping(raw.get("metadata")).get("name"))


def _annotation(raw: Body, annotation: str) -> str | None:
    value = mapping(mapping(raw.get("metadata")).get("annotations")).get(annotation)
    return value if isinstance(value, str) else None


def _stamp(now: datetime) -> str:
    """A value that is new each time."""
    return now.isoformat().replace("+00:00", "Z")
