"""The demo application made by the real builders: Buildah, Podman and Docker.

They write different manifests, and podpin must take each. Buildah and Podman need nothing but root; `docker build`
needs a Docker engine, which is started by hand on the node, out of sight of any engine that this machine has.
"""

from __future__ import annotations

import json
import os
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from tests.cluster import application, toolchain
from tests.cluster.commands import run, succeeds
from tests.cluster.errors import ClusterError
from tests.cluster.parts import Part
from tests.waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.cluster.local import LocalCluster
    from tests.cluster.registry import Registry

RECIPE = """\
FROM scratch
COPY root/ /
EXPOSE 8080
ENTRYPOINT ["/app/start"]
"""


def build_with_buildah(
    registry: Registry, repository: str, tag: str, *, version: str | None = None, form: Literal["oci", "docker"] = "oci"
) -> str:
    """`buildah bud` and push; return the digest."""
    return _build_with("buildah", registry, repository, tag, version or tag, form)


def build_with_podman(
    registry: Registry, repository: str, tag: str, *, version: str | None = None, form: Literal["oci", "docker"] = "oci"
) -> str:
    """`podman build` and push; return the digest."""
    return _build_with("podman", registry, repository, tag, version or tag, form)


def build_index_with_buildah(
    registry: Registry,
    repository: str,
    tag: str,
    *,
    version: str | None = None,
    platforms: tuple[str, ...] = ("linux/amd64", "linux/arm64"),
) -> str:
    """`buildah manifest` over an image for each platform, pushed whole; return the index's digest."""
    toolchain.ensure(toolchain.BUILDERS)
    with _workshop(version or tag) as folder:
        program = [*_storage("buildah", folder)]
        run(*program, "manifest", "create", "list")
        for platform in platforms:
            build = ("bud", "--isolation", "chroot", "--platform", platform, "-q", str(folder))
            image = run(*program, *build).strip()
            run(*program, "manifest", "add", "list", image)
        digest = folder / "digest"
        to = f"docker://{registry.address}/{repository}:{tag}"
        run(*program, "manifest", "push", "--all", "--tls-verify=false", f"--digestfile={digest}", "list", to)
        return digest.read_text().strip()


def build_with_docker(cluster: LocalCluster, repository: str, tag: str, *, version: str | None = None) -> str:
    """`docker build` and `docker push` by an engine on the node; return the digest."""
    docker = ["docker", "--host", start_docker(cluster)]
    reference = f"{cluster.registry.address}/{repository}:{tag}"
    with _workshop(version or tag) as folder:
        settings = {**os.environ, "DOCKER_BUILDKIT": "0", "DOCKER_CONFIG": str(folder)}
        run(*docker, "build", "-q", "-f", str(folder / "Containerfile"), "-t", reference, str(folder), env=settings)
        run(*docker, "push", "-q", reference, env=settings)
    return cluster.registry.digest(repository, tag)


def start_docker(cluster: LocalCluster) -> str:
    """The address of a Docker engine on the node; started unless it runs. It goes with the cluster."""
    toolchain.ensure(toolchain.DOCKER)
    socket = cluster.run / "docker.sock"
    address = f"unix://{socket}"
    if "dockerd" not in cluster.parts.running():
        settings = cluster.run / "docker.json"
        settings.write_text(json.dumps({"insecure-registries": [cluster.registry.address]}))
        # fmt: off
        cluster.begin(Part("dockerd", [
            "dockerd", f"--config-file={settings}", f"--host={address}",
            f"--data-root={cluster.record.data / 'docker'}",
            "--exec-root=/run/containerd/docker", "--pidfile=/run/containerd/docker.pid", "--storage-driver=vfs",
            "--containerd=/run/containerd/containerd.sock", "--bridge=none", "--iptables=false", "--ip6tables=false",
        ]))
        # fmt: on

    def answers() -> bool:
        cluster.parts.check("dockerd")
        return succeeds("docker", "--host", address, "version")

    wait_for(answers, 30, "the Docker engine to answer")
    return address


def _build_with(program: str, registry: Registry, repository: str, tag: str, version: str, form: str) -> str:
    toolchain.ensure(toolchain.BUILDERS)
    if registry.authority is not None:
        raise ClusterError("the builders push to the plain registry only")
    reference = f"{registry.address}/{repository}:{tag}"
    with _workshop(version) as folder:
        command = _storage(program, folder)
        build = "bud" if program == "buildah" else "build"
        run(*command, build, "--isolation", "chroot", "--format", form, "-q", "-t", reference, str(folder))
        digest = folder / "digest"
        run(*command, "push", "--tls-verify=false", f"--digestfile={digest}", reference, f"docker://{reference}")
        return digest.read_text().strip()


def _storage(program: str, folder: Path) -> list[str]:
    """The builder's own storage is not touched; what is built goes with the workshop."""
    return [program, "--storage-driver", "vfs", "--root", str(folder / "store"), "--runroot", str(folder / "run")]


@contextmanager
def _workshop(version: str) -> Iterator[Path]:
    """A folder with the recipe and the files of the good application."""
    with tempfile.TemporaryDirectory(prefix="podpin-build-") as name:
        folder = Path(name)
        (folder / "Containerfile").write_text(RECIPE)
        application.write_tree(folder / "root", version)
        yield folder
