"""When somebody else keeps writing what podpin owns: put it back, but do not fight for ever.

A change by hand is put back at once. A controller or a pipeline that changes the same field again and again would make
two programs write without end, and every write is a new template: so from the fifth correction within ten minutes on,
podpin corrects once a minute, and says who it is that writes against it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from podpin.core import names
from podpin.core.times import read_time

MOST: Final = 5
"""So many corrections within the time are no chance."""
WITHIN: Final = timedelta(minutes=10)
PATIENCE: Final = timedelta(minutes=1)
"""How long a change is left in place from then on."""


@dataclass(frozen=True, slots=True)
class Contest:
    """Somebody changes what podpin applies again and again."""

    rival: str
    """The field manager of the last change."""
    correct_from: datetime
    """When podpin puts it back, if it is changed again."""
    over: datetime
    """When the contest counts as over, if nobody changes anything any more."""


def contest_of(corrections: Sequence[datetime], rival: str, now: datetime) -> Contest | None:
    """The contest that the times of podpin's last corrections show, or None where they show none."""
    recent = [moment for moment in corrections if now - moment < WITHIN]
    if len(recent) < MOST:
        return None
    return Contest(rival, recent[-1] + PATIENCE, recent[-MOST] + WITHIN)


def remembered(corrections: Sequence[datetime], now: datetime) -> tuple[datetime, ...]:
    """The corrections to keep in mind, with one that is made now."""
    return (*(moment for moment in corrections if now - moment < WITHIN), now)[-2 * MOST :]


def rival_of(managed: Iterable[Mapping[str, Any]]) -> str:
    """Who, podpin apart, has written an object's Pod template last, by its managedFields."""
    others = [
        (str(read_time(entry.get("time"))), str(entry.get("manager") or "somebody"))
        for entry in managed
        if not str(entry.get("manager", "")).startswith(names.FIELD_MANAGER)
        and "f:template" in json.dumps(entry.get("fieldsV1"))
    ]
    return max(others, default=("", "somebody"))[1]
