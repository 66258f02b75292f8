"""A release that is pulled first, from its Pods on the nodes to the rollout, and what is left when podpin dies."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from podpin.errors import Denied, Unavailable
from tests.builders import raw_spec, release_id, spec
from tests.world import WEB, Crash, Json, Podpin, World, later, texts

TERMS: dict[str, Any] = {"progressDeadline": "60s", "bakeTime": "10s", "prePull": True}
A, B = release_id("a", spec(rollout=TERMS)), release_id("b", spec(rollout=TERMS))
THERE = {"waiting": {"reason": "CreateContainerConfigError", "message": "image will run as root"}}
FOREIGN = {"waiting": {"reason": "ErrImagePull", "message": "no match for platform in manifest: not found"}}
DOWN = {"waiting": {"reason": "ErrImagePull", "message": "dial tcp: i/o timeout"}}
DENIED = {"waiting": {"reason": "ErrImagePull", "message": "failed with status code: 401 Unauthorized"}}
GONE = {"waiting": {"reason": "ErrImagePull", "message": "manifest unknown"}}


async def steady(kind: str = "Deployment") -> tuple[World, Podpin]:
    """Release A is stable on two nodes, and B has just been pushed."""
    world = World()
    podpin = Podpin(world)
    world.apply(raw_spec(rollout=TERMS, workload={"kind": kind}))
    world.push("a")
    await podpin.settle()
    if kind == "Pods":
        world.own_ready()
        for nth, (name, raw) in enumerate(world.own.items(), 1):
            world.own[name] = {**raw, "spec": {**raw["spec"], "nodeName": f"node-{nth}"}}
        await podpin.settle()  # podpin is woken by its Pods, and bakes them from when it has seen them ready
    else:
        world.become_ready()
        world.pods = tuple(replace(pod, node=f"node-{nth}") for nth, pod in enumerate(world.pods, 1))
    later(world, 11)
    await podpin.settle()
    world.push("b")
    world.writes.clear()
    world.notices.clear()
    return world, podpin


def pullers(world: World) -> dict[str, Json]:
    """The Pods that only pull, by the name of their node."""
    return {
        raw["spec"]["nodeName"]: raw
        for raw in world.own.values()
        if "podpin.dev/pulls-for" in raw["metadata"]["labels"]
    }


def show(world: World, state: Json, *nodes: str) -> None:
    """The kubelets of these nodes, or of all, tell how their Pods are doing."""
    for node, raw in pullers(world).items():
        if not nodes or node in nodes:
            part = {"name": "app", "ready": False, "restartCount": 0, "imageID": "", "state": state}
            raw["status"] = {"phase": "Pending", "containerStatuses": [part]}


@pytest.mark.parametrize("kind", ["Deployment", "Pods"])
async def test_a_release_begins_when_all_nodes_have_it_and_leaves_nothing_behind(kind: str) -> None:
    world, podpin = await steady(kind)
    wrote = await podpin.settle()
    assert [write.split()[0] for write in wrote] == ["create", "create", "status"]
    assert podpin.ready == ("Unknown", "PrePulling")
    assert sorted(pullers(world)) == ["node-1", "node-2"]
    show(world, THERE, "node-1")
    assert await podpin.settle() == [], "a node that is done costs no write"
    show(world, THERE)
    wrote = await podpin.settle()
    assert wrote[0] == f"record {B}"
    assert [write.split()[0] for write in wrote].count("delete") == 2
    assert pullers(world) == {}
    assert podpin.ready == ("Unknown", "Progressing")
    assert texts(world.notices) == ["PrePulling", "Progressing"]


async def test_what_cannot_be_had_is_rejected_and_the_workload_was_never_written() -> None:
    world, podpin = await steady()
    await podpin.settle()
    show(world, FOREIGN, "node-2")
    wrote = await podpin.settle()
    assert [write.split()[0] for write in wrote] == ["record", "delete", "delete", "status"]
    assert podpin.ready == ("True", "RolledBack")
    assert world.rollout is not None
    assert world.rollout["status"]["rejected"][0]["reason"] == "WrongPlatform"
    assert world.templates == [A]
    later(world, 3600)
    assert await podpin.settle() == []


@pytest.mark.parametrize(
    ("has", "reason"), [(False, "RolledBack"), (True, "PrePulling"), (Unavailable("down"), "PrePulling")]
)
async def test_an_image_is_gone_when_the_registry_says_so_too(has: bool | Exception, reason: str) -> None:
    world, podpin = await steady()
    world.has = {f"sha256:{'b' * 64}": has}
    await podpin.settle()
    show(world, GONE)
    await podpin.settle()
    assert podpin.ready[1] == reason


async def test_pods_that_are_forbidden_are_told_of_and_hold_nothing_up() -> None:
    world, podpin = await steady()
    world.refused["create_pod"] = Denied("pods is forbidden: exceeded quota")
    await podpin.settle()
    assert world.release == B
    assert texts(world.notices) == ["PrePulling", "Progressing", "NotPulled"] or texts(world.notices) == [
        "Progressing",
        "NotPulled",
    ]
    assert "exceeded quota" in world.notices[-1].message
    world.become_ready()
    later(world, 11)
    await podpin.settle()
    world.refused.clear()
    world.push("c")
    await podpin.settle()
    assert podpin.ready == ("Unknown", "PrePulling"), "the next one is pulled again"


async def test_pods_that_may_not_be_taken_away_hold_nothing_up() -> None:
    world, podpin = await steady()
    await podpin.settle()
    show(world, THERE)
    world.refused["delete_pod"] = Denied("a policy forbids it")
    await podpin.settle()
    assert world.release == B
    assert podpin.ready == ("Unknown", "Progressing")
    world.become_ready()
    later(world, 11)
    await podpin.settle()
    assert podpin.ready == ("True", "RolledOut")
    assert await podpin.settle() == []


async def test_a_pod_that_has_ended_and_may_not_be_taken_away_is_passed_over() -> None:
    world, podpin = await steady()
    await podpin.settle()
    world.refused["delete_pod"] = Denied("a policy forbids it")
    show(world, DOWN)
    later(world, 61)
    await podpin.settle()
    for raw in pullers(world).values():
        raw["status"] = {"phase": "Failed", "reason": "DeadlineExceeded"}
    for _ in range(3):
        await podpin.settle()
        later(world, 61)
    assert world.release == B


async def test_pods_that_can_never_be_made_are_told_of_and_hold_nothing_up_for_ever() -> None:
    world, podpin = await steady()
    world.refused["create_pod"] = Unavailable("failed calling webhook")
    for _ in range(2):
        with pytest.raises(Unavailable):
            await podpin.look()
    assert podpin.ready == ("Unknown", "PrePulling")
    assert "failed calling webhook" in podpin.message
    world.writes.clear()
    with pytest.raises(Unavailable, match="webhook"):
        await podpin.look()
    assert world.writes == [], "it is told once"
    later(world, 61)
    await podpin.settle()
    assert world.release == B
    assert "failed calling webhook" in next(one.message for one in world.notices if one.reason == "NotPulled")


async def test_a_pod_that_could_be_made_at_last_is_waited_for() -> None:
    world, podpin = await steady()
    world.refused["create_pod"] = Unavailable("failed calling webhook")
    with pytest.raises(Unavailable):
        await podpin.look()
    world.refused.clear()
    await podpin.settle()
    assert len(pullers(world)) == 2
    assert "webhook" not in podpin.message
    show(world, THERE)
    await podpin.settle()
    assert world.release == B
    assert "NotPulled" not in texts(world.notices)


async def test_a_write_without_an_answer_is_done_again() -> None:
    world, podpin = await steady()
    world.answers_lost = 1
    with pytest.raises(Unavailable):
        await podpin.look()
    world.late = None
    await podpin.settle()
    assert len(pullers(world)) == 2


@pytest.mark.parametrize(
    ("change", "release"),
    [
        ({"suspend": True}, A),
        ({"rollout": {**TERMS, "prePull": False}}, B),
        ({"images": [{"container": "none", "repository": "r.example.com/x", "policy": {"tag": {"name": "a"}}}]}, A),
    ],
    ids=["suspended", "not to be pulled first any more", "a spec that can't be used"],
)
async def test_a_changed_spec_leaves_no_pods_behind(change: Json, release: str) -> None:
    world, podpin = await steady()
    await podpin.settle()
    assert len(pullers(world)) == 2
    assert world.rollout is not None
    world.apply({**world.rollout["spec"], **change})
    await podpin.settle()
    assert pullers(world) == {}
    assert world.release == release


async def test_pods_of_a_rollout_that_was_deleted_and_made_again_are_not_its_own() -> None:
    world, podpin = await steady()
    await podpin.settle()
    for raw in pullers(world).values():
        raw["metadata"]["ownerReferences"] = [{**raw["metadata"]["ownerReferences"][0], "uid": "another"}]
    await podpin.look()
    await podpin.settle()
    assert {raw["metadata"]["ownerReferences"][0]["uid"] for raw in pullers(world).values()} == {"another"}
    assert world.release == B, "their names are taken, so those nodes are passed over"


async def test_what_a_node_said_is_remembered_while_it_only_says_that_it_backs_off() -> None:
    backs_off = {"waiting": {"reason": "ImagePullBackOff", "message": 'Back-off pulling image "x"'}}
    for said, reason in ((DOWN, "PrePulling"), (DENIED, "RolledBack")):
        world, podpin = await steady()
        await podpin.settle()
        show(world, said)
        await podpin.settle()
        told = podpin.message
        show(world, backs_off)
        assert await podpin.settle() == [], "it has said nothing new"
        assert podpin.message == told
        later(world, 61)
        await podpin.settle()
        assert podpin.ready[1] == reason


async def test_podpin_that_was_away_for_longer_than_the_pods_last_begins_anew() -> None:
    world, podpin = await steady()
    await podpin.settle()
    for raw in pullers(world).values():
        ended = {"terminated": {"exitCode": 137, "reason": "ContainerStatusUnknown"}}
        part = {"name": "app", "ready": False, "restartCount": 0, "imageID": "", "state": ended}
        raw["status"] = {"phase": "Failed", "reason": "DeadlineExceeded", "containerStatuses": [part]}
    later(world, 130)
    podpin = Podpin(world)
    await podpin.settle()
    assert podpin.ready == ("Unknown", "PrePulling")
    assert len(pullers(world)) == 2
    show(world, THERE)
    await podpin.settle()
    assert world.release == B


async def test_the_nodes_are_looked_at_anew_before_the_deadline_turns_a_release_down() -> None:
    world, podpin = await steady()
    await podpin.settle()
    show(world, {"waiting": {"reason": "ContainerCreating"}})
    world.late = world.pods_of(WEB)  # the watch lags behind
    show(world, THERE)
    later(world, 61)
    await podpin.settle()
    assert world.release == B


@pytest.mark.parametrize("state", [THERE, FOREIGN], ids=["pulled", "rejected"])
@pytest.mark.parametrize("kind", ["Deployment", "Pods"])
@pytest.mark.parametrize("dies", range(1, 10))
async def test_a_death_after_any_write_comes_to_the_same_end(dies: int, kind: str, state: Json) -> None:
    world, podpin = await steady(kind)
    world.crash_after = dies
    for _ in range(4):
        try:
            await podpin.settle()
        except Crash:
            podpin = Podpin(world)
            await podpin.settle()
        show(world, state)
    assert pullers(world) == {}
    assert podpin.ready == (("Unknown", "Progressing") if state is THERE else ("True", "RolledBack"))
    assert world.templates == ([] if kind == "Pods" else [A, B] if state is THERE else [A])
    assert [write for write in world.writes if write.startswith("record")] == [f"record {B}"]
    world.writes.clear()
    assert await podpin.settle() == []
