"""What the user is told: conditions, history and events, from a world that has been settled.

The reason of Ready is the one word for the state of the world; REASONS says what each means and what to do, and the
catalogue in the docs is printed from it. Messages carry no times and no counters that move by themselves, so that the
same problem has the same text and a quiet world is never written to.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal

from podpin.core.decision import Decision, Notice, Rollout
from podpin.core.health import Baking, Blocked, Health, Idle, Waiting, is_complete
from podpin.core.names import workload_name
from podpin.core.observation import Observation, Pod, Resolved, Unresolved, Workload
from podpin.core.reference import parse_pin
from podpin.core.release import Images, Record, Release, source_of
from podpin.core.signals import had_been_ready
from podpin.core.spec import Spec
from podpin.core.status import (
    CandidateStatus,
    Condition,
    HistoryEntry,
    ImageStatus,
    PinnedImage,
    RefusedStatus,
    RejectedStatus,
    ReleaseStatus,
    RequestsStatus,
    RunningStatus,
    Status,
    WorkloadStatus,
)
from podpin.core.workload import selector_of

GRACE: Final = timedelta(seconds=10)
"""How long a Pod that had been ready may be away before the rollout counts as degraded."""

MOST_REJECTED: Final = 20
MOST_HISTORY: Final = 20

REASONS: Final[Mapping[str, str]] = {
    "RolledOut": "The wanted release runs and is stable.",
    "Progressing": "A release is being tried. The stable one serves until it is ready.",
    "RollingBack": "A release was rejected, and the stable one is coming back.",
    "RolledBack": "The stable release runs; the wanted one was rejected and is not tried again. Push a fixed image, "
    "change the spec, or annotate podpin.dev/retry.",
    "Rejected": "The release failed and there is none to go back to, or spec.rollback.enabled is false. Push a fixed "
    "image, change the spec, or annotate podpin.dev/retry.",
    "Degraded": "The stable release runs with fewer ready Pods than it should. It is not rolled back for that: look at "
    "its Pods.",
    "ScaledToZero": "No replicas are wanted. A candidate is judged when there are some.",
    "Suspended": "spec.suspend is true: podpin changes nothing.",
    "Resolving": "The registry has not answered yet.",
    "InvalidSpec": "The spec asks for something impossible. The message says what; podpin waits for a change.",
    "WorkloadConflict": "A workload of this name exists and belongs to somebody else. podpin never takes it over.",
    "WorkloadRefused": "The API server does not accept the Deployment made from spec.workload; the message has its "
    "words. What runs goes on; mend the spec.",
    "WriteForbidden": "The API server forbids podpin's write: a missing right, a quota or an admission policy. It is "
    "tried again.",
}
"""The reasons of Ready that are podpin's own; those of the registry and of the cluster are in the catalogue too."""

ReadyStatus = Literal["True", "False", "Unknown"]


@dataclass(frozen=True, slots=True)
class Settled:
    """The world after all transitions, as the report needs it."""

    state: str
    running: str | None
    stable: Record | None
    records: Mapping[str, Record]
    wanted: Release | None
    health: Health | None
    candidate: CandidateStatus | None
    superseded: tuple[str, ...]
    requests: RequestsStatus | None
    notices: tuple[Notice, ...]


@dataclass(frozen=True, slots=True)
class Say:
    """What Ready says, and which of kstatus' abnormal-true conditions stand beside it."""

    ready: ReadyStatus
    reason: str
    message: str
    reconciling: bool = False
    stalled: bool = False
    recheck_at: datetime | None = None


def stalled(rollout: Rollout, reason: str, message: str, now: datetime) -> Decision:
    """The answer to what only the user can mend: nothing is touched, and nothing is forgotten."""
    conditions = _conditions(rollout, Say("False", reason, message, stalled=True), _old(rollout, "Resolved"), now)
    status = rollout.status.model_copy(update={"observed_generation": rollout.generation, "conditions": conditions})
    return Decision(status, notices=tuple(_turned(rollout.status, status)))


def refused(rollout: Rollout, intent: str, message: str, now: datetime) -> Decision:
    """The answer to a workload that the API server does not accept: what runs goes on, until something changes."""
    told = stalled(
        rollout, "WorkloadRefused", f"the API server refuses the Deployment made from spec.workload: {message}", now
    )
    status = told.status.model_copy(update={"refused": RefusedStatus(intent=intent, message=message)})
    return Decision(status, notices=told.notices)


def denied(rollout: Rollout, message: str, now: datetime) -> Decision:
    """The answer to a write that podpin is not allowed, or that a quota or a policy forbids: it is tried again."""
    say = Say("False", "WriteForbidden", f"the API server forbids writing the Deployment: {message}", reconciling=True)
    conditions = _conditions(rollout, say, _old(rollout, "Resolved"), now)
    status = rollout.status.model_copy(update={"observed_generation": rollout.generation, "conditions": conditions})
    return Decision(status, notices=tuple(_turned(rollout.status, status)))


def tell(rollout: Rollout, spec: Spec, seen: Observation, settled: Settled, now: datetime) -> Decision:
    """The whole next status of a rollout with a usable spec, its events, and when to look again."""
    say = _say(spec, seen, settled, now)
    old = rollout.status
    images = _images(spec, seen, old, now)
    resolved = _resolved(rollout, seen, images)
    stable = settled.stable
    rejected = sorted(
        (r for r in settled.records.values() if r.is_rejected), key=lambda r: -r.verdict.order if r.verdict else 0
    )
    replicas, ready = _counts(seen, settled, old)
    status = Status(
        observed_generation=rollout.generation,
        conditions=(*_conditions(rollout, say, resolved, now), *_lost(rollout, seen, now)),
        running=_running(settled, replicas, ready),
        images=images,
        stable=ReleaseStatus(release=stable.release, images=pinned(stable.images), since=stable.verdict.at)
        if stable and stable.verdict
        else None,
        candidate=settled.candidate,
        rejected=tuple(_rejected(record) for record in rejected[:MOST_REJECTED]),
        history=_history(old, settled, now),
        workload=old.workload,
        replicas=replicas,
        ready_replicas=ready,
        selector=",".join(
            f"{key}={value}" for key, value in sorted(selector_of(rollout.key.name, spec.workload).items())
        ),
        requests=settled.requests,
    )
    waiting_for_first_look = settled.running is None and say.reason == "Resolving" and not old.conditions
    return Decision(
        status if not waiting_for_first_look else old,
        notices=(*settled.notices, *_turned(old, status)),
        recheck_at=say.recheck_at,
    )


def _say(spec: Spec, seen: Observation, settled: Settled, now: datetime) -> Say:
    running = settled.records.get(settled.running or "")
    name = f"release {settled.running}"
    if spec.suspend:
        proven = settled.state in ("Steady", "Held") and _serves(seen, settled.running)
        return Say(
            "True" if proven else "Unknown",
            "Suspended",
            f"suspended by spec.suspend; {name} is left as it is" if running else "suspended by spec.suspend",
        )
    match settled.state:
        case "Trying":
            return _say_trying(settled, images_text(running.images) if running else "")
        case "Failed":
            verdict = running.verdict if running else None
            why = f"{verdict.reason}: {verdict.message}" if verdict else "it failed"
            back = (
                "there is no stable release to go back to"
                if settled.stable is None
                else "spec.rollback.enabled is false"
            )
            return Say(
                "False",
                "Rejected",
                f"{name} failed ({why}); {back}, so it is left as it is until a new image, a changed spec or a retry",
                stalled=True,
            )
        case "Nothing":
            return _say_nothing(seen, settled)
    return _say_stable(spec, seen, settled, now)


def _say_trying(settled: Settled, images: str) -> Say:
    trying = f"trying release {settled.running} ({images})"
    serving = f"; release {settled.stable.release} serves until it is proven" if settled.stable else ""
    match settled.health:
        case Idle():
            return Say(
                "True",
                "ScaledToZero",
                f"no replicas are wanted; release {settled.running} will be judged when there are some",
            )
        case Blocked(finding):
            return Say(
                "Unknown",
                finding.reason,
                f"{trying}: held up by the cluster, not by the release: {finding.message}{serving}",
                reconciling=True,
            )
        case Waiting(deadline, finding):
            told = f": {finding.message}" if finding else ""
            return Say("Unknown", "Progressing", f"{trying}{told}{serving}", reconciling=True, recheck_at=deadline)
        case Baking(until):
            return Say("Unknown", "Progressing", f"{trying}{serving}", reconciling=True, recheck_at=until)
    return Say("Unknown", "Progressing", f"{trying}{serving}", reconciling=True)


def _say_nothing(seen: Observation, settled: Settled) -> Say:
    trouble = _trouble(seen)
    if trouble is not None:
        return Say("False", trouble.reason, f"nothing runs yet: {trouble.message}", reconciling=True)
    wanted = settled.records.get(settled.wanted.id) if settled.wanted else None
    if wanted is not None and wanted.verdict is not None:
        verdict = wanted.verdict
        return Say(
            "False",
            "Rejected",
            f"nothing runs: release {wanted.release} was rejected ({verdict.reason}): {verdict.message}",
            stalled=True,
        )
    return Say("Unknown", "Resolving", "waiting for the registry's first answer", reconciling=True)


def _say_stable(spec: Spec, seen: Observation, settled: Settled, now: datetime) -> Say:
    stable, wanted = settled.stable, settled.records.get(settled.wanted.id) if settled.wanted else None
    assert stable is not None
    runs = f"release {stable.release} runs ({images_text(stable.images)})"
    workload = seen.workload
    held = settled.state == "Held" and wanted is not None and wanted.verdict is not None
    if held:
        assert wanted is not None
        assert wanted.verdict is not None
        verdict = wanted.verdict
        asked = wanted.spec_hash != stable.spec_hash and verdict.reason != "RollbackRequested"
        reason = "RolledBack"
        failed = f"release {wanted.release} ({images_text(wanted.images)}) was rejected"
        message = f"{runs}; {failed} ({verdict.reason}): {verdict.message}"
    else:
        asked, reason, message = False, "RolledOut", runs
    if workload is not None and workload.release == stable.release and workload.replicas == 0:
        return Say("True", "ScaledToZero" if not held else reason, f"{message}; no replicas are wanted")
    if _serves(seen, stable.release):
        return Say("False" if asked else "True", reason, message, stalled=asked)
    recheck = _grace_ends(spec, seen, stable.release, now)
    if short := _short(spec, seen, stable.release, now):
        return Say("False", "Degraded", f"{message}; but {short}", recheck_at=recheck)
    if _is_coming(seen, stable.release):
        coming = "RollingBack" if held else "Progressing"
        return Say("Unknown", coming, f"{message}; its Pods are coming up", reconciling=True, recheck_at=recheck)
    return Say("False" if asked else "True", reason, message, stalled=asked, recheck_at=recheck)


def _is_coming(seen: Observation, release: str) -> bool:
    """The release is on its way in: none of its Pods is ready, or Pods of another one are still there.

    Being scaled up, or having a Pod moved, is neither: what runs goes on serving, and nobody is to be woken for it.
    """
    workload = seen.workload
    others = any(pod.release != release and not pod.deleting for pod in seen.pods)
    return workload is None or workload.release != release or others or _ready(seen, release) == 0


def _serves(seen: Observation, release: str | None) -> bool:
    """As many Pods of the release are ready as are wanted."""
    workload = seen.workload
    return workload is not None and _ready(seen, release) >= workload.replicas


def _ready(seen: Observation, release: str | None) -> int:
    return sum(1 for pod in seen.pods if pod.release == release and pod.ready and not pod.deleting)


def _short(spec: Spec, seen: Observation, release: str, now: datetime) -> str | None:
    """Why the release counts as degraded, or None: Pods that had been ready stay away, or none is ready at all."""
    workload = seen.workload
    if workload is None or workload.release != release:
        return None
    late = min((pod.name for pod, since, grace in _absent(spec, seen, release) if now >= since + grace), default=None)
    if late is not None:
        return f"Pod {late} is not ready"
    if workload.not_created is not None:
        return f"the cluster refuses to create Pods: {workload.not_created[1]}"
    return None


def _absent(spec: Spec, seen: Observation, release: str) -> Iterator[tuple[Pod, datetime, timedelta]]:
    """Pods that are not ready, since when, and how long that may last: not long for one that had been ready."""
    for pod in seen.pods:
        if pod.release != release or pod.ready or pod.deleting:
            continue
        if pod.ready_changed is not None and had_been_ready(pod):
            yield pod, pod.ready_changed, GRACE
        else:
            yield pod, pod.created, spec.rollout.progress_deadline


def _grace_ends(spec: Spec, seen: Observation, release: str, now: datetime) -> datetime | None:
    ends = (since + grace for _, since, grace in _absent(spec, seen, release))
    return min((end for end in ends if end > now), default=None)


def _trouble(seen: Observation) -> Unresolved | None:
    return next((image for image in seen.images.values() if isinstance(image, Unresolved)), None)


def _resolved(rollout: Rollout, seen: Observation, images: tuple[ImageStatus, ...]) -> Condition | None:
    """The condition Resolved, or what it was where the registry has not answered yet."""
    trouble = _trouble(seen)
    at = rollout.generation
    if trouble is not None:
        return Condition(
            type="Resolved",
            status="False",
            reason=trouble.reason,
            message=trouble.message,
            last_transition_time=_EPOCH,
            observed_generation=at,
        )
    if any(image is None for image in seen.images.values()):
        return _old(rollout, "Resolved")
    told = ", ".join(f"{image.container}: {image.tag or image.repository} is {short(image.digest)}" for image in images)
    return Condition(
        type="Resolved",
        status="True",
        reason="Resolved",
        message=told,
        last_transition_time=_EPOCH,
        observed_generation=at,
    )


def _lost(rollout: Rollout, seen: Observation, now: datetime) -> Iterator[Condition]:
    """The warning that going back, or moving a Pod to another node, may fail: said before it is needed."""
    before = _old(rollout, "StableLost")
    if any(image is None for image in seen.images.values()):
        yield from (before,) if before else ()
    elif seen.lost:
        told = ", ".join(f"{container}: {digest}" for container, digest in seen.lost)
        message = f"the registry no longer has the stable release's image ({told}): push it again, or keep it by a tag"
        warning = Condition(
            type="StableLost",
            status="True",
            reason="DigestGone",
            message=message,
            last_transition_time=now,
            observed_generation=rollout.generation,
        )
        yield _dated(warning, before, now)


_EPOCH: Final = datetime.fromisoformat("1970-01-01T00:00:00+00:00")


def _old(rollout: Rollout, kind: str) -> Condition | None:
    return next((condition for condition in rollout.status.conditions if condition.type == kind), None)


def _conditions(rollout: Rollout, say: Say, resolved: Condition | None, now: datetime) -> tuple[Condition, ...]:
    at = rollout.generation
    wanted = [
        Condition(
            type="Ready",
            status=say.ready,
            reason=say.reason,
            message=say.message,
            last_transition_time=now,
            observed_generation=at,
        )
    ]
    for kind, holds in (("Reconciling", say.reconciling), ("Stalled", say.stalled)):
        if holds:
            wanted.append(
                Condition(
                    type=kind,
                    status="True",
                    reason=say.reason,
                    message=say.message,
                    last_transition_time=now,
                    observed_generation=at,
                )
            )
    if resolved is not None:
        wanted.append(resolved)
    return tuple(_dated(condition, _old(rollout, condition.type), now) for condition in wanted)


def _dated(condition: Condition, old: Condition | None, now: datetime) -> Condition:
    """The time of a condition moves with its status only, as the API conventions have it."""
    since = old.last_transition_time if old is not None and old.status == condition.status else now
    return condition.model_copy(update={"last_transition_time": since.replace(microsecond=0)})


def _images(spec: Spec, seen: Observation, old: Status, now: datetime) -> tuple[ImageStatus, ...]:
    before = {image.container: image for image in old.images}
    chosen = []
    for image in spec.images:
        new, last, source = seen.images.get(image.container), before.get(image.container), source_of(image)
        if image.policy.digest is not None:
            new = Resolved(None, image.policy.digest.value)
        last = last if last is not None and last.source == source else None
        if isinstance(new, Resolved) and (last is None or (last.tag, last.digest) != (new.tag, new.digest)):
            last = ImageStatus(
                container=image.container,
                repository=image.repository,
                tag=new.tag,
                digest=new.digest,
                resolved_at=now,
                source=source,
            )
        if last is not None:
            chosen.append(last)
    return tuple(chosen)


def _counts(seen: Observation, settled: Settled, old: Status) -> tuple[int, int]:
    """Replicas and ready replicas of what runs.

    A candidate's Pods count once they are all that is left, so that a rollout does not move the numbers at every step.
    """
    workload = seen.workload
    if workload is None:
        return 0, 0
    if settled.state == "Trying" and old.replicas is not None and not is_complete(workload):
        return old.replicas, old.ready_replicas or 0
    if settled.state in ("Steady", "Held") and settled.running is not None:
        pods = [pod for pod in seen.pods if pod.release == settled.running and not pod.deleting]
        return len(pods), sum(pod.ready for pod in pods)
    return min(workload.total, workload.replicas), min(workload.available, workload.replicas)


def _running(settled: Settled, replicas: int, ready: int) -> RunningStatus | None:
    """What serves: the stable release until another one is proven, or what was left running for want of one."""
    candidate = settled.records.get(settled.running or "")
    record = candidate if settled.state == "Failed" else settled.stable or candidate
    if record is None or not record.images or settled.running is None:
        return None
    first = parse_pin(record.images[0][1])
    name = first.repository.rsplit("/", 1)[-1]
    return RunningStatus(
        image=f"{name}:{first.tag}" if first.tag else name,
        digest=first.digest.partition(":")[2][:12],
        ready=f"{ready}/{replicas}",
    )


def _rejected(record: Record) -> RejectedStatus:
    verdict = record.verdict
    assert verdict is not None
    return RejectedStatus(
        release=record.release,
        images=pinned(record.images),
        reason=verdict.reason,
        message=verdict.message,
        at=verdict.at,
    )


def _history(old: Status, settled: Settled, now: datetime) -> tuple[HistoryEntry, ...]:
    """What was, and what the records say besides: a verdict that podpin died on before it got into status."""
    entries = list(old.history)
    known = {(entry.release, entry.result, entry.ended_at) for entry in entries}
    for record in settled.records.values():
        verdict = record.verdict
        if verdict is not None and (record.release, verdict.result, verdict.at) not in known:
            entries.append(
                HistoryEntry(
                    release=record.release,
                    images=pinned(record.images),
                    result=verdict.result,
                    reason=verdict.reason,
                    message=verdict.message,
                    started_at=verdict.started,
                    ended_at=verdict.at,
                )
            )
    for release in settled.superseded:
        record = settled.records[release]
        started = (
            old.candidate.started_at if old.candidate and old.candidate.release == release else record.created or now
        )
        entries.append(
            HistoryEntry(
                release=release, images=pinned(record.images), result="Superseded", started_at=started, ended_at=now
            )
        )
    entries.sort(key=lambda entry: entry.ended_at, reverse=True)
    return tuple(entries[:MOST_HISTORY])


def _turned(old: Status, new: Status) -> Iterable[Notice]:
    """Events for conditions that have turned: what the transitions have not announced themselves."""
    announced = {"Progressing", "RolledOut", "RolledBack", "RollingBack", "Rejected", "Resolved", "Resolving"}
    before = {condition.type: condition for condition in old.conditions}
    notices = []
    for condition in new.conditions:
        if condition.type not in ("Ready", "Resolved", "StableLost") or condition.reason in announced:
            continue
        was = before.get(condition.type)
        if was is None or was.reason != condition.reason:
            good = condition.status == "True" and condition.type != "StableLost"
            notices.append(Notice("Normal" if good else "Warning", condition.reason, condition.message))
    unique = {notice.reason: notice for notice in notices}
    return tuple(unique.values())


def with_workload(status: Status, workload: Workload, name: str) -> Status:
    """The status with the workload as podpin's write has left it."""
    written = WorkloadStatus(
        name=workload_name(name),
        uid=workload.uid,
        generation=workload.generation,
        intent=workload.intent or "",
        release=workload.release,
    )
    return status.model_copy(update={"workload": written})


def pinned(images: Images) -> tuple[PinnedImage, ...]:
    """Pins as they stand in status."""
    return tuple(PinnedImage(container=container, image=image) for container, image in images)


def short(digest: str) -> str:
    """A digest as people read it: twelve digits."""
    return f"{digest.partition(':')[2][:12]}"


def images_text(images: Images) -> str:
    """Pins as people read them: `app web:1.4.2@0123456789ab`."""
    told = []
    for container, image in images:
        pin = parse_pin(image)
        name = pin.repository.rsplit("/", 1)[-1]
        told.append(f"{container} {name}{':' + pin.tag if pin.tag else ''}@{short(pin.digest)}")
    return ", ".join(told)
