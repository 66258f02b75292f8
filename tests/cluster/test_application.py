"""The application that the images hold, by itself."""

from __future__ import annotations

import tarfile
from io import BytesIO

import pytest

from tests.cluster import application, toolchain

pytestmark = pytest.mark.cluster


@pytest.fixture(scope="module", autouse=True)
def busybox() -> None:
    """What every image is made from."""
    toolchain.ensure({"/bin/busybox": "busybox-static"})


def names(layer: application.Layer) -> list[str]:
    with tarfile.open(fileobj=BytesIO(layer.content)) as archive:
        return archive.getnames()


def test_the_same_application_is_the_same_layer_byte_for_byte() -> None:
    application.app_layer.cache_clear()
    first = application.app_layer("1.0.0", "good", 1)
    application.app_layer.cache_clear()
    assert application.app_layer("1.0.0", "good", 1) == first
    assert application.app_layer("1.0.1", "good", 1) != first


def test_every_version_shares_the_layer_with_busybox() -> None:
    assert "bin/busybox" in names(application.base_layer())
    assert "bin/busybox" not in names(application.app_layer("1.0.0", "good", 1))


def test_the_unready_application_has_no_health_page() -> None:
    assert "www/healthz" in names(application.app_layer("1", "good", 1))
    assert "www/healthz" not in names(application.app_layer("1", "unready", 1))


def test_the_foreign_program_says_that_it_is_for_the_other_architecture() -> None:
    with tarfile.open(fileobj=BytesIO(application.foreign_layer().content)) as archive:
        program = archive.extractfile("app/foreign")
        assert program is not None
        header = program.read(20)
    assert application.ARCHITECTURES[int.from_bytes(header[18:20], "little")] == application.other_architecture()
