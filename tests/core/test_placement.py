"""Which nodes a template can run on, and so which platforms its image needs."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podpin.core.placement import Node, node_of, placement_of, platforms_for


def node(name: str, arch: str = "amd64", *taints: tuple[str, str, str], **labels: str) -> Node:
    return Node(name, {"kubernetes.io/os": "linux", "kubernetes.io/arch": arch, **labels}, taints)


NODES = (
    node("amd", disk="ssd", cores="8"),
    node("arm", "arm64", cores="4"),
    node("gpu", "ppc64le", ("gpu", "yes", "NoSchedule")),
    node("cordoned", "s390x", ("node.kubernetes.io/unschedulable", "", "NoSchedule"), cores="x"),
)
UNTAINTED = ("linux/amd64", "linux/arm64", "linux/s390x")


def required(*terms: dict[str, Any]) -> dict[str, Any]:
    return {
        "affinity": {
            "nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [*terms]}}
        }
    }


def labelled(key: str, operator: str, *values: str) -> dict[str, Any]:
    return {"matchExpressions": [{"key": key, "operator": operator, "values": list(values)}]}


PLACEMENTS: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "anywhere but where a taint keeps it off": ({}, UNTAINTED),
    "where a toleration lets it": (
        {"tolerations": [{"key": "gpu", "operator": "Equal", "value": "yes"}]},
        ("linux/amd64", "linux/arm64", "linux/ppc64le", "linux/s390x"),
    ),
    "where it tolerates all": (
        {"tolerations": [{"operator": "Exists"}]},
        ("linux/amd64", "linux/arm64", "linux/ppc64le", "linux/s390x"),
    ),
    "not by a toleration of another value": ({"tolerations": [{"key": "gpu", "value": "no"}]}, UNTAINTED),
    "not by a toleration of another effect": (
        {"tolerations": [{"key": "gpu", "operator": "Exists", "effect": "NoExecute"}]},
        UNTAINTED,
    ),
    "where its selector leads": ({"nodeSelector": {"kubernetes.io/arch": "arm64"}}, ("linux/arm64",)),
    "nowhere": ({"nodeSelector": {"disk": "tape"}}, ()),
    "on the node that is named": ({"nodeName": "arm"}, ("linux/arm64",)),
    "where a label is one of several": (required(labelled("disk", "In", "ssd", "nvme")), ("linux/amd64",)),
    "where it is none of several": (required(labelled("disk", "NotIn", "ssd")), ("linux/arm64", "linux/s390x")),
    "where it is there": (required(labelled("disk", "Exists")), ("linux/amd64",)),
    "where it is not": (required(labelled("disk", "DoesNotExist")), ("linux/arm64", "linux/s390x")),
    "where it is greater": (required(labelled("cores", "Gt", "4")), ("linux/amd64",)),
    "where it is less": (required(labelled("cores", "Lt", "8")), ("linux/arm64",)),
    "where one of the terms holds": (
        required(labelled("cores", "Lt", "8"), labelled("disk", "Exists")),
        ("linux/amd64", "linux/arm64"),
    ),
    "where the whole term holds": (
        required(
            {
                "matchExpressions": [
                    *labelled("cores", "Exists")["matchExpressions"],
                    *labelled("disk", "Exists")["matchExpressions"],
                ]
            }
        ),
        ("linux/amd64",),
    ),
    "not where a term is empty": (required({}), ()),
    "by a node's name": (
        required({"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["arm"]}]}),
        ("linux/arm64",),
    ),
    "by a wish that is none of the required": (
        {"affinity": {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 1}]}}},
        UNTAINTED,
    ),
}


@pytest.mark.parametrize(("pod", "platforms"), PLACEMENTS.values(), ids=PLACEMENTS)
def test_platforms(pod: dict[str, Any], platforms: tuple[str, ...]) -> None:
    assert platforms_for(placement_of({"spec": pod}), NODES) == platforms


def test_what_has_no_say_in_it_makes_no_other_placement() -> None:
    assert placement_of({"spec": {"containers": [{"name": "a"}]}}) == placement_of({"spec": {"containers": []}})
    assert placement_of({"spec": {"nodeName": "a"}}) != placement_of({"spec": {"nodeName": "b"}})


def test_a_node_is_read_as_the_api_server_has_it() -> None:
    raw = {
        "metadata": {"name": "n", "labels": {"a": "b"}},
        "spec": {"taints": [{"key": "gpu", "effect": "NoSchedule"}]},
    }
    assert node_of(raw) == Node("n", {"a": "b"}, (("gpu", "", "NoSchedule"),))
    assert node_of({}) == Node("", {})


def test_a_node_that_does_not_say_what_it_is_demands_nothing() -> None:
    assert platforms_for(placement_of({}), (Node("n", {}),)) == ()


WORDS = """spec affinity nodeAffinity requiredDuringSchedulingIgnoredDuringExecution nodeSelectorTerms matchExpressions key
operator values tolerations nodeSelector nodeName Gt In taints"""
words = st.sampled_from(WORDS.split())
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | words,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(words, inner, max_size=5),
    max_leaves=30,
)


@given(template=st.dictionaries(words, anything), raw=st.dictionaries(words, anything))
def test_reading_is_total(template: dict[str, Any], raw: dict[str, Any]) -> None:
    nodes = (*NODES, node_of(raw))
    assert set(platforms_for(placement_of(template), nodes)) <= {
        f"linux/{n.labels.get('kubernetes.io/arch')}" for n in NODES
    }
