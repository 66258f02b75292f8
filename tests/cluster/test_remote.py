"""kind and the current context, without either: the commands that would run, and what such clusters refuse."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.cluster import choose, current, kind
from tests.cluster.errors import ClusterError, UnsupportedError
from tests.cluster.local import Wanted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.cluster.remote import RemoteCluster


class Machine:
    """A machine on which every command ends well and is written down."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, programs: set[str]) -> None:
        self.ran: list[tuple[str, ...]] = []
        self.inputs: dict[str, str] = {}
        self.answers = {"port": "127.0.0.1:49153\n", "get": "podpin-t-control-plane\n", "config": "context\n"}
        self.fails: str | None = None

        def find(program: str) -> str | None:
            return f"/usr/bin/{program}" if program in programs else None

        for module in (kind, current):
            monkeypatch.setattr(module.shutil, "which", find)
            monkeypatch.setattr(module, "run", self.run)
        monkeypatch.setattr(kind, "succeeds", lambda *words: bool(self.run(*words)) or True)
        monkeypatch.setattr(kind, "wait_for", lambda *_, **__: True)

    def run(self, *words: str | Path, stdin: str | None = None, **_: object) -> str:
        command = tuple(map(str, words))
        self.ran.append(command)
        if stdin is not None:
            self.inputs[" ".join(command[:3])] = stdin
        if self.fails and self.fails in command:
            raise ClusterError(f"{self.fails} failed")
        return self.answers.get(command[1], "")


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(monkeypatch, {"kind", "docker", "kubectl"})


@pytest.fixture
def made(machine: Machine) -> Iterator[RemoteCluster]:
    cluster = kind.up("t")
    yield cluster
    cluster.down()


def test_kind_gets_a_registry_that_host_and_node_call_by_one_name(machine: Machine, made: RemoteCluster) -> None:
    assert made.registry.address == "localhost:49153"
    told = next(command for command in machine.ran if command[1] == "exec")
    assert told[3] == "podpin-t-control-plane"
    assert "/etc/containerd/certs.d/localhost:49153/hosts.toml" in told[-1]
    assert tomllib.loads(machine.inputs["docker exec --interactive"]) == {
        "server": "http://podpin-t-registry:5000",
        "host": {"http://podpin-t-registry:5000": {}},
    }


def test_kind_creates_the_cluster_without_touching_the_users_kubeconfig(machine: Machine, made: RemoteCluster) -> None:
    create = next(command for command in machine.ran if command[:3] == ("kind", "create", "cluster"))
    assert create[create.index("--kubeconfig") + 1] == str(made.kubeconfig)
    assert 'config_path = "/etc/containerd/certs.d"' in machine.inputs["kind create cluster"]


def test_kinds_registry_is_in_the_clusters_network_before_its_port_is_asked_for(
    machine: Machine, made: RemoteCluster
) -> None:
    verbs = [command[1] for command in machine.ran]
    assert verbs == ["create", "run", "port", "get", "exec"]
    start = machine.ran[1]
    assert start[start.index("--network") + 1] == "podpin-t"


def test_kind_makes_its_own_choice_of_node_unless_an_image_is_named(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PODPIN_KIND_NODE_IMAGE", raising=False)
    assert "--image" not in kind.create_cluster("t", Path("kubeconfig"))
    monkeypatch.setenv("PODPIN_KIND_NODE_IMAGE", "kindest/node:v1.35.4")
    assert kind.create_cluster("t", Path("kubeconfig"))[-2:] == ["--image", "kindest/node:v1.35.4"]


def test_kind_removes_cluster_registry_network_and_files(machine: Machine, made: RemoteCluster) -> None:
    made.down()
    assert machine.ran[-3:] == [
        ("docker", "rm", "--force", "--volumes", "podpin-t-registry"),
        ("kind", "delete", "cluster", "--name", "podpin-t", "--kubeconfig", str(made.kubeconfig)),
        ("docker", "network", "rm", "podpin-t"),
    ]
    assert not made.kubeconfig.parent.exists()


def test_kind_removes_what_it_made_when_the_cluster_does_not_come_up(machine: Machine) -> None:
    machine.fails = "create"
    with pytest.raises(ClusterError, match="create failed"):
        kind.up("t")
    assert [command[:2] for command in machine.ran[-3:]] == [
        ("docker", "rm"),
        ("kind", "delete"),
        ("docker", "network"),
    ]


def test_kind_tells_what_went_wrong_first_when_removing_fails_too(machine: Machine) -> None:
    machine.fails = "cluster"
    with pytest.raises(ClusterError, match="failed") as told:
        kind.up("t")
    assert told.value.__context__ is None


def test_kind_takes_podman_where_there_is_no_docker(monkeypatch: pytest.MonkeyPatch) -> None:
    Machine(monkeypatch, {"kind", "podman", "kubectl"})
    assert kind.container_engine() == "podman"
    environment = kind.provider_environment("podman", "podpin-t")
    assert environment["KIND_EXPERIMENTAL_PROVIDER"] == "podman"
    assert environment["KIND_EXPERIMENTAL_PODMAN_NETWORK"] == "podpin-t"


@pytest.mark.parametrize(
    ("programs", "sentence"),
    [
        (set(), "needs kind"),
        ({"kind", "kubectl"}, "needs Docker or Podman"),
        ({"kind", "docker"}, "needs kubectl"),
    ],
)
def test_kind_says_what_is_missing(monkeypatch: pytest.MonkeyPatch, programs: set[str], sentence: str) -> None:
    Machine(monkeypatch, programs)
    with pytest.raises(ClusterError, match=sentence):
        kind.up("t")


def test_the_current_context_is_pinned_with_its_credentials(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PODPIN_REGISTRY", "registry.example:5000")
    cluster = current.use()
    assert machine.ran[0] == ("/usr/bin/kubectl", "config", "view", "--minify", "--flatten", "--raw")
    assert cluster.kubeconfig.read_text() == "context\n"
    assert cluster.kubeconfig.stat().st_mode & 0o077 == 0
    assert cluster.registry.address == "registry.example:5000"
    cluster.down()
    assert not cluster.kubeconfig.exists()


def test_the_current_context_needs_a_registry_by_name(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PODPIN_REGISTRY", raising=False)
    with pytest.raises(ClusterError, match="PODPIN_REGISTRY=HOST:PORT"):
        current.use()


def test_a_remote_cluster_says_what_it_cannot_do(made: RemoteCluster) -> None:
    assert made.can("nodes")
    assert not made.can("audit")
    with pytest.raises(UnsupportedError, match="cannot do 'audit'"):
        _ = made.audit
    with pytest.raises(UnsupportedError, match="cannot do 'apiserver-restarts'"):
        made.restart_apiserver()


def test_an_unknown_kind_of_cluster_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLUSTER", "minikube")
    with pytest.raises(ClusterError, match="CLUSTER=minikube is none of local, kind and current"):
        choose.chosen(Wanted())
