"""Debian's docker-registry, started on loopback with a configuration of our own, and images pushed into it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
import yaml
from tests.adapters.registry.scripted import IMAGE, Authority, digest_of

from podpin.core.reference import Repository

if TYPE_CHECKING:
    from pathlib import Path

LISTENING = re.compile(rb"listening on ([0-9.]+:[0-9]+)")


@dataclass(frozen=True)
class RealRegistry:
    """A running docker-registry. `push` and `delete` speak to it with the Authorization header given."""

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
    """Start a registry: `await start_registry({"auth": …}, authorization=…, authority=…)`; TLS with an authority."""
    program = shutil.which("docker-registry")
    if program is None:
        pytest.fail("These tests need Debian's docker-registry; install it with apt-get install docker-registry.")
    async with contextlib.AsyncExitStack() as stack:

        async def start(
            more: dict[str, Any] | None = None,
            *,
            authorization: str | None = None,
            authority: Authority | None = None,
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
            process = await asyncio.create_subprocess_exec(
                program, "serve", str(file), stderr=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.DEVNULL, env={}
            )
            stack.push_async_callback(_end, process)
            assert process.stderr is not None
            async with asyncio.timeout(20):
                host = await _host(process.stderr)
            # Its log goes on and must be read, or it stands still.
            reader = asyncio.create_task(process.stderr.read())
            stack.callback(reader.cancel)
            return RealRegistry(host, "http" if authority is None else "https", authorization)

        yield start


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
