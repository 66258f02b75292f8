"""CLUSTER=current: the cluster that the user's kubeconfig points at now, asked for by name and never by default.

Nothing is installed in it but what the tests themselves apply, in namespaces of their own. It needs a registry that
this machine can push to and the nodes can pull from, by one name and without a password: PODPIN_REGISTRY says which.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from functools import partial
from pathlib import Path

from tests.cluster.commands import run
from tests.cluster.errors import ClusterError
from tests.cluster.kubectl import Kubectl
from tests.cluster.registry import Registry
from tests.cluster.remote import RemoteCluster


def use() -> RemoteCluster:
    """Take the context as it is now.

    A later `kubectl config use-context` does not change which cluster the tests use.
    """
    address = os.environ.get("PODPIN_REGISTRY")
    if not address:
        raise ClusterError(
            "CLUSTER=current needs PODPIN_REGISTRY=HOST:PORT, a registry without a password that this machine can push "
            "to and the nodes can pull from; PODPIN_REGISTRY_CA=FILE names its certificate's authority, and without it "
            "plain HTTP is spoken"
        )
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        raise ClusterError("CLUSTER=current needs kubectl, which is not installed")
    content = run(kubectl, *pin_context())
    folder = Path(tempfile.mkdtemp(prefix="podpin-current-"))
    kubeconfig = folder / "kubeconfig"
    kubeconfig.touch(mode=0o600)
    kubeconfig.write_text(content)
    authority = os.environ.get("PODPIN_REGISTRY_CA")
    registry = Registry(address, authority=Path(authority) if authority else None)
    name = run(kubectl, "config", "current-context").strip()
    forget = partial(shutil.rmtree, folder, ignore_errors=True)
    return RemoteCluster("current", name, kubeconfig, Kubectl(kubectl, kubeconfig), registry, forget)


def pin_context() -> list[str]:
    """The current context alone, with its credentials inside."""
    return ["config", "view", "--minify", "--flatten", "--raw"]
