"""Who leads: what a Lease says to whom, and that no two ever may write at the same time.

The machine below plays several podpins whose clocks show different times and run at different speeds, whose requests take
as long as they please, are lost on the way there or back, and who are frozen, killed and started again.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from podpin.core.election import (
    DEADLINE,
    LASTS,
    RETRY,
    Record,
    Sight,
    free_at,
    released,
    sighted,
    silent_from,
    taken,
)

NOW, ME = "t1", "me"
OTHER = Record("other", LASTS, "t0", "t0", 3)
MINE = Record(ME, LASTS, "t0", "t0", 3)


@pytest.mark.parametrize(
    ("sight", "wanted"),
    [
        pytest.param(Sight(Record(), 100, there=False), -math.inf, id="there is no Lease: at once"),
        pytest.param(Sight(released(OTHER, "t"), 100), -math.inf, id="it was given up: at once"),
        pytest.param(Sight(MINE, 100), -math.inf, id="it is one's own from before a crash: at once"),
        pytest.param(
            Sight(OTHER, 100), 100 + LASTS, id="somebody has it: not before it has been seen unchanged for so long"
        ),
        pytest.param(
            Sight(OTHER._replace(lasts=60), 100), 160, id="as long as its holder says, who may be of another version"
        ),
    ],
)
def test_the_lease_may_be_taken(sight: Sight, wanted: float) -> None:
    assert free_at(sight, ME) == wanted


@pytest.mark.parametrize(
    ("before", "seen", "wanted"),
    [
        pytest.param(None, OTHER, Sight(OTHER, 200), id="the first sight counts from now, whatever times it names"),
        pytest.param(Sight(OTHER, 100), OTHER, Sight(OTHER, 100), id="nothing has changed: nothing is new"),
        pytest.param(
            Sight(OTHER, 100),
            OTHER._replace(renewed="t1"),
            Sight(OTHER._replace(renewed="t1"), 200),
            id="a renewal counts from now",
        ),
        pytest.param(None, None, Sight(Record(), 200, there=False), id="there is none"),
        pytest.param(
            Sight(OTHER, 100), None, Sight(OTHER, 200, there=False), id="it was deleted: its holder may not know yet"
        ),
        pytest.param(
            Sight(OTHER, 100, there=False),
            None,
            Sight(OTHER, 100, there=False),
            id="it is still deleted: nothing is new",
        ),
        pytest.param(Sight(OTHER, 100, there=False), OTHER, Sight(OTHER, 100), id="it was made again as it was"),
    ],
)
def test_what_is_known_after_a_look(before: Sight | None, seen: Record | None, wanted: Sight) -> None:
    assert sighted(before, seen, 200) == wanted


@pytest.mark.parametrize(
    ("record", "wanted"),
    [
        pytest.param(Record(), Record(ME, LASTS, NOW, NOW, 0), id="the first of all takes it"),
        pytest.param(OTHER, Record(ME, LASTS, NOW, NOW, 4), id="it passes from one to another"),
        pytest.param(released(OTHER, "t"), Record(ME, LASTS, NOW, NOW, 4), id="also where it was given up"),
        pytest.param(MINE, MINE._replace(renewed=NOW), id="a renewal keeps since when it is held"),
    ],
)
def test_what_is_written_to_take_and_to_renew_it(record: Record, wanted: Record) -> None:
    assert taken(record, ME, NOW) == wanted


def test_what_is_given_up_belongs_to_nobody_and_remembers_how_often_it_passed_on() -> None:
    assert released(OTHER, "t") == Record("", 1.0, "t", "t", 3)


def test_a_holder_has_several_tries_and_is_silent_well_before_others_may_come() -> None:
    assert silent_from(100) == 100 + DEADLINE
    assert 3 * RETRY < DEADLINE < LASTS - RETRY


# --- no two at the same time

FAST = LASTS / DEADLINE - 0.01
"""How much faster than another a clock may run."""


@dataclass
class Asked:
    """A write under way, or its answer: when it was asked for, what it says, and which version it replaces or made."""

    at: float
    record: Record
    version: int


@dataclass
class Podpin:
    """One of them. `skew` and `speed` make its clock out of the true time."""

    name: str
    skew: float
    speed: float
    sight: Sight | None = None
    version: int = 0
    silent: float = -math.inf
    request: Asked | None = None
    answer: Asked | None = None

    def clock(self, time: float) -> float:
        return self.skew + time * self.speed


class Election(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.time, self.count = 0.0, 0
        self.record: Record | None = None
        self.version = 0
        self.podpins = [Podpin("a", 1e6, 1.0), Podpin("b", -5.0, FAST)]

    def leading(self) -> list[str]:
        return [one.name for one in self.podpins if one.clock(self.time) < one.silent]

    @rule(seconds=st.sampled_from([0.01, 1.0, RETRY, 4.9, DEADLINE - 0.1, LASTS / FAST]))
    def time_passes(self, seconds: float) -> None:
        self.time += seconds

    @rule(who=st.integers(0, 1))
    def one_looks(self, who: int) -> None:
        one = self.podpins[who]
        one.sight = sighted(one.sight, self.record, one.clock(self.time))
        one.version = self.version

    @rule(who=st.integers(0, 1))
    def one_asks_for_it(self, who: int) -> None:
        one, now = self.podpins[who], self.podpins[who].clock(self.time)
        if one.sight is None or one.request or free_at(one.sight, one.name) > now:
            return
        self.count += 1
        one.request, one.answer = Asked(now, taken(one.sight.record, one.name, str(self.count)), one.version), None

    @rule(who=st.integers(0, 1), lost=st.booleans())
    def what_one_asked_arrives_or_is_lost(self, who: int, lost: bool) -> None:
        one = self.podpins[who]
        request, one.request = one.request, None
        if request is not None and not lost and request.version == self.version:
            self.record, self.version = request.record, self.version + 1
            one.answer = Asked(request.at, request.record, self.version)

    @rule(who=st.integers(0, 1), lost=st.booleans())
    def the_answer_arrives_or_is_lost(self, who: int, lost: bool) -> None:
        one = self.podpins[who]
        answer, one.answer = one.answer, None
        if answer is not None and not lost:
            one.sight, one.version = sighted(one.sight, answer.record, one.clock(self.time)), answer.version
            one.silent = silent_from(answer.at)

    @rule(who=st.integers(0, 1))
    def all_goes_well_for_one(self, who: int) -> None:
        self.one_looks(who)
        self.one_asks_for_it(who)
        self.what_one_asked_arrives_or_is_lost(who, lost=False)
        self.the_answer_arrives_or_is_lost(who, lost=False)

    @rule(who=st.integers(0, 1))
    def one_is_killed_and_started_again(self, who: int) -> None:
        one = self.podpins[who]
        one.sight, one.silent, one.answer = None, -math.inf, None

    @rule(who=st.integers(0, 1))
    def one_is_told_to_stop(self, who: int) -> None:
        one = self.podpins[who]
        one.silent, one.answer = -math.inf, None
        if one.sight and one.sight.record.holder == one.name and one.version == self.version:
            self.record, self.version = released(one.sight.record, "then"), self.version + 1

    @invariant()
    def no_two_lead(self) -> None:
        assert len(self.leading()) <= 1


Election.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestElection = Election.TestCase
