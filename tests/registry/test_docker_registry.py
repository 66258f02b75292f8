"""The client against a real registry: Debian's docker-registry 2.8.2."""

from __future__ import annotations

import base64
import contextlib
import json
import time
from typing import TYPE_CHECKING, Any

import bcrypt
import pytest
from aiohttp import web
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from tests.adapters.registry.scripted import INDEX, Authority, access, reply, serving
from tests.registry.conftest import image

from podpin.adapters.registry.client import RegistryClient
from podpin.core.keyring import Access
from podpin.errors import Denied, NotFound, Untrusted

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.registry.conftest import RealRegistry, StartRegistry

pytestmark = pytest.mark.cluster

ANYBODY = Access()
BASIC = "Basic " + base64.b64encode(b"me:hunter2").decode()
ATTESTATION = {"vnd.docker.reference.type": "attestation-manifest"}
LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER = "application/vnd.docker.distribution.manifest.v2+json"


@contextlib.asynccontextmanager
async def client_for(registry: RealRegistry) -> AsyncIterator[RegistryClient]:
    hosts = frozenset({registry.host})
    insecure = hosts if registry.scheme == "http" else frozenset[str]()
    client = RegistryClient(insecure_hosts=insecure, reachable_hosts=hosts)
    try:
        yield client
    finally:
        await client.close()


async def test_resolves_what_was_pushed_and_sees_it_move(start_registry: StartRegistry) -> None:
    registry = await start_registry()
    first = await registry.push("shop/web", "1.0", image("first"))
    repository = registry.repository("shop/web")
    async with client_for(registry) as client:
        assert await client.resolve(repository, "1.0", ANYBODY) == first
        assert await client.resolve(repository, "1.0", ANYBODY, known=first) == first
        second = await registry.push("shop/web", "1.0", image("second"))
        assert await client.resolve(repository, "1.0", ANYBODY, known=first) == second
        assert await client.exists(repository, first, ANYBODY) is True
        await registry.delete("shop/web", first)
        assert await client.exists(repository, first, ANYBODY) is False
        assert await client.exists(repository, second, ANYBODY) is True


@pytest.mark.parametrize(("index", "child"), [(INDEX, None), (LIST, DOCKER)])
async def test_resolves_to_the_index_and_not_to_a_platform(
    start_registry: StartRegistry, index: str, child: str | None
) -> None:
    registry = await start_registry()
    repository = registry.repository("app")
    own = {} if child is None else {"mediaType": child}
    kind = {} if child is None else {"kind": child}
    parts = [await registry.push("app", None, image(name, **own), **kind) for name in ("amd64", "arm64", "attestation")]
    media_type = child or "application/vnd.oci.image.manifest.v1+json"
    manifests = [
        {"mediaType": media_type, "digest": parts[0], "size": 1, "platform": {"os": "linux", "architecture": "amd64"}},
        {"mediaType": media_type, "digest": parts[1], "size": 1, "platform": {"os": "linux", "architecture": "arm64"}},
        {
            "mediaType": media_type,
            "digest": parts[2],
            "size": 1,
            "platform": {"os": "unknown", "architecture": "unknown"},
            "annotations": ATTESTATION,
        },
    ]
    content = {"schemaVersion": 2, "mediaType": index, "manifests": manifests}
    whole = await registry.push("app", "1", content, kind=index)
    async with client_for(registry) as client:
        assert await client.resolve(repository, "1", ANYBODY) == whole


async def test_resolves_a_manifest_without_a_media_type_as_umoci_makes_it(start_registry: StartRegistry) -> None:
    registry = await start_registry()
    content = image("umoci")
    del content["mediaType"]
    digest = await registry.push("app", "1", content)
    async with client_for(registry) as client:
        assert await client.resolve(registry.repository("app"), "1", ANYBODY) == digest


async def test_says_what_is_missing(start_registry: StartRegistry) -> None:
    registry = await start_registry()
    await registry.push("app", "1", image("one"))
    async with client_for(registry) as client:
        with pytest.raises(NotFound, match="has no app:2"):
            await client.resolve(registry.repository("app"), "2", ANYBODY)
        with pytest.raises(NotFound, match="has no"):
            await client.resolve(registry.repository("other"), "1", ANYBODY)
        with pytest.raises(NotFound, match="has no repository other"):
            await client.list_tags(registry.repository("other"), ANYBODY)


async def test_lists_tags_without_signatures(start_registry: StartRegistry) -> None:
    registry = await start_registry()
    tags = {f"1.{minor}.0" for minor in range(120)}
    for tag in tags:
        digest = await registry.push("app", tag, image("one"))
    await registry.push("app", digest.replace(":", "-") + ".sig", image("signature"))
    async with client_for(registry) as client:
        assert set(await client.list_tags(registry.repository("app"), ANYBODY)) == tags


async def test_a_private_registry_takes_its_ca_and_its_password(
    start_registry: StartRegistry, authority: Authority, tmp_path: Path
) -> None:
    passwords = tmp_path / "htpasswd"
    passwords.write_text(f"me:{bcrypt.hashpw(b'hunter2', bcrypt.gensalt(4, b'2a')).decode()}\n")
    auth = {"auth": {"htpasswd": {"realm": "test", "path": str(passwords)}}}
    registry = await start_registry(auth, authorization=BASIC, authority=authority)
    digest = await registry.push("app", "1", image("one"))
    repository = registry.repository("app")
    async with client_for(registry) as client:
        assert await client.resolve(repository, "1", access(registry.host, ca=authority.pem)) == digest
        assert await client.list_tags(repository, access(registry.host, ca=authority.pem)) == ("1",)
        with pytest.raises(Untrusted, match="caSecret"):
            await client.resolve(repository, "1", access(registry.host))
        with pytest.raises(Denied, match="check the Secret"):
            await client.resolve(repository, "1", access(registry.host, password="wrong", ca=authority.pem))
        with pytest.raises(Denied, match="pullSecrets"):
            await client.resolve(repository, "1", Access(ca=authority.pem))


async def test_a_registry_with_a_token_server_of_its_own(start_registry: StartRegistry, authority: Authority) -> None:
    bundle = authority.directory / "bundle.pem"
    bundle.write_bytes(authority.pem)

    def token(actions: list[str]) -> str:
        return _token(authority, "app", actions)

    async def serve_token(request: web.BaseRequest) -> web.StreamResponse:
        assert request.query.get("service") == "test"
        assert request.query.get("scope") == "repository:app:pull"
        actions = ["pull"] if request.headers.get("Authorization") == BASIC else []
        return await reply(200, {"access_token": token(actions), "expires_in": 300})(request)

    async with serving() as realm:
        realm.on("*", serve_token)
        auth = {"realm": f"http://{realm.host}/token", "service": "test", "issuer": "test"}
        more = {"auth": {"token": {**auth, "rootcertbundle": str(bundle)}}}
        registry = await start_registry(more, authorization=f"Bearer {token(['pull', 'push'])}")
        digest = await registry.push("app", "1", image("one"))
        repository = registry.repository("app")
        client = RegistryClient(insecure_hosts=frozenset({registry.host, realm.host}))
        for _ in range(2):
            assert await client.resolve(repository, "1", access(registry.host)) == digest
        assert len(realm.seen) == 1
        assert await client.list_tags(repository, access(registry.host)) == ("1",)
        with pytest.raises(Denied):
            await client.resolve(repository, "1", ANYBODY)
        await client.close()


def _token(authority: Authority, path: str, actions: list[str]) -> str:
    """A JSON Web Token as docker-registry checks it: ES256, with the certificate in the header."""

    def part(value: dict[str, Any]) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")

    now = int(time.time())  # noqa: TID251 -- the registry looks at the real clock
    certificate = base64.b64encode(authority.certificate.public_bytes(serialization.Encoding.DER)).decode()
    header = part({"typ": "JWT", "alg": "ES256", "x5c": [certificate]})
    claims = part(
        {
            "iss": "test",
            "sub": "me",
            "aud": "test",
            "nbf": now - 60,
            "iat": now - 60,
            "exp": now + 300,
            "jti": "1",
            "access": [{"type": "repository", "name": path, "actions": actions}],
        }
    )
    r, s = decode_dss_signature(authority.key.sign(f"{header}.{claims}".encode(), ECDSA(hashes.SHA256())))
    signature = base64.urlsafe_b64encode(r.to_bytes(32, "big") + s.to_bytes(32, "big")).decode().rstrip("=")
    return f"{header}.{claims}.{signature}"
