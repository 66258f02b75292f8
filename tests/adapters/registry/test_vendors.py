"""The registries that people use, each under its own name and with the habits that it is known for.

Where a habit is not one vendor's alone, its rows are in the tables beside this file.
"""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web
from tests.adapters.registry.scripted import IMAGE, Scripted, digest_of, image, manifest, reply

from podpin.core.keyring import DOCKER_CONFIG_JSON, Access, Keyring, SecretData
from podpin.core.reference import parse_repository
from podpin.errors import Denied, Invalid, Unavailable, Untrusted

if TYPE_CHECKING:
    from tests.adapters.registry.conftest import Clock, KnownAs, Serve
    from tests.adapters.registry.scripted import Reply

ANYBODY = Access()
ACR = "shop.azurecr.io"
ECR = "123456789012.dkr.ecr.eu-west-1.amazonaws.com"
NOBODY = "00000000-0000-0000-0000-000000000000"
"""Azure's name for a user who comes with a token."""


def access(**auths: dict[str, str]) -> Access:
    """Access by a docker config; keyword `ghcr__io` is the host ghcr.io."""
    content = json.dumps({"auths": {host.replace("__", "."): entry for host, entry in auths.items()}}).encode()
    return Access(Keyring.of_secrets([SecretData("pull", DOCKER_CONFIG_JSON, {".dockerconfigjson": content})]))


def user(name: str, password: str = "p") -> dict[str, str]:
    return {"username": name, "password": password}


def basic(name: str, password: str = "p") -> str:
    return "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()


def locked(challenge: str, header: str, inside: Reply) -> Reply:
    """Let those in who send the header."""

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        if request.headers.get("Authorization") == header:
            return await inside(request)
        return await reply(401, {"errors": [{"code": "UNAUTHORIZED"}]}, www_authenticate=challenge)(request)

    return answer


def page(*tags: str, link: str | None = None, **more: Any) -> Reply:
    headers = {} if link is None else {"link": link}
    return reply(200, {"name": "app", "tags": list(tags), **more}, **headers)


async def test_docker_hub_has_three_names_and_a_token_server(serve: Serve, known_as: KnownAs) -> None:
    hub, tokens = await serve(), await serve()
    client = known_as({"registry-1.docker.io": hub, "auth.docker.io": tokens})
    challenge = (
        'Bearer realm="http://auth.docker.io/token",service="registry.docker.io",scope="repository:library/nginx:pull"'
    )
    hub.on("*", locked(challenge, "Bearer t", manifest()))
    tokens.on("*", reply(200, {"token": "t", "access_token": "t", "expires_in": 300, "issued_at": "2026-01-01"}))
    secret = access(**{"https://index.docker.io/v1/": user("me")})
    for name in ("nginx", "docker.io/nginx", "index.docker.io/library/nginx"):
        await client.resolve(parse_repository(name), "1", secret)
    assert {request.headers["Host"] for request in hub.seen} == {"registry-1.docker.io"}
    assert {request.path.rpartition("/")[0] for request in hub.seen} == {"/v2/library/nginx/manifests"}
    assert tokens.asked == ["GET /token?service=registry.docker.io&scope=repository:library/nginx:pull"]
    assert tokens.authorizations == [basic("me")]


async def test_docker_hub_says_how_much_it_allows(serve: Serve, known_as: KnownAs, clock: Clock) -> None:
    hub = await serve()
    client = known_as({"registry-1.docker.io": hub})
    repository = parse_repository("nginx")
    quota = {"ratelimit_limit": "100;w=21600", "docker_ratelimit_source": "192.0.2.1"}
    head = "HEAD /v2/library/nginx/manifests/1"
    spent = digest_of(image())
    # HEAD is not counted: that nothing remains is no reason to stay away, as long as the digest is known.
    hub.on(
        head,
        reply(200, kind=IMAGE, docker_content_digest=spent, ratelimit_remaining="0;w=21600", **quota),
    )
    assert await client.resolve(repository, "1", ANYBODY, known=spent) == spent
    body = {
        "errors": [{"code": "TOOMANYREQUESTS", "message": "You have reached your unauthenticated pull rate limit."}]
    }
    hub.on(f"GET /v2/library/nginx/manifests/{spent}", reply(429, body, **quota))
    with pytest.raises(Unavailable, match=r"no more than 100 requests in 6h.*a mirror, may allow more") as caught:
        await client.resolve(repository, "1", ANYBODY)
    assert "reached your" not in str(caught.value)
    assert "192.0.2.1" not in str(caught.value)
    clock.now += 60
    assert await client.resolve(repository, "1", ANYBODY, known=spent) == spent


async def test_docker_hubs_guard_against_abuse_says_nothing_but_429(serve: Serve, known_as: KnownAs) -> None:
    hub = await serve()
    hub.on("*", reply(429, "Too Many Requests", kind="text/plain"))
    with pytest.raises(Unavailable, match="has had too many requests") as caught:
        await known_as({"registry-1.docker.io": hub}).resolve(parse_repository("nginx"), "1", ANYBODY)
    assert caught.value.retry_after is not None


async def test_ghcr_says_when_to_come_back_in_its_body_alone(serve: Serve, known_as: KnownAs, clock: Clock) -> None:
    ghcr = await serve()
    client = known_as({"ghcr.io": ghcr})
    message = "retry-after: 458.29µs, allowed: 44000/minute"
    ghcr.on("*", reply(429, {"errors": [{"code": "TOOMANYREQUESTS", "message": message}]}), manifest())
    with pytest.raises(Unavailable, match="has had too many requests") as caught:
        await client.resolve(parse_repository("ghcr.io/me/app"), "1", ANYBODY)
    assert "44000" not in str(caught.value)
    assert 0 < (caught.value.retry_after or 0) < 2
    clock.now += 2
    await client.resolve(parse_repository("ghcr.io/me/app"), "1", ANYBODY)


async def test_ghcr_gives_anybody_a_token_and_pages_without_a_number(serve: Serve, known_as: KnownAs) -> None:
    ghcr = await serve()
    client = known_as({"ghcr.io": ghcr})
    challenge = 'Bearer realm="http://ghcr.io/token",service="ghcr.io",scope="repository:me/app:pull"'
    first = page("1", link='</v2/me/app/tags/list?last=1&n=0>; rel="next"')
    ghcr.on("GET /v2/me/app/tags/list", locked(challenge, "Bearer t", first))
    ghcr.on("GET /v2/me/app/tags/list?last=1&n=0", locked(challenge, "Bearer t", page("2")))
    ghcr.on("GET /token", reply(200, {"token": "t"}))
    assert await client.list_tags(parse_repository("ghcr.io/me/app"), ANYBODY) == ("1", "2")
    assert [request.path for request in ghcr.seen].count("/token") == 1


async def test_ecr_takes_basic_names_no_digest_by_get_and_refuses_large_pages(serve: Serve, known_as: KnownAs) -> None:
    ecr = await serve()
    client = known_as({ECR: ecr})
    challenge = f'Basic realm="https://{ECR}/",service="ecr.amazonaws.com"'
    header = basic("AWS", "ey.token")

    async def tags(request: web.BaseRequest) -> web.StreamResponse:
        if int(request.query.get("n", "100")) > 1000:
            return await reply(405, {"errors": [{"code": "UNSUPPORTED"}]})(request)
        if "last" in request.query:
            return await page("2")(request)
        return await page("1", link='</v2/app/tags/list?last=ey%2FJ%3D&n=100>; rel="next"')(request)

    ecr.on("*", locked(challenge, header, reply(200, image(), kind=IMAGE)))
    ecr.on("GET /v2/app/tags/list", locked(challenge, header, tags))
    ecr.on("GET /v2/app/tags/list?last=ey%2FJ%3D&n=100", locked(challenge, header, tags))
    repository = parse_repository(f"{ECR}/app")
    secret = access(**{ECR: user("AWS", "ey.token")})
    assert await client.list_tags(repository, secret) == ("1", "2")
    assert await client.resolve(repository, "1", secret) == digest_of(image())


async def test_ecr_public_has_a_scope_of_its_own(serve: Serve, known_as: KnownAs) -> None:
    ecr = await serve()
    client = known_as({"public.ecr.aws": ecr})
    challenge = 'Bearer realm="http://public.ecr.aws/token/",service="public.ecr.aws",scope="aws"'
    ecr.on("*", locked(challenge, "Bearer t", manifest()))
    ecr.on("GET /token/", reply(200, {"token": "t", "expires_in": 43200}))
    for _ in range(2):
        await client.resolve(parse_repository("public.ecr.aws/nginx/nginx"), "1", ANYBODY)
    asked = [line for line in ecr.asked if "/token/" in line]
    assert asked == ["GET /token/?service=public.ecr.aws&scope=aws&scope=repository:nginx/nginx:pull"]


async def test_quay_refuses_large_pages_and_has_a_token_for_the_next_one(serve: Serve, known_as: KnownAs) -> None:
    quay = await serve()
    client = known_as({"quay.io": quay})

    async def tags(request: web.BaseRequest) -> web.StreamResponse:
        if int(request.query.get("n", "50")) > 100:
            return await reply(413, {"errors": [{"code": "TOO_MANY_TAGS_REQUESTED"}]})(request)
        if "next_page" in request.query:
            return await page("2")(request)
        return await page("1", link='</v2/me/app/tags/list?n=50&next_page=gAAA%3D%3D>; rel="next"')(request)

    quay.on("GET /v2/me/app/tags/list", tags)
    quay.on("GET /v2/me/app/tags/list?n=50&next_page=gAAA%3D%3D", tags)
    assert await client.list_tags(parse_repository("quay.io/me/app"), ANYBODY) == ("1", "2")


GOOGLE = {
    "Artifact Registry": "europe-docker.pkg.dev",
    "Container Registry": "eu.gcr.io",
}


@pytest.mark.parametrize("host", GOOGLE.values(), ids=GOOGLE)
async def test_google_lists_every_manifest_beside_ten_thousand_tags(serve: Serve, known_as: KnownAs, host: str) -> None:
    google = await serve()
    client = known_as({host: google})
    tags = [f"1.0.{number}" for number in range(10_000)]
    details = {
        digest_of(tag.encode()): {
            "imageSizeBytes": "12345678",
            "layerId": "",
            "mediaType": IMAGE,
            "tag": [tag],
            "timeCreatedMs": "1760000000000",
            "timeUploadedMs": "1760000000000",
        }
        for tag in tags
    }
    header = basic("oauth2accesstoken", "ya29.x")
    challenge = f'Bearer realm="http://{host}/v2/token",service="{host}",scope="repository:shop/web/app:pull"'
    listed = page(*tags, child=[], manifest=details)
    google.on("GET /v2/shop/web/app/tags/list", locked(challenge, "Bearer t", listed))
    google.on("GET /v2/token", locked("Basic", header, reply(200, {"token": "t", "expires_in": 3600})))
    secret = access(**{f"https://{host}": user("oauth2accesstoken", "ya29.x")})
    assert len(await client.list_tags(parse_repository(f"{host}/shop/web/app"), secret)) == 10_000


async def test_gitlabs_token_server_has_another_host_and_must_be_trusted(serve: Serve, known_as: KnownAs) -> None:
    registry, gitlab = await serve(), await serve()
    hosts = {"registry.gitlab.example": registry, "gitlab.example": gitlab, "registry.gitlab.com": registry}
    hosts["gitlab.com"] = gitlab

    def challenge(host: str) -> str:
        return f'Bearer realm="http://{host}/jwt/auth",service="container_registry",scope="repository:me/app:pull"'

    gitlab.on("GET /jwt/auth", reply(200, {"token": "t"}))
    empty = reply(200, {"name": "me/app", "tags": None})
    registry.on("*", locked(challenge("gitlab.example"), "Bearer t", empty))
    repository, secret = (
        parse_repository("registry.gitlab.example/me/app"),
        access(**{"registry.gitlab.example": user("me")}),
    )
    with pytest.raises(Untrusted, match="--trusted-realm"):
        await known_as(hosts).list_tags(repository, secret)
    assert gitlab.seen == []
    trusting = known_as(hosts, trusted_realms={"registry.gitlab.example": frozenset({"gitlab.example"})})
    assert await trusting.list_tags(repository, secret) == ()
    registry.on("*", locked(challenge("gitlab.com"), "Bearer t", empty))
    public = access(**{"registry.gitlab.com": user("me")})
    assert await known_as(hosts).list_tags(parse_repository("registry.gitlab.com/me/app"), public) == ()


async def test_harbors_robots_have_a_dollar_in_their_names(serve: Serve, known_as: KnownAs) -> None:
    harbor = await serve()
    client = known_as({"harbor.example": harbor})
    robot = basic("robot$shop+puller")
    challenge = (
        'Bearer realm="http://harbor.example/service/token",service="harbor-registry",scope="repository:a/b:pull"'
    )
    harbor.on("*", locked(challenge, "Bearer t", manifest()))
    harbor.on("GET /service/token", locked("Basic", robot, reply(200, {"token": "t", "expires_in": 1800})))
    await client.resolve(parse_repository("harbor.example/a/b"), "1", access(harbor__example=user("robot$shop+puller")))


NEXUS = {
    "absolute, with a prefix": '<http://nexus.example/repository/x/v2/app/tags/list?n=1&last=1>; rel="next"',
    "none, as its groups have it": None,
}


@pytest.mark.parametrize("link", NEXUS.values(), ids=NEXUS)
async def test_nexus_links_are(serve: Serve, known_as: KnownAs, link: str | None) -> None:
    nexus = await serve()
    client = known_as({"nexus.example": nexus})
    header = basic("me")
    challenge = 'Basic realm="Sonatype Nexus Repository Manager"'
    nexus.on("GET /v2/app/tags/list", locked(challenge, header, page("1", link=link)))
    nexus.on("GET /v2/app/tags/list?n=1&last=1", locked(challenge, header, page("2")))
    tags = await client.list_tags(parse_repository("nexus.example/app"), access(nexus__example=user("me")))
    assert tags == (("1", "2") if link else ("1",))


async def test_artifactory_drops_the_repositorys_prefix_from_a_link(serve: Serve, known_as: KnownAs) -> None:
    artifactory = await serve()
    client = known_as({"artifactory.example": artifactory})
    link = '</v2/app/tags/list?last=1&n=1>; rel="next"'
    artifactory.on("GET /v2/docker-local/app/tags/list", page("1", link=link))
    artifactory.on("GET /v2/docker-local/app/tags/list?last=1&n=1", page("2"))
    repository = parse_repository("artifactory.example/docker-local/app")
    assert await client.list_tags(repository, ANYBODY) == ("1", "2")


def azure(registry: Scripted, exchange: Reply) -> None:
    challenge = f'Bearer realm="http://{ACR}/oauth2/token",service="{ACR}",scope="repository:app:pull"'
    registry.on("*", locked(challenge, "Bearer t", manifest()))
    registry.on("POST /oauth2/token", exchange)
    registry.on("GET /oauth2/token", locked("Basic", basic(NOBODY), reply(200, {"access_token": "t"})))


async def test_azure_exchanges_an_identity_token(serve: Serve, known_as: KnownAs) -> None:
    acr = await serve()
    forms: list[dict[str, str]] = []

    async def exchange(request: web.BaseRequest) -> web.StreamResponse:
        forms.append({name: str(value) for name, value in (await request.post()).items()})
        return await reply(200, {"access_token": "t"})(request)

    azure(acr, exchange)
    secret = access(**{ACR: {"auth": base64.b64encode(f"{NOBODY}:".encode()).decode(), "identitytoken": "refresh me"}})
    await known_as({ACR: acr}).resolve(parse_repository(f"{ACR}/app"), "1", secret)
    assert forms == [
        {
            "grant_type": "refresh_token",
            "client_id": "podpin",
            "refresh_token": "refresh me",
            "scope": "repository:app:pull",
            "service": ACR,
        }
    ]
    assert {value for value in acr.authorizations if value} == {"Bearer t"}


@pytest.mark.parametrize("status", [401, 404, 405])
async def test_who_exchanges_no_tokens_is_asked_with_the_password(serve: Serve, known_as: KnownAs, status: int) -> None:
    registry = await serve()
    azure(registry, reply(status))
    secret = access(**{ACR: {**user(NOBODY), "identitytoken": "refresh me"}})
    await known_as({ACR: registry}).resolve(parse_repository(f"{ACR}/app"), "1", secret)
    assert [request.method for request in registry.seen].count("POST") == 1


async def test_an_identity_token_alone_is_never_sent_as_a_password(serve: Serve, known_as: KnownAs) -> None:
    registry = await serve()
    secret = access(**{ACR: {"identitytoken": "refresh me"}})
    azure(registry, reply(401))
    with pytest.raises(Denied, match="token server"):
        await known_as({ACR: registry}).resolve(parse_repository(f"{ACR}/app"), "1", secret)
    registry.on("*", reply(401, www_authenticate="Basic"))
    with pytest.raises(Denied, match="check the Secret"):
        await known_as({ACR: registry}).resolve(parse_repository(f"{ACR}/app"), "1", secret)
    assert set(registry.authorizations) == {None}


async def test_an_identity_token_goes_to_no_strange_realm(serve: Serve, known_as: KnownAs) -> None:
    registry, stranger = await serve(), await serve()
    registry.on("*", reply(401, www_authenticate='Bearer realm="http://evil.example/oauth2/token"'))
    client = known_as({ACR: registry, "evil.example": stranger})
    with pytest.raises(Untrusted, match="not known to belong to it"):
        await client.resolve(parse_repository(f"{ACR}/app"), "1", access(**{ACR: {"identitytoken": "refresh me"}}))
    assert stranger.seen == []


async def test_no_registry_is_asked_for_pages_of_a_size(serve: Serve, known_as: KnownAs) -> None:
    registry = await serve()
    registry.on("*", reply(413, {"errors": [{"code": "TOO_MANY_TAGS_REQUESTED"}]}))
    with pytest.raises(Invalid):
        await known_as({"r.example": registry}).list_tags(parse_repository("r.example/app"), ANYBODY)
    assert registry.asked == ["GET /v2/app/tags/list"]
