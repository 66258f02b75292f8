"""The clusters as pytest fixtures: one of each kind for a whole test run, taken down at its end however it ends.

A conftest takes them over with `from tests.cluster.fixture import cluster, control_plane`. CLUSTER says which kind of
cluster (local, kind or current); PODPIN_CLUSTER names a local one that already runs and shall go on running, for
quick turns while writing tests.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, TypeVar

import pytest

from tests.cluster import local
from tests.cluster.choose import chosen
from tests.cluster.errors import ClusterError
from tests.cluster.local import Wanted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.cluster.local import LocalCluster
    from tests.cluster.protocol import Cluster

Made = TypeVar("Made")


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """A cluster with a node, on which Pods really run."""
    running = os.environ.get("PODPIN_CLUSTER")
    if running:
        found = local.find(running)
        if found is None:
            pytest.fail(f"PODPIN_CLUSTER={running}, but no cluster of that name runs", pytrace=False)
        yield found
        return
    made = _made(lambda: chosen(Wanted(name=f"test-{os.getpid()}", owned=True)))
    try:
        yield made
    finally:
        made.down()


@pytest.fixture(scope="session")
def control_plane() -> Iterator[LocalCluster]:
    """API server, controllers and scheduler, without a node: Pods stay Pending."""
    yield from _local(Wanted(name=f"plane-{os.getpid()}", full=False, owned=True))


@pytest.fixture(scope="session")
def kwok_plane() -> Iterator[LocalCluster]:
    """A control plane whose Pods are said to run by kwok: thousands of them cost nothing."""
    yield from _local(Wanted(name=f"kwok-{os.getpid()}", full=False, kwok=True, client_rate=2000, owned=True))


def _local(wanted: Wanted) -> Iterator[LocalCluster]:
    made = _made(lambda: local.up(wanted))
    try:
        yield made
    finally:
        made.down()


def _made(make: Callable[[], Made]) -> Made:
    """A failed start is told in its own words, without a traceback through the machinery."""
    try:
        return make()
    except ClusterError as error:
        pytest.fail(str(error), pytrace=False)
