"""What is said of a Pod template that Kubernetes would not take."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import pytest
from tests.specs import adopting, full, good

from podpin.cli.pods import flaws_in_pods

AT: Final = "spec.workload.template.spec"


def container(**fields: Any) -> Callable[[Any], object]:
    return lambda pod: pod["containers"][0].update(fields)


ROWS: Final[tuple[tuple[str, Callable[[Any], object], str | None], ...]] = (
    ("nothing is wrong", lambda pod: None, None),
    ("a misspelt field of a container", container(readynessProbe={}),
     f'unknown field "{AT}.containers[0].readynessProbe"; did you mean "readinessProbe"?'),
    ("a misspelt field deep inside", container(livenessProbe={"httpGet": {"prot": 80}}),
     f'unknown field "{AT}.containers[0].livenessProbe.httpGet.prot"; did you mean "port"?'),
    ("a number for an environment variable", container(env=[{"name": "A", "value": 5}]),
     f"{AT}.containers[0].env[0].value: must be of type string, and 5 is none: put it in quotes"),
    ("yes for an environment variable", container(env=[{"name": "A", "value": True}]),
     f"{AT}.containers[0].env[0].value: must be of type string, and true is none: put it in quotes"),
    ("a text for a port's number", container(ports=[{"containerPort": "http"}]),
     f'{AT}.containers[0].ports[0].containerPort: must be of type integer, and "http" is none'),
    ("an object for a list", container(env={"A": "5"}), f"{AT}.containers[0].env: must be of type array"),
    ("a text for an object", lambda pod: pod.update(securityContext="none"),
     f'{AT}.securityContext: must be of type object, and "none" is none'),
    ("a port by name or number is both right", container(livenessProbe={"httpGet": {"port": "http"}}), None),
    ("an amount may be a number", container(resources={"limits": {"cpu": 1}, "requests": {"cpu": 0.5}}), None),
    ("labels to select by", lambda pod: pod.update(nodeSelector={"disk": "ssd"}), None),
    ("a null", lambda pod: pod.update(volumes=None), None),
)  # fmt: skip


@pytest.mark.parametrize(("change", "says"), [row[1:] for row in ROWS], ids=[row[0] for row in ROWS])
def test_what_kubernetes_would_not_take(change: Callable[[Any], object], says: str | None) -> None:
    spec = good()
    change(spec["workload"]["template"]["spec"])
    flaws = flaws_in_pods({"spec": spec})
    assert [one.message for one in flaws] == ([says] if says else [])
    assert all(one.is_error for one in flaws)


def test_a_field_that_is_like_none_may_be_newer_than_podpin() -> None:
    spec = good()
    spec["workload"]["template"]["spec"]["xyzzy"] = 1
    [flaw] = flaws_in_pods({"spec": spec})
    assert not flaw.is_error
    assert flaw.message == f'unknown field "{AT}.xyzzy", in the version that podpin knows'


@pytest.mark.parametrize("spec", [full(), adopting(), {}, None], ids=["every field", "a target", "nothing", "no spec"])
def test_finds_nothing_where_nothing_is_wrong(spec: Any) -> None:
    assert flaws_in_pods({"spec": spec}) == []
