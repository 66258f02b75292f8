"""What all measurements stand on: a cluster with podpin's CRD, images that move, ImageRollouts, and who wrote what."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from podpin.adapters.kube import connection
from podpin.adapters.kube.api import MERGE, METADATA_ONLY, Api
from podpin.core import names
from tests.bench.figures import CannotMeasureError
from tests.bench.program import USER
from tests.bench.watching import eye
from tests.cluster import local
from tests.cluster.errors import ClusterError
from tests.cluster.images import push_app
from tests.waiting import NotInTimeError, wait_for

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable

    from podpin.core.names import Key
    from tests.bench.watching import Body, Eye
    from tests.cluster.application import Kind
    from tests.cluster.audit import Entry
    from tests.cluster.local import LocalCluster, Wanted

CRD = Path(__file__).parents[2] / "crds" / "imagerollouts.podpin.dev.yaml"
HANDS = 16
"""How many requests the bench sends at a time where it sends many: as many as podpin has workers."""
QUIET_WRITES_SECONDS = 1.5
"""The cluster counts as settled once podpin has written nothing for so long."""


class Stage:
    """A cluster, and the bench's hands and eyes in it."""

    def __init__(self, cluster: LocalCluster, api: Api, rollouts: Eye, deployments: Eye) -> None:
        self.cluster, self.api = cluster, api
        self.rollouts, self.deployments = rollouts, deployments
        self.log = cluster.parts.log("podpin")
        self._versions = 0

    # --- images

    async def push(self, repository: str, tag: str, kind: Kind = "good") -> str:
        """Let a tag name an image that never was before; return its digest."""
        self._versions += 1
        return await asyncio.to_thread(
            push_app, self.cluster.registry, repository, tag, kind, version=f"bench-{self._versions}"
        )

    # --- objects

    async def namespace(self, name: str) -> None:
        """Make a namespace, and wait until Pods can be made in it."""
        await self.api.request("POST", "/api/v1/namespaces", body={"metadata": {"name": name}})
        path = f"/api/v1/namespaces/{name}/serviceaccounts"
        async with eye(self.api, path) as accounts:
            await accounts.until(lambda: (name, "default") in accounts.now, 30, "a namespace's service account")

    async def create(self, body: Body) -> Body:
        """Make an ImageRollout, or a Deployment."""
        group = "apis/apps/v1" if body["kind"] == "Deployment" else f"apis/{names.API_VERSION}"
        plural = "deployments" if body["kind"] == "Deployment" else names.PLURAL
        return await self.api.request(
            "POST", f"/{group}/namespaces/{body['metadata']['namespace']}/{plural}", body=body
        )

    async def ask(self, key: Key) -> float:
        """Ask podpin for a look at once; when the API server has taken that note."""
        body = {"metadata": {"annotations": {names.REQUEST_RECONCILE: str(time.perf_counter_ns())}}}
        path = f"/apis/{names.API_VERSION}/namespaces/{key.namespace}/{names.PLURAL}/{key.name}"
        await self.api.request("PATCH", path, body=body, kind=MERGE)
        return time.perf_counter()

    def rollout(
        self, key: Key, repository: str, *, replicas: int = 1, bake: str = "0s", scheduler: str | None = None
    ) -> Body:
        """An ImageRollout that follows the tag `live`, as somebody would write one."""
        pod = pod_spec() | ({"schedulerName": scheduler} if scheduler else {})
        return {
            "apiVersion": names.API_VERSION,
            "kind": names.KIND,
            "metadata": {"name": key.name, "namespace": key.namespace},
            "spec": {
                "images": [
                    {
                        "container": "app",
                        "repository": f"{self.cluster.registry.address}/{repository}",
                        "policy": {"tag": {"name": "live"}},
                    }
                ],
                "registry": {"interval": "60s"},
                "rollout": {"bakeTime": bake},
                "workload": {
                    "kind": "Deployment",
                    "replicas": replicas,
                    "template": {"metadata": {"labels": {"app": key.name}}, "spec": pod},
                },
            },
        }

    def is_stable(self, key: Key, digest: str | None = None) -> bool:
        """Whether status says that the newest release, or the one with this digest, is rolled out and stable."""
        body = self.rollouts.now.get(key)
        status = (body or {}).get("status") or {}
        images = (status.get("stable") or {}).get("images") or [{}]
        return _reason(status) == "RolledOut" and (digest is None or digest in str(images))

    async def stable(self, key: Key, digest: str | None = None) -> float:
        """Wait until that is so; when it first was."""
        return await self.rollouts.until(lambda: self.is_stable(key, digest), 60, f"{key} being stable")

    def is_rolled_back(self, key: Key, digest: str) -> bool:
        """Whether status says that the release with this digest was rejected, and that the stable one is back."""
        status = (self.rollouts.now.get(key) or {}).get("status") or {}
        rejected = status.get("rejected") or [{}]
        return _reason(status) == "RolledBack" and digest in str(rejected[0])

    # --- who wrote what

    def position(self) -> int:
        """Where the audit log ends now."""
        return self.cluster.audit.position()

    def requests(self, since: int) -> list[Entry]:
        """All that podpin has asked of the API server since then."""
        return self.cluster.audit.requests(user=USER, since=since)

    def writes(self, since: int) -> list[Entry]:
        """All that podpin has written since then, events included."""
        return self.cluster.audit.writes(user=USER, since=since)

    async def settled(self, since: int, patience: float = 60) -> list[Entry]:
        """All that podpin has written since then, once it has stopped writing."""
        deadline = time.perf_counter() + patience
        written, seen = self.writes(since), time.perf_counter()
        while time.perf_counter() - seen < QUIET_WRITES_SECONDS:
            await asyncio.sleep(0.1)
            now = self.writes(since)
            if len(now) != len(written):
                written, seen = now, time.perf_counter()
            if time.perf_counter() > deadline:
                raise CannotMeasureError(f"podpin was still writing after {patience:.0f} s.")
        return written


@contextlib.asynccontextmanager
async def stage(wanted: Wanted) -> AsyncIterator[Stage]:
    """A cluster of the bench's own, with podpin's CRD; taken down again in the end."""
    try:
        cluster = await asyncio.to_thread(local.up, wanted)
    except (ClusterError, NotInTimeError) as error:
        raise CannotMeasureError(f"There is no cluster to measure on: {error}") from error
    try:
        os.environ |= {"NO_PROXY": cluster.environment()["NO_PROXY"]}
        await asyncio.to_thread(_install, cluster)
        api = Api(await connection.load(str(cluster.kubeconfig), None))
        slim = {"accept": METADATA_ONLY, "labelSelector": names.LABEL_ROLLOUT}
        try:
            async with (
                eye(api, f"/apis/{names.API_VERSION}/{names.PLURAL}") as rollouts,
                eye(api, "/apis/apps/v1/deployments", **slim) as deployments,
            ):
                yield Stage(cluster, api, rollouts, deployments)
        finally:
            await api.close()
    finally:
        await asyncio.to_thread(cluster.down)


def _install(cluster: LocalCluster) -> None:
    cluster.apply(CRD, "--server-side")
    # Established is not enough: the API server still opens the storage for it.
    wait_for(
        lambda: cluster.kubectl("get", names.PLURAL, "-o", "name") == "",
        30,
        "the CRD to serve",
        retry_on=(ClusterError,),
    )


def pod_spec() -> dict[str, Any]:
    """The Pods of an ordinary small application."""
    return {
        "terminationGracePeriodSeconds": 1,
        "containers": [
            {
                "name": "app",
                "ports": [{"name": "http", "containerPort": 8080}],
                "env": [{"name": "LOG_LEVEL", "value": "info"}, {"name": "REGION", "value": "eu-central"}],
                "readinessProbe": {"httpGet": {"path": "/healthz", "port": "http"}, "periodSeconds": 1},
                "resources": {"requests": {"cpu": "1m", "memory": "8Mi"}, "limits": {"memory": "32Mi"}},
                "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
            }
        ],
    }


async def all_at_once(work: Iterable[Callable[[], Awaitable[object]]], hands: int = HANDS) -> None:
    """Do many things, a few at a time."""
    left = iter(work)

    async def hand() -> None:
        for one in left:
            await one()

    await asyncio.gather(*(hand() for _ in range(hands)))


def intent_of(deployment: Body) -> tuple[int, str]:
    """What tells one spec of a Deployment from another: its generation, and podpin's hash of what it is to be."""
    metadata = deployment["metadata"]
    return metadata["generation"], (metadata.get("annotations") or {}).get(names.ANNOTATION_INTENT, "")


def without_events(entries: Iterable[Entry]) -> list[Entry]:
    """The writes that the budgets are about."""
    return [entry for entry in entries if entry.resource != "events"]


def say(text: str) -> None:
    """Tell whoever waits what is being done."""
    print(f"  {time.strftime('%H:%M:%S')}  {text}", flush=True)


def _reason(status: Body) -> str:
    return next((str(one["reason"]) for one in status.get("conditions") or () if one["type"] == "Ready"), "")
