"""Look, decide, act, on a small honest world: the order of writes, a death after each, questions not asked."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import gc
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from podpin.configuration import STILL_SO
from podpin.core.image import Facts, Layer
from podpin.core.keyring import Access
from podpin.core.names import Key
from podpin.core.policy.terms import PassedOver
from podpin.core.release import record_of
from podpin.core.selector import parse_selector
from podpin.core.spec import Problem, Spec
from podpin.errors import Conflict, Denied, Invalid, NotFound, PodpinError, Unavailable
from podpin.inquiry import Failed, Found, Outcome
from podpin.poller import AccessSource, Look
from podpin.reconcile import (
    ASK_AGAIN,
    BLIND,
    MOST_ASKED,
    PATIENCE,
    SLOW_START,
    access_source,
    key_secrets_of,
    load_access,
    rollout_of,
)
from tests.builders import REPOSITORY, at, container, digest, pod, raw_spec, release_id, spec, waiting
from tests.specs import PEM
from tests.world import WEB, Crash, Podpin, World, later, texts

if TYPE_CHECKING:
    from collections.abc import Callable

A, B = release_id("a"), release_id("b")
NOT_FOUND = 'failed to pull and unpack image "x": failed to resolve reference "x": x: not found'


def fresh() -> tuple[World, Podpin]:
    """A rollout has been applied, and the registry has 1.0.0."""
    world = World()
    world.apply()
    world.push("a")
    return world, Podpin(world)


async def proven() -> tuple[World, Podpin]:
    """Release A is stable and serves."""
    world, podpin = fresh()
    await podpin.settle()
    later(world, 5)
    world.become_ready()
    later(world, 11)
    await podpin.settle()
    assert podpin.ready == ("True", "RolledOut")
    world.asked.clear()
    return world, podpin


async def trying() -> tuple[World, Podpin]:
    """Release A serves, and B is being tried."""
    world, podpin = await proven()
    world.push("b")
    await podpin.settle()
    assert world.release == B
    world.asked.clear()
    return world, podpin


# --- the order of writes


async def test_a_new_rollout_writes_the_record_then_the_workload_then_the_status() -> None:
    world, podpin = fresh()
    assert await podpin.settle() == [f"record {A}", f"workload {A}", "status"]
    assert texts(world.notices) == ["Progressing"]


async def test_a_new_version_writes_the_record_then_the_workload_then_the_status() -> None:
    world, podpin = await proven()
    world.push("b")
    assert await podpin.settle() == [f"record {B}", f"workload {B}", "status"]


async def test_a_proven_release_gets_its_verdict_before_the_status_tells_of_it() -> None:
    world, podpin = await trying()
    world.become_ready()
    later(world, 11)
    assert await podpin.settle() == [f"verdict Stable on {B}", "status"]
    assert podpin.ready == ("True", "RolledOut")


async def test_a_failed_release_gets_its_verdict_before_the_workload_goes_back() -> None:
    world, podpin = await trying()
    world.fail_to_start()
    assert await podpin.settle() == [f"verdict Rejected on {B}", f"workload {A}", "status"]
    assert world.asked["release"] == 1
    assert texts(world.notices)[-2:] == ["Rejected", "RolledBack"]


async def test_a_rollback_restores_the_whole_template_from_the_record() -> None:
    world, podpin = await proven()
    before = copy.deepcopy((world.deployment or {})["spec"]["template"])
    world.apply(raw_spec(template={"spec": {"containers": [{"name": "app", "args": ["--fast"]}]}}))
    world.push("b")
    await podpin.settle()
    assert (world.deployment or {})["spec"]["template"]["spec"]["containers"][0]["args"] == ["--fast"]
    world.fail_to_start()
    await podpin.settle()
    assert (world.deployment or {})["spec"]["template"] == before


@pytest.mark.parametrize("stage", [fresh, proven, trying], ids=["nothing has happened yet", "stable", "trying"])
async def test_a_second_look_at_the_same_world_writes_nothing(stage: Callable[[], Any]) -> None:
    made = stage()
    world, podpin = await made if asyncio.iscoroutine(made) else made
    await podpin.settle()
    notices = len(world.notices)
    for restarted in (podpin, Podpin(world)):
        assert await restarted.settle() == []
    assert len(world.notices) == notices


async def test_news_that_changes_no_decision_is_not_written_down() -> None:
    world, podpin = await proven()
    world.apply(other="annotation")
    world.deployment = world._stamped(world.deployment or {})
    later(world, 3600)
    assert await podpin.settle() == []


# --- a death after each write


def story() -> list[tuple[str, Callable[[World], None]]]:
    """A first release, a second, a third that fails, a fourth that fails at first, and going back by request, twice."""

    def ready(world: World) -> None:
        later(world, 3)
        world.become_ready()

    def wait(world: World) -> None:
        later(world, 11)

    changed = raw_spec(template={"spec": {"containers": [{"name": "app", "args": ["--fast"]}]}})
    return [
        ("applied", lambda world: (world.apply(), world.push("a"))[0]),
        ("ready", ready),
        ("baked", wait),
        ("pushed 1.0.1", lambda world: world.push("b")),
        ("ready", ready),
        ("baked", wait),
        ("pushed 1.0.2", lambda world: world.push("c")),
        ("it crashes", lambda world: world.fail_to_start()),
        ("back", ready),
        ("changed", lambda world: world.apply(changed)),
        ("it crashes", lambda world: world.fail_to_start()),
        ("back", ready),
        ("retried", lambda world: world.apply(retry="once")),
        ("ready", ready),
        ("baked", wait),
        ("rolled back", lambda world: world.apply(**{"rollback-to": "previous"})),
        ("back", ready),
        ("baked", wait),
        ("pushed 1.0.3", lambda world: world.push("d")),
        ("ready", ready),
        ("baked", wait),
        ("rolled back to the first", lambda world: world.apply(**{"rollback-to": A})),
        ("back", ready),
        ("baked", wait),
    ]


async def live_through(crash_after: int | None) -> World:
    """The whole story, with a death after that many writes."""
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
    """Everything that must be the same in the end."""
    assert world.deployment is not None
    assert world.rollout is not None
    verdicts = {name: record_of(raw["metadata"]) for name, raw in world.records.items()}
    metadata = world.deployment["metadata"]
    return {
        "runs": world.deployment["spec"],
        "intent": metadata["annotations"],
        "generation": metadata["generation"],
        "rollouts": world.templates,
        "verdicts": {
            name: record.verdict and (record.verdict.result, record.verdict.order, record.verdict.reason)
            for name, record in verdicts.items()
            if record is not None
        },
        "status": world.rollout["status"],
    }


@pytest.mark.timeout(240)  # fifty lives, on a machine that may be busy
async def test_a_death_after_any_write_leads_to_the_same_end_without_a_second_rollout() -> None:
    whole = await live_through(None)
    wanted = outcome(whole)
    assert wanted["rollouts"][-1] == A
    assert len(wanted["rollouts"]) == 10
    assert len(whole.writes) > 40
    for number in range(1, len(whole.writes) + 1):
        world = await live_through(number)
        assert world.crash_after is None, f"write {number} was never reached"
        assert outcome(world) == wanted, f"after write {number}: {whole.writes[number - 1]}"


async def test_writes_that_fail_are_made_good_by_the_next_look() -> None:
    """Each kind of write is refused once; nothing is lost, and nothing is done twice."""
    wanted = outcome(await live_through(None))
    for method in ("write_record", "judge", "apply", "write_status", "release", "live_workload"):
        world = World()
        podpin = Podpin(world)
        for _, happens in story():
            happens(world)
            world.fail[method] = Unavailable("the API server is down")
            with contextlib.suppress(Unavailable):
                await podpin.settle()
            del world.fail[method]
            await podpin.settle()
        assert outcome(world) == wanted, method


async def test_a_verdict_that_cannot_be_written_leaves_no_stray_error_of_the_record_that_was_read_meanwhile() -> None:
    world, podpin = await trying()
    world.fail_to_start()
    world.fail = {"release": Unavailable("down")}
    strays: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: strays.append(context))

    async def slow(*_: object) -> None:
        for _turn in range(5):
            await asyncio.sleep(0)
        assert world.asked["release"] == 1
        raise Unavailable("down as well")

    podpin.reconciler._cluster.judge = slow  # type: ignore[method-assign, assignment]
    with pytest.raises(Unavailable, match="down as well"):
        await podpin.look()
    gc.collect()
    assert strays == []


async def test_a_record_that_is_gone_when_it_is_to_be_applied_is_an_error_and_not_a_guess() -> None:
    world, podpin = await trying()
    world.fail_to_start()
    world.records[A]["data"] = {}
    with pytest.raises(NotFound, match=f"record of release {A} is gone"):
        await podpin.look()
    assert world.release == B


# --- stale eyes


async def test_nothing_is_decided_while_the_mirrors_are_not_current() -> None:
    world, podpin = await trying()
    world.fail_to_start()
    world.trouble = "podpin can't watch pods: down."
    assert await podpin.look() == BLIND
    assert world.asked == {}
    world.trouble = None
    await podpin.look()
    assert world.release == A


async def test_a_release_is_proven_by_what_is_there_now_and_not_by_what_a_silent_watch_last_told() -> None:
    world, podpin = await trying()
    world.become_ready()
    await podpin.settle()
    world.late, whole = world.pods, world.deployment
    world.fail_to_start()
    world.deployment = whole
    later(world, 11)
    await podpin.look()
    assert world.asked["refresh"] == 1
    assert f"verdict Stable on {B}" not in world.writes
    assert world.release == A


async def test_a_release_does_not_fail_the_deadline_that_it_has_met_out_of_podpin_s_sight() -> None:
    world, podpin = await trying()
    stuck(world, scheduled=passed(world))
    world.late = world.pods
    later(world, 61)
    world.become_ready()
    assert await podpin.look() == timedelta(seconds=10)
    assert world.asked["refresh"] == 1
    assert world.release == B
    later(world, 11)
    await podpin.settle()
    assert podpin.ready == ("True", "RolledOut")


async def test_a_release_that_is_late_in_truth_as_well_is_rejected_after_one_more_look() -> None:
    world, podpin = await trying()
    stuck(world, scheduled=passed(world))
    later(world, 61)
    await podpin.look()
    assert world.asked["refresh"] == 1
    assert world.release == A


async def test_a_verdict_waits_while_nobody_can_be_asked_whether_it_still_holds() -> None:
    world, podpin = await trying()
    world.become_ready()
    await podpin.settle()
    later(world, 11)
    world.fail["refresh"] = Unavailable("down")
    with pytest.raises(Unavailable):
        await podpin.look()
    assert f"verdict Stable on {B}" not in world.writes


async def test_a_release_that_crashes_is_not_looked_at_twice() -> None:
    world, podpin = await trying()
    world.fail_to_start()
    await podpin.look()
    assert world.release == A
    assert world.asked["refresh"] == 0


# --- refusals


async def test_a_workload_that_the_api_server_refuses_is_told_and_not_sent_again() -> None:
    world, podpin = fresh()
    world.fail["apply"] = Invalid("spec.template.spec.containers[0].ports[0]: Required value")
    assert await podpin.settle() == [f"record {A}", "status"]
    assert podpin.ready == ("False", "WorkloadRefused")
    assert world.asked["apply"] == 1
    assert await podpin.settle() == []
    assert await Podpin(world).settle() == []
    assert world.asked["apply"] == 1
    assert texts(world.notices).count("WorkloadRefused") == 1


async def test_a_changed_spec_is_sent_after_a_refusal() -> None:
    world, podpin = fresh()
    world.fail["apply"] = Invalid("no")
    await podpin.settle()
    del world.fail["apply"]
    world.apply(raw_spec(template={"spec": {"containers": [{"name": "app", "args": ["--mended"]}]}}))
    await podpin.settle()
    assert world.deployment is not None
    assert podpin.ready == ("Unknown", "Progressing")
    assert "refused" not in (world.rollout or {})["status"]


async def test_a_write_that_is_forbidden_is_told_once_and_tried_again() -> None:
    world, podpin = fresh()
    world.fail["apply"] = Denied("exceeded quota: apps")
    for _ in range(3):
        with pytest.raises(Unavailable, match="forbids podpin's write: exceeded quota") as refusal:
            await podpin.look()
        assert refusal.value.retry_after == 5.0
    assert world.asked["apply"] == 3
    assert world.writes.count("status") == 1
    assert podpin.ready == ("False", "WriteForbidden")
    assert texts(world.notices).count("WriteForbidden") == 1
    del world.fail["apply"]
    await podpin.settle()
    assert podpin.ready == ("Unknown", "Progressing")


@pytest.mark.parametrize("write", ["write_record", "judge"])
async def test_a_record_that_the_api_server_refuses_is_told_once_and_tried_again(write: str) -> None:
    world, podpin = fresh()
    if write == "judge":
        world, podpin = await trying()
        world.fail_to_start()
    writes = world.writes.count("status")
    world.fail[write] = Invalid("data: Too long")
    for _ in range(3):
        with pytest.raises(Invalid, match="Too long"):
            await podpin.look()
    assert world.writes.count("status") == writes + 1
    assert podpin.ready == ("False", "RecordRefused")
    assert texts(world.notices).count("RecordRefused") == 1
    del world.fail[write]
    await podpin.settle()
    assert podpin.ready[1] in ("Progressing", "RollingBack", "RolledBack")


@pytest.mark.parametrize("error", [Conflict("another"), Unavailable("down"), NotFound("namespace is gone")])
async def test_any_other_trouble_is_left_to_the_queue_and_changes_no_status(error: PodpinError) -> None:
    world, podpin = fresh()
    world.fail["apply"] = error
    with pytest.raises(type(error)):
        await podpin.look()
    assert "status" not in world.writes


async def test_a_bug_is_told_once_until_podpin_gets_the_better_of_it() -> None:
    world, podpin = await proven()
    for _ in range(3):
        await podpin.reconciler.confess(WEB)
    assert podpin.ready == ("False", "InternalError")
    assert world.writes.count("status") == 3
    assert texts(world.notices).count("InternalError") == 1
    await podpin.settle()
    assert podpin.ready == ("True", "RolledOut")


async def test_a_bug_about_a_rollout_that_is_gone_is_told_to_nobody() -> None:
    world, podpin = await proven()
    podpin.rollouts.drop(WEB)
    writes = len(world.writes)
    await podpin.reconciler.confess(WEB)
    assert len(world.writes) == writes


# --- what somebody else does


@pytest.mark.parametrize(
    "fields",
    [
        {"replicas": 7},
        {"strategy": {"type": "Recreate"}},
        {"template": {"metadata": {"labels": {"podpin.dev/rollout": "web", "podpin.dev/release": A}},
                      "spec": {"containers": [{"name": "app", "image": "evil:latest"}]}}},
    ],
    ids=["replicas", "strategy", "image"],
)  # fmt: skip
async def test_what_somebody_changes_in_the_deployment_is_found_by_its_generation_and_put_back(
    fields: dict[str, Any],
) -> None:
    world, podpin = await proven()
    before = copy.deepcopy((world.deployment or {})["spec"])
    world.edit_deployment(**fields)
    assert await podpin.settle() == [f"workload {A}", "status"]
    assert (world.deployment or {})["spec"] == before


async def test_what_somebody_changed_is_put_back_although_podpin_could_not_tell_at_its_first_look() -> None:
    """Restored without status and records: what ran was to be is known only once the registry has answered."""
    world, _ = await proven()
    before = copy.deepcopy((world.deployment or {})["spec"])
    world.edit_deployment(strategy={"type": "Recreate"})
    assert world.rollout is not None
    world.rollout, world.records = world._stamped({**world.rollout, "status": {}}), {}
    world.looks.clear()
    later(world, 10)
    podpin = Podpin(world)
    await podpin.settle()
    later(world, 10)
    world.push("a")
    await podpin.settle()
    assert (world.deployment or {})["spec"] == before


async def test_fields_that_podpin_does_not_set_are_left_to_others_and_compared_once() -> None:
    world, podpin = await proven()
    world.edit_deployment(paused=True, revisionHistoryLimit=3)
    assert await podpin.settle() == []
    assert await podpin.settle() == []
    assert world.asked["live_workload"] == 1
    assert (world.deployment or {})["spec"]["revisionHistoryLimit"] == 3


async def test_nobody_is_asked_while_the_generation_stands_still() -> None:
    world, podpin = await proven()
    await podpin.settle()
    await Podpin(world).settle()
    assert world.asked == {}


async def test_an_autoscaler_s_number_of_replicas_is_its_own() -> None:
    world = World()
    world.apply(raw_spec(workload={"replicas": None}))
    world.push("a")
    podpin = Podpin(world)
    await podpin.settle()
    world.edit_deployment(replicas=9)
    await podpin.settle()
    assert (world.deployment or {})["spec"]["replicas"] == 9
    assert world.writes.count(f"workload {release_id('a', spec(workload={'replicas': None}))}") == 1


async def test_a_deployment_that_is_deleted_is_made_again() -> None:
    world, podpin = await proven()
    world.deployment, world.pods = None, ()
    assert await podpin.settle() == [f"workload {A}", "status"]


async def test_a_rollout_that_went_with_its_deployment_while_the_watch_was_blind_makes_no_new_one() -> None:
    world, podpin = await proven()
    world.rollout, world.deployment, world.pods, world.records = None, None, (), {}
    with pytest.raises(NotFound):
        await podpin.look()
    assert (world.deployment, world.records) == (None, {})


async def test_a_deployment_that_the_mirror_does_not_know_yet_is_asked_for_before_one_is_made() -> None:
    world, podpin = await proven()
    world.blind = True
    assert await podpin.settle() == []
    assert world.asked["live_workload"] >= 1
    assert world.templates == [A]


@pytest.mark.parametrize("labelled", [True, False], ids=["with podpin's labels", "without"])
async def test_a_deployment_of_somebody_else_is_never_touched(labelled: bool) -> None:
    world, podpin = fresh()
    labels = {"podpin.dev/rollout": "web"} if labelled else {}
    world.deployment = {
        "metadata": {"name": "web", "uid": "theirs", "generation": 1, "labels": labels},
        "spec": {"replicas": 1, "template": {"spec": {"containers": [{"name": "app", "image": "web:1"}]}}},
    }
    theirs = copy.deepcopy(world.deployment)
    assert await podpin.settle() == ["status"]
    assert podpin.ready == ("False", "WorkloadConflict")
    assert world.deployment == theirs
    wait = await podpin.look()
    assert wait == timedelta(minutes=1)


async def test_a_rollout_that_is_being_deleted_is_left_alone() -> None:
    world, podpin = await proven()
    world.push("b")
    assert world.rollout is not None
    world.rollout["metadata"]["deletionTimestamp"] = "2026-03-01T12:00:00Z"
    world.rollout = world._stamped(world.rollout)
    followed = len(world.followed)
    assert await podpin.look() is None
    assert world.writes[-1] == "status"
    assert len(world.followed) == followed
    assert world.release == A


async def test_a_rollout_that_is_gone_is_forgotten() -> None:
    world, podpin = await proven()
    podpin.rollouts.drop(WEB)
    assert await podpin.reconciler.reconcile(WEB) is None
    assert world.forgotten == [WEB]


async def test_a_rollout_that_goes_while_its_status_is_written_does_not_come_back() -> None:
    """The watch tells of the deletion before the answer to the write is in."""
    world, podpin = fresh()
    write = world.write_status

    async def overtaken(*arguments: Any) -> Any:
        body = await write(*arguments)
        assert podpin.rollouts.drop(WEB, int(body["metadata"]["resourceVersion"]) + 1)
        return body

    podpin.reconciler._cluster.write_status = overtaken  # type: ignore[method-assign, assignment]
    await podpin.look()
    assert podpin.rollouts.get(WEB) is None


async def test_a_rollout_made_anew_under_the_same_name_does_not_inherit() -> None:
    world, podpin = await proven()
    assert world.rollout is not None
    world.rollout = world._stamped(
        {"metadata": {**world.rollout["metadata"], "uid": "anew", "generation": 1}, "spec": world.rollout["spec"]}
    )
    await podpin.settle()
    assert podpin.ready == ("False", "WorkloadConflict")
    assert world.templates == [A]


# --- specs and requests


async def test_a_spec_that_cannot_be_used_stops_the_polling_and_touches_nothing() -> None:
    world, podpin = await proven()
    wish = raw_spec()
    wish["images"][0]["container"] = "nobody"
    assert world.rollout is not None
    world.rollout = world._stamped({**world.rollout, "spec": wish})
    assert await podpin.settle() == ["status"]
    assert podpin.ready == ("False", "ContainerNotFound")
    assert world.forgotten == [WEB, WEB]
    assert world.release == A


async def test_a_suspended_rollout_polls_nothing_and_changes_nothing() -> None:
    world, podpin = await proven()
    world.apply(raw_spec(suspend=True))
    world.push("b")
    followed = len(world.followed)
    assert await podpin.settle() == ["status"]
    assert len(world.followed) == followed
    assert world.release == A


async def test_a_request_to_look_waits_for_a_look_that_began_after_it() -> None:
    world, podpin = await proven()
    world.apply(reconcile="now")
    await podpin.settle()
    assert world.asked["look_now"] == 1
    assert "reconcile" not in ((world.rollout or {})["status"].get("requests") or {})
    await podpin.settle()
    assert world.asked["look_now"] == 1
    world.push("b")
    await podpin.settle()
    assert (world.rollout or {})["status"]["requests"]["reconcile"] == "now"
    assert world.release == B
    await podpin.settle()
    await Podpin(world).settle()
    assert world.asked["look_now"] == 1


async def test_a_request_to_look_is_passed_on_again_after_a_restart_in_between() -> None:
    world, podpin = await proven()
    world.apply(reconcile="now")
    await podpin.settle()
    podpin = Podpin(world)
    await podpin.settle()
    assert world.asked["look_now"] == 2
    world.push("a")
    await podpin.settle()
    assert (world.rollout or {})["status"]["requests"]["reconcile"] == "now"


async def test_a_registry_that_is_down_changes_nothing_that_runs() -> None:
    world, podpin = await proven()
    world.lose_registry()
    assert await podpin.settle() == ["status"]
    assert world.templates == [A]
    assert podpin.ready == ("True", "RolledOut")


async def test_the_poller_is_told_what_the_status_chose_until_the_policy_is_another() -> None:
    world, podpin = await proven()
    await podpin.look()
    wish = world.followed[-1]["app"]
    assert (wish.chosen, wish.known, wish.interval) == ("1.0.0", digest("a"), 300.0)
    assert (wish.repository.host, wish.repository.path) == ("registry.example.com", "shop/web")
    image = {"container": "app", "repository": REPOSITORY, "policy": {"tag": {"name": "latest"}}}
    world.apply(raw_spec(images=[image]))
    await podpin.look()
    wish = world.followed[-1]["app"]
    assert (wish.chosen, wish.known) == (None, None)


async def test_a_digest_is_never_asked_for() -> None:
    world = World()
    image = {"container": "app", "repository": REPOSITORY, "policy": {"digest": {"value": digest("f")}}}
    world.apply(raw_spec(images=[image]), reconcile="now")
    podpin = Podpin(world)
    await podpin.settle()
    assert all(wishes == {} for wishes in world.followed)
    assert (world.deployment or {})["spec"]["template"]["spec"]["containers"][0][
        "image"
    ] == f"{REPOSITORY}@{digest('f')}"
    assert (world.rollout or {})["status"]["requests"]["reconcile"] == "now"


async def lost_tag() -> tuple[World, Podpin]:
    """1.0.1 was chosen and is stable, and its tag is gone."""
    world, podpin = await proven()
    world.push("b")
    await podpin.settle()
    world.become_ready()
    later(world, 11)
    await podpin.settle()
    world.ticks += 1
    world.looks["app"] = Look(Failed("TagNotFound", "tag 1.0.1 is gone"), world.ticks)
    await podpin.settle()
    return world, podpin


async def test_where_the_tag_is_gone_a_retry_chooses_among_those_that_are_left() -> None:
    world, podpin = await lost_tag()
    assert world.followed[-1]["app"].chosen == "1.0.1"
    world.apply(retry="now")
    world.asked.clear()
    assert await podpin.settle() == []
    assert world.followed[-1]["app"].chosen is None
    assert world.asked["look_now"] == 1
    world.push("a")
    world.notices.clear()
    assert await podpin.settle() == [f"workload {A}", "status"]
    assert (world.rollout or {})["status"]["requests"]["retry"] == "now"
    assert world.followed[-1]["app"].chosen == "1.0.0"
    assert "RequestRefused" not in texts(world.notices)


async def test_a_retry_while_the_tag_is_there_chooses_nothing_else() -> None:
    world, podpin = await proven()
    world.apply(retry="now")
    await podpin.settle()
    assert all(wishes["app"].chosen == "1.0.0" for wishes in world.followed[-2:])
    assert world.asked["look_now"] == 0
    assert texts(world.notices).count("RequestRefused") == 1


# --- closer looks


async def test_what_is_demanded_of_an_image_goes_to_the_poller() -> None:
    world, podpin = await proven()
    image = {
        "container": "app",
        "repository": REPOSITORY,
        "policy": {"semver": {"range": ">=1"}},
        "minAge": "30m",
        "immutableTags": True,
    }
    world.apply(raw_spec(images=[image], template={"spec": {"containers": [{"name": "app"}], "nodeName": "n"}}))
    await podpin.look()
    terms = world.followed[-1]["app"].terms
    assert (terms.min_age, terms.placement) == (timedelta(minutes=30), '{"nodeName": "n"}')
    assert terms.named == (("1.0.0", digest("a")),)
    assert world.followed[-1]["app"].chosen == "1.0.0"  # younger or older, it is the same choice
    world.apply(raw_spec(images=[{**image, "platforms": ["linux/arm64"]}]))
    await podpin.look()
    wish = world.followed[-1]["app"]
    assert (wish.terms.platforms, wish.terms.placement, wish.chosen) == (("linux/arm64",), None, None)


async def test_what_the_image_is_stands_in_the_status_and_stays_there() -> None:
    world, podpin = fresh()
    facts = Facts(("linux/amd64",), at(-60), "debian:12", (Layer("sha256:x", 100),))
    look = world.looks["app"]
    assert look is not None
    assert isinstance(look.outcome, Found)
    world.looks["app"] = replace(look, outcome=replace(look.outcome, facts=facts, new_bytes=7))
    await podpin.settle()
    world.looks["app"] = look
    later(world, 5)
    world.become_ready()
    await podpin.settle()
    image = (world.rollout or {})["status"]["images"][0]
    told = {name: image[name] for name in ("sizeBytes", "newBytes", "platforms", "created", "base")}
    assert told == {
        "sizeBytes": 100,
        "newBytes": 7,
        "platforms": ["linux/amd64"],
        "created": "2026-03-01T11:59:00Z",
        "base": "debian:12",
    }
    wish = world.followed[-1]["app"]
    assert (wish.described, wish.built) == (True, at(-60))
    world.push("b")
    await podpin.settle()
    assert "sizeBytes" not in (world.rollout or {})["status"]["images"][0]


@pytest.mark.parametrize(
    ("reason", "kind"),
    [("TooYoung", "Normal"), ("PlatformMissing", "Normal"), ("TagMoved", "Warning"), ("NotVerified", "Warning")],
)
async def test_a_version_that_is_passed_over_is_told_once(reason: str, kind: str) -> None:
    world, podpin = await proven()
    look = world.looks["app"]
    assert look is not None
    assert isinstance(look.outcome, Found)
    passed = replace(look.outcome, passed_over=PassedOver(reason, "tag 1.0.1 is not to be had"))
    world.looks["app"] = replace(look, outcome=passed)
    world.notices.clear()
    assert await podpin.settle() == ["status"]
    condition = next(one for one in (world.rollout or {})["status"]["conditions"] if one["type"] == "Resolved")
    assert (condition["status"], condition["reason"]) == ("True", reason)
    assert condition["message"] == "app: 1.0.0 is aaaaaaaaaaaa; app: tag 1.0.1 is not to be had"
    assert [(notice.type, notice.reason) for notice in world.notices] == [(kind, reason)]
    assert podpin.ready == ("True", "RolledOut")
    ready = next(one for one in (world.rollout or {})["status"]["conditions"] if one["type"] == "Ready")
    assert ready["message"].endswith(f"; no newer version is taken now: {reason}")


DEMANDS = [{"cosign": {"publicKeySecret": "shop-cosign"}}, {"cosign": {"publicKey": PEM}}]
UNSIGNED = PassedOver("NotVerified", "tag 1.0.1 is not signed")
SIGNED_BY = "the key in Secret shop-cosign and the key in the spec"
VERIFIED: dict[str, tuple[Outcome | None, tuple[str, str, str] | None]] = {
    "signed": (
        Found("1.0.0", digest("a")),
        ("True", "Verified", f"app: 1.0.0 is aaaaaaaaaaaa, signed by {SIGNED_BY}"),
    ),
    "a better version is not signed": (
        Found("1.0.0", digest("a"), UNSIGNED),
        ("False", "NotVerified", "app: tag 1.0.1 is not signed"),
    ),
    "a better version is too young": (
        Found("1.0.0", digest("a"), PassedOver("TooYoung", "tag 1.0.1 is too young")),
        ("True", "Verified", f"app: 1.0.0 is aaaaaaaaaaaa, signed by {SIGNED_BY}"),
    ),
    "no version is signed": (
        Failed("NotVerified", "Tag 1.0.1 is not signed."),
        ("False", "NotVerified", "app: Tag 1.0.1 is not signed."),
    ),
    "nothing can be verified": (
        Failed("CannotVerify", "The key cannot be read."),
        ("False", "CannotVerify", "app: The key cannot be read."),
    ),
    "the registry does not answer": (Failed("RegistryUnavailable", "It does not answer."), None),
    "the key is not there": (
        Failed("SecretMissing", "Secret shop-cosign does not exist."),
        ("Unknown", "SecretMissing", "app: Secret shop-cosign does not exist."),
    ),
    "nobody has looked yet": (None, None),
}


def verified(world: World) -> tuple[str, str, str] | None:
    conditions = (world.rollout or {}).get("status", {}).get("conditions", ())
    found = [one for one in conditions if one["type"] == "Verified"]
    return (found[0]["status"], found[0]["reason"], found[0]["message"]) if found else None


def tell(world: World, outcome: Outcome | None) -> None:
    world.ticks += 1
    found = outcome if isinstance(outcome, Found) else None
    world.looks["app"] = None if outcome is None else Look(outcome, world.ticks, found)


@pytest.mark.parametrize(("outcome", "condition"), VERIFIED.values(), ids=VERIFIED)
async def test_whether_the_image_is_signed_stands_in_a_condition(
    outcome: Outcome | None, condition: tuple[str, str, str] | None
) -> None:
    world, podpin = fresh()
    world.apply(raw_spec(images=[{**raw_spec()["images"][0], "verify": DEMANDS}]))
    tell(world, outcome)
    later(world, 5)
    await podpin.settle()
    assert verified(world) == condition


async def test_what_was_said_of_signatures_stays_while_the_registry_does_not_answer() -> None:
    world, podpin = fresh()
    world.apply(raw_spec(images=[{**raw_spec()["images"][0], "verify": DEMANDS}]))
    tell(world, Found("1.0.0", digest("a"), UNSIGNED))
    await podpin.settle()
    before = verified(world)
    world.lose_registry()
    await podpin.settle()
    assert verified(world) == before
    world.apply(raw_spec())
    await podpin.settle()
    assert verified(world) is None


async def test_where_no_signature_is_demanded_nothing_is_said_of_any() -> None:
    world, _ = await proven()
    assert verified(world) is None
    assert world.followed[-1]["app"].terms.verify == ()


async def test_what_is_demanded_is_what_is_followed_and_with_which_keys() -> None:
    world, podpin = await proven()
    world.apply(raw_spec(images=[{**raw_spec()["images"][0], "verify": DEMANDS}]))
    await podpin.look()
    wish = world.followed[-1]["app"]
    assert len(wish.terms.verify) == 2
    assert wish.source.key_secrets == ("shop-cosign",)
    assert (wish.chosen, wish.known) == (None, None)  # what was taken before proves nothing


async def test_what_is_learned_of_an_image_on_trial_waits_for_the_verdict() -> None:
    world, podpin = await trying()
    look = world.looks["app"]
    assert look is not None
    assert isinstance(look.outcome, Found)
    facts = Facts(("linux/amd64",), layers=(Layer("sha256:x", 100),))
    world.looks["app"] = replace(look, outcome=replace(look.outcome, facts=facts))
    assert await podpin.settle() == []
    world.become_ready()
    later(world, 11)
    assert await podpin.settle() == [f"verdict Stable on {B}", "status"]
    assert (world.rollout or {})["status"]["images"][0]["sizeBytes"] == 100


# --- promotion


STAGING = Key("staging", "web")


def promoting(healthy_for: str = "0s") -> dict[str, Any]:
    policy = {"promote": {"from": {"namespace": "staging", "name": "web"}, "healthyFor": healthy_for}}
    return raw_spec(images=[{"container": "app", "repository": REPOSITORY, "policy": policy}])


def staging(version: int, letter: str | None, lets_in: str | None = "shop", **metadata: Any) -> dict[str, Any]:
    """Another rollout, as the watch tells of it, with its stable release since the start."""
    pin = {"container": "app", "image": f"staging.example.com/web:1.0.{version}@{digest(letter or 'a')}"}
    stable = {"release": f"r{letter}", "images": [pin], "since": "2026-03-01T12:00:00Z"}
    annotations = {"podpin.dev/promote-to": lets_in} if lets_in else {}
    return {
        "metadata": {
            "namespace": "staging",
            "name": "web",
            "uid": "u9",
            "resourceVersion": str(version),
            "annotations": annotations,
            **metadata,
        },
        "spec": {},
        "status": {"stable": stable} if letter else {},
    }


async def test_what_another_rollout_has_proven_is_what_is_followed() -> None:
    world = World()
    world.apply(promoting())
    podpin = Podpin(world)
    podpin.rollouts.put(staging(1, "c"))
    await podpin.look()
    assert world.followed[-1]["app"].given == Found("1.0.1", digest("c"))
    podpin.rollouts.put(staging(2, "d"))
    assert podpin.woken == [WEB]
    await podpin.look()
    assert world.followed[-1]["app"].given == Found("1.0.2", digest("d"))


async def test_a_source_that_the_watch_has_not_told_of_yet_is_not_taken_for_missing() -> None:
    world = World()
    world.apply(promoting())
    world.others[STAGING] = staging(1, "c")
    podpin = Podpin(world)
    await podpin.look()
    assert world.followed[-1]["app"].given == Found("1.0.1", digest("c"))
    await podpin.look()
    assert world.asked["rollout"] == 1


async def test_a_source_that_another_podpin_serves_is_asked_after_each_minute() -> None:
    world, podpin = await proven()
    world.apply(promoting())
    assert world.rollout is not None
    world.rollout["metadata"]["labels"] = {"shard": "a"}
    world.others[STAGING] = staging(1, "a")
    podpin.rollouts.selector = parse_selector("shard=a")
    await podpin.settle()
    assert await podpin.look() == timedelta(minutes=1)
    assert world.followed[-1]["app"].given == Found("1.0.1", digest("a"))
    assert podpin.rollouts.get(STAGING) is None
    world.others[STAGING] = staging(2, "d")
    await podpin.look()
    assert world.followed[-1]["app"].given == Found("1.0.2", digest("d"))


async def test_a_rollout_that_goes_over_to_another_podpin_is_let_go_of_even_if_podpin_s_own_write_tells_first() -> None:
    world, podpin = await proven()
    assert world.rollout is not None
    world.rollout["metadata"]["labels"] = {"shard": "b"}
    world.rollout["metadata"]["resourceVersion"] = str(int(world.rollout["metadata"]["resourceVersion"]) + 1)
    podpin.rollouts.selector = parse_selector("shard=a")
    world.push("b")
    assert await podpin.settle() == []
    assert podpin.woken == [WEB]
    assert world.forgotten == [WEB]
    assert podpin.rollouts.get(WEB) is None


async def test_rollouts_that_promote_from_each_other_are_refused() -> None:
    world = World()
    world.apply(promoting())
    podpin = Podpin(world)
    third = {"promote": {"from": {"namespace": "third", "name": "web"}}}
    back = {"promote": {"from": {"namespace": "shop", "name": "web"}}}
    for number, (namespace, policy) in enumerate((("staging", third), ("third", back)), 1):
        body = staging(number, "c")
        body["metadata"]["namespace"] = namespace
        podpin.rollouts.put({**body, "spec": {"images": [{"container": "app", "policy": policy}]}})
    await podpin.look()
    given = world.followed[-1]["app"].given
    assert isinstance(given, Failed)
    assert given.reason == "SourceInvalid"
    assert "staging/web promotes from shop/web in its turn" in given.message


async def test_how_long_another_must_be_healthy_may_change_without_choosing_anew() -> None:
    world = World()
    world.apply(promoting())
    podpin = Podpin(world)
    podpin.rollouts.put(staging(1, "c"))
    world.push("c")
    await podpin.settle()
    world.apply(promoting("3h"))
    await podpin.look()
    wish = world.followed[-1]["app"]
    assert wish.known == digest("c")
    assert wish.given == Found("1.0.1", digest("c"))


async def test_a_source_that_is_not_well_is_waited_for() -> None:
    world = World()
    world.apply(promoting())
    podpin = Podpin(world)
    source = staging(1, "c")
    ready = {"type": "Ready", "status": "False", "reason": "Degraded", "lastTransitionTime": "2026-03-01T12:00:00Z"}
    source["status"]["conditions"] = [ready]
    podpin.rollouts.put(source)
    await podpin.look()
    given = world.followed[-1]["app"].given
    assert isinstance(given, PassedOver)
    assert given.reason == "SourceDegraded"
    podpin.rollouts.put(staging(2, "c"))
    assert podpin.woken == [WEB]


SOURCES: dict[str, tuple[dict[str, Any] | None, str]] = {
    "there is none": (None, "SourceMissing"),
    "it does not let this namespace in": (staging(1, "c", lets_in=None), "SourceMissing"),
    "it is being deleted": (staging(1, "c", deletionTimestamp="2026-03-01T12:00:00Z"), "SourceMissing"),
    "it has proven nothing": (staging(1, None), "SourceNotProven"),
}


@pytest.mark.parametrize(("source", "reason"), SOURCES.values(), ids=SOURCES)
async def test_a_source_that_gives_nothing_is_said_to(source: dict[str, Any] | None, reason: str) -> None:
    world = World()
    world.apply(promoting())
    podpin = Podpin(world)
    if source is not None:
        podpin.rollouts.put(source)
    await podpin.look()
    given = world.followed[-1]["app"].given
    assert isinstance(given, Failed)
    assert given.reason == reason


async def test_it_is_looked_at_again_when_the_other_has_been_healthy_for_long_enough() -> None:
    world, podpin = await proven()
    world.apply(promoting("1h"))
    podpin.rollouts.put(staging(1, "c"))
    passed = (world.now - at(0)).total_seconds()
    wait = await podpin.look()
    assert wait is not None
    assert wait.total_seconds() == 3600 - passed
    before = world.followed[-1]["app"].given
    assert isinstance(before, PassedOver)
    later(world, wait.total_seconds())
    assert await podpin.look() is None
    assert world.followed[-1]["app"].given == Found("1.0.1", digest("c"))


async def test_a_rollout_that_is_suspended_waits_for_nobody() -> None:
    world, podpin = await proven()
    world.apply(promoting("1h"))
    podpin.rollouts.put(staging(1, "c"))
    assert await podpin.look() is not None
    world.apply({**promoting("1h"), "suspend": True})
    await podpin.settle()
    assert await podpin.look() is None


# --- questions


def not_found(world: World, **fields: Any) -> None:
    world.fail_to_start(why="ErrImagePull", message=NOT_FOUND, **fields)


async def test_the_registry_is_asked_about_an_image_that_was_not_found_and_its_word_counts() -> None:
    world, podpin = await trying()
    world.has[digest("b")] = False
    not_found(world)
    assert await podpin.settle() == [f"verdict Rejected on {B}", f"workload {A}", "status"]
    assert world.asked["exists"] == 1


@pytest.mark.parametrize("answer", [True, Unavailable("down"), Denied("no")], ids=["it is there", "down", "denied"])
async def test_an_image_that_the_registry_does_not_deny_is_asked_about_once_in_ten_seconds(
    answer: bool | Exception,
) -> None:
    world, podpin = await trying()
    world.has[digest("b")] = answer
    not_found(world)
    for _ in range(5):
        wait = await podpin.look()
        assert wait is not None
        assert wait <= ASK_AGAIN
    assert world.asked["exists"] == 1
    later(world, ASK_AGAIN.total_seconds())
    await podpin.look()
    assert world.asked["exists"] == 2
    assert world.release == B


async def test_a_pull_secret_that_is_missing_is_no_answer_about_the_image() -> None:
    world, podpin = await trying()
    world.fail["access"] = NotFound("Secret x does not exist")
    not_found(world)
    await podpin.settle()
    assert world.asked["exists"] == 0
    assert world.release == B


async def test_a_registry_that_does_not_answer_holds_up_no_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    world, podpin = await trying()
    not_found(world)

    async def silence(*_: object) -> bool:
        await asyncio.Event().wait()
        raise AssertionError

    monkeypatch.setattr("podpin.reconcile.PATIENCE", 0.01)
    podpin.reconciler._registry.exists = silence  # type: ignore[method-assign, assignment]
    assert PATIENCE == 5.0
    await podpin.look()
    assert world.release == B


def stuck(world: World, *, scheduled: float) -> None:
    """The new Pod has a node, and none of its containers is there."""
    assert world.release is not None
    old = tuple(each for each in world.pods if each.release != world.release)
    new = replace(
        pod("b", waiting("ContainerCreating"), name="web-new", scheduled_at=at(scheduled)), release=world.release
    )
    world.pods = (*old, new)
    world._observe(replicas=3, updatedReplicas=1, availableReplicas=2)


def passed(world: World) -> float:
    return (world.now - at(0)).total_seconds()


async def test_a_pod_that_is_slow_to_start_is_asked_about_after_a_while_and_then_once_in_ten_seconds() -> None:
    world, podpin = await trying()
    stuck(world, scheduled=passed(world))
    later(world, 1)
    assert await podpin.look() == SLOW_START - timedelta(seconds=1)
    assert world.asked["mount_trouble"] == 0
    later(world, 4)
    world.mount_events = 'configmap "x" not found'
    for _ in range(3):
        assert await podpin.look() == ASK_AGAIN
    assert world.asked["mount_trouble"] == 1
    assert podpin.ready == ("Unknown", "VolumeNotReady")
    later(world, 9)
    await podpin.look()
    assert world.asked["mount_trouble"] == 1
    later(world, 1)
    await podpin.look()
    assert world.asked["mount_trouble"] == 2


async def test_a_pod_without_trouble_to_tell_of_is_nobody_s_fault() -> None:
    world, podpin = await trying()
    stuck(world, scheduled=passed(world) - 6)
    await podpin.look()
    assert world.asked["mount_trouble"] == 1
    assert podpin.ready == ("Unknown", "Progressing")


async def test_events_that_cannot_be_read_hold_up_no_turn() -> None:
    world, podpin = await trying()
    stuck(world, scheduled=passed(world) - 6)
    world.fail["mount_trouble"] = Denied("events is forbidden")
    for _ in range(3):
        await podpin.look()
    assert world.asked["mount_trouble"] == 1
    assert podpin.ready == ("Unknown", "Progressing")


async def test_the_events_of_a_few_pods_are_read_at_a_time() -> None:
    world, podpin = await trying()
    stuck(world, scheduled=passed(world) - 6)
    world.pods = tuple(replace(world.pods[-1], name=f"web-{nth}", uid=f"u{nth}") for nth in range(10))
    await podpin.look()
    assert world.asked["mount_trouble"] == MOST_ASKED
    await podpin.look()
    assert world.asked["mount_trouble"] == 2 * MOST_ASKED


async def test_nobody_is_asked_about_a_release_that_has_its_verdict() -> None:
    world, podpin = await proven()
    stuck(world, scheduled=passed(world) - 6)
    await podpin.look()
    not_found(world)
    await podpin.look()
    assert (world.asked["mount_trouble"], world.asked["exists"]) == (0, 0)


@pytest.mark.parametrize(
    ("image", "asked"),
    [(f"{REPOSITORY}/sidecar@{digest('e')}", 1), ("sidecar:1.0", 0), ("", 0)],
    ids=["by digest", "by tag", "not known"],
)
async def test_an_image_that_podpin_does_not_choose_is_asked_about_where_it_is_exact(image: str, asked: int) -> None:
    world, podpin = await trying()
    world.has[digest("e")] = False
    world.pods = (pod("b", waiting("ErrImagePull", NOT_FOUND, name="sidecar", image=image), ready=False),)
    await podpin.look()
    assert world.asked["exists"] == asked
    assert (world.release == A) == bool(asked)


@pytest.mark.parametrize(
    "pods",
    [
        (),
        (pod("b", container(), name="ready"),),
        (pod("b", container(ready=False), name="starting", ready=False),),
        (pod("b", waiting("ContainerCreating"), name="leaving", deleting=True),),
        (pod("b", waiting("ContainerCreating"), name="unscheduled", scheduled_at=None),),
        (replace(pod("b", name="not seen by its kubelet yet", ready=False), containers=()),),
        (replace(pod("b", waiting("ContainerCreating"), name="ended", ready=False), phase="Failed"),),
        (pod("a", waiting("ErrImagePull", NOT_FOUND), name="old"),),
        (pod("b", waiting("ErrImagePull", "i/o timeout"), name="timeout"),),
        (pod("b", waiting("ErrImagePull", NOT_FOUND, name="sidecar"), name="unmanaged"),),
    ],
    ids=lambda pods: pods[0].name if pods else "none",
)
async def test_no_question_is_asked_without_a_reason(pods: tuple[Any, ...]) -> None:
    world, podpin = await trying()
    world.pods = pods
    await podpin.look()
    assert set(world.asked) <= {"write_status"}


# --- reading


async def test_when_to_look_again_is_the_earliest_reason_to() -> None:
    world, podpin = await proven()
    assert await podpin.look() is None
    world.push("b")
    await podpin.settle()
    assert await podpin.look() == timedelta(seconds=60)
    later(world, 2)
    world.become_ready()
    await podpin.settle()
    assert await podpin.look() == timedelta(seconds=10)
    later(world, 4)
    assert await podpin.look() == timedelta(seconds=6)


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        ({}, "InvalidSpec"),
        ({"images": []}, "InvalidSpec"),
        ({**raw_spec(), "images": "odd"}, "InvalidSpec"),
        ({**raw_spec(), "images": [{"container": "x", "repository": "r", "policy": {"tag": {"name": "1"}}}]},
         "ContainerNotFound"),
    ],
    ids=["empty", "no images", "odd", "a container that is not there"],
)  # fmt: skip
def test_a_spec_that_cannot_be_used_is_a_problem_and_no_exception(raw: dict[str, Any], reason: str) -> None:
    read = rollout_of({"metadata": {"namespace": "shop", "name": "web", "uid": "u"}, "spec": raw, "status": "odd"})
    assert isinstance(read.spec, Problem)
    assert read.spec.reason == reason
    assert read.generation == 0


def test_a_rollout_is_read_with_its_requests() -> None:
    annotations = {"podpin.dev/reconcile": "1", "podpin.dev/retry": "2", "podpin.dev/rollback-to": "previous"}
    metadata = {"namespace": "shop", "name": "web", "uid": "u", "generation": 3, "annotations": annotations}
    read = rollout_of({"metadata": metadata, "spec": raw_spec()})
    assert isinstance(read.spec, Spec)
    assert (read.key, read.uid, read.generation) == (WEB, "u", 3)
    assert (read.requests.reconcile, read.requests.retry, read.requests.rollback_to) == ("1", "2", "previous")


@pytest.mark.parametrize(
    ("pod_spec", "registry", "wanted"),
    [
        ({}, {}, AccessSource("shop")),
        (
            {"imagePullSecrets": [{"name": "a"}, {}, {"name": "b"}], "serviceAccountName": "runner"},
            {"pullSecrets": [{"name": "mine"}], "caSecret": {"name": "ca"}},
            AccessSource("shop", ("mine",), ("a", "b"), "runner", "ca"),
        ),
        ({"serviceAccount": "old", "imagePullSecrets": None}, {}, AccessSource("shop", service_account="old")),
    ],
    ids=["nothing named", "everything named", "by the old name"],
)  # fmt: skip
def test_credentials_come_from_where_the_spec_says(
    pod_spec: dict[str, Any], registry: dict[str, Any], wanted: AccessSource
) -> None:
    wish = spec(template={"spec": {"containers": [{"name": "app"}], **pod_spec}}, registry=registry)
    assert access_source(WEB, wish, wish.template) == wanted


def test_each_image_names_the_keys_that_it_is_verified_by() -> None:
    def demand(**cosign: str) -> dict[str, Any]:
        return {"cosign": cosign}

    identity = {"sigstore": {"issuer": "https://issuer.example.com", "identity": "me@example.com"}}
    verify = [demand(publicKeySecret="b"), identity, demand(publicKey=PEM), demand(publicKeySecret="a")]
    (image,) = spec(images=[{**raw_spec()["images"][0], "verify": [*verify, demand(publicKeySecret="b")]}]).images
    assert key_secrets_of(image) == ("b", "a")
    (image,) = spec().images
    assert key_secrets_of(image) == ()


async def test_credentials_are_loaded_from_all_that_a_source_names() -> None:
    class Cluster:
        async def access(self, *named: object) -> Access:
            assert named == ("shop", ("mine",), ("a",), "runner", "ca", ("key",))
            return Access(ca=b"pem")

    source = AccessSource("shop", ("mine",), ("a",), "runner", "ca", ("key",))
    assert await load_access(Cluster(), source) == Access(ca=b"pem")  # type: ignore[arg-type]


# --- what the stable release is configured by


ENVIRONMENT = {"spec": {"containers": [{"name": "app", "envFrom": [{"configMapRef": {"name": "settings"}}]}]}}
GONE = ("ConfigMap", "settings")


async def degraded() -> tuple[World, Podpin]:
    """Release A is stable, was configured by a ConfigMap, and its Pods cannot start any more."""
    world = World()
    world.configure("helm", mode="fast")
    world.apply(raw_spec(template=ENVIRONMENT))
    world.push("a")
    podpin = Podpin(world)
    await podpin.settle()
    later(world, 5)
    world.become_ready()
    later(world, 11)
    await podpin.settle()
    later(world, 100)
    return world, podpin


def do_not_start(world: World) -> None:
    """A Pod was made anew, crashes at each start, and has done so for a while."""
    world.fail_to_start()
    later(world, 60)


async def test_degraded_says_that_the_configuration_was_changed_and_by_whom() -> None:
    world, podpin = await degraded()
    world.configure("kubectl-edit", mode="wrong")
    do_not_start(world)
    assert await podpin.settle() == ["status"]
    assert podpin.ready == ("False", "Degraded")
    assert "exited 3 times or more" in podpin.message
    assert "ConfigMap settings was changed by kubectl-edit after the release had proven healthy" in podpin.message
    assert await Podpin(world).settle() == [], "podpin started anew says the same"


async def test_degraded_says_that_the_configuration_is_missing() -> None:
    world, podpin = await degraded()
    del world.configs[GONE]
    do_not_start(world)
    await podpin.settle()
    assert "ConfigMap settings is missing: restore it" in podpin.message


async def test_degraded_does_not_suspect_what_is_as_it_was() -> None:
    world, podpin = await degraded()
    do_not_start(world)
    await podpin.settle()
    assert podpin.ready == ("False", "Degraded")
    assert "ConfigMap" not in podpin.message


async def test_nobody_asks_about_the_configuration_of_what_is_well_or_on_trial() -> None:
    world, podpin = await degraded()
    await podpin.settle()
    world.push("b")
    await podpin.settle()
    do_not_start(world)
    await podpin.settle()
    assert world.asked["metadata of settings"] == 0


async def test_the_configuration_is_asked_about_once_a_minute_while_the_release_is_degraded() -> None:
    world, podpin = await degraded()
    do_not_start(world)
    wait = await podpin.look()
    assert wait is not None
    assert wait <= STILL_SO
    for _ in range(5):
        later(world, STILL_SO.total_seconds() / 6)
        await podpin.look()
    assert world.asked["metadata of settings"] == 1
    later(world, STILL_SO.total_seconds() / 6)
    world.configure("kubectl-edit", mode="wrong")
    await podpin.look()
    assert world.asked["metadata of settings"] == 2
    assert "by kubectl-edit" in podpin.message


async def test_a_stable_release_that_flaps_is_announced_once_in_a_while() -> None:
    world, podpin = await proven()
    later(world, 100)
    world.notices.clear()

    async def flap() -> None:
        do_not_start(world)
        await podpin.settle()
        assert podpin.ready == ("False", "Degraded")
        world.become_ready()
        later(world, 11)
        await podpin.settle()
        assert podpin.ready == ("True", "RolledOut")

    for _ in range(4):
        await flap()
    assert texts(world.notices) == ["Degraded"]
    later(world, 600)
    await flap()
    assert texts(world.notices) == ["Degraded", "Degraded"]


async def test_nobody_looks_again_for_the_configuration_of_a_template_that_names_none() -> None:
    world, podpin = await proven()
    later(world, 100)
    do_not_start(world)
    assert await podpin.settle() == ["status"]
    assert podpin.ready == ("False", "Degraded")
    assert await podpin.look() is None


@pytest.mark.parametrize("error", [Denied("configmaps is forbidden"), Unavailable("it does not answer")], ids=str)
async def test_what_was_said_of_the_configuration_stands_while_nobody_answers(error: PodpinError) -> None:
    world, podpin = await degraded()
    world.configure("kubectl-edit", mode="wrong")
    do_not_start(world)
    await podpin.settle()
    world.fail["metadata of settings"] = error
    later(world, 300)
    assert await podpin.settle() == []
    assert "by kubectl-edit" in podpin.message
    await Podpin(world).settle()
    assert "ConfigMap" not in Podpin(world).message, "and nothing is said where it never was known"


async def test_the_configuration_of_a_release_that_was_gone_back_to_is_that_of_its_own_template() -> None:
    world, podpin = await degraded()
    world.apply(raw_spec())
    world.push("b")
    await podpin.settle()
    world.fail_to_start()
    await podpin.settle()
    world.configure("kubectl-edit", mode="wrong")
    world.fail_to_start()
    later(world, 120)
    world.asked.clear()
    await podpin.settle()
    assert podpin.ready == ("False", "Degraded")
    assert "ConfigMap settings was changed by kubectl-edit" in podpin.message
    assert world.asked["release"] == 1, "its template is read from its record, once"


# --- going back from what serves

ASKED_BACK: dict[str, Any] = {"rollback-to": "previous"}


async def test_going_back_from_pods_that_serve_is_at_once_and_then_the_strategy_is_the_users_again() -> None:
    world, podpin = await trying()
    world.become_ready()
    world.apply(None, **ASKED_BACK)
    assert await podpin.settle() == [f"verdict Rejected on {B}", f"workload {A}", "status"]
    assert surge_of(world) == "100%"
    assert await Podpin(world).settle() == [], "nobody has changed it"
    world.become_ready()
    assert await podpin.settle() == [f"workload {A}", "status"]
    assert surge_of(world) == "25%"
    assert await podpin.settle() == []


@pytest.mark.parametrize("refusal", [Denied("a policy"), Invalid("maxSurge")], ids=["by a policy", "as invalid"])
async def test_going_back_is_gradual_where_at_once_is_refused(refusal: Exception) -> None:
    world, podpin = await trying()
    world.become_ready()
    world.apply(None, **ASKED_BACK)
    world.refused["apply 100%"] = refusal
    assert await podpin.settle() == [f"verdict Rejected on {B}", f"workload {A}", "status"]
    assert surge_of(world) == "25%"
    assert await podpin.settle() == []


def surge_of(world: World) -> Any:
    """How many Pods beyond its replicas the Deployment may have."""
    return (world.deployment or {})["spec"]["strategy"]["rollingUpdate"]["maxSurge"]


# --- other rollouts that it depends on


async def test_a_release_waits_for_another_rollout_and_begins_when_that_is_ready() -> None:
    world, podpin = await proven()
    world.apply({**raw_spec(), "dependsOn": [{"name": "migration"}]})
    await podpin.settle()
    world.push("b")
    assert await podpin.settle() == ["status"]
    assert podpin.ready == ("True", "AwaitingDependency")
    assert await podpin.settle() == [], "waiting costs nothing"
    ready = {"type": "Ready", "status": "Unknown", "reason": "Progressing"}
    metadata = {"namespace": "shop", "name": "migration", "uid": "m", "generation": 1, "resourceVersion": "1"}
    podpin.rollouts.put({"metadata": metadata, "status": {"observedGeneration": 1, "conditions": [ready]}})
    assert podpin.woken == [WEB]
    assert await podpin.settle() == ["status"]
    done = {**ready, "status": "True", "reason": "RolledOut"}
    metadata = {**metadata, "resourceVersion": "2"}
    podpin.rollouts.put({"metadata": metadata, "status": {"observedGeneration": 1, "conditions": [done]}})
    assert podpin.woken == [WEB, WEB]
    assert await podpin.settle() == [f"record {B}", f"workload {B}", "status"]


async def test_a_pause_is_read_off_the_rollout_and_pauses_its_deployment_in_mid_rollout() -> None:
    world, podpin = await trying()
    world.apply(pause="incident 7")
    assert await podpin.settle() == [f"workload {B}", "status"]
    assert (world.deployment or {})["spec"]["paused"] is True
    assert podpin.ready == ("Unknown", "Paused")
    world.edit_deployment(paused=False)
    assert await podpin.settle() == [f"workload {B}", "status"], "kubectl rollout resume is put back"
    assert (world.deployment or {})["spec"]["paused"] is True
    world.fail_to_start()
    assert await podpin.settle() == [f"verdict Rejected on {B}", f"workload {A}", "status"]


async def test_a_release_that_waits_for_approval_costs_one_write_and_begins_with_three() -> None:
    world, podpin = await proven()
    world.apply({**raw_spec(), "update": {"mode": "Manual"}})
    await podpin.settle()
    world.push("b")
    assert await podpin.settle() == ["status"]
    later(world, 86400)
    assert await podpin.settle() == []
    world.apply(approve=B)
    assert await podpin.settle() == [f"record {B}", f"workload {B}", "status"]
