"""A real Prometheus reads a real podpin: its own numbers fill the dashboard, and the alerts are evaluated."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.monitoring.files import ALERTS, GROUPS, PANELS, queries
from tests.monitoring.prometheus import running
from tests.waiting import wait_for

if TYPE_CHECKING:
    from tests.e2e.stage import Stage

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(300)]

EMPTY_IS_WELL = {
    "Held, by why",
    "Without a version, by why",
    "Push to pinned",
}
"""Panels that show nothing where nothing of the kind has happened."""


def test_podpin_s_own_numbers_fill_the_dashboard_and_the_alerts_are_evaluated(stage: Stage) -> None:
    """A version rolls out and a bad one comes back, while a Prometheus reads podpin's numbers."""
    with tempfile.TemporaryDirectory(prefix="podpin-prometheus-") as folder:
        targets = [stage.podpin.metrics_address]
        with running(Path(folder), targets, GROUPS) as prometheus:
            wait_for(lambda: prometheus.query("podpin_build_info"), 30, "the first scrape")
            stage.push("1.0.0")
            stage.apply(stage.rollout())
            stage.until_stable("1.0.0")
            stage.push("1.0.1", "crash")
            stage.look()
            stage.until_says("RolledBack")
            stage.until(
                lambda: prometheus.query('increase((sum(podpin_rollbacks_total{result="applied"}))[5m:1s]) > 0'),
                "Prometheus to have seen the rollback",
            )
            stage.until(lambda: set(prometheus.healthy_rules().values()) == {"ok"}, "all alerts to be evaluated")
            assert set(prometheus.healthy_rules()) == set(ALERTS)
            shown = {panel["title"]: [prometheus.query(query) for query in queries(panel)] for panel in PANELS}
    assert {title for title, answers in shown.items() if not any(answers)} <= EMPTY_IS_WELL
    numbers = [float(one["value"][1]) for answers in shown.values() for answer in answers for one in answer]
    assert any(number > 0 for number in numbers)
