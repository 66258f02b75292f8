"""The records of a rollout's releases, as far as the caller may read them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from podpin.adapters.kube.api import METADATA_LIST, Body
from podpin.cli.cluster import Cluster, selected
from podpin.cli.views.releases import Known, asked_for, from_records, from_status
from podpin.core import names
from podpin.core.reading import mapping
from podpin.core.status import Status
from podpin.errors import Denied, NotFound


class Releases(NamedTuple):
    """The releases of a rollout, as far as they are known."""

    known: list[Known]
    complete: bool
    """There are no others."""


async def releases(cluster: Cluster, name: str, raw: Body, status: Status) -> Releases:
    """The releases on record, or where these may not be read, those in status."""
    path = cluster.path_of("controllerrevisions")
    try:
        records, _ = await cluster.list(path, selected(name), accept=METADATA_LIST)
    except Denied:
        return Releases(from_status(status), complete=False)
    recorded = from_records(records, str(raw["metadata"].get("uid", "")))
    there = {one.release for one in recorded}
    # What only waits has no record before it begins.
    return Releases([*(one for one in from_status(status) if one.release not in there), *recorded], complete=True)


async def template(cluster: Cluster, name: str, raw: Body, one: Known) -> Mapping[str, Any]:
    """A release's template as the user wrote it: its record has it, or for what has not begun yet, the spec.

    Raises NotFound where neither has.
    """
    path = cluster.path_of("controllerrevisions")
    try:
        body = await cluster.api.request("GET", f"{path}/{names.record_name(name, one.release)}")
    except NotFound as error:
        if (written := asked_for(raw, one)) is not None:
            return written
        raise NotFound(f"Release {one.release} is not on record, so it cannot be compared.") from error
    return mapping(mapping(body.get("data")).get("template"))
