"""What can go wrong around the test cluster, told for a person who has just cloned the repository."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


class ClusterError(Exception):
    """Something that the reader of the message can act on."""


class UnsupportedError(ClusterError):
    """This kind of cluster cannot do what was asked; tests ask `cluster.can(...)` first."""


def last_lines(log: Path, count: int = 15) -> str:
    """The end of a log, indented, for an error message."""
    try:
        lines = log.read_text(errors="replace").splitlines()[-count:]
    except FileNotFoundError:
        return "    (no log was written)"
    return "\n".join(f"    {line[:400]}" for line in lines) or "    (the log is empty)"
