"""From an observation of the candidate to one judgement: healthy, baking, waiting, blocked by the cluster, or
failing.

Only Pods of the candidate are judged, and only while it is the candidate. All clocks are read off the Pods
themselves, so that a restart of podpin forgets nothing and nothing need be written while time passes.

The progress clock starts again with structural progress only: a Pod that came into being, got a node, or started for
the first time. Each of these happens once per Pod, so a container that is ready for a second at a time cannot keep
its release alive (argoproj/argo-rollouts#3765).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from podpin.core.observation import Observation, Pod, Workload
from podpin.core.signals import (
    CLUSTER_SIGNALS,
    FAILURE_SIGNALS,
    READINESS_LOST,
    Finding,
    Signal,
    had_been_ready,
    missing_images,
    pull_explanation,
    unready,
)
from podpin.core.spec.checks import CheckSpec
from podpin.core.standing import CHECK_UNAVAILABLE, standing_of

HELD: Final = "HeldByStrategy"
"""Why nothing moves: the author of an adopted workload wants it so."""
LATE: Final = "ProgressDeadlineExceeded"
PATIENCE: Final = timedelta(minutes=2)
"""How long the cluster's controllers may take for their part, before podpin says that it is they who are waited for."""


@dataclass(frozen=True, slots=True)
class Healthy:
    """Every replica updated, available, and undisturbed for the bake time, and every check passed."""


@dataclass(frozen=True, slots=True)
class Baking:
    """All is well, but not yet for long enough. `finding` says which check has failed, though it may."""

    until: datetime
    finding: Finding | None = None


@dataclass(frozen=True, slots=True)
class Waiting:
    """Not all is up yet; by the deadline it must be, or there will be more to go by.

    `finding` says what it waits for, if that can be told.
    """

    deadline: datetime
    finding: Finding | None = None


@dataclass(frozen=True, slots=True)
class Blocked:
    """The cluster holds it up: the clock stands still, and nothing follows about the release."""

    finding: Finding


@dataclass(frozen=True, slots=True)
class Failing:
    """The release is at fault."""

    finding: Finding


@dataclass(frozen=True, slots=True)
class Idle:
    """No replicas are wanted, so there is nothing to judge."""


Health = Healthy | Baking | Waiting | Blocked | Failing | Idle


@dataclass(frozen=True, slots=True)
class Terms:
    """By what a release is judged."""

    deadline: timedelta
    bake: timedelta
    checks: tuple[CheckSpec, ...] = ()


def assess(
    release: str, seen: Observation, terms: Terms, clock_from: datetime, now: datetime, stable: str | None = None
) -> Health:
    """Judge the release that the workload is rolling out. The workload must be seen, and at this release.

    `stable` is the release whose Pods are the control group: they ran well, and nothing about them has changed.
    """
    workload = seen.workload
    assert workload is not None
    if not workload.judged:
        return Healthy()
    if workload.replicas == 0:
        return Blocked(Finding(HELD, workload.held)) if workload.held else Idle()
    mine = sorted((pod for pod in seen.pods if pod.release == release and not pod.deleting), key=lambda pod: pod.name)
    pods = [pod for pod in mine if not pod.is_over]
    baking_from = bake_begins(release, seen, now)
    if baking_from is not None:
        deadline = progress_at(pods, clock_from) + terms.deadline + terms.bake
        return _baking(seen, terms, baking_from + terms.bake, deadline, now)
    if not pods or workload.paused:
        return _unattended(mine, workload, terms, clock_from, now)
    control = [pod for pod in seen.pods if pod.release == stable != release and not pod.is_over]
    health = _judge(pods, control, seen, terms, clock_from, now)
    waits = isinstance(health, Waiting) or (isinstance(health, Failing) and health.finding.reason == LATE)
    return Blocked(Finding(HELD, workload.held)) if workload.held and waits else health


def bake_begins(release: str, seen: Observation, now: datetime) -> datetime | None:
    """From when on the bake time counts: since then all has been up, undisturbed. None while not all is."""
    if not is_whole(release, seen):
        return None
    changes = (pod.ready_changed for pod in seen.pods if pod.release == release and pod.ready and not pod.is_over)
    steady_from = max((changed for changed in changes if changed), default=now)
    return max(steady_from, seen.partial_at or steady_from)


def _baking(seen: Observation, terms: Terms, until: datetime, deadline: datetime, now: datetime) -> Health:
    """All is up; the bake time and the checks are what is left."""
    checks = standing_of(terms.checks, seen.checks, seen.unfit)
    if checks.failing:
        return Failing(checks.failing)
    if checks.blocked:
        return Blocked(checks.blocked)
    if now < until:
        return Baking(until, checks.troubled)
    if checks.pending is None:
        return Healthy()
    if now < max(until, deadline):
        return Waiting(max(until, deadline), checks.pending)
    if checks.blameless:
        return Blocked(Finding(CHECK_UNAVAILABLE, checks.pending.message))
    told = f"not all checks passed before the progress deadline: {checks.pending.message}"
    return Failing(Finding("ProgressDeadlineExceeded", told))


def is_whole(release: str, seen: Observation) -> bool:
    """The workload counts as complete, and the Pods themselves show it: the two are seen at different moments."""
    workload = seen.workload
    ready = sum(pod.ready and pod.release == release and not pod.is_over for pod in seen.pods)
    return workload is not None and is_complete(workload) and ready >= workload.replicas


def is_complete(workload: Workload) -> bool:
    """Generation observed, all replicas updated and available, no surplus old Pods (kubernetes' deployment_util.go)."""
    wanted = workload.replicas
    return (
        workload.observed_generation >= workload.generation
        and workload.updated == workload.total == workload.available == wanted
    )


def _unattended(mine: Sequence[Pod], workload: Workload, terms: Terms, clock_from: datetime, now: datetime) -> Health:
    """No Pod of the release is there to be judged: whoever ought to make one has not, and that is not its fault."""
    if workload.paused:
        message = "somebody has paused the Deployment: kubectl rollout resume lets it go on"
        return Blocked(Finding("WorkloadPaused", message))
    if workload.held:
        return Blocked(Finding(HELD, workload.held))
    if refusal := _refusal(mine, workload):
        return Blocked(refusal)
    if ended := next((finding for pod in mine if (finding := _first(CLUSTER_SIGNALS, pod))), None):
        return Blocked(ended)
    if now >= clock_from + PATIENCE:
        return Blocked(Finding("PodsNotCreated", "the cluster's controllers have made no Pod of the release"))
    return Waiting(clock_from + min(PATIENCE, terms.deadline))


def _judge(
    pods: Sequence[Pod], control: Sequence[Pod], seen: Observation, terms: Terms, clock_from: datetime, now: datetime
) -> Health:
    blocked: list[Finding] = []
    failing: list[Finding] = []
    starting: list[Finding | None] = []
    proven: list[datetime] = []
    for pod in (pod for pod in pods if not pod.ready):
        if finding := _first(CLUSTER_SIGNALS, pod) or _overlooked(pod, now):
            blocked.append(finding)
        elif finding := doubted(pod, seen):
            starting.append(finding)
        elif finding := _first(FAILURE_SIGNALS, pod):
            proven.append(_proven_at(pod, finding, seen, now))
            if now >= proven[-1]:
                failing.append(finding)
            else:
                starting.append(None)  # told before it is proven, it would be told and untold as readiness flaps
        else:
            starting.append(pull_explanation(pod))
    some_ready = any(pod.ready for pod in pods)
    shared = _shared_trouble(control)
    if failing and not starting and not some_ready:
        finding = next((finding for finding in failing if finding.certain), failing[0])
        return Failing(finding) if finding.certain or not shared else Blocked(shared)
    if refusal := _refusal(pods, seen.workload):
        blocked.append(refusal)
    if seen.workload is not None and seen.workload.not_removed:
        blocked.append(Finding("EvictionRefused", f"an old Pod can't be taken away: {seen.workload.not_removed}"))
    if blocked and not failing and not starting:
        return Blocked(blocked[0])
    deadline = progress_at(pods, clock_from) + terms.deadline
    if some_ready or any(had_been_ready(pod) for pod in pods):
        deadline += terms.bake
    explanation = next((finding for finding in (*failing, *starting, *blocked) if finding), None)
    if shared:
        return Blocked(shared)
    if now >= deadline and not (failing or starting or blocked):
        # All that are there are ready: it is the controllers who have not counted, made or removed one yet.
        deadline = now + PATIENCE
    if now < deadline:
        return Waiting(min((deadline, *(at for at in proven if at > now))), explanation)
    explanation = explanation or next((unready(pod) for pod in pods if not pod.ready), None)
    told = f": {explanation.message}" if explanation else ""
    return Failing(Finding(LATE, f"not all Pods became ready before the progress deadline{told}"))


def progress_at(pods: Sequence[Pod], start: datetime) -> datetime:
    """When the rollout last moved forward structurally."""
    moments = [start]
    for pod in pods:
        moments.append(pod.created)
        if pod.scheduled_at:
            moments.append(pod.scheduled_at)
        moments.extend(c.running_since for c in pod.containers if c.running_since and c.restarts == 0)
    return max(moments)


def _first(signals: Sequence[Signal], pod: Pod) -> Finding | None:
    return next((finding for signal in signals if (finding := signal(pod))), None)


def _refusal(pods: Sequence[Pod], workload: Workload | None) -> Finding | None:
    """Quota or admission keeps Pods from being made."""
    if workload is None or workload.not_created is None or len(pods) >= workload.replicas:
        return None
    return Finding("PodsNotCreated", f"the cluster refuses to create Pods: {workload.not_created[1]}")


def _overlooked(pod: Pod, now: datetime) -> Finding | None:
    """The scheduler has not looked at the Pod at all."""
    if pod.node is not None or pod.scheduled_at is not None or now < pod.created + PATIENCE:
        return None
    return Finding("Unschedulable", f"Pod {pod.name} has no node, and the scheduler does not say why")


def doubted(pod: Pod, seen: Observation) -> Finding | None:
    """The kubelet says "not found", but the registry has not said so itself: a mirror or a cache may be lying.

    So it is no proof against the release; but a release that cannot be pulled in time has failed all the same.
    """
    missing = missing_images(pod)
    if not missing or any(container.image.rpartition("@")[2] in seen.gone for container in missing):
        return None
    return Finding(
        "RegistryDisagrees",
        f"the node of Pod {pod.name} does not find the image of container {missing[0].name}, but the registry has not "
        "confirmed that it is gone",
    )


def _proven_at(pod: Pod, finding: Finding, seen: Observation, now: datetime) -> datetime:
    """From when the finding counts. A kubelet that starts anew withdraws Ready from all Pods that have a probe, and
    gives it back after one round of the probe: only what is lost for longer is lost (kubernetes/kubernetes#100277).
    It counts from when podpin saw it, too: a node's clock may be behind."""
    if finding.reason != READINESS_LOST or pod.ready_changed is None:
        return now
    return max(pod.ready_changed, seen.unready.get(pod.uid, pod.ready_changed)) + pod.probe_round


def _shared_trouble(control: Sequence[Pod]) -> Finding | None:
    """The control group: when Pods that had run well fail at the same time, the new release is not to blame."""
    if control and all(not pod.ready and had_been_ready(pod) for pod in control):
        return Finding(
            "StableFailingToo", "the stable release's Pods fail at the same time, so the cause lies outside the new one"
        )
    return None
