"""podpin's own image, built without any image from elsewhere, by the very Containerfile that users build from.

Its BASE is made here: Debian's Python and nothing else, no shell, no package manager. The wheels are fetched as pip on
this machine is set up to fetch them; the build itself then needs no network. Base, wheels and image are kept in the
user's cache, each under the hash of what it is made from, so that an unchanged podpin costs nothing.

`python -m tests.cluster.operator_image HOST[:PORT]/REPOSITORY` pushes it to a registry without TLS and prints its name.
"""

from __future__ import annotations

import hashlib
import platform
import shutil
import sys
import tempfile
import time
import tomllib
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tests.cluster import toolchain
from tests.cluster.build import locked
from tests.cluster.commands import run
from tests.cluster.errors import ClusterError
from tests.cluster.places import cache

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT: Final = Path(__file__).resolve().parent.parent.parent
SUITE: Final = "bookworm"
PYTHON: Final = "3.11"  # that suite's
DEBIAN: Final = ("python3-minimal", "libpython3-stdlib", "ca-certificates")
TOOLS: Final = {
    "mmdebstrap": "mmdebstrap",
    "/usr/share/keyrings/debian-archive-keyring.gpg": "debian-archive-keyring",
    "buildah": "buildah",
    "skopeo": "skopeo",
}
RECIPE: Final = 2
"""To be raised when this module makes something else of the same files."""
KEPT: Final = 4
"""How many images of older code stay in the cache."""


def push(repository: str) -> str:
    """Build the image unless it is there, push it, and return its name with its digest.

    `repository` is HOST[:PORT]/PATH of a registry that speaks plain HTTP.
    """
    archive = build()
    name = f"{repository}:{archive.stem.rpartition('-')[2]}"
    with tempfile.NamedTemporaryFile() as digest:
        source = f"oci-archive:{archive}"
        run(
            "skopeo", "copy", "-q", "--dest-tls-verify=false", f"--digestfile={digest.name}", source, f"docker://{name}"
        )
        return f"{name}@{Path(digest.name).read_text().strip()}"


def build() -> Path:
    """The image as an OCI archive."""
    toolchain.require_root()
    toolchain.ensure(TOOLS)
    folder = cache() / "operator-image"
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder / ".lock"):
        wheels, base = folder / f"wheels-{_wheels_key()}", folder / f"base-{_base_key()}.tar"
        image = folder / f"image-{_image_key()}.tar"
        if not image.exists():
            started = time.monotonic()
            first = "" if base.exists() else ", a minute the first time"
            print(f"building podpin's image into {folder}: half a minute{first}", flush=True)
            if not wheels.exists():
                _fetch_wheels(wheels)
            if not base.exists():
                _make_base(base)
            _make_image(image, base, wheels)
            print(f"podpin's image is built ({time.monotonic() - started:.0f} s)", flush=True)
        image.touch()
        _tidy(folder, {wheels, base})
    return image


def _key(*parts: object) -> str:
    return hashlib.sha256(repr((RECIPE, platform.machine(), *parts)).encode()).hexdigest()[:12]


def _requirements() -> list[str]:
    """What pip needs to have at hand to build and install podpin."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    extras = [one for extra in project["project"]["optional-dependencies"].values() for one in extra]
    return sorted([*project["project"]["dependencies"], *extras, *project["build-system"]["requires"]])


def _constraints() -> Path:
    return ROOT / "constraints.txt"


def _wheels_key() -> str:
    return _key(PYTHON, _requirements(), _constraints().read_text())


def _base_key() -> str:
    return _key(SUITE, DEBIAN)


def _image_key() -> str:
    sources = [ROOT / name for name in ("Containerfile", ".dockerignore", "pyproject.toml")]
    sources += sorted((ROOT / "operator" / "podpin").rglob("*.py"))
    code = [(str(file.relative_to(ROOT)), file.read_bytes()) for file in sources]
    return _key(_wheels_key(), _base_key(), code)


def _fetch_wheels(target: Path) -> None:
    """For the image's Python, whatever Python this is."""
    with _unfinished(target) as folder:
        folder.mkdir()
        pip = (sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check")
        kind = ("--only-binary=:all:", f"--python-version={PYTHON}")
        run(*pip, *kind, f"--constraint={_constraints()}", f"--dest={folder}", *_requirements(), timeout=None)


def _make_base(target: Path) -> None:
    """Debian's Python, extracted and not configured: that needs no shell inside. And pip, for the first stage."""
    with _unfinished(target) as archive, _buildah() as (buildah, workshop):
        root = workshop / "root"
        include = f"--include={','.join(DEBIAN)}"
        run("mmdebstrap", "--quiet", "--variant=extract", include, SUITE, root, timeout=None)
        for useless in ("usr/share/doc", "usr/share/man", "usr/share/locale", "var/lib/apt", "var/cache"):
            shutil.rmtree(root / useless, ignore_errors=True)
        authorities = sorted((root / "usr/share/ca-certificates").rglob("*.crt"))
        # Not by way of usr/lib/ssl/cert.pem: that is a link to an absolute path, and leads to this machine's own.
        bundle = root / "etc/ssl/certs/ca-certificates.crt"
        bundle.parent.mkdir(parents=True, exist_ok=True)
        bundle.write_text("".join(file.read_text() for file in authorities))
        packages = root / "usr/lib/python3/dist-packages"
        pip = (sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
        run(*pip, "--no-compile", f"--target={packages}", "pip>=25.1", timeout=None)
        container = run(*buildah, "from", "scratch").strip()
        run(*buildah, "copy", "-q", container, root, "/")
        run(*buildah, "config", "--env", "PATH=/usr/local/bin:/usr/bin:/bin", container)
        run(*buildah, "commit", "-q", container, f"oci-archive:{archive}")


def _make_image(target: Path, base: Path, wheels: Path) -> None:
    with _unfinished(target) as archive, _buildah() as (buildah, workshop):
        settings = workshop / "pip.conf"
        settings.write_text("[global]\nno-index = true\nfind-links = /wheels\n")
        volumes = (f"--volume={wheels}:/wheels:ro", f"--volume={settings}:/etc/pip.conf:ro")
        where = (f"--file={ROOT / 'Containerfile'}", f"--build-arg=BASE=oci-archive:{base}")
        run(*buildah, "bud", "-q", "--isolation=chroot", *where, *volumes, "-t", f"oci-archive:{archive}", ROOT)


@contextmanager
def _unfinished(target: Path) -> Iterator[Path]:
    """A path beside the target, which becomes the target when all went well."""
    path = target.with_name(f".unfinished-{target.name}")
    for left in (path, target):
        shutil.rmtree(left, ignore_errors=True) if left.is_dir() else left.unlink(missing_ok=True)
    yield path
    path.rename(target)


@contextmanager
def _buildah() -> Iterator[tuple[list[str], Path]]:
    """A buildah with a storage of its own, and a folder to work in; both are gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="podpin-image-", dir=cache()) as name:
        workshop = Path(name)
        storage = ("--storage-driver=vfs", f"--root={workshop / 'store'}", f"--runroot={workshop / 'run'}")
        yield ["buildah", *storage], workshop


def _tidy(folder: Path, needed: set[Path]) -> None:
    """Forget what was made from older files, but for the last few images."""
    images = sorted(folder.glob("image-*.tar"), key=lambda file: file.stat().st_mtime, reverse=True)
    for old in images[KEPT:]:
        old.unlink()
    for other in {*folder.glob("base-*"), *folder.glob("wheels-*")} - needed:
        shutil.rmtree(other) if other.is_dir() else other.unlink()


if __name__ == "__main__":
    try:
        print(push(sys.argv[1]))
    except ClusterError as error:
        sys.exit(str(error))
