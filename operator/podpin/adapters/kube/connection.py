"""Finds the cluster: a kubeconfig and context, or the account of the Pod that podpin runs in.

The same configuration serves podpin's own requests and kopf's watch, so that both always speak to one cluster as one
user.
"""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from kubernetes.aio import config
from kubernetes.aio.client.configuration import Configuration

from podpin.errors import Invalid

CONNECTIONS = 32
"""How many requests to the API server may be under way at once, unless somebody says."""

_POD_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
_USUAL_NAMESPACE = "default"


async def load(kubeconfig: str | None, context: str | None, connections: int = CONNECTIONS) -> Configuration:
    """The configuration of the cluster to work on.

    `kubeconfig` and `context` come first, then $KUBECONFIG, the Pod's own account, and ~/.kube/config, as client-go has
    it. Each connection costs a third of a MiB, and each watch holds one for good.

    Raises Invalid when there is none.
    """
    configuration = Configuration()
    path = _path_of(kubeconfig, context)
    try:
        if path is None:
            config.load_incluster_config(client_configuration=configuration)
        else:
            await config.load_kube_config(
                config_file=path, context=context, client_configuration=configuration, persist_config=False
            )
    except (config.ConfigException, OSError) as error:
        raise Invalid(
            f"No cluster to work on: {error}. Set KUBECONFIG, give --context, or run podpin in a cluster."
        ) from error
    configuration.connection_pool_maxsize = connections
    configuration.retries = None
    # Left to itself, aiohttp looks for a proxy, and for passwords in ~/.netrc, before each request and in a thread: it
    # would double what a request costs.
    configuration.client_session_kwargs = {"trust_env": False}
    if configuration.proxy is None:
        configuration.proxy = _proxy_for(str(configuration.host))
    return configuration


def namespace_of(kubeconfig: str | None, context: str | None) -> str:
    """The namespace to work in where nobody says: that of the same context or Pod as `load` finds, else `default`.

    Raises Invalid as `load` does.
    """
    path = _path_of(kubeconfig, context)
    try:
        if path is None:
            return _POD_NAMESPACE.read_text().strip() or _USUAL_NAMESPACE
        contexts, current = config.list_kube_config_contexts(config_file=path)
    except (config.ConfigException, OSError) as error:
        raise Invalid(f"No cluster to work on: {error}. Set KUBECONFIG, or give --context.") from error
    chosen = next((one for one in contexts if one["name"] == context), None) if context else current
    return str((chosen or {}).get("context", {}).get("namespace") or _USUAL_NAMESPACE)


def _path_of(kubeconfig: str | None, context: str | None) -> str | None:
    """The kubeconfig's path, or None where the Pod's own account is meant."""
    path = kubeconfig or os.environ.get("KUBECONFIG")
    if path is None and context is None and os.environ.get("KUBERNETES_SERVICE_HOST"):
        return None
    return path or str(Path.home() / ".kube" / "config")


def own_namespace(file: Path = _POD_NAMESPACE) -> str:
    """The namespace of the Pod that podpin runs in. Raises Invalid where it runs in none."""
    try:
        return file.read_text().strip()
    except OSError:
        raise Invalid("podpin runs in no Pod, so in no namespace: give --lease NAMESPACE/NAME.") from None


def _proxy_for(server: str) -> str | None:
    """The proxy that the environment names for this server."""
    parts = urlsplit(server)
    return None if proxy_bypass(parts.hostname or "") else getproxies().get(parts.scheme)
