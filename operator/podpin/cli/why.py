"""`podpin why`: how it came to be so, from status, events and Pods, and what would change it."""

from __future__ import annotations

import argparse
import asyncio
from typing import Final

from rich.text import Text

from podpin.cli.cluster import add_place, add_rollout, connected, selected
from podpin.cli.follow import Followed, Source
from podpin.cli.output import console_on, say
from podpin.cli.views.account import Section, account
from podpin.clock import now
from podpin.core import names

PODS: Final = "Pods"
EVENTS: Final = "events"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `why`."""
    parser.description = "Explain a rollout: what runs, what was chosen, what failed and on what evidence, what helps."
    parser.epilog = "docs/reasons.md explains each reason.\n\nexample:\n  podpin why web"
    add_rollout(parser)
    add_place(parser)


def run(given: argparse.Namespace) -> int:
    """Print it."""
    sections, missing = asyncio.run(_asked(given))
    console = console_on()
    room = console.width - 4 if console.is_terminal else None
    for section in sections:
        console.print(Text(section.head, style="bold"))
        for line in section.lines:
            parts = line.wrap(console, max(room, 20)) if room else [line]
            say(console, (Text("    " if at else "  ").append_text(part) for at, part in enumerate(parts)))
    say(console, (Text(f"({sentence})", style="dim") for sentence in missing))
    return 0


async def _asked(given: argparse.Namespace) -> tuple[list[Section], list[str]]:
    async with connected(given) as cluster:
        raw = await cluster.rollout(given.name)
        sources = [
            Source(PODS, cluster.path_of("pods"), selected(given.name)),
            Source(EVENTS, cluster.path_of("events"), {"fieldSelector": _about(given.name)}),
        ]
        seen = Followed(cluster, sources)
        await seen.look()
    missing = [f"you may not read {what}, so they are not told: {words}" for what, words in seen.refused.items()]
    return account(raw, seen.of(PODS), seen.of(EVENTS), now()), missing


def _about(name: str) -> str:
    return f"involvedObject.kind={names.KIND},involvedObject.name={name}"
