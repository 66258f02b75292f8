"""Which events are posted, and which were heard a moment ago."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.builders import at

from podpin.core.decision import Notice
from podpin.core.repeats import MOST_SAID, QUIET, Said, news

if TYPE_CHECKING:
    from datetime import datetime

DEGRADED = Notice("Warning", "Degraded", "Pod web-0 is not ready", recurs=True)
ANOTHER = Notice("Warning", "Degraded", "Pod web-1 is not ready", recurs=True)
DONE = Notice("Normal", "RolledBack", "Went back to release a")


@pytest.mark.parametrize(
    ("before", "notice", "seconds", "posted"),
    [
        ([], DEGRADED, 0, True),
        ([DEGRADED], DEGRADED, 60, False),
        ([DEGRADED], DEGRADED, QUIET.total_seconds(), True),
        ([DEGRADED], ANOTHER, 60, True),
        ([DONE], DONE, 1, True),
    ],
    ids=["nothing was said", "just said", "said long ago", "something else was said", "podpin did it twice"],
)
def test_what_was_said_just_before_is_no_news(
    before: list[Notice], notice: Notice, seconds: float, posted: bool
) -> None:
    _, said = news({}, before, at(0))
    assert news(said, [notice], at(seconds))[0] == ((notice,) if posted else ())


def test_a_release_that_flaps_each_minute_for_a_day_is_heard_six_times_an_hour() -> None:
    said: dict[Said, datetime] = {}
    heard = 0
    for minute in range(24 * 60):
        posted, said = news(said, [DEGRADED], at(60 * minute))
        heard += len(posted)
    assert heard == 24 * 6


def test_the_same_twice_at_once_is_said_once_and_the_order_stays() -> None:
    assert news({}, [DONE, DEGRADED, DEGRADED, ANOTHER], at(0))[0] == (DONE, DEGRADED, ANOTHER)


def test_what_is_remembered_does_not_grow_without_end() -> None:
    said: dict[Said, datetime] = {}
    for number in range(500):
        _, said = news(said, [Notice("Warning", "Degraded", str(number), recurs=True)], at(number))
        assert len(said) <= MOST_SAID
