"""When windows are open, where the clocks change too; and that it agrees with walking through time minute by minute."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from podpin.core.windows import Interval, Opening, Window, flaw_of, next_opening, open_until

BERLIN, NEW_YORK, LORD_HOWE = "Europe/Berlin", "America/New_York", "Australia/Lord_Howe"


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@dataclass(frozen=True)
class Row:
    says: str
    window: Opening
    now: str
    until: str | None
    next: str | None


HOUR = timedelta(hours=1)
ROWS = [
    Row("is open from its very first moment", Window("0 9 * * 1-5", HOUR * 8, "UTC"), "2026-03-02T09:00:00", "2026-03-02T17:00:00", "2026-03-03T09:00:00"),
    Row("is closed a second before", Window("0 9 * * 1-5", HOUR * 8, "UTC"), "2026-03-02T08:59:59", None, "2026-03-02T09:00:00"),
    Row("is closed at its very end", Window("0 9 * * 1-5", HOUR * 8, "UTC"), "2026-03-02T17:00:00", None, "2026-03-03T09:00:00"),
    Row("waits for Monday on a Saturday", Window("0 9 * * MON-FRI", HOUR * 8, "UTC"), "2026-03-07T12:00:00", None, "2026-03-09T09:00:00"),
    Row("knows Sunday as 0", Window("0 9 * * 0", HOUR, "UTC"), "2026-03-02T00:00:00", None, "2026-03-08T09:00:00"),
    Row("knows Sunday as 7", Window("0 9 * * 7", HOUR, "UTC"), "2026-03-02T00:00:00", None, "2026-03-08T09:00:00"),
    Row("opens on a day of the month or a day of the week, as cron does", Window("0 9 20 * MON", HOUR, "UTC"), "2026-03-17T00:00:00", None, "2026-03-20T09:00:00"),
    Row("knows the wall time of its zone in winter", Window("0 9 * * *", HOUR, BERLIN), "2026-02-01T00:00:00", None, "2026-02-01T08:00:00"),
    Row("knows the wall time of its zone in summer", Window("0 9 * * *", HOUR, BERLIN), "2026-07-01T00:00:00", None, "2026-07-01T07:00:00"),
    Row("opens when the gap is over, in Berlin", Window("30 2 * * *", HOUR, BERLIN), "2026-03-29T00:59:59", None, "2026-03-29T01:00:00"),
    Row("is open at the end of the gap, in Berlin", Window("30 2 * * *", HOUR, BERLIN), "2026-03-29T01:00:00", "2026-03-29T02:00:00", "2026-03-30T00:30:00"),
    Row("opens when the gap is over by steps as well", Window("*/30 2 * * *", HOUR, BERLIN), "2026-03-29T00:59:59", None, "2026-03-29T01:00:00"),
    Row("opens in the first of the two hours, in Berlin", Window("30 2 * * *", timedelta(minutes=10), BERLIN), "2026-10-25T00:00:00", None, "2026-10-25T00:30:00"),
    Row("does not open again in the second, in Berlin", Window("30 2 * * *", timedelta(minutes=10), BERLIN), "2026-10-25T01:30:00", None, "2026-10-26T01:30:00"),
    Row("is open for as long as it says through the hour that comes twice", Window("0 1 * * *", HOUR * 3, BERLIN), "2026-10-25T00:00:00", "2026-10-25T02:00:00", "2026-10-26T00:00:00"),
    Row("opens when the gap is over, in New York", Window("30 2 * * *", HOUR, NEW_YORK), "2026-03-08T06:00:00", None, "2026-03-08T07:00:00"),
    Row("opens once in the fold, in New York", Window("30 1 * * *", HOUR, NEW_YORK), "2026-11-01T05:00:00", None, "2026-11-01T05:30:00"),
    Row("does not open twice in the fold, in New York", Window("30 1 * * *", timedelta(minutes=30), NEW_YORK), "2026-11-01T06:30:00", None, "2026-11-02T06:30:00"),
    Row("opens when a gap of half an hour is over", Window("15 2 * * *", HOUR, LORD_HOWE), "2026-10-03T15:00:00", None, "2026-10-03T15:30:00"),
    Row("opens once in a fold of half an hour", Window("45 1 * * *", timedelta(minutes=5), LORD_HOWE), "2026-04-04T14:30:00", None, "2026-04-04T14:45:00"),
    Row("does not open twice in a fold of half an hour", Window("45 1 * * *", timedelta(minutes=5), LORD_HOWE), "2026-04-04T15:15:00", None, "2026-04-05T15:15:00"),
    Row("goes by elapsed hours where the hour is a star", Window("0 * * * *", timedelta(minutes=5), BERLIN), "2026-10-25T00:30:00", None, "2026-10-25T01:00:00"),
    Row("is always open by the minute", Window("* * * * *", timedelta(minutes=1), BERLIN), "2026-03-29T01:00:00", "9999-12-31T23:59:59.999999", "2026-03-29T01:01:00"),
    Row("is open once from and to", Interval(utc("2026-12-20T00:00:00"), utc("2027-01-03T00:00:00")), "2026-12-20T00:00:00", "2027-01-03T00:00:00", None),
    Row("never opens again when it is over", Interval(utc("2026-12-20T00:00:00"), utc("2027-01-03T00:00:00")), "2027-01-03T00:00:00", None, None),
]  # fmt: skip


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.says)
def test_window(row: Row) -> None:
    now = utc(row.now)
    assert open_until([row.window], now) == (utc(row.until) if row.until else None)
    assert next_opening([row.window], now) == (utc(row.next) if row.next else None)


def test_times_that_follow_each_other_count_as_one() -> None:
    day = Window("0 8 * * *", HOUR * 4, "UTC")
    noon = Window("0 12 * * *", HOUR * 4, "UTC")
    assert open_until([day, noon], utc("2026-03-02T09:00:00")) == utc("2026-03-02T16:00:00")


def test_no_windows_are_never_open() -> None:
    assert open_until([], utc("2026-03-02T09:00:00")) is None
    assert next_opening([], utc("2026-03-02T09:00:00")) is None


@pytest.mark.parametrize(
    ("cron", "zone", "flaw"),
    [
        ("0 9 * * 1-5", "Europe/Berlin", None),
        ("0 9 * * 1-5", "UTC", None),
        ("60 9 * * *", "UTC", "the cron expression '60 9 * * *' cannot be read: bad minute"),
        ("0 9 * * FRI-MON", "UTC", "cannot be read: bad day-of-week"),
        ("0 0 30 2 *", "UTC", "'0 0 30 2 *'"),
        ("0 9 * * *", "Europe/Nowhere", "the time zone 'Europe/Nowhere' is not known"),
    ],
)
def test_what_is_wrong_with_a_window_is_said(cron: str, zone: str, flaw: str | None) -> None:
    told = flaw_of(cron, zone)
    assert told is None if flaw is None else flaw in (told or "")


MINUTES = st.sampled_from(["0", "30", "15,45", "*/20"])
HOURS = st.sampled_from(["1", "2", "3", "1-3", "*/2", "23", "0"])
DAYS = st.sampled_from(["*", "SUN", "1-5"])
MOMENTS = st.sampled_from(
    ["2026-03-29", "2026-10-25", "2026-03-08", "2026-11-01", "2026-10-03", "2026-04-04", "2026-06-10"]
)


@given(
    MINUTES,
    HOURS,
    DAYS,
    st.sampled_from([BERLIN, NEW_YORK, LORD_HOWE, "UTC"]),
    MOMENTS,
    st.integers(0, 1440),
    st.integers(1, 180),
)
@settings(max_examples=60, deadline=None)
def test_it_agrees_with_a_walk_through_time(
    minute: str, hour: str, day: str, zone: str, date: str, after: int, length: int
) -> None:
    window = Window(f"{minute} {hour} * * {day}", timedelta(minutes=length), zone)
    now = utc(f"{date}T00:00:00") + timedelta(minutes=after)
    opened = walked(window, now - timedelta(days=1), now + timedelta(days=8))
    past = max((one for one in opened if one <= now), default=None)
    is_open = past is not None and now < past + window.duration
    assert (open_until([window], now) is not None) == is_open
    assert next_opening([window], now) == min((one for one in opened if one > now), default=None)


def walked(window: Window, start: datetime, end: datetime) -> list[datetime]:
    """Every opening between two instants, by walking: each minute that the wall shows for the first time counts, and
    with the first minute after a gap all those that were left out."""
    minute, hour, _, _, day = window.cron.split()
    zone, opened = ZoneInfo(window.zone), []
    latest = (start - timedelta(hours=3)).astimezone(zone).replace(tzinfo=None)
    at = start - timedelta(hours=3)
    while at <= end:
        wall = at.astimezone(zone).replace(tzinfo=None)
        while latest < wall:
            latest += timedelta(minutes=1)
            fits = latest.minute in numbers(minute, 60) and latest.hour in numbers(hour, 24)
            if fits and (day == "*" or latest.isoweekday() in ([7] if day == "SUN" else range(1, 6))):
                opened.append(at)
        at += timedelta(minutes=1)
    return opened


def numbers(field: str, size: int) -> set[int]:
    if field.startswith("*/"):
        return set(range(0, size, int(field[2:])))
    if "-" in field:
        first, last = field.split("-")
        return set(range(int(first), int(last) + 1))
    return {int(one) for one in field.split(",")}
