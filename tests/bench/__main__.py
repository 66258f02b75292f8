"""`python -m tests.bench`: measure, print one table, and exit with 1 where something could not be measured."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from podpin.errors import PodpinError
from tests.bench import choosing, figures, latency, scale
from tests.bench.figures import CannotMeasureError
from tests.bench.stage import say
from tests.cluster.errors import ClusterError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.bench.figures import Figure

PARTS = ("choose", "latency", "scale")


def main() -> None:
    """Measure what was asked for."""
    arguments = _arguments()
    logging.disable(logging.CRITICAL)
    begun = time.perf_counter()
    made: list[Figure] = []
    missing: list[str] = []
    try:
        asyncio.run(_measure(arguments, made, missing))
    except KeyboardInterrupt:
        missing.append("the rest: interrupted")
    print(f"\n{figures.table(made)}\n")
    print(
        "Times are medians. The ratio is to the same requests sent by themselves, in the same run, by the same\n"
        "clients; for new rollouts, to as many plain Deployments.\n"
        f"{os.cpu_count()} CPUs, load {os.getloadavg()[1]:.1f}, {arguments.scale:,} rollouts, "
        f"{(time.perf_counter() - begun) / 60:.1f} minutes. Peers: Keel, Argo Rollouts, Flux reflector, Flagger, plain "
        "Deployments, on a machine like the project's."
    )
    if os.getloadavg()[1] > 2 * (os.cpu_count() or 1):
        print("This machine was busy with other things: trust the counts and the ratios, not the seconds.")
    if arguments.json:
        figures.write_json(arguments.json, made, missing)
    for sentence in missing:
        print(f"NOT MEASURED: {sentence}", file=sys.stderr)
    sys.exit(bool(missing))


async def _measure(arguments: argparse.Namespace, made: list[Figure], missing: list[str]) -> None:
    parts: dict[str, Callable[[list[Figure]], Awaitable[None]]] = {
        "choose": _choose,
        "latency": latency.measure,
        "scale": lambda into: scale.measure(into, arguments.scale),
    }
    for part in arguments.only:
        try:
            await parts[part](made)
        except (CannotMeasureError, ClusterError, PodpinError) as error:
            missing.append(f"{part}: {error}")


async def _choose(into: list[Figure]) -> None:
    say("choosing among 10,000 tags")
    into.append(choosing.measure())


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench",
        description="Measure podpin on clusters of its own; needs root.",
    )
    parser.add_argument(
        "--only", type=_parts, default=list(PARTS), metavar="PARTS", help=f"some of {','.join(PARTS)} (default: all)"
    )
    parser.add_argument("--scale", type=int, default=1000, metavar="N", help="how many rollouts (default: 1000)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures and samples there too")
    return parser.parse_args()


def _parts(text: str) -> list[str]:
    asked = [part.strip() for part in text.split(",")]
    if unknown := [part for part in asked if part not in PARTS]:
        raise argparse.ArgumentTypeError(f"{', '.join(unknown)}: give some of {', '.join(PARTS)}")
    return asked


if __name__ == "__main__":
    main()
