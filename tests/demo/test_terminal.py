"""The demo's screen and terminal, without a cluster."""

from __future__ import annotations

import io
import os
import time
from typing import TYPE_CHECKING

import pytest

from tests.demo.errors import DemoError
from tests.demo.picture import draw
from tests.demo.screen import Screen
from tests.demo.terminal import Awaited, Columns, Terminal

if TYPE_CHECKING:
    from pathlib import Path


class Terminals(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def told() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def terminal(told: io.StringIO, tmp_path: Path) -> Terminal:
    return Terminal(Screen.on(told, {}), os.environ, tmp_path)


def awaited(*words: str, timeout: float = 10) -> Awaited:
    return Awaited(words, time.monotonic(), timeout, "nothing in particular")


def unhurt() -> None:
    """What is checked while waiting is well."""


def test_a_command_is_shown_with_what_it_printed(terminal: Terminal, told: io.StringIO) -> None:
    assert terminal.run("echo 'a  b'") == "a  b\n"
    assert told.getvalue() == "\n$ echo 'a  b'\na  b\n"


def test_a_command_that_fails_ends_the_demo_and_what_it_said_is_shown(terminal: Terminal, told: io.StringIO) -> None:
    with pytest.raises(DemoError, match=r"expected `echo no >&2; exit 3` to succeed, but it ended with 3"):
        terminal.run("echo no >&2; exit 3")
    assert "\nno\n" in told.getvalue()


def test_a_watch_ends_with_the_line_that_is_awaited(terminal: Terminal, told: io.StringIO) -> None:
    rows = r"NAME READY AGE\nweb False 1s\nweb False 2s\nweb True 3s\nweb False 4s\n"
    seconds = terminal.watch(f"printf '{rows}'", awaited("web", "True"), unhurt)
    assert 0 <= seconds < 10
    shown = [line.partition(" s  ")[2].split() for line in told.getvalue().splitlines()[2:]]
    assert shown == [["NAME", "READY", "AGE"], ["web", "False", "1s"], ["web", "True", "3s"]]


def test_a_watch_that_ends_early_is_begun_again(terminal: Terminal, tmp_path: Path) -> None:
    script = tmp_path / "watch"
    script.write_text(
        '#!/bin/sh\nls | grep -q second && echo "web True 2s" || { echo "web False 1s"; touch second; }\n'
    )
    script.chmod(0o755)
    terminal.watch(str(script), awaited("True"), unhurt)


def test_a_watch_says_what_was_expected_and_by_when(terminal: Terminal) -> None:
    with pytest.raises(DemoError, match=r"^expected `sleep 60` to show 'web True' within 0.3 s, but it did not$"):
        terminal.watch("sleep 60", awaited("web", "True", timeout=0.3), unhurt)


def test_a_watch_ends_when_something_else_is_wrong(terminal: Terminal) -> None:
    def wrong() -> None:
        raise DemoError("podpin has ended")

    with pytest.raises(DemoError, match="podpin has ended"):
        terminal.watch("sleep 60", awaited("web"), wrong)


def test_rows_stand_below_each_other_and_empty_cells_stay_empty() -> None:
    columns = Columns()
    lines = ["NAME   IMAGE   READY   AGE", "web                    1s", "web web:1.0.0 True 12s"]
    assert [columns.align(line) for line in lines] == [
        "NAME   IMAGE       READY     AGE",
        "web                          1s",
        "web    web:1.0.0   True      12s",
    ]


@pytest.mark.parametrize(
    ("out", "environment", "coloured"),
    [
        pytest.param(Terminals(), {}, True, id="colours on a terminal"),
        pytest.param(Terminals(), {"NO_COLOR": "1"}, False, id="none where NO_COLOR asks for none"),
        pytest.param(Terminals(), {"TERM": "dumb"}, False, id="none on a terminal that has none"),
        pytest.param(io.StringIO(), {}, False, id="none in a file"),
    ],
)
def test_colours(out: io.StringIO, environment: dict[str, str], coloured: bool) -> None:
    screen = Screen.on(out, environment)
    screen.heading("A heading")
    screen.output("READY True")
    assert ("\x1b[" in out.getvalue()) is coloured


def test_the_picture_asks_for_nothing_from_outside_and_is_well_formed() -> None:
    drawn = draw("\x1b[1mA <heading>\x1b[0m\n\nweb   \x1b[32mTrue\x1b[0m  & more\n")
    assert "A &lt;heading&gt;" in drawn
    assert 'fill="#98d379">True<' in drawn
    assert drawn.replace("http://www.w3.org/2000/svg", "").count("://") == 0
