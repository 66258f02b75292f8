"""Objects of the cluster that are looked at, once or for as long as somebody watches.

What the caller may not read is missing, and said to be; everything else is shown all the same.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Final, NamedTuple, Self

from podpin.adapters.kube.api import Body, Expired
from podpin.cli.cluster import Cluster
from podpin.errors import Denied, NotFound, PodpinError

PAUSE: Final = 1.0
"""How many seconds pass before a broken watch is begun anew."""
BREATH: Final = 0.2
"""How many seconds pass after a watch that has ended as it should."""


class Source(NamedTuple):
    """Some objects of the namespace."""

    what: str
    """What they are called in a sentence, as in `Pods`."""
    path: str
    query: Mapping[str, str]


class Followed:
    """The objects of some sources: as they are now after `look`, as they are at any time between enter and exit."""

    def __init__(self, cluster: Cluster, sources: Sequence[Source]) -> None:
        self._cluster, self._sources = cluster, sources
        self._held: dict[str, dict[str, Body]] = {source.what: {} for source in sources}
        self._tasks: list[asyncio.Task[None]] = []
        self._versions: dict[str, str] = {}
        self.refused: dict[str, str] = {}
        """By what may not be read: the API server's words."""
        self.trouble: dict[str, str] = {}
        """By what is not current: why."""
        self.changed = asyncio.Event()

    def of(self, what: str) -> list[Body]:
        """The objects of a source, by name."""
        return [body for _, body in sorted(self._held[what].items())]

    async def look(self) -> None:
        """Look at everything once. Raises what `Api.request` raises, except where reading is not allowed."""
        await asyncio.gather(*(self._list(source) for source in self._sources))

    async def __aenter__(self) -> Self:
        """Look, and go on watching."""
        await self.look()
        self._tasks = [asyncio.create_task(self._keep(source)) for source in self._sources]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End all watches."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def next(self, seconds: float | None) -> bool:
        """Wait until something has changed, for so long at the most; returns whether it has."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.changed.wait()
        told = self.changed.is_set()
        self.changed.clear()
        return told

    async def _list(self, source: Source) -> None:
        try:
            found, self._versions[source.what] = await self._cluster.list(source.path, source.query)
        except (Denied, NotFound) as error:
            self.refused[source.what] = str(error)
            return
        self.refused.pop(source.what, None)
        self._held[source.what] = {body["metadata"]["name"]: body for body in found}

    async def _keep(self, source: Source) -> None:
        while source.what not in self.refused:
            try:
                await self._watch(source)
                await asyncio.sleep(BREATH)  # the API server ends each watch at its time: no haste
            except Expired:
                self._versions.pop(source.what, None)
            except Denied as error:
                self.refused[source.what] = str(error)
            except PodpinError as error:
                self.trouble[source.what] = str(error)
                self._versions.pop(source.what, None)
                self.changed.set()
                await asyncio.sleep(PAUSE)

    async def _watch(self, source: Source) -> None:
        if source.what not in self._versions:
            await self._list(source)
            self.trouble.pop(source.what, None)
            self.changed.set()
        query = {**source.query, "resourceVersion": self._versions[source.what], "allowWatchBookmarks": "true"}
        async for kind, body in await self._cluster.api.watch(source.path, query):
            name = body["metadata"].get("name", "")
            self._versions[source.what] = body["metadata"]["resourceVersion"]
            if kind == "BOOKMARK":
                continue
            if kind == "DELETED":
                self._held[source.what].pop(name, None)
            else:
                self._held[source.what][name] = body
            self.changed.set()
