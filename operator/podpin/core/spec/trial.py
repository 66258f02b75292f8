"""How a new version is tried, and what follows when it fails: `spec.rollout` and `spec.rollback`."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

from podpin.core.schema import Part, Span


class RolloutSpec(Part):
    """When a new version counts as good."""

    progress_deadline: Annotated[timedelta, Span("1s", "24h")] = timedelta(minutes=10)
    """How long the new version may make no progress before it is rejected, from 1s to 24h."""
    bake_time: Annotated[timedelta, Span("0s", "24h")] = timedelta(seconds=30)
    """How long every replica must stay ready, without a restart, before the new version is stable; up to 24h."""


class RollbackSpec(Part):
    """What follows when a new version fails."""

    enabled: bool = True
    """Go back to the stable version. If false, the failed one is named as such and left in place."""
