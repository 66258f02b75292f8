"""The bench's own eyes: watches of its own, by which it knows when something has come about, to the millisecond."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING, Any

from tests.bench.figures import CannotMeasureError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from podpin.adapters.kube.api import Api

Body = dict[str, Any]


class Eye:
    """Keeps the newest state of some objects, and tells when it first met what somebody waits for."""

    def __init__(self, api: Api, path: str, query: dict[str, str], accept: str) -> None:
        self._api, self._path, self._query, self._accept = api, path, query, accept
        self._waiting: list[tuple[Callable[[Body], bool], asyncio.Future[float]]] = []
        self._trouble: str | None = None
        self.now: dict[tuple[str, str], Body] = {}

    async def first(self, fits: Callable[[Body], bool], patience: float, what: str) -> float:
        """When an object was first seen, from now on, that fits. `fits` sees each change of any object once."""
        if self._trouble:
            raise CannotMeasureError(self._trouble)
        future: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        entry = (fits, future)
        self._waiting.append(entry)
        try:
            return await asyncio.wait_for(future, patience)
        except TimeoutError:
            raise CannotMeasureError(f"After {patience:.0f} s there was still no sign of {what}.") from None
        finally:
            self._waiting.remove(entry)

    async def until(self, holds: Callable[[], bool], patience: float, what: str) -> float:
        """When it first held of all objects together; at once, if it holds already."""
        if holds():
            return time.perf_counter()
        return await self.first(lambda _: holds(), patience, what)

    async def watch(self, version: str) -> None:
        """Follow the objects from a resource version on, until cancelled."""
        query = {**self._query, "resourceVersion": version, "allowWatchBookmarks": "true", "timeoutSeconds": "3600"}
        async for kind, raw in await self._api.watch(self._path, query, self._accept):
            if kind == "BOOKMARK":
                continue
            at, key = time.perf_counter(), (raw["metadata"].get("namespace", ""), raw["metadata"]["name"])
            if kind == "DELETED":
                self.now.pop(key, None)
            else:
                self.now[key] = raw
            for fits, future in self._waiting:
                if not future.done() and fits(raw):
                    future.set_result(at)
        raise CannotMeasureError("the API server has ended it.")

    def blind(self, watching: asyncio.Task[None]) -> None:
        """The watch has ended: nobody need wait any longer."""
        if watching.cancelled():
            return
        self._trouble = f"The bench's own watch of {self._path} failed: {watching.exception()!r}"
        for _, future in self._waiting:
            if not future.done():
                future.set_exception(CannotMeasureError(self._trouble))


@contextlib.asynccontextmanager
async def eye(api: Api, path: str, *, accept: str = "application/json", **query: str) -> AsyncIterator[Eye]:
    """An eye on the objects under a path; those that are there already have been seen."""
    made = Eye(api, path, query, accept)
    page = await api.request("GET", path, query=query)
    for raw in page["items"]:
        made.now[raw["metadata"].get("namespace", ""), raw["metadata"]["name"]] = raw
    watching = asyncio.ensure_future(made.watch(page["metadata"]["resourceVersion"]))
    watching.add_done_callback(made.blind)
    try:
        yield made
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
