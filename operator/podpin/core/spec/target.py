"""What runs the image where it is there already: `spec.targetRef`, a workload of somebody else's.

podpin owns the images of the containers that spec.images names, and nothing else of it: replicas, strategy, template
and life stay with whoever made it.
"""

from __future__ import annotations

from typing import Final, Literal

from podpin.core.schema import Part, Rule
from podpin.core.spec.grammars import DnsSubdomain


class TargetRef(Part):
    """A workload in the rollout's namespace that podpin has not made: it takes over the images of its containers."""

    api_version: Literal["apps/v1", "batch/v1"]
    """The group and version of the workload's kind."""
    kind: Literal["Deployment", "StatefulSet", "DaemonSet", "CronJob"]
    """The kind of the workload. A release of a CronJob is not judged: it counts as stable once it is written."""
    name: DnsSubdomain
    """The name of the workload."""


IN_ITS_GROUP: Final = Rule(
    "(self.kind == 'CronJob') == (self.apiVersion == 'batch/v1')",
    "apiVersion is batch/v1 for a CronJob and apps/v1 for every other kind",
    lambda target: (target.kind == "CronJob") == (target.api_version == "batch/v1"),
)
