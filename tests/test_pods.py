"""`workload.kind: Pods` on a small honest world: which Pods are written, in which order, and how often."""

from __future__ import annotations

import copy
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from podpin.core.names import LABEL_RELEASE
from podpin.core.release import record_of
from podpin.core.times import write_time
from podpin.errors import Denied, Invalid, PodpinError, Unavailable
from tests.builders import UID, at, images, raw_spec, release_id, spec
from tests.world import Crash, Podpin, World, later, texts

if TYPE_CHECKING:
    from collections.abc import Callable

KIND = spec(workload={"kind": "Pods"})
A, B, C = (release_id(letter, KIND) for letter in "abc")


def wish(**workload: Any) -> dict[str, Any]:
    return raw_spec(workload={"kind": "Pods", **workload})


def fresh(**workload: Any) -> tuple[World, Podpin]:
    world = World()
    world.apply(wish(**workload))
    world.push("a")
    return world, Podpin(world)


async def proven(**workload: Any) -> tuple[World, Podpin]:
    """Release A is stable and serves."""
    world, podpin = fresh(**workload)
    await podpin.settle()
    later(world, 5)
    world.own_ready()
    await podpin.settle()
    later(world, 11)
    await podpin.settle()
    assert podpin.ready == ("True", "RolledOut")
    world.writes.clear()
    return world, podpin


async def grow(world: World, podpin: Podpin, release: str | None = None) -> None:
    """Pods come up and podpin goes on until nothing more is to be done."""
    for _ in range(30):
        later(world, 2)
        world.own_ready(release)
        if not await podpin.settle():
            return
    raise AssertionError("it does not come to rest")


def names_of(world: World, release: str) -> list[str]:
    return sorted(name for name, raw in world.own.items() if raw["metadata"]["labels"][LABEL_RELEASE] == release)


async def test_a_new_rollout_writes_the_record_the_pods_and_the_status() -> None:
    world, podpin = fresh()
    assert await podpin.settle() == [f"record {A}", f"create web-{A}-0", f"create web-{A}-1", "status"]
    made = world.own[f"web-{A}-0"]
    assert "@sha256:" in made["spec"]["containers"][0]["image"]
    assert made["metadata"]["ownerReferences"][0]["uid"] == UID


async def test_a_rollout_of_n_replicas_costs_a_record_n_creations_n_removals_two_statuses_and_a_verdict() -> None:
    world, podpin = await proven(replicas=8)
    world.push("b")
    await podpin.settle()
    await grow(world, podpin)
    later(world, 11)
    await podpin.settle()
    assert podpin.ready == ("True", "RolledOut")
    counts: dict[str, int] = {}
    for write in world.writes:
        counts[write.split()[0]] = counts.get(write.split()[0], 0) + 1
    assert counts == {"record": 1, "create": 8, "evict": 8, "status": 2, "verdict": 1}
    assert names_of(world, B) == sorted(f"web-{B}-{nth}" for nth in range(8))


async def test_a_failed_release_goes_with_a_verdict_and_a_mark_before_its_pods_and_stable_is_not_touched() -> None:
    world, podpin = await proven()
    world.push("b")
    await podpin.settle()
    assert world.writes == [f"record {B}", f"create web-{B}-0", "status"]
    world.own_crash(B)
    world.budget = "no budget left"
    later(world, 3)
    before = copy.deepcopy({name: world.own[name] for name in names_of(world, A)})
    world.asked.clear()
    assert await podpin.settle() == [
        f"verdict Rejected on {B}",
        f"verdict Stable on {A}",
        f"delete web-{B}-0",
        "status",
    ]
    assert world.own == before
    assert world.asked["refresh"] == 0, "going back does not wait for a second look"
    assert podpin.ready == ("True", "RolledBack")


@pytest.mark.parametrize("restarted", [False, True], ids=["the same podpin", "one that was started anew"])
async def test_a_quiet_cluster_is_not_written_to(restarted: bool) -> None:
    world, podpin = await proven()
    for _ in range(3):
        later(world, 3600)
        assert await (Podpin(world) if restarted else podpin).settle() == []


async def test_a_pod_that_somebody_deletes_is_replaced_at_once_and_nothing_else_happens() -> None:
    world, podpin = await proven()
    del world.own[f"web-{A}-0"]
    assert [write for write in await podpin.settle() if write != "status"] == [f"create web-{A}-0"]


async def test_a_pod_that_is_going_away_keeps_its_name_and_is_replaced_under_the_next() -> None:
    world, podpin = await proven()
    raw = world.own[f"web-{A}-0"]
    world.own[f"web-{A}-0"] = {**raw, "metadata": {**raw["metadata"], "deletionTimestamp": "2026-03-01T12:00:00Z"}}
    assert [write for write in await podpin.settle() if write != "status"] == [f"create web-{A}-2"]


async def test_replicas_are_kept_to_at_once() -> None:
    world, podpin = await proven()
    world.apply(wish(replicas=4))
    assert [write for write in await podpin.settle() if write != "status"] == [
        f"create web-{A}-2",
        f"create web-{A}-3",
    ]
    world.own_ready()
    await podpin.settle()
    world.apply(wish(replicas=1))
    assert len([write for write in await podpin.settle() if write.startswith("delete")]) == 3
    world.apply(wish(replicas=0))
    await podpin.settle()
    assert world.own == {}
    assert podpin.ready == ("True", "ScaledToZero")


async def test_a_pod_of_somebody_else_with_our_labels_is_neither_counted_nor_touched() -> None:
    world, podpin = await proven()
    raw = copy.deepcopy(world.own[f"web-{A}-0"])
    raw["metadata"].update(
        name="theirs", uid="theirs", ownerReferences=[{"controller": True, "kind": "Job", "uid": "j"}]
    )
    world.own["theirs"] = raw
    assert await podpin.settle() == []


async def test_an_orphan_is_adopted() -> None:
    world, podpin = await proven()
    world.own[f"web-{A}-0"]["metadata"].pop("ownerReferences")
    assert await podpin.settle() == [f"adopt web-{A}-0"]


async def test_a_name_that_somebody_else_has_is_passed_over() -> None:
    world, podpin = fresh()
    world.own[f"web-{A}-0"] = {"metadata": {"name": f"web-{A}-0", "uid": "x", "labels": {}}, "status": {}, "spec": {}}
    await podpin.settle()
    assert sorted(world.own) == [f"web-{A}-{nth}" for nth in range(3)]


async def test_what_the_api_server_would_not_take_replaces_nothing_and_leaves_no_record() -> None:
    world, podpin = await proven(strategy={"type": "Recreate"})
    world.push("b")
    world.refused["rehearse"] = Invalid("spec.containers[0].image: too long")
    assert await podpin.settle() == ["status"]
    assert podpin.ready == ("False", "WorkloadRefused")
    assert names_of(world, A) == [f"web-{A}-0", f"web-{A}-1"]


async def test_a_quota_is_told_and_waited_for_and_tried_ever_more_seldom() -> None:
    world, podpin = fresh(replicas=5)
    world.refused["create_pod"] = Denied('pods "web-x" is forbidden: exceeded quota: small')
    await podpin.settle()
    assert podpin.ready == ("Unknown", "PodsNotCreated")
    tried = world.asked["create_pod"]
    assert tried == 1
    assert await podpin.settle() == []
    assert world.asked["create_pod"] == tried, "not before its time"
    later(world, 3600)
    assert await podpin.settle() == []
    assert world.asked["create_pod"] == tried + 1
    world.refused.clear()
    later(world, 60)
    await podpin.settle()
    assert len(world.own) == 5
    assert podpin.ready == ("Unknown", "Progressing")


@pytest.mark.parametrize("forbidden", ["creations", "evictions"])
async def test_what_is_refused_is_tried_again_by_itself_for_ever_in_a_world_where_nothing_else_happens(
    forbidden: str,
) -> None:
    world, podpin = await proven()
    world.push("b")
    if forbidden == "creations":
        world.refused["create_pod"] = Denied('pods "web-x" is forbidden: exceeded quota: small')
        await podpin.settle()
    else:
        world.budget = "Cannot evict pod as it would violate the pod's disruption budget."
        await podpin.settle()
        later(world, 2)
        world.own_ready()
        await podpin.settle()
    wait, asks = await podpin.look(), "create_pod" if forbidden == "creations" else "evict_pod"
    for _ in range(12):
        assert wait is not None, "it would never be tried again"
        assert timedelta(0) < wait <= timedelta(seconds=60)
        before = world.asked[asks]
        later(world, wait.total_seconds())
        wait = await podpin.look()
        assert world.asked[asks] == before + 1


async def test_an_eviction_that_a_budget_forbids_is_told_and_does_not_count_against_the_release() -> None:
    world, podpin = await proven()
    world.budget = "Cannot evict pod as it would violate the pod's disruption budget."
    world.push("b")
    await podpin.settle()
    later(world, 2)
    world.own_ready()
    assert await podpin.look() == timedelta(0), "it is to be told at once"
    await podpin.settle()
    assert podpin.ready == ("Unknown", "EvictionRefused")
    later(world, 5000)
    assert await podpin.settle() == []
    world.budget = None
    later(world, 5)
    await podpin.settle()
    await grow(world, podpin)
    later(world, 11)
    await podpin.settle()
    assert podpin.ready == ("True", "RolledOut")
    assert names_of(world, A) == []


@pytest.mark.parametrize("lost", [1, 2, 3], ids=lambda number: f"{number} answers are lost")
async def test_a_write_without_an_answer_makes_no_pod_too_many(lost: int) -> None:
    world, podpin = fresh(replicas=6)
    world.answers_lost = lost
    for _ in range(8):
        try:
            await podpin.settle()
        except Unavailable:
            continue
        break
    assert sorted(world.own) == [f"web-{A}-{nth}" for nth in range(6)]


async def test_while_suspended_lost_pods_are_replaced_and_nothing_else_is_done() -> None:
    world, podpin = await proven()
    world.push("b")
    world.apply({**wish(), "suspend": True})
    await podpin.settle()
    world.writes.clear()
    del world.own[f"web-{A}-1"]
    assert [write for write in await podpin.settle() if write != "status"] == [f"create web-{A}-1"]


async def test_while_the_spec_cannot_be_used_lost_pods_are_replaced_and_replicas_kept_to() -> None:
    world, podpin = await proven()
    world.push("b")
    broken = wish(replicas=3)
    broken["images"][0]["policy"] = {"semver": {"range": "not a range"}}
    world.apply(broken)
    await podpin.settle()
    assert podpin.ready == ("False", "InvalidPolicy")
    assert names_of(world, A) == [f"web-{A}-{nth}" for nth in range(3)]
    later(world, 3)
    await podpin.settle()
    world.writes.clear()
    del world.own[f"web-{A}-1"]
    assert await podpin.settle() == [f"create web-{A}-1"]
    assert await podpin.settle() == []
    assert {raw["spec"]["containers"][0]["image"] for raw in world.own.values()} == {dict(images("a"))["app"]}
    world.apply(wish(replicas=3))
    await podpin.settle()
    assert len(names_of(world, B)) == 1, "once the spec can be used again, so is the newer version"


async def test_while_the_first_spec_cannot_be_used_there_are_no_pods() -> None:
    world, podpin = fresh()
    broken = wish()
    broken["images"][0]["policy"] = {"semver": {"range": "not a range"}}
    world.apply(broken)
    assert await podpin.settle() == ["status"]
    assert podpin.ready == ("False", "InvalidPolicy")
    assert await podpin.settle() == []


async def test_an_image_that_somebody_changed_by_hand_is_replaced() -> None:
    world, podpin = await proven()
    world.own[f"web-{A}-0"]["spec"]["containers"][0]["image"] = "elsewhere:1"
    await podpin.settle()
    await grow(world, podpin)
    assert all("@sha256:" in raw["spec"]["containers"][0]["image"] for raw in world.own.values())
    assert texts(world.notices).count("DriftCorrected") == 1


async def test_whoever_keeps_changing_images_is_told_of_and_put_right_once_a_minute() -> None:
    world, podpin = await proven()
    for _ in range(60):
        for raw in world.own.values():
            raw["spec"]["containers"][0]["image"] = "elsewhere:1"
        await podpin.look()
        later(world, 2)
        world.own_ready()
    assert podpin.ready == ("False", "ImageContested")
    assert "somebody keeps changing what podpin applies to the Pods" in podpin.message
    assert len(world.writes) < 40
    for _ in range(200):
        await podpin.look()
        later(world, 2)
        world.own_ready()
    assert all("@sha256:" in raw["spec"]["containers"][0]["image"] for raw in world.own.values())
    for _ in range(400):
        await podpin.look()
        later(world, 2)
    assert podpin.ready == ("True", "RolledOut")


async def test_a_release_that_is_tried_again_is_tried_with_new_pods() -> None:
    world, podpin = fresh()
    await podpin.settle()
    world.own_crash(A)
    later(world, 3)
    await podpin.settle()
    assert podpin.ready == ("False", "Rejected")
    before = {raw["metadata"]["uid"] for raw in world.own.values()}
    world.apply(retry="once")
    await podpin.settle()
    await grow(world, podpin)
    assert len(world.own) == 2
    assert not before & {raw["metadata"]["uid"] for raw in world.own.values()}


async def test_recreate_stops_all_before_it_starts_any() -> None:
    world, podpin = await proven(strategy={"type": "Recreate"})
    world.push("b")
    assert await podpin.settle() == [
        f"record {B}",
        f"delete web-{A}-0",
        f"delete web-{A}-1",
        "status",
        f"create web-{B}-0",
        f"create web-{B}-1",
    ]


# --- a death after each write


def story() -> list[tuple[str, Callable[[World], None]]]:
    def ready(world: World) -> None:
        later(world, 3)
        world.own_ready()

    def wait(world: World) -> None:
        later(world, 11)

    def crash(world: World) -> None:
        later(world, 1)
        world.own_crash(C)

    return [
        ("applied", lambda world: (world.apply(wish()), world.push("a"))[0]),
        ("ready", ready),
        ("baked", wait),
        ("pushed", lambda world: world.push("b")),
        *[("ready", ready)] * 3,
        ("baked", wait),
        ("pushed", lambda world: world.push("c")),
        ("it crashes", crash),
        ("back", ready),
        ("rolled back", lambda world: world.apply(**{"rollback-to": "previous"})),
        *[("ready", ready)] * 3,
        ("baked", wait),
    ]


async def live_through(crash_after: int | None) -> World:
    world = World(crash_after=crash_after)
    podpin = Podpin(world)
    for _, happens in story():
        happens(world)
        try:
            await podpin.settle()
        except Crash:
            podpin = Podpin(world)
            await podpin.settle()
    return world


def outcome(world: World) -> dict[str, Any]:
    assert world.rollout is not None
    records = [record for raw in world.records.values() if (record := record_of(raw["metadata"]))]
    status = copy.deepcopy(world.rollout["status"])
    return {
        "pods": sorted(world.own),
        "runs": {record.release: record.runs for record in records},
        "verdicts": {
            record.release: record.verdict and (record.verdict.result, record.verdict.order) for record in records
        },
        "status": status,
    }


@pytest.mark.timeout(120)
async def test_a_death_after_any_write_leads_to_the_same_end() -> None:
    whole = await live_through(None)
    wanted = outcome(whole)
    assert wanted["pods"] == [f"web-{A}-0", f"web-{A}-1"]
    for number in range(1, len(whole.writes) + 1):
        world = await live_through(number)
        assert world.crash_after is None
        assert outcome(world) == wanted, f"after write {number}: {whole.writes[number - 1]}"


async def test_half_of_the_writes_fail_and_it_comes_to_the_same_end() -> None:
    world, podpin = fresh(replicas=20)
    for nth in range(0, 20, 2):
        world.refused[f"create_pod web-{A}-{nth}"] = Unavailable("busy")
    for turn in range(40):
        if turn == 5:
            world.refused.clear()
        try:
            await podpin.settle()
        except PodpinError:
            continue
    assert sorted(world.own) == sorted(f"web-{A}-{nth}" for nth in range(20))


# --- in place


def restarted(world: World, **how: Any) -> None:
    """The kubelet has stopped what was patched and started the new image; `how` says what became of it."""
    for name, raw in list(world.own.items()):
        noted = (raw["metadata"].get("annotations") or {}).get("podpin.dev/patched")
        part = raw["status"]["containerStatuses"][0]
        if noted is None or part.get("seen") == noted:
            continue
        since = write_time(world.now)
        ended = {
            "terminated": {"exitCode": 137, "reason": "Error", "startedAt": write_time(at(0)), "finishedAt": since}
        }
        new = {
            **part,
            "restartCount": part["restartCount"] + 1,
            "imageID": raw["spec"]["containers"][0]["image"],
            "state": {"running": {"startedAt": since}},
            "lastState": ended,
            "seen": noted,
            **how,
        }
        ready = {"type": "Ready", "status": "True" if new["ready"] else "False", "lastTransitionTime": since}
        told = {"observedGeneration": raw["metadata"]["generation"], "conditions": [ready], "containerStatuses": [new]}
        world.own[name] = world._stamped({**raw, "status": {**raw["status"], **told}})


async def test_in_place_patches_one_pod_after_another_and_makes_none() -> None:
    world, podpin = await proven(replicas=3, inPlace=True)
    uids = {raw["metadata"]["uid"] for raw in world.own.values()}
    world.push("b")
    assert await podpin.settle() == [f"record {B}", f"patch web-{A}-0", "status"]
    for number in (1, 2):
        later(world, 2)
        restarted(world)
        assert await podpin.settle() == [f"patch web-{A}-{number}"]
    later(world, 2)
    restarted(world)
    assert await podpin.settle() == [], "the restarts that were asked for are no failures"
    later(world, 11)
    assert await podpin.settle() == [f"verdict Stable on {B}", "status"]
    assert podpin.ready == ("True", "RolledOut")
    assert {raw["metadata"]["uid"] for raw in world.own.values()} == uids
    for again in (podpin, Podpin(world)):
        later(world, 3600)
        assert await again.settle() == []


async def test_in_place_bakes_from_the_restart_on_though_podpin_was_started_anew_meanwhile() -> None:
    world, podpin = await proven(replicas=1, inPlace=True)
    world.push("b")
    await podpin.settle()
    later(world, 60)
    restarted(world)
    assert await Podpin(world).settle() == []
    later(world, 9)
    assert await Podpin(world).settle() == []
    later(world, 2)
    assert f"verdict Stable on {B}" in await Podpin(world).settle()


async def test_what_fails_in_place_is_patched_back_and_nothing_else_is_touched() -> None:
    world, podpin = await proven(replicas=3, inPlace=True)
    world.push("b")
    await podpin.settle()
    later(world, 2)
    state = {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off"}}
    restarted(
        world, ready=False, state=state, restartCount=4, lastState={"terminated": {"exitCode": 1, "reason": "Error"}}
    )
    later(world, 3)
    assert [write for write in await podpin.settle() if write != "status"] == [
        f"verdict Rejected on {B}",
        f"verdict Stable on {A}",
        f"patch web-{A}-0",
    ]
    later(world, 3)
    restarted(world, ready=True)
    await podpin.settle()
    assert podpin.ready == ("True", "RolledBack")
    assert names_of(world, A) == [f"web-{A}-{nth}" for nth in range(3)]


async def test_a_pod_that_must_not_be_patched_is_replaced() -> None:
    world, podpin = await proven(inPlace=True)
    world.refused["patch_pod"] = Denied("a policy forbids it")
    world.push("b")
    await podpin.settle()
    await podpin.settle()
    await grow(world, podpin)
    await grow(world, podpin)
    assert len(names_of(world, B)) == 2
    assert not any(write.startswith("patch") for write in world.writes)


async def test_a_changed_template_replaces_pods_whatever_is_said_of_in_place() -> None:
    world, podpin = await proven(inPlace=True)
    changed = wish(inPlace=True)
    changed["workload"]["template"] = {"spec": {"containers": [{"name": "app", "args": ["--fast"]}]}}
    world.apply(changed)
    writes = await podpin.settle()
    assert [write.split()[0] for write in writes] == ["record", "create", "status"]
