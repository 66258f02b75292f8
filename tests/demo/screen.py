"""What the reader sees: headings, sentences, commands with their output, and lines that appear while something happens.

Colours only on a terminal, and not where NO_COLOR asks for none; everything else is the same text everywhere.
"""

from __future__ import annotations

import os
import re
import textwrap
from typing import TYPE_CHECKING, Final, TextIO

if TYPE_CHECKING:
    from collections.abc import Mapping

WIDTH: Final = 96
BOLD, DIM, RED, GREEN, YELLOW, CYAN = "1", "2", "31", "32", "33", "36"
WORDS: Final = {
    "True": GREEN,
    "RolledOut": GREEN,
    "Unknown": YELLOW,
    "Progressing": YELLOW,
    "RollingBack": YELLOW,
    "False": RED,
    "Rejected": RED,
    "RolledBack": RED,
    "CannotStart": RED,
}
"""The words of podpin's own that have a colour."""


class Screen:
    """Where the demo is told."""

    def __init__(self, out: TextIO, *, colours: bool) -> None:
        self._out, self._colours = out, colours
        self._ticking = False
        self._in_text = True

    @classmethod
    def on(cls, out: TextIO, environment: Mapping[str, str] = os.environ) -> Screen:
        """A screen that uses colours where they are wanted."""
        wanted = out.isatty() and not environment.get("NO_COLOR") and environment.get("TERM") != "dumb"
        return cls(out, colours=wanted)

    def heading(self, text: str) -> None:
        """A new part of the story."""
        self._in_text = True
        self._write(f"\n{self._painted(text, BOLD)}\n{self._painted('─' * len(text), DIM)}")

    def say(self, text: str) -> None:
        """A sentence or two of ours, in lines that fit."""
        if not self._in_text:
            self._write("")
        self._in_text = True
        self._write(textwrap.fill(text, WIDTH, break_long_words=False, break_on_hyphens=False))

    def command(self, line: str) -> None:
        """A command that is now run."""
        self._in_text = False
        self._write(f"\n{self._painted('$ ', DIM)}{self._painted(line, CYAN)}")

    def output(self, text: str) -> None:
        """What a command has printed."""
        if text:
            self._write(self._marked(text.rstrip("\n")))

    def live(self, seconds: float, line: str) -> None:
        """A line that a command that is still running has just printed, with the time since the push."""
        self._write(f"{self._painted(f'{seconds:5.1f} s', DIM)}  {self._marked(line)}")

    def tick(self, seconds: float, waiting_for: str) -> None:
        """On a terminal, show that time passes; elsewhere nothing."""
        if self._out.isatty():
            self._ticking = True
            self._out.write(f"\r\x1b[K{self._painted(f'{seconds:5.1f} s  … {waiting_for}', DIM)}")
            self._out.flush()

    def table(self, rows: Mapping[str, str]) -> None:
        """Commands to be typed, each with what it does."""
        wide = max(map(len, rows))
        self._in_text = False
        for line, meaning in rows.items():
            self._write(f"  {self._painted(f'{line:{wide}}', CYAN)}  {meaning}")

    def _write(self, text: str) -> None:
        if self._ticking:
            self._out.write("\r\x1b[K")
            self._ticking = False
        self._out.write(f"{text}\n")
        self._out.flush()

    def _marked(self, text: str) -> str:
        return re.sub(rf"\b({'|'.join(WORDS)})\b", lambda word: self._painted(word[0], WORDS[word[0]]), text)

    def _painted(self, text: str, colour: str) -> str:
        return f"\x1b[{colour}m{text}\x1b[0m" if self._colours else text
