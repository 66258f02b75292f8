"""What a decision came to, in one line: for logs that machines read."""

from __future__ import annotations

from typing import Any, Final, NamedTuple, assert_never

from podpin.core.decision import (
    Action,
    AdoptPod,
    Apply,
    ApplyCanary,
    CreatePod,
    Decision,
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

MOST_TOLD: Final = 20
"""How many actions are told one by one: a rollout may have hundreds of Pods."""


class Account(NamedTuple):
    """One decision. `release` is the one that it is about: what was applied, or else judged, or else is being tried."""

    release: str | None
    ready: str | None
    reason: str | None
    actions: tuple[str, ...]

    @property
    def sentence(self) -> str:
        """It as a line of text."""
        return f"{self.reason or 'decided'}: {', '.join(self.actions) or 'nothing to do'}"

    def fields(self) -> dict[str, Any]:
        """It as fields of a line of JSON."""
        return self._asdict()


def account_of(decision: Decision) -> Account | None:
    """The account of a decision; None of one that does and says nothing."""
    if not decision.actions and not decision.notices:
        return None
    status = decision.status
    ready = next((one for one in status.conditions if one.type == "Ready"), None)
    told = [_told(action) for action in decision.actions[:MOST_TOLD]]
    if (more := len(decision.actions) - MOST_TOLD) > 0:
        told.append(f"{more} more")
    fallback = status.candidate or status.stable
    return Account(
        release=_release_of(decision) or (fallback.release if fallback else None),
        ready=ready.status if ready else None,
        reason=ready.reason if ready else None,
        actions=tuple(told),
    )


def _release_of(decision: Decision) -> str | None:
    for kinds in ((Apply, ApplyCanary, CreatePod, PatchPod), (Judge, Write)):
        for action in decision.actions:
            if isinstance(action, kinds):
                return action.record.release if isinstance(action, Judge | Write) else action.id
    return None


def _told(action: Action) -> str:
    match action:
        case Write(_, record):
            return f"record {record.release}"
        case Judge(record):
            verdict = record.verdict
            return (
                f"judge {record.release}: {f'{verdict.result} ({verdict.reason})' if verdict else 'to be tried again'}"
            )
        case Apply():
            return f"apply {action.id}"
        case ApplyCanary():
            return f"apply canary {action.id}, step {action.step}"
        case RemoveCanary():
            return "remove canary"
        case Unstick():
            return f"delete Pod {action.pod}"
        case Rehearse():
            return f"rehearse {action.release.id}"
        case AdoptPod():
            return f"adopt Pod {action.name}"
        case CreatePod():
            return f"create Pod {action.name}"
        case DeletePod():
            return f"delete Pod {action.name}"
        case EvictPod():
            return f"evict Pod {action.name}"
        case PatchPod():
            return f"change Pod {action.name}"
        case StartPull():
            return f"pull by Pod {action.name}"
        case EndPull():
            return f"end pull by Pod {action.name}"
        case Restore():
            return f"restore {len(action.copies)} copies"
        case Prune():
            return f"prune {action.release}"
        case _:
            assert_never(action)
