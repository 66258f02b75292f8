"""What signatures look like, what they say, and what the user is told of those that say too little.

Two layouts are out there. cosign up to version 2 signs a small JSON document that names the digest ("simple signing",
cosign's SIGNATURE_SPEC). cosign 3 makes a sigstore bundle: a DSSE envelope around an in-toto statement, whose subject
is the digest (cosign's BUNDLE_SPEC). Both are read here into one shape, a `Signature`: the bytes that were signed, and
what they say. Whether the signature holds is for an adapter to find out, since that takes cryptography.

A signature that holds is worth nothing before `flaw_in` has looked at what it says: it can be a copy from another
image, or be made for a list of contents and no signature at all.
"""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Any, Final, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from podpin.core.spec.images import Demand

BUNDLE_TYPES: Final = frozenset(
    {"application/vnd.dev.sigstore.bundle.v0.3+json", "application/vnd.dev.sigstore.bundle+json;version=0.3"}
)
"""The media types of a sigstore bundle 0.3, the two spellings that its specification allows."""

SIMPLE_SIGNING: Final = "application/vnd.dev.cosign.simplesigning.v1+json"
SIMPLE_ARTIFACT: Final = "application/vnd.dev.cosign.artifact.sig.v1+json"
"""The artifact type of the older layout where cosign 2 was told to use referrers."""

SIGN_PREDICATE: Final = "https://sigstore.dev/cosign/sign/v1"
PREDICATE_ANNOTATION: Final = "dev.sigstore.bundle.predicateType"

_SIGNATURE_ANNOTATION: Final = "dev.cosignproject.cosign/signature"
_CERTIFICATE_ANNOTATION: Final = "dev.sigstore.cosign/certificate"
_SIMPLE_TYPE: Final = "cosign container image signature"
_STATEMENT_PAYLOAD: Final = "application/vnd.in-toto+json"
_STATEMENT_TYPES: Final = frozenset({"https://in-toto.io/Statement/v0.1", "https://in-toto.io/Statement/v1"})


class Flaw(IntEnum):
    """Why a signature is none that is wanted. The higher, the nearer it came, and the more it explains."""

    MISSING = 0
    UNREADABLE = 1
    ANOTHER_SIGNER = 2
    OLD_LAYOUT = 3
    UNPROVEN = 4
    TOO_MANY = 5
    NO_SIGNATURE = 6
    ANOTHER_IMAGE = 7


@dataclass(frozen=True, slots=True)
class Signature:
    """A signature as it was found: nobody has verified it yet.

    `message` is what was signed and `payload` what it says of the image; in a bundle the two differ by the envelope.
    `keyless` says that a certificate came with it. `bundle` holds the whole bundle, where it is one.
    """

    form: Literal["simple", "bundle"]
    message: bytes
    payload: bytes
    signature: bytes
    keyless: bool = False
    payload_type: str = ""
    bundle: bytes = b""


def fallback_tag(digest: str) -> str:
    """The tag that lists a digest's referrers where the registry cannot, by the distribution spec of OCI."""
    return digest.replace(":", "-")


def legacy_tag(digest: str) -> str:
    """The tag under which cosign up to version 2 keeps the signatures of a digest."""
    return f"{fallback_tag(digest)}.sig"


def pae(payload_type: str, payload: bytes) -> bytes:
    """What a DSSE envelope's signature is over: the pre-authentication encoding of its type and payload (DSSE 1.0)."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def parse_simple(payload: bytes, annotations: Mapping[str, Any]) -> Signature | None:
    """A layer of the older layout: its content, and the annotations that hold the signature; None if it is none."""
    signature = _bytes_of(annotations.get(_SIGNATURE_ANNOTATION))
    if not signature:
        return None
    return Signature("simple", payload, payload, signature, keyless=_CERTIFICATE_ANNOTATION in annotations)


def parse_bundle(body: bytes) -> Signature | None:
    """A sigstore bundle with a DSSE envelope, or None for what is none.

    There must be exactly one signature in the envelope: so the bundle's specification has it.
    """
    bundle = _object(body)
    envelope = bundle.get("dsseEnvelope")
    material = bundle.get("verificationMaterial")
    if (
        _text(bundle.get("mediaType")) not in BUNDLE_TYPES
        or not isinstance(envelope, dict)
        or not isinstance(material, dict)
    ):
        return None
    payload, kind, signatures = (
        _bytes_of(envelope.get("payload")),
        envelope.get("payloadType"),
        envelope.get("signatures"),
    )
    if payload is None or not isinstance(kind, str) or not isinstance(signatures, list) or len(signatures) != 1:
        return None
    signature = _bytes_of(signatures[0].get("sig")) if isinstance(signatures[0], dict) else None
    if not signature:
        return None
    keyless = "certificate" in material or "x509CertificateChain" in material
    return Signature("bundle", pae(kind, payload), payload, signature, keyless, kind, body)


def flaw_in(signature: Signature, digest: str) -> Flaw | None:
    """What is wrong with what a signature says, if it is to be one of the image with this digest, or None."""
    content = _object(signature.payload)
    if signature.form == "simple":
        critical = content.get("critical")
        critical = critical if isinstance(critical, dict) else {}
        if critical.get("type") != _SIMPLE_TYPE:
            return Flaw.NO_SIGNATURE
        image = critical.get("image")
        same = isinstance(image, dict) and image.get("docker-manifest-digest") == digest
        return None if same else Flaw.ANOTHER_IMAGE
    if (
        signature.payload_type != _STATEMENT_PAYLOAD
        or _text(content.get("_type")) not in _STATEMENT_TYPES
        or content.get("predicateType") != SIGN_PREDICATE
    ):
        return Flaw.NO_SIGNATURE
    return None if digest in _subjects(content) else Flaw.ANOTHER_IMAGE


def signer_of(demand: Demand) -> str:
    """Who must have signed, as it stands in the middle of a sentence."""
    if demand.sigstore is not None:
        return f"{demand.sigstore.identity} (certified through {demand.sigstore.issuer})"
    assert demand.cosign is not None, "the schema sees to it"
    if demand.cosign.public_key_secret is not None:
        return f"the key in Secret {demand.cosign.public_key_secret}"
    return "the key in the spec"


def signers_of(demands: tuple[Demand, ...]) -> str:
    """All who must have signed."""
    return " and ".join(dict.fromkeys(signer_of(demand) for demand in demands))


def refusal(name: str, demand: Demand, flaw: Flaw) -> str:
    """Why an image of this name is not taken: the same words, without a full stop, as long as the cause is the same."""
    signer = signer_of(demand)
    match flaw:
        case Flaw.MISSING:
            return f"{name} has no signature, and must be signed by {signer}: sign it by its digest with cosign"
        case Flaw.UNREADABLE:
            return f"{name} has no signature that podpin can read, and must be signed by {signer}"
        case Flaw.ANOTHER_SIGNER:
            return f"{name} is signed, but not by {signer}"
        case Flaw.OLD_LAYOUT:
            return (
                f"{name} is signed without a key in cosign's older layout, which podpin cannot verify: sign it once "
                f"more as {signer}, with cosign 3"
            )
        case Flaw.UNPROVEN:
            return (
                f"{name} is signed without a key, but the certificate or log entry does not hold by podpin's trusted "
                f"root: sign it once more as {signer}, or ask the administrator whether the trusted root is current"
            )
        case Flaw.TOO_MANY:
            return (
                f"{name} has more signatures than podpin looks at, and none of the first is by {signer}: delete those "
                "that are not needed"
            )
        case Flaw.NO_SIGNATURE:
            return f"{name} has attestations by {signer} only, and no signature: sign it with cosign sign"
        case Flaw.ANOTHER_IMAGE:
            return f"{name} has a signature by {signer} that was made for another image"


def _subjects(statement: Mapping[str, Any]) -> set[str]:
    subjects = statement.get("subject")
    digests = (
        [subject.get("digest") for subject in subjects if isinstance(subject, dict)]
        if isinstance(subjects, list)
        else []
    )
    return {f"sha256:{digest.get('sha256')}" for digest in digests if isinstance(digest, dict)}


def _object(body: bytes) -> dict[str, Any]:
    """A JSON object out of a stranger's bytes, or an empty one."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _bytes_of(text: Any) -> bytes | None:
    """What is base64 in a stranger's JSON; None for what is not."""
    if not isinstance(text, str):
        return None
    try:
        return base64.b64decode(text, validate=True)
    except (ValueError, binascii.Error):
        return None
