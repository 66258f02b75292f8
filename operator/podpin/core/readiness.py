"""What Ready says: one word for the state of the world, a sentence for people, and what kstatus wants beside it.

REASONS says what each word means and what to do. Messages carry no times and no counters that move by themselves, so
that the same problem has the same text and a quiet world is never written to.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal

from podpin.core.config import suspicion
from podpin.core.decision import Notice
from podpin.core.gates import PAUSED, Hold
from podpin.core.health import Baking, Blocked, Health, Healthy, Idle, Waiting
from podpin.core.observation import Observation, Pod, Unresolved
from podpin.core.pinned_config import changed
from podpin.core.prepull import PRE_PULLING
from podpin.core.release import Record, Release, images_text, spec_hash_of
from podpin.core.signals import PULL_TROUBLES, had_been_ready, standing
from podpin.core.spec import Spec
from podpin.core.status import CandidateStatus, RefusedStatus, RequestsStatus
from podpin.core.transitions import State

GRACE: Final = timedelta(seconds=10)
"""How long a Pod that had been ready may be away before the rollout counts as degraded."""

REASONS: Final[Mapping[str, str]] = {
    "RolledOut": "The wanted release runs and is stable.",
    "Progressing": "A release is being tried. The stable one serves until it is ready.",
    "AwaitingApproval": "A person must approve of what comes next; the message has the annotation for it.",
    "AwaitingDependency": "A new release waits for a rollout that spec.dependsOn names to run what it wants.",
    PRE_PULLING: "The stable release runs; a new one is pulled onto the nodes of its Pods before anything changes.",
    "OutsideWindow": "The stable release runs; a new one waits for the next of spec.update.windows.",
    "Frozen": "The stable release runs; a new one waits until a time of spec.update.freeze is over.",
    "Paused": "The annotation podpin.dev/pause is there: nothing new begins, and what is being tried stands still.",
    "RollingBack": "A release was rejected, and the stable one is coming back.",
    "RolledBack": "The stable release runs; the wanted one was rejected and is not tried again. Push a fixed image, "
    "change the spec, or annotate podpin.dev/retry.",
    "Rejected": "The release failed and there is none to go back to, or spec.rollback.enabled is false. Push a fixed "
    "image, change the spec, or annotate podpin.dev/retry.",
    "Degraded": "The stable release runs with fewer ready Pods than it should. It is not rolled back for that: look at "
    "its Pods.",
    "ImageContested": "Somebody else keeps changing what podpin applies. podpin puts it back once a minute.",
    "ScaledToZero": "No replicas are wanted. A candidate is judged when there are some.",
    "Suspended": "spec.suspend is true: podpin changes nothing.",
    "Resolving": "The registry has not answered yet.",
    "InvalidSpec": "The spec asks for something impossible. The message says what; podpin waits for a change.",
    "WorkloadConflict": "A workload of this name exists and belongs to somebody else. podpin never takes it over.",
    "TargetNotFound": "There is no workload of the name in spec.targetRef. Create it; podpin looks again.",
    "WorkloadRefused": "The API server does not accept the workload with podpin's part in it; the message has its "
    "words. What runs goes on; mend the spec.",
    "WriteForbidden": "The API server forbids podpin's write: a missing right, a quota or an admission policy. It is "
    "tried again.",
}
"""The reasons of Ready that are podpin's own; those of the registry and of the cluster are in the catalogue too."""

ReadyStatus = Literal["True", "False", "Unknown"]


@dataclass(frozen=True, slots=True)
class Settled:
    """The world after all transitions, as the report needs it."""

    state: State
    running: str | None
    stable: Record | None
    records: Mapping[str, Record]
    wanted: Release | None
    health: Health | None
    candidate: CandidateStatus | None
    superseded: tuple[str, ...]
    requests: RequestsStatus | None
    notices: tuple[Notice, ...]
    trial: str | None = None
    """The release that is judged: the canary's, or the running one."""
    hold: Hold | None = None
    """What holds the wanted release back."""
    awaits: bool = False
    """A person must approve of what comes after the canary's step."""
    refusal: RefusedStatus | None = None
    """What the API server has refused and is still wanted."""


@dataclass(frozen=True, slots=True)
class Say:
    """What Ready says, and which of kstatus' abnormal-true conditions stand beside it."""

    ready: ReadyStatus
    reason: str
    message: str
    reconciling: bool = False
    stalled: bool = False
    recheck_at: datetime | None = None


def say_of(spec: Spec, seen: Observation, settled: Settled, now: datetime) -> Say:
    """What Ready says of a settled world."""
    running = settled.records.get(settled.running or "")
    name = f"release {settled.running}"
    if spec.suspend:
        proven = settled.state in (State.STEADY, State.HELD, State.CANARY) and _serves(seen, settled.running)
        return Say(
            "True" if proven else "Unknown",
            "Suspended",
            f"suspended by spec.suspend; {name} is left as it is" if running else "suspended by spec.suspend",
        )
    match settled.state:
        case State.CANARY:
            return _say_canary(spec, seen, settled, now)
        case State.TRYING:
            return _say_trying(settled, _tried(settled, running) if running else "")
        case State.FAILED:
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
                recheck_at=settled.health.until if isinstance(settled.health, Baking) else None,
            )
        case State.NOTHING:
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
        case Blocked(finding) if finding.reason == PAUSED:
            return Say("Unknown", PAUSED, f"{trying}: {finding.message}{serving}", reconciling=True)
        case Blocked(finding):
            return Say(
                "Unknown",
                finding.reason,
                f"{trying}: held up by the cluster, not by the release: {finding.message}{serving}",
                reconciling=True,
            )
        case Waiting(deadline, finding):
            told = f": {finding.message}" if finding else ""
            if finding is not None and finding.reason in PULL_TROUBLES:
                return Say("Unknown", finding.reason, f"{trying}{told}{serving}", reconciling=True, recheck_at=deadline)
            return Say("Unknown", "Progressing", f"{trying}{told}{serving}", reconciling=True, recheck_at=deadline)
        case Baking(until, finding):
            told = f": {finding.message}" if finding else ""
            return Say("Unknown", "Progressing", f"{trying}{told}{serving}", reconciling=True, recheck_at=until)
    return Say("Unknown", "Progressing", f"{trying}{serving}", reconciling=True)


def _say_canary(spec: Spec, seen: Observation, settled: Settled, now: datetime) -> Say:
    """The stable release serves untouched; what the canary is at comes second to how that does."""
    record, told = settled.records.get(settled.trial or ""), settled.candidate.canary if settled.candidate else None
    images = _tried(settled, record) if record else ""
    steps = f", step {told.step} of {told.of}" if told and told.of > 1 else ""
    pods = f"{told.replicas} Pod{'s' if told.replicas > 1 else ''}" if told else "its Pods"
    trying = f"trying release {settled.trial} ({images}) by canary with {pods}{steps}"
    serves = f"; release {settled.running} serves"
    if short := _short(spec, seen, settled.running or "", now):
        return Say("False", "Degraded", f"{trying}{serves}; but {short}", recheck_at=_trial_ends(settled))
    if isinstance(settled.health, Healthy) and settled.awaits and told is not None:
        how = f"annotate podpin.dev/approve={settled.trial}/{told.step} to let it go on"
        return Say("True", "AwaitingApproval", f"{trying}: it is healthy and awaits approval: {how}{serves}")
    match settled.health:
        case Blocked(finding) if finding.reason == PAUSED:
            return Say("True", PAUSED, f"{trying}: {finding.message}{serves}")
        case Blocked(finding):
            message = f"{trying}: held up by the cluster, not by the release: {finding.message}{serves}"
            return Say("Unknown", finding.reason, message, reconciling=True)
        case Waiting(_, finding) if finding is not None:
            reason = finding.reason if finding.reason in PULL_TROUBLES else "Progressing"
            message = f"{trying}: {finding.message}{serves}"
            return Say("Unknown", reason, message, reconciling=True, recheck_at=_trial_ends(settled))
    return Say("Unknown", "Progressing", f"{trying}{serves}", reconciling=True, recheck_at=_trial_ends(settled))


def _trial_ends(settled: Settled) -> datetime | None:
    """When there will be more to go by about what is tried, though nothing happens."""
    match settled.health:
        case Waiting(deadline, _):
            return deadline
        case Baking(until):
            return until
    return None


def _say_nothing(seen: Observation, settled: Settled) -> Say:
    trouble = trouble_of(seen)
    if trouble is not None:
        return Say("False", trouble.reason, f"nothing runs yet: {trouble.message}", reconciling=True)
    if settled.hold is not None:
        return Say("False", settled.hold.reason, f"nothing runs yet; {_held_back(settled)}", reconciling=True)
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
    held = settled.state is State.HELD and wanted is not None and wanted.verdict is not None
    if held:
        assert wanted is not None
        assert wanted.verdict is not None
        verdict = wanted.verdict
        asked = wanted.spec_hash != stable.spec_hash and verdict.reason != "RollbackRequested"
        reason = "RolledBack"
        failed = f"release {wanted.release} ({_tried(settled, wanted)}) was rejected"
        message = f"{runs}; {failed} ({verdict.reason}): {verdict.message}"
    else:
        asked, reason, message = False, "RolledOut", runs
        if settled.hold is not None:
            reason, message = settled.hold.reason, f"{runs}; {_held_back(settled)}"
    if workload is not None and workload.release == stable.release and workload.replicas == 0 and workload.judged:
        return Say("True", "ScaledToZero" if reason == "RolledOut" else reason, f"{message}; no replicas are wanted")
    trouble = trouble_of(seen)
    if settled.wanted is None and trouble is not None and (trouble is not seen.config or _is_changed(spec, stable)):
        # Not even an older choice holds: the user has changed the spec, to what is not there.
        return Say(
            "False", trouble.reason, f"{runs}; the changed spec cannot be met: {trouble.message}", reconciling=True
        )
    pulling = reason == PRE_PULLING  # unlike what other gates hold, it goes on by itself
    ready: ReadyStatus = "Unknown" if pulling else "False" if asked else "True"
    if _serves(seen, stable.release):
        return Say(ready, reason, message, reconciling=pulling, stalled=asked)
    recheck = _grace_ends(spec, seen, stable.release, now)
    if short := _short(spec, seen, stable.release, now):
        return Say("False", "Degraded", f"{message}; but {short}", recheck_at=recheck)
    if _is_coming(seen, stable.release):
        coming = "RollingBack" if held else "Progressing"
        return Say("Unknown", coming, f"{message}; its Pods are coming up", reconciling=True, recheck_at=recheck)
    return Say(ready, reason, message, reconciling=pulling, stalled=asked, recheck_at=recheck)


def _is_changed(spec: Spec, stable: Record) -> bool:
    """The spec asks for something else than the stable release, whatever is in its ConfigMaps and Secrets."""
    return stable.spec_hash != spec_hash_of(spec)


def _held_back(settled: Settled) -> str:
    assert settled.hold is not None
    assert settled.wanted is not None
    return f"release {settled.wanted.id} ({_tried(settled, settled.wanted)}) waits: {settled.hold.message}"


def _tried(settled: Settled, release: Record | Release) -> str:
    """A release by its images, and by what else it has that the stable one has not."""
    stable = settled.stable.copies if settled.stable else ()
    return f"{images_text(release.images)}{changed(stable, release.copies)}"


def _is_coming(seen: Observation, release: str) -> bool:
    """The release is on its way in: none of its Pods is ready, or Pods of another one are still there.

    Being scaled up, or having a Pod moved, is neither: what runs goes on serving, and nobody is to be woken for it.
    """
    workload = seen.workload
    others = any(pod.release != release and not pod.is_over for pod in seen.pods)
    return workload is None or workload.release != release or others or _ready(seen, release) == 0


def _serves(seen: Observation, release: str | None) -> bool:
    """As many Pods of the release are ready as are wanted."""
    workload = seen.workload
    return workload is not None and _ready(seen, release) >= workload.replicas


def _ready(seen: Observation, release: str | None) -> int:
    return sum(1 for pod in seen.pods if pod.release == release and pod.ready and not pod.is_over)


def _short(spec: Spec, seen: Observation, release: str, now: datetime) -> str | None:
    """Why the release counts as degraded, or None: Pods that had been ready stay away, or none is ready at all."""
    workload = seen.workload
    if workload is None or workload.release != release:
        return None
    if (late := missed(spec, seen, release, now)) is not None:
        why = standing(late)
        return f"Pod {late.name} is not ready{f': {why}' if why else ''}{suspicion(seen.moved)}"
    if workload.not_created is not None:
        return f"the cluster refuses to create Pods: {workload.not_created[1]}"
    return None


def missed(spec: Spec, seen: Observation, release: str, now: datetime) -> Pod | None:
    """The first by name of a release's Pods that have stayed away for longer than they may, or None."""
    late = (pod for pod, since, grace in _absent(spec, seen, release) if now >= since + grace)
    return min(late, key=lambda pod: pod.name, default=None)


def _absent(spec: Spec, seen: Observation, release: str) -> Iterator[tuple[Pod, datetime, timedelta]]:
    """Pods that are not ready, since when, and how long that may last: not long for one that had been ready."""
    for pod in seen.pods:
        if pod.release != release or pod.ready or pod.is_over:
            continue
        if pod.ready_changed is not None and had_been_ready(pod):
            yield pod, pod.ready_changed, GRACE
        else:
            yield pod, pod.created, spec.rollout.progress_deadline


def _grace_ends(spec: Spec, seen: Observation, release: str, now: datetime) -> datetime | None:
    ends = (since + grace for _, since, grace in _absent(spec, seen, release))
    return min((end for end in ends if end > now), default=None)


def trouble_of(seen: Observation) -> Unresolved | None:
    """The first image that the registry gave no choice for, or why the configuration can't be pinned."""
    return next((one for one in (*seen.images.values(), seen.config) if isinstance(one, Unresolved)), None)
