"""`podpin tree`: one rollout with all that belongs to it, once or live."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from podpin.cli.cluster import Cluster, add_place, add_rollout, connected, selected
from podpin.cli.follow import Followed, Source
from podpin.cli.output import console_on, drawn, say, spelled
from podpin.cli.views.tree import World, kind_of, tree
from podpin.clock import now
from podpin.core import names
from podpin.core.kinds import KINDS
from podpin.errors import NotFound

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

ROLLOUT: Final = "the ImageRollout"
PODS: Final = "Pods"
PULLS: Final = "Pods that only pull"
TICK: Final = 1.0
"""How many seconds an age may be behind."""
PAUSE: Final = 0.1
"""How many seconds pass between two pictures at the least: a rollout tells much at once."""
EPILOG: Final = """\
With -w the tree stays and changes as things happen, until Ctrl-C. Into a pipe or a file, it is written anew each time.

examples:
  podpin tree web
  podpin tree web -n shop -w
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `tree`."""
    parser.description = "Show a rollout with its releases, the workload that runs them, and its Pods."
    parser.epilog = EPILOG
    add_rollout(parser)
    parser.add_argument("-w", "--watch", action="store_true", help="go on, and show what changes")
    add_place(parser)


def run(given: argparse.Namespace) -> int:
    """Draw it."""
    asyncio.run(_draw(given))
    return 0


async def _draw(given: argparse.Namespace) -> None:
    console = console_on()
    async with connected(given) as cluster:
        raw = await cluster.rollout(given.name)
        followed = Followed(cluster, _sources(cluster, given.name, kind_of(raw)))
        if not given.watch:
            await followed.look()
            say(console, _lines(followed, given.name, cluster.namespace, console))
        elif console.is_terminal:
            async with followed:
                await _keep_drawing(followed, given.name, cluster.namespace, console)
        else:
            async with followed:
                await _keep_printing(followed, given.name, cluster.namespace, console)


def _sources(cluster: Cluster, name: str, kind: str) -> list[Source]:
    found = [
        Source(ROLLOUT, cluster.rollouts_path, {"fieldSelector": f"metadata.name={name}"}),
        Source(PODS, cluster.path_of("pods"), selected(name)),
        Source(PULLS, cluster.path_of("pods"), selected(name, names.LABEL_PULLS)),
    ]
    if (shape := KINDS.get(kind)) is not None:
        found.append(Source(f"{kind}s", cluster.path_of(shape.plural), selected(name)))
    return found


def _lines(followed: Followed, name: str, namespace: str, console: Console) -> list[Text]:
    """The tree as it is now. Raises NotFound once the rollout is gone."""
    rollout = next(iter(followed.of(ROLLOUT)), None)
    if rollout is None:
        raise NotFound(f"There is no ImageRollout {name} in namespace {namespace} any more.")
    workloads = f"{kind_of(rollout)}s"
    missing = [
        f"you may not read {what}, so they are not shown: {words}"
        for what, words in followed.refused.items()
        if what != PULLS
    ]
    missing += [f"this may be old: {words}" for words in dict.fromkeys(followed.trouble.values())]
    world = World(
        rollout,
        tuple(followed.of(workloads)) if kind_of(rollout) in KINDS else (),
        (*followed.of(PODS), *followed.of(PULLS)),
        tuple(missing),
    )
    return list(drawn(tree(world, now()), console))


async def _keep_drawing(followed: Followed, name: str, namespace: str, console: Console) -> None:
    from rich.console import Group
    from rich.live import Live

    def picture() -> Group:
        lines: Sequence[Text] = _lines(followed, name, namespace, console)
        return Group(*(spelled(line, console) for line in lines))

    with Live(picture(), console=console, auto_refresh=False, vertical_overflow="crop") as live:
        while True:
            await followed.next(TICK)
            live.update(picture(), refresh=True)
            await asyncio.sleep(PAUSE)


async def _keep_printing(followed: Followed, name: str, namespace: str, console: Console) -> None:
    while True:
        say(console, [*_lines(followed, name, namespace, console), ""])
        console.file.flush()
        while not await followed.next(None):
            pass
        await asyncio.sleep(PAUSE)
