"""One Lease of the API server: read, made, replaced and watched.

A replacement names the resource version that was seen, so of two that take the Lease at once one gets a Conflict. What
else stands in the Lease, labels say, is kept.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any, NamedTuple

from podpin.adapters.kube.api import Api
from podpin.core import names
from podpin.core.election import LASTS, Record
from podpin.errors import Invalid, NotFound

GROUP = "coordination.k8s.io/v1"
_AS_PODPIN = {"fieldManager": names.FIELD_MANAGER}


class Held(NamedTuple):
    """A Lease as the API server has it: what it says, and the whole object."""

    record: Record
    raw: Mapping[str, Any]


class Lease:
    """The Lease of this name in this namespace, whether it exists or not. All raise podpin's errors."""

    def __init__(self, api: Api, namespace: str, name: str) -> None:
        self._api, self.namespace, self.name = api, namespace, name
        self._folder = f"/apis/{GROUP}/namespaces/{namespace}/leases"

    def __str__(self) -> str:
        """As kubectl would have it: `namespace/name`."""
        return f"{self.namespace}/{self.name}"

    async def read(self) -> Held | None:
        """The Lease as it is now, or None where there is none."""
        try:
            return _held(await self._api.request("GET", f"{self._folder}/{self.name}"))
        except NotFound:
            return None

    async def write(self, record: Record, before: Held | None) -> Held:
        """Have the Lease say this, if it is still as it was seen before; None is that there was none.

        Raises Conflict where somebody was faster, and NotFound where it is gone by now.
        """
        metadata = {"namespace": self.namespace, "name": self.name}
        body: dict[str, Any] = {"apiVersion": GROUP, "kind": "Lease", "metadata": metadata}
        if before is not None:
            body.update(before.raw)
        body["spec"] = {**(body.get("spec") or {}), **_spec(record)}
        if before is None:
            return _held(await self._api.request("POST", self._folder, query=_AS_PODPIN, body=body))
        return _held(await self._api.request("PUT", f"{self._folder}/{self.name}", query=_AS_PODPIN, body=body))

    async def watch(self, version: str) -> AsyncIterator[Held | None]:
        """Open a watch of the Lease from this resource version on; None is that it was deleted."""
        query = {"fieldSelector": f"metadata.name={self.name}", "timeoutSeconds": "300"}
        return self._news(
            await self._api.watch(self._folder, query | ({"resourceVersion": version} if version else {}))
        )

    async def _news(self, events: AsyncIterator[tuple[str, dict[str, Any]]]) -> AsyncIterator[Held | None]:
        async for kind, raw in events:
            if kind in ("ADDED", "MODIFIED"):
                yield _held(raw)
            elif kind == "DELETED":
                yield None


def _held(raw: Mapping[str, Any]) -> Held:
    spec = raw.get("spec") or {}
    metadata = {name: value for name, value in raw["metadata"].items() if name != "managedFields"}
    try:
        record = Record(
            str(spec.get("holderIdentity") or ""),
            float(spec.get("leaseDurationSeconds") or LASTS),
            str(spec.get("acquireTime") or ""),
            str(spec.get("renewTime") or ""),
            int(spec.get("leaseTransitions") or 0),
        )
    except (TypeError, ValueError) as error:
        raise Invalid(f"Lease {metadata['name']} cannot be read: delete it.") from error
    return Held(record, {**raw, "metadata": metadata})


def _spec(record: Record) -> dict[str, Any]:
    return {
        "holderIdentity": record.holder,
        "leaseDurationSeconds": int(record.lasts),
        "acquireTime": record.acquired,
        "renewTime": record.renewed,
        "leaseTransitions": record.transitions,
    }
