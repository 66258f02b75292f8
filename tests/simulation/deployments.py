"""The Deployment controller and its ReplicaSets: rolling updates as Kubernetes' own does them, in its order.

One ReplicaSet for each template, surge first, unhealthy old Pods first to go. ReplicaSets are no objects here: podpin
never reads them.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from podpin.core.release import digest_of
from tests.simulation.nodes import QUOTA

if TYPE_CHECKING:
    from tests.simulation.api import ApiServer, Json
    from tests.simulation.kubelet import PodLife
    from tests.simulation.nodes import Nodes

SOON: Final = 0.05
"""Seconds that the controllers take to see a change and to act on it."""


@dataclass
class ReplicaSet:
    """The Pods of one template."""

    template: Json
    hash: str
    born: int
    replicas: int = 0
    pods: list[PodLife] = field(default_factory=list)

    @property
    def active(self) -> list[PodLife]:
        """Those that count."""
        return [pod for pod in self.pods if pod.active]

    def available(self, min_ready: float) -> int:
        """How many are available."""
        return sum(pod.available(min_ready) for pod in self.pods)


class Deployments:
    def __init__(self, api: ApiServer, nodes: Nodes) -> None:
        self.api, self.nodes, self.clock = api, nodes, nodes.clock
        self.asleep = False
        """The controller manager is down."""
        self._sets: dict[str, dict[str, ReplicaSet]] = {}
        """By the Deployment's uid and the template's hash."""
        self._wanted: dict[str, int] = {}
        """The number of replicas that was last seen, by uid."""
        self._awaited: set[str] = set()
        self._serial = itertools.count(1)
        self._births = itertools.count(1)
        api.heard.append(self._heard)

    def _heard(self, collection: str, kind: str, raw: Json) -> None:
        if collection == "deployments" or collection == "pods":
            for one in self.api.all("deployments"):
                self._wake(one["metadata"]["name"])

    def _wake(self, name: str, seconds: float = SOON) -> None:
        if name not in self._awaited:
            self._awaited.add(name)
            self.clock.after(seconds, lambda: self._turn(name))

    def _turn(self, name: str) -> None:
        self._awaited.discard(name)
        raw = self.api.get("deployments", name)
        if raw is None:
            return
        if self.asleep:
            self._wake(name, 5.0)
            return
        self._sync(raw)

    # --- one look at one Deployment

    def _sync(self, raw: Json) -> None:
        uid, spec = raw["metadata"]["uid"], raw["spec"]
        sets = self._sets.setdefault(uid, {})
        for one in sets.values():
            one.pods = [pod for pod in one.pods if not pod.gone]
        mark = digest_of(spec["template"])
        paused = spec.get("paused") is True
        if mark not in sets and not paused:
            sets[mark] = ReplicaSet(spec["template"], mark, next(self._births))
        new = sets.get(mark)
        self._scale(uid, spec, sets, new)
        if not paused and new is not None:
            if (spec.get("strategy") or {}).get("type") == "Recreate":
                self._recreate(spec, sets, new)
            else:
                self._roll(spec, sets, new)
        refused = sum(self._fill(raw, one) for one in sets.values()) > 0
        self._tell(raw, sets, new, refused=refused)
        min_ready = spec.get("minReadySeconds", 0)
        fresh = [pod.ready_since for one in sets.values() for pod in one.active if pod.ready_since is not None]
        ripe = [since + min_ready - self.clock.now for since in fresh if since + min_ready > self.clock.now]
        if ripe:
            self._wake(raw["metadata"]["name"], min(ripe) + SOON)
        if refused:
            self._wake(raw["metadata"]["name"], 10.0)

    def _scale(self, uid: str, spec: Json, sets: dict[str, ReplicaSet], new: ReplicaSet | None) -> None:
        """A changed number of replicas is shared among the ReplicaSets in proportion, while several have Pods."""
        wanted, before = spec["replicas"], self._wanted.get(uid)
        self._wanted[uid] = wanted
        alive = [one for one in sets.values() if one.replicas > 0]
        if before is None or before == wanted or not alive:
            return
        if len(alive) == 1 and (alive[0] is new or wanted == 0 or spec.get("paused")):
            alive[0].replicas = wanted
            return
        have = sum(one.replicas for one in alive)
        most = wanted + _amounts(spec)[0] if wanted else 0
        rest = most - have
        alive.sort(key=lambda one: (-one.replicas if rest > 0 else one.replicas, -one.born))
        for one in alive:
            share = math.trunc(one.replicas * most / max(have, 1)) - one.replicas
            share = max(min(share, rest), 0) if rest > 0 else min(max(share, rest), 0)
            one.replicas += share
            rest -= share
        alive[0].replicas = max(0, alive[0].replicas + rest)

    def _recreate(self, spec: Json, sets: dict[str, ReplicaSet], new: ReplicaSet) -> None:
        old = [one for one in sets.values() if one is not new]
        for one in old:
            one.replicas = 0
        if not any(pod.phase not in ("Failed", "Succeeded") for one in old for pod in one.pods):
            new.replicas = spec["replicas"]

    def _roll(self, spec: Json, sets: dict[str, ReplicaSet], new: ReplicaSet) -> None:
        wanted, min_ready = spec["replicas"], spec.get("minReadySeconds", 0)
        surge, unavailable = _amounts(spec)
        old = [one for one in sets.values() if one is not new]
        total = sum(one.replicas for one in sets.values())
        if new.replicas > wanted:
            new.replicas = wanted
            return
        if new.replicas < wanted and total < wanted + surge:
            new.replicas += min(wanted + surge - total, wanted - new.replicas)
            return
        spare = total - (wanted - unavailable) - (new.replicas - new.available(min_ready))
        for one in sorted(old, key=lambda one: one.born):
            ill = min(one.replicas - one.available(min_ready), spare)
            if ill > 0:
                one.replicas -= ill
                spare -= ill
        up = sum(one.available(min_ready) for one in sets.values())
        spare = up - (wanted - unavailable)
        for one in sorted(old, key=lambda one: one.born):
            less = min(one.replicas, spare)
            if less > 0:
                one.replicas -= less
                spare -= less

    def _fill(self, raw: Json, one: ReplicaSet) -> bool:
        """Make and delete Pods until there are as many as there should be; returns whether any was refused."""
        active = one.active
        for pod in sorted(active, key=_who_goes_first)[: max(0, len(active) - one.replicas)]:
            pod.delete()
        for _ in range(one.replicas - len(active)):
            if self.nodes.is_full:
                return True
            name = f"{raw['metadata']['name']}-{one.hash[:6]}-{next(self._serial)}"
            owner = {"uid": raw["metadata"]["uid"], "controller": True}
            one.pods.append(self.nodes.create(name, [owner], one.template))
        return False

    def _tell(self, raw: Json, sets: dict[str, ReplicaSet], new: ReplicaSet | None, *, refused: bool) -> None:
        min_ready = raw["spec"].get("minReadySeconds", 0)
        status: dict[str, Any] = {
            "observedGeneration": raw["metadata"]["generation"],
            "replicas": sum(len(one.active) for one in sets.values()),
            "updatedReplicas": len(new.active) if new else 0,
            "availableReplicas": sum(one.available(min_ready) for one in sets.values()),
        }
        if refused:
            failing = {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": QUOTA}
            status["conditions"] = [failing]
        if status != raw.get("status"):
            self.api.put("deployments", {**raw, "status": status})


def _amounts(spec: Json) -> tuple[int, int]:
    """How many Pods there may be above, and missing below, the number of replicas."""
    rolling = (spec.get("strategy") or {}).get("rollingUpdate") or {}
    surge = _amount(rolling.get("maxSurge", "25%"), spec["replicas"], math.ceil)
    unavailable = _amount(rolling.get("maxUnavailable", "25%"), spec["replicas"], math.floor)
    return surge, unavailable if surge or unavailable else 1


def _amount(value: int | str, of: int, rounded: Any) -> int:
    return value if isinstance(value, int) else int(rounded(of * int(value.rstrip("%")) / 100))


def _who_goes_first(pod: PodLife) -> tuple[bool, bool, bool, float]:
    """Without a node before with one, pending before running, not ready before ready, the newest first."""
    return (pod.node is not None, pod.phase == "Running", pod.ready, -(pod.ready_since or 0.0))
