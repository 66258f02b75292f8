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


async def load(kubeconfig: str | None, context: str | None, connections: int = CONNECTIONS) -> Configuration:
    """The configuration of the cluster to work on.

    `kubeconfig` and `context` come first, then $KUBECONFIG, the Pod's own account, and ~/.kube/config, as client-go has
    it. Each connection costs a third of a MiB, and each watch holds one for good.

    Raises Invalid when there is none.
    """
    configuration = Configuration()
    path = kubeconfig or os.environ.get("KUBECONFIG")
    try:
        if path is None and context is None and os.environ.get("KUBERNETES_SERVICE_HOST"):
            config.load_incluster_config(client_configuration=configuration)
        else:
            where = path or str(Path.home() / ".kube" / "config")
            await config.load_kube_config(
                config_file=where, context=context, client_configuration=configuration, persist_config=False
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


def _proxy_for(server: str) -> str | None:
    """The proxy that the environment names for this server."""
    parts = urlsplit(server)
    return None if proxy_bypass(parts.hostname or "") else getproxies().get(parts.scheme)
