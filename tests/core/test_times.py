"""Times as Kubernetes writes them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podpin.core.times import read_time, write_time

NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("2026-03-01T12:00:00Z", NOON),
        ("2026-03-01T14:00:00+02:00", NOON),
        ("2026-03-01T12:00:00.500000Z", NOON + timedelta(milliseconds=500)),
        ("2026-03-01T12:00:00", NOON),
        ("yesterday", None),
        ("", None),
        (None, None),
        (7, None),
        (["2026-03-01T12:00:00Z"], None),
        ("0001-01-01T00:00:00+23:59", None),
        ("9999-12-31T23:59:59-23:59", None),
    ],
)
def test_a_time_is_read_in_utc_or_not_at_all(text: object, time: datetime | None) -> None:
    assert read_time(text) == time


def test_a_time_is_written_in_utc_to_the_second() -> None:
    elsewhere = NOON.astimezone(timezone(timedelta(hours=2))) + timedelta(milliseconds=999)
    assert write_time(elsewhere) == "2026-03-01T12:00:00Z"


@given(st.text(max_size=30) | st.datetimes(timezones=st.timezones()).map(lambda time: time.isoformat()))
def test_any_text_can_be_read_and_what_was_read_is_utc(text: str) -> None:
    time = read_time(text)
    assert time is None or time.utcoffset() == timedelta()


@given(st.datetimes(min_value=datetime(1000, 1, 1), timezones=st.just(UTC)))  # noqa: DTZ001 -- hypothesis wants it so
def test_what_was_written_is_read_back_to_the_second(time: datetime) -> None:
    assert read_time(write_time(time)) == time.replace(microsecond=0)
