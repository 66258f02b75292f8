"""/healthz and /readyz, for the kubelet and for people.

Healthy means that podpin's event loop turns and that none of its parts has ended. Ready means that it has seen the
cluster whole once and can see it now; the answer says what it lacks.
"""

from __future__ import annotations

from collections.abc import Callable

from aiohttp import web

from podpin.listening import listen

Report = Callable[[], str | None]
"""What is wrong, in a sentence, or None."""


async def answer(address: str, alive: Report, ready: Report) -> web.AppRunner:
    """Answer probes at HOST:PORT until the runner is cleaned up. Raises Invalid where that address cannot be had."""

    def handler(report: Report) -> Callable[[web.Request], object]:
        async def handle(_: web.Request) -> web.Response:
            problem = report()
            return web.Response(text=f"{problem or 'ok'}\n", status=503 if problem else 200)

        return handle

    app = web.Application()
    app.router.add_get("/healthz", handler(alive))  # type: ignore[arg-type]
    app.router.add_get("/readyz", handler(ready))  # type: ignore[arg-type]
    return await listen(app, address, "probes", "--health-address")
