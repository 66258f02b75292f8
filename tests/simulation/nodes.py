"""The nodes, their kubelets' common fate, and the scheduler: where Pods go, and what befalls them there."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from tests.simulation.kubelet import PodLife

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.simulation.api import ApiServer, Json
    from tests.simulation.clockwork import Clockwork
    from tests.simulation.images import Registry

SILENT: Final = 40.0
"""Seconds after which the node controller believes that a silent node is lost."""
TOLERATED: Final = 300.0
"""Seconds after which the Pods of a lost node are deleted."""
COLLECTED: Final = 60.0
"""Seconds after which the Pods of a node that is no more are collected."""
TRY_AGAIN: Final = 15.0


@dataclass
class Node:
    name: str
    skew: float = 0.0
    """How much its clock is ahead of the true time, in seconds."""
    up: bool = True
    cordoned: bool = False
    images: set[str] = field(default_factory=set)
    missed: list[Callable[[], None]] = field(default_factory=list)
    """What would have happened on it while it was down."""


class Nodes:
    def __init__(self, clock: Clockwork, api: ApiServer, registry: Registry, count: int = 3, room: int = 20) -> None:
        self.clock, self.api, self.registry = clock, api, registry
        self.room = room
        """How many Pods fit on a node."""
        self.pull_seconds = 2.0
        self.backend_down = False
        """What all Pods' probes depend on, such as a database, is gone."""
        self.storage_down = False
        self.scheduler_down = False
        self.pods: dict[str, PodLife] = {}
        self.listeners: list[Callable[[PodLife], None]] = []
        self._serial = itertools.count(1)
        self.nodes = [self._new() for _ in range(count)]

    def _new(self) -> Node:
        return Node(f"node-{next(self._serial)}")

    # --- Pods

    def create(self, name: str, owner: str, template: Json, labels: dict[str, str]) -> PodLife:
        """A controller makes a Pod."""
        pod = self.pods[name] = PodLife(self, name, owner, template, labels)
        self.clock.after(0.1, lambda: self._schedule(pod))
        return pod

    def changed(self, pod: PodLife) -> None:
        """Tell the controllers of a Pod that came or went."""
        if pod.gone:
            self.pods.pop(pod.name, None)
        for listener in self.listeners:
            listener(pod)

    def _schedule(self, pod: PodLife) -> None:
        if pod.gone or pod.deleting or pod.node is not None:
            return
        if self.scheduler_down:
            self.clock.after(TRY_AGAIN, lambda: self._schedule(pod))
            return
        load = {node.name: 0 for node in self.nodes}
        for one in self.pods.values():
            if one.node is not None and one.node.name in load:
                load[one.node.name] += 1
        free = [node for node in self.nodes if node.up and not node.cordoned and load[node.name] < self.room]
        if free:
            pod.bound(min(free, key=lambda node: (load[node.name], node.name)))
            return
        if pod.unschedulable is None:
            pod.unschedulable = f"0/{len(self.nodes)} nodes are available: Insufficient cpu."
            pod.write()
        self.clock.after(TRY_AGAIN, lambda: self._schedule(pod))

    def on(self, node: Node) -> list[PodLife]:
        """The Pods on a node."""
        return [pod for pod in self.pods.values() if pod.node is node]

    # --- what befalls nodes

    def restart_kubelet(self, node: Node, delay: float) -> None:
        """The kubelet of a node is started anew; the probes have had their round after so long."""
        if node.up:
            for pod in self.on(node):
                pod.kubelet_restarts(delay)

    def lose(self, node: Node) -> None:
        """A node does not answer any more."""
        if node.up:
            node.up = False
            self.clock.after(SILENT, lambda: self._give_up(node))
            self.clock.after(TOLERATED, lambda: self._delete_from(node))

    def _give_up(self, node: Node) -> None:
        if not node.up:
            for pod in self.on(node):
                pod.falls_silent()

    def _delete_from(self, node: Node) -> None:
        if not node.up:
            for pod in self.on(node):
                if not pod.deleting:
                    pod.disrupted = "DeletionByTaintManager"
                pod.delete()

    def find(self, node: Node, *, rebooted: bool) -> None:
        """A node that was lost is back: with its containers, or without."""
        if node.up or node not in self.nodes:
            return
        node.up = True
        missed, node.missed = node.missed, []
        for pod in self.on(node):
            pod.is_heard_again()
            if rebooted:
                pod.reboots()
        for happens in missed:
            happens()

    def replace(self, node: Node) -> None:
        """A node is gone for good, without a word, and another one comes for it."""
        if node not in self.nodes:
            return
        self.lose(node)
        self.nodes[self.nodes.index(node)] = fresh = self._new()
        fresh.skew = -node.skew
        self.clock.after(COLLECTED, lambda: self._collect(node))

    def _collect(self, node: Node) -> None:
        for pod in self.on(node):
            if pod.active:
                pod.phase, pod.disrupted = "Failed", "DeletionByPodGC"
            pod.deleting = True
            pod.write()
            pod.vanish()

    def drain(self, node: Node) -> None:
        """An administrator empties a node."""
        node.cordoned = True
        for pod in self.on(node):
            pod.evict("EvictionByEvictionAPI")

    def lose_backend(self) -> None:
        """What all applications need is gone; their probes see it one after another."""
        self.backend_down = True
        for nth, pod in enumerate(list(self.pods.values())):
            pod.backend_fails(1.0 + nth % 5)

    def heal(self) -> None:
        """All is well again."""
        self.backend_down = self.storage_down = self.scheduler_down = False
        for node in self.nodes:
            node.cordoned = False
            self.find(node, rebooted=False)
