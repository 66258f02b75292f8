"""The cluster's certificates: one authority, a server certificate, a client certificate for whoever asks.

Made fresh for each cluster. They are valid for a century around now, so that nothing here has to read a clock.
"""

from __future__ import annotations

import base64
import ipaddress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

NOT_BEFORE = datetime(2000, 1, 1, tzinfo=UTC)
NOT_AFTER = datetime(2100, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate and its key, as files."""

    certificate: Path
    key: Path


def write_key(path: Path) -> ec.EllipticCurvePrivateKey:
    """Make a private key that only root can read."""
    key = ec.generate_private_key(ec.SECP256R1())
    path.touch(mode=0o600)
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return key


def write_signing_pair(folder: Path, name: str) -> Pair:
    """A bare key pair: what service accounts' tokens are signed with."""
    key = write_key(folder / f"{name}.key")
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    (folder / f"{name}.pub").write_bytes(public)
    return Pair(folder / f"{name}.pub", folder / f"{name}.key")


class Authority:
    """The cluster's certificate authority; kept in a folder so that a later process can go on issuing."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.files = Pair(folder / "ca.crt", folder / "ca.key")

    def create(self) -> None:
        """Make the authority's own certificate."""
        self.folder.mkdir(parents=True, exist_ok=True)
        key = write_key(self.files.key)
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "podpin test cluster")])
        usage = _usage(sign_certificates=True)
        certificate = (
            _builder(name, name, key.public_key())
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(usage, critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .sign(key, hashes.SHA256())
        )
        self.files.certificate.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))

    def server(self, name: str, hosts: Iterable[str]) -> Pair:
        """A certificate for whoever answers under these names and addresses."""
        return self._issue(name, name, (), [_general_name(host) for host in hosts])

    def client(self, file: str, user: str, groups: Iterable[str] = ()) -> Pair:
        """A certificate that Kubernetes takes for this user, in these groups."""
        return self._issue(file, user, groups, [])

    def _issue(self, file: str, user: str, groups: Iterable[str], hosts: list[x509.GeneralName]) -> Pair:
        authority = x509.load_pem_x509_certificate(self.files.certificate.read_bytes())
        signer = serialization.load_pem_private_key(self.files.key.read_bytes(), password=None)
        assert isinstance(signer, ec.EllipticCurvePrivateKey)
        pair = Pair(self.folder / f"{file}.crt", self.folder / f"{file}.key")
        key = write_key(pair.key)
        subject = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in groups]
        subject.append(x509.NameAttribute(NameOID.COMMON_NAME, user))
        usages = [ExtendedKeyUsageOID.CLIENT_AUTH] + ([ExtendedKeyUsageOID.SERVER_AUTH] if hosts else [])
        issuer_key = x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key())
        builder = (
            _builder(x509.Name(subject), authority.subject, key.public_key())
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(sign_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
            .add_extension(issuer_key, critical=False)
        )
        if hosts:
            builder = builder.add_extension(x509.SubjectAlternativeName(hosts), critical=False)
        certificate = builder.sign(signer, hashes.SHA256())
        pair.certificate.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        return pair


def write_kubeconfig(path: Path, server: str, authority: Path, client: Pair, user: str) -> Path:
    """A kubeconfig that stands alone: certificates inside, so that the file can be handed on."""
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "podpin",
        "clusters": [
            {"name": "podpin", "cluster": {"server": server, "certificate-authority-data": _base64(authority)}}
        ],
        "users": [
            {
                "name": user,
                "user": {
                    "client-certificate-data": _base64(client.certificate),
                    "client-key-data": _base64(client.key),
                },
            }
        ],
        "contexts": [{"name": "podpin", "context": {"cluster": "podpin", "user": user}}],
    }
    path.touch(mode=0o600)
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    return path


def _builder(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOT_BEFORE)
        .not_valid_after(NOT_AFTER)
    )


def _usage(*, sign_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=sign_certificates,
        crl_sign=sign_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _base64(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()
