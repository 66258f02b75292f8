"""The control plane's command lines: etcd, the API server, the controllers and the scheduler.

They listen on the node's own address, which nobody but this machine can reach. etcd does not wait for the disk and
the audit log counts every request; both suit tests only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import yaml

from tests.cluster.keys import Authority, Pair, write_kubeconfig, write_signing_pair
from tests.cluster.parts import Part

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tests.cluster.network import Network

AUDIT_POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [{"level": "Metadata"}],
}


@dataclass(frozen=True, slots=True)
class ControlPlane:
    """Everything that its four programs need to know."""

    binaries: Path
    run: Path
    data: Path
    network: Network
    authority: Authority
    client_rate: int = 200
    apiserver_flags: Sequence[str] = ()

    @property
    def server(self) -> str:
        return f"https://{self.network.node}:6443"

    @property
    def etcd_url(self) -> str:
        return f"http://{self.network.node}:2379"

    @property
    def audit_log(self) -> Path:
        return self.data / "audit.log"

    def kubeconfig(self, file: str, user: str, groups: Sequence[str] = ()) -> Path:
        """A kubeconfig with a client certificate of its own."""
        client = self.authority.client(file, user, groups)
        path = self.run / f"{file}.kubeconfig"
        return write_kubeconfig(path, self.server, self.authority.files.certificate, client, user)

    def parts(self) -> ControlPlaneParts:
        """Write keys and settings; return what to start."""
        names = ["localhost", "kubernetes.default.svc", "kubernetes.default", "127.0.0.1"]
        server = self.authority.server("apiserver", [*names, self.network.kubernetes_service, self.network.node])
        tokens = write_signing_pair(self.authority.folder, "service-accounts")
        return ControlPlaneParts(
            etcd=self._etcd(),
            apiserver=self._apiserver(server, tokens),
            controller_manager=self._controller_manager(tokens),
            scheduler=self._scheduler(),
        )

    def _etcd(self) -> Part:
        # fmt: off
        return Part("etcd", [
            self.binaries / "etcd", "--name=node", f"--data-dir={self.data / 'etcd'}", "--unsafe-no-fsync",
            f"--listen-client-urls={self.etcd_url}", f"--advertise-client-urls={self.etcd_url}",
            "--listen-peer-urls=http://127.0.0.1:2380", "--initial-advertise-peer-urls=http://127.0.0.1:2380",
            "--initial-cluster=node=http://127.0.0.1:2380", "--log-level=warn",
        ])
        # fmt: on

    def _apiserver(self, server: Pair, tokens: Pair) -> Part:
        policy = self.run / "audit-policy.yaml"
        policy.write_text(yaml.safe_dump(AUDIT_POLICY))
        kubelet = self.authority.client("apiserver-to-kubelet", "podpin-apiserver", ["system:masters"])
        front = self.authority.client("front-proxy", "front-proxy")
        ca = self.authority.files.certificate
        # fmt: off
        return Part("kube-apiserver", [
            self.binaries / "kube-apiserver", f"--etcd-servers={self.etcd_url}",
            f"--bind-address={self.network.node}", f"--advertise-address={self.network.node}", "--secure-port=6443",
            f"--service-cluster-ip-range={self.network.services}", "--allow-privileged=true",
            "--authorization-mode=Node,RBAC", "--enable-admission-plugins=NodeRestriction",
            f"--cert-dir={self.run}", f"--client-ca-file={ca}",
            f"--tls-cert-file={server.certificate}", f"--tls-private-key-file={server.key}",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-key-file={tokens.certificate}", f"--service-account-signing-key-file={tokens.key}",
            f"--kubelet-client-certificate={kubelet.certificate}", f"--kubelet-client-key={kubelet.key}",
            "--kubelet-preferred-address-types=InternalIP",
            f"--requestheader-client-ca-file={ca}", "--requestheader-allowed-names=front-proxy",
            "--requestheader-username-headers=X-Remote-User", "--requestheader-group-headers=X-Remote-Group",
            "--requestheader-extra-headers-prefix=X-Remote-Extra-",
            f"--proxy-client-cert-file={front.certificate}", f"--proxy-client-key-file={front.key}",
            f"--audit-policy-file={policy}", f"--audit-log-path={self.audit_log}", "--audit-log-maxsize=100000",
            *self.apiserver_flags,
        ])
        # fmt: on

    def _controller_manager(self, tokens: Pair) -> Part:
        config = self.kubeconfig("controller-manager", "system:kube-controller-manager")
        # fmt: off
        return Part("kube-controller-manager", [
            self.binaries / "kube-controller-manager", "--leader-elect=false",
            f"--kubeconfig={config}", f"--authentication-kubeconfig={config}", f"--authorization-kubeconfig={config}",
            f"--cert-dir={self.run}", "--use-service-account-credentials",
            f"--service-account-private-key-file={tokens.key}", f"--root-ca-file={self.authority.files.certificate}",
            *self._rate(),
        ])
        # fmt: on

    def _scheduler(self) -> Part:
        config = self.kubeconfig("scheduler", "system:kube-scheduler")
        # fmt: off
        return Part("kube-scheduler", [
            self.binaries / "kube-scheduler", "--leader-elect=false",
            f"--kubeconfig={config}", f"--authentication-kubeconfig={config}", f"--authorization-kubeconfig={config}",
            f"--cert-dir={self.run}", *self._rate(),
        ])
        # fmt: on

    def _rate(self) -> list[str]:
        """Requests a second: with Kubernetes' own 20, the controllers alone would take five seconds to begin."""
        return [f"--kube-api-qps={self.client_rate}", f"--kube-api-burst={self.client_rate * 2}"]


@dataclass(frozen=True, slots=True)
class ControlPlaneParts:
    """The four, in the order in which they need each other."""

    etcd: Part
    apiserver: Part
    controller_manager: Part
    scheduler: Part
