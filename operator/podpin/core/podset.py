"""Pods without a Deployment: podpin as its own small ReplicaSet. Pure.

Which release is to run stands on the releases' records, as a number: the highest one runs. The Pods follow from
comparing that with the Pods that are there, so a crash between any two writes leaves a world from which the same plan
follows. `observed` shows the Pods as the workload that everybody else judges and tells of; `plan` says which Pods to
make and which to take away.

The rules are those of a Deployment: never more Pods than replicas and surge, never fewer available than replicas
without maxUnavailable by podpin's own doing, and Pods that are going away count no more. Two things are done
otherwise. Pods of a release that never proved and are not ready go first and at once, for they serve nobody. And a
Pod that is taken away only because a newer release came is evicted, so that its PodDisruptionBudget is asked.

Going back asks nobody, and is done at once: all Pods of the stable release are made in one go, beside as many of the
rejected one as serve, for those leave only as others take their place. Where there is to be no surge, as where two
Pods cannot share what they use, that holds for the way back too.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from podpin.core import names
from podpin.core.decision import Action, AdoptPod, CreatePod, DeletePod, EvictPod, PatchPod, Rehearse, Rollout
from podpin.core.drift import is_altered
from podpin.core.observation import Observation, Pod, Workload
from podpin.core.release import Record, Release, digest_of
from podpin.core.spec import Spec
from podpin.core.transitions import State, World, state_of
from podpin.core.workload import amount_of, intent_of, strategy_of

KIND: Final = "Pods"
FORGOTTEN: Final = timedelta(minutes=10)
"""For how long a Pod that has failed speaks against making the next one at once; then it is deleted."""
FIRST_PAUSE: Final = timedelta(seconds=10)
LONGEST_PAUSE: Final = timedelta(minutes=5)
"""How long to wait before Pods are made again where they fail at once, at first and at most."""

STALE: Final = ""
"""The release of a Pod that is none any more: somebody has changed its image, or it is of an earlier try."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do about the Pods, in its order, and when there will be more to do though nothing happens."""

    actions: tuple[Action, ...] = ()
    recheck_at: datetime | None = None
    altered: tuple[str, ...] = ()
    """The names of the Pods that are taken away because somebody has changed their images."""


@dataclass(frozen=True, slots=True)
class Terms:
    """By what Pods are replaced, in numbers of Pods."""

    replicas: int
    surge: int
    unavailable: int
    recreate: bool
    ready_for: timedelta
    """How long a Pod must be ready before it counts as available."""

    @property
    def floor(self) -> int:
        """How many available Pods podpin leaves, whatever it replaces."""
        return max(0, self.replicas - self.unavailable)


def terms_of(spec: Spec) -> Terms:
    """The numbers that a spec means, percentages rounded as for a Deployment: the surge up, the others down."""
    wish, replicas = spec.workload, 1 if spec.replicas is None else spec.replicas
    strategy = strategy_of(wish)
    ready_for = timedelta(seconds=wish.min_ready_seconds)
    if strategy.get("type") == "Recreate":
        return Terms(replicas, 0, replicas, recreate=True, ready_for=ready_for)
    rolling = strategy["rollingUpdate"]
    surge = amount_of(rolling["maxSurge"], replicas, up=True)
    unavailable = min(replicas, amount_of(rolling["maxUnavailable"], replicas, up=False))
    if surge == 0 and unavailable == 0:
        unavailable = 1  # a percentage that comes to nothing: otherwise no Pod could ever be replaced
    return Terms(replicas, surge, unavailable, recreate=False, ready_for=ready_for)


def running_of(records: Iterable[Record]) -> Record | None:
    """The release that is to run, by its record; None where none ever was."""
    return max((record for record in records if record.runs), key=lambda record: record.runs, default=None)


def marked(world: World, before: World) -> World:
    """The same world with the release that is to run marked as such on its record, where that has changed."""
    record = world.record(world.running)
    if record is None or world.running == before.running:
        return world
    number = 1 + max((one.runs for one in world.records.values()), default=0)
    wanted = world.wanted if world.wanted is not None and world.wanted.id == record.release else None
    template = digest_of(wanted.template) if wanted is not None else record.template
    return world.with_record(replace(record, runs=number, template=template))


def rehearsal(spec: Spec, before: World, world: World) -> Iterator[Rehearse]:
    """The question whether the API server takes the Pods of a release that is about to be tried.

    What it refuses must not take the place of what runs. The stable release has been taken before.
    """
    record, wanted = world.record(world.running), world.wanted
    if world.running == before.running or record is None or record.is_stable or wanted is None:
        return
    if wanted.id == record.release:
        intent = intent_of(spec.workload, record.release, record.images, record.retried)
        yield Rehearse(_whole(wanted, record), intent)


def observed(rollout: Rollout, spec: Spec, seen: Observation, now: datetime) -> Observation:
    """The same observation with the Pods shown as the workload that they make up.

    Pods that somebody else controls are left out. Those that nobody controls are podpin's: it is about to adopt them.
    """
    ours = [pod for pod in seen.pods if pod.canary or pod.owner == rollout.uid or _is_orphan(pod)]
    others = {pod.name for pod in seen.pods} - {pod.name for pod in ours}
    hindrance = replace(seen.hindrance, taken=seen.hindrance.taken | others)
    record = running_of(record for record in seen.records if record.owner == rollout.uid)
    if record is None:
        return replace(seen, workload=None, pods=tuple(ours), hindrance=hindrance)
    pods = tuple(_as_it_is(pod, record) for pod in ours)
    terms = terms_of(spec)
    live = [pod for pod in pods if not pod.is_over and not pod.canary]
    workload = Workload(
        uid=rollout.uid,
        owner=rollout.uid,
        generation=record.runs,
        observed_generation=record.runs,
        release=record.release,
        intent=intent_of(spec.workload, record.release, record.images, record.retried),
        replicas=terms.replicas,
        total=len(live),
        updated=sum(pod.release == record.release for pod in live),
        available=sum(_is_available(pod, terms, now) for pod in live),
        not_created=hindrance.not_created,
        not_removed=hindrance.not_removed if any(pod.release != record.release for pod in live) else None,
    )
    return replace(seen, workload=workload, pods=pods, hindrance=hindrance)


def _is_orphan(pod: Pod) -> bool:
    return pod.owner is None and not pod.is_over and not pod.canary


def _as_it_is(pod: Pod, record: Record) -> Pod:
    """A Pod that says it is of the running release, but is not as that release has it, is of none."""
    return pod if pod.release != record.release or pod.canary or is_of(pod, record) else replace(pod, release=STALE)


def is_of(pod: Pod, record: Record) -> bool:
    """The Pod is of this release, and of its last try, and runs its images."""
    return pod.release == record.release and pod.retried == record.retried and not is_altered(pod, record)


def _available_at(pod: Pod, terms: Terms) -> datetime | None:
    return (pod.ready_changed or pod.created) + terms.ready_for if pod.ready else None


def _is_available(pod: Pod, terms: Terms, now: datetime) -> bool:
    at = _available_at(pod, terms)
    return at is not None and at <= now


def plan(rollout: Rollout, spec: Spec, seen: Observation, world: World, now: datetime) -> Plan:
    """Which Pods to make and which to take away, so that the release that is to run has its replicas."""
    record = world.record(world.running)
    if record is None:
        return Plan()
    terms = terms_of(spec)
    pods = [pod for pod in seen.pods if not pod.canary]
    altered = tuple(
        sorted(pod.name for pod in pods if pod.release == STALE and not pod.is_over and is_altered(pod, record))
    )
    live = [pod for pod in pods if not pod.is_over]
    contest = seen.workload.contest if seen.workload else None
    left = altered if contest is not None and now < contest.correct_from else ()
    current = [pod for pod in live if is_of(pod, record) or pod.name in left]
    old = [pod for pod in live if pod not in current]
    leaving = [pod for pod in pods if pod.deleting and not is_of(pod, record)]
    failed = [pod for pod in pods if pod.is_over and not pod.deleting]
    doomed: list[Pod]
    evicted: list[Pod]
    kept: list[Pod] = []
    patched: list[Pod] = []
    still = spec.suspend or (rollout.paused is not None and state_of(world) is State.TRYING)
    if spec.workload.in_place and not still:
        kept, patched = _kept(current, old, record, world.records, terms, seen.hindrance.unpatchable, now)
    if still:
        doomed, evicted, missing = [], [], max(0, terms.replicas - len(live))
        if not old:
            doomed = _surplus(current, terms, now)
    elif terms.recreate:
        doomed, evicted = [*old, *_surplus(current, terms, now)], []
        missing = 0 if old or leaving else terms.replicas - len(current)
    else:
        others = [pod for pod in old if pod not in kept]
        back = record.is_stable and any(_is_rejected(world.records.get(pod.release)) for pod in others)
        doomed, evicted, missing = _rolled([*current, *kept], others, world.records, terms, now, at_once=back)
    create_from = max(seen.hindrance.create_from or now, _calm_at(failed, record, terms, now))
    remove_from = seen.hindrance.remove_from or now
    spent = [pod for pod in failed if pod.release != record.release or now >= pod.created + FORGOTTEN]
    taken = {pod.name for pod in seen.pods} | seen.hindrance.taken
    made = _created(rollout, record, world.wanted, taken, missing) if now >= create_from else ()
    going = evicted if now >= remove_from else []
    waits = [
        *(at for pod in live if (at := _available_at(pod, terms)) is not None and at > now),
        *(pod.created + FORGOTTEN for pod in failed if pod not in spent),
        *([create_from] if missing > 0 and create_from > now else []),
        *([remove_from] if evicted and remove_from > now else []),
    ]
    return Plan(
        actions=(
            *(AdoptPod(pod.name, pod.uid) for pod in sorted(live, key=_by_name) if pod.owner is None),
            *(DeletePod(pod.name, pod.uid) for pod in (*doomed, *sorted(spent, key=_by_name))),
            *(
                PatchPod(pod.name, pod.uid, record.release, _changed(pod, record), record.retried, now)
                for pod in patched
            ),
            *(EvictPod(pod.name, pod.uid) for pod in going),
            *made,
        ),
        recheck_at=min(waits, default=None),
        altered=tuple(name for name in altered if name in {pod.name for pod in (*doomed, *going)}),
    )


def kept_up(rollout: Rollout, spec: Spec, seen: Observation, now: datetime) -> Plan:
    """The same where the spec has a problem, so that nothing new may begin: what runs keeps its replicas."""
    running = seen.workload.release if seen.workload else None
    records = {record.release: record for record in seen.records if record.owner == rollout.uid}
    world = World(running, records, None, None, way_back=False, retry=None, rollback_to=None, now=now, started=now)
    return plan(rollout, spec.model_copy(update={"suspend": True}), seen, world, now)


def _kept(
    current: list[Pod],
    old: list[Pod],
    record: Record,
    records: Mapping[str, Record],
    terms: Terms,
    unpatchable: frozenset[str],
    now: datetime,
) -> tuple[list[Pod], list[Pod]]:
    """The Pods that stay and get new images, and those of them whose turn it is: one by one, or as many as may be
    unavailable. What does not serve has nothing to lose, and gets them at once."""
    able = [pod for pod in old if pod.uid not in unpatchable and _may_stay(pod, record, records.get(pod.release))]
    kept = _first_to_go(able, records)[: max(0, terms.replicas - len(current))]
    floor = terms.replicas - max(1, terms.unavailable)
    spare = sum(_is_available(pod, terms, now) for pod in (*current, *old)) - floor
    turn = []
    for pod in kept:
        if _is_available(pod, terms, now):
            spare -= 1
            if spare < 0:
                continue
        turn.append(pod)
    return kept, turn


def _may_stay(pod: Pod, record: Record, own: Record | None) -> bool:
    """Nothing but images of its main containers sets a Pod apart from the running release."""
    if own is None or not own.template or own.template != record.template or pod.owner is None:
        return False
    before, after, mains = dict(own.images), dict(record.images), {container for container, _ in pod.images}
    changed = {container for container, pin in after.items() if before.get(container) != pin}
    return before.keys() == after.keys() and changed <= mains and not is_altered(pod, own)


def _changed(pod: Pod, record: Record) -> tuple[tuple[str, str], ...]:
    pins = dict(record.images)
    return tuple((name, pins[name]) for name, image in pod.images if pins.get(name, image) != image)


def _rolled(
    current: list[Pod],
    old: list[Pod],
    records: Mapping[str, Record],
    terms: Terms,
    now: datetime,
    *,
    at_once: bool,
) -> tuple[list[Pod], list[Pod], int]:
    """Which Pods to delete, which to evict, and how many to make, when Pods are replaced few by few; `at_once`, as many
    are made as are missing, unless there is to be no surge."""
    unproven = {pod.uid for pod in old if not _is_proven(records.get(pod.release))}
    doomed = [pod for pod in _first_to_go(old, records) if pod.uid in unproven and not pod.ready]
    old = [pod for pod in old if pod not in doomed]
    surplus = _surplus(current, terms, now)
    current = [pod for pod in current if pod not in surplus]
    available = sum(_is_available(pod, terms, now) for pod in (*current, *old))
    starting = sum(not _is_available(pod, terms, now) for pod in current)
    # As many may go as leave the floor, also if none of those that are coming up should ever come up.
    spare = len(current) + len(old) - terms.floor - starting
    beyond = len(current) + len(old) - terms.replicas - terms.surge
    evicted: list[Pod] = []
    for pod in _first_to_go(old, records)[: max(0, spare)]:
        serves = _is_available(pod, terms, now)
        if serves and available <= terms.floor:
            continue
        available -= serves
        # A budget is asked for what serves and is only being replaced; fewer replicas are somebody's wish.
        asks = serves and pod.uid not in unproven and beyond <= 0
        (evicted if asks else doomed).append(pod)
        beyond -= 1
    missing = terms.replicas - len(current)
    room = terms.replicas + terms.surge - len(current) - len(old)
    return [*doomed, *surplus], evicted, missing if at_once and terms.surge else min(missing, room)


def _surplus(current: list[Pod], terms: Terms, now: datetime) -> list[Pod]:
    """What is more than the replicas: those first that are not available, be they ready or not."""
    listed = sorted(_first_to_go(current, {}), key=lambda pod: _is_available(pod, terms, now))
    return listed[: max(0, len(current) - terms.replicas)]


def _is_proven(record: Record | None) -> bool:
    return record is not None and record.is_stable


def _is_rejected(record: Record | None) -> bool:
    return record is not None and record.is_rejected


def _first_to_go(pods: Iterable[Pod], records: Mapping[str, Record]) -> list[Pod]:
    """The Pods in the order in which they are taken away: what is rejected, then what never proved, then as a
    ReplicaSet ranks them: without a node, not running, not ready, doubled up on a node, ready for less time, restarted
    more often, newer."""
    listed = list(pods)
    crowd = Counter(pod.node for pod in listed if pod.node)

    def rank(pod: Pod) -> tuple[object, ...]:
        record = records.get(pod.release)
        since = pod.ready_changed or pod.created
        return (
            not _is_rejected(record),
            _is_proven(record),
            pod.node is not None,
            pod.phase == "Running",
            pod.ready,
            -crowd[pod.node or ""],
            -since.timestamp(),
            -sum(container.restarts for container in pod.containers),
            -pod.created.timestamp(),
            pod.name,
        )

    return sorted(listed, key=rank)


def _calm_at(failed: Iterable[Pod], record: Record, terms: Terms, now: datetime) -> datetime:
    """From when Pods may be made again, where those that were made lately have failed at once, again and again."""
    lately = [pod.created for pod in failed if pod.release == record.release and now < pod.created + FORGOTTEN]
    rounds = -(-len(lately) // max(1, terms.replicas))
    if rounds < 2:
        return now
    pause: timedelta = FIRST_PAUSE * 2 ** min(rounds - 2, 10)
    return max(lately) + min(pause, LONGEST_PAUSE)


def _created(
    rollout: Rollout, record: Record, wanted: Release | None, taken: set[str], count: int
) -> Iterator[CreatePod]:
    """Pods under the first names that are free: a Pod that is going away, or has failed, has its name still."""
    every = (names.pod_name(rollout.key.name, record.release, nth) for nth in itertools.count())
    free = (name for name in every if name not in taken)
    whole = _whole(wanted, record) if wanted is not None and wanted.id == record.release else None
    for name in itertools.islice(free, max(0, count)):
        yield CreatePod(name, record.release, whole, record.retried)


def _whole(wanted: Release, record: Record) -> Release:
    return replace(wanted, images=record.images, retried=record.retried)


def _by_name(pod: Pod) -> str:
    return pod.name
