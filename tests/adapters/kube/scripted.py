"""An API server that does what a test tells it, over a real socket on loopback, and remembers what it was asked."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

Json = dict[str, Any]


@dataclass(frozen=True)
class Asked:
    """A request, as it came in."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: Any


@dataclass(frozen=True)
class Reply:
    """A fixed answer."""

    status: int = 200
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)

    def response(self) -> web.Response:
        data = self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()
        return web.Response(status=self.status, body=data, headers={"Content-Type": "application/json", **self.headers})


def failure(code: int, message: str = "so it is", **headers: str) -> Reply:
    """An error as the API server words it; keyword `retry_after` becomes the header Retry-After."""
    body = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": message, "code": code}
    return Reply(code, body, {name.replace("_", "-").title(): value for name, value in headers.items()})


def page(*items: Json, version: int, more: str = "") -> Reply:
    """A page of a list; `more` is the token by which the next one is asked for."""
    metadata = {"resourceVersion": str(version), **({"continue": more} if more else {})}
    return Reply(body={"kind": "List", "metadata": metadata, "items": list(items)})


class Stream:
    """A watch that somebody has opened, to be spoken through by the test."""

    def __init__(self, asked: Asked) -> None:
        self.asked = asked
        self._chunks: asyncio.Queue[bytes | None] = asyncio.Queue()

    def send(self, kind: str, body: Json) -> None:
        """One event."""
        self.raw(json.dumps({"type": kind, "object": body}).encode() + b"\n")

    def bookmark(self, version: int) -> None:
        """Say how far the watch has come."""
        self.send("BOOKMARK", {"metadata": {"resourceVersion": str(version)}})

    def raw(self, chunk: bytes) -> None:
        """Bytes as they are."""
        self._chunks.put_nowait(chunk)

    def end(self) -> None:
        """End the watch as the API server does when its time is over."""
        self._chunks.put_nowait(None)

    async def pour(self, request: web.Request) -> web.StreamResponse:
        """Send what the test says until it says no more."""
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        while (chunk := await self._chunks.get()) is not None:
            await response.write(chunk)
            await asyncio.sleep(0)
        return response


class ApiServer:
    """Replies are given in the order in which they were set up, path by path; the last one stays."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self.url = ""
        self._replies: dict[tuple[str, str], deque[Reply]] = {}
        self._watches: deque[Reply] = deque()
        self._streams: asyncio.Queue[Stream] = asyncio.Queue()
        self._runner: web.ServerRunner | None = None

    def on(self, method: str, path: str, *replies: Reply) -> None:
        """Set up the replies to a request from now on."""
        self._replies[method, path] = deque(replies)

    def refuse_watches(self, *replies: Reply) -> None:
        """Answer the next watches so; those after them are opened."""
        self._watches.extend(replies)

    async def watch(self) -> Stream:
        """The next watch that is opened."""
        return await asyncio.wait_for(self._streams.get(), 10)

    def count(self, method: str, path: str, *, watch: bool = False) -> int:
        """How often something was asked."""
        return sum((asked.method, asked.path, "watch" in asked.query) == (method, path, watch) for asked in self.asked)

    @property
    def last(self) -> Asked:
        """The newest request."""
        return self.asked[-1]

    async def start(self, port: int = 0) -> None:
        """Listen, at first on any free port."""
        self._runner = web.ServerRunner(web.Server(self._handle), shutdown_timeout=0.05)  # type: ignore[arg-type]
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", port)
        await site.start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def stop(self) -> None:
        """Close the socket and all connections."""
        assert self._runner is not None
        await self._runner.cleanup()

    async def restart(self) -> None:
        """Come back under the same address."""
        await self.start(int(self.url.rpartition(":")[2]))

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        raw = await request.read()
        body = json.loads(raw) if raw else None
        asked = Asked(request.method, request.path, dict(request.query), dict(request.headers), body)
        self.asked.append(asked)
        if "watch" in asked.query:
            if self._watches:
                return self._watches.popleft().response()
            stream = Stream(asked)
            self._streams.put_nowait(stream)
            return await stream.pour(request)
        replies = self._replies.get((asked.method, asked.path))
        if not replies:
            return failure(404, f"{asked.path} not found").response()
        return (replies.popleft() if len(replies) > 1 else replies[0]).response()


@contextlib.asynccontextmanager
async def serving() -> AsyncIterator[ApiServer]:
    """A scripted API server that is stopped in the end."""
    server = ApiServer()
    await server.start()
    try:
        yield server
    finally:
        await server.stop()
