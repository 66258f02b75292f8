"""A small world in memory for the reconciler: a cluster that keeps what it is given, a registry's choices, and a clock.

It is honest: it stores raw objects as the API server would, counts versions and generations, fills in defaults, and
what podpin sees goes through podpin's own projections. `fail` and `crash_after` say what goes wrong, method by method.
"""

from __future__ import annotations

import asyncio
import copy
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, cast

from podpin.core.checks import Outcome, Tally
from podpin.core.in_place import note
from podpin.core.keyring import Access
from podpin.core.names import ANNOTATION_PATCHED, ANNOTATION_RETRIED, LABEL_RELEASE, Key, Place, config_key_name
from podpin.core.observation import Pod, Workload, pod_of, workload_of
from podpin.core.pinned_config import Copy, is_owned, key_in, key_manifest
from podpin.core.release import (
    Record,
    Release,
    annotations_of,
    record_manifest,
    record_of,
    release_from_record,
)
from podpin.core.times import write_time
from podpin.core.workload import owner_reference
from podpin.errors import Conflict, Invalid, NotFound, Unavailable
from podpin.inquiry import Failed, Found
from podpin.poller import Look
from podpin.reconcile import Reconciler
from podpin.rollouts import Rollouts
from tests.builders import START, UID, at, container, digest, pod, raw_spec, run, waiting

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime, timedelta

    from podpin.core.decision import Notice, PatchPod
    from podpin.core.spec.checks import CheckSpec
    from podpin.core.trial import Trial
    from podpin.poller import Poller, Wish

WEB = Key("shop", "web")
Json = dict[str, Any]


class Crash(BaseException):
    """podpin dies here. No handler of podpin's may catch it."""


@dataclass
class World:
    """Everything outside podpin."""

    now: datetime = START
    rollout: Json | None = None
    deployment: Json | None = None
    records: dict[str, Json] = field(default_factory=dict)
    pods: tuple[Pod, ...] = ()
    looks: dict[str, Look | None] = field(default_factory=dict)
    has: dict[str, bool | Exception] = field(default_factory=dict)
    """Whether the registry has a digest."""
    mount_events: str | None = None
    configs: dict[tuple[str, str], Json] = field(default_factory=dict)
    """ConfigMaps and Secrets, by kind and name."""
    keys: int = 0
    """How many keys have been made by which copies get their names: each is another one."""
    canary: Json | None = None
    """The canary's Deployment."""
    selected_pods: list[Json] = field(default_factory=list)
    """The Pods that somebody else's workload selects, as the API server has them."""
    others: dict[Key, Json] = field(default_factory=dict)
    """Other ImageRollouts, as the API server has them."""

    fail: dict[str, Exception] = field(default_factory=dict)
    """By method, what is raised instead of doing it."""
    crash_after: int | None = None
    """After how many writes podpin dies."""

    writes: list[str] = field(default_factory=list)
    asked: Counter[str] = field(default_factory=Counter)
    notices: list[Notice] = field(default_factory=list)
    templates: list[str] = field(default_factory=list)
    """The releases that the Deployment has been made to run, one after another."""
    followed: list[Mapping[str, Wish]] = field(default_factory=list)
    forgotten: list[Key] = field(default_factory=list)
    unfit: frozenset[str] = frozenset()
    """The checks that do not pass with the stable release."""
    checked: list[Trial] = field(default_factory=list)
    """The trials of which checks have been made, one after another."""
    ticks: float = 100.0
    """The poller's clock."""
    blind: bool = False
    """The mirror does not know the Deployment."""
    trouble: str | None = None
    """Why the mirrors are not current."""
    late: tuple[Pod, ...] | None = None
    """What the mirror shows of the Pods until it is refreshed, if it is behind."""
    own: dict[str, Json] = field(default_factory=dict)
    """The Pods that podpin has made itself, and those that stand in their way, by name."""
    refused: dict[str, Exception] = field(default_factory=dict)
    """By method and name of a Pod, what is raised instead of doing it; by method alone, for all Pods."""
    answers_lost: int = 0
    """How many of the next writes to Pods are done, but not answered."""
    budget: str | None = None
    """Why no Pod may be evicted."""
    _version: int = 1000

    # --- what people and the cluster do

    def apply(self, wish: Json | None = None, **annotations: str | None) -> None:
        """A user writes the ImageRollout: another spec, more annotations."""
        body = self.rollout or {"metadata": {"namespace": "shop", "name": "web", "uid": UID, "generation": 0}}
        raw = wish if wish is not None else body.get("spec") or raw_spec()
        metadata = body["metadata"]
        generation = metadata["generation"] + (raw != body.get("spec"))
        kept = {**(metadata.get("annotations") or {}), **{f"podpin.dev/{k}": v for k, v in annotations.items()}}
        metadata = {**metadata, "generation": generation, "annotations": {k: v for k, v in kept.items() if v}}
        self.rollout = self._stamped({**body, "metadata": metadata, "spec": raw})

    def push(self, letter: str) -> None:
        """A new version in the registry, and the poller has found it."""
        found = Found(f"1.0.{ord(letter) - 97}", digest(letter))
        self.ticks += 1
        self.looks["app"] = Look(found, self.ticks, found)

    def lose_registry(self) -> None:
        """The registry does not answer any more."""
        self.ticks += 1
        self.looks["app"] = Look(Failed("RegistryUnavailable", "it does not answer"), self.ticks)

    @property
    def release(self) -> str | None:
        """The release that the Deployment runs."""
        return workload_of(self.deployment).release if self.deployment else None

    def become_ready(self) -> None:
        """All replicas of what is wanted run and are ready since now; no others are left."""
        assert self.deployment is not None
        assert self.release is not None
        count = workload_of(self.deployment).replicas
        beside = tuple(each for each in self.pods if each.canary)
        mine = (
            self._pod(f"web-{nth}", container(running_since=self.now), ready_changed=self.now) for nth in range(count)
        )
        self.pods = (*mine, *beside)
        self._observe(replicas=count, updatedReplicas=count, availableReplicas=count)

    def fail_to_start(self, *, why: str = "CrashLoopBackOff", message: str = "") -> None:
        """One new Pod fails; the old ones serve."""
        assert self.deployment is not None
        image = self.deployment["spec"]["template"]["spec"]["containers"][0]["image"]
        crash = {"restarts": 3, "last": run()} if "Crash" in why else {}
        failing = waiting(why, message, image=image, **crash)
        old = tuple(each for each in self.pods if each.release != self.release)
        self.pods = (*old, self._pod("web-new", failing, ready=False))
        self._observe(replicas=len(old) + 1, updatedReplicas=1, availableReplicas=len(old))

    def edit_deployment(self, **fields: Any) -> None:
        """Somebody changes fields of the Deployment's spec by hand."""
        assert self.deployment is not None
        metadata = {**self.deployment["metadata"], "generation": self.deployment["metadata"]["generation"] + 1}
        spec = {**copy.deepcopy(self.deployment["spec"]), **fields}
        self.deployment = self._stamped({**self.deployment, "metadata": metadata, "spec": spec})

    def _pod(self, name: str, part: Any, **fields: Any) -> Pod:
        return replace(pod("a", part, name=name, **fields), release=self.release or "", uid=f"{self.release}-{name}")

    def _observe(self, **counts: int) -> None:
        assert self.deployment is not None
        status = {"observedGeneration": self.deployment["metadata"]["generation"], **counts}
        self.deployment = self._stamped({**self.deployment, "status": status})

    def _stamped(self, body: Json) -> Json:
        self._version += 1
        return {**body, "metadata": {**body["metadata"], "resourceVersion": str(self._version)}}

    # --- what podpin sees and does: the reconciler's port to the cluster

    def workload(self, key: Key, place: Place) -> Workload | None:
        return workload_of(self.deployment) if self.deployment and not self.blind and self._is_ours() else None

    def canary_of(self, key: Key) -> Workload | None:
        return workload_of(self.canary) if self.canary else None

    async def remove_canary(self, key: Key, uid: str) -> None:
        await self._ask("remove_canary")
        assert self.canary is not None
        assert self.canary["metadata"]["uid"] == uid
        self.canary, self.pods = None, tuple(each for each in self.pods if not each.canary)
        self._wrote("remove canary")

    def become_ready_beside(self) -> None:
        """All Pods of the canary run and are ready since now, and the workload's are as they were."""
        assert self.canary is not None
        seen = workload_of(self.canary)
        few = tuple(
            replace(
                pod("a", container(running_since=self.now), name=f"web-canary-{nth}", ready_changed=self.now),
                release=seen.release or "",
                canary=True,
            )
            for nth in range(seen.replicas)
        )
        self.pods = (*(each for each in self.pods if not each.canary), *few)
        counts = dict.fromkeys(("replicas", "updatedReplicas", "availableReplicas"), seen.replicas)
        self.canary = self._stamped({**self.canary, "status": {"observedGeneration": seen.generation, **counts}})

    def canary_fails(self) -> None:
        """The canary's Pods crash; the workload's are as they were."""
        self.become_ready_beside()
        crashing = waiting("CrashLoopBackOff", restarts=3, last=run())
        self.pods = tuple(
            replace(each, ready=False, containers=(crashing,), ready_changed=each.created) if each.canary else each
            for each in self.pods
        )

    def _is_ours(self) -> bool:
        assert self.deployment is not None
        return "podpin.dev/rollout" in (self.deployment["metadata"].get("labels") or {})

    def pods_of(self, key: Key) -> tuple[Pod, ...]:
        own = tuple(pod for raw in self.own.values() if (pod := pod_of(raw)))
        return (*self.pods, *own) if self.late is None else self.late

    def trouble_of(self, key: Key, kind: str) -> str | None:
        return self.trouble

    async def refresh(self, key: Key, place: Place) -> None:
        await self._ask("refresh")
        self.late = None

    def records_of(self, key: Key) -> tuple[Record, ...]:
        return tuple(record for raw in self.records.values() if (record := record_of(raw["metadata"])))

    async def _ask(self, what: str) -> None:
        self.asked[what] += 1
        await asyncio.sleep(0)  # an answer takes a while, in which others have their turn
        if what in self.fail:
            raise self.fail[what]

    async def live_workload(self, key: Key, place: Place) -> Json | None:
        await self._ask("live_workload")
        return copy.deepcopy(self.canary if place.name == "web-canary" else self.deployment)

    async def selected(self, key: Key, place: Place) -> list[Json]:
        await self._ask("selected")
        return copy.deepcopy(self.selected_pods)

    async def confirm(self, key: Key, uid: str) -> None:
        await self._ask("confirm")
        if self.rollout is None or self.rollout["metadata"]["uid"] != uid:
            raise NotFound("no such rollout")

    async def other_rollout(self, key: Key) -> Json | None:
        await self._ask("rollout")
        return self.others.get(key)

    async def whole_release(self, key: Key, release: str) -> Release | None:
        await self._ask("release")
        raw = self.records.get(release)
        return release_from_record(raw["metadata"], raw["data"]) if raw else None

    async def mount_trouble(self, key: Key, one: Pod) -> str | None:
        await self._ask("mount_trouble")
        return self.mount_events

    async def config_metadata(self, key: Key, kind: str, name: str) -> Json | None:
        await self._ask(f"metadata of {name}")
        raw = self.configs.get((kind, name))
        return copy.deepcopy(raw["metadata"]) if raw else None

    async def config(self, key: Key, kind: str, name: str) -> Json | None:
        await self._ask(f"contents of {name}")
        return copy.deepcopy(self.configs.get((kind, name)))

    async def config_key(self, key: Key, uid: str, known: bytes | None) -> bytes:
        await self._ask("config_key")
        name = config_key_name(key.name, uid)
        if ("Secret", name) not in self.configs:
            self.keys += 1
            self._make(key_manifest(key, uid, known or bytes([self.keys] * 32)))
        secret = key_in(key, uid, self.configs["Secret", name])
        if secret is None:
            raise Invalid(f"Secret {name} is spoilt")
        return secret

    async def write_copy(self, key: Key, manifest: Mapping[str, Any]) -> None:
        await self._ask("write_copy")
        self._make(manifest)

    def _make(self, manifest: Mapping[str, Any]) -> None:
        name = manifest["metadata"]["name"]
        if (manifest["kind"], name) in self.configs:
            raise Conflict("it exists")
        body = copy.deepcopy(dict(manifest))
        self.configs[manifest["kind"], name] = self._stamped(
            {**body, "metadata": {**body["metadata"], "uid": f"c{self._version}"}}
        )
        self._wrote(f"{manifest['kind']} {name.rpartition('-')[0]}")

    async def drop_copy(self, key: Key, uid: str, one: Copy) -> None:
        await self._ask("drop_copy")
        raw = self.configs.get((one.kind, one.name))
        if raw is not None and is_owned(key, uid, raw["metadata"]):
            del self.configs[one.kind, one.name]
            self._wrote(f"drop {one.kind} {one.name.rpartition('-')[0]}")

    def configure(self, by: str = "kubectl-edit", kind: str = "ConfigMap", name: str = "settings", **data: str) -> None:
        """Somebody makes a ConfigMap or a Secret, or changes it."""
        fields: Json = {"f:data": {f"f:{key}": {} for key in data}}
        managed = {"manager": by, "operation": "Update", "time": write_time(self.now), "fieldsV1": fields}
        metadata = {"name": name, "namespace": "shop", "managedFields": [managed]}
        self.configs[kind, name] = self._stamped({"kind": kind, "metadata": metadata, "data": data})

    async def access(self, *_: object) -> Access:
        await self._ask("access")
        return Access()

    async def exists(self, repository: object, digest_: str, access: Access) -> bool:
        await self._ask("exists")
        answer = self.has.get(digest_, True)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def _wrote(self, what: str) -> None:
        self.writes.append(what)
        if self.crash_after == len(self.writes):
            self.crash_after = None
            raise Crash(what)

    async def write_record(self, key: Key, uid: str, release: Release, record: Record) -> None:
        await self._ask("write_record")
        body = record_manifest(key.name, key.namespace, owner_reference(key.name, uid), release, record)
        body["metadata"]["creationTimestamp"] = write_time(self.now)
        self.records.setdefault(release.id, self._stamped(copy.deepcopy(body)))
        self._wrote(f"record {release.id}")

    async def judge(self, key: Key, record: Record) -> None:
        await self._ask("judge")
        raw = self.records.get(record.release)
        if raw is None:
            raise NotFound(record.release)
        merged = {**raw["metadata"]["annotations"], **annotations_of(record)}
        annotations = {name: value for name, value in merged.items() if value is not None}
        self.records[record.release] = self._stamped(
            {**raw, "metadata": {**raw["metadata"], "annotations": annotations}}
        )
        self._wrote(f"verdict {record.verdict.result if record.verdict else None} on {record.release}")

    async def apply_workload(self, key: Key, manifest: Mapping[str, Any], uid: str | None) -> Workload:
        await self._ask("apply")
        wanted = copy.deepcopy(dict(manifest))
        beside = wanted["metadata"]["name"] == "web-canary"
        old = self.canary if beside else self.deployment
        if uid is not None and (old is None or old["metadata"]["uid"] != uid):
            raise Conflict("the uid is another one")
        for part in wanted["spec"]["template"]["spec"]["containers"]:
            part.update({"imagePullPolicy": "IfNotPresent", "terminationMessagePath": "/dev/termination-log"})
        defaults = {"progressDeadlineSeconds": 600, "revisionHistoryLimit": 10, "replicas": 1}
        spec = {**defaults, **(old["spec"] if old else {}), **wanted["spec"]}
        surge = (spec["strategy"].get("rollingUpdate") or {}).get("maxSurge")
        if f"apply {surge}" in self.refused:
            raise self.refused[f"apply {surge}"]
        same = old is not None and old["spec"] == spec
        known: Json = old["metadata"] if old else {"uid": f"d{self._version}", "generation": 0}
        metadata = {**known, **wanted["metadata"], "uid": known["uid"]}
        metadata["generation"] = known["generation"] + (not same)
        body = self._stamped({**wanted, "metadata": metadata, "spec": spec, "status": (old or {}).get("status", {})})
        if beside:
            self.canary = body
            self._wrote(f"canary {metadata['annotations']['podpin.dev/step']}")
            return workload_of(body)
        self.deployment = body
        now_runs = wanted["spec"]["template"]["metadata"]["labels"][LABEL_RELEASE]
        if not self.templates or self.templates[-1] != now_runs:
            self.templates.append(now_runs)
        self._wrote(f"workload {now_runs}")
        return workload_of(self.deployment)

    async def apply_pins(self, key: Key, manifest: Mapping[str, Any], uid: str) -> Workload:
        await self._ask("apply_pins")
        old = self.deployment
        if old is None or old["metadata"]["uid"] != uid:
            raise Conflict("the uid is another one")
        made = _merged(old, {**manifest, "metadata": {**manifest["metadata"], "uid": uid}})
        made["metadata"]["generation"] += made["spec"] != old["spec"]
        self.deployment = self._stamped(made)
        now_runs = made["spec"]["template"]["metadata"]["labels"][LABEL_RELEASE]
        if not self.templates or self.templates[-1] != now_runs:
            self.templates.append(now_runs)
        self._wrote(f"workload {now_runs}")
        return workload_of(self.deployment)

    # --- Pods of podpin's own

    async def _ask_pod(self, what: str, name: str) -> None:
        await self._ask(what)
        for refusal in (f"{what} {name}", what):
            if refusal in self.refused:
                raise self.refused[refusal]

    def _wrote_pod(self, what: str, before: tuple[Pod, ...]) -> None:
        if self.answers_lost:
            self.answers_lost -= 1
            self.writes.append(what)
            self.late = before
            raise Unavailable("no answer")
        self._wrote(what)

    async def rehearse(self, key: Key, manifest: Mapping[str, Any]) -> None:
        await self._ask_pod("rehearse", "")

    async def create_pod(self, key: Key, uid: str, manifest: Mapping[str, Any]) -> bool:
        name, before = manifest["metadata"]["name"], self.pods_of(key)
        await self._ask_pod("create_pod", name)
        if name in self.own:
            there = pod_of(self.own[name])
            return there is not None and there.owner == uid
        made = {"uid": f"u{self._version}", "creationTimestamp": write_time(self.now), "generation": 1}
        metadata = {**manifest["metadata"], **made}
        self.own[name] = self._stamped({**copy.deepcopy(dict(manifest)), "metadata": metadata, "status": {}})
        self._wrote_pod(f"create {name}", before)
        return True

    async def delete_pod(self, key: Key, name: str, uid: str) -> None:
        before = self.pods_of(key)
        await self._ask_pod("delete_pod", name)
        if name in self.own and self.own[name]["metadata"]["uid"] == uid:
            del self.own[name]
            self._wrote_pod(f"delete {name}", before)

    async def evict_pod(self, key: Key, name: str, uid: str) -> str | None:
        before = self.pods_of(key)
        await self._ask_pod("evict_pod", name)
        if self.budget is not None:
            return self.budget
        if name in self.own and self.own[name]["metadata"]["uid"] == uid:
            del self.own[name]
            self._wrote_pod(f"evict {name}", before)
        return None

    async def patch_pod(self, key: Key, action: PatchPod) -> None:
        before = self.pods_of(key)
        await self._ask_pod("patch_pod", action.name)
        raw, pins = copy.deepcopy(self.own[action.name]), dict(action.images)
        for part in raw["spec"]["containers"]:
            part["image"] = pins.get(part["name"], part["image"])
        metadata = raw["metadata"]
        noted = {ANNOTATION_PATCHED: note(action.at, pins, self.own[action.name]), ANNOTATION_RETRIED: action.retried}
        metadata["labels"][LABEL_RELEASE] = action.id
        metadata["generation"] += 1
        kept = {**metadata.get("annotations", {}), **noted}
        metadata["annotations"] = {name: value for name, value in kept.items() if value is not None}
        self.own[action.name] = self._stamped(raw)
        self._wrote_pod(f"patch {action.name}", before)

    async def adopt_pod(self, key: Key, uid: str, name: str, pod_uid: str) -> None:
        before = self.pods_of(key)
        await self._ask_pod("adopt_pod", name)
        raw = self.own[name]
        owners = [owner_reference(key.name, uid)]
        self.own[name] = self._stamped({**raw, "metadata": {**raw["metadata"], "ownerReferences": owners}})
        self._wrote_pod(f"adopt {name}", before)

    def own_ready(self, release: str | None = None) -> None:
        """All Pods of podpin's own, or those of a release, run and are ready since now."""
        for name, raw in self.own.items():
            if release in (None, raw["metadata"]["labels"][LABEL_RELEASE]) and not _is_ready(raw):
                self.own[name] = self._stamped({**raw, "status": running(raw, write_time(self.now))})

    def own_crash(self, release: str) -> None:
        """All Pods of a release that podpin has made crash again and again."""
        state = {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off"}}
        ended = {"terminated": {"exitCode": 1, "reason": "Error"}}
        part = {"name": "app", "ready": False, "restartCount": 3, "state": state, "lastState": ended}
        ready = {"type": "Ready", "status": "False", "lastTransitionTime": write_time(self.now)}
        for name, raw in self.own.items():
            if raw["metadata"]["labels"][LABEL_RELEASE] == release:
                status = {"phase": "Running", "conditions": [ready], "containerStatuses": [part]}
                placed = {**raw["spec"], "nodeName": "node-1"}
                self.own[name] = self._stamped({**raw, "spec": placed, "status": status})

    async def prune(self, key: Key, release: str) -> None:
        await self._ask("prune")
        self.records.pop(release, None)
        self._wrote(f"prune {release}")

    async def write_status(self, key: Key, uid: str, status: Mapping[str, Any]) -> Json:
        await self._ask("write_status")
        if self.rollout is None:
            raise NotFound("no such rollout")
        if self.rollout["metadata"]["uid"] != uid:
            raise Conflict("the uid is another one")
        self.rollout = self._stamped({**self.rollout, "status": copy.deepcopy(dict(status))})
        self._wrote("status")
        return self.rollout

    def announce(self, key: Key, uid: str, notice: Notice, now: datetime) -> None:
        self.notices.append(notice)

    # --- and to the poller

    def follow(self, key: Key, wishes: Mapping[str, Wish]) -> dict[str, Look | None]:
        self.followed.append(wishes)
        return {name: self.looks.get(name) for name in wishes}

    def look_now(self, key: Key) -> float:
        self.asked["look_now"] += 1
        self.ticks += 1
        return self.ticks

    def forget(self, key: Key) -> None:
        self.forgotten.append(key)


def _merged(old: Any, new: Any) -> Any:
    """What a server-side apply makes of an object: maps are merged, and lists by the name of their entries."""
    if isinstance(old, dict) and isinstance(new, dict):
        return {**old, **{field: _merged(old.get(field), value) for field, value in new.items()}}
    if isinstance(old, list) and isinstance(new, list) and all("name" in each for each in (*old, *new)):
        named = {each["name"]: each for each in new}
        kept = [_merged(each, named.pop(each["name"], each)) for each in old]
        return [*kept, *named.values()]
    return new


class _Cluster:
    """The world by the names of the reconciler's port."""

    def __init__(self, world: World) -> None:
        self.workload, self.pods, self.records = world.workload, world.pods_of, world.records_of
        self.live_workload, self.release, self.mount_trouble = (
            world.live_workload,
            world.whole_release,
            world.mount_trouble,
        )
        self.access, self.write_record, self.judge = world.access, world.write_record, world.judge
        self.apply, self.prune, self.write_status = world.apply_workload, world.prune, world.write_status
        self.announce, self.confirm, self.rollout = world.announce, world.confirm, world.other_rollout
        self.blind, self.refresh = world.trouble_of, world.refresh
        self.canary, self.remove_canary = world.canary_of, world.remove_canary
        self.selected, self.apply_pins = world.selected, world.apply_pins
        self.config_metadata, self.config, self.config_key = world.config_metadata, world.config, world.config_key
        self.write_copy, self.drop_copy = world.write_copy, world.drop_copy
        self.rehearse, self.create_pod, self.delete_pod = world.rehearse, world.create_pod, world.delete_pod
        self.evict_pod, self.adopt_pod, self.patch_pod = world.evict_pod, world.adopt_pod, world.patch_pod


class Checks:
    """The room that makes checks: they say what a test has them say, for as long as the trial is the same one."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._trial: Trial | None = None
        self._tallies: dict[str, Tally] = {}

    def tallies(self, key: Key, trial: Trial | None) -> dict[str, Tally]:
        if trial != self._trial:
            self._trial, self._tallies = trial, {}
            if trial is not None:
                self._world.checked.append(trial)
        return dict(self._tallies)

    def say(self, outcome: Outcome, name: str = "front") -> None:
        """One run of a check has come to this."""
        assert self._trial is not None
        self._tallies[name] = self._tallies.get(name, Tally()).after(outcome)

    async def unfit(self, key: Key, release: str, checks: Sequence[CheckSpec], patience: float) -> frozenset[str]:
        await self._world._ask(f"checks of {release}")
        return self._world.unfit

    def forget(self, key: Key) -> None:
        self.tallies(key, None)


class Podpin:
    """One life of podpin in a world: it begins with what can be read there, and nothing else."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.woken: list[Key] = []
        self.rollouts = Rollouts(self.woken.append)
        self.checks = Checks(world)
        self.reconciler = Reconciler(
            self.rollouts, _Cluster(world), cast("Poller", world), world, self.checks, lambda: world.now
        )

    async def look(self) -> timedelta | None:
        """Hear the news and have one turn."""
        if self.world.rollout is not None:
            self.rollouts.put(self.world.rollout)
        return await self.reconciler.reconcile(WEB)

    async def settle(self) -> list[str]:
        """Have turns until there is nothing to write; returns what was written."""
        before = len(self.world.writes)
        for _ in range(10):
            count = len(self.world.writes)
            await self.look()
            if len(self.world.writes) == count:
                return self.world.writes[before:]
        raise AssertionError(f"podpin does not come to rest: {self.world.writes}")

    @property
    def ready(self) -> tuple[str, str]:
        """Status and reason of the condition Ready."""
        assert self.world.rollout is not None
        conditions = self.world.rollout["status"]["conditions"]
        return next((each["status"], each["reason"]) for each in conditions if each["type"] == "Ready")

    @property
    def message(self) -> str:
        """The message of the condition Ready."""
        assert self.world.rollout is not None
        conditions = self.world.rollout["status"]["conditions"]
        return next(str(each["message"]) for each in conditions if each["type"] == "Ready")


def _is_ready(raw: Json) -> bool:
    return any(one["type"] == "Ready" and one["status"] == "True" for one in raw["status"].get("conditions", ()))


def running(raw: Json, since: str) -> Json:
    """The status of a Pod whose container runs as its spec has it."""
    part = {
        "name": "app",
        "ready": True,
        "restartCount": 0,
        "containerID": "c0",
        "imageID": raw["spec"]["containers"][0]["image"],
        "state": {"running": {"startedAt": since}},
    }
    conditions = [{"type": kind, "status": "True", "lastTransitionTime": since} for kind in ("PodScheduled", "Ready")]
    generation = raw["metadata"].get("generation", 0)
    return {
        "phase": "Running",
        "observedGeneration": generation,
        "conditions": conditions,
        "containerStatuses": [part],
    }


def later(world: World, seconds: float) -> None:
    """Time passes."""
    world.now = at((world.now - START).total_seconds() + seconds)


def texts(notices: Iterable[Notice]) -> list[str]:
    """The reasons of what was announced."""
    return [notice.reason for notice in notices]
