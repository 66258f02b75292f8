"""However an image was built and pushed, podpin's digest is the one that the kubelet reports."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest
from tests.cluster import builders
from tests.cluster.images import formats
from tests.cluster.local import LocalCluster
from tests.cluster.toolchain import find

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.cluster.images import Format
    from tests.e2e.stage import Stage

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]


def runs_as_pinned(stage: Stage, digest: str) -> None:
    """The digest that the registry gave is podpin's, and the kubelet's."""
    stage.apply(stage.rollout(workload={"replicas": 1}))
    stage.until_stable("1.0.0")
    pin = f"{stage.registry.address}/{stage.repository}@{digest}"
    assert stage.status()["images"][0]["digest"] == digest
    (pod,) = stage.pods().values()
    assert pod["spec"]["containers"][0]["image"] == pin.replace("@", ":1.0.0@")
    assert pod["status"]["containerStatuses"][0]["imageID"] == pin


@pytest.mark.parametrize("form", formats())
def test_an_image_runs_as_pinned_that_was_pushed_as(stage: Stage, form: Format) -> None:
    runs_as_pinned(stage, stage.push("1.0.0", form=form))


def buildah(stage: Stage) -> str:
    return builders.build_with_buildah(stage.registry, stage.repository, "1.0.0", version=stage.namespace)


def buildah_docker(stage: Stage) -> str:
    return builders.build_with_buildah(
        stage.registry, stage.repository, "1.0.0", version=stage.namespace, form="docker"
    )


def buildah_index(stage: Stage) -> str:
    return builders.build_index_with_buildah(stage.registry, stage.repository, "1.0.0", version=stage.namespace)


def podman(stage: Stage) -> str:
    return builders.build_with_podman(stage.registry, stage.repository, "1.0.0", version=stage.namespace)


def docker(stage: Stage) -> str:
    if not isinstance(stage.cluster, LocalCluster) or find("dockerd") is None:
        pytest.skip("there is no Docker engine to start")
    return builders.build_with_docker(stage.cluster, stage.repository, "1.0.0", version=stage.namespace)


BUILDERS: Final = [buildah, buildah_docker, buildah_index, podman, docker]


@pytest.mark.parametrize("build", BUILDERS, ids=lambda build: build.__name__)
def test_an_image_runs_as_pinned_that_was_built_by(stage: Stage, build: Callable[[Stage], str]) -> None:
    runs_as_pinned(stage, build(stage))
