"""Configuration that moved: what a release runs with is more than its image and its template."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from tests.e2e.stage import container_of

from podpin import clock

if TYPE_CHECKING:
    from tests.e2e.stage import Stage
    from tests.e2e.world import Json

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(300)]


def settings(page: str) -> Json:
    """A ConfigMap with the page that the application must find before it starts."""
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}, "data": {"PAGE": page}}


def checked(rollout: Json) -> Json:
    """The same rollout, whose container exits at once unless the page of the settings is there."""
    container = container_of(rollout)
    container["envFrom"] = [{"configMapRef": {"name": "settings"}}]
    container["command"] = ["/bin/sh", "-c", 'test -e "$PAGE" || exit 3; exec /app/start']
    return rollout


def test_degraded_names_the_configmap_that_was_changed_and_who_changed_it(stage: Stage) -> None:
    stage.push("1.0.0")
    stage.apply([settings("/www/healthz"), checked(stage.rollout(rollout={"progressDeadline": "20s"}))])
    stage.until_stable("1.0.0")
    proven = datetime.fromisoformat(stage.status()["stable"]["since"])
    stage.until(lambda: clock.now() >= proven + timedelta(seconds=1), "a change to be later by the second")
    stage.kubectl("patch", "configmap", "settings", "-p", '{"data":{"PAGE":"/nowhere"}}', "--field-manager=somebody")
    stage.kubectl("delete", "pod", min(stage.pods()), "--wait=false")
    told = stage.until_says("Degraded", "settings", timeout=120)["message"]
    assert "ConfigMap settings was changed by somebody after the release had proven healthy: restore it" in told
    stage.until_says("Degraded", "container app exited 3 times or more, last with code 3 (Error)", timeout=120)
    stage.kubectl("delete", "configmap", "settings")
    stage.until_says("Degraded", "ConfigMap settings is missing", timeout=120)
    stage.apply(settings("/www/healthz"))
    for name in stage.pods():
        stage.kubectl("delete", "pod", name, "--wait=false")
    stage.until_stable("1.0.0")
    assert stage.templates() == [stage.release("1.0.0")], "nothing was rolled back for it"
