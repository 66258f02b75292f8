"""Images for tests and the demo, made by hand and pushed by plain HTTP in milliseconds.

Each is Debian's static busybox and a few lines of shell: a web application on port 8080 that answers / with its version and
/healthz with "ok", or one that fails in exactly one way. The manifest is written as any of the builders would write it.
`builders.py` makes the same application with the real ones.
"""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from tests.cluster.errors import ClusterError
from tests.cluster.registry import DOCKER_LIST, DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST, sha256

if TYPE_CHECKING:
    from tests.cluster.registry import Registry

BUSYBOX = Path("/bin/busybox")
APPLETS = ("cat", "env", "httpd", "kill", "ls", "ps", "rm", "sh", "sleep", "tail", "wget")
ARCHITECTURES = {62: "amd64", 183: "arm64"}  # by the number in an ELF file's header

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
Format = Literal[
    "oci",  # an OCI manifest, as Buildah and Podman write it
    "oci-without-media-type",  # the same without mediaType in the body, as umoci writes it
    "docker",  # Docker schema 2, as `docker build` without BuildKit writes it
    "index",  # an OCI index for amd64 and arm64
    "index-with-attestation",  # an OCI index whose second manifest is a provenance, as BuildKit writes it
    "docker-list",  # Docker's manifest list
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


def push_app(
    registry: Registry,
    repository: str,
    tag: str,
    kind: Kind = "good",
    *,
    version: str | None = None,
    format: Format = "oci",  # noqa: A002 - the word that registries use
    after: float = 1,
    created: str | None = None,
) -> str:
    """Push the application and return the digest that the tag now has. `version` is what it serves; by default the tag."""
    layers = [base_layer(), app_layer(version or tag, kind, after)]
    if kind == "exec_format":
        layers.append(foreign_layer())
    if kind == "wrong_platform":
        return _push_index(registry, repository, tag, layers, kind, OCI_INDEX, [other_architecture()], created)
    match format:
        case "index":
            both = [architecture(), other_architecture()]
            return _push_index(registry, repository, tag, layers, kind, OCI_INDEX, both, created)
        case "index-with-attestation":
            mine = [architecture(), "unknown"]
            return _push_index(registry, repository, tag, layers, kind, OCI_INDEX, mine, created)
        case "docker-list":
            both = [architecture(), other_architecture()]
            return _push_index(registry, repository, tag, layers, kind, DOCKER_LIST, both, created)
        case "oci" | "oci-without-media-type" | "docker":
            manifest, media_type = _push_parts(registry, repository, layers, kind, format, architecture(), created)
            return registry.put_manifest(repository, tag, manifest, media_type)


def push_pause(registry: Registry, repository: str = "pause", tag: str = "3") -> str:
    """The image that holds a Pod's namespaces together."""
    config = _config([base_layer()], ["/bin/busybox", "sleep", "2147483647"], architecture(), None)
    manifest, media_type = _put(registry, repository, [base_layer()], config, "oci")
    return registry.put_manifest(repository, tag, manifest, media_type)


def kinds() -> tuple[str, ...]:
    """All kinds of application, for a test that tries each."""
    return get_args(Kind)


def formats() -> tuple[str, ...]:
    """All ways to write the manifest."""
    return get_args(Format)


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


@cache
def base_layer() -> Layer:
    """busybox alone; every image shares it."""
    return make_layer({"bin/busybox": (busybox(), 0o755)}, links={f"bin/{name}": "busybox" for name in APPLETS}, folders=("tmp",))


@cache
def app_layer(version: str, kind: str, after: float) -> Layer:
    """The pages, and the script that serves them or fails."""
    script = "#!/bin/sh\n" + ENDINGS.get(kind, ENDINGS["good"]).replace("{after}", f"{after:g}")
    files = {"app/start": (script.encode(), 0o755), "www/index.html": (f"{version}\n".encode(), 0o644)}
    if kind != "unready":
        files["www/healthz"] = (b"ok\n", 0o644)
    return make_layer(files, folders=("www",))


@cache
def foreign_layer() -> Layer:
    """A program whose header says that it is for another architecture."""
    number = next(number for number, name in ARCHITECTURES.items() if name == other_architecture())
    program = busybox()[:18] + number.to_bytes(2, "little") + busybox()[20:4096]
    return make_layer({"app/foreign": (program, 0o755)})


def make_layer(
    files: dict[str, tuple[bytes, int]], links: dict[str, str] | None = None, folders: tuple[str, ...] = ()
) -> Layer:
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


def _entrypoint(kind: str) -> list[str]:
    match kind:
        case "missing_binary":
            return ["/app/does-not-exist"]
        case "exec_format":
            return ["/app/foreign"]
        case _:
            return ["/app/start"]


def _config(layers: list[Layer], entrypoint: list[str], machine: str, created: str | None) -> bytes:
    content: dict[str, Any] = {
        "architecture": machine,
        "os": "unknown" if machine == "unknown" else "linux",
        "config": {"Entrypoint": entrypoint, "ExposedPorts": {"8080/tcp": {}}, "WorkingDir": "/"},
        "rootfs": {"type": "layers", "diff_ids": [layer.diff_id for layer in layers]},
    }
    if created is not None:
        content["created"] = created
    return json.dumps(content).encode()


def _put(registry: Registry, repository: str, layers: list[Layer], config: bytes, form: str) -> tuple[bytes, str]:
    """Upload the parts of one image; return its manifest and the manifest's type."""
    docker = form.startswith("docker")
    media_type = DOCKER_MANIFEST if docker else OCI_MANIFEST
    config_type = "docker.container.image.v1+json" if docker else "oci.image.config.v1+json"
    layer_type = "docker.image.rootfs.diff.tar.gzip" if docker else "oci.image.layer.v1.tar+gzip"
    for layer in layers:
        registry.put_blob(repository, layer.content)
    registry.put_blob(repository, config)
    manifest: dict[str, Any] = {"schemaVersion": 2, "mediaType": media_type}
    if form == "oci-without-media-type":
        del manifest["mediaType"]
    manifest["config"] = _descriptor(f"application/vnd.{config_type}", config)
    manifest["layers"] = [_descriptor(f"application/vnd.{layer_type}", layer.content) for layer in layers]
    return json.dumps(manifest).encode(), media_type


def _push_parts(
    registry: Registry, repository: str, layers: list[Layer], kind: str, form: str, machine: str, created: str | None
) -> tuple[bytes, str]:
    return _put(registry, repository, layers, _config(layers, _entrypoint(kind), machine, created), form)


def _push_index(
    registry: Registry,
    repository: str,
    tag: str,
    layers: list[Layer],
    kind: str,
    media_type: str,
    machines: list[str],
    created: str | None,
) -> str:
    form = "docker" if media_type == DOCKER_LIST else "oci"
    entries: list[dict[str, Any]] = []
    for machine in machines:
        manifest, child_type = _push_parts(registry, repository, layers, kind, form, machine, created)
        digest = registry.put_manifest(repository, sha256(manifest), manifest, child_type)
        system = "unknown" if machine == "unknown" else "linux"
        entry = _descriptor(child_type, manifest) | {"platform": {"architecture": machine, "os": system}}
        if machine == "unknown":
            subject = entries[0]["digest"]
            entry["annotations"] = {
                "vnd.docker.reference.digest": subject,
                "vnd.docker.reference.type": "attestation-manifest",
            }
        assert entry["digest"] == digest
        entries.append(entry)
    index = {"schemaVersion": 2, "mediaType": media_type, "manifests": entries}
    return registry.put_manifest(repository, tag, json.dumps(index).encode(), media_type)


def _descriptor(media_type: str, content: bytes) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": sha256(content), "size": len(content)}
