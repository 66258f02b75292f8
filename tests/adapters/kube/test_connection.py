"""How podpin finds its way to the cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from podpin.adapters.kube import connection
from podpin.errors import Invalid

if TYPE_CHECKING:
    from pathlib import Path

SERVER = "https://api.example.com:6443"


def kubeconfig(folder: Path, **cluster: str) -> str:
    file = folder / "kubeconfig"
    file.write_text(
        "apiVersion: v1\nkind: Config\ncurrent-context: x\n"
        "contexts: [{name: x, context: {cluster: c, user: u}}]\nusers: [{name: u, user: {token: t}}]\n"
        f"clusters: [{{name: c, cluster: { ({'server': SERVER} | cluster)!r}}}]\n"
    )
    return str(file)


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.mark.parametrize(
    ("environment", "cluster", "proxy"),
    [
        pytest.param({}, {}, None, id="no proxy unless one is named"),
        pytest.param({"HTTPS_PROXY": "http://out:3128"}, {}, "http://out:3128", id="the environment names one"),
        pytest.param({"HTTP_PROXY": "http://out:3128"}, {}, None, id="one for plain HTTP is not for this server"),
        pytest.param(
            {"HTTPS_PROXY": "http://out:3128", "NO_PROXY": "api.example.com"}, {}, None, id="this server is exempt"
        ),
        pytest.param(
            {"HTTPS_PROXY": "http://out:3128"}, {"proxy-url": "http://mine:1"}, "http://mine:1", id="kubeconfig first"
        ),
    ],
)
async def test_the_proxy_is_found_once(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    environment: dict[str, str],
    cluster: dict[str, str],
    proxy: str | None,
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    configuration = await connection.load(kubeconfig(tmp_path, **cluster), None)
    assert configuration.proxy == proxy
    assert configuration.client_session_kwargs == {"trust_env": False}


NAMESPACES = """
apiVersion: v1
kind: Config
current-context: x
contexts:
- {name: x, context: {cluster: c, user: u, namespace: shop}}
- {name: y, context: {cluster: c, user: u}}
users: [{name: u, user: {token: t}}]
clusters: [{name: c, cluster: {server: "https://api.example.com"}}]
"""


@pytest.mark.parametrize(
    ("context", "namespace"),
    [
        pytest.param(None, "shop", id="that of the current context"),
        pytest.param("x", "shop", id="that of the one that is named"),
        pytest.param("y", "default", id="default where the context names none"),
    ],
)
def test_the_namespace_to_work_in(tmp_path: Path, context: str | None, namespace: str) -> None:
    file = tmp_path / "kubeconfig"
    file.write_text(NAMESPACES)
    assert connection.namespace_of(str(file), context) == namespace


def test_in_a_pod_the_namespace_is_its_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "namespace"
    file.write_text("shop\n")
    monkeypatch.setattr(connection, "_POD_NAMESPACE", file)
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    assert connection.namespace_of(None, None) == "shop"


def test_a_pod_knows_its_namespace_and_who_runs_elsewhere_is_told_to_name_one(tmp_path: Path) -> None:
    file = tmp_path / "namespace"
    with pytest.raises(Invalid, match="give --lease NAMESPACE/NAME"):
        connection.own_namespace(file)
    file.write_text("podpin-system")
    assert connection.own_namespace(file) == "podpin-system"
