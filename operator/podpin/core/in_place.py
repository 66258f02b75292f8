"""A Pod that was updated in place, seen as if it had been made anew. Pure.

The kubelet stops the containers whose images were changed and starts them again. To who judges the Pod, that is neither
a crash nor a loss of readiness; but what was before it proves nothing either. So all that the Pod tells of the time
before the change is taken out of it here, by what podpin has noted on the Pod when it made the change: how often each
of these containers had been restarted. One restart more is the proof that the new image runs; so is the new image's
digest in the kubelet's own report, where a change was taken back before the kubelet knew of it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from podpin.core.times import read_time, write_time

if TYPE_CHECKING:
    from podpin.core.observation import Container, Pod

UNSTARTED = -1
"""The number of restarts of a container that has never been started: its first start is the new image's."""


def note(at: datetime, containers: Iterable[str], statuses: Iterable[Mapping[str, Any]]) -> str:
    """What to write on a Pod when the images of these containers are changed."""
    known = {str(one.get("name")): one for one in statuses}
    restarts = {
        name: int(known[name].get("restartCount") or 0) if known.get(name, {}).get("containerID") else UNSTARTED
        for name in containers
    }
    return json.dumps({"at": write_time(at), "restarts": restarts}, sort_keys=True)


def as_new(pod: Pod, noted: str, statuses: Iterable[Mapping[str, Any]]) -> Pod:
    """The Pod without what it tells of the time before its images were changed; as it is where the note is spoilt."""
    try:
        raw = json.loads(noted)
        at, before = read_time(raw["at"]), {str(name): int(count) for name, count in raw["restarts"].items()}
    except (ValueError, KeyError, AttributeError, TypeError, OverflowError):
        return pod
    if at is None:
        return pod
    wanted = {name: image.rpartition("@")[2] for name, image in pod.images}
    runs = {str(one.get("name")): str(one.get("imageID") or "").rpartition("@")[2] for one in statuses}
    by_image = {name for name in before if wanted.get(name) and runs.get(name) == wanted[name]}
    parts = tuple(
        _since(one, before[one.name], by_image=one.name in by_image) if one.name in before and not one.init else one
        for one in pod.containers
    )
    mine = [one for one in parts if one.name in before and not one.init]
    started = len(mine) == len(before) and all(
        one.restarts > before[one.name] or one.name in by_image for one in pod.containers if one.name in before
    )
    starts = [moment for one in mine for moment in _starts(one)]
    first = min(starts, default=None)
    others = tuple(one if one in mine or one.init else _beside(one, first if started else None) for one in parts)
    changed = pod.ready_changed
    if started and pod.ready and changed is not None:
        changed = max(changed, *starts) if starts else changed
    return replace(
        pod,
        created=max(pod.created, at),
        ready=pod.ready and started,
        ready_changed=changed,
        containers=others,
    )


def _since(container: Container, before: int, *, by_image: bool) -> Container:
    """A container whose image was changed, with nothing but what has happened since."""
    passed = container.restarts - before
    if passed > 0:
        return replace(container, restarts=passed - 1, last=container.last if passed > 1 else None)
    if by_image:
        return replace(container, restarts=0, last=None)
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
