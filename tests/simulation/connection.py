"""podpin's line to the API server: requests that take time, fail or lose their answer, and watches that lag or break.

Everything that podpin writes passes here, so here it is counted, shown to the promises, and here podpin dies.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING, Any

from podpin.adapters.kube.api import JSON, Expired
from podpin.errors import Denied, Unavailable
from tests.simulation.api import place_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

    from tests.simulation.api import ApiServer, Json
    from tests.simulation.clockwork import Clockwork


class Crash(BaseException):
    """podpin dies here. No handler of podpin's may catch it."""


class Stream:
    """One open watch. While it is held back, its news waits; once it is broken, podpin has to list anew."""

    def __init__(self, api: ApiServer, collection: str, version: int) -> None:
        self._api, self._collection, self._version = api, collection, version
        self._news = asyncio.Event()
        self.broken = False
        self.held = False

    def wake(self) -> None:
        """There may be news."""
        self._news.set()

    async def events(self) -> AsyncIterator[tuple[str, Json]]:
        """What podpin hears."""
        while True:
            if self.broken:
                raise Expired("too old resource version")
            if not self.held:
                for version, kind, raw in self._api.since(self._collection, self._version):
                    if self.held or self.broken:
                        break
                    self._version = version
                    yield kind, raw
            self._news.clear()
            await self._news.wait()


class Connection:
    """What one podpin after the other sends to the API server; the shape of podpin's own `Api`."""

    def __init__(self, clock: Clockwork, api: ApiServer) -> None:
        self.clock, self.api = clock, api
        self.latency = 0.0
        """Seconds that each request takes, in which the world goes on."""
        self.down = False
        self.fails: Callable[[str], str | None] = lambda _: None
        """What becomes of a request to a collection: "refused", "denied", "lost" (done, but not answered), or None."""
        self.crash_after: int | None = None
        """After how many writes podpin dies."""
        self.dead = False
        """podpin has died: what was under way at the same time does not get here any more."""
        self.witness: Callable[[str, str, str, Any, Callable[[], Json]], Json] = lambda *args: args[-1]()
        """Sees each write: method, collection, name and body, and has it done."""
        self.held: set[str] = set()
        """The collections whose news is held back."""
        self.writes: list[str] = []
        self.asked: Counter[str] = Counter()
        self._streams: dict[str, Stream] = {}
        self.pod_events: Callable[[], list[Json]] = list
        api.heard.append(self._heard)

    def _heard(self, collection: str, kind: str, raw: Json) -> None:
        stream = self._streams.get(collection)
        if stream is not None and not stream.held:
            stream.wake()

    def hold(self, collection: str, *, held: bool) -> None:
        """Hold back the news of a collection, or let it come."""
        (self.held.add if held else self.held.discard)(collection)
        stream = self._streams.get(collection)
        if stream is not None:
            stream.held = held
            stream.wake()

    def cut(self, collection: str) -> None:
        """What has not been heard yet never will be: podpin lists anew."""
        stream = self._streams.get(collection)
        if stream is not None:
            stream.broken = True
            stream.wake()

    async def watch(self, path: str, query: Mapping[str, str], accept: str = JSON) -> AsyncIterator[tuple[str, Json]]:
        """Open a watch."""
        await asyncio.sleep(0)
        collection, _ = place_of(path)
        stream = self._streams[collection] = Stream(self.api, collection, int(query["resourceVersion"]))
        stream.held = collection in self.held
        return stream.events()

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Any = None,
        kind: str = JSON,
        accept: str = JSON,
    ) -> Json:
        """Answer one request."""
        await asyncio.sleep(0)
        if self.latency:
            self.clock.run_for(self.latency)
        if self.dead:
            raise Crash(path)
        collection, name = place_of(path)
        fault = "refused" if self.down else self.fails(collection)
        if fault == "refused":
            raise Unavailable("The API server does not answer.")
        if fault == "denied" and method != "GET":
            raise Denied("exceeded quota")
        if collection == "events":
            return {"items": self.pod_events()} if method == "GET" else {}
        if method == "GET":
            self.asked[collection] += 1
            return self.api.read(path, query or {})
        if query and "dryRun" in query:
            return self.api.write(method, path, query, body, kind)
        name = name or body["metadata"]["name"]
        answer = self.witness(
            method, collection, name, body, lambda: self.api.write(method, path, query or {}, body, kind)
        )
        self.writes.append(f"{collection} {name}")
        if self.crash_after is not None:
            self.crash_after -= 1
            if self.crash_after <= 0:
                self.crash_after, self.dead = None, True
                raise Crash(collection)
        if fault == "lost":
            raise Unavailable("The API server does not answer.")
        return answer
