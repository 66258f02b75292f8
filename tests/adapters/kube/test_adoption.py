"""How podpin's part of somebody else's workload is applied, request by request."""

from __future__ import annotations

from typing import Any

import pytest
from tests.adapters.kube.scripted import ApiServer, Reply
from tests.builders import REPOSITORY

from podpin.adapters.kube.api import APPLY, Api
from podpin.adapters.kube.cluster import Cluster
from podpin.core.names import Key
from podpin.errors import Conflict

Json = dict[str, Any]
WEB = Key("shop", "web")
PATH = "/apis/apps/v1/namespaces/shop/deployments/front"
PINS: Json = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "front", "namespace": "shop"},
    "spec": {"template": {"spec": {"containers": [{"name": "app", "image": "x@sha256:1"}]}}},
}


def front(**metadata: Any) -> Json:
    """The Deployment as its author has made it, with two Pods that serve."""
    containers = [{"name": "app", "image": f"{REPOSITORY}:0.9", "env": []}, {"name": "side", "image": "proxy:2"}]
    known = {"name": "front", "namespace": "shop", "uid": "d1", "generation": 1, "resourceVersion": "9"}
    return {
        "metadata": {**known, **metadata},
        "spec": {"replicas": 2, "selector": {"matchLabels": {"app": "web"}},
                 "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": containers}}},
        "status": {"observedGeneration": 1, "replicas": 2, "updatedReplicas": 2, "availableReplicas": 2},
    }  # fmt: skip


@pytest.fixture
def cluster(api: Api) -> Cluster:
    return Cluster(api, (), lambda _: None)


async def test_images_are_applied_to_the_very_state_that_was_seen(server: ApiServer, cluster: Cluster) -> None:
    server.on("GET", PATH, Reply(body=front()))
    server.on("PATCH", PATH, Reply(body=front()))
    await cluster.apply_pins(WEB, PINS, "d1")
    (asked,) = [one for one in server.asked if one.method == "PATCH"]
    assert asked.query == {"fieldManager": "podpin", "force": "true"}
    assert asked.headers["Content-Type"] == APPLY
    assert asked.body["metadata"] == {**PINS["metadata"], "uid": "d1", "resourceVersion": "9"}


@pytest.mark.parametrize(
    ("body", "pins"),
    [(front(uid="d2"), PINS),
     (front(), {**PINS, "spec": {"template": {"spec": {"containers": [{"name": "new", "image": "x"}]}}}})],
    ids=["made anew", "without that container"],
)  # fmt: skip
async def test_nothing_is_applied_to_a_workload_that_is(
    server: ApiServer, cluster: Cluster, body: Json, pins: Json
) -> None:
    server.on("GET", PATH, Reply(body=body))
    with pytest.raises(Conflict):
        await cluster.apply_pins(WEB, pins, "d1")
    assert [one.method for one in server.asked] == ["GET"]


async def test_an_image_that_is_no_longer_named_is_handed_over_first(server: ApiServer, cluster: Cluster) -> None:
    mine: Json = {f'k:{{"name":"{name}"}}': {"f:image": {}} for name in ("app", "side")}
    fields = {"f:spec": {"f:template": {"f:spec": {"f:containers": mine}}}}
    managed = [{"manager": "podpin", "operation": "Apply", "fieldsV1": fields}]
    server.on("GET", PATH, Reply(body=front(managedFields=managed)))
    server.on("PATCH", PATH, Reply(body=front(resourceVersion="10")))
    await cluster.apply_pins(WEB, PINS, "d1")
    handed, applied = [one for one in server.asked if one.method == "PATCH"]
    assert handed.query["fieldManager"] == "podpin-left"
    assert handed.body["spec"]["template"]["spec"]["containers"] == [{"name": "side", "image": "proxy:2"}]
    assert applied.body["metadata"]["resourceVersion"] == "10"
