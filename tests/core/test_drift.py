"""Has somebody changed what podpin applied? Row by row, each with what the API server makes of a manifest."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.builders import images, pod, record, seen, workload

from podpin.core.drift import differs, unaltered

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


def limits(text: object) -> dict[str, Any]:
    return {"resources": {"limits": {"cpu": text, "memory": text}}}


SAME: list[tuple[str, Any, Any]] = [
    ("nothing", {}, {}),
    ("nothing wanted", {}, {"replicas": 3}),
    ("the very same", {"a": {"b": [1, "x", True, None]}}, {"a": {"b": [1, "x", True, None]}}),
    ("defaults", {"spec": {"a": 1}}, {"spec": {"a": 1, "progressDeadlineSeconds": 600}, "status": {}}),
    ("an empty text left out", {"env": [{"name": "A", "value": ""}]}, {"env": [{"name": "A"}]}),
    ("a zero, a false, an empty map and an empty list left out", {"a": 0, "b": False, "c": {}, "d": []}, {}),
    ("a null, whatever stands there", {"securityContext": None, "x": None}, {"securityContext": {}, "x": 3}),
    ("an empty map filled by defaults", {"emptyDir": {}}, {"emptyDir": {"medium": ""}}),
    ("a quantity in another unit", limits("1000m"), limits("1")),
    ("a quantity in a power of two", limits("1024Mi"), limits("1Gi")),
    ("a quantity as a number", limits(2), limits("2")),
    ("a quantity with a point", limits(0.5), limits("500m")),
    ("a quantity with an exponent", limits("1e3"), limits("1k")),
    ("a quantity in small letters", limits("1500u"), limits("1500u")),
    ("a size", {"emptyDir": {"sizeLimit": "1Gi"}}, {"emptyDir": {"sizeLimit": "1024Mi"}}),
    ("named entries in another order", {"c": [{"name": "a"}, {"name": "b"}]}, {"c": [{"name": "b"}, {"name": "a"}]}),
    ("an entry of somebody else", {"c": [{"name": "a", "x": 1}]}, {"c": [{"name": "sidecar"}, {"name": "a", "x": 1}]}),
    ("ports by number", {"ports": [{"containerPort": 80}]}, {"ports": [{"containerPort": 80, "protocol": "TCP"}]}),
    (
        "one port by two protocols",
        {"ports": [{"containerPort": 53, "protocol": "TCP"}, {"containerPort": 53, "protocol": "UDP"}]},
        {"ports": [{"containerPort": 53, "protocol": "TCP"}, {"containerPort": 53, "protocol": "UDP"}]},
    ),
]

OTHER: list[tuple[str, Any, Any]] = [
    ("another number", {"replicas": 2}, {"replicas": 3}),
    ("a number that is gone", {"replicas": 2}, {}),
    ("another text", {"image": "web@sha256:aa"}, {"image": "web@sha256:bb"}),
    ("a text that became empty", {"image": "web"}, {"image": ""}),
    ("another flag", {"hostNetwork": False}, {"hostNetwork": True}),
    ("a flag that is gone", {"readOnly": True}, {}),
    ("a map that is gone", {"labels": {"a": "b"}}, {}),
    ("a map that became a text", {"labels": {"a": "b"}}, {"labels": "a"}),
    ("a list that is gone", {"args": ["x"]}, {}),
    ("a list that became a text", {"args": ["x"]}, {"args": "x"}),
    ("a text that became a list", {"image": "x"}, {"image": ["x"]}),
    ("more arguments", {"args": ["x"]}, {"args": ["x", "y"]}),
    ("arguments in another order", {"args": ["x", "y"]}, {"args": ["y", "x"]}),
    ("another quantity", limits("1"), limits("1001m")),
    ("a quantity in another power", limits("1Ki"), limits("1k")),
    ("a quantity that is none", limits("1"), limits("one")),
    ("a version that reads as the same number", {"labels": {"version": "1.10"}}, {"labels": {"version": "1.1"}}),
    ("a variable that reads as the same number", {"env": [{"name": "A", "value": "1k"}]},
     {"env": [{"name": "A", "value": "1000"}]}),
    ("a named entry that is gone", {"c": [{"name": "a"}, {"name": "b"}]}, {"c": [{"name": "a"}]}),
    ("a named entry that was changed", {"c": [{"name": "a", "image": "x"}]}, {"c": [{"name": "a", "image": "y"}]}),
    ("an entry that lost its name", {"c": [{"name": "a"}]}, {"c": [{"image": "x"}]}),
    ("another protocol", {"ports": [{"containerPort": 53, "protocol": "TCP"}]},
     {"ports": [{"containerPort": 53, "protocol": "UDP"}]}),
]  # fmt: skip


@pytest.mark.parametrize(("wanted", "live"), [pytest.param(*row[1:], id=row[0]) for row in SAME])
def test_no_change_is_seen_in(wanted: Any, live: Any) -> None:
    assert not differs(wanted, live)


@pytest.mark.parametrize(("wanted", "live"), [pytest.param(*row[1:], id=row[0]) for row in OTHER])
def test_a_change_is_seen_in(wanted: Any, live: Any) -> None:
    assert differs(wanted, live)


@given(st.dictionaries(st.text(max_size=3), JSON, max_size=4))
def test_nothing_differs_from_itself(body: dict[str, Any]) -> None:
    assert not differs(body, body)


@given(st.dictionaries(st.text(max_size=3), JSON, max_size=4), st.dictionaries(st.text(max_size=3), JSON, max_size=4))
def test_any_two_can_be_compared(wanted: dict[str, Any], live: dict[str, Any]) -> None:
    assert differs(wanted, live) in (True, False)


# --- Pods that somebody has changed

OURS, THEIRS = images("b"), (("app", "web:by-hand"),)


@pytest.mark.parametrize(
    ("has", "fields", "left"),
    [
        ((OURS, OURS), {}, 2),
        ((OURS, THEIRS), {}, 1),
        ((THEIRS, THEIRS), {"drifted": True}, 0),
        ((THEIRS, THEIRS), {"generation": 4, "observed_generation": 3}, 0),
        ((THEIRS, THEIRS), {"updated": 0}, 0),
        ((THEIRS, THEIRS), {}, 2),
        (((), ()), {"drifted": True}, 2),
    ],
    ids=[
        "none is changed",
        "one has another image than its release",
        "all have, and the template is changed still",
        "all have, and the controller has not heard yet that it was put back",
        "all have, and none is made by the template that was put back",
        "all have by an admission webhook: they are what the release comes to here",
        "nothing is known of their images",
    ],
)
def test_pods_that_somebody_changed_tell_nothing_of_the_release(has: Any, fields: Any, left: int) -> None:
    world = seen(
        "b",
        workload=workload("b", **fields),
        pods=tuple(pod("b", name=f"web-{nth}", images=one) for nth, one in enumerate(has)),
    )
    told = unaltered(world, {record("b").release: record("b")})
    assert len(told.pods) == left
    assert (told is world) is (left == 2), "nothing is made anew in vain"
