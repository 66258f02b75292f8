"""Commands as a reader would type them: each is shown, really run, and shown with what it printed."""

from __future__ import annotations

import queue
import shlex
import subprocess
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from tests.demo.errors import DemoError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from tests.demo.screen import Screen


@dataclass(frozen=True, slots=True)
class Awaited:
    """What a line must show, and by when."""

    words: tuple[str, ...]
    since: float
    """From when time is counted, by the monotonic clock."""
    timeout: float
    what: str
    """What is waited for, for somebody who looks at a still screen."""


@dataclass(slots=True)
class Columns:
    """Puts the rows of a watch below each other: kubectl takes each row's widths from that row alone."""

    widths: list[int] = field(default_factory=list)
    header: list[str] = field(default_factory=list)

    def align(self, line: str) -> str:
        """The same words, in columns that stay where they are."""
        cells = line.split()
        if not self.header:
            self.header = cells
            self.widths = [max(len(cell), WIDTHS.get(cell, 0)) for cell in cells]
        if len(cells) != len(self.header):
            # Cells are empty: as long as there is no status, all between the name and the age.
            cells = [cells[0], *[""] * (len(self.header) - 2), cells[-1]]
        self.widths = [max(pair) for pair in zip(self.widths, map(len, cells), strict=True)]
        return "   ".join(f"{cell:{width}}" for cell, width in zip(cells, self.widths, strict=True)).rstrip()


WIDTHS: Final = {"IMAGE": 9, "DIGEST": 12, "READY": 7, "REASON": 11, "PODS": 4}
"""What these columns will need, for they begin empty."""


@dataclass(frozen=True, slots=True)
class Terminal:
    """A shell of sorts, in a folder, with an environment."""

    screen: Screen
    environment: Mapping[str, str]
    folder: Path

    def run(self, line: str) -> str:
        """Run one command to its end; return what it printed."""
        self.screen.command(line)
        done = subprocess.run(
            line,
            shell=True,
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        self.screen.output(done.stdout)
        if done.returncode != 0:
            raise DemoError(f"expected `{line}` to succeed, but it ended with {done.returncode}")
        return done.stdout

    def watch(self, line: str, awaited: Awaited, check: Callable[[], None]) -> float:
        """Show what a command prints as it prints it, until what is awaited is there; return the seconds taken.

        `line` is a `kubectl get --watch`, whose last column, the age, is no news by itself.
        """
        self.screen.command(line)
        begun, last, columns = awaited.since, "", Columns()
        for printed in self._lines(line, begun + awaited.timeout):
            seconds = time.monotonic() - begun
            check()
            if printed is None:
                self.screen.tick(seconds, awaited.what)
                continue
            news = " ".join(printed.split()[:-1])
            if news != last:
                self.screen.live(seconds, columns.align(printed))
            last = news
            if set(awaited.words) <= set(printed.split()):
                return seconds
        words = " ".join(awaited.words)
        raise DemoError(f"expected `{line}` to show {words!r} within {awaited.timeout:g} s, but it did not")

    def _lines(self, line: str, deadline: float) -> Iterator[str | None]:
        """The lines as they come, and None now and then while none comes. A watch that ends is begun again."""
        while time.monotonic() < deadline:
            with subprocess.Popen(
                shlex.split(line), cwd=self.folder, env=self.environment, stdout=subprocess.PIPE, text=True
            ) as process:
                try:
                    yield from _until_ended(process, deadline)
                finally:
                    process.kill()


def _until_ended(process: subprocess.Popen[str], deadline: float) -> Iterator[str | None]:
    lines: queue.Queue[str | None] = queue.Queue()

    def read() -> None:
        assert process.stdout is not None
        for printed in process.stdout:
            lines.put(printed.rstrip("\n"))
        lines.put(None)

    threading.Thread(target=read, daemon=True).start()
    while time.monotonic() < deadline:
        try:
            printed = lines.get(timeout=0.2)
        except queue.Empty:
            yield None
        else:
            yield printed
            if printed is None:
                return
