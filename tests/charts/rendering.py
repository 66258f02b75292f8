"""The chart and the kustomizations, rendered by Helm and kubectl, as objects that can be compared."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from tests.charts.programs import HELM, program
from tests.cluster.build import binaries
from tests.cluster.commands import run
from tests.manifests.installed import MANIFESTS, NAMESPACE, ROOT

Json = dict[str, Any]

CHART: Final = ROOT / "charts" / "podpin"
REPOSITORY: Final = "registry.example.com/podpin"
DIGEST: Final = "sha256:" + "0123456789abcdef" * 4
IMAGE: Final[Json] = {"image": {"repository": REPOSITORY, "digest": DIGEST}}


def helm(*words: str | Path, values: Json | None = None, environment: Json | None = None, timeout: float = 60) -> str:
    """What Helm prints; a ClusterError has what it said. `values` are given as a file of their own."""
    given = [] if values is None else ["--values", "-"]
    text = None if values is None else yaml.safe_dump(values)
    return run(program(HELM), *words, *given, stdin=text, env={**os.environ, **(environment or {})}, timeout=timeout)


def charted(values: Json | None = None, namespace: str = NAMESPACE) -> list[Json]:
    """The chart's objects with these values besides the image."""
    words = ("template", "podpin", CHART, "--namespace", namespace)
    given = values or {}
    return objects(helm(*words, values={**given, "image": {**IMAGE["image"], **given.get("image", {})}}))


def kustomized(overlay: Path, folder: str = "", components: tuple[str, ...] = ()) -> list[Json]:
    """The objects of a kustomization of a user's, on one of the manifests' folders; `overlay` is empty."""
    here = overlay.resolve()
    content = {
        "resources": [os.path.relpath(MANIFESTS / folder, here)],
        "components": [os.path.relpath(MANIFESTS / component, here) for component in components],
        "images": [{"name": "podpin", "newName": REPOSITORY, "digest": DIGEST}],
    }
    (here / "kustomization.yaml").write_text(yaml.safe_dump(content))
    return objects(run(kubectl(), "kustomize", here))


def kubectl() -> Path:
    """The test cluster's, or the one in the PATH where there is another cluster."""
    if os.environ.get("CLUSTER", "local") == "local":
        return binaries() / "kubectl"
    found = shutil.which("kubectl")
    if found is None:
        pytest.skip("kubectl is not installed")
    return Path(found)


def objects(text: str) -> list[Json]:
    """All of a stream of YAML but its empty documents."""
    return [one for one in yaml.safe_load_all(text) if one]


def one(of: list[Json], kind: str, name: str = "podpin") -> Json:
    """The only object of that kind and name."""
    (found,) = [each for each in of if (each["kind"], each["metadata"]["name"]) == (kind, name)]
    return found
