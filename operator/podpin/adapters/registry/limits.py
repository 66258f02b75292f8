"""How much podpin takes from a registry, and gives it.

Limits on time and size, so that no registry costs more than it may; a gate for each host, so that a slow one holds up
nobody else, and one that asks to be left alone is. A host's gate is shared by all rollouts: the registry counts
podpin's requests, not the rollouts'.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections import OrderedDict
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Final

from podpin.core.duration import format_duration
from podpin.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

_KIB: Final = 1024
_MIB: Final = 1024 * _KIB
_QUOTA: Final = re.compile(r"([0-9]{1,7});w=([0-9]{1,7})", re.ASCII)
_GATES_KEPT: Final = 1024


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds, bytes and counts. The sizes are those of containers/image and go-containerregistry, after decoding.

    A page of tags may be longer: Google's registries list up to 10,000 on one, with every manifest beside them.
    """

    connect_seconds: float = 10
    total_seconds: float = 30
    manifest_bytes: int = 4 * _MIB
    tag_page_bytes: int = 8 * _MIB
    token_bytes: int = 64 * _KIB
    error_bytes: int = 64 * _KIB
    redirects: int = 3
    pages: int = 100
    tags: int = 50_000
    requests_per_host: int = 8
    requests: int = 512
    first_backoff_seconds: float = 1
    longest_backoff_seconds: float = 300
    longest_retry_after_seconds: float = 3600


def parse_retry_after(value: str | None, date: str | None) -> float | None:
    """Read a Retry-After header into seconds, never negative; None if there is none that can be read.

    A date counts from the answer's own Date header: both come from the server's clock.
    """
    text = (value or "").strip()
    if text.isascii() and text.isdigit():
        return float(text[:10])
    try:
        then, since = parsedate_to_datetime(text), parsedate_to_datetime(date or "")
        return max(0.0, (then - since).total_seconds())
    except (ValueError, TypeError, OverflowError):
        return None


def read_quota(value: str | None) -> str | None:
    """Read Docker Hub's RateLimit-Limit header, `100;w=21600`, into words: `100 requests in 6h`; None if it is none."""
    found = _QUOTA.fullmatch((value or "").strip())
    if found is None:
        return None
    return f"{int(found[1])} requests in {format_duration(timedelta(seconds=int(found[2])))}"


class _Gate:
    """What podpin knows of one host: how many requests run there, and until when it is left alone, and why."""

    __slots__ = ("failures", "reason", "slots", "until", "users")

    def __init__(self, slots: int) -> None:
        self.slots = asyncio.Semaphore(slots)
        self.users = 0
        self.failures = 0
        self.until = 0.0
        self.reason = ""


class Gates:
    """One gate per host (`host[:port]`), and one limit over them all.

    `monotonic` gives seconds; `rng` gives numbers in [0, 1) for the jitter, so that podpin's replicas and its many
    repositories don't come back at the same moment.
    """

    def __init__(self, limits: Limits, monotonic: Callable[[], float], rng: Callable[[], float]) -> None:
        self._limits = limits
        self._monotonic = monotonic
        self._rng = rng
        self._gates: OrderedDict[str, _Gate] = OrderedDict()
        self._all = asyncio.Semaphore(limits.requests)

    @asynccontextmanager
    async def enter(self, host: str) -> AsyncIterator[None]:
        """Wait for a place at this host, then for one overall. Raises Unavailable while the host is left alone."""
        gate = self._gate(host)
        self._check(gate)
        first = gate.users == 0
        gate.users += 1
        try:
            # In this order: who waits for a slow host takes no place from the others. One request to each host is let
            # in always, so that many slow hosts hold up no other.
            async with gate.slots, contextlib.nullcontext() if first else self._all:
                self._check(gate)
                yield
        finally:
            gate.users -= 1

    def calm(self, host: str) -> None:
        """Note that the host answered."""
        self._gate(host).failures = 0

    def back_off(self, host: str, reason: str, retry_after: float | None = None) -> Unavailable:
        """Leave the host alone: for as long as it asked to, or twice as long as the last time.

        Returns the error to raise. Requests that were under way together count as one failure.
        """
        gate, now, limits = self._gate(host), self._monotonic(), self._limits
        if retry_after is not None:
            wait = min(retry_after, limits.longest_retry_after_seconds) * (1 + self._rng() / 10)
        else:
            wait = min(limits.first_backoff_seconds * 2.0 ** min(gate.failures, 30), limits.longest_backoff_seconds)
            wait *= (1 + self._rng()) / 2
        if now >= gate.until:
            gate.failures += 1
            gate.until = now + wait
        elif retry_after is not None:
            gate.until = max(gate.until, now + wait)
        gate.reason = reason
        return Unavailable(reason, retry_after=gate.until - now)

    def _check(self, gate: _Gate) -> None:
        left = gate.until - self._monotonic()
        if left > 0:
            raise Unavailable(gate.reason, retry_after=left)

    def _gate(self, host: str) -> _Gate:
        gate = self._gates.get(host)
        if gate is None:
            gate = self._gates[host] = _Gate(self._limits.requests_per_host)
            self._forget_idle()
        self._gates.move_to_end(host)
        return gate

    def _forget_idle(self) -> None:
        """Hosts come from strangers: keep a bounded number, but never forget one that is in use or left alone."""
        if len(self._gates) <= _GATES_KEPT:
            return
        now = self._monotonic()
        newest = next(reversed(self._gates))
        idle = [host for host, gate in self._gates.items() if not gate.users and now >= gate.until and host != newest]
        # A quarter at a time, so that not every new host pays for a walk over all.
        for host in idle[: _GATES_KEPT // 4]:
            del self._gates[host]
