"""podpin for one namespace alone: it does its job there, and has no right anywhere else."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.cluster.errors import ClusterError
from tests.cluster.images import push_app
from tests.manifests.installed import ACCOUNT, MANIFESTS, Rollout, installed, refused, web

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.cluster.protocol import Cluster

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]  # the image may have to be built first

SERVED, OTHER = "shop", "not-served"
REPOSITORY = "podpin-namespaced/web"


@pytest.fixture(scope="module")
def begun(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """Where the audit log stood when podpin was installed for the namespace shop."""
    position = cluster.audit.position() if cluster.can("audit") else 0
    for name in (SERVED, OTHER):
        cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    try:
        with installed(cluster, MANIFESTS / "namespaced", tmp_path_factory.mktemp("overlay")):
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
