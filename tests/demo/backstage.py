"""Setting the scene: a cluster, a namespace, podpin itself, and the images that the story needs."""

from __future__ import annotations

import dataclasses
import http.client
import os
import shlex
import shutil
import socket
import subprocess
import sys
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tests.cluster.choose import chosen
from tests.cluster.commands import run
from tests.cluster.errors import ClusterError
from tests.cluster.images import push_app
from tests.cluster.local import Wanted
from tests.cluster.registry import Registry
from tests.cluster.state import Process
from tests.demo.errors import DemoError
from tests.demo.remains import NAMESPACE, Remains, find
from tests.demo.terminal import Terminal
from tests.waiting import NotInTimeError, wait_for

if TYPE_CHECKING:
    from tests.cluster.application import Kind
    from tests.cluster.protocol import Cluster
    from tests.demo.screen import Screen

SOURCE: Final = Path(__file__).parent
ROOT: Final = SOURCE.parent.parent
CRD: Final = ROOT / "crds" / "imagerollouts.podpin.dev.yaml"
REPOSITORY: Final = "demo/web"
NAME_VARIABLE: Final = "PODPIN_DEMO"
"""In the demo's shell: which demo it is."""


@dataclass(slots=True)
class Backstage:
    """A cluster with podpin, and what the demo does there out of sight."""

    remains: Remains
    registry: Registry
    terminal: Terminal

    def push(self, version: str, kind: Kind = "good") -> str:
        """Build a version of the application, good or bad, and push it; return its digest."""
        return push_app(self.registry, REPOSITORY, version, kind)

    def start_podpin(self) -> None:
        """Start podpin beside this process, to live on after it."""
        port = _free_port()
        # fmt: off
        command = [
            "podpin", "run", f"--namespace={NAMESPACE}", f"--insecure-registry={self.registry.address}",
            f"--health-address=127.0.0.1:{port}",
        ]
        # fmt: on
        log = self.remains.log
        self.terminal.screen.command(f"{shlex.join(command)} >{log} 2>&1 &")
        with log.open("ab") as output:
            process = subprocess.Popen(
                command,
                env=self.terminal.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        self.remains = dataclasses.replace(self.remains, podpin=Process.of(process.pid))
        self.remains.save()

        def ready() -> bool:
            self.check_podpin()
            return _answers(port)

        try:
            wait_for(ready, 60, "podpin", retry_on=(OSError, http.client.HTTPException))
        except NotInTimeError:
            raise DemoError(f"expected podpin to be ready within 60 s, but it is not; its log is {log}") from None

    def check_podpin(self) -> None:
        """Fail if podpin has ended."""
        podpin = self.remains.podpin
        if podpin is not None and not podpin.alive:
            raise DemoError(f"expected podpin to go on running, but it has ended; its log is {self.remains.log}")


def set_up(name: str, screen: Screen) -> Backstage:
    """Bring up the cluster, and give the demo a folder and a namespace."""
    if os.environ.get("PODPIN_REGISTRY_CA"):
        raise ClusterError("the demo needs a registry that speaks plain HTTP, not one with PODPIN_REGISTRY_CA")
    remains = Remains(name, os.environ.get("CLUSTER", "local"))
    remains.save()
    cluster = chosen(Wanted(name=name))
    kubeconfig = remains.folder / "kubeconfig"
    kubeconfig.touch(mode=0o600)
    kubeconfig.write_bytes(cluster.kubeconfig.read_bytes())
    use = ("config", "set-context", "--current", f"--namespace={NAMESPACE}")
    run(cluster.kubectl.program, f"--kubeconfig={kubeconfig}", *use)
    remains = dataclasses.replace(
        remains,
        cluster_folder="" if remains.kind == "local" else str(cluster.kubeconfig.parent),
        environment=environment_of(cluster, kubeconfig, name),
    )
    remains.save()
    if remains.kind == "current":
        refuse_if_in_use(cluster)
        crd = cluster.kubectl("get", "crd", "imagerollouts.podpin.dev", "--ignore-not-found", "-o", "name")
        remains = dataclasses.replace(remains, made_namespace=True, made_crd=not crd)
        remains.save()
    for file in ("web.yaml", "client.yaml"):
        text = (SOURCE / file).read_text().replace("REGISTRY", cluster.registry.address)
        (remains.folder / file).write_text(text)
    push_app(cluster.registry, "demo/client", "1")
    terminal = Terminal(screen, {**os.environ, **remains.environment}, remains.folder)
    return Backstage(remains, cluster.registry, terminal)


def refuse_if_in_use(cluster: Cluster) -> None:
    """Leave somebody else's podpin, and a namespace of the demo's name, alone."""
    if cluster.kubectl("get", "namespace", NAMESPACE, "--ignore-not-found", "-o", "name"):
        raise ClusterError(f"the current cluster has a namespace {NAMESPACE} already; please delete it first")
    running = cluster.kubectl("get", "deployments", "-A", "-l", "app.kubernetes.io/name=podpin", "-o", "name")
    if running:
        raise ClusterError("podpin runs in the current cluster already, and the demo's own would get in its way")


def environment_of(cluster: Cluster, kubeconfig: Path, name: str) -> dict[str, str]:
    """What a shell beside the demo should have set: kubectl and podpin in PATH, the cluster, the registry."""
    kubectl = shutil.which(str(cluster.kubectl.program)) or str(cluster.kubectl.program)
    path = f"{Path(kubectl).parent}:{Path(sys.executable).parent}:{os.environ.get('PATH', os.defpath)}"
    return {
        **cluster.environment(),
        "KUBECONFIG": str(kubeconfig),
        "KUBERC": "off",
        "PATH": path,
        "PYTHONPATH": str(ROOT),
        NAME_VARIABLE: name,
    }


def registry_of(remains: Remains) -> Registry:
    """The registry of a demo that runs."""
    return Registry(remains.environment["PODPIN_REGISTRY"])


def running(name: str) -> Remains:
    """A demo that is up."""
    remains = find(name)
    if remains is None or "PODPIN_REGISTRY" not in remains.environment:
        raise DemoError("no demo is up; `make demo` starts one")
    return remains


def _answers(port: int) -> bool:
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=5)) as connection:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == 200


def _free_port() -> int:
    with closing(socket.socket()) as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])
