"""The same requests that podpin sends, with nothing around them: what its times are measured against.

The bodies are made by podpin's own builders, and sent by its own clients. Only the labels by which podpin knows its
children are others, so that it does not see them.
"""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

from podpin import clock
from podpin.adapters.kube.api import APPLY, MERGE
from podpin.adapters.registry.client import RegistryClient
from podpin.core import names
from podpin.core.keyring import Access
from podpin.core.names import Key
from podpin.core.reference import parse_repository, pin
from podpin.core.release import Record, Release, Verdict, annotations_of, record_manifest, release_of
from podpin.core.spec import parse_spec
from podpin.core.workload import deployment, intent_of

if TYPE_CHECKING:
    from tests.bench.stage import Stage
    from tests.bench.watching import Body

KEY = Key("bench-bare", "bare")


class Bare:
    """A Deployment that the bench moves by itself: a new release, and back."""

    def __init__(self, stage: Stage, registry: RegistryClient, owner: dict[str, Any], rollout: Body) -> None:
        self._stage, self._registry, self._owner = stage, registry, owner
        self._spec = parse_spec(rollout["spec"])
        self._repository = self._spec.images[0].repository
        self._stable: Release | None = None

    @classmethod
    async def make(cls, stage: Stage, rollout: Body) -> Bare:
        """Make its namespace, and a ConfigMap that owns all it makes, and its first release."""
        await stage.namespace(KEY.namespace)
        path = f"/api/v1/namespaces/{KEY.namespace}/configmaps"
        made = await stage.api.request("POST", path, body={"metadata": {"name": "owner"}})
        owner = {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": made["metadata"]["uid"]}
        registry = RegistryClient(insecure_hosts=frozenset({stage.cluster.registry.address}))
        bare = cls(stage, registry, owner, rollout)
        bare._stable = bare._release(await bare._resolve())
        await bare._apply(bare._stable)
        return bare

    async def aclose(self) -> None:
        """Close the connections to the registry."""
        await self._registry.close()

    async def forward_and_back(self) -> tuple[float, float]:
        """Resolve, record and apply a release; judge it and apply the one before. Returns the seconds of each."""
        assert self._stable is not None
        begun = time.perf_counter()
        release = self._release(await self._resolve())
        record = Record(release=release.id, spec_hash=release.spec_hash, images=release.images)
        manifest = record_manifest(KEY.name, KEY.namespace, self._owner, release, record)
        await self._patch(f"controllerrevisions/{manifest['metadata']['name']}", manifest, APPLY)
        await self._apply(release)
        there = time.perf_counter()
        now = clock.now()
        judged = record.judged(Verdict("Rejected", 1, "CannotStart", "container app cannot be started", now, now))
        verdict = {"metadata": {"annotations": annotations_of(judged)}}
        await self._patch(f"controllerrevisions/{manifest['metadata']['name']}", verdict, MERGE)
        await self._apply(self._stable)
        return there - begun, time.perf_counter() - there

    async def _resolve(self) -> str:
        """What a tag names that has moved: one HEAD, and one GET by digest."""
        return await self._registry.resolve(parse_repository(self._repository), "live", Access())

    def _release(self, digest: str) -> Release:
        return release_of(self._spec, (("app", pin(self._repository, "live", digest)),))

    async def _apply(self, release: Release) -> None:
        intent = intent_of(self._spec.workload, release.id, release.images)
        manifest = deployment(KEY, self._owner, self._spec.workload, release, intent)
        await self._patch(f"deployments/{KEY.name}", manifest, APPLY)

    async def _patch(self, path: str, body: Body, kind: str) -> None:
        hidden = json.loads(json.dumps(body).replace(names.LABEL_ROLLOUT, f"bench.{names.LABEL_ROLLOUT}"))
        query = {"fieldManager": names.FIELD_MANAGER} | ({"force": "true"} if kind == APPLY else {})
        where = f"/apis/apps/v1/namespaces/{KEY.namespace}/{path}"
        await self._stage.api.request("PATCH", where, query=query, body=hidden, kind=kind)
