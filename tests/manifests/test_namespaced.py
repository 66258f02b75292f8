"""podpin for one namespace alone, with webhooks: it does its job there, and has no right anywhere else."""

from __future__ import annotations

import http.client
import json
import os
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
import yaml
from tests.cluster.errors import ClusterError
from tests.cluster.images import push_app
from tests.manifests.installed import ACCOUNT, MANIFESTS, NAMESPACE, Rollout, installed, refused, web
from tests.waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.cluster.protocol import Cluster

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]  # the image may have to be built first

SERVED, OTHER = "shop", "not-served"
REPOSITORY = "podpin-namespaced/web"
HOOK = {"source": "plain", "path": "e2b1c0f9d3c5a7b1"}


def with_hooks(folder: Path, overlay: Path) -> Path:
    """A user's own kustomization on top, with the component for webhooks and the Secret that it needs."""
    (overlay / "hooks.yaml").write_text(yaml.safe_dump([HOOK]))
    here = overlay.resolve()
    kustomization = {
        "resources": [os.path.relpath(folder, here)],
        "components": [os.path.relpath(MANIFESTS / "hooks", here)],
        "secretGenerator": [{"name": "podpin-hooks", "namespace": NAMESPACE, "files": ["hooks.yaml"]}],
    }
    (overlay / "kustomization.yaml").write_text(yaml.safe_dump(kustomization))
    return overlay


@pytest.fixture(scope="module")
def begun(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """Where the audit log stood when podpin was installed for the namespace shop."""
    position = cluster.audit.position() if cluster.can("audit") else 0
    for name in (SERVED, OTHER):
        cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    try:
        folder = with_hooks(MANIFESTS / "namespaced", tmp_path_factory.mktemp("hooks"))
        with installed(cluster, folder, tmp_path_factory.mktemp("overlay")):
            yield position
    finally:
        cluster.kubectl("delete", "namespace", SERVED, OTHER, "--timeout=60s")


def test_it_serves_its_namespace_and_leaves_the_others_alone(cluster: Cluster, begun: int) -> None:
    digest = push_app(cluster.registry, REPOSITORY, "1.0.0")
    body = web("", f"{cluster.registry.address}/{REPOSITORY}")
    for namespace in (OTHER, SERVED):
        body["metadata"]["namespace"] = namespace
        cluster.apply(body)
    Rollout(cluster, SERVED).wait_healthy(f"web:1.0.0@{digest.removeprefix('sha256:')[:12]}")
    assert "status" not in Rollout(cluster, OTHER).get()
    if cluster.can("audit"):
        assert cluster.audit.requests("podpin/", user=ACCOUNT, since=begun)
        assert refused(cluster.audit.requests(user=ACCOUNT, since=begun)) == []


def test_a_webhook_through_the_service_brings_a_new_version_at_once(cluster: Cluster, begun: int) -> None:
    if not cluster.can("reach-services"):
        pytest.skip("this machine cannot reach the Services of this cluster")
    repository = f"{cluster.registry.address}/{REPOSITORY}-hooked"
    push_app(cluster.registry, f"{REPOSITORY}-hooked", "1.0.0")
    cluster.apply(web(SERVED, repository, name="hooked"))
    rollout = Rollout(cluster, SERVED, "hooked")
    rollout.wait("hooked to be stable", lambda status: status.get("stable"))
    digest = push_app(cluster.registry, f"{REPOSITORY}-hooked", "1.1.0")
    address = cluster.service_url("podpin-hooks", NAMESPACE).removeprefix("http://")
    with closing(http.client.HTTPConnection(address, timeout=10)) as connection:
        connection.request("POST", f"/hook/plain/{HOOK['path']}", json.dumps({"repository": repository}))
        assert connection.getresponse().status == 202
    wait_for(lambda: digest in rollout.image(), 20, "the new version in the Deployment")


@pytest.mark.parametrize(
    ("verb", "resource"), [("get", "secrets"), ("list", "imagerollouts.podpin.dev"), ("list", "pods")]
)
def test_it_has_no_right_in_any_other_namespace(cluster: Cluster, begun: int, verb: str, resource: str) -> None:
    def may(namespace: str) -> bool:
        try:
            words = ("auth", "can-i", verb, resource, f"--as={ACCOUNT}", "-n", namespace)
            return cluster.kubectl(*words).strip() == "yes"
        except ClusterError:
            return False

    assert may(SERVED)
    assert not may(OTHER)
