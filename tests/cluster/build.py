"""Kubernetes' and etcd's programs, built once from their published Go modules and kept in the user's cache.

The versions are those of go.mod beside this file; the cache is keyed by them and by the files' hash, so a fresh clone
builds nothing that this machine has. Go's own build cache makes an interrupted build go on where it was. A lock lets
the second of two builds wait for the first; programs appear under their final name only when they are whole.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from tests.cluster import toolchain
from tests.cluster.commands import run
from tests.cluster.errors import ClusterError
from tests.cluster.places import SOURCE, cache

if TYPE_CHECKING:
    from collections.abc import Iterator

OVERRIDE = "PODPIN_CLUSTER_BIN"


@dataclass(frozen=True, slots=True)
class Recipe:
    """A go.mod and the programs that come of it: name → Go package."""

    module: Path
    version_of: str
    programs: dict[str, str]

    @property
    def version(self) -> str:
        """The version that go.mod asks for."""
        found = re.search(rf"^\s*(?:require )?{re.escape(self.version_of)} (v\S+)", self.go_mod, re.MULTILINE)
        if found is None:
            raise ClusterError(f"{self.module}/go.mod does not require {self.version_of}")
        return found[1]

    @property
    def go_mod(self) -> str:
        """The text of go.mod."""
        return (self.module / "go.mod").read_text()

    @property
    def key(self) -> str:
        """Name of the folder in the cache: what was built, from exactly which modules."""
        digest = hashlib.sha256(self.go_mod.encode() + (self.module / "go.sum").read_bytes()).hexdigest()[:12]
        return f"{name_of_built(self.version_of)}-{self.version}-{digest}"

    @property
    def linker_flags(self) -> str:
        """Stripped, and knowing their own version: without it kubectl refuses to compare versions."""
        major, minor = self.version.removeprefix("v").split(".")[:2]
        package = "k8s.io/component-base/version"
        stamps = {"gitVersion": self.version, "gitMajor": major, "gitMinor": minor, "gitTreeState": "clean"}
        return "-s -w " + " ".join(f"-X {package}.{name}={value}" for name, value in stamps.items())


COMMANDS = ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy", "kubectl")
KUBERNETES = Recipe(
    module=SOURCE,
    version_of="k8s.io/kubernetes",
    programs={name: f"k8s.io/kubernetes/cmd/{name}" for name in COMMANDS} | {"etcd": "go.etcd.io/etcd/server/v3"},
)
KWOK = Recipe(module=SOURCE / "kwok", version_of="sigs.k8s.io/kwok", programs={"kwok": "sigs.k8s.io/kwok/cmd/kwok"})


def binaries(recipe: Recipe = KUBERNETES) -> Path:
    """The folder that holds the recipe's programs; builds what is not there."""
    override = os.environ.get(OVERRIDE)
    if override and is_whole(Path(override), recipe):
        return Path(override)
    if override and recipe is KUBERNETES:
        lacking = ", ".join(name for name in recipe.programs if not (Path(override) / name).exists())
        raise ClusterError(f"{OVERRIDE}={override} lacks {lacking}")
    folder = cache() / recipe.key
    if not is_whole(folder, recipe):
        folder.mkdir(parents=True, exist_ok=True)
        with locked(folder / ".lock"):
            if not is_whole(folder, recipe):
                compile_into(folder, recipe)
    return folder


def is_whole(folder: Path, recipe: Recipe) -> bool:
    """Whether every program of the recipe is there."""
    return all((folder / name).exists() for name in recipe.programs)


@contextmanager
def locked(path: Path, *, quiet: bool = False) -> Iterator[None]:
    """Hold the file's lock; the kernel lets go of it even when this process is killed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if not quiet:
                print(f"waiting for another process that holds {path}", flush=True)
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def compile_into(folder: Path, recipe: Recipe) -> None:
    """Build all programs in one go, then move them to where they belong."""
    go = toolchain.go()
    environment = {**os.environ, "CGO_ENABLED": "0"}
    name = f"{recipe.version_of} {recipe.version}"
    print(f"building {name} into {folder}; this happens once and takes minutes", flush=True)
    packages = list(recipe.programs.values())
    print("fetching modules", flush=True)
    listed = run(go, "list", "-deps", *packages, env=environment, cwd=recipe.module, timeout=None)
    total = set(listed.split()) - {"unsafe"}
    for left in folder.glob(".building-*"):
        shutil.rmtree(left)  # of a build that was killed; the lock says that none is at work now
    # A build that was interrupted is not repeated; this file remembers what it had compiled, so that the count
    # goes on too.
    done_before = folder / ".compiled"
    progress = Progress(total, set(done_before.read_text().split()) if done_before.exists() else set())
    with tempfile.TemporaryDirectory(prefix=".building-", dir=folder) as target:
        command = [go, "build", "-v", "-trimpath", "-ldflags", recipe.linker_flags, "-o", f"{target}/", *packages]
        with subprocess.Popen(
            command, cwd=recipe.module, env=environment, stderr=subprocess.PIPE, text=True
        ) as process:
            assert process.stderr is not None
            with done_before.open("a") as record:
                said = follow(process.stderr, progress, record)
        if process.returncode != 0:
            raise ClusterError(f"building {name} failed:\n" + "\n".join(said[-20:]))
        for program, package in recipe.programs.items():
            built = Path(target) / name_of_built(package)
            built.replace(folder / program)
    done_before.unlink()
    progress.finish()


def name_of_built(package: str) -> str:
    """Go names a program after its package's last element that is not a major version."""
    parts = package.split("/")
    return parts[-2] if re.fullmatch(r"v\d+", parts[-1]) else parts[-1]


def follow(lines: Iterator[str] | TextIO, progress: Progress, record: TextIO) -> list[str]:
    """Count the packages that go names; return everything else that it says."""
    said = []
    for line in lines:
        package = line.strip()
        if package in progress.total:
            record.write(package + "\n")
            record.flush()
            progress.add(package)
        elif not package.startswith("go: downloading"):
            said.append(package)
    return said


class Progress:
    """Packages compiled, of packages in all: a line that is rewritten on a terminal, one every ten seconds in a log."""

    def __init__(self, total: set[str], done: set[str]) -> None:
        self.total = total
        self.done = done & total
        self.started = time.monotonic()
        self.shown = 0.0

    def add(self, package: str) -> None:
        self.done.add(package)
        now = time.monotonic()
        if now - self.shown > (0.2 if sys.stdout.isatty() else 10):
            self.shown = now
            self.show(package)

    def show(self, package: str) -> None:
        text = f"{len(self.done)} of {len(self.total)} packages, {self.elapsed()}: {package}"
        if sys.stdout.isatty():
            print(f"\r\x1b[K{text[:110]}", end="", flush=True)
        else:
            print(text, flush=True)

    def finish(self) -> None:
        end = "\r\x1b[K" if sys.stdout.isatty() else ""
        print(
            f"{end}built in {self.elapsed()} ({len(self.total)} packages, {len(self.done)} of them compiled now)",
            flush=True,
        )

    def elapsed(self) -> str:
        minutes, seconds = divmod(int(time.monotonic() - self.started), 60)
        return f"{minutes} min {seconds:02} s"
