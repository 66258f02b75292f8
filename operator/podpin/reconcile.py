"""Look, decide, act: what happens when a rollout's turn has come.

Looking gathers the world into one value, the pure core decides, and acting carries the decision out in its order.
Whatever fails on the way is simply tried again later, with fresh eyes: no step depends on an earlier one having been
seen through.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Protocol, assert_never

from podpin.configuration import Configuration
from podpin.core import adopted, names, podset, report
from podpin.core.account import account_of
from podpin.core.canary import on_trial
from podpin.core.checks import Tally
from podpin.core.contest import contest_of, remembered, rival_of
from podpin.core.decision import (
    Action,
    AdoptPod,
    Apply,
    ApplyCanary,
    CreatePod,
    Decision,
    DeletePod,
    EndPull,
    EvictPod,
    Judge,
    Manner,
    Notice,
    PatchPod,
    PodAction,
    Prune,
    Rehearse,
    RemoveCanary,
    Requests,
    Restore,
    Rollout,
    StartPull,
    Unstick,
    Write,
)
from podpin.core.dependencies import awaited
from podpin.core.drift import differs
from podpin.core.happenings import chosen_policies, ended_trials, way_back
from podpin.core.health import bake_begins
from podpin.core.keyring import Access
from podpin.core.manner import in_manner
from podpin.core.names import Key, Place
from podpin.core.observation import Observation, Pod, Resolution, Resolved, Unresolved, Workload, workload_of
from podpin.core.pinned_config import Copy
from podpin.core.placement import placement_of
from podpin.core.policy import Choice
from podpin.core.policy.promote import Source, promoted, source_key
from podpin.core.policy.terms import SOURCE_DEGRADED, TOO_YOUNG, PassedOver, Terms
from podpin.core.prepull import PRE_PULLING
from podpin.core.reference import Pin, ReferenceInvalid, parse_pin, parse_repository
from podpin.core.release import STABLE, Images, Record, Release, images_text, source_of
from podpin.core.repeats import Said, news
from podpin.core.rollout import applied_manner, decide, wanted_release
from podpin.core.signals import READINESS_LOST, missing_images
from podpin.core.spec import Problem, Spec, SpecInvalid, parse_spec, problem_of
from podpin.core.spec.checks import CheckSpec
from podpin.core.spec.images import ImageSpec
from podpin.core.standing import CHECK_FAILED
from podpin.core.status import PinnedImage, Status, parse_status, render_status
from podpin.core.times import read_time
from podpin.core.trial import Trial, control_of, trial_of
from podpin.core.workload import BUILDERS, canary, owner_reference, pod_template
from podpin.core.workload import pod as pod_manifest
from podpin.crew import Crew, Pods
from podpin.errors import Denied, Invalid, NotFound, PodpinError, Unavailable
from podpin.inquiry import TAG_NOT_FOUND, Failed, Found
from podpin.logs import DECISIONS
from podpin.observer import UNOBSERVED, Observer
from podpin.pinning import Configs, CopyRefused, Pinning
from podpin.poller import AccessSource, Look, Poller, Wish
from podpin.pulling import Pulling
from podpin.rollouts import Rollouts

SLOW_START = timedelta(seconds=5)
"""After how long a Pod that has not started a container is asked why, by its events."""
PATIENCE = 5.0
"""Seconds that a rollout's turn may wait for a registry; no answer is an answer too, and others wait behind it."""
DENIED_SECONDS = 5.0
"""After how long a write that was forbidden is tried again, at the earliest."""
TAKEN_SECONDS = 60.0
"""After how long a name that somebody else has is tried again."""
MOST_ASKED = 3
"""Of how many Pods the events are read in one look: those of one release mostly tell the same."""
BLIND = timedelta(seconds=2)
"""After how long a rollout is looked at again of which podpin has lost sight."""
DEADLINE_EXCEEDED = "ProgressDeadlineExceeded"
"""The reason of the verdict on a release that did not become healthy in time."""
MOST_SOURCES = 32
"""How many rollouts are followed from source to source in search of one that leads back."""
ELSEWHERE = timedelta(minutes=1)
"""After how long one that follows a rollout which another podpin serves looks at that again: no watch tells of it."""
ASK_AGAIN = timedelta(seconds=10)
"""How long an answer from the registry or from a Pod's events is taken for current."""

CONTROL_LASTS = timedelta(minutes=1)
"""How long it is taken for current what the checks say of the stable release, while another one waits to start."""

log = logging.getLogger(__name__)
decisions = logging.getLogger(DECISIONS)


class Cluster(Pods, Configs, Protocol):
    """What podpin needs of a cluster."""

    def blind(self, key: Key, kind: str) -> str | None:
        """Why what is known of a rollout without asking may not be current, or None. `kind` is that of its workload."""

    async def rollout(self, key: Key) -> Mapping[str, Any] | None:
        """An ImageRollout as it is now, or None where there is none."""

    async def refresh(self, key: Key, place: Place) -> None:
        """Read a rollout's workload and Pods anew."""

    def workload(self, key: Key, place: Place) -> Workload | None:
        """The rollout's workload, as far as is known without asking."""

    def canary(self, key: Key) -> Workload | None:
        """The Deployment of the rollout's canary, as far as is known without asking."""

    def pods(self, key: Key) -> tuple[Pod, ...]:
        """The rollout's Pods, of all releases."""

    def records(self, key: Key) -> tuple[Record, ...]:
        """The records of the rollout's releases."""

    async def live_workload(self, key: Key, place: Place) -> Mapping[str, Any] | None:
        """The workload in a place as it is now, whoever owns it."""

    async def selected(self, key: Key, place: Place) -> Iterable[Mapping[str, Any]]:
        """The Pods that the workload in a place selects, in full and as they are now."""

    async def confirm(self, key: Key, uid: str) -> None:
        """Make sure that an ImageRollout is there still; raises NotFound where it is gone or another one."""

    async def release(self, key: Key, release: str) -> Release | None:
        """A release, whole, from its record."""

    async def mount_trouble(self, key: Key, pod: Pod) -> str | None:
        """What the events of a Pod say of a volume that cannot be mounted, or of a network that it cannot have."""

    async def config_metadata(self, key: Key, kind: str, name: str) -> Mapping[str, Any] | None:
        """The metadata of a ConfigMap or a Secret in the rollout's namespace, or None where there is none."""

    async def access(
        self,
        namespace: str,
        secrets: Iterable[str],
        others: Iterable[str],
        account: str,
        ca: str | None,
        keys: Iterable[str] = (),
    ) -> Access:
        """The credentials and the CA for a rollout's registries, and the keys for its signatures, read now."""

    async def write_record(self, key: Key, uid: str, release: Release, record: Record) -> None:
        """Create the record of a release, unless it is there."""

    async def judge(self, key: Key, record: Record) -> None:
        """Write a record's verdict, or take it back."""

    async def apply(self, key: Key, manifest: Mapping[str, Any], uid: str | None) -> Workload:
        """Make podpin's own workload what the manifest says; `uid` is that of the one that was seen."""

    async def apply_pins(self, key: Key, manifest: Mapping[str, Any], uid: str) -> Workload:
        """Put the images into somebody else's workload, which was seen with that uid."""

    async def remove_canary(self, key: Key, uid: str) -> None:
        """Delete the canary of that uid."""

    async def rehearse(self, key: Key, manifest: Mapping[str, Any]) -> None:
        """Ask whether a Pod would be taken, without making it; raises Invalid where it would not."""

    async def drop_copy(self, key: Key, uid: str, one: Copy) -> None:
        """Delete a copy of a ConfigMap or a Secret that podpin has made for this rollout."""

    async def prune(self, key: Key, release: str) -> None:
        """Delete the record of a release."""

    async def write_status(self, key: Key, uid: str, status: Mapping[str, Any]) -> Mapping[str, Any]:
        """Replace the status of an ImageRollout; returns the object as it is then."""

    def announce(self, key: Key, uid: str, notice: Notice, now: datetime) -> None:
        """Post an event about an ImageRollout, beside the work."""


class Registry(Protocol):
    """What podpin asks of a registry beside the poller's looks."""

    async def exists(self, repository: Any, digest: str, access: Access) -> bool:
        """Whether the registry has this image; an error where it does not say."""


class Checks(Protocol):
    """Who makes the users' checks."""

    def tallies(self, key: Key, trial: Trial | None) -> Mapping[str, Tally]:
        """What the checks of this trial have said so far, by name; it goes on until another is named, or none."""

    async def unfit(self, key: Key, release: str, checks: Sequence[CheckSpec], patience: float) -> frozenset[str]:
        """The names of those that do not pass with this release, each made once, within so many seconds."""

    def forget(self, key: Key) -> None:
        """Make no more checks of this rollout."""


@dataclass(slots=True)
class Memory:
    """What is remembered of a rollout between two looks: what saves questions, nothing that a decision rests on."""

    asked: tuple[str, float] | None = None
    """The last reconcile request that was passed on to the poller, and when."""
    generation: int | None = None
    """The workload's generation after podpin's last look at it in full: while it stays, nobody has changed it."""
    partial: tuple[str, datetime | None, datetime | None] | None = None
    """The release that is rolled out, since when it says that it is whole and undisturbed, None while it is not, and
    when podpin saw that change, by its own clock; None before it has seen it change."""
    unready: dict[str, tuple[datetime, datetime]] = field(default_factory=dict)
    """By the uids of the Pods that are not ready: since when, and when that was first seen."""
    corrections: tuple[datetime, ...] = ()
    """When podpin has put back what somebody changed, of late."""
    rival: str = ""
    """The field manager of the last such change."""
    ripe: datetime | None = None
    """When what another rollout runs will have been healthy for long enough."""
    crew: Crew = field(default_factory=Crew)
    """What stands in the way of Pods that podpin makes itself."""
    pulling: Pulling = field(default_factory=Pulling)
    """What stands in the way of those that pull a release."""
    said: dict[Said, datetime] = field(default_factory=dict)
    """When those events were posted last that may recur."""
    again: bool = False
    """Something has come of the work on the Pods that is to be told at once."""
    control: tuple[tuple[CheckSpec, ...], datetime, frozenset[str]] | None = None
    """Which checks did not pass with the stable release, and when they were made, while another is about to start."""
    answers: dict[str, tuple[datetime, str | bool | None]] | None = None
    """Answers of the registry by digest, and of Pods' events by uid, with their time."""


class NameTaken(Exception):  # noqa: N818 -- says what the name is
    """Somebody else's object has the name that podpin's would have."""


class WorkloadRefused(Exception):  # noqa: N818 -- named for what became of the workload
    """The API server does not accept a workload, and would not the next time either."""

    def __init__(self, intent: str, message: str) -> None:
        super().__init__(message)
        self.intent = intent


class Reconciler:
    """Works on one rollout at a time per key; the queue sees to that."""

    def __init__(
        self,
        rollouts: Rollouts,
        cluster: Cluster,
        poller: Poller,
        registry: Registry,
        checks: Checks,
        clock: Callable[[], datetime],
        observer: Observer = UNOBSERVED,
    ) -> None:
        self._observer = observer
        self._rollouts = rollouts
        self._cluster = cluster
        self._poller = poller
        self._registry = registry
        self._checks = checks
        self._clock = clock
        self._memories: dict[Key, Memory] = {}
        self._configuration = Configuration(cluster)
        self._pinning = Pinning(cluster)

    def forget(self, key: Key) -> None:
        """Forget a rollout that is no more."""
        self._memories.pop(key, None)
        self._configuration.forget(key)
        self._pinning.forget(key)
        self._checks.forget(key)
        self._poller.forget(key)
        self._rollouts.follow(key, ())

    async def reconcile(self, key: Key) -> timedelta | None:
        """Do what is to be done about one rollout, and return after how long to look again, if nothing happens before.

        Raises podpin's errors where the cluster could not be asked or written to; everything is then tried again later.
        """
        body = self._rollouts.get(key)
        if body is None:
            self.forget(key)
            return None
        if body["metadata"].get("deletionTimestamp"):
            return None
        rollout = rollout_of(body)
        readable = _readable(rollout)
        if self._cluster.blind(key, readable.kind if readable is not None else "Deployment"):
            # The mirror says so in the log and to the readiness probe; what is seen now is no ground to decide on.
            return BLIND
        memory = self._memories.setdefault(key, Memory())
        if memory.crew.unsure and readable is not None:
            # A write to a Pod has got no answer: a watch that lags behind would have the same done twice.
            await self._cluster.refresh(key, readable.place(key.name))
            memory.crew.unsure = False
        seen, recheck = await self._look(rollout)
        now = self._clock()
        decision = decide(rollout, seen, now)
        if any(_rests_on_time(action, seen.records) for action in decision.actions):
            assert isinstance(rollout.spec, Spec), "nothing follows from a spec that cannot be used"
            await self._cluster.refresh(key, rollout.spec.place(key.name))
            seen, recheck = await self._look(rollout)
            now = self._clock()
            decision = decide(rollout, seen, now)
        try:
            await self._act(rollout, seen, decision, body.get("status") or {})
        except CopyRefused as error:
            # The next look knows of no newer configuration: what runs is judged as if nobody had asked for one.
            log.info("%s: a release cannot have its copies for now: %s", key, error)
            return await self.reconcile(key)
        if memory.again:
            memory.again = False
            return timedelta(0)
        moments = (decision.recheck_at, memory.ripe, memory.crew.again_at(now))
        waits = [moment - now for moment in moments if moment is not None] + ([recheck] if recheck else [])
        return max(min(waits), timedelta(0)) if waits else None

    async def confess(self, key: Key) -> None:
        """Tell in a rollout's status that podpin itself has failed at it: nothing else would tell the user."""
        body = self._rollouts.get(key)
        if body is not None and not body["metadata"].get("deletionTimestamp"):
            rollout = rollout_of(body)
            told = report.stalled(rollout, "InternalError", "podpin has a bug: see its log", self._clock())
            await self._tell(rollout, render_status(told.status), body.get("status") or {}, told.notices)

    # --- look

    async def _look(self, rollout: Rollout) -> tuple[Observation, timedelta | None]:
        key, spec, now = rollout.key, rollout.spec, self._clock()
        memory = self._memories.setdefault(key, Memory())
        memory.ripe = None
        if isinstance(spec, Problem):
            self._checks.forget(key)
            self._poller.forget(key)
            self._rollouts.follow(key, ())
            pods, pullers = self._pods(key)
            seen = Observation(records=self._cluster.records(key), pullers=pullers)
            if spec.spec is not None and spec.spec.kind == podset.KIND:
                seen = replace(seen, pods=pods, hindrance=memory.crew.hindrance)
                seen = podset.observed(rollout, spec.spec, seen, now)
            return seen, None
        place, template = spec.place(key.name), spec.template
        found: Workload | None = None
        if spec.target_ref is not None:
            found = self._cluster.workload(key, place) or await self._live(key, place)
            if obstacle := await self._obstacle(rollout, spec, found):
                self._poller.forget(key)
                self._rollouts.follow(key, ())
                _, pullers = self._pods(key)
                return Observation(records=self._cluster.records(key), pullers=pullers, obstacle=obstacle), None
            template = found.template if found else {}
        chosen = await self._chosen(rollout, spec, memory, template)
        pods, pullers = self._pods(key)
        seen = replace(
            chosen,
            workload=self._cluster.workload(key, place) or found,
            canary=_owned(self._cluster.canary(key), rollout.uid),
            pods=pods,
            pullers=memory.pulling.recalled(pullers),
            not_pulled=memory.pulling.refused,
            unmade=memory.pulling.unmade,
            records=self._cluster.records(key),
        )
        config, look_again = await self._pinning.contents(rollout, spec, seen, now)
        seen = replace(seen, config=config)
        if spec.depends_on and not spec.suspend:
            seen = replace(seen, awaited=await self._awaited(key, spec))
        if spec.kind == podset.KIND:
            seen = podset.observed(rollout, spec, replace(seen, hindrance=memory.crew.hindrance), now)
            contest = contest_of(memory.corrections, "somebody", now)
            seen = replace(seen, workload=replace(seen.workload, contest=contest) if seen.workload else None)
        elif seen.workload is None:
            seen = replace(seen, workload=await self._live(key, place))
            if seen.workload is None and rollout.status.workload is not None:
                # Perhaps it went with the rollout itself, and the watch was blind at the time.
                await self._cluster.confirm(key, rollout.uid)
        if spec.kind != podset.KIND and seen.workload is not None and _is_ours(rollout, spec, seen.workload):
            compared = await self._compared(rollout, spec, seen, seen.workload, memory)
            contest = contest_of(memory.corrections, memory.rival, self._clock())
            seen = replace(seen, workload=replace(compared, contest=contest))
        if spec.target_ref is not None:
            seen = replace(seen, ran=await self._what_ran(rollout, spec, seen))
        partial_at, unready = _partial_at(spec, seen, memory, now), _unready(seen.pods, memory, now)
        seen = replace(seen, partial_at=partial_at, unready=unready)
        seen = replace(
            seen,
            checks=self._checks.tallies(key, trial_of(spec, on_trial(seen), now)),
            unfit=await self._unfit(rollout, spec, seen, memory, now),
        )
        changed, again = await self._configuration.moved(rollout, spec, seen, now)
        seen, recheck = await self._questioned(rollout, spec, replace(seen, moved=changed), memory, now)
        return seen, min((wait for wait in (recheck, again, look_again) if wait is not None), default=None)

    def _pods(self, key: Key) -> tuple[tuple[Pod, ...], tuple[Pod, ...]]:
        """The rollout's Pods, and those that only pull."""
        every = self._cluster.pods(key)
        pullers = tuple(pod for pod in every if pod.pulls)
        return tuple(pod for pod in every if not pod.pulls) if pullers else every, pullers

    async def _unfit(
        self, rollout: Rollout, spec: Spec, seen: Observation, memory: Memory, now: datetime
    ) -> frozenset[str]:
        """The checks that do not pass with the stable release, where another one is about to take its place."""
        stable = control_of(spec, seen, wanted_release(rollout, spec, seen))
        if stable is None:
            memory.control = None
            return frozenset()
        control = memory.control
        if control is None or control[0] != spec.rollout.checks or now - control[1] >= CONTROL_LASTS:
            unfit = await self._checks.unfit(rollout.key, stable, spec.rollout.checks, PATIENCE)
            control = memory.control = (spec.rollout.checks, now, unfit)
        return control[2]

    async def _live(self, key: Key, place: Place) -> Workload | None:
        live = await self._cluster.live_workload(key, place)
        return workload_of(live, place.kind) if live else None

    async def _obstacle(self, rollout: Rollout, spec: Spec, workload: Workload | None) -> Problem | None:
        """Why podpin keeps its hands off the workload that spec.targetRef names, or None."""
        claimant: Key | None = None
        if workload is not None and workload.rollout != rollout.key.name:
            claimant = await self._claimant(rollout, spec, workload)
        return adopted.obstacle(rollout.key, spec, workload, claimant)

    async def _claimant(self, rollout: Rollout, spec: Spec, workload: Workload) -> Key | None:
        """Another rollout to which the workload belongs: by its label, or where nobody has it yet, an older one."""
        if workload.rollout is not None:
            other = Key(rollout.key.namespace, workload.rollout)
            body = self._rollouts.get(other) or await self._cluster.rollout(other)
            return other if body and adopted.wants(body, spec.place(rollout.key.name)) else None
        bodies = [self._rollouts.get(key) for key in self._rollouts if key.namespace == rollout.key.namespace]
        return adopted.first_of([body for body in bodies if body], rollout.key, spec.place(rollout.key.name))

    async def _what_ran(self, rollout: Rollout, spec: Spec, seen: Observation) -> Release | None:
        """What the workload runs, where images are about to take its place that podpin could not bring back."""
        workload, wanted = seen.workload, wanted_release(rollout, spec, seen)
        if workload is None or wanted is None or wanted.id == workload.release or spec.suspend:
            return None
        if not adopted.is_unknown(spec, workload, [one for one in seen.records if one.owner == rollout.uid]):
            return None
        pods = await self._cluster.selected(rollout.key, spec.place(rollout.key.name))
        return adopted.what_ran(spec, workload, pods)

    async def _chosen(self, rollout: Rollout, spec: Spec, memory: Memory, template: Mapping[str, Any]) -> Observation:
        """What the poller knows, and whether the look that somebody asked for has come back."""
        if spec.suspend:
            self._poller.forget(rollout.key)
            self._rollouts.follow(rollout.key, ())
            return Observation(images={image.container: None for image in spec.images})
        given = await self._promoted(rollout, spec, memory)
        anew = _choose_anew(rollout)
        looks = self._poller.follow(rollout.key, _wishes(rollout, spec, template, given, anew=anew))
        asked, handled = rollout.requests.reconcile, rollout.status.requests and rollout.status.requests.reconcile
        looked = True
        if anew:
            asked = f"{asked}, and anew by {rollout.requests.retry}"
        if asked is not None and asked != handled:
            if memory.asked is None or memory.asked[0] != asked:
                memory.asked = (asked, self._poller.look_now(rollout.key))
            since = memory.asked[1]
            looked = all(look is not None and look.at >= since for look in looks.values())
        return Observation(
            images={container: _resolution(look) for container, look in looks.items()},
            looked=looked,
            lost=tuple((container, look.lost) for container, look in looks.items() if look and look.lost),
        )

    async def _promoted(self, rollout: Rollout, spec: Spec, memory: Memory) -> dict[str, Found | Failed | PassedOver]:
        """What other rollouts have proven, by container, and from when on it may be another answer."""
        policies = {image.container: image.policy.promote for image in spec.images if image.policy.promote is not None}
        sources = [source_key(policy) for policy in policies.values()]
        others = (*sources, *dependency_keys(rollout.key, spec))
        self._rollouts.follow(rollout.key, others)
        if self._rollouts.selector.terms and any(self._rollouts.version(one) is None for one in others):
            memory.ripe = self._clock() + ELSEWHERE
        given: dict[str, Found | Failed | PassedOver] = {}
        for container, policy in policies.items():
            source, holds = source_key(policy), _held_digest(rollout, spec, container)
            if self._leads_back(source, rollout.key):
                message = f"{source} promotes from {rollout.key} in its turn, so neither could ever come to rest."
                given[container] = Failed("SourceInvalid", f"The ImageRollout {message}")
                continue
            taken = promoted(policy, container, rollout.key, await self._source(source), self._clock(), holds)
            if isinstance(taken, Choice):
                assert taken.digest is not None, "what is proven has a digest"
                given[container] = Found(taken.tag, taken.digest)
            elif taken.reason in (TOO_YOUNG, SOURCE_DEGRADED):
                given[container] = taken
                if taken.ripe is not None:
                    memory.ripe = min(taken.ripe, memory.ripe or taken.ripe)
            else:
                given[container] = Failed(taken.reason, taken.message)
        return given

    def _leads_back(self, source: Key, target: Key) -> bool:
        """Whether the source takes its image from the target, over however many others."""
        waiting, seen = [source], {source}
        while waiting:
            body = self._rollouts.get(waiting.pop()) or {}
            for image in (body.get("spec") or {}).get("images") or ():
                of = ((image.get("policy") or {}).get("promote") or {}).get("from") or {}
                key = Key(str(of.get("namespace")), str(of.get("name")))
                if of and key == target and key != source:
                    return True
                if of and key not in seen and len(seen) < MOST_SOURCES:
                    seen.add(key)
                    waiting.append(key)
        return False

    async def _awaited(self, key: Key, spec: Spec) -> str | None:
        """What the rollout waits for of those that it depends on."""
        bodies = {one: await self._other(one) for one in dependency_keys(key, spec)}

        def find(name: str) -> Mapping[str, Any] | None:
            one = Key(key.namespace, name)
            return bodies[one] if one in bodies else self._rollouts.get(one)

        return awaited(key.name, (one.name for one in spec.depends_on), find)

    async def _other(self, key: Key) -> dict[str, Any] | None:
        """Another ImageRollout, or None where there is none, or none for long."""
        body = self._rollouts.get(key)
        if body is None:
            # At a start the watch may tell of it later: it is not gone before the API server says so.
            live = await self._cluster.rollout(key)
            if live is not None:
                self._rollouts.put(live)
                # One that another podpin serves is not held here.
                body = self._rollouts.get(key) or {"spec": {}, "status": {}, **live}
        return None if body is None or body["metadata"].get("deletionTimestamp") else body

    async def _source(self, key: Key) -> Source | None:
        body = await self._other(key)
        if body is None:
            return None
        status = parse_status(body["status"])
        stable = status.stable
        before = [entry for entry in status.history if entry.result == STABLE]
        ready = next((condition.reason for condition in status.conditions if condition.type == "Ready"), None)
        return Source(
            lets_in=(body["metadata"].get("annotations") or {}).get(names.PROMOTE_TO),
            stable=_by_container(stable.images) if stable else {},
            since=stable.since if stable else None,
            before=tuple((_by_container(entry.images), entry.ended_at) for entry in before),
            degraded=ready == "Degraded",
        )

    async def _compared(
        self, rollout: Rollout, spec: Spec, seen: Observation, workload: Workload, memory: Memory
    ) -> Workload:
        """The workload, marked where somebody changed what podpin applied. Asked only when its generation has moved."""
        written = rollout.status.workload
        known = memory.generation or (written.generation if written and written.uid == workload.uid else None)
        if workload.generation == known or workload.release is None:
            return workload
        wanted = wanted_release(rollout, spec, seen)
        release = (
            wanted
            if wanted and wanted.id == workload.release
            else await self._cluster.release(rollout.key, workload.release)
        )
        live = await self._cluster.live_workload(rollout.key, spec.place(rollout.key.name))
        if release is None or live is None:
            return workload
        manifest = self._manifest(rollout, spec, workload, release, workload.intent or "")
        manifest = in_manner(manifest, applied_manner(rollout, spec, workload, seen.records))
        if differs(manifest, live):
            memory.rival = rival_of(live["metadata"].get("managedFields") or ())
            return replace(workload, drifted=True)
        memory.generation = int(live["metadata"]["generation"])
        return workload

    async def _questioned(
        self, rollout: Rollout, spec: Spec, seen: Observation, memory: Memory, now: datetime
    ) -> tuple[Observation, timedelta | None]:
        """Ask further where a Pod's status does not tell enough: the registry about images, events about volumes.

        Only while the release is on trial: what has its verdict is not judged again, whatever the answers.
        """
        trial = on_trial(seen)
        release = trial.workload.release if trial.workload else None
        record = next((record for record in seen.records if record.release == release), None)
        pods = [pod for pod in trial.pods if pod.release == release and not pod.ready and not pod.deleting]
        if record is not None and record.verdict is not None:
            pods = []
        pods += [pod for pod in seen.pullers if not pod.is_over]
        if not pods:
            memory.answers = None
            return seen, None
        answers = memory.answers = {
            of: answer for of, answer in (memory.answers or {}).items() if now - answer[0] < ASK_AGAIN
        }
        recheck: timedelta | None = None
        gone: set[str] = set()
        told: dict[str, str] = {}
        pins = dict(record.images) if record else {}
        asked = 0
        for pod in pods:
            for failing in missing_images(pod):
                try:
                    pin = parse_pin(failing.image if pod.pulls else pins.get(failing.name, failing.image))
                except ReferenceInvalid:
                    continue
                if pin.digest not in answers:
                    template = spec.template or (seen.workload.template if seen.workload else {})
                    answers[pin.digest] = (now, await self._is_gone(access_source(rollout.key, spec, template), pin))
                if answers[pin.digest][1]:
                    gone.add(pin.digest)
                recheck = ASK_AGAIN
            if _is_stuck(pod):
                waited = now - (pod.scheduled_at or now)
                recheck = min(recheck or ASK_AGAIN, SLOW_START - waited if waited < SLOW_START else ASK_AGAIN)
                if waited < SLOW_START:
                    continue
                if pod.uid not in answers and asked < MOST_ASKED:
                    asked += 1
                    answers[pod.uid] = (now, await self._mount_trouble(rollout.key, pod))
                trouble = answers[pod.uid][1] if pod.uid in answers else None
                if isinstance(trouble, str):
                    told[pod.uid] = trouble
        pods_told, pullers_told = (
            tuple(replace(pod, trouble=told[pod.uid]) if pod.uid in told else pod for pod in group)
            for group in (seen.pods, seen.pullers)
        )
        return replace(seen, gone=frozenset(gone), pods=pods_told, pullers=pullers_told), recheck

    async def _mount_trouble(self, key: Key, pod: Pod) -> str | None:
        """What a Pod's events say, where they can be read: it explains, and nothing must wait for it."""
        try:
            return await self._cluster.mount_trouble(key, pod)
        except PodpinError as error:
            log.info("%s: the events of Pod %s could not be read: %s", key, pod.name, error)
            return None

    async def _is_gone(self, source: AccessSource, pin: Pin) -> bool | None:
        """Whether the registry itself says that it has not got an image; None where it does not say."""
        try:
            async with asyncio.timeout(PATIENCE):
                access = await load_access(self._cluster, source)
                return not await self._registry.exists(parse_repository(pin.repository), pin.digest, access)
        except (PodpinError, TimeoutError) as error:
            log.info("whether %s still exists could not be asked: %s", pin, error)
            return None

    # --- act

    async def _act(self, rollout: Rollout, seen: Observation, decision: Decision, stored: Mapping[str, Any]) -> None:
        back = way_back(decision)
        try:
            status = await self._carried_out(rollout, seen, decision)
        except WorkloadRefused as refusal:
            self._gone_back(rollout.key, back, "refused")
            # With that in mind, what runs is judged, and told of, as ever.
            known = report.refused(rollout.status, refusal.intent, str(refusal), decision.status.requests)
            rollout = replace(rollout, status=known)
            await self._act(rollout, seen, decide(rollout, seen, self._clock()), stored)
            return
        except Invalid as error:
            message = f"the API server refuses podpin's record of a release, which is tried again: {error}"
            refused = report.stalled(rollout, "RecordRefused", message, self._clock())
            await self._tell(rollout, render_status(refused.status), stored, refused.notices)
            raise
        except NameTaken as error:
            taken = report.stalled(rollout, "WorkloadConflict", str(error), self._clock())
            handled = {"requests": decision.status.requests, "images": decision.status.images}
            await self._tell(rollout, render_status(taken.status.model_copy(update=handled)), stored, taken.notices)
            raise Unavailable(str(error), retry_after=TAKEN_SECONDS) from error
        except Denied as error:
            self._gone_back(rollout.key, back, "refused")
            denial = report.denied(rollout, str(error), self._clock())
            await self._tell(rollout, render_status(denial.status), stored, denial.notices)
            raise Unavailable(f"The API server forbids podpin's write: {error}", retry_after=DENIED_SECONDS) from error
        self._gone_back(rollout.key, back, "applied")
        await self._tell(rollout, render_status(status), stored, decision.notices)
        self._count(rollout, status)
        if (account := account_of(decision)) is not None:
            decisions.info("%s: %s", rollout.key, account.sentence, extra=account.fields())
        self._memories.setdefault(rollout.key, Memory()).pulling.raise_failure()

    def _gone_back(self, key: Key, back: tuple[str, bool] | None, result: str) -> None:
        if back is not None:
            self._observer.rolled_back(key, back[0], result, judged=back[1])

    def _count(self, rollout: Rollout, status: Status) -> None:
        if isinstance(rollout.spec, Spec):
            for policy in chosen_policies(rollout.spec, rollout.status, status):
                self._observer.chosen(policy)
        for trial in ended_trials(rollout.status, status):
            seconds = (trial.ended_at - trial.started_at).total_seconds()
            self._observer.ended(trial.result, trial.reason or trial.result, seconds)

    def _count_applied(self, rollout: Rollout, release: str, images: Images) -> None:
        waits = rollout.status.waiting
        if waits is None or waits.release != release:  # else it was not podpin that took its time
            self._observer.applied(rollout.key, (parse_pin(image).digest for _, image in images))

    async def _carried_out(self, rollout: Rollout, seen: Observation, decision: Decision) -> Status:
        """Carry out the actions in their order, and return the status as it is to be then."""
        key, status = rollout.key, decision.status
        applied: Workload | None = None
        work: list[PodAction] = []
        pulls: list[StartPull | EndPull] = []
        gone: tuple[Copy, ...] = ()
        fetching = [
            asyncio.ensure_future(self._cluster.release(key, action.id))
            for action in decision.actions
            if isinstance(action, Apply) and action.release is None
        ]
        try:
            for action in decision.actions:
                match action:
                    case Write(release, record):
                        await self._cluster.write_record(key, rollout.uid, release, record)
                    case Judge(record):
                        await self._cluster.judge(key, record)
                    case Apply():
                        whole = action.release or await fetching[0]
                        if whole is None:
                            raise NotFound(f"The record of release {action.id} is gone, so it can't be applied.")
                        await self._pin(rollout, whole, current=action.release is not None)
                        applied = await self._apply(rollout, seen.workload, action, whole)
                        if seen.workload is not None and seen.workload.drifted:
                            memory = self._memories.setdefault(key, Memory())
                            memory.corrections = remembered(memory.corrections, self._clock())
                        status = report.with_workload(status, applied, _place(rollout).name)
                    case ApplyCanary():
                        await self._apply_canary(rollout, action)
                    case Unstick(pod, uid):
                        await self._cluster.delete_pod(key, pod, uid)
                    case RemoveCanary(uid):
                        await self._cluster.remove_canary(key, uid)
                    case Rehearse(release, intent):
                        await self._rehearse(rollout, release, intent)
                    case AdoptPod() | CreatePod() | DeletePod() | EvictPod() | PatchPod():
                        work.append(action)
                    case StartPull() | EndPull():
                        pulls.append(action)
                    case Restore(copies):
                        gone = copies
                    case Prune(id_, copies):
                        await self._drop(rollout, copies)
                        await self._cluster.prune(key, id_)
                    case _:
                        assert_never(action)
        finally:
            for task in fetching:
                task.cancel()
        spec = _readable(rollout)
        if spec is not None and spec.kind == podset.KIND:
            await self._work(rollout, seen, work)
            if any(notice.reason == "DriftCorrected" for notice in decision.notices):
                memory = self._memories.setdefault(key, Memory())
                memory.corrections = remembered(memory.corrections, self._clock())
            marked = replace(seen, records=self._cluster.records(key))
            seen = podset.observed(rollout, spec, marked, self._clock())
        await self._pull(rollout, decision, pulls)
        if gone:
            await self._pinning.restore(rollout, gone)
        there = seen.workload
        ours = there is not None and isinstance(rollout.spec, Spec) and _is_ours(rollout, rollout.spec, there)
        if applied is None and there is not None and ours and not there.drifted:
            # A status that lags behind, as when podpin died after its write, would cost a question at each start. It is
            # to name a generation only that was compared: a later change would not show in it.
            known, compared = status.workload, self._memories.setdefault(key, Memory()).generation
            said = (known.uid, known.release, known.intent) if known is not None else None
            exact = compared == there.generation or _place(rollout).kind == podset.KIND  # Pods always are
            if exact and said != (there.uid, there.release, there.intent):
                status = report.with_workload(status, there, _place(rollout).name)
        return status

    async def _apply(self, rollout: Rollout, there: Workload | None, action: Apply, release: Release) -> Workload:
        try:
            return await self._apply_as(rollout, there, action, release)
        except (Denied, WorkloadRefused) as error:
            if action.manner is not Manner.AT_ONCE:
                raise
            # Some policy, perhaps, of how much may be surged; if it is of something else, it tells so once more.
            log.info("%s: the way back is gradual, for at once it is refused: %s", rollout.key, error)
            return await self._apply_as(rollout, there, replace(action, manner=Manner.USUAL), release)

    async def _apply_as(self, rollout: Rollout, there: Workload | None, action: Apply, release: Release) -> Workload:
        assert isinstance(rollout.spec, Spec)
        manifest = self._manifest(rollout, rollout.spec, there, release, action.mark)
        manifest = in_manner(manifest, action.manner)
        try:
            if rollout.spec.target_ref is not None:
                assert action.uid is not None, "only a workload that is there is given images"
                applied = await self._cluster.apply_pins(rollout.key, manifest, action.uid)
            else:
                applied = await self._cluster.apply(rollout.key, manifest, action.uid)
        except Invalid as error:
            raise WorkloadRefused(action.mark, str(error)) from error
        self._memories.setdefault(rollout.key, Memory()).generation = applied.generation
        self._count_applied(rollout, release.id, release.images)
        told = images_text(release.images)
        log.info("%s: release %s applied: %s", rollout.key, release.id, told, extra={"release": release.id})
        return applied

    async def _pin(self, rollout: Rollout, release: Release, *, current: bool) -> None:
        await self._pinning.ensure(rollout, release, self._clock(), current=current)

    async def _drop(self, rollout: Rollout, copies: Iterable[Copy]) -> None:
        for one in copies:
            try:
                await self._cluster.drop_copy(rollout.key, rollout.uid, one)
            except Denied as error:  # it is collected with the rollout
                log.info("%s: %s stays: %s", rollout.key, one, error)

    async def _rehearse(self, rollout: Rollout, release: Release, intent: str) -> None:
        owner = owner_reference(rollout.key.name, rollout.uid)
        try:
            await self._cluster.rehearse(rollout.key, pod_manifest(rollout.key, owner, release, None))
        except Invalid as error:
            raise WorkloadRefused(intent, str(error)) from error
        except Denied as error:  # a quota or a policy, which is told of when it stands in the way
            told = "%s: a Pod of release %s would be refused now: %s"
            log.info(told, rollout.key, release.id, error, extra={"release": release.id})
        await self._pin(rollout, release, current=True)  # before its record says that it runs

    async def _work(self, rollout: Rollout, seen: Observation, actions: Sequence[PodAction]) -> None:
        """Make and take away Pods."""
        key, memory = rollout.key, self._memories.setdefault(rollout.key, Memory())
        first = next((action for action in actions if isinstance(action, CreatePod)), None)
        whole = first.release or await self._cluster.release(key, first.id) if first is not None else None
        if first is not None and whole is None:
            raise NotFound(f"The record of release {first.id} is gone, so its Pods can't be made.")
        if first is not None and rollout.status.workload is not None and all(pod.is_over for pod in seen.pods):
            # Perhaps they went with the rollout itself, and the watch was blind at the time.
            await self._cluster.confirm(key, rollout.uid)
        if first is not None and whole is not None:
            await self._pin(rollout, whole, current=first.release is not None)

        def manifest(action: CreatePod) -> Mapping[str, Any]:
            assert whole is not None
            owner = owner_reference(key.name, rollout.uid)
            return pod_manifest(key, owner, replace(whole, retried=action.retried), action.name)

        memory.again = await memory.crew.work(self._cluster, key, rollout.uid, actions, manifest, self._clock())
        for patch in (action for action in actions if isinstance(action, PatchPod)):
            self._count_applied(rollout, patch.id, patch.images)
        if whole is not None:
            self._count_applied(rollout, whole.id, whole.images)
        for action in actions:
            log.info("%s: %s %s", key, type(action).__name__, action.name)

    async def _pull(self, rollout: Rollout, decision: Decision, actions: Sequence[StartPull | EndPull]) -> None:
        memory, waiting = self._memories.setdefault(rollout.key, Memory()), decision.status.waiting
        if waiting is None or waiting.reason != PRE_PULLING:
            memory.pulling.forget()
        if await memory.pulling.work(self._cluster, rollout.key, rollout.uid, actions):
            memory.again = True

    async def _apply_canary(self, rollout: Rollout, action: ApplyCanary) -> None:
        assert isinstance(rollout.spec, Spec)
        key, name = rollout.key, names.canary_name(rollout.key.name)
        release = action.release or await self._cluster.release(key, action.id)
        if release is None:
            raise NotFound(f"The record of release {action.id} is gone, so its canary can't be made.")
        await self._pin(rollout, release, current=action.release is not None)
        live = await self._cluster.live_workload(key, names.canary_place(key.name)) if action.uid is None else None
        if live is not None and workload_of(live).owner != rollout.uid:
            raise NameTaken(
                f"a Deployment named {name} exists and is not this rollout's, so there can be no canary: rename the "
                "rollout, delete that Deployment, or take rollout.canary out of the spec"
            )
        owner = owner_reference(key.name, rollout.uid)
        if rollout.spec.target_ref is None:
            template, ready_seconds = pod_template(key.name, release), rollout.spec.workload.min_ready_seconds
        else:
            target = await self._cluster.live_workload(key, rollout.spec.place(key.name))
            if target is None:
                raise NotFound(f"The {rollout.spec.place(key.name)} is gone, so there is nothing to have a canary of.")
            template = adopted.template_of(key, rollout.spec, target, release)
            ready_seconds = target["spec"].get("minReadySeconds") or 0
        manifest = canary(key, owner, template, ready_seconds, action)
        try:
            await self._cluster.apply(key, manifest, action.uid)
        except Invalid as error:
            raise WorkloadRefused(action.intent, str(error)) from error
        told = f"step {action.step}, {action.replicas} Pods: {images_text(release.images)}"
        log.info("%s: canary of release %s applied, %s", key, release.id, told, extra={"release": release.id})

    def _manifest(
        self, rollout: Rollout, spec: Spec, there: Workload | None, release: Release, intent: str
    ) -> dict[str, Any]:
        if spec.target_ref is not None:
            assert there is not None, "only a workload that is there is given images"
            return adopted.pins_of(rollout.key, spec, there, release, intent)
        owner = owner_reference(rollout.key.name, rollout.uid)
        return BUILDERS[spec.kind](rollout.key, owner, spec.workload, release, intent)

    async def _tell(
        self, rollout: Rollout, status: Mapping[str, Any], stored: Mapping[str, Any], notices: Iterable[Notice]
    ) -> None:
        if status != stored:
            body = await self._cluster.write_status(rollout.key, rollout.uid, status)
            if self._rollouts.version(rollout.key) is not None:  # else the watch has told that it is gone
                self._rollouts.put(body)
        memory, now = self._memories.setdefault(rollout.key, Memory()), self._clock()
        told = tuple(notices)
        posted, memory.said = news(memory.said, told, now)
        for notice in posted:
            self._cluster.announce(rollout.key, rollout.uid, notice, now)
        for notice in told:
            log.log(
                logging.INFO if notice.type == "Normal" else logging.WARNING,
                "%s: %s: %s",
                rollout.key,
                notice.reason,
                notice.message,
                extra={"reason": notice.reason},
            )


def _owned(workload: Workload | None, uid: str) -> Workload | None:
    return workload if workload is not None and workload.owner == uid else None


def dependency_keys(key: Key, spec: Spec) -> tuple[Key, ...]:
    """The rollouts that must run what they want before a new release of this one begins."""
    return tuple(Key(key.namespace, one.name) for one in spec.depends_on)


def rollout_of(body: Mapping[str, Any]) -> Rollout:
    """An ImageRollout as parsed from its API object. A spec that cannot be used becomes a Problem, no exception."""
    metadata = body["metadata"]
    annotations = metadata.get("annotations") or {}
    spec: Spec | Problem
    try:
        spec = parse_spec(body.get("spec") or {})
        if (problem := problem_of(spec)) is not None:
            spec = replace(problem, spec=spec)
    except SpecInvalid as error:
        spec = Problem("InvalidSpec", str(error))
    return Rollout(
        key=Key(metadata["namespace"], metadata["name"]),
        uid=metadata["uid"],
        generation=int(metadata.get("generation") or 0),
        spec=spec,
        status=parse_status(body.get("status")),
        requests=Requests(
            reconcile=annotations.get(names.REQUEST_RECONCILE),
            retry=annotations.get(names.REQUEST_RETRY),
            rollback_to=annotations.get(names.REQUEST_ROLLBACK),
            approve=annotations.get(names.REQUEST_APPROVE),
        ),
        paused=annotations.get(names.PAUSE),
        created=read_time(metadata.get("creationTimestamp")),
    )


def _readable(rollout: Rollout) -> Spec | None:
    """The spec, if it can be read at all, whatever is wrong with it."""
    return rollout.spec.spec if isinstance(rollout.spec, Problem) else rollout.spec


def _place(rollout: Rollout) -> Place:
    assert isinstance(rollout.spec, Spec)
    return rollout.spec.place(rollout.key.name)


def _is_ours(rollout: Rollout, spec: Spec, workload: Workload) -> bool:
    """Whether podpin has made the workload for this rollout, or taken it over."""
    if spec.target_ref is not None:
        return adopted.holds(rollout.key.name, workload)
    return workload.owner == rollout.uid


def _partial_at(spec: Spec, seen: Observation, memory: Memory, now: datetime) -> datetime | None:
    """When podpin last saw that the release that is rolled out was not whole, or disturbed; None if it never did.

    A Deployment's controller counts a Pod that has become ready a moment later, so that podpin sees both. Of Pods of
    podpin's own, and where the clocks differ, the first look that shows the change stands for the change itself.
    """
    trial = on_trial(seen)
    release = trial.workload.release if trial.workload else None
    if release is None:
        return None
    known = memory.partial if memory.partial is not None and memory.partial[0] == release else None
    steady, when = bake_begins(release, trial, now), known[2] if known is not None else None
    if steady is None:
        when = now
    elif known is not None and steady != known[1]:
        own = spec.kind == podset.KIND and seen.canary is None
        if own or (when is not None and steady < when.replace(microsecond=0)):
            when = now
    memory.partial = (release, steady, when)
    return when


def _unready(pods: Iterable[Pod], memory: Memory, now: datetime) -> dict[str, datetime]:
    """When podpin first saw of each Pod that it is not ready, since it is so."""
    known, memory.unready = memory.unready, {}
    for pod in pods:
        if not pod.ready and pod.ready_changed is not None:
            before = known.get(pod.uid, (None, now))
            memory.unready[pod.uid] = (pod.ready_changed, before[1] if before[0] == pod.ready_changed else now)
    return {uid: seen for uid, (_since, seen) in memory.unready.items()}


def _held_digest(rollout: Rollout, spec: Spec, container: str) -> str | None:
    """The digest that status holds for a container, chosen for this very spec."""
    sources = {image.container: source_of(image) for image in spec.images}
    held = [one for one in rollout.status.images if one.container == container]
    return next((one.digest for one in held if one.source == sources[container]), None)


def _choose_anew(rollout: Rollout) -> bool:
    """Whether somebody asks for another choice than the tag that is gone: only a person may step back from it."""
    handled = rollout.status.requests.retry if rollout.status.requests else None
    resolved = next((one for one in rollout.status.conditions if one.type == "Resolved"), None)
    gone = resolved is not None and resolved.status == "False" and resolved.reason == TAG_NOT_FOUND
    return gone and rollout.requests.retry is not None and rollout.requests.retry != handled


def _by_container(pins: Iterable[PinnedImage]) -> dict[str, str]:
    return {pin.container: pin.image for pin in pins}


def _wishes(
    rollout: Rollout,
    spec: Spec,
    template: Mapping[str, Any],
    given: Mapping[str, Found | Failed | PassedOver],
    *,
    anew: bool,
) -> dict[str, Wish]:
    """What the rollout follows, by container: all images but those whose digest the user has written."""
    source = access_source(rollout.key, spec, template)
    last = {image.container: image for image in rollout.status.images}
    stable = (
        {one.container: parse_pin(one.image) for one in rollout.status.stable.images} if rollout.status.stable else {}
    )
    wishes = {}
    placement = placement_of(template)
    for image in spec.images:
        if image.policy.digest is not None:
            continue
        known, kept = last.get(image.container), stable.get(image.container)
        current = known if known is not None and known.source == source_of(image) else None
        wishes[image.container] = Wish(
            repository=parse_repository(image.repository),
            selection=image.selection,
            interval=spec.registry.interval.total_seconds(),
            source=replace(source, key_secrets=key_secrets_of(image)),
            chosen=current.tag if current and not anew else None,
            known=current.digest if current and not anew else None,
            keep=kept.digest if kept and kept.repository == image.repository else None,
            terms=Terms(
                platforms=image.platforms,
                placement=None if image.platforms else placement,
                min_age=image.min_age,
                immutable=image.immutable_tags,
                named=_named(rollout, image) if image.immutable_tags else (),
                verify=image.verify,
            ),
            built=current.created if current else None,
            described=current is None or current.size_bytes is not None,
            given=given.get(image.container),
        )
    return wishes


def _named(rollout: Rollout, image: ImageSpec) -> tuple[tuple[str, str], ...]:
    """What tags of an image's repository have named, as far as the rollout remembers: the newest first."""
    status = rollout.status
    releases = (*((status.stable,) if status.stable else ()), *status.history, *status.rejected)
    pins = [parse_pin(one.image) for release in releases for one in release.images if one.container == image.container]
    chosen = [(one.tag, one.digest) for one in status.images if one.container == image.container]
    there = [*chosen, *((pin.tag, pin.digest) for pin in pins if pin.repository == image.repository)]
    return tuple(dict.fromkeys((tag, digest) for tag, digest in there if tag is not None))


def access_source(key: Key, spec: Spec, template: Mapping[str, Any]) -> AccessSource:
    """Where the credentials of a rollout's registries come from; `template` is that of its Pods, whoever wrote it."""
    pod = template.get("spec") or {}
    return AccessSource(
        namespace=key.namespace,
        pull_secrets=tuple(secret.name for secret in spec.registry.pull_secrets),
        template_secrets=tuple(secret["name"] for secret in pod.get("imagePullSecrets") or () if secret.get("name")),
        service_account=pod.get("serviceAccountName") or pod.get("serviceAccount") or "default",
        ca_secret=spec.registry.ca_secret.name if spec.registry.ca_secret else None,
    )


def key_secrets_of(image: ImageSpec) -> tuple[str, ...]:
    """The Secrets with the public keys by which an image is verified, each once."""
    named = [demand.cosign.public_key_secret for demand in image.verify if demand.cosign is not None]
    return tuple(dict.fromkeys(name for name in named if name is not None))


def load_access(cluster: Cluster, source: AccessSource) -> Awaitable[Access]:
    """Read the credentials, the CA and the keys that a source names."""
    return cluster.access(
        source.namespace,
        source.pull_secrets,
        source.template_secrets,
        source.service_account,
        source.ca_secret,
        source.key_secrets,
    )


def _resolution(look: Look | None) -> Resolution:
    if look is None:
        return None
    match look.outcome:
        case Found() as found:
            return Resolved(found.tag, found.digest, found.passed_over, found.facts, found.new_bytes)
        case Failed(reason, message):
            return Unresolved(reason, message)
        case _:
            assert_never(look.outcome)


def _rests_on_time(action: Action, records: Iterable[Record]) -> bool:
    """A verdict because nothing has happened for a while, so it must be certain that nothing has.

    One that stands already is not passed anew: its record gets a mark, that of what is to run.
    """
    if isinstance(action, RemoveCanary) or (isinstance(action, ApplyCanary) and action.step > 1):
        return True
    verdict = action.record.verdict if isinstance(action, Judge | Write) else None
    if isinstance(action, Judge) and any(
        (one.release, one.verdict) == (action.record.release, verdict) for one in records
    ):
        return False
    return verdict is not None and (verdict.result == STABLE or verdict.reason in _BY_TIME)


_BY_TIME = frozenset({DEADLINE_EXCEEDED, READINESS_LOST, CHECK_FAILED})
"""Reasons that hold only if the Pods are as they were seen: a check fails where one of them has gone, too."""


def _is_stuck(pod: Pod) -> bool:
    """It has a node, whose kubelet has not got further than being about to create the Pod's containers."""
    waiting = [container.waiting for container in pod.containers]
    return (
        pod.phase == "Pending"
        and pod.scheduled_at is not None
        and bool(waiting)
        and all(reason in ("ContainerCreating", "PodInitializing") for reason in waiting)
    )
