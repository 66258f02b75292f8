"""The gathered world: what podpin saw when it looked, as plain values, trimmed to what deciding needs.

Pods and workloads are projected into these on arrival and the rest of them is dropped, so that watching ten thousand
of them stays cheap. Reading is total: a field that is missing or odd becomes None or empty, never an exception.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, Final

from podpin.core import in_place, names
from podpin.core.checks import Tally
from podpin.core.config import Moved
from podpin.core.contest import Contest
from podpin.core.image import Facts
from podpin.core.kinds import KINDS
from podpin.core.pinned_config import Contents
from podpin.core.policy.terms import PassedOver
from podpin.core.release import Record, Release
from podpin.core.spec import Problem
from podpin.core.times import read_time

UNPLACED: Final = frozenset({"Unschedulable", "SchedulingGated"})
"""Why the scheduler leaves a Pod without a node: none fits, or somebody holds the Pod back."""

PROBES: Final = ("startupProbe", "readinessProbe")
"""What must succeed before a container is ready, in its order."""
_PLACING: Final = (
    "imagePullSecrets",
    "nodeName",
    "nodeSelector",
    "serviceAccount",
    "serviceAccountName",
    "tolerations",
)
SHORTEST_ROUND: Final = timedelta(seconds=10)
LONGEST_ROUND: Final = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a container that has ended."""

    exit_code: int
    reason: str
    message: str
    started: datetime | None
    finished: datetime | None


@dataclass(frozen=True, slots=True)
class Container:
    """A container's status: waiting if `waiting` is set, running if `running_since` is, else ended or not yet there."""

    name: str
    init: bool = False
    ready: bool = False
    restarts: int = 0
    waiting: str | None = None
    message: str = ""
    image: str = ""
    """Its image as the template has it, kept only while it waits."""
    running_since: datetime | None = None
    ended: Run | None = None
    last: Run | None = None


@dataclass(frozen=True, slots=True)
class Pod:
    """A Pod of the rollout."""

    name: str
    uid: str
    release: str
    created: datetime
    phase: str = "Pending"
    reason: str = ""
    message: str = ""
    node: str | None = None
    deleting: bool = False
    ready: bool = False
    ready_changed: datetime | None = None
    """When the condition Ready last changed, in either direction; None before the kubelet has said anything."""
    scheduled_at: datetime | None = None
    unschedulable: str | None = None
    disrupted: str | None = None
    """Why the cluster is taking the Pod away (its DisruptionTarget condition), or None."""
    probed: bool = False
    """A readiness probe has a say in Ready; without one, Ready only says that the containers have started."""
    probe_round: timedelta = timedelta(0)
    """How long the kubelet may take to find the Pod ready again: when it starts anew it withdraws Ready until its
    probes have succeeded once more."""
    gated: bool = False
    """The Pod has readiness gates: others than the kubelet have a say in Ready."""
    containers: tuple[Container, ...] = ()
    canary: bool = False
    """It is one of the few by which a release is tried beside the stable one."""
    pulls: bool = False
    """It is none of the workload's: it only pulls the images of its release onto its node."""
    trouble: str | None = None
    """What the Pod's events say of a volume that can't be mounted, where podpin had reason to read them."""
    owner: str | None = None
    """The uid of the ImageRollout that controls it; empty where another kind of object does, None where none does."""
    retried: str | None = None
    """The request for which it was made, where its release was tried again; of podpin's own only."""
    images: tuple[tuple[str, str], ...] = ()
    """The images of its main containers, by container, in the order of the names."""

    @property
    def is_over(self) -> bool:
        """It is going away, or has ended for good: an evicted Pod stays listed, but serves nobody any more."""
        return self.deleting or self.phase in ("Failed", "Succeeded")


@dataclass(frozen=True, slots=True)
class Workload:
    """What runs the rollout, whatever its kind."""

    uid: str
    owner: str | None
    """The uid of the object that controls it."""
    owned_by: str = ""
    """That object, as people name it."""
    rollout: str | None = None
    """The ImageRollout that has put its label on it."""
    template: Mapping[str, Any] = field(default_factory=dict, hash=False)
    """Where nobody controls it: what podpin reads of its Pod template."""
    generation: int = 0
    observed_generation: int = 0
    release: str | None = None
    intent: str | None = None
    replicas: int = 1
    total: int = 0
    updated: int = 0
    available: int = 0
    not_removed: str | None = None
    """Why its old Pods cannot be taken away, or None."""
    not_created: tuple[str, str] | None = None
    """Reason and message of why its Pods cannot be created (the condition ReplicaFailure), or None."""
    held: str | None = None
    """Why its controller replaces no more Pods by itself, or None."""
    judged: bool = True
    """Its Pods stay, so that a release can be judged by them."""
    paused: bool = False
    """Somebody has paused it: its controller does not move it on."""
    drifted: bool = False
    """Somebody changed a field that podpin applied."""
    contest: Contest | None = None
    """Somebody does so again and again."""
    step: tuple[int, int] | None = None
    """Of a canary: the number of the step that it takes, from 1, and how many Pods it was given for it."""


@dataclass(frozen=True, slots=True)
class Hindrance:
    """What keeps podpin from making and removing Pods itself, as the API server has told it before."""

    not_created: tuple[str, str] | None = None
    """Reason and message of why Pods could not be made, or None."""
    create_from: datetime | None = None
    """When to try again."""
    not_removed: str | None = None
    """Why an old Pod could not be taken away, or None."""
    remove_from: datetime | None = None
    """When to try again."""
    unpatchable: frozenset[str] = frozenset()
    """The uids of Pods whose images the API server does not let podpin change."""
    taken: frozenset[str] = frozenset()
    """Names that a Pod of podpin's cannot have: Pods of somebody else do."""


@dataclass(frozen=True, slots=True)
class Resolved:
    """An image's newest choice. `tag` is None for the digest policy.

    `passed_over` says why a better one is not taken. `facts` are there for a digest that was new, and `new_bytes` are
    those of it that the stable release does not have.
    """

    tag: str | None
    digest: str
    passed_over: PassedOver | None = None
    facts: Facts | None = None
    new_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Unresolved:
    """Why there is no new choice, in a reason and a sentence."""

    reason: str
    message: str


Resolution = Resolved | Unresolved | None
"""None: not looked at yet."""


@dataclass(frozen=True, slots=True)
class Observation:
    """Everything that one decision rests on."""

    images: Mapping[str, Resolution] = field(default_factory=dict)
    """By container."""
    looked: bool = True
    """The look at the registry that was asked for has come back (true where none was asked for)."""
    workload: Workload | None = None
    canary: Workload | None = None
    """The Deployment that runs a few Pods of a new release beside the workload."""
    pods: tuple[Pod, ...] = ()
    pullers: tuple[Pod, ...] = ()
    """The Pods that only pull the images of a release that has not begun."""
    not_pulled: Mapping[str, str] = field(default_factory=dict)
    """By the name of such a Pod, why the API server did not let podpin make it."""
    unmade: Mapping[str, str] = field(default_factory=dict)
    """By the name of such a Pod, what went wrong when podpin was to make it; the next time it may be made."""
    hindrance: Hindrance = Hindrance()
    records: tuple[Record, ...] = ()
    lost: tuple[tuple[str, str], ...] = ()
    """Containers whose digest in the stable release the registry has no more, with that digest."""
    awaited: str | None = None
    """What the rollout waits for of those that it depends on, in a sentence; None where all is met."""
    partial_at: datetime | None = None
    """When podpin last saw the release not whole, or disturbed, by its own clock: a node's clock may be off."""
    unready: Mapping[str, datetime] = field(default_factory=dict)
    """By the uids of the Pods that are not ready: when podpin first saw that, by its own clock."""
    config: Contents | Unresolved | None = None
    """What the template's ConfigMaps and Secrets contain, or why that can't be said; None where it was not asked."""
    obstacle: Problem | None = None
    """Why podpin keeps its hands off the workload that spec.targetRef names."""
    ran: Release | None = None
    """What such a workload has run until now, where its Pods tell it exactly."""
    gone: frozenset[str] = frozenset()
    """Digests that the registry itself says it has not, where a Pod's failure gave reason to ask."""
    moved: tuple[Moved, ...] = ()
    """What the stable release takes its configuration from and is not what it was, where Pods' absence gave reason to
    ask."""
    checks: Mapping[str, Tally] = field(default_factory=dict)
    """What the user's own checks have said of the release since its bake time began."""
    unfit: frozenset[str] = frozenset()
    """The checks that do not pass with the stable release, asked because another one is about to take its place."""


def pod_of(raw: Mapping[str, Any]) -> Pod | None:
    """A Pod as projected from its API object, or None where it carries no release of podpin's."""
    metadata, spec, status = _get(raw, "metadata"), _get(raw, "spec"), _get(raw, "status")
    release = _text(_get(metadata, "labels"), names.LABEL_RELEASE)
    created = read_time(metadata.get("creationTimestamp"))
    if not release or created is None:
        return None
    conditions = {_text(condition, "type"): condition for condition in _list(status, "conditions")}
    ready, scheduled = _get(conditions, "Ready"), _get(conditions, "PodScheduled")
    disruption = _get(conditions, "DisruptionTarget")
    mains, inits = _list(spec, "containers"), _list(spec, "initContainers")
    # An init container that is always restarted is a sidecar: it has its part in Ready, as the others have.
    sidecars = {_text(container, "name") for container in inits if container.get("restartPolicy") == "Always"}
    written = {_text(container, "name"): _text(container, "image") for container in (*mains, *inits)}
    owner = _controller(metadata)
    # Who makes the Pods of a Deployment looks after these things as well; they need not be held for ten thousand.
    ours = owner != ""
    pod = Pod(
        name=_text(metadata, "name"),
        uid=_text(metadata, "uid"),
        release=release,
        created=created,
        phase=_text(status, "phase") or "Pending",
        reason=_text(status, "reason"),
        message=_text(status, "message"),
        node=_text(spec, "nodeName") or None,
        deleting="deletionTimestamp" in metadata,
        ready=ready.get("status") == "True",
        ready_changed=read_time(ready.get("lastTransitionTime")),
        scheduled_at=read_time(scheduled.get("lastTransitionTime")) if scheduled.get("status") == "True" else None,
        unschedulable=_text(scheduled, "message") if scheduled.get("reason") in UNPLACED else None,
        disrupted=(_text(disruption, "reason") or "Disrupted") if disruption.get("status") == "True" else None,
        probed=any(container.get("readinessProbe") for container in mains),
        probe_round=max(
            (_round(one) for one in (*mains, *inits) if one in mains or _text(one, "name") in sidecars),
            default=timedelta(0),
        ),
        gated=bool(spec.get("readinessGates")),
        canary=_text(_get(metadata, "labels"), names.LABEL_TRACK) == names.CANARY,
        pulls=names.LABEL_PULLS in _get(metadata, "labels"),
        owner=owner,
        retried=_text(_get(metadata, "annotations"), names.ANNOTATION_RETRIED) or None if ours else None,
        images=_one(tuple(sorted((_text(one, "name"), _text(one, "image")) for one in mains))),
        containers=(
            *(
                _container(one, written, init=_text(one, "name") not in sidecars)
                for one in _list(status, "initContainerStatuses")
            ),
            *(_container(one, written, init=False) for one in _list(status, "containerStatuses")),
        ),
    )
    return in_place.as_new(pod, raw) if ours else pod


@lru_cache(maxsize=4096)
def _one(images: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
    """The same images as one object, for there may be ten thousand Pods with them."""
    return images


def _controller(metadata: Mapping[str, Any]) -> str | None:
    """The uid of the ImageRollout that controls an object; empty for another controller, None for none."""
    for owner in _list(metadata, "ownerReferences"):
        if owner.get("controller"):
            group = _text(owner, "apiVersion").partition("/")[0]
            return _text(owner, "uid") if (group, owner.get("kind")) == (names.GROUP, names.KIND) else ""
    return None


def _round(container: Mapping[str, Any]) -> timedelta:
    """One round of a container's probes, with the defaults of the API. Whatever numbers a stranger's Pod has, it ends
    within the bounds: the kubelet needs a little longer than its probes say, and nobody waits for ever."""
    probes = [probe for name in PROBES if (probe := _get(container, name))]
    if not probes:
        return timedelta(0)
    seconds = 0
    for probe in probes:
        period, timeout = _count(probe, "periodSeconds", otherwise=10), _count(probe, "timeoutSeconds", otherwise=1)
        seconds += period * _count(probe, "successThreshold", otherwise=1) + timeout
    # Bounded as a number first: a timedelta cannot hold what int32 fields multiply to.
    return timedelta(seconds=min(max(seconds, SHORTEST_ROUND.seconds), LONGEST_ROUND.seconds))


def _container(status: Mapping[str, Any], images: Mapping[str, str], *, init: bool) -> Container:
    state = _get(status, "state")
    waiting, ended = _get(state, "waiting"), _get(state, "terminated")
    last = _get(_get(status, "lastState"), "terminated")
    name, waits = _text(status, "name"), isinstance(state.get("waiting"), Mapping)
    return Container(
        name=name,
        init=init,
        ready=bool(status.get("ready")),
        restarts=_count(status, "restartCount"),
        waiting=_text(waiting, "reason") if waits else None,
        message=_text(waiting, "message"),
        image=images.get(name, "") if waits else "",
        running_since=read_time(_get(state, "running").get("startedAt")),
        ended=_run(ended) if ended else None,
        last=_run(last) if last else None,
    )


def _run(raw: Mapping[str, Any]) -> Run:
    return Run(
        exit_code=_count(raw, "exitCode"),
        reason=_text(raw, "reason"),
        message=_text(raw, "message"),
        started=read_time(raw.get("startedAt")),
        finished=read_time(raw.get("finishedAt")),
    )


def workload_of(raw: Mapping[str, Any], kind: str = "Deployment") -> Workload:
    """A workload as projected from its API object."""
    metadata, status, shape = _get(raw, "metadata"), _get(raw, "status"), KINDS[kind]
    template = shape.template_of(raw)
    owner = next((owner for owner in _list(metadata, "ownerReferences") if owner.get("controller")), None)
    counts = shape.count(_get(raw, "spec"), status)
    return Workload(
        uid=_text(metadata, "uid"),
        owner=_text(owner, "uid") if owner else None,
        owned_by=f"{_text(owner, 'kind')} {_text(owner, 'name')}" if owner else "",
        rollout=_text(_get(metadata, "labels"), names.LABEL_ROLLOUT) or None,
        template=_placing(template) if owner is None else {},
        generation=_count(metadata, "generation"),
        observed_generation=_count(status, "observedGeneration"),
        release=_text(_get(_get(template, "metadata"), "labels"), names.LABEL_RELEASE) or None,
        intent=_text(_get(metadata, "annotations"), names.ANNOTATION_INTENT) or None,
        replicas=counts.replicas,
        total=counts.total,
        updated=counts.updated,
        available=counts.available,
        not_created=counts.not_created,
        paused=counts.paused,
        held=counts.held,
        judged=counts.judged,
        step=_step(_text(_get(metadata, "annotations"), names.ANNOTATION_STEP)),
    )


def _step(text: str) -> tuple[int, int] | None:
    match = re.fullmatch("([1-9][0-9]{0,3})/([1-9][0-9]{0,3})", text, re.ASCII)
    return (int(match[1]), int(match[2])) if match else None


def _placing(template: Mapping[str, Any]) -> Mapping[str, Any]:
    """What podpin reads of somebody else's Pod template: its containers, where it may run, and how it pulls."""
    spec = _get(template, "spec")
    kept: dict[str, Any] = {name: spec[name] for name in _PLACING if spec.get(name)}
    if affinity := _get(_get(spec, "affinity"), "nodeAffinity"):
        kept["affinity"] = {"nodeAffinity": affinity}
    for part in ("containers", "initContainers"):
        if containers := [{"name": _text(one, "name"), "image": _text(one, "image")} for one in _list(spec, part)]:
            kept[part] = containers
    return {"spec": kept} if kept else {}


def _get(raw: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = raw.get(key)
    return value if isinstance(value, Mapping) else {}


def _list(raw: Mapping[str, Any], key: str) -> Iterable[Mapping[str, Any]]:
    value = raw.get(key)
    return [entry for entry in value if isinstance(entry, Mapping)] if isinstance(value, list) else ()


def _text(raw: Mapping[str, Any], key: str) -> str:
    value = raw.get(key)
    return value if isinstance(value, str) else ""


def _count(raw: Mapping[str, Any], key: str, otherwise: int = 0) -> int:
    value = raw.get(key)
    return value if isinstance(value, int) and not isinstance(value, bool) else otherwise
