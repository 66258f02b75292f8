"""/healthz and /readyz over a real socket on loopback."""

from __future__ import annotations

import socket

import aiohttp
import pytest

from podpin import probes
from podpin.errors import Invalid


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


async def ask(port: int, path: str) -> tuple[int, str]:
    async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{port}{path}") as response:
        return response.status, await response.text()


async def test_each_probe_says_what_is_wrong_as_it_is_at_that_moment() -> None:
    port = free_port()
    problems: dict[str, str | None] = {"alive": None, "ready": "podpin is still reading the cluster"}
    runner = await probes.answer(f"127.0.0.1:{port}", lambda: problems["alive"], lambda: problems["ready"])
    try:
        assert await ask(port, "/healthz") == (200, "ok\n")
        assert await ask(port, "/readyz") == (503, "podpin is still reading the cluster\n")
        problems.update(alive="podpin's watch has ended", ready=None)
        assert await ask(port, "/healthz") == (503, "podpin's watch has ended\n")
        assert await ask(port, "/readyz") == (200, "ok\n")
        assert (await ask(port, "/metrics"))[0] == 404
    finally:
        await runner.cleanup()


async def test_nobody_answers_any_more_after_cleaning_up() -> None:
    port = free_port()
    runner = await probes.answer(f"127.0.0.1:{port}", lambda: None, lambda: None)
    await runner.cleanup()
    with pytest.raises(aiohttp.ClientConnectorError):
        await ask(port, "/healthz")


async def test_an_address_in_use_is_told_in_a_sentence() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(Invalid, match=f"can't answer probes at {address}: .*Give another --health-address"):
            await probes.answer(address, lambda: None, lambda: None)


async def test_an_address_of_another_machine_is_told_in_a_sentence() -> None:
    with pytest.raises(Invalid, match=r"can't answer probes at 192\.0\.2\.1:8080"):
        await probes.answer("192.0.2.1:8080", lambda: None, lambda: None)


async def test_an_address_of_version_6_is_written_in_brackets() -> None:
    port = free_port()
    try:
        runner = await probes.answer(f"[::1]:{port}", lambda: None, lambda: None)
    except Invalid:
        pytest.skip("this machine has no IPv6")
    async with aiohttp.ClientSession() as session, session.get(f"http://[::1]:{port}/healthz") as response:
        assert response.status == 200
    await runner.cleanup()
