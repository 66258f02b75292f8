"""The command line as a whole: its table, its exit statuses, what it says when something is wrong."""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

import pytest

from podpin.cli.commands import COMMANDS, main, program
from podpin.errors import Unavailable

SOURCE = Path(__file__).parent.parent.parent / "operator"


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_has_its_arguments_and_says_what_it_is_for(name: str) -> None:
    parser = argparse.ArgumentParser(prog=f"podpin {name}")
    COMMANDS[name].add_arguments(parser)
    assert parser.description
    assert "usage: podpin" in parser.format_help()


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_is_in_the_docs(name: str) -> None:
    assert f"podpin {name}" in (SOURCE.parent / "docs" / "cli.md").read_text()


def test_a_plugin_of_kubectl_goes_by_kubectls_name() -> None:
    assert program("/usr/bin/kubectl-podpin") == "kubectl podpin"
    assert program("/usr/lib/python3/podpin/__main__.py") == "podpin"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["get", "web", "-A"], "names and -A don't go together"),
        (["get", "-o", "table"], "invalid choice"),
        (["tree", "deployment/web"], "must be the name of an ImageRollout, not 'deployment/web'"),
        (["status", "web", "--timeout", "1m"], "--timeout is for --wait"),
        (["status", "web", "--wait", "--timeout", "5"], "'5' must be a duration with its unit"),
        (["tree"], "required: NAME"),
    ],
    ids=" ".join,
)
def test_what_makes_no_sense_is_said_and_ends_with_two(
    capsys: pytest.CaptureFixture[str], arguments: list[str], says: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments[0], arguments[1:])
    assert ended.value.code == 2
    assert says in capsys.readouterr().err


def test_what_could_not_be_done_is_one_sentence_and_ends_with_one(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main("get", ["--kubeconfig", str(tmp_path / "none")], "kubectl podpin") == 1
    told = capsys.readouterr()
    assert told.err.startswith("kubectl podpin get: No cluster to work on: ")
    assert told.err.count("\n") == 1
    assert told.out == ""


def test_ctrl_c_ends_it_without_a_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(given: argparse.Namespace) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr("podpin.cli.get.run", interrupted)
    assert main("get", []) == 130
    assert capsys.readouterr().err == ""


def test_an_api_server_that_is_away_is_an_error_of_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def away(given: argparse.Namespace) -> int:
        raise Unavailable("The API server does not answer.")

    monkeypatch.setattr("podpin.cli.get.run", away)
    assert main("get", []) == 1
    assert capsys.readouterr().err == "podpin get: The API server does not answer.\n"


def test_get_loads_nothing_that_it_does_not_need() -> None:
    """It is to be there as fast as kubectl: no kopf, no models of specs and statuses."""
    code = (
        "import sys; from podpin.cli.commands import main; main('get', ['--kubeconfig', '/none']); "
        "print({'kopf', 'podpin.core.spec', 'podpin.core.status', 'kubernetes.client'} & set(sys.modules))"
    )
    told = subprocess.run(
        [sys.executable, "-c", code], env={"PYTHONPATH": str(SOURCE)}, capture_output=True, text=True, check=True
    )
    assert told.stdout.strip() == "set()"


def test_the_operator_does_not_load_the_terminal() -> None:
    code = "import sys, podpin.__main__, podpin.serve; print({'rich', 'podpin.cli.output'} & set(sys.modules))"
    told = subprocess.run(
        [sys.executable, "-c", code], env={"PYTHONPATH": str(SOURCE)}, capture_output=True, text=True, check=True
    )
    assert told.stdout.strip() == "set()"
