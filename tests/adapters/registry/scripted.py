"""A registry that does what a test tells it, over real sockets on loopback, and remembers what it was asked."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import hashlib
import ipaddress
import json
import ssl
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from podpin.core.keyring import DOCKER_CONFIG_JSON, Access, Keyring, SecretData
from podpin.core.reference import Repository, parse_repository

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    Reply = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]

INDEX = "application/vnd.oci.image.index.v1+json"
IMAGE = "application/vnd.oci.image.manifest.v1+json"


def image(name: str = "one", **more: Any) -> bytes:
    """A small OCI manifest, different for each name."""
    blob = {"mediaType": "application/octet-stream", "digest": digest_of(name.encode()), "size": len(name)}
    return json.dumps({"schemaVersion": 2, "mediaType": IMAGE, "config": blob, "layers": [blob], **more}).encode()


def digest_of(body: bytes) -> str:
    return f"sha256:{hashlib.sha256(body).hexdigest()}"


def access(*hosts: str, user: str = "me", password: str = "hunter2", ca: bytes | None = None) -> Access:
    """Access with one user's credentials for the hosts named."""
    auths = {host: {"username": user, "password": password} for host in hosts}
    content = json.dumps({"auths": auths}).encode()
    return Access(Keyring.of_secrets([SecretData("pull", DOCKER_CONFIG_JSON, {".dockerconfigjson": content})]), ca)


def reply(
    status: int = 200,
    body: bytes | str | Any = b"",
    *,
    kind: str = "application/json",
    **headers: str,
) -> Reply:
    """A fixed answer; keyword `docker_content_digest` becomes the header Docker-Content-Digest."""
    data = body if isinstance(body, bytes) else body.encode() if isinstance(body, str) else json.dumps(body).encode()
    named = {name.replace("_", "-").title(): value for name, value in headers.items()}

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        return web.Response(status=status, body=data, headers={"Content-Type": kind, **named})

    return answer


def manifest(body: bytes | None = None, kind: str = IMAGE, *, digest: str | None = None) -> Reply:
    """A manifest as a good registry sends it; with `digest` the header says something else."""
    content = image() if body is None else body
    return reply(200, content, kind=kind, docker_content_digest=digest or digest_of(content))


def missing(code: str = "MANIFEST_UNKNOWN") -> Reply:
    return reply(404, {"errors": [{"code": code, "message": "unknown"}]})


@dataclass
class Scripted:
    """A server. `rules` map `METHOD /path` to answers in their order, of which the last repeats."""

    host: str = ""
    rules: dict[str, list[Reply]] = field(default_factory=dict)
    seen: list[web.BaseRequest] = field(default_factory=list)
    closing: asyncio.Event = field(default_factory=asyncio.Event)

    def on(self, what: str, *replies: Reply) -> None:
        self.rules[what] = list(replies)

    def serves(self, name: str, body: bytes | None = None, kind: str = IMAGE) -> str:
        """Make a good registry of it: one manifest by HEAD and GET, by tag and digest. Returns the digest."""
        content = image() if body is None else body
        digest = digest_of(content)
        for reference in (name, digest):
            for method in ("HEAD", "GET"):
                self.on(f"{method} /v2/app/manifests/{reference}", manifest(content, kind))
        return digest

    @property
    def app(self) -> Repository:
        return parse_repository(f"{self.host}/app")

    @property
    def asked(self) -> list[str]:
        return [f"{request.method} {request.path_qs}" for request in self.seen]

    @property
    def authorizations(self) -> list[str | None]:
        return [request.headers.get("Authorization") for request in self.seen]

    async def silence(self, request: web.BaseRequest) -> web.StreamResponse:
        """An answer that does not come, for as long as the test lasts."""
        await self.closing.wait()
        return web.Response()

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        self.seen.append(request)
        for key in (f"{request.method} {request.path_qs}", f"{request.method} {request.path}", "*"):
            if replies := self.rules.get(key):
                return await (replies.pop(0) if len(replies) > 1 else replies[0])(request)
        return await missing()(request)


@contextlib.asynccontextmanager
async def serving(name: str = "127.0.0.1", tls: ssl.SSLContext | None = None) -> AsyncIterator[Scripted]:
    """Run a server under `name` (127.0.0.1 or localhost: two hosts to a client), at a port of its own."""
    scripted = Scripted()
    server = web.Server(scripted.handle)
    # No grace for requests under way: some of them are meant never to end.
    runner = web.ServerRunner(server, shutdown_timeout=0)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
    await site.start()
    scripted.host = f"{name}:{runner.addresses[0][1]}"
    try:
        yield scripted
    finally:
        scripted.closing.set()
        await runner.cleanup()


@dataclass(frozen=True)
class Authority:
    """A certificate authority made for a test."""

    pem: bytes
    directory: Path
    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    @classmethod
    def create(cls, directory: Path) -> Authority:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "podpin's test CA")])
        certificate = _certificate(subject, subject, key, key, [], days=1, ca=True)
        return cls(certificate.public_bytes(serialization.Encoding.PEM), directory, key, certificate)

    def context(self, name: str = "127.0.0.1", *, days: int = 1) -> ssl.SSLContext:
        """What a server called `name` needs for TLS; its certificate ends in so many days, which may be negative."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.issue(name, days=days))
        return context

    def issue(self, name: str = "127.0.0.1", *, days: int = 1) -> Path:
        """Write a certificate for `name`, and its key, into one file."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "registry")])
        names: list[x509.GeneralName] = [x509.DNSName(name)]
        with contextlib.suppress(ValueError):
            names = [x509.IPAddress(ipaddress.ip_address(name))]
        certificate = _certificate(subject, self.certificate.subject, key, self.key, names, days=days)
        file = self.directory / f"{name}{days}.pem"
        file.write_bytes(
            certificate.public_bytes(serialization.Encoding.PEM)
            + key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        return file


def _certificate(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    signer: ec.EllipticCurvePrivateKey,
    names: list[x509.GeneralName],
    *,
    days: int,
    ca: bool = False,
) -> x509.Certificate:
    today = dt.datetime.now(dt.UTC)  # noqa: TID251 -- certificates live in real time
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(today - dt.timedelta(days=10))
        .not_valid_after(today + dt.timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
    )
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return builder.sign(signer, hashes.SHA256())
