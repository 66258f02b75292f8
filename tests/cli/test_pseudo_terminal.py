"""The terminal by which the command line is tested shows what a real one would."""

from __future__ import annotations

import os
import sys

import pytest
from tests.cli.pseudo_terminal import PseudoTerminal, Screen


@pytest.mark.parametrize(
    ("output", "seen"),
    [
        pytest.param("one\r\ntwo", "one\ntwo", id="lines"),
        pytest.param("long line\rshort", "shortline", id="a line is written over"),
        pytest.param("one\r\ntwo\r\x1b[1A\x1b[2Kthree", "three\ntwo", id="a line above is drawn anew"),
        pytest.param("\x1b[31mred\x1b[0m", "red", id="colours are not to be read"),
    ],
)
def test_what_is_seen(output: str, seen: str) -> None:
    screen = Screen()
    for letter in output:  # whatever the pieces in which it comes
        screen.feed(letter)
    assert str(screen) == seen


def test_what_it_does_not_know_it_does_not_guess() -> None:
    with pytest.raises(AssertionError, match=r"ESC\[5;5H"):
        Screen().feed("\x1b[5;5H")


def test_a_program_sees_a_terminal_and_hears_ctrl_c() -> None:
    code = (
        "import os, sys, time\nprint(sys.stdout.isatty(), os.get_terminal_size().columns, flush=True)\n"
        "try: time.sleep(50)\nexcept KeyboardInterrupt: sys.exit(7)"
    )
    with PseudoTerminal([sys.executable, "-c", code], os.environ, columns=99) as terminal:
        assert terminal.until(lambda told: "\n" in told or "99" in told, "its first line") == "True 99"
        terminal.press(b"\x03")
        status, _ = terminal.end()
    assert status == 7
