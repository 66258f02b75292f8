"""`podpin check`: what it prints, for people and for machines, and with which exit status."""

from __future__ import annotations

import io
import json
import random
import re
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from tests.core.test_flaws import spoil
from tests.specs import BAD, Bad, full, good

from podpin.cli import check
from podpin.cli.commands import main

EXAMPLES: Final = Path(__file__).parent.parent.parent / "manifests" / "examples"
DOCUMENT: Final = EXAMPLES.parent.parent / "docs" / "checking-manifests.md"
GOOD: Final = """\
apiVersion: podpin.dev/v1alpha1
kind: ImageRollout
metadata: {name: web, namespace: shop}
spec:
  images:
  - container: app
    repository: registry.example.com/shop/web
    policy: {semver: {range: "^1"}}
  workload:
    kind: Deployment
    template:
      spec:
        containers:
        - name: app
          readinessProbe: {httpGet: {port: 8080}}
"""
SERVICE: Final = "apiVersion: v1\nkind: Service\nmetadata: {name: web}\n---\n"
MISSPELT: Final = GOOD.replace("repository:", "repositry:")


def run(*arguments: str) -> int:
    return main("check", arguments)


def file(tmp_path: Path, text: str, name: str = "web.yaml") -> str:
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    return str(path)


def test_nothing_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("-f", file(tmp_path, SERVICE + GOOD)) == 0
    assert capsys.readouterr().out == "1 ImageRollout in 1 file: nothing wrong\n"


def test_where_there_is_nothing_to_judge_it_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("-f", file(tmp_path, SERVICE)) == 0
    assert capsys.readouterr().out == "There is no ImageRollout in 1 file.\n"


def test_each_mistake_stands_at_its_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name = file(tmp_path, SERVICE + MISSPELT)
    assert run("-f", name) == 1
    assert capsys.readouterr().out.splitlines() == [
        f'{name}:11:5: error: shop/web: unknown field "spec.images[0].repositry"; did you mean "repository"?',
        "1 ImageRollout in 1 file: 1 error",
    ]


def test_what_only_podpin_sees_comes_with_its_reason(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name = file(tmp_path, GOOD.replace("container: app", "container: front"))
    assert run(name) == 1
    first = capsys.readouterr().out.splitlines()[0]
    assert first.startswith(f"{name}:6:5: error: shop/web: spec.images names the container 'front'")
    assert first.endswith("(ContainerNotFound)")


def test_a_warning_fails_only_where_it_is_asked_to(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name = file(tmp_path, GOOD.replace("          readinessProbe: {httpGet: {port: 8080}}\n", ""))
    assert run("-f", name) == 0
    assert f"{name}:14:11: warning: shop/web: container 'app' has no readinessProbe" in capsys.readouterr().out
    assert run("-f", name, "--strict") == 1


def test_machines_get_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name = file(tmp_path, MISSPELT)
    assert run("-f", name, "-o", "json") == 1
    told = json.loads(capsys.readouterr().out)
    assert {key: told[key] for key in ("files", "rollouts", "errors", "warnings")} == {
        "files": 1, "rollouts": 1, "errors": 1, "warnings": 0,
    }  # fmt: skip
    assert told["findings"][0] == {
        "file": name, "line": 7, "column": 5, "level": "error", "rollout": "shop/web",
        "field": "spec.images[0].repositry", "reason": None,
        "message": 'unknown field "spec.images[0].repositry"; did you mean "repository"?',
    }  # fmt: skip


def test_a_workflow_shows_each_at_its_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name = file(tmp_path, MISSPELT, "50%.yaml")
    assert run("-f", name, "-o", "github") == 1
    said = capsys.readouterr().out.splitlines()
    where = name.replace("%", "%25")
    assert said[0] == (
        f"::error file={where},line=7,col=5::shop/web: "
        'unknown field "spec.images[0].repositry"; did you mean "repository"?'
    )


def test_standard_input_is_a_file_too(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(MISSPELT))
    assert run("-f", "-") == 1
    assert capsys.readouterr().out.startswith("standard input:7:5: error: ")


def test_a_directory_is_looked_into_and_further_down_only_if_asked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file(tmp_path, GOOD)
    file(tmp_path, MISSPELT, "deeper/bad.yml")
    file(tmp_path, "not a manifest", "notes.txt")
    assert run("-f", str(tmp_path)) == 0
    assert capsys.readouterr().out == "1 ImageRollout in 1 file: nothing wrong\n"
    assert run("-R", "-f", str(tmp_path)) == 1


def test_circles_are_seen_across_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, other in (("a", "b"), ("b", "a")):
        body = yaml.safe_load(GOOD)
        body["metadata"]["name"] = name
        body["spec"]["dependsOn"] = [{"name": other}]
        file(tmp_path, yaml.safe_dump(body), f"{name}.yaml")
    assert run("-f", str(tmp_path)) == 1
    assert capsys.readouterr().out.count("spec.dependsOn leads in a circle") == 2


def test_what_is_no_yaml_is_told_where_it_has_to_do_with_podpin(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file(tmp_path, "{{ if .Values.service }}\nkind: Service\n{{ end }}\n", "template.yaml")
    assert run("-f", str(tmp_path)) == 0
    name = file(tmp_path, GOOD + "  suspend: {\n", "broken.yaml")
    capsys.readouterr()
    assert run("-f", name) == 1
    assert f"{name}:17:1: error: this is no YAML: " in capsys.readouterr().out


def test_a_key_that_stands_twice_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name = file(tmp_path, GOOD + "  suspend: true\n  suspend: false\n")
    assert run("-f", name) == 1
    assert "spec.suspend: the key stands here twice" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "says"),
    [((), "say by -f what to judge"), (("-f", "/nowhere/web.yaml"), "/nowhere/web.yaml can't be read: No such file")],
    ids=["nothing to judge", "no such file"],
)
def test_what_was_not_understood_is_no_verdict(
    arguments: tuple[str, ...], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as refused:
        run(*arguments)
    assert refused.value.code == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert says in told.err


def test_the_documents_show_what_it_really_prints(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = DOCUMENT.read_text()
    (written, shown) = (re.search(rf"```{kind}\n(.*?)```", text, re.DOTALL) for kind in ("yaml", "console"))
    assert written
    assert shown
    monkeypatch.chdir(tmp_path)
    file(tmp_path, written[1], "rollout.yaml")
    command, _, output = shown[1].partition("\n")
    assert main("check", command.split()[3:]) == 1
    assert capsys.readouterr().out == output


def test_all_examples_pass(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("-f", str(EXAMPLES)) == 0, capsys.readouterr().out


@pytest.mark.parametrize("seed", range(100))
def test_whatever_is_written_there_is_an_answer(seed: int) -> None:
    chance = random.Random(seed)
    bodies = [*yaml.safe_load_all(DOCUMENT.read_text().partition("```yaml\n")[2].partition("```")[0])]
    rollout = {**yaml.safe_load(GOOD), "spec": full()}
    autoscaler = {
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "x"},
        "spec": {"scaleTargetRef": {"name": "web"}},
    }
    bodies += [rollout, autoscaler]
    for _ in range(5):
        spoil(bodies, chance)
    outcome = check.judged([("one.yaml", yaml.safe_dump_all(bodies[:3])), ("two.yaml", yaml.safe_dump_all(bodies[3:]))])
    assert outcome.files == 2
    for printed in check.PRINTERS.values():
        assert printed(outcome)


@pytest.mark.parametrize("bad", BAD, ids=lambda bad: bad.name)
def test_a_bad_spec_fails_with_the_sentence_of_the_api_server(
    bad: Bad, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spec: dict[str, Any] = good()
    bad.change(spec)
    body = {**yaml.safe_load(GOOD), "spec": spec}
    text = yaml.safe_dump(body, sort_keys=False, allow_unicode=True)
    assert run("-f", file(tmp_path, text)) == 1
    said = capsys.readouterr().out.splitlines()
    assert any(f"error: shop/web: {bad.at}" in line and bad.says in line for line in said), said
