from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.statuses import DIGEST, full, wire

from podpin.core.status import (
    MAX_HISTORY,
    MAX_REJECTED,
    Condition,
    RejectedStatus,
    Status,
    parse_status,
    render_status,
)

NOON = datetime(2026, 11, 24, 12, 0, 0, 123456, tzinfo=UTC)


def test_reads_back_what_it_wrote() -> None:
    assert parse_status(render_status(full())) == full()


def test_stands_in_the_resource_in_camel_case_without_what_is_not_there() -> None:
    assert render_status(full()) == wire()
    assert render_status(Status()) == {}


def test_times_are_utc_to_the_second() -> None:
    elsewhere = NOON.astimezone(timezone(timedelta(hours=2)))
    condition = Condition(type="Ready", status="True", reason="RolledOut", last_transition_time=elsewhere)
    assert condition.last_transition_time == NOON.replace(microsecond=0)
    assert condition.model_dump(mode="json", by_alias=True)["lastTransitionTime"] == "2026-11-24T12:00:00Z"


def test_the_times_that_podpin_measures_from_keep_their_microseconds() -> None:
    assert render_status(full())["candidate"]["clockFrom"] == "2026-11-24T12:00:00.123456Z"


def test_a_message_is_cut_before_the_api_server_could_refuse_it() -> None:
    rejected = RejectedStatus(release="a1", images=(), reason="CrashLoop", message="x" * 5000, at=NOON)
    assert len(rejected.message) == 1024


@pytest.mark.parametrize(("field", "most"), [("rejected", MAX_REJECTED), ("history", MAX_HISTORY)])
def test_the_newest_stay_when_a_list_grows_too_long(field: str, most: int) -> None:
    entries = getattr(full(), field)
    status = Status.model_validate({field: (*entries, *entries * most)})
    assert getattr(status, field) == (*entries, *entries * most)[:most]


@pytest.mark.parametrize("raw", [None, {}, [], "status", 7, {"phase": "Running"}])
def test_what_is_no_status_counts_as_none(raw: object) -> None:
    assert parse_status(raw) == Status()


@pytest.mark.parametrize(
    "spoilt",
    [
        {"stable": {"release": "a1", "images": [], "since": "yesterday"}},
        {"stable": {"release": "a1"}},
        {"stable": "a1"},
        {"candidate": None},
        {"replicas": "three"},
        {"conditions": {"Ready": True}},
        {"conditions": None},
        {"history": [None, 3, {"release": 1}]},
        {"workload": {"name": "web"}},
        {"rejected": [{**wire()["rejected"][0], "at": "0001-01-01T00:00:00+23:59"}]},
    ],
    ids=str,
)
def test_a_part_that_cannot_be_read_is_dropped_and_nothing_else(spoilt: dict[str, Any]) -> None:
    (field,) = spoilt
    status = parse_status(wire() | spoilt)
    rest = {name: value for name, value in wire().items() if name != field}
    assert render_status(status) == rest


def test_an_entry_that_cannot_be_read_is_dropped_and_its_neighbours_stay() -> None:
    raw = wire()
    first, last = raw["history"]
    status = parse_status({**raw, "history": [first, {**first, "result": "Lost"}, last, None]})
    assert status.history == full().history


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@st.composite
def spoilt_status(draw: st.DrawFn) -> Any:
    """A good status in which anything may have been replaced by anything, at any depth."""

    def spoil(node: Any) -> Any:
        if draw(st.integers(0, 11)) == 0:
            return draw(JSON | st.datetimes().map(str) | st.just(f"sha256:{DIGEST}"))
        if isinstance(node, dict):
            return {name: spoil(child) for name, child in node.items()}
        if isinstance(node, list):
            return [spoil(child) for child in node]
        return node

    return spoil(wire())


@given(spoilt_status() | JSON)
def test_reading_raises_nothing_and_writing_settles(raw: object) -> None:
    status = parse_status(raw)
    assert parse_status(render_status(status)) == status
