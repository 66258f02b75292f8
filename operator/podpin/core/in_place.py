"""A Pod that was updated in place, seen as if it had been made anew. Pure.

The kubelet stops the containers whose images were changed and starts them again. To who judges the Pod, that is neither
a crash nor a loss of readiness; but what was before it proves nothing either. So all that the Pod tells of the time
before the change is taken out of it here, by what podpin has noted on the Pod when it made the change: the Pod's
generation by then, and of each container its restarts and the image that the kubelet reported.

That the new image runs is proven by a status that the kubelet has made of this generation of the Pod or a later one
(`status.observedGeneration`, KEP-5067; a cluster older than that says nothing of it), in which the container runs the
digest that is wanted. Some runtimes report another name of the same contents. There, one restart more and another image
than before are as good, unless an earlier change was still under way: its start would pass for this one's. Where even
the image is as before, a container that has outlived the time in which the kubelet would have stopped it is taken for
the new one.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from podpin.core import names
from podpin.core.times import read_time, write_time

if TYPE_CHECKING:
    from podpin.core.observation import Container, Pod

UNSTARTED: Final = -1
"""The number of restarts of a container that has never been started: its first start may be the new image's."""
GRACE: Final = 30
"""The seconds that a container is given to stop, where its Pod does not say."""
LAG: Final = timedelta(seconds=60)
"""How much longer than that the kubelet may take to stop a container that it knows it must."""
NOW: Final = timedelta(0)


@dataclass(frozen=True, slots=True)
class Before:
    """What was known of a container when its image was changed."""

    restarts: int
    image: str
    """The image as the kubelet reported it."""
    settled: bool
    """No earlier change was under way: the only start to come is the one of this change."""

    @property
    def stops(self) -> int:
        """How many of the restarts to come may be the kubelet's doing, and no crash."""
        return 1 if self.settled else 2


@dataclass(frozen=True, slots=True)
class Note:
    """What podpin writes on a Pod when it changes its images."""

    at: datetime
    generation: int
    """The Pod's generation with the change in it; 0 where the cluster counts none."""
    containers: Mapping[str, Before]


def note(at: datetime, containers: Iterable[str], live: Mapping[str, Any]) -> str:
    """What to write on a Pod, which has just been read, when the images of these containers are changed.

    A container whose earlier change is not proven yet stays noted, also where it is not changed now.
    """
    metadata = live.get("metadata") or {}
    known, statuses = read((metadata.get("annotations") or {}).get(names.ANNOTATION_PATCHED, "")), _statuses(live)
    pending: dict[str, Before] = {}
    if known is not None:
        pending = {name: one for name, one in known.containers.items() if not _is_proven(known, name, live, at)}
    noted = dict(pending)
    for name in containers:
        status = statuses.get(name) or {}
        started = bool(status.get("containerID"))
        noted[name] = Before(
            restarts=int(status.get("restartCount") or 0) if started else UNSTARTED,
            image=str(status.get("imageID") or ""),
            settled=started and name not in pending,
        )
    generation = int(metadata.get("generation") or 0)
    return json.dumps(
        {
            "at": write_time(at),
            "generation": generation + 1 if generation else 0,
            "containers": {name: asdict(before) for name, before in noted.items()},
        },
        sort_keys=True,
    )


def read(text: str) -> Note | None:
    """The note as it was written; None where there is none, or somebody has spoilt it."""
    try:
        raw = json.loads(text)
        at = read_time(raw["at"])
        containers = {
            str(name): Before(int(one["restarts"]), str(one["image"]), bool(one["settled"]))
            for name, one in raw["containers"].items()
        }
        generation = int(raw["generation"])
    except (ValueError, KeyError, AttributeError, TypeError, OverflowError):
        return None
    return Note(at, generation, containers) if at is not None else None


def as_new(pod: Pod, live: Mapping[str, Any]) -> Pod:
    """The Pod without what it tells of the time before its images were changed; as it is where the note is spoilt."""
    noted = read(str(((live.get("metadata") or {}).get("annotations") or {}).get(names.ANNOTATION_PATCHED) or ""))
    if noted is None:
        return pod
    before = noted.containers
    proofs = {name: _proof(noted, name, live) for name in before}
    parts = tuple(
        _since(one, before[one.name], proven=proofs[one.name] is not None) if _is_in(one, before) else one
        for one in pod.containers
    )
    mine = [one for one in parts if _is_in(one, before)]
    started = len(mine) == len(before) and None not in proofs.values()
    starts = [moment for one in mine for moment in _starts(one)]
    first = min(starts, default=None)
    others = tuple(one if one in mine or one.init else _beside(one, first if started else None) for one in parts)
    changed = pod.ready_changed
    if started and pod.ready and changed is not None:
        outlived = (one.running_since + (proofs[one.name] or NOW) for one in mine if one.running_since is not None)
        changed = max(changed, *starts, *outlived) if starts else changed
    return replace(
        pod,
        created=max(pod.created, noted.at),
        ready=pod.ready and started,
        ready_changed=changed,
        containers=others,
    )


def _is_proven(noted: Note, name: str, live: Mapping[str, Any], now: datetime) -> bool:
    """Whether the container of a running Pod is the new image's for sure by now."""
    proof = _proof(noted, name, live)
    if not proof:
        return proof is not None
    since = read_time(((_statuses(live)[name].get("state") or {}).get("running") or {}).get("startedAt"))
    return since is not None and since + proof <= now


def _proof(noted: Note, name: str, live: Mapping[str, Any]) -> timedelta | None:
    """How long a container must have been running to be the new image's for sure; None where it is not.

    A container that has failed since is the new image's too, where it was started and a crash can be told from a stop.
    """
    before, status = noted.containers[name], _statuses(live).get(name)
    observed = int((live.get("status") or {}).get("observedGeneration") or 0)
    if status is None or 0 < observed < noted.generation:
        return None
    wanted = next((one.get("image") for one in _listed(live, "spec", "containers") if one.get("name") == name), None)
    runs, passed = _digest(status.get("imageID")), int(status.get("restartCount") or 0) - before.restarts
    # One digest may have moved to another repository.
    as_before = before.settled and runs == _digest(before.image)
    if runs and runs == _digest(wanted) and not as_before:
        return NOW if passed > 0 or (status.get("state") or {}).get("running") else None
    if passed <= 0:
        return None
    if before.settled and runs and not as_before:
        return NOW
    grace = (live.get("spec") or {}).get("terminationGracePeriodSeconds")
    return timedelta(seconds=min(int(GRACE if grace is None else grace), 3600)) + LAG


def _statuses(live: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    return {str(one.get("name")): one for one in _listed(live, "status", "containerStatuses")}


def _listed(live: Mapping[str, Any], part: str, key: str) -> list[Mapping[str, Any]]:
    return list((live.get(part) or {}).get(key) or ())


def _digest(image: Any) -> str:
    return str(image or "").rpartition("@")[2]


def _is_in(container: Container, before: Mapping[str, Before]) -> bool:
    return container.name in before and not container.init


def _since(container: Container, before: Before, *, proven: bool) -> Container:
    """A container whose image was changed, with nothing but what has happened since."""
    if proven:
        crashes = container.restarts - before.restarts - before.stops
        return replace(container, restarts=max(0, crashes), last=container.last if crashes > 0 else None)
    return replace(
        container,
        ready=False,
        restarts=0,
        running_since=None,
        ended=None,
        last=None,
        waiting=container.waiting or "ContainerCreating",
    )


def _beside(container: Container, first: datetime | None) -> Container:
    """A container that went on running: it counts as started with the others, and is not ready before they are."""
    if first is None:
        return replace(container, ready=False, running_since=None)
    since = container.running_since
    return replace(container, running_since=max(since, first) if since is not None else None)


def _starts(container: Container) -> Iterable[datetime]:
    if container.running_since is not None:
        yield container.running_since
    for run in (container.ended, container.last):
        if run is not None and run.started is not None:
            yield run.started
