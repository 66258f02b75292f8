"""The chart installs what the kustomizations install, object by object, so that neither can be forgotten."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pytest
from tests.charts.rendering import charted, kustomized, one
from tests.manifests.installed import MANIFESTS, granted
from tests.manifests.test_manifests import loaded

if TYPE_CHECKING:
    from pathlib import Path

    from tests.charts.rendering import Json

# No cluster is needed, but the programs of one are.
pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]

HELMS_OWN: Final = {"helm.sh/chart", "app.kubernetes.io/managed-by"}
"""Labels by which Helm's users find what a release has made."""

HERE_ALONE: Final[Json] = {"namespaces": ["shop"], "users": {"create": False}}

SAME: Final[dict[str, tuple[str, tuple[str, ...], Json]]] = {
    "for the whole cluster": ("", (), {}),
    "for one namespace": ("namespaced", (), HERE_ALONE),
    "with webhooks": ("", ("hooks",), {"hooks": {"enabled": True}}),
    "with two replicas": ("", ("ha",), {"ha": {"enabled": True}}),
    "with a guard": ("", ("guard",), {"crds": {"guard": True}}),
    "with a network policy": ("", ("network-policy",), {"networkPolicy": {"create": True}}),
    "for one namespace, with everything": (
        "namespaced",
        ("ha", "hooks", "network-policy"),
        {**HERE_ALONE, "ha": {"enabled": True}, "hooks": {"enabled": True}, "networkPolicy": {"create": True}},
    ),
}


@pytest.mark.parametrize(("folder", "components", "values"), SAME.values(), ids=SAME)
def test_chart_and_kustomization_install_the_same(
    tmp_path: Path, folder: str, components: tuple[str, ...], values: Json
) -> None:
    helms, kustomizes = comparable(charted(values)), comparable(kustomized(tmp_path, folder, components))
    # A chart is installed into a namespace that is there: Helm keeps its own record in it.
    del kustomizes[("Namespace", "", "podpin-system")]
    for key in helms.keys() & {(f"ValidatingAdmissionPolicy{part}", "", "podpin-guard") for part in ("", "Binding")}:
        assert helms[key]["metadata"].pop("annotations") == {"helm.sh/resource-policy": "keep"}
    assert helms.keys() == kustomizes.keys()
    for key, theirs in kustomizes.items():
        assert helms[key] == theirs, key


def test_the_chart_gives_the_rights_to_copy_configuration_that_the_manifests_give() -> None:
    without, given = charted(), charted({"pinConfig": {"namespaces": ["shop"]}})
    assert not [each for each in without if "pin-config" in each["metadata"]["name"]]
    role, binding = one(given, "Role", "podpin-pin-config"), one(given, "RoleBinding", "podpin-pin-config")
    assert granted(role["rules"]) == granted(loaded("pin-config.yaml")[0]["rules"])
    assert {role["metadata"]["namespace"], binding["metadata"]["namespace"]} == {"shop"}
    assert binding["roleRef"]["name"] == role["metadata"]["name"]
    assert binding["subjects"] == one(given, "ClusterRoleBinding")["subjects"]


def test_each_component_is_compared_with_the_chart() -> None:
    there = {
        file.parent.name for file in MANIFESTS.glob("*/kustomization.yaml") if "kind: Component" in file.read_text()
    }
    assert there == {component for _, components, _ in SAME.values() for component in components}


def comparable(found: list[Json]) -> dict[tuple[str, str, str], Any]:
    """By kind, namespace and name; without Helm's own labels, and lists by name in one order."""
    keyed = {(each["kind"], each["metadata"].get("namespace", ""), each["metadata"]["name"]): each for each in found}
    assert len(keyed) == len(found)
    for each in keyed.values():
        labels = {name: value for name, value in each["metadata"].get("labels", {}).items() if name not in HELMS_OWN}
        if labels:
            each["metadata"]["labels"] = labels
    return {key: in_order(each) for key, each in keyed.items()}


def in_order(value: Any) -> Any:
    """The same value, with each list whose elements have names sorted by them."""
    if isinstance(value, dict):
        return {name: in_order(child) for name, child in value.items()}
    if isinstance(value, list):
        children = [in_order(child) for child in value]
        if all(isinstance(child, dict) and "name" in child for child in children):
            return sorted(children, key=lambda child: str(child["name"]))
        return children
    return value
