"""CLUSTER=kind: a cluster by kind, with Docker or Podman, and a registry container beside it by kind's own guide.

Node and host call the registry by the same name, localhost:PORT: on the host the port is published, and on the node
containerd is told to ask the registry's container.
"""

from __future__ import annotations

import contextlib
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
NODE_IMAGE = "PODPIN_KIND_NODE_IMAGE"
"""The node's image, and with it the version of Kubernetes, where it shall not be kind's own choice."""
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
    kubeconfig = folder / "kubeconfig"
    cluster, registry = f"podpin-{name}", f"podpin-{name}-registry"
    remove = partial(down, engine, cluster, registry, folder)
    try:
        environment = provider_environment(engine, cluster)
        run(*create_cluster(cluster, kubeconfig), stdin=CONFIG, env=environment)
        # In its network from the start: Docker may publish a container on another port when it joins one more network.
        run(*create_registry(engine, registry, network=cluster))
        port = run(engine, "port", registry, "5000/tcp").splitlines()[0].rpartition(":")[2]
        for node in run("kind", "get", "nodes", "--name", cluster, env=environment).split():
            run(*tell_node(engine, node, f"localhost:{port}"), stdin=hosts_toml(registry))
        address = Registry(f"localhost:{port}")

        def answers() -> bool:
            return address.ask("GET", "/v2/").status == 200

        wait_for(answers, 60, "the registry's container to answer", retry_on=(ClusterError,))
    except BaseException:
        with contextlib.suppress(ClusterError):  # what went wrong first is what is told
            remove()
        raise
    return RemoteCluster("kind", cluster, kubeconfig, Kubectl(kubectl, kubeconfig), address, remove)


def down(engine: str, cluster: str, registry: str, folder: Path) -> None:
    """Remove cluster, registry and their network; what is not there is fine."""
    succeeds(engine, "rm", "--force", "--volumes", registry)
    try:
        run(*delete_cluster(cluster, folder / "kubeconfig"), env=provider_environment(engine, cluster))
        succeeds(engine, "network", "rm", cluster)
    finally:
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


def provider_environment(engine: str, network: str) -> dict[str, str]:
    """kind asks Docker unless it is told otherwise.

    It gets a network of its own, which it makes: the usual one stays for good, and may be another cluster's too.
    """
    return {
        **os.environ,
        "KIND_EXPERIMENTAL_PROVIDER": engine,
        f"KIND_EXPERIMENTAL_{engine.upper()}_NETWORK": network,
    }


def create_registry(engine: str, name: str, network: str) -> list[str]:
    """On a port of this machine's loopback that is free."""
    # fmt: off
    return [
        engine, "run", "--detach", "--name", name, "--network", network,
        "--publish", "127.0.0.1::5000", "--env", "REGISTRY_STORAGE_DELETE_ENABLED=true", REGISTRY_IMAGE,
    ]
    # fmt: on


def create_cluster(name: str, kubeconfig: Path) -> list[str]:
    """The settings come on standard input; the user's own kubeconfig is not touched."""
    image = os.environ.get(NODE_IMAGE)
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
        *(["--image", image] if image else []),
    ]


def delete_cluster(name: str, kubeconfig: Path) -> list[str]:
    """Without a word on the kubeconfig, kind would look through the user's own."""
    return ["kind", "delete", "cluster", "--name", name, "--kubeconfig", str(kubeconfig)]


def tell_node(engine: str, node: str, address: str) -> list[str]:
    """Write what comes on standard input to where containerd looks the registry's address up."""
    folder = f"/etc/containerd/certs.d/{address}"
    return [engine, "exec", "--interactive", node, "sh", "-c", f"mkdir -p {folder} && cat > {folder}/hosts.toml"]


def hosts_toml(registry: str) -> str:
    """containerd's way to the registry: its container, in the cluster's network.

    It is named as the server too. Else containerd, told there that an image does not exist, asks the node's own
    localhost next, and what is missing looks like a registry that does not answer.
    """
    address = f"http://{registry}:5000"
    return f'server = "{address}"\n[host."{address}"]\n'
