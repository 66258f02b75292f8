"""Helm and OLM's operator-verify, each built once from its published Go module and kept in the user's cache.

The versions are those of the go.mod in helm/ and verify/. `python -m tests.charts.programs` builds what is missing:
about two minutes on two cores for both, the first time.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

import pytest
from tests.cluster.build import Recipe, binaries
from tests.cluster.errors import ClusterError

HERE: Final = Path(__file__).resolve().parent
HELM: Final = Recipe(module=HERE / "helm", version_of="helm.sh/helm/v4", programs={"helm": "helm.sh/helm/v4/cmd/helm"})
VERIFY: Final = Recipe(
    module=HERE / "verify",
    version_of="github.com/operator-framework/api",
    programs={"operator-verify": "github.com/operator-framework/api/cmd/operator-verify"},
)


def program(recipe: Recipe) -> Path:
    """The recipe's only program; it is built where it is not there yet."""
    (name,) = recipe.programs
    try:
        return binaries(recipe) / name
    except ClusterError as error:
        pytest.fail(str(error), pytrace=False)


if __name__ == "__main__":
    try:
        for wanted in (HELM, VERIFY):
            print(binaries(wanted))
    except ClusterError as error:
        sys.exit(str(error))
