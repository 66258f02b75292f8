"""Which events are news: a release that flaps says the same again and again, and is heard once in a while.

Events of what podpin does are always news. Those of how a rollout is, such as degraded, are so when they were not
posted just before. Status says at every moment how it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Final, TypeAlias

from podpin.core.decision import Notice

QUIET: Final = timedelta(minutes=10)
"""How long an event that was posted is not posted again."""
MOST_SAID: Final = 32
"""How many different events are remembered of one rollout, the newest."""

Said: TypeAlias = tuple[str, str]
"""Reason and message of an event."""


def news(
    said: Mapping[Said, datetime], notices: Iterable[Notice], now: datetime
) -> tuple[tuple[Notice, ...], dict[Said, datetime]]:
    """Those of the notices that are to be posted, and when which was posted last, from now on."""
    recent = {one: at for one, at in said.items() if now - at < QUIET}
    posted = []
    for notice in notices:
        one = (notice.reason, notice.message)
        if notice.recurs:
            if one in recent:
                continue
            recent[one] = now
        posted.append(notice)
    return tuple(posted), dict(list(recent.items())[-MOST_SAID:])
