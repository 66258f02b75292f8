"""How the controller of a rollout's own Deployment goes about a change: as the user says, not at all, or at once.

The manner is part of what is applied, and told by the intent that stands on the Deployment, so that it can be told
apart from what somebody has changed by hand. A workload that podpin has only taken over keeps its author's manner.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from podpin.core.decision import Manner, marked
from podpin.core.observation import Observation, Workload
from podpin.core.spec.workload import WorkloadSpec
from podpin.core.workload import amount_of, strategy_of


def manner_of(workload: Workload, intent: str) -> Manner:
    """The manner in which podpin has applied the workload, where it is this intent that it has applied."""
    return next((one for one in Manner if marked(intent, one) == workload.intent), Manner.USUAL)


def in_manner(manifest: Mapping[str, Any], manner: Manner) -> dict[str, Any]:
    """The Deployment's manifest in a manner."""
    change: dict[str, Any] = {}
    if manner is Manner.PAUSED:
        change["paused"] = True
    elif manner is Manner.AT_ONCE:
        strategy = manifest["spec"]["strategy"]
        change["strategy"] = {**strategy, "rollingUpdate": {**strategy["rollingUpdate"], "maxSurge": "100%"}}
    return {**manifest, "spec": {**manifest["spec"], **change}}


def way_back(spec: WorkloadSpec, seen: Observation, intent: str, *, goes: bool) -> Manner:
    """The manner of going from a rejected release back to the stable one, whose intent this is.

    The Deployment's controller takes away Pods that are not ready before all else. Those of the rejected release that
    are ready keep their places until there are others, and maxSurge would let these come a few at a time: where it
    would, they are made all at once, until no other Pod is left. Where the user wants no Pod beyond the replicas, as
    where two would fight over a volume, that holds for the way back, too.

    Parameters:
        seen: the world, with the Deployment.
        goes: the Deployment runs a rejected release, and is to run the stable one.
    """
    workload, strategy = seen.workload, strategy_of(spec)
    if workload is None or strategy.get("type") != "RollingUpdate":
        return Manner.USUAL
    surge = amount_of(strategy["rollingUpdate"]["maxSurge"], workload.replicas, up=True)
    if goes:
        in_the_way = sum(pod.release == workload.release and pod.ready and not pod.deleting for pod in seen.pods)
        return Manner.AT_ONCE if 0 < surge < in_the_way else Manner.USUAL
    going = manner_of(workload, intent) is Manner.AT_ONCE and not _is_whole(workload)
    return Manner.AT_ONCE if going else Manner.USUAL


def _is_whole(workload: Workload) -> bool:
    """No Pods but its release's are left, by its controller's own counts."""
    counted = workload.observed_generation >= workload.generation
    return counted and workload.updated == workload.total == workload.replicas
