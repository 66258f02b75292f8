"""manifests/monitoring as the tests read it: the groups of rules, and what the dashboard asks."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, Final

import yaml

ROOT: Final = Path(__file__).parent.parent.parent
MONITORING: Final = ROOT / "manifests" / "monitoring"
RULES: Final[dict[str, Any]] = yaml.safe_load((MONITORING / "rules.yaml").read_text())
GROUPS: Final[list[dict[str, Any]]] = RULES["spec"]["groups"]
ALERTS: Final[dict[str, dict[str, Any]]] = {rule["alert"]: rule for group in GROUPS for rule in group["rules"]}
DASHBOARD: Final[dict[str, Any]] = json.loads((MONITORING / "dashboard.json").read_text())
PANELS: Final[list[dict[str, Any]]] = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
_METRIC: Final = re.compile(r"\b(?:podpin|workqueue|controller_runtime|process)_\w+")


def queries(panel: dict[str, Any], interval: str = "5m") -> list[str]:
    """What a panel asks Prometheus, with Grafana's variables filled in."""
    return [target["expr"].replace("$__rate_interval", interval) for target in panel["targets"]]


def metrics_in(expression: str) -> set[str]:
    """The metrics that an expression names, a histogram by its own name."""
    return {name.removesuffix("_bucket") for name in _METRIC.findall(expression)}
