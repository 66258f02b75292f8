"""Each target takes its seeds, so that what `make fuzz` runs is not broken; Hypothesis tries a few more beside."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fuzz.targets import SEEDS, TARGETS


def test_every_target_has_a_seed() -> None:
    assert set(SEEDS) == set(TARGETS)
    assert all(SEEDS.values())


@pytest.mark.parametrize("name", TARGETS)
def test_it_takes_its_seeds_and_what_is_cut_off_from_them(name: str) -> None:
    for seed in SEEDS[name]:
        for end in range(len(seed) + 1):
            assert TARGETS[name](seed[:end]) is None


@pytest.mark.parametrize("name", TARGETS)
@given(data=st.binary(max_size=200))
def test_it_takes_anything(name: str, data: bytes) -> None:
    assert TARGETS[name](data) is None
