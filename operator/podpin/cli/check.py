"""`podpin check`: manifests of ImageRollouts, judged before anybody applies them, without a cluster.

It says what the API server would say and what podpin would say, each with file and line, so that a pull request fails
where the rollout would. What it looks at is in `core/flaws.py` and `core/neighbours.py`; here are files and output.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from podpin.cli.commands import Misused
from podpin.cli.pods import flaws_in_pods
from podpin.core.flaws import flaws_of, hangs_on, is_rollout
from podpin.core.names import KIND
from podpin.core.neighbours import Manifest, flaws_among, placed
from podpin.core.structure import Flaw, dotted
from podpin.documents import Document, Unreadable, documents_in

SUFFIXES: Final = (".yaml", ".yml", ".json")
EPILOG: Final = """\
Exit status: 0 when there is no error, 1 when there is one, 2 when the question was not understood. Warnings do not
count, unless --strict is given. Documents of other kinds are looked at only where an ImageRollout has to do with them.

examples:
  podpin check -f rollout.yaml
  podpin check -R -f deploy/ --strict
  kubectl kustomize overlays/production | podpin check -f -
  podpin check -R -f deploy/ -o github       # in a workflow of GitHub Actions: each problem stands at its line
"""


@dataclass(frozen=True, slots=True)
class Finding:
    """One flaw, and where it is: a file, a line, and, where it is about one, a rollout."""

    file: str
    line: int
    column: int
    flaw: Flaw
    rollout: str | None = None

    def as_json(self) -> dict[str, Any]:
        """For machines."""
        return {
            "file": self.file,
            "line": self.line,
            "column": self.column,
            "level": self.level,
            "rollout": self.rollout,
            "field": dotted(self.flaw.at) or None,
            "reason": self.flaw.reason,
            "message": self.flaw.message,
        }

    @property
    def level(self) -> str:
        """How bad it is, in a word."""
        return "error" if self.flaw.is_error else "warning"

    @property
    def sentence(self) -> str:
        """Whose it is, what it is, and how podpin would call it."""
        whose = f"{self.rollout}: " if self.rollout else ""
        reason = f" ({self.flaw.reason})" if self.flaw.reason else ""
        return f"{whose}{self.flaw.message}{reason}"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of it all."""

    files: int
    rollouts: int
    findings: tuple[Finding, ...]

    @property
    def errors(self) -> int:
        """How many there are."""
        return sum(one.flaw.is_error for one in self.findings)

    @property
    def warnings(self) -> int:
        """How many there are."""
        return len(self.findings) - self.errors


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the subcommand."""
    parser.description = (
        "Say what the API server and podpin would find wrong with ImageRollouts, before they are applied."
    )
    parser.epilog = EPILOG
    add = parser.add_argument
    add(
        "-f",
        "--filename",
        metavar="FILE",
        action="append",
        default=[],
        help="a file, a directory, or - for standard input; repeatable",
    )
    add("files", nargs="*", metavar="FILE", help="more of these")
    add("-R", "--recursive", action="store_true", help="also what is in the directories of a directory")
    add("--strict", action="store_true", help="take warnings for errors")
    add("-o", "--output", choices=("text", "json", "github"), default="text", help="how to print it (default: text)")


def run(given: argparse.Namespace) -> int:
    """Judge, print, and return the exit status."""
    names = [*given.filename, *given.files]
    if not names:
        raise Misused("say by -f what to judge: a file, a directory, or - for standard input")
    outcome = judged([*_texts(names, recursive=given.recursive)])
    print(PRINTERS[given.output](outcome))
    return 1 if outcome.errors or (given.strict and outcome.warnings) else 0


def judged(texts: Sequence[tuple[str, str]]) -> Outcome:
    """All that is wrong with files, given as their names and what is in them, in the order of files and lines."""
    documents: list[Document] = []
    findings: list[Finding] = []
    for source, text in texts:
        for one in documents_in(text, source):
            if isinstance(one, Document):
                documents.append(one)
            elif KIND in text:  # what is no YAML may still be no business of ours, such as a chart's template
                findings.append(_unreadable(one))
    rollouts = [one for one in documents if is_rollout(one.body)]
    for document in rollouts:
        findings += (_found(document, flaw) for flaw in _flaws_of(document))
    objects = [one for one in documents if isinstance(one.body, Mapping)]
    among = flaws_among([Manifest(one.source, one.body) for one in objects])
    findings += (_found(objects[nth], flaw) for nth, flaw in among)
    order = {source: nth for nth, (source, _) in enumerate(texts)}
    findings.sort(key=lambda one: (order[one.file], one.line, one.column))
    return Outcome(len(texts), len(rollouts), tuple(findings))


def _flaws_of(document: Document) -> Iterator[Flaw]:
    yield from _repeated(document)
    flaws = flaws_of(document.body)
    yield from flaws
    yield from (one for one in flaws_in_pods(document.body) if not hangs_on(one.at, flaws))


def _repeated(document: Document) -> Iterator[Flaw]:
    for at in document.twice:
        yield Flaw(at, f"{dotted(at)}: the key stands here twice, and only one of the two would count: take one out")


def _found(document: Document, flaw: Flaw) -> Finding:
    line, column = document.place_of(flaw.at)
    me = placed(document.body)
    name = "/".join(filter(None, (me.namespace, me.name))) or None
    return Finding(document.source, line, column, flaw, name)


def _unreadable(one: Unreadable) -> Finding:
    return Finding(one.source, one.line, one.column, Flaw((), one.message))


def _texts(names: Sequence[str], *, recursive: bool) -> Iterator[tuple[str, str]]:
    """The name and the text of each file that is meant. Raises Misused where there is none."""
    for name in dict.fromkeys(names):
        if name == "-":
            yield "standard input", read(name)
            continue
        path = Path(name)
        inside = [path] if not path.is_dir() else sorted(path.rglob("*") if recursive else path.iterdir())
        for file in inside:
            if file == path or (file.suffix in SUFFIXES and file.is_file()):
                yield str(file), read(str(file))


def read(name: str) -> str:
    """What is in a file, or comes from standard input for `-`. Raises Misused where that is nothing, or no text."""
    try:
        return sys.stdin.read() if name == "-" else Path(name).read_text(encoding="utf-8")
    except OSError as error:
        raise Misused(f"{name} can't be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise Misused(f"{name} is no text") from error


def _text(outcome: Outcome) -> str:
    lines = [f"{one.file}:{one.line}:{one.column}: {one.level}: {one.sentence}" for one in outcome.findings]
    return "\n".join([*lines, _summary(outcome)])


def _summary(outcome: Outcome) -> str:
    def count(number: int, what: str) -> str:
        return f"{number} {what}" if number == 1 else f"{number} {what}s"

    found = [count(outcome.errors, "error")] if outcome.errors else []
    found += [count(outcome.warnings, "warning")] if outcome.warnings else []
    files = count(outcome.files, "file")
    if not (outcome.rollouts or outcome.findings):
        return f"There is no {KIND} in {files}."
    seen = f"{count(outcome.rollouts, KIND)} in {files}"
    return f"{seen}: {', '.join(found) or 'nothing wrong'}"


def _json(outcome: Outcome) -> str:
    told = {
        "files": outcome.files,
        "rollouts": outcome.rollouts,
        "errors": outcome.errors,
        "warnings": outcome.warnings,
        "findings": [one.as_json() for one in outcome.findings],
    }
    return json.dumps(told, indent=2, ensure_ascii=False)


def _github(outcome: Outcome) -> str:
    """Commands of a workflow, which show each sentence beside its line."""
    lines = [
        f"::{one.level} file={_escaped(one.file, ':,')},line={one.line},col={one.column}::{_escaped(one.sentence)}"
        for one in outcome.findings
    ]
    return "\n".join([*lines, _summary(outcome)])


def _escaped(text: str, more: str = "") -> str:
    for character in "%\r\n" + more:
        text = text.replace(character, f"%{ord(character):02X}")
    return text


PRINTERS: Final[Mapping[str, Callable[[Outcome], str]]] = {"text": _text, "json": _json, "github": _github}
