"""What deciding comes to: the next status, the actions in their order, what to announce, and when to look again.

Actions are few and closed. They are carried out in the order in which they stand: records first, the workload after
them, so that a crash between any two leaves a world from which the same decision follows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Literal

from podpin.core.names import Key
from podpin.core.pinned_config import Copy
from podpin.core.release import Record, Release, digest_of
from podpin.core.spec import Problem, Spec
from podpin.core.status import Status


@dataclass(frozen=True, slots=True)
class Requests:
    """What people ask for by annotation; None where the annotation is absent."""

    reconcile: str | None = None
    retry: str | None = None
    rollback_to: str | None = None
    approve: str | None = None


@dataclass(frozen=True, slots=True)
class Rollout:
    """One ImageRollout, parsed. `spec` is a Problem where it cannot be used."""

    key: Key
    uid: str
    generation: int
    spec: Spec | Problem
    status: Status
    requests: Requests = Requests()
    paused: str | None = None
    """Why a person has paused it, in any words; None while nobody has."""
    created: datetime | None = None


@dataclass(frozen=True, slots=True)
class Write:
    """Create the record of a release, unless it is there."""

    release: Release
    record: Record


@dataclass(frozen=True, slots=True)
class Judge:
    """Write the verdict of a record, or take it back."""

    record: Record


class Manner(StrEnum):
    """How the controller of the rollout's own Deployment is to go about it; the rules are in `core.manner`."""

    USUAL = "usual"
    """As spec.workload.strategy says."""
    PAUSED = "paused"
    """It stands still, for the rollout is paused in mid-trial."""
    AT_ONCE = "atOnce"
    """It makes all Pods of the release at once, whatever maxSurge says; the others go as these become ready."""


def marked(intent: str, manner: Manner) -> str:
    """The intent of the same workload in another manner."""
    return intent if manner is Manner.USUAL else digest_of({"v": 1, manner.value: intent})


@dataclass(frozen=True, slots=True)
class Apply:
    """Make the workload run a release. `release` is None where its template is to be read from the record."""

    id: str
    release: Release | None
    intent: str
    uid: str | None
    """The uid of the workload that is seen there, or None where there is none."""
    manner: Manner = Manner.USUAL

    @property
    def mark(self) -> str:
        """The intent in this manner, as it is to stand on the workload."""
        return marked(self.intent, self.manner)


@dataclass(frozen=True, slots=True)
class ApplyCanary:
    """Make the canary run a release with so many Pods. `release` is None where its template is in the record."""

    id: str
    release: Release | None
    intent: str
    uid: str | None
    """The uid of the canary that is seen there, or None where there is none."""
    step: int
    """The step's number, from 1."""
    replicas: int


@dataclass(frozen=True, slots=True)
class RemoveCanary:
    """Take the canary away."""

    uid: str


@dataclass(frozen=True, slots=True)
class Unstick:
    """Delete a broken Pod of a rejected release, for which its StatefulSet would wait for ever."""

    pod: str
    uid: str


@dataclass(frozen=True, slots=True)
class Rehearse:
    """Ask the API server whether it would take the Pods of a release that is about to run."""

    release: Release
    intent: str


@dataclass(frozen=True, slots=True)
class AdoptPod:
    """Take over a Pod of podpin's that nobody controls any more."""

    name: str
    uid: str


@dataclass(frozen=True, slots=True)
class CreatePod:
    """Make a Pod of a release. `release` is None where its template is to be read from the record."""

    name: str
    id: str
    release: Release | None
    retried: str | None = None
    """The request for which it is made, where the release is tried again."""


@dataclass(frozen=True, slots=True)
class DeletePod:
    """Delete a Pod, whatever anybody's budget says."""

    name: str
    uid: str


@dataclass(frozen=True, slots=True)
class EvictPod:
    """Take away a Pod that serves, if its PodDisruptionBudget allows."""

    name: str
    uid: str


@dataclass(frozen=True, slots=True)
class PatchPod:
    """Make a running Pod one of another release by changing its images alone."""

    name: str
    uid: str
    id: str
    images: tuple[tuple[str, str], ...]
    """Those that change, by container."""
    retried: str | None
    at: datetime
    """When it was decided."""


@dataclass(frozen=True, slots=True)
class StartPull:
    """Make a Pod that only pulls a release's images onto a node."""

    name: str
    manifest: Mapping[str, Any] = field(hash=False)


@dataclass(frozen=True, slots=True)
class EndPull:
    """Take such a Pod away."""

    name: str
    uid: str


PodAction = AdoptPod | CreatePod | DeletePod | EvictPod | PatchPod


@dataclass(frozen=True, slots=True)
class Restore:
    """Make copies again, of the configuration of what runs, that somebody has deleted."""

    copies: tuple[Copy, ...]


@dataclass(frozen=True, slots=True)
class Prune:
    """Delete the record of a release that nothing will go back to."""

    release: str
    copies: tuple[Copy, ...] = ()
    """The copies of ConfigMaps and Secrets that go before it: no other release has them."""


Action = (
    Write
    | Judge
    | Apply
    | ApplyCanary
    | RemoveCanary
    | Unstick
    | Rehearse
    | PodAction
    | StartPull
    | EndPull
    | Restore
    | Prune
)


@dataclass(frozen=True, slots=True)
class Notice:
    """An event: something has changed, and to what."""

    type: Literal["Normal", "Warning"]
    reason: str
    message: str
    recurs: bool = field(default=False, compare=False)
    """It tells how the rollout is, which may be so again and again: `core.repeats` says when that is news."""


@dataclass(frozen=True, slots=True)
class Decision:
    """The whole outcome of one look at the world."""

    status: Status
    actions: tuple[Action, ...] = ()
    notices: tuple[Notice, ...] = ()
    recheck_at: datetime | None = None
