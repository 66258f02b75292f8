"""How long podpin takes from a cause to its effect, and how often it writes.

On a node with a real kubelet; and, for many samples without the kubelet's own delays, with the bench as the kubelet.

All times are taken by the bench's own watches: they begin when it knows that the cause is there, and end when it sees
the Deployment's spec change.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from podpin import clock
from podpin.adapters.kube.api import MERGE
from podpin.core.names import Key
from podpin.core.times import write_time
from tests.bench import figures
from tests.bench.bare import Bare
from tests.bench.program import Podpin
from tests.bench.stage import Stage, intent_of, say, stage, without_events
from tests.bench.watching import eye
from tests.cluster.local import Wanted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.bench.figures import Figure
    from tests.bench.watching import Body, Eye
    from tests.cluster.audit import Entry

SAMPLES_ON_NODE = 20
SAMPLES_IDLE = 50
PATIENCE = 60.0
BEGINNING = frozenset({"ContainerCreating", "PodInitializing"})


@dataclass(slots=True)
class Times:
    """Samples, in seconds, of podpin and of the bare requests."""

    tag: list[float] = field(default_factory=list)
    hook: list[float] = field(default_factory=list)
    good: list[float] = field(default_factory=list)
    evidence: list[float] = field(default_factory=list)
    bare_tag: list[float] = field(default_factory=list)
    bare_evidence: list[float] = field(default_factory=list)


async def measure(into: list[Figure]) -> None:
    """On a node: writes and times of good and bad rollouts, with images that really run and really fail."""
    say("starting a cluster with a node")
    wanted = Wanted(name=f"bench-{time.monotonic_ns() % 100_000}", owned=True)
    async with stage(wanted) as on:
        podpin = await Podpin.start(on.cluster, on.log)
        try:
            await podpin.ready()
            await on.namespace("bench")
            await _on_node(on, into)
        finally:
            await podpin.stop()


async def _on_node(on: Stage, into: list[Figure]) -> None:
    times = Times()
    key, three = Key("bench", "web"), Key("bench", "web-of-three")
    async with eye(on.api, "/api/v1/namespaces/bench/pods") as pods:
        say(f"{SAMPLES_ON_NODE} good rollouts and {SAMPLES_ON_NODE} bad ones on a real node")
        bare = await _begin(on, key, on.rollout(key, "bench/web", bake="1s"))
        async with contextlib.aclosing(bare):
            good: list[list[Entry]] = []
            for _ in range(SAMPLES_ON_NODE):
                since = on.position()
                digest, asked = await _move(on, key, times)
                times.good.append(await on.stable(key, digest) - asked)
                good.append(await on.settled(since))
                await _bare(bare, times)
            back: list[list[Entry]] = []
            for _ in range(SAMPLES_ON_NODE):
                since = on.position()
                await _fail(on, key, pods, times)
                back.append(_from_verdict(await on.settled(since)))
                await _bare(bare, times)
        say("good rollouts of three replicas")
        await on.push("bench/three", "live")
        await on.create(on.rollout(three, "bench/three", replicas=3, bake="1s"))
        await on.stable(three)
        thrice: list[list[Entry]] = []
        for _ in range(5):
            await on.settled(on.position())
            since = on.position()
            digest = await on.push("bench/three", "live")
            await on.ask(three)
            await on.stable(three, digest)
            thrice.append(await on.settled(since))
    into += [
        figures.writes("writes.rollout.1", [without_events(entries) for entries in good]),
        figures.writes("writes.rollout.3", [without_events(entries) for entries in thrice]),
        figures.writes("writes.rollout.events", thrice),
        figures.writes("writes.rollback", [without_events(entries) for entries in back]),
        figures.writes("writes.rollback.events", back),
        figures.latency("node.tag", times.tag, times.bare_tag),
        figures.latency("node.evidence", times.evidence, times.bare_evidence),
        figures.latency("node.good", times.good),
    ]


async def with_bench_as_kubelet(on: Stage, podpin: Podpin, into: list[Figure]) -> None:
    """Many samples beside whatever else podpin serves: no scheduler and no kubelet is in the way."""
    times, key = Times(), Key("bench-idle", "probe")
    await on.namespace(key.namespace)
    say(f"{2 * SAMPLES_IDLE} good rollouts and {SAMPLES_IDLE} bad ones, with the bench as the kubelet")
    async with eye(on.api, f"/api/v1/namespaces/{key.namespace}/pods") as pods:
        obliging = asyncio.ensure_future(_make_ready(on, pods))
        bare = await _begin(on, key, on.rollout(key, "bench/probe", scheduler="bench"))
        async with contextlib.aclosing(bare):
            for _ in range(SAMPLES_IDLE):
                for hook in (None, podpin):
                    digest, _asked = await _move(on, key, times, hook=hook)
                    await on.stable(key, digest)
                await _bare(bare, times)
            obliging.cancel()
            for _ in range(SAMPLES_IDLE):
                await _fail(on, key, pods, times, spoil=True)
                await _bare(bare, times)
    into += [
        figures.latency("idle.tag", times.tag, times.bare_tag),
        figures.latency("idle.hook", times.hook, times.bare_tag),
        figures.latency("idle.evidence", times.evidence, times.bare_evidence),
    ]


async def _begin(on: Stage, key: Key, rollout: Body) -> Bare:
    repository = rollout["spec"]["images"][0]["repository"].partition("/")[2]
    await on.push(repository, "live")
    await on.create(rollout)
    await on.stable(key)
    return await Bare.make(on, rollout)


async def _bare(bare: Bare, times: Times) -> None:
    there, back = await bare.forward_and_back()
    times.bare_tag.append(there)
    times.bare_evidence.append(back)


async def _move(
    on: Stage, key: Key, times: Times, *, bad: bool = False, hook: Podpin | None = None
) -> tuple[str, float]:
    """Move the tag and ask for a look, or send a webhook; note how long the Deployment's spec takes to change."""
    repository = on.rollouts.now[key]["spec"]["images"][0]["repository"]
    digest = await on.push(repository.partition("/")[2], "live", "missing_binary" if bad else "good")
    before = intent_of(on.deployments.now[key])

    def changed(deployment: Body) -> bool:
        after = intent_of(deployment)
        return deployment["metadata"]["name"] == key.name and after[0] > before[0] and after[1] != before[1]

    seeing = asyncio.ensure_future(on.deployments.first(changed, PATIENCE, "the new release in the Deployment"))
    asked = await (hook.tell(repository) if hook else on.ask(key))
    (times.hook if hook else times.tag).append(await seeing - asked)
    return digest, asked


async def _fail(on: Stage, key: Key, pods: Eye, times: Times, *, spoil: bool = False) -> None:
    """Let a version fail; note how long podpin takes from the evidence to the Deployment being as it was before."""
    intent = intent_of(on.deployments.now[key])[1]
    known = set(pods.now)
    evidence = asyncio.ensure_future(
        pods.first(lambda pod: _key(pod) not in known and _fails(pod), PATIENCE, "failure in a Pod's status")
    )
    fresh = asyncio.ensure_future(pods.first(lambda pod: _key(pod) not in known, PATIENCE, "a Pod of the bad version"))
    digest, _ = await _move(on, key, Times(), bad=True)
    back = asyncio.ensure_future(
        on.deployments.first(
            lambda deployment: deployment["metadata"]["name"] == key.name and intent_of(deployment)[1] == intent,
            PATIENCE,
            "the stable release in the Deployment",
        )
    )
    await fresh
    if spoil:
        await _spoil(on, next(pod for pod in pods.now.values() if _key(pod) not in known))
    times.evidence.append(await back - await evidence)
    await on.rollouts.until(lambda: on.is_rolled_back(key, digest), PATIENCE, "the rollback in status")


def _from_verdict(entries: Sequence[Entry]) -> list[Entry]:
    """The writes of a rollback: from the verdict on, which is the first change of a record that is not its creation."""
    first = next(
        (at for at, one in enumerate(entries) if one.resource == "controllerrevisions" and "force=true" not in one.uri),
        None,
    )
    if first is None:
        raise figures.CannotMeasureError("The audit log shows no verdict although podpin has rolled back.")
    return list(entries[first:])


def _fails(pod: Body) -> bool:
    """Whether a container's status shows that something is wrong, whatever it is."""
    for status in pod["status"].get("containerStatuses") or ():
        state, last = status.get("state") or {}, status.get("lastState") or {}
        waiting = (state.get("waiting") or {}).get("reason")
        if "terminated" in state or "terminated" in last or (waiting and waiting not in BEGINNING):
            return True
    return False


async def _make_ready(on: Stage, pods: Eye) -> None:
    """Be a kubelet on which every Pod runs."""
    done: set[tuple[str, str]] = set()
    while True:
        for key, pod in tuple(pods.now.items()):
            if key not in done:
                done.add(key)
                await _say_of(on, pod, "True", {"running": {"startedAt": write_time(clock.now())}})
        await pods.until(lambda: bool(set(pods.now) - done), 3600, "another Pod")


async def _spoil(on: Stage, pod: Body) -> None:
    """Be a kubelet on which this Pod can't start."""
    now = write_time(clock.now())
    message = 'exec: "/app/does-not-exist": stat /app/does-not-exist: no such file or directory'
    ended = {"exitCode": 128, "reason": "StartError", "message": message, "startedAt": now, "finishedAt": now}
    await _say_of(on, pod, "False", {"terminated": ended})


async def _say_of(on: Stage, pod: Body, ready: str, state: dict[str, Any]) -> None:
    now, image = write_time(clock.now()), pod["spec"]["containers"][0]["image"]
    conditions = [
        {"type": kind, "status": "True", "lastTransitionTime": now} for kind in ("PodScheduled", "Initialized")
    ]
    conditions += [{"type": kind, "status": ready, "lastTransitionTime": now} for kind in ("ContainersReady", "Ready")]
    container = {"name": "app", "image": image, "imageID": image, "ready": ready == "True", "restartCount": 0}
    status = {"phase": "Running", "conditions": conditions, "containerStatuses": [{**container, "state": state}]}
    path = "/api/v1/namespaces/{namespace}/pods/{name}/status".format(**pod["metadata"])
    await on.api.request("PATCH", path, body={"status": status}, kind=MERGE)


def _key(body: Body) -> tuple[str, str]:
    return body["metadata"]["namespace"], body["metadata"]["name"]
