"""What is wrong between manifests that lie side by side, and what in them is legal and unwise."""

from __future__ import annotations

from typing import Any, Final

import pytest
from tests.specs import DIGEST, adopting, good

from podpin.core.neighbours import Manifest, flaws_among

Json = dict[str, Any]


def rollout(name: str, spec: Json | None = None, namespace: str | None = None, **more: Any) -> Json:
    metadata = {"name": name} | ({"namespace": namespace} if namespace else {})
    body = {**(probed() if spec is None else spec), **more}
    return {"apiVersion": "podpin.dev/v1alpha1", "kind": "ImageRollout", "metadata": metadata, "spec": body}


def probed() -> Json:
    spec = good()
    spec["workload"]["template"]["spec"]["containers"][0]["readinessProbe"] = {"tcpSocket": {"port": 8080}}
    del spec["workload"]["replicas"]
    return spec


def waiting_for(*names: str) -> Json:
    return {"dependsOn": [{"name": name} for name in names]}


def elsewhere(repository: str) -> Json:
    spec = probed()
    spec["images"][0]["repository"] = repository
    return spec


def deployment(name: str, *containers: Json, namespace: str | None = None) -> Json:
    metadata = {"name": name} | ({"namespace": namespace} if namespace else {})
    spec = {"template": {"spec": {"containers": list(containers)}}}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec}


def autoscaler(target: str, kind: str = "Deployment") -> Json:
    spec = {"scaleTargetRef": {"apiVersion": "apps/v1", "kind": kind, "name": target}}
    return {"kind": "HorizontalPodAutoscaler", "metadata": {"name": "load"}, "spec": spec}


def with_replicas() -> Json:
    spec = probed()
    spec["workload"]["replicas"] = 3
    return spec


CIRCLE: Final = "spec.dependsOn leads in a circle"

ERRORS: Final[tuple[tuple[str, list[Json], list[str]], ...]] = (
    ("nothing is wrong with two that have nothing to do with each other", [rollout("a"), rollout("b")], []),
    ("an order is no circle", [rollout("a", **waiting_for("b")), rollout("b", elsewhere("x"))], []),
    ("two that wait for each other", [rollout("a", elsewhere("x"), **waiting_for("b")), rollout("b", **waiting_for("a"))],
     [f"{CIRCLE}: a, which waits for b, which waits for a", f"{CIRCLE}: b, which waits for a, which waits for b"]),
    ("two that would wait for each other in one namespace, and are in two",
     [rollout("a", namespace="x", **waiting_for("b")), rollout("b", namespace="y", **waiting_for("a"))], []),
    ("two of one name", [rollout("a"), rollout("a")], ["a second ImageRollout is called a"]),
    ("two of one name in two namespaces", [rollout("a", namespace="x"), rollout("a", namespace="y")], []),
    ("two for one workload", [rollout("a", adopting(name="front")), rollout("b", adopting(name="front"))],
     ["the Deployment front has the ImageRollout a already, and a workload can have one only"]),
    ("one that makes what another one adopts", [rollout("web"), rollout("b", adopting(name="web"))],
     ["the Deployment web has the ImageRollout web already"]),
    ("a Deployment where podpin would make one", [rollout("web"), deployment("web", {"name": "app"})],
     ["a Deployment web is given too, and podpin does not take over what it has not made"]),
    ("a Deployment of that name elsewhere", [rollout("web"), deployment("web", {"name": "app"}, namespace="x")], []),
    ("a target with the container", [rollout("a", adopting()), deployment("web", {"name": "app"})], []),
    ("a target without the container", [rollout("a", adopting()), deployment("web", {"name": "main"}, {"name": "b"})],
     ["spec.images names the container 'app', which the Deployment web does not have; it has b, main"]),
    ("a target that is not among them", [rollout("a", adopting())], []),
    ("one that can't be read is passed over", [rollout("a", {"images": 1}, **waiting_for("a"))], []),
)  # fmt: skip

WARNINGS: Final[tuple[tuple[str, list[Json], list[str]], ...]] = (
    ("nothing is unwise", [rollout("a")], []),
    ("a container without a probe", [rollout("a", good())], ["container 'app' has no readinessProbe"]),
    ("a target whose manifest has a tag", [rollout("a", adopting()), deployment("web", {"name": "app", "image": "x:1"})],
     ["the manifest of the Deployment web has an image for container 'app'"]),
    ("a target whose manifest has a digest",
     [rollout("a", adopting()), deployment("web", {"name": "app", "image": f"x@{DIGEST}"})], []),
    ("two that follow the same tags, one after the other", [rollout("a", **waiting_for("b")), rollout("b")],
     ["it waits for b and follows the same tags"]),
    ("an autoscaler beside a number of replicas", [rollout("web", with_replicas()), autoscaler("web")],
     ["the HorizontalPodAutoscaler load scales the Deployment web"]),
    ("an autoscaler that has the number to itself", [rollout("web"), autoscaler("web")], []),
    ("an autoscaler of something else", [rollout("web", with_replicas()), autoscaler("other")], []),
)  # fmt: skip


def among(bodies: list[Json], *, errors: bool) -> list[str]:
    manifests = [Manifest("one.yaml", body) for body in bodies]
    return [flaw.message for _, flaw in flaws_among(manifests) if flaw.is_error is errors]


@pytest.mark.parametrize(("bodies", "says"), [row[1:] for row in ERRORS], ids=[row[0] for row in ERRORS])
def test_what_is_wrong_between_manifests(bodies: list[Json], says: list[str]) -> None:
    found = among(bodies, errors=True)
    assert len(found) == len(says)
    assert all(one.startswith(start) for one, start in zip(found, says, strict=True)), found


@pytest.mark.parametrize(("bodies", "says"), [row[1:] for row in WARNINGS], ids=[row[0] for row in WARNINGS])
def test_what_is_legal_and_unwise(bodies: list[Json], says: list[str]) -> None:
    found = among(bodies, errors=False)
    assert len(found) == len(says)
    assert all(one.startswith(start) for one, start in zip(found, says, strict=True)), found


def test_files_that_each_have_one_of_a_name_are_variants_of_it() -> None:
    one = [
        Manifest("staging.yaml", rollout("a", adopting())),
        Manifest("staging.yaml", deployment("web", {"name": "x"})),
    ]
    other = [Manifest("prod.yaml", rollout("a", adopting())), Manifest("prod.yaml", deployment("web", {"name": "app"}))]
    assert [(nth, flaw.reason) for nth, flaw in flaws_among([*one, *other])] == [(0, "ContainerNotFound")]
