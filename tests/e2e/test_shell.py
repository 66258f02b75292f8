"""The program around the job.

It starts where it may not yet work, ends when it is told to, outlives the API server, and is quiet without work.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest
from tests.e2e.conftest import ACCOUNT, CRD, RIGHTS
from tests.e2e.program import Program
from tests.e2e.stage import AGENT, ROLLOUT, pod_of, stays
from tests.waiting import wait_for

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cluster.local import LocalCluster
    from tests.e2e.stage import Stage

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]

QUIET_SECONDS: Final = 120
RECORD: Final = ("controllerrevisions", "")
WORKLOAD: Final = ("deployments", "")
STATUS: Final = ("imagerollouts", "status")


def test_a_good_version_costs_five_writes_and_a_bad_one_three_more_to_go_back(stage: Stage) -> None:
    stage.need("audit")
    stage.push("1.0.0")
    stage.apply(stage.rollout())
    stage.until_stable("1.0.0")
    good = stage.mark()
    stage.push("1.1.0")
    stage.look()
    stage.until_stable("1.1.0")
    assert [(one.resource, one.subresource) for one in stage.writes(good)] == [
        RECORD, WORKLOAD, STATUS, RECORD, STATUS,
    ]  # fmt: skip
    bad = stage.mark()
    stage.push("1.2.0", "missing_binary")
    stage.look()
    stage.until_says("RolledBack")
    stage.until(lambda: not stage.pods(stage.release("1.2.0")), "the bad Pods to go")
    assert [(one.resource, one.subresource) for one in stage.writes(bad)] == [
        RECORD, WORKLOAD, STATUS, RECORD, WORKLOAD, STATUS,
    ]  # fmt: skip
    assert {one.code for one in stage.writes()} <= {200, 201}
    assert {one.agent.partition("/")[0] for one in stage.writes()} == {"podpin"}


def test_the_users_object_is_left_as_the_user_wrote_it(stage: Stage) -> None:
    stage.push("1.0.0")
    manifest = stage.rollout()
    stage.apply(manifest)
    stage.until_stable("1.0.0")
    metadata = stage.object()["metadata"]
    assert "finalizers" not in metadata
    assert set(metadata["annotations"]) == {"kubectl.kubernetes.io/last-applied-configuration"}
    assert metadata["generation"] == 1
    managers = {entry["manager"] for entry in metadata["managedFields"] if "subresource" not in entry}
    assert managers == {"kubectl-client-side-apply"}


def test_until_it_may_work_it_says_what_it_lacks(control_plane: LocalCluster, tmp_path: Path) -> None:
    groups = ["system:serviceaccounts", "system:serviceaccounts:podpin-system"]
    identity = control_plane.kubeconfig_for(ACCOUNT, groups)
    podpin = Program(identity, tmp_path / "podpin.log", control_plane.environment())

    def says(status: int, words: str) -> bool:
        answer = podpin.ask("/readyz")
        return answer[0] == status and words in answer[1]

    def until(status: int, words: str) -> None:
        wait_for(lambda: says(status, words), 30, words, retry_on=(OSError,), seen=podpin.said)

    control_plane.kubectl("delete", "crd", "imagerollouts.podpin.dev", "--ignore-not-found")
    control_plane.kubectl("delete", "-f", str(RIGHTS), "--ignore-not-found")
    try:
        podpin.start(wait=False)
        until(503, "podpin may not read imagerollouts")
        until(503, "Apply manifests/rbac.yaml.")
        assert podpin.ask("/healthz") == (200, "ok")
        control_plane.apply(RIGHTS)
        until(503, "The cluster does not know ImageRollouts. Apply crds/imagerollouts.podpin.dev.yaml.")
        control_plane.apply(CRD, "--server-side")
        until(200, "ok")
        assert podpin.said("may not read").count("may not read imagerollouts") == 1, "the same trouble is logged once"
        code, seconds = podpin.terminate()
        assert code == 0
        assert seconds < 5
        assert not podpin.trouble()
    finally:
        podpin.kill()


def test_told_to_stop_in_the_middle_it_ends_well_and_the_next_one_goes_on(lone_stage: Stage) -> None:
    stage = lone_stage
    stage.push("1.0.0")
    for name in ("web", "one", "two", "three"):
        stage.apply(stage.rollout(name, workload={"replicas": 1}))
    stage.until(lambda: stage.deployment("three"), "all to be under way")
    code, seconds = stage.podpin.terminate()
    assert code == 0
    assert seconds < 5
    stage.podpin.start()
    for name in ("web", "one", "two", "three"):
        stage.until_stable("1.0.0", name=name)
        assert len(stage.templates(name)) == 1


def test_a_rollout_goes_on_when_the_api_server_is_killed_and_comes_back(lone_stage: Stage) -> None:
    stage = lone_stage
    stage.need("apiserver-restarts")
    stage.push("1.0.0")
    stage.apply(stage.rollout(rollout={"bakeTime": "5s"}))
    stage.until_stable("1.0.0")
    stage.push("1.1.0")
    stage.look()
    stage.cluster.restart_apiserver()
    stage.until_stable("1.1.0")
    assert stage.templates() == [stage.release("1.0.0"), stage.release("1.1.0")]
    stage.podpin.wait_ready()
    stage.push("1.2.0")
    stage.look()
    stage.until_stable("1.2.0")
    assert not stage.podpin.trouble()


def test_what_was_deleted_while_the_watch_was_blind_is_noticed(lone_stage: Stage) -> None:
    stage = lone_stage
    stage.need("apiserver-restarts")
    stage.push("1.0.0")
    stage.push("1.0.0", repository=f"{stage.namespace}/gone")
    stage.apply(stage.rollout())
    gone = stage.rollout("gone", workload={"replicas": 1}, registry={"interval": "10s"})
    gone["spec"]["images"][0]["repository"] = f"{stage.registry.address}/{stage.namespace}/gone"
    stage.apply(gone)
    for name in ("web", "gone"):
        stage.until_stable("1.0.0", name=name)
    made = stage.deployment("gone")["metadata"]["uid"]

    def collected() -> bool:
        children = [*stage.world.now("pods", stage.namespace), *stage.world.now("records", stage.namespace)]
        return not stage.deployment("gone") and not any(name.startswith("gone") for name in children)

    stage.podpin.freeze()
    try:
        stage.kubectl("delete", "imagerollout", "gone")
        stage.until(collected, "what it owned to be collected")
        stage.push("1.1.0")
        stage.annotate("reconcile", "after-the-gap")
        stage.cluster.expire_watches()
    finally:
        stage.podpin.thaw()
    stage.until_stable("1.1.0")
    stage.until(collected, "nothing of what was deleted to be there")
    uids = {body["metadata"]["uid"] for body in stage.world.history("deployments", stage.namespace, "gone")}
    assert uids == {made}, "it was not made again"
    asked = stage.registry.position()
    stays(15, lambda: not about(stage, asked), "podpin does not ask about the image of what is gone")
    assert not stage.podpin.trouble()


def about(stage: Stage, since: int) -> list[str]:
    """podpin's questions about the image of the rollout `gone`."""
    return stage.asked_by_podpin("gone", since)


def test_a_quiet_cluster_is_never_written_to(lone_stage: Stage) -> None:
    """One rollout of each lasting state; two of them have Pods that crash and are restarted all the time."""
    stage = lone_stage
    stage.need("audit")
    stage.push("1.0.0")
    stage.push("1.0.0", "crash", repository=f"{stage.namespace}/crash")
    stage.apply(stage.rollout(registry={"interval": "10s"}))
    first = stage.rollout("first-failed", workload={"replicas": 1})
    first["spec"]["images"][0]["repository"] = f"{stage.registry.address}/{stage.namespace}/crash"
    stage.apply(first)
    stage.apply(stage.rollout("held", rollback={"enabled": False}))
    pending = stage.rollout("pending")
    pod_of(pending)["nodeSelector"] = {"podpin.test/never": "yes"}
    stage.apply(pending)
    stalled = stage.rollout("stalled")
    stalled["spec"]["images"][0]["container"] = "ap"
    stage.apply(stalled)
    missing = stage.rollout("missing", registry={"interval": "10s"})
    missing["spec"]["images"][0]["repository"] += "-gone"
    stage.apply(missing)
    for name in ("web", "held"):
        stage.until_stable("1.0.0", name=name)
    stage.push("1.1.0", "crash")
    for name in ("web", "held"):
        stage.look(name)
    stage.until_says("RolledBack", name="web")
    stage.until_says("Rejected", name="held")
    stage.until_says("Rejected", name="first-failed")
    stage.until_says("Unschedulable", name="pending")
    stage.until_says("ContainerNotFound", name="stalled")
    stage.until_says("RepositoryNotFound", name="missing")
    stage.until(
        lambda: sum(pod["metadata"]["labels"][ROLLOUT] == "web" for pod in stage.pods().values()) == 2, "two Pods"
    )
    stage.until(lambda: stage.events("Rejected", "first-failed"), "the last event")

    before, asked = stage.mark(), stage.registry.position()
    written: list[object] = []

    def quiet() -> bool:
        written[:] = stage.cluster.audit.writes(AGENT, since=before, namespace=stage.namespace)
        return not written

    try:
        stays(QUIET_SECONDS, quiet, "nothing is written", every=1)
    except AssertionError as error:
        raise AssertionError(f"{error}: {written}") from None
    reads = stage.cluster.audit.requests(AGENT, since=before, namespace=stage.namespace)
    others = [one.uri for one in reads if one.verb != "watch" and one.resource not in ("secrets", "serviceaccounts")]
    assert others == [], "nothing is read but watches, and credentials before each look at a registry"
    looks = stage.asked_by_podpin("web", asked)
    assert looks, "podpin has looked for new versions all the time"


def test_podpin_never_stumbled(lone_stage: Stage) -> None:
    """The log of the podpin that all tests share."""
    assert lone_stage.podpin.trouble() == []
