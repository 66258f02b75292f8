from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podpin.core.duration import format_duration, parse_duration

MILLISECOND = timedelta(milliseconds=1)


@pytest.mark.parametrize(
    ("text", "length"),
    [
        ("0s", timedelta()),
        ("90s", timedelta(seconds=90)),
        ("5m", timedelta(minutes=5)),
        ("1h30m", timedelta(hours=1, minutes=30)),
        ("250ms", timedelta(milliseconds=250)),
        ("1m500ms", timedelta(minutes=1, milliseconds=500)),
        ("30m1h", timedelta(hours=1, minutes=30)),
        ("5m5m", timedelta(minutes=10)),
        ("00010s", timedelta(seconds=10)),
        ("99999h", timedelta(hours=99999)),
    ],
)
def test_reads_each_unit_and_adds_the_groups_up(text: str, length: timedelta) -> None:
    assert parse_duration(text) == length


@pytest.mark.parametrize(
    "text",
    ["", "5", "-1s", "+1s", "0", "1.5h", "1d", "1w", "s", "5 m", " 5m", "5m ", "5m\n", "5M", "5us", "5ns", "100000s",
     "1h1h1h1h1h", "\u0665m", "1h30", "PT5M", "1e3s"],
)  # fmt: skip
def test_refuses_what_has_two_readings_or_none(text: str) -> None:
    with pytest.raises(ValueError, match="must be a duration with its unit, such as 90s, 5m or 1h30m") as refusal:
        parse_duration(text)
    assert repr(text) in str(refusal.value)


@pytest.mark.parametrize(
    ("length", "text"),
    [
        (timedelta(), "0s"),
        (timedelta(seconds=90), "1m30s"),
        (timedelta(days=1), "24h"),
        (timedelta(hours=1, milliseconds=1), "1h1ms"),
    ],
)
def test_writes_the_shortest_spelling(length: timedelta, text: str) -> None:
    assert format_duration(length) == text


@pytest.mark.parametrize(
    ("length", "why"),
    [
        (-MILLISECOND, "negative"),
        (timedelta(microseconds=1), "exact to the millisecond"),
        (timedelta(hours=100_000), "longer than"),
    ],
)
def test_does_not_write_what_could_not_be_read_back(length: timedelta, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        format_duration(length)


@given(st.integers(min_value=0, max_value=timedelta(hours=100_000) // MILLISECOND - 1))
def test_reads_back_what_it_wrote(milliseconds: int) -> None:
    length = milliseconds * MILLISECOND
    assert parse_duration(format_duration(length)) == length
