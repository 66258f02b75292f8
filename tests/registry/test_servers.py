"""The ordinary cases against three real registries: docker-registry 2, distribution 3 and zuul-registry.

All three ask for a password over TLS with a certificate of their own authority, by Basic or by a token.
"""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import bcrypt
import pytest
from tests.adapters.registry.scripted import INDEX, Authority, access
from tests.registry import servers
from tests.registry.conftest import blob, image, obtained

from podpin.adapters.registry.client import RegistryClient
from podpin.core.keyring import Access
from podpin.errors import Denied, NotFound, PodpinError, Untrusted

if TYPE_CHECKING:
    from pathlib import Path

    from tests.registry.conftest import RealRegistry, StartRegistry

pytestmark = pytest.mark.cluster

BASIC = "Basic " + base64.b64encode(b"me:hunter2").decode()
LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER = "application/vnd.docker.distribution.manifest.v2+json"
SERVERS = ("docker-registry", "distribution", "zuul-registry")


@dataclass(frozen=True)
class Server:
    """A running registry, a client that may reach it, and the access that it asks for."""

    registry: RealRegistry
    client: RegistryClient
    access: Access


@pytest.fixture(params=SERVERS)
async def server(
    request: pytest.FixtureRequest,
    start_registry: StartRegistry,
    start_zuul_registry: StartRegistry,
    authority: Authority,
    tmp_path: Path,
) -> AsyncIterator[Server]:
    if request.param == "zuul-registry":
        registry = await start_zuul_registry()
    else:
        passwords = tmp_path / "htpasswd"
        passwords.write_text(f"me:{bcrypt.hashpw(b'hunter2', bcrypt.gensalt(4, b'2a')).decode()}\n")
        auth = {"auth": {"htpasswd": {"realm": "test", "path": str(passwords)}}}
        program = obtained(servers.distribution()) if request.param == "distribution" else None
        registry = await start_registry(auth, authorization=BASIC, authority=authority, program=program)
    client = RegistryClient(reachable_hosts=frozenset({registry.host}))
    yield Server(registry, client, access(registry.host, ca=authority.pem))
    await client.close()


async def test_a_tag_is_resolved_and_seen_to_move(server: Server) -> None:
    repository = server.registry.repository("shop/web")
    first = await server.registry.push("shop/web", "1.0", image("first"))
    assert await server.client.resolve(repository, "1.0", server.access) == first
    assert await server.client.resolve(repository, "1.0", server.access, known=first) == first
    second = await server.registry.push("shop/web", "1.0", image("second"))
    assert await server.client.resolve(repository, "1.0", server.access, known=first) == second
    for digest in (first, second):
        assert await server.client.exists(repository, digest, server.access) is True


@pytest.mark.parametrize(("index", "child"), [(INDEX, None), (LIST, DOCKER)], ids=["OCI", "Docker"])
async def test_a_tag_leads_to_the_index_and_not_to_a_platform(server: Server, index: str, child: str | None) -> None:
    kind = child or "application/vnd.oci.image.manifest.v1+json"
    manifests = []
    for architecture in ("amd64", "arm64"):
        content = image(architecture, mediaType=kind)
        digest = await server.registry.push("app", None, content, kind=kind)
        platform = {"os": "linux", "architecture": architecture}
        manifests.append({"mediaType": kind, "digest": digest, "size": 1, "platform": platform})
    content = {"schemaVersion": 2, "mediaType": index, "manifests": manifests}
    whole = await server.registry.push("app", "1", content, kind=index)
    assert await server.client.resolve(server.registry.repository("app"), "1", server.access) == whole


async def test_tags_are_listed_without_signatures(server: Server) -> None:
    tags = {f"1.{minor}.0" for minor in range(120)}
    for tag in tags:
        digest = await server.registry.push("app", tag, image("one"))
    await server.registry.push("app", digest.replace(":", "-") + ".sig", image("signature"))
    assert set(await server.client.list_tags(server.registry.repository("app"), server.access)) == tags


async def test_manifests_and_blobs_come_as_they_were_pushed(server: Server) -> None:
    digest = await server.registry.push("app", "1", image("one"))
    repository = server.registry.repository("app")
    config = blob("one config")
    for name in ("1", digest):
        assert (await server.client.manifest(repository, name, server.access)).digest == digest
    assert await server.client.blob(repository, config["digest"], server.access, 100) == b"one config"
    with pytest.raises(Untrusted, match="more than 5 bytes"):
        await server.client.blob(repository, config["digest"], server.access, 5)


async def test_what_is_missing_is_never_taken_for_there(server: Server, request: pytest.FixtureRequest) -> None:
    await server.registry.push("app", "1", image("one"))
    # zuul-registry says it with a page for people, as something in front of a registry would.
    error: type[PodpinError] = Untrusted if "zuul-registry" in request.node.name else NotFound
    for path, tag in (("app", "2"), ("other", "1")):
        with pytest.raises(error):
            await server.client.resolve(server.registry.repository(path), tag, server.access)


async def test_who_is_not_let_in_hears_why(server: Server, authority: Authority) -> None:
    await server.registry.push("app", "1", image("one"))
    host, repository = server.registry.host, server.registry.repository("app")
    with pytest.raises(Untrusted, match="caSecret"):
        await server.client.resolve(repository, "1", access(host))
    with pytest.raises(Denied, match="check the Secret"):
        await server.client.resolve(repository, "1", access(host, password="wrong", ca=authority.pem))
    with pytest.raises(Denied, match="pullSecrets"):
        await server.client.resolve(repository, "1", Access(ca=authority.pem))
