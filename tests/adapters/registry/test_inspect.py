"""What an image is, out of the documents that a registry has of it: how few are asked for, and what may be missing."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from tests.adapters.registry.scripted import IMAGE, INDEX, Scripted, digest_of, manifest, missing, reply

from podpin.core.keyring import Access
from podpin.errors import NotFound, Unavailable

if TYPE_CHECKING:
    from podpin.adapters.registry.client import RegistryClient

ANYBODY = Access()
CREATED = "org.opencontainers.image.created"


def put_config(registry: Scripted, **content: Any) -> dict[str, Any]:
    """A config in the registry; returns its descriptor."""
    body = json.dumps({"os": "linux", "architecture": "amd64", **content}).encode()
    registry.on(f"GET /v2/app/blobs/{digest_of(body)}", reply(200, body, kind="application/octet-stream"))
    return {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": digest_of(body), "size": 50}


def put_image(registry: Scripted, config: dict[str, Any], *sizes: int, **annotations: str) -> str:
    layers = [{"mediaType": "x", "digest": digest_of(bytes([size])), "size": size} for size in sizes]
    body = {"schemaVersion": 2, "mediaType": IMAGE, "config": config, "layers": layers, "annotations": annotations}
    return put_manifest(registry, IMAGE, body)


def put_manifest(registry: Scripted, kind: str, content: dict[str, Any]) -> str:
    body = json.dumps(content).encode()
    registry.on(f"GET /v2/app/manifests/{digest_of(body)}", manifest(body, kind))
    return digest_of(body)


def put_index(registry: Scripted, *images: tuple[str, str], **annotations: str) -> str:
    entries = [
        {"mediaType": IMAGE, "digest": digest, "size": 1, "platform": {"os": "linux", "architecture": arch}}
        for arch, digest in images
    ]
    body = {"schemaVersion": 2, "mediaType": INDEX, "manifests": entries, "annotations": annotations}
    return put_manifest(registry, INDEX, body)


async def test_an_image_costs_its_manifest_and_its_config(registry: Scripted, client: RegistryClient) -> None:
    digest = put_image(registry, put_config(registry, created="2026-11-20T10:00:00Z"), 100, 20)
    facts = await client.inspect(registry.app, digest, ANYBODY)
    assert facts.platforms == ("linux/amd64",)
    assert facts.size == 170
    assert facts.created is not None
    assert [line.split("/")[3] for line in registry.asked] == ["manifests", "blobs"]


async def test_an_index_is_looked_into_for_the_wanted_platform(registry: Scripted, client: RegistryClient) -> None:
    dated = {CREATED: "2026-11-20T10:00:00Z"}
    amd = put_image(registry, put_config(registry), 100)
    arm = put_image(registry, put_config(registry, architecture="arm64"), 7)
    digest = put_index(registry, ("amd64", amd), ("arm64", arm), **dated)
    facts = await client.inspect(registry.app, digest, ANYBODY, ("linux/arm64",))
    assert (facts.platforms, facts.size) == (("linux/amd64", "linux/arm64"), 57)
    assert registry.asked == [f"GET /v2/app/manifests/{digest}", f"GET /v2/app/manifests/{arm}"]


async def test_an_index_without_a_time_costs_the_config_too(registry: Scripted, client: RegistryClient) -> None:
    amd = put_image(registry, put_config(registry, created="2026-11-20T10:00:00Z"), 100)
    facts = await client.inspect(registry.app, put_index(registry, ("amd64", amd)), ANYBODY)
    assert facts.created is not None
    assert [line.split("/")[3] for line in registry.asked] == ["manifests", "manifests", "blobs"]


async def test_an_index_of_nothing_is_described_as_that(registry: Scripted, client: RegistryClient) -> None:
    facts = await client.inspect(registry.app, put_index(registry), ANYBODY)
    assert (facts.platforms, facts.size) == ((), None)
    assert len(registry.asked) == 1


async def test_what_the_registry_does_not_show_is_unknown(registry: Scripted, client: RegistryClient) -> None:
    config = put_config(registry, created="2026-11-20T10:00:00Z")
    digest = put_image(registry, config, 100)
    for answer in (reply(403), reply(200, b"{}"), missing("BLOB_UNKNOWN"), reply(200, "<html>", kind="text/html")):
        registry.on(f"GET /v2/app/blobs/{config['digest']}", answer)
        facts = await client.inspect(registry.app, digest, ANYBODY)
        assert (facts.platforms, facts.created, facts.size) == ((), None, 150)


async def test_a_registry_that_does_not_answer_is_no_unknown_image(registry: Scripted, client: RegistryClient) -> None:
    config = put_config(registry)
    digest = put_image(registry, config, 100)
    registry.on(f"GET /v2/app/blobs/{config['digest']}", reply(500))
    with pytest.raises(Unavailable):
        await client.inspect(registry.app, digest, ANYBODY)


async def test_an_image_that_is_not_there_is_said_to_be_so(registry: Scripted, client: RegistryClient) -> None:
    with pytest.raises(NotFound):
        await client.inspect(registry.app, "sha256:" + "0" * 64, ANYBODY)


async def test_a_config_that_is_no_object_says_nothing(registry: Scripted, client: RegistryClient) -> None:
    body = b"[1]"
    registry.on(f"GET /v2/app/blobs/{digest_of(body)}", reply(200, body))
    digest = put_image(registry, {"digest": digest_of(body), "size": 3}, 100)
    assert (await client.inspect(registry.app, digest, ANYBODY)).platforms == ()
