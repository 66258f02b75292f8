"""Simulate for many steps: `python -m tests.simulation --steps 1000000`. Exits with 1 where a promise is broken.

Each piece has a seed of its own and is other weather; the piece that breaks a promise is shown, as short as Hypothesis
can make it, and its seed is named. It belongs into a table of tests as a row, with the mend.
"""

from __future__ import annotations

import argparse
import logging
import sys
import time

from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.simulation.machine import Weather

PIECE = 40
"""How many lives of a rollout one piece has."""
STEPS = 50
"""How many steps a life has at most."""


def main() -> int:
    """Simulate piece by piece."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--steps", type=int, default=1_000_000, help="how many steps in all (default: 1000000)")
    parser.add_argument("--seed", type=int, default=None, help="where to begin (default: by the time of day)")
    parser.add_argument("--quick", action="store_true", help="do not look for the shortest way to break a promise")
    given = parser.parse_args()
    logging.disable(logging.CRITICAL)
    first = int(time.monotonic() * 1000) % 1_000_000_000 if given.seed is None else given.seed
    began = told = time.monotonic()
    number = first
    while (done := Weather.steps.total()) < given.steps:
        try:
            piece(number, quick=given.quick)
        except Exception:
            print(f"a promise is broken by the weather of seed {number}, after {done} steps", flush=True)
            raise
        number += 1
        if time.monotonic() - told > 30:
            told = time.monotonic()
            print(f"{done} steps in {told - began:.0f} s, {done / (told - began):.0f} a second", flush=True)
    spent = time.monotonic() - began
    print(f"{Weather.steps.total()} steps in {spent:.0f} s, seeds {first} to {number - 1}: all promises held")
    for name, count in sorted(Weather.lives.items()):
        print(f"{count:>9}  rollouts of {name}")
    for name, count in sorted(Weather.steps.items()):
        print(f"{count:>9}  {name}")
    return 0


def piece(number: int, *, quick: bool = False) -> None:
    """Some lives of a rollout, in the weather of a seed."""
    phases = (Phase.generate,) if quick else (Phase.generate, Phase.shrink)
    weather = type("Weather", (Weather,), {})
    run_state_machine_as_test(
        seed(number)(weather),
        settings=settings(
            max_examples=PIECE,
            stateful_step_count=STEPS,
            database=None,
            deadline=None,
            phases=phases,
            print_blob=False,
            report_multiple_bugs=False,
            suppress_health_check=list(HealthCheck),
        ),
    )


if __name__ == "__main__":
    sys.exit(main())
