"""`podpin diff`: what one release has that another has not."""

from __future__ import annotations

import argparse
import asyncio
import sys
from typing import TYPE_CHECKING, Any, Final

from podpin.adapters.kube.api import Body
from podpin.cli.cluster import add_place, add_rollout, connected
from podpin.cli.output import console_on, say
from podpin.cli.records import releases, template
from podpin.cli.views.differences import difference, document
from podpin.cli.views.rejections import wanted
from podpin.cli.views.releases import Known, named
from podpin.core.status import Status, parse_status
from podpin.errors import Denied, Invalid

if TYPE_CHECKING:
    from collections.abc import Mapping

EPILOG: Final = """\
A release is named by its id, by the first digits of one, by a tag that only one release has, or as stable, previous,
candidate or waiting. Without any, stable is compared with what is tried or waits, or with what was rejected last; with
one, stable with that.

Templates are read from the releases' records, which are ControllerRevisions. Who may not read these sees the images.

examples:
  podpin diff web
  podpin diff web 1.4.1 1.4.2
  podpin diff web previous stable
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `diff`."""
    parser.description = "Show what differs between two releases: images, digests and template."
    parser.epilog = EPILOG
    add_rollout(parser)
    parser.add_argument("releases", nargs="*", metavar="RELEASE", help="the older and the newer one")
    add_place(parser)


def run(given: argparse.Namespace) -> int:
    """Print it."""
    from podpin.cli.commands import Misused

    if len(given.releases) > 2:
        raise Misused(f"two releases are compared, not {len(given.releases)}")
    lines, old, new = asyncio.run(_compared(given))
    if lines:
        say(console_on(), lines)
    else:
        print(f"Releases {old} and {new} do not differ in what may be read.", file=sys.stderr)
    return 0


async def _compared(given: argparse.Namespace) -> tuple[list[Any], str, str]:
    async with connected(given) as cluster:
        raw = await cluster.rollout(given.name)
        status = parse_status(raw.get("status"))
        found = await releases(cluster, given.name, raw, status)
        words = given.releases or [_newest(raw, status, given.name)]
        if len(words) == 1:
            words = ["stable", *words]
        chosen = [named(word, found.known, status) for word in words]
        for one in chosen:
            if isinstance(one, str):
                raise Invalid(f"Nothing to compare: {one}.")
        old, new = (one for one in chosen if isinstance(one, Known))
        try:
            templates: list[Mapping[str, Any] | None] = [
                await template(cluster, given.name, raw, one) for one in (old, new)
            ]
        except Denied as error:
            print(f"You may not read the records, so only images are compared: {error}", file=sys.stderr)
            templates = [None, None]
    sides = [
        (f"release {one.release}{_said(one)}", document(one.images, written))
        for one, written in zip((old, new), templates, strict=True)
    ]
    return list(difference(sides[0], sides[1])), old.release, new.release


def _newest(raw: Body, status: Status, name: str) -> str:
    for part in (status.candidate, status.waiting):
        if part is not None:
            return str(part.release)
    if release := wanted(raw).get("release"):
        return str(release)
    raise Invalid(f"Nothing to compare: nothing of {name} is tried, waits or was rejected; name two releases.")


def _said(one: Known) -> str:
    return f" ({one.result.lower()})" if one.result else ""
