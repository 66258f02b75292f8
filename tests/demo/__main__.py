"""`python -m tests.demo`: podpin's main job on a real cluster, shown as it happens."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from typing import TYPE_CHECKING

from tests.cluster.errors import ClusterError
from tests.cluster.images import kinds, push_app
from tests.demo import backstage, remains
from tests.demo.backstage import NAME_VARIABLE
from tests.demo.errors import DemoError
from tests.demo.screen import Screen
from tests.demo.story import tell
from tests.waiting import NotInTimeError

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType


def main() -> None:
    """Run a command; say in one sentence what went wrong, if something did."""
    arguments = parse()
    signal.signal(signal.SIGTERM, interrupt)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell that starts it in the background ignores it
    try:
        COMMANDS[arguments.command or "run"](arguments)
    except (DemoError, ClusterError, NotInTimeError) as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        sys.exit(130)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.demo", description=__doc__)
    parser.add_argument("--name", default=os.environ.get(NAME_VARIABLE, "demo"), help="of the demo and its cluster")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    commands.add_parser("run", help="show everything, and leave it running (the default)")
    commands.add_parser("shell", help="a shell with kubectl and podpin in PATH, in the demo's namespace")
    push = commands.add_parser("push", help="push one more version of the application")
    push.add_argument("version")
    push.add_argument("--kind", choices=kinds(), default="good", help="what is wrong with it (default: nothing)")
    commands.add_parser("down", help="remove everything")
    return parser.parse_args()


def interrupt(number: int, frame: FrameType | None) -> None:
    """Being asked to end is like Ctrl-C."""
    raise KeyboardInterrupt


def run(arguments: argparse.Namespace) -> None:
    """The demo, from nothing. A failure leaves everything as it is, for a look."""
    screen, name = Screen.on(sys.stdout), arguments.name
    if remains.remove(name):
        print("an earlier demo of this name is gone")
    try:
        tell(name, screen)
    except KeyboardInterrupt:
        stop(name)
        raise
    except (DemoError, ClusterError, NotInTimeError):
        if is_up(name):
            go_on(screen, name)
        else:
            remains.remove(name)
        raise
    go_on(screen, name)


def is_up(name: str) -> bool:
    """Whether there is a cluster to look around in."""
    left = remains.find(name)
    return left is not None and "PODPIN_REGISTRY" in left.environment


def stop(name: str) -> None:
    """What was begun is undone as far as that is quick; what is whole is left, and said."""
    left = remains.find(name)
    if left is None or not is_up(name):
        remains.remove(name)
        sys.stderr.write("\ninterrupted; nothing is left, and a build goes on where it was\n")
    else:
        remains.stop_podpin(left)
        sys.stderr.write(f"\ninterrupted; podpin is stopped, and `{down_of(name)}` removes the cluster\n")


def go_on(screen: Screen, name: str) -> None:
    """How to look around, and how to remove everything."""
    screen.heading("How to go on")
    left = remains.find(name)
    runs = left is not None and left.podpin is not None and left.podpin.alive
    screen.say("The cluster and podpin go on running." if runs else "The cluster goes on running.")
    screen.table({shell_of(name): "a shell in which kubectl sees this cluster. There, for example:"})
    screen.table(
        {
            "  kubectl describe ir web": "everything that podpin says about the rollout",
            "  python -m tests.demo push 1.3.0": "a newer version",
            "  python -m tests.demo push 1.4.0 --kind crash": "one that crashes (--help names more kinds)",
            "  kubectl annotate ir web podpin.dev/rollback-to=previous": "back to the stable release before",
        }
    )
    screen.table({down_of(name): "removes the cluster, podpin, and everything else that the demo has made"})


def shell_of(name: str) -> str:
    return "make demo-shell" if name == "demo" else f"python -m tests.demo --name {name} shell"


def down_of(name: str) -> str:
    return "make demo-down" if name == "demo" else f"python -m tests.demo --name {name} down"


def shell(arguments: argparse.Namespace) -> None:
    """The reader's own turn."""
    demo = backstage.running(arguments.name)
    os.chdir(demo.folder)
    registry = demo.environment["PODPIN_REGISTRY"]
    print(f"the namespace is {remains.NAMESPACE}, the registry {registry}; exit leaves everything running")
    program = os.environ.get("SHELL", "/bin/sh")
    os.execvpe(program, [program], {**os.environ, **demo.environment})


def push(arguments: argparse.Namespace) -> None:
    """One more version."""
    registry = backstage.registry_of(backstage.running(arguments.name))
    digest = push_app(registry, backstage.REPOSITORY, arguments.version, arguments.kind)
    print(f"pushed {registry.address}/{backstage.REPOSITORY}:{arguments.version}@{digest}")


def down(arguments: argparse.Namespace) -> None:
    """Nothing is left."""
    print("the demo is gone" if remains.remove(arguments.name) else "there is no demo to remove")


COMMANDS: dict[str, Callable[[argparse.Namespace], None]] = {"run": run, "shell": shell, "push": push, "down": down}

if __name__ == "__main__":
    main()
