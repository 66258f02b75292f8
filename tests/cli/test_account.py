"""`podpin why`, `history` and `diff`: what is told of the past."""

from __future__ import annotations

from typing import Any

import pytest
from tests.cli.objects import (
    NOW,
    candidate,
    chosen,
    condition,
    crashing,
    entry,
    pinned,
    rejected,
    rollout,
    time,
    waiting,
)

from podpin.cli.views.account import REMEDIES, account, policy_of
from podpin.cli.views.differences import difference, document
from podpin.cli.views.past import heads, rows
from podpin.core.readiness import REASONS
from podpin.core.status import parse_status

IMAGE = {
    "container": "app",
    "repository": "registry.example.com/shop/web",
    "policy": {"semver": {"range": ">=1"}},
}
SPEC = {"images": [IMAGE], "rollout": {"progressDeadline": "4m"}, "workload": {"kind": "Deployment"}}
CHOSEN = chosen(sizeBytes=12_300_000)


def told(raw: dict[str, Any], pods: tuple[Any, ...] = (), events: tuple[Any, ...] = ()) -> dict[str, list[str]]:
    return {one.head: [line.plain for line in one.lines] for one in account(raw, pods, events, NOW)}


def event(seconds: float, reason: str, message: str, kind: str = "Normal") -> dict[str, Any]:
    return {"type": kind, "reason": reason, "message": message, "lastTimestamp": time(seconds)}


def test_after_a_rollback_all_of_it_is_told() -> None:
    raw = rollout(
        "RolledBack",
        message="release aaaa runs",
        spec=SPEC,
        images=[CHOSEN],
        rejected=[rejected()],
        history=[entry("Rejected", "1.1.0", "b", 3000)],
    )
    events = (event(2990, "Progressing", "trying bbbb"), event(3000, "RolledBack", "back to aaaa", "Warning"))
    assert told(raw, (), events) == {
        "Now": ["↩ RolledBack", "release aaaa runs", REASONS["RolledBack"]],
        "Runs": ["release aaaa (web:1.0.0@aaaaaaaaaaaa), stable for 59m; 2/2 Pods ready"],
        "Chosen": [
            "app: registry.example.com/shop/web:1.1.0 is bbbbbbbbbbbb, by semver >=1; seen so for 10m, 12 MB to pull"
        ],
        "Failed": [
            "release bbbb (web:1.1.0@bbbbbbbbbbbb), 10m ago, after 10s",
            "✗ CrashLooping: container app exited 3 times or more, last with code 1 (Error)",
        ],
        "Evidence": ["  10m ago  RolledBack: back to aaaa", "  10m ago  Progressing: trying bbbb"],
        "To change it": [
            "A fixed image that the policy takes, or a changed spec. To try the same once more: podpin retry web"
        ],
    }


def test_what_failed_is_what_is_wanted_and_not_what_somebody_went_back_from() -> None:
    by_request = rejected("1.0.1", "c", 3100, "RollbackRequested")
    raw = rollout("RolledBack", spec=SPEC, images=[CHOSEN], rejected=[by_request, rejected()])
    assert told(raw)["Failed"][0].startswith("release bbbb")


def test_while_something_is_tried_its_clock_and_its_pods_are_told() -> None:
    raw = rollout("Progressing", "Unknown", spec=SPEC, candidate=candidate(started=3500))
    sections = told(raw, (crashing("web-1", "b"),))
    assert sections["Tried"] == [
        "release bbbb (web:1.1.0@bbbbbbbbbbbb), for 100s",
        "It is rejected in 2m20s if it makes no progress until then.",
    ]
    assert sections["Evidence"] == [
        "✗ Pod web-1 of release bbbb: CrashLooping: container app exited 3 times or more, last with code 1 (Error)"
    ]
    assert sections["To change it"] == [
        "Time: it is stable once all its Pods have been ready for 30s. To take it back now: podpin rollback web"
    ]


def test_what_failed_before_the_stable_release_came_is_not_told() -> None:
    assert "Failed" not in told(rollout(rejected=[rejected(when=10)]))


@pytest.mark.parametrize(
    ("raw", "remedy"),
    [
        pytest.param(
            rollout("Unschedulable", "Unknown", candidate=candidate(pausedSince=time(3550))),
            "The cluster: it goes on by itself when that is over.",
            id="the cluster holds it up",
        ),
        pytest.param(
            rollout("RolledBack", rejected=[rejected(reason="RollbackRequested")]),
            "A person has asked to go back. Something newer, a changed spec or a retry ends that: podpin retry web",
            id="a person went back",
        ),
        pytest.param(
            rollout("ContainerNotFound", "False", conditions=(condition("Stalled", "True", "ContainerNotFound"),)),
            "A changed spec, as the message says.",
            id="the spec cannot be used",
        ),
        pytest.param(
            rollout("RegistryDenied", "False"),
            "What the message says; then podpin looks again by itself, or now with: podpin reconcile web",
            id="the registry gives nothing",
        ),
        pytest.param(rollout(""), "podpin: does it run, and does it serve this namespace?", id="podpin is silent"),
    ],
)
def test_what_would_change_it(raw: dict[str, Any], remedy: str) -> None:
    assert told(raw)["To change it"] == [remedy]


def test_every_reason_of_podpins_own_has_what_would_change_it() -> None:
    assert REMEDIES.keys() == REASONS.keys()


@pytest.mark.parametrize(
    ("policy", "words"),
    [
        ({"semver": {"range": ">=1.4 <2"}}, "semver >=1.4 <2"),
        ({"newest": {}}, "newest"),
        ({"promote": {"from": {"namespace": "staging", "name": "web"}}}, "promote staging/web"),
        ({}, "the spec"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_policy_in_a_few_words(policy: dict[str, Any], words: str) -> None:
    assert policy_of({"policy": policy}) == words


def test_the_history_has_what_comes_above_what_was() -> None:
    status = parse_status(
        rollout(
            waiting=waiting(letter="d"),
            candidate=candidate(letter="b"),
            history=[
                entry("Rejected", "1.0.1", "c", 3000, reason="CrashLooping", asked="retry=anna", message="died"),
                entry("Stable", "1.0.0", "a", 60),
            ],
        )["status"]
    )
    assert [[str(cell) for cell in row] for row in rows(status, NOW, wide=False)] == [
        ["○ dddd", "web:1.1.0@dddddddddddd", "Waiting", "AwaitingApproval", "", "", ""],
        ["◐ bbbb", "web:1.1.0@bbbbbbbbbbbb", "Trying", "", "", "100s", ""],
        ["✗ cccc", "web:1.0.1@cccccccccccc", "Rejected", "CrashLooping", "10m ago", "10s", "retry=anna"],
        ["✓ aaaa", "web:1.0.0@aaaaaaaaaaaa", "Stable", "", "59m ago", "10s", ""],
    ]
    assert all(len(row) == len(heads(wide=True)) for row in rows(status, NOW, wide=True))


def test_a_diff_has_images_digests_and_what_changed_in_the_template() -> None:
    def side(tag: str, letter: str, port: int) -> str:
        images = tuple((one["container"], one["image"]) for one in pinned(tag, letter))
        return document(images, {"spec": {"containers": [{"name": "app", "ports": [{"containerPort": port}]}]}})

    lines = [
        line.plain
        for line in difference(("release aaaa", side("1.0.0", "a", 80)), ("release bbbb", side("1.1.0", "b", 80)))
    ]
    assert lines[:2] == ["--- release aaaa", "+++ release bbbb"]
    assert [line for line in lines[2:] if line[0] in "+-"] == [
        f"-    digest: sha256:{'a' * 64}",
        "-    image: registry.example.com/shop/web:1.0.0",
        f"+    digest: sha256:{'b' * 64}",
        "+    image: registry.example.com/shop/web:1.1.0",
    ]
    changed = difference(("a", side("1.0.0", "a", 80)), ("b", side("1.0.0", "a", 81)))
    assert [line.plain for line in changed if line.plain[0] in "+-"][2:] == [
        "-      - containerPort: 80",
        "+      - containerPort: 81",
    ]


def test_releases_that_are_the_same_have_no_diff() -> None:
    one = document((), None)
    assert list(difference(("a", one), ("b", one))) == []
