"""Simulated time: what is to happen, and when. The true time; everybody's clocks are off from it by a little."""

from __future__ import annotations

import heapq
import itertools
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

MOST_EVENTS = 200_000
"""How many things may happen in one run of the clockwork: more of them means that it goes round in circles."""


class Clockwork:
    def __init__(self) -> None:
        self.now = 0.0
        """Seconds since the world began."""
        self._heap: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()

    def after(self, seconds: float, happens: Callable[[], None]) -> None:
        """Let something happen after a while; what is due at the same time happens in the order of asking."""
        heapq.heappush(self._heap, (self.now + seconds, next(self._order), happens))

    def run_for(self, seconds: float) -> None:
        """Let so much time pass, with all that happens in it. It may be called from what happens, too."""
        end = self.now + seconds
        for _ in range(MOST_EVENTS):
            if not self._heap or self._heap[0][0] > end:
                self.now = max(self.now, end)
                return
            due, _, happens = heapq.heappop(self._heap)
            self.now = max(self.now, due)
            happens()
        raise AssertionError("the world goes round in circles")
