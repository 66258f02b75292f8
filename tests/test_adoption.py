"""Look, decide, act, on a workload that somebody else has made."""

from __future__ import annotations

from typing import Any

import pytest

from podpin.core.names import Key
from tests.builders import REPOSITORY, digest, raw_spec
from tests.world import WEB, Crash, Podpin, World, later

Json = dict[str, Any]
TARGET = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "front"}


def wish(**changes: Any) -> Json:
    raw = raw_spec(**changes)
    del raw["workload"]
    return raw | {"targetRef": TARGET}


def front(**metadata: Any) -> Json:
    """The Deployment as its author has made it, with two Pods that serve."""
    containers = [{"name": "app", "image": f"{REPOSITORY}:0.9", "env": []}, {"name": "side", "image": "proxy:2"}]
    known = {"name": "front", "namespace": "shop", "uid": "d1", "generation": 1, "resourceVersion": "9"}
    return {
        "metadata": {**known, **metadata},
        "spec": {"replicas": 2, "selector": {"matchLabels": {"app": "web"}},
                 "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": containers}}},
        "status": {"observedGeneration": 1, "replicas": 2, "updatedReplicas": 2, "availableReplicas": 2},
    }  # fmt: skip


def serving(letter: str) -> list[Json]:
    status = {"containerStatuses": [{"name": "app", "imageID": f"{REPOSITORY}@{digest(letter)}"}]}
    return [{"metadata": {"name": name}, "status": status} for name in ("front-1", "front-2")]


def begun() -> tuple[World, Podpin]:
    """A rollout for the Deployment has been applied, and the registry has 1.0.0."""
    world = World(deployment=front(), selected_pods=serving("f"))
    world.apply(wish())
    world.push("a")
    return world, Podpin(world)


def images(world: World) -> list[str]:
    assert world.deployment is not None
    return [one["image"] for one in world.deployment["spec"]["template"]["spec"]["containers"]]


async def test_what_ran_is_on_record_before_the_images_are_taken_over() -> None:
    world, podpin = begun()
    written = await podpin.settle()
    assert [what.split()[0] for what in written] == ["record", "record", "workload", "status"]
    assert images(world) == [f"{REPOSITORY}:1.0.0@{digest('a')}", "proxy:2"]
    assert world.rollout is not None
    assert world.rollout["status"]["stable"]["images"][0]["image"] == f"{REPOSITORY}:0.9@{digest('f')}"
    assert world.rollout["status"]["workload"]["name"] == "front"
    assert await podpin.settle() == []


async def test_a_bad_first_choice_gives_way_to_what_ran() -> None:
    world, podpin = begun()
    await podpin.settle()
    world.fail_to_start()
    later(world, 5)
    await podpin.settle()
    assert images(world) == [f"{REPOSITORY}:0.9@{digest('f')}", "proxy:2"]


async def test_where_the_pods_do_not_tell_what_ran_podpin_begins_without_a_way_back() -> None:
    world, podpin = begun()
    world.selected_pods = serving("f")[:1]
    assert [what.split()[0] for what in await podpin.settle()] == ["record", "workload", "status"]


@pytest.mark.parametrize("writes", range(1, 5))
async def test_a_death_after_any_write_of_an_adoption_comes_to_the_same_end(writes: int) -> None:
    world, podpin = begun()
    world.crash_after = writes
    with pytest.raises(Crash):
        await podpin.settle()
    await Podpin(world).settle()
    assert images(world)[0] == f"{REPOSITORY}:1.0.0@{digest('a')}"
    assert len(world.templates) == 1
    assert len(world.records) == 2
    assert (
        sum("Stable" in one["metadata"]["annotations"].get("podpin.dev/verdict", "") for one in world.records.values())
        == 1
    )


async def test_an_image_that_somebody_changes_is_put_back_and_another_field_is_not() -> None:
    world, podpin = begun()
    await podpin.settle()
    later(world, 5)
    world.become_ready()
    later(world, 11)
    await podpin.settle()
    assert podpin.ready == ("True", "RolledOut")
    assert world.deployment is not None
    template = world.deployment["spec"]["template"]
    world.edit_deployment(replicas=3, paused=False)
    world.become_ready()
    assert not [what for what in await podpin.settle() if "workload" in what]
    spec = {
        **template["spec"],
        "containers": [{"name": "app", "image": f"{REPOSITORY}:0.9"}, template["spec"]["containers"][1]],
    }
    world.edit_deployment(template={**template, "spec": spec})
    await podpin.settle()
    assert images(world)[0] == f"{REPOSITORY}:1.0.0@{digest('a')}"
    assert [notice.reason for notice in world.notices][-1] == "DriftCorrected"
    assert world.deployment["spec"]["replicas"] == 3


async def test_a_target_that_is_missing_is_looked_for_again_and_no_registry_is_asked_meanwhile() -> None:
    world, podpin = begun()
    world.deployment = None
    wait = await podpin.look()
    assert podpin.ready == ("False", "TargetNotFound")
    assert wait is not None
    assert 0 < wait.total_seconds() <= 30
    assert world.followed == []
    assert world.forgotten == [WEB]
    world.deployment = front()
    await podpin.settle()
    assert podpin.ready == ("Unknown", "Progressing")


async def test_a_workload_that_is_made_anew_gets_its_stable_images_again() -> None:
    world, podpin = begun()
    await podpin.settle()
    later(world, 5)
    world.become_ready()
    later(world, 11)
    await podpin.settle()
    world.deployment = front(uid="d2")
    world.pods = ()
    await podpin.settle()
    assert images(world)[0] == f"{REPOSITORY}:1.0.0@{digest('a')}"


@pytest.mark.parametrize(
    ("label", "other", "reason"),
    [
        ("other", True, "WorkloadConflict"),
        ("other", False, "Progressing"),
        (None, False, "Progressing"),
    ],
    ids=["another rollout that is there", "another rollout that is gone", "nobody"],
)
async def test_a_workload_belongs_to(label: str | None, other: bool, reason: str) -> None:
    world, podpin = begun()
    world.deployment = front(labels={"podpin.dev/rollout": label} if label else {})
    if other:
        world.others[Key("shop", "other")] = {"metadata": {"name": "other"}, "spec": {"targetRef": TARGET}}
    await podpin.settle()
    assert podpin.ready[1] == reason
    assert bool(world.templates) is (reason == "Progressing")


async def test_credentials_and_places_are_those_of_the_live_template() -> None:
    world, podpin = begun()
    assert world.deployment is not None
    pod = world.deployment["spec"]["template"]["spec"]
    pod |= {"imagePullSecrets": [{"name": "pull"}], "serviceAccountName": "shop", "nodeSelector": {"disk": "ssd"}}
    await podpin.settle()
    followed = world.followed[-1]["app"]
    assert followed.source.template_secrets == ("pull",)
    assert followed.source.service_account == "shop"
    assert '"disk": "ssd"' in (followed.terms.placement or "")


async def test_degraded_names_the_configuration_that_the_workloads_author_has_given_it() -> None:
    world, podpin = begun()
    assert world.deployment is not None
    pod = world.deployment["spec"]["template"]["spec"]
    pod["containers"][0]["envFrom"] = [{"configMapRef": {"name": "settings"}}]
    world.configure("helm", mode="fast")
    await podpin.settle()
    later(world, 5)
    world.become_ready()
    later(world, 11)
    await podpin.settle()
    assert podpin.ready == ("True", "RolledOut")
    later(world, 100)
    world.configure("kubectl-edit", mode="wrong")
    world.fail_to_start()
    later(world, 60)
    assert await podpin.settle() == ["status"]
    assert podpin.ready == ("False", "Degraded")
    assert "ConfigMap settings was changed by kubectl-edit" in podpin.message
    other = {**pod, "containers": [{**one, "envFrom": []} for one in pod["containers"]]}
    template = {**world.deployment["spec"]["template"], "spec": {**other}}
    template["metadata"]["labels"]["podpin.dev/release"] = world.release
    world.edit_deployment(template=template)
    later(world, 120)
    await podpin.settle()
    assert "ConfigMap" not in podpin.message, "its author has changed the template, and no release has come of it"
