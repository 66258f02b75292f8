"""The job: choose, pin, roll out, judge, roll back, as a user meets it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.e2e.stage import container_of

if TYPE_CHECKING:
    from tests.e2e.stage import Stage

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]


def test_a_version_is_picked_up_a_bad_one_rolled_back_and_a_fixed_one_taken(stage: Stage) -> None:
    first = stage.push("1.0.0")
    stage.apply(stage.rollout())
    stage.kubectl("wait", "--for=condition=Ready", "--timeout=60s", "imagerollout/web")
    stage.until_stable("1.0.0")
    pin = f"{stage.registry.address}/{stage.repository}:1.0.0@{first}"
    assert container_of({"spec": {"workload": stage.deployment()["spec"]}})["image"] == pin

    stage.push("1.1.0")
    stage.look()
    stage.until_stable("1.1.0")
    serving = stage.serving()

    stage.push("1.2.0", "unready")
    stage.change({"spec": {"rollout": {"progressDeadline": "6s"}}})
    stage.look()
    ready = stage.until_says("RolledBack", ":1.2.0@")
    assert ready["status"] == "True"
    stage.assert_untouched(serving)

    stage.push("1.2.1")
    stage.look()
    stage.until_stable("1.2.1")
    assert stage.verdicts() == {
        "1.0.0": "Stable",
        "1.1.0": "Stable",
        "1.2.0": "ProgressDeadlineExceeded",
        "1.2.1": "Stable",
    }
    assert len(stage.templates()) == 5
    stage.assert_pinned()
