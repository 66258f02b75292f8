"""Mirrors: what they are asked for, with whose credentials, and what happens when they fail."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from tests.adapters.registry.scripted import IMAGE, INDEX, Scripted, access, digest_of, image, manifest, missing, reply
from tests.adapters.registry.test_auth import basic

from podpin.core.keyring import Access, Keyring
from podpin.core.mirrors import Mirror
from podpin.errors import NotFound, Unavailable

if TYPE_CHECKING:
    from tests.adapters.registry.conftest import NewClient, Serve
    from tests.adapters.registry.scripted import Reply

    from podpin.adapters.registry.client import RegistryClient

ANYBODY = Access()
DIGEST = digest_of(image())
HEAD = "HEAD /v2/app/manifests/1"
BY_DIGEST = f"GET /v2/app/manifests/{DIGEST}"
MIRRORED = f"GET /v2/hub/app/manifests/{DIGEST}"


@pytest.fixture
async def mirror(serve: Serve) -> Scripted:
    return await serve("localhost")


def mirrored(source: Scripted, mirror: Scripted, new_client: NewClient, **more: Any) -> RegistryClient:
    return new_client(source, mirror, mirrors=[Mirror(source.host, f"{mirror.host}/hub", **more)])


async def test_the_source_says_which_digest_and_the_mirror_gives_it(
    registry: Scripted, mirror: Scripted, new_client: NewClient
) -> None:
    registry.serves("1")
    mirror.on(MIRRORED, manifest())
    client = mirrored(registry, mirror, new_client)
    assert await client.resolve(registry.app, "1", ANYBODY) == DIGEST
    assert registry.asked == [HEAD]
    assert mirror.asked == [MIRRORED]
    assert (await client.manifest(registry.app, DIGEST, ANYBODY)).digest == DIGEST
    assert len(registry.seen) + len(mirror.seen) == 2  # proven a moment ago, and not fetched again
    await client.resolve(registry.app, "1", ANYBODY, known=DIGEST)
    assert mirror.asked == [MIRRORED]


async def test_a_blob_comes_from_the_mirror(registry: Scripted, mirror: Scripted, new_client: NewClient) -> None:
    mirror.on(f"GET /v2/hub/app/blobs/{digest_of(b'x')}", reply(200, b"x"))
    client = mirrored(registry, mirror, new_client)
    assert await client.blob(registry.app, digest_of(b"x"), ANYBODY, 10) == b"x"
    assert registry.seen == []


async def test_what_no_prefix_names_is_asked_of_its_source_alone(
    registry: Scripted, mirror: Scripted, new_client: NewClient
) -> None:
    registry.serves("1")
    client = new_client(registry, mirror, mirrors=[Mirror("docker.io", mirror.host)])
    await client.resolve(registry.app, "1", ANYBODY)
    assert mirror.seen == []


FLAWS: dict[str, Reply] = {
    "it does not have it": missing(),
    "it refuses": reply(401),
    "it is out of service": reply(503),
    "it sends something else": manifest(image("another")),
    "it sends a web page": reply(200, "<html>", kind="text/html"),
    "it sends what is no manifest": reply(200, b"{}", kind=IMAGE),
}


@pytest.mark.parametrize("flaw", FLAWS.values(), ids=FLAWS)
async def test_the_source_is_asked_where_a_mirror_fails_because(
    registry: Scripted, mirror: Scripted, new_client: NewClient, flaw: Reply
) -> None:
    registry.serves("1")
    mirror.on("*", flaw)
    assert await mirrored(registry, mirror, new_client).resolve(registry.app, "1", ANYBODY) == DIGEST
    assert registry.asked == [HEAD, BY_DIGEST]
    assert mirror.asked == [MIRRORED]


async def test_mirrors_are_asked_in_their_order(registry: Scripted, serve: Serve, new_client: NewClient) -> None:
    first, second, third = [await serve("localhost") for _ in range(3)]
    registry.serves("1")
    for mirror in (second, third):
        mirror.serves("1")
    mirrors = [Mirror(registry.host, mirror.host) for mirror in (first, second, third)]
    client = new_client(registry, first, second, third, mirrors=mirrors)
    await client.resolve(registry.app, "1", ANYBODY)
    assert (first.asked, second.asked, third.asked) == ([BY_DIGEST], [BY_DIGEST], [])


async def test_the_error_of_the_source_is_the_one_that_counts(
    registry: Scripted, mirror: Scripted, new_client: NewClient
) -> None:
    mirror.on("*", reply(503))
    client = mirrored(registry, mirror, new_client, tags=True)
    with pytest.raises(NotFound, match=f"at {registry.host} has no app:1"):
        await client.resolve(registry.app, "1", ANYBODY)
    registry.on("*", reply(503))
    with pytest.raises(Unavailable, match=registry.host):
        await client.list_tags(registry.app, ANYBODY)


async def test_each_gets_its_own_credentials_and_never_the_others(
    registry: Scripted, mirror: Scripted, new_client: NewClient
) -> None:
    async def locked(request: Any) -> Any:
        if "Authorization" in request.headers:
            return await manifest()(request)
        return await reply(401, www_authenticate="Basic")(request)

    registry.on("*", locked)
    mirror.on("*", locked)
    client = mirrored(registry, mirror, new_client)
    source_only = access(registry.host, user="source")
    await client.resolve(registry.app, "1", source_only)
    assert set(mirror.authorizations) == {None}
    both = Keyring((*source_only.keyring.entries, *access(f"{mirror.host}/hub", user="mirror").keyring.entries))
    await mirrored(registry, mirror, new_client).resolve(registry.app, "1", Access(both))
    assert set(mirror.authorizations) == {None, basic("mirror")}
    assert set(registry.authorizations) == {None, basic("source")}


async def test_a_mirror_is_asked_for_no_tags_unless_it_stands_for_the_source(
    registry: Scripted, mirror: Scripted, new_client: NewClient
) -> None:
    for server, tag in ((registry, "1"), (mirror, "2")):
        for path in ("app", "hub/app"):
            server.on(f"GET /v2/{path}/tags/list", reply(200, {"tags": [tag]}))
            server.on(f"HEAD /v2/{path}/manifests/1", manifest())
            server.on(f"HEAD /v2/{path}/manifests/{DIGEST}", manifest())
    plain, standing = (mirrored(registry, mirror, new_client, tags=tags) for tags in (False, True))
    assert await plain.list_tags(registry.app, ANYBODY) == ("1",)
    assert await plain.resolve(registry.app, "1", ANYBODY, known=DIGEST) == DIGEST
    assert await plain.exists(registry.app, DIGEST, ANYBODY) is True
    assert mirror.seen == []
    registry.seen.clear()
    assert await standing.list_tags(registry.app, ANYBODY) == ("2",)
    assert await standing.resolve(registry.app, "1", ANYBODY, known=DIGEST) == DIGEST
    assert await standing.exists(registry.app, DIGEST, ANYBODY) is True
    assert registry.seen == []


async def test_referrers_are_asked_of_a_mirror_that_stands_for_the_source_if_it_can_tell(
    registry: Scripted, mirror: Scripted, new_client: NewClient
) -> None:
    def listing(*letters: str) -> Reply:
        entries = [{"mediaType": IMAGE, "digest": "sha256:" + letter * 64, "size": 1} for letter in letters]
        return reply(200, {"schemaVersion": 2, "mediaType": INDEX, "manifests": entries}, kind=INDEX)

    async def told(client: RegistryClient) -> list[str]:
        return [one.digest[-1] for one in await client.referrers(registry.app, DIGEST, ANYBODY) or ()]

    registry.on(f"GET /v2/app/referrers/{DIGEST}", listing("a"))
    plain, standing = (mirrored(registry, mirror, new_client, tags=tags) for tags in (False, True))
    assert await told(plain) == ["a"]
    assert mirror.seen == []
    assert await told(standing) == ["a"], "the mirror lacks the API"
    mirror.on(f"GET /v2/hub/app/referrers/{DIGEST}", listing())
    assert await told(standing) == ["a"], "or copies no referrers"
    mirror.on(f"GET /v2/hub/app/referrers/{DIGEST}", listing("b"))
    registry.seen.clear()
    assert await told(standing) == ["b"]
    assert registry.seen == []


async def test_a_tag_of_a_mirror_is_proven_too(registry: Scripted, mirror: Scripted, new_client: NewClient) -> None:
    mirror.on("HEAD /v2/hub/app/manifests/1", manifest(digest="sha256:" + "0" * 64))
    mirror.on(f"GET /v2/hub/app/manifests/sha256:{'0' * 64}", manifest())
    registry.serves("1")
    assert await mirrored(registry, mirror, new_client, tags=True).resolve(registry.app, "1", ANYBODY) == DIGEST
    assert registry.asked == [HEAD, BY_DIGEST]


async def test_a_digest_that_is_gone_everywhere_is_gone(
    registry: Scripted, mirror: Scripted, new_client: NewClient
) -> None:
    client = mirrored(registry, mirror, new_client, tags=True)
    assert await client.exists(registry.app, DIGEST, ANYBODY) is False
