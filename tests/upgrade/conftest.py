"""The fixture for tests that need an API server and nothing behind it."""

from tests.cluster.fixture import control_plane

__all__ = ["control_plane"]
