"""Waiting for the world: poll a condition, never sleep and hope.

Every test that needs "until" uses `wait_for`. When the condition does not come true in time, the error says what was
waited for, for how long, and what was seen last: the first three questions of whoever reads a red test.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

Seen = TypeVar("Seen")


class NotInTimeError(AssertionError):
    """The condition did not become true in the given time."""


def wait_for(
    predicate: Callable[[], Seen],
    timeout: float,
    what: str,
    *,
    every: float = 0.1,
    retry_on: tuple[type[Exception], ...] = (AssertionError,),
    seen: Callable[[], object] | None = None,
) -> Seen:
    """Return the first truthy value of `predicate`.

    An exception named in `retry_on` counts as "not yet"; any other ends the wait at once. `seen` adds to the failure
    message what somebody would look at next (a status, a log).
    """
    deadline = time.monotonic() + timeout
    last: object = "nothing yet"
    while True:
        try:
            value = predicate()
        except retry_on as error:
            last = f"{type(error).__name__}: {error}"
        else:
            if value:
                return value
            last = repr(value)
        if time.monotonic() >= deadline:
            more = f"\n{seen()}" if seen else ""
            raise NotInTimeError(f"waited {timeout:g} s for {what}; seen last: {last}{more}")
        time.sleep(every)
