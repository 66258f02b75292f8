"""What a demo leaves on the machine, written down while it is made, so that a later command can find and remove it.

A demo has a folder of its own in the user's cache: its kubeconfig, its manifests, podpin's log, and `demo.json`.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tests.cluster import kind, local, state, toolchain
from tests.cluster.commands import run
from tests.cluster.places import cache
from tests.cluster.state import Process
from tests.waiting import NotInTimeError, wait_for

if TYPE_CHECKING:
    from collections.abc import Mapping

NAMESPACE: Final = "podpin-demo"


@dataclass(frozen=True, slots=True)
class Remains:
    """A demo's parts."""

    name: str
    kind: str
    """Of its cluster: local, kind or current."""
    cluster_folder: str = ""
    """Where a cluster that is not local keeps its kubeconfig."""
    made_namespace: bool = False
    made_crd: bool = False
    """What the demo has put into a cluster that is not its own."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """What a shell beside the demo should have set."""
    podpin: Process | None = None

    @property
    def folder(self) -> Path:
        return folder_of(self.name)

    @property
    def log(self) -> Path:
        """podpin's."""
        return self.folder / "podpin.log"

    def save(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        fresh = self.folder / "demo.json.new"
        fresh.touch(mode=0o600)
        fresh.write_text(json.dumps(asdict(self)))
        fresh.replace(self.folder / "demo.json")


def folder_of(name: str) -> Path:
    """The demo's own folder."""
    return cache() / "demo" / name


def find(name: str) -> Remains | None:
    """What a demo of this name has left, if there was one."""
    try:
        content = json.loads((folder_of(name) / "demo.json").read_text())
    except FileNotFoundError:
        return None
    if content["podpin"] is not None:
        content["podpin"] = Process(**content["podpin"])
    return Remains(**content)


def remove(name: str) -> bool:
    """Take everything away; whether there was anything."""
    remains = find(name)
    if remains is not None:
        stop_podpin(remains)
    there = _remove_cluster(remains, name)
    if remains is not None:
        shutil.rmtree(remains.folder, ignore_errors=True)
        with contextlib.suppress(OSError):
            remains.folder.parent.rmdir()
    return there or remains is not None


def stop_podpin(remains: Remains) -> None:
    """Ask podpin to end, as Kubernetes would; kill it if it does not."""
    podpin = remains.podpin
    if podpin is None or not podpin.alive:
        return
    os.kill(podpin.pid, signal.SIGTERM)
    try:
        wait_for(lambda: not podpin.alive, 10, "podpin to end")
    except NotInTimeError:
        os.kill(podpin.pid, signal.SIGKILL)


def _remove_cluster(remains: Remains | None, name: str) -> bool:
    match remains.kind if remains else os.environ.get("CLUSTER", "local"):
        case "local":
            return _remove_local(name)
        case "kind" if remains is not None and remains.cluster_folder:
            cluster = f"podpin-{name}"
            kind.down(kind.container_engine(), cluster, f"{cluster}-registry", Path(remains.cluster_folder))
        case "current" if remains is not None and remains.environment:
            _leave_current(remains)
        case _:
            return False
    return True


def _remove_local(name: str) -> bool:
    toolchain.require_root()
    if state.record(name) is None:
        return False
    with state.lock():
        record = state.record(name)
        if record is not None:
            local.remove(record)
    return record is not None


def _leave_current(remains: Remains) -> None:
    environment = {**os.environ, **remains.environment}
    if remains.made_namespace:
        run("kubectl", "delete", "namespace", NAMESPACE, "--ignore-not-found", env=environment)
    if remains.made_crd:
        run("kubectl", "delete", "crd", "imagerollouts.podpin.dev", "--ignore-not-found", env=environment)
    if remains.cluster_folder:
        shutil.rmtree(remains.cluster_folder, ignore_errors=True)
