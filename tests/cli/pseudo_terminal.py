"""A program in a real pseudo-terminal, and what a person would see on its screen.

The screen understands what a program needs that redraws a few lines: carriage return, line feed, cursor up, erasing.
Anything else that moves the cursor is an error, for then the screen would be a guess.
"""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import termios
import threading
from typing import TYPE_CHECKING, Final, Self

from tests.waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

_PIECE: Final = re.compile(r"\x1b\[(\??[0-9;]*)([A-Za-z])|\r|\n|[^\x1b\r\n]+", re.DOTALL)
_PARTIAL: Final = re.compile(r"\x1b(?:\[[?0-9;]*)?$")


class Screen:
    """The lines that are to be seen, those that have gone up out of sight among them."""

    def __init__(self) -> None:
        self.lines: list[str] = [""]
        self.hidden = False
        """The cursor is hidden."""
        self.colours = 0
        """How often a colour was set."""
        self.ups = 0
        """How often the cursor was moved up."""
        self._row = self._column = 0
        self._rest = ""

    def feed(self, text: str) -> None:
        """Take in some output."""
        text = self._rest + text
        partial = _PARTIAL.search(text)
        self._rest, text = (text[partial.start() :], text[: partial.start()]) if partial else ("", text)
        for match in _PIECE.finditer(text):
            if match[2] is None:
                self._write(match[0])
            else:
                self._obey(match[1], match[2])

    def _write(self, text: str) -> None:
        if text == "\r":
            self._column = 0
        elif text == "\n":
            self._row += 1
            while len(self.lines) <= self._row:
                self.lines.append("")
        else:
            line = self.lines[self._row].ljust(self._column)
            self.lines[self._row] = line[: self._column] + text + line[self._column + len(text) :]
            self._column += len(text)

    def _obey(self, arguments: str, what: str) -> None:
        match what, arguments:
            case "m", _:
                self.colours += any(30 <= int(part) <= 37 for part in arguments.split(";") if part)
            case "A", _:
                self.ups += 1
                self._row = max(0, self._row - int(arguments or 1))
            case "K", "2":
                self.lines[self._row] = ""
            case (("h" | "l"), "?25"):
                self.hidden = what == "l"
            case _:
                raise AssertionError(f"this screen does not know ESC[{arguments}{what}")

    def __str__(self) -> str:
        """As a person reads it."""
        return "\n".join(line.rstrip() for line in self.lines).rstrip("\n")


class PseudoTerminal:
    """A program that believes in its terminal, from enter to exit."""

    def __init__(
        self, words: Sequence[str], environment: Mapping[str, str], *, columns: int = 120, rows: int = 50
    ) -> None:
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.screen = Screen()
        self.failure: Exception | None = None
        self._process = subprocess.Popen(
            # A terminal of its own, by which Ctrl-C reaches it; who began the tests in the background ignores that.
            ["env", "--default-signal=INT", "setsid", "--ctty", *words],
            env={**environment, "TERM": "xterm-256color"},
            stdin=slave,
            stdout=slave,
            stderr=slave,
        )
        os.close(slave)
        self._reader = threading.Thread(target=self._read, daemon=True)

    def __enter__(self) -> Self:
        """Begin to look."""
        self._reader.start()
        return self

    def __exit__(self, *_: object) -> None:
        """End it, whatever it does."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        self._reader.join(10)
        os.close(self._master)

    def _read(self) -> None:
        rest = b""
        while True:
            try:
                chunk = os.read(self._master, 65536)
            except OSError:  # the other end is closed: how Linux ends a terminal
                return
            if not chunk:
                return
            text, rest = _whole(rest + chunk)
            try:
                self.screen.feed(text)
            except AssertionError as error:
                self.failure = error
                return

    def until(self, seen: Callable[[str], object], what: str, timeout: float = 60) -> str:
        """Wait until the screen shows something, and return what it shows then."""

        def shown() -> str | None:
            if self.failure is not None:
                raise self.failure
            told = str(self.screen)
            return told if seen(told) else None

        return wait_for(shown, timeout, what, every=0.05, seen=lambda: str(self.screen)) or ""

    def press(self, key: bytes) -> None:
        """Type."""
        os.write(self._master, key)

    def end(self, timeout: float = 30) -> tuple[int, str]:
        """Wait until it has ended by itself; its exit status and what it leaves on the screen."""
        status = self._process.wait(timeout)
        self._reader.join(timeout)
        if self.failure is not None:
            raise self.failure
        return status, str(self.screen)


def _whole(data: bytes) -> tuple[str, bytes]:
    """The whole characters, and the bytes of one that is not complete yet."""
    for missing in range(4):
        end = len(data) - missing
        try:
            return data[:end].decode(), data[end:]
        except UnicodeDecodeError:
            continue
    return data.decode(errors="replace"), b""
