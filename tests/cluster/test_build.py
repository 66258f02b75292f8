"""Building, without building: keys, progress, the lock, and what is said when something is missing."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from tests.cluster import build, toolchain
from tests.cluster.build import KUBERNETES, KWOK, Progress, Recipe
from tests.cluster.errors import ClusterError


@pytest.fixture
def recipe(tmp_path: Path) -> Recipe:
    module = tmp_path / "module"
    module.mkdir()
    (module / "go.mod").write_text("module x\n\nrequire (\n\texample.com/tool v1.2.3\n)\n")
    (module / "go.sum").write_text("")
    return Recipe(module, "example.com/tool", {"tool": "example.com/tool/cmd/tool"})


def test_the_versions_are_those_of_go_mod(recipe: Recipe) -> None:
    assert recipe.version == "v1.2.3"
    assert recipe.key.startswith("tool-v1.2.3-")
    assert KUBERNETES.version.startswith("v1.")
    assert KWOK.version.startswith("v0.")


def test_another_go_sum_is_another_place_in_the_cache(recipe: Recipe) -> None:
    before = recipe.key
    (recipe.module / "go.sum").write_text("example.com/tool v1.2.3 h1:other\n")
    assert recipe.key != before


def test_what_is_in_the_cache_is_not_built_again(
    recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(build.OVERRIDE, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    folder = tmp_path / "podpin" / recipe.key
    folder.mkdir(parents=True)
    (folder / "tool").touch()
    assert build.binaries(recipe) == folder


def test_programs_of_ones_own_are_taken_when_they_are_all_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(build.OVERRIDE, str(tmp_path))
    for name in KUBERNETES.programs:
        (tmp_path / name).touch()
    assert build.binaries() == tmp_path
    (tmp_path / "kubelet").unlink()
    with pytest.raises(ClusterError, match="lacks kubelet"):
        build.binaries()


def test_the_programs_know_their_version() -> None:
    assert f"-X k8s.io/component-base/version.gitVersion={KUBERNETES.version}" in KUBERNETES.linker_flags


def test_a_program_is_named_after_the_last_element_that_is_no_major_version() -> None:
    assert build.name_of_built("go.etcd.io/etcd/server/v3") == "server"
    assert build.name_of_built("k8s.io/kubernetes/cmd/kubelet") == "kubelet"


def test_progress_counts_packages_and_an_interrupted_build_goes_on_counting(capsys: pytest.CaptureFixture[str]) -> None:
    progress = Progress({"a", "b", "c"}, {"a"})
    record = io.StringIO()
    said = build.follow(iter(["b\n", "go: downloading x v1\n", "b.go:1: undefined: y\n"]), progress, record)
    assert "2 of 3 packages" in capsys.readouterr().out
    assert record.getvalue() == "b\n"
    assert said == ["b.go:1: undefined: y"]


def test_a_lock_that_is_held_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "lock"
    holder = build.locked(path)
    holder.__enter__()
    said: list[str] = []

    def hear(sentence: str, **_: object) -> None:
        said.append(sentence)
        holder.__exit__(None, None, None)

    monkeypatch.setattr("builtins.print", hear)
    with build.locked(path):
        assert said == [f"waiting for another process that holds {path}"]


def test_without_apt_one_sentence_names_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda *_, **__: None)
    with pytest.raises(ClusterError, match=r"please install \(Debian's names\): containernetworking-plugins podman"):
        toolchain.ensure({"podman": "podman", "/nowhere/ptp": "containernetworking-plugins"})


def test_without_root_one_sentence_names_the_other_ways(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    with pytest.raises(ClusterError, match=r"needs root.*CLUSTER=kind.*CLUSTER=current"):
        toolchain.require_root()
