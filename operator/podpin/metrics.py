"""What podpin counts, and /metrics, where Prometheus reads it.

Whatever happens is counted as the parts tell of it (`observer`). What is the case, such as how many rollouts are
rejected, is added up when somebody asks, from what podpin has in memory: a scrape costs the API server and the
registries nothing. The names of the queue's and the workers' metrics are those of controller-runtime, so that
dashboards for other operators show this one too. docs/metrics.md explains each.

No label tells of a single rollout, and none can have values without end: strangers choose hosts and reasons.
"""

from __future__ import annotations

import time
from collections import Counter as Tally
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import prometheus_client
from aiohttp import web
from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4, CollectorRegistry, Counter, Histogram, ProcessCollector
from prometheus_client.core import GaugeMetricFamily

from podpin import __version__
from podpin.core.happenings import ASKED_BACK
from podpin.core.headline import Headline
from podpin.core.names import FIELD_MANAGER, PLURAL, Key
from podpin.core.release import REJECTED, STABLE
from podpin.listening import listen
from podpin.observer import Observer

MOST_HOSTS: Final = 32
"""How many registries' hosts are told apart; those that come later are counted as one."""
MOST_REASONS: Final = 128
"""How many reasons are told apart: more than podpin has, but a status is not podpin's alone to write."""
MOST_PUSHES: Final = 256
"""For how many digests it is remembered when a registry told of their push."""
OTHER: Final = "other"
FRESH: Final = 0.5
"""For how many seconds what was shown is shown again."""

QUICK: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
SLOW: Final = (5.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1200.0, 3600.0, 7200.0, 21600.0, 86400.0)
"""Bounds of histograms, in seconds: of what podpin does, and of what its users' Pods do."""

_VERBS: Final = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete", "WATCH": "watch"}
_NAMED: Final = frozenset({401, 403, 404, 429})


@dataclass(frozen=True, slots=True)
class Sources:
    """What is read at a scrape: all of it is in memory, and none of it waits for anybody."""

    leads: Callable[[], bool]
    """Whether this podpin works. One that stands by knows of the same rollouts, and would have them counted twice."""
    depth: Callable[[], int]
    """How many rollouts are on the queue."""
    working: Callable[[], Sequence[float]]
    """For how many seconds each worker has been at its rollout."""
    workers: int
    headlines: Callable[[], Iterable[Headline]]
    """What is said of each rollout."""
    ages: Callable[[], dict[str, tuple[float, float]]]
    """By host, the age of the oldest of its repositories' newest looks, and by how much the latest of them is late."""


class Bounded:
    """Label values of which the first so many keep their own names."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._known: set[str] = set()

    def __call__(self, value: str) -> str:
        """The value, or what stands for all that came too late."""
        if value in self._known:
            return value
        if len(self._known) >= self._most:
            return OTHER
        self._known.add(value)
        return value


class Metrics(Observer):
    """All of podpin's metrics, in a registry of their own. `monotonic` gives seconds."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call] # when a series began costs one more for each
        self.registry = CollectorRegistry(auto_describe=True)
        ProcessCollector(registry=self.registry)
        self._monotonic = monotonic
        self._host, self._reason = Bounded(MOST_HOSTS), Bounded(MOST_REASONS)
        self._queued: dict[Key, float] = {}
        self._shown: tuple[float, bytes] | None = None
        self._pushes: OrderedDict[str, tuple[float, set[Key]]] = OrderedDict()

        def counter(name: str, what: str, *labels: str) -> Counter:
            return Counter(name, what, labels, registry=self.registry)

        def histogram(name: str, what: str, *labels: str, buckets: Sequence[float] = QUICK) -> Histogram:
            return Histogram(name, what, labels, buckets=buckets, registry=self.registry)

        queue, controller = {"name": PLURAL, "controller": PLURAL}, {"controller": PLURAL}
        self._adds = counter("workqueue_adds_total", "Times that a rollout was put on the queue.", *queue).labels(
            **queue
        )
        self._retries = counter(
            "workqueue_retries_total",
            "Times that a rollout was to come back later, after a failure or when something was due.",
            *queue,
        ).labels(**queue)
        self._waited = histogram(
            "workqueue_queue_duration_seconds", "How long a rollout was on the queue before a worker took it.", *queue
        ).labels(**queue)
        self._worked = histogram("workqueue_work_duration_seconds", "How long a worker had a rollout.", *queue).labels(
            **queue
        )
        self._reconciles = counter(
            "controller_runtime_reconcile_total", "Turns of rollouts, by how they ended.", "controller", "result"
        )
        self._errors = counter(
            "controller_runtime_reconcile_errors_total", "Turns that ended in an error.", "controller"
        ).labels(**controller)
        self._panics = counter(
            "controller_runtime_reconcile_panics_total", "Turns that ended in a bug of podpin's.", "controller"
        ).labels(**controller)
        self._turns = histogram(
            "controller_runtime_reconcile_time_seconds", "How long a rollout's turn took.", "controller"
        ).labels(**controller)
        for result in ("success", "requeue_after", "requeue", "error"):
            self._reconciles.labels(**controller, result=result)

        self._choices = counter("podpin_choices_total", "Times that a policy chose another version.", "policy")
        self._resolutions = counter(
            "podpin_resolutions_total", "Answers of looks at repositories: Resolved, or why not.", "result"
        )
        self._trials = counter("podpin_rollouts_total", "Trials of releases that are over.", "result", "reason")
        self._lasted = histogram(
            "podpin_rollout_duration_seconds", "From a release's start to the end of its trial.", "result", buckets=SLOW
        )
        self._rollbacks = counter(
            "podpin_rollbacks_total", "Times that a rollout went back, by what had failed.", "result", "reason"
        )
        # What is there at 0 from the start shows the first time in a sum: a series that begins at 1 has not increased.
        for result in ("applied", "refused"):
            self._rollbacks.labels(result, ASKED_BACK)
        for result, reason in ((STABLE, "RolledOut"), (REJECTED, ASKED_BACK), ("Superseded", "Superseded")):
            self._trials.labels(result, reason)
        self._to_rollback = histogram(
            "podpin_evidence_to_rollback_seconds",
            "From when a rollout was queued for the look that found its release to fail, to its stable one applied.",
        )
        self._to_pinned = histogram(
            "podpin_push_to_pinned_seconds",
            "From a registry's notice of a push to its digest in the workload, where nothing held it back.",
        )
        self._registry_requests = counter(
            "podpin_registry_requests_total", "Requests to registries and their token servers.", "host", "code"
        )
        self._registry_seconds = histogram(
            "podpin_registry_request_duration_seconds", "How long their answers took.", "host"
        )
        self._api_requests = counter(
            "podpin_api_requests_total", "Requests to the API server.", "verb", "resource", "code"
        )

    def shown(self) -> bytes:
        """All of it in Prometheus's text format, as it is now, or was a moment ago: nobody is to keep podpin busy."""
        now = self._monotonic()
        if self._shown is None or now - self._shown[0] >= FRESH:
            self._shown = (now, prometheus_client.generate_latest(self.registry))
        return self._shown[1]

    def watch(self, sources: Sources) -> None:
        """From now on read these at each scrape."""
        self.registry.register(_Standing(sources, self._host, self._reason))

    # --- the queue

    def added(self) -> None:
        """Count it."""
        self._adds.inc()

    def put_off(self) -> None:
        """Count it."""
        self._retries.inc()

    def taken(self, key: Key, waited: float) -> None:
        """Observe its wait, and remember since when news of this rollout has been known."""
        self._queued[key] = self._monotonic() - waited
        self._waited.observe(waited)

    def given_back(self, key: Key, worked: float) -> None:
        """Observe how long it was worked on."""
        self._queued.pop(key, None)
        self._worked.observe(worked)

    def reconciled(self, result: str, seconds: float) -> None:
        """Count the turn; a panic is an error too."""
        if result == "panic":
            self._panics.inc()
            result = "error"
        if result == "error":
            self._errors.inc()
        self._reconciles.labels(PLURAL, result).inc()
        self._turns.observe(seconds)

    # --- the poller

    def resolved(self, reason: str) -> None:
        """Count it by its reason."""
        self._resolutions.labels(self._reason(reason)).inc()

    def noticed(self, digest: str, since: float) -> None:
        """Remember it, until the digest is applied."""
        if digest not in self._pushes:
            self._pushes[digest] = (since, set())
            if len(self._pushes) > MOST_PUSHES:
                self._pushes.popitem(last=False)

    # --- the rollouts

    def chosen(self, policy: str) -> None:
        """Count it by its policy."""
        self._choices.labels(policy).inc()

    def applied(self, key: Key, digests: Iterable[str]) -> None:
        """Observe how long it took from a notice to here, once for each rollout."""
        for digest in digests:
            since, counted = self._pushes.get(digest, (0.0, None))
            if counted is not None and key not in counted:
                counted.add(key)
                self._to_pinned.observe(self._monotonic() - since)

    def ended(self, result: str, reason: str, seconds: float) -> None:
        """Count it, and observe how long it lasted."""
        self._trials.labels(result, self._reason(reason)).inc()
        self._lasted.labels(result).observe(seconds)

    def rolled_back(self, key: Key, reason: str, result: str, *, judged: bool) -> None:
        """Count it, and observe how long it took where this turn has passed the verdict."""
        self._rollbacks.labels(result, self._reason(reason)).inc()
        since = self._queued.get(key)
        if judged and result == "applied" and since is not None:
            self._to_rollback.observe(self._monotonic() - since)

    # --- the outside world

    def asked_registry(self, host: str, status: int | None, seconds: float) -> None:
        """Count it by its host, and observe how long it took."""
        host = self._host(host)
        self._registry_requests.labels(host, _class_of(status)).inc()
        self._registry_seconds.labels(host).observe(seconds)

    def asked_api(self, verb: str, path: str, status: int | None) -> None:
        """Count it by what it was about."""
        resource, is_one = _resource_of(path)
        verb = _VERBS.get(verb, "get" if is_one else "list")
        self._api_requests.labels(verb, resource, str(status or "none")).inc()


class _Standing:
    """What is the case at the moment of a scrape."""

    def __init__(self, sources: Sources, host: Bounded, reason: Bounded) -> None:
        self._sources, self._host, self._reason = sources, host, reason

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """All gauges, as they are now."""
        leads = self._sources.leads()
        yield _gauge("leader_election_master_status", "Whether this podpin works.", "name", {FIELD_MANAGER: int(leads)})
        yield from self._of_queue(self._sources.depth() if leads else 0)
        yield from self._of_rollouts(self._sources.headlines() if leads else ())
        yield from self._of_looks()
        yield _gauge("podpin_build_info", "Which podpin this is.", "version", {__version__: 1})

    def _of_queue(self, depth: int) -> Iterator[GaugeMetricFamily]:
        working, labels = self._sources.working(), ("name", "controller")
        for name, what, value in (
            ("workqueue_depth", "How many rollouts are on the queue.", depth),
            (
                "workqueue_unfinished_work_seconds",
                "Seconds of work that are not done yet, of all workers.",
                sum(working),
            ),
            (
                "workqueue_longest_running_processor_seconds",
                "How long the slowest worker has been at its rollout.",
                max(working, default=0),
            ),
        ):
            gauge = GaugeMetricFamily(name, what, labels=labels)
            gauge.add_metric((PLURAL, PLURAL), value)
            yield gauge
        yield _gauge(
            "controller_runtime_active_workers",
            "How many workers have a rollout.",
            "controller",
            {PLURAL: len(working)},
        )
        yield _gauge(
            "controller_runtime_max_concurrent_reconciles",
            "How many workers there are.",
            "controller",
            {PLURAL: self._sources.workers},
        )

    def _of_rollouts(self, headlines: Iterable[Headline]) -> Iterator[GaugeMetricFamily]:
        counts = Tally(headlines)
        ready, unresolved, held = Tally[tuple[str, str]](), Tally[str](), Tally[str]()
        rejected = 0
        for one, count in counts.items():
            ready[one.ready, self._reason(one.reason)] += count
            if one.unresolved is not None:
                unresolved[self._reason(one.unresolved)] += count
            if one.held is not None:
                held[self._reason(one.held)] += count
            rejected += count * one.rejected
        gauge = GaugeMetricFamily(
            "podpin_imagerollouts", "ImageRollouts by their condition Ready.", labels=("ready", "reason")
        )
        for labels, count in ready.items():
            gauge.add_metric(labels, count)
        yield gauge
        yield _gauge(
            "podpin_imagerollouts_unresolved", "ImageRollouts without a version, by why.", "reason", unresolved
        )
        yield _gauge("podpin_imagerollouts_held", "ImageRollouts whose wanted release waits, by why.", "reason", held)
        yield GaugeMetricFamily(
            "podpin_imagerollouts_rejected", "ImageRollouts whose newest trial ended in a rejection.", value=rejected
        )

    def _of_looks(self) -> Iterator[GaugeMetricFamily]:
        oldest: dict[str, float] = {}
        latest: dict[str, float] = {}
        for name, (age, late) in self._sources.ages().items():
            host = self._host(name)
            oldest[host], latest[host] = max(age, oldest.get(host, 0.0)), max(late, latest.get(host, 0.0))
        what = "Since when the registry has had no answer to a look at one of its repositories, at the most."
        yield _gauge("podpin_look_age_seconds", what, "host", oldest)
        what = "How much longer than their interval that is, at the most."
        yield _gauge("podpin_look_overdue_seconds", what, "host", latest)


def _gauge(name: str, what: str, label: str, values: dict[str, float] | dict[str, int]) -> GaugeMetricFamily:
    gauge = GaugeMetricFamily(name, what, labels=(label,))
    for value, number in values.items():
        gauge.add_metric((value,), number)
    return gauge


def _class_of(status: int | None) -> str:
    """A stranger's HTTP status in few values: by its hundred, but for those that say something to an administrator."""
    if status is None:
        return "none"
    return str(status) if status in _NAMED else f"{status // 100}xx"


def _resource_of(path: str) -> tuple[str, bool]:
    """The resource that a path of the API server's is about, and whether it names one object."""
    parts = path.strip("/").split("/")
    rest = parts[2:] if parts[0] == "api" else parts[3:]
    if len(rest) > 2 and rest[0] == "namespaces":
        rest = rest[2:]
    return "/".join((*rest[:1], *rest[2:3])), len(rest) > 1


async def answer(address: str, metrics: Metrics) -> web.AppRunner:
    """Answer /metrics at HOST:PORT until the runner is cleaned up. Raises Invalid where that address cannot be had."""

    async def scraped(_: web.Request) -> web.Response:
        return web.Response(body=metrics.shown(), headers={"Content-Type": CONTENT_TYPE_PLAIN_0_0_4})

    app = web.Application()
    app.router.add_get("/metrics", scraped)
    return await listen(app, address, "Prometheus", "--metrics-address")
