"""The two registries beside the node, and a small client for both.

One is plain HTTP and open to all; one is TLS from the cluster's own authority and asks for a password. Both are
Debian's docker-registry with settings of our own, and answer under the same HOST:PORT on the host and on the node,
because podpin writes that name into what the node then pulls.
"""

from __future__ import annotations

import base64
import hashlib
import http.client
import json
import re
import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import bcrypt
import yaml

from tests.cluster.errors import ClusterError
from tests.cluster.parts import Part
from tests.cluster.toolchain import find

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cluster.keys import Pair

OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
ACCEPT = f"{OCI_INDEX}, {OCI_MANIFEST}, {DOCKER_LIST}, {DOCKER_MANIFEST}"
ACCESS = re.compile(
    r'^(?P<peer>\S+) - \S+ \[[^]]*\] "(?P<verb>\S+) (?P<path>\S+) [^"]*" (?P<code>\d+) \d+ "[^"]*" "(?P<agent>[^"]*)"'
)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a registry said."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes


@dataclass(frozen=True, slots=True)
class Request:
    """A line of a registry's access log."""

    peer: str
    verb: str
    path: str
    code: int
    agent: str


@dataclass(frozen=True, slots=True)
class Registry:
    """A registry as a test uses it: push, tag, list, delete, and see who asked what."""

    address: str
    authority: Path | None = None  # its certificate's authority; None means plain HTTP
    username: str = ""
    password: str = ""
    log: Path | None = None

    def put_blob(self, repository: str, content: bytes) -> str:
        """Upload a blob (unless it is there) and return its digest."""
        digest = sha256(content)
        if self.ask("HEAD", f"/v2/{repository}/blobs/{digest}").status == 200:
            return digest
        begun = self._expect(202, "POST", f"/v2/{repository}/blobs/uploads/")
        location = re.sub(r"^https?://[^/]+", "", begun.headers["Location"])
        joint = "&" if "?" in location else "?"
        media = {"Content-Type": "application/octet-stream"}
        self._expect(201, "PUT", f"{location}{joint}digest={digest}", content, media)
        return digest

    def put_manifest(self, repository: str, reference: str, content: bytes, media_type: str) -> str:
        """Store a manifest under a tag or its digest; return the digest."""
        path = f"/v2/{repository}/manifests/{reference}"
        self._expect(201, "PUT", path, content, {"Content-Type": media_type})
        return sha256(content)

    def manifest(self, repository: str, reference: str) -> tuple[str, bytes]:
        """Media type and bytes, whichever of the four kinds it is."""
        answer = self._expect(200, "GET", f"/v2/{repository}/manifests/{reference}", headers={"Accept": ACCEPT})
        return answer.headers["Content-Type"], answer.body

    def digest(self, repository: str, tag: str) -> str:
        """The digest that a tag has now."""
        return sha256(self.manifest(repository, tag)[1])

    def tag(self, repository: str, source: str, tag: str) -> str:
        """Let `tag` mean what `source` (a tag or digest) means; return the digest."""
        media_type, content = self.manifest(repository, source)
        return self.put_manifest(repository, tag, content, media_type)

    def tags(self, repository: str) -> list[str]:
        """All tags, sorted; none when there is no such repository."""
        answer = self.ask("GET", f"/v2/{repository}/tags/list")
        if answer.status == 404:
            return []
        return sorted(json.loads(answer.body)["tags"] or [])

    def delete(self, repository: str, digest: str) -> None:
        """Delete a manifest by its digest, and with it every tag that means it."""
        self._expect(202, "DELETE", f"/v2/{repository}/manifests/{digest}")

    def requests(self, agent: str = "", since: int = 0) -> list[Request]:
        """Who asked what, from the access log.

        `since` is an earlier `position()`, `agent` a prefix of the user agent.
        """
        if self.log is None:
            raise ClusterError(f"{self.address} keeps no access log that can be read here")
        with self.log.open("rb") as file:
            file.seek(since)
            lines = file.read().decode(errors="replace").splitlines()
        found = [match.groupdict() for line in lines if (match := ACCESS.match(line))]
        return [
            Request(one["peer"], one["verb"], one["path"], int(one["code"]), one["agent"])
            for one in found
            if one["agent"].startswith(agent)
        ]

    def position(self) -> int:
        """Where the access log ends now."""
        return self.log.stat().st_size if self.log else 0

    def pull_secret(self, name: str, namespace: str = "default") -> dict[str, Any]:
        """A Secret of type dockerconfigjson with this registry's credentials."""
        pair = base64.b64encode(f"{self.username}:{self.password}".encode()).decode()
        config = {"auths": {self.address: {"username": self.username, "password": self.password, "auth": pair}}}
        return {
            "apiVersion": "v1",
            "kind": "Secret",
            "type": "kubernetes.io/dockerconfigjson",
            "metadata": {"name": name, "namespace": namespace},
            "stringData": {".dockerconfigjson": json.dumps(config)},
        }

    def ca_secret(self, name: str, namespace: str = "default") -> dict[str, Any]:
        """A Secret with the certificate of the authority that this registry's own comes from."""
        assert self.authority is not None, f"{self.address} speaks plain HTTP"
        return {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": name, "namespace": namespace},
            "stringData": {"ca.crt": self.authority.read_text()},
        }

    def ask(self, verb: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None) -> Answer:
        """One request."""
        sent = dict(headers or {}) | {"User-Agent": "podpin-tests"}
        if self.username:
            pair = base64.b64encode(f"{self.username}:{self.password}".encode()).decode()
            sent["Authorization"] = f"Basic {pair}"
        connection = self._connection()
        try:
            connection.request(verb, path, body=body, headers=sent)
            answer = connection.getresponse()
            return Answer(answer.status, answer.headers, answer.read())
        except OSError as error:
            raise ClusterError(f"registry {self.address} does not answer: {error}") from error
        finally:
            connection.close()

    def _expect(
        self, status: int, verb: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> Answer:
        answer = self.ask(verb, path, body, headers)
        if answer.status != status:
            text = answer.body[:500].decode(errors="replace")
            raise ClusterError(f"registry {self.address}: {verb} {path} gave {answer.status}, not {status}: {text}")
        return answer

    def _connection(self) -> http.client.HTTPConnection:
        if self.authority is None:
            return http.client.HTTPConnection(self.address, timeout=30)
        context = ssl.create_default_context(cafile=str(self.authority))
        return http.client.HTTPSConnection(self.address, timeout=30, context=context)


def sha256(content: bytes) -> str:
    """The digest, as registries write it."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def hosts_toml(registry: Registry) -> str:
    """How containerd is to reach it; the empty table of mirrors is what containerd 1.6 insists on."""
    if registry.authority is None:
        return f'server = "http://{registry.address}"\n[host]\n'
    return f'server = "https://{registry.address}"\nca = "{registry.authority}"\n[host]\n'


def daemon(
    name: str,
    registry: Registry,
    folder: Path,
    data: Path,
    server: Pair | None = None,
    tell: tuple[str, str] | None = None,
) -> Part:
    """Write settings (and the password file) for a registry's program; return what to start.

    `tell` is the URL that it sends its notifications to, and the secret that it puts into their Authorization.
    """
    http_settings: dict[str, Any] = {"addr": registry.address}
    if server is not None:
        http_settings["tls"] = {"certificate": str(server.certificate), "key": str(server.key)}
    settings: dict[str, Any] = {
        "version": 0.1,
        "log": {"level": "warn"},
        "storage": {
            "filesystem": {"rootdirectory": str(data)},
            "delete": {"enabled": True},
            "maintenance": {"uploadpurging": {"enabled": False}},
        },
        "http": http_settings,
    }
    if registry.username:
        passwords = folder / f"{name}.htpasswd"
        hashed = bcrypt.hashpw(registry.password.encode(), bcrypt.gensalt(rounds=4)).decode()
        passwords.write_text(f"{registry.username}:{hashed}\n")
        settings["auth"] = {"htpasswd": {"realm": "podpin test registry", "path": str(passwords)}}
    if tell is not None:
        endpoint = {"name": "podpin", "url": tell[0], "headers": {"Authorization": [tell[1]]}}
        settings["notifications"] = {"endpoints": [endpoint | {"timeout": "1s", "threshold": 5, "backoff": "1s"}]}
    file = folder / f"{name}.yaml"
    file.write_text(yaml.safe_dump(settings))
    return Part(name, [find("docker-registry") or "docker-registry", "serve", file])
