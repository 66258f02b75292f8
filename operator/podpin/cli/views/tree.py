"""The tree of one rollout: its releases, newest first, below them what runs them, and the Pods below that.

Not every release that ever was: those that run, that are to run, that are tried, that have Pods, and those that failed
since the stable one was proven. `podpin history` has the others.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from rich.text import Text

from podpin.cli.views.ages import age
from podpin.cli.views.branch import Branch
from podpin.cli.views.marks import Mark, condition, mark_of
from podpin.cli.views.releases import pins_text
from podpin.core import names
from podpin.core.kinds import KINDS
from podpin.core.observation import Pod, Workload, pod_of, workload_of
from podpin.core.reading import mapping, text
from podpin.core.signals import CLUSTER_SIGNALS, FAILURE_SIGNALS, unready
from podpin.core.status import Status, parse_status

Body = Mapping[str, Any]
SHOWN_REJECTED: Final = 3


@dataclass(frozen=True, slots=True)
class World:
    """What there is to be drawn. What may not be read is None."""

    rollout: Body
    workloads: tuple[Body, ...] | None = ()
    """Of the kind that `kind_of` names."""
    pods: tuple[Body, ...] | None = ()
    missing: tuple[str, ...] = ()
    """Sentences about what could not be read."""


@dataclass(slots=True)
class _Release:
    """A release on its way into the tree."""

    id: str
    mark: Mark = Mark.GOING
    head: Text = field(default_factory=Text)
    images: str = ""
    pods: list[Pod] = field(default_factory=list)
    workloads: list[Workload] = field(default_factory=list)
    names: list[str] = field(default_factory=list)


def kind_of(rollout: Body) -> str:
    """The kind of the rollout's workload, as its spec has it."""
    spec = mapping(rollout.get("spec"))
    return text(mapping(spec.get("targetRef") or spec.get("workload")).get("kind")) or "Deployment"


def tree(world: World, now: datetime) -> Branch:
    """The whole tree."""
    raw = world.rollout
    metadata, ready, mark = mapping(raw.get("metadata")), condition(raw, "Ready"), mark_of(raw)
    head = mark.before(f"{names.KIND} {text(metadata.get('name'))}", "bold")
    head.append(f"  {text(ready.get('reason')) or 'podpin has said nothing yet'}", style=mark.style)
    if metadata.get("deletionTimestamp"):
        head.append("  is being deleted", style="dim")
    running = text(mapping(mapping(raw.get("status")).get("running")).get("ready"))
    head.append(f"  {running} Pods ready" if running else "")
    lines = [head]
    if message := text(ready.get("message")):
        lines.append(Text(message, style="dim"))
    for kind in ("Resolved", "Verified", "StableLost"):
        told = condition(raw, kind)
        if told.get("status") == ("True" if kind == "StableLost" else "False"):
            lines.append(Mark.BAD.before(f"{text(told.get('reason'))}: {text(told.get('message'))}"))
    children = [_branch(release, kind_of(raw), now) for release in _releases(world, now)]
    children += [Branch((Text(f"({sentence})", style="dim"),)) for sentence in world.missing]
    return Branch(tuple(lines), tuple(children))


def _releases(world: World, now: datetime) -> Iterator[_Release]:
    status = parse_status(world.rollout.get("status"))
    found = {release.id: release for release in _told(status, now)}
    for raw in world.workloads or ():
        workload = workload_of(raw, kind_of(world.rollout))
        if workload.release:
            release = found.setdefault(workload.release, _Release(workload.release, head=Text("is going")))
            release.workloads.append(workload)
            release.names.append(text(mapping(raw.get("metadata")).get("name")))
    for pod in (pod for raw in world.pods or () if (pod := pod_of(raw)) is not None):
        found.setdefault(pod.release, _Release(pod.release, head=Text("is going"))).pods.append(pod)
    return (one for one in found.values() if one.mark is not Mark.GOING or one.pods or one.workloads)


def _told(status: Status, now: datetime) -> Iterator[_Release]:
    """The releases that status speaks of, newest first, each once."""
    seen: set[str] = set()
    for release in _in_turn(status, now):
        if release.id not in seen:
            seen.add(release.id)
            yield release


def _in_turn(status: Status, now: datetime) -> Iterator[_Release]:
    waiting, candidate, stable = status.waiting, status.candidate, status.stable
    if waiting is not None:
        until = f" until {waiting.until:%Y-%m-%d %H:%M} UTC" if waiting.until else ""
        head = Text(f"waits{until}: {waiting.reason}", style=Mark.WAITING.style)
        yield _Release(waiting.release, Mark.WAITING, head, pins_text(waiting.images))
    if candidate is not None:
        head = Text(f"is tried, for {age(candidate.started_at, now)}", style=Mark.MOVING.style)
        if (canary := candidate.canary) is not None:
            pods = f"{canary.replicas} Pod{'' if canary.replicas == 1 else 's'}"
            steps = f", step {canary.step} of {canary.of}" if canary.of > 1 else ""
            head.append(f", by canary with {pods}{steps}")
        if candidate.paused_since:
            head.append(", its clock stands still")
        yield _Release(candidate.release, Mark.MOVING, head, pins_text(candidate.images))
    since = stable.since if stable else None
    for one in [one for one in status.rejected if since is None or one.at >= since][:SHOWN_REJECTED]:
        head = Text(f"rejected {age(one.at, now)} ago", style=Mark.BAD.style)
        head.append(f"  {one.reason}: {one.message}", style="")
        yield _Release(one.release, Mark.BAD, head, pins_text(one.images))
    if stable is not None:
        head = Text(f"stable for {age(stable.since, now)}", style=Mark.GOOD.style)
        yield _Release(stable.release, Mark.GOOD, head, pins_text(stable.images))
    for entry in status.history:
        # Only its images are wanted, for a release that still has Pods.
        yield _Release(entry.release, Mark.GOING, Text("is going"), pins_text(entry.images))


def _branch(release: _Release, kind: str, now: datetime) -> Branch:
    head = release.mark.before(f"release {release.id}  ")
    head.append_text(release.head)
    lines = [head]
    if release.images:
        lines.append(Text(release.images, style="dim"))
    pods, children = release.pods, list[Branch]()
    for workload, name in zip(release.workloads, release.names, strict=True):
        canary = name.endswith(f"-{names.CANARY}") and workload.step is not None
        own = [pod for pod in pods if pod.canary == canary and not pod.pulls]
        pods = [pod for pod in pods if pod not in own]
        children.append(Branch((_workload(workload, kind, name),), _pods(own, now)))
    children += _pods(pods, now)
    return Branch(tuple(lines), tuple(children))


def _workload(workload: Workload, kind: str, name: str) -> Text:
    if kind not in KINDS or not workload.judged:
        return Text(f"{kind} {name}")
    whole = workload.available >= workload.replicas and workload.total == workload.updated
    mark = Mark.GOOD if whole and not workload.not_created else Mark.MOVING
    line = mark.before(f"{kind} {name}")
    line.append(f"  {workload.available}/{workload.replicas} available")
    if workload.updated < workload.total:
        line.append(f", {workload.total - workload.updated} of another release", style="dim")
    if workload.paused:
        line.append(", paused", style=Mark.WAITING.style)
    if workload.not_created:
        line.append(f"  {workload.not_created[0]}: {workload.not_created[1]}", style=Mark.BAD.style)
    return line


def _pods(pods: Iterable[Pod], now: datetime) -> tuple[Branch, ...]:
    return tuple(Branch((_pod(pod, now),)) for pod in sorted(pods, key=lambda one: (one.created, one.name)))


def _pod(pod: Pod, now: datetime) -> Text:
    mark, words = standing(pod)
    line = mark.before(f"Pod {pod.name}", "dim" if mark is Mark.GOING else "")
    line.append(f"  {words}", style=mark.style)
    restarts = sum(one.restarts for one in pod.containers)
    facts = [f"{restarts} restart{'' if restarts == 1 else 's'}"] if restarts else []
    facts += [f"on {pod.node}"] if pod.node else []
    facts.append(age(pod.created, now))
    line.append(f"  {', '.join(facts)}", style="dim")
    return line


def standing(pod: Pod) -> tuple[Mark, str]:
    """How a Pod is, and the reason in a sentence where it is not well: in podpin's own words, by which it judges."""
    if pod.deleting:
        return Mark.GOING, "is going"
    if pod.pulls:
        pulled = pod.phase == "Succeeded" or all(one.ended or one.running_since for one in pod.containers)
        return (Mark.GOOD, "has pulled") if pulled and pod.containers else (Mark.MOVING, "pulls onto its node")
    if pod.phase == "Succeeded":
        return Mark.GOING, "has ended"
    if pod.ready:
        return Mark.GOOD, "ready"
    for signal in CLUSTER_SIGNALS:
        if (finding := signal(pod)) is not None:
            return Mark.MOVING, f"{finding.reason}: {finding.message}"
    for signal in FAILURE_SIGNALS:
        if (finding := signal(pod)) is not None:
            return Mark.BAD, f"{finding.reason}: {finding.message}"
    if not pod.containers:
        return Mark.MOVING, "waits for a node" if pod.node is None else "waits for its containers"
    starting = all(one.waiting in ("ContainerCreating", "PodInitializing") for one in pod.containers)
    if starting:
        return Mark.MOVING, "its containers are made"
    failed = any(one.restarts or (one.ended and one.ended.exit_code) for one in pod.containers)
    return Mark.BAD if failed else Mark.MOVING, unready(pod).message
