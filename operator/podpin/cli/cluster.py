"""The cluster as the command line asks it: as whoever calls, in one namespace, with sentences for what is not there."""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import AsyncIterator, Mapping
from typing import Any, Final

from podpin.adapters.kube.api import JSON, MERGE, Api, Body
from podpin.adapters.kube.connection import load, namespace_of
from podpin.core import names
from podpin.core.kinds import KINDS
from podpin.errors import Invalid, NotFound

CONNECTIONS: Final = 8
PAGE: Final = "500"
_KINDS: Final = ("ir", names.PLURAL, "imagerollout", f"{names.PLURAL}.{names.GROUP}", f"imagerollout.{names.GROUP}")


def add_place(parser: argparse.ArgumentParser, *, everywhere: bool = False) -> None:
    """The arguments that say which cluster and which namespace, with -A where all of them may be meant."""
    where = parser.add_argument_group("where")
    where.add_argument("-n", "--namespace", metavar="NAME", help="the namespace (default: that of the context)")
    if everywhere:
        where.add_argument("-A", "--all-namespaces", action="store_true", help="all namespaces")
    where.add_argument("--context", metavar="NAME", help="the context of the kubeconfig to use")
    where.add_argument("--kubeconfig", metavar="FILE", help="the kubeconfig file to use")


def add_rollout(parser: argparse.ArgumentParser) -> None:
    """The argument that says which rollout."""
    parser.add_argument("name", metavar="NAME", type=rollout_name, help="the ImageRollout")


def rollout_name(text: str) -> str:
    """The name alone, where it is given as kubectl prints it: `ir/web`."""
    kind, slash, name = text.rpartition("/")
    if slash and kind not in _KINDS:
        raise argparse.ArgumentTypeError(f"must be the name of an ImageRollout, not {text!r}")
    return name


@contextlib.asynccontextmanager
async def connected(given: argparse.Namespace) -> AsyncIterator[Cluster]:
    """The cluster that the arguments of `add_place` mean. Raises Invalid when there is none."""
    api = Api(await load(given.kubeconfig, given.context, CONNECTIONS))
    try:
        yield Cluster(api, given.namespace or namespace_of(given.kubeconfig, given.context))
    finally:
        await api.close()


class Cluster:
    """One namespace of one API server. Every question raises what `Api.request` raises, in words for people."""

    def __init__(self, api: Api, namespace: str) -> None:
        self.api = api
        self.namespace = namespace

    @property
    def rollouts_path(self) -> str:
        """Where the namespace's ImageRollouts are."""
        return f"/apis/{names.API_VERSION}/namespaces/{self.namespace}/{names.PLURAL}"

    def path_of(self, plural: str) -> str:
        """Where the namespace has its objects of this kind, of those that a rollout may consist of."""
        if plural in ("pods", "events"):
            return f"/api/v1/namespaces/{self.namespace}/{plural}"
        group = next((kind.group for kind in KINDS.values() if kind.plural == plural), "apis/apps/v1")
        return f"/{group}/namespaces/{self.namespace}/{plural}"

    async def rollouts(self, *, everywhere: bool = False) -> list[Body]:
        """All ImageRollouts of the namespace, or of all namespaces, by namespace and name."""
        path = f"/apis/{names.API_VERSION}/{names.PLURAL}" if everywhere else self.rollouts_path
        try:
            found, _ = await self.list(path, {})
        except NotFound as error:
            raise _not_installed() from error
        return sorted(found, key=lambda one: (one["metadata"]["namespace"], one["metadata"]["name"]))

    async def rollout(self, name: str) -> Body:
        """One ImageRollout. Raises NotFound."""
        try:
            return await self.api.request("GET", f"{self.rollouts_path}/{name}")
        except NotFound as error:
            raise self._missing(name, error) from error

    async def annotate(self, name: str, annotations: Mapping[str, str | None]) -> Body:
        """Set annotations of an ImageRollout, or take them off where the value is None; returns what it is then."""
        body = {"metadata": {"annotations": dict(annotations)}}
        query = {"fieldManager": names.FIELD_MANAGER_PEOPLE}
        try:
            return await self.api.request("PATCH", f"{self.rollouts_path}/{name}", query=query, body=body, kind=MERGE)
        except NotFound as error:
            raise self._missing(name, error) from error

    async def list(self, path: str, query: Mapping[str, str], accept: str = JSON) -> tuple[list[Body], str]:
        """All objects under a path, page by page, and the version of the list."""
        found: list[Body] = []
        asked: dict[str, str] = {**query, "limit": PAGE}
        while True:
            page = await self.api.request("GET", path, query=asked, accept=accept)
            found += page.get("items") or []
            metadata: dict[str, Any] = page.get("metadata") or {}
            if not metadata.get("continue"):
                return found, str(metadata.get("resourceVersion", ""))
            asked["continue"] = metadata["continue"]

    def _missing(self, name: str, error: NotFound) -> NotFound:
        # Of an object that is not there the API server says its name, of a kind that is not there it does not.
        if name in str(error):
            return NotFound(f"There is no ImageRollout {name} in namespace {self.namespace}.")
        return _not_installed()


def _not_installed() -> NotFound:
    return NotFound(f"This cluster knows no {names.KIND}: podpin is not installed there.")


def selected(rollout: str, label: str = names.LABEL_ROLLOUT) -> dict[str, str]:
    """The query for a rollout's own objects. Raises Invalid where the name is none."""
    if not rollout or set(rollout) & set(",=!() "):
        raise Invalid(f"{rollout!r} is no name of an ImageRollout.")
    return {"labelSelector": f"{label}={rollout}"}
