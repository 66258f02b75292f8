"""Durations as users of Kubernetes write them: `90s`, `5m`, `1h30m`.

The grammar is that of the Gateway API (GEP-2257), the part of Go's in which every value is exact and none overflows:
one to four groups of at most five digits, each with its unit. It has no fractions, no signs and no bare numbers, so
that `5` cannot be five minutes to one person and five seconds to another.
"""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Final

# In RE2's grammar too: the CRD hands it to the API server.
GRAMMAR: Final = "(?:[0-9]{1,5}(?:h|m|s|ms)){1,4}"
MAX_LENGTH: Final = 28
ADVICE: Final = "must be a duration with its unit, such as 90s, 5m or 1h30m"

_GROUP: Final = re.compile("([0-9]+)(h|ms|m|s)")
# From large to small, so that formatting can peel them off in turn.
_UNITS: Final = {
    "h": timedelta(hours=1),
    "m": timedelta(minutes=1),
    "s": timedelta(seconds=1),
    "ms": timedelta(milliseconds=1),
}


def parse_duration(text: str) -> timedelta:
    """The length of time that `text` names; a ValueError carries a sentence for the user."""
    if not re.fullmatch(GRAMMAR, text):
        raise ValueError(f"{text!r} {ADVICE}")
    return sum((int(number) * _UNITS[unit] for number, unit in _GROUP.findall(text)), timedelta())


def format_duration(length: timedelta) -> str:
    """The shortest spelling: `1h30m`, not `90m0s`. What `parse_duration` would not give back is a ValueError."""
    if length < timedelta():
        raise ValueError(f"a duration cannot be negative, as {length} is")
    parts: list[str] = []
    rest = length
    for unit, size in _UNITS.items():
        number, rest = divmod(rest, size)
        if number:
            parts.append(f"{number}{unit}")
    if rest:
        raise ValueError(f"a duration is exact to the millisecond, which {length} is not")
    text = "".join(parts) or "0s"
    if not re.fullmatch(GRAMMAR, text):
        raise ValueError(f"{text} is longer than the 99999h that a duration can be")
    return text
