"""workload.pinConfig in a small honest world: its settings are copied, tried, gone back to, and collected."""

from __future__ import annotations

import base64
from dataclasses import replace
from typing import Any

import pytest

from podpin.core.names import LABEL_RELEASE, config_key_name
from podpin.core.rollout import KEPT_REJECTED, KEPT_STABLE
from podpin.errors import Conflict, Denied, Invalid, PodpinError, Unavailable
from tests.builders import UID, container, raw_spec
from tests.world import Crash, Podpin, World, later, texts

KEY = f"Secret {config_key_name('web', UID).rpartition('-')[0]}"
COPY, LOGIN = "ConfigMap web-settings", "Secret web-login"
INTERVAL = 300
"""How often the registry is looked at, in seconds, and the configuration with it."""


def pinned(*, optional: bool = True, note: str = "none", **changes: Any) -> dict[str, Any]:
    """A rollout whose container takes its environment from a ConfigMap, and from a Secret that it may do without."""
    sources = [{"configMapRef": {"name": "settings"}}, {"secretRef": {"name": "login", "optional": optional}}]
    template = {
        "metadata": {"annotations": {"note": note}},
        "spec": {"containers": [{"name": "app", "envFrom": sources}]},
    }
    return raw_spec(template=template, workload={"pinConfig": True, **changes.pop("workload", {})}, **changes)


def environment(template: Any, world: World) -> dict[str, Any]:
    """What the Pods of a template find in their environment."""
    found: dict[str, Any] = {}
    for source in template["spec"]["containers"][0]["envFrom"]:
        reference = source.get("configMapRef") or source["secretRef"]
        kind = "ConfigMap" if "configMapRef" in source else "Secret"
        found |= world.configs.get((kind, reference["name"]), {}).get("data", {})
    return found


def runs_with(world: World) -> dict[str, Any]:
    """What the Pods of the Deployment find in their environment."""
    assert world.deployment is not None
    return environment(world.deployment["spec"]["template"], world)


def copies(world: World) -> list[Any]:
    """The contents of all copies that are there."""
    return [raw["data"] for raw in world.configs.values() if "annotations" in raw["metadata"]]


def copy_name(world: World, **data: str) -> tuple[str, str]:
    """Where the copy with these contents is."""
    return next(at for at, raw in world.configs.items() if "annotations" in raw["metadata"] and raw["data"] == data)


async def come_up(world: World, podpin: Podpin) -> list[str]:
    """All Pods become ready, and stay so."""
    later(world, 5)
    world.become_ready()
    later(world, 11)
    return await podpin.settle()


async def stands(**changes: Any) -> tuple[World, Podpin]:
    """Version A has proven healthy, with settings that are good."""
    world = World()
    world.configure(mode="good")
    world.apply(pinned(**changes))
    world.push("a")
    podpin = Podpin(world)
    await podpin.settle()
    await come_up(world, podpin)
    assert podpin.ready == ("True", "RolledOut")
    return world, podpin


async def noticed(world: World, podpin: Podpin, **configured: str) -> None:
    """Somebody changes a ConfigMap or a Secret, as `World.configure` has it, and podpin looks the next time."""
    world.configure(**configured)
    later(world, INTERVAL)
    await podpin.settle()


async def own_stands() -> tuple[World, Podpin]:
    """The same with one Pod of podpin's own."""
    world = World()
    world.configure(mode="good")
    world.apply(pinned(workload={"kind": "Pods", "replicas": 1}))
    world.push("a")
    podpin = Podpin(world)
    for _ in range(3):
        await podpin.settle()
        world.own_ready()
        later(world, 11)
    await podpin.settle()
    assert podpin.ready == ("True", "RolledOut")
    return world, podpin


def settings(pod: Any, world: World) -> str:
    """The mode in which a Pod's settings have it run."""
    return str(environment(pod, world)["mode"])


async def test_a_release_has_its_copies_written_after_its_record_and_before_its_workload() -> None:
    world, _ = await stands()
    release = world.release
    tried = [KEY, f"record {release}", COPY, f"workload {release}", "status"]
    assert world.writes == [*tried, f"verdict Stable on {release}", "status"]
    copy = world.configs[copy_name(world, mode="good")]
    assert runs_with(world) == {"mode": "good"}
    assert copy["immutable"] is True
    owner = {"apiVersion": "podpin.dev/v1alpha1", "kind": "ImageRollout", "name": "web", "uid": UID}
    assert copy["metadata"]["ownerReferences"] == [owner]
    assert world.configs["ConfigMap", "settings"]["data"] == {"mode": "good"}


async def test_nothing_is_written_and_little_is_asked_while_nothing_changes() -> None:
    world, podpin = await stands()
    world.asked.clear()
    assert await podpin.settle() == []
    assert world.asked["contents of settings"] == 0
    wait = await podpin.look()
    assert wait is not None
    assert wait.total_seconds() <= INTERVAL
    later(world, INTERVAL)
    assert await podpin.settle() == []
    assert world.asked["contents of settings"] == 1
    assert await Podpin(world).settle() == [], "nor by a podpin that was started anew"


async def test_where_nothing_is_to_be_pinned_nobody_reads_it() -> None:
    world = World()
    world.configure(mode="good")
    world.apply(pinned(workload={"pinConfig": False}))
    world.push("a")
    podpin = Podpin(world)
    await podpin.settle()
    await come_up(world, podpin)
    assert not [asked for asked in world.asked if asked.startswith("contents")]
    assert copies(world) == []


async def test_settings_that_changed_are_a_release_of_their_own_which_is_tried_and_proves_itself() -> None:
    world, podpin = await stands()
    before = world.release
    world.configure(mode="better")
    assert await podpin.settle() == [], "nobody has looked yet"
    later(world, INTERVAL)
    world.writes.clear()
    await podpin.settle()
    assert world.writes == [f"record {world.release}", COPY, f"workload {world.release}", "status"]
    assert world.release != before
    assert world.notices[-1].message.endswith(", with another ConfigMap settings")
    await come_up(world, podpin)
    assert podpin.ready == ("True", "RolledOut")
    assert runs_with(world) == {"mode": "better"}


async def test_settings_that_do_no_good_are_rolled_back_and_not_tried_again() -> None:
    world, podpin = await stands()
    good = world.release
    world.configure(mode="bad")
    world.apply(reconcile="now")
    await podpin.settle()
    bad = world.release
    assert runs_with(world) == {"mode": "bad"}
    world.fail_to_start()
    world.writes.clear()
    await podpin.settle()
    assert world.writes == [f"verdict Rejected on {bad}", f"workload {good}", "status"]
    assert runs_with(world) == {"mode": "good"}
    world.become_ready()
    await podpin.settle()
    assert podpin.ready == ("True", "RolledBack"), "the spec was met, and nobody is to be woken"
    assert f"release {bad} (web:1.0.0@aaaaaaaaaaaa, with another ConfigMap settings) was rejected" in podpin.message
    later(world, 10 * INTERVAL)
    assert await podpin.settle() == []
    assert await Podpin(world).settle() == []
    await noticed(world, podpin, mode="good")
    assert world.release == good
    assert podpin.ready == ("True", "RolledOut")


async def test_a_rollback_brings_back_the_settings_that_ran_though_they_moved_with_the_image() -> None:
    world, podpin = await stands()
    world.configure(mode="for b")
    world.push("b")
    await podpin.settle()
    assert runs_with(world) == {"mode": "for b"}, "a new image is reason enough to look"
    world.fail_to_start()
    await podpin.settle()
    assert runs_with(world) == {"mode": "good"}
    assert world.configs["ConfigMap", "settings"]["data"] == {"mode": "for b"}, "the original is its author's"


async def test_who_asks_to_go_back_gets_the_settings_that_ran_then() -> None:
    world, podpin = await stands()
    good = world.release
    await noticed(world, podpin, mode="other")
    await come_up(world, podpin)
    back: dict[str, Any] = {"rollback-to": "previous"}
    world.apply(**back)
    await podpin.settle()
    world.become_ready()
    await podpin.settle()
    assert world.release == good
    assert runs_with(world) == {"mode": "good"}
    later(world, 10 * INTERVAL)
    assert await podpin.settle() == [], "and keeps them, whatever the original has in it"


async def test_what_was_held_back_is_copied_as_it_is_when_it_begins() -> None:
    world, podpin = await stands(update={"mode": "Manual"})
    world.configure(mode="other")
    later(world, INTERVAL)
    assert await podpin.settle() == ["status"]
    assert podpin.ready == ("True", "AwaitingApproval")
    assert ", with another ConfigMap settings) waits" in podpin.message
    assert copies(world) == [{"mode": "good"}], "nothing is made before it begins"
    assert world.rollout is not None
    world.apply(approve=world.rollout["status"]["waiting"]["release"])
    await podpin.settle()
    assert runs_with(world) == {"mode": "other"}


async def test_releases_with_the_same_settings_share_their_copies() -> None:
    world, podpin = await stands()
    world.push("b")
    world.writes.clear()
    await podpin.settle()
    assert world.writes == [f"record {world.release}", f"workload {world.release}", "status"]
    assert copies(world) == [{"mode": "good"}]


async def test_a_secret_keeps_its_type_and_stands_nowhere_else() -> None:
    world, podpin = await stands()
    password = base64.b64encode(b"hunter2").decode()
    world.configure(kind="Secret", name="login", password=password)
    world.configs["Secret", "login"]["type"] = "example.com/login"
    world.apply(reconcile="now")
    await podpin.settle()
    copy = world.configs[copy_name(world, password=password)]
    assert (copy["kind"], copy["type"]) == ("Secret", "example.com/login")
    assert runs_with(world) == {"mode": "good", "password": password}
    elsewhere = repr((world.rollout, world.records, world.deployment, world.notices))
    assert password not in elsewhere
    assert "hunter2" not in elsewhere


async def test_a_canary_has_the_settings_that_are_tried_and_the_workload_those_that_ran() -> None:
    terms = {"progressDeadline": "60s", "bakeTime": "10s", "canary": {"replicas": 1, "bakeTime": "20s"}}
    world, podpin = await stands(rollout=terms)
    world.configure(mode="bad")
    world.apply(reconcile="now")
    await podpin.settle()
    assert world.canary is not None
    assert environment(world.canary["spec"]["template"], world) == {"mode": "bad"}
    assert runs_with(world) == {"mode": "good"}
    world.canary_fails()
    await podpin.settle()
    assert podpin.ready == ("True", "RolledBack")
    assert runs_with(world) == {"mode": "good"}


async def test_pods_of_podpins_own_have_the_settings_of_their_release() -> None:
    world = World()
    world.configure(mode="good")
    world.apply(pinned(workload={"kind": "Pods", "replicas": 1, "inPlace": True}))
    world.push("a")
    podpin = Podpin(world)
    for _ in range(3):
        await podpin.settle()
        world.own_ready()
        later(world, 11)
    await podpin.settle()
    assert podpin.ready == ("True", "RolledOut")
    await noticed(world, podpin, mode="bad")
    found = {raw["metadata"]["labels"][LABEL_RELEASE]: environment(raw, world) for raw in world.own.values()}
    assert sorted(str(one) for one in found.values()) == ["{'mode': 'bad'}", "{'mode': 'good'}"], "not in place"
    world.own_crash(next(release for release, one in found.items() if one == {"mode": "bad"}))
    for _ in range(3):
        await podpin.settle()
        later(world, 11)
    assert [environment(raw, world) for raw in world.own.values()] == [{"mode": "good"}]
    assert podpin.ready == ("True", "RolledBack")


# --- what stands in the way


async def test_an_object_that_is_missing_is_waited_for_before_anything_runs() -> None:
    world = World()
    world.apply(pinned())
    world.push("a")
    podpin = Podpin(world)
    assert await podpin.settle() == [KEY, "status"]
    assert podpin.ready == ("False", "ConfigMissing")
    assert podpin.message == (
        "nothing runs yet: ConfigMap settings does not exist in namespace shop: create it, or mark it as optional"
    )
    later(world, 60)
    assert await podpin.settle() == []
    world.configure(mode="good")
    later(world, 10)
    await podpin.settle()
    assert runs_with(world) == {"mode": "good"}


async def test_what_runs_goes_on_with_its_copies_when_an_original_is_deleted() -> None:
    world, podpin = await stands()
    del world.configs["ConfigMap", "settings"]
    later(world, INTERVAL)
    assert await podpin.settle() == ["status"]
    assert podpin.ready == ("True", "RolledOut")
    assert podpin.message.endswith("; no newer version is taken now: ConfigMissing")
    assert texts(world.notices)[-1] == "ConfigMissing"
    later(world, 60)
    assert await podpin.settle() == []
    world.push("b")
    assert await podpin.settle() == ["status"], "the new version is told of, and not started"
    assert runs_with(world) == {"mode": "good"}


async def test_a_changed_spec_that_names_what_is_not_there_is_not_met() -> None:
    world, podpin = await stands()
    world.apply(pinned(optional=False))
    await podpin.settle()
    assert podpin.ready == ("False", "ConfigMissing")
    assert "the changed spec cannot be met: Secret login does not exist" in podpin.message
    assert runs_with(world) == {"mode": "good"}


async def test_an_optional_object_that_comes_to_be_is_a_change_like_any_other() -> None:
    world, podpin = await stands()
    await noticed(world, podpin, kind="Secret", name="login", password="cGFzcw==")
    await come_up(world, podpin)
    assert runs_with(world) == {"mode": "good", "password": "cGFzcw=="}
    del world.configs["Secret", "login"]
    later(world, INTERVAL)
    await podpin.settle()
    assert runs_with(world) == {"mode": "good"}


async def test_without_the_rights_it_says_where_they_are() -> None:
    world = World()
    world.configure(mode="good")
    world.fail["config_key"] = Denied('secrets is forbidden: User "podpin" cannot create resource "secrets"')
    world.apply(pinned())
    world.push("a")
    podpin = Podpin(world)
    assert await podpin.settle() == ["status"]
    assert podpin.ready == ("False", "ConfigForbidden")
    assert 'cannot create resource "secrets"; the rights for workload.pinConfig are in manifests/pin-config' in (
        podpin.message
    )
    assert await podpin.settle() == []


QUOTA = Denied("exceeded quota")
REFUSALS = [
    (QUOTA, "ConfigForbidden", "podpin may not copy configuration: exceeded quota; the rights for workload.pinConfig"),
    (Invalid("no such names here"), "ConfigNotCopied", "ConfigMap settings cannot be copied: no such names here"),
    (Unavailable("a webhook fails"), "ConfigNotCopied", "ConfigMap settings cannot be copied: a webhook fails"),
]


@pytest.mark.parametrize(("error", "reason", "words"), REFUSALS, ids=str)
async def test_a_copy_that_is_refused_keeps_the_release_from_being_tried_until_it_can_be_had(
    error: PodpinError, reason: str, words: str
) -> None:
    world, podpin = await stands()
    before = world.release
    world.configure(mode="better")
    world.fail["write_copy"] = error
    later(world, INTERVAL)
    await podpin.settle()
    assert podpin.ready == ("True", "RolledOut")
    assert podpin.message.endswith(f"; no newer version is taken now: {reason}")
    assert words in world.notices[-1].message
    assert world.release == before
    assert await podpin.settle() == []
    later(world, 10)
    assert await podpin.settle() == []
    assert await Podpin(world).settle() == []
    del world.fail["write_copy"]
    later(world, 10)
    await podpin.settle()
    assert runs_with(world) == {"mode": "better"}


@pytest.mark.parametrize("kind", ["Deployment", "Pods"])
async def test_where_the_copies_of_the_first_release_are_refused_it_is_told(kind: str) -> None:
    world = World()
    world.configure(mode="good")
    world.apply(pinned(workload={"kind": kind}))
    world.push("a")
    world.fail["write_copy"] = QUOTA
    podpin = Podpin(world)
    await podpin.settle()
    assert podpin.ready == ("False", "ConfigForbidden")
    assert "nothing runs yet: podpin may not copy configuration: exceeded quota" in podpin.message
    assert (world.release, world.own) == (None, {})
    later(world, 10)
    assert await podpin.settle() == []


@pytest.mark.parametrize(("error", "reason", "words"), REFUSALS, ids=str)
async def test_a_release_that_fails_is_rolled_back_although_the_copies_of_the_next_one_are_refused(
    error: PodpinError, reason: str, words: str
) -> None:
    world, podpin = await stands()
    good = world.release
    await noticed(world, podpin, mode="bad")
    bad = world.release
    world.configure(mode="fixed")
    world.fail["write_copy"] = error
    world.apply(reconcile="now")
    await podpin.settle()
    assert world.release == bad
    world.fail_to_start()
    await podpin.settle()
    assert f"verdict Rejected on {bad}" in world.writes
    assert world.release == good
    del world.fail["write_copy"]
    later(world, 10)
    await podpin.settle()
    assert runs_with(world) == {"mode": "fixed"}


async def test_a_deadline_ends_also_while_the_copies_of_the_next_release_are_refused() -> None:
    world, podpin = await stands()
    good = world.release
    await noticed(world, podpin, mode="bad")
    bad = world.release
    world.configure(mode="fixed")
    world.fail["write_copy"] = QUOTA
    world.apply(reconcile="now")
    await podpin.settle()
    later(world, 1)
    world.fail_to_start()
    slow = container(running_since=world.now)
    world.pods = tuple(replace(pod, containers=(slow,)) for pod in world.pods)
    world.asked.clear()
    for _ in range(30):
        await podpin.settle()
        if world.release == good:
            break
        later(world, 7)
    assert world.asked["refresh"] == 1, "no verdict on a watch that may lag behind"
    assert f"verdict Rejected on {bad}" in world.writes
    assert world.release == good


async def test_a_release_is_pulled_once_while_its_copies_are_refused() -> None:
    terms = {"progressDeadline": "60s", "bakeTime": "10s", "prePull": True}
    world, podpin = await stands(rollout=terms)
    world.pods = tuple(replace(pod, node=f"node-{nth}") for nth, pod in enumerate(world.pods, 1))
    world.push("b")
    world.configure(mode="for b")
    world.fail["write_copy"] = QUOTA
    await podpin.settle()
    assert podpin.ready == ("Unknown", "PrePulling")
    state = {"waiting": {"reason": "CreateContainerConfigError", "message": "image will run as root"}}
    for raw in world.own.values():
        part = {"name": "app", "ready": False, "restartCount": 0, "imageID": "", "state": state}
        raw["status"] = {"phase": "Pending", "containerStatuses": [part]}
    await podpin.settle()
    assert podpin.ready == ("True", "RolledOut")
    for _ in range(5):
        later(world, 10)
        assert await podpin.settle() == []
    del world.fail["write_copy"]
    later(world, 10)
    await podpin.settle()
    assert copies(world) == [{"mode": "good"}, {"mode": "for b"}]
    assert podpin.ready == ("Unknown", "PrePulling"), "its Pods that pull had gone"


async def test_a_canary_that_fails_goes_although_the_copies_of_the_next_one_are_refused() -> None:
    terms = {"progressDeadline": "60s", "bakeTime": "10s", "canary": {"replicas": 1, "bakeTime": "20s"}}
    world, podpin = await stands(rollout=terms)
    world.configure(mode="bad")
    world.apply(reconcile="now")
    await podpin.settle()
    world.configure(mode="fixed")
    world.fail["write_copy"] = QUOTA
    world.apply(reconcile="again")
    world.canary_fails()
    await podpin.settle()
    assert world.canary is None
    assert [write for write in world.writes if write.startswith("verdict Rejected")]


async def test_pods_that_fail_are_rolled_back_although_the_copies_of_the_next_release_are_refused() -> None:
    world, podpin = await own_stands()
    await noticed(world, podpin, mode="bad")
    world.configure(mode="fixed")
    world.fail["write_copy"] = QUOTA
    world.apply(reconcile="now")
    await podpin.settle()
    (bad,) = {raw["metadata"]["labels"][LABEL_RELEASE] for raw in world.own.values() if settings(raw, world) == "bad"}
    world.own_crash(bad)
    for _ in range(3):
        await podpin.settle()
        later(world, 11)
    assert [settings(raw, world) for raw in world.own.values()] == ["good"]
    assert f"verdict Rejected on {bad}" in world.writes


async def test_what_somebody_else_has_made_under_the_name_of_a_copy_is_never_used_nor_touched() -> None:
    other, _ = await stands()
    kind, name = copy_name(other, mode="good")
    world = World()
    world.configure(mode="good")
    world.configure(name=name, mode="theirs")
    world.apply(pinned())
    world.push("a")
    podpin = Podpin(world)
    await podpin.settle()
    assert podpin.ready == ("False", "ConfigNotCopied")
    assert f"a {kind} {name} exists that is not podpin's copy of settings: delete it" in podpin.message
    assert world.release is None
    assert world.configs[kind, name]["data"] == {"mode": "theirs"}
    del world.configs[kind, name]
    later(world, 10)
    await podpin.settle()
    assert runs_with(world) == {"mode": "good"}


async def test_a_copy_that_lost_its_label_and_its_owner_is_good_enough_to_go_on_with_and_is_not_deleted() -> None:
    world, podpin = await stands()
    at = copy_name(world, mode="good")
    world.configs[at]["metadata"] = {"name": at[1], "annotations": {"podpin.dev/copy-of": "settings"}}
    world.push("b")
    await podpin.settle()
    await come_up(world, podpin)
    assert podpin.ready == ("True", "RolledOut")
    for nth in range(KEPT_STABLE + 2):
        world.configure(mode=f"number {nth}")
        later(world, INTERVAL)
        await podpin.settle()
        await come_up(world, podpin)
    assert [write for write in world.writes if write.startswith("prune")]
    assert at in world.configs


async def test_settings_that_change_between_the_look_and_the_copy_are_looked_at_again() -> None:
    world, podpin = await stands()
    world.configure(mode="better")
    later(world, INTERVAL)
    world.fail["write_record"] = Unavailable("it does not answer")
    with pytest.raises(Unavailable):
        await podpin.look()
    del world.fail["write_record"]
    world.configure(mode="best")
    with pytest.raises(Conflict, match="ConfigMap settings has changed since podpin looked at it"):
        await podpin.look()
    await podpin.settle()
    assert runs_with(world) == {"mode": "best"}
    assert {"mode": "better"} not in copies(world)


async def test_an_api_server_that_does_not_answer_changes_nothing() -> None:
    world, podpin = await stands()
    world.fail["contents of settings"] = Unavailable("it does not answer")
    later(world, INTERVAL)
    assert await podpin.settle() == []
    with pytest.raises(Unavailable):
        await Podpin(world).settle()
    assert podpin.ready == ("True", "RolledOut")


@pytest.mark.parametrize("asks", ["another template", "another image", "somebody"])
async def test_what_was_found_for_something_else_is_no_answer_while_the_api_server_gives_none(asks: str) -> None:
    world, podpin = await stands()
    before, spec = world.release, pinned()
    world.configure(name="more", more="true")
    world.configure(mode="better")
    if asks == "another template":
        spec["workload"]["template"]["spec"]["containers"][0]["envFrom"].append({"configMapRef": {"name": "more"}})
        world.apply(spec)
    elif asks == "another image":
        world.push("b")
    else:
        world.apply(reconcile="now")
    world.fail["contents of settings"] = Unavailable("it does not answer")
    with pytest.raises(Unavailable):
        await podpin.settle()
    assert world.release == before
    del world.fail["contents of settings"]
    await podpin.settle()
    found = {"mode": "better", "more": "true"} if asks == "another template" else {"mode": "better"}
    assert runs_with(world) == found, "tried once, with all of its settings"
    assert len(world.templates) == 2


async def test_what_could_not_be_read_is_read_again_soon() -> None:
    world, podpin = await stands()
    world.configure(mode="better")
    world.fail["contents of settings"] = Unavailable("it does not answer")
    later(world, INTERVAL)
    assert await podpin.settle() == []
    del world.fail["contents of settings"]
    later(world, 10)
    await podpin.settle()
    assert runs_with(world) == {"mode": "better"}


async def test_going_back_goes_on_where_podpin_died_in_it_and_the_original_is_missing_since() -> None:
    world, podpin = await stands()
    good = world.release
    await noticed(world, podpin, mode="bad")
    world.fail_to_start()
    world.crash_after = len(world.writes) + 1
    with pytest.raises(Crash):
        await podpin.look()
    assert world.writes[-1].startswith("verdict Rejected")
    del world.configs["ConfigMap", "settings"]
    await Podpin(world).settle()
    assert world.release == good


async def test_a_key_that_somebody_deleted_is_made_again_as_it_was() -> None:
    world, podpin = await stands()
    release = world.release
    del world.configs["Secret", config_key_name("web", UID)]
    later(world, INTERVAL)
    assert await podpin.settle() == [KEY]
    assert await Podpin(world).settle() == []
    assert world.release == release


async def test_a_key_that_nobody_knows_any_more_gives_the_same_settings_other_names_and_no_more() -> None:
    world, podpin = await stands()
    del world.configs["Secret", config_key_name("web", UID)]
    podpin = Podpin(world)
    await podpin.settle()
    await come_up(world, podpin)
    assert podpin.ready == ("True", "RolledOut")
    assert len(world.templates) == 2
    assert runs_with(world) == {"mode": "good"}


# --- copies that are gone


async def test_a_copy_that_somebody_deleted_is_made_again_from_an_original_that_is_as_it_was() -> None:
    world, podpin = await stands()
    del world.configs[copy_name(world, mode="good")]
    later(world, INTERVAL)
    assert await podpin.settle() == [COPY]
    assert runs_with(world) == {"mode": "good"}
    assert await podpin.settle() == []


async def test_a_copy_of_what_runs_is_made_again_also_while_another_release_waits() -> None:
    world, podpin = await stands(update={"mode": "Manual"})
    world.push("b")
    await podpin.settle()
    assert podpin.ready == ("True", "AwaitingApproval")
    del world.configs[copy_name(world, mode="good")]
    later(world, INTERVAL)
    assert await podpin.settle() == [COPY]
    assert runs_with(world) == {"mode": "good"}


async def test_a_copy_of_what_runs_is_made_again_also_beside_its_canary() -> None:
    terms = {"progressDeadline": "60s", "bakeTime": "10s", "canary": {"replicas": 1, "bakeTime": "20s"}}
    world, podpin = await stands(rollout=terms)
    world.push("b")
    await podpin.settle()
    assert world.canary is not None
    del world.configs[copy_name(world, mode="good")]
    later(world, INTERVAL)
    await podpin.settle()
    assert world.writes.count(COPY) == 2


@pytest.mark.parametrize("error", [error for error, _, _ in REFUSALS], ids=str)
async def test_a_copy_that_cannot_be_made_again_holds_nothing_up(error: PodpinError) -> None:
    world, podpin = await own_stands()
    (name,) = world.own
    at = copy_name(world, mode="good")
    copy = world.configs.pop(at)
    world.fail["write_copy"] = error
    later(world, INTERVAL)
    assert await podpin.settle() == []
    assert podpin.ready == ("True", "RolledOut")
    del world.own[name]
    for _ in range(3):
        await podpin.settle()
        later(world, 11)
    assert list(world.own) != []
    del world.fail["write_copy"]
    later(world, INTERVAL)
    await podpin.settle()
    assert world.configs[at]["data"] == copy["data"], "it is tried again at the next look"


async def test_a_deployment_is_scaled_though_a_copy_of_its_settings_cannot_be_made_again() -> None:
    world, podpin = await stands()
    release = world.release
    del world.configs[copy_name(world, mode="good")]
    world.fail["write_copy"] = QUOTA
    world.apply(pinned(workload={"replicas": 5}))
    await podpin.settle()
    assert world.deployment is not None
    assert (world.release, world.deployment["spec"]["replicas"]) == (release, 5)


async def test_going_back_to_a_release_whose_copy_is_gone_for_good_is_done_once_and_told_of() -> None:
    world, podpin = await stands()
    good = world.release
    del world.configs[copy_name(world, mode="good")]
    await noticed(world, podpin, mode="bad")
    world.fail_to_start()
    await podpin.settle()
    assert world.release == good
    world.fail_to_start(why="CreateContainerConfigError", message='configmap "web-settings" not found')
    later(world, 90)
    await podpin.settle()
    assert podpin.ready == ("False", "Degraded")
    assert f"ConfigMap {runs_under(world)} is missing: restore it, or roll out a version that fits" in podpin.message
    later(world, 90)
    assert await podpin.settle() == []


def runs_under(world: World) -> str:
    """The name of the ConfigMap that the Deployment's container asks for."""
    assert world.deployment is not None
    source = world.deployment["spec"]["template"]["spec"]["containers"][0]["envFrom"][0]
    return str(source["configMapRef"]["name"])


@pytest.mark.parametrize("method", ["config_key", "write_copy"])
async def test_going_back_is_not_held_up_where_the_rights_are_gone(method: str) -> None:
    world, podpin = await stands()
    good = world.release
    await noticed(world, podpin, mode="bad")
    world.fail[method] = Denied("forbidden")
    world.fail_to_start()
    await Podpin(world).settle()
    assert world.release == good


# --- copies that nobody needs


async def test_copies_go_with_the_last_release_that_has_them() -> None:
    world, podpin = await stands()
    for nth in range(KEPT_STABLE + 2):
        world.configure(mode=f"number {nth}")
        later(world, INTERVAL)
        await podpin.settle()
        await come_up(world, podpin)
    kept = [{"mode": f"number {nth}"} for nth in range(1, KEPT_STABLE + 2)]
    assert copies(world) == kept
    assert world.writes.count(f"drop {COPY}") == 2
    dropped = world.writes.index(f"drop {COPY}")
    assert world.writes[dropped + 1].startswith("prune"), "the record goes after them"


async def test_a_copy_that_another_release_has_stays() -> None:
    world, podpin = await stands()
    for nth in range(KEPT_STABLE + 2):
        world.apply(pinned(note=str(nth)))
        await podpin.settle()
        await come_up(world, podpin)
    assert [write for write in world.writes if write.startswith("prune")]
    assert copies(world) == [{"mode": "good"}]


async def test_records_are_pruned_also_where_the_right_to_delete_copies_is_gone() -> None:
    world, podpin = await stands()
    world.fail["drop_copy"] = Denied("forbidden")
    for nth in range(KEPT_REJECTED + 2):
        world.configure(mode=f"bad {nth}")
        later(world, INTERVAL)
        await podpin.settle()
        world.fail_to_start()
        await podpin.settle()
        world.become_ready()
    assert [write for write in world.writes if write.startswith("prune")]
    assert podpin.ready == ("True", "RolledBack")


# --- a death after each write


@pytest.mark.parametrize("fails", [False, True], ids=["settings that do good", "settings that do not"])
@pytest.mark.parametrize("death", range(1, 7))
async def test_the_end_is_the_same_when_podpin_dies_after_write(death: int, *, fails: bool) -> None:
    world, podpin = await stands()
    before, made = world.release, list(copies(world))
    world.configure(mode="other")
    later(world, INTERVAL)
    world.crash_after = len(world.writes) + death
    for _ in range(20):
        try:
            await podpin.look()
        except Crash:
            podpin = Podpin(world)
        if fails and world.release != before:
            world.fail_to_start()
        else:
            world.become_ready()
            later(world, 11)
    assert podpin.ready == ("True", "RolledBack" if fails else "RolledOut")
    assert runs_with(world) == {"mode": "good" if fails else "other"}
    assert len(world.templates) == (3 if fails else 2), "rolled out once"
    assert copies(world) == [*made, {"mode": "other"}]
    assert world.writes.count(COPY) == 2


@pytest.mark.parametrize("death", range(1, 8))
async def test_the_end_is_the_same_with_pods_of_podpins_own_when_it_dies_after_write(death: int) -> None:
    world = World()
    world.configure(mode="good")
    world.apply(pinned(workload={"kind": "Pods", "replicas": 1}))
    world.push("a")
    podpin = Podpin(world)
    for _ in range(3):
        await podpin.settle()
        world.own_ready()
        later(world, 11)
    await podpin.settle()
    assert podpin.ready == ("True", "RolledOut")
    (before,) = [raw["metadata"]["labels"][LABEL_RELEASE] for raw in world.own.values()]
    world.configure(mode="bad")
    later(world, INTERVAL)
    world.crash_after = len(world.writes) + death
    for _ in range(20):
        try:
            await podpin.look()
        except Crash:
            podpin = Podpin(world)
        world.own_ready(before)
        for release in {raw["metadata"]["labels"][LABEL_RELEASE] for raw in world.own.values()} - {before}:
            world.own_crash(release)
        later(world, 11)
    assert world.crash_after is None, "podpin was not killed"
    assert podpin.ready == ("True", "RolledBack")
    assert [environment(raw, world) for raw in world.own.values()] == [{"mode": "good"}]
    assert copies(world) == [{"mode": "good"}, {"mode": "bad"}]
    assert len(world.records) == 2
