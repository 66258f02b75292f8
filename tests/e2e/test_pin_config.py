"""workload.pinConfig: a release is its configuration as well, and comes back with it."""

from __future__ import annotations

import base64
import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest
from tests.confidential import RIGHT, WRONG
from tests.e2e.faultproxy import Shot
from tests.e2e.stage import container_of, laid_over
from tests.e2e.test_crashes import played

if TYPE_CHECKING:
    from tests.e2e.faultproxy import Moment
    from tests.e2e.stage import Stage
    from tests.e2e.world import Json

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(300)]

RIGHTS: Final = Path(__file__).parent.parent.parent / "manifests" / "pin-config.yaml"
MOMENTS: Final[tuple[Moment, ...]] = ("before", "after")
CHECKED: Final = """
case "$PAGE" in /never*) exec sleep 600;; esac
test -e "$PAGE" || exit 3
read word < /login/password; test "$word" != WRONG || exit 4
exec /app/start
""".replace("WRONG", WRONG)
GOOD, ALSO_GOOD, BAD = "/www/healthz", "/www/./healthz", "/nowhere"


def allow(stage: Stage) -> None:
    """The administrator lets podpin copy configuration in this namespace."""
    stage.cluster.apply(RIGHTS, "--server-side")
    account = "--serviceaccount=podpin-system:podpin"
    stage.kubectl("create", "rolebinding", "podpin-pin-config", "--clusterrole=podpin-pin-config", account)


def settings(page: str) -> Json:
    """A ConfigMap with the page that the application must find before it starts."""
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}, "data": {"PAGE": page}}


def login(password: str) -> Json:
    """A Secret with a file that the application must find before it starts."""
    metadata = {"name": "login"}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": {"password": password}}


def pinned(stage: Stage, **changes: Any) -> Json:
    """A rollout that starts only where the page of its settings is there, and its password is not WRONG."""
    workload = {"pinConfig": True, **changes.pop("workload", {})}
    rollout = stage.rollout(**laid_over({"rollout": {"progressDeadline": "45s"}}, changes), workload=workload)
    container = container_of(rollout)
    container["envFrom"] = [{"configMapRef": {"name": "settings"}}]
    container["volumeMounts"] = [{"name": "login", "mountPath": "/login"}]
    sources = [{"secret": {"name": "login"}}, {"configMap": {"name": "absent", "optional": True}}]
    rollout["spec"]["workload"]["template"]["spec"]["volumes"] = [{"name": "login", "projected": {"sources": sources}}]
    container["command"] = ["/bin/sh", "-c", CHECKED]
    return rollout


def stands(stage: Stage, **changes: Any) -> str:
    """1.0.0 is stable with good settings; returns its release."""
    allow(stage)
    stage.push("1.0.0")
    stage.apply([settings(GOOD), login(f"{RIGHT}\n"), pinned(stage, **changes)])
    stage.until_stable("1.0.0")
    return str(stage.status()["stable"]["release"])


def of_podpin(stage: Stage, kind: str) -> dict[str, Json]:
    """The objects of a kind that podpin has made, by name."""
    found = stage.cluster.kubectl.get(kind, "-n", stage.namespace, "-l", "app.kubernetes.io/managed-by=podpin")
    return {one["metadata"]["name"]: one for one in found["items"]}


def copies(stage: Stage, kind: str, of: str) -> list[str]:
    """What the copies of an object have in them, by their names."""
    made = [raw for raw in of_podpin(stage, kind).values() if "annotations" in raw["metadata"]]
    of_it = [raw for raw in made if raw["metadata"]["annotations"].get("podpin.dev/copy-of") == of]
    values = [value for raw in of_it for value in raw["data"].values()]
    return sorted(base64.b64decode(value).decode().strip() for value in values) if kind == "secret" else sorted(values)


def is_copied(stage: Stage, page: str) -> bool:
    """There is a copy of the settings with this page."""
    return page in copies(stage, "configmap", "settings")


def versions(stage: Stage) -> dict[str, str]:
    """The users' own objects, as they were last written."""
    found = {}
    for kind, name in (("configmap", "settings"), ("secret", "login")):
        metadata = stage.cluster.kubectl.get(kind, name, "-n", stage.namespace)["metadata"]
        found[name] = metadata["resourceVersion"]
        assert not metadata.get("ownerReferences")
    return found


@pytest.mark.parametrize("kind", ["Deployment", "Pods"])
def test_a_change_of_configuration_is_rolled_out_and_is_rolled_back_where_it_does_no_good(
    stage: Stage, kind: str
) -> None:
    first = stands(stage, workload={"kind": kind})
    stage.apply(settings(ALSO_GOOD))
    stage.look()
    stage.until(lambda: stage.status()["stable"]["release"] != first, "the other settings to prove themselves")
    stage.until_stable("1.0.0")
    second = stage.status()["stable"]["release"]
    serving = stage.serving()
    mark = stage.mark()
    stage.apply([settings(BAD), login(f"{WRONG}\n")])
    stage.look()
    stage.until_says("RolledBack", "exited 3 times or more, last with code 3")
    assert stage.status()["stable"]["release"] == second
    stage.assert_untouched(serving)
    stage.until(lambda: set(stage.pods()) == serving, "the Pods with the bad settings to go")
    told = [entry for entry in stage.status()["history"] if entry["result"] == "Rejected"]
    assert len(told) == 1, "it is tried once"
    before = versions(stage)
    stage.look()
    stage.until_says("RolledBack", "exited 3 times or more")
    assert versions(stage) == before, "what belongs to users stays as it is"
    assert copies(stage, "configmap", "settings") == sorted([GOOD, ALSO_GOOD, BAD])
    assert copies(stage, "secret", "login") == sorted([RIGHT, WRONG])
    written = [f"{one.verb} {one.resource}" for one in stage.writes(mark) if one.resource in ("configmaps", "secrets")]
    assert sorted(written) == ["create configmaps", "create secrets"], written
    stage.assert_pinned()


def test_a_rollback_brings_back_the_configuration_that_ran(stage: Stage) -> None:
    first = stands(stage)
    stage.push("1.1.0", "missing_binary")
    stage.apply([settings(BAD), login(f"{WRONG}\n")])
    stage.look()
    stage.until_says("RolledBack", "1.1.0")
    for name in stage.serving():
        stage.kubectl("delete", "pod", name, "--wait=false")
    fresh = stage.until(
        lambda: (pods := stage.serving()) and len(pods) == 2 and not pods & set(stage.notes) and pods, "new Pods"
    )
    stage.until_says("RolledBack", "1.1.0")
    assert stage.status()["stable"]["release"] == first
    stage.until(lambda: stage.object()["status"]["readyReplicas"] == 2, "Pods made anew to be ready")
    assert fresh


def test_a_canary_is_given_the_new_configuration_and_the_workload_keeps_the_old(stage: Stage) -> None:
    first = stands(stage, rollout={"canary": {"replicas": 1, "bakeTime": "1s"}})
    serving = stage.serving()
    stage.apply(settings(BAD))
    stage.look()
    stage.until_says("RolledBack", "last with code 3")
    stage.assert_untouched(serving)
    assert stage.templates() == [first]


def test_what_is_missing_or_not_allowed_is_told_and_then_got_over(stage: Stage) -> None:
    stage.push("1.0.0")
    stage.apply(pinned(stage))
    stage.until_says("ConfigForbidden", "manifests/pin-config.yaml")
    allow(stage)
    stage.until_says("ConfigMissing", "ConfigMap settings does not exist")
    stage.apply(settings(GOOD))
    stage.until_says("ConfigMissing", "Secret login does not exist")
    stage.apply(login(f"{RIGHT}\n"))
    stage.until_stable("1.0.0")
    stage.kubectl("delete", "configmap", "settings")
    stage.look()
    stage.until_says("RolledOut", "no newer version is taken now: ConfigMissing")


def test_a_copy_that_somebody_deleted_is_made_again_and_one_that_cannot_be_is_told_of(stage: Stage) -> None:
    stands(stage)
    (name,) = of_podpin(stage, "configmap")
    stage.kubectl("delete", "configmap", name)
    stage.look()
    stage.until(lambda: name in of_podpin(stage, "configmap"), "the copy to be made again")
    stage.apply(settings(BAD))
    stage.look()
    stage.until_says("RolledBack", "last with code 3")
    stage.change({"spec": {"workload": {"replicas": 0}}})
    # As long as a Pod has the copy its kubelet does not ask for it again.
    stage.until(lambda: not stage.world.now("pods", stage.namespace), "the Pods to be gone")
    stage.kubectl("delete", "configmap", name)
    stage.change({"spec": {"workload": {"replicas": 2}}})
    told = stage.until_says("Degraded", f"ConfigMap {name} is missing", timeout=120)
    assert "restore it, or roll out a version that fits" in told["message"]
    templates = stage.templates()
    stage.apply(settings(ALSO_GOOD))
    stage.look()
    stage.until_stable("1.0.0")
    assert len(stage.templates()) == len(templates) + 1


def test_copies_go_when_no_release_needs_them_and_all_of_them_go_with_the_rollout(stage: Stage) -> None:
    stands(stage, rollout={"progressDeadline": "120s"})
    for nth in range(6):  # each gives way to the next before it is known, and three of those are kept
        stage.apply([settings(f"/never{nth}"), login(f"{WRONG} {nth}\n")])
        stage.change({"spec": {"workload": {"template": {"metadata": {"annotations": {"nth": str(nth)}}}}}})
        stage.until(functools.partial(is_copied, stage, f"/never{nth}"), "the copy to be made")
    stage.until(lambda: "/never0" not in copies(stage, "configmap", "settings"), "the oldest copy to go")
    stage.until(lambda: f"{WRONG} 0" not in copies(stage, "secret", "login"), "the oldest copy of the Secret to go")
    assert GOOD in copies(stage, "configmap", "settings")
    stage.kubectl("delete", "imagerollout", "web", "--timeout=30s")
    stage.until(
        lambda: not of_podpin(stage, "configmap") and not of_podpin(stage, "secret"), "everything to be collected", 120
    )
    assert versions(stage).keys() == {"settings", "login"}


SHOTS: Final = {
    **{f"{number}-{moment}": [Shot(number, moment)] for number in range(1, 6) for moment in MOMENTS},
    "each": [Shot(number, "after") for number in range(1, 16)],
}


@pytest.mark.parametrize("shots", SHOTS)
def test_the_end_is_the_same_when_podpin_is_killed_at_write(bare_stage: Stage, shots: str) -> None:
    stage = bare_stage
    with played(stage) as (podpin, proxy):
        first = stands(stage, workload={"replicas": 1})
        stage.apply([settings(BAD), login(f"{WRONG}\n")])
        proxy.aim(*SHOTS[shots])
        stage.annotate("reconcile", "now")

        def over() -> bool:
            if not podpin.runs:
                podpin.start(wait=False)
            ready, handled = stage.condition("Ready"), (stage.status().get("requests") or {}).get("reconcile")
            said = ready.get("reason") == "RolledBack" and "code 3" in ready["message"] and handled == "now"
            return said and podpin.runs and len(stage.pods()) == 1

        stage.until(over, "the bad settings to be rolled back", timeout=240)
        assert shots == "each" or not proxy.missed, "podpin was not killed"
        assert stage.status()["stable"]["release"] == first
        assert len(stage.templates()) == 3, "tried once, rolled back once"
        rejected = [entry["reason"] for entry in stage.status()["history"] if entry["result"] == "Rejected"]
        assert len(rejected) == 1
        assert copies(stage, "configmap", "settings") == sorted([GOOD, BAD])
        assert copies(stage, "secret", "login") == sorted([RIGHT, WRONG])
