"""The end-to-end tests' cluster and podpin, and how the tests share them.

Most of these tests wait most of the time. So all tests that take `stage` are begun together, in threads, as soon as the
first of them is run, and each then reports in its turn. They share the cluster and one podpin that serves all
namespaces. Those that take `bare_stage` do the same among themselves, while no podpin runs but those that they start.
Those that take `paper_stage` do it on another cluster, whose nodes exist on paper only.
A test that takes `lone_stage` has the shared podpin, and everybody else has left.

A test that is begun this way may take its parameters and its stage, and no other fixture.

While writing tests: PODPIN_CLUSTER names a cluster that runs already, PODPIN_E2E_LOGS a folder for podpin's logs, and
PODPIN_E2E_KEEP=1 leaves the namespaces as they are. A failed test's stage is kept and its story told in any case.
"""

from __future__ import annotations

import os
import re
import tempfile
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest
import yaml
from tests import confidential
from tests.cluster.fixture import cluster, control_plane, kwok_plane
from tests.e2e.gate import gates_of
from tests.e2e.program import Program
from tests.e2e.stage import Stage
from tests.e2e.world import World

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.cluster.local import LocalCluster
    from tests.cluster.protocol import Cluster

__all__ = ["cluster", "control_plane", "kwok_plane"]

ROOT: Final = Path(__file__).parent.parent.parent
CRD: Final = ROOT / "crds" / "imagerollouts.podpin.dev.yaml"
RIGHTS: Final = ROOT / "manifests" / "rbac.yaml"
ACCOUNT: Final = "system:serviceaccount:podpin-system:podpin"
AT_ONCE: Final = {"stage": 12, "bare_stage": 6, "paper_stage": 5}
"""How many tests of a group are under way at the same time: more would only wait for each other's Pods and programs."""


class Company:
    """Who is on the cluster: the shared podpin, the bystander, and the tests that are under way."""

    def __init__(self, cluster: Cluster, folder: Path) -> None:
        self.cluster = cluster
        self.folder = folder
        self.world = World(cluster.kubeconfig)
        self.kubeconfig = self._kubeconfig()
        self.gates = gates_of(cluster)
        self._spare_gates = list(self.gates)
        self.podpin = self.make_podpin("podpin")
        self._pools = {group: ThreadPoolExecutor(most, thread_name_prefix=group) for group, most in AT_ONCE.items()}
        self._plays: dict[str, Future[None]] = {}
        self._groups: set[str] = set()
        self._names = threading.Lock()
        self._run = f"{time.monotonic_ns() // 10**9 % 100_000:05d}"
        self._count = 0

    def _kubeconfig(self) -> Path:
        """podpin's own account where the cluster can tell users apart, else whoever runs the tests."""
        if not self.cluster.can("identities"):
            return self.cluster.kubeconfig
        groups = ["system:serviceaccounts", "system:serviceaccounts:podpin-system"]
        return self.cluster.kubeconfig_for(ACCOUNT, groups)

    def make_podpin(
        self, name: str, *, kubeconfig: Path | None = None, namespaces: Sequence[str] = (), flags: Sequence[str] = ()
    ) -> Program:
        """A podpin, not started yet."""
        return Program(
            kubeconfig or self.kubeconfig,
            self.folder / f"{name}.log",
            self.cluster.environment(),
            namespaces=namespaces,
            insecure=[self.cluster.registry.address, *(gate.address for gate in self.gates)],
            flags=flags,
        )

    def open(self) -> None:
        """Install what podpin needs, and begin to watch."""
        self.cluster.apply(CRD, "--server-side")
        self.cluster.kubectl.serve("imagerollouts", "podpin.dev")
        self.cluster.apply(RIGHTS)
        self.world.start()

    def close(self) -> None:
        """End what is under way."""
        for pool in self._pools.values():
            pool.shutdown(cancel_futures=True)
        self.podpin.kill()
        self.world.stop()
        self._assert_discreet()
        for gate in self.gates:
            gate.close()

    def _assert_discreet(self) -> None:
        """No podpin of this session has logged what it was to keep to itself."""
        registry = self.cluster.private_registry if self.cluster.can("private-registry") else None
        own = [registry.password, f"{registry.username}:{registry.password}"] if registry else []
        users = yaml.safe_load(self.kubeconfig.read_text())["users"]
        own += [user["user"].get(part, "") for user in users for part in ("client-key-data", "token")]
        logs = sorted(self.folder.glob("*.log"))
        assert logs, f"there are no logs in {self.folder}"
        told = {log.name: confidential.told(log.read_text(errors="replace"), own) for log in logs}
        assert not any(told.values()), f"podpin tells secrets: {told}"

    def stage(self, name: str) -> Stage:
        """A new namespace for a test of this name."""
        with self._names:
            self._count += 1
            slug = re.sub("[^a-z0-9]+", "-", name.removeprefix("test_").lower())[:32].strip("-")
            namespace = f"e{self._run}-{self._count:03d}-{slug}"
        self.cluster.kubectl("create", "namespace", namespace)
        begun = self.cluster.audit.position() if self.cluster.can("audit") else 0
        return Stage(
            self.cluster,
            self.world,
            namespace,
            self.podpin,
            self.make_podpin,
            self.kubeconfig,
            self.folder,
            self._spare_gates,
            begun,
        )

    def strike(self, stage: Stage) -> None:
        """Remove a stage."""
        if not os.environ.get("PODPIN_E2E_KEEP"):
            self.cluster.kubectl("delete", "namespace", stage.namespace, "--wait=false", "--ignore-not-found")

    def drain(self) -> None:
        """Wait until no test is under way."""
        for play in self._plays.values():
            if not play.done():
                play.exception()

    def begin(self, group: str, items: Sequence[pytest.Item]) -> None:
        """Begin all tests of a group, unless they have been begun."""
        if group in self._groups:
            return
        self._groups.add(group)
        self.drain()
        self.shared_podpin(runs=group != "bare_stage")
        for item in items:
            if isinstance(item, pytest.Function) and group in item.fixturenames:
                self._plays[item.nodeid] = self._pools[group].submit(self._play, group, item)

    def result(self, item: pytest.Function) -> None:
        """Wait for a test that was begun, and fail as it has failed."""
        self._plays[item.nodeid].result()

    def shared_podpin(self, *, runs: bool) -> None:
        """See to it that the shared podpin runs, or does not."""
        if runs and not self.podpin.runs:
            self.podpin.start()
        elif not runs and self.podpin.runs:
            code, _ = self.podpin.terminate()
            assert code == 0, self.podpin.said()

    def _play(self, group: str, item: pytest.Function) -> None:
        callspec = getattr(item, "callspec", None)
        parameters: dict[str, Any] = dict(callspec.params) if callspec else {}
        stage = self.stage(f"{callspec.id}-{item.originalname}" if callspec else item.name)
        try:
            item.obj(**parameters, **{group: stage})
        except Exception as error:
            error.add_note(stage.story())
            raise
        self.strike(stage)


@pytest.fixture(scope="session")
def company(cluster: Cluster) -> Iterator[Company]:
    yield from _opened(cluster)


def _opened(cluster: Cluster) -> Iterator[Company]:
    with tempfile.TemporaryDirectory(prefix="podpin-e2e-") as folder:
        kept = os.environ.get("PODPIN_E2E_LOGS")
        company = Company(cluster, Path(kept or folder))
        company.open()
        try:
            yield company
        finally:
            company.close()


@pytest.fixture(scope="session")
def stage(company: Company) -> Company:
    """A namespace beside those of all other tests, served by the podpin that they share."""
    return company


@pytest.fixture(scope="session")
def bare_stage(company: Company) -> Company:
    """A namespace in which nothing runs but what the test starts."""
    return company


@pytest.fixture(scope="session")
def paper_stage(kwok_plane: LocalCluster) -> Iterator[Company]:
    """A namespace on a cluster where Pods are only said to run, on as many nodes as a test makes."""
    yield from _opened(kwok_plane)


@pytest.fixture
def lone_stage(company: Company, request: pytest.FixtureRequest) -> Iterator[Stage]:
    """A namespace, the shared podpin, and nobody else."""
    company.drain()
    company.shared_podpin(runs=True)
    stage = company.stage(request.node.name)
    yield stage
    company.shared_podpin(runs=True)
    company.strike(stage)


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Begin a test's whole group when the first of it is to be run; then only wait for this one."""
    group = next((group for group in AT_ONCE if group in pyfuncitem.fixturenames), None)
    if group is None:
        return None
    company = pyfuncitem.funcargs[group]
    assert isinstance(company, Company)
    company.begin(group, pyfuncitem.session.items)
    company.result(pyfuncitem)
    return True
