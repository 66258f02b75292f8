"""Signatures without keys: by whom, by which trusted root, and nothing that only looks like one."""

from __future__ import annotations

import datetime as dt
import json
import socket
import sys
from typing import TYPE_CHECKING, Any

import pytest
from tests.adapters.signatures.authority import AT, ISSUER, WORKFLOW, Sigstore, base
from tests.adapters.signatures.signing import (
    THEIRS,
    artifact,
    bundle,
    by_key,
    pem,
    put_image,
    put_legacy,
    put_referrers,
    signed,
    simple,
    statement,
    text,
)

from podpin.adapters.signatures import Verifier
from podpin.core.keyring import Access
from podpin.core.spec.images import Demand
from podpin.errors import Unverifiable

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.adapters.registry.scripted import Scripted

    from podpin.adapters.registry.client import RegistryClient

ANYBODY = Access()
RELEASE = f"{WORKFLOW}v1.4.2"
OTHER = "sha256:" + "1" * 64
SIGSTORE, STRANGER = Sigstore(), Sigstore()
WHO = f"{RELEASE} (certified through {ISSUER})"


def by_identity(identity: str = RELEASE, issuer: str = ISSUER) -> Demand:
    return Demand.model_validate({"sigstore": {"issuer": issuer, "identity": identity}})


@pytest.fixture
def trusted_root(tmp_path: Path) -> Path:
    return SIGSTORE.trusted_root(tmp_path / "trusted_root.json")


@pytest.fixture
def verifier(client: RegistryClient, trusted_root: Path) -> Verifier:
    return Verifier(client, trusted_root)


DEMANDS = {
    "this very identity": (by_identity(), None),
    "identities that begin so": (by_identity(f"{WORKFLOW}v*"), None),
    "another identity": (by_identity(f"{WORKFLOW}v1.4.3"), "is signed, but not by"),
    "the beginning of an identity, without a star": (by_identity(WORKFLOW), "is signed, but not by"),
    "identities that begin otherwise": (by_identity("https://git.example.com/shop/web2*"), "is signed, but not by"),
    "this identity by another issuer": (by_identity(issuer=f"{ISSUER}.evil.org"), "is signed, but not by"),
    "the beginning of an issuer": (by_identity(issuer="https://token.example"), "is signed, but not by"),
    "a key": (by_key(), "is signed, but not by"),
}


@pytest.mark.parametrize(("demand", "said"), DEMANDS.values(), ids=DEMANDS)
async def test_it_counts_who_signed(registry: Scripted, verifier: Verifier, demand: Demand, said: str | None) -> None:
    digest = put_image(registry)
    put_referrers(registry, digest, artifact(registry, digest, SIGSTORE.bundle(statement(digest), RELEASE)))
    found = await verifier.verify(registry.app, digest, ANYBODY, (demand,), name="it")
    assert found is None if said is None else found is not None and found.startswith(f"it {said}")


async def test_an_e_mail_address_is_an_identity_too(registry: Scripted, verifier: Verifier) -> None:
    digest = put_image(registry)
    made = SIGSTORE.bundle(statement(digest), "me@example.com")
    put_referrers(registry, digest, artifact(registry, digest, made))
    mine, theirs = by_identity("me@example.com"), by_identity("you@example.com")
    assert await verifier.verify(registry.app, digest, ANYBODY, (mine,), name="it") is None
    assert await verifier.verify(registry.app, digest, ANYBODY, (theirs,), name="it") is not None


def with_another_payload(digest: str) -> dict[str, Any]:
    made = SIGSTORE.bundle(statement(OTHER), RELEASE)
    made["dsseEnvelope"]["payload"] = base(text(statement(digest)))
    return made


def with_another_entry(digest: str) -> dict[str, Any]:
    made, other = (SIGSTORE.bundle(statement(one), RELEASE) for one in (digest, OTHER))
    made["verificationMaterial"]["tlogEntries"] = other["verificationMaterial"]["tlogEntries"]
    return made


def without_an_entry(digest: str) -> dict[str, Any]:
    made = SIGSTORE.bundle(statement(digest), RELEASE)
    made["verificationMaterial"]["tlogEntries"] = []
    return made


def twice(digest: str) -> bytes:
    """Two envelopes under one name: which of them a reader takes is its own affair."""
    good, forged = (SIGSTORE.bundle(statement(one), RELEASE) for one in (OTHER, digest))
    envelope = json.dumps(good["dsseEnvelope"])
    return (
        json.dumps(good)[:-1].encode()
        + f', "dsseEnvelope": {json.dumps(forged["dsseEnvelope"])}'.encode()
        + (f', "dsseEnvelope": {envelope}}}'.encode())
    )


def later(digest: str) -> dict[str, Any]:
    return SIGSTORE.bundle(statement(digest), RELEASE, signed_at=AT + dt.timedelta(minutes=11))


UNPROVEN = "is signed without a key, but the certificate or log entry does not hold by podpin's trusted root"
MADE: dict[str, tuple[Callable[[str], Any], str]] = {
    "for another image": (
        lambda _: SIGSTORE.bundle(statement(OTHER), RELEASE),
        f"has a signature by {WHO} that was made for another image",
    ),
    "for a list of contents": (
        lambda digest: SIGSTORE.bundle(statement(digest, "https://spdx.dev/Document"), RELEASE),
        f"has attestations by {WHO} only",
    ),
    "by a stranger's authority": (lambda digest: STRANGER.bundle(statement(digest), RELEASE), UNPROVEN),
    "with another payload": (with_another_payload, UNPROVEN),
    "with the log's entry of another signature": (with_another_entry, UNPROVEN),
    "without an entry in the log": (without_an_entry, UNPROVEN),
    "after its certificate had ended": (later, UNPROVEN),
    "with two envelopes": (twice, f"has a signature by {WHO} that was made for another image"),
    "by a key": (lambda digest: bundle(statement(digest)), "is signed, but not by"),
    "with a certificate that is none": (
        lambda digest: bundle(statement(digest), verificationMaterial={"certificate": {"rawBytes": "AAAA"}}),
        UNPROVEN,
    ),
}


@pytest.mark.parametrize(("make", "said"), MADE.values(), ids=MADE)
async def test_refuses_what_was_signed(
    registry: Scripted, verifier: Verifier, make: Callable[[str], Any], said: str
) -> None:
    digest = put_image(registry)
    put_referrers(registry, digest, artifact(registry, digest, make(digest)))
    found = await verifier.verify(registry.app, digest, ANYBODY, (by_identity(),), name="it")
    assert found is not None
    assert found.startswith(f"it {said}")


async def test_in_the_older_layout_it_cannot_be_verified_and_says_so(registry: Scripted, verifier: Verifier) -> None:
    digest = put_image(registry)
    payload, notes = signed(simple(digest))
    put_legacy(registry, digest, (payload, {**notes, "dev.sigstore.cosign/certificate": "…"}))
    found = await verifier.verify(registry.app, digest, ANYBODY, (by_identity(),), name="it")
    assert found == (
        "it is signed without a key in cosign's older layout, which podpin cannot verify: "
        f"sign it once more as {WHO}, with cosign 3"
    )


async def test_nothing_is_asked_of_any_other_host(
    registry: Scripted, verifier: Verifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = put_image(registry)
    put_referrers(registry, digest, artifact(registry, digest, SIGSTORE.bundle(statement(digest), RELEASE)))
    asked: list[Any] = []
    connect = socket.socket.connect

    def noting(self: socket.socket, address: Any) -> None:
        asked.append(address)
        connect(self, address)

    def resolving(*names: Any, **_: Any) -> list[Any]:
        asked.append(names)
        return []

    monkeypatch.setattr(socket.socket, "connect", noting)
    monkeypatch.setattr(socket, "getaddrinfo", resolving)
    assert await verifier.verify(registry.app, digest, ANYBODY, (by_identity(),), name="it") is None
    assert [one for one in asked if not isinstance(one, tuple) or one[0] != "127.0.0.1"] == []


async def test_key_and_identity_may_both_be_demanded(registry: Scripted, verifier: Verifier) -> None:
    digest = put_image(registry)
    mine = artifact(registry, digest, SIGSTORE.bundle(statement(digest), RELEASE))
    put_referrers(registry, digest, mine)
    both = (by_identity(), by_key(pem(THEIRS)))
    assert "not by the key" in str(await verifier.verify(registry.app, digest, ANYBODY, both, name="it"))
    put_referrers(registry, digest, mine, artifact(registry, digest, bundle(statement(digest), THEIRS)))
    assert await verifier.verify(registry.app, digest, ANYBODY, both, name="it") is None


async def test_a_trusted_root_that_changes_is_read_anew(
    registry: Scripted, verifier: Verifier, trusted_root: Path
) -> None:
    digest = put_image(registry)
    put_referrers(registry, digest, artifact(registry, digest, SIGSTORE.bundle(statement(digest), RELEASE)))
    assert await verifier.verify(registry.app, digest, ANYBODY, (by_identity(),), name="it") is None
    STRANGER.trusted_root(trusted_root.with_suffix(".new")).replace(trusted_root)
    found = await verifier.verify(registry.app, digest, ANYBODY, (by_identity(),), name="it")
    assert found is not None
    assert found.startswith(f"it {UNPROVEN}")


@pytest.mark.parametrize("content", [None, "", "{}", '{"mediaType": "x"}'], ids=["missing", "empty", "{}", "no root"])
async def test_a_trusted_root_that_cannot_be_read_is_the_administrator_s_to_mend(
    registry: Scripted, client: RegistryClient, tmp_path: Path, content: str | None
) -> None:
    file = tmp_path / "root.json"
    if content is not None:
        file.write_text(content)
    with pytest.raises(Unverifiable, match=f"The trusted root in {file}.* cannot be read"):
        await Verifier(client, file).verify(registry.app, put_image(registry), ANYBODY, (by_identity(),), name="it")
    assert registry.asked == []


async def test_without_a_trusted_root_there_is_nothing_to_verify_by(registry: Scripted, client: RegistryClient) -> None:
    with pytest.raises(Unverifiable, match="--sigstore-trusted-root"):
        await Verifier(client).verify(registry.app, put_image(registry), ANYBODY, (by_identity(),), name="it")


async def test_without_the_package_it_says_what_to_install(
    registry: Scripted, verifier: Verifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "sigstore.models", None)
    with pytest.raises(Unverifiable, match=r"podpin\[sigstore\]"):
        await verifier.verify(registry.app, put_image(registry), ANYBODY, (by_identity(),), name="it")
