"""How the registry is asked: `spec.registry`."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

from pydantic import Field

from podpin.core.schema import Keyed, Part, Span
from podpin.core.spec.grammars import DnsSubdomain


class SecretRef(Part):
    """A Secret in the rollout's own namespace."""

    name: DnsSubdomain
    """The name of the Secret."""


class RegistrySpec(Part):
    """How the registry is asked."""

    interval: Annotated[timedelta, Span("10s", "24h")] = timedelta(minutes=5)
    """How often to look for a new version, from 10s to 24h."""
    pull_secrets: Annotated[tuple[SecretRef, ...], Field(max_length=16), Keyed("name")] = ()
    """Secrets of type kubernetes.io/dockerconfigjson or kubernetes.io/dockercfg to look with. The template's
    imagePullSecrets and those of its ServiceAccount are used as well."""
    ca_secret: SecretRef | None = None
    """A Secret whose key ca.crt holds the certificates to trust for this registry, in PEM."""
