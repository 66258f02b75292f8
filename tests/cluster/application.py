"""The application that tests and the demo run: Debian's static busybox and a few lines of shell.

It answers on port 8080: / with its version, /healthz with "ok"; or it fails in exactly one way. The layers come out
the same, byte for byte, each time, and all versions share the one with busybox.
"""

from __future__ import annotations

import gzip
import io
import tarfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

from tests.cluster.errors import ClusterError
from tests.cluster.registry import sha256

BUSYBOX = Path("/bin/busybox")
APPLETS = ("cat", "env", "httpd", "kill", "ls", "ps", "rm", "sh", "sleep", "tail", "wget")
LINKS = {f"bin/{name}": "busybox" for name in APPLETS}
ARCHITECTURES = {62: "amd64", 183: "arm64"}  # by the number in an ELF file's header

Files = dict[str, tuple[bytes, int]]  # path → content and mode

Kind = Literal[
    "good",
    "unready",  # runs, but /healthz is 404
    "crash",  # exits with 1 after `after` seconds
    "oom",  # takes all memory that it can get; give the container a limit
    "missing_binary",  # its entrypoint does not exist
    "exec_format",  # its entrypoint is for another architecture
    "wrong_platform",  # its index offers another architecture only
    "becomes_unready",  # /healthz becomes 404 `after` seconds after the start
    "restarts_later",  # is healthy, and exits with 1 after `after` seconds
]
SERVE = """\
httpd -f -p 8080 -h /www &
server=$!
# Serve on for a moment after the order to stop: the Service's rules take that long to forget this Pod.
trap 'sleep 2; kill $server; exit 0' TERM
"""
ENDINGS: dict[str, str] = {
    "good": SERVE + "wait $server\n",
    "crash": "echo 'cannot open the database' >&2\nsleep {after}\nexit 1\n",
    "oom": "exec tail /dev/zero\n",
    "becomes_unready": SERVE + "sleep {after} &\nwait $!\nrm /www/healthz\nwait $server\n",
    "restarts_later": SERVE + "sleep {after} &\nwait $!\nexit 1\n",
}


@dataclass(frozen=True, slots=True)
class Layer:
    """A layer: its bytes, and the digest of what is inside."""

    content: bytes
    diff_id: str


@cache
def busybox() -> bytes:
    """Debian's static busybox."""
    if not BUSYBOX.exists():
        raise ClusterError(f"{BUSYBOX} is missing; please install Debian's busybox-static")
    return BUSYBOX.read_bytes()


@cache
def architecture() -> str:
    """This machine's, as images name it."""
    number = int.from_bytes(busybox()[18:20], "little")
    return ARCHITECTURES[number]


def other_architecture() -> str:
    """The one that does not run here."""
    return next(name for name in ARCHITECTURES.values() if name != architecture())


def layers_of(kind: Kind, version: str, after: float) -> list[Layer]:
    """Everything that an image of this kind is made of."""
    layers = [base_layer(), app_layer(version, kind, after)]
    return [*layers, foreign_layer()] if kind == "exec_format" else layers


def entrypoint_of(kind: Kind) -> list[str]:
    """What the image says is to be run."""
    match kind:
        case "missing_binary":
            return ["/app/does-not-exist"]
        case "exec_format":
            return ["/app/foreign"]
        case _:
            return ["/app/start"]


@cache
def base_layer() -> Layer:
    """busybox alone; every image shares it."""
    return make_layer(base_files(), links=LINKS, folders=("tmp",))


@cache
def app_layer(version: str, kind: str, after: float) -> Layer:
    """The pages, and the script that serves them or fails."""
    return make_layer(app_files(version, kind, after), folders=("www",))


def base_files() -> Files:
    """What every application has."""
    return {"bin/busybox": (busybox(), 0o755)}


def app_files(version: str, kind: str = "good", after: float = 1) -> Files:
    """What makes it this application."""
    script = "#!/bin/sh\n" + ENDINGS.get(kind, ENDINGS["good"]).replace("{after}", f"{after:g}")
    files = {"app/start": (script.encode(), 0o755), "www/index.html": (f"{version}\n".encode(), 0o644)}
    if kind != "unready":
        files["www/healthz"] = (b"ok\n", 0o644)
    return files


def write_tree(folder: Path, version: str) -> None:
    """The good application as files on disk, for a builder to copy."""
    for name, (content, mode) in (base_files() | app_files(version)).items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
        file.chmod(mode)
    for name, target in LINKS.items():
        (folder / name).symlink_to(target)


@cache
def foreign_layer() -> Layer:
    """A program whose header says that it is for another architecture."""
    number = next(number for number, name in ARCHITECTURES.items() if name == other_architecture())
    program = busybox()[:18] + number.to_bytes(2, "little") + busybox()[20:4096]
    return make_layer({"app/foreign": (program, 0o755)})


def make_layer(files: Files, links: dict[str, str] | None = None, folders: tuple[str, ...] = ()) -> Layer:
    """A layer that comes out the same, byte for byte, each time."""
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as archive:
        for name in sorted({*folders, *(str(Path(file).parent) for file in files)}):
            # Writable for everybody: the script may remove a page, whoever it runs as.
            folder = tarfile.TarInfo(name)
            folder.type, folder.mode = tarfile.DIRTYPE, 0o777 if name in ("tmp", "www") else 0o755
            archive.addfile(folder)
        for name, (content, mode) in files.items():
            file = tarfile.TarInfo(name)
            file.size, file.mode = len(content), mode
            archive.addfile(file, io.BytesIO(content))
        for name, target in (links or {}).items():
            link = tarfile.TarInfo(name)
            link.type, link.linkname = tarfile.SYMTYPE, target
            archive.addfile(link)
    return Layer(gzip.compress(raw.getvalue(), compresslevel=1, mtime=0), sha256(raw.getvalue()))
