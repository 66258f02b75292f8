"""The kinds of workloads, one row each: where the API server has them, where their Pod template stands, and how their
counts are read.

Whatever the kind, podpin sees one shape: how many Pods are wanted, how many there are, how many are of the newest
template, and how many are available.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from podpin.core.reading import array, mapping, number


@dataclass(frozen=True, slots=True)
class Counts:
    """How far a workload is."""

    replicas: int
    total: int
    updated: int
    available: int
    paused: bool = False
    not_created: tuple[str, str] | None = None
    held: str | None = None
    """Why its controller replaces no more Pods by itself, or None."""
    judged: bool = True
    """Its Pods stay, so that a release can be judged by them."""


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of workload."""

    api_version: str
    plural: str
    template: tuple[str, ...]
    """The fields that lead to the Pod template."""
    count: Callable[[Mapping[str, Any], Mapping[str, Any]], Counts]
    """From spec and status to the counts."""

    @property
    def group(self) -> str:
        """Where on the API server, as in `apis/apps/v1`."""
        return f"apis/{self.api_version}"

    def template_of(self, raw: Mapping[str, Any]) -> Mapping[str, Any]:
        """The Pod template of an object of this kind."""
        part: Mapping[str, Any] = raw
        for field in self.template:
            part = mapping(part.get(field))
        return part

    def around(self, template: Mapping[str, Any]) -> dict[str, Any]:
        """An object that has this Pod template, and nothing else."""
        body: Any = template
        for field in reversed(self.template):
            body = {field: body}
        return dict(body)


def _deployment(spec: Mapping[str, Any], status: Mapping[str, Any]) -> Counts:
    failing = [
        (str(condition.get("reason") or ""), str(condition.get("message") or ""))
        for condition in map(mapping, array(status.get("conditions")))
        if condition.get("type") == "ReplicaFailure" and condition.get("status") == "True"
    ]
    return Counts(
        replicas=number(spec.get("replicas"), otherwise=1),
        total=number(status.get("replicas")),
        updated=number(status.get("updatedReplicas")),
        available=number(status.get("availableReplicas")),
        paused=spec.get("paused") is True,
        not_created=failing[0] if failing else None,
    )


_ON_DELETE: Final = "its update strategy is OnDelete, so a Pod moves when somebody deletes it"


def _stateful_set(spec: Mapping[str, Any], status: Mapping[str, Any]) -> Counts:
    """Of what the partition leaves to the new revision: the Pods below it stay as they are, and are not counted."""
    strategy, replicas = mapping(spec.get("updateStrategy")), number(spec.get("replicas"), otherwise=1)
    partition = min(max(number(mapping(strategy.get("rollingUpdate")).get("partition")), 0), replicas)
    wanted = replicas - partition
    held = "its partition keeps every Pod at the revision before" if partition and not wanted else None
    return Counts(
        replicas=wanted,
        total=max(number(status.get("replicas")) - partition, 0),
        updated=min(number(status.get("updatedReplicas")), wanted),
        available=max(number(status.get("availableReplicas")) - partition, 0),
        held=_ON_DELETE if strategy.get("type") == "OnDelete" else held,
    )


def _daemon_set(spec: Mapping[str, Any], status: Mapping[str, Any]) -> Counts:
    """One Pod for each node that the template may run on."""
    return Counts(
        replicas=number(status.get("desiredNumberScheduled")),
        total=number(status.get("currentNumberScheduled")),
        updated=number(status.get("updatedNumberScheduled")),
        available=number(status.get("numberAvailable")),
        held=_ON_DELETE if mapping(spec.get("updateStrategy")).get("type") == "OnDelete" else None,
    )


def _cron_job(_spec: Mapping[str, Any], _status: Mapping[str, Any]) -> Counts:
    """Its Pods come and go by the clock: none of them says whether a release is good."""
    return Counts(replicas=0, total=0, updated=0, available=0, judged=False)


KINDS: Final[Mapping[str, Kind]] = {
    "Deployment": Kind("apps/v1", "deployments", ("spec", "template"), _deployment),
    "StatefulSet": Kind("apps/v1", "statefulsets", ("spec", "template"), _stateful_set),
    "DaemonSet": Kind("apps/v1", "daemonsets", ("spec", "template"), _daemon_set),
    "CronJob": Kind("batch/v1", "cronjobs", ("spec", "jobTemplate", "spec", "template"), _cron_job),
}
