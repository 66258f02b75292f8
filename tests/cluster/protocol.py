"""What a test may ask of a cluster, whichever kind it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    import signal
    from collections.abc import Sequence
    from pathlib import Path

    from tests.cluster.audit import Audit
    from tests.cluster.kubectl import Kubectl, Manifest
    from tests.cluster.registry import Registry

Feature = Literal[
    "nodes",  # Pods really run
    "audit",  # the API server's audit log can be read
    "identities",  # kubeconfigs for users of one's own
    "apiserver-restarts",  # stop, start, expire watches
    "private-registry",  # the one with TLS and a password
    "reach-services",  # this machine reaches Services by their own addresses
    "reach-pods",  # and Pods
]


class Cluster(Protocol):
    """A cluster with a registry that both this machine and the node know by one name."""

    @property
    def name(self) -> str: ...

    @property
    def kubeconfig(self) -> Path: ...

    @property
    def kubectl(self) -> Kubectl: ...

    @property
    def registry(self) -> Registry: ...

    @property
    def private_registry(self) -> Registry: ...

    @property
    def audit(self) -> Audit: ...

    def can(self, feature: Feature) -> bool: ...

    def apply(self, manifest: Manifest, *words: str) -> str: ...

    def kubeconfig_for(self, user: str, groups: Sequence[str] = ()) -> Path: ...

    def service_url(self, name: str, namespace: str = "default", port: int | None = None) -> str: ...

    def stop_apiserver(self, how: signal.Signals = ...) -> None: ...

    def start_apiserver(self) -> None: ...

    def restart_apiserver(self) -> None: ...

    def compact_etcd(self) -> int: ...

    def expire_watches(self) -> None: ...

    def environment(self) -> dict[str, str]: ...

    def down(self) -> None: ...
