"""A scripted API server and podpin's own client for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from kubernetes.aio.client.configuration import Configuration
from tests.adapters.kube.scripted import ApiServer, serving

from podpin.adapters.kube.api import Api

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest.fixture
async def server(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[ApiServer]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    async with serving() as started:
        yield started


@pytest.fixture
async def api(server: ApiServer) -> AsyncIterator[Api]:
    configuration = Configuration(host=server.url)
    configuration.retries = None
    made = Api(configuration)
    yield made
    await made.close()
