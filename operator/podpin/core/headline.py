"""What is counted of all rollouts together: a few words of each one's status, the same for all that say the same."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from podpin.core.release import REJECTED

UNSEEN = "NotSeenYet"
"""The reason of a rollout of which nothing has been said yet."""


class Headline(NamedTuple):
    """One rollout in few words."""

    ready: str = "Unknown"
    """The status of its condition Ready."""
    reason: str = UNSEEN
    """The reason of that."""
    unresolved: str | None = None
    """Why no version is found for it, where none is."""
    held: str | None = None
    """What holds back the release that it wants, where something does."""
    rejected: bool = False
    """Whether the newest trial that is over ended in a rejection."""


def headline_of(status: Mapping[str, Any]) -> Headline:
    """The headline of a status as it is stored."""
    conditions = {one.get("type"): one for one in status.get("conditions") or ()}
    ready, resolved = conditions.get("Ready"), conditions.get("Resolved")
    newest: Mapping[str, Any] = next(iter(status.get("history") or ()), {})
    return Headline(
        ready=str(ready.get("status")) if ready else "Unknown",
        reason=str(ready.get("reason")) if ready else UNSEEN,
        unresolved=str(resolved.get("reason")) if resolved and resolved.get("status") == "False" else None,
        held=(status.get("waiting") or {}).get("reason"),
        rejected=newest.get("result") == REJECTED,
    )
