"""A real promtool takes the alerts, and each goes off when it should and at no other time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import pytest
import yaml
from tests.cluster.commands import run
from tests.monitoring.files import ALERTS, GROUPS
from tests.monitoring.prometheus import programs

if TYPE_CHECKING:
    from pathlib import Path

# No cluster is needed, but a program that is fetched.
pytestmark = [pytest.mark.cluster, pytest.mark.timeout(300)]

QUEUE: Final = 'name="imagerollouts"'
WORK: Final = 'controller="imagerollouts"'


class Row(NamedTuple):
    """Series by name, one value a minute as promtool writes them, and when which alert goes off by them."""

    alert: str
    series: dict[str, str]
    minutes: int
    fires: bool
    labels: dict[str, str] = {}  # noqa: RUF012 -- never changed


HEALTHY = {
    'podpin_build_info{version="1"}': "1+0x2000",
    f"controller_runtime_reconcile_total{{{WORK}}}": "0+60x2000",
    f"controller_runtime_reconcile_errors_total{{{WORK}}}": "0+1x2000",
    f"controller_runtime_reconcile_panics_total{{{WORK}}}": "0+0x2000",
    f"workqueue_longest_running_processor_seconds{{{QUEUE}}}": "2+0x2000",
    f'workqueue_queue_duration_seconds_bucket{{{QUEUE}, le="0.1"}}': "0+60x2000",
    f'workqueue_queue_duration_seconds_bucket{{{QUEUE}, le="+Inf"}}': "0+60x2000",
    'podpin_api_requests_total{verb="patch", resource="deployments", code="200"}': "0+60x2000",
    'podpin_api_requests_total{verb="patch", resource="deployments", code="409"}': "0+60x2000",
    'podpin_look_overdue_seconds{host="r"}': "0+0x2000",
    'podpin_registry_requests_total{host="r", code="2xx"}': "0+60x2000",
    'podpin_rollbacks_total{result="applied", reason="CrashLooping"}': "0+1x2000",
    'podpin_imagerollouts{ready="True", reason="RolledOut"}': "10+0x2000",
    'podpin_imagerollouts{ready="True", reason="Suspended"}': "1+0x2000",
    'podpin_imagerollouts_held{reason="OutsideWindow"}': "3+0x2000",
}
"""What all is well looks like, with what may be taken for trouble and is none."""

ROWS = [
    Row("PodpinAbsent", {"up": "0+0x100"}, 6, fires=True),
    Row("PodpinAbsent", {"up": "0+0x100"}, 4, fires=False),
    Row("PodpinBug", {f"controller_runtime_reconcile_panics_total{{{WORK}}}": "0+0x5 1+0x90"}, 8, fires=True),
    Row("PodpinBug", {'controller_runtime_reconcile_panics_total{controller="another"}': "0+1x90"}, 8, fires=False),
    Row("PodpinFailing", {f"controller_runtime_reconcile_total{{{WORK}}}": "0+10x90",
                          f"controller_runtime_reconcile_errors_total{{{WORK}}}": "0+2x90"}, 30, fires=True),
    Row("PodpinBehind", {f'workqueue_queue_duration_seconds_bucket{{{QUEUE}, le="10"}}': "0+0x90",
                         f'workqueue_queue_duration_seconds_bucket{{{QUEUE}, le="60"}}': "0+9x90",
                         f'workqueue_queue_duration_seconds_bucket{{{QUEUE}, le="+Inf"}}': "0+9x90"}, 30, fires=True),
    Row("PodpinWorkerStuck", {f"workqueue_longest_running_processor_seconds{{{QUEUE}}}": "0+60x90"}, 15, fires=True),
    Row("PodpinApiTrouble", {'podpin_api_requests_total{verb="patch", resource="deployments", code="403"}': "0+6x90"},
        30, fires=True, labels={"verb": "patch", "resource": "deployments", "code": "403"}),
    Row("PodpinRegistryLate", {'podpin_look_overdue_seconds{host="r"}': "0+60x90"}, 40, fires=True,
        labels={"host": "r"}),
    Row("PodpinRegistryThrottled", {'podpin_registry_requests_total{host="r", code="429"}': "0+1x90"}, 40, fires=True,
        labels={"host": "r"}),
    Row("PodpinRollbackRefused", {'podpin_rollbacks_total{result="refused", reason="CrashLooping"}': "0+1x90"}, 5,
        fires=True),
    Row("PodpinRollbackRefused", {'podpin_rollbacks_total{result="refused", reason="Asked"}': "0+0x90",
                                  'podpin_rollbacks_total{result="refused", reason="CrashLooping"}': "_x4 1+0x90"}, 6,
        fires=True),
    Row("PodpinDegraded", {'podpin_imagerollouts{ready="False", reason="Degraded"}': "1+0x90"}, 11, fires=True),
    Row("PodpinDegraded", {'podpin_imagerollouts{ready="False", reason="Degraded"}': "1+0x5 0+0x90"}, 11, fires=False),
    Row("PodpinRejected", {'podpin_imagerollouts{ready="True", reason="RolledBack"}': "1+0x90"}, 16, fires=True),
    Row("PodpinStalled", {'podpin_imagerollouts{ready="False", reason="InvalidSpec"}': "1+0x90"}, 16, fires=True,
        labels={"reason": "InvalidSpec"}),
    Row("PodpinUnresolved", {'podpin_imagerollouts_unresolved{reason="TagNotFound"}': "1+0x90"}, 61, fires=True,
        labels={"reason": "TagNotFound"}),
    Row("PodpinAwaitsApproval", {'podpin_imagerollouts_held{reason="AwaitingApproval"}': "1+0x2000"}, 1441,
        fires=True),
]  # fmt: skip


def test_promtool_finds_nothing_wrong_with_the_rules(tmp_path: Path) -> None:
    file = tmp_path / "rules.yaml"
    file.write_text(yaml.safe_dump({"groups": GROUPS}))
    assert f"SUCCESS: {len(ALERTS)} rules found" in run(programs()["promtool"], "check", "rules", file)


def test_every_alert_has_a_row_in_which_it_goes_off() -> None:
    assert {row.alert for row in ROWS if row.fires} == set(ALERTS)


def test_each_alert_goes_off_when_it_should_and_at_no_other_time(tmp_path: Path) -> None:
    # promtool would have every annotation spelt out in each case.
    bare = [{**group, "rules": [{**rule, "annotations": {}} for rule in group["rules"]]} for group in GROUPS]
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump({"groups": bare}))
    cases = tmp_path / "cases.yaml"
    well = [{"eval_time": "1600m", "alertname": alert, "exp_alerts": []} for alert in ALERTS]
    tests = [{**case(ROWS[0]), "name": "all is well", "input_series": series(HEALTHY), "alert_rule_test": well}]
    tests += [case(row) for row in ROWS]
    cases.write_text(yaml.safe_dump({"rule_files": ["rules.yaml"], "evaluation_interval": "1m", "tests": tests}))
    run(programs()["promtool"], "test", "rules", cases)


def series(values: dict[str, str]) -> list[dict[str, str]]:
    return [{"series": name, "values": each} for name, each in values.items()]


def case(row: Row) -> dict[str, Any]:
    """A row as promtool reads it."""
    wanted = [{"exp_labels": {**ALERTS[row.alert]["labels"], **row.labels}}] if row.fires else []
    return {
        "name": f"{row.alert} after {row.minutes} minutes",
        "interval": "1m",
        "input_series": series(row.series),
        "alert_rule_test": [{"eval_time": f"{row.minutes}m", "alertname": row.alert, "exp_alerts": wanted}],
    }
