"""`podpin get`: what runs, how it is, and what comes next, for all rollouts of a namespace or of the cluster."""

from __future__ import annotations

import argparse
import asyncio
import sys
from typing import Final

from podpin.adapters.kube.api import Body
from podpin.cli.cluster import add_place, connected, rollout_name
from podpin.cli.output import as_json, as_yaml, console_on, say, table
from podpin.cli.views.rows import heads, rows
from podpin.clock import now
from podpin.core import names

OUTPUTS: Final = ("wide", "name", "json", "yaml")
EPILOG: Final = """\
The column NEXT has what is tried, what waits, or what has failed. -o wide adds what podpin says about it in a sentence.

  ✓ good   ◐ under way   ○ waits   ↩ a newer version failed, the one before serves   ✗ bad

examples:
  podpin get
  podpin get -A -o wide
  podpin get web -n shop -o yaml
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `get`."""
    parser.description = "List the ImageRollouts of a namespace."
    parser.epilog = EPILOG
    parser.add_argument("names", nargs="*", metavar="NAME", type=rollout_name, help="only these (default: all)")
    parser.add_argument("-o", "--output", choices=OUTPUTS, help="another form than the table")
    add_place(parser, everywhere=True)


def run(given: argparse.Namespace) -> int:
    """Print them."""
    from podpin.cli.commands import Misused

    if given.names and given.all_namespaces:
        raise Misused("names and -A don't go together: a name is one of a namespace")
    found, namespace = asyncio.run(_found(given))
    if given.output in ("json", "yaml"):
        alone = len(given.names) == 1
        answer = found[0] if alone else {"apiVersion": "v1", "kind": "List", "items": found}
        print(as_json(answer) if given.output == "json" else as_yaml(answer))
    elif given.output == "name":
        print("".join(f"imagerollout.{names.GROUP}/{one['metadata']['name']}\n" for one in found), end="")
    elif found:
        wide, everywhere = given.output == "wide", given.all_namespaces
        told = rows(found, now(), everywhere=everywhere, wide=wide)
        say(console_on(), table(heads(everywhere=everywhere, wide=wide), told))
    else:
        where = "this cluster" if given.all_namespaces else f"namespace {namespace}"
        print(f"There are no ImageRollouts in {where}.", file=sys.stderr)
    return 0


async def _found(given: argparse.Namespace) -> tuple[list[Body], str]:
    async with connected(given) as cluster:
        if given.names:
            found = list(await asyncio.gather(*map(cluster.rollout, given.names)))
        else:
            found = await cluster.rollouts(everywhere=given.all_namespaces)
    for one in found:
        one["metadata"].pop("managedFields", None)
    return found, cluster.namespace
