"""The requests: `podpin approve`, `retry`, `rollback`, `pause`, `resume` and `reconcile`.

Each is an annotation of the ImageRollout, as people can write it with kubectl too; podpin does what it asks for.
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Callable
from typing import Final

from podpin.adapters.kube.api import Body
from podpin.cli.cluster import Cluster, add_place, add_rollout, connected
from podpin.cli.follow import Followed, Source
from podpin.cli.records import Releases, releases
from podpin.cli.views import wishes
from podpin.cli.views.wishes import Senseless, Wish
from podpin.clock import now
from podpin.core import names
from podpin.core.status import Status, parse_status
from podpin.errors import Invalid, Unavailable

NOTICE_SECONDS: Final = 30.0
"""How long podpin may take to notice that an annotation has been taken off."""
ROLLOUT: Final = "the ImageRollout"

Comes = Callable[[argparse.Namespace, Body, Status, Releases], Wish | Senseless]
"""From what was typed and what is there to what a request comes to."""


def _request(
    parser: argparse.ArgumentParser, description: str, epilog: str, comes: Comes, *, reads_releases: bool = False
) -> None:
    parser.description, parser.epilog = description, epilog
    add_rollout(parser)
    add_place(parser)
    parser.set_defaults(comes=comes, reads_releases=reads_releases)


def add_approve(parser: argparse.ArgumentParser) -> None:
    """The arguments of `approve`."""
    _request(
        parser,
        "Let the release that waits begin, or a canary go on.",
        "An approval passes spec.update.mode Manual, windows and freezes, and the pauses between a canary's steps.\n"
        "`podpin get` shows what waits.\n\nexample:\n  podpin approve web",
        lambda given, raw, status, _: wishes.approve(raw, status, given.which),
    )
    which = "which one, where more than one thing waits"
    parser.add_argument("which", nargs="?", metavar="RELEASE[/STEP]", help=which)


def add_retry(parser: argparse.ArgumentParser) -> None:
    """The arguments of `retry`."""
    _request(
        parser,
        "Try the release that was rejected once more; or, where the chosen tag is gone, choose among those left.",
        'example:\n  podpin retry web "anna: the database is back"',
        lambda given, raw, status, _: wishes.retry(raw, status, given.words, now()),
    )
    parser.add_argument("words", nargs="?", metavar="WHY", help="who and why, for status.history")


def add_rollback(parser: argparse.ArgumentParser) -> None:
    """The arguments of `rollback`."""
    _request(
        parser,
        "Go back to a release that proved stable. What runs now is rejected, and is not tried again by itself.",
        "RELEASE is an id, the first digits of one, or a tag that only one release has: see `podpin history`.\n\n"
        "examples:\n  podpin rollback web\n  podpin rollback web 8280dd6f19\n  podpin rollback web 1.4.1",
        lambda given, raw, status, there: wishes.rollback(
            raw, status, there.known, given.which, complete=there.complete
        ),
        reads_releases=True,
    )
    parser.add_argument("which", nargs="?", metavar="RELEASE", help="to which one (default: the stable one before)")


def add_pause(parser: argparse.ArgumentParser) -> None:
    """The arguments of `pause`."""
    _request(
        parser,
        "Let nothing new begin or go on. What is being tried stands still, its clock too; what fails is taken back.",
        'example:\n  podpin pause web "incident 7"',
        lambda given, raw, _status, _: wishes.pause(raw, given.words),
    )
    parser.add_argument("words", nargs="?", metavar="WHY", help="why, for all who look")


def add_resume(parser: argparse.ArgumentParser) -> None:
    """The arguments of `resume`."""
    _request(
        parser,
        "Let go on what was paused.",
        "example:\n  podpin resume web",
        lambda _given, raw, _status, _: wishes.resume(raw),
    )


def add_reconcile(parser: argparse.ArgumentParser) -> None:
    """The arguments of `reconcile`."""
    _request(
        parser,
        "Look at the registry now, and not at the next interval.",
        "example:\n  podpin reconcile web && podpin status web --wait",
        lambda _given, raw, _status, _: wishes.reconcile(raw, now()),
    )


def run(given: argparse.Namespace) -> int:
    """Ask for it, and say so."""
    print(asyncio.run(_asked(given)))
    return 0


async def _asked(given: argparse.Namespace) -> str:
    """What was done, in a sentence. Raises Invalid where there is nothing to ask for."""
    async with connected(given) as cluster:
        raw = await cluster.rollout(given.name)
        status = parse_status(raw.get("status"))
        there = (
            await releases(cluster, given.name, raw, status) if given.reads_releases else Releases([], complete=False)
        )
        comes_to: Wish | Senseless = given.comes(given, raw, status, there)
        if isinstance(comes_to, Senseless):
            raise Invalid(comes_to.why)
        if comes_to.over is not None:
            await _take_off(cluster, given.name, comes_to.over, comes_to.annotations[comes_to.over])
        if comes_to.annotations:
            await cluster.annotate(given.name, comes_to.annotations)
    return comes_to.said


async def _take_off(cluster: Cluster, name: str, annotation: str, value: str | None) -> None:
    """Take a request off that podpin has handled, and wait until it has seen that: only then the same one is new."""
    assert annotation == names.REQUEST_ROLLBACK
    source = Source(ROLLOUT, cluster.rollouts_path, {"fieldSelector": f"metadata.name={name}"})
    await cluster.annotate(name, {annotation: None})
    try:
        async with asyncio.timeout(NOTICE_SECONDS), Followed(cluster, [source]) as followed:
            while any(_still(raw, value) for raw in followed.of(ROLLOUT)):
                await followed.next(None)
    except TimeoutError:
        raise Unavailable(
            f"The same request was made before; it has been taken off, but podpin has not noticed that within "
            f"{NOTICE_SECONDS:.0f} s. Does it run? Ask once more later."
        ) from None


def _still(raw: Body, value: str | None) -> bool:
    requests = parse_status(raw.get("status")).requests
    return requests is not None and requests.rollback_to == value
