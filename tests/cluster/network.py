"""Addresses: which ones a cluster has, the namespace they live in, and that nothing for them ever leaves this machine.

Cluster number N is 10.200.N.0/30 (.1 the host's end, .2 the node), its Pods 10.244.N.0/24, its Services 10.96.N.0/24.
The host has routes to all three through the node, so a test, a browser or the operator reaches Pods and Services by
their own addresses. What is meant for a cluster that is down is unreachable, never sent to the machine's gateway.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.commands import run, succeeds
from tests.cluster.errors import ClusterError

NODES, PODS, SERVICES = "10.200.0.0/16", "10.244.0.0/16", "10.96.0.0/16"
ALL = f"{NODES},{PODS},{SERVICES}"
NUMBERS = range(1, 255)
PREFIX = "podpin"


@dataclass(frozen=True, slots=True)
class Network:
    """The addresses of cluster number N."""

    number: int

    @property
    def namespace(self) -> str:
        return f"{PREFIX}-{self.number}"

    @property
    def link(self) -> str:
        """The host's end of the cable."""
        return f"{PREFIX}{self.number}"

    @property
    def gateway(self) -> str:
        return f"10.200.{self.number}.1"

    @property
    def node(self) -> str:
        return f"10.200.{self.number}.2"

    @property
    def pods(self) -> str:
        return f"10.244.{self.number}.0/24"

    @property
    def services(self) -> str:
        return f"10.96.{self.number}.0/24"

    @property
    def kubernetes_service(self) -> str:
        """The Service address that the API server gives itself: the range's first."""
        return f"10.96.{self.number}.1"

    def create(self) -> None:
        """Make the namespace and the cable, and the host's routes."""
        refuse_foreign_routes()
        for network in (NODES, PODS, SERVICES):
            run("ip", "route", "replace", "unreachable", network)
        run("ip", "netns", "add", self.namespace)
        # fmt: off
        run("ip", "link", "add", self.link, "type", "veth", "peer", "name", "eth0", "netns", self.namespace)
        run("ip", "address", "add", f"{self.gateway}/30", "dev", self.link)
        run("ip", "link", "set", self.link, "up")
        run("ip", "-n", self.namespace, "address", "add", f"{self.node}/30", "dev", "eth0")
        run("ip", "-n", self.namespace, "link", "set", "eth0", "up")
        run("ip", "-n", self.namespace, "link", "set", "lo", "up")
        for network in (self.pods, self.services):
            run("ip", "route", "replace", network, "via", self.node)
        # The node itself reaches Services too: any route will do for kube-proxy's rules to see the packet.
        run("ip", "-n", self.namespace, "route", "add", self.services, "dev", "lo", "src", self.node)
        # fmt: on

    def delete(self) -> None:
        """Remove both; the routes go with the cable."""
        succeeds("ip", "link", "delete", self.link)
        if (Path("/run/netns") / self.namespace).exists():
            run("ip", "netns", "delete", self.namespace)


def forget_unreachable() -> None:
    """When the last cluster is gone, the host's routes are as they were."""
    for network in (NODES, PODS, SERVICES):
        succeeds("ip", "route", "delete", "unreachable", network)


def refuse_foreign_routes() -> None:
    """The test networks must be nobody else's on this machine."""
    for network in (NODES, PODS, SERVICES):
        for route in json.loads(run("ip", "-json", "route", "show", "root", network) or "[]"):
            if route.get("type") != "unreachable" and not route.get("dev", "").startswith(PREFIX):
                raise ClusterError(
                    f"this machine already has a route to {route['dst']} (by {route.get('dev', 'another route')}), "
                    f"a network that the test cluster would use ({network}); use CLUSTER=kind or CLUSTER=current here"
                )
