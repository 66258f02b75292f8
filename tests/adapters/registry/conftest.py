"""Registries and clients that a test can order by calling for them."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp.abc import ResolveResult
from tests.adapters.registry.scripted import Authority, Scripted, serving

from podpin.adapters.registry import addresses
from podpin.adapters.registry.client import RegistryClient

if TYPE_CHECKING:
    from pathlib import Path

Serve = Callable[..., Awaitable[Scripted]]
NewClient = Callable[..., RegistryClient]
KnownAs = Callable[..., RegistryClient]


class Clock:
    """Seconds that pass only when a test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    """Start a scripted registry: `await serve("localhost", tls=…)`."""
    async with contextlib.AsyncExitStack() as stack:

        async def start(name: str = "127.0.0.1", **how: Any) -> Scripted:
            return await stack.enter_async_context(serving(name, **how))

        yield start


@pytest.fixture
async def registry(serve: Serve) -> Scripted:
    return await serve()


@pytest.fixture
async def new_client(clock: Clock) -> AsyncIterator[NewClient]:
    """Make a client that may speak plain HTTP to these registries: `new_client(registry, limits=…)`."""
    async with contextlib.AsyncExitStack() as stack:

        def make(*insecure: Scripted, **settings: Any) -> RegistryClient:
            hosts = frozenset(each.host for each in insecure)
            hosts |= settings.pop("insecure_hosts", frozenset())
            made = RegistryClient(insecure_hosts=hosts, monotonic=clock, rng=lambda: 0.5, **settings)
            stack.push_async_callback(made.close)
            return made

        yield make


@pytest.fixture
def known_as(monkeypatch: pytest.MonkeyPatch, new_client: NewClient) -> KnownAs:
    """Have a scripted registry answer to another name: `client = known_as({"ghcr.io": registry})`.

    By plain HTTP, unless `tls` says that they have certificates for their names.
    """

    def name(hosts: Mapping[str, Scripted], *, tls: bool = False, **settings: Any) -> RegistryClient:
        def look_up(host: str, _: int, family: socket.AddressFamily) -> list[ResolveResult]:
            port = int(hosts[host].host.rpartition(":")[2])
            return [ResolveResult(hostname=host, host="127.0.0.1", port=port, family=family, proto=6, flags=0)]

        monkeypatch.setattr(addresses, "_look_up", look_up)
        settings["reachable_hosts" if tls else "insecure_hosts"] = frozenset(hosts)
        return new_client(**settings)

    return name


@pytest.fixture
async def client(registry: Scripted, new_client: NewClient) -> RegistryClient:
    return new_client(registry)


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    directory: Path = tmp_path_factory.mktemp("ca")
    return Authority.create(directory)
