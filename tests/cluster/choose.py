"""Which kind of cluster a run uses: CLUSTER=local (the default), kind or current."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from tests.cluster import current, kind, local
from tests.cluster.errors import ClusterError

if TYPE_CHECKING:
    from tests.cluster.local import Wanted
    from tests.cluster.protocol import Cluster


def chosen(wanted: Wanted) -> Cluster:
    """Bring up the kind of cluster that the environment names."""
    match os.environ.get("CLUSTER", "local"):
        case "local":
            return local.up(wanted)
        case "kind":
            return kind.up(wanted.name)
        case "current":
            return current.use()
        case other:
            raise ClusterError(f"CLUSTER={other} is none of local, kind and current")
