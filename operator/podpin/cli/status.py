"""`podpin status`: how a rollout is, for people by a line and for pipelines by the exit status."""

from __future__ import annotations

import argparse
import asyncio
from datetime import timedelta
from typing import Final

from podpin.cli.cluster import add_place, add_rollout, connected
from podpin.cli.follow import Followed, Source
from podpin.cli.output import console_on, say
from podpin.cli.views.outcome import Outcome, Result, outcome
from podpin.core.duration import format_duration, parse_duration
from podpin.errors import Denied, NotFound

ROLLOUT: Final = "the ImageRollout"
USUAL_TIMEOUT: Final = "10m"
EPILOG: Final = """\
exit status:
  0  what is wanted runs, and is proven
  1  it could not be found out: no such rollout, no right to read it, no answer
  2  the command was not understood
  3  what was wanted has failed, was taken back, or cannot be used; somebody must do something
  4  not yet: it is under way, or waits for approval, a window, a time or the registry; with --wait, the time is over

--wait waits while it is 4, and tells what changes. What was asked for by `podpin reconcile`, `retry` or `rollback` and
is not handled yet is 4 too, so that a pipeline which has pushed an image may say:

  podpin reconcile web && podpin status web --wait --timeout 5m
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `status`."""
    parser.description = "Say how a rollout is, and end with a status that a script can read."
    parser.epilog = EPILOG
    add_rollout(parser)
    parser.add_argument("--wait", action="store_true", help="wait until it is decided")
    parser.add_argument(
        "--timeout",
        metavar="DURATION",
        type=_duration,
        help=f"with --wait: for how long at the most (default: {USUAL_TIMEOUT})",
    )
    add_place(parser)


def run(given: argparse.Namespace) -> int:
    """Say it."""
    from podpin.cli.commands import Misused

    if given.timeout is not None and not given.wait:
        raise Misused("--timeout is for --wait: give both")
    return asyncio.run(_waited(given) if given.wait else _asked(given))


def _duration(text: str) -> timedelta:
    try:
        return parse_duration(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


async def _asked(given: argparse.Namespace) -> int:
    async with connected(given) as cluster:
        answer = outcome(await cluster.rollout(given.name))
    say(console_on(), [answer.line])
    return answer.result


async def _waited(given: argparse.Namespace) -> int:
    console = console_on()
    limit: timedelta = given.timeout if given.timeout is not None else parse_duration(USUAL_TIMEOUT)
    async with connected(given) as cluster:
        answer = outcome(await cluster.rollout(given.name))
        say(console, [answer.line])
        source = Source(ROLLOUT, cluster.rollouts_path, {"fieldSelector": f"metadata.name={given.name}"})
        try:
            async with asyncio.timeout(limit.total_seconds()), Followed(cluster, [source]) as followed:
                while not answer.final:
                    told = answer.line
                    answer = _current(followed, given.name, cluster.namespace)
                    if answer.line != told:
                        say(console, [answer.line])
                        console.file.flush()
                    if not answer.final:
                        await followed.next(None)
        except TimeoutError:
            say(console, [f"It was not decided within {format_duration(limit)}."])
            return Result.NOT_YET
    return answer.result


def _current(followed: Followed, name: str, namespace: str) -> Outcome:
    if ROLLOUT in followed.refused:
        raise Denied(f"It cannot be waited for: {followed.refused[ROLLOUT]}")
    rollout = next(iter(followed.of(ROLLOUT)), None)
    if rollout is None:
        raise NotFound(f"There is no ImageRollout {name} in namespace {namespace} any more.")
    return outcome(rollout)
