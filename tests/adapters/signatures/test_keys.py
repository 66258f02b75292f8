"""Which signatures a key holds for: those of cosign's versions, and of nobody who signs otherwise."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from tests.adapters.signatures.signing import pem

from podpin.adapters.signatures.keys import is_signed_by, load_keys
from podpin.core.trust import Flaw, flaw_in, parse_bundle

MESSAGE = b"what is signed"
P256, P384, P521 = (ec.generate_private_key(curve()) for curve in (ec.SECP256R1, ec.SECP384R1, ec.SECP521R1))
RSA = rsa.generate_private_key(65537, 2048)
ED25519 = ed25519.Ed25519PrivateKey.generate()
SHA256, SHA384, SHA512 = hashes.SHA256(), hashes.SHA384(), hashes.SHA512()
PSS = padding.PSS(padding.MGF1(SHA256), padding.PSS.MAX_LENGTH)

SIGNED: dict[str, tuple[Any, bytes, bool]] = {
    "P-256, SHA-256": (P256, P256.sign(MESSAGE, ec.ECDSA(SHA256)), True),
    "P-256, SHA-384": (P256, P256.sign(MESSAGE, ec.ECDSA(SHA384)), False),
    "P-384, SHA-384": (P384, P384.sign(MESSAGE, ec.ECDSA(SHA384)), True),
    "P-384, SHA-256, as older cosigns sign": (P384, P384.sign(MESSAGE, ec.ECDSA(SHA256)), True),
    "P-521, SHA-512": (P521, P521.sign(MESSAGE, ec.ECDSA(SHA512)), True),
    "P-521, SHA-256, as older cosigns sign": (P521, P521.sign(MESSAGE, ec.ECDSA(SHA256)), True),
    "P-384, SHA-1": (P384, P384.sign(MESSAGE, ec.ECDSA(hashes.SHA1())), False),
    "RSA, SHA-256": (RSA, RSA.sign(MESSAGE, padding.PKCS1v15(), SHA256), True),
    "RSA, SHA-512": (RSA, RSA.sign(MESSAGE, padding.PKCS1v15(), SHA512), False),
    "RSA with PSS": (RSA, RSA.sign(MESSAGE, PSS, SHA256), False),
    "Ed25519, as older cosigns sign": (ED25519, ED25519.sign(MESSAGE), True),
    "Ed25519, another message": (ED25519, ED25519.sign(MESSAGE + b"!"), False),
    "Ed25519, one byte short": (ED25519, ED25519.sign(MESSAGE)[:-1], False),
    "Ed25519, nothing": (ED25519, b"", False),
    "P-256, nothing": (P256, b"", False),
    "P-256, another one's": (P256, ec.generate_private_key(ec.SECP256R1()).sign(MESSAGE, ec.ECDSA(SHA256)), False),
    "RSA, nothing": (RSA, b"", False),
    "RSA, nothing but zeros": (RSA, bytes(256), False),
}  # fmt: skip


@pytest.mark.parametrize(("private", "signature", "holds"), SIGNED.values(), ids=SIGNED)
def test_holds_for_what_cosign_signs(private: Any, signature: bytes, holds: bool) -> None:
    (key,) = load_keys(pem(private).encode(), "it")
    assert is_signed_by(key, MESSAGE, signature) is holds


def test_rsa_keys_come_in_an_older_form_too() -> None:
    older = RSA.public_key().public_bytes(Encoding.PEM, PublicFormat.PKCS1)
    assert b"RSA PUBLIC KEY" in older
    (key,) = load_keys(b"a comment\n" + older, "it")
    assert is_signed_by(key, MESSAGE, RSA.sign(MESSAGE, padding.PKCS1v15(), SHA256))


def test_all_keys_of_a_file_are_read_in_order() -> None:
    found = load_keys(f"{pem(P256)}\r\n{pem(RSA)}{pem(ED25519)}".encode(), "it")
    assert [type(key).__name__ for key in found] == ["ECPublicKey", "RSAPublicKey", "Ed25519PublicKey"]


def test_a_bundle_of_sigstore_s_conformance_suite_holds_and_signs_no_image() -> None:
    vector = json.loads((Path(__file__).parent / "vectors" / "conformance.json").read_text())
    found = parse_bundle(json.dumps(vector["bundle"]).encode())
    assert found is not None
    (key,) = load_keys(vector["key"].encode(), "it")
    assert is_signed_by(key, found.message, found.signature)
    assert not is_signed_by(key, found.message + b" ", found.signature)
    assert (
        flaw_in(found, "sha256:a0cfc71271d6e278e57cd332ff957c3f7043fdda354c4cbb190a30d56efa01bf") is Flaw.NO_SIGNATURE
    )
