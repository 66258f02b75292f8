"""`podpin init`: from a file and from a cluster, and what it says where it can't."""

from __future__ import annotations

import asyncio
import io
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from tests.adapters.kube.scripted import ApiServer, Reply, failure

from podpin.cli.check import judged
from podpin.cli.commands import main

DEPLOYMENT: Final = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec:
  replicas: 2
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - name: app
        image: registry.example.com/shop/web:1.4.2
        readinessProbe: {httpGet: {port: 8080}}
"""
SERVICE: Final = "---\napiVersion: v1\nkind: Service\nmetadata: {name: web}\n"
CRON_JOB: Final = """\
---
apiVersion: batch/v1
kind: CronJob
metadata: {name: report}
spec:
  schedule: "0 0 * * *"
  jobTemplate: {spec: {template: {spec: {containers: [{name: app, image: "shop/report:build-57"}]}}}}
"""


@pytest.fixture
def deployment(tmp_path: Path) -> str:
    file = tmp_path / "deployment.yaml"
    file.write_text(DEPLOYMENT + SERVICE)
    return str(file)


def written(capsys: pytest.CaptureFixture[str]) -> Any:
    """What was printed, once `podpin check` finds nothing wrong with it."""
    text = capsys.readouterr().out
    assert judged([("rollout.yaml", text)]).findings == ()
    return yaml.safe_load(text)


def test_a_deployment_in_a_file_needs_no_cluster(deployment: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main("init", ["-f", deployment]) == 0
    spec = written(capsys)["spec"]
    assert spec["images"][0]["policy"] == {"semver": {"range": "^1.4.2"}}
    assert spec["workload"]["replicas"] == 2


def test_standard_input_and_every_wish(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(DEPLOYMENT))
    arguments = ["--adopt", "--name", "front", "--policy", "tag=stable", "--container", "app"]
    assert main("init", ["-f", "-", *arguments]) == 0
    manifest = written(capsys)
    assert manifest["metadata"]["name"] == "front"
    assert manifest["spec"]["images"][0]["policy"] == {"tag": {"name": "stable"}}
    assert manifest["spec"]["targetRef"]["name"] == "web"


def test_one_of_several_workloads_in_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "all.yaml"
    file.write_text(DEPLOYMENT + SERVICE + CRON_JOB)
    assert main("init", ["-f", str(file)]) == 1
    assert "say by --from which one: it has deployment/web, cronjob/report." in capsys.readouterr().err
    assert main("init", ["-f", str(file), "--from", "cj/report"]) == 0
    assert written(capsys)["spec"]["targetRef"] == {"apiVersion": "batch/v1", "kind": "CronJob", "name": "report"}


@pytest.mark.parametrize("kind", ["deployment", "deploy", "deployments", "Deployment", "deployment.apps"])
async def test_a_workload_of_the_cluster(
    kind: str, server: ApiServer, kubeconfig: str, capsys: pytest.CaptureFixture[str]
) -> None:
    body = yaml.safe_load(DEPLOYMENT)
    del body["kind"], body["apiVersion"]
    server.on("GET", "/apis/apps/v1/namespaces/shop/deployments/web", Reply(body=body))
    arguments = ["--from", f"{kind}/web", "--adopt", "--kubeconfig", kubeconfig]
    assert await asyncio.to_thread(main, "init", arguments) == 0
    assert written(capsys)["spec"]["targetRef"] == {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}


async def test_a_workload_that_is_not_there(
    server: ApiServer, kubeconfig: str, capsys: pytest.CaptureFixture[str]
) -> None:
    server.on("GET", "/apis/apps/v1/namespaces/shop/statefulsets/db", failure(404))
    assert await asyncio.to_thread(main, "init", ["--from", "sts/db", "--kubeconfig", kubeconfig]) == 1
    assert capsys.readouterr().err == "podpin init: There is no StatefulSet db in namespace shop.\n"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "say by --from which workload, as in deployment/web, or give its manifest by -f"),
        (["--from", "web"], "--from must be a kind and a name, as in deployment/web, not 'web'"),
        (["--from", "pod/web"], "--from must be a kind and a name"),
        (["-f", "/nowhere.yaml"], "/nowhere.yaml can't be read"),
    ],
    ids=["nothing", "no kind", "a kind that is not adopted", "no such file"],
)
def test_what_makes_no_sense_ends_with_two(arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main("init", arguments)
    assert ended.value.code == 2
    assert says in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "arguments", "says"),
    [
        (("kind: Deployment", "kind: Job"), [], "must have one workload"),
        (("web:1.4.2", "web:1.4.2@sha256:1"), [], "the image of container 'app': "),
        (
            ("", ""),
            ["--policy", "numeric=down"],
            "What would be written is not valid: spec.images[0].policy.numeric.order",
        ),
        (("", ""), ["--name", "Web"], 'What would be written is not valid: metadata.name: Invalid value: "Web"'),
        (("kind: Deployment", "kind: {"), [], "this is no YAML"),
    ],
    ids=["another kind", "a broken image", "an order that is none", "a name that is none", "a broken file"],
)
def test_what_can_not_be_proposed_ends_with_one_and_writes_nothing(
    change: tuple[str, str], arguments: list[str], says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "deployment.yaml"
    file.write_text(DEPLOYMENT.replace(*change) if change[0] else DEPLOYMENT)
    assert main("init", ["-f", str(file), *arguments]) == 1
    told = capsys.readouterr()
    assert says in told.err
    assert told.out == ""
