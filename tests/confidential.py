"""What the tests keep secret: words that stand nowhere else, so that where one is found, podpin has said too much."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

PASSWORD: Final = "hunter2"
TOKEN: Final = "s3cret"
HOOK: Final = "correct-horse-battery"
GUESS: Final = "a-guess-of-nobody"
RIGHT: Final = "open-sesame"
WRONG: Final = "close-sesame"
WORDS: Final = (PASSWORD, TOKEN, HOOK, GUESS, RIGHT, WRONG)


def told(text: str, more: Iterable[str] = ()) -> list[str]:
    """The lines of a log with one of the secrets, as it is or as base64 has it at the end of a pair or alone."""
    spelt = [form for word in (*WORDS, *more) if word for form in (word, base64.b64encode(word.encode()).decode())]
    return [line for line in text.splitlines() if any(form in line for form in spelt)]
