"""What is to be done about one rollout: the next status, the actions, and when to look again. Pure and total.

`decide` puts together what others know: which release is wanted, how the candidate does (`core.health`), where that
leads (`core.transitions`), and what the user is told (`core.report`). What is to be done follows from comparing the
world as it should be with the world as it was seen, so that it makes no difference whether an earlier attempt got
half-way.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from podpin.core import adopted, podset, prepull, report
from podpin.core.canary import Step, apart, canary_intent, on_trial, steps_of
from podpin.core.decision import (
    Action,
    Apply,
    ApplyCanary,
    Decision,
    Judge,
    Manner,
    Notice,
    Prune,
    RemoveCanary,
    Requests,
    Restore,
    Rollout,
    Unstick,
    Write,
    marked,
)
from podpin.core.drift import unaltered
from podpin.core.gates import PAUSED, Asking, Hold, hold_of, paused_by
from podpin.core.health import Blocked, Failing, Health, Healthy, Idle, Terms, assess, progress_at
from podpin.core.manner import manner_of, way_back
from podpin.core.observation import Observation, Pod, Resolved, Workload
from podpin.core.pinned_config import Contents, Copy
from podpin.core.readiness import Settled
from podpin.core.reference import parse_pin, pin
from podpin.core.release import (
    STABLE,
    Images,
    Record,
    Release,
    images_text,
    release_of,
    source_of,
    spec_hash_of,
    unjudged,
)
from podpin.core.signals import Finding
from podpin.core.spec import Problem, Spec
from podpin.core.status import CanaryStatus, CandidateStatus, ImageStatus, RefusedStatus, RequestsStatus
from podpin.core.transitions import (
    ASKED,
    State,
    World,
    awaits_approval,
    is_new,
    newest_stable,
    order_of,
    retries,
    settle,
    state_of,
    target_of,
)
from podpin.core.workload import intent_of

MOST_SHOWN: Final = 64
"""How much of a value that makes no sense is repeated to the user."""
KEPT_STABLE: Final = 10
KEPT_REJECTED: Final = 20
KEPT_UNJUDGED: Final = 3
"""How many records are kept beside the stable, the running and the wanted one."""


def decide(rollout: Rollout, seen: Observation, now: datetime) -> Decision:
    """What to do about one rollout, from everything that is known of it."""
    if isinstance(rollout.spec, Problem):
        return _kept_up(rollout, rollout.spec, seen, now)
    workload = seen.workload
    if seen.obstacle is not None:
        return replace(_stalled(rollout, seen.obstacle, seen, now), recheck_at=now + adopted.LOOK_AGAIN)
    if rollout.spec.target_ref is None and workload is not None and workload.owner != rollout.uid:
        taken = f"a Deployment named {rollout.key.name} exists and is not this rollout's"
        message = f"{taken}: rename the rollout, or delete that Deployment"
        conflict = Problem("WorkloadConflict", message)
        return replace(_stalled(rollout, conflict, seen, now), recheck_at=now + timedelta(minutes=1))
    # A rollout that was deleted and made again has nothing to do with the records of the one before.
    seen = replace(seen, records=tuple(record for record in seen.records if record.owner == rollout.uid))
    rollout = _caught_up(rollout, rollout.spec, seen, now)
    assert isinstance(rollout.spec, Spec)
    wanted = wanted_release(rollout, rollout.spec, seen)
    records = {record.release: record for record in seen.records}
    canary = _canary_of(seen, records)
    trial = on_trial(seen if canary else replace(seen, canary=None))
    trial = unaltered(trial, records)
    candidate = _clocked(rollout, trial, now)
    step = seen.canary.step[0] if canary and seen.canary and seen.canary.step else 1
    # A retry may ask for another choice: it is obeyed when the registry has been looked at for it.
    retry = _token(rollout, "retry", rollout.requests.retry, seen) if seen.looked else None
    refusal = rollout.status.refused if retry is None else None
    before = World(
        running=workload.release if workload else None,
        records=records,
        # What the API server has refused counts as not wanted: what runs is judged as if nobody had asked for it.
        wanted=None if wanted and _is_refused(rollout, rollout.spec, wanted, records, seen, refusal) else wanted,
        health=None,
        way_back=rollout.spec.rollback.enabled,
        retry=retry,
        rollback_to=_token(rollout, "rollback-to", rollout.requests.rollback_to, seen),
        now=now,
        started=candidate.started_at,
        canary=canary,
        step=step,
        steps=len(steps_of(rollout.spec)) if canary or _has_room(seen) else 0,
        pauses=frozenset(nth for nth, step in enumerate(steps_of(rollout.spec), 1) if step.pause),
        approval=rollout.requests.approve,
        approved=_approved_step(rollout, canary),
        refused=_next_is_refused(rollout.spec, canary, step, records, seen, _refused(refusal)),
    )
    health = _health(rollout.spec, _unpaused(rollout, trial, before), candidate, before, now)
    if rollout.paused is not None and health is not None and not isinstance(health, Failing):
        health = Blocked(Finding(PAUSED, paused_by(rollout.paused)))
    if workload is not None and workload.drifted and isinstance(health, Healthy):
        health = None  # the Pods may well be what somebody has made of them: they prove nothing about the release
    before = replace(before, health=health)
    before = replace(before, hold=_hold(rollout, rollout.spec, seen, before))
    attempt = prepull.attempt_of(rollout, rollout.spec, seen, before) if before.hold is None else None
    pulled = prepull.outcome(attempt, rollout, seen, now) if attempt else None
    if isinstance(pulled, Hold):
        before = replace(before, hold=pulled)
    elif isinstance(pulled, Finding):
        before = replace(before, unpullable=pulled)
    world = before if rollout.spec.suspend else _answer(settle(before), before, rollout)
    if attempt and isinstance(pulled, prepull.Pulled) and world.trial == attempt.release.id:
        world = prepull.told(world, attempt, pulled)
    world = _with_what_ran(_adopt(world, wanted), before, seen)
    world = podset.marked(world, before) if rollout.spec.kind == podset.KIND else world
    wished, again = _actions(rollout, rollout.spec, seen, before, world)
    if again.altered:
        message = f"Somebody changed the image of Pod {', '.join(again.altered)}; it is replaced"
        world = world.say(Notice("Warning", "DriftCorrected", message))
    actions = tuple(
        one
        for one in wished
        if not (isinstance(one, Apply) and one.mark in _refused(refusal))
        and not (isinstance(one, ApplyCanary) and one.intent in _refused(refusal))
    )
    mends = workload is not None and workload.drifted and any(isinstance(one, Apply) for one in actions)
    if mends and workload is not None and workload.contest is None:
        message = f"Somebody changed fields of the {rollout.spec.kind} that are podpin's; they were put back"
        world = world.say(Notice("Warning", "DriftCorrected", message))
    if (pod := _stuck(rollout, rollout.spec, seen, world)) is not None:
        actions = (*actions, Unstick(pod.name, pod.uid))
        message = f"Removed Pod {pod.name} of the rejected release {pod.release}, for which the StatefulSet was waiting"
        world = world.say(Notice("Normal", "Unstuck", message))
    pulls = prepull.plan(attempt if isinstance(pulled, Hold) else None, rollout, seen, now)
    settled = Settled(
        state=state_of(world),
        running=world.running,
        stable=world.stable,
        records=world.records,
        wanted=wanted,
        health=world.health,
        candidate=_candidate(world, rollout, candidate, seen, trial, now),
        trial=world.trial,
        awaits=awaits_approval(world),
        superseded=world.superseded,
        requests=_handled(rollout, seen, wanted, before),
        hold=world.hold if is_new(world) or retries(world) else None,
        notices=world.notices,
        refusal=refusal if before.wanted is not wanted or actions != wished or before.refused else None,
    )
    told = report.tell(rollout, rollout.spec, apart(seen), settled, now)
    moments = [one for one in (told.recheck_at, again.recheck_at, pulls.recheck_at) if one is not None]
    return replace(told, actions=(*actions, *pulls.actions), recheck_at=min(moments, default=None))


def _kept_up(rollout: Rollout, problem: Problem, seen: Observation, now: datetime) -> Decision:
    """What a spec's problem leaves to do: what runs stays, and where podpin makes its Pods, they are kept up."""
    stalled = _stalled(rollout, problem, seen, now)
    if problem.spec is None or problem.spec.kind != podset.KIND:
        return stalled
    kept = podset.kept_up(rollout, problem.spec, seen, now)
    return replace(stalled, actions=(*kept.actions, *stalled.actions), recheck_at=kept.recheck_at)


def _stalled(rollout: Rollout, problem: Problem, seen: Observation, now: datetime) -> Decision:
    """What is said of a problem; what only pulls goes, for nothing may begin."""
    stalled = report.stalled(rollout, problem.reason, problem.message, now)
    return replace(stalled, actions=prepull.swept(rollout.uid, seen))


def _intent(rollout: Rollout, spec: Spec, release: Release, records: Mapping[str, Record]) -> str:
    record = records.get(release.id) or unjudged(release)
    return _intent_of(rollout, spec, record)


def _intent_of(rollout: Rollout, spec: Spec, record: Record) -> str:
    if spec.target_ref is not None:
        return adopted.intent_of(spec.place(rollout.key.name), record.release, record.images, record.retried)
    return intent_of(spec.workload, record.release, record.images, record.retried)


def _is_refused(
    rollout: Rollout,
    spec: Spec,
    wanted: Release,
    records: Mapping[str, Record],
    seen: Observation,
    refusal: RefusedStatus | None,
) -> bool:
    """Whether the API server has refused this release, be it for the workload or for the canary before it."""
    refused = _refused(refusal)
    if _intent(rollout, spec, wanted, records) in refused:
        return True
    first = next(iter(steps_of(spec)), None)
    if first is None or seen.workload is None:
        return False
    record = records.get(wanted.id)
    images, retried = (record.images, record.retried) if record else (wanted.images, None)
    return canary_intent(wanted.id, images, retried, 1, first.size(seen.workload.replicas)) in refused


def _next_is_refused(
    spec: Spec, canary: str | None, step: int, records: Mapping[str, Record], seen: Observation, refused: Iterable[str]
) -> bool:
    """Whether the API server has refused the canary's next step."""
    steps = steps_of(spec)
    if canary is None or seen.workload is None or step >= len(steps):
        return False
    record, size = records[canary], steps[step].size(seen.workload.replicas)
    return canary_intent(canary, record.images, record.retried, step + 1, size) in refused


def _canary_of(seen: Observation, records: Mapping[str, Record]) -> str | None:
    """The release that the canary tries beside the stable one; None where it has nothing to do any more."""
    running, canary = seen.workload.release if seen.workload else None, seen.canary
    record = records.get(canary.release or "") if canary else None
    stable = newest_stable(records.values())
    if record is None or record.is_rejected or stable is None or record is stable:
        return None
    return record.release if running in (None, stable.release) else None


def _approved_step(rollout: Rollout, canary: str | None) -> int:
    """The step of this release's canary that the annotation approves of, as in `RELEASE/1`; 0 for none."""
    release, _slash, step = (rollout.requests.approve or "").partition("/")
    return int(step) if release == canary and re.fullmatch("[1-9][0-9]?", step, re.ASCII) else 0


def _hold(rollout: Rollout, spec: Spec, seen: Observation, world: World) -> Hold | None:
    """What holds the wanted release back, where it is one that would be started."""
    wanted = world.wanted
    if wanted is None or not (is_new(world) or retries(world)):
        return None
    record = world.record(wanted.id)
    again = retries(world) or _is_being_retried(rollout, record)
    approved = (rollout.requests.approve or "").partition("/")[0] == wanted.id
    return hold_of(
        Asking(
            release=wanted.id,
            rollout=rollout.key.name,
            spec=spec,
            now=world.now,
            guarded=world.stable is not None or _proves(world) or _adopts(spec, seen, wanted),
            named=approved or again,
            awaited=seen.awaited,
            pause=rollout.paused,
        )
    )


def _proves(world: World) -> bool:
    """What runs proves stable in this very look, and is to be protected as any other from now on."""
    return isinstance(world.health, Healthy) and world.record(world.running) is not None


def _adopts(spec: Spec, seen: Observation, wanted: Release) -> bool:
    """A workload that runs another image is about to be adopted."""
    same = seen.ran is not None and seen.ran.id == wanted.id
    return spec.target_ref is not None and seen.workload is not None and not same


def _is_being_retried(rollout: Rollout, record: Record | None) -> bool:
    """podpin has died between forgiving the release and starting it, as a person had asked it to."""
    asked, told = rollout.requests.retry, rollout.status.requests
    if record is None or record.verdict is not None or record.retried is None or asked is None:
        return False
    return record.retried.endswith(f"retry={asked}") and (told is None or told.retry != asked)


def _unpaused(rollout: Rollout, trial: Observation, world: World) -> Observation:
    """The trial as if podpin had not paused its workload: what fails is judged all the same."""
    workload = trial.workload
    if workload is None or not workload.paused or world.canary is not None:
        return trial
    assert isinstance(rollout.spec, Spec)
    own = applied_manner(rollout, rollout.spec, workload, world.records.values()) is Manner.PAUSED
    return replace(trial, workload=replace(workload, paused=False)) if own else trial


def applied_manner(rollout: Rollout, spec: Spec, workload: Workload, records: Iterable[Record]) -> Manner:
    """The manner in which podpin has applied the workload that is seen."""
    record = next((record for record in records if record.release == workload.release), None)
    if record is None or spec.kind != "Deployment" or spec.own is None:
        return Manner.USUAL
    return manner_of(workload, _intent_of(rollout, spec, record))


def _has_room(seen: Observation) -> bool:
    """There are Pods beside which a canary could stand."""
    return seen.workload is not None and seen.workload.replicas > 0


def _refused(refusal: RefusedStatus | None) -> tuple[str, ...]:
    return refusal.intents if refusal else ()


def wanted_release(rollout: Rollout, spec: Spec, seen: Observation) -> Release | None:
    """The release that spec and registry ask for, or None while an image of it is not known.

    A registry that does not answer, or has lost the tag, changes nothing: the last choice for the same policy stands.
    """
    last = _told(rollout, spec)
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
    return _with_config(spec, tuple(pins), seen)


def _with_config(spec: Spec, pins: Images, seen: Observation) -> Release | None:
    """The release with these pins; None where its configuration is to be pinned and is not known."""
    if not spec.pins_config:
        return release_of(spec, pins)
    return release_of(spec, pins, seen.config) if isinstance(seen.config, Contents) else None


def _told(rollout: Rollout, spec: Spec) -> dict[str, str]:
    """The choices for this spec that status tells, as pins by container."""
    sources = {image.container: source_of(image) for image in spec.images}
    return {
        image.container: pin(image.repository, image.tag, image.digest)
        for image in rollout.status.images
        if image.source == sources.get(image.container)
    }


def _caught_up(rollout: Rollout, spec: Spec, seen: Observation, now: datetime) -> Rollout:
    """The rollout with the choice in its status that podpin died over: it had applied a newer one, and not yet said so.

    Such a one shows in that another release runs than status says was applied last, or in a canary that status does
    not tell of. Where the choice in status was rejected, and it is the stable release that runs, that was not chosen
    but gone back to.
    """
    workload, written, candidate = seen.workload, rollout.status.workload, rollout.status.candidate
    records = {record.release: record for record in seen.records}
    moved = _canary_of(seen, records)
    if moved is None or (candidate is not None and candidate.release == moved):
        if workload is None or written is None or workload.release == written.release:
            return rollout
        moved = workload.release
    chosen = tuple(_told(rollout, spec).items())
    wanted = _with_config(spec, chosen, seen)
    told = records.get(wanted.id) if wanted is not None else None
    running = records.get(moved or "")
    stable = newest_stable(seen.records)
    if (
        running is None
        or running.spec_hash != spec_hash_of(spec)
        or dict(running.images) == dict(chosen)
        or (told is not None and told.is_rejected and running is stable)
    ):
        return rollout
    pins = {container: parse_pin(image) for container, image in running.images}
    images = tuple(
        ImageStatus(
            container=image.container,
            repository=image.repository,
            tag=pins[image.container].tag,
            digest=pins[image.container].digest,
            resolved_at=running.created or now,
            source=source_of(image),
        )
        for image in spec.images
        if image.container in pins
    )
    return replace(rollout, status=rollout.status.model_copy(update={"images": images}))


def _health(spec: Spec, trial: Observation, candidate: CandidateStatus, world: World, now: datetime) -> Health | None:
    workload, steps = trial.workload, steps_of(spec)
    if workload is None or workload.release is None:
        return None
    bake, stable = spec.rollout.bake_time, world.stable
    trial = replace(trial, unfit=frozenset(candidate.unfit or ()))
    if world.canary is not None and steps:
        bake = steps[min(world.step, len(steps)) - 1].bake
        began = candidate.canary.since if candidate.canary and candidate.canary.step == world.step else now
        trial = replace(trial, partial_at=max(trial.partial_at or began, began))
    terms = Terms(spec.rollout.progress_deadline, bake, spec.rollout.checks)
    return assess(workload.release, trial, terms, candidate.clock_from, now, stable.release if stable else None)


def _clocked(rollout: Rollout, trial: Observation, now: datetime) -> CandidateStatus:
    """The candidate's clock as it would go on from now: moved on by the time for which it stood still."""
    running = trial.workload.release if trial.workload else None
    candidate = rollout.status.candidate
    if candidate is None or candidate.release != running:
        # Where podpin died before it could say which checks had not passed before, none of them is to be blamed.
        checks = rollout.spec.rollout.checks if isinstance(rollout.spec, Spec) else ()
        unfit = tuple(sorted(check.name for check in checks)) or None
        return CandidateStatus(release=running or "", images=(), started_at=now, clock_from=now, unfit=unfit)
    if candidate.paused_since is None:
        return candidate
    stood = max(now - candidate.paused_since, timedelta())
    return candidate.model_copy(update={"clock_from": candidate.clock_from + stood, "paused_since": None})


def _candidate(
    world: World, rollout: Rollout, clocked: CandidateStatus, seen: Observation, trial: Observation, now: datetime
) -> CandidateStatus | None:
    """The candidate as it is to stand in status, its clock stopped where the cause does not lie in the release."""
    if state_of(world) not in (State.TRYING, State.CANARY) or world.trial is None:
        return None
    record, stored = world.record(world.trial), rollout.status.candidate
    images = report.pinned(record.images if record else ())
    assert isinstance(rollout.spec, Spec)
    canary = _canary_status(world, rollout.spec, clocked, seen, now)
    if clocked.release != world.trial or (canary and canary.since) != (clocked.canary and clocked.canary.since):
        # Each step, and the workload's turn after them, has the whole deadline to itself.
        started, unfit = now, tuple(sorted(seen.unfit)) or None
        if clocked.release == world.trial:
            started, unfit = clocked.started_at, clocked.unfit
        return CandidateStatus(
            release=world.trial, images=images, started_at=started, clock_from=now, canary=canary, unfit=unfit
        )
    clocked = clocked.model_copy(update={"canary": canary})
    if not rollout.spec.suspend and not isinstance(world.health, Blocked | Idle):
        return clocked.model_copy(update={"images": images})
    if stored is not None and stored.release == world.trial and stored.paused_since is not None:
        return stored
    pods = [pod for pod in trial.pods if pod.release == world.trial and not pod.deleting]
    return clocked.model_copy(
        update={"images": images, "clock_from": progress_at(pods, clocked.clock_from), "paused_since": now}
    )


def _canary_status(
    world: World, spec: Spec, clocked: CandidateStatus, seen: Observation, now: datetime
) -> CanaryStatus | None:
    """How far the canary has come; a step begins when it is first told of."""
    if state_of(world) is not State.CANARY or not (steps := steps_of(spec)):
        return None
    known = clocked.canary if clocked.release == world.canary else None
    since = known.since if known is not None and known.step == world.step else now
    return CanaryStatus(step=world.step, of=len(steps), replicas=_size(world, steps, seen), since=since)


def _size(world: World, steps: tuple[Step, ...], seen: Observation) -> int:
    """How many Pods the canary has in its step: as many as it was given when the step began."""
    canary = seen.canary
    if (
        canary is not None
        and canary.step is not None
        and (canary.release, canary.step[0]) == (world.canary, world.step)
    ):
        return canary.step[1]
    return steps[min(world.step, len(steps)) - 1].size(seen.workload.replicas if seen.workload else 1)


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


def _handled(rollout: Rollout, seen: Observation, wanted: Release | None, world: World) -> RequestsStatus | None:
    """The requests as they stand handled after this decision.

    A look is handled once it has come back, a retry once there is something that could be retried, and none while
    suspended.
    """
    asked, known = rollout.requests, rollout.status.requests
    assert isinstance(rollout.spec, Spec)
    if rollout.spec.suspend or (known is None and asked == Requests()):
        return known
    before = known or RequestsStatus()
    held = world.hold is not None and retries(world)
    retry = asked.retry if asked.retry is None or (wanted is not None and seen.looked and not held) else before.retry
    approve = asked.approve if asked.approve is None or wanted is not None else before.approve
    fresh = [
        value
        for value, old in ((retry, before.retry), (asked.rollback_to, before.rollback_to))
        if value and value != old
    ]
    handled = RequestsStatus(
        reconcile=asked.reconcile if seen.looked else before.reconcile,
        retry=retry,
        rollback_to=asked.rollback_to,
        approve=approve,
        obeyed=before.obeyed + bool(fresh),
    )
    return known if handled == before else handled


def _answer(world: World, before: World, rollout: Rollout) -> World:
    """Say it where a request asks for what there is not; it counts as handled all the same."""
    if world.rollback_to is not None:
        asked = world.rollback_to.partition("=")[2]
        proven = ", ".join(sorted(record.release for record in world.records.values() if record.is_stable)) or "none"
        why = "already runs" if target_of(world) == world.running else "is no release that proved stable here"
        world = world.say(
            Notice(
                "Warning",
                "RequestRefused",
                f"Nothing to roll back to: {asked!r} {why}; stable releases on record: {proven}",
            )
        )
    world = _answer_approval(world, rollout)
    held = before.hold is not None and retries(before)
    if world.retry is not None and world.wanted is not None and world.running == before.running and not held:
        world = world.say(
            Notice("Warning", "RequestRefused", f"Nothing to retry: release {world.wanted.id} is not rejected")
        )
    return world


def _answer_approval(world: World, rollout: Rollout) -> World:
    """Say it where an approval is of no release that it could let begin."""
    asked, handled = rollout.requests.approve, rollout.status.requests
    if asked is None or world.wanted is None or asked == (handled.approve if handled else None):
        return world
    release, record = asked.partition("/")[0], world.record(asked.partition("/")[0])
    if record is not None and record.is_rejected:
        why = f"release {release} was rejected: ask for a retry"
    elif release not in (world.wanted.id, world.running, world.canary):
        why = f"{asked[:MOST_SHOWN]!r} is not wanted here; release {world.wanted.id} is"
    else:
        return world
    return world.say(Notice("Warning", "RequestRefused", f"Nothing to approve: {why}"))


def _adopt(world: World, wanted: Release | None) -> World:
    """A workload that runs the wanted release without a record, as after a restore, gets its record back."""
    if wanted is None or world.running != wanted.id or wanted.id in world.records:
        return world
    return world.with_record(unjudged(wanted))


def _with_what_ran(world: World, before: World, seen: Observation) -> World:
    """What an adopted workload ran before a release is put in its place is on record as stable: a way back from it."""
    ran = seen.ran
    if ran is None or state_of(world) is not State.TRYING or world.running in (before.running, ran.id):
        return world
    record = world.record(ran.id) or Record(release=ran.id, spec_hash=ran.spec_hash, images=ran.images)
    if record.is_rejected:
        return world
    found = Finding("Adopted", "it ran before podpin took its images over")
    world = world.say(Notice("Normal", "Adopted", f"What ran before is on record as stable: {images_text(ran.images)}"))
    return world.with_record(record.judged(world.verdict(STABLE, found)))


def _stuck(rollout: Rollout, spec: Spec, seen: Observation, world: World) -> Pod | None:
    if spec.target_ref is None or spec.suspend or seen.workload is None or seen.workload.release != world.running:
        return None
    rejected = {record.release for record in world.records.values() if record.is_rejected}
    return adopted.stuck(spec.place(rollout.key.name), seen, rejected)


def _actions(
    rollout: Rollout, spec: Spec, seen: Observation, before: World, world: World
) -> tuple[tuple[Action, ...], podset.Plan]:
    actions: list[Action] = []
    pods = podset.Plan()
    if spec.kind == podset.KIND:
        actions.extend(podset.rehearsal(spec, before, world))
        pods = podset.plan(rollout, spec, seen, world, world.now)
    for release in world.written:
        record = world.records[release]
        if release in before.records:
            actions.append(Judge(record))
        elif world.wanted is not None and world.wanted.id == release:
            actions.append(Write(world.wanted, record))
        elif seen.ran is not None and seen.ran.id == release:
            actions.append(Write(seen.ran, record))
    running = world.record(world.running)
    actions.extend(pods.actions)
    if running is not None and not spec.suspend and spec.kind != podset.KIND:
        intent, workload = _intent_of(rollout, spec, running), seen.workload
        manner = _manner(rollout, spec, seen, world, running, intent)
        if (
            workload is None
            or (workload.release, workload.intent) != (running.release, marked(intent, manner))
            or (workload.drifted and (workload.contest is None or world.now >= workload.contest.correct_from))
            or (spec.target_ref is not None and workload.rollout != rollout.key.name)
        ):
            wanted = world.wanted if world.wanted is not None and world.wanted.id == running.release else None
            whole = replace(wanted, images=running.images, retried=running.retried) if wanted else None
            uid = workload.uid if workload else None
            actions.append(Apply(running.release, whole, intent, uid, manner))
    if not spec.suspend:
        actions.extend(_canary_actions(spec, seen, world))
    if not spec.suspend and (gone := _gone(seen, before, world)):
        actions.append(Restore(gone))
    actions.extend(_prunings(world))
    return tuple(actions), pods


def _manner(rollout: Rollout, spec: Spec, seen: Observation, world: World, running: Record, intent: str) -> Manner:
    if spec.kind != "Deployment" or spec.own is None:
        return Manner.USUAL
    if rollout.paused is not None and state_of(world) is State.TRYING:
        return Manner.PAUSED
    left = world.record(seen.workload.release) if seen.workload else None
    return way_back(spec.own, seen, intent, goes=running.is_stable and left is not None and left.is_rejected)


def _canary_actions(spec: Spec, seen: Observation, world: World) -> Iterator[Action]:
    """Make the canary what it is to be; one that has done its part, or failed, goes."""
    canary, steps = seen.canary, steps_of(spec)
    record = world.record(world.canary)
    if record is not None and steps:
        size = _size(world, steps, seen)
        intent = canary_intent(record.release, record.images, record.retried, world.step, size)
        if canary is None or canary.intent != intent or canary.replicas != size:
            wanted = world.wanted if world.wanted is not None and world.wanted.id == record.release else None
            whole = replace(wanted, images=record.images, retried=record.retried) if wanted else None
            yield ApplyCanary(record.release, whole, intent, canary.uid if canary else None, world.step, size)
    elif canary is not None and not _is_left(world, canary):
        yield RemoveCanary(canary.uid)


def _is_left(world: World, canary: Workload) -> bool:
    """A canary that failed stays where there is to be no way back, as long as its release is wanted."""
    record = world.record(canary.release)
    failed = record is not None and record.is_rejected and record.verdict is not None and record.verdict.reason != ASKED
    return failed and not world.way_back and world.wanted is not None and world.wanted.id == canary.release


def _gone(seen: Observation, before: World, world: World) -> tuple[Copy, ...]:
    """Copies that are gone of what runs, or of its canary: those of a release that only begins are made with it."""
    missing = seen.config.missing if isinstance(seen.config, Contents) else ()
    went_on = {world.running, world.canary} & {before.running, before.canary}
    had = {one for release in went_on if (record := world.record(release)) is not None for one in record.copies}
    return tuple(one for one in missing if one in had)


def _prunings(world: World) -> Iterator[Prune]:
    """What goes of records that nothing will go back to: the copies that no other release has, and they themselves."""
    surplus = _surplus(world)
    going = {record.release for record in surplus}
    kept = [record.copies for record in world.records.values() if record.release not in going]
    needed = {one for copies in (*kept, world.wanted.copies if world.wanted else ()) for one in copies}
    for record in surplus:
        yield Prune(record.release, tuple(one for one in record.copies if one not in needed))


def _surplus(world: World) -> list[Record]:
    """The records that nothing will go back to: never the stable one, nor those that run or are wanted."""
    stable = world.stable
    needed = {
        world.running,
        world.canary,
        world.wanted.id if world.wanted else None,
        stable.release if stable else None,
    }
    spare = [record for record in world.records.values() if record.release not in needed]
    proven = sorted((record for record in spare if record.is_stable), key=order_of, reverse=True)
    rejected = sorted((record for record in spare if record.is_rejected), key=order_of, reverse=True)
    unjudged = sorted(
        (record for record in spare if record.verdict is None and record.created),
        key=lambda record: str(record.created),
        reverse=True,
    )
    return [*proven[KEPT_STABLE:], *rejected[KEPT_REJECTED:], *unjudged[KEPT_UNJUDGED:]]
