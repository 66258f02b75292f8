"""A cluster that somebody else's program runs: kind's, or whatever the user's kubeconfig points at.

It does the main thing, running Pods of images that a test has pushed. What needs a hand on the API server it says it
cannot.
"""

from __future__ import annotations

import signal
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn

from tests.cluster.errors import UnsupportedError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from tests.cluster.audit import Audit
    from tests.cluster.kubectl import Kubectl, Manifest
    from tests.cluster.protocol import Feature
    from tests.cluster.registry import Registry


@dataclass(frozen=True, slots=True)
class RemoteCluster:
    """What kind.py and current.py make."""

    kind: str
    name: str
    kubeconfig: Path
    kubectl: Kubectl
    registry: Registry
    remove: Callable[[], None]

    @property
    def private_registry(self) -> Registry:
        self._cannot("private-registry")

    @property
    def audit(self) -> Audit:
        self._cannot("audit")

    def can(self, feature: Feature) -> bool:
        """Run Pods, and no more."""
        return feature == "nodes"

    def apply(self, manifest: Manifest, *words: str) -> str:
        """`kubectl apply` of YAML text, a file, an object or several."""
        return self.kubectl.apply(manifest, *words)

    def environment(self) -> dict[str, str]:
        """What a shell beside this cluster should have set."""
        return {"KUBECONFIG": str(self.kubeconfig), "PODPIN_REGISTRY": self.registry.address}

    def down(self) -> None:
        """Take away what was made for this run."""
        self.remove()

    def kubeconfig_for(self, user: str, groups: Sequence[str] = ()) -> Path:
        self._cannot("identities")

    def service_url(self, name: str, namespace: str = "default", port: int | None = None) -> str:
        self._cannot("reach-services")

    def stop_apiserver(self, how: signal.Signals = signal.SIGKILL) -> None:
        self._cannot("apiserver-restarts")

    def start_apiserver(self) -> None:
        self._cannot("apiserver-restarts")

    def restart_apiserver(self) -> None:
        self._cannot("apiserver-restarts")

    def compact_etcd(self) -> int:
        self._cannot("apiserver-restarts")

    def expire_watches(self) -> None:
        self._cannot("apiserver-restarts")

    def _cannot(self, feature: Feature) -> NoReturn:
        raise UnsupportedError(
            f"a cluster of CLUSTER={self.kind} cannot do {feature!r}; ask cluster.can({feature!r}) first"
        )
