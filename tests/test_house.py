"""The house itself: rules about files that no linter knows."""

from __future__ import annotations

import ast
import operator
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "operator"
MODULES = sorted((SOURCE / "podpin").rglob("*.py"))


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def test_the_source_root_does_not_shadow_python_s_own_operator_module() -> None:
    assert not (SOURCE / "__init__.py").exists()
    assert operator.__file__ is not None
    assert not Path(operator.__file__).is_relative_to(ROOT / "operator")
    assert [path.name for path in SOURCE.iterdir() if not path.name.startswith((".", "__"))] == ["podpin"]


def test_there_are_modules_to_look_at() -> None:
    assert len(MODULES) > 30


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_a_module_opens_with_why_it_exists(path: Path) -> None:
    told = ast.get_docstring(ast.parse(path.read_text()))
    assert told, "a module opens with a docstring"
    assert told.splitlines()[0].rstrip().endswith((".", "?", ":")) or len(told.splitlines()) > 1


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_a_module_is_named_for_its_thing_and_not_for_a_pattern(path: Path) -> None:
    assert path.stem not in {
        "utils",
        "util",
        "helpers",
        "helper",
        "common",
        "base",
        "manager",
        "misc",
        "types",
        "consts",
    }


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_the_clock_is_read_in_one_place(path: Path) -> None:
    """An adapter may measure monotonic seconds; what time it is only the shell knows."""
    read = [
        node.lineno
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and node.attr in ("now", "utcnow", "today")
        if isinstance(node.value, ast.Name) and node.value.id in ("datetime", "date")
    ]
    assert not read or path.name == "clock.py"


def test_importing_podpin_starts_nothing_and_reads_no_environment() -> None:
    """No handler, no client, no logging set up: a program that imports podpin's core pays for the core."""
    code = "import sys, podpin.core.rollout; print({'kopf', 'kubernetes', 'aiohttp', 'asyncio'} & set(sys.modules))"
    told = subprocess.run(
        [sys.executable, "-c", code], env={"PYTHONPATH": str(SOURCE)}, capture_output=True, text=True, check=True
    )
    assert told.stdout.strip() == "set()"


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["--version"], 0, "podpin "),
        (["run", "--kubeconfig", "/does/not/exist"], 1, "No cluster to work on: "),
        (["run", "--workers", "0"], 2, "--workers"),
    ],
    ids=["version", "no cluster", "a wrong flag"],
)
def test_the_program_says_in_a_sentence_why_it_ends(arguments: list[str], code: int, says: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "podpin", *arguments],
        env={"PYTHONPATH": str(SOURCE)},
        capture_output=True,
        text=True,
        timeout=50,
    )
    assert ended.returncode == code
    assert says in ended.stdout + ended.stderr
    assert "Traceback" not in ended.stderr
