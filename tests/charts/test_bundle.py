"""The bundle for OLM: of the same parts as the manifests, and sound in the eyes of OLM's own validators."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from tests.charts import bundle
from tests.charts.programs import VERIFY, program
from tests.manifests.installed import CRD, ROOT, granted
from tests.manifests.test_manifests import deployment, loaded

from podpin.settings import parse_settings

if TYPE_CHECKING:
    from pathlib import Path

IMAGE = "registry.example.com/podpin@sha256:" + "0123456789abcdef" * 4


def verified(folder: Path) -> list[str]:
    """What OLM's validators say against a bundle; the program ends well whatever they say."""
    command = [str(program(VERIFY)), "manifests", "--object_validate", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    return re.findall(r'level=(?:error|warning|fatal) msg="(.*)"', done.stderr)


@pytest.mark.cluster  # no cluster is needed, but a program that is built with the cluster's
@pytest.mark.timeout(900)
def test_olms_validators_have_nothing_to_say_against_it(tmp_path: Path) -> None:
    bundle.write(IMAGE, tmp_path)
    assert verified(tmp_path) == []
    version = tmp_path / "manifests" / "podpin.clusterserviceversion.yaml"
    version.write_text(version.read_text().replace("minKubeVersion: 1.29.0", "minKubeVersion: some"))
    (said,) = verified(tmp_path)
    assert "MinKubeVersion has an invalid value" in said


def test_it_gives_the_rights_of_the_manifests_and_only_those_for_nodes_everywhere() -> None:
    install = bundle.service_version(IMAGE)["spec"]["install"]["spec"]
    ((here,), (everywhere,)) = install["permissions"], install["clusterPermissions"]
    assert here["rules"] == loaded("namespaced/rbac.yaml")[0]["rules"]
    assert granted(here["rules"]) | granted(everywhere["rules"]) == granted(loaded("rbac.yaml")[0]["rules"])
    account = deployment()["spec"]["template"]["spec"]["serviceAccountName"]
    assert here["serviceAccountName"] == everywhere["serviceAccountName"] == account


def test_its_pod_is_that_of_the_manifests_with_the_image_by_digest_and_no_user_of_its_own() -> None:
    (made,) = bundle.service_version(IMAGE)["spec"]["install"]["spec"]["deployments"]
    expected = deployment()
    pod = expected["spec"]["template"]["spec"]
    del pod["securityContext"]["runAsUser"], pod["securityContext"]["runAsGroup"]
    added = made["spec"]["template"]["spec"]["containers"][0]["env"].pop()
    assert added["name"] == "PODPIN_NAMESPACE"
    pod["containers"][0]["image"] = IMAGE
    assert made == {"name": "podpin", "label": expected["metadata"]["labels"], "spec": expected["spec"]}


@pytest.mark.parametrize(("told", "served"), [("", ()), ("shop", ("shop",)), ("shop,blog", ("shop", "blog"))])
def test_podpin_serves_the_namespaces_that_olm_tells(told: str, served: tuple[str, ...]) -> None:
    assert parse_settings(["run"], {"PODPIN_NAMESPACE": told}).namespaces == served


def test_it_has_the_definition_and_an_example_that_a_user_can_take(tmp_path: Path) -> None:
    bundle.write(IMAGE, tmp_path)
    assert (tmp_path / "manifests" / CRD.name).read_text() == CRD.read_text()
    example = bundle.service_version(IMAGE)["metadata"]["annotations"]["alm-examples"]
    assert yaml.safe_load(example) == [loaded("examples/web.yaml")[0]]
    annotations: dict[str, Any] = yaml.safe_load((tmp_path / "metadata" / "annotations.yaml").read_text())
    for name, value in annotations["annotations"].items():
        assert f"LABEL {name}={value}\n" in (tmp_path / "Containerfile").read_text()


def test_an_image_without_a_digest_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.charts.bundle", "registry.example.com/podpin:0.1.0", str(tmp_path / "out")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert done.stderr.startswith("IMAGE must be named by its digest, as in registry.example.com/podpin@sha256:…, not")
    assert not (tmp_path / "out").exists()


def test_what_was_in_the_folder_before_does_not_stay(tmp_path: Path) -> None:
    (tmp_path / "manifests").mkdir()
    (tmp_path / "manifests" / "old.yaml").touch()
    bundle.write(IMAGE, tmp_path)
    assert len(list((tmp_path / "manifests").iterdir())) == 2
