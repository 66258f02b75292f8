"""The records of a rollout's releases, as far as the caller may read them."""

from __future__ import annotations

from typing import NamedTuple

from podpin.adapters.kube.api import METADATA_LIST, Body
from podpin.cli.cluster import Cluster, selected
from podpin.cli.views.releases import Known, from_records, from_status
from podpin.core import names
from podpin.core.status import Status
from podpin.errors import Denied


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
    return Releases(from_records(records, str(raw["metadata"].get("uid", ""))), complete=True)


async def content(cluster: Cluster, name: str, release: str) -> Body:
    """What a record keeps: the images and the template, as the user wrote it. Raises NotFound."""
    path = cluster.path_of("controllerrevisions")
    body = await cluster.api.request("GET", f"{path}/{names.record_name(name, release)}")
    data: Body = body.get("data") or {}
    return data
