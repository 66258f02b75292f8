"""Pods without a Deployment: which are made and which go, by tables and by a model of a cluster that does its worst."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from tests.builders import START, UID, at, container, digest, images, record, release_id, rollout, run, spec, waiting

from podpin.core.decision import AdoptPod, CreatePod, DeletePod, EvictPod, Judge, Rehearse, Write
from podpin.core.observation import Hindrance, Observation, Pod, Resolved
from podpin.core.podset import FORGOTTEN, Terms, observed, running_of, terms_of
from podpin.core.release import Record
from podpin.core.rollout import decide
from podpin.core.spec import Spec
from podpin.core.status import parse_status, render_status

PODS = spec(workload={"kind": "Pods"})


def wish(**workload: Any) -> Spec:
    return spec(workload={"kind": "Pods", **workload})


@pytest.mark.parametrize(
    ("workload", "wanted"),
    [
        ({"replicas": 4}, (1, 0, False)),
        ({"replicas": 5}, (2, 0, False)),
        ({"replicas": 1}, (1, 0, False)),
        ({"replicas": 4, "strategy": {"rollingUpdate": {"maxSurge": 0, "maxUnavailable": "50%"}}}, (0, 2, False)),
        ({"replicas": 1, "strategy": {"rollingUpdate": {"maxSurge": 0, "maxUnavailable": "50%"}}}, (0, 1, False)),
        ({"replicas": 3, "strategy": {"rollingUpdate": {"maxUnavailable": 9}}}, (1, 3, False)),
        ({"replicas": 3, "strategy": {"type": "Recreate"}}, (0, 3, True)),
    ],
    ids=str,
)  # fmt: skip
def test_percentages_are_rounded_as_a_deployment_rounds_them(workload: Any, wanted: tuple[int, int, bool]) -> None:
    terms = terms_of(wish(**workload))
    assert (terms.surge, terms.unavailable, terms.recreate) == wanted


def test_a_floor_is_never_below_nothing() -> None:
    assert Terms(0, 1, 1, recreate=False, ready_for=timedelta(0)).floor == 0


def one(letter: str, nth: int, **fields: Any) -> Pod:
    """A Pod of podpin's own, ready since second 3 unless told otherwise."""
    ready = fields.pop("ready", True)
    return Pod(
        **{
            "name": f"web-{release_id(letter, PODS)}-{nth}",
            "uid": f"{letter}{nth}",
            "release": release_id(letter, PODS),
            "created": at(0),
            "phase": "Running" if ready else "Pending",
            "node": f"node-{nth}",
            "ready": ready,
            "ready_changed": at(3) if ready else at(1),
            "scheduled_at": at(1),
            "probed": True,
            "containers": (container() if ready else container(ready=False, running_since=None),),
            "owner": UID,
            "images": images(letter),
            **fields,
        }
    )


def some(letter: str, count: int, first: int = 0, **fields: Any) -> tuple[Pod, ...]:
    return tuple(one(letter, nth, **fields) for nth in range(first, first + count))


def known(letter: str, result: str | None = "Stable", order: int = 1, runs: int = 0) -> Record:
    return record(letter, result, order, PODS, runs=runs)


STEADY = (known("a", runs=1),)
FORWARD = (known("a", runs=1), known("b", None, runs=2))
BACK = (known("a", runs=3), known("b", "Rejected", 2, runs=2))
ALTERED = (("app", "elsewhere:1"),)


@dataclass(frozen=True)
class Row:
    says: str
    pods: tuple[Pod, ...]
    does: list[str]
    records: tuple[Record, ...] = STEADY
    workload: dict[str, Any] = field(default_factory=dict)
    chosen: str = "a"
    now: float = 100
    hindrance: Hindrance = field(default_factory=Hindrance)
    suspend: bool = False


ROWS = [
    Row("does nothing where all is as it should be", some("a", 2), []),
    Row("replaces a Pod that is gone, under its name", some("a", 1, 1), ["create a 0"]),
    Row("replaces a Pod that is going away, under another name", (one("a", 0, deleting=True), one("a", 1)), ["create a 2"]),
    Row("replaces a Pod that was evicted long after it was made, and clears it away", (one("a", 0, phase="Failed", ready=False, created=at(0)), one("a", 1)), ["delete a0", "create a 2"], now=1000),
    Row("replaces a Pod that has failed at once, and remembers it for a while", (one("a", 0, phase="Failed", ready=False), one("a", 1)), ["create a 2"]),
    Row("waits where all Pods fail at once again and again", some("a", 8, phase="Failed", ready=False, created=at(95)), [], now=100),
    Row("tries again after the pause", some("a", 8, phase="Failed", ready=False, created=at(95)), ["create a 8", "create a 9"], now=136),
    Row("makes no more than are wanted", some("a", 3), ["delete a0"]),
    Row("takes those away first that are not ready", (*some("a", 2), one("a", 2, ready=False, node=None)), ["delete a2"]),
    Row("takes those away first that have not been ready for long enough", (*some("a", 2, node="n"), one("a", 2, node="m", ready_changed=at(95))), ["delete a2"], workload={"minReadySeconds": 10}),
    Row("takes the newest away first where nothing else tells them apart", (one("a", 0, created=at(5), node="n"), *some("a", 2, 1, node="n")), ["delete a0"]),
    Row("keeps its Pods when none are wanted only as long as it must", some("a", 2), ["delete a0", "delete a1"], workload={"replicas": 0}),
    Row("adopts a Pod that nobody controls", (one("a", 0, owner=None), one("a", 1)), ["adopt a0"]),
    Row("adopts no Pod that is going away or has failed", (one("a", 0, owner=None, deleting=True), *some("a", 2, 1)), []),
    Row("touches no Pod of somebody else, and does not take its name", (one("a", 0, owner="", uid="theirs"), one("a", 1)), ["create a 2"]),
    Row("makes nothing before the time that a refusal has set", some("a", 1), [], hindrance=Hindrance(("FailedCreate", "quota"), at(200))),
    Row("passes over names that others have", (), ["create a 1", "create a 2"], hindrance=Hindrance(taken=frozenset({f"web-{release_id('a', PODS)}-0"}))),
    # forward
    Row("adds new Pods first, as many as the surge allows", some("a", 4), ["create b 0"], FORWARD, {"replicas": 4}, "b"),
    Row("waits until they are ready", (*some("a", 4), one("b", 0, ready=False)), [], FORWARD, {"replicas": 4}, "b"),
    Row("then evicts an old one", (*some("a", 4), one("b", 0)), ["evict a0"], FORWARD, {"replicas": 4}, "b"),
    Row("and goes on", (*some("a", 3), one("b", 0)), ["create b 1"], FORWARD, {"replicas": 4}, "b"),
    Row("does not count a Pod as available before minReadySeconds are over", (*some("a", 4), one("b", 0, ready_changed=at(95))), [], FORWARD, {"replicas": 4, "minReadySeconds": 10}, "b"),
    Row("begins with the old ones where there is no surge", some("a", 2), ["evict a0"], FORWARD, {"strategy": {"rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1}}}, "b"),
    Row("takes no more away while a new one fails", (one("a", 1), one("b", 0, ready=False)), [], FORWARD, {"strategy": {"rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1}}}, "b"),
    Row("evicts nothing before it is time to ask the budget again", (*some("a", 2), one("b", 0)), [], FORWARD, {}, "b", hindrance=Hindrance(not_removed="budget", remove_from=at(200))),
    Row("deletes an old Pod that is not ready, without asking", (*some("a", 1), one("a", 1, ready=False), *some("b", 1)), ["delete a1"], FORWARD, {}, "b"),
    Row("stops all first where it is told to", some("a", 2), ["delete a0", "delete a1"], FORWARD, {"strategy": {"type": "Recreate"}}, "b"),
    Row("and waits until they are gone", some("a", 2, deleting=True), [], FORWARD, {"strategy": {"type": "Recreate"}}, "b"),
    Row("and then starts all", (), ["create b 0", "create b 1"], FORWARD, {"strategy": {"type": "Recreate"}}, "b"),
    # back
    Row("deletes the bad Pods at once, whatever a budget says", (*some("a", 2), one("b", 0, ready=False)), ["delete b0"], BACK, {}, "b", hindrance=Hindrance(not_removed="budget", remove_from=at(200))),
    Row("makes the missing ones in the same breath", (one("a", 0), *some("b", 2, ready=False)), ["delete b0", "delete b1", "create a 1"], BACK, {}, "b"),
    Row("makes all the Pods to go back to at once, though the bad ones serve", some("b", 4), [f"create a {nth}" for nth in range(4)], BACK, {"replicas": 4}, "b"),
    Row("keeps the bad ones that serve until they can be spared", (*some("a", 4, ready=False), *some("b", 4)), [], BACK, {"replicas": 4}, "b"),
    Row("spares as many as are replaced", (*some("a", 2), *some("a", 2, 2, ready=False), *some("b", 4)), ["delete b0", "delete b1"], BACK, {"replicas": 4}, "b"),
    Row("takes the surplus Pod of the bad release first, and the missing one is made in the same breath", (*some("a", 3), *some("b", 2)), ["delete b0", "create a 3"], BACK, {"replicas": 4}, "b"),
    Row("goes back few by few where no Pod may stand beside another's", some("b", 2), ["delete b0"], BACK, {"strategy": {"rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1}}}, "b"),
    Row("goes forward few by few from a bad release too", some("b", 4), ["create c 0"], (*BACK, known("c", None, runs=4)), {"replicas": 4}, "c"),
    Row("and lets them go then, without asking", (one("a", 0), one("a", 1, ready=False), *some("b", 2)), ["delete b0"], BACK, {}, "b"),
    # by hand
    Row("replaces a Pod whose image somebody changed", (one("a", 0, images=ALTERED), one("a", 1)), ["create a 2"]),
    Row("and takes it away when the new one is ready", (one("a", 0, images=ALTERED), *some("a", 2, 1)), ["delete a0"]),
    Row("keeps the number of Pods while suspended", some("a", 1), ["create a 1"], suspend=True),
    Row("replaces none while suspended", some("a", 2), [], FORWARD, {}, "b", suspend=True),
]  # fmt: skip


def done(actions: Any) -> list[str]:
    told = []
    letters = {release_id(letter, PODS): letter for letter in "abcde"}
    for action in actions:
        match action:
            case CreatePod(name, release):
                told.append(f"create {letters[release]} {name.rpartition('-')[2]}")
            case DeletePod(_, uid):
                told.append(f"delete {uid}")
            case EvictPod(_, uid):
                told.append(f"evict {uid}")
            case AdoptPod(_, uid):
                told.append(f"adopt {uid}")
    return told


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.says)
def test_podpin(row: Row) -> None:
    workload = {"kind": "Pods", **row.workload}
    user = rollout(spec(workload=workload, suspend=row.suspend))
    look = Resolved(f"1.0.{ord(row.chosen) - 97}", digest(row.chosen))
    seen = Observation(images={"app": look}, pods=row.pods, records=row.records, hindrance=row.hindrance)
    assert isinstance(user.spec, Spec)
    seen = observed(user, user.spec, seen, at(row.now))
    assert done(decide(user, seen, at(row.now)).actions) == row.does


def test_the_highest_mark_is_what_runs_and_a_record_without_one_never_ran() -> None:
    assert running_of(()) is None
    assert running_of((known("a"),)) is None
    found = running_of((known("a", runs=3), known("b", runs=2), known("c")))
    assert found is not None
    assert found.release == release_id("a", PODS)


# --- a model of a cluster

FATES = {"a": "good", "b": "good", "c": "crashes", "d": "good"}


class Cluster(RuleBasedStateMachine):
    """Pods that come up, crash, get lost and take their time to go; writes that fail; podpin that dies between them."""

    def __init__(self) -> None:
        super().__init__()
        self.now = START
        self.tag = "a"
        self.workload: dict[str, Any] = {"kind": "Pods", "replicas": 3}
        self.records: dict[str, Record] = {}
        self.pods: dict[str, Pod] = {}
        self.status: dict[str, Any] = {}
        self.serial = 0

    @rule(letter=st.sampled_from("abcd"))
    def somebody_pushes(self, letter: str) -> None:
        self.tag = letter

    @rule(replicas=st.integers(0, 5))
    def somebody_scales(self, replicas: int) -> None:
        self.workload = {**self.workload, "replicas": replicas}

    @rule(surge=st.sampled_from([0, 1, "50%"]), unavailable=st.sampled_from([1, 0, "40%"]))
    def somebody_changes_the_strategy(self, surge: Any, unavailable: Any) -> None:
        if surge == 0 and unavailable == 0:
            return
        rolling = {"maxSurge": surge, "maxUnavailable": unavailable}
        self.workload = {**self.workload, "strategy": {"rollingUpdate": rolling}}

    @rule(which=st.integers(0, 9), how=st.sampled_from(["deleted", "evicted", "gone", "unready"]))
    def a_pod_is_lost(self, which: int, how: str) -> None:
        names = sorted(self.pods)
        if not names:
            return
        pod = self.pods[names[which % len(names)]]
        if how == "gone":
            del self.pods[pod.name]
        elif how == "deleted":
            self.pods[pod.name] = replace(pod, deleting=True)
        elif how == "evicted" and not pod.deleting:
            self.pods[pod.name] = replace(pod, phase="Failed", reason="Evicted", ready=False)
        elif how == "unready" and not pod.is_over and pod.ready:
            sick = container(ready=False, running_since=pod.ready_changed)
            self.pods[pod.name] = replace(pod, ready=False, ready_changed=self.now, containers=(sick,))

    @rule(seconds=st.sampled_from([1, 7, 30, 90]))
    def time_passes(self, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)
        self.kubelet()

    @rule(writes=st.integers(0, 4))
    def podpin_dies_after_some_writes(self, writes: int) -> None:
        self.look_and_act(writes)

    @rule(failing=st.lists(st.booleans(), min_size=4, max_size=4))
    def podpin_looks_while_some_writes_fail(self, failing: list[bool]) -> None:
        self.look_and_act(None, failing)

    @rule()
    def podpin_looks(self) -> None:
        self.look_and_act()
        self.look_and_act()
        decision = self.decided()
        assert [each for each in decision.actions if not isinstance(each, Rehearse)] == []

    @rule()
    def all_is_calm_for_long(self) -> None:
        self.look_and_act()
        for _ in range(40):
            self.now += timedelta(seconds=45)
            self.kubelet()
            self.look_and_act()
        decision = self.decided()
        assert decision.actions == ()
        assert render_status(decision.status) == self.status
        record = running_of(self.records.values())
        assert record is not None
        if record.is_rejected:  # the first that was tried has failed, and what was there before it serves
            assert not any(one.is_stable for one in self.records.values())
            return
        assert len(self.pods) == self.terms.replicas
        assert {pod.release for pod in self.pods.values()} <= {record.release}
        if any(one.is_stable for one in self.records.values()) and self.terms.replicas:
            assert record.is_stable

    # --- how it works

    @property
    def terms(self) -> Terms:
        return terms_of(spec(workload=self.workload))

    def decided(self) -> Any:
        user = rollout(spec(workload=self.workload), parse_status(self.status))
        assert isinstance(user.spec, Spec)
        look = Resolved(f"t-{self.tag}", digest(self.tag))
        seen = Observation(images={"app": look}, pods=tuple(self.pods.values()), records=tuple(self.records.values()))
        return decide(user, observed(user, user.spec, seen, self.now), self.now)

    def look_and_act(self, writes: int | None = None, failing: list[bool] | None = None) -> None:
        decision = self.decided()
        terms, bad = self.terms, {one.release for one in self.records.values() if one.is_rejected}
        ill = sum(not pod.is_over and pod.release in bad for pod in self.pods.values())
        before, had = self.live(), self.available()
        for done_, action in enumerate(decision.actions):
            if writes is not None and done_ >= writes:
                return
            fails = failing is not None and failing[done_ % len(failing)]
            match action:
                case Write(release, made):
                    self.records.setdefault(release.id, replace(made, owner=UID, created=self.now))
                case Judge(made):
                    self.records[made.release] = made
                    bad = {one.release for one in self.records.values() if one.is_rejected}
                    ill = sum(not pod.is_over and pod.release in bad for pod in self.pods.values())
                case CreatePod(name, release) if not fails:
                    assert name not in self.pods, "a Pod is made under a name that is taken"
                    pins = self.records[release].images
                    self.serial += 1
                    self.pods[name] = Pod(name, f"u{self.serial}", release, self.now, owner=UID, images=pins)
                case DeletePod(name) if not fails:
                    self.pods[name] = replace(self.pods[name], deleting=True)
                case DeletePod():
                    break  # what comes after it relies on it, and is not tried
                case EvictPod(name) if not fails:
                    assert self.pods[name].release not in bad
                    self.pods[name] = replace(self.pods[name], deleting=True)
                case _:
                    pass
        # Going back, the Pods of the bad release may stay as long as they serve, beside all of the stable one's.
        room = max(terms.surge, ill) if terms.surge else 0
        assert self.live() <= max(before, terms.replicas + room), "one too many"
        assert self.available() >= min(had, terms.floor), "too few are left, by podpin's own doing"
        if writes is None and failing is None:
            self.status = render_status(decision.status)

    def live(self) -> int:
        return sum(not pod.is_over for pod in self.pods.values())

    def available(self) -> int:
        return sum(pod.ready and not pod.is_over for pod in self.pods.values())

    def kubelet(self) -> None:
        for name, pod in list(self.pods.items()):
            if pod.deleting and self.now - pod.created > timedelta(seconds=5):
                del self.pods[name]
            elif not pod.is_over and not pod.ready and self.now > pod.created:
                self.pods[name] = self.grown(pod)

    def grown(self, pod: Pod) -> Pod:
        placed = replace(pod, node="node-1", scheduled_at=pod.scheduled_at or self.now)
        letter = next(letter for letter in FATES if release_id(letter, PODS) == pod.release)
        if FATES[letter] == "crashes":
            crashed = waiting("CrashLoopBackOff", restarts=3, last=run())
            return replace(placed, containers=(crashed,), phase="Running", ready_changed=pod.created)
        up = container(running_since=self.now)
        return replace(placed, ready=True, phase="Running", ready_changed=self.now, containers=(up,))

    @invariant()
    def what_is_remembered_of_failed_pods_is_bounded(self) -> None:
        old = [pod for pod in self.pods.values() if pod.phase == "Failed" and self.now - pod.created > 9 * FORGOTTEN]
        assert len(old) <= 10


TestCluster = Cluster.TestCase
TestCluster.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
