"""What signatures say, and what the user is told. Whole signatures are in tests/adapters/signatures."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podpin.core.spec.images import Demand
from podpin.core.trust import (
    Flaw,
    fallback_tag,
    flaw_in,
    legacy_tag,
    pae,
    parse_bundle,
    parse_simple,
    refusal,
    signer_of,
    signers_of,
)

DIGEST = "sha256:" + "0123456789abcdef" * 4
PEM = "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"
SECRET = Demand.model_validate({"cosign": {"publicKeySecret": "shop-cosign"}})
KEY = Demand.model_validate({"cosign": {"publicKey": PEM}})
WHO = Demand.model_validate({"sigstore": {"issuer": "https://issuer.example.com", "identity": "me@example.com"}})

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=10,
)
WORDS = ("mediaType", "dsseEnvelope", "verificationMaterial", "payload", "payloadType", "signatures", "sig", "critical")
ODD = st.dictionaries(st.sampled_from([*WORDS, "image", "type", "subject", "digest", "sha256"]), JSON, max_size=6)


def test_the_encoding_before_signing_is_that_of_dsse() -> None:
    """The example of the DSSE protocol's own text."""
    assert pae("http://example.com/HelloWorld", b"hello world") == (
        b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    )


def test_lengths_are_counted_in_bytes() -> None:
    assert pae("ü", "ö".encode()) == b"DSSEv1 2 \xc3\xbc 2 \xc3\xb6"


def test_the_tags_beside_a_digest() -> None:
    assert fallback_tag(DIGEST) == "sha256-" + "0123456789abcdef" * 4
    assert legacy_tag(DIGEST) == "sha256-" + "0123456789abcdef" * 4 + ".sig"


def test_signers_are_named_as_the_spec_names_them() -> None:
    assert signer_of(SECRET) == "the key in Secret shop-cosign"
    assert signer_of(KEY) == "the key in the spec"
    assert signer_of(WHO) == "me@example.com (certified through https://issuer.example.com)"
    assert signers_of((SECRET, KEY, SECRET)) == "the key in Secret shop-cosign and the key in the spec"


@pytest.mark.parametrize("flaw", Flaw)
@pytest.mark.parametrize("demand", [SECRET, KEY, WHO], ids=["a Secret", "a key", "an identity"])
def test_every_refusal_begins_with_the_image_and_names_the_signer(flaw: Flaw, demand: Demand) -> None:
    said = refusal("tag 1.4.2", demand, flaw)
    assert said.startswith("tag 1.4.2 ")
    assert signer_of(demand) in said
    assert not said.endswith(".")
    assert "\n" not in said


@given(ODD, ODD, st.sampled_from(["application/vnd.dev.sigstore.bundle.v0.3+json", "x"]))
def test_any_document_can_be_read(outer: dict[str, object], inner: dict[str, object], kind: str) -> None:
    for content in (outer, {**outer, "mediaType": kind, "dsseEnvelope": inner, "verificationMaterial": {}}):
        found = parse_bundle(json.dumps(content).encode())
        if found is not None:
            assert flaw_in(found, DIGEST) in (Flaw.NO_SIGNATURE, Flaw.ANOTHER_IMAGE)


@given(
    st.binary(max_size=64) | JSON.map(lambda value: json.dumps(value).encode()) | ODD.map(json.dumps).map(str.encode)
)
def test_any_payload_can_be_read(payload: bytes) -> None:
    assert parse_bundle(payload) is None
    assert parse_simple(payload, {}) is None
    found = parse_simple(payload, {"dev.cosignproject.cosign/signature": "AAAA"})
    assert found is not None
    assert flaw_in(found, DIGEST) in (Flaw.NO_SIGNATURE, Flaw.ANOTHER_IMAGE)
