"""One Lease: what is sent, what is kept of others', and what is seen of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from tests.adapters.kube.scripted import ApiServer, Reply, failure

from podpin.adapters.kube.lease import Held, Lease
from podpin.core.election import Record
from podpin.errors import Conflict, Invalid

if TYPE_CHECKING:
    from podpin.adapters.kube.api import Api

FOLDER = "/apis/coordination.k8s.io/v1/namespaces/podpin-system/leases"
LEASE = f"{FOLDER}/podpin"
RECORD = Record("podpin-a", 15.0, "2026-11-24T06:00:00.000000Z", "2026-11-24T06:00:02.000000Z", 4)
SPEC = {
    "holderIdentity": "podpin-a",
    "leaseDurationSeconds": 15,
    "acquireTime": "2026-11-24T06:00:00.000000Z",
    "renewTime": "2026-11-24T06:00:02.000000Z",
    "leaseTransitions": 4,
}


def raw(version: int, **spec: Any) -> dict[str, Any]:
    metadata = {"name": "podpin", "labels": {"team": "ops"}, "resourceVersion": str(version), "managedFields": [{}]}
    return {"kind": "Lease", "metadata": metadata, "spec": {**SPEC, "strategy": "another's", **spec}}


@pytest.fixture
def lease(api: Api) -> Lease:
    return Lease(api, "podpin-system", "podpin")


async def test_a_lease_that_does_not_exist_is_made(server: ApiServer, lease: Lease) -> None:
    assert await lease.read() is None
    server.on("POST", FOLDER, Reply(body=raw(7)))
    assert (await lease.write(RECORD, None)).record == RECORD
    assert server.last.body["metadata"] == {"namespace": "podpin-system", "name": "podpin"}
    assert server.last.body["spec"] == SPEC
    assert server.last.query == {"fieldManager": "podpin"}


async def test_one_that_exists_is_replaced_as_it_was_seen_and_keeps_what_others_wrote(
    server: ApiServer, lease: Lease
) -> None:
    server.on("GET", LEASE, Reply(body=raw(7, holderIdentity="podpin-b")))
    held = await lease.read()
    assert held is not None
    assert held.record == RECORD._replace(holder="podpin-b")
    server.on("PUT", LEASE, Reply(body=raw(8)))
    assert (await lease.write(RECORD, held)).record == RECORD
    assert server.last.body["metadata"] == {"name": "podpin", "labels": {"team": "ops"}, "resourceVersion": "7"}
    assert server.last.body["spec"] == {**SPEC, "strategy": "another's"}


async def test_of_two_that_replace_it_one_is_told_that_it_was_late(server: ApiServer, lease: Lease) -> None:
    server.on("PUT", LEASE, failure(409, "the object has been modified"))
    with pytest.raises(Conflict):
        await lease.write(RECORD, Held(RECORD, raw(7)))
    server.on("POST", FOLDER, failure(409, "already exists"))
    with pytest.raises(Conflict):
        await lease.write(RECORD, None)


@pytest.mark.parametrize("spec", [{}, {"holderIdentity": None, "leaseDurationSeconds": None, "leaseTransitions": None}])
async def test_one_that_says_nothing_is_nobody_s(server: ApiServer, lease: Lease, spec: dict[str, Any]) -> None:
    server.on("GET", LEASE, Reply(body={"metadata": {"name": "podpin"}, "spec": spec}))
    held = await lease.read()
    assert held is not None
    assert held.record == Record()


async def test_one_that_is_written_by_no_known_rules_is_refused_in_a_sentence(server: ApiServer, lease: Lease) -> None:
    server.on("GET", LEASE, Reply(body=raw(7, leaseTransitions="often")))
    with pytest.raises(Invalid, match="Lease podpin cannot be read: delete it"):
        await lease.read()


async def test_the_watch_is_of_this_lease_alone_and_tells_of_its_end(server: ApiServer, lease: Lease) -> None:
    news = await lease.watch("7")
    stream = await server.watch()
    assert stream.asked.path == FOLDER
    assert stream.asked.query["fieldSelector"] == "metadata.name=podpin"
    assert stream.asked.query["resourceVersion"] == "7"
    stream.send("MODIFIED", raw(8, holderIdentity=""))
    stream.bookmark(9)
    stream.send("DELETED", raw(10))
    stream.end()
    seen = [held and held.record.holder for held in [one async for one in news]]
    assert seen == ["", None]
