"""A scripted API server, and a kubeconfig that leads to it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.adapters.kube.scripted import ApiServer, serving

from podpin.adapters.kube import connection
from podpin.adapters.kube.api import Api
from podpin.cli.cluster import Cluster

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@pytest.fixture
async def server(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[ApiServer]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    async with serving() as started:
        yield started


@pytest.fixture
def kubeconfig(server: ApiServer, tmp_path: Path) -> str:
    file = tmp_path / "kubeconfig"
    file.write_text(
        "apiVersion: v1\nkind: Config\ncurrent-context: x\nusers: [{name: u, user: {token: t}}]\n"
        "contexts: [{name: x, context: {cluster: c, user: u, namespace: shop}}]\n"
        f"clusters: [{{name: c, cluster: {{server: '{server.url}'}}}}]\n"
    )
    return str(file)


@pytest.fixture
async def cluster(kubeconfig: str) -> AsyncIterator[Cluster]:
    api = Api(await connection.load(kubeconfig, None, 8))
    yield Cluster(api, "shop")
    await api.close()
