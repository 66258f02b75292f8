from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import pytest
import yaml
from kubernetes.client import V1CustomResourceDefinition
from pydantic import BaseModel, Field

from podpin import crd
from podpin.core.schema import NotExpressible, Part, Text, structural

if TYPE_CHECKING:
    from collections.abc import Iterator

COMMITTED = Path(__file__).parent.parent / "crds" / "imagerollouts.podpin.dev.yaml"
ROOT: dict[str, Any] = crd.definition()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]


def nodes(node: dict[str, Any], at: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every schema within a schema, with its path."""
    yield at, node
    for name, child in node.get("properties", {}).items():
        yield from nodes(child, f"{at}.{name}")
    for word, mark in (("items", "[]"), ("additionalProperties", "{}")):
        if word in node:
            yield from nodes(node[word], f"{at}{mark}")


EVERYWHERE = [pytest.param(node, id=at or "root") for at, node in nodes(ROOT)]


def test_the_committed_file_is_the_generated_one() -> None:
    assert COMMITTED.read_text() == crd.render(), "run `make crds`"


def test_the_printed_file_is_the_definition() -> None:
    assert yaml.safe_load(crd.render()) == crd.definition()
    assert "make crds" in crd.render().splitlines()[0]


def test_the_official_client_can_read_it() -> None:
    assert V1CustomResourceDefinition.from_dict(crd.definition()) is not None


@pytest.mark.parametrize("node", EVERYWHERE)
def test_every_schema_is_structural(node: dict[str, Any]) -> None:
    assert ("type" in node) != bool(node.get("x-kubernetes-int-or-string"))
    assert not node.keys() & {"$ref", "$defs", "anyOf", "oneOf", "allOf", "not", "const", "title", "nullable"}
    assert node.get("default", 0) is not None


@pytest.mark.parametrize("node", EVERYWHERE)
def test_every_field_is_explained(node: dict[str, Any]) -> None:
    for name, child in node.get("properties", {}).items():
        if node is not ROOT or name not in ("spec", "status"):
            assert child["description"].endswith((".", "?")), name
        assert "\n" not in child["description"]


@pytest.mark.parametrize("node", EVERYWHERE)
def test_every_rule_speaks_to_the_user(node: dict[str, Any]) -> None:
    for rule in node.get("x-kubernetes-validations", ()):
        assert rule["message"]
        assert "\n" not in rule["rule"] + rule["message"]


@pytest.mark.parametrize(
    "node", [pytest.param(node, id=at) for at, node in nodes(ROOT["properties"]["status"], "status")]
)
def test_everything_in_status_is_bounded(node: dict[str, Any]) -> None:
    match node.get("type"):
        case "array":
            assert node["maxItems"] > 0
        case "string":
            assert node.get("maxLength") or node.get("enum") or node.get("format") == "date-time"


def test_every_list_of_named_entries_can_be_applied_by_several_writers() -> None:
    keyed = {at: node["x-kubernetes-list-map-keys"] for at, node in nodes(ROOT) if "x-kubernetes-list-map-keys" in node}
    assert keyed[".spec.images"] == ["container"]
    assert keyed[".spec.workload.template.spec.containers"] == ["name"]
    assert keyed[".status.conditions"] == ["type"]


def test_defaults_are_written_as_a_user_would() -> None:
    spec = ROOT["properties"]["spec"]["properties"]
    assert spec["registry"]["default"] == {}
    assert spec["registry"]["properties"]["interval"]["default"] == "5m"
    assert spec["rollout"]["properties"]["progressDeadline"]["default"] == "10m"
    assert spec["rollout"]["properties"]["bakeTime"]["default"] == "30s"
    assert spec["rollback"]["properties"]["enabled"]["default"] is True
    assert spec["suspend"]["default"] is False
    assert "default" not in spec["workload"]["properties"]["replicas"]


def test_columns_show_what_runs_and_not_what_is_wished() -> None:
    paths = {column["name"]: column["jsonPath"] for column in crd.COLUMNS}
    assert list(paths) == ["Image", "Digest", "Ready", "Reason", "Pods", "Age", "Trying", "Waiting", "Until", "Message"]
    assert not any(".spec" in path or ".status.images" in path or "candidate" in path for path in paths.values())
    assert [column["name"] for column in crd.COLUMNS if column.get("priority")] == [
        "Trying",
        "Waiting",
        "Until",
        "Message",
    ]


class Node(BaseModel):
    children: tuple[Node, ...] = ()


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        (int | bool, "is a union"),
        (str | int | None, None),
        (tuple[int, str], "prefixItems"),
        (Annotated[float, Field(gt=0)], "exclusiveMinimum"),
        (set[str], "uniqueItems"),
        (Any, "has no type"),
        (Node, "contains itself"),
        (dict[str, int], None),
        (Literal["a"], None),
    ],
)
def test_the_generator_refuses_what_the_dialect_cannot_say(kind: Any, says: str | None) -> None:
    model = type("Model", (BaseModel,), {"__annotations__": {"field": kind}, "__module__": __name__})
    if says is None:
        assert structural(model)["properties"]["field"]
    else:
        with pytest.raises(NotExpressible, match=says) as refusal:
            structural(model)
        assert "field" in str(refusal.value)


def test_a_pattern_that_could_end_its_own_string_is_refused() -> None:
    class Quoted(Part):
        field: Annotated[str, Text(grammar="it's", message="", max_length=4)]

    with pytest.raises(NotExpressible, match="quote"):
        structural(Quoted)
