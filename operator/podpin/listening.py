"""Listening at an address of the administrator's, and saying so in a sentence where that address cannot be had."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aiohttp import web

from podpin.errors import Invalid

if TYPE_CHECKING:
    from collections.abc import Mapping


async def listen(
    app: web.Application, address: str, what: str, flag: str, options: Mapping[str, Any] | None = None
) -> web.AppRunner:
    """Serve the application at HOST:PORT until the runner is cleaned up.

    `what` is answered there, and `flag` is where the address comes from. Raises Invalid where it cannot be had.
    """
    runner = web.AppRunner(app, access_log=None, **(options or {}))
    await runner.setup()
    host, _, port = address.rpartition(":")
    try:
        await web.TCPSite(runner, host.strip("[]"), int(port)).start()
    except OSError as error:
        await runner.cleanup()
        raise Invalid(f"podpin can't answer {what} at {address}: {error.strerror}. Give another {flag}.") from error
    return runner
