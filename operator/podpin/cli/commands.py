"""The table of subcommands, and how one of them is run.

A module is imported when its command is asked for and not before: `podpin get` is to be there as fast as `kubectl get`,
and the operator needs none of them.
"""

from __future__ import annotations

import argparse
import importlib
import logging
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

from podpin.adapters.kube import slim
from podpin.errors import PodpinError

INTERRUPTED: Final = 130
"""The exit status after Ctrl-C, as shells have it."""


class Misused(Exception):  # noqa: N818 -- named for what happened to the command
    """The command makes no sense as it was given; the text says why."""


@dataclass(frozen=True, slots=True)
class Command:
    """One subcommand: what it is for in a line, and where its two functions are."""

    help: str
    module: str
    add: str = "add_arguments"
    """The function that gives a parser its arguments, its description and its epilog."""
    run: str = "run"
    """The function that does what was asked with what was parsed, and returns the exit status."""

    def _found(self, function: str) -> Callable[..., Any]:
        return cast("Callable[..., Any]", getattr(importlib.import_module(self.module), function))

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Make this parser the command's."""
        parser.formatter_class = argparse.RawDescriptionHelpFormatter
        self._found(self.add)(parser)

    def do(self, given: argparse.Namespace) -> int:
        """Do it, and return the exit status. Raises Misused, or one of podpin's errors."""
        return int(self._found(self.run)(given))


CHOOSE: Final = "try a policy from a terminal, without a cluster"
"""What `podpin choose` is for, which is older than the table and not in it."""

COMMANDS: Final[Mapping[str, Command]] = {
    "get": Command("list rollouts: what runs, how it is, what comes next", "podpin.cli.get"),
    "tree": Command("show a rollout with its releases, its workload and its Pods", "podpin.cli.tree"),
    "status": Command("say how a rollout is, by exit status too, and wait for it if asked", "podpin.cli.status"),
    "history": Command("list the releases that were tried, and what became of them", "podpin.cli.history"),
    "diff": Command("show what differs between two releases", "podpin.cli.diff"),
    "why": Command("explain how it came to be so, and what would change it", "podpin.cli.why"),
    **{
        name: Command(purpose, "podpin.cli.requests", f"add_{name}")
        for name, purpose in (
            ("approve", "let the release that waits begin, or a canary go on"),
            ("retry", "try the release that was rejected once more"),
            ("rollback", "go back to a release that proved stable"),
            ("pause", "let nothing new begin or go on"),
            ("resume", "let go on what was paused"),
            ("reconcile", "look at the registry now"),
        )
    },
    "check": Command("judge manifests of ImageRollouts before they are applied, without a cluster", "podpin.cli.check"),
    "init": Command("write an ImageRollout for a workload that exists", "podpin.cli.init"),
    "completion": Command("print a script by which a shell completes these commands", "podpin.cli.completion"),
}
"""By name, in the order in which they are listed."""


def program(path: str) -> str:
    """What the program is called when it was started as this file: kubectl's plugins go by kubectl's name."""
    return "kubectl podpin" if os.path.basename(path).startswith("kubectl-") else "podpin"  # noqa: PTH119


def main(name: str, arguments: Sequence[str], called: str = "podpin") -> int:
    """Run one command, and return the exit status: 1 for what could not be done, 2 for what was not understood."""
    command = COMMANDS[name]
    slim.spare()
    # What libraries would say by themselves is said in podpin's errors.
    logging.getLogger().addHandler(logging.NullHandler())
    parser = argparse.ArgumentParser(prog=f"{called} {name}")
    command.add_arguments(parser)
    given = parser.parse_args(arguments)
    try:
        status = command.do(given)
        sys.stdout.flush()
    except Misused as misuse:
        parser.error(str(misuse))
    except PodpinError as error:
        print(f"{called} {name}: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:  # who reads it has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        return INTERRUPTED
    return status
