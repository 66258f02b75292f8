"""When updates may begin: windows that open by a cron expression in a time zone and stay open for a while.

The expression is read by cronsim, in the wall time of the zone; where that wall time jumps, this module decides. What
would open in the hour that is left out opens when it is over; what would open in the hour that comes twice opens in
the first one. Where the hour is `*`, nothing is left out and nothing comes twice: it goes by elapsed hours. How long a
window is open is elapsed time, too.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

UNFORESEEN: Final = datetime.max.replace(tzinfo=UTC)
"""It is open without an end that can be foreseen."""
MOST_OVERLAPS: Final = 100
"""How many closed times are followed one into the other in search of the end of them all."""
_JUMP: Final = timedelta(hours=26)
"""More than any zone's wall time has ever jumped: countries have changed the side of the date line."""


@dataclass(frozen=True, slots=True)
class Window:
    """Opens whenever the expression says so, and stays open for the duration."""

    cron: str
    duration: timedelta
    zone: str


@dataclass(frozen=True, slots=True)
class Interval:
    """Open once, from one instant until before another."""

    start: datetime
    end: datetime


Opening = Window | Interval


def flaw_of(cron: str, zone: str) -> str | None:
    """What is wrong with an expression and its zone, in a sentence, or None."""
    try:
        ZoneInfo(zone)
    except (ValueError, OSError, LookupError):
        return f"the time zone {zone!r} is not known: write it as in Europe/Berlin or UTC"
    try:
        never = next(CronSim(cron, datetime(2000, 1, 1)), None) is None  # noqa: DTZ001 -- wall time
    except CronSimError as error:
        wrong = str(error)
        return f"the cron expression {cron!r} cannot be read: {wrong[:1].lower() + wrong[1:]}"
    return f"the cron expression {cron!r} names a day that never comes" if never else None


def open_until(openings: Iterable[Opening], now: datetime) -> datetime | None:
    """Until when it is open without a break, as far as can be foreseen; None where it is closed now."""
    openings = tuple(openings)
    end: datetime | None = None
    for _ in range(MOST_OVERLAPS):
        ends = [one for opening in openings if (one := _ends(opening, end or now)) is not None]
        if not ends:
            return end
        end = max(ends)
    return UNFORESEEN


def next_opening(openings: Iterable[Opening], now: datetime) -> datetime | None:
    """When it opens next, after `now`; None where it never does."""
    return min((one for opening in openings if (one := _next(opening, now)) is not None), default=None)


def _ends(opening: Opening, now: datetime) -> datetime | None:
    if isinstance(opening, Interval):
        return opening.end if opening.start <= now < opening.end else None
    begun = next((one for one in _openings(opening, now, backwards=True) if one <= now), None)
    return begun + opening.duration if begun is not None and now < begun + opening.duration else None


def _next(opening: Opening, now: datetime) -> datetime | None:
    if isinstance(opening, Interval):
        return opening.start if opening.start > now else None
    return next((one for one in _openings(opening, now, backwards=False) if one > now), None)


def _openings(window: Window, now: datetime, *, backwards: bool) -> Iterator[datetime]:
    """The moments at which a window opens, in UTC and in order, beginning somewhat before they matter."""
    zone = ZoneInfo(window.zone)
    if window.cron.split()[1] == "*":
        # A second more, since the search leaves out the moment where it begins.
        start = now.astimezone(zone) + (timedelta(seconds=1) if backwards else timedelta())
        yield from (one.astimezone(UTC) for one in CronSim(window.cron, start, reverse=backwards))
        return
    wall = now.astimezone(zone).replace(tzinfo=None, microsecond=0)
    for one in CronSim(window.cron, wall + (_JUMP if backwards else -_JUMP), reverse=backwards):
        yield _instant(one, zone)


def _instant(wall: datetime, zone: ZoneInfo) -> datetime:
    """The first instant at which a zone's clocks show this time, or have just skipped it."""
    before = wall.replace(tzinfo=zone).astimezone(UTC)
    if before.astimezone(zone).replace(tzinfo=None) == wall:
        return before
    # In the gap: read by the offset before it, the time lies after its end by as much as after its beginning.
    late, early = before, wall.replace(tzinfo=zone, fold=1).astimezone(UTC)
    offset = early.astimezone(zone).utcoffset()
    while late - early > timedelta(seconds=1):
        middle = early + (late - early) / 2
        early, late = (middle, late) if middle.astimezone(zone).utcoffset() == offset else (early, middle)
    return late.replace(microsecond=0)
