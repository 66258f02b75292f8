"""Certificates: whose are trusted, and what the user hears when one is not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from tests.adapters.registry.scripted import Authority, Scripted

from podpin.adapters.registry.client import RegistryClient
from podpin.core.keyring import Access
from podpin.core.reference import Repository
from podpin.errors import Invalid, PodpinError, Unavailable, Untrusted

if TYPE_CHECKING:
    from tests.adapters.registry.conftest import NewClient, Serve


def private(registry: Scripted, new_client: NewClient, **more: Any) -> RegistryClient:
    return new_client(reachable_hosts=frozenset({registry.host}), **more)


async def test_a_private_ca_is_trusted_for_those_who_bring_it(
    serve: Serve, authority: Authority, new_client: NewClient
) -> None:
    registry = await serve(tls=authority.context())
    digest = registry.serves("1")
    client = private(registry, new_client)
    assert await client.resolve(registry.app, "1", Access(ca=authority.pem)) == digest
    seen = len(registry.seen)
    with pytest.raises(Untrusted, match=r"put its CA into a Secret and name that in spec\.registry\.caSecret"):
        await client.resolve(registry.app, "1", Access())
    assert len(registry.seen) == seen


async def test_a_ca_may_stand_among_comments_in_any_language(
    serve: Serve, authority: Authority, new_client: NewClient
) -> None:
    registry = await serve(tls=authority.context())
    digest = registry.serves("1")
    ca = "# Zertifizierungsstelle für Übungen\n".encode() + authority.pem
    assert await private(registry, new_client).resolve(registry.app, "1", Access(ca=ca)) == digest


async def test_a_certificate_for_another_name_is_said_to_be_so(
    serve: Serve, authority: Authority, new_client: NewClient
) -> None:
    registry = await serve(tls=authority.context("r.example"))
    with pytest.raises(Untrusted, match="for another name"):
        await private(registry, new_client).resolve(registry.app, "1", Access(ca=authority.pem))


async def test_an_expired_certificate_is_said_to_be_so(
    serve: Serve, authority: Authority, new_client: NewClient
) -> None:
    registry = await serve(tls=authority.context(days=-1))
    with pytest.raises(Untrusted, match="has expired"):
        await private(registry, new_client).resolve(registry.app, "1", Access(ca=authority.pem))


async def test_plain_http_where_tls_is_due_is_said_to_be_so(registry: Scripted, new_client: NewClient) -> None:
    with pytest.raises(Untrusted, match=f"does not speak TLS there.*--insecure-registry {registry.host}"):
        await private(registry, new_client).resolve(registry.app, "1", Access())
    assert registry.seen == []


async def test_tls_where_plain_http_is_due_is_no_answer(
    serve: Serve, authority: Authority, new_client: NewClient
) -> None:
    registry = await serve(tls=authority.context())
    with pytest.raises((Untrusted, Unavailable)):
        await new_client(registry).resolve(registry.app, "1", Access())


@pytest.mark.parametrize("ca", [b"", b"nonsense", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"])
async def test_a_ca_that_is_none_is_said_to_be_so(new_client: NewClient, ca: bytes) -> None:
    with pytest.raises(Invalid, match=r"holds no certificate that can be read"):
        await new_client().resolve(Repository("r.example", "app"), "1", Access(ca=ca))


async def test_no_error_leaves_a_session_behind_and_few_are_kept(
    serve: Serve, authority: Authority, new_client: NewClient
) -> None:
    registry = await serve(tls=authority.context())
    registry.serves("1")
    client = private(registry, new_client)
    for number in range(40):
        await client.resolve(registry.app, "1", Access(ca=b"# %d\n" % number + authority.pem))
    assert len(client._transport._sessions) <= 16


async def test_a_wrong_certificate_does_not_make_the_host_unavailable_to_others(
    serve: Serve, authority: Authority, new_client: NewClient
) -> None:
    registry = await serve(tls=authority.context())
    registry.serves("1")
    client = private(registry, new_client)
    for _ in range(3):
        with pytest.raises(PodpinError):
            await client.resolve(registry.app, "1", Access())
        await client.resolve(registry.app, "1", Access(ca=authority.pem))
