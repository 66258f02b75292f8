"""Images made by hand and pushed by plain HTTP in milliseconds, written as any of the builders would write them.

`builders.py` makes the same application with the real ones. Each image's configuration names the repository and the
format, so that no two have the same: of images with one configuration, containerd reports the first that it pulled,
whatever repository and digest the Pod names.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, get_args

from tests.cluster.application import (
    Kind,
    Layer,
    architecture,
    base_layer,
    entrypoint_of,
    layers_of,
    other_architecture,
)
from tests.cluster.registry import DOCKER_LIST, DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST, sha256

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.cluster.registry import Registry

Format = Literal[
    "oci",  # an OCI manifest, as Buildah and Podman write it
    "oci-without-media-type",  # the same without mediaType in the body, as umoci writes it
    "docker",  # Docker schema 2, as `docker build` without BuildKit writes it
    "index",  # an OCI index for amd64 and arm64
    "index-with-attestation",  # an OCI index whose second manifest is a provenance, as BuildKit writes it
    "docker-list",  # Docker's manifest list
]


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
    user: str = "",
) -> str:
    """Push the application and return the digest that the tag now has.

    `version` is what it serves, by default the tag; `after` is when the kinds that change do so, in seconds; `user`
    is whom the image runs as, root where it does not say.
    """
    labels = {"podpin.test/repository": repository, "podpin.test/format": format}
    layers = layers_of(kind, version or tag, after)
    image = Image(registry, repository, layers, entrypoint_of(kind), created, labels, user)
    if kind == "wrong_platform":
        return image.push_index(tag, OCI_INDEX, [other_architecture()])
    match format:
        case "oci":
            return image.push(tag, OCI_MANIFEST)
        case "oci-without-media-type":
            return image.push(tag, OCI_MANIFEST, says_its_type=False)
        case "docker":
            return image.push(tag, DOCKER_MANIFEST)
        case "index":
            return image.push_index(tag, OCI_INDEX, [architecture(), other_architecture()])
        case "index-with-attestation":
            return image.push_index(tag, OCI_INDEX, [architecture(), "unknown"])
        case "docker-list":
            return image.push_index(tag, DOCKER_LIST, [architecture(), other_architecture()])


def push_pause(registry: Registry) -> str:
    """The image that holds a Pod's namespaces together."""
    return Image(registry, "pause", [base_layer()], ["/bin/busybox", "sleep", "2147483647"]).push("3", OCI_MANIFEST)


def kinds() -> tuple[Kind, ...]:
    """All kinds of application, for a test that tries each."""
    return get_args(Kind)


def formats() -> tuple[Format, ...]:
    """All ways to write the manifest."""
    return get_args(Format)


@dataclass(frozen=True, slots=True)
class Image:
    """An image on its way to a registry."""

    registry: Registry
    repository: str
    layers: Sequence[Layer]
    entrypoint: Sequence[str]
    created: str | None = None
    labels: dict[str, str] = field(default_factory=dict)
    user: str = ""

    def push(self, tag: str, media_type: str, *, says_its_type: bool = True) -> str:
        """Push one manifest, for this machine's architecture; return its digest."""
        manifest = self._manifest(architecture(), media_type, says_its_type=says_its_type)
        return self.registry.put_manifest(self.repository, tag, manifest, media_type)

    def push_index(self, tag: str, media_type: str, machines: Sequence[str]) -> str:
        """Push an index (or Docker's list) of one manifest for each architecture; return the index's digest."""
        child_type = DOCKER_MANIFEST if media_type == DOCKER_LIST else OCI_MANIFEST
        entries: list[dict[str, Any]] = []
        for machine in machines:
            manifest = self._manifest(machine, child_type)
            self.registry.put_manifest(self.repository, sha256(manifest), manifest, child_type)
            entry = _descriptor(child_type, manifest) | {"platform": _platform(machine)}
            if machine == "unknown":
                entry["annotations"] = {
                    "vnd.docker.reference.digest": entries[0]["digest"],
                    "vnd.docker.reference.type": "attestation-manifest",
                }
            entries.append(entry)
        index = {"schemaVersion": 2, "mediaType": media_type, "manifests": entries}
        return self.registry.put_manifest(self.repository, tag, json.dumps(index).encode(), media_type)

    def _manifest(self, machine: str, media_type: str, *, says_its_type: bool = True) -> bytes:
        """Upload the parts; return the manifest that names them."""
        if media_type == DOCKER_MANIFEST:
            config_type = "application/vnd.docker.container.image.v1+json"
            layer_type = "application/vnd.docker.image.rootfs.diff.tar.gzip"
        else:
            config_type = "application/vnd.oci.image.config.v1+json"
            layer_type = "application/vnd.oci.image.layer.v1.tar+gzip"
        config = self._config(machine)
        for blob in (*(layer.content for layer in self.layers), config):
            self.registry.put_blob(self.repository, blob)
        manifest = {
            "schemaVersion": 2,
            **({"mediaType": media_type} if says_its_type else {}),
            "config": _descriptor(config_type, config),
            "layers": [_descriptor(layer_type, layer.content) for layer in self.layers],
        }
        return json.dumps(manifest).encode()

    def _config(self, machine: str) -> bytes:
        content = {
            **_platform(machine),
            **({"created": self.created} if self.created else {}),
            "config": {
                "Entrypoint": list(self.entrypoint),
                "ExposedPorts": {"8080/tcp": {}},
                "WorkingDir": "/",
                **({"User": self.user} if self.user else {}),
                "Labels": self.labels,
            },
            "rootfs": {"type": "layers", "diff_ids": [layer.diff_id for layer in self.layers]},
        }
        return json.dumps(content).encode()


def _platform(machine: str) -> dict[str, str]:
    return {"architecture": machine, "os": "unknown" if machine == "unknown" else "linux"}


def _descriptor(media_type: str, content: bytes) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": sha256(content), "size": len(content)}
