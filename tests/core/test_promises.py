"""The promises of the design, held by a model of a cluster that does its worst to the pure core.

The model has a registry whose tag moves or which is down, Pods that come up, crash, never get ready or are held up by the
cluster, a user who edits, retries, rolls back, suspends and deletes, and a podpin that may die after any of its writes.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import hypothesis.strategies as st
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from tests.builders import START, UID, container, digest, rollout, run, spec, waiting

from podpin.core.decision import Apply, Judge, Prune, Requests, Rollout, Write
from podpin.core.observation import Observation, Pod, Resolved, Unresolved, Workload
from podpin.core.release import Record, Release
from podpin.core.rollout import decide
from podpin.core.signals import REPEATS
from podpin.core.spec import Spec
from podpin.core.status import parse_status, render_status
from podpin.core.transitions import State
from podpin.core.workload import pod_template

FATES = {"a": "good", "b": "good", "c": "crashes", "d": "never ready", "e": "good"}
DEADLINE, BAKE = timedelta(seconds=60), timedelta(seconds=10)


class World(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.now = START
        self.tag = "a"
        self.down = False
        self.held_up = False
        self.changes: dict[str, Any] = {}
        self.generation = 1
        self.requests = Requests()
        self.status: dict[str, Any] = {}
        self.records: dict[str, Record] = {}
        self.templates: dict[str, Release] = {}
        self.workload: Workload | None = None
        self.running: Release | None = None
        self.pods: list[Pod] = []
        self.was_stable = False
        self.asked = False
        self.serial = 0

    # --- the world's own moves

    @rule(letter=st.sampled_from("abcde"))
    def somebody_pushes(self, letter: str) -> None:
        self.tag = letter

    @rule(down=st.booleans())
    def the_registry_goes_or_comes(self, down: bool) -> None:
        self.down = down

    @rule(held_up=st.booleans())
    def the_cluster_has_trouble_or_not(self, held_up: bool) -> None:
        self.held_up = held_up

    @rule(variant=st.integers(0, 1), enabled=st.booleans(), suspend=st.booleans())
    def the_user_edits(self, variant: int, enabled: bool, suspend: bool) -> None:
        self.changes = {
            "template": {"metadata": {"labels": {"variant": str(variant)}}},
            "rollback": {"enabled": enabled},
            "suspend": suspend,
        }
        self.generation += 1

    @rule(which=st.sampled_from(["retry", "rollback_to"]))
    def the_user_asks(self, which: str) -> None:
        self.serial += 1
        if which == "retry":
            self.requests = replace(self.requests, retry=str(self.serial))
        else:
            self.requests = Requests(retry=self.requests.retry, rollback_to=None)
            self.look_and_act()
            self.requests = replace(self.requests, rollback_to="previous")
        self.asked = True

    @precondition(lambda self: self.workload is not None)
    @rule()
    def somebody_deletes_the_deployment(self) -> None:
        self.workload, self.running, self.pods = None, None, []

    @rule(seconds=st.sampled_from([1, 5, 15, 70]))
    def time_passes(self, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)
        self.kubelet()

    @rule()
    def status_is_lost(self) -> None:
        """A restore from backup: the records remain."""
        self.status = {}

    # --- podpin

    @rule(writes=st.integers(0, 3))
    def podpin_dies_after_some_writes(self, writes: int) -> None:
        self.look_and_act(writes)

    @rule()
    def podpin_looks(self) -> None:
        for _ in range(3):
            self.look_and_act()
        decision = decide(self.rollout(), self.seen(), self.now)
        assert decision.actions == (), "it acts although it has acted on this"
        assert render_status(decision.status) == self.status, "it writes although nothing has changed"
        assert [notice for notice in decision.notices if notice.reason != "RequestRefused"] == []

    @rule()
    def all_is_calm_for_long(self) -> None:
        """Whatever came before: left alone, it ends where it should."""
        self.down, self.held_up = False, False
        self.changes = {**self.changes, "suspend": False}
        self.generation += 1
        for _ in range(12):
            self.look_and_act()
            self.now += timedelta(seconds=45)
            self.kubelet()
        self.look_and_act()
        decision = decide(self.rollout(), self.seen(), self.now)
        assert decision.actions == ()
        assert render_status(decision.status) == self.status, "it writes although nothing happens"
        assert self.running is not None or self.rejected_only()
        if self.running is None:
            return
        record = self.records[self.running.id]
        stable = [one for one in self.records.values() if one.is_stable]
        if self.fate(self.running) == "good":
            assert record.is_stable, "a healthy release counts as stable in the end"
        elif stable and self.spec().rollback.enabled:
            raise AssertionError("a broken release runs although there is a stable one")

    def rejected_only(self) -> bool:
        return all(not one.is_stable for one in self.records.values())

    # --- how the model works

    def spec(self) -> Spec:
        return spec(**self.changes)

    def rollout(self) -> Rollout:
        one = rollout(self.spec(), parse_status(self.status), generation=self.generation)
        return replace(one, requests=self.requests)

    def seen(self) -> Observation:
        look = Unresolved("RegistryUnavailable", "down") if self.down else Resolved(f"t-{self.tag}", digest(self.tag))
        return Observation(
            images={"app": look}, workload=self.workload, pods=tuple(self.pods), records=tuple(self.records.values())
        )

    def look_and_act(self, writes: int | None = None) -> None:
        self.kubelet()
        decision = decide(self.rollout(), self.seen(), self.now)
        for done, action in enumerate(decision.actions):
            if writes is not None and done >= writes:
                return
            match action:
                case Write(release, record):
                    self.records.setdefault(release.id, replace(record, owner=UID))
                    self.templates.setdefault(release.id, release)
                case Judge(record):
                    self.records[record.release] = record
                case Apply():
                    self.apply(action)
                case Prune(release):
                    assert not (self.running and self.running.id == release)
                    del self.records[release]
        if writes is None or writes > len(decision.actions):
            self.status = render_status(decision.status)

    def apply(self, action: Apply) -> None:
        release = action.release or self.templates[action.id]
        record = self.records[action.id]
        moves = self.running is None or self.running.id != release.id
        assert not (moves and record.is_rejected), "a rejected release is applied again"
        assert not self.spec().suspend
        for one in pod_template("web", release)["spec"]["containers"]:
            assert "@sha256:" in one["image"]
        wish = self.spec().workload
        replicas = wish.replicas or 0
        old = self.workload
        self.workload = Workload(
            uid="d1",
            owner=UID,
            generation=(old.generation if old else 0) + 1,
            release=release.id,
            intent=action.intent,
            replicas=replicas,
        )
        self.running = release

    def fate(self, release: Release) -> str:
        return FATES[release.images[0][1][-1]]

    def kubelet(self) -> None:
        """The Deployment's controller and the kubelet, surge first: old Pods go when new ones are ready."""
        if self.workload is None or self.running is None:
            return
        wanted = self.workload.replicas
        mine = [one for one in self.pods if one.release == self.running.id]
        others = [one for one in self.pods if one.release != self.running.id]
        while len(mine) < wanted:
            self.serial += 1
            mine.append(Pod(f"web-{self.serial}", f"u{self.serial}", self.running.id, self.now))
        mine = [self.grown(one) for one in mine[:wanted]]
        ready = sum(one.ready for one in mine)
        others = [one for one in others if one.ready][: max(0, wanted - ready)]
        self.pods = mine + others
        self.workload = replace(
            self.workload,
            observed_generation=self.workload.generation,
            total=len(self.pods),
            updated=len(mine),
            available=ready + len(others),
        )

    def grown(self, one: Pod) -> Pod:
        age = self.now - one.created
        if one.ready:
            return one
        if self.held_up or age < timedelta(seconds=1):
            return replace(one, unschedulable="no room" if self.held_up else None)
        started: datetime = one.containers[0].running_since or self.now if one.containers else self.now
        base = replace(
            one,
            unschedulable=None,
            scheduled_at=one.scheduled_at or self.now,
            ready_changed=one.ready_changed or one.created,
        )
        assert self.running is not None
        match self.fate(self.running):
            case "good":
                return replace(
                    base,
                    ready=True,
                    phase="Running",
                    ready_changed=self.now,
                    containers=(container(running_since=started),),
                )
            case "crashes":
                crashed = waiting("CrashLoopBackOff", restarts=REPEATS - 1, last=run())
                return replace(
                    base, containers=(replace(crashed, last=replace(run(), started=base.created, finished=self.now)),)
                )
        return replace(base, phase="Running", containers=(container(ready=False, running_since=started),))

    # --- what always holds

    @invariant()
    def the_stable_release_is_never_lost(self) -> None:
        stable = any(record.is_stable for record in self.records.values())
        assert stable or not self.was_stable
        self.was_stable = stable

    @invariant()
    def status_can_be_read_back(self) -> None:
        assert render_status(parse_status(self.status)) == self.status


TestPromises = World.TestCase
TestPromises.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)


def test_the_model_knows_all_states() -> None:
    assert {state.value for state in State} == {"Nothing", "Canary", "Trying", "Steady", "Held", "Failed"}
