"""The nodes, their kubelets' common fate, and the scheduler: where Pods go, and what befalls them there."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from podpin.core.names import LABEL_TRACK
from podpin.errors import Denied, Unavailable
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
QUOTA: Final = 'pods "web" is forbidden: exceeded quota: pods'
BUDGET: Final = "Cannot evict pod as it would violate the pod's disruption budget."


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
        self.quota: int | None = None
        """How many Pods the namespace may have."""
        self.budget: int | None = None
        """How many Pods must be ready after an eviction, by a PodDisruptionBudget."""
        self.pods: dict[str, PodLife] = {}
        self.listeners: list[Callable[[PodLife], None]] = []
        self._serial = itertools.count(1)
        self.nodes = [self._new() for _ in range(count)]
        api.pods = self
        api.heard.append(self._heard)

    def _new(self) -> Node:
        return Node(f"node-{next(self._serial)}")

    # --- Pods

    def create(self, name: str, owners: list[Json], template: Json) -> PodLife:
        """A controller makes a Pod."""
        pod = self.pods[name] = PodLife(self, name, owners, template)
        named = template["spec"].get("nodeName")
        if named is None:
            self.clock.after(0.1, lambda: self._schedule(pod))
        elif (node := next((node for node in self.nodes if node.name == named), None)) is not None:
            pod.bound(node)
        else:
            self.clock.after(COLLECTED, pod.vanish)
        return pod

    @property
    def is_full(self) -> bool:
        """The quota allows no more Pods."""
        return self.quota is not None and sum(pod.active for pod in self.pods.values()) >= self.quota

    def admit(self, manifest: Json, *, rehearsed: bool) -> Json:
        """podpin makes a Pod itself, or asks whether it could."""
        if self.is_full:
            raise Denied(QUOTA)
        if rehearsed:
            return manifest
        metadata = dict(manifest["metadata"])
        owners = metadata.pop("ownerReferences")
        template = {"metadata": metadata, "spec": manifest["spec"]}
        return self.create(metadata["name"], owners, template).stored()

    def let_go(self, name: str) -> Json:
        """podpin deletes a Pod."""
        pod = self.pods[name]
        pod.delete()
        return pod.stored()

    def evict(self, name: str) -> Json:
        """podpin asks for an eviction."""
        pod = self.pods[name]
        serving = sum(one.ready for one in self.pods.values() if one.active and LABEL_TRACK not in one.labels)
        if self.budget is not None and pod.ready and serving <= self.budget:
            raise Unavailable(BUDGET)
        pod.evict("EvictionByEvictionAPI")
        return pod.stored()

    def hand_over(self, name: str, owners: list[Json]) -> Json:
        """Somebody becomes a Pod's owner."""
        pod = self.pods[name]
        pod.owners = owners
        pod.write()
        return pod.stored()

    def _heard(self, collection: str, kind: str, raw: Json) -> None:
        """What is deleted takes its Pods along."""
        if kind == "DELETED" and collection != "pods":
            for pod in list(self.pods.values()):
                if any(owner["uid"] == raw["metadata"]["uid"] for owner in pod.owners):
                    pod.delete()

    def changed(self, pod: PodLife) -> None:
        """Tell the controllers of a Pod that came or went."""
        if pod.gone:
            self.pods.pop(pod.name, None)
        for listener in self.listeners:
            listener(pod)

    def _schedule(self, pod: PodLife) -> None:
        if not pod.active or pod.node is not None:
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
        self.quota = self.budget = None
        for node in self.nodes:
            node.cordoned = False
            self.find(node, rebooted=False)
