"""A sigstore of our own: an authority that certifies identities, its log of certificates, and the log of signatures.

It makes bundles as cosign makes them without a key, and the trusted root by which they hold: by the formats of Fulcio
(its docs/oid-info.md), RFC 6962 and Rekor, with a log of one entry. Nothing of it needs a network.
"""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import json
from typing import TYPE_CHECKING, Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from podpin.core.trust import pae

if TYPE_CHECKING:
    from pathlib import Path

ISSUER = "https://token.example.com"
WORKFLOW = "https://git.example.com/shop/web/.github/workflows/release.yml@refs/tags/"
AT = dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC)
"""When everything is signed."""

_TIMESTAMPS = x509.ObjectIdentifier("1.3.6.1.4.1.11129.2.4.2")
_ISSUER_V1 = x509.ObjectIdentifier("1.3.6.1.4.1.57264.1.1")
_ISSUER_V2 = x509.ObjectIdentifier("1.3.6.1.4.1.57264.1.8")


def base(content: bytes) -> str:
    return base64.b64encode(content).decode()


def spki(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def key_id(key: ec.EllipticCurvePrivateKey) -> bytes:
    return hashlib.sha256(spki(key)).digest()


def sign(key: ec.EllipticCurvePrivateKey, message: bytes) -> bytes:
    return key.sign(message, ec.ECDSA(hashes.SHA256()))


def der_text(text: str) -> bytes:
    return b"\x0c" + bytes([len(text)]) + text.encode()


def usage_for(*, signing_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signing_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signing_certificates,
        crl_sign=signing_certificates,
        encipher_only=False,
        decipher_only=False,
    )


class Sigstore:
    """The authority and its logs. `trusted_root` writes what is to be believed of them."""

    def __init__(self) -> None:
        self.ca, self.certificate_log, self.log = (ec.generate_private_key(ec.SECP256R1()) for _ in range(3))
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "sigstore of the tests")])
        usage = usage_for(signing_certificates=True)
        self.root = (
            self._dated(x509.CertificateBuilder(), dt.timedelta(days=3650))
            .subject_name(name)
            .issuer_name(name)
            .public_key(self.ca.public_key())
            .add_extension(x509.BasicConstraints(ca=True, path_length=1), critical=True)
            .add_extension(usage, critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(self.ca.public_key()), critical=False)
            .sign(self.ca, hashes.SHA256())
        )

    def trusted_root(self, file: Path) -> Path:
        def log(key: ec.EllipticCurvePrivateKey, host: str) -> dict[str, Any]:
            details = {"keyDetails": "PKIX_ECDSA_P256_SHA_256", "validFor": {"start": "2020-01-01T00:00:00Z"}}
            return {
                "baseUrl": f"https://{host}",
                "hashAlgorithm": "SHA2_256",
                "publicKey": {"rawBytes": base(spki(key)), **details},
                "logId": {"keyId": base(key_id(key))},
            }

        authority = {
            "subject": {"organization": "podpin", "commonName": "sigstore of the tests"},
            "uri": "https://fulcio.example.com",
            "certChain": {"certificates": [{"rawBytes": base(self.root.public_bytes(Encoding.DER))}]},
            "validFor": {"start": "2020-01-01T00:00:00Z"},
        }
        content = {
            "mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
            "tlogs": [log(self.log, "rekor.example.com")],
            "certificateAuthorities": [authority],
            "ctlogs": [log(self.certificate_log, "ct.example.com")],
            "timestampAuthorities": [],
        }
        file.write_text(json.dumps(content))
        return file

    def bundle(
        self, statement: Any, identity: str, issuer: str = ISSUER, *, signed_at: dt.datetime = AT
    ) -> dict[str, Any]:
        """A statement signed by an identity, with the certificate and the log's entry."""
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = self._certify(key, identity, issuer)
        kind, payload = "application/vnd.in-toto+json", json.dumps(statement).encode()
        signature = base(sign(key, pae(kind, payload)))
        return {
            "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
            "verificationMaterial": {
                "certificate": {"rawBytes": base(certificate.public_bytes(Encoding.DER))},
                "tlogEntries": [self._entry(certificate, payload, signature, int(signed_at.timestamp()))],
            },
            "dsseEnvelope": {"payload": base(payload), "payloadType": kind, "signatures": [{"sig": signature}]},
        }

    def _certify(self, key: ec.EllipticCurvePrivateKey, identity: str, issuer: str) -> x509.Certificate:
        name = x509.RFC822Name(identity) if "://" not in identity else x509.UniformResourceIdentifier(identity)
        usage = usage_for(signing_certificates=False)
        identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(self.ca.public_key())
        builder = (
            self._dated(x509.CertificateBuilder(), dt.timedelta(minutes=10))
            .subject_name(x509.Name([]))
            .issuer_name(self.root.subject)
            .public_key(key.public_key())
            .add_extension(usage, critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING]), critical=False)
            .add_extension(identifier, critical=False)
            .add_extension(x509.SubjectAlternativeName([name]), critical=True)
            .add_extension(x509.UnrecognizedExtension(_ISSUER_V1, issuer.encode()), critical=False)
            .add_extension(x509.UnrecognizedExtension(_ISSUER_V2, der_text(issuer)), critical=False)
        )
        before = builder.sign(self.ca, hashes.SHA256()).tbs_certificate_bytes
        timestamps = x509.UnrecognizedExtension(_TIMESTAMPS, self._timestamps(before))
        return builder.add_extension(timestamps, critical=False).sign(self.ca, hashes.SHA256())

    def _timestamps(self, certificate: bytes) -> bytes:
        """The list of one timestamp for a certificate to be (RFC 6962, section 3.2 and 3.3)."""
        at = int(AT.timestamp() * 1000).to_bytes(8, "big")
        entry = b"\0\x01" + key_id(self.ca) + len(certificate).to_bytes(3, "big") + certificate
        signature = sign(self.certificate_log, b"\0\0" + at + entry + b"\0\0")
        one = b"\0" + key_id(self.certificate_log) + at + b"\0\0" + b"\x04\x03"
        one += len(signature).to_bytes(2, "big") + signature
        listed = (len(one) + 2).to_bytes(2, "big") + len(one).to_bytes(2, "big") + one
        return b"\x04" + (b"\x81" if len(listed) > 127 else b"") + bytes([len(listed)]) + listed

    def _entry(self, certificate: x509.Certificate, payload: bytes, signature: str, at: int) -> dict[str, Any]:
        verifier = base(certificate.public_bytes(Encoding.PEM))
        content = {
            "apiVersion": "0.0.1",
            "kind": "dsse",
            "spec": {
                "envelopeHash": {"algorithm": "sha256", "value": "0" * 64},
                "payloadHash": {"algorithm": "sha256", "value": hashlib.sha256(payload).hexdigest()},
                "signatures": [{"signature": signature, "verifier": verifier}],
            },
        }
        body = json.dumps(content).encode()
        root = hashlib.sha256(b"\0" + body).digest()
        note = f"rekor.example.com - 1\n1\n{base(root)}\n"
        mark = base(key_id(self.log)[:4] + sign(self.log, note.encode()))
        promise = {"body": base(body), "integratedTime": at, "logID": key_id(self.log).hex(), "logIndex": 0}
        return {
            "logIndex": "0",
            "logId": {"keyId": base(key_id(self.log))},
            "kindVersion": {"kind": "dsse", "version": "0.0.1"},
            "integratedTime": str(at),
            "inclusionPromise": {
                "signedEntryTimestamp": base(sign(self.log, json.dumps(promise, separators=(",", ":")).encode()))
            },
            "inclusionProof": {
                "logIndex": "0",
                "rootHash": base(root),
                "treeSize": "1",
                "hashes": [],
                "checkpoint": {"envelope": f"{note}\n\u2014 rekor.example.com {mark}\n"},
            },
            "canonicalizedBody": base(body),
        }

    @staticmethod
    def _dated(builder: x509.CertificateBuilder, lasts: dt.timedelta) -> x509.CertificateBuilder:
        serial = x509.random_serial_number()
        return builder.serial_number(serial).not_valid_before(AT).not_valid_after(AT + lasts)
