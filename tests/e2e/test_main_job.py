"""The job: choose, pin, roll out, judge, roll back, as a user meets it."""

from __future__ import annotations

import contextlib
import http.client
import json
import threading
from collections import Counter
from typing import TYPE_CHECKING, Self

import pytest
from tests.cluster.images import push_app
from tests.e2e.stage import both_kinds, pod_of, stays

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.e2e.stage import Stage
    from tests.e2e.world import Json

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]


@both_kinds
def test_a_version_is_picked_up_a_bad_one_rolled_back_and_a_fixed_one_taken(stage: Stage, kind: str) -> None:
    first = stage.push("1.0.0")
    stage.apply(stage.rollout(workload={"kind": kind}))
    stage.kubectl("wait", "--for=condition=Ready", "--timeout=60s", "imagerollout/web")
    stage.until_stable("1.0.0")
    assert stage.images() == {f"{stage.registry.address}/{stage.repository}:1.0.0@{first}"}
    assert (kind == "Deployment") == bool(stage.deployment())

    stage.push("1.1.0")
    stage.look()
    stage.until_stable("1.1.0")
    serving = stage.serving()

    stage.push("1.2.0", "unready")
    stage.change({"spec": {"rollout": {"progressDeadline": "6s"}}})
    stage.look()
    ready = stage.until_says("RolledBack", ":1.2.0@")
    assert ready["status"] == "True"
    stage.assert_untouched(serving)

    stage.change({"spec": {"rollout": {"progressDeadline": "60s"}}})
    stage.push("1.2.1")
    stage.look()
    stage.until_stable("1.2.1")
    assert stage.verdicts() == {
        "1.0.0": "Stable",
        "1.1.0": "Stable",
        "1.2.0": "ProgressDeadlineExceeded",
        "1.2.1": "Stable",
    }
    assert len(stage.templates()) == 5
    stage.assert_pinned()


def test_the_highest_build_is_taken_by_its_number_and_never_a_lower_one(stage: Stage) -> None:
    stage.push("main-9-aaaa")
    manifest = stage.rollout()
    image = manifest["spec"]["images"][0]
    image["policy"] = {"numeric": {"order": "asc"}}
    image["tags"] = {"include": "^main-([0-9]+)-", "exclude": ["-debug$"], "extract": "$1"}
    stage.apply(manifest)
    stage.until_stable("main-9-aaaa")
    for passed_over in ("main-11-cccc-debug", "topic-12-dddd", "latest", "main-8-ffff"):
        stage.push(passed_over, "crash")
    digest = stage.push("main-10-bbbb")
    stage.look()
    stage.until_stable("main-10-bbbb")
    stage.registry.delete(stage.repository, digest)
    stage.look()
    stage.until(lambda: stage.condition("Resolved").get("reason") == "TagNotFound", "the user to be told")
    assert stage.condition("Ready")["status"] == "True"
    assert stage.templates() == [stage.release("main-9-aaaa"), stage.release("main-10-bbbb")]
    stage.annotate("retry", "go-back")
    stage.until_stable("main-9-aaaa")


@both_kinds
def test_a_tag_is_followed_when_it_is_pushed_again(stage: Stage, kind: str) -> None:
    first = stage.push("latest", version="one")
    image = {"container": "app", "repository": f"{stage.registry.address}/{stage.repository}"}
    images = [{**image, "policy": {"tag": {"name": "latest"}}}]
    stage.apply(stage.rollout(images=images, workload={"kind": kind}))
    stage.until_stable("latest")
    second = stage.push("latest", version="two")
    assert first != second
    stage.look()
    stage.until_says("RolledOut", second.partition(":")[2][:12])
    assert len(stage.templates()) == 2
    assert stage.status()["images"][0] | {"tag": "latest", "digest": second} == stage.status()["images"][0]


def test_a_tag_is_followed_without_being_asked_to_look(stage: Stage) -> None:
    stage.push("1.0.0")
    stage.apply(stage.rollout(registry={"interval": "10s"}))
    stage.until_stable("1.0.0")
    stage.push("1.1.0")
    stage.until_stable("1.1.0")


def test_a_digest_is_run_and_no_other_version_asked_for(stage: Stage) -> None:
    stage.need("audit")
    digest = stage.push("1.0.0")
    image = {"container": "app", "repository": f"{stage.registry.address}/{stage.repository}"}
    manifest = stage.rollout(images=[{**image, "policy": {"digest": {"value": digest}}}], registry={"interval": "10s"})
    stage.apply(manifest)
    ready = stage.until_says("RolledOut")
    assert f"web@{digest.partition(':')[2][:12]}" in ready["message"]
    template = stage.deployment()["spec"]["template"]["spec"]
    assert template["containers"][0]["image"] == f"{stage.registry.address}/{stage.repository}@{digest}"
    stays(12, lambda: not other_versions(stage), "podpin does not ask the registry")
    stage.look()
    assert not other_versions(stage)


def other_versions(stage: Stage) -> list[str]:
    """What podpin has asked the registry, but whether it still has the digest that runs."""
    return [path for path in stage.asked_by_podpin("web") if "/manifests/sha256:" not in path]


def by_rollout(stage: Stage, manifest: Json) -> None:
    manifest["spec"]["registry"]["pullSecrets"] = [{"name": "registry"}]
    pod_of(manifest)["imagePullSecrets"] = [{"name": "registry"}]


def by_template(stage: Stage, manifest: Json) -> None:
    pod_of(manifest)["imagePullSecrets"] = [{"name": "registry"}]


def by_account(stage: Stage, manifest: Json) -> None:
    stage.apply(
        {
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": {"name": "puller"},
            "imagePullSecrets": [{"name": "registry"}],
        }
    )
    pod_of(manifest)["serviceAccountName"] = "puller"


@pytest.mark.parametrize("named", [by_rollout, by_template, by_account], ids=lambda named: named.__name__)
def test_a_private_registry_is_read_with_the_secret_that_is_named(
    stage: Stage, named: Callable[[Stage, Json], None]
) -> None:
    stage.need("private-registry")
    registry = stage.cluster.private_registry
    push_app(registry, stage.repository, "1.0.0")
    stage.apply([registry.pull_secret("registry", stage.namespace), registry.ca_secret("ca", stage.namespace)])
    manifest = stage.rollout(registry={"caSecret": {"name": "ca"}})
    manifest["spec"]["images"][0]["repository"] = f"{registry.address}/{stage.repository}"
    named(stage, manifest)
    stage.apply(manifest)
    stage.until_stable("1.0.0")
    for bodies in (
        stage.world.ever(kind, stage.namespace) for kind in ("rollouts", "deployments", "events", "records")
    ):
        assert registry.password not in json.dumps(bodies)
    assert registry.password not in stage.podpin.log.read_text()


@both_kinds
def test_a_bad_version_costs_no_request(stage: Stage, kind: str) -> None:
    stage.need("reach-services")
    stage.push("1.0.0")
    manifest = stage.rollout(workload={"kind": kind})
    pod_of(manifest)["terminationGracePeriodSeconds"] = 10
    stage.apply(manifest)
    service = {"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": 8080}]}
    stage.apply({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"}, "spec": service})
    stage.until_stable("1.0.0")
    url = stage.cluster.service_url("web", stage.namespace)
    with Visitor(url) as visitor:
        stage.until(lambda: visitor.answers["1.0.0"], "the first answer")
        stage.push("1.1.0", "crash")
        stage.look()
        stage.until_says("RolledBack", "CrashLooping")
        assert set(visitor.answers) == {"1.0.0"}
        stage.push("1.2.0")
        stage.look()
        stage.until_stable("1.2.0")
        stage.until(lambda: visitor.answers["1.2.0"], "an answer of the new version")
        stage.until(lambda: len(stage.world.now("pods", stage.namespace)) == 2, "the old Pods to be gone")
    assert visitor.failures == []
    assert set(visitor.answers) == {"1.0.0", "1.2.0"}
    assert visitor.answers.total() > 100


class Visitor:
    """A client that asks the Service again and again, each time with a new connection, and counts."""

    def __init__(self, url: str) -> None:
        self._address = url.removeprefix("http://")
        self.answers: Counter[str] = Counter()
        self.failures: list[str] = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._visit)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _visit(self) -> None:
        while not self._over.wait(0.03):
            try:
                with contextlib.closing(http.client.HTTPConnection(self._address, timeout=5)) as connection:
                    connection.request("GET", "/")
                    answer = connection.getresponse()
                    text = answer.read().decode().strip()
            except (OSError, http.client.HTTPException) as error:
                self.failures.append(repr(error))
            else:
                if answer.status == 200:
                    self.answers[text] += 1
                else:
                    self.failures.append(f"{answer.status} {text}")
