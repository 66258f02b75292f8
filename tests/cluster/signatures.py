"""Signatures in a registry of the cluster, by the tests' own key, laid out as cosign does it there."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tests.adapters.signatures.signing import BUNDLE, bundle, index_of, statement
from tests.cluster.registry import OCI_INDEX, OCI_MANIFEST, sha256

if TYPE_CHECKING:
    from tests.cluster.registry import Registry


def sign(registry: Registry, repository: str, digest: str) -> None:
    """Sign an image. Debian's registry keeps no list of referrers, so they are listed under the fallback tag."""
    content = json.dumps(bundle(statement(digest))).encode()
    config, layer = (
        {"mediaType": kind, "digest": registry.put_blob(repository, blob), "size": len(blob)}
        for kind, blob in (("application/vnd.oci.empty.v1+json", b"{}"), (BUNDLE, content))
    )
    manifest = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "artifactType": BUNDLE,
        "config": config,
        "layers": [layer],
        "subject": {"mediaType": OCI_MANIFEST, "digest": digest, "size": 2},
    }
    body = json.dumps(manifest).encode()
    found = registry.put_manifest(repository, sha256(body), body, OCI_MANIFEST)
    entry = {"mediaType": OCI_MANIFEST, "digest": found, "size": len(body), "artifactType": BUNDLE}
    registry.put_manifest(repository, digest.replace(":", "-"), index_of(entry), OCI_INDEX)
