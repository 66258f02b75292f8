"""Running another program: its output, or an error that carries what it said."""

from __future__ import annotations

import shlex
import subprocess
from typing import TYPE_CHECKING

from tests.cluster.errors import ClusterError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path


def run(
    *argv: str | Path,
    stdin: str | None = None,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    timeout: float | None = 600,
) -> str:
    """Run to the end and return what was printed."""
    command = [str(word) for word in argv]
    try:
        done = subprocess.run(
            command, input=stdin, env=env, cwd=cwd, timeout=timeout, capture_output=True, text=True, check=False
        )
    except FileNotFoundError as missing:
        raise ClusterError(f"{command[0]} is not installed") from missing
    except subprocess.TimeoutExpired as slow:
        raise ClusterError(f"{shlex.join(command)} did not end within {timeout:g} s") from slow
    if done.returncode != 0:
        said = (done.stderr.strip() or done.stdout.strip())[-4000:]
        raise ClusterError(f"{shlex.join(command)} failed with {done.returncode}: {said}")
    return done.stdout


def succeeds(*argv: str | Path) -> bool:
    """Whether the command ends well; what it prints is of no interest."""
    try:
        run(*argv)
    except ClusterError:
        return False
    return True


def as_text(words: Sequence[str | Path]) -> list[str]:
    """A command line's words as strings."""
    return [str(word) for word in words]
