"""`podpin history`: which releases a rollout has tried, and what became of them."""

from __future__ import annotations

import argparse
import asyncio
import sys
from typing import Final

from podpin.cli.cluster import add_place, add_rollout, connected
from podpin.cli.output import as_json, as_yaml, console_on, say, table
from podpin.cli.views.past import heads, rows
from podpin.clock import now
from podpin.core.reading import array, mapping
from podpin.core.status import parse_status

OUTPUTS: Final = ("wide", "json", "yaml")
EPILOG: Final = """\
Newest first; what is tried and what waits stand above. ASKED has the request by which a person brought it about.
-o json and -o yaml have status.history as it is.

examples:
  podpin history web
  podpin history web -o wide
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `history`."""
    parser.description = "List the releases that a rollout has tried, and what became of them."
    parser.epilog = EPILOG
    add_rollout(parser)
    parser.add_argument("-o", "--output", choices=OUTPUTS, help="another form than the table")
    add_place(parser)


def run(given: argparse.Namespace) -> int:
    """Print it."""

    async def asked() -> object:
        async with connected(given) as cluster:
            return (await cluster.rollout(given.name)).get("status")

    raw = asyncio.run(asked())
    if given.output in ("json", "yaml"):
        entries = array(mapping(raw).get("history"))
        print(as_json(entries) if given.output == "json" else as_yaml(entries))
        return 0
    told = list(rows(parse_status(raw), now(), wide=given.output == "wide"))
    if told:
        say(console_on(), table(heads(wide=given.output == "wide"), told))
    else:
        print(f"{given.name} has tried no release yet.", file=sys.stderr)
    return 0
