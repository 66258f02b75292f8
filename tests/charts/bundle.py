"""podpin's bundle for the Operator Lifecycle Manager, made of manifests/ and crds/: `make bundle IMAGE=…@sha256:…`.

It is not kept in the repository: a bundle names one image by digest, and that is the image that you have built.

What differs from the manifests, and why: OLM says by an annotation which namespaces to serve, so one bundle serves
one, some or all; the rights for what lies in namespaces are given where these are, and only the nodes' for the
cluster; the Pod names no user, since OpenShift gives each namespace its own, and the image's is not root; the
namespace, the account, and the roles for people are OLM's own work.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import sys
from pathlib import Path
from typing import Any, Final

import yaml

from podpin import __version__
from podpin.core import names

Json = dict[str, Any]

ROOT: Final = Path(__file__).resolve().parent.parent.parent
PACKAGE: Final = "podpin"
CHANNEL: Final = "alpha"
OLDEST_KUBERNETES: Final = "1.29.0"
PINNED: Final = re.compile(r"[^@\s]+@sha256:[0-9a-f]{64}")
DESCRIPTION: Final = """\
podpin runs an application by one exact image digest. You say in an `ImageRollout` where its image comes from and
which versions you want; podpin chooses the tag, resolves it to a digest, runs that as a Deployment, and picks up
newer versions by itself. When a new version does not become healthy, or does not stay so, podpin goes back to the
last good one, remembers the bad one, and says why.

Settings are environment variables, which a Subscription gives by `spec.config.env`: `PODPIN_MIRROR`,
`PODPIN_CLOUD_CREDENTIALS` and others.
"""

ANNOTATIONS: Final = {
    "operators.operatorframework.io.bundle.mediatype.v1": "registry+v1",
    "operators.operatorframework.io.bundle.manifests.v1": "manifests/",
    "operators.operatorframework.io.bundle.metadata.v1": "metadata/",
    "operators.operatorframework.io.bundle.package.v1": PACKAGE,
    "operators.operatorframework.io.bundle.channels.v1": CHANNEL,
    "operators.operatorframework.io.bundle.channel.default.v1": CHANNEL,
}


def service_version(image: str) -> Json:
    """The ClusterServiceVersion that runs this image."""
    name = f"{names.PLURAL}.{names.GROUP}"
    everywhere = [rule for rule in _rules() if rule["resources"] == ["nodes"]]
    owned = {
        "name": name,
        "version": names.VERSION,
        "kind": names.KIND,
        "displayName": "Image rollout",
        "description": "An application that runs one exact, proven image digest.",
    }
    return {
        "apiVersion": "operators.coreos.com/v1alpha1",
        "kind": "ClusterServiceVersion",
        "metadata": {
            "name": f"{PACKAGE}.v{__version__}",
            "namespace": "placeholder",
            "annotations": {
                "alm-examples": json.dumps([_loaded("manifests/examples/web.yaml")[0]], indent=2),
                "capabilities": "Seamless Upgrades",
                "categories": "Application Runtime",
                "containerImage": image,
                "description": "Pins applications to proven image digests and undoes bad versions by itself.",
            },
        },
        "spec": {
            "displayName": "podpin",
            "description": DESCRIPTION,
            "version": __version__,
            "maturity": "alpha",
            "minKubeVersion": OLDEST_KUBERNETES,
            "keywords": ["deployment", "digest", "rollback", "image"],
            "provider": {"name": "podpin"},
            "installModes": [
                {"type": kind, "supported": True}
                for kind in ("OwnNamespace", "SingleNamespace", "MultiNamespace", "AllNamespaces")
            ],
            "customresourcedefinitions": {"owned": [owned]},
            "install": {
                "strategy": "deployment",
                "spec": {
                    "permissions": [
                        {
                            "serviceAccountName": "podpin",
                            "rules": [rule for rule in _rules() if rule not in everywhere],
                        }
                    ],
                    "clusterPermissions": [{"serviceAccountName": "podpin", "rules": everywhere}],
                    "deployments": [_deployment(image)],
                },
            },
            "relatedImages": [{"name": "podpin", "image": image}],
        },
    }


def write(image: str, folder: Path) -> None:
    """The whole bundle, in the place of what is in the folder. A ValueError says what is wrong with the image."""
    if not PINNED.fullmatch(image):
        raise ValueError(
            f"IMAGE must be named by its digest, as in registry.example.com/podpin@sha256:…, not {image!r}"
        )
    for part in ("manifests", "metadata"):
        shutil.rmtree(folder / part, ignore_errors=True)
        (folder / part).mkdir(parents=True)
    (folder / "manifests" / f"{PACKAGE}.clusterserviceversion.yaml").write_text(_dumped(service_version(image)))
    definition = f"{names.PLURAL}.{names.GROUP}.yaml"
    shutil.copyfile(ROOT / "crds" / definition, folder / "manifests" / definition)
    (folder / "metadata" / "annotations.yaml").write_text(_dumped({"annotations": ANNOTATIONS}))
    labels = "".join(f"LABEL {name}={value}\n" for name, value in ANNOTATIONS.items())
    copies = "".join(f"COPY {part} /{part}/\n" for part in ("manifests", "metadata"))
    (folder / "Containerfile").write_text(f"FROM scratch\n{labels}{copies}")


def _deployment(image: str) -> Json:
    (base,) = _loaded("manifests/base/deployment.yaml")
    pod = base["spec"]["template"]["spec"]
    for user in ("runAsUser", "runAsGroup"):
        del pod["securityContext"][user]
    (container,) = pod["containers"]
    container["image"] = image
    namespaces = {"fieldRef": {"fieldPath": "metadata.annotations['olm.targetNamespaces']"}}
    container["env"].append({"name": "PODPIN_NAMESPACE", "valueFrom": namespaces})
    return {"name": base["metadata"]["name"], "label": base["metadata"]["labels"], "spec": base["spec"]}


def _rules() -> list[Json]:
    rules: list[Json] = _loaded("manifests/rbac.yaml")[0]["rules"]
    return rules


def _loaded(path: str) -> list[Json]:
    return list(yaml.safe_load_all((ROOT / path).read_text()))


def _dumped(content: Json) -> str:
    return yaml.safe_dump(content, sort_keys=False, width=120, allow_unicode=True)


def main() -> None:
    """Write the bundle."""
    parser = argparse.ArgumentParser(prog="make bundle", description=__doc__)
    parser.add_argument("image", help="podpin's image, by digest")
    parser.add_argument("folder", type=Path, help="where to write the bundle")
    given = parser.parse_args()
    try:
        write(given.image, given.folder)
    except ValueError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
