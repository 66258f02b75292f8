"""The ordinary cases against three real registries: docker-registry 2, distribution 3 and zuul-registry.

All three ask for a password over TLS with a certificate of their own authority, by Basic or by a token.
"""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import aiohttp
import bcrypt
import pytest
from aiohttp import web
from tests.adapters.registry.scripted import INDEX, Authority, access, serving
from tests.registry import servers
from tests.registry.conftest import blob, image, obtained
from yarl import URL

from podpin.adapters.registry.client import RegistryClient
from podpin.core.keyring import Access
from podpin.core.mirrors import Mirror
from podpin.errors import Denied, NotFound, PodpinError, Untrusted

if TYPE_CHECKING:
    from pathlib import Path

    from tests.registry.conftest import RealRegistry, StartRegistry

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(180)]  # the first has to end what ran before

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


async def test_a_list_on_many_pages_is_read_to_its_end(start_registry: StartRegistry) -> None:
    # distribution 3 pages for those alone who ask for it, which podpin does not: something in front asks.
    registry = await start_registry(program=obtained(servers.distribution()))
    tags = {f"1.{minor}.0" for minor in range(40)}
    for tag in tags:
        await registry.push("app", tag, image("one"))

    async def ask(request: web.BaseRequest) -> web.StreamResponse:
        pages.append(request.path_qs)
        url = URL(f"http://{registry.host}{request.path_qs}", encoded=True)
        async with aiohttp.request("GET", url if "n" in request.query else url.update_query(n=7)) as answer:
            headers = {name: answer.headers[name] for name in ("Content-Type", "Link") if name in answer.headers}
            return web.Response(body=await answer.read(), headers=headers)

    pages: list[str] = []
    async with serving() as front:
        front.on("*", ask)
        client = RegistryClient(insecure_hosts=frozenset({front.host}))
        assert set(await client.list_tags(front.app, Access())) == tags
        await client.close()
    assert 40 / 7 <= len(pages) <= 40 / 7 + 2


async def test_a_real_mirror_gives_what_the_source_names(start_registry: StartRegistry, tmp_path: Path) -> None:
    source = await start_registry()
    elsewhere = {"storage": {"filesystem": {"rootdirectory": str(tmp_path / "mirror")}}}
    mirror = await start_registry(elsewhere, program=obtained(servers.distribution()))
    digest = await source.push("app", "1", image("one"))
    assert await mirror.push("hub/app", "other", image("one")) == digest
    only_there = await mirror.push("hub/app", "2", image("two"))
    hosts = frozenset({source.host, mirror.host})
    client = RegistryClient(insecure_hosts=hosts, mirrors=[Mirror(source.host, f"{mirror.host}/hub")])
    repository = source.repository("app")
    assert await client.resolve(repository, "1", Access()) == digest
    assert (await client.manifest(repository, only_there, Access())).digest == only_there
    assert await client.blob(repository, blob("two")["digest"], Access(), 10) == b"two"
    # Tags are the source's.
    assert await client.list_tags(repository, Access()) == ("1",)
    with pytest.raises(NotFound, match=f"{source.host} has no app:2"):
        await client.resolve(repository, "2", Access())
    await client.close()
