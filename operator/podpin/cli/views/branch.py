"""A tree of words: what `podpin tree` draws."""

from __future__ import annotations

from dataclasses import dataclass

from rich.text import Text


@dataclass(frozen=True, slots=True)
class Branch:
    """Some lines, and what hangs below them."""

    lines: tuple[Text, ...]
    children: tuple[Branch, ...] = ()
