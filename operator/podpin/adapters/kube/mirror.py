"""A slim copy of some of the cluster's objects, kept current by list and watch.

kopf would cost a task and half a millisecond for each Pod and Deployment; this keeps a small projection instead and
drops the rest. It is level-triggered: whoever is told that a key changed looks at the copy, never at an event. What
vanished while nobody was watching is found by comparing each new list with the copy.

Podpin's own writes are put in at once, with the answer that they got, so that it never decides on a state from before
its own last write. News that is older than what is known is dropped; resource versions are comparable (Kubernetes 1.35,
KEP-5504).
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Generic, TypeVar

from podpin.adapters.kube.api import JSON, METADATA_LIST, METADATA_ONLY, Api, Expired
from podpin.core.names import LABEL_ROLLOUT, Key
from podpin.errors import PodpinError, Unavailable

T = TypeVar("T")

PAGE = "500"
LONGEST_WAIT = 30.0

log = logging.getLogger(__name__)


class Mirror(Generic[T]):
    """The objects under one path that carry podpin's label, projected by `project`, grouped by their rollout."""

    def __init__(
        self,
        api: Api,
        path: str,
        project: Callable[[Mapping[str, Any]], T | None],
        changed: Callable[[Key], None],
        *,
        metadata_only: bool = False,
    ) -> None:
        self._api, self._path, self._project, self._changed = api, path, project, changed
        self._accept = (METADATA_LIST, METADATA_ONLY) if metadata_only else (JSON, JSON)
        self._held: dict[Key, dict[str, tuple[int, T]]] = {}
        self._version = ""
        self.synced = asyncio.Event()
        self.trouble: str | None = None
        """Why the copy is not current, in a sentence, or None."""

    def of(self, key: Key) -> Iterator[T]:
        """The projections of a rollout's objects."""
        return (value for _, value in self._held.get(key, {}).values())

    def keys(self) -> Iterator[Key]:
        """The rollouts that have objects here."""
        return iter(self._held)

    def put(self, raw: Mapping[str, Any]) -> T | None:
        """Take in an object, unless a newer state of it is known; returns its projection."""
        metadata = raw["metadata"]
        rollout = (metadata.get("labels") or {}).get(LABEL_ROLLOUT)
        value = self._project(raw)
        if not rollout or value is None:
            return value
        key = Key(metadata.get("namespace", ""), rollout)
        mine, version = self._held.setdefault(key, {}), _version(metadata)
        known = mine.get(metadata["name"])
        if known is None or version >= known[0]:
            mine[metadata["name"]] = (version, value)
        return value

    def drop(self, namespace: str, rollout: str, name: str, version: int | None = None) -> None:
        """Forget an object, unless a newer state of it is known."""
        key = Key(namespace, rollout)
        mine = self._held.get(key)
        if mine is None or name not in mine or (version is not None and mine[name][0] > version):
            return
        del mine[name]
        if not mine:
            del self._held[key]

    async def run(self) -> None:
        """Keep the copy current until cancelled."""
        failures = 0
        while True:
            try:
                if not self._version:
                    await self._list()
                    self.synced.set()
                self.trouble, failures = None, 0
                await self._follow()
            except Expired:
                self._version = ""
            except PodpinError as error:
                failures += 1
                wait = min(LONGEST_WAIT, 0.5 * 2 ** min(failures, 10)) * random.uniform(0.5, 1.0)  # noqa: S311
                if isinstance(error, Unavailable) and error.retry_after is not None:
                    wait = max(wait, min(error.retry_after, LONGEST_WAIT))
                self.trouble = f"podpin can't watch {self._path.rpartition('/')[2]}: {error}"
                log.warning("%s Trying again in %.0f s.", self.trouble, wait)
                await asyncio.sleep(wait)

    async def _list(self) -> None:
        query = {"labelSelector": LABEL_ROLLOUT, "limit": PAGE}
        seen: set[tuple[Key, str]] = set()
        while True:
            page = await self._api.request("GET", self._path, query=query, accept=self._accept[0])
            for raw in page.get("items") or ():
                metadata = raw["metadata"]
                key = Key(metadata.get("namespace", ""), metadata["labels"][LABEL_ROLLOUT])
                seen.add((key, metadata["name"]))
                self.put(raw)
                self._changed(key)
            if not page["metadata"].get("continue"):
                break
            query["continue"] = page["metadata"]["continue"]
        version = page["metadata"]["resourceVersion"]
        gone = [(key, name) for key, mine in self._held.items() for name in mine if (key, name) not in seen]
        for key, name in gone:
            self.drop(key.namespace, key.name, name, int(version))
            self._changed(key)
        self._version = version

    async def _follow(self) -> None:
        query = {
            "labelSelector": LABEL_ROLLOUT,
            "resourceVersion": self._version,
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(random.randint(400, 600)),  # noqa: S311
        }
        async for kind, raw in self._api.watch(self._path, query, self._accept[1]):
            metadata = raw["metadata"]
            self._version = metadata["resourceVersion"]
            if kind == "BOOKMARK":
                continue
            key = Key(metadata.get("namespace", ""), (metadata.get("labels") or {}).get(LABEL_ROLLOUT, ""))
            if kind == "DELETED":
                self.drop(key.namespace, key.name, metadata["name"], _version(metadata))
            else:
                self.put(raw)
            self._changed(key)


def _version(metadata: Mapping[str, Any]) -> int:
    text = str(metadata.get("resourceVersion") or "0")
    return int(text) if text.isdigit() else 0
