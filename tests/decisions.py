"""Decisions in the few words in which tables of tests tell them."""

from __future__ import annotations

from podpin.core.decision import (
    Action,
    AdoptPod,
    Apply,
    ApplyCanary,
    CreatePod,
    DeletePod,
    EndPull,
    EvictPod,
    Judge,
    PatchPod,
    Prune,
    Rehearse,
    RemoveCanary,
    Restore,
    StartPull,
    Unstick,
    Write,
)
from podpin.core.release import release_of
from podpin.core.status import Status
from tests.builders import images, release_id, spec

OTHER = spec(template={"metadata": {"labels": {"a": "b"}}})
"""The usual spec with another template: releases under it are told with a prime."""


def told(action: Action) -> str:
    """One action: what is done, and to which release by its letter."""
    names = {release_id(letter): letter for letter in "abce"}
    names |= {release_of(OTHER, images(letter)).id: f"{letter}'" for letter in "abc"}
    match action:
        case Write(release, _):
            return f"write {names[release.id]}"
        case Judge(judged):
            verdict = judged.verdict
            word = "forgive" if verdict is None else {"Stable": "stable", "Rejected": "reject"}[verdict.result]
            return f"{word} {names[judged.release]}"
        case Apply(id=release):
            return f"apply {names[release]}"
        case ApplyCanary(id=release, step=step, replicas=count):
            return f"canary {names[release]} {step} with {count}"
        case RemoveCanary():
            return "remove canary"
        case Unstick(pod):
            return f"unstick {pod}"
        case StartPull() | EndPull():
            return type(action).__name__
        case Prune(release):
            return f"prune {names[release]}"
        case Restore(copies):
            return f"restore {', '.join(copy.name for copy in copies)}"
        case Rehearse(release, _):
            return f"rehearse {names[release.id]}"
        case AdoptPod(name) | CreatePod(name) | DeletePod(name) | EvictPod(name) | PatchPod(name):
            return f"{type(action).__name__} {name}"


def ready_of(status: Status) -> str:
    """Status and reason of the condition Ready."""
    return next((f"{one.status} {one.reason}" for one in status.conditions if one.type == "Ready"), "")
