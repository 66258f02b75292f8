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


KINDS: Final[Mapping[str, Kind]] = {
    "Deployment": Kind("apps/v1", "deployments", ("spec", "template"), _deployment),
}
