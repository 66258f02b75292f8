"""One run of a user's own check: what it asks, and what the answer means.

It **passed**; it **failed**, which is the release's doing; it was **silent**, a query without a number, from which
nothing follows yet; or it was **not made**: an address that leads nowhere or where podpin must not go, a Prometheus
that does not answer, which is nobody's doing here.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from podpin.core.names import Key
from podpin.core.spec.checks import WORDS, HttpCheck, PrometheusCheck


@dataclass(frozen=True, slots=True)
class Passed:
    """What was expected came."""


@dataclass(frozen=True, slots=True)
class Failed:
    """Something else came, or nothing: what, and what was expected."""

    what: str


@dataclass(frozen=True, slots=True)
class Silent:
    """The query gives no number."""


@dataclass(frozen=True, slots=True)
class NotMade:
    """The check could not be made, in a sentence for the user; the release has no part in it."""

    why: str


Outcome: TypeAlias = Passed | Failed | Silent | NotMade


@dataclass(frozen=True, slots=True)
class Tally:
    """What one check has said since the bake time began."""

    last: Outcome | None = None
    failures: int = 0
    first_failure: str = ""
    not_made: int = 0
    """How often in a row it was not made, up to now."""

    def after(self, outcome: Outcome) -> Tally:
        """The tally with one more run."""
        match outcome:
            case Failed(what):
                first = self.first_failure or what
                return replace(self, last=outcome, failures=self.failures + 1, first_failure=first, not_made=0)
            case NotMade():
                return replace(self, last=outcome, not_made=self.not_made + 1)
            case _:
                return replace(self, last=outcome, not_made=0)


def expand(text: str, key: Key, release: str) -> str:
    """An address or a query with its words filled in."""
    words = {"namespace": key.namespace, "name": key.name, "release": release}
    return re.sub(rf"\$\(({'|'.join(WORDS)})\)", lambda found: words[found[1]], text)


def judge_status(check: HttpCheck, status: int) -> Outcome:
    """What an answer's status means."""
    if check.status.least <= status <= check.status.most:
        return Passed()
    return Failed(f"HTTP {status} where {check.status} was expected")


def judge_silence(check: HttpCheck, what: str) -> Outcome:
    """What it means that an address gave no answer in HTTP: `what` is the case."""
    return Failed(f"{what} where HTTP {check.status} was expected")


def judge_numbers(check: PrometheusCheck, numbers: Sequence[float]) -> Outcome:
    """What the numbers that a query gives mean: none must be beyond a bound. NaN, as of 0/0, is none."""
    known = [number for number in numbers if not math.isnan(number)]
    if not known:
        return Silent()
    least, most = check.least, check.most
    if least is not None and (low := min(known)) < least:
        return Failed(f"{low:.6g} where {least:.6g} or more was expected")
    if most is not None and (high := max(known)) > most:
        return Failed(f"{high:.6g} where {most:.6g} or less was expected")
    return Passed()
