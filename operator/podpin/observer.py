"""What podpin's parts tell of their work, to whoever wants to count it.

The parts call these as they go and learn nothing from them. This observer ignores what it hears, so that nobody pays
for being measured who does not want to be; `metrics` has the one that counts. Adapters know nothing of it: they are
given single methods to call.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from podpin.core.names import Key


class Observer:
    """Hears of everything, and keeps nothing. All times are seconds; `since` is of the monotonic clock."""

    # --- the queue

    def added(self) -> None:
        """A rollout has been put on the queue."""

    def put_off(self) -> None:
        """A rollout is to be put on the queue later."""

    def taken(self, key: Key, waited: float) -> None:
        """A worker has taken a rollout off the queue."""

    def given_back(self, key: Key, worked: float) -> None:
        """A worker is done with a rollout."""

    def reconciled(self, result: str, seconds: float) -> None:
        """A rollout's turn has ended: success, requeue_after, requeue, error or panic."""

    # --- the poller

    def resolved(self, reason: str) -> None:
        """A look has answered a question: Resolved, or why there is no version or not the best."""

    def noticed(self, digest: str, since: float) -> None:
        """A digest is new, and a registry had told of a push then."""

    # --- the rollouts

    def chosen(self, policy: str) -> None:
        """A policy has chosen another version than before."""

    def applied(self, key: Key, digests: Iterable[str]) -> None:
        """A rollout's workload has been given these images, without anything having held them back."""

    def ended(self, result: str, reason: str, seconds: float) -> None:
        """A release's trial is over."""

    def rolled_back(self, key: Key, reason: str, result: str, *, judged: bool) -> None:
        """A rollout goes back to its stable release; `judged` says that this turn has found the other one to fail."""

    # --- the outside world

    def asked_registry(self, host: str, status: int | None, seconds: float) -> None:
        """A registry or its token server has answered one request, or has not."""

    def asked_api(self, verb: str, path: str, status: int | None) -> None:
        """The API server has answered one request, or has not."""


UNOBSERVED: Final = Observer()
"""For all that nobody measures."""
