"""The documents say what the code does: every reason is explained, none that is gone, and no link leads nowhere."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest
import yaml

from podpin.core.headline import Headline
from podpin.core.names import Key
from podpin.core.readiness import REASONS
from podpin.core.spec import Spec, parse_spec, problem_of
from podpin.metrics import Metrics, Sources

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT: Final = Path(__file__).parent.parent
DOCUMENTS: Final = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
CATALOGUE: Final = (ROOT / "docs" / "reasons.md").read_text()
PLACE_OF_REASON: Final = {
    "Finding": 0,
    "Failed": 0,
    "PassedOver": 0,
    "Problem": 0,
    "Unresolved": 0,
    "Notice": 1,
    "Say": 1,
    "stalled": 1,
}
"""Which argument of these is the reason."""


def reasons_in_code() -> Iterator[str]:
    """The reasons that podpin can give, read off its source."""
    yield from REASONS
    trees = [ast.parse(path.read_text()) for path in sorted((ROOT / "operator" / "podpin").rglob("*.py"))]
    constants = dict(constant for tree in trees for constant in named_texts(tree))
    for tree in trees:
        for node in ast.walk(tree):
            match node:
                case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name), args=args, keywords=keywords):
                    place = PLACE_OF_REASON.get(name, len(args))
                    given = [*args[place : place + 1], *(one.value for one in keywords if one.arg == "reason")]
                case ast.Dict(keys=[*keys], values=given) if any(
                    isinstance(key, ast.Name) and key.id in ("NotFound", "PodpinError") for key in keys
                ):
                    pass  # from an error's class to a reason
                case _:
                    continue
            for value in given:
                text = constants.get(value.id) if isinstance(value, ast.Name) else getattr(value, "value", None)
                if isinstance(text, str):
                    yield text


def named_texts(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """The module's constants that are texts."""
    for node in tree.body:
        match node:
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.Constant(value=str(text))):
                yield name, text


def test_reasons_are_found_in_every_place_where_the_code_has_them() -> None:
    found = set(reasons_in_code())
    assert {"RolledOut", "CrashLooping", "ProgressDeadlineExceeded", "ContainerNotFound", "RequestRefused"} <= found
    assert {"InternalError", "RecordRefused"} <= found
    assert {"TagNotFound", "RegistryDenied", "RepositoryNotFound", "SecretMissing", "RollbackRequested"} <= found
    assert all(re.fullmatch(r"[A-Z][a-z]+(?:[A-Z][a-z]+)*", reason) for reason in found), found


def test_every_reason_is_in_the_catalogue() -> None:
    assert [one for one in sorted(set(reasons_in_code())) if not re.search(rf"\b{one}\b", CATALOGUE)] == []


def test_the_catalogue_explains_no_reason_that_podpin_never_gives() -> None:
    explained = {row for row in re.findall(r"^\| ([A-Z]\w+) \|", CATALOGUE, re.MULTILINE) if row not in HEADINGS}
    assert sorted(explained - set(reasons_in_code())) == []


HEADINGS: Final = {"Reason", "Condition", "Ready", "Reconciling", "Stalled", "Resolved", "StableLost"}


def test_the_metrics_are_those_of_the_document() -> None:
    measured = Metrics()
    measured.watch(Sources(lambda: True, lambda: 0, list, 1, list, dict))
    there = {
        f"{family.name}_total" if family.type == "counter" else family.name: family.type
        for family in measured.registry.collect()
    }
    document = (ROOT / "docs" / "metrics.md").read_text()
    assert dict(re.findall(r"^\| `(\w+)` \| (\w+) \|", document, re.MULTILINE)) == there


def test_the_labels_of_the_metrics_are_those_of_the_document() -> None:
    measured = Metrics()
    measured.watch(
        Sources(
            lambda: True, lambda: 0, list, 1, lambda: [Headline(unresolved="a", held="b")], lambda: {"r": (0.0, 0.0)}
        )
    )
    measured.resolved("a")
    measured.chosen("a")
    measured.ended("a", "b", 0)
    measured.rolled_back(Key("a", "b"), "a", "b", judged=False)
    measured.asked_registry("a", 200, 0)
    measured.asked_api("GET", "/api/v1/nodes", 200)
    there = {
        f"{family.name}_total" if family.type == "counter" else family.name: set(sample.labels) - {"le"}
        for family in measured.registry.collect()
        for sample in family.samples
    }
    document = (ROOT / "docs" / "metrics.md").read_text()
    rows = re.findall(r"^\| `(\w+)` \| \w+ \|([^|]*)\|", document, re.MULTILINE)
    assert {name: set(re.findall(r"`(\w+)`", labels)) for name, labels in rows} == there


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document: Path) -> None:
    text = document.read_text()
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        path, _, anchor = target.partition("#")
        assert "://" not in target, f"{target}: no addresses outside the repository"
        file = (document.parent / path).resolve() if path else document
        assert file.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.+)$", file.read_text(), re.MULTILINE)
            assert anchor in {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}, target


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_files_that_are_named_exist(document: Path) -> None:
    named = re.findall(r"`((?:operator|tests|manifests|crds|docs)/[\w./-]*)`", document.read_text())
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_the_example_in_the_readme_is_a_valid_rollout() -> None:
    blocks = re.findall(r"```yaml\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    rollouts = [body for block in blocks for body in yaml.safe_load_all(block) if body.get("kind") == "ImageRollout"]
    assert rollouts
    for body in rollouts:
        spec = parse_spec(body["spec"])
        assert isinstance(spec, Spec)
        assert problem_of(spec) is None
