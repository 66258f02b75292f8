"""How long ago, in the few letters that a column has room for, as kubectl has them."""

from __future__ import annotations

from datetime import datetime, timedelta

from podpin.core.times import read_time

UNKNOWN = "?"


def age(since: object, now: datetime) -> str:
    """How long ago a time of an API object was."""
    at = since if isinstance(since, datetime) else read_time(since)
    return UNKNOWN if at is None else length(now - at)


def length(of: timedelta) -> str:
    """A length of time, the more coarsely the longer it is: `45s`, `4m30s`, `25m`, `5h10m`, `3d`."""
    seconds = max(0, int(of.total_seconds()))
    minutes, hours, days = seconds // 60, seconds // 3600, seconds // 86400
    if seconds < 120:
        return f"{seconds}s"
    if minutes < 10:
        return _two(minutes, "m", seconds % 60, "s")
    if hours < 3:
        return f"{minutes}m"
    if hours < 8:
        return _two(hours, "h", minutes % 60, "m")
    if hours < 48:
        return f"{hours}h"
    if days < 8:
        return _two(days, "d", hours % 24, "h")
    return f"{days}d" if days < 730 else _two(days // 365, "y", days % 365, "d")


def _two(many: int, unit: str, rest: int, small: str) -> str:
    return f"{many}{unit}{rest}{small}" if rest else f"{many}{unit}"
