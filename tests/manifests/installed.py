"""What the tests of the manifests share: installing podpin, and asking how a rollout fares."""

from __future__ import annotations

import json
import os
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import yaml
from tests.cluster import operator_image
from tests.waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from tests.cluster.audit import Entry
    from tests.cluster.protocol import Cluster

Json = dict[str, Any]

ROOT: Final = Path(__file__).resolve().parent.parent.parent
MANIFESTS: Final = ROOT / "manifests"
CRD: Final = ROOT / "crds" / "imagerollouts.podpin.dev.yaml"
NAMESPACE: Final = "podpin-system"
ACCOUNT: Final = "system:serviceaccount:podpin-system:podpin"
GROUPS: Final = ("system:serviceaccounts", "system:serviceaccounts:podpin-system")


@contextmanager
def installed(cluster: Cluster, folder: Path, overlay: Path, components: Sequence[Path] = ()) -> Iterator[None]:
    """podpin as a Pod, installed with `kubectl apply -k` as a user would; all of it is deleted at the end.

    `folder` is one of the manifests' or one like it, `overlay` an empty one; `components` are taken besides. There
    the image's name is set, as a user would, and that the registry of the test cluster speaks plain HTTP.
    """
    image, _, digest = operator_image.push(f"{cluster.registry.address}/podpin/podpin").partition("@")
    environment = {"name": "PODPIN_INSECURE_REGISTRY", "value": cluster.registry.address}
    addition = {"op": "add", "path": "/spec/template/spec/containers/0/env/-", "value": environment}
    kustomization = {
        "resources": [os.path.relpath(folder, overlay.resolve())],
        "components": [os.path.relpath(one, overlay.resolve()) for one in components],
        "images": [{"name": "podpin", "newName": image.rpartition(":")[0], "digest": digest}],
        "patches": [{"target": {"kind": "Deployment", "name": "podpin"}, "patch": json.dumps([addition])}],
    }
    (overlay / "kustomization.yaml").write_text(yaml.safe_dump(kustomization))
    kubectl = cluster.kubectl
    try:
        kubectl("apply", "-k", str(overlay))
        kubectl("-n", NAMESPACE, "rollout", "status", "deployment/podpin", "--timeout=120s", timeout=130)
        yield
    finally:
        kubectl("delete", "-k", str(overlay), "--ignore-not-found", "--timeout=110s")


def pod(cluster: Cluster) -> Json:
    """podpin's Pod."""
    pods = cluster.kubectl.get("pods", "-n", NAMESPACE, "-l", "app.kubernetes.io/name=podpin")["items"]
    alive = [one for one in pods if "deletionTimestamp" not in one["metadata"]]
    assert len(alive) == 1, [one["metadata"]["name"] for one in pods]
    only: Json = alive[0]
    return only


def web(namespace: str, repository: str, *, name: str = "web", policy: Json | None = None, **container: object) -> Json:
    """An ImageRollout of the demo application, quick to judge."""
    probe = {"httpGet": {"path": "/healthz", "port": 8080}, "periodSeconds": 1}
    image = {"container": "app", "repository": repository, "policy": policy or {"semver": {"range": ">=1"}}}
    pod = {"containers": [{"name": "app", "readinessProbe": probe, **container}]}
    return {
        "apiVersion": "podpin.dev/v1alpha1",
        "kind": "ImageRollout",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "images": [image],
            "rollout": {"bakeTime": "1s"},
            "workload": {"kind": "Deployment", "replicas": 1, "template": {"spec": pod}},
        },
    }


@dataclass(frozen=True, slots=True)
class Rollout:
    """One ImageRollout on the cluster, to be asked and told."""

    cluster: Cluster
    namespace: str
    name: str = "web"

    def get(self) -> Json:
        """As it is now."""
        found: Json = self.cluster.kubectl.get("imagerollout", self.name, "-n", self.namespace)
        return found

    def condition(self, kind: str) -> Json:
        """One of its conditions; empty where it has none of that kind yet."""
        found = (self.get().get("status") or {}).get("conditions") or []
        return next((one for one in found if one["type"] == kind), {})

    def wait(self, what: str, holds: Callable[[Json], object], timeout: float = 60) -> Json:
        """Until something can be said of its status."""

        def holding() -> Json:
            status: Json = self.get().get("status") or {}
            return status if holds(status) else {}

        return wait_for(holding, timeout, what, every=0.25, seen=lambda: json.dumps(self.get().get("status"), indent=1))

    def wait_healthy(self, image: str, timeout: float = 60) -> Json:
        """Until it is Ready with this image, of which `image` is the end."""

        def holds(status: Json) -> bool:
            running = f"{status.get('running', {}).get('image')}@{status.get('running', {}).get('digest')}"
            ready = [one for one in status.get("conditions") or () if one["type"] == "Ready"]
            return bool(ready) and ready[0]["status"] == "True" and running.endswith(image)

        return self.wait(f"{self.name} to be ready with {image}", holds, timeout)

    def image(self, container: str = "app") -> str:
        """What the Deployment is told to run."""
        deployment = self.cluster.kubectl.get("deployment", self.name, "-n", self.namespace)
        containers = deployment["spec"]["template"]["spec"]["containers"]
        return next(str(one["image"]) for one in containers if one["name"] == container)

    def ask(self, **requests: str) -> None:
        """Requests by annotation: ask(reconcile="now"), ask(rollback_to="previous")."""
        words = [f"podpin.dev/{name.replace('_', '-')}={value}" for name, value in requests.items()]
        self.cluster.kubectl("annotate", "--overwrite", "imagerollout", self.name, "-n", self.namespace, *words)


@dataclass(frozen=True, slots=True, order=True)
class Right:
    """One line of what an account may do."""

    group: str
    resource: str
    verb: str

    def __str__(self) -> str:
        """As `kubectl auth can-i` would have it."""
        return f"{self.verb} {self.resource}" + (f".{self.group}" if self.group else "")


def granted(rules: list[Json]) -> set[Right]:
    """What the rules of a Role allow."""
    return {
        Right(group, resource, verb)
        for rule in rules
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def used(entries: list[Entry]) -> set[Right]:
    """The rights without which these requests would have been refused; reading what there is to read needs none."""
    found = set()
    for entry in entries:
        if not entry.resource:
            continue
        path = urlsplit(entry.uri).path.split("/")
        group = path[2] if path[1] == "apis" else ""
        resource = f"{entry.resource}/{entry.subresource}" if entry.subresource else entry.resource
        found.add(Right(group, resource, entry.verb))
        if entry.verb == "patch" and entry.code == 201:
            found.add(Right(group, resource, "create"))  # an apply that had to create
    return found


def refused(entries: list[Entry]) -> list[str]:
    """Those that the API server did not let through."""
    return [f"{one.code} {one.verb} {one.uri}" for one in entries if one.code in (401, 403)]
