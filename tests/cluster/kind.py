"""CLUSTER=kind: a cluster by kind, with Docker or Podman, and a registry container beside it by kind's own guide.

Node and host call the registry by the same name, localhost:PORT: on the host the port is published, and on the node
containerd is told to ask the registry's container.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from functools import partial
from pathlib import Path

from tests.cluster.commands import run, succeeds
from tests.cluster.errors import ClusterError
from tests.cluster.kubectl import Kubectl
from tests.cluster.registry import Registry
from tests.cluster.remote import RemoteCluster
from tests.waiting import wait_for

REGISTRY_IMAGE = "docker.io/library/registry:2"
CONFIG = """\
kind: Cluster
apiVersion: kind.x-k8s.io/v1alpha4
containerdConfigPatches:
- |-
  [plugins."io.containerd.grpc.v1.cri".registry]
    config_path = "/etc/containerd/certs.d"
"""


def up(name: str) -> RemoteCluster:
    """Create the cluster and its registry."""
    engine = container_engine()
    kubectl = need("kubectl")
    folder = Path(tempfile.mkdtemp(prefix="podpin-kind-"))
    cluster, registry = f"podpin-{name}", f"podpin-{name}-registry"
    remove = partial(down, engine, cluster, registry, folder)
    try:
        run(*create_registry(engine, registry))
        port = run(engine, "port", registry, "5000/tcp").splitlines()[0].rpartition(":")[2]
        kubeconfig = folder / "kubeconfig"
        environment = provider_environment(engine)
        run(*create_cluster(cluster, kubeconfig), stdin=CONFIG, env=environment)
        run(engine, "network", "connect", "kind", registry)
        for node in run("kind", "get", "nodes", "--name", cluster, env=environment).split():
            run(*tell_node(engine, node, f"localhost:{port}"), stdin=hosts_toml(registry))
        address = Registry(f"localhost:{port}")

        def answers() -> bool:
            return address.ask("GET", "/v2/").status == 200

        wait_for(answers, 60, "the registry's container to answer", retry_on=(ClusterError,))
    except BaseException:
        remove()
        raise
    return RemoteCluster("kind", cluster, kubeconfig, Kubectl(kubectl, kubeconfig), address, remove)


def down(engine: str, cluster: str, registry: str, folder: Path) -> None:
    """Remove both; what is not there is fine."""
    environment = provider_environment(engine)
    run("kind", "delete", "cluster", "--name", cluster, env=environment)
    succeeds(engine, "rm", "--force", "--volumes", registry)
    shutil.rmtree(folder, ignore_errors=True)


def container_engine() -> str:
    """docker, else podman: whichever is there; kind itself must be too."""
    need("kind")
    for engine in ("docker", "podman"):
        if shutil.which(engine):
            return engine
    raise ClusterError("CLUSTER=kind needs Docker or Podman, and neither is installed")


def need(program: str) -> str:
    found = shutil.which(program)
    if found is None:
        raise ClusterError(f"CLUSTER=kind needs {program}, which is not installed (kind.sigs.k8s.io says how)")
    return found


def provider_environment(engine: str) -> dict[str, str]:
    """kind asks Docker unless it is told to ask Podman."""
    return {**os.environ, **({"KIND_EXPERIMENTAL_PROVIDER": "podman"} if engine == "podman" else {})}


def create_registry(engine: str, name: str) -> list[str]:
    """On a port of this machine's loopback that is free."""
    # fmt: off
    return [
        engine, "run", "--detach", "--name", name, "--publish", "127.0.0.1::5000",
        "--env", "REGISTRY_STORAGE_DELETE_ENABLED=true", REGISTRY_IMAGE,
    ]
    # fmt: on


def create_cluster(name: str, kubeconfig: Path) -> list[str]:
    """The settings come on standard input; the user's own kubeconfig is not touched."""
    return [
        "kind",
        "create",
        "cluster",
        "--name",
        name,
        "--config",
        "-",
        "--kubeconfig",
        str(kubeconfig),
        "--wait",
        "180s",
    ]


def tell_node(engine: str, node: str, address: str) -> list[str]:
    """Write what comes on standard input to where containerd looks the registry's address up."""
    folder = f"/etc/containerd/certs.d/{address}"
    return [engine, "exec", "--interactive", node, "sh", "-c", f"mkdir -p {folder} && cat > {folder}/hosts.toml"]


def hosts_toml(registry: str) -> str:
    """containerd's way to the registry: its container, in kind's own network."""
    return f'[host."http://{registry}:5000"]\n'
