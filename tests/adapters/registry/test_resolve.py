"""From a tag to a digest, over every way in which registries differ."""

from __future__ import annotations

import gzip
import json
from typing import TYPE_CHECKING

import pytest
from tests.adapters.registry.scripted import (
    IMAGE,
    INDEX,
    Scripted,
    access,
    digest_of,
    image,
    manifest,
    missing,
    reply,
)

from podpin.core.keyring import Access
from podpin.core.reference import ReferenceInvalid
from podpin.errors import Denied, Invalid, NotFound, Unavailable, Untrusted

if TYPE_CHECKING:
    from tests.adapters.registry.conftest import NewClient, Serve
    from tests.adapters.registry.scripted import Reply

    from podpin.adapters.registry.client import RegistryClient

ANYBODY = Access()
TAG = "HEAD /v2/app/manifests/1", "GET /v2/app/manifests/1"
WRONG = "sha256:" + "0" * 64
LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER = "application/vnd.docker.distribution.manifest.v2+json"


async def test_a_known_digest_costs_one_head(registry: Scripted, client: RegistryClient) -> None:
    digest = registry.serves("1")
    assert await client.resolve(registry.app, "1", ANYBODY, known=digest) == digest
    assert registry.asked == ["HEAD /v2/app/manifests/1"]


async def test_a_new_digest_is_fetched_by_digest_and_computed(registry: Scripted, client: RegistryClient) -> None:
    digest = registry.serves("1")
    assert await client.resolve(registry.app, "1", ANYBODY, known=WRONG) == digest
    assert registry.asked == ["HEAD /v2/app/manifests/1", f"GET /v2/app/manifests/{digest}"]


async def test_every_request_accepts_all_four_kinds_and_no_encoding(registry: Scripted, client: RegistryClient) -> None:
    registry.serves("1")
    await client.resolve(registry.app, "1", ANYBODY)
    for request in registry.seen:
        kinds = request.headers["Accept"].split(", ")
        assert set(kinds) == {INDEX, IMAGE, LIST, DOCKER}
        assert request.headers["Accept-Encoding"] == "identity"


INDEXES = {
    "an OCI index": (INDEX, {"schemaVersion": 2, "mediaType": INDEX, "manifests": []}),
    "a Docker list": (LIST, {"schemaVersion": 2, "mediaType": LIST, "manifests": []}),
    "an index without a mediaType": (INDEX, {"schemaVersion": 2, "manifests": []}),
    "an OCI manifest without a mediaType, as umoci makes it": (IMAGE, {"schemaVersion": 2, "config": {}, "layers": []}),
    "a Docker manifest": (DOCKER, {"schemaVersion": 2, "mediaType": DOCKER, "config": {}, "layers": []}),
    "parameters after the type": (f"{IMAGE}; charset=utf-8", {"mediaType": IMAGE, "config": {}, "layers": []}),
}


@pytest.mark.parametrize(("kind", "content"), INDEXES.values(), ids=INDEXES)
async def test_takes_every_kind_at_its_top(
    registry: Scripted, client: RegistryClient, kind: str, content: object
) -> None:
    digest = registry.serves("1", json.dumps(content).encode(), kind)
    assert await client.resolve(registry.app, "1", ANYBODY) == digest


HEADS = {
    "HEAD without a digest": reply(200, kind=IMAGE),
    "HEAD with a digest that is none": reply(200, kind=IMAGE, docker_content_digest="sha256:abc"),
    "HEAD with a digest of another kind": reply(200, kind=IMAGE, docker_content_digest="sha512:" + "a" * 128),
    "HEAD with a path for a digest": reply(200, kind=IMAGE, docker_content_digest="sha256:../../../etc"),
    "HEAD refused": reply(405),
    "HEAD says 404 and GET does not": reply(404),
    "HEAD says 400": reply(400),
}


@pytest.mark.parametrize("head", HEADS.values(), ids=HEADS)
async def test_where_head_does_not_tell_get_does(registry: Scripted, client: RegistryClient, head: Reply) -> None:
    digest = registry.serves("1")
    registry.on(TAG[0], head)
    assert await client.resolve(registry.app, "1", ANYBODY) == digest
    assert registry.asked == list(TAG)


async def test_where_head_does_not_tell_get_is_conditional(registry: Scripted, client: RegistryClient) -> None:
    digest = registry.serves("1")
    registry.on(TAG[0], reply(405))
    registry.on(TAG[1], reply(304), manifest())
    assert await client.resolve(registry.app, "1", ANYBODY, known=WRONG) == WRONG
    assert await client.resolve(registry.app, "1", ANYBODY, known=WRONG) == digest
    assert registry.seen[1].headers["If-None-Match"] == f'"{WRONG}"'


async def test_not_modified_is_no_answer_to_who_knows_nothing(registry: Scripted, client: RegistryClient) -> None:
    registry.on("*", reply(304))
    with pytest.raises(Unavailable, match="HTTP 304"):
        await client.resolve(registry.app, "1", ANYBODY)


async def test_get_without_a_digest_header_is_computed(registry: Scripted, client: RegistryClient) -> None:
    registry.on(TAG[0], reply(405))
    registry.on(TAG[1], reply(200, image(), kind=IMAGE))
    assert await client.resolve(registry.app, "1", ANYBODY) == digest_of(image())


async def test_get_without_any_type_is_taken_by_its_shape(registry: Scripted, client: RegistryClient) -> None:
    body = b'{"schemaVersion": 2, "manifests": []}'
    registry.on(TAG[0], reply(405))
    registry.on(TAG[1], reply(200, body, kind=""))
    assert await client.resolve(registry.app, "1", ANYBODY) == digest_of(body)


async def test_a_wrong_digest_by_head_is_found_out(registry: Scripted, client: RegistryClient) -> None:
    registry.on(TAG[0], manifest(digest=WRONG))
    registry.on(f"GET /v2/app/manifests/{WRONG}", manifest(digest=WRONG))
    with pytest.raises(Untrusted, match=f"has the digest {digest_of(image())}, and not {WRONG}"):
        await client.resolve(registry.app, "1", ANYBODY)


async def test_a_wrong_digest_by_get_is_found_out(registry: Scripted, client: RegistryClient) -> None:
    registry.on(TAG[0], reply(405))
    registry.on(TAG[1], manifest(digest=WRONG))
    with pytest.raises(Untrusted, match="and not sha256:000"):
        await client.resolve(registry.app, "1", ANYBODY)


async def test_a_digest_that_the_registry_does_not_have_says_nothing_about_the_tag(
    registry: Scripted, client: RegistryClient
) -> None:
    registry.on(TAG[0], manifest(digest=WRONG))
    with pytest.raises(Unavailable, match="does not have it"):
        await client.resolve(registry.app, "1", ANYBODY)


async def test_a_manifest_that_came_compressed_is_proven_as_it_was_meant(
    registry: Scripted, client: RegistryClient
) -> None:
    registry.on(TAG[0], reply(405))
    registry.on(TAG[1], reply(200, gzip.compress(image()), kind=IMAGE, content_encoding="gzip"))
    assert await client.resolve(registry.app, "1", ANYBODY) == digest_of(image())


UNTRUSTED = {
    "a web page": (reply(200, "<html>log in</html>", kind="text/html"), "web page"),
    "a web page that calls itself a manifest": (reply(200, "\n <!DOCTYPE html>", kind=IMAGE), "web page"),
    "no JSON": (reply(200, "nonsense", kind=IMAGE), "not a JSON object"),
    "a JSON list": (reply(200, [], kind=IMAGE), "not a JSON object"),
    "JSON nested without end": (reply(200, b"[" * 200_000, kind=IMAGE), "not a JSON object"),
    "schema 1 by its type": (
        reply(200, {}, kind="application/vnd.docker.distribution.manifest.v1+prettyjws"),
        "schema 1",
    ),
    "schema 1 by its version": (reply(200, {"schemaVersion": 1}, kind=IMAGE), "schema 1"),
    "two types": (reply(200, {"mediaType": INDEX, "config": {}, "layers": []}, kind=IMAGE), "contradicts itself"),
    "a type that is no text": (reply(200, {"mediaType": 7, "config": {}, "layers": []}, kind=IMAGE), "contradicts"),
    "two images in one": (reply(200, {"manifests": [], "layers": []}, kind=INDEX), "two different images"),
    "an index with a config": (reply(200, {"manifests": [], "config": {}}, kind=INDEX), "two different images"),
    "an unknown type": (reply(200, {"mediaType": "text/x"}, kind="text/x"), "neither a manifest nor an index"),
    "an index without manifests": (reply(200, {}, kind=INDEX), "lacks"),
    "a manifest without layers": (reply(200, {"config": {}}, kind=IMAGE), "lacks"),
    "an encoding that nobody asked for": (reply(200, b"x", kind=IMAGE, content_encoding="br"), "encoding"),
    "an encoding that is not what it says": (reply(200, "no gzip", kind=IMAGE, content_encoding="gzip"), "not HTTP"),
    "a redirect to nowhere": (reply(302), "redirects to nowhere"),
}


@pytest.mark.parametrize(("answer", "sentence"), UNTRUSTED.values(), ids=UNTRUSTED)
async def test_refuses_what_is_no_manifest(
    registry: Scripted, client: RegistryClient, answer: Reply, sentence: str
) -> None:
    registry.on(TAG[0], reply(405))
    registry.on(TAG[1], answer)
    with pytest.raises(Untrusted, match=sentence) as caught:
        await client.resolve(registry.app, "1", ANYBODY)
    assert "log in" not in str(caught.value)


STATUSES = {
    "no such tag": (missing(), NotFound, "has no app:1"),
    "no such repository": (missing("NAME_UNKNOWN"), NotFound, "has no repository app"),
    "a plain 404 with the API's header": (
        reply(404, "404 page not found", kind="text/plain", docker_distribution_api_version="registry/2.0"),
        NotFound,
        "has no app:1",
    ),
    "a 404 of something in front": (reply(404, "default backend - 404", kind="text/plain"), Unavailable, "404"),
    "a 404 page": (reply(404, "<html>", kind="text/html"), Untrusted, "web page"),
    "refused": (reply(403), Denied, "without credentials"),
    "a bad request": (reply(400, "?"), Invalid, "HTTP 400"),
    "not acceptable": (reply(406), Invalid, "HTTP 406"),
    "too late": (reply(408), Unavailable, "HTTP 408"),
    "an odd success": (reply(206), Unavailable, "HTTP 206"),
    "an odd refusal": (reply(451), Unavailable, "HTTP 451"),
    "a failure": (reply(500, "secret stack trace"), Unavailable, "HTTP 500"),
    "a gateway's failure": (reply(502, "<html>"), Unavailable, "HTTP 502"),
    "out of service": (reply(503), Unavailable, "HTTP 503"),
    "too many requests": (reply(429), Unavailable, "HTTP 429"),
    "TLS at a port said to be plain": (
        reply(400, "Client sent an HTTP request to an HTTPS server."),
        Untrusted,
        "speaks TLS",
    ),
}


@pytest.mark.parametrize(("answer", "error", "sentence"), STATUSES.values(), ids=STATUSES)
async def test_each_status_is_whose_fault_it_is(
    registry: Scripted, client: RegistryClient, answer: Reply, error: type[Exception], sentence: str
) -> None:
    registry.on("*", answer)
    with pytest.raises(error, match=sentence) as caught:
        await client.resolve(registry.app, "1", ANYBODY)
    assert type(caught.value) is error
    assert "stack trace" not in str(caught.value)
    assert str(caught.value).endswith(".")


async def test_a_tag_that_is_none_is_never_asked_for(registry: Scripted, client: RegistryClient) -> None:
    for tag in ("../../x", "1?n=1", "", "a/b", "1\r\nX: y"):
        with pytest.raises(ReferenceInvalid):
            await client.resolve(registry.app, tag, ANYBODY)
    with pytest.raises(ReferenceInvalid):
        await client.exists(registry.app, "sha256:../x", ANYBODY)
    assert registry.seen == []


async def test_a_manifest_is_had_by_tag_and_by_digest(registry: Scripted, client: RegistryClient) -> None:
    digest = registry.serves("1")
    for name in ("1", digest):
        found = await client.manifest(registry.app, name, ANYBODY)
        assert (found.digest, found.media_type, found.body) == (digest, IMAGE, image())


async def test_what_was_just_proven_is_not_fetched_again_for_the_same_credential(
    registry: Scripted, client: RegistryClient
) -> None:
    digest = registry.serves("1")
    await client.resolve(registry.app, "1", ANYBODY)
    registry.seen.clear()
    await client.manifest(registry.app, digest, ANYBODY)
    assert registry.asked == []
    await client.manifest(registry.app, digest, access(registry.host))
    assert registry.asked == [f"GET /v2/app/manifests/{digest}"]


async def test_no_more_than_a_few_small_manifests_are_kept(registry: Scripted, client: RegistryClient) -> None:
    bodies = [image(str(nth)) for nth in range(70)] + [image("long", annotations={"x": "y" * 20_000})]
    digests = [registry.serves(f"t{nth}", body) for nth, body in enumerate(bodies)]
    for digest in digests:
        await client.manifest(registry.app, digest, ANYBODY)
    registry.seen.clear()
    for digest in (digests[0], digests[-1], digests[-2]):
        await client.manifest(registry.app, digest, ANYBODY)
    assert registry.asked == [f"GET /v2/app/manifests/{digest}" for digest in (digests[0], digests[-1])]


async def test_a_blob_is_proven_wherever_it_was_redirected_to(
    registry: Scripted, serve: Serve, new_client: NewClient
) -> None:
    storage = await serve("localhost")
    client, digest = new_client(registry, storage), digest_of(b"config")
    registry.on(f"GET /v2/app/blobs/{digest}", reply(307, location=f"http://{storage.host}/signed?x=1"))
    storage.on("GET /signed?x=1", reply(200, b"config", kind="application/octet-stream"))
    assert await client.blob(registry.app, digest, access(registry.host), 100) == b"config"
    assert storage.authorizations == [None]
    storage.on("GET /signed?x=1", reply(200, b"another"))
    with pytest.raises(Untrusted, match="has the digest"):
        await client.blob(registry.app, digest, ANYBODY, 100)
    with pytest.raises(Untrusted, match="more than 5 bytes"):
        await client.blob(registry.app, digest, ANYBODY, 5)
    with pytest.raises(NotFound, match=f"has no blob {WRONG} in app"):
        await client.blob(registry.app, WRONG, ANYBODY, 5)
    with pytest.raises(ReferenceInvalid):
        await client.blob(registry.app, "sha256:../../x", ANYBODY, 5)


async def test_a_digest_exists_by_one_head(registry: Scripted, client: RegistryClient) -> None:
    digest = registry.serves("1")
    assert await client.exists(registry.app, digest, ANYBODY) is True
    assert registry.asked == [f"HEAD /v2/app/manifests/{digest}"]


async def test_a_digest_exists_where_head_is_refused(registry: Scripted, client: RegistryClient) -> None:
    digest = registry.serves("1")
    registry.on(f"HEAD /v2/app/manifests/{digest}", reply(405))
    assert await client.exists(registry.app, digest, ANYBODY) is True


async def test_a_digest_is_gone_only_if_the_registry_says_so(registry: Scripted, client: RegistryClient) -> None:
    assert await client.exists(registry.app, WRONG, ANYBODY) is False
    for answer, error in (
        (reply(404, "default backend - 404", kind="text/plain"), Unavailable),
        (reply(403), Denied),
        (reply(500), Unavailable),
        (reply(200, "<html>", kind="text/html"), Untrusted),
    ):
        registry.on("*", answer)
        with pytest.raises(error):
            await client.exists(registry.app, WRONG, ANYBODY)


async def test_the_users_own_password_is_in_no_error(registry: Scripted, client: RegistryClient) -> None:
    registry.on("*", reply(403))
    with pytest.raises(Denied, match="refuses the pull secret's credentials") as caught:
        await client.resolve(registry.app, "1", access(registry.host))
    assert "hunter2" not in str(caught.value)
