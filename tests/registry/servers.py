"""The registries that podpin's client is tried against, each obtained once and kept in the user's cache.

docker-registry is Debian's package. distribution is built from its Go module, as the cluster's programs are.
zuul-registry is PyPI's, in a virtual environment of its own. `python -m tests.registry.servers` gets what is missing.
"""

from __future__ import annotations

import hashlib
import shutil
import sys
from pathlib import Path

from tests.cluster.build import Recipe, binaries, is_whole, locked
from tests.cluster.commands import run
from tests.cluster.errors import ClusterError
from tests.cluster.places import cache
from tests.cluster.toolchain import ensure

HERE = Path(__file__).resolve().parent
DISTRIBUTION = Recipe(
    module=HERE / "distribution",
    version_of="github.com/distribution/distribution/v3",
    programs={"registry": "github.com/distribution/distribution/v3/cmd/registry"},
)
PINNED = HERE / "zuul-registry.txt"
_WHOLE = ".whole"


def docker_registry() -> Path | None:
    """Debian's docker-registry, if it is there."""
    found = shutil.which("docker-registry")
    return None if found is None else Path(found)


def distribution() -> Path | None:
    """The program of distribution 3, if it has been built."""
    folder = cache() / DISTRIBUTION.key
    return folder / "registry" if is_whole(folder, DISTRIBUTION) else None


def zuul_registry() -> Path | None:
    """The program of zuul-registry, if it has been installed."""
    place = _environment()
    return place / "bin" / "zuul-registry" if (place / _WHOLE).exists() else None


def _environment() -> Path:
    """Where zuul-registry's virtual environment is: another one for other versions, and for another Python."""
    key = hashlib.sha256(PINNED.read_bytes() + sys.version.encode()).hexdigest()[:12]
    return cache() / f"zuul-registry-{key}"


def install_zuul_registry() -> None:
    """Make zuul-registry's virtual environment."""
    place = _environment()
    with locked(cache() / ".zuul-registry.lock"):
        if zuul_registry() is not None:
            return
        print(f"installing zuul-registry into {place}; this happens once", flush=True)
        # Programs of a virtual environment hold its path, so it is made where it stays.
        run(sys.executable, "-m", "venv", "--clear", place)
        pip = place / "bin" / "pip"
        run(pip, "install", "--quiet", "--disable-pip-version-check", "--requirement", PINNED, timeout=None)
        (place / _WHOLE).touch()


def main() -> None:
    """Get all that is missing."""
    ensure({"docker-registry": "docker-registry"})
    print(binaries(DISTRIBUTION))
    install_zuul_registry()
    print(_environment())


if __name__ == "__main__":
    try:
        main()
    except ClusterError as error:
        sys.exit(str(error))
