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
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from typing import Any, Generic, TypeVar

from podpin.adapters.kube.api import JSON, METADATA_LIST, METADATA_ONLY, Api, Expired
from podpin.core.names import LABEL_ROLLOUT, Key, rollout_of
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
        listed: Callable[[Key], None] | None = None,
        metadata_only: bool = False,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._api, self._path, self._project, self._changed, self._pause = api, path, project, changed, pause
        self._listed = listed or changed
        """Told of what a list has shown, which is all at once; `changed` is told of live news."""
        self._accept = (METADATA_LIST, METADATA_ONLY) if metadata_only else (JSON, JSON)
        self._held: dict[Key, dict[str, tuple[int, T]]] = {}
        self._homes: dict[tuple[str, str], str] = {}
        """By an object's namespace and name, the rollout under which it is held: labels can be changed."""
        self._version = ""
        self._heard = False
        self.synced = asyncio.Event()
        self.trouble: str | None = None
        """Why the copy is not current, in a sentence, or None."""

    def of(self, key: Key) -> Iterator[T]:
        """The projections of a rollout's objects."""
        return (value for _, value in self._held.get(key, {}).values())

    def named(self, key: Key, name: str) -> T | None:
        """The projection of the rollout's object of this name, or None."""
        held = self._held.get(key, {}).get(name)
        return held[1] if held else None

    def put(self, raw: Mapping[str, Any]) -> T | None:
        """Take in what podpin's own write has made of an object, and return its projection.

        A newer state that is known stands. So does the object's absence, if the watch has come past this state already:
        it is gone again by now.
        """
        metadata, value = raw["metadata"], self._read(raw)
        known = (metadata.get("namespace", ""), metadata["name"]) in self._homes
        if known or _number(self._version) < _version(metadata):
            self._take(raw, value)
        return value

    def _read(self, raw: Mapping[str, Any]) -> T | None:
        """The projection; nothing where it stumbles: one stranger's object must not take all others along."""
        try:
            return self._project(raw)
        except Exception:
            log.exception("cannot read %s of %s", raw["metadata"].get("name"), self._path)
            return None

    def renew(self, key: Key, raws: Iterable[Mapping[str, Any]], version: str) -> None:
        """Take in all of a rollout's objects as a list of this version shows them, whatever the watch has told."""
        listed = {str(raw["metadata"]["name"]): raw for raw in raws}
        for raw in listed.values():
            self.put(raw)
        for name in [name for name in self._held.get(key, {}) if name not in listed]:
            self.drop(key.namespace, name, _number(version))

    def drop(self, namespace: str, name: str, version: int | None = None) -> Key | None:
        """Forget an object, unless a newer state of it is known; returns the rollout that it was held under."""
        rollout = self._homes.get((namespace, name))
        if rollout is None:
            return None
        key = Key(namespace, rollout)
        if version is not None and self._held[key][name][0] > version:
            return None
        del self._homes[namespace, name], self._held[key][name]
        if not self._held[key]:
            del self._held[key]
        return key

    def _take(self, raw: Mapping[str, Any], value: T | None) -> set[Key]:
        """Take in a state of an object, unless a newer one is known; returns the rollouts that it is and was of."""
        metadata, version = raw["metadata"], _version(raw["metadata"])
        namespace, name = metadata.get("namespace", ""), metadata["name"]
        rollout, home = rollout_of(metadata.get("labels") or {}), self._homes.get((namespace, name))
        touched = {Key(namespace, each) for each in (rollout, home) if each}
        if home is not None and self._held[Key(namespace, home)][name][0] > version:
            return touched
        self.drop(namespace, name)
        if rollout and value is not None:
            self._homes[namespace, name] = rollout
            self._held.setdefault(Key(namespace, rollout), {})[name] = (version, value)
        return touched

    async def run(self) -> None:
        """Keep the copy current until cancelled."""
        failures = ends = 0
        while True:
            self._heard, error = False, None
            try:
                if not self._version:
                    await self._list()
                    self.synced.set()
                await self._follow()
            except Expired:
                self._version = ""
            except PodpinError as caught:
                error = caught
            if self._heard:
                failures = ends = 0
            if error is not None:
                failures += 1
                wait = _backoff(failures, error)
                self.trouble = f"podpin can't watch {self._path.rpartition('/')[2]}: {error}"
                log.warning("%s Trying again in %.0f s.", self.trouble, wait)
                await self._pause(wait)
            else:
                ends += 1
                if ends > 2:  # watch after watch that tells nothing: something ends them, so do not run in circles
                    await self._pause(_backoff(ends - 2, None))

    async def _list(self) -> None:
        query = {"labelSelector": LABEL_ROLLOUT, "limit": PAGE}
        seen: set[tuple[str, str]] = set()
        while True:
            page = await self._api.request("GET", self._path, query=query, accept=self._accept[0])
            for raw in page.get("items") or ():
                seen.add((raw["metadata"].get("namespace", ""), raw["metadata"]["name"]))
                _tell(self._listed, self._take(raw, self._read(raw)))
            if not page["metadata"].get("continue"):
                break
            query["continue"] = page["metadata"]["continue"]
        version = page["metadata"]["resourceVersion"]
        for namespace, name in [each for each in self._homes if each not in seen]:
            _tell(self._listed, {self.drop(namespace, name, _number(version))})
        self._version = version

    async def _follow(self) -> None:
        query = {
            "labelSelector": LABEL_ROLLOUT,
            "resourceVersion": self._version,
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(random.randint(400, 600)),  # noqa: S311
        }
        events = await self._api.watch(self._path, query, self._accept[1])
        self.trouble = None
        async for kind, raw in events:
            metadata, self._heard = raw["metadata"], True
            self._version = metadata["resourceVersion"]
            if kind == "BOOKMARK":
                continue
            if kind == "DELETED":
                _tell(self._changed, {self.drop(metadata.get("namespace", ""), metadata["name"], _version(metadata))})
            else:
                _tell(self._changed, self._take(raw, self._read(raw)))


def _tell(whom: Callable[[Key], None], keys: Iterable[Key | None]) -> None:
    for key in keys:
        if key is not None:
            whom(key)


def _backoff(failures: int, error: PodpinError | None) -> float:
    """A growing wait, a little off by chance, and at least what the API server asks for, within reason."""
    wait = min(LONGEST_WAIT, 0.5 * 2.0 ** min(failures, 10)) * random.uniform(0.5, 1.0)  # noqa: S311
    asked = error.retry_after if isinstance(error, Unavailable) else None
    return wait if asked is None else max(wait, min(asked, LONGEST_WAIT))


def _version(metadata: Mapping[str, Any]) -> int:
    return _number(metadata.get("resourceVersion"))


def _number(version: object) -> int:
    text = str(version or "0")
    return int(text) if text.isdigit() else 0
