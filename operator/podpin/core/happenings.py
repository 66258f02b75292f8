"""What has happened to a rollout, to be counted: read off two statuses, or off what was decided."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from podpin.core.decision import Decision, Judge
from podpin.core.release import REJECTED
from podpin.core.spec import Spec
from podpin.core.spec.images import POLICIES
from podpin.core.status import HistoryEntry, Status

ASKED_BACK: Final = "Asked"
"""Why a rollout goes back where no release has been rejected."""


def chosen_policies(spec: Spec, old: Status, new: Status) -> Iterator[str]:
    """The policies that have chosen another version between two statuses, once for each container."""
    before = {image.container: image.digest for image in old.images}
    now = {image.container: image.digest for image in new.images}
    for image in spec.images:
        if image.container in now and now[image.container] != before.get(image.container):
            yield next(name for name in POLICIES if getattr(image.policy, name) is not None)


def ended_trials(old: Status, new: Status) -> Iterator[HistoryEntry]:
    """The trials that have ended between two statuses. A status that was lost and is made anew tells of none."""
    if old.observed_generation is not None:
        known = {(entry.release, entry.result, entry.ended_at) for entry in old.history}
        yield from (one for one in new.history if (one.release, one.result, one.ended_at) not in known)


def way_back(decision: Decision) -> tuple[str, bool] | None:
    """Why a decision goes back to the stable release, and whether it passes the verdict itself; None if it does not."""
    if not any(notice.reason == "RolledBack" for notice in decision.notices):
        return None
    newest = next(iter(decision.status.history), None)
    verdicts = [one.record.verdict for one in decision.actions if isinstance(one, Judge)]
    rejected = next((one for one in verdicts if one is not None and one.result == REJECTED), None)
    if rejected is not None:
        return rejected.reason, True
    return (newest.reason or ASKED_BACK if newest and newest.result == REJECTED else ASKED_BACK), False
