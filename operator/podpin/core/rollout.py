"""The heart: from what the user wants and what podpin saw to what is to be done. Pure and total.

Theory of operation. A rollout is in one of five states, and the state is never stored: it is read off the world each
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

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final, Literal

from podpin.core import report
from podpin.core.decision import Action, Apply, Decision, Judge, Notice, Prune, Requests, Rollout, Write
from podpin.core.health import Blocked, Failing, Health, Healthy, Idle, Terms, assess, progress_at
from podpin.core.observation import Observation, Resolved
from podpin.core.reference import pin
from podpin.core.release import REJECTED, STABLE, Record, Release, Verdict, release_of, source_of
from podpin.core.signals import Finding
from podpin.core.spec import Problem, Spec
from podpin.core.status import CandidateStatus, RequestsStatus
from podpin.core.workload import intent_of

KEPT_STABLE: Final = 10
KEPT_REJECTED: Final = 20
KEPT_UNJUDGED: Final = 3
"""How many records are kept beside the stable, the running and the wanted one."""
ASKED: Final = "RollbackRequested"
"""The reason of the verdicts that a person's request to go back gives."""


class State(StrEnum):
    """Where a rollout stands."""

    NOTHING = "Nothing"  # no workload
    TRYING = "Trying"  # the workload runs a candidate
    STEADY = "Steady"  # it runs the stable release, and nothing else is wanted
    HELD = "Held"  # it runs the stable release although another is wanted, which was rejected
    FAILED = "Failed"  # it runs a rejected release, having none to go back to, or being told not to


class Signal(StrEnum):
    """What can move it on."""

    ROLLBACK_ASKED = "rollback asked for"
    RETRY_ASKED = "retry asked for"
    PROVEN = "proven healthy"
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
    superseded: tuple[str, ...] = ()
    notices: tuple[Notice, ...] = ()
    written: tuple[str, ...] = field(default=())
    """The releases whose records have changed, in order."""

    @property
    def stable(self) -> Record | None:
        """The release to go back to: the newest proven one."""
        proven = [record for record in self.records.values() if record.is_stable]
        return max(proven, key=_order, default=None)

    def record(self, release: str | None) -> Record | None:
        """The record of a release, if it has one."""
        return self.records.get(release) if release else None

    def with_record(self, record: Record) -> World:
        """The same world with a record written or changed."""
        written = (*(release for release in self.written if release != record.release), record.release)
        return replace(self, records={**self.records, record.release: record}, written=written)

    def judge(self, release: str, verdict: Verdict | None, request: str | None = None) -> World:
        """The same world with a verdict on a release."""
        record = self.records.get(release)
        return self if record is None else self.with_record(record.judged(verdict, request))

    def verdict(self, result: Literal["Stable", "Rejected"], finding: Finding) -> Verdict:
        """The newest verdict of this rollout."""
        order = 1 + max((_order(record) for record in self.records.values()), default=0)
        return Verdict(result, order, finding.reason, finding.message, self.started, self.now)

    def say(self, notice: Notice) -> World:
        """The same world with something to announce."""
        return replace(self, notices=(*self.notices, notice))


def _order(record: Record) -> int:
    return record.verdict.order if record.verdict else 0


def state_of(world: World) -> State:
    """Read the state off the world."""
    record, stable = world.record(world.running), world.stable
    if world.running is None:
        return State.NOTHING
    if record is not None and record.is_rejected:
        return State.FAILED
    if stable is None or stable.release != world.running:
        return State.TRYING
    wanted = world.record(world.wanted.id) if world.wanted else None
    return State.HELD if wanted is not None and wanted.is_rejected else State.STEADY


# --- signals: may this be said of the world?


def _rollback_asked(world: World) -> bool:
    return world.rollback_to is not None and _target(world) not in (None, world.running)


def _retry_asked(world: World) -> bool:
    wanted = world.record(world.wanted.id) if world.wanted else None
    return world.retry is not None and wanted is not None and wanted.is_rejected


def _new_release(world: World) -> bool:
    if world.wanted is None or world.wanted.id == world.running:
        return False
    record, stable = world.record(world.wanted.id), world.stable
    return not (record and record.is_rejected) and not (stable and stable.release == world.wanted.id)


def _stable_wanted(world: World) -> bool:
    stable = world.stable
    if stable is None or stable.release == world.running:
        return False
    return world.running is None if world.wanted is None else world.wanted.id == stable.release


def _rejected_wanted(world: World) -> bool:
    stable, wanted = world.stable, world.record(world.wanted.id) if world.wanted else None
    if stable is None or stable.release == world.running or wanted is None or not wanted.is_rejected:
        return False
    return world.running is None or _may_leave(world)


def _proven(world: World) -> bool:
    record = world.record(world.running)
    if record is None or (record.is_rejected and world.stable is not None and _may_leave(world)):
        return False  # on its way back already, but for podpin's death in between
    return isinstance(world.health, Healthy)


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
    return isinstance(world.health, Failing) and world.record(world.running) is not None


SIGNALS: Final[Mapping[Signal, Callable[[World], bool]]] = {
    Signal.ROLLBACK_ASKED: _rollback_asked,  # people come first
    Signal.RETRY_ASKED: _retry_asked,
    Signal.PROVEN: _proven,  # before the newer release: what has been proven stays a place to go back to
    Signal.NEW_RELEASE: _new_release,  # before a failure: what is no longer wanted is not blamed any more
    Signal.STABLE_WANTED: _stable_wanted,
    Signal.REJECTED_WANTED: _rejected_wanted,
    Signal.FAILED: _failed,
    Signal.FAILED_FOR_GOOD: _failed_for_good,
}


# --- effects: what happens on the way


def _start(world: World) -> World:
    """Let the wanted release run, on record."""
    wanted = world.wanted
    assert wanted is not None
    if wanted.id not in world.records:
        world = world.with_record(Record(release=wanted.id, spec_hash=wanted.spec_hash, images=wanted.images))
    world = world.say(
        Notice("Normal", "Progressing", f"Trying release {wanted.id}: {report.images_text(wanted.images)}")
    )
    return replace(world, running=wanted.id, health=None, started=world.now)


def _supersede(world: World) -> World:
    """Give up a candidate that nobody wants any more, without a verdict."""
    record = world.record(world.running)
    if record is None or record.verdict is not None:
        return world
    return replace(world, superseded=(*world.superseded, record.release))


def _return(world: World) -> World:
    """Let the stable release run again."""
    stable = world.stable
    assert stable is not None
    world = world.say(
        Notice("Normal", "RolledBack", f"Going back to release {stable.release}: {report.images_text(stable.images)}")
    )
    return replace(world, running=stable.release, health=None)


def _prove(world: World) -> World:
    """The candidate is the new stable release."""
    assert world.running is not None
    finding = Finding("RolledOut", "all replicas became ready and stayed so")
    record = world.record(world.running)
    world = world.judge(world.running, world.verdict(STABLE, finding))
    told = report.images_text(record.images) if record else ""
    return replace(world.say(Notice("Normal", "RolledOut", f"Release {world.running} is stable: {told}")), health=None)


def _reject(world: World) -> World:
    """The candidate failed: remember it, with its reason."""
    assert world.running is not None
    assert isinstance(world.health, Failing)
    finding = world.health.finding
    world = world.judge(world.running, world.verdict(REJECTED, finding))
    return replace(
        world.say(
            Notice("Warning", "Rejected", f"Release {world.running} is rejected ({finding.reason}): {finding.message}")
        ),
        health=None,
    )


def _forgive(world: World) -> World:
    """A person asks for a second try of the wanted release."""
    assert world.wanted is not None
    world = world.judge(world.wanted.id, None, world.retry)
    return replace(world, retry=None, health=None)


def _obey(world: World) -> World:
    """A person asks to go back: what runs is rejected by request, and the release asked for is stable anew."""
    target, request = _target(world), world.rollback_to
    assert target is not None
    left = world.running
    others = [record for record in world.records.values() if record.is_stable and record.release != left]
    # Only the last of the verdicts says that the request is obeyed: after a death before it, it is obeyed once more.
    if max(others, key=_order).release != target:
        world = world.judge(target, world.verdict(STABLE, Finding(ASKED, "a person asked to go back to it")))
    if left is not None:
        finding = Finding(ASKED, f"a person asked to go back to release {target}")
        world = world.judge(left, world.verdict(REJECTED, finding), request)
    return replace(_return(world), rollback_to=None)


def _target(world: World) -> str | None:
    """The release that a request to go back means, or None where there is no such stable release."""
    asked = (world.rollback_to or "").partition("=")[2]
    proven = sorted((record for record in world.records.values() if record.is_stable), key=_order, reverse=True)
    if asked == "previous":
        return next((record.release for record in proven if record.release != world.running), None)
    return next((record.release for record in proven if record.release == asked), None)


Effect = Callable[[World], World]

TRANSITIONS: Final[Mapping[State, Mapping[Signal, tuple[State, tuple[Effect, ...]]]]] = {
    State.NOTHING: {
        Signal.RETRY_ASKED: (State.TRYING, (_forgive, _start)),
        Signal.NEW_RELEASE: (State.TRYING, (_start,)),
        Signal.STABLE_WANTED: (State.STEADY, (_return,)),
        Signal.REJECTED_WANTED: (State.HELD, (_return,)),
    },
    State.TRYING: {
        Signal.ROLLBACK_ASKED: (State.HELD, (_obey,)),
        Signal.NEW_RELEASE: (State.TRYING, (_supersede, _start)),
        Signal.STABLE_WANTED: (State.STEADY, (_supersede, _return)),
        Signal.REJECTED_WANTED: (State.HELD, (_supersede, _return)),
        Signal.PROVEN: (State.STEADY, (_prove,)),
        Signal.FAILED: (State.HELD, (_reject, _return)),
        Signal.FAILED_FOR_GOOD: (State.FAILED, (_reject,)),
    },
    State.STEADY: {
        Signal.ROLLBACK_ASKED: (State.HELD, (_obey,)),
        Signal.NEW_RELEASE: (State.TRYING, (_start,)),
    },
    State.HELD: {
        Signal.ROLLBACK_ASKED: (State.HELD, (_obey,)),
        Signal.RETRY_ASKED: (State.TRYING, (_forgive, _start)),
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


def decide(rollout: Rollout, seen: Observation, now: datetime) -> Decision:
    """What to do about one rollout, from everything that is known of it."""
    if isinstance(rollout.spec, Problem):
        return report.stalled(rollout, rollout.spec.reason, rollout.spec.message, now)
    workload = seen.workload
    if workload is not None and workload.owner != rollout.uid:
        taken = f"a Deployment named {rollout.key.name} exists and is not this rollout's"
        message = f"{taken}: rename the rollout, or delete that Deployment"
        return replace(report.stalled(rollout, "WorkloadConflict", message, now), recheck_at=now + timedelta(minutes=1))
    # A rollout that was deleted and made again has nothing to do with the records of the one before.
    seen = replace(seen, records=tuple(record for record in seen.records if record.owner in (None, rollout.uid)))
    wanted = wanted_release(rollout, rollout.spec, seen)
    candidate = _clocked(rollout, seen, now)
    health = _health(rollout.spec, seen, candidate, now)
    before = World(
        running=workload.release if workload else None,
        records={record.release: record for record in seen.records},
        wanted=wanted,
        health=health,
        way_back=rollout.spec.rollback.enabled,
        retry=_token(rollout, "retry", rollout.requests.retry, seen),
        rollback_to=_token(rollout, "rollback-to", rollout.requests.rollback_to, seen),
        now=now,
        started=candidate.started_at,
    )
    world = before if rollout.spec.suspend else _answer(settle(before))
    world = _adopt(world, wanted)
    actions = _actions(rollout.spec, seen, before, world)
    refused = rollout.status.refused
    if refused is not None and any(isinstance(action, Apply) and action.intent == refused.intent for action in actions):
        return report.refused(rollout, refused.intent, refused.message, now)
    settled = report.Settled(
        state=state_of(world),
        running=world.running,
        stable=world.stable,
        records=world.records,
        wanted=wanted,
        health=world.health,
        candidate=_candidate(world, rollout, candidate, seen, now),
        superseded=world.superseded,
        requests=_handled(rollout, seen, wanted),
        notices=world.notices,
    )
    told = report.tell(rollout, rollout.spec, seen, settled, now)
    return replace(told, actions=actions)


def wanted_release(rollout: Rollout, spec: Spec, seen: Observation) -> Release | None:
    """The release that spec and registry ask for, or None while an image of it is not known.

    A registry that does not answer, or has lost the tag, changes nothing: the last choice for the same policy stands.
    """
    sources = {image.container: source_of(image) for image in spec.images}
    told = {
        image.container: pin(image.repository, image.tag, image.digest)
        for image in rollout.status.images
        if image.source == sources.get(image.container)
    }
    last = _untold_choice(rollout, spec, seen, told) or told
    pins: list[tuple[str, str]] = []
    for image in spec.images:
        new = seen.images.get(image.container)
        if image.policy.digest is not None:
            pins.append((image.container, pin(image.repository, None, image.policy.digest.value)))
        elif isinstance(new, Resolved):
            pins.append((image.container, pin(image.repository, new.tag, new.digest)))
        elif image.container in last:
            pins.append((image.container, last[image.container]))
        else:
            return None
    return release_of(spec, tuple(pins))


def _untold_choice(rollout: Rollout, spec: Spec, seen: Observation, told: Mapping[str, str]) -> Mapping[str, str]:
    """The choice that podpin died over: it had applied a newer release, and could not say so in status any more.

    Such a one shows in that another release runs than status says was applied last. Where the choice in status was
    rejected, that release was not chosen but gone back to.
    """
    workload, written = seen.workload, rollout.status.workload
    if workload is None or written is None or workload.release == written.release:
        return {}
    records = {record.release: record for record in seen.records}
    running, chosen = records.get(workload.release or ""), records.get(release_of(spec, tuple(told.items())).id)
    if running is None or running.spec_hash != release_of(spec, ()).spec_hash:
        return {}
    return {} if chosen is not None and chosen.is_rejected else dict(running.images)


def _health(spec: Spec, seen: Observation, candidate: CandidateStatus, now: datetime) -> Health | None:
    workload = seen.workload
    if workload is None or workload.release is None:
        return None
    terms = Terms(spec.rollout.progress_deadline, spec.rollout.bake_time)
    return assess(workload.release, seen, terms, candidate.clock_from, now)


def _clocked(rollout: Rollout, seen: Observation, now: datetime) -> CandidateStatus:
    """The candidate's clock as it would go on from now: moved on by the time for which it stood still."""
    running = seen.workload.release if seen.workload else None
    candidate = rollout.status.candidate
    if candidate is None or candidate.release != running:
        return CandidateStatus(release=running or "", images=(), started_at=now, clock_from=now)
    if candidate.paused_since is None:
        return candidate
    stood = max(now - candidate.paused_since, timedelta())
    return candidate.model_copy(update={"clock_from": candidate.clock_from + stood, "paused_since": None})


def _candidate(
    world: World, rollout: Rollout, clocked: CandidateStatus, seen: Observation, now: datetime
) -> CandidateStatus | None:
    """The candidate as it is to stand in status, its clock stopped where the cause does not lie in the release."""
    if state_of(world) is not State.TRYING or world.running is None:
        return None
    record, stored = world.record(world.running), rollout.status.candidate
    images = report.pinned(record.images if record else ())
    if clocked.release != world.running:
        return CandidateStatus(release=world.running, images=images, started_at=now, clock_from=now)
    assert isinstance(rollout.spec, Spec)
    if not rollout.spec.suspend and not isinstance(world.health, Blocked | Idle):
        return clocked.model_copy(update={"images": images})
    if stored is not None and stored.release == world.running and stored.paused_since is not None:
        return stored
    pods = [pod for pod in seen.pods if pod.release == world.running and not pod.deleting]
    return clocked.model_copy(
        update={"images": images, "clock_from": progress_at(pods, clocked.clock_from), "paused_since": now}
    )


def _token(rollout: Rollout, kind: str, value: str | None, seen: Observation) -> str | None:
    """A request still to be obeyed, as `count:kind=value`, or None.

    The count of requests obeyed before stands in status. A record that carries the token shows that the request was
    obeyed although podpin died before status said so.
    """
    requests = rollout.status.requests
    known = None if requests is None else requests.retry if kind == "retry" else requests.rollback_to
    if value is None or value == known:
        return None
    token = f"{1 + (requests.obeyed if requests else 0)}:{kind}={value}"
    return None if any(record.request == token for record in seen.records) else token


def _handled(rollout: Rollout, seen: Observation, wanted: Release | None) -> RequestsStatus | None:
    """The requests as they stand handled after this decision.

    A look is handled once it has come back, a retry once there is something that could be retried, and none while
    suspended.
    """
    asked, known = rollout.requests, rollout.status.requests
    assert isinstance(rollout.spec, Spec)
    if rollout.spec.suspend or (known is None and asked == Requests()):
        return known
    before = known or RequestsStatus()
    retry = asked.retry if asked.retry is None or wanted is not None else before.retry
    fresh = [
        value
        for value, old in ((retry, before.retry), (asked.rollback_to, before.rollback_to))
        if value and value != old
    ]
    handled = RequestsStatus(
        reconcile=asked.reconcile if seen.looked else before.reconcile,
        retry=retry,
        rollback_to=asked.rollback_to,
        obeyed=before.obeyed + bool(fresh),
    )
    return known if handled == before else handled


def _answer(world: World) -> World:
    """Say it where a request asks for what there is not; it counts as handled all the same."""
    if world.rollback_to is not None:
        asked = world.rollback_to.partition("=")[2]
        proven = ", ".join(sorted(record.release for record in world.records.values() if record.is_stable)) or "none"
        why = "already runs" if _target(world) == world.running else "is no release that proved stable here"
        world = world.say(
            Notice(
                "Warning",
                "RequestRefused",
                f"Nothing to roll back to: {asked!r} {why}; stable releases on record: {proven}",
            )
        )
    if world.retry is not None and world.wanted is not None:
        world = world.say(
            Notice("Warning", "RequestRefused", f"Nothing to retry: release {world.wanted.id} is not rejected")
        )
    return world


def _adopt(world: World, wanted: Release | None) -> World:
    """A workload that runs the wanted release without a record, as after a restore, gets its record back."""
    if wanted is None or world.running != wanted.id or wanted.id in world.records:
        return world
    return world.with_record(Record(release=wanted.id, spec_hash=wanted.spec_hash, images=wanted.images))


def _actions(spec: Spec, seen: Observation, before: World, world: World) -> tuple[Action, ...]:
    actions: list[Action] = []
    for release in world.written:
        record = world.records[release]
        if release in before.records:
            actions.append(Judge(record))
        elif world.wanted is not None and world.wanted.id == release:
            actions.append(Write(world.wanted, record))
    running = world.record(world.running)
    if running is not None and not spec.suspend:
        intent = intent_of(spec.workload, running.release, running.images)
        workload = seen.workload
        if workload is None or workload.release != running.release or workload.intent != intent or workload.drifted:
            wanted = world.wanted if world.wanted is not None and world.wanted.id == running.release else None
            whole = replace(wanted, images=running.images) if wanted else None
            actions.append(Apply(running.release, whole, intent, workload.uid if workload else None))
    actions.extend(Prune(record.release) for record in _surplus(world))
    return tuple(actions)


def _surplus(world: World) -> list[Record]:
    """The records that nothing will go back to: never the stable one, nor those that run or are wanted."""
    stable = world.stable
    needed = {world.running, world.wanted.id if world.wanted else None, stable.release if stable else None}
    spare = [record for record in world.records.values() if record.release not in needed]
    proven = sorted((record for record in spare if record.is_stable), key=_order, reverse=True)
    rejected = sorted((record for record in spare if record.is_rejected), key=_order, reverse=True)
    unjudged = sorted(
        (record for record in spare if record.verdict is None and record.created),
        key=lambda record: str(record.created),
        reverse=True,
    )
    return [*proven[KEPT_STABLE:], *rejected[KEPT_REJECTED:], *unjudged[KEPT_UNJUDGED:]]
