"""Real registries, started on loopback with a configuration of our own, and images pushed into them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
import yaml
from tests.adapters.registry.scripted import IMAGE, Authority, digest_of
from tests.registry import servers

from podpin.core.reference import Repository

if TYPE_CHECKING:
    from pathlib import Path

LISTENING = re.compile(rb"(?:listening on |Serving on https?://)([0-9.]+:[0-9]+)")


@dataclass(frozen=True)
class RealRegistry:
    """A running registry. `push` and `delete` speak to it with the Authorization header given."""

    host: str
    scheme: str
    authorization: str | None

    def repository(self, path: str) -> Repository:
        return Repository(self.host, path)

    async def push(self, path: str, tag: str | None, manifest: dict[str, Any], *, kind: str = IMAGE) -> str:
        """Put a manifest, and the blobs in it, which carry their content with them. Returns the digest."""
        async with self._session() as session:
            for blob in [*manifest.get("layers", []), *filter(None, [manifest.get("config")])]:
                await self._push_blob(session, path, blob["content"].encode())
            body = json.dumps(manifest, default=str).encode()
            digest = digest_of(body)
            url = f"/v2/{path}/manifests/{tag or digest}"
            async with session.put(url, data=body, headers={"Content-Type": kind}) as answer:
                assert answer.status == 201, await answer.text()
                assert answer.headers["Docker-Content-Digest"] == digest
        return digest

    async def delete(self, path: str, digest: str) -> None:
        async with self._session() as session, session.delete(f"/v2/{path}/manifests/{digest}") as answer:
            assert answer.status == 202, await answer.text()

    def _session(self) -> aiohttp.ClientSession:
        headers = {} if self.authorization is None else {"Authorization": self.authorization}
        connector = aiohttp.TCPConnector(ssl=False)
        return aiohttp.ClientSession(f"{self.scheme}://{self.host}", headers=headers, connector=connector)

    @staticmethod
    async def _push_blob(session: aiohttp.ClientSession, path: str, content: bytes) -> None:
        async with session.post(f"/v2/{path}/blobs/uploads/") as begun:
            assert begun.status == 202, await begun.text()
            where = begun.headers["Location"]
        joint = "&" if "?" in where else "?"
        async with session.put(f"{where}{joint}digest={digest_of(content)}", data=content) as done:
            assert done.status == 201, await done.text()


StartRegistry = Callable[..., Awaitable[RealRegistry]]


def blob(content: str, kind: str = "application/octet-stream") -> dict[str, Any]:
    return {"mediaType": kind, "size": len(content), "digest": digest_of(content.encode()), "content": content}


def image(name: str, **more: Any) -> dict[str, Any]:
    """An OCI manifest whose config and layer are different for each name."""
    return {"schemaVersion": 2, "mediaType": IMAGE, "config": blob(f"{name} config"), "layers": [blob(name)], **more}


@pytest.fixture
async def start_registry(tmp_path: Path) -> AsyncIterator[StartRegistry]:
    """Start docker-registry: `await start_registry({"auth": …}, authorization=…, authority=…)`; TLS with an authority.

    `program` is another one that takes the same configuration.
    """
    async with contextlib.AsyncExitStack() as stack:

        async def start(
            more: dict[str, Any] | None = None,
            *,
            authorization: str | None = None,
            authority: Authority | None = None,
            program: Path | None = None,
        ) -> RealRegistry:
            http: dict[str, Any] = {"addr": "127.0.0.1:0"}
            if authority is not None:
                certificate = str(authority.issue())
                http["tls"] = {"certificate": certificate, "key": certificate}
            config = {
                "version": 0.1,
                "log": {"level": "info"},
                "storage": {"filesystem": {"rootdirectory": str(tmp_path / "images")}, "delete": {"enabled": True}},
                "http": http,
                **(more or {}),
            }
            file = tmp_path / "registry.yml"
            file.write_text(yaml.safe_dump(config))
            program = obtained(servers.docker_registry()) if program is None else program
            host = await _run(stack, program, "serve", str(file))
            return RealRegistry(host, "http" if authority is None else "https", authorization)

        yield start


@pytest.fixture
async def start_zuul_registry(tmp_path: Path, authority: Authority) -> AsyncIterator[StartRegistry]:
    """Start zuul-registry with TLS, for the user `me` with the password `hunter2` alone."""
    async with contextlib.AsyncExitStack() as stack:

        async def start() -> RealRegistry:
            # It must be told its own URL, and so its port, before it listens.
            with socket.socket() as free:
                free.bind(("127.0.0.1", 0))
                port = free.getsockname()[1]
            url = f"https://127.0.0.1:{port}"
            certificate = str(authority.issue())
            users = [{"name": "me", "pass": "hunter2", "access": "write"}]
            users.append({"name": "reader", "pass": "hunter3", "access": "read"})
            config = {
                "address": "127.0.0.1",
                "port": port,
                "public-url": url,
                "tls-cert": certificate,
                "tls-key": certificate,
                "secret": "x",
                "users": users,
                "storage": {"driver": "filesystem", "root": str(tmp_path / "images")},
            }
            file = tmp_path / "zuul.yml"
            file.write_text(yaml.safe_dump({"registry": config}))
            host = await _run(stack, obtained(servers.zuul_registry()), "-c", str(file), "serve")
            async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=False)) as session:
                headers = {"Authorization": aiohttp.encode_basic_auth("me", "hunter2")}
                asked = session.get(f"{url}/auth/token?scope=repository:any:push", headers=headers)
                async with asked as answer:
                    token = (await answer.json())["token"]
            return RealRegistry(host, "https", f"Bearer {token}")

        yield start


def obtained(program: Path | None) -> Path:
    if program is not None:
        return program
    said = "A registry is missing that this test starts: run make binaries."
    if os.environ.get("CLUSTER", "local") == "local":
        pytest.fail(said)
    pytest.skip(said)


async def _run(stack: contextlib.AsyncExitStack, program: Path, *arguments: str) -> str:
    """Start a program, for as long as the stack lasts, and return the host that it says to listen at."""
    process = await asyncio.create_subprocess_exec(
        program,
        *arguments,
        stderr=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.DEVNULL,
        env={"OTEL_TRACES_EXPORTER": "none"},
    )
    stack.push_async_callback(_end, process)
    assert process.stderr is not None
    async with asyncio.timeout(20):
        host = await _host(process.stderr)
    # Its log goes on and must be read, or it stands still.
    reader = asyncio.create_task(process.stderr.read())
    stack.callback(reader.cancel)
    return host


async def _host(log: asyncio.StreamReader) -> str:
    said = b""
    while line := await log.readline():
        said += line
        if found := LISTENING.search(line):
            return found[1].decode()
    raise AssertionError(said.decode())


async def _end(process: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.kill()
    await process.wait()


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.create(tmp_path_factory.mktemp("ca"))
