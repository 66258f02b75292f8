"""`podpin init`: from a workload that runs to an ImageRollout, written out with comments, for a person to go on with.

It changes nothing: the manifest goes to standard output. What it says is in `core/proposal.py`; here the workload is
read, from the cluster or from a file.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Mapping
from typing import Any, Final

from podpin.cli.check import read
from podpin.cli.cluster import add_place, connected
from podpin.cli.commands import Misused
from podpin.core.flaws import flaws_of
from podpin.core.kinds import KINDS
from podpin.core.policy.guess import KINDS as POLICIES
from podpin.core.proposal import NotProposable, Wishes, propose
from podpin.documents import Document, documents_in
from podpin.errors import Invalid, NotFound

EPILOG: Final = """\
The policy is guessed from the tag that runs: a version is followed within its major version, a number or a date as a
number, commits by their build time, and any other tag as it is. Read what is written before you apply it.

examples:
  podpin init --from deployment/web -n shop --adopt > rollout.yaml
  podpin init --from deployment/web > rollout.yaml       # with a workload of its own, from the Deployment's template
  podpin init -f deployment.yaml --policy semver="~1.4"      # without a cluster
  podpin init --from cronjob/report --adopt --policy tag | kubectl apply --dry-run=server -f -
"""

_SHORT: Final[Mapping[str, str]] = {
    "deploy": "Deployment",
    "sts": "StatefulSet",
    "ds": "DaemonSet",
    "cj": "CronJob",
    **{name: kind for kind, row in KINDS.items() for name in (kind.lower(), row.plural)},
}
"""Every way to write a kind that kubectl knows too."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the subcommand."""
    parser.description = "Write an ImageRollout for a workload that exists to standard output, with comments."
    parser.epilog = EPILOG
    add = parser.add_argument
    add("--from", dest="source", metavar="KIND/NAME", help="the workload, as in deployment/web")
    add("-f", "--filename", metavar="FILE", help="read it from this file, and not from a cluster; - is standard input")
    add("--adopt", action="store_true", help="take over the images of the workload (default: a workload of its own)")
    add("--name", metavar="NAME", help="the ImageRollout's name (default: the workload's)")
    add(
        "--policy",
        metavar="POLICY[=VALUE]",
        help=f"the policy, and its range, order, tag or digest: {', '.join(POLICIES)} (default: by the tag that runs)",
    )
    add(
        "--container",
        metavar="NAME",
        action="append",
        default=[],
        help="a container whose image podpin shall choose; repeatable (default: all whose image has no digest)",
    )
    add_place(parser)


def run(given: argparse.Namespace) -> int:
    """Propose, and return the exit status."""
    wanted = _wanted(given.source)
    wishes = Wishes(given.adopt, given.name, given.policy, tuple(given.container))
    try:
        proposed = propose(_workload(given, wanted), wishes)
    except NotProposable as error:
        raise Invalid(f"{error}.") from error
    sys.stdout.write(_sound(proposed))
    return 0


def _wanted(source: str | None) -> tuple[str, str] | None:
    if source is None:
        return None
    kind, _, name = source.partition("/")
    # As kubectl has it, a kind may carry its group.
    found = _SHORT.get(kind.lower().partition(".")[0])
    if not name or "/" in name or found is None:
        raise Misused(
            f"--from must be a kind and a name, as in deployment/web, not {source!r}; kinds: {', '.join(KINDS)}"
        )
    return found, name


def _workload(given: argparse.Namespace, wanted: tuple[str, str] | None) -> Mapping[str, Any]:
    if given.filename is not None:
        return _in_file(given.filename, wanted)
    if wanted is None:
        raise Misused("say by --from which workload, as in deployment/web, or give its manifest by -f")
    return asyncio.run(_in_cluster(given, *wanted))


async def _in_cluster(given: argparse.Namespace, kind: str, name: str) -> Mapping[str, Any]:
    async with connected(given) as cluster:
        try:
            body = await cluster.api.request("GET", f"{cluster.path_of(KINDS[kind].plural)}/{name}")
        except NotFound as error:
            raise NotFound(f"There is no {kind} {name} in namespace {cluster.namespace}.") from error
    return {"apiVersion": KINDS[kind].api_version, "kind": kind, **body}


def _in_file(filename: str, wanted: tuple[str, str] | None) -> Mapping[str, Any]:
    """The one workload in a file, or the one that is wanted."""
    bodies: list[Mapping[str, Any]] = []
    for one in documents_in(read(filename), filename):
        if not isinstance(one, Document):
            raise Invalid(f"{filename}:{one.line}: {one.message}.")
        if isinstance(one.body, Mapping) and one.body.get("kind") in KINDS:
            bodies.append(one.body)
    names = [f"{body['kind'].lower()}/{(body.get('metadata') or {}).get('name')}" for body in bodies]
    if wanted is not None:
        bodies = [body for body, name in zip(bodies, names, strict=True) if name == f"{wanted[0].lower()}/{wanted[1]}"]
    if len(bodies) != 1:
        there = f"it has {', '.join(names)}" if names else f"it has none of {', '.join(KINDS)}"
        raise Invalid(f"{filename} must have one workload, or say by --from which one: {there}.")
    return bodies[0]


def _sound(proposed: str) -> str:
    """The proposal, if the API server would take it. Raises Invalid."""
    for document in documents_in(proposed, "the proposal"):
        assert isinstance(document, Document), document
        for flaw in flaws_of(document.body):
            raise Invalid(f"What would be written is not valid: {flaw.message}.")
    return proposed
