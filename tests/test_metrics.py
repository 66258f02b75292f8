"""What is counted, what is added up at a scrape, and that neither grows without end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from podpin import metrics
from podpin.core.headline import Headline, headline_of
from podpin.core.names import Key
from podpin.errors import Invalid
from podpin.metrics import FRESH, MOST_HOSTS, MOST_PUSHES, MOST_REASONS, Metrics, Sources
from podpin.observer import UNOBSERVED, Observer
from podpin.queue import WorkQueue
from podpin.rollouts import MOST_HEADLINES, Rollouts
from tests.builders import digest, release_id
from tests.test_probes import free_port
from tests.test_reconcile import proven, trying
from tests.virtual_time import in_virtual_time
from tests.world import WEB, Podpin, World, later

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

API = Key("shop", "api")
IR = {"name": "imagerollouts", "controller": "imagerollouts"}
CR = {"controller": "imagerollouts"}


class Clock:
    """Monotonic seconds that pass when they are told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def sources(
    headlines: Iterable[Headline] = (),
    ages: dict[str, tuple[float, float]] | None = None,
    depth: int = 0,
    working: tuple[float, ...] = (),
    *,
    leads: bool = True,
) -> Sources:
    kept = tuple(headlines)
    return Sources(lambda: leads, lambda: depth, lambda: working, 16, lambda: iter(kept), lambda: ages or {})


def value(measured: Metrics, metric: str, /, **labels: str) -> float | None:
    """One sample as it is now; None where there is none."""
    return measured.registry.get_sample_value(metric, labels)


# --- what is counted as it happens

ROWS: list[tuple[str, Callable[[Metrics], object], str, dict[str, str], float | None]] = [
    ("nothing has been told", lambda _: None, "workqueue_adds_total", IR, 0),
    ("a rollout is queued", lambda m: m.added(), "workqueue_adds_total", IR, 1),
    ("one is to come later", lambda m: m.put_off(), "workqueue_retries_total", IR, 1),
    ("a worker takes one", lambda m: m.taken(WEB, 2.0), "workqueue_queue_duration_seconds_sum", IR, 2),
    ("a worker is done", lambda m: m.given_back(WEB, 3.0), "workqueue_work_duration_seconds_sum", IR, 3),
    ("a turn went well", lambda m: m.reconciled("success", 0.2), "controller_runtime_reconcile_total",
     {**CR, "result": "success"}, 1),
    ("a turn took its time", lambda m: m.reconciled("success", 0.2), "controller_runtime_reconcile_time_seconds_sum",
     CR, 0.2),
    ("a turn that went well is no error", lambda m: m.reconciled("requeue_after", 1),
     "controller_runtime_reconcile_errors_total", CR, 0),
    ("somebody was faster, which is no error", lambda m: m.reconciled("requeue", 1),
     "controller_runtime_reconcile_errors_total", CR, 0),
    ("a turn failed", lambda m: m.reconciled("error", 1), "controller_runtime_reconcile_errors_total", CR, 1),
    ("a bug is an error", lambda m: m.reconciled("panic", 1), "controller_runtime_reconcile_total",
     {**CR, "result": "error"}, 1),
    ("a bug is a bug", lambda m: m.reconciled("panic", 1), "controller_runtime_reconcile_panics_total", CR, 1),
    ("an error is no bug", lambda m: m.reconciled("error", 1), "controller_runtime_reconcile_panics_total", CR, 0),
    ("a version was found", lambda m: m.resolved("Resolved"), "podpin_resolutions_total", {"result": "Resolved"}, 1),
    ("there is none", lambda m: m.resolved("TagNotFound"), "podpin_resolutions_total", {"result": "TagNotFound"}, 1),
    ("a policy chose", lambda m: m.chosen("semver"), "podpin_choices_total", {"policy": "semver"}, 1),
    ("a trial is over", lambda m: m.ended("Rejected", "CrashLooping", 40), "podpin_rollouts_total",
     {"result": "Rejected", "reason": "CrashLooping"}, 1),
    ("a trial lasted", lambda m: m.ended("Stable", "RolledOut", 40), "podpin_rollout_duration_seconds_sum",
     {"result": "Stable"}, 40),
    ("it goes back", lambda m: m.rolled_back(WEB, "CrashLooping", "applied", judged=True), "podpin_rollbacks_total",
     {"result": "applied", "reason": "CrashLooping"}, 1),
    ("it may not go back", lambda m: m.rolled_back(WEB, "CrashLooping", "refused", judged=True),
     "podpin_rollbacks_total", {"result": "refused", "reason": "CrashLooping"}, 1),
    ("a registry answers", lambda m: m.asked_registry("r", 200, 0.5), "podpin_registry_requests_total",
     {"host": "r", "code": "2xx"}, 1),
    ("a registry has had enough", lambda m: m.asked_registry("r", 429, 0.5), "podpin_registry_requests_total",
     {"host": "r", "code": "429"}, 1),
    ("a registry makes up a status", lambda m: m.asked_registry("r", 599, 0.5), "podpin_registry_requests_total",
     {"host": "r", "code": "5xx"}, 1),
    ("a registry is away", lambda m: m.asked_registry("r", None, 0.5), "podpin_registry_requests_total",
     {"host": "r", "code": "none"}, 1),
    ("a registry takes its time", lambda m: m.asked_registry("r", None, 0.5),
     "podpin_registry_request_duration_seconds_sum", {"host": "r"}, 0.5),
    ("the API server is away", lambda m: m.asked_api("GET", "/api/v1/nodes", None), "podpin_api_requests_total",
     {"verb": "list", "resource": "nodes", "code": "none"}, 1),
]  # fmt: skip


@pytest.mark.parametrize(("told", "name", "labels", "wanted"), [row[1:] for row in ROWS], ids=[row[0] for row in ROWS])
def test_what_is_told_is_counted(
    told: Callable[[Metrics], object], name: str, labels: dict[str, str], wanted: float | None
) -> None:
    measured = Metrics()
    told(measured)
    assert value(measured, name, **labels) == wanted


@pytest.mark.parametrize(
    ("method", "path", "verb", "resource"),
    [
        ("GET", "/apis/apps/v1/deployments", "list", "deployments"),
        ("WATCH", "/api/v1/pods", "watch", "pods"),
        ("GET", "/api/v1/namespaces/shop/pods", "list", "pods"),
        ("GET", "/api/v1/namespaces/shop/secrets/pull", "get", "secrets"),
        ("POST", "/api/v1/namespaces/shop/pods/web-1/eviction", "create", "pods/eviction"),
        (
            "PATCH",
            "/apis/podpin.dev/v1alpha1/namespaces/shop/imagerollouts/web/status",
            "patch",
            "imagerollouts/status",
        ),
        ("DELETE", "/apis/apps/v1/namespaces/shop/controllerrevisions/web-1", "delete", "controllerrevisions"),
        ("PUT", "/apis/coordination.k8s.io/v1/namespaces/podpin-system/leases/podpin", "update", "leases"),
        ("GET", "/api/v1/nodes", "list", "nodes"),
        ("GET", "/api/v1/namespaces/shop", "get", "namespaces"),
    ],
)
def test_requests_to_the_api_server_are_told_apart_by_what_they_are_about(
    method: str, path: str, verb: str, resource: str
) -> None:
    measured = Metrics()
    measured.asked_api(method, path, 200)
    assert value(measured, "podpin_api_requests_total", verb=verb, resource=resource, code="200") == 1


def test_evidence_to_rollback_counts_from_when_the_rollout_was_queued() -> None:
    clock = Clock()
    measured = Metrics(clock)
    measured.taken(WEB, 1.5)
    clock.now += 0.25
    measured.rolled_back(WEB, "CrashLooping", "applied", judged=True)
    assert value(measured, "podpin_evidence_to_rollback_seconds_sum") == 1.75


@pytest.mark.parametrize(
    ("result", "judged", "taken"),
    [("refused", True, True), ("applied", False, True), ("applied", True, False)],
    ids=["it was refused", "the verdict is of another turn", "it is not known since when"],
)
def test_what_is_not_known_of_a_rollback_is_not_observed(result: str, judged: bool, taken: bool) -> None:
    measured = Metrics()
    if taken:
        measured.taken(WEB, 1.5)
    measured.rolled_back(WEB, "CrashLooping", result, judged=judged)
    assert value(measured, "podpin_evidence_to_rollback_seconds_count") == 0


def test_push_to_pinned_counts_from_the_notice_once_for_each_rollout() -> None:
    clock = Clock()
    measured = Metrics(clock)
    measured.noticed("sha256:b", 99.0)
    clock.now = 101.0
    measured.noticed("sha256:b", 100.5)  # somebody else was told of the same
    for key in (WEB, WEB, API):
        measured.applied(key, ["sha256:a", "sha256:b"])
    assert value(measured, "podpin_push_to_pinned_seconds_count") == 2
    assert value(measured, "podpin_push_to_pinned_seconds_sum") == 4


def test_an_image_that_no_registry_told_of_is_not_observed() -> None:
    measured = Metrics()
    measured.applied(WEB, ["sha256:a"])
    assert value(measured, "podpin_push_to_pinned_seconds_count") == 0


# --- what is the case


def test_rollouts_are_added_up_by_what_is_said_of_them() -> None:
    measured = Metrics()
    steady, back = Headline("True", "RolledOut"), Headline("True", "RolledBack", rejected=True)
    held = Headline("True", "AwaitingApproval", unresolved="RegistryUnavailable", held="AwaitingApproval")
    measured.watch(sources([steady, steady, back, held]))
    assert value(measured, "podpin_imagerollouts", ready="True", reason="RolledOut") == 2
    assert value(measured, "podpin_imagerollouts", ready="True", reason="RolledBack") == 1
    assert value(measured, "podpin_imagerollouts", ready="False", reason="Degraded") is None
    assert value(measured, "podpin_imagerollouts_unresolved", reason="RegistryUnavailable") == 1
    assert value(measured, "podpin_imagerollouts_held", reason="AwaitingApproval") == 1
    assert value(measured, "podpin_imagerollouts_rejected") == 1


def test_without_rollouts_there_are_none() -> None:
    measured = Metrics()
    measured.watch(sources())
    assert value(measured, "podpin_imagerollouts_rejected") == 0
    assert value(measured, "workqueue_depth", **IR) == 0
    assert value(measured, "workqueue_longest_running_processor_seconds", **IR) == 0


def test_one_that_stands_by_counts_no_rollouts_for_who_leads_does() -> None:
    measured = Metrics()
    measured.watch(sources([Headline("True", "RolledBack", rejected=True)], depth=7, leads=False))
    assert value(measured, "podpin_imagerollouts", ready="True", reason="RolledBack") is None
    assert value(measured, "podpin_imagerollouts_rejected") == 0
    assert value(measured, "workqueue_depth", **IR) == 0
    assert value(measured, "leader_election_master_status", name="podpin") == 0


def test_the_queue_and_the_workers_are_shown_as_they_are() -> None:
    measured = Metrics()
    measured.watch(sources(depth=7, working=(1.0, 2.5)))
    assert value(measured, "workqueue_depth", **IR) == 7
    assert value(measured, "workqueue_unfinished_work_seconds", **IR) == 3.5
    assert value(measured, "workqueue_longest_running_processor_seconds", **IR) == 2.5
    assert value(measured, "controller_runtime_active_workers", **CR) == 2
    assert value(measured, "controller_runtime_max_concurrent_reconciles", **CR) == 16


def test_of_the_looks_at_a_host_the_oldest_and_the_latest_are_shown() -> None:
    measured = Metrics()
    measured.watch(sources(ages={"r": (40.0, 0.0), "s": (90.0, 30.0)}))
    assert value(measured, "podpin_look_age_seconds", host="r") == 40
    assert value(measured, "podpin_look_overdue_seconds", host="s") == 30


@pytest.mark.parametrize(
    ("status", "wanted"),
    [
        ({}, Headline()),
        ({"conditions": [{"type": "Ready", "status": "True", "reason": "RolledOut"}]}, Headline("True", "RolledOut")),
        ({"conditions": [{"type": "Resolved", "status": "True", "reason": "TooYoung"}]}, Headline()),
        ({"conditions": [{"type": "Resolved", "status": "False", "reason": "NoTag"}]}, Headline(unresolved="NoTag")),
        ({"waiting": {"release": "a", "reason": "Frozen"}}, Headline(held="Frozen")),
        ({"history": [{"result": "Rejected"}, {"result": "Stable"}]}, Headline(rejected=True)),
        ({"history": [{"result": "Stable"}, {"result": "Rejected"}]}, Headline()),
    ],
    ids=["new", "ready", "a version, but not the best", "no version", "held", "newest rejected", "rejected before"],
)
def test_a_headline_is_what_a_status_says(status: dict[str, Any], wanted: Headline) -> None:
    assert headline_of(status) == wanted


# --- bounds


def test_hosts_beyond_a_number_are_counted_as_one() -> None:
    measured = Metrics()
    for number in range(MOST_HOSTS + 5):
        measured.asked_registry(f"r{number}", 200, 0.1)
    measured.asked_registry("r0", 200, 0.1)
    assert value(measured, "podpin_registry_requests_total", host="r0", code="2xx") == 2
    assert value(measured, "podpin_registry_requests_total", host="other", code="2xx") == 5
    measured.watch(sources(ages={"r0": (1.0, 0.0), "x": (5.0, 2.0), "y": (3.0, 4.0)}))
    assert value(measured, "podpin_look_age_seconds", host="other") == 5
    assert value(measured, "podpin_look_overdue_seconds", host="other") == 4


def test_reasons_beyond_a_number_are_counted_as_one() -> None:
    measured = Metrics()
    for number in range(MOST_REASONS + 5):
        measured.resolved(f"Reason{number}")
    assert value(measured, "podpin_resolutions_total", result="other") == 5


def test_pushes_are_forgotten_the_oldest_first() -> None:
    measured = Metrics()
    for number in range(MOST_PUSHES + 1):
        measured.noticed(f"sha256:{number}", 0.0)
    measured.applied(WEB, ["sha256:0"])
    assert value(measured, "podpin_push_to_pinned_seconds_count") == 0
    measured.applied(WEB, [f"sha256:{MOST_PUSHES}"])
    assert value(measured, "podpin_push_to_pinned_seconds_count") == 1


def test_headlines_are_remembered_up_to_a_number_whatever_people_write_into_a_status() -> None:
    rollouts = Rollouts()
    for number in range(MOST_HEADLINES + 50):
        conditions = [{"type": "Ready", "status": "True", "reason": f"Reason{number}"}]
        metadata = {"namespace": "shop", "name": "web", "resourceVersion": str(number + 1)}
        rollouts.put({"metadata": metadata, "spec": {}, "status": {"conditions": conditions}})
    assert len(rollouts._headlines) <= MOST_HEADLINES + 1
    assert [one.reason for one in rollouts.headlines()] == [f"Reason{MOST_HEADLINES + 49}"]


# --- the parts tell


@in_virtual_time
async def test_the_queue_tells_what_becomes_of_a_rollout() -> None:
    heard: list[object] = []

    class Ear(Observer):
        def added(self) -> None:
            heard.append("added")

        def put_off(self) -> None:
            heard.append("put off")

        def taken(self, key: Key, waited: float) -> None:
            heard.append(("taken", waited))

        def given_back(self, key: Key, worked: float) -> None:
            heard.append(("given back", worked))

    seconds = Clock()
    queue = WorkQueue(seconds, Ear())
    queue.add(WEB, bulk=True)
    seconds.now += 1
    queue.add(WEB)  # it goes before the bulk, and has waited since it came
    queue.add(WEB)
    seconds.now += 1
    assert await queue.get() == WEB
    seconds.now += 4
    assert queue.working() == [4]
    queue.add(WEB)
    queue.add(WEB)
    seconds.now += 1
    queue.done(WEB)
    seconds.now += 2
    await queue.get()
    queue.done(WEB)
    queue.failed(WEB)
    queue.stop()
    assert heard == [
        "added", ("taken", 2), "added", ("given back", 5), ("taken", 3), ("given back", 0), "put off",
    ]  # fmt: skip
    assert queue.working() == []


async def measured_trial() -> tuple[World, Podpin, Metrics]:
    world, podpin = await trying()
    measured = Metrics()
    podpin.reconciler._observer = measured
    measured.taken(WEB, 0.0)
    return world, podpin, measured


async def test_a_release_that_proves_healthy_is_counted_once() -> None:
    world, podpin, measured = await measured_trial()
    world.become_ready()
    later(world, 11)
    await podpin.settle()
    await podpin.settle()
    assert value(measured, "podpin_rollouts_total", result="Stable", reason="RolledOut") == 1
    assert value(measured, "podpin_rollout_duration_seconds_count", result="Stable") == 1


async def test_a_release_that_fails_is_counted_once_and_so_is_the_way_back() -> None:
    world, podpin, measured = await measured_trial()
    world.fail_to_start()
    await podpin.settle()
    await podpin.settle()
    assert value(measured, "podpin_rollouts_total", result="Rejected", reason="CrashLooping") == 1
    assert value(measured, "podpin_rollbacks_total", result="applied", reason="CrashLooping") == 1
    assert value(measured, "podpin_evidence_to_rollback_seconds_count") == 1


async def test_a_new_version_is_counted_by_its_policy_and_by_how_long_it_took() -> None:
    world, podpin = await proven()
    measured = Metrics()
    podpin.reconciler._observer = measured
    world.push("b")
    measured.noticed(digest("b"), measured._monotonic())
    await podpin.settle()
    assert world.release == release_id("b")
    assert value(measured, "podpin_choices_total", policy="semver") == 1
    assert value(measured, "podpin_push_to_pinned_seconds_count") == 1


async def test_a_quiet_world_counts_nothing() -> None:
    _, podpin = await proven()
    measured = Metrics()
    podpin.reconciler._observer = measured
    before = generate_latest(measured.registry)
    await podpin.settle()
    assert without_process(generate_latest(measured.registry)) == without_process(before)


def without_process(text: bytes) -> list[bytes]:
    return [line for line in text.splitlines() if b"process_" not in line]


# --- the endpoint


async def test_prometheus_can_read_what_is_answered() -> None:
    port, measured = free_port(), Metrics()
    measured.watch(sources([Headline("True", "RolledOut")]))
    runner = await metrics.answer(f"127.0.0.1:{port}", measured)
    try:
        async with aiohttp.ClientSession() as session:
            async with session.get(f"http://127.0.0.1:{port}/metrics") as response:
                assert (response.status, response.content_type) == (200, "text/plain")
                families = list(text_string_to_metric_families(await response.text()))
            async with session.get(f"http://127.0.0.1:{port}/healthz") as response:
                assert response.status == 404
    finally:
        await runner.cleanup()
    samples = [sample for family in families for sample in family.samples]
    assert {"ready": "True", "reason": "RolledOut"} in [one.labels for one in samples]
    assert not [one.name for one in samples if one.name.endswith("_created")]


def test_who_asks_without_end_gets_the_same_for_a_moment() -> None:
    clock = Clock()
    measured = Metrics(clock)
    before = measured.shown()
    measured.added()
    clock.now += FRESH / 2
    assert measured.shown() is before
    clock.now += FRESH / 2
    assert b'workqueue_adds_total{controller="imagerollouts",name="imagerollouts"} 1.0' in measured.shown()


async def test_an_address_in_use_names_the_flag() -> None:
    port = free_port()
    runner = await metrics.answer(f"127.0.0.1:{port}", Metrics())
    try:
        with pytest.raises(Invalid, match=f"127.0.0.1:{port}: .*Give another --metrics-address"):
            await metrics.answer(f"127.0.0.1:{port}", Metrics())
    finally:
        await runner.cleanup()


def test_who_is_not_measured_tells_nobody() -> None:
    for tell in (UNOBSERVED.added, UNOBSERVED.put_off):
        tell()
    assert vars(UNOBSERVED) == {}
