"""The cluster fixtures for the tests in this folder."""

from __future__ import annotations

from tests.cluster.fixture import cluster, control_plane, kwok_plane

__all__ = ["cluster", "control_plane", "kwok_plane"]
