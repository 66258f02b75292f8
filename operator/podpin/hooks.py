"""Webhooks: `POST /hook/<source>/<path>`, from registries that have something new.

A notice is a wake-up and nothing more: once it has proven itself, the poller is asked to look at what it names, and
learns from the registry what is there. Who cannot prove anything gets one answer, whatever is wrong. Nothing of a body
goes into the log, a status or an answer.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

import yaml
from aiohttp import web

from podpin.core import hooks
from podpin.core.hooks import NotUnderstood
from podpin.core.hooks.entry import Entry, EntryInvalid, entries_of, find
from podpin.errors import Invalid
from podpin.listening import listen

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from podpin.core.hooks import Notice

MOST_BYTES: Final = 256 * 1024
"""How long a body may be. GitHub's, with a manifest and all labels in it, are the longest, at some tens of KiB."""
MOST_BODIES: Final = 32
"""How many bodies are read at a time: of all that have proven themselves, and of each hook whose body is the proof."""
BODY_SECONDS: Final = 2.0
IDLE_SECONDS: Final = 15.0
"""How long a connection may wait for a request to begin, or for the next."""
LINGER_SECONDS: Final = 1.0
STOP_SECONDS: Final = 0.25
BURST: Final = 100
"""How many repositories that are followed one hook may name at once, and how many more each second."""
PER_SECOND: Final = 5.0
BURST_OF_ALL: Final = 400
PER_SECOND_OF_ALL: Final = 20.0
REREAD_SECONDS: Final = 1.0
"""How often at most it is looked whether the file of hooks has changed."""
QUIET_SECONDS: Final = 60.0
"""The same complaint is logged once in so long."""

log = logging.getLogger(__name__)


class Book:
    """The hooks in the administrator's file, read again when it has changed."""

    def __init__(self, file: str, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._file, self._monotonic = Path(file), monotonic
        self._seen = self._state()
        self._looked = monotonic()
        self._entries = self._read()

    def entries(self) -> tuple[Entry, ...]:
        """The hooks that are allowed now. A file that cannot be read any more leaves those from before."""
        now = self._monotonic()
        if now - self._looked >= REREAD_SECONDS:
            self._looked = now
            state = self._state()
            if state != self._seen:
                self._seen = state
                try:
                    self._entries = self._read()
                    log.info("%s has changed: %d hooks", self._file, len(self._entries))
                except Invalid as error:
                    log.error("%s The hooks from before stay as they were.", error)  # noqa: TRY400 -- a sentence
        return self._entries

    def _state(self) -> tuple[int, ...]:
        try:
            now = self._file.stat()
        except OSError:
            return ()
        return now.st_mtime_ns, now.st_size, now.st_ino

    def _read(self) -> tuple[Entry, ...]:
        # What a parser says of a file may quote it, and it holds secrets.
        try:
            return entries_of(yaml.safe_load(self._file.read_text()))
        except OSError as error:
            raise Invalid(f"The hooks in {self._file} can't be read: {error.strerror}. See --hook-secrets.") from None
        except (yaml.YAMLError, ValueError, RecursionError) as error:
            said = str(error) if isinstance(error, EntryInvalid) else "It is not YAML."
            raise Invalid(f"The hooks in {self._file} can't be used. {said}") from None


class Bucket:
    """A rate: so many at once, and so many more each second. Who takes more than there is goes into debt."""

    def __init__(self, burst: float, per_second: float, now: float) -> None:
        self._burst, self._per_second = burst, per_second
        self._left, self._at = burst, now

    def wait(self, now: float) -> float:
        """The seconds until something may be taken; 0 where there is no need to wait."""
        self._left = min(self._burst, self._left + (now - self._at) * self._per_second)
        self._at = now
        return max(0.0, (1 - self._left) / self._per_second)

    def take(self, count: int) -> None:
        """Take so many."""
        self._left -= count


class Leader(Protocol):
    """The podpin that looks, as seen from one that may stand by."""

    @property
    def leads(self) -> bool:
        """Whether it is this one."""

    async def hand_on(self, path: str, headers: Mapping[str, str], body: bytes) -> tuple[int, str] | None:
        """What it answers to a request, or None where it cannot be reached."""


class Hooks:
    """Answers notices. `look_at` asks for a look at what they are about, and says how many looks that takes.

    `leader` is the way to the podpin that looks, where this one may stand by; it is asked once a notice has proven
    itself.
    """

    def __init__(
        self,
        book: Book,
        look_at: Callable[[Collection[Notice]], int],
        leader: Leader | None = None,
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._book, self._look_at, self._leader, self._monotonic = book, look_at, leader, monotonic
        self._reading = asyncio.Semaphore(MOST_BODIES)
        self._all = Bucket(BURST_OF_ALL, PER_SECOND_OF_ALL, monotonic())
        self._places: dict[Entry, asyncio.Semaphore] = {}
        self._buckets: dict[Entry, Bucket] = {}
        self._complained: dict[tuple[Entry, str], float] = {}

    async def answer(self, request: web.Request) -> web.Response:
        """Answer one request, whatever it is."""
        entries = self._book.entries()
        entry = find(entries, request.match_info.get("source", ""), request.match_info.get("path", ""))
        if entry is None:
            return _unauthorized()
        headers = {name.lower(): value for name, value in request.headers.items()}
        if request.method == "OPTIONS" and entry.source.asks_first and not entry.by_body and entry.holds(headers, b""):
            # Who sends CloudEvents may ask whether it is allowed to: CloudEvents' HTTP webhooks 1.0, section 4.
            return web.Response(headers={"WebHook-Allowed-Origin": "*", "WebHook-Allowed-Rate": "*", "Allow": "POST"})
        if request.method != "POST":
            return _unauthorized()
        if not entry.by_body and not entry.holds(headers, b""):
            return self._refuse(entry)
        body = await self._body(request, self._unproven(entry) if entry.by_body else self._reading)
        if entry.by_body and not (isinstance(body, bytes) and entry.holds(headers, body)):
            return self._refuse(entry)
        if not isinstance(body, bytes):
            self._complain(entry, f"is longer than {MOST_BYTES} bytes, or took more than {BODY_SECONDS:.0f} s to come")
            return body
        if self._leader is not None and not self._leader.leads:
            return await self._hand_on(self._leader, entry, request, body)
        return self._take(entry, headers, body)

    async def _hand_on(self, leader: Leader, entry: Entry, request: web.Request, body: bytes) -> web.Response:
        """This podpin stands by: what the one that leads says is the answer."""
        answer = await leader.hand_on(request.rel_url.raw_path_qs, request.headers, body)
        if answer is None:
            self._complain(entry, "could not be handed on to the podpin that leads")
            text = "this podpin stands by, and the one that leads does not answer: ask again\n"
            return web.Response(status=503, text=text, headers={"Retry-After": "2"})
        return web.Response(status=answer[0], text=answer[1])

    def _unproven(self, entry: Entry) -> asyncio.Semaphore:
        """The places of a hook whose bodies have to be read before they prove anything: no other waits for them."""
        places = self._places.get(entry)
        if places is None:
            self._places = {known: old for known, old in self._places.items() if known in self._book.entries()}
            places = self._places[entry] = asyncio.Semaphore(MOST_BODIES)
        return places

    async def _body(self, request: web.Request, places: asyncio.Semaphore) -> bytes | web.Response:
        """The body, or what to say where it cannot be had."""
        if (request.content_length or 0) > MOST_BYTES:
            return web.Response(status=413, text="the body is too long\n")
        try:
            async with places, asyncio.timeout(BODY_SECONDS):
                return await request.read()
        except web.HTTPRequestEntityTooLarge:
            return web.Response(status=413, text="the body is too long\n")
        except (TimeoutError, web.PayloadAccessError, web.RequestPayloadError):
            return web.Response(status=408, text="the body did not come\n")

    def _take(self, entry: Entry, headers: dict[str, str], body: bytes) -> web.Response:
        """Do what a notice asks for that has proven itself."""
        try:
            notices = hooks.read(entry.source, headers, body)
        except NotUnderstood as error:
            self._complain(entry, f"was not understood: {error}")
            return web.Response(status=400, text=f"{error}\n")
        now = self._monotonic()
        bucket = self._buckets.get(entry)
        if bucket is None:
            self._buckets = {known: old for known, old in self._buckets.items() if known in self._book.entries()}
            bucket = self._buckets[entry] = Bucket(BURST, PER_SECOND, now)
        wait = max(bucket.wait(now), self._all.wait(now))
        if wait and notices:
            self._complain(entry, "came too soon after many others")
            return web.Response(status=429, text="too many\n", headers={"Retry-After": str(math.ceil(wait))})
        called = self._look_at(notices) if notices else 0
        if notices and not called:
            self._complain(entry, "names no repository that anybody follows")
        cost = min(called, len(notices))
        bucket.take(cost)
        self._all.take(cost)
        log.debug("a notice from %s names %d repositories: %d looks", entry.name, len(notices), called)
        return web.Response(status=202, text="accepted\n")

    def _refuse(self, entry: Entry) -> web.Response:
        self._complain(entry, f"was refused: its {entry.source.proof.sent} does not prove that it knows the secret")
        return _unauthorized()

    def _complain(self, entry: Entry, what: str) -> None:
        now = self._monotonic()
        if now - self._complained.get((entry, what), -math.inf) >= QUIET_SECONDS:
            self._complained = {key: at for key, at in self._complained.items() if now - at < QUIET_SECONDS}
            self._complained[entry, what] = now
            log.warning("a notice from %s %s", entry.name, what)


def _unauthorized() -> web.Response:
    """The one answer to all that is wrong."""
    return web.Response(status=401, text="unauthorized\n")


async def answer(
    address: str, book: Book, look_at: Callable[[Collection[Notice]], int], leader: Leader | None = None
) -> web.AppRunner:
    """Answer notices at HOST:PORT until the runner is cleaned up. Raises Invalid where that address cannot be had."""
    answering = Hooks(book, look_at, leader)
    app = web.Application(client_max_size=MOST_BYTES)
    app.router.add_route("*", "/hook/{source}/{path}", answering.answer)
    app.router.add_route("*", "/{anything:.*}", answering.answer)
    options = {
        "keepalive_timeout": IDLE_SECONDS,
        "lingering_time": LINGER_SECONDS,
        "shutdown_timeout": STOP_SECONDS,
        "auto_decompress": False,
    }
    return await listen(app, address, "webhooks", "--hook-address", options)
