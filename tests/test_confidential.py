"""That a secret in a log would be noticed."""

from __future__ import annotations

import base64
import logging

import pytest

from tests import confidential
from tests.conftest import Ear


@pytest.mark.parametrize(
    ("line", "noticed"),
    [
        ("shop/web: release a applied", False),
        (f"the password is {confidential.PASSWORD}", True),
        (f"Basic {base64.b64encode(confidential.TOKEN.encode()).decode()}", True),
        ("one more word: swordfish", True),
    ],
)
def test_a_line_with_a_secret_is_found(line: str, noticed: bool) -> None:
    text = f"before\n{line}\nafter"
    assert confidential.told(text, ["swordfish", ""]) == ([line] if noticed else [])


def test_what_is_logged_is_heard_with_its_traceback(ear: Ear) -> None:
    word = "swordfish"
    try:
        int(word)
    except ValueError:
        logging.getLogger("podpin").exception("it broke")
    (line,) = confidential.told("\n".join(f"{told}\n" for told in ear.heard), [f"'{word}'"])
    assert line.startswith("ValueError: ")
