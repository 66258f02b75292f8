"""Every kustomization with every component, and the chart with every value, as a real API server takes them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pytest
import yaml
from tests.charts.rendering import charted, kustomized
from tests.manifests.installed import MANIFESTS, NAMESPACE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.cluster.protocol import Cluster

Json = dict[str, Any]

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]  # Helm may have to be built first

COMPONENTS: Final = tuple(
    sorted(file.parent.name for file in MANIFESTS.glob("*/kustomization.yaml") if "kind: Component" in file.read_text())
)
EVERYTHING: Final[Json] = {
    "namespaces": ["shop"],
    "crds": {"guard": True},
    "pinConfig": {"namespaces": ["shop"]},
    "registries": {"insecure": ["registry.lab:5000"], "ca": {"configMap": "authorities"}},
    "sigstore": {"trustedRoot": {"configMap": "sigstore"}},
    "hooks": {"enabled": True},
    "networkPolicy": {"create": True, "egress": [{"ports": [{"protocol": "TCP", "port": 9090}]}]},
    "serviceAccount": {"annotations": {"eks.amazonaws.com/role-arn": "arn:aws:iam::1:role/podpin"}},
    "pod": {"labels": {"team": "platform"}, "annotations": {"seen": "yes"}},
    "image": {"pullSecrets": ["lab"], "tag": "0.1.0"},
    "workers": 8,
    "priorityClassName": "system-cluster-critical",
    "tolerations": [{"key": "infra", "operator": "Exists"}],
    "affinity": {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": []}},
}


@pytest.fixture(scope="module")
def stage(cluster: Cluster) -> Iterator[Cluster]:
    """The namespaces that must be there before."""
    names = (NAMESPACE, "shop")
    cluster.apply([{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}} for name in names])
    try:
        yield cluster
    finally:
        cluster.kubectl("delete", "namespace", *names, "--timeout=60s")


def taken(cluster: Cluster, objects: list[Json]) -> None:
    """The API server would take each of them as it stands; a ClusterError says what it has against one."""
    said = cluster.kubectl(
        "apply", "--server-side", "--force-conflicts", "--dry-run=server", "--validate=strict", "-f", "-",
        stdin=yaml.safe_dump_all(objects),
    )  # fmt: skip
    assert len(said.splitlines()) == len(objects)


@pytest.mark.parametrize("folder", ["", "namespaced"])
@pytest.mark.parametrize("component", COMPONENTS)
def test_a_component_is_taken(stage: Cluster, tmp_path: Path, folder: str, component: str) -> None:
    taken(stage, kustomized(tmp_path, folder, (component,)))


def test_all_components_are_taken_together(stage: Cluster, tmp_path: Path) -> None:
    taken(stage, kustomized(tmp_path, "", COMPONENTS))


def test_the_chart_is_taken_with_every_value(stage: Cluster) -> None:
    taken(stage, charted(EVERYTHING))
