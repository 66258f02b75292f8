"""The heart: from what the user wants and what podpin saw to what is to be done. Pure and total.

Theory of operation. A rollout is in one of six states, and the state is never stored: it is read off the world each
time, from which release the workload runs and from the verdicts in the releases' records. So a crash loses no state,
and a restored backup is in the state that it shows. TRANSITIONS says, for each state, which signals it heeds, where
they lead and what happens on the way; a signal that a state does not name is nothing to it. The order of SIGNALS is
the order of asking.

Transitions change a model of the world: verdicts, and which release is to run. What is to be done follows from
comparing that model with what was seen, so no transition needs to know whether an earlier attempt got half-way.
Rolling back is no act of its own: it is the stable release being what is to run.

The table does not show what is no transition: applying a changed number of replicas, mending a workload that somebody
edited, answering an invalid spec, standing still while suspended.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Final, Literal

from podpin.core.decision import Notice
from podpin.core.gates import Hold
from podpin.core.health import Blocked, Failing, Health, Healthy
from podpin.core.pinned_config import changed
from podpin.core.release import REJECTED, STABLE, Record, Release, Verdict, images_text, unjudged
from podpin.core.signals import Finding

ASKED: Final = "RollbackRequested"
"""The reason of the verdicts that a person's request to go back gives."""
LONGEST_ASKED: Final = 256
"""How many characters of a request are kept with the verdict that it brought about."""


class State(StrEnum):
    """Where a rollout stands."""

    NOTHING = "Nothing"  # no workload
    CANARY = "Canary"  # it runs the stable release, and a canary beside it runs a candidate
    TRYING = "Trying"  # the workload runs a candidate
    STEADY = "Steady"  # it runs the stable release, and nothing else is wanted
    HELD = "Held"  # it runs the stable release although another is wanted, which was rejected
    FAILED = "Failed"  # it runs a rejected release, having none to go back to, or being told not to


class Signal(StrEnum):
    """What can move it on."""

    ROLLBACK_ASKED = "rollback asked for"
    UNPULLABLE = "wanted one cannot be pulled"
    RETRY_ASKED = "retry asked for"
    PROVEN = "proven healthy"
    STEP_DONE = "canary step done"
    CANARY_PROVEN = "canary proven healthy"
    NEW_CANARY = "new release wanted, by canary first"
    NEW_RELEASE = "new release wanted"
    STABLE_WANTED = "stable wanted"
    REJECTED_WANTED = "rejected wanted"
    FAILED = "failed"
    FAILED_FOR_GOOD = "failed, no way back"


@dataclass(frozen=True, slots=True)
class World:
    """The model that transitions change."""

    running: str | None
    records: Mapping[str, Record]
    wanted: Release | None
    health: Health | None
    way_back: bool
    retry: str | None
    rollback_to: str | None
    now: datetime
    started: datetime
    hold: Hold | None = None
    """What holds the wanted release back, if it is a new one."""
    unpullable: Finding | None = None
    """Why the nodes cannot have the wanted release, where it is a new one."""
    canary: str | None = None
    """The release that a canary tries beside the running one."""
    step: int = 0
    """Which step the canary takes, from 1."""
    steps: int = 0
    """How many steps a new release takes by canary before it takes the workload over: none where it goes straight."""
    approval: str | None = None
    """What the annotation approves of: a release, or a step of its canary as in `RELEASE/1`."""
    approved: int = 0
    """The step of the canary that a person has approved of; those before it are so as well."""
    refused: bool = False
    """The API server has refused what the canary is to be next."""
    pauses: frozenset[int] = frozenset()
    """The steps after which a person must approve."""
    superseded: tuple[str, ...] = ()
    notices: tuple[Notice, ...] = ()
    written: tuple[str, ...] = field(default=())
    """The releases whose records have changed, in order."""

    @property
    def stable(self) -> Record | None:
        """The release to go back to: the newest proven one."""
        return newest_stable(self.records.values())

    @property
    def trial(self) -> str | None:
        """The release that is judged: the canary's, where there is one, or else the running one."""
        return self.canary or self.running

    def record(self, release: str | None) -> Record | None:
        """The record of a release, if it has one."""
        return self.records.get(release) if release else None

    def with_record(self, record: Record) -> World:
        """The same world with a record written or changed."""
        written = (*(release for release in self.written if release != record.release), record.release)
        return replace(self, records={**self.records, record.release: record}, written=written)

    def judge(self, release: str, verdict: Verdict | None, request: str | None = None) -> World:
        """The same world with a verdict on a release; it says who asked for the trial that it ends, if one did."""
        record = self.records.get(release)
        if record is None:
            return self
        if verdict is not None:
            verdict = replace(verdict, asked=_asked(self, record, verdict))
        return self.with_record(record.judged(verdict, request))

    def verdict(self, result: Literal["Stable", "Rejected"], finding: Finding) -> Verdict:
        """The newest verdict of this rollout."""
        order = 1 + max((order_of(record) for record in self.records.values()), default=0)
        return Verdict(result, order, finding.reason, finding.message, self.started, self.now)

    def say(self, notice: Notice) -> World:
        """The same world with something to announce."""
        return replace(self, notices=(*self.notices, notice))


def _asked(world: World, record: Record, verdict: Verdict) -> str | None:
    """The request, without its count, by which a person brought the verdict about."""
    if verdict.reason == ASKED:
        token = world.rollback_to
    elif world.unpullable is not None and retries(world):
        token = world.retry
    elif record.verdict is not None:  # it had been tried before: podpin goes back to it by itself
        return None
    elif world.approval is not None and world.approval.partition("/")[0] == record.release:
        return f"approve={world.approval}"
    else:
        token = record.retried
    return token.partition(":")[2][:LONGEST_ASKED] if token else None


def order_of(record: Record) -> int:
    """Which verdict of its rollout a record has, by number; 0 while it has none."""
    return record.verdict.order if record.verdict else 0


def newest_stable(records: Iterable[Record]) -> Record | None:
    """The release that was proven last."""
    return max((record for record in records if record.is_stable), key=order_of, default=None)


def state_of(world: World) -> State:
    """Read the state off the world."""
    record, stable = world.record(world.running), world.stable
    if world.running is None:
        return State.NOTHING
    if record is not None and record.is_rejected:
        return State.FAILED
    if stable is None or stable.release != world.running:
        return State.TRYING
    if world.canary is not None:
        return State.CANARY
    wanted = world.record(world.wanted.id) if world.wanted else None
    return State.HELD if wanted is not None and wanted.is_rejected else State.STEADY


# --- signals: may this be said of the world?


def _rollback_asked(world: World) -> bool:
    if world.rollback_to is None:
        return False
    target = target_of(world)
    return target is not None and (target != world.running or world.canary is not None)


def _unpullable(world: World) -> bool:
    return world.unpullable is not None and (is_new(world) or retries(world))


def _retry_asked(world: World) -> bool:
    return world.hold is None and retries(world)


def retries(world: World) -> bool:
    """Whether the wanted release was rejected and a person asks for it to be tried again."""
    wanted = world.record(world.wanted.id) if world.wanted else None
    return world.retry is not None and wanted is not None and wanted.is_rejected


def _new_canary(world: World) -> bool:
    stable = world.stable
    by_canary = world.steps > 0 and stable is not None and stable.release == world.running
    return by_canary and _new_release(world)


def _new_release(world: World) -> bool:
    return world.hold is None and is_new(world)


def is_new(world: World) -> bool:
    """Whether a release is wanted that is to be tried."""
    if world.wanted is None or world.wanted.id in (world.running, world.canary):
        return False
    record, stable = world.record(world.wanted.id), world.stable
    return not (record and record.is_rejected) and not (stable and stable.release == world.wanted.id)


def _stable_wanted(world: World) -> bool:
    stable = world.stable
    if stable is None or (stable.release == world.running and world.canary is None):
        return False
    if world.running is None and world.canary is not None:
        return True  # the canary goes on beside it
    if world.wanted is None or (world.hold is not None and is_new(world)):
        # What is not known or held back is no reason to run nothing, or to leave a rejected release where it is.
        running = world.record(world.running)
        return world.running is None or (running is not None and running.is_rejected and _may_leave(world))
    return world.wanted.id == stable.release


def _rejected_wanted(world: World) -> bool:
    stable, wanted = world.stable, world.record(world.wanted.id) if world.wanted else None
    if stable is None or wanted is None or not wanted.is_rejected:
        return False
    if stable.release == world.running:
        return world.canary is not None
    return world.running is None or _may_leave(world)


def _proven(world: World) -> bool:
    record = world.record(world.running)
    if record is None or (record.is_rejected and world.stable is not None and _may_leave(world)):
        return False  # on its way back already, but for podpin's death in between
    return isinstance(world.health, Healthy)


def _step_done(world: World) -> bool:
    return world.step < world.steps and not world.refused and _step_proven(world)


def _canary_proven(world: World) -> bool:
    if world.steps == 0:  # no canaries are wanted any more: the workload tries the release itself
        wanted = world.wanted is not None and world.wanted.id == world.canary
        return wanted and not isinstance(world.health, Blocked | Failing)
    return world.step >= world.steps and _step_proven(world)


def _step_proven(world: World) -> bool:
    return isinstance(world.health, Healthy) and not awaits_approval(world)


def awaits_approval(world: World) -> bool:
    """Whether a person must approve of what comes after the canary's step."""
    step = min(world.step, world.steps)  # whoever has made the steps fewer meanwhile wants the pause after the last one
    return step in world.pauses and world.approved < step


def _may_leave(world: World) -> bool:
    """What runs may give way to the stable release: by the spec, or because a person has asked for it."""
    record = world.record(world.running)
    asked = record is not None and record.verdict is not None and record.verdict.reason == ASKED
    return world.way_back or asked


def _failed(world: World) -> bool:
    return _is_failing(world) and world.stable is not None and world.way_back


def _failed_for_good(world: World) -> bool:
    return _is_failing(world) and not _failed(world)


def _is_failing(world: World) -> bool:
    return isinstance(world.health, Failing) and world.record(world.trial) is not None


SIGNALS: Final[Mapping[Signal, Callable[[World], bool]]] = {
    Signal.ROLLBACK_ASKED: _rollback_asked,  # people come first
    Signal.UNPULLABLE: _unpullable,  # before anything that would begin it
    Signal.RETRY_ASKED: _retry_asked,
    Signal.PROVEN: _proven,  # before the newer release: what has been proven stays a place to go back to
    Signal.NEW_CANARY: _new_canary,
    Signal.NEW_RELEASE: _new_release,  # before a failure: what is no longer wanted is not blamed any more
    Signal.STABLE_WANTED: _stable_wanted,
    Signal.REJECTED_WANTED: _rejected_wanted,
    Signal.STEP_DONE: _step_done,
    Signal.CANARY_PROVEN: _canary_proven,
    Signal.FAILED: _failed,
    Signal.FAILED_FOR_GOOD: _failed_for_good,
}


# --- effects: what happens on the way


def _start(world: World) -> World:
    """Let the wanted release run, on record."""
    world, wanted = _on_record(world)
    told = f"Trying release {wanted.id}: {images_text(wanted.images)}{_other_config(world, wanted)}"
    world = world.say(Notice("Normal", "Progressing", told))
    return replace(world, running=wanted.id, canary=None, health=None, started=world.now)


def _start_canary(world: World) -> World:
    """Let a canary try the wanted release, on record."""
    world, wanted = _on_record(world)
    told = f"Trying release {wanted.id} by canary: {images_text(wanted.images)}{_other_config(world, wanted)}"
    world = world.say(Notice("Normal", "Progressing", told))
    return replace(world, canary=wanted.id, step=1, health=None, started=world.now)


def _other_config(world: World, wanted: Release) -> str:
    running = world.record(world.running)
    return changed(running.copies if running else (), wanted.copies)


def _on_record(world: World) -> tuple[World, Release]:
    wanted = world.wanted
    assert wanted is not None
    if wanted.id not in world.records:
        world = world.with_record(unjudged(wanted))
    return world, wanted


def _advance(world: World) -> World:
    """Let the canary take its next step."""
    told = f"Step {world.step} of the canary of release {world.canary} is done; step {world.step + 1} begins"
    return replace(world.say(Notice("Normal", "StepDone", told)), step=world.step + 1, health=None)


def _promote(world: World) -> World:
    """The canary has done its part: the workload takes its release over, and is judged in its turn."""
    assert world.canary is not None
    if world.steps:
        told = f"The canary of release {world.canary} proved healthy; the release rolls out"
    else:
        told = f"Release {world.canary} is tried without a canary any more; it rolls out"
    world = world.say(Notice("Normal", "Promoted", told))
    return replace(world, running=world.canary, canary=None, health=None)


def _withdraw(world: World) -> World:
    """Take the canary away; the stable release has served all the time."""
    told = f"The canary of release {world.canary} is taken away; release {world.running} serves as before"
    return replace(world.say(Notice("Normal", "RolledBack", told)), canary=None, health=None)


def _supersede(world: World) -> World:
    """Give up a candidate that nobody wants any more, without a verdict."""
    record = world.record(world.trial)
    if record is None or record.verdict is not None:
        return world
    return replace(world, superseded=(*world.superseded, record.release))


def _return(world: World) -> World:
    """Let the stable release run again."""
    stable = world.stable
    assert stable is not None
    told = f"release {stable.release}: {images_text(stable.images)}"
    if world.running is None:
        notice = Notice("Warning", "WorkloadRestored", f"The workload was gone or made anew; it has again {told}")
    else:
        notice = Notice("Normal", "RolledBack", f"Went back to {told}")
    world = world.say(notice)
    return replace(world, running=stable.release, health=None)


def _prove(world: World) -> World:
    """The candidate is the new stable release."""
    assert world.running is not None
    finding = Finding("RolledOut", "all replicas became ready and stayed so")
    record = world.record(world.running)
    world = world.judge(world.running, world.verdict(STABLE, finding))
    told = images_text(record.images) if record else ""
    return replace(world.say(Notice("Normal", "RolledOut", f"Release {world.running} is stable: {told}")), health=None)


def _reject(world: World) -> World:
    """The candidate failed: remember it, with its reason."""
    trial = world.trial
    assert trial is not None
    assert isinstance(world.health, Failing)
    finding = world.health.finding
    world = world.judge(trial, world.verdict(REJECTED, finding))
    return replace(world.say(_rejection(world.records[trial], finding)), health=None)


def _turn_down(world: World) -> World:
    """The nodes cannot have the wanted release: it is rejected before it has begun."""
    finding, again = world.unpullable, world.retry if retries(world) else None
    assert finding is not None
    world, wanted = _on_record(world)
    verdict = replace(world.verdict(REJECTED, finding), started=world.now)
    world = world.judge(wanted.id, verdict, again).say(_rejection(world.records[wanted.id], finding))
    return replace(world, unpullable=None, retry=None if again else world.retry)


def _stop(world: World) -> World:
    """The canary is no trial any more; it is left as it is."""
    return replace(world, canary=None)


def _rejection(record: Record, finding: Finding) -> Notice:
    told = f"Release {record.release} is rejected ({finding.reason}): {images_text(record.images)}: {finding.message}"
    return Notice("Warning", "Rejected", told)


def _forgive(world: World) -> World:
    """A person asks for a second try of the wanted release."""
    assert world.wanted is not None
    world = world.judge(world.wanted.id, None, world.retry)
    return replace(world, retry=None, health=None)


def _obey(world: World) -> World:
    """A person asks to go back: what runs is rejected by request, and the release asked for is stable anew."""
    target, request = target_of(world), world.rollback_to
    assert target is not None
    left = world.running if target == world.canary else world.trial
    others = (record for record in world.records.values() if record.release != left)
    # Only the last of the verdicts says that the request is obeyed: after a death before it, it is obeyed once more.
    newest = newest_stable(others)
    if newest is None or newest.release != target:
        world = world.judge(target, world.verdict(STABLE, Finding(ASKED, "a person asked to go back to it")))
    if left is not None:
        finding, record = Finding(ASKED, f"a person asked to go back to release {target}"), world.record(left)
        world = world.judge(left, world.verdict(REJECTED, finding), request)
        world = world.say(_rejection(record, finding)) if record is not None else world
    world = _withdraw(world) if world.canary is not None and target == world.running else _return(world)
    return replace(world, canary=None, rollback_to=None)


def target_of(world: World) -> str | None:
    """The release that a request to go back means, or None where there is no such stable release."""
    asked = (world.rollback_to or "").partition("=")[2]
    proven = sorted((record for record in world.records.values() if record.is_stable), key=order_of, reverse=True)
    if asked == "previous":
        return next((record.release for record in proven if record.release != world.trial), None)
    return next((record.release for record in proven if record.release == asked), None)


Effect = Callable[[World], World]

TRANSITIONS: Final[Mapping[State, Mapping[Signal, tuple[State, tuple[Effect, ...]]]]] = {
    State.NOTHING: {
        Signal.RETRY_ASKED: (State.TRYING, (_forgive, _start)),
        Signal.NEW_RELEASE: (State.TRYING, (_start,)),
        Signal.STABLE_WANTED: (State.STEADY, (_return,)),
        Signal.REJECTED_WANTED: (State.HELD, (_return,)),
    },
    State.CANARY: {
        Signal.ROLLBACK_ASKED: (State.HELD, (_obey,)),
        Signal.UNPULLABLE: (State.CANARY, (_turn_down,)),
        Signal.NEW_CANARY: (State.CANARY, (_supersede, _start_canary)),
        Signal.NEW_RELEASE: (State.TRYING, (_supersede, _start)),
        Signal.STABLE_WANTED: (State.STEADY, (_supersede, _withdraw)),
        Signal.REJECTED_WANTED: (State.HELD, (_supersede, _withdraw)),
        Signal.STEP_DONE: (State.CANARY, (_advance,)),
        Signal.CANARY_PROVEN: (State.TRYING, (_promote,)),
        Signal.FAILED: (State.HELD, (_reject, _withdraw)),
        Signal.FAILED_FOR_GOOD: (State.HELD, (_reject, _stop)),
    },
    State.TRYING: {
        Signal.ROLLBACK_ASKED: (State.HELD, (_obey,)),
        Signal.UNPULLABLE: (State.TRYING, (_turn_down,)),
        Signal.NEW_RELEASE: (State.TRYING, (_supersede, _start)),
        Signal.STABLE_WANTED: (State.STEADY, (_supersede, _return)),
        Signal.REJECTED_WANTED: (State.HELD, (_supersede, _return)),
        Signal.PROVEN: (State.STEADY, (_prove,)),
        Signal.FAILED: (State.HELD, (_reject, _return)),
        Signal.FAILED_FOR_GOOD: (State.FAILED, (_reject,)),
    },
    State.STEADY: {
        Signal.ROLLBACK_ASKED: (State.HELD, (_obey,)),
        Signal.UNPULLABLE: (State.HELD, (_turn_down,)),
        Signal.NEW_CANARY: (State.CANARY, (_start_canary,)),
        Signal.NEW_RELEASE: (State.TRYING, (_start,)),
    },
    State.HELD: {
        Signal.ROLLBACK_ASKED: (State.HELD, (_obey,)),
        Signal.UNPULLABLE: (State.HELD, (_turn_down,)),
        Signal.RETRY_ASKED: (State.STEADY, (_forgive,)),
        Signal.NEW_CANARY: (State.CANARY, (_start_canary,)),
        Signal.NEW_RELEASE: (State.TRYING, (_start,)),
    },
    State.FAILED: {
        Signal.ROLLBACK_ASKED: (State.HELD, (_obey,)),
        Signal.RETRY_ASKED: (State.TRYING, (_forgive, _start)),
        Signal.NEW_RELEASE: (State.TRYING, (_start,)),
        Signal.STABLE_WANTED: (State.STEADY, (_return,)),
        Signal.REJECTED_WANTED: (State.HELD, (_return,)),
        Signal.PROVEN: (State.STEADY, (_prove,)),
    },
}

MOST_STEPS: Final = 6
"""More transitions than any one look can call for; a bound, so that a mistake in the table cannot hang podpin."""


def settle(world: World) -> World:
    """Follow the table until no signal is heeded any more."""
    for _ in range(MOST_STEPS):
        heeded = TRANSITIONS[state_of(world)]
        signal = next((signal for signal, holds in SIGNALS.items() if signal in heeded and holds(world)), None)
        if signal is None:
            break
        for effect in heeded[signal][1]:
            world = effect(world)
    return world
