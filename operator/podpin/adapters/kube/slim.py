"""Spares podpin the parts of the official Kubernetes client that it never calls.

`import kubernetes` runs all of it: the synchronous client with requests and OAuth, websockets, informers; 270 modules
and 8 MiB, a tenth of what podpin takes at a thousand rollouts. podpin needs a few modules of `kubernetes.aio`, and
these need nothing of that. So the two packages above them are made known without being run.
"""

from __future__ import annotations

import importlib.util
import sys
from types import ModuleType


def spare() -> None:
    """To be called before anybody imports the client. Whoever has imported it already keeps the whole of it."""
    above: ModuleType | None = None
    for name in ("kubernetes", "kubernetes.aio"):
        spec = None if name in sys.modules else importlib.util.find_spec(name)
        if spec is None:
            return
        package = sys.modules[name] = importlib.util.module_from_spec(spec)
        if above is not None:
            setattr(above, name.rpartition(".")[2], package)
        above = package
