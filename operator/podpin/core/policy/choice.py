"""What a policy answers: a choice, or in one sentence why there is none."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Choice:
    """What to run. `digest` is known already where the policy names one; else `tag` is still to be resolved."""

    tag: str | None
    digest: str | None


@dataclass(frozen=True, slots=True)
class NoMatch:
    """No tag fits. `message` is a sentence for the user that stays the same while the cause does.

    So it holds no counts: they would change with every push, and with them the rollout's status. The highest version
    that does not fit is named, since it tells what is wrong and changes with a new version only.
    """

    message: str
