"""The next status of a rollout and its events, from a world that has been settled."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from podpin.core.contest import Contest
from podpin.core.decision import Decision, Notice, Rollout
from podpin.core.health import is_complete
from podpin.core.observation import Observation, Resolution, Resolved, Unresolved, Workload
from podpin.core.policy.terms import CANNOT_VERIFY, NOT_VERIFIED, TAG_MOVED
from podpin.core.prepull import PRE_PULLING
from podpin.core.readiness import Say, Settled, say_of, trouble_of
from podpin.core.reference import parse_pin
from podpin.core.release import Images, Record, image_text, short, source_of
from podpin.core.spec import Spec
from podpin.core.status import (
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
    WaitingStatus,
    WorkloadStatus,
)
from podpin.core.transitions import State
from podpin.core.trust import signers_of
from podpin.core.workload import selector_of

REFUSED: Final = "the API server refuses the {kind} made from spec.workload"
REFUSED_PINS: Final = "the API server refuses podpin's images in the workload of spec.targetRef"
FIRST_LOOK: Final = timedelta(seconds=2)
"""How long a new rollout's first status waits for the registry: most often it answers at once, and one write does."""
MOST_REJECTED: Final = 20
MOST_HISTORY: Final = 20


def stalled(rollout: Rollout, reason: str, message: str, now: datetime) -> Decision:
    """The answer to what only the user can mend: nothing is touched, and nothing is forgotten.

    Only a release that was being pulled first is so no longer: its Pods go, and its time begins anew.
    """
    told = (_old(rollout, "Resolved"), _old(rollout, "Verified"))
    conditions = _conditions(rollout, Say("False", reason, message, stalled=True), told, now)
    waits = rollout.status.waiting
    waiting = None if waits is not None and waits.reason == PRE_PULLING else waits
    changed = {"observed_generation": rollout.generation, "conditions": conditions, "waiting": waiting}
    status = rollout.status.model_copy(update=changed)
    return Decision(status, notices=tuple(_turned(rollout.status, status)))


def refused(status: Status, intent: str, message: str, requests: RequestsStatus | None) -> Status:
    """The status that remembers a workload which the API server did not accept, with the requests handled by then."""
    before = status.refused.intents if status.refused else ()
    refusal = RefusedStatus(intents=(intent, *(one for one in before if one != intent)), message=message)
    return status.model_copy(update={"refused": refusal, "requests": requests})


def denied(rollout: Rollout, message: str, now: datetime) -> Decision:
    """The answer to a write that podpin is not allowed, or that a quota or a policy forbids: it is tried again."""
    say = Say("False", "WriteForbidden", f"the API server forbids podpin's write: {message}", reconciling=True)
    conditions = _conditions(rollout, say, (_old(rollout, "Resolved"), _old(rollout, "Verified")), now)
    status = rollout.status.model_copy(update={"observed_generation": rollout.generation, "conditions": conditions})
    return Decision(status, notices=tuple(_turned(rollout.status, status)))


def tell(rollout: Rollout, spec: Spec, seen: Observation, settled: Settled, now: datetime) -> Decision:
    """The whole next status of a rollout with a usable spec, its events, and when to look again."""
    say = say_of(spec, seen, settled, now)
    if settled.refusal is not None:
        refused = REFUSED.format(kind=spec.kind) if spec.target_ref is None else REFUSED_PINS
        message = f"{refused}: {settled.refusal.message}"
        say = Say("False", "WorkloadRefused", message, stalled=True, recheck_at=say.recheck_at)
    if (contest := seen.workload.contest if seen.workload else None) is not None and not spec.suspend:
        say = _contested(say, contest, spec, now)
    old = rollout.status
    pulling = settled.hold is not None and settled.hold.reason == PRE_PULLING
    images = _images(spec, seen, old, now, trying=pulling or settled.state in (State.TRYING, State.CANARY))
    resolved = _resolved(rollout, seen, images)
    told = (resolved, _verified(rollout, spec, seen, images))
    if say.ready == "True" and resolved is not None and resolved.reason != "Resolved":
        # In the line of kubectl get -o wide nothing else would tell that versions are held up.
        say = replace(say, message=f"{say.message}; no newer version is taken now: {resolved.reason}")
    stable = settled.stable
    rejected = sorted(
        (r for r in settled.records.values() if r.is_rejected), key=lambda r: -r.verdict.order if r.verdict else 0
    )
    waits = settled.hold if not spec.suspend else None
    until = waits.until if waits else None
    if until is not None and (say.recheck_at is None or until < say.recheck_at):
        say = replace(say, recheck_at=until)
    replicas, ready = _counts(seen, settled, say.reason, old)
    status = Status(
        observed_generation=rollout.generation,
        conditions=(*_conditions(rollout, say, told, now), *_lost(rollout, seen, now)),
        running=_running(spec, seen, settled, ready),
        images=images,
        stable=ReleaseStatus(release=stable.release, images=pinned(stable.images), since=stable.verdict.at)
        if stable and stable.verdict
        else None,
        waiting=WaitingStatus(
            release=settled.wanted.id, images=pinned(settled.wanted.images), reason=waits.reason, until=until
        )
        if waits and settled.wanted
        else None,
        candidate=settled.candidate,
        rejected=tuple(_rejected(record) for record in rejected[:MOST_REJECTED]),
        history=_history(old, settled, now),
        workload=old.workload,
        replicas=replicas,
        ready_replicas=ready,
        selector=",".join(f"{key}={value}" for key, value in sorted(selector_of(rollout.key.name, spec.own).items())),
        requests=settled.requests,
        refused=settled.refusal,
    )
    first_look_ends = (rollout.created or now) + FIRST_LOOK
    if say.reason == "Resolving" and not old.conditions and now < first_look_ends:
        return Decision(old, recheck_at=first_look_ends)
    return Decision(status, notices=(*settled.notices, *_turned(old, status)), recheck_at=say.recheck_at)


def _contested(say: Say, contest: Contest, spec: Spec, now: datetime) -> Say:
    """The same where somebody keeps changing what podpin applies: nobody can say then what will run in a minute."""
    message = (
        f"{say.message}; {contest.rival} keeps changing what podpin applies to the {spec.kind}, which is put back "
        f"once a minute: take the images out of what {contest.rival} writes, or delete this ImageRollout"
    )
    moments = (say.recheck_at, contest.correct_from, contest.over)
    return Say(
        "False",
        "ImageContested",
        message,
        recheck_at=min((at for at in moments if at is not None and at > now), default=None),
    )


def _resolved(rollout: Rollout, seen: Observation, images: tuple[ImageStatus, ...]) -> Condition | None:
    """The condition Resolved, or what it was where the registry has not answered yet."""
    trouble = trouble_of(seen)
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
    passed = {
        container: image.passed_over
        for container, image in seen.images.items()
        if isinstance(image, Resolved) and image.passed_over is not None
    }
    told = "; ".join((told, *(f"{container}: {one.message}" for container, one in passed.items())))
    return Condition(
        type="Resolved",
        status="True",
        reason=next(iter(passed.values())).reason if passed else "Resolved",
        message=told,
        last_transition_time=_EPOCH,
        observed_generation=at,
    )


def _verified(rollout: Rollout, spec: Spec, seen: Observation, images: tuple[ImageStatus, ...]) -> Condition | None:
    """Whether the images are signed as the spec demands; None where it demands nothing, or nothing is known yet.

    It is False for a version that is passed over, even while another runs that is signed.
    """
    demanded = {image.container: image.verify for image in spec.images if image.verify}
    if not demanded:
        return None
    answers = {container: seen.images.get(container) for container in demanded}
    flaws = {container: flaw for container, answer in answers.items() if (flaw := _unverified(answer)) is not None}
    if not flaws and not all(isinstance(answer, Resolved) for answer in answers.values()):
        return _unasked(rollout, answers)
    told = [
        f"{image.container}: {image.tag or image.repository} is {short(image.digest)}, signed by "
        f"{signers_of(demanded[image.container])}"
        for image in images
        if image.container in demanded
    ]
    good = Condition(
        type="Verified",
        status="True",
        reason="Verified",
        message="; ".join(told),
        last_transition_time=_EPOCH,
        observed_generation=rollout.generation,
    )
    if not flaws:
        return good
    message = "; ".join(f"{container}: {message}" for container, (_, message) in flaws.items())
    reason = next(iter(flaws.values()))[0]
    return good.model_copy(update={"status": "False", "reason": reason, "message": message})


def _unasked(rollout: Rollout, answers: Mapping[str, Resolution]) -> Condition | None:
    """What can be said where nothing could be asked: what was said before, unless it is the key that is not at hand."""
    old = _old(rollout, "Verified")
    trouble = {
        name: answer
        for name, answer in answers.items()
        if isinstance(answer, Unresolved) and answer.reason.startswith("Secret")
    }
    if not trouble or (old is not None and old.status == "True"):
        return old
    return Condition(
        type="Verified",
        status="Unknown",
        reason=next(iter(trouble.values())).reason,
        message="; ".join(f"{container}: {answer.message}" for container, answer in trouble.items()),
        last_transition_time=_EPOCH,
        observed_generation=rollout.generation,
    )


def _unverified(answer: Resolution) -> tuple[str, str] | None:
    """Reason and message of an image that is not signed as it should be."""
    match answer:
        case Unresolved(reason=reason, message=message) if reason in (NOT_VERIFIED, CANNOT_VERIFY):
            return reason, message
        case Resolved(passed_over=passed) if passed is not None and passed.reason == NOT_VERIFIED:
            return passed.reason, passed.message
        case _:
            return None


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


def _conditions(rollout: Rollout, say: Say, told: Iterable[Condition | None], now: datetime) -> tuple[Condition, ...]:
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
    wanted.extend(condition for condition in told if condition is not None)
    return tuple(_dated(condition, _old(rollout, condition.type), now) for condition in wanted)


def _dated(condition: Condition, old: Condition | None, now: datetime) -> Condition:
    """The time of a condition moves with its status only, as the API conventions have it."""
    since = old.last_transition_time if old is not None and old.status == condition.status else now
    return condition.model_copy(update={"last_transition_time": since.replace(microsecond=0)})


def _images(spec: Spec, seen: Observation, old: Status, now: datetime, *, trying: bool) -> tuple[ImageStatus, ...]:
    """The versions chosen. What is learned of an image while it is tried waits for the verdict, and costs no write."""
    before = {image.container: image for image in old.images}
    chosen = []
    for image in spec.images:
        new, last, source = seen.images.get(image.container), before.get(image.container), source_of(image)
        if image.policy.digest is not None:
            new = Resolved(None, image.policy.digest.value)
        last = last if last is not None and last.source == source else None
        told = last
        if isinstance(new, Resolved) and (last is None or (last.tag, last.digest) != (new.tag, new.digest)):
            last = ImageStatus(
                container=image.container,
                repository=image.repository,
                tag=new.tag,
                digest=new.digest,
                resolved_at=now,
                source=source,
            )
        if (
            last is not None
            and isinstance(new, Resolved)
            and new.digest == last.digest
            and not (trying and last is told)
        ):
            last = _described(last, new)
        if last is not None:
            chosen.append(last)
    return tuple(chosen)


def _described(image: ImageStatus, seen: Resolved) -> ImageStatus:
    """The same with what the registry told of the image, if it did this time."""
    facts = seen.facts
    if facts is None:
        return image
    told = {
        "size_bytes": facts.size,
        "new_bytes": image.new_bytes if seen.new_bytes is None else seen.new_bytes,
        "platforms": facts.platforms or None,
        "created": facts.created.replace(microsecond=0) if facts.created else None,
        "base": facts.base,
    }
    return image.model_copy(update=told)


def _counts(seen: Observation, settled: Settled, reason: str, old: Status) -> tuple[int, int]:
    """Replicas and ready replicas of what runs.

    A candidate's Pods count once they are all that is left, and the stable release's once they serve again, so that
    neither a rollout nor the way back moves the numbers at every step.
    """
    workload = seen.workload
    if workload is None or not workload.judged:
        return 0, 0
    tried = settled.state is State.TRYING and not is_complete(workload)
    if (tried or reason == "RollingBack") and old.replicas is not None:
        return old.replicas, old.ready_replicas or 0
    pods = [pod for pod in seen.pods if pod.release == settled.running and not pod.is_over]
    ready = sum(pod.ready for pod in pods)
    if settled.state in (State.STEADY, State.HELD, State.CANARY) and settled.running is not None:
        return len(pods), ready
    if settled.state is State.FAILED:  # Pods of others may be there still, and ready at times: not what is named
        return min(workload.total, workload.replicas), min(ready, workload.replicas)
    return min(workload.total, workload.replicas), min(workload.available, workload.replicas)


def _running(spec: Spec, seen: Observation, settled: Settled, ready: int) -> RunningStatus | None:
    """What serves: the stable release until another one is proven, or what was left running for want of one."""
    candidate = settled.records.get(settled.trial or "")
    record = candidate if settled.state is State.FAILED else settled.stable or candidate
    if record is None or not record.images or settled.running is None:
        return None
    image = record.images[0][1]
    if spec.replicas is not None or seen.workload is None:
        wanted = 1 if spec.replicas is None else spec.replicas
    else:
        wanted = seen.workload.replicas
    tried = candidate if settled.state in (State.TRYING, State.CANARY) and candidate is not record else None
    return RunningStatus(
        image=image_text(image),
        digest=short(parse_pin(image).digest),
        ready=f"{ready}/{wanted}" if seen.workload is None or seen.workload.judged else None,
        trying=image_text(_changed(record, tried)) if tried else None,
    )


def _changed(old: Record, new: Record) -> str:
    """The image by which two releases can be told apart, or the first where only the template differs."""
    before = dict(old.images)
    return next((image for container, image in new.images if before.get(container) != image), new.images[0][1])


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
                    asked=verdict.asked,
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


_BAD: Final = frozenset({TAG_MOVED, NOT_VERIFIED})
"""Reasons to be warned by, even where another version could be taken."""


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
            fine = condition.status == "True" or condition.reason == PRE_PULLING
            good = fine and condition.type != "StableLost" and condition.reason not in _BAD
            notices.append(Notice("Normal" if good else "Warning", condition.reason, condition.message, recurs=True))
    unique = {notice.reason: notice for notice in notices}
    return tuple(unique.values())


def with_workload(status: Status, workload: Workload, name: str) -> Status:
    """The status with the workload as podpin's write has left it."""
    written = WorkloadStatus(
        name=name,
        uid=workload.uid,
        generation=workload.generation,
        intent=workload.intent or "",
        release=workload.release,
    )
    return status.model_copy(update={"workload": written})


def pinned(images: Images) -> tuple[PinnedImage, ...]:
    """Pins as they stand in status."""
    return tuple(PinnedImage(container=container, image=image) for container, image in images)
