"""The bench's own eyes: watches of its own, by which it knows when something has come about, to the millisecond."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING, Any

from podpin.adapters.kube.api import Expired
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
        self._version = ""
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

    async def watch(self) -> None:
        """Follow the objects until cancelled. The API server ends a watch whenever it likes: it is taken up again."""
        while True:
            query = {**self._query, "resourceVersion": self._version, "allowWatchBookmarks": "true"}
            try:
                async for kind, raw in await self._api.watch(self._path, query, self._accept):
                    self._version = raw["metadata"]["resourceVersion"]
                    if kind != "BOOKMARK":
                        self._see(raw, gone=kind == "DELETED")
            except Expired:
                await self.look()

    async def look(self) -> None:
        """See all that there is now."""
        page = await self._api.request("GET", self._path, query=self._query)
        self._version = page["metadata"]["resourceVersion"]
        gone = set(self.now) - {_key(raw) for raw in page["items"]}
        for raw in (*(self.now[key] for key in gone), *page["items"]):
            self._see(raw, gone=_key(raw) in gone)

    def _see(self, raw: Body, *, gone: bool) -> None:
        at = time.perf_counter()
        if gone:
            self.now.pop(_key(raw), None)
        else:
            self.now[_key(raw)] = raw
        for fits, future in self._waiting:
            if not future.done() and fits(raw):
                future.set_result(at)

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
    await made.look()
    watching = asyncio.ensure_future(made.watch())
    watching.add_done_callback(made.blind)
    try:
        yield made
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)


def _key(raw: Body) -> tuple[str, str]:
    return raw["metadata"].get("namespace", ""), raw["metadata"]["name"]
