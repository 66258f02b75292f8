"""What refers to a digest, as far as a registry can tell; what the answers mean for signatures is tested there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from aiohttp import web
from tests.adapters.registry.scripted import INDEX, access, missing, reply

from podpin.adapters.registry.manifest import Descriptor
from podpin.core.keyring import Access
from podpin.core.reference import ReferenceInvalid
from podpin.errors import Denied, Unavailable

if TYPE_CHECKING:
    from tests.adapters.registry.scripted import Reply, Scripted

    from podpin.adapters.registry.client import RegistryClient

ANYBODY = Access()
DIGEST, ONE, TWO = (f"sha256:{digit * 64}" for digit in "012")
PATH = f"GET /v2/app/referrers/{DIGEST}"


def listing(*entries: object, **headers: str) -> Reply:
    return reply(200, {"schemaVersion": 2, "mediaType": INDEX, "manifests": list(entries)}, kind=INDEX, **headers)


async def test_descriptors_are_read_over_all_pages(registry: Scripted, client: RegistryClient) -> None:
    registry.on(PATH, listing({"digest": ONE, "artifactType": "a/b", "size": 7}, link='<?last=1>; rel="next"'))
    platform = {"os": "linux", "architecture": "arm64"}
    registry.on(f"{PATH}?last=1", listing({"digest": TWO, "annotations": {"a": 1}, "platform": platform}))
    assert await client.referrers(registry.app, DIGEST, ANYBODY) == (
        Descriptor(ONE, artifact_type="a/b", size=7),
        Descriptor(TWO, platform="linux/arm64", annotations={"a": 1}),
    )
    assert registry.seen[0].headers["Accept"] == INDEX


async def test_odd_entries_are_left_out_and_odd_fields_unknown(registry: Scripted, client: RegistryClient) -> None:
    odd = {"digest": ONE, "artifactType": 1, "mediaType": [], "size": "7", "annotations": 3, "platform": 4}
    registry.on(PATH, listing(1, None, {}, {"digest": "sha256:../x"}, {"digest": 5}, odd))
    assert await client.referrers(registry.app, DIGEST, ANYBODY) == (Descriptor(ONE),)


async def test_nothing_refers_to_it(registry: Scripted, client: RegistryClient) -> None:
    registry.on(PATH, listing())
    assert await client.referrers(registry.app, DIGEST, ANYBODY) == ()


@pytest.mark.parametrize("answer", [missing(), reply(406), reply(200, {"manifests": []}), reply(303, location="/x")])
async def test_a_registry_that_cannot_tell_says_nothing(
    registry: Scripted, client: RegistryClient, answer: Reply
) -> None:
    registry.on(PATH, answer)
    assert await client.referrers(registry.app, DIGEST, ANYBODY) is None
    assert len(registry.seen) == 1


async def test_pages_without_end_are_cut_off(registry: Scripted, client: RegistryClient) -> None:
    async def endless(request: web.BaseRequest) -> web.StreamResponse:
        return await listing({"digest": ONE}, link=f'<?page={len(registry.seen)}>; rel="next"')(request)

    registry.on("*", endless)
    found = await client.referrers(registry.app, DIGEST, ANYBODY)
    assert found is not None
    assert len(found) == len(registry.seen) == 8


async def test_trouble_is_trouble(registry: Scripted, client: RegistryClient) -> None:
    registry.on(PATH, reply(403))
    with pytest.raises(Denied):
        await client.referrers(registry.app, DIGEST, access(registry.host))
    registry.on(PATH, reply(500))
    with pytest.raises(Unavailable):
        await client.referrers(registry.app, DIGEST, ANYBODY)


async def test_a_digest_that_is_none_is_never_asked_for(registry: Scripted, client: RegistryClient) -> None:
    with pytest.raises(ReferenceInvalid):
        await client.referrers(registry.app, "sha256:../x", ANYBODY)
    assert registry.seen == []
