"""The demo as a reader meets it: started, read, interrupted, removed."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.cluster import state
from tests.demo import remains
from tests.waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.timeout(300),
    pytest.mark.skipif(os.environ.get("CLUSTER", "local") != "local", reason="counts what a local cluster leaves"),
]

VERSIONS = ["1.0.0", "1.1.0", "1.2.0", "1.2.1"]


def command(name: str, *words: str) -> list[str]:
    return [sys.executable, "-m", "tests.demo", "--name", name, *words]


def leavings(name: str) -> list[str]:
    """What is there of a demo: its folder, its cluster, its podpin."""
    left = remains.find(name)
    found = ["folder"] if remains.folder_of(name).exists() else []
    if state.record(name) is not None:
        found.append("cluster")
    if left is not None and left.podpin is not None and left.podpin.alive:
        found.append("podpin")
    return found


@pytest.fixture
def name(request: pytest.FixtureRequest) -> Iterator[str]:
    """Of a demo that is gone afterwards, whatever becomes of the test."""
    name = f"demo-{os.getpid()}-{'ctrl-c' if 'ctrl_c' in request.node.name else 'whole'}"
    yield name
    subprocess.run(command(name, "down"), check=True)


def test_the_demo_tells_its_story_and_goes_without_a_trace(name: str) -> None:
    demo = subprocess.run(command(name), capture_output=True, text=True, check=False)
    assert demo.returncode == 0, demo.stdout + demo.stderr
    told = demo.stdout
    assert "\x1b" not in told, "colours are for terminals"
    assert re.findall(r"^Pushed \S+:(\S+), which is", told, re.MULTILINE) == VERSIONS
    endings = re.findall(r" (\S+) +\S+ +True +(RolledOut|RolledBack) +3/3 ", told)
    assert list(dict.fromkeys(endings)) == [
        ("web:1.0.0", "RolledOut"),
        ("web:1.1.0", "RolledOut"),
        ("web:1.1.0", "RolledBack"),
        ("web:1.2.1", "RolledOut"),
    ]
    assert re.search(r"web:1\.2\.0@\S+ was rejected \(CannotStart\)", told)
    counts = re.findall(r"^(\d+) requests, (\d+) failed", told, re.MULTILINE)
    assert int(counts[-1][0]) > 50
    assert {failed for _, failed in counts} == {"0"}
    assert re.search(r"^\$ kubectl get ir web --watch$", told, re.MULTILINE)
    assert "none failed" in told

    assert leavings(name) == ["folder", "cluster", "podpin"], "the reader goes on"
    more = subprocess.run(command(name, "push", "1.3.0"), capture_output=True, text=True, check=True)
    assert re.fullmatch(r"pushed \S+/demo/web:1\.3\.0@sha256:[0-9a-f]{64}\n", more.stdout)

    subprocess.run(command(name, "down"), check=True)
    assert leavings(name) == []


def test_ctrl_c_stops_podpin_and_says_how_to_remove_the_cluster(name: str) -> None:
    with subprocess.Popen(
        command(name), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as demo:
        wait_for(lambda: "podpin" in leavings(name) or demo.poll() is not None, 120, "podpin to run")
        demo.send_signal(signal.SIGINT)
        _, said = demo.communicate()
    assert demo.returncode == 130, said
    assert f"python -m tests.demo --name {name} down" in said
    assert leavings(name) == ["folder", "cluster"]
