"""A way to the API server on which a podpin can be shot, before or after any single write, and which can be cut off.

podpin is given this proxy's address. It forwards everything, watches included, with podpin's own client certificate,
and counts the writes, events aside. At the write that a test has named it kills podpin: either before the API server
hears of the write, or after it has carried it out, with the answer withheld.

While it is cut off, all connections stay open and nothing passes in either direction; what podpin still waits for when
it is mended is then passed on, however late.
"""

from __future__ import annotations

import asyncio
import ssl
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

import yaml
from aiohttp import ClientError, ClientSession, ClientTimeout, TCPConnector, web
from kubernetes import config

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from aiohttp import ClientResponse

Moment = Literal["before", "after"]

WRITES: Final = frozenset({"POST", "PUT", "PATCH", "DELETE"})
ENDS_HERE: Final = frozenset({"connection", "host", "keep-alive", "transfer-encoding", "content-length", "te"})


@dataclass(frozen=True)
class Shot:
    """Kill at the write of this number, counted from one since the count began."""

    number: int
    moment: Moment


class FaultProxy:
    """One proxy, in a thread of its own, for one podpin at a time."""

    def __init__(self, kubeconfig: Path, shoot: Callable[[], None]) -> None:
        way = config.new_client_from_config(str(kubeconfig)).configuration
        self._server = str(way.host)
        self._tls = ssl.create_default_context(cafile=way.ssl_ca_cert)
        self._tls.load_cert_chain(way.cert_file, way.key_file)
        self._shoot = shoot
        self._shots: list[Shot] = []
        self._counting = False
        self.writes: list[str] = []
        """The writes that were counted, as `PATCH deployments`."""
        self._loop: asyncio.AbstractEventLoop | None = None
        self._up = threading.Event()
        self._over = asyncio.Event()
        self._port = 0
        self._open = asyncio.Event()
        self._open.set()
        self.late: list[tuple[float, str]] = []
        """The writes that came while it was cut off: when, in seconds after the cut, and which."""
        self._cut_at = 0.0
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)

    def start(self, kubeconfig: Path) -> None:
        """Begin, and write a kubeconfig that leads through here."""
        self._thread.start()
        assert self._up.wait(20), "the proxy did not come up"
        here = {"name": "proxy", "cluster": {"server": f"http://127.0.0.1:{self._port}"}}
        content = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "proxy",
            "clusters": [here],
            "users": [{"name": "nobody", "user": {}}],
            "contexts": [{"name": "proxy", "context": {"cluster": "proxy", "user": "nobody"}}],
        }
        kubeconfig.write_text(yaml.safe_dump(content))

    def stop(self) -> None:
        """End; what is open is cut off."""
        assert self._loop is not None
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join(20)

    def aim(self, *shots: Shot) -> None:
        """Count writes from now on, and kill at each of these."""
        self.writes.clear()
        self._shots = list(shots)
        self._counting = True

    def cut(self) -> None:
        """Let nothing pass from now on."""
        assert self._loop is not None
        self.late.clear()
        self._cut_at = time.monotonic()
        self._loop.call_soon_threadsafe(self._open.clear)

    def mend(self) -> None:
        """Let everything pass again, and what has waited for that."""
        assert self._loop is not None
        self._loop.call_soon_threadsafe(self._open.set)

    @property
    def missed(self) -> list[Shot]:
        """The shots that have not been fired."""
        return list(self._shots)

    # --- forwarding

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        app = web.Application(client_max_size=1 << 24)
        async with ClientSession(
            connector=TCPConnector(ssl=self._tls, limit=0), timeout=ClientTimeout(total=None), auto_decompress=False
        ) as session:

            async def handle(request: web.Request) -> web.StreamResponse:
                return await self._handle(request, session)

            app.router.add_route("*", "/{path:.*}", handle)
            runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
            await runner.setup()
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            self._port = runner.addresses[0][1]
            self._up.set()
            await self._over.wait()
            await runner.cleanup()
        await asyncio.sleep(0.25)  # aiohttp's own advice: TLS connections take a moment to be gone

    async def _handle(self, request: web.Request, session: ClientSession) -> web.StreamResponse:
        if not self._open.is_set():
            if request.method in WRITES:
                self.late.append((time.monotonic() - self._cut_at, f"{request.method} {request.path}"))
            await self._open.wait()
        shot = self._count(request)
        if shot is not None and shot.moment == "before":
            return await self._fire(request)
        headers = {name: value for name, value in request.headers.items() if name.lower() not in ENDS_HERE}
        body = await request.read()
        url = f"{self._server}{request.rel_url}"
        try:
            async with session.request(request.method, url, headers=headers, data=body or None) as answer:
                if shot is not None:
                    await answer.read()
                    return await self._fire(request)
                return await self._pass_on(request, answer)
        except ClientError:
            return web.Response(status=502)

    def _count(self, request: web.Request) -> Shot | None:
        kind = request.path.split("/")
        resource = next((one for one in ("events", "status", "deployments", "controllerrevisions") if one in kind), "?")
        if resource == "deployments" and kind[-1].endswith("-canary"):
            resource = "canary"
        if not self._counting or request.method not in WRITES or resource == "events":
            return None
        self.writes.append(f"{request.method} {resource}")
        if self._shots and self._shots[0].number == len(self.writes):
            return self._shots.pop(0)
        return None

    async def _fire(self, request: web.Request) -> web.StreamResponse:
        await asyncio.to_thread(self._shoot)
        if request.transport is not None:
            request.transport.abort()
        return web.Response(status=502)

    async def _pass_on(self, request: web.Request, answer: ClientResponse) -> web.StreamResponse:
        headers = {name: value for name, value in answer.headers.items() if name.lower() not in ENDS_HERE}
        passed = web.StreamResponse(status=answer.status, headers=headers)
        await passed.prepare(request)
        async for chunk in answer.content.iter_any():
            await self._open.wait()
            await passed.write(chunk)
        await passed.write_eof()
        return passed
