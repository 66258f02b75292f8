"""The promises of the design, held in all the weather that Hypothesis can think of."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.simulation.machine import Weather

EXAMPLES, STEPS = 60, 30


@pytest.mark.timeout(300)  # on a machine that may be busy
def test_the_promises_hold_in_any_weather() -> None:
    """The same weather each time: what is new is looked for by `make simulate`."""
    run_state_machine_as_test(
        Weather,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=STEPS,
            derandomize=True,
            database=None,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
