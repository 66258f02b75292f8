"""The node: containerd, kubelet and kube-proxy, and the corner of the machine that they believe is theirs.

The folders that they insist on (/var/lib/kubelet, /run/containerd and the like) are hidden behind mounts that only this
cluster's namespace sees, so several nodes fit on one machine and none meets the machine's own containerd or kubelet.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from tests.cluster.parts import Part
from tests.cluster.toolchain import find

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.cluster.control_plane import ControlPlane
    from tests.cluster.network import Network

CGROUPS = Path("/sys/fs/cgroup")
# Folders that containerd, the CNI plugins and the kubelet use whatever their settings say.
OWN_FOLDERS = ("/run/containerd", "/run/netns", "/var/lib/cni", "/var/lib/kubelet", "/var/log")
SOCKET = "/run/containerd/containerd.sock"


@dataclass(frozen=True, slots=True)
class Node:
    """Everything that its three programs need to know."""

    plane: ControlPlane
    run: Path
    data: Path
    network: Network
    sandbox_image: str
    registries: Mapping[str, str]  # HOST:PORT → hosts.toml

    @property
    def name(self) -> str:
        return f"podpin-{self.network.number}"

    @property
    def cgroup(self) -> str:
        return f"podpin-{self.network.number}"

    def preparation(self) -> list[list[str]]:
        """Commands for the namespaces' first process, before anything else runs."""
        resolver = self.run / "resolv.conf"
        # No name server: a look-up fails at once, where it would otherwise wait for an answer that cannot come.
        resolver.write_text("nameserver 127.0.0.1\noptions attempts:1 timeout:1\n")
        kubelet = self.data / "kubelet"
        kubelet.mkdir()
        hidden = [["mount", "-t", "tmpfs", "tmpfs", folder] for folder in OWN_FOLDERS if folder != "/var/lib/kubelet"]
        return [
            ["mount", "--make-rshared", "/"],
            *hidden,
            ["mount", "--bind", str(kubelet), "/var/lib/kubelet"],
            ["mount", "--bind", str(resolver), "/etc/resolv.conf"],
            ["hostname", self.name],
            ["sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward"],
        ]

    def containerd(self) -> Part:
        """Write its settings; return what to start."""
        plugins, hosts = self.run / "cni", self.run / "registries"
        plugins.mkdir()
        (plugins / "10-podpin.conflist").write_text(json.dumps(self._network_plugins()))
        for address, text in self.registries.items():
            (hosts / address).mkdir(parents=True)
            (hosts / address / "hosts.toml").write_text(text)
        settings = self.run / "containerd.toml"
        settings.write_text(
            f"""\
version = 2
root = "{self.data / "containerd"}"
state = "/run/containerd/state"
[grpc]
  address = "{SOCKET}"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{self.sandbox_image}"
  restrict_oom_score_adj = true
  disable_tcp_service = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "{plugins}"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "{self._snapshotter()}"
  [plugins."io.containerd.grpc.v1.cri".registry]
    config_path = "{hosts}"
"""
        )
        return Part("containerd", [find("containerd") or "containerd", "--config", settings])

    def kubelet(self) -> Part:
        """Write its settings; return what to start."""
        client = self.plane.kubeconfig("kubelet", f"system:node:{self.name}", ["system:nodes"])
        server = self.plane.authority.server("kubelet-server", [self.name, self.network.node])
        settings = self.run / "kubelet.yaml"
        content = {
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "address": self.network.node,
            "authentication": {
                "anonymous": {"enabled": False},
                "webhook": {"enabled": True},
                "x509": {"clientCAFile": str(self.plane.authority.files.certificate)},
            },
            "authorization": {"mode": "Webhook"},
            "tlsCertFile": str(server.certificate),
            "tlsPrivateKeyFile": str(server.key),
            "containerRuntimeEndpoint": f"unix://{SOCKET}",
            "cgroupDriver": "cgroupfs",
            "cgroupRoot": f"/{self.cgroup}",
            "failCgroupV1": False,
            "failSwapOn": False,
            "oomScoreAdj": 0,
            "serializeImagePulls": False,
            "resolvConf": str(self.run / "resolv.conf"),
            "clusterDNS": ["127.0.0.1"],  # nobody answers there: a look-up in a Pod fails at once, too
            "registerNode": True,
            "evictionHard": {"memory.available": "10Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
            "imageGCHighThresholdPercent": 100,
            "nodeStatusUpdateFrequency": "5s",
            # A crash loop shows within seconds, not minutes.
            "crashLoopBackOff": {"maxContainerRestartPeriod": "10s"},
            "featureGates": {"KubeletCrashLoopBackOffMax": True},
        }
        settings.write_text(yaml.safe_dump(content))
        # fmt: off
        return Part("kubelet", [
            self.plane.binaries / "kubelet", f"--config={settings}", f"--kubeconfig={client}",
            f"--hostname-override={self.name}", f"--node-ip={self.network.node}", "--root-dir=/var/lib/kubelet",
            f"--cert-dir={self.run}",
        ])
        # fmt: on

    def kube_proxy(self) -> Part:
        """Write its settings; return what to start."""
        client = self.plane.kubeconfig("kube-proxy", "system:kube-proxy")
        # fmt: off
        return Part("kube-proxy", [
            self.plane.binaries / "kube-proxy", f"--kubeconfig={client}", "--proxy-mode=iptables",
            f"--hostname-override={self.name}", f"--cluster-cidr={self.network.pods}",
            "--iptables-min-sync-period=100ms",
            "--conntrack-max-per-core=0", "--conntrack-tcp-timeout-established=0s",
            "--conntrack-tcp-timeout-close-wait=0s", "--healthz-bind-address=127.0.0.1:10256",
        ])
        # fmt: on

    def _network_plugins(self) -> dict[str, object]:
        """Each Pod has a cable to the node.

        All traffic is routed, so kube-proxy's rules see it without a bridge's help.
        """
        addresses = {
            "type": "host-local",
            "ranges": [[{"subnet": self.network.pods}]],
            "routes": [{"dst": "0.0.0.0/0"}],
        }
        return {
            "cniVersion": "0.4.0",
            "name": "podpin",
            "plugins": [
                {"type": "ptp", "ipMasq": False, "ipam": addresses},
                {"type": "portmap", "capabilities": {"portMappings": True}},
            ],
        }

    def _snapshotter(self) -> str:
        """An overlay cannot lie on an overlay, as in a container; copies can."""
        best = ("", "")
        for line in Path("/proc/self/mounts").read_text().splitlines():
            point, kind = line.split()[1:3]
            if (self.data == Path(point) or Path(point) in self.data.parents) and len(point) >= len(best[0]):
                best = (point, kind)
        return "native" if best[1] == "overlay" else "overlayfs"


def cgroup_folders(name: str) -> list[Path]:
    """The node's own cgroup in every hierarchy that the machine has (v1), or in the one (v2)."""
    if (CGROUPS / "cgroup.controllers").exists():
        return [CGROUPS / name]
    return [folder / name for folder in sorted(CGROUPS.iterdir()) if folder.is_dir() and not folder.is_symlink()]


def create_cgroups(name: str) -> None:
    """Make them; the kubelet puts all Pods below."""
    for folder in cgroup_folders(name):
        folder.mkdir(exist_ok=True)
        for setting in ("cpuset.cpus", "cpuset.mems"):
            if folder.parent.name.startswith("cpuset") and (folder / setting).exists():
                (folder / setting).write_text((folder.parent / setting).read_text())


def delete_cgroups(name: str) -> None:
    """Remove them, innermost first; raises OSError while a process is still dying in one."""
    for top in cgroup_folders(name):
        if top.is_dir():
            for folder in sorted((path for path in top.rglob("*") if path.is_dir()), reverse=True):
                folder.rmdir()
            top.rmdir()
