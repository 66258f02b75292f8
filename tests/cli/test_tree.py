"""`podpin tree`: what is drawn of a rollout."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console
from tests.cli.objects import (
    NOW,
    candidate,
    condition,
    crashing,
    deployment,
    entry,
    pod,
    rejected,
    rollout,
    stable,
    time,
    waiting,
)

from podpin.cli.output import drawn
from podpin.cli.views.tree import World, tree


def lines(raw: dict[str, Any], workloads: tuple[Any, ...] = (), pods: tuple[Any, ...] = (), **more: Any) -> list[str]:
    console = Console(file=io.StringIO(), width=80)
    return [line.plain for line in drawn(tree(World(raw, workloads, pods, **more), NOW), console)]


def test_a_quiet_rollout_is_its_stable_release_and_what_runs_it() -> None:
    raw = rollout(message="release aaaa runs (web:1.0.0@aaaaaaaaaaaa)", rejected=[rejected("0.9.0", "c", when=10)])
    assert lines(raw, (deployment("a"),), (pod("web-2", "a"), pod("web-1", "a"))) == [
        "✓ ImageRollout web  RolledOut  2/2 Pods ready",
        "│ release aaaa runs (web:1.0.0@aaaaaaaaaaaa)",
        "└─ ✓ release aaaa  stable for 59m",
        "   │ web:1.0.0@aaaaaaaaaaaa",
        "   └─ ✓ Deployment web  2/2 available",
        "      ├─ ✓ Pod web-1  ready  on node-1, 100s",
        "      └─ ✓ Pod web-2  ready  on node-1, 100s",
    ]


def test_while_a_version_is_tried_the_pods_of_both_are_seen() -> None:
    raw = rollout("Progressing", "Unknown", message="", candidate=candidate())
    workload = deployment("b", replicas=2, updatedReplicas=1, availableReplicas=2)
    going = pod("web-2", "a")
    going["metadata"]["deletionTimestamp"] = time(3590)
    assert lines(raw, (workload,), (pod("web-1", "a"), going, crashing("web-3", "b"))) == [
        "◐ ImageRollout web  Progressing  2/2 Pods ready",
        "├─ ◐ release bbbb  is tried, for 100s",
        "│  │ web:1.1.0@bbbbbbbbbbbb",
        "│  └─ ◐ Deployment web  2/2 available, 1 of another release",
        (
            "│     └─ ✗ Pod web-3  CrashLooping: container app exited 3 times or more, last with code 1 (Error)  "
            "3 restarts, on node-1, 100s"
        ),
        "└─ ✓ release aaaa  stable for 59m",
        "   │ web:1.0.0@aaaaaaaaaaaa",
        "   ├─ ✓ Pod web-1  ready  on node-1, 100s",
        "   └─ · Pod web-2  is going  on node-1, 100s",
    ]


def test_after_a_rollback_the_version_that_failed_is_still_there_with_its_reason() -> None:
    raw = rollout("RolledBack", message="", rejected=[rejected(), rejected("1.0.9", "c", when=30)])
    assert lines(raw, (deployment("a"),), (pod("web-1", "a"),))[:4] == [
        "↩ ImageRollout web  RolledBack  2/2 Pods ready",
        (
            "├─ ✗ release bbbb  rejected 10m ago  CrashLooping: container app exited 3 times or more, last with code 1 "
            "(Error)"
        ),
        "│    web:1.1.0@bbbbbbbbbbbb",
        "└─ ✓ release aaaa  stable for 59m",
    ]


def test_a_canary_stands_below_what_is_tried_and_the_workload_below_what_serves() -> None:
    canary = deployment("b", name="web-canary", replicas=1)
    canary["metadata"]["annotations"] = {"podpin.dev/step": "1/1"}
    step = {"step": 1, "of": 2, "replicas": 1, "since": time(3500)}
    raw = rollout("Progressing", "Unknown", message="", candidate=candidate(canary=step))
    pods = (pod("web-1", "a"), pod("web-canary-1", "b", labels={"podpin.dev/track": "canary"}))
    assert lines(raw, (deployment("a"), canary), pods)[1:] == [
        "├─ ◐ release bbbb  is tried, for 100s, by canary with 1 Pod, step 1 of 2",
        "│  │ web:1.1.0@bbbbbbbbbbbb",
        "│  └─ ✓ Deployment web-canary  1/1 available",
        "│     └─ ✓ Pod web-canary-1  ready  on node-1, 100s",
        "└─ ✓ release aaaa  stable for 59m",
        "   │ web:1.0.0@aaaaaaaaaaaa",
        "   └─ ✓ Deployment web  2/2 available",
        "      └─ ✓ Pod web-1  ready  on node-1, 100s",
    ]


def test_pods_without_a_deployment_hang_from_their_release() -> None:
    raw = rollout(message="", spec={"workload": {"kind": "Pods"}})
    assert lines(raw, (), (pod("web-aaaa-0", "a"),))[-1] == "   └─ ✓ Pod web-aaaa-0  ready  on node-1, 100s"


def test_a_release_that_waits_is_first_and_says_for_what() -> None:
    raw = rollout("Frozen", message="", waiting=waiting("Frozen", until="2026-03-02T08:00:00Z"))
    assert lines(raw)[1] == "├─ ○ release bbbb  waits until 2026-03-02 08:00 UTC: Frozen"


def test_a_release_that_only_still_has_pods_is_named_by_the_history() -> None:
    raw = rollout(message="", history=[entry("Superseded", "0.8.0", "c", 100)])
    assert lines(raw, (), (pod("web-old", "c"),))[-3:] == [
        "└─ · release cccc  is going",
        "   │ web:0.8.0@cccccccccccc",
        "   └─ ✓ Pod web-old  ready  on node-1, 100s",
    ]


def test_a_release_that_is_over_and_has_no_pods_is_not_drawn() -> None:
    raw = rollout(message="", history=[entry("Superseded", "0.8.0", "c", 100)])
    assert not any("cccc" in line for line in lines(raw))


def test_what_the_registry_has_not_given_is_told_at_the_root() -> None:
    raw = rollout(message="", conditions=(condition("Resolved", "False", "TagNotFound", "there is no tag 2"),))
    assert lines(raw)[1] == "│ ✗ TagNotFound: there is no tag 2"


def test_what_may_not_be_read_is_said_and_the_rest_drawn() -> None:
    assert lines(rollout(message=""), missing=("you may not read Pods",))[-1] == "└─ (you may not read Pods)"


def test_a_rollout_of_which_nothing_is_known_is_one_line() -> None:
    raw = rollout("", running=None, stable=None)
    assert lines(raw) == ["◐ ImageRollout web  podpin has said nothing yet"]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        pytest.param(crashing("p", "a", 1), "✗ Pod p  container app exited with code 1 (Error)", id="a first crash"),
        pytest.param(
            pod("p", "a", ready=False, state={"waiting": {"reason": "ContainerCreating"}}),
            "◐ Pod p  its containers are made",
            id="a Pod that starts",
        ),
        pytest.param(
            pod("p", "a", ready=False),
            "◐ Pod p  container app runs, but its readiness probe does not succeed",
            id="a Pod that is not ready yet",
        ),
        pytest.param(
            pod("p", "a", ready=False, state={"waiting": {"reason": "InvalidImageName"}}),
            "✗ Pod p  InvalidImageName: the image name of container app is not valid",
            id="a Pod that never will be",
        ),
    ],
)
def test_a_pod_that_is_not_ready_says_why(body: dict[str, Any], words: str) -> None:
    if body["status"]["conditions"][1]["status"] == "False":
        body["status"]["conditions"][1]["lastTransitionTime"] = time(3500)  # it never was ready
    assert lines(rollout(message=""), (), (body,))[-1].strip(" └─").startswith(words.strip(" └─"))


def test_lines_that_a_terminal_has_no_room_for_go_on_below_themselves() -> None:
    console = Console(file=io.StringIO(), width=44, force_terminal=True)
    raw = rollout("RolledBack", message="", rejected=[rejected()], stable=stable())
    told = [line.plain for line in drawn(tree(World(raw), NOW), console)]
    assert all(len(line) <= 44 for line in told)
    assert told == [
        "↩ ImageRollout web  RolledBack  2/2 Pods",
        "│ ready",
        "├─ ✗ release bbbb  rejected 10m ago",
        "│    CrashLooping: container app exited 3",
        "│    times or more, last with code 1 (Error)",
        "│    web:1.1.0@bbbbbbbbbbbb",
        "└─ ✓ release aaaa  stable for 59m",
        "     web:1.0.0@aaaaaaaaaaaa",
    ]
