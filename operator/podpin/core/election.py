"""Who of several podpins leads: what a Lease says, and what follows from it for one of them.

The rules are those of client-go's leader election. Nobody's clock is compared with anybody else's: a holder counts as
gone when its record has been *seen* not to change for as long as it says that it lasts, by the observer's own
monotonic seconds; and whoever holds the Lease counts its own time from before it asked for it. As the one stops writing
`DEADLINE` seconds after it has asked, and the other waits for `LASTS` seconds after it has seen the outcome, there are
five seconds in which nobody writes, for what was on its way. All that this takes for granted is that no clock runs
half as fast again as another.
"""

from __future__ import annotations

import math
from typing import Final, NamedTuple

LASTS: Final = 15.0
"""Seconds that others wait, after the last change of the record that they have seen, before they take the Lease."""
DEADLINE: Final = 10.0
"""Seconds after the last renewal that succeeded for which its holder may write."""
RETRY: Final = 2.0
"""Seconds between two renewals, and between two tries after a failure."""


class Record(NamedTuple):
    """What a Lease says."""

    holder: str = ""
    """Who leads; nobody, where it is empty."""
    lasts: float = LASTS
    """Seconds for which it is the holder's, unless it is renewed."""
    acquired: str = ""
    renewed: str = ""
    """Times by the holder's clock, for people: for podpin only that they change matters."""
    transitions: int = 0
    """How often the Lease has passed from one holder to another."""


class Sight(NamedTuple):
    """What one of them has seen of the Lease."""

    record: Record
    since: float
    """Since when it has been seen to be so, in the observer's monotonic seconds."""
    there: bool = True
    """Whether the Lease exists."""


def sighted(before: Sight | None, record: Record | None, now: float) -> Sight:
    """What is known once the Lease was seen to say this; None is a Lease that does not exist.

    One that was deleted still counts as its holder's for as long as it lasted: the holder may not know yet.
    """
    if record is None:
        said = before.record if before is not None else Record()
        return before if before is not None and not before.there else Sight(said, now, there=False)
    if before is not None and before.record == record:
        return before._replace(there=True)
    return Sight(record, now)


def free_at(sight: Sight, me: str) -> float:
    """From when on the Lease may be taken, in the observer's monotonic seconds; minus infinity is at once."""
    if sight.record.holder in ("", me):
        return -math.inf
    return sight.since + sight.record.lasts


def taken(record: Record, me: str, time: str) -> Record:
    """What to write into the Lease to take it, or to renew it."""
    if record.holder == me:
        return record._replace(renewed=time, lasts=LASTS)
    return Record(me, LASTS, time, time, record.transitions + 1 if record.holder or record.renewed else 0)


def released(record: Record, time: str) -> Record:
    """What to write into the Lease to give it up."""
    return record._replace(holder="", lasts=1.0, acquired=time, renewed=time)


def silent_from(asked: float) -> float:
    """From when on the holder must not write, if it asked for its last renewal then, in its monotonic seconds."""
    return asked + DEADLINE
