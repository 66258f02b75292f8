"""The alerts, the dashboard and the documents agree with each other and with what podpin measures."""

from __future__ import annotations

import itertools
import re
from typing import Any

import pytest
import yaml
from tests.monitoring.files import ALERTS, DASHBOARD, MONITORING, PANELS, ROOT, RULES, metrics_in, queries
from tests.test_docs import reasons_in_code

MEASURED = set(re.findall(r"^\| `(\w+)` \|", (ROOT / "docs" / "metrics.md").read_text(), re.MULTILINE))
PARAGRAPHS = dict(
    re.findall(r"^## (\w+)\n(.*?)(?=^## |\Z)", (ROOT / "docs" / "alerts.md").read_text(), re.MULTILINE | re.DOTALL)
)
EXPRESSIONS = [rule["expr"] for rule in ALERTS.values()] + [query for panel in PANELS for query in queries(panel)]


def test_every_alert_has_a_paragraph_and_there_is_none_besides() -> None:
    assert sorted(PARAGRAPHS) == sorted(ALERTS)


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_says_what_it_is_and_where_its_paragraph_is(name: str) -> None:
    alert = ALERTS[name]
    assert alert["labels"]["severity"] in ("critical", "warning", "info")
    assert alert["annotations"]["summary"].endswith(".")
    assert alert["annotations"]["description"].endswith(".")
    assert alert["annotations"]["runbook_url"] == f"docs/alerts.md#{name.lower()}"
    for part in ("**What it means.**", "**What to look at.**", "**What to do.**"):
        assert PARAGRAPHS[name].count(part) == 1


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_what_is_asked_for_is_measured(expression: str) -> None:
    assert metrics_in(expression)
    assert metrics_in(expression) <= MEASURED


def test_every_metric_of_podpin_s_own_is_shown_or_alerted_on() -> None:
    shown = set().union(*map(metrics_in, EXPRESSIONS))
    assert sorted(name for name in MEASURED - shown if name.startswith("podpin_")) == []


@pytest.mark.parametrize("expression", [rule["expr"] for rule in ALERTS.values()], ids=list(ALERTS))
def test_an_alert_names_no_reason_that_podpin_never_gives(expression: str) -> None:
    named = {one for text in re.findall(r'reason=~?"([^"]+)"', expression) for one in text.split("|")}
    assert named <= set(reasons_in_code())


def test_panels_have_ids_and_places_of_their_own() -> None:
    every = DASHBOARD["panels"]
    assert len({panel["id"] for panel in every}) == len(every)
    taken = [tile for panel in every for tile in tiles(panel["gridPos"])]
    assert len(set(taken)) == len(taken)
    assert all(0 <= x < 24 for x, _ in taken)


def tiles(place: dict[str, int]) -> list[tuple[int, int]]:
    across, down = range(place["x"], place["x"] + place["w"]), range(place["y"], place["y"] + place["h"])
    return list(itertools.product(across, down))


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel["title"])
def test_a_panel_says_what_it_shows_and_takes_the_data_source_that_is_chosen(panel: dict[str, Any]) -> None:
    assert panel["description"].endswith(".")
    assert panel["datasource"]["uid"] == "${datasource}"
    assert [one["refId"] for one in panel["targets"]] == list("ABCDEF"[: len(panel["targets"])])


def test_everything_is_installed_where_podpin_is() -> None:
    kustomization = yaml.safe_load((MONITORING / "kustomization.yaml").read_text())
    assert kustomization["namespace"] == RULES["metadata"]["namespace"] == "podpin-system"
    (generated,) = kustomization["configMapGenerator"]
    assert generated["options"]["labels"]["grafana_dashboard"] == "1"
    named = {"kustomization.yaml", *kustomization["resources"], *(one.partition("=")[2] for one in generated["files"])}
    assert {path.name for path in MONITORING.iterdir()} == named
