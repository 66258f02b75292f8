"""Public keys, and whether a signature was made with one.

The kinds are those of cosign (its pkg/cosign/keys.go): ECDSA on the curves P-256, P-384 and P-521, RSA from 2048 bits
with PKCS #1 v1.5, and Ed25519. Older versions of cosign hash with SHA-256 whatever the curve, newer ones with the hash
that fits it; for Ed25519 newer ones sign a hash (Ed25519ph, RFC 8032), older ones the message itself. Either is taken.
"""

from __future__ import annotations

import re
from typing import Final, TypeAlias

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from nacl import bindings
from nacl.exceptions import CryptoError

from podpin.errors import Unverifiable

PublicKey: TypeAlias = EllipticCurvePublicKey | RSAPublicKey | Ed25519PublicKey

MOST_KEYS: Final = 8
SHORTEST_RSA: Final = 2048
LONGEST_RSA: Final = 8192
"""Bits. A longer key could be made to cost podpin more than a signature is worth."""
LARGEST_EXPONENT: Final = 2**32
"""Of an RSA key; the usual one is 65537, and what a signature costs grows with it."""

_HASHES: Final[dict[str, tuple[hashes.HashAlgorithm, ...]]] = {
    "secp256r1": (hashes.SHA256(),),
    "secp384r1": (hashes.SHA384(), hashes.SHA256()),
    "secp521r1": (hashes.SHA512(), hashes.SHA256()),
}
_BLOCK: Final = re.compile(rb"-----BEGIN ((?:RSA )?PUBLIC KEY)-----.+?-----END \1-----", re.DOTALL)
_KINDS: Final = "ECDSA on P-256, P-384 or P-521, RSA from 2048 bits, or Ed25519"


def load_keys(pem: bytes, where: str) -> tuple[PublicKey, ...]:
    """Read the public keys in a PEM file, all of which must be of a kind that podpin takes.

    `where` names the place for the sentence. Raises Unverifiable.
    """
    if b"PRIVATE KEY-----" in pem:
        raise Unverifiable(f"{where} holds a private key; put the public one there, as in the file cosign.pub.")
    blocks = [found[0] for found in _BLOCK.finditer(pem)]
    if not blocks:
        raise Unverifiable(f"{where} holds no public key in PEM; put one there, as in the file cosign.pub.")
    if len(blocks) > MOST_KEYS:
        raise Unverifiable(f"{where} holds more than {MOST_KEYS} public keys; leave only those that are in use.")
    return tuple(_load(block, where) for block in blocks)


def _load(block: bytes, where: str) -> PublicKey:
    try:
        key = load_pem_public_key(block)
    except (ValueError, UnsupportedAlgorithm):
        raise Unverifiable(
            f"{where} holds a public key that cannot be read; make it anew with cosign public-key."
        ) from None
    match key:
        case EllipticCurvePublicKey() if key.curve.name in _HASHES:
            return key
        case RSAPublicKey() if key.key_size < SHORTEST_RSA:
            raise Unverifiable(
                f"{where} holds an RSA key of {key.key_size} bits, which is too weak; use {SHORTEST_RSA} or more."
            )
        case RSAPublicKey() if key.key_size <= LONGEST_RSA and key.public_numbers().e < LARGEST_EXPONENT:
            return key
        case Ed25519PublicKey():
            return key
        case _:
            raise Unverifiable(f"{where} holds a public key of a kind that podpin does not take; use {_KINDS}.")


def is_signed_by(key: PublicKey, message: bytes, signature: bytes) -> bool:
    """Whether the signature over the message was made with the private half of this key."""
    match key:
        case EllipticCurvePublicKey():
            return any(_holds(key, message, signature, kind) for kind in _HASHES[key.curve.name])
        case RSAPublicKey():
            return _holds(key, message, signature, hashes.SHA256())
        case Ed25519PublicKey():
            return _holds(key, message, signature) or _holds_prehashed(key, message, signature)


def _holds(key: PublicKey, message: bytes, signature: bytes, kind: hashes.HashAlgorithm | None = None) -> bool:
    try:
        match key:
            case EllipticCurvePublicKey():
                assert kind is not None
                key.verify(signature, message, ECDSA(kind))
            case RSAPublicKey():
                assert kind is not None
                key.verify(signature, message, padding.PKCS1v15(), kind)
            case Ed25519PublicKey():
                key.verify(signature, message)
    except InvalidSignature:
        return False
    return True


def _holds_prehashed(key: Ed25519PublicKey, message: bytes, signature: bytes) -> bool:
    """The same for Ed25519ph, which the library `cryptography` lacks."""
    state = bindings.crypto_sign_ed25519ph_state()
    bindings.crypto_sign_ed25519ph_update(state, message)
    try:
        return bool(bindings.crypto_sign_ed25519ph_final_verify(state, signature, key.public_bytes_raw()))
    except CryptoError:
        return False
