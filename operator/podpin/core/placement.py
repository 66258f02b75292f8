"""Which nodes a Pod template can run on, and so for which platforms its image has to be there.

Read as the scheduler reads them: `nodeName`, `nodeSelector`, the required part of the node affinity, and the taints
that the template does not tolerate. What passes by itself, such as a full or a cordoned node, does not count: its
platform stays wanted. Reading is total: what the API server would refuse anyway excludes no node.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from podpin.core.reading import array, mapping

PASSING: Final = "node.kubernetes.io/"
"""Taints by which the cluster itself says that a node is not ready, under pressure or cordoned."""
OS: Final = "kubernetes.io/os"
ARCH: Final = "kubernetes.io/arch"


@dataclass(frozen=True, slots=True)
class Node:
    """What the scheduler looks at. A taint is its key, its value and its effect."""

    name: str
    labels: Mapping[str, str]
    taints: tuple[tuple[str, str, str], ...] = ()


def node_of(raw: Mapping[str, Any]) -> Node:
    """A Node as the API server has it."""
    metadata, spec = mapping(raw.get("metadata")), mapping(raw.get("spec"))
    taints = [mapping(taint) for taint in array(spec.get("taints"))]
    return Node(
        name=str(metadata.get("name", "")),
        labels={str(key): str(value) for key, value in mapping(metadata.get("labels")).items()},
        taints=tuple((str(t.get("key", "")), str(t.get("value") or ""), str(t.get("effect", ""))) for t in taints),
    )


def placement_of(template: Mapping[str, Any]) -> str:
    """Where a Pod template may be placed, as text that is equal for templates that may be placed alike."""
    pod = mapping(template.get("spec"))
    affinity = mapping(mapping(pod.get("affinity")).get("nodeAffinity"))
    said = {
        "nodeName": pod.get("nodeName"),
        "nodeSelector": pod.get("nodeSelector"),
        "required": affinity.get("requiredDuringSchedulingIgnoredDuringExecution"),
        "tolerations": pod.get("tolerations"),
    }
    return json.dumps({name: value for name, value in said.items() if value}, sort_keys=True)


def platforms_for(placement: str, nodes: tuple[Node, ...]) -> tuple[str, ...]:
    """The platforms, as `os/arch`, of the nodes that the placement allows; none where no such node is known."""
    said = mapping(json.loads(placement))
    allowed = (node for node in nodes if _admits(said, node))
    return tuple(
        sorted({f"{node.labels[OS]}/{node.labels[ARCH]}" for node in allowed if {OS, ARCH} <= set(node.labels)})
    )


def _admits(said: Mapping[str, Any], node: Node) -> bool:
    if said.get("nodeName") not in (None, node.name):
        return False
    if any(node.labels.get(str(key)) != str(value) for key, value in mapping(said.get("nodeSelector")).items()):
        return False
    terms = array(mapping(said.get("required")).get("nodeSelectorTerms"))
    if terms and not any(_fits(mapping(term), node) for term in terms):
        return False
    return all(_tolerated(taint, array(said.get("tolerations"))) for taint in node.taints)


def _fits(term: Mapping[str, Any], node: Node) -> bool:
    demands = [(mapping(one), node.labels) for one in array(term.get("matchExpressions"))]
    demands += [(mapping(one), {"metadata.name": node.name}) for one in array(term.get("matchFields"))]
    return bool(demands) and all(_holds(demand, labels) for demand, labels in demands)


def _holds(demand: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    label, values = labels.get(str(demand.get("key"))), [str(value) for value in array(demand.get("values"))]
    match demand.get("operator"):
        case "In":
            return label in values
        case "NotIn":
            return label not in values
        case "Exists":
            return label is not None
        case "DoesNotExist":
            return label is None
        case "Gt" | "Lt" as operator:
            try:
                found, bound = int(label or ""), int(values[0])
            except (ValueError, IndexError):
                return False
            return found > bound if operator == "Gt" else found < bound
        case _:
            return True


def _tolerated(taint: tuple[str, str, str], tolerations: list[Any]) -> bool:
    key, value, effect = taint
    if effect not in ("NoSchedule", "NoExecute") or key.startswith(PASSING):
        return True
    for one in map(mapping, tolerations):
        if one.get("effect") not in (None, "", effect) or one.get("key") not in (None, "", key):
            continue
        if one.get("operator") == "Exists" or (one.get("key") == key and (one.get("value") or "") == value):
            return True
    return False
