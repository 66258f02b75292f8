"""A newer definition of ImageRollout over objects that were stored under an earlier one: they mean what they meant."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from podpin.core.reference import parse_pin
from podpin.core.release import release_of
from podpin.core.spec import parse_spec
from podpin.core.status import parse_status
from tests.upgrade.test_upgrade import OBJECTS

if TYPE_CHECKING:
    from tests.cluster.local import LocalCluster

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(120)]

CRD = Path(__file__).parent.parent.parent / "crds" / "imagerollouts.podpin.dev.yaml"
DEFINITIONS = sorted(OBJECTS.glob("*.crd.yaml"))


def test_there_is_a_definition_for_all_that_is_stored() -> None:
    assert {file.name.partition(".")[0] for file in DEFINITIONS} == {file.stem for file in OBJECTS.glob("*.json")}


@pytest.mark.parametrize("definition", DEFINITIONS, ids=lambda file: file.name.partition(".")[0])
def test_what_was_stored_is_kept_means_the_same_releases_and_can_be_edited(
    control_plane: LocalCluster, definition: Path
) -> None:
    kubectl = control_plane.kubectl
    names: dict[str, Any] = {}
    cases = json.loads((OBJECTS / f"{definition.name.partition('.')[0]}.json").read_text())["cases"]
    try:
        control_plane.apply(definition, "--server-side", "--force-conflicts")
        kubectl.serve("imagerollouts", "podpin.dev")
        names = {f"upgraded-{number}": case for number, case in enumerate(cases.values())}
        for name, case in names.items():
            metadata = {"name": name}
            kind = {"apiVersion": "podpin.dev/v1alpha1", "kind": "ImageRollout"}
            kubectl.apply({**kind, "metadata": metadata, "spec": case["rollout"]["spec"]}, "--validate=ignore")
            patch = json.dumps({"status": case["rollout"]["status"]})
            kubectl("patch", "imagerollout", name, "--subresource=status", "--type=merge", "-p", patch)
        control_plane.apply(CRD, "--server-side", "--force-conflicts")
        for name, case in names.items():
            kept = kubectl.get("imagerollout", name)
            assert release_id(kept["spec"], case) == case["rollout"]["status"]["stable"]["release"]
            assert parse_status(kept["status"]) == parse_status(case["rollout"]["status"])
            kubectl("patch", "imagerollout", name, "--type=merge", "-p", '{"spec": {"suspend": true}}')
    finally:
        control_plane.apply(CRD, "--server-side", "--force-conflicts")
        kubectl("delete", "imagerollouts", *names, "--ignore-not-found")


def release_id(raw: dict[str, Any], case: dict[str, Any]) -> str:
    """Of the release that this spec asks for with the pins that are stable."""
    stable = case["rollout"]["status"]["stable"]["images"]
    spec = parse_spec(raw)
    pins = {one["container"]: one["image"] for one in stable}
    assert all(parse_pin(pin) for pin in pins.values())
    return release_of(spec, tuple(sorted(pins.items()))).id
