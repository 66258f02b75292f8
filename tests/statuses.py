"""A status with everything in it, as Python has it and as it stands in the resource."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

from podpin.core.status import (
    CandidateStatus,
    Condition,
    HistoryEntry,
    ImageStatus,
    PinnedImage,
    RefusedStatus,
    RejectedStatus,
    ReleaseStatus,
    RequestsStatus,
    RunningStatus,
    Status,
    WorkloadStatus,
)

DIGEST: Final = "0123456789abcdef" * 4
_AT: Final = datetime(2026, 11, 24, 12, 0, 0, 123456, tzinfo=UTC)


def _pins(tag: str) -> tuple[PinnedImage, ...]:
    return (PinnedImage(container="app", image=f"r.example.com/shop/web:{tag}@sha256:{DIGEST}"),)


def full() -> Status:
    """A rollout in the middle of a trial, with a past."""
    return Status(
        observed_generation=3,
        conditions=(
            Condition(
                type="Ready",
                status="Unknown",
                reason="Progressing",
                message="trying release c3",
                last_transition_time=_AT,
                observed_generation=3,
            ),
        ),
        running=RunningStatus(image="web:1.0.0", digest=DIGEST[:12], ready="3/3"),
        images=(
            ImageStatus(
                container="app",
                repository="r.example.com/shop/web",
                tag="1.2.0",
                digest=f"sha256:{DIGEST}",
                resolved_at=_AT,
                source="5eed",
            ),
        ),
        stable=ReleaseStatus(release="a1", images=_pins("1.0.0"), since=_AT),
        candidate=CandidateStatus(
            release="c3", images=_pins("1.2.0"), started_at=_AT, clock_from=_AT, unfit=("front",)
        ),
        rejected=(RejectedStatus(release="b2", images=_pins("1.1.0"), reason="CrashLoop", message="died", at=_AT),),
        history=(
            HistoryEntry(
                release="b2",
                images=_pins("1.1.0"),
                result="Rejected",
                reason="CrashLoop",
                message="died",
                started_at=_AT,
                ended_at=_AT,
            ),
            HistoryEntry(release="a1", images=_pins("1.0.0"), result="Stable", started_at=_AT, ended_at=_AT),
        ),
        workload=WorkloadStatus(name="web", uid="4a-5b", generation=7, intent="f00d", release="c3"),
        replicas=3,
        ready_replicas=3,
        selector="podpin.dev/rollout=web",
        requests=RequestsStatus(retry="now", rollback_to="previous", obeyed=2),
        refused=RefusedStatus(intents=("bad1",), message="spec.containers[0].image: Required value"),
    )


def _wire_pins(tag: str) -> list[dict[str, Any]]:
    return [{"container": "app", "image": f"r.example.com/shop/web:{tag}@sha256:{DIGEST}"}]


def wire() -> dict[str, Any]:
    """The same, as JSON."""
    at, exact = "2026-11-24T12:00:00Z", "2026-11-24T12:00:00.123456Z"
    return {
        "observedGeneration": 3,
        "conditions": [
            {
                "type": "Ready",
                "status": "Unknown",
                "reason": "Progressing",
                "message": "trying release c3",
                "lastTransitionTime": at,
                "observedGeneration": 3,
            }
        ],
        "running": {"image": "web:1.0.0", "digest": DIGEST[:12], "ready": "3/3"},
        "images": [
            {
                "container": "app",
                "repository": "r.example.com/shop/web",
                "tag": "1.2.0",
                "digest": f"sha256:{DIGEST}",
                "resolvedAt": at,
                "source": "5eed",
            }
        ],
        "stable": {"release": "a1", "images": _wire_pins("1.0.0"), "since": at},
        "candidate": {
            "release": "c3",
            "images": _wire_pins("1.2.0"),
            "startedAt": exact,
            "clockFrom": exact,
            "unfit": ["front"],
        },
        "rejected": [
            {"release": "b2", "images": _wire_pins("1.1.0"), "reason": "CrashLoop", "message": "died", "at": at}
        ],
        "history": [
            {
                "release": "b2",
                "images": _wire_pins("1.1.0"),
                "result": "Rejected",
                "reason": "CrashLoop",
                "message": "died",
                "startedAt": at,
                "endedAt": at,
            },
            {"release": "a1", "images": _wire_pins("1.0.0"), "result": "Stable", "startedAt": at, "endedAt": at},
        ],
        "workload": {"name": "web", "uid": "4a-5b", "generation": 7, "intent": "f00d", "release": "c3"},
        "replicas": 3,
        "readyReplicas": 3,
        "selector": "podpin.dev/rollout=web",
        "requests": {"retry": "now", "rollbackTo": "previous", "obeyed": 2},
        "refused": {"intents": ["bad1"], "message": "spec.containers[0].image: Required value"},
    }
