"""Writes what this podpin leaves of each case: run it where podpin is released, or in a checkout of an earlier commit.

It needs nothing of the house but `tests/world.py` and `tests/builders.py`, whose names have been the same for long.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from podpin.inquiry import Found
from podpin.poller import Look
from tests.builders import REPOSITORY, digest, raw_spec
from tests.world import Podpin, World, later

if TYPE_CHECKING:
    from collections.abc import Mapping

SIDECAR = "registry.example.com/shop/proxy"
PROBE = {"httpGet": {"path": "/healthz", "port": 8080}, "periodSeconds": 5}
RICH: dict[str, Any] = {
    "metadata": {"labels": {"team": "shop", "app": "web"}, "annotations": {"note": "kept"}},
    "spec": {
        "serviceAccountName": "web",
        "terminationGracePeriodSeconds": 5,
        "initContainers": [{"name": "migrate"}],
        "containers": [
            {
                "name": "app",
                "env": [
                    {"name": "A", "value": "b"},
                    {"name": "C", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
                ],
                "ports": [{"containerPort": 8080}],
                "readinessProbe": PROBE,
                "resources": {"requests": {"cpu": "0.5", "memory": "64Mi"}, "limits": {"memory": 134217728}},
                "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],
            },
            {"name": "helper", "image": "busybox:1"},
        ],
        "volumes": [{"name": "tmp", "emptyDir": {}}],
    },
}


def image(container: str, repository: str = REPOSITORY, **policy: Any) -> dict[str, Any]:
    return {"container": container, "repository": repository, "policy": policy or {"semver": {"range": ">=1"}}}


CASES: Mapping[str, dict[str, Any]] = {
    "the smallest": raw_spec(),
    "a rich template with several managed containers": raw_spec(
        images=[image("app"), image("migrate"), image("helper", SIDECAR, tag={"name": "stable"})],
        workload={
            "strategy": {"rollingUpdate": {"maxSurge": "50%", "maxUnavailable": 0}},
            "selector": {"matchLabels": {"app": "web"}},
        },
        template=RICH,
    ),
    "followed by tag, with terms of its own": raw_spec(
        images=[{**image("app", tag={"name": "stable"}), "platforms": ["linux/amd64"], "minAge": "1m"}],
        rollout={"progressDeadline": "5m", "bakeTime": "10s", "prePull": False},
        registry={"interval": "1m", "pullSecrets": [{"name": "pull"}]},
    ),
    "an autoscaler's": raw_spec(workload={"replicas": None}),
    "made anew instead of rolled": raw_spec(workload={"strategy": {"type": "Recreate"}}),
    "Pods": raw_spec(workload={"kind": "Pods"}),
}


async def told(wish: dict[str, Any]) -> dict[str, Any]:
    """A release is stable, a second one too, and a third one was rejected."""
    workload = {field: value for field, value in wish["workload"].items() if value is not None}
    wish = {**wish, "workload": workload}
    world = World()
    world.apply(wish)
    podpin = Podpin(world)
    for letter in "ab":
        push(world, wish, letter)
        await podpin.settle()
        await become_ready(world, podpin)
    push(world, wish, "c")
    await podpin.settle()
    if workload["kind"] == "Pods":
        world.own_crash(json.loads(json.dumps(world.rollout))["status"]["candidate"]["release"])
    else:
        world.fail_to_start()
    await podpin.settle()
    await become_ready(world, podpin)
    assert podpin.ready == ("True", "RolledBack"), (podpin.ready, podpin.message)
    return {
        "rollout": world.rollout,
        "deployment": world.deployment,
        "records": world.records,
        "pods": world.own,
        "time": world.now.isoformat(),
        "templates": world.templates,
    }


async def become_ready(world: World, podpin: Podpin) -> None:
    for _ in range(6):
        if world.deployment is None:
            world.own_ready()
        else:
            world.become_ready()
        later(world, 15)
        await podpin.settle()


def push(world: World, wish: dict[str, Any], letter: str) -> None:
    """The same version for all containers."""
    world.push(letter)
    for one in wish["images"]:
        found = Found("stable" if "tag" in one["policy"] else f"1.0.{ord(letter) - 97}", digest(letter))
        world.looks[one["container"]] = Look(found, world.ticks, found)


def record(file: Path) -> None:
    """Write what is left of all cases, and by which commit's podpin."""
    commit = subprocess.run(["git", "describe", "--always"], capture_output=True, text=True, check=True).stdout.strip()
    stored = {"commit": commit, "cases": {name: asyncio.run(told(wish)) for name, wish in CASES.items()}}
    file.write_text(json.dumps(stored, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    record(Path(sys.argv[1]))
