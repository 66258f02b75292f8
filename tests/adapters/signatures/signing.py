"""Images and signatures in a scripted registry: those that cosign made (vectors/), and others that it never would."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from tests.adapters.registry.scripted import IMAGE, INDEX, digest_of, image, reply

from podpin.core.spec.images import Demand
from podpin.core.trust import pae

if TYPE_CHECKING:
    from tests.adapters.registry.scripted import Scripted

VECTORS: dict[str, Any] = json.loads((Path(__file__).parent / "vectors" / "cosign.json").read_text())
BUNDLE = "application/vnd.dev.sigstore.bundle.v0.3+json"
SIMPLE = "application/vnd.dev.cosign.simplesigning.v1+json"
SIGN = "https://sigstore.dev/cosign/sign/v1"
OURS = ec.generate_private_key(ec.SECP256R1())
THEIRS = ec.generate_private_key(ec.SECP256R1())


def pem(key: Any = OURS) -> str:
    return str(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode())


def by_key(key: str | None = None, subject: str = "index") -> Demand:
    return Demand.model_validate({"cosign": {"publicKey": pem() if key is None else key}, "subject": subject})


def text(content: Any) -> bytes:
    return content if isinstance(content, bytes) else json.dumps(content).encode()


def base(content: bytes) -> str:
    return base64.b64encode(content).decode()


def put_blob(registry: Scripted, content: bytes) -> dict[str, Any]:
    digest = digest_of(content)
    registry.on(f"GET /v2/app/blobs/{digest}", reply(200, content, kind="application/octet-stream"))
    return {"digest": digest, "size": len(content)}


def put_vector(registry: Scripted, name: str) -> str:
    """Put a signed image there, and all that cosign put beside it. Returns the image's digest."""
    made = VECTORS["signed"][name]
    for content in made["blobs"].values():
        put_blob(registry, content.encode())
    for tag, content in made["manifests"].items():
        registry.serves(tag, content.encode(), INDEX if "manifests" in json.loads(content) else IMAGE)
    return registry.serves("1", made["image"].encode())


def put_image(registry: Scripted, name: str = "one") -> str:
    return registry.serves(name, image(name))


def statement(digest: str, predicate: str = SIGN, **more: Any) -> dict[str, Any]:
    subject = [{"digest": {"sha256": digest.partition(":")[2]}}]
    return {"_type": "https://in-toto.io/Statement/v1", "subject": subject, "predicateType": predicate, **more}


def bundle(
    says: Any, key: ec.EllipticCurvePrivateKey = OURS, *, kind: str = "application/vnd.in-toto+json", **more: Any
) -> dict[str, Any]:
    """A bundle with an envelope around `says`, signed with a key."""
    payload = text(says)
    signature = key.sign(pae(kind, payload), ec.ECDSA(hashes.SHA256()))
    envelope = {"payload": base(payload), "payloadType": kind, "signatures": [{"sig": base(signature)}]}
    material = {"publicKey": {"hint": "x"}}
    return {"mediaType": BUNDLE, "verificationMaterial": material, "dsseEnvelope": envelope, **more}


def simple(digest: str, **more: Any) -> dict[str, Any]:
    image = {"docker-manifest-digest": digest}
    return {"critical": {"image": image, "type": "cosign container image signature", **more}, "optional": None}


def artifact(
    registry: Scripted, subject: str | None, *contents: Any, kind: str = BUNDLE, **more: Any
) -> dict[str, Any]:
    """Put a manifest with these layers there that refers to a digest. Returns its descriptor."""
    layers = [{"mediaType": kind, **put_blob(registry, text(content))} for content in contents]
    config = {"mediaType": "application/vnd.oci.empty.v1+json", "digest": digest_of(b"{}"), "size": 2}
    content = {"schemaVersion": 2, "mediaType": IMAGE, "artifactType": kind, "config": config, "layers": layers}
    if subject is not None:
        content["subject"] = {"digest": subject, "mediaType": IMAGE, "size": 2}
    body = text({**content, **more})
    registry.serves(digest_of(body), body)
    return {"mediaType": IMAGE, "digest": digest_of(body), "size": len(body), "artifactType": kind}


def index_of(*descriptors: Any) -> bytes:
    return text({"schemaVersion": 2, "mediaType": INDEX, "manifests": list(descriptors)})


def put_referrers(registry: Scripted, digest: str, *descriptors: Any, **headers: str) -> None:
    registry.on(f"GET /v2/app/referrers/{digest}", reply(200, index_of(*descriptors), kind=INDEX, **headers))


def put_fallback(registry: Scripted, digest: str, *descriptors: Any) -> None:
    registry.serves(digest.replace(":", "-"), index_of(*descriptors), INDEX)


def put_legacy(registry: Scripted, digest: str, *layers: tuple[Any, dict[str, str]]) -> None:
    """Put signatures in the older layout there: each a payload, and the annotations of its layer."""
    listed = [
        {"mediaType": SIMPLE, **put_blob(registry, text(payload)), "annotations": notes} for payload, notes in layers
    ]
    registry.serves(f"{digest.replace(':', '-')}.sig", image("signatures", layers=listed))


def signed(says: Any, key: ec.EllipticCurvePrivateKey = OURS, **notes: str) -> tuple[Any, dict[str, str]]:
    """A payload of the older layout, and its annotations."""
    signature = key.sign(text(says), ec.ECDSA(hashes.SHA256()))
    return says, {"dev.cosignproject.cosign/signature": base(signature), **notes}
