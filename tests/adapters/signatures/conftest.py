"""The registries and clients are those of the registry's own tests."""

from tests.adapters.registry.conftest import client, clock, new_client, registry, serve

__all__ = ["client", "clock", "new_client", "registry", "serve"]
