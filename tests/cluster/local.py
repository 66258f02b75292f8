"""The local cluster.

Bringing the parts up in the order in which they need each other, and taking everything away again.
"""

from __future__ import annotations

import contextlib
import dataclasses
import http.client
import json
import os
import shutil
import signal
import ssl
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.cluster import build, images, network, state, toolchain
from tests.cluster.audit import Audit
from tests.cluster.commands import as_text, run
from tests.cluster.control_plane import ControlPlane, ControlPlaneParts
from tests.cluster.errors import ClusterError, last_lines
from tests.cluster.keys import Authority, write_kubeconfig
from tests.cluster.kubectl import Kubectl
from tests.cluster.node import OWN_FOLDERS, Node, create_cgroups, delete_cgroups
from tests.cluster.parts import Part, Parts
from tests.cluster.places import DATA, RUN, SOURCE, cache
from tests.cluster.registry import Registry, daemon, hosts_toml
from tests.waiting import NotInTimeError, wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tests.cluster.kubectl import Manifest
    from tests.cluster.protocol import Feature
    from tests.cluster.state import Record

FEATURES: frozenset[Feature] = frozenset(
    {"nodes", "audit", "identities", "apiserver-restarts", "private-registry", "reach-services", "reach-pods"}
)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What kind of local cluster to make."""

    name: str = "default"
    full: bool = True  # with a node; otherwise the control plane alone
    kwok: bool = False  # with a pretended node; only without a real one
    controllers: bool = True  # controller-manager and scheduler
    client_rate: int = 200  # requests a second that those two may send
    apiserver_flags: Sequence[str] = ()
    owned: bool = False  # must not outlive this process


class LocalCluster:
    """A running local cluster, as tests use it."""

    def __init__(self, record: Record) -> None:
        self.record = record
        self.name = record.name
        self.run = record.run
        self.network = record.network
        self.parts = Parts(self.run / "control", record.data / "logs")
        self.authority = Authority(self.run / "keys")
        self.plane = ControlPlane(Path(record.binaries), self.run, record.data, record.network, self.authority)
        self.kubeconfig = self.run / "kubeconfig"
        self.kubectl = Kubectl(
            Path(record.binaries) / "kubectl", self.kubeconfig, cache=self.run / "kubectl-cache", no_proxy=network.ALL
        )
        self.audit = Audit(self.plane.audit_log)
        self.registry = Registry(f"{self.network.node}:5000", log=self.parts.log("registry"))
        self.private_registry = Registry(
            f"{self.network.node}:5001",
            authority=self.authority.files.certificate,
            username="podpin",
            password="let-me-in",
            log=self.parts.log("private-registry"),
        )

    def can(self, feature: Feature) -> bool:
        """Whether a test that needs this can run here."""
        return feature in (FEATURES if self.record.full else FEATURES - {"nodes", "reach-services", "reach-pods"})

    def apply(self, manifest: Manifest, *words: str) -> str:
        """`kubectl apply` of YAML text, a file, an object or several."""
        return self.kubectl.apply(manifest, *words)

    def kubeconfig_for(self, user: str, groups: Sequence[str] = ()) -> Path:
        """A kubeconfig of its own for this user: RBAC and the audit log know it by name."""
        return self.plane.kubeconfig(f"user-{user.replace('/', '-').replace(':', '-')}", user, groups)

    def service_url(self, name: str, namespace: str = "default", port: int | None = None) -> str:
        """A URL of the Service that works from this machine, by the Service's own address."""
        spec = self.kubectl.get("service", name, "-n", namespace)["spec"]
        return f"http://{spec['clusterIP']}:{port or spec['ports'][0]['port']}"

    def stop_apiserver(self, how: signal.Signals = signal.SIGKILL) -> None:
        """Kill it, with no chance to say goodbye unless the signal gives one."""
        self.stop_part("kube-apiserver", how)

    def start_apiserver(self) -> None:
        """Start it again and wait until it is ready."""
        self.start_part("kube-apiserver")
        self.wait_ready()

    def restart_apiserver(self) -> None:
        """Kill it and start it again."""
        self.stop_apiserver()
        self.start_apiserver()

    def stop_part(self, name: str, how: signal.Signals = signal.SIGKILL) -> None:
        """Kill any part: kubelet, containerd, registry, private-registry, kube-controller-manager and so on."""
        self.parts.stop(name, how)

    def start_part(self, name: str) -> None:
        """Start a part again, as it was started first; it may take a moment until it is of use."""
        argv = json.loads((self.run / f"{name}.json").read_text())
        self.parts.start(Part(name, argv))

    def begin(self, part: Part) -> None:
        """Start a part for the first time, and note how."""
        (self.run / f"{part.name}.json").write_text(json.dumps(as_text(part.argv)))
        self.parts.start(part)

    def compact_etcd(self) -> int:
        """Forget all history up to now; return the revision. Watches go on, from the API server's own memory."""
        revision = int(self._etcd("/v3/kv/range", {"key": "AA=="})["header"]["revision"])
        self._etcd("/v3/kv/compaction", {"revision": revision, "physical": True})
        return revision

    def expire_watches(self) -> None:
        """Forget all history, in etcd and in the API server: a watch from before is answered with 410 Gone."""
        self.compact_etcd()
        self.restart_apiserver()

    def node_exec(self, *argv: str | Path) -> str:
        """Run a command on the node, as root, and return what it printed."""
        return run(*self.enter(), *argv)

    def enter(self) -> list[str]:
        """The start of a command line that runs the rest of it on the node."""
        return ["nsenter", "--target", str(first_process(self.record)), "--mount", "--net", "--pid", "--uts", "--"]

    def environment(self) -> dict[str, str]:
        """What a shell beside this cluster should have set."""
        return {
            "KUBECONFIG": str(self.kubeconfig),
            "KUBECACHEDIR": str(self.run / "kubectl-cache"),
            "NO_PROXY": ",".join(filter(None, [os.environ.get("NO_PROXY"), network.ALL])),
            "PODPIN_REGISTRY": self.registry.address,
            "PODPIN_PRIVATE_REGISTRY": self.private_registry.address,
            "PODPIN_PRIVATE_REGISTRY_USER": self.private_registry.username,
            "PODPIN_PRIVATE_REGISTRY_PASSWORD": self.private_registry.password,
            "PODPIN_PRIVATE_REGISTRY_CA": str(self.authority.files.certificate),
            "PODPIN_AUDIT_LOG": str(self.audit.log),
        }

    def down(self) -> None:
        """Take it all away."""
        with state.lock():
            remove(self.record)

    def wait_ready(self, timeout: float = 60) -> None:
        """Until the API server says that it is."""
        context = ssl.create_default_context(cafile=str(self.authority.files.certificate))
        admin = self.authority.folder / "admin"
        context.load_cert_chain(admin.with_suffix(".crt"), admin.with_suffix(".key"))
        connection = http.client.HTTPSConnection(self.network.node, 6443, timeout=5, context=context)

        def ready() -> bool:
            self.parts.check("etcd", "kube-apiserver")
            try:
                connection.request("GET", "/readyz")
                answer = connection.getresponse()
                answer.read()
            finally:
                connection.close()
            return answer.status == 200

        retry = (OSError, http.client.HTTPException)
        try:
            wait_for(ready, timeout, "the API server to be ready", every=0.05, retry_on=retry)
        except NotInTimeError as late:
            log = self.parts.log("kube-apiserver")
            raise ClusterError(f"{late}; the end of {log}:\n{last_lines(log)}") from late

    def _etcd(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        connection = http.client.HTTPConnection(self.network.node, 2379, timeout=30)
        try:
            connection.request("POST", path, body=json.dumps(body))
            answer = connection.getresponse()
            content: dict[str, Any] = json.loads(answer.read())
        finally:
            connection.close()
        if answer.status != 200:
            raise ClusterError(f"etcd answered {answer.status} to {path}: {content}")
        return content


def up(wanted: Wanted) -> LocalCluster:
    """Bring up a cluster; one of that name that already runs is returned as it is."""
    toolchain.require_root()
    toolchain.ensure(toolchain.CONTROL_PLANE | (toolchain.NODE if wanted.full else {}))
    binaries = build.binaries()
    kwok = build.binaries(build.KWOK) if wanted.kwok else None
    record = reserve(wanted, binaries)
    if not record.starting:
        return LocalCluster(record)
    try:
        cluster = assemble(record, wanted, kwok)
        cluster.record = dataclasses.replace(cluster.record, starting=False)
        cluster.record.save()
    except BaseException as error:
        kept = keep_logs(record)
        with state.lock():
            remove(record)
        if isinstance(error, (ClusterError, NotInTimeError)):
            raise ClusterError(f"{error}\n(the cluster was taken down again; all its logs: {kept})") from error
        raise
    return cluster


def find(name: str) -> LocalCluster | None:
    """The running cluster of that name."""
    record = state.record(name)
    return None if record is None or record.stale else LocalCluster(record)


def reserve(wanted: Wanted, binaries: Path) -> Record:
    """Take a name and a number, and make the network.

    Stale clusters go first. A running one of that name is returned.
    """
    with state.lock():
        remove_stale()
        existing = state.record(wanted.name)
        if existing is not None:
            if existing.starting:
                raise ClusterError(f"another process is bringing up the cluster {wanted.name!r} at this moment")
            if existing.full != wanted.full:
                raise ClusterError(f"the cluster {wanted.name!r} runs already, of the other kind; take another --name")
            return existing
        me = state.Process.of(os.getpid())
        record = state.Record(
            name=wanted.name,
            number=state.free_number(),
            full=wanted.full,
            maker=me,
            owner=me if wanted.owned else None,
            binaries=str(binaries),
            starting=True,
        )
        record.run.mkdir(parents=True)
        record.run.chmod(0o700)
        record.save()
        (record.data / "logs").mkdir(parents=True)
        try:
            record.network.create()
            if wanted.full:
                create_cgroups(record.network.namespace)
                make_own_folders()
        except BaseException:
            remove(record)
            raise
        return record


def assemble(record: Record, wanted: Wanted, kwok: Path | None) -> LocalCluster:
    """Start the parts. Those that exit when what they need is absent are started after it."""
    cluster = LocalCluster(record)
    cluster.authority.create()
    plane = dataclasses.replace(
        cluster.plane, client_rate=wanted.client_rate, apiserver_flags=tuple(wanted.apiserver_flags)
    )
    write_admin(cluster)
    node = Node(
        plane=plane,
        run=record.run,
        data=record.data,
        network=record.network,
        sandbox_image=f"{cluster.registry.address}/pause:3",
        registries={one.address: hosts_toml(one) for one in (cluster.registry, cluster.private_registry)},
    )
    cluster.record = record = start_supervisor(record, node.preparation() if wanted.full else [], owned=wanted.owned)
    parts = plane.parts()
    cluster.begin(parts.etcd)
    cluster.begin(parts.apiserver)
    start_registries(cluster)
    if wanted.full:
        cluster.begin(node.containerd())
    cluster.wait_ready()
    start_the_rest(cluster, parts, node, wanted, kwok)
    wait_for_cluster(cluster, node, wanted)
    return cluster


def write_admin(cluster: LocalCluster) -> None:
    """The kubeconfig that may do everything."""
    admin = cluster.authority.client("admin", "podpin-admin", ["system:masters"])
    write_kubeconfig(
        cluster.kubeconfig, cluster.plane.server, cluster.authority.files.certificate, admin, "podpin-admin"
    )


def start_registries(cluster: LocalCluster) -> None:
    """Both registries, and the image that every Pod needs."""
    data = cluster.record.data
    server = cluster.authority.server("registry", [cluster.network.node, "localhost"])
    cluster.begin(daemon("registry", cluster.registry, cluster.run, data / "registry"))
    cluster.begin(daemon("private-registry", cluster.private_registry, cluster.run, data / "private-registry", server))
    for name, registry in (("registry", cluster.registry), ("private-registry", cluster.private_registry)):

        def answers(name: str = name, registry: Registry = registry) -> bool:
            cluster.parts.check(name)
            return registry.ask("GET", "/v2/").status == 200

        wait_for(answers, 20, f"the {name} to answer", every=0.05, retry_on=(ClusterError,))
    images.push_pause(cluster.registry)


def start_the_rest(
    cluster: LocalCluster, parts: ControlPlaneParts, node: Node, wanted: Wanted, kwok: Path | None
) -> None:
    """What needs the API server."""
    if wanted.controllers:
        cluster.begin(parts.controller_manager)
        cluster.begin(parts.scheduler)
    if wanted.full:
        start_node(cluster, node)
    elif kwok is not None:
        start_pretended_node(cluster, kwok)


def start_pretended_node(cluster: LocalCluster, kwok: Path) -> None:
    """A node that exists on paper, and kwok to say that its Pods run."""
    # fmt: off
    cluster.begin(Part("kwok", [
        kwok / "kwok", f"--kubeconfig={cluster.kubeconfig}", "--manage-all-nodes=true",
        f"--config={SOURCE / 'kwok' / 'stages.yaml'}", "--server-address=127.0.0.1:10247",
        "--node-lease-duration-seconds=40",
        f"--node-ip={cluster.network.node}", f"--cidr={cluster.network.pods}",
    ]))
    # fmt: on
    cluster.apply({"apiVersion": "v1", "kind": "Node", "metadata": {"name": PRETENDED}})


def start_node(cluster: LocalCluster, node: Node) -> None:
    """kubelet and kube-proxy, once containerd listens."""

    def listens() -> bool:
        cluster.parts.check("containerd")
        socket = Path(f"/proc/{first_process(cluster.record)}/root/run/containerd/containerd.sock")
        return socket.exists()

    wait_for(listens, 20, "containerd to listen", every=0.05)
    cluster.begin(node.kubelet())
    cluster.begin(node.kube_proxy())


def wait_for_cluster(cluster: LocalCluster, node: Node, wanted: Wanted) -> None:
    """Until a Pod could be made and would run."""
    watched = ["etcd", "kube-apiserver"]
    if wanted.controllers:
        watched += ["kube-controller-manager", "kube-scheduler"]
    if wanted.full:
        watched += ["containerd", "kubelet", "kube-proxy"]

    def account() -> bool:
        cluster.parts.check(*watched)
        return bool(cluster.kubectl("get", "serviceaccount", "default", "--ignore-not-found", "-o", "name"))

    if wanted.kwok:
        watched += ["kwok"]
    name = node.name if wanted.full else PRETENDED

    def ready() -> bool:
        cluster.parts.check(*watched)
        return node_is_ready(cluster, name)

    if wanted.kwok:
        wait_for(ready, 60, "the pretended node to be ready")
    if wanted.full:
        log = cluster.parts.log("kubelet")
        wait_for(ready, 60, "the node to be ready", seen=lambda: f"the end of {log}:\n{last_lines(log)}")
    if wanted.controllers:
        wait_for(account, 60, "the default service account")


def node_is_ready(cluster: LocalCluster, name: str) -> bool:
    """Whether the node is there and its Ready condition is true."""
    path = "{.items[?(@.metadata.name=='" + name + "')].status.conditions[?(@.type=='Ready')].status}"
    return cluster.kubectl("get", "nodes", "-o", f"jsonpath={path}") == "True"


def start_supervisor(record: Record, preparation: list[list[str]], *, owned: bool) -> Record:
    """Start the first process in namespaces of its own, and wait until it answers."""
    reading, writing = os.pipe() if owned else (None, None)
    settings = record.run / "supervisor.json"
    content = {"socket": str(record.run / "control"), "prepare": preparation, "lifeline": reading}
    settings.write_text(json.dumps(content))
    log = record.data / "logs" / "supervisor.log"
    # fmt: off
    command = [
        "nsenter", f"--net=/run/netns/{record.network.namespace}",
        "unshare", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child=SIGKILL",
        "--mount-proc", "--uts",
        "--", sys.executable, "-I", "-S", str(SOURCE / "supervisor.py"), str(settings),
    ]
    # fmt: on
    with log.open("w") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            pass_fds=[reading] if reading is not None else [],
            cwd="/",
            env={"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/"},
        )
    CHILDREN[record.name] = (process, writing)
    if reading is not None:
        os.close(reading)
    record = dataclasses.replace(record, supervisor=state.Process.of(process.pid))
    record.save()

    def answers() -> bool:
        if process.poll() is not None:
            raise ClusterError(f"the namespaces could not be made:\n{last_lines(log)}")
        return (record.run / "control").exists()

    wait_for(answers, 20, "the namespaces' first process to answer", every=0.02)
    return record


PRETENDED = "pretended"

# This process's own clusters: the process to be waited for, and the lifeline that must stay open.
CHILDREN: dict[str, tuple[subprocess.Popen[bytes], int | None]] = {}


def first_process(record: Record) -> int:
    """The process id, as this machine sees it, of the namespaces' first process."""
    assert record.supervisor is not None
    outer = record.supervisor.pid
    children = Path(f"/proc/{outer}/task/{outer}/children").read_text().split()
    if not children:
        raise ClusterError(f"the cluster {record.name!r} does not run")
    return int(children[0])


def remove(record: Record) -> None:
    """Take away all that a cluster is made of; what is gone already is fine. Holds `state.lock()`."""
    kill(record)
    with contextlib.suppress(FileNotFoundError):
        record.network.delete()
    wait_for_gone(lambda: delete_cgroups(record.network.namespace), "the cgroups to be empty")
    wait_for_gone(lambda: state.forget(record), "the folders to be free")
    if not state.records():
        network.forget_unreachable()
        remove_own_folders()
        for folder in (RUN, DATA):
            shutil.rmtree(folder, ignore_errors=True)


def wait_for_gone(act: Callable[[], None], what: str) -> None:
    """Repeat while the kernel still lets go of what it held."""

    def done() -> bool:
        act()
        return True

    wait_for(done, 20, what, every=0.02, retry_on=(OSError,))


def kill(record: Record) -> None:
    """End every process of the cluster."""
    current = state.record(record.name) or record
    supervisor = current.supervisor
    if supervisor is not None and supervisor.alive:
        try:
            os.kill(first_process(current), signal.SIGKILL)
        except (ClusterError, ProcessLookupError):
            os.kill(supervisor.pid, signal.SIGKILL)
    process, lifeline = CHILDREN.pop(record.name, (None, None))
    if process is not None:
        process.wait()
    if lifeline is not None:
        os.close(lifeline)
    if supervisor is not None:
        wait_for(lambda: not supervisor.alive, 20, f"the processes of {record.name!r} to end", every=0.02)


def remove_stale() -> list[str]:
    """Remove what nobody owns any more. Holds `state.lock()`."""
    stale = [record for record in state.records() if record.stale]
    for record in stale:
        remove(record)
    return [record.name for record in stale]


def make_own_folders() -> None:
    """Mount points that this machine lacks; noted, so that they can be removed after the last cluster."""
    made = RUN / "made-folders"
    before = made.read_text().splitlines() if made.exists() else []
    fresh = [folder for folder in OWN_FOLDERS if not Path(folder).exists()]
    for folder in fresh:
        Path(folder).mkdir(parents=True)
    made.write_text("\n".join([*before, *fresh]))


def remove_own_folders() -> None:
    """Only when no cluster is left: to remove a folder undoes what other namespaces have mounted there."""
    made = RUN / "made-folders"
    for folder in made.read_text().splitlines() if made.exists() else []:
        with contextlib.suppress(OSError):
            Path(folder).rmdir()


def keep_logs(record: Record) -> Path:
    """Copy the logs of a failed start to where they outlive it."""
    kept = cache() / "logs" / f"{record.name}-{time.monotonic_ns()}"
    with contextlib.suppress(OSError):
        shutil.copytree(record.data / "logs", kept)
    return kept
