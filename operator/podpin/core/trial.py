"""Which release the user's checks are to be made of now, and from when on their runs count."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from podpin.core.health import bake_begins
from podpin.core.observation import Observation
from podpin.core.release import Release
from podpin.core.spec import Spec
from podpin.core.spec.checks import CheckSpec
from podpin.core.transitions import newest_stable


@dataclass(frozen=True, slots=True)
class Trial:
    """A release that bakes. Another one of anything in it is another trial, for which the counting begins anew."""

    release: str
    step: tuple[int, int] | None
    """Of a canary: the step that it takes, and with how many Pods."""
    since: datetime
    checks: tuple[CheckSpec, ...]


def trial_of(spec: Spec, seen: Observation, now: datetime) -> Trial | None:
    """The trial that is under way in what is judged now (`canary.on_trial`).

    None where nothing bakes, where it has its verdict already, or where there are no checks. A rejected release that
    was left running is tried as well: it may prove itself after all.
    """
    workload = seen.workload
    if not _asked(spec, seen) or workload is None or workload.release is None or not workload.replicas:
        return None
    stable = _stable(seen)
    since = bake_begins(workload.release, seen, now)
    if since is None or stable == workload.release:
        return None
    return Trial(workload.release, workload.step, since, spec.rollout.checks)


def control_of(spec: Spec, seen: Observation, wanted: Release | None) -> str | None:
    """The stable release with which the checks are to be made once, before another one takes its place; None where none
    is about to. What does not pass with it says nothing about the other.
    """
    if not _asked(spec, seen) or wanted is None or seen.workload is None or seen.canary is not None:
        return None
    if spec.rollout.canary is not None and seen.workload.replicas:
        return None  # its checks may well ask the canary, which is not there yet; the stable Pods are its control group
    stable, records = _stable(seen), {record.release: record for record in seen.records}
    known = records.get(wanted.id)
    if stable is None or seen.workload.release != stable or wanted.id == stable or (known and known.is_rejected):
        return None
    return stable


def _asked(spec: Spec, seen: Observation) -> bool:
    """There are checks, and podpin has a say in what runs."""
    return bool(spec.rollout.checks) and not spec.suspend and seen.obstacle is None


def _stable(seen: Observation) -> str | None:
    """The newest release that has proven healthy."""
    stable = newest_stable(seen.records)
    return stable.release if stable is not None else None
