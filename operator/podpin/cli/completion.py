"""`podpin completion`: what a shell needs to complete podpin's commands, made from the commands' own parsers.

The scripts hold all words themselves, so that a press of Tab need not start Python; only the names of rollouts are
asked of podpin, and those of contexts and namespaces of kubectl. kubectl asks plugins by a program that is called
kubectl_complete-NAME, which is one of the scripts.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping
from typing import Final

from podpin.cli.shells import SHELLS, Flag, Values, Verb
from podpin.settings import RUN

EPILOG: Final = """\
examples:
  source <(podpin completion bash)                                    # in ~/.bashrc
  podpin completion zsh > "${fpath[1]}/_podpin"
  podpin completion fish > ~/.config/fish/completions/podpin.fish
  podpin completion kubectl > /usr/local/bin/kubectl_complete-podpin  # executable, for kubectl podpin in every shell
"""

_MEANT: Final[Mapping[str, Values]] = {
    "name": Values("rollout"),
    "names": Values("rollout"),
    "namespace": Values("namespace"),
    "context": Values("context"),
    "source": Values("words", ("deployment/", "statefulset/", "daemonset/", "cronjob/")),
}
"""What an argument's values are, by the name under which its parser keeps it."""
_FILES: Final = frozenset({"FILE", "DIR", "SECRET=FILE"})


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the subcommand."""
    parser.description = (
        "Print a script by which a shell completes podpin's commands, or kubectl those of kubectl podpin."
    )
    parser.epilog = EPILOG
    parser.add_argument("shell", choices=tuple(SHELLS), help="for whom")


def run(given: argparse.Namespace) -> int:
    """Print the script, and return the exit status."""
    sys.stdout.write(SHELLS[given.shell](verbs()))
    return 0


def verbs() -> list[Verb]:
    """All that can be asked of podpin, as the parsers have it."""
    from podpin import choose  # only now: it brings the registry's client
    from podpin.cli.commands import CHOOSE, COMMANDS  # the table has this command too

    found = []
    for name, command in COMMANDS.items():
        parser = argparse.ArgumentParser(prog=name)
        command.add_arguments(parser)
        found.append(_verb(name, command.help, parser))
    found.append(_verb("choose", CHOOSE, choose.parser()))
    found.append(Verb("run", RUN, (), None))
    return found


def _verb(name: str, what: str, parser: argparse.ArgumentParser) -> Verb:
    actions = parser._actions  # noqa: SLF001 -- argparse tells nobody else what it knows
    flags = tuple(flag for action in actions for flag in _flags(action))
    rest = next((_values(action) for action in actions if not action.option_strings), None)
    return Verb(name, what, flags, rest)


def _flags(action: argparse.Action) -> Iterator[Flag]:
    for name in action.option_strings:
        values = None if action.nargs == 0 else _values(action)
        yield Flag(name, (action.help or "").partition(" (")[0].partition("; ")[0], values)


def _values(action: argparse.Action) -> Values:
    if action.choices:
        return Values("words", tuple(map(str, action.choices)))
    if action.metavar in _FILES:
        return Values("file")
    is_new = action.option_strings and action.dest in ("name", "names")  # a name that is given, not one that is there
    return Values("any") if is_new else _MEANT.get(action.dest, Values("any"))
