"""`podpin choose`: what it answers, what it refuses, and with which exit status."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING

import pytest

from podpin import choose

if TYPE_CHECKING:
    from pathlib import Path

TAGS = "1.4.0 1.4.2 1.3.9 2.0.0 1.5.0-rc.1 latest"

ROLLOUT = """
apiVersion: v1
kind: Service
metadata: {name: web}
---
apiVersion: podpin.dev/v1alpha1
kind: ImageRollout
metadata: {name: web}
spec:
  images:
  - container: app
    repository: registry.example.com/shop/web
    policy: {semver: {range: "1.x"}}
  - container: proxy
    repository: registry.example.com/shop/proxy
    policy: {numeric: {order: desc}}
    tags: {include: "^build-([0-9]+)$", extract: "$1"}
  workload:
    kind: Deployment
    template:
      spec:
        containers: [{name: app}, {name: proxy}]
"""


def ask(monkeypatch: pytest.MonkeyPatch, *arguments: str, tags: str = TAGS) -> int:
    monkeypatch.setattr("sys.stdin", io.StringIO(tags.replace(" ", "\n")))
    return choose.main(arguments)


@pytest.mark.parametrize(
    ("arguments", "tags", "said"),
    [
        (("shop/web", "--semver", ">=1.4 <2"), TAGS, "shop/web:1.4.2"),
        (("shop/web", "--alphabetical", "asc"), TAGS, "shop/web:latest"),
        (("shop/web", "--numeric", "desc"), "7 10 9", "shop/web:7"),
        (("shop/web", "--semver", "*", "--exclude", "^2", "--exclude", "1.4.2"), TAGS, "shop/web:1.4.0"),
        (("shop/web", "--numeric", "asc", "--include", "^b-(.*)", "--extract", "$1"), "b-9 b-10 11", "shop/web:b-10"),
    ],
    ids=lambda value: value if isinstance(value, str) else " ".join(value),
)
def test_it_says_what_the_policy_takes(
    arguments: tuple[str, ...],
    tags: str,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert ask(monkeypatch, *arguments, "--tags", "-", tags=tags) == 0
    assert capsys.readouterr().out == f"{said}\n"


@pytest.mark.parametrize(
    ("container", "tags", "tag"), [("app", TAGS, "1.4.2"), ("proxy", "build-9 build-10", "build-9")]
)
def test_it_takes_the_policy_out_of_a_file(
    container: str,
    tags: str,
    tag: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "web.yaml").write_text(ROLLOUT)
    question = ("-f", str(tmp_path / "web.yaml"), "--container", container, "--tags", "-", "-o", "json")
    assert ask(monkeypatch, *question, tags=tags) == 0
    answer = json.loads(capsys.readouterr().out)
    assert (answer["tag"], answer["digest"]) == (tag, None)
    assert "passedOver" not in answer


def test_a_digest_needs_no_registry(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    digest = f"sha256:{'a' * 64}"
    text = ROLLOUT.replace('{semver: {range: "1.x"}}', f'{{digest: {{value: "{digest}"}}}}')
    (tmp_path / "web.yaml").write_text(text)
    assert ask(monkeypatch, "-f", str(tmp_path / "web.yaml"), "--container", "app") == 0
    assert capsys.readouterr().out == f"registry.example.com/shop/web@{digest}\n"


def test_it_explains_every_tag(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    tags = f"{TAGS} dbg-1.4.1 sha256-{'b' * 64}.sig"
    question = ("shop/web", "--semver", ">=1.4 <2", "--exclude", "^dbg", "--tags", "-", "--explain")
    assert ask(monkeypatch, *question, tags=tags) == 0
    first, *rest = capsys.readouterr().out.splitlines()
    assert first == "shop/web:1.4.2"
    assert {line.split()[0]: " ".join(line.split()[1:]) for line in rest} == {
        "1.4.0": "fits; 1.4.2 comes before it",
        "1.3.9": "it is outside the range",
        "2.0.0": "it is outside the range",
        "1.5.0-rc.1": "it is a pre-release, and the range names none",
        "latest": "it is no version such as 1.2.3",
        "dbg-1.4.1": "tags.exclude is found in it",
        f"sha256-{'b' * 64}.sig": "it is the tag of a signature or an attestation",
    }


def test_runners_up_are_the_best_ones_in_their_order(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tags = " ".join(str(number) for number in range(30)) + " x"
    assert ask(monkeypatch, "shop/web", "--numeric", "asc", "--tags", "-", "--explain", "-o", "json", tags=tags) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["tag"] == "29"
    assert answer["runnersUp"] == [str(number) for number in range(28, 18, -1)]
    assert answer["furtherFitting"] == 19
    assert answer["passedOver"] == {"x": "it is no number"}


def test_nothing_that_fits_is_said_with_its_own_status(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ask(monkeypatch, "shop/web", "--semver", ">=3", "--tags", "-") == 1
    shown = capsys.readouterr()
    assert "the highest version there is 2.0.0" in shown.err
    assert shown.out == ""


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        ((), 2, "give an ImageRollout with -f, or a REPOSITORY and a policy"),
        (("shop/web",), 2, "give a policy: one of --semver, --numeric, --alphabetical, --newest and --tag"),
        (("shop/web", "--tag", "1", "--semver", "1"), 2, "not allowed with argument"),
        (("-f", "x.yaml", "--tag", "1"), 2, "leave out REPOSITORY, the policy and what narrows it"),
        (("shop/web", "--numeric", "asc", "--tags", __file__), 2, "among the tags: "),
        (("-f", "-", "--tags", "-"), 2, "only one of -f and --tags can be standard input"),
        (("-f", "/none/x.yaml"), 2, "/none/x.yaml cannot be read: No such file or directory"),
        (("shop/web", "--tag", "1", "--tags", "-"), 2, "this policy does not choose among tags: leave out --tags"),
        (("shop/web", "--newest", "--limit", "0"), 2, "should be greater than or equal to 1"),
        (("shop/web", "--newest", "--tags", "-"), 2, "newest, platforms, minAge and verify are asked of a registry"),
        (("shop/web", "--semver", "1", "--min-age", "5m", "--tags", "-"), 2, "leave out --tags"),
        (("shop/web", "--semver", "1", "--public-key", "k"), 2, "--public-key must be SECRET=FILE, not 'k'"),
        (("shop/web", "--semver", "1", "--min-age", "5"), 2, "must be a duration with its unit"),
        (("shop/web", "--semver", "1", "--platform", "amd64"), 2, "must be a platform such as linux/amd64"),
        (("shop/web", "--semver", "one", "--tags", "-"), 2, 'The range "one" does not parse'),
        (
            ("shop/web", "--semver", "1", "--include", "(", "--tags", "-"),
            2,
            'tags.include "(" is no regular expression',
        ),
        (("shop/web", "--semver", "1", "--extract", "$1", "--tags", "-"), 2, "extract takes its groups from include"),
        (("https://r.example.com/web", "--tag", "1"), 2, "must not carry a scheme"),
        (("127.0.0.1:5000/web", "--tag", "1"), 1, "loopback"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
def test_what_cannot_be_answered_is_refused_in_a_sentence(
    arguments: tuple[str, ...],
    status: int,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    try:
        code: object = ask(monkeypatch, *arguments)
    except SystemExit as left:
        code = left.code
    assert code == status
    shown = capsys.readouterr()
    assert said in shown.err
    assert shown.out == ""


def test_a_file_with_several_images_needs_a_container(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "web.yaml").write_text(ROLLOUT)
    with pytest.raises(SystemExit):
        ask(monkeypatch, "-f", str(tmp_path / "web.yaml"))
    assert "say by --container which one: the ImageRollout chooses for app, proxy" in capsys.readouterr().err


def test_a_file_is_read_as_kubectl_reads_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    times = "  update: {freeze: [{from: 2026-12-20T00:00:00Z, to: 2027-01-03T00:00:00Z}]}\n  suspend: null\n"
    file = tmp_path / "rollout.yaml"
    file.write_text(ROLLOUT + times)
    assert ask(monkeypatch, "-f", str(file), "--container", "app", "--tags", "-") == 0
    assert capsys.readouterr().out == "registry.example.com/shop/web:1.4.2\n"
