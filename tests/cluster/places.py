"""Where things lie: programs in the user's cache, a running cluster's small files in /run, its data in /var/lib."""

from __future__ import annotations

import os
from pathlib import Path

SOURCE = Path(__file__).resolve().parent
RUN = Path("/run/podpin-cluster")
DATA = Path("/var/lib/podpin-cluster")


def cache() -> Path:
    """The user's cache directory for podpin, outside the checkout."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "podpin"
