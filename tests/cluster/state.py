"""Which clusters there are on this machine: a folder each, a number each, and whose they are.

A cluster is stale when its first process is gone, when it belonged to a test process that is gone, or when whoever was
bringing it up is gone. The next `up`
or `down --all` removes those.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.cluster.build import locked
from tests.cluster.network import NUMBERS, Network
from tests.cluster.places import DATA, RUN

if TYPE_CHECKING:
    from contextlib import AbstractContextManager


@dataclass(frozen=True, slots=True)
class Process:
    """A process, so named that its number's next holder is not mistaken for it."""

    pid: int
    started: str

    @classmethod
    def of(cls, pid: int) -> Process:
        return cls(pid, _started(pid) or "")

    @property
    def alive(self) -> bool:
        return self.started != "" and _started(self.pid) == self.started


@dataclass(frozen=True, slots=True)
class Record:
    """What is written down about a cluster."""

    name: str
    number: int
    full: bool
    maker: Process  # whoever brings it up
    owner: Process | None = None  # the test process that it must not outlive
    supervisor: Process | None = None
    binaries: str = ""
    starting: bool = False

    @property
    def run(self) -> Path:
        return RUN / self.name

    @property
    def data(self) -> Path:
        return DATA / self.name

    @property
    def network(self) -> Network:
        return Network(self.number)

    @property
    def stale(self) -> bool:
        if self.owner is not None and not self.owner.alive:
            return True
        if self.starting and not self.maker.alive:
            return True
        return self.supervisor is not None and not self.supervisor.alive

    def save(self) -> None:
        file = self.run / "cluster.json"
        fresh = file.with_suffix(".new")
        fresh.write_text(json.dumps(asdict(self)))
        fresh.replace(file)


def lock() -> AbstractContextManager[None]:
    """Held while clusters are counted, made or removed."""
    return locked(RUN.with_name(RUN.name + ".lock"), quiet=True)


def records() -> list[Record]:
    """All clusters, by number."""
    found = [read(folder) for folder in RUN.iterdir()] if RUN.is_dir() else []
    return sorted((one for one in found if one is not None), key=lambda one: one.number)


def record(name: str) -> Record | None:
    """One cluster, by name."""
    return read(RUN / name)


def free_number() -> int:
    """The lowest number that nobody has."""
    taken = {one.number for one in records()}
    namespaces = Path("/run/netns")
    return next(n for n in NUMBERS if n not in taken and not (namespaces / Network(n).namespace).exists())


def read(folder: Path) -> Record | None:
    try:
        content = json.loads((folder / "cluster.json").read_text())
    except (FileNotFoundError, NotADirectoryError):
        return None
    for role in ("maker", "owner", "supervisor"):
        if content[role] is not None:
            content[role] = Process(**content[role])
    return Record(**content)


def forget(one: Record) -> None:
    """Remove the cluster's folders, provided that nothing is mounted there any more."""
    mounts = Path("/proc/self/mounts").read_text()
    for folder in (one.data, one.run):
        if f" {folder}/" in mounts or f" {folder} " in mounts:
            raise OSError(f"something is still mounted below {folder}")
        shutil.rmtree(folder, ignore_errors=True)


def _started(pid: int) -> str | None:
    """When the process was started, in the kernel's ticks; None when it is gone or only a zombie."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = text.rpartition(")")[2].split()
    return None if fields[0] in ("Z", "X") else fields[19]
