"""The ImageRollouts that podpin knows, as they came from the watch or from podpin's own last write.

They are kept packed: of ten thousand, only the few that are worked on are ever unpacked. News that is older than what
is known is dropped, so that podpin never decides on a status from before its own last write.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from podpin.core.headline import Headline, headline_of
from podpin.core.names import PROMOTE_TO, Key
from podpin.core.selector import EVERYTHING, Selector

MOST_HEADLINES = 1000
"""How many different headlines are remembered; what a status says is not podpin's alone to write."""


class Rollouts:
    """A table of packed objects by key.

    `wake` is called with the key of a rollout that follows another one, when there is news of that. What `selector`
    does not select is not held, and `wake` is called with its key if it was.
    """

    def __init__(self, wake: Callable[[Key], None] = lambda _: None, selector: Selector = EVERYTHING) -> None:
        self.selector = selector
        self._held: dict[Key, tuple[int, bytes, Headline]] = {}
        self._headlines: dict[Headline, Headline] = {}
        self._wake = wake
        self._sources: dict[Key, frozenset[Key]] = {}
        self._followers: dict[Key, set[Key]] = {}

    def __len__(self) -> int:
        """How many ImageRollouts are known."""
        return len(self._held)

    def put(self, body: Mapping[str, Any]) -> bool:
        """Take in an object; returns whether it is news."""
        metadata = body["metadata"]
        key, version = Key(metadata["namespace"], metadata["name"]), int(metadata["resourceVersion"])
        known = self._held.get(key)
        if known is not None and version <= known[0]:
            return False
        if not self.selector.matches(metadata.get("labels") or {}):
            if self.drop(key):
                self._wake(key)
            return False
        slim = {
            "metadata": {field: metadata[field] for field in _KEPT if field in metadata},
            "spec": body.get("spec") or {},
            "status": body.get("status") or {},
        }
        before = self.get(key) if key in self._followers else None
        packed = json.dumps(slim, separators=(",", ":")).encode()
        self._held[key] = (version, packed, self._same(headline_of(slim["status"])))
        if key in self._followers and (before is None or _shown(before) != _shown(slim)):
            self._tell_followers(key)
        return True

    def get(self, key: Key) -> dict[str, Any] | None:
        """An object, unpacked, or None where it is not known."""
        known = self._held.get(key)
        if known is None:
            return None
        body: dict[str, Any] = json.loads(known[1])
        return body

    def headlines(self) -> Iterator[Headline]:
        """The headline of each object, without unpacking any."""
        return (headline for _, _, headline in self._held.values())

    def _same(self, headline: Headline) -> Headline:
        """The one object for all headlines that say this: there are few, and ten thousand rollouts."""
        if len(self._headlines) > MOST_HEADLINES:
            self._headlines.clear()
        return self._headlines.setdefault(headline, headline)

    def version(self, key: Key) -> int | None:
        """The resource version that is known of an object, or None."""
        known = self._held.get(key)
        return known[0] if known else None

    def drop(self, key: Key, version: int | None = None) -> bool:
        """Forget an object, unless a newer state of it than `version` is known; returns whether it was known."""
        known = self._held.get(key)
        if known is None or (version is not None and known[0] > version):
            return False
        del self._held[key]
        self.follow(key, ())
        self._tell_followers(key)
        return True

    def follow(self, key: Key, sources: Iterable[Key]) -> None:
        """Say which others a rollout follows: it is woken by their news from now on, and by nobody else's."""
        before, now = self._sources.get(key, frozenset()), frozenset(sources)
        if now == before:
            return
        for source in before - now:
            self._followers[source].discard(key)
            if not self._followers[source]:
                del self._followers[source]
        for source in now - before:
            self._followers.setdefault(source, set()).add(key)
        self._sources[key] = now
        if not now:
            del self._sources[key]

    def _tell_followers(self, key: Key) -> None:
        for follower in self._followers.get(key, ()):
            self._wake(follower)

    def __iter__(self) -> Iterator[Key]:
        """All keys, as they are now."""
        return iter(tuple(self._held))


def _shown(body: Mapping[str, Any]) -> tuple[object, ...]:
    """What of a rollout matters to those that follow it."""
    metadata, status = body["metadata"], body["status"]
    conditions = status.get("conditions") or ()
    ready = next(((one.get("status"), one.get("reason")) for one in conditions if one.get("type") == "Ready"), None)
    current = status.get("observedGeneration") == metadata.get("generation")
    lets_in = (metadata.get("annotations") or {}).get(PROMOTE_TO)
    return status.get("stable"), ready, current, lets_in, metadata.get("deletionTimestamp"), body["spec"]


_KEPT = (
    "namespace",
    "name",
    "uid",
    "resourceVersion",
    "generation",
    "annotations",
    "creationTimestamp",
    "deletionTimestamp",
)
