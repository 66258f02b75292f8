"""What a thousand rollouts cost: a control plane alone, and kwok, which says of all Pods that they run.

The order matters: each measurement leaves behind the world that the next one needs.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from podpin.adapters.kube import connection
from podpin.adapters.kube.api import Api
from podpin.adapters.kube.cluster import Cluster
from podpin.core.names import Key
from podpin.core.reference import pin
from podpin.core.release import Record, release_of
from podpin.core.spec import parse_spec
from podpin.core.workload import deployment, intent_of, owner_reference
from tests.bench import figures, latency
from tests.bench import stage as stages
from tests.bench.program import Podpin
from tests.bench.stage import HANDS, Stage, all_at_once, pod_spec, say, stage, without_events
from tests.bench.watching import eye
from tests.cluster.local import Wanted

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.bench.figures import Figure
    from tests.bench.watching import Body
    from tests.cluster.audit import Entry

REPOSITORY = "bench/shared"
NAMESPACES = 4
MOVES = 2
QUIET_SECONDS = 60.0
MOST_PLAIN = 1000


@dataclass(frozen=True, slots=True)
class Move:
    """What it took to move all: seconds until the last template was changed, podpin's CPU until then, seconds until
    all were stable, and the writes of it all."""

    seconds: float
    cpu: float
    stable: float
    writes: list[Entry]


async def measure(into: list[Figure], count: int) -> None:
    """All of it, for so many rollouts."""
    say("starting a control plane, with kwok for the Pods")
    name = f"bench-{time.monotonic_ns() % 100_000}"
    async with stage(Wanted(name=name, full=False, kwok=True, client_rate=5000, owned=True)) as on:
        await Scale(on, into, count).measure()


class Scale:
    """The measurements, and what one hands to the next."""

    def __init__(self, on: Stage, into: list[Figure], count: int) -> None:
        self._on, self._figures, self._count = on, into, count
        self._namespaces = [f"bench-{n}" for n in range(NAMESPACES)]
        self._keys = [Key(self._namespaces[n % NAMESPACES], f"web-{n}") for n in range(count)]
        self._peak = 0.0

    async def measure(self) -> None:
        """One after the other."""
        on = self._on
        for namespace in self._namespaces:
            await on.namespace(namespace)
        plain = await self._plain() if self._count <= MOST_PLAIN else None
        self._podpin = await Podpin.start(on.cluster, on.log)
        try:
            await self._nothing()
            await self._new(plain)
            await self._quiet()
            await latency.with_bench_as_kubelet(on, self._podpin, self._figures)
            await self._restart()
            await self._moves()
        finally:
            await self._podpin.stop()

    def _patience(self, each: float) -> float:
        return 60 + each * self._count

    async def _plain(self) -> float:
        """So many plain Deployments, from the first request until the last is available."""
        on = self._on
        say(f"{self._count:,} plain Deployments, for comparison")
        await on.namespace("bench-plain")
        image = f"{on.cluster.registry.address}/{REPOSITORY}:live"
        template = pod_spec()
        template["containers"][0]["image"] = image

        def make(n: int) -> Body:
            labels = {"app": f"web-{n}"}
            return {
                "apiVersion": "apps/v1",
                "kind": "Deployment",
                "metadata": {"name": f"web-{n}", "namespace": "bench-plain"},
                "spec": {
                    "replicas": 1,
                    "selector": {"matchLabels": labels},
                    "template": {"metadata": {"labels": labels}, "spec": template},
                },
            }

        async with eye(on.api, "/apis/apps/v1/namespaces/bench-plain/deployments") as deployments:
            available: set[str] = set()

            def all_available(body: Body) -> bool:
                if body["status"].get("availableReplicas"):
                    available.add(body["metadata"]["name"])
                return len(available) == self._count

            seeing = asyncio.ensure_future(
                deployments.first(all_available, self._patience(0.2), f"{self._count:,} available Deployments")
            )
            begun = time.perf_counter()
            await all_at_once(_calls(on, [make(n) for n in range(self._count)]))
            return await seeing - begun

    async def _nothing(self) -> None:
        say("podpin with nothing to do")
        await self._podpin.ready()
        await self._podpin.idle()
        self._figures.append(figures.count("memory.0", round(self._podpin.memory(), 1)))

    async def _new(self, plain: float | None) -> None:
        """New rollouts, from the first request until the last is stable."""
        on = self._on
        say(f"{self._count:,} new rollouts")
        await on.push(REPOSITORY, "live")
        since = on.position()
        seeing = asyncio.ensure_future(self._all_stable(None))
        begun = time.perf_counter()
        await all_at_once(_calls(on, [on.rollout(key, REPOSITORY) for key in self._keys]))
        taken = await seeing - begun
        written = await on.settled(since, self._patience(0.1))
        await self._podpin.idle()
        self._figures += [
            figures.seconds("scale.new", taken, taken / plain if plain else None),
            figures.writes_each("scale.new.writes", without_events(written), self._count),
        ]

    async def _quiet(self) -> None:
        on = self._on
        say(f"a quiet minute with {self._count:,} rollouts")
        since, looked, spent = on.position(), on.cluster.registry.position(), self._podpin.cpu()
        begun = time.perf_counter()
        await asyncio.sleep(QUIET_SECONDS)
        share = 100 * (self._podpin.cpu() - spent) / (time.perf_counter() - begun)
        asked = on.requests(since)
        looks = [one for one in on.cluster.registry.requests(since=looked) if one.agent != "podpin-tests"]
        reads = [one for one in asked if not one.is_write and one.verb != "watch"]
        shown = ", ".join(sorted({f"{one.verb} {one.resource}" for one in reads}))
        self._figures += [
            figures.count("memory.n", round(self._podpin.memory(), 1), _scaled(self._count, 90, 250)),
            figures.count("quiet.writes", sum(one.is_write for one in asked)),
            figures.noted(figures.count("quiet.reads", len(reads)), shown),
            figures.count("quiet.watches", sum(one.verb == "watch" for one in asked)),
            figures.count("quiet.cpu", round(share, 2), _scaled(self._count, 0.3, 3)),
            figures.count("quiet.registry", len(looks) / (QUIET_SECONDS / 60)),
        ]

    async def _restart(self) -> None:
        """Kill it and start it again: nothing has changed, so it has nothing to write."""
        on = self._on
        say("killing podpin and starting it again")
        await on.settled(on.position())
        self._peak = self._podpin.memory("VmHWM")
        await self._podpin.kill()
        since = on.position()
        self._podpin = await Podpin.start(on.cluster, on.log)
        ready = await self._podpin.ready(self._patience(0.05))
        reconciled = await self._podpin.idle(self._patience(0.1))
        most = 30 if self._count >= 10_000 else None
        self._figures += [
            figures.seconds("restart", reconciled - self._podpin.started, most=most),
            figures.seconds("restart.ready", ready - self._podpin.started),
            figures.count("restart.writes", len(await on.settled(since))),
        ]

    async def _move(self) -> Move:
        """One tag moves for all."""
        on = self._on
        say(f"one tag moves for {self._count:,} rollouts")
        before = {key: stages.intent_of(on.deployments.now[key]) for key in self._keys}
        changed: set[tuple[str, str]] = set()

        def all_changed(body: Body) -> bool:
            key = body["metadata"]["namespace"], body["metadata"]["name"]
            if key in before and stages.intent_of(body)[1] != before[key][1]:
                changed.add(key)
            return len(changed) == self._count

        since = on.position()
        digest = await on.push(REPOSITORY, "live")
        seeing = asyncio.ensure_future(
            on.deployments.first(all_changed, self._patience(0.3), f"the new digest in all {self._count:,} Deployments")
        )
        stable = asyncio.ensure_future(self._all_stable(digest))
        spent = self._podpin.cpu()
        asked = await on.ask(self._keys[0])
        moved = await seeing - asked
        spent = self._podpin.cpu() - spent
        healthy = await stable - asked
        written = await on.settled(since, self._patience(0.1))
        self._peak = max(self._peak, self._podpin.memory("VmHWM"))
        return Move(moved, spent, healthy, without_events(written))

    async def _moves(self) -> None:
        """Moves by podpin and by the bench in turn, for a machine that is busy now may be idle in a minute."""
        moves: list[Move] = []
        bare: list[float] = []
        digest = ""
        for turn in range(MOVES):
            if turn:
                self._podpin = await Podpin.start(self._on.cluster, self._on.log)
                await self._all_stable(digest)  # what the bare loop has left
                await self._podpin.idle(self._patience(0.1))
            moves.append(await self._move())
            await self._at_rest()
            await self._podpin.stop()
            say(f"the same writes for {self._count:,} rollouts in a bare loop")
            digest = await self._on.push(REPOSITORY, "live")
            bare.append(await self._bare(digest))
            await self._at_rest()
        moved, spent, healthy = (
            statistics.median(each)
            for each in zip(*((move.seconds, move.cpu, move.stable) for move in moves), strict=True)
        )
        written = [entry for move in moves for entry in move.writes]
        ratio = statistics.median(move.seconds / loop for move, loop in zip(moves, bare, strict=True))
        self._figures += [
            figures.seconds("move", moved, ratio, _scaled(self._count, 10, 100)),
            figures.Figure("move.cpu", spent, f"{1000 * spent / self._count:.1f} ms"),
            figures.seconds("move.healthy", healthy),
            figures.writes_each("move.writes", written, MOVES * self._count),
            figures.count("memory.peak", round(self._peak, 1)),
        ]

    async def _at_rest(self) -> None:
        """Wait until no Deployment waits for a Pod, so that the loop begins where podpin began."""

        def rests() -> bool:
            return all(
                (status := body.get("status", {})).get("replicas", 0) == status.get("updatedReplicas", 0)
                and status.get("observedGeneration") == body["metadata"]["generation"]
                for body in deployments.now.values()
            )

        async with eye(self._on.api, "/apis/apps/v1/deployments", labelSelector="podpin.dev/rollout") as deployments:
            await deployments.until(rests, self._patience(0.1), "the Deployments to come to rest")

    async def _bare(self, digest: str) -> float:
        on = self._on
        api = Api(await connection.load(str(on.cluster.kubeconfig), None))
        cluster = Cluster(api, (), lambda _: None)
        written: list[float] = []

        def write(key: Key) -> Callable[[], Awaitable[object]]:
            async def three() -> None:
                body = on.rollouts.now[key]
                uid, spec = body["metadata"]["uid"], parse_spec(body["spec"])
                release = release_of(spec, (("app", pin(spec.images[0].repository, "live", digest)),))
                record = Record(release=release.id, spec_hash=release.spec_hash, images=release.images)
                await cluster.write_record(key, uid, release, record)
                intent = intent_of(spec.workload, release.id, release.images)
                owner = owner_reference(key.name, uid)
                await cluster.apply(key, deployment(key, owner, spec.workload, release, intent), None)
                written.append(time.perf_counter())
                await cluster.write_status(key, uid, {**body["status"], "replicas": 1 + len(written)})

            return three

        try:
            begun = time.perf_counter()
            await all_at_once((write(key) for key in self._keys), HANDS)
            return max(written) - begun
        finally:
            await api.close()

    async def _all_stable(self, digest: str | None) -> float:
        on = self._on
        left = {key for key in self._keys if not on.is_stable(key, digest)}

        def none_left(body: Body) -> bool:
            key = Key(body["metadata"]["namespace"], body["metadata"]["name"])
            if key in left and on.is_stable(key, digest):
                left.discard(key)
            return not left

        if not left:
            return time.perf_counter()
        return await on.rollouts.first(none_left, self._patience(0.6), f"{self._count:,} stable rollouts")


def _calls(on: Stage, bodies: list[Body]) -> list[Callable[[], Awaitable[object]]]:
    def call(body: Body) -> Callable[[], Awaitable[object]]:
        return lambda: on.create(body)

    return [call(body) for body in bodies]


def _scaled(count: int, at_1000: float, at_10000: float) -> float | None:
    """The budget for so many rollouts, where there is one."""
    return {1000: at_1000, 10_000: at_10000}.get(count)
