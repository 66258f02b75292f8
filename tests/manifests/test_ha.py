"""Two replicas as users run them: with the component's rights alone one leads, and a drain is a handover."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from tests.manifests.installed import ACCOUNT, MANIFESTS, NAMESPACE, Json, installed, refused
from tests.waiting import wait_for

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cluster.protocol import Cluster

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]  # the image may have to be built first


def test_of_two_replicas_one_leads_both_are_ready_and_a_leader_that_is_evicted_hands_over(
    cluster: Cluster, tmp_path: Path
) -> None:
    kubectl = cluster.kubectl
    begun = cluster.audit.position() if cluster.can("audit") else 0

    def pods() -> dict[str, Json]:
        """The replicas that are to stay, by name."""
        found = kubectl.get("pods", "-n", NAMESPACE, "-l", "app.kubernetes.io/name=podpin")["items"]
        return {one["metadata"]["name"]: one for one in found if "deletionTimestamp" not in one["metadata"]}

    def ready() -> list[str]:
        return [
            name
            for name, one in pods().items()
            for condition in one["status"].get("conditions", ())
            if (condition["type"], condition["status"]) == ("Ready", "True")
        ]

    def holder() -> str:
        return str(kubectl.get("lease/podpin", "-n", NAMESPACE)["spec"].get("holderIdentity", ""))

    with installed(cluster, MANIFESTS, tmp_path, [MANIFESTS / "ha"]):
        wait_for(lambda: len(ready()) == 2, 60, "both replicas to be ready")
        leader = holder()
        (standby,) = pods().keys() - {leader}
        eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": leader, "namespace": NAMESPACE}}
        file = tmp_path / "eviction.json"
        file.write_text(json.dumps(eviction))
        kubectl("create", "--raw", f"/api/v1/namespaces/{NAMESPACE}/pods/{leader}/eviction", "-f", str(file))
        wait_for(lambda: holder() == standby, 10, "the standby to lead")
        assert f"{standby} leads" in kubectl("logs", "-n", NAMESPACE, standby)
        wait_for(lambda: len(ready()) == 2, 60, "another replica to stand by")
        assert holder() == standby
        if cluster.can("audit"):
            assert refused(cluster.audit.requests(user=ACCOUNT, since=begun)) == []
