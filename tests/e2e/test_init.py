"""`podpin init` on a real cluster: what it writes for a workload that runs is taken, and does what its comments say."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml
from tests.e2e.test_adoption import image_of, workload

from podpin.cli.check import judged

if TYPE_CHECKING:
    from tests.e2e.stage import Stage
    from tests.e2e.world import Json

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]

SOURCE = Path(__file__).parent.parent.parent / "operator"


def proposed(stage: Stage, *words: str) -> Json:
    """What `podpin init` writes for the workload `front`, once nobody finds anything wrong with it."""
    command = [sys.executable, "-m", "podpin", "init", "--from", "deployment/front", "-n", stage.namespace]
    command += ["--kubeconfig", str(stage.cluster.kubeconfig), *words]
    done = subprocess.run(
        command, env={**os.environ, "PYTHONPATH": str(SOURCE)}, capture_output=True, text=True, check=True, timeout=60
    )
    assert judged([("rollout.yaml", done.stdout)]).findings == ()
    stage.kubectl("apply", "--dry-run=server", "-f", "-", stdin=done.stdout)
    manifest: Json = yaml.safe_load(done.stdout)
    manifest["spec"]["rollout"]["bakeTime"] = "1s"
    manifest["spec"]["registry"] = {"interval": "24h"}
    return manifest


def test_what_is_proposed_for_a_deployment_adopts_it(stage: Stage) -> None:
    stage.push("1.0.0")
    stage.push("2.0.0")
    stage.apply(workload(stage, "1.0.0"))
    stage.kubectl("rollout", "status", "deployment/front", "--timeout=60s")
    stage.apply(proposed(stage, "--adopt", "--name", "web"))
    stage.until_stable("1.0.0")
    assert image_of(stage) == stage.pin("1.0.0")


def test_what_is_proposed_for_a_deployment_takes_its_place_while_its_pods_go_on_serving(stage: Stage) -> None:
    stage.push("1.0.0")
    stage.apply(workload(stage, "1.0.0"))
    stage.kubectl("rollout", "status", "deployment/front", "--timeout=60s")
    before = {*stage.kubectl("get", "pods", "-l", "app=front", "-o", "name").split()}
    manifest = proposed(stage)
    stage.kubectl("delete", "deployment", "front", "--cascade=orphan")
    stage.apply(manifest)
    stage.until_stable("1.0.0", name="front")
    assert image_of(stage) == stage.pin("1.0.0")
    assert before < {*stage.kubectl("get", "pods", "-l", "app=front", "-o", "name").split()}
