"""Puts the parts together, runs them until somebody says stop, and takes them apart again.

Start: wait until the cluster lets podpin in, fill the mirrors, then let the workers at the queue; where several podpins
share a Lease (`leader.py`), only while this one holds it. Stop, on SIGTERM or SIGINT: no new work, the writes in hand
are finished, the Lease is given up, and the program ends within five seconds.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import os
import random
import secrets
import signal
import socket
import threading
from collections.abc import Coroutine, Iterator
from typing import TYPE_CHECKING, Any

from aiohttp.web import AppRunner

from podpin import __version__, clock, handlers, hooks, probes
from podpin.adapters.checks import CheckClient
from podpin.adapters.cloud.credentials import CloudCredentials
from podpin.adapters.kube import connection
from podpin.adapters.kube.api import METADATA_LIST, Api
from podpin.adapters.kube.cluster import Cluster
from podpin.adapters.kube.lease import Lease
from podpin.adapters.kube.mirror import Mirror
from podpin.adapters.registry.client import RegistryClient
from podpin.adapters.signatures import Verifier
from podpin.checking import Checking
from podpin.core import names
from podpin.core.kinds import KINDS
from podpin.core.names import Key
from podpin.errors import Conflict, Denied, NotFound, PodpinError, Unavailable
from podpin.forwarding import Forwarding
from podpin.leader import Leader
from podpin.observer import UNOBSERVED, Observer
from podpin.poller import Poller
from podpin.queue import WorkQueue
from podpin.reconcile import Reconciler, load_access
from podpin.rollouts import Rollouts
from podpin.settings import Settings

if TYPE_CHECKING:
    from podpin.metrics import Metrics

SWEEP_SECONDS = 600.0
"""How often the list of ImageRollouts is compared with what the watch has told."""
STOP_SECONDS = 4.0
"""How long work in hand may take to finish once podpin is told to stop."""
KOPF_SECONDS = 0.5
"""How long kopf then has to close its connections."""
BESIDE = 8
"""How many requests to the API server may be under way beside those of workers and watches."""
AGAIN_SECONDS = 60.0
"""After how long at most a rollout that the outside world stands in the way of is tried again: what an administrator
grants or mends shows within it."""
KNOCK_SECONDS = 5.0
"""How often podpin asks again to be let in."""

log = logging.getLogger(__name__)


async def serve(settings: Settings) -> None:
    """Serve ImageRollouts until SIGTERM or SIGINT.

    Raises Invalid where the settings name no usable cluster or address.
    """
    with _stop_signals() as stop:
        configuration = await connection.load(settings.kubeconfig, settings.context, _connections(settings))
        metrics = _metrics(settings)
        observe = (metrics or UNOBSERVED).asked_api
        async with contextlib.AsyncExitStack() as open_:
            leader: Leader | None = None
            if settings.leader_elect:
                # The Lease is asked for over connections of its own: it must not wait behind the work.
                beside = Api(configuration, observe=observe)
                open_.push_async_callback(beside.close)
                leader = _leader(settings, beside)
            api = Api(configuration, leader.left, observe) if leader else Api(configuration, observe=observe)
            podpin = Podpin(settings, api, stop, leader, metrics)
            open_.push_async_callback(podpin.close)
            await podpin.run(functools.partial(handlers.registry_of, configuration))


def _leader(settings: Settings, api: Api) -> Leader:
    """Who stands for election. Raises Invalid where nothing says in which namespace."""
    namespace, _, name = (settings.lease or names.lease_name(settings.selector.text)).rpartition("/")
    lease = Lease(api, namespace or connection.own_namespace(), name)
    return Leader(lease, settings.identity or f"{socket.gethostname()}_{secrets.token_hex(4)}")


def _metrics(settings: Settings) -> Metrics | None:
    if settings.metrics_address is None:
        return None
    from podpin.metrics import Metrics  # only now: who does not want it pays for none of it

    return Metrics()


def _connections(settings: Settings) -> int:
    """One for each worker, each watch of a mirror, and what is asked beside: credentials, events, the sweep."""
    watches = len(KINDS) + len(_CHILDREN) - 1
    return settings.workers + watches * max(1, len(settings.namespaces)) + BESIDE


@contextlib.contextmanager
def _stop_signals() -> Iterator[asyncio.Event]:
    """An event that SIGTERM and SIGINT set.

    A thread waits for them, out of kopf's reach: it takes the event loop's signal handlers for itself, and ends alone.
    """
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    signals = {signal.SIGTERM, signal.SIGINT}

    def wait() -> None:
        signal.sigwait(signals)
        with contextlib.suppress(RuntimeError):  # the loop is closed: podpin has ended by itself
            loop.call_soon_threadsafe(stop.set)

    before = signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    threading.Thread(target=wait, name="signals", daemon=True).start()
    try:
        yield stop
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class Podpin:
    """All parts of one running podpin."""

    def __init__(
        self,
        settings: Settings,
        api: Api,
        stop: asyncio.Event,
        leader: Leader | None = None,
        metrics: Metrics | None = None,
    ) -> None:
        self._settings, self._api, self._stop, self._leader, self._metrics = settings, api, stop, leader, metrics
        self._observer: Observer = metrics or UNOBSERVED
        self._queue = WorkQueue(observer=self._observer)
        self._rollouts = Rollouts(self._queue.add, settings.selector)
        self._cluster = Cluster(
            api,
            settings.namespaces,
            self._queue.add,
            functools.partial(self._queue.add, bulk=True),
            self._begin,
        )
        self._lender = CloudCredentials.by_environment(settings.cloud_credentials, os.environ, clock.now)
        self._registry = RegistryClient(
            insecure_hosts=settings.insecure_registries,
            reachable_hosts=settings.reachable_hosts,
            private_ranges=settings.private_ranges,
            trusted_realms=settings.trusted_realms,
            mirrors=settings.mirrors,
            lender=self._lender,
            observe=self._observer.asked_registry,
        )
        self._poller = Poller(
            self._registry,
            functools.partial(load_access, self._cluster),
            self._queue.add,
            verifier=Verifier(self._registry, settings.sigstore_trusted_root),
            # Who serves some namespaces only has no right to see nodes, which belong to none.
            load_platforms=None if settings.namespaces else self._cluster.platforms,
            clock=clock.now,
            min_interval=settings.min_interval.total_seconds(),
            mirrors=settings.mirrors,
            observer=self._observer,
        )
        self._check_client = CheckClient(
            reachable_hosts=settings.reachable_hosts, private_ranges=settings.private_ranges
        )
        self._checking = Checking(self._check_client, self._queue.add)
        self._reconciler = Reconciler(
            self._rollouts, self._cluster, self._poller, self._registry, self._checking, clock.now, self._observer
        )
        self._listed = asyncio.Event()
        self._parts: dict[asyncio.Task[None], str] = {}
        self._term: list[asyncio.Task[None]] = []
        """The work: it goes on while this podpin leads."""
        self._forwarding: Forwarding | None = None
        self._ended: str | None = None
        self._let_in: str | None = "podpin has not reached the API server yet"

    async def run(self, registry_of: handlers.RegistryOf) -> None:
        """Run until the stop event is set."""
        probing = await probes.answer(self._settings.health_address, lambda: self._ended, self._unready)
        selected = f", of those {self._settings.selector.text}" if self._settings.selector.text else ""
        served = ", ".join(self._settings.namespaces) or "all namespaces"
        log.info("podpin %s serves %s%s", __version__, served, selected)
        hooking: AppRunner | None = None
        scraping: AppRunner | None = None
        try:
            scraping = await self._answer_scrapes()
            hooking = await self._answer_hooks()
            await self._until_stopped(self._knock())
            if self._stop.is_set():
                return
            for mirror in self._cluster.mirrors:
                self._start("mirror", mirror.run())
            await self._until_stopped(self._mirrored())
            make = functools.partial(registry_of, self._rollouts, self._queue, self._gone)
            watch = self._start(
                "watch",
                handlers.watch_forever(
                    make, self._settings.namespaces, self._stop, self._listed, self._settings.selector.text
                ),
            )
            self._start("sweep", self._sweep_forever())
            election: asyncio.Task[None] | None = None
            if self._leader is None:
                self._begin_term()
            else:
                election = self._start("election", self._leader.run(self._begin_term, self._end_term))
            await self._stop.wait()
            log.info("stopping: finishing the work in hand")
            self._queue.stop()
            await self._finish()
            if self._leader is not None and election is not None:
                await self._step_down(self._leader, election)
            await asyncio.wait({watch}, timeout=KOPF_SECONDS)
        finally:
            for answering in (hooking, scraping):
                if answering:
                    await answering.cleanup()
            await probing.cleanup()

    def _begin_term(self) -> None:
        """Let the work begin."""
        workers = [self._start("worker", self._work()) for _ in range(self._settings.workers)]
        self._term = [self._start("poller", self._poller.run()), *workers]

    async def _end_term(self) -> None:
        """End the work at once, and forget what it has learned: before the next term somebody else may have worked."""
        term, self._term = self._term, []
        for task in term:
            task.cancel()
        await asyncio.gather(*term, return_exceptions=True)
        for key in self._rollouts:
            self._reconciler.forget(key)
            self._queue.add(key, bulk=True)

    async def _finish(self) -> None:
        """Let the work in hand be finished; the queue hands out no more."""
        if workers := self._term[1:]:
            _, unfinished = await asyncio.wait(workers, timeout=STOP_SECONDS)
            if unfinished:
                log.warning("%d rollouts were still worked on; their next look will go on from there", len(unfinished))

    async def _step_down(self, leader: Leader, election: asyncio.Task[None]) -> None:
        """Let somebody else lead, once nothing of the work is left that could write."""
        await self._flush()
        for task in (election, *self._term):
            task.cancel()
        await asyncio.gather(election, *self._term, return_exceptions=True)
        await leader.release()

    async def _flush(self) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._cluster.flush(), timeout=0.5)

    async def _answer_hooks(self) -> AppRunner | None:
        """Answer webhooks, if the settings say where and which."""
        address, file = self._settings.hook_address, self._settings.hook_secrets
        if not address or not file:
            return None
        book = hooks.Book(file)
        if self._leader is not None:
            port = int(address.rpartition(":")[2])
            self._forwarding = Forwarding(self._leader, self._api, self._leader.namespace, port)
        answering = await hooks.answer(address, book, self._poller.look_at, self._forwarding)
        log.info("webhooks are answered at %s; how many are allowed: %d", address, len(book.entries()))
        return answering

    async def _answer_scrapes(self) -> AppRunner | None:
        """Answer Prometheus, if the settings say where."""
        address, measured = self._settings.metrics_address, self._metrics
        if not address or measured is None:
            return None
        from podpin import metrics

        measured.watch(
            metrics.Sources(
                leads=lambda: bool(self._term),
                depth=self._queue.__len__,
                working=self._queue.working,
                workers=self._settings.workers,
                headlines=self._rollouts.headlines,
                ages=self._poller.ages,
            )
        )
        return await metrics.answer(address, measured)

    async def close(self) -> None:
        """End whatever still runs, and close all connections."""
        await self._flush()
        for task in self._parts:
            task.cancel()
        await asyncio.gather(*self._parts, return_exceptions=True)
        if self._forwarding is not None:
            await self._forwarding.close()
        await self._checking.close()
        await self._check_client.close()
        await self._registry.close()
        await self._lender.close()
        await self._api.close()

    def _start(self, part: str, work: Coroutine[object, object, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._parts[task] = part
        task.add_done_callback(self._watch_over)
        return task

    def _begin(self, mirror: Mirror[Any]) -> None:
        self._start("mirror", mirror.run())

    def _watch_over(self, task: asyncio.Task[None]) -> None:
        """No part may end unnoticed: the liveness probe fails, and the kubelet starts podpin anew."""
        part = self._parts.pop(task)
        if self._stop.is_set() or task.cancelled():
            return
        error = task.exception()
        self._ended = f"podpin's {part} has ended: {error!r}"
        log.error("%s", self._ended, exc_info=error)

    async def _until_stopped(self, work: Coroutine[object, object, None]) -> None:
        """Do something, or give it up when podpin is told to stop."""
        tasks = {asyncio.ensure_future(work), asyncio.ensure_future(self._stop.wait())}
        done, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in pending:
            task.cancel()
        for task in done:
            task.result()

    async def _knock(self) -> None:
        """Wait until the API server answers, knows ImageRollouts, and lets podpin read them and their children."""
        while (lacking := await self._lacking()) is not None:
            if lacking != self._let_in:
                log.warning("%s Trying again every %.0f s.", lacking, KNOCK_SECONDS)
            self._let_in = lacking
            await asyncio.sleep(KNOCK_SECONDS)
        self._let_in = None

    async def _lacking(self) -> str | None:
        for namespace in self._settings.namespaces or ("",):
            where = f"/namespaces/{namespace}" if namespace else ""
            for group, resource in ((f"apis/{names.API_VERSION}", names.PLURAL), *_CHILDREN):
                try:
                    await self._api.request(
                        "GET", f"/{group}{where}/{resource}", query={"limit": "1"}, accept=METADATA_LIST
                    )
                except Denied as error:
                    place = f" in namespace {namespace}" if namespace else ""
                    return f"podpin may not read {resource}{place}: {error}. Apply manifests/rbac.yaml."
                except NotFound:
                    return "The cluster does not know ImageRollouts. Apply crds/imagerollouts.podpin.dev.yaml."
                except PodpinError as error:
                    return str(error)
        return None

    async def _mirrored(self) -> None:
        await asyncio.gather(*(mirror.synced.wait() for mirror in self._cluster.mirrors))

    def _unready(self) -> str | None:
        if self._let_in or self._ended:
            return self._let_in or self._ended
        if not all(mirror.synced.is_set() for mirror in self._cluster.mirrors) or not self._listed.is_set():
            return "podpin is still reading the cluster"
        if self._leader is not None and self._leader.trouble:
            return self._leader.trouble
        return next((mirror.trouble for mirror in self._cluster.mirrors if mirror.trouble), None)

    # --- work

    async def _work(self) -> None:
        turns = asyncio.get_running_loop()
        while (key := await self._queue.get()) is not None:
            begun, result = turns.time(), "error"
            try:
                wait = await self._reconciler.reconcile(key)
            except Conflict as error:
                result = "requeue"
                log.debug("%s: %s", key, error)
                self._queue.failed(key)
            except NotFound as error:
                result = "requeue"
                await self._check(key)
                log.debug("%s: %s", key, error)
                self._queue.failed(key)
            except PodpinError as error:
                at_least = error.retry_after or 0.0 if isinstance(error, Unavailable) else 0.0
                pause = self._queue.failed(key, at_least, AGAIN_SECONDS)
                log.log(logging.WARNING if pause > 1.0 else logging.INFO, "%s: %s", key, error)
            except Exception:
                result = "panic"
                log.exception("%s: podpin has a bug; trying again", key)
                self._queue.failed(key, 1.0)
                await self._confess(key)
            else:
                result = "success" if wait is None else "requeue_after"
                self._queue.succeeded(key)
                if wait is not None:
                    self._queue.add_later(key, wait.total_seconds())
            finally:
                self._observer.reconciled(result, turns.time() - begun)
                self._queue.done(key)

    async def _confess(self, key: Key) -> None:
        try:
            await self._reconciler.confess(key)
        except Exception as error:
            log.warning("%s: that podpin has a bug could not be told: %s: %s", key, type(error).__name__, error)

    def _gone(self, key: Key) -> None:
        self._reconciler.forget(key)
        self._queue.forget(key)

    async def _check(self, key: Key) -> None:
        """A write found nothing: the rollout may be gone without the watch having told."""
        try:
            body = await self._api.request(
                "GET", f"/apis/{names.API_VERSION}/namespaces/{key.namespace}/{names.PLURAL}/{key.name}"
            )
        except NotFound:
            if self._rollouts.drop(key):
                self._gone(key)
        except PodpinError as error:
            log.info("%s: %s", key, error)
        else:
            self._rollouts.put(body)

    async def _sweep_forever(self) -> None:
        await self._listed.wait()
        while True:
            if self._leader is not None:
                self._watch_kinds()
            await asyncio.sleep(SWEEP_SECONDS * random.uniform(0.8, 1.2))  # noqa: S311
            try:
                await self._sweep()
            except PodpinError as error:
                log.warning("the list of ImageRollouts could not be compared: %s", error)

    def _watch_kinds(self) -> None:
        """Begin to watch the workloads of all kinds that are adopted: a standby has nobody who asks for them."""
        for key in self._rollouts:
            target = ((self._rollouts.get(key) or {}).get("spec") or {}).get("targetRef") or {}
            if target.get("kind") in KINDS:
                self._cluster.blind(key, target["kind"])

    async def _sweep(self) -> None:
        """Find what the watch has missed: rollouts that are gone, new or newer."""
        listed: set[Key] = set()
        for namespace in self._settings.namespaces or ("",):
            where = f"/namespaces/{namespace}" if namespace else ""
            query = {"limit": "500"}
            if self._settings.selector.text:
                query["labelSelector"] = self._settings.selector.text
            while True:
                page = await self._api.request(
                    "GET", f"/apis/{names.API_VERSION}{where}/{names.PLURAL}", query=query, accept=METADATA_LIST
                )
                for item in page.get("items") or ():
                    key = Key(item["metadata"]["namespace"], item["metadata"]["name"])
                    listed.add(key)
                    if (self._rollouts.version(key) or 0) < int(item["metadata"]["resourceVersion"]):
                        await self._check(key)
                        self._queue.add(key, bulk=True)
                if not page["metadata"].get("continue"):
                    break
                query["continue"] = page["metadata"]["continue"]
        missed = [key for key in self._rollouts if key not in listed and key.namespace]
        for key in missed:
            await self._check(key)
        if missed:
            log.info("the watch had missed %d deletions", len(missed))


_CHILDREN = (("apis/apps/v1", "deployments"), ("apis/apps/v1", "controllerrevisions"), ("api/v1", "pods"))
