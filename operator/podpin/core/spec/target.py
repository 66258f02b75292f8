"""What runs the image where it is there already: `spec.targetRef`, a workload of somebody else's.

podpin owns the images of the containers that spec.images names, and nothing else of it: replicas, strategy, template
and life stay with whoever made it.
"""

from __future__ import annotations

from typing import Literal

from podpin.core.schema import Part
from podpin.core.spec.grammars import DnsSubdomain


class TargetRef(Part):
    """A workload in the rollout's namespace that podpin has not made: it takes over the images of its containers."""

    api_version: Literal["apps/v1"]
    """The group and version of the workload's kind."""
    kind: Literal["Deployment"]
    """The kind of the workload."""
    name: DnsSubdomain
    """The name of the workload."""
