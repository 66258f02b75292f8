"""`make picture`: the picture in the README, drawn from what a real run of the demo prints while a bad version comes.

The SVG asks for nothing from outside: no font, no style, no picture. Each run of words is placed by itself and told how
long to be, so the columns stay straight in whatever monospaced font the reader has.
"""

from __future__ import annotations

import dataclasses
import io
import re
import sys
from typing import Final
from xml.sax.saxutils import escape

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from tests.demo import backstage, remains
from tests.demo.backstage import ROOT
from tests.demo.screen import Screen
from tests.demo.story import Story

NAME: Final = "picture"
PICTURE: Final = ROOT / "docs" / "pictures" / "rollback.svg"
COLUMNS: Final = 100
CELL, LINE, SIZE, MARGIN = 8.4, 19, 14, 20
PAPER, INK = "#181a1f", "#d6d9de"
COLOURS: Final = {1: "#f07178", 2: "#98d379", 3: "#ecbe70", 6: "#68c8d4"}
"""A terminal's red, green, yellow and cyan."""
FAINT: Final = "#878b94"
TITLE: Final = "A terminal: kubectl shows how podpin rolls a bad version back, and a client that has lost no request"


def main() -> None:
    """Run the demo up to the bad version, and record what follows."""
    screen = Screen.on(sys.stdout)
    remains.remove(NAME)
    try:
        story = Story(screen, backstage.set_up(NAME, screen))
        story.install()
        story.first_version()
        story.newer_version()
        told = io.StringIO()
        story.screen = Screen(told, colours=True)
        story.backstage.terminal = dataclasses.replace(story.backstage.terminal, screen=story.screen)
        story.bad_version()
    finally:
        remains.remove(NAME)
    PICTURE.parent.mkdir(exist_ok=True)
    PICTURE.write_text(draw(told.getvalue()))
    print(f"\nwritten: {PICTURE.relative_to(ROOT)}")


def draw(told: str) -> str:
    """An SVG of a terminal with this text in it."""
    console = Console(width=COLUMNS, file=io.StringIO(), force_terminal=True)
    lines = Text.from_ansi(told.strip("\n")).wrap(console, COLUMNS)
    width, height = round(COLUMNS * CELL) + 2 * MARGIN, len(lines) * LINE + 2 * MARGIN
    drawn = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" aria-label="{TITLE}">',
        f"<title>{TITLE}</title>",
        f'<rect width="{width}" height="{height}" rx="8" fill="{PAPER}"/>',
        f'<g fill="{INK}" font-size="{SIZE}" font-family="ui-monospace, Menlo, Consolas, DejaVu Sans Mono, monospace">',
    ]
    for number, line in enumerate(lines):
        drawn += draw_line(line, console, MARGIN + number * LINE + SIZE)
    return "\n".join([*drawn, "</g>", "</svg>", ""])


def draw_line(line: Text, console: Console, y: float) -> list[str]:
    """The words of one line, each run of them where it belongs."""
    drawn, column = [], 0
    for text, style, _ in line.render(console):
        look = ""
        if style and style.color and style.color.number in COLOURS:
            look = f' fill="{COLOURS[style.color.number]}"'
        elif style and style.dim:
            look = f' fill="{FAINT}"'
        if style and style.bold:
            look += ' font-weight="bold"'
        for words in re.finditer(r"\S+(?: \S+)*", text):
            x, length = MARGIN + (column + words.start()) * CELL, cell_len(words[0]) * CELL
            where = f'x="{x:.1f}" y="{y}" textLength="{length:.1f}" lengthAdjust="spacingAndGlyphs"'
            drawn.append(f"<text {where}{look}>{escape(words[0])}</text>")
        column += cell_len(text)
    return drawn


if __name__ == "__main__":
    main()
