"""What holds in every test: podpin's log tells none of the secrets that the tests use."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pytest

from tests import confidential

if TYPE_CHECKING:
    from collections.abc import Iterator


class Ear(logging.Handler):
    """Hears all that is logged, as podpin's lines look to people and to machines alike: message and traceback."""

    def __init__(self) -> None:
        super().__init__()
        self.heard: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.heard.append(self.format(record))


@pytest.fixture(scope="session")
def ear() -> Ear:
    return Ear()


@pytest.fixture(autouse=True)
def _log_is_discreet(ear: Ear) -> Iterator[None]:
    """No line that this test brings about has a secret in it."""
    root = logging.getLogger()
    ear.heard.clear()
    root.addHandler(ear)
    yield
    root.removeHandler(ear)
    assert confidential.told("\n".join(ear.heard)) == []
