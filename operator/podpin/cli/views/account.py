"""The account of a rollout: what runs, what was chosen and by what, what failed, what there is to see of it, and what
would change it. `podpin why` prints it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from rich.text import Text

from podpin.cli.views.ages import UNKNOWN, age, length
from podpin.cli.views.marks import Mark, condition, mark_of
from podpin.cli.views.rejections import wanted
from podpin.cli.views.releases import pins_text
from podpin.cli.views.tree import standing
from podpin.core.duration import parse_duration
from podpin.core.observation import pod_of
from podpin.core.readiness import REASONS
from podpin.core.reading import array, mapping, text
from podpin.core.release import short
from podpin.core.status import RejectedStatus, Status, parse_status
from podpin.core.times import read_time

Body = Mapping[str, Any]
MOST_EVENTS: Final = 6
MOST_PODS: Final = 5
_USUAL: Final = {"interval": "5m", "progressDeadline": "10m", "bakeTime": "30s"}

REMEDIES: Final[Mapping[str, str]] = {
    "RolledOut": "Nothing needs to. A version that the policy prefers, or a changed spec, makes a new release; podpin "
    "looks at the registry every {interval}, and now with: podpin reconcile {name}",
    "Progressing": "Time: it is stable once all its Pods have been ready for {bakeTime}. To take it back now: podpin "
    "rollback {name}",
    "AwaitingApproval": "A person: podpin approve {name}",
    "AwaitingDependency": "The rollout that it waits for: it must run what it wants, and be Ready.",
    "PrePulling": "Time: it begins by itself when its images are on the nodes.",
    "OutsideWindow": "Time: it begins by itself when a window opens. To let it begin now: podpin approve {name}",
    "Frozen": "Time: it begins by itself when the freeze is over. To let it begin now: podpin approve {name}",
    "Paused": "A person: podpin resume {name}",
    "RollingBack": "Time: the Pods of the stable release are coming up.",
    "RolledBack": "A fixed image that the policy takes, or a changed spec. To try the same once more: podpin retry "
    "{name}",
    "Rejected": "A fixed image that the policy takes, or a changed spec. To try the same once more: podpin retry "
    "{name}",
    "Degraded": "Its Pods and nodes: podpin tree {name}. This release was good, so nothing is rolled back by itself; "
    "to go to the one before: podpin rollback {name}",
    "ImageContested": "Whoever else writes the images must stop, or this ImageRollout go.",
    "ScaledToZero": "Scale it up; what is wanted is judged when there are Pods.",
    "Suspended": "Set spec.suspend to false.",
    "Resolving": "The registry's answer.",
    "InvalidSpec": "A changed spec.",
    "WorkloadConflict": "Rename the rollout or the workload: podpin takes nothing over that spec.targetRef does not "
    "name.",
    "TargetNotFound": "Make the workload that spec.targetRef names.",
    "WorkloadRefused": "A spec that the API server accepts; the message has its words.",
    "WriteForbidden": "The right, the quota or the admission policy that the message names.",
}
"""By the reason of Ready: what would change it."""


@dataclass(frozen=True, slots=True)
class Section:
    """Some lines under one head."""

    head: str
    lines: tuple[Text, ...]


def account(raw: Body, pods: Iterable[Body], events: Iterable[Body], now: datetime) -> list[Section]:
    """All of it. `events` are those of the ImageRollout, in any order."""
    status = parse_status(raw.get("status"))
    parts = (
        ("Now", _now(raw)),
        ("Runs", _runs(status, now)),
        ("Chosen", _chosen(raw, status, now)),
        ("Waits", _waits(status)),
        ("Tried", _tried(raw, status, now)),
        ("Failed", _failed(raw, status, now)),
        ("Evidence", _evidence(pods, events, now)),
        ("To change it", _remedies(raw, status)),
    )
    sections = (Section(head, tuple(lines)) for head, lines in parts)
    return [section for section in sections if section.lines]


def _now(raw: Body) -> Iterator[Text]:
    ready, mark = condition(raw, "Ready"), mark_of(raw)
    reason = text(ready.get("reason"))
    yield mark.before(reason or "podpin has said nothing yet", mark.style)
    if message := text(ready.get("message")):
        yield Text(message)
    if reason in REASONS:
        yield Text(REASONS[reason], style="dim")


def _runs(status: Status, now: datetime) -> Iterator[Text]:
    stable, running = status.stable, status.running
    pods = f"; {running.ready} Pods ready" if running is not None and running.ready else ""
    if stable is not None:
        told = f"release {stable.release} ({pins_text(stable.images)}), stable for {age(stable.since, now)}"
        yield Text(f"{told}{pods}")
    elif running is not None:
        yield Text(f"{running.image}@{running.digest}, which was never proven{pods}")
    else:
        yield Text("nothing yet")


def _chosen(raw: Body, status: Status, now: datetime) -> Iterator[Text]:
    written = {text(one.get("container")): one for one in map(mapping, array(mapping(raw.get("spec")).get("images")))}
    for image in status.images:
        named = f"{image.repository}:{image.tag}" if image.tag else image.repository
        policy = policy_of(mapping(written.get(image.container)))
        size = f", {image.size_bytes / 1e6:.0f} MB to pull" if image.size_bytes else ""
        told = f"{image.container}: {named} is {short(image.digest)}, by {policy}; seen so for "
        yield Text(f"{told}{age(image.resolved_at, now)}{size}")
    for kind in ("Resolved", "Verified", "StableLost"):
        told_of = condition(raw, kind)
        bad = told_of.get("status") == ("True" if kind == "StableLost" else "False")
        if bad:
            yield Mark.BAD.before(f"{text(told_of.get('reason'))}: {text(told_of.get('message'))}")
        elif kind == "Resolved" and told_of and told_of.get("reason") != "Resolved":
            yield Mark.WAITING.before(f"{text(told_of.get('reason'))}: {text(told_of.get('message'))}")


def policy_of(image: Body) -> str:
    """The policy of an entry of spec.images in a few words, as in `semver >=1.4 <2`."""
    for kind, fields in mapping(image.get("policy")).items():
        values = [value for value in mapping(fields).values() if isinstance(value, str)]
        if kind == "promote":
            source = mapping(mapping(fields).get("from"))
            values = [f"{text(source.get('namespace'))}/{text(source.get('name'))}"]
        return " ".join([kind, *values])
    return "the spec"


def _waits(status: Status) -> Iterator[Text]:
    waits = status.waiting
    if waits is not None:
        until = f", until {waits.until:%Y-%m-%d %H:%M} UTC" if waits.until else ""
        yield Text(f"release {waits.release} ({pins_text(waits.images)}): {waits.reason}{until}")


def _tried(raw: Body, status: Status, now: datetime) -> Iterator[Text]:
    candidate = status.candidate
    if candidate is None:
        return
    told = f"release {candidate.release} ({pins_text(candidate.images)}), for {age(candidate.started_at, now)}"
    if candidate.canary is not None:
        told += f", by canary, step {candidate.canary.step} of {candidate.canary.of}"
    yield Text(told)
    if candidate.paused_since is not None:
        yield Text("Its clock stands still: what holds it up lies in the cluster, not in the release.")
        return
    ends = candidate.clock_from + parse_duration(_term(raw, "progressDeadline"))
    if ends > now:
        yield Text(f"It is rejected in {length(ends - now)} if it makes no progress until then.")


def _failed(raw: Body, status: Status, now: datetime) -> Iterator[Text]:
    one = failure_of(raw, status)
    if one is None:
        return
    entry = next((each for each in status.history if each.release == one.release and each.result == "Rejected"), None)
    took = f", after {length(entry.ended_at - entry.started_at)}" if entry else ""
    asked = f", asked for by {entry.asked}" if entry and entry.asked else ""
    yield Text(f"release {one.release} ({pins_text(one.images)}), {age(one.at, now)} ago{took}{asked}")
    yield Mark.BAD.before(f"{one.reason}: {one.message}")


def failure_of(raw: Body, status: Status) -> RejectedStatus | None:
    """What failed, where that has to do with how things stand: not what failed before the stable release came."""
    newest = next(iter(status.rejected), None)
    if newest is None:
        return None
    reason = text(condition(raw, "Ready").get("reason"))
    if reason in ("RolledBack", "RollingBack", "Rejected"):
        id_ = wanted(raw).get("release")
        return next((one for one in status.rejected if one.release == id_), newest)
    return newest if status.stable is not None and newest.at >= status.stable.since else None


def _evidence(pods: Iterable[Body], events: Iterable[Body], now: datetime) -> Iterator[Text]:
    seen = sorted((pod for raw in pods if (pod := pod_of(raw)) is not None), key=lambda pod: pod.name)
    unwell = [pod for pod in seen if not pod.ready and not pod.is_over and not pod.pulls]
    for pod in unwell[:MOST_PODS]:
        mark, words = standing(pod)
        yield mark.before(f"Pod {pod.name} of release {pod.release}: {words}")
    if len(unwell) > MOST_PODS:
        yield Text(f"and {len(unwell) - MOST_PODS} more Pods that are not ready")
    dated = sorted(((_time(event), event) for event in events), key=lambda one: str(one[0]), reverse=True)
    for at, event in dated[:MOST_EVENTS]:
        ago = "" if at == UNKNOWN else f"{age(at, now)} ago"
        style = "yellow" if event.get("type") == "Warning" else "dim"
        line = Text(f"{ago:>9}  ", style="dim")
        line.append(text(event.get("reason")), style=style)
        line.append(f": {text(event.get('message'))}")
        yield line


def _time(event: Body) -> str:
    series = mapping(event.get("series"))
    moments = (series.get("lastObservedTime"), event.get("lastTimestamp"), event.get("eventTime"))
    return next((str(at) for at in moments if read_time(at) is not None), UNKNOWN)


def _remedies(raw: Body, status: Status) -> Iterator[Text]:
    name, reason = text(mapping(raw.get("metadata")).get("name")), text(condition(raw, "Ready").get("reason"))
    terms = {term: _term(raw, term) for term in _USUAL}
    failed = failure_of(raw, status)
    if reason in ("RolledBack", "Rejected") and failed is not None and failed.reason == "RollbackRequested":
        yield Text(
            f"A person has asked to go back. Something newer, a changed spec or a retry ends that: podpin retry {name}"
        )
    elif reason in REMEDIES:
        yield Text(REMEDIES[reason].format(name=name, **terms))
    elif condition(raw, "Stalled").get("status") == "True":
        yield Text("A changed spec, as the message says.")
    elif status.candidate is not None and status.candidate.paused_since is not None:
        yield Text("The cluster: it goes on by itself when that is over.")
    elif reason:
        yield Text(f"What the message says; then podpin looks again by itself, or now with: podpin reconcile {name}")
    else:
        yield Text("podpin: does it run, and does it serve this namespace?")
    if condition(raw, "Resolved").get("status") == "False" and reason == "RolledOut":
        yield Text("No newer version is taken before the registry gives one.")


def _term(raw: Body, field: str) -> str:
    spec = mapping(raw.get("spec"))
    part = mapping(spec.get("registry" if field == "interval" else "rollout"))
    written = text(part.get(field))
    try:
        parse_duration(written)
    except ValueError:
        return _USUAL[field]
    return written
