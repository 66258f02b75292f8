"""A cluster of these tests' own: no podpin runs on it but the one that a test starts."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from tests.cluster import local
from tests.cluster.choose import chosen
from tests.cluster.errors import ClusterError
from tests.cluster.local import Wanted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.cluster.protocol import Cluster


@pytest.fixture(scope="package")
def cluster() -> Iterator[Cluster]:
    running = os.environ.get("PODPIN_CLUSTER")
    found = local.find(running) if running else None
    if found is not None:
        yield found
        return
    if os.environ.get("CLUSTER") == "current":
        pytest.skip("podpin may run there already: these tests install it, and take it away again")
    try:
        made = chosen(Wanted(name=f"manifests-{os.getpid()}", owned=True))
    except ClusterError as error:
        pytest.fail(str(error), pytrace=False)
    try:
        yield made
    finally:
        made.down()
