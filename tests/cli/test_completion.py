"""Completions, as the shells themselves make them. Those of shells that are not there are read, not run."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Final

import pytest

from podpin.cli.commands import COMMANDS, main
from podpin.cli.completion import verbs
from podpin.cli.shells import SHELLS

ROWS: Final[tuple[tuple[str, tuple[str, ...], set[str], set[str]], ...]] = (
    # what it shows, the words so far, what is among the answers, what is not
    ("all commands at first", ("",), {"get", "check", "init", "completion", "choose", "run"}, {"-o"}),
    ("the commands that begin so", ("ch",), {"check", "choose"}, {"get"}),
    ("the options of a command", ("check", "-"), {"-f", "--filename", "--strict", "--output"}, {"--adopt", "get"}),
    ("the long ones of another", ("init", "--a"), {"--adopt"}, {"--all-namespaces"}),
    ("the values of an option", ("check", "-o", ""), {"text", "json", "github"}, {"wide"}),
    ("the values that begin so", ("get", "--output", "w"), {"wide"}, {"json"}),
    ("a value behind an equals sign", ("get", "--output=j"), {"--output=json"}, {"--output=yaml"}),
    ("what bash makes of an equals sign", ("get", "--output", "=", "j"), {"json"}, {"yaml"}),
    ("rollouts by their names", ("tree", ""), {"web", "shop"}, set()),
    ("rollouts of the namespace that was given", ("tree", "-n", "other", ""), {"-n-other"}, {"web"}),
    ("an option without a value is followed by what the command is about", ("tree", "-w", ""), {"web"}, set()),
    ("kinds of workloads", ("init", "--from", "d"), {"deployment/", "daemonset/"}, {"cronjob/"}),
    ("shells", ("completion", ""), {"bash", "zsh", "fish", "kubectl"}, set()),
    ("nothing where only the user knows", ("init", "--name", ""), set(), {"web", "get"}),
    ("nothing for a command that is none", ("gett", ""), set(), {"web", "get"}),
)  # fmt: skip


@pytest.fixture
def podpin(tmp_path: Path) -> dict[str, str]:
    """An environment in which `podpin get -o name` answers, and which has the program for kubectl."""
    answering = tmp_path / "podpin"
    answering.write_text(
        '#!/bin/sh\ncase "$*" in\n'
        '"get -o name") printf "imagerollout.podpin.dev/web\\nimagerollout.podpin.dev/shop\\n" ;;\n'
        '"get -o name -n other") echo imagerollout.podpin.dev/-n-other ;;\n*) exit 1 ;;\nesac\n'
    )
    answering.chmod(0o755)
    return {"PATH": f"{tmp_path}:{os.environ['PATH']}", "HOME": str(tmp_path)}


def script(shell: str, capsys: pytest.CaptureFixture[str]) -> str:
    assert main("completion", [shell]) == 0
    return capsys.readouterr().out


def answers(command: list[str], environment: dict[str, str]) -> list[str]:
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=20)
    assert done.stderr == ""
    return done.stdout.splitlines()


each_row = pytest.mark.parametrize(
    ("words", "among", "not_among"), [row[1:] for row in ROWS], ids=[row[0] for row in ROWS]
)


def fits(found: set[str], among: set[str], not_among: set[str]) -> None:
    assert among <= found
    assert not (not_among & found)
    if not among:
        assert found == set()


@each_row
def test_bash_completes(
    words: tuple[str, ...],
    among: set[str],
    not_among: set[str],
    podpin: dict[str, str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = tmp_path / "completion.bash"
    file.write_text(script("bash", capsys))
    ask = (
        f'source {file}; compopt() {{ :; }}; COMP_WORDS=(podpin "$@"); COMP_CWORD=$#; _podpin; '
        'for one in "${COMPREPLY[@]}"; do printf "%s\\n" "$one"; done'
    )
    fits(set(answers(["bash", "--norc", "-c", ask, "bash", *words], podpin)), among, not_among)


@each_row
def test_kubectl_is_answered_as_it_asks_of_plugins(
    words: tuple[str, ...],
    among: set[str],
    not_among: set[str],
    podpin: dict[str, str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = tmp_path / "kubectl_complete-podpin"
    file.write_text(script("kubectl", capsys))
    file.chmod(0o755)
    *found, directive = answers([str(file), *words], podpin)
    assert directive == ":4"
    fits({line.partition("\t")[0] for line in found}, among, not_among)


def test_kubectl_is_told_where_files_may_follow(
    podpin: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "kubectl_complete-podpin"
    file.write_text(script("kubectl", capsys))
    file.chmod(0o755)
    assert answers([str(file), "check", "-f", ""], podpin) == [":0"]


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="there is no kubectl")
def test_kubectl_itself_asks_and_understands(
    podpin: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, text in (("kubectl-podpin", "#!/bin/sh\n"), ("kubectl_complete-podpin", script("kubectl", capsys))):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    command = ["kubectl", "__complete", "podpin", "check", "-o", "j"]
    done = subprocess.run(command, env=podpin, capture_output=True, text=True, check=True, timeout=20)
    assert done.stdout.splitlines() == ["json", ":4"]


@pytest.mark.skipif(shutil.which("zsh") is None, reason="there is no zsh")
@each_row
def test_zsh_completes(
    words: tuple[str, ...],
    among: set[str],
    not_among: set[str],
    podpin: dict[str, str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = tmp_path / "completion.zsh"
    file.write_text(script("zsh", capsys))
    ask = (
        f"compdef() {{ :; }}; _describe() {{ print -rl -- $found; }}; _files() {{ :; }}; source {file}; "
        'words=(podpin "$@"); CURRENT=$#words; _podpin; true'
    )
    found = {line.partition(":")[0] for line in answers(["zsh", "-f", "-c", ask, "zsh", *words], podpin)}
    fits(found, among, not_among)


@pytest.mark.skipif(shutil.which("fish") is None, reason="there is no fish")
@pytest.mark.parametrize(
    ("typed", "among"),
    [("", {"get", "check", "init"}), ("check -o ", {"text", "json", "github"}), ("tree ", {"web", "shop"}),
     ("check --str", {"--strict"})],
)  # fmt: skip
def test_fish_completes(
    typed: str, among: set[str], podpin: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "podpin.fish"
    file.write_text(script("fish", capsys))
    found = answers(["fish", "--no-config", "-c", f'source {file}; complete -C "podpin {typed}"'], podpin)
    assert among <= {line.partition("\t")[0] for line in found}


def test_every_command_and_every_option_is_in_every_script(capsys: pytest.CaptureFixture[str]) -> None:
    known = verbs()
    assert {verb.name for verb in known} == {*COMMANDS, "choose", "run"}
    for shell in SHELLS:
        text = script(shell, capsys)
        for verb in known:
            assert verb.name in text
            for flag in verb.flags:
                assert (flag.name if shell != "fish" else flag.name.lstrip("-")) in text


def test_the_shell_that_runs_scripts_everywhere_can_read_the_one_for_kubectl(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "script"
    file.write_text(script("kubectl", capsys))
    assert answers(["sh", "-n", str(file)], dict(os.environ)) == []
