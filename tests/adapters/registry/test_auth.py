"""Who gets a password, who gets a token, and for how long."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import pytest
from tests.adapters.registry.scripted import Scripted, access, digest_of, image, manifest, missing, reply

from podpin.core.keyring import Access, Keyring
from podpin.errors import Denied, Unavailable, Untrusted

if TYPE_CHECKING:
    from aiohttp import web
    from tests.adapters.registry.conftest import Clock, NewClient, Serve
    from tests.adapters.registry.scripted import Reply

    from podpin.adapters.registry.client import RegistryClient

ANYBODY = Access()
HEAD = "HEAD /v2/app/manifests/1"
SCOPE = "repository:app:pull"


def basic(user: str = "me", password: str = "hunter2") -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def wants(*accepted: str, challenge: str) -> Reply:
    """Serve a manifest to those with one of these Authorization headers, and 401 with the challenge to all others."""

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        if request.headers.get("Authorization") in accepted:
            return await manifest()(request)
        return await reply(401, www_authenticate=challenge)(request)

    return answer


def bearer(host: str, scope: str | None = SCOPE, service: str | None = "reg", path: str = "/token?a=b") -> str:
    more = "" if service is None else f',service="{service}"'
    more += "" if scope is None else f',scope="{scope}"'
    return f'Bearer realm="http://{host}{path}"{more}'


async def resolve(client: RegistryClient, registry: Scripted, how: Access = ANYBODY) -> str:
    return await client.resolve(registry.app, "1", how)


async def test_basic_is_offered_unasked_once_it_was_wanted(registry: Scripted, client: RegistryClient) -> None:
    registry.on("*", wants(basic(), challenge='Basic realm="x"'))
    for _ in range(2):
        await resolve(client, registry, access(registry.host))
    # HEAD, HEAD with the password, GET; then HEAD alone, for what it names has been proven.
    assert registry.authorizations == [None, *[basic()] * 3]


async def test_a_token_is_asked_for_as_the_protocol_says(registry: Scripted, client: RegistryClient) -> None:
    registry.on("*", wants("Bearer t", challenge=bearer(registry.host)))
    registry.on("GET /token", reply(200, {"token": "t"}))
    await resolve(client, registry, access(registry.host))
    asked = next(request for request in registry.seen if request.path == "/token")
    assert asked.query_string == "a=b&service=reg&scope=repository:app:pull"
    assert asked.headers["Authorization"] == basic()
    assert registry.authorizations == [None, basic(), "Bearer t", "Bearer t"]


CHALLENGES = {
    "without a service, as zuul-registry has it": ("{realm}", "scope=repository:app:pull"),
    "with a service": ('{realm},service="reg"', "service=reg&scope=repository:app:pull"),
    "with the scope of its own first": (
        '{realm},scope="repository:group/app:pull"',
        "scope=repository:group/app:pull&scope=repository:app:pull",
    ),
    "with two scopes": ('{realm},scope="a:b:c repository:app:pull"', "scope=a:b:c&scope=repository:app:pull"),
}


@pytest.mark.parametrize(("challenge", "query"), CHALLENGES.values(), ids=CHALLENGES)
async def test_the_query_holds_what_the_challenge_says(
    registry: Scripted, client: RegistryClient, challenge: str, query: str
) -> None:
    text = "Bearer " + challenge.replace("{realm}", f'realm="http://{registry.host}/token"')
    registry.on("*", wants("Bearer t", challenge=text))
    registry.on("GET /token", reply(200, {"access_token": "t", "expires_in": 300}))
    await resolve(client, registry)
    assert next(request for request in registry.seen if request.path == "/token").query_string == query
    assert basic() not in registry.authorizations


async def test_a_token_is_used_until_shortly_before_its_end(
    registry: Scripted, client: RegistryClient, clock: Clock
) -> None:
    registry.on("*", wants("Bearer t", challenge=bearer(registry.host)))
    registry.on("GET /token", reply(200, {"token": "t", "expires_in": 100}))

    async def tokens() -> int:
        await resolve(client, registry)
        return sum(request.path == "/token" for request in registry.seen)

    assert [await tokens(), await tokens()] == [1, 1]
    clock.now += 89
    assert await tokens() == 1
    clock.now += 2
    assert await tokens() == 2
    # Asked for before the request, not after a refusal.
    assert registry.authorizations.count(None) == 1 + 2


@pytest.mark.parametrize("life", [None, 0, -5, "300", True, 10, float("nan")])
async def test_a_token_without_a_sensible_life_lives_a_minute(
    registry: Scripted, client: RegistryClient, clock: Clock, life: Any
) -> None:
    registry.on("*", wants("Bearer t", challenge=bearer(registry.host)))
    registry.on("GET /token", reply(200, {"token": "t", "expires_in": life}))
    await resolve(client, registry)
    clock.now += 53
    await resolve(client, registry)
    assert sum(request.path == "/token" for request in registry.seen) == 1
    clock.now += 2
    await resolve(client, registry)
    assert sum(request.path == "/token" for request in registry.seen) == 2


async def test_a_token_that_is_refused_is_renewed_once(registry: Scripted, client: RegistryClient) -> None:
    registry.on("*", wants("Bearer new", challenge=bearer(registry.host)))
    registry.on("GET /token", reply(200, {"token": "old"}), reply(200, {"token": "new"}))
    with pytest.raises(Denied):
        await resolve(client, registry)
    await resolve(client, registry)
    assert sum(request.path == "/token" for request in registry.seen) == 2


async def test_a_scope_of_the_registrys_own_is_asked_for_at_once_the_next_time(
    registry: Scripted, client: RegistryClient
) -> None:
    registry.on("*", wants("Bearer t", challenge=bearer(registry.host, scope="repository:group/app:pull")))
    registry.on("GET /token", reply(200, {"token": "t", "expires_in": 300}))
    digest = await resolve(client, registry)
    registry.seen.clear()
    assert await client.resolve(registry.app, "1", ANYBODY, known=digest) == digest
    assert registry.asked == [HEAD]


async def test_a_token_with_too_narrow_a_scope_is_replaced_once_by_what_is_asked_for(
    registry: Scripted, client: RegistryClient
) -> None:
    async def token(request: web.BaseRequest) -> web.StreamResponse:
        return await reply(200, {"token": "wide" if "a:b:pull" in request.query.getall("scope") else "narrow"})(request)

    narrow, wide = bearer(registry.host), bearer(registry.host, scope="a:b:pull") + ',error="insufficient_scope"'
    registry.on("*", reply(401, www_authenticate=narrow), manifest(), wants("Bearer wide", challenge=wide))
    registry.on("GET /token", token)
    for _ in range(2):
        await resolve(client, registry)
    assert sum(request.path == "/token" for request in registry.seen) == 2
    assert registry.authorizations.count("Bearer wide") == 2


async def test_one_tenants_token_is_never_anothers(registry: Scripted, client: RegistryClient) -> None:
    async def token(request: web.BaseRequest) -> web.StreamResponse:
        who = request.headers.get("Authorization", "anybody")
        return await reply(200, {"token": who.removeprefix("Basic ").rstrip("=")})(request)

    registry.on("*", wants(challenge=bearer(registry.host)))
    registry.on("GET /token", token)
    people = [access(registry.host, user="a"), access(registry.host, user="b"), ANYBODY, access("other.example")]
    for _ in range(2):
        for person in people:
            registry.seen.clear()
            with pytest.raises(Denied):
                await resolve(client, registry, person)
            used = {value for value in registry.authorizations if value and value.startswith("Bearer")}
            credentials = person.keyring.lookup(registry.app)
            own = basic(credentials[0].username).removeprefix("Basic ").rstrip("=") if credentials else "anybody"
            assert used == {f"Bearer {own}"}


async def test_credentials_are_tried_in_order_until_one_is_accepted(registry: Scripted, client: RegistryClient) -> None:
    registry.on("*", wants(basic("b"), challenge="Basic"))
    both = Keyring((*access(registry.host, user="a").keyring.entries, *access(registry.host, user="b").keyring.entries))
    await resolve(client, registry, Access(both))
    tried = list(dict.fromkeys(registry.authorizations))
    assert tried == [None, basic("a"), basic("b")]


async def test_a_404_for_one_credential_is_not_the_last_word(registry: Scripted, client: RegistryClient) -> None:
    async def hides(request: web.BaseRequest) -> web.StreamResponse:
        match request.headers.get("Authorization"):
            case None:
                return await reply(401, www_authenticate="Basic")(request)
            case header if header == basic("b"):
                return await manifest()(request)
        return await missing()(request)

    registry.on("*", hides)
    both = Keyring((*access(registry.host, user="a").keyring.entries, *access(registry.host, user="b").keyring.entries))
    await resolve(client, registry, Access(both))


async def test_without_credentials_the_sentence_asks_for_a_pull_secret(
    registry: Scripted, client: RegistryClient
) -> None:
    registry.on("*", wants(basic(), challenge="Basic"))
    with pytest.raises(Denied, match=r"spec\.registry\.pullSecrets"):
        await resolve(client, registry)
    with pytest.raises(Denied, match="refuses the pull secret's credentials"):
        await resolve(client, registry, access(registry.host, password="wrong"))


async def test_the_first_challenge_that_can_be_met_is_met(registry: Scripted, client: RegistryClient) -> None:
    registry.on("*", wants(basic(), "Bearer t", challenge=f'Negotiate abc==, Basic realm="x", {bearer(registry.host)}'))
    registry.on("GET /token", reply(200, {"token": "t"}))
    await resolve(client, registry, access(registry.host))
    assert "/token" not in [request.path for request in registry.seen]
    registry.seen.clear()
    await resolve(client, registry)
    assert "/token" in [request.path for request in registry.seen]


async def test_a_password_goes_to_no_strange_realm(registry: Scripted, serve: Serve, new_client: NewClient) -> None:
    stranger = await serve("localhost")
    stranger.on("*", reply(200, {"token": "t"}))
    client = new_client(registry, stranger)
    registry.on("*", wants("Bearer t", challenge=bearer(stranger.host)))
    with pytest.raises(Untrusted, match="not known to belong to it"):
        await resolve(client, registry, access(registry.host))
    assert stranger.seen == []
    # Without a password there is nothing to steal.
    await resolve(client, registry)
    assert stranger.authorizations == [None]


async def test_a_password_goes_to_a_realm_that_the_administrator_trusts(
    registry: Scripted, serve: Serve, new_client: NewClient
) -> None:
    realm = await serve("localhost")
    realm.on("*", reply(200, {"token": "t"}))
    client = new_client(registry, realm, trusted_realms={registry.host: frozenset({realm.host})})
    registry.on("*", wants("Bearer t", challenge=bearer(realm.host)))
    await resolve(client, registry, access(registry.host))
    assert realm.authorizations == [basic()]


async def test_a_strange_realm_does_not_spoil_basic_beside_it(registry: Scripted, client: RegistryClient) -> None:
    registry.on("*", wants(basic(), challenge='Bearer realm="https://evil.example/", Basic realm="x"'))
    assert await resolve(client, registry, access(registry.host)) == digest_of(image())


REALMS = {
    "plain HTTP to a host that nobody named": ("http://evil.example/token", "plain HTTP"),
    "a user in it": ("http://u:p@{host}/token", "credentials in the address"),
    "no host": ("/token", "no address"),
    "no URL": ("http://[", "no address"),
    "a host longer than any": ("http://" + "a." * 200 + "b/", "no web address"),
    "a host with a blank": ("https://169.254.169.254\u3000/", "no web address"),
    "a host with a zone": ("https://[fe80::1%25eth0]/", "no web address"),
    "a host with an escape": ("https://169.254.169.254%00.example/", "no web address"),
    "an address in other scripts' digits": ("https://①⑥⑨.②⑤④.①⑥⑨.②⑤④/", "metadata"),
    "an address in an odd spelling": ("https://0xa9fea9fe/", "in a spelling"),
    "what a URL's reader stumbles over": ("https://[::1]:443@", "no address"),
    "another scheme": ("ftp://{host}/token", "no web address"),
    "a file": ("file:///etc/passwd", "no"),
    "the metadata service": ("https://169.254.169.254/token", "metadata"),
    "the operator's own loopback": ("https://127.0.0.1:1/token", "loopback"),
    "the metadata service as IPv6": ("https://[::ffff:169.254.169.254]/token", "metadata"),
}


@pytest.mark.parametrize(("realm", "sentence"), REALMS.values(), ids=REALMS)
async def test_no_token_is_asked_for_at(registry: Scripted, client: RegistryClient, realm: str, sentence: str) -> None:
    registry.on("*", wants("Bearer t", challenge=f'Bearer realm="{realm.replace("{host}", registry.host)}"'))
    with pytest.raises(Exception, match=sentence) as caught:
        await resolve(client, registry)
    assert type(caught.value).__module__ == "podpin.errors"
    assert len(registry.seen) == 1


TOKENS = {
    "no JSON": (reply(200, "t"), Untrusted, "without a token"),
    "no token": (reply(200, {}), Untrusted, "without a token"),
    "a token that would break the header": (reply(200, {"token": "a\r\nX: y"}), Untrusted, "without a token"),
    "a token with blanks": (reply(200, {"token": "a b"}), Untrusted, "without a token"),
    "a token that is no text": (reply(200, {"token": {"a": 1}}), Untrusted, "without a token"),
    "a token without end": (reply(200, {"token": "a" * 100_000}), Untrusted, "more than 65,536 bytes"),
    "a redirect": (reply(302, location="/elsewhere"), Untrusted, "redirects more often"),
    "a refusal": (reply(401, www_authenticate="Basic"), Denied, "token server"),
    "forbidden": (reply(403), Denied, "token server"),
    "not there": (reply(404), Untrusted, "HTTP 404"),
    "a failure": (reply(500), Unavailable, "HTTP 500"),
    "too many requests": (reply(429), Unavailable, "HTTP 429"),
}


@pytest.mark.parametrize(("answer", "error", "sentence"), TOKENS.values(), ids=TOKENS)
async def test_says_what_is_wrong_with_a_token_server(
    registry: Scripted, client: RegistryClient, answer: Reply, error: type[Exception], sentence: str
) -> None:
    registry.on("*", wants("Bearer t", challenge=bearer(registry.host)))
    registry.on("GET /token", answer)
    with pytest.raises(error, match=sentence):
        await resolve(client, registry, access(registry.host))


async def test_a_401_without_a_challenge_is_a_refusal(registry: Scripted, client: RegistryClient) -> None:
    for answer in (reply(401), reply(401, www_authenticate="Digest realm=x"), reply(401, www_authenticate="Bearer")):
        registry.on("*", answer)
        with pytest.raises(Denied):
            await resolve(client, registry, access(registry.host))


async def test_a_redirect_carries_no_password_to_another_host(
    registry: Scripted, serve: Serve, new_client: NewClient
) -> None:
    other = await serve("localhost")
    digest = other.serves("1")
    client = new_client(registry, other)

    async def redirect(request: web.BaseRequest) -> web.StreamResponse:
        if "Authorization" not in request.headers:
            return await reply(401, www_authenticate="Basic")(request)
        return await reply(307, location=f"http://{other.host}{request.path_qs}")(request)

    registry.on("*", redirect)
    assert await resolve(client, registry, access(registry.host)) == digest
    assert set(other.authorizations) == {None}


async def test_another_host_that_asks_for_a_password_after_a_redirect_gets_none(
    registry: Scripted, serve: Serve, new_client: NewClient
) -> None:
    other = await serve("localhost")
    other.on("*", reply(401, www_authenticate="Basic"))
    client = new_client(registry, other)
    registry.on("*", reply(307, location=f"http://{other.host}/x"))
    with pytest.raises(Denied):
        await resolve(client, registry, access(registry.host, other.host))
    assert set(other.authorizations) == {None}


async def test_a_redirect_within_the_host_keeps_the_password(registry: Scripted, client: RegistryClient) -> None:
    registry.on("*", wants(basic(), challenge="Basic"))
    registry.on(HEAD, reply(302, location="/elsewhere"))
    await resolve(client, registry, access(registry.host))
    assert registry.authorizations[-1] == basic()


async def test_redirects_are_followed_three_times(registry: Scripted, client: RegistryClient) -> None:
    registry.on("*", reply(302, location="/again"))
    with pytest.raises(Untrusted, match="redirects more often"):
        await resolve(client, registry)
    assert len(registry.seen) == 4


REDIRECTS = {
    "plain HTTP to a host that nobody named": ("http://evil.example/", "plain HTTP"),
    "the metadata service": ("https://169.254.169.254/latest", "metadata"),
    "loopback": ("https://127.0.0.1:1/", "loopback"),
    "a file": ("file:///etc/passwd", "no web address"),
    "a port without a host": ("https://:", "nowhere|no web address"),
    "what a URL's reader stumbles over": ("https://[::1]:443@", "redirects to nowhere"),
    "a user in it": ("http://u:p@evil.example/", "credentials in the address"),
}


@pytest.mark.parametrize(("location", "sentence"), REDIRECTS.values(), ids=REDIRECTS)
async def test_no_redirect_is_followed_to(
    registry: Scripted, client: RegistryClient, location: str, sentence: str
) -> None:
    registry.on("*", reply(302, location=location))
    with pytest.raises(Exception, match=sentence) as caught:
        await resolve(client, registry)
    assert type(caught.value).__module__ == "podpin.errors"
    assert len(registry.seen) == 1
