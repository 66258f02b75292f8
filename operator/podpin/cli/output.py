"""How things get onto the terminal or into a pipe: colours only where somebody sees them, and nowhere a line cut off.

Rich honours NO_COLOR, TERM=dumb and FORCE_COLOR. Where the output cannot spell the symbols, letters stand for them.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, TextIO

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from podpin.cli.views.branch import Branch

_ASCII: Final = str.maketrans("✓✗◐○↩·…→├└│─", "+x~o<-.>|`|-")
GAP: Final = "   "


def console_on(stream: TextIO | None = None) -> Console:
    """A console that prints text as it is, and colours it on a terminal."""
    return Console(file=stream or sys.stdout, highlight=False, emoji=False, markup=False, soft_wrap=True)


def say(console: Console, lines: Iterable[Text | str]) -> None:
    """Print lines."""
    for line in lines:
        console.print(spelled(line if isinstance(line, Text) else Text(line), console))


def spelled(line: Text, console: Console) -> Text:
    """The line, in letters that the output's encoding has."""
    if (console.encoding or "").lower().replace("-", "").startswith("utf"):
        return line
    plain = line.copy()
    told = line.plain.translate(_ASCII).encode(console.encoding, "replace").decode(console.encoding)
    plain.plain = told
    return plain


def table(heads: Sequence[str], rows: Iterable[Sequence[Text | str]]) -> Iterator[Text]:
    """Lines of a table as kubectl prints it: columns as wide as they need, three blanks between them."""
    told = [[Text(head, style="bold") for head in heads]]
    told += [[cell if isinstance(cell, Text) else Text(cell) for cell in row] for row in rows]
    widths = [max(cell_len(row[at].plain) for row in told) for at in range(len(heads))]
    for row in told:
        line = Text()
        for cell, width in zip(row, widths, strict=True):
            line.append_text(cell)
            line.append(" " * (width - cell_len(cell.plain)) + GAP)
        line.rstrip()
        yield line


def drawn(branch: Branch, console: Console) -> Iterator[Text]:
    """The lines of a tree; on a terminal, long ones go on below themselves and not at its edge."""
    width = console.width if console.is_terminal else None
    return _drawn(branch, "", "", console, width)


def _drawn(branch: Branch, first: str, rest: str, console: Console, width: int | None) -> Iterator[Text]:
    last = len(branch.children) - 1
    below = "│ " if branch.children else "  "
    for number, text in enumerate(branch.lines):
        room = max(20, width - cell_len(rest) - 2) if width else 0
        parts = text.wrap(console, room) if width and cell_len(text.plain) > room else [text]
        for at, part in enumerate(parts):
            begins = number == at == 0
            line = Text(first if begins else rest, style="dim")
            if not begins:
                line.append(below, style="dim")
            part.rstrip()
            line.append_text(part)
            yield line
    for at, child in enumerate(branch.children):
        lead, on = ("└─ ", "   ") if at == last else ("├─ ", "│  ")
        yield from _drawn(child, rest + lead, rest + on, console, width)


def as_json(value: Any) -> str:
    """JSON for people and programs."""
    return json.dumps(value, indent=2, ensure_ascii=False)


def as_yaml(value: Any) -> str:
    """YAML in the order in which the API server has it."""
    import yaml  # only where it is asked for

    return str(yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=120)).rstrip("\n")
