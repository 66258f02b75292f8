"""How waiting succeeds and how it fails."""

from __future__ import annotations

import pytest

from tests.waiting import NotInTimeError, wait_for


def test_the_first_truthy_value_is_returned() -> None:
    values = iter([None, "", 3])
    assert wait_for(lambda: next(values), 1, "a value", every=0) == 3


def test_a_failure_says_what_was_waited_for_and_what_was_seen_last() -> None:
    with pytest.raises(NotInTimeError, match=r"waited 0 s for the moon; seen last: 0\nthe sky is empty"):
        wait_for(lambda: 0, 0, "the moon", seen=lambda: "the sky is empty")


def test_an_assertion_that_fails_counts_as_not_yet() -> None:
    tries = iter([False, False, True])

    def check() -> bool:
        assert next(tries), "not yet"
        return True

    assert wait_for(check, 1, "the third try", every=0)


def test_an_unexpected_error_ends_the_wait_at_once() -> None:
    with pytest.raises(ZeroDivisionError):
        wait_for(lambda: 1 // 0, 10, "nonsense")
