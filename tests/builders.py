"""Builds the small worlds that tests decide about, a Pod, a Deployment, a record, a rollout, with sound defaults."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from podpin.core.decision import Requests, Rollout
from podpin.core.names import Key
from podpin.core.observation import Container, Observation, Pod, Resolved, Run, Workload
from podpin.core.release import Images, Record, Verdict, release_of
from podpin.core.spec import Spec, parse_spec
from podpin.core.status import Status
from podpin.core.workload import intent_of

START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
UID = "5f3b"
REPOSITORY = "registry.example.com/shop/web"


def at(seconds: float) -> datetime:
    """A time, so many seconds after the start of the test's world."""
    return START + timedelta(seconds=seconds)


def digest(letter: str) -> str:
    """A digest that can be told from others at a glance."""
    return "sha256:" + letter * 64


def raw_spec(**changes: Any) -> dict[str, Any]:
    """A usable spec as users write it; `changes` replace top-level fields, and `workload` and `template` are merged."""
    template = {"spec": {"containers": [{"name": "app"}]}, **changes.pop("template", {})}
    workload = {"kind": "Deployment", "replicas": 2, **changes.pop("workload", {}), "template": template}
    image = {"container": "app", "repository": REPOSITORY, "policy": {"semver": {"range": ">=1"}}}
    terms = {"progressDeadline": "60s", "bakeTime": "10s"}
    return {"images": [image], "rollout": terms, **changes, "workload": workload}


def spec(**changes: Any) -> Spec:
    """The same, parsed."""
    return parse_spec(raw_spec(**changes))


def rollout(wish: Spec | None = None, status: Status | None = None, **fields: Any) -> Rollout:
    """A rollout named shop/web."""
    return Rollout(
        key=Key("shop", "web"),
        uid=UID,
        generation=fields.pop("generation", 1),
        spec=wish or spec(),
        status=status or Status(),
        requests=fields.pop("requests", Requests()),
        **fields,
    )


def images(letter: str, tag: str | None = None) -> Images:
    """The pins of a release whose digest is made of this letter."""
    return (("app", f"{REPOSITORY}:{tag or f'1.0.{ord(letter) - 97}'}@{digest(letter)}"),)


def release_id(letter: str, wish: Spec | None = None) -> str:
    """The id of the release with this digest under a spec."""
    return release_of(wish or spec(), images(letter)).id


def record(letter: str, result: str | None = None, order: int = 1, wish: Spec | None = None, **fields: Any) -> Record:
    """The record of a release: unjudged, "Stable" or "Rejected"."""
    release = release_of(wish or spec(), images(letter))
    verdict = None
    if result is not None:
        reason = "RolledOut" if result == "Stable" else "CrashLooping"
        verdict = Verdict(result, order, reason, "it was so", at(0), at(order))  # type: ignore[arg-type]
    return Record(release.id, release.spec_hash, images(letter), verdict, created=at(0), **{"owner": UID, **fields})


def workload(letter: str, wish: Spec | None = None, *, ready: bool = True, **fields: Any) -> Workload:
    """The Deployment as it runs a release, whole unless `ready` is false."""
    wish = wish or spec()
    release = release_of(wish, images(letter))
    replicas = 1 if wish.workload.replicas is None else wish.workload.replicas
    whole = Workload(
        uid="d1",
        owner=UID,
        generation=3,
        observed_generation=3,
        release=release.id,
        intent=intent_of(wish.workload, release.id, release.images),
        replicas=replicas,
        total=replicas,
        updated=replicas,
        available=replicas if ready else 0,
    )
    return replace(whole, **fields)


def container(name: str = "app", **fields: Any) -> Container:
    """A container that runs and is ready since second 2."""
    return Container(**{"name": name, "ready": True, "running_since": at(2), **fields})


def waiting(reason: str, message: str = "", **fields: Any) -> Container:
    """A container that waits."""
    return container(ready=False, running_since=None, waiting=reason, message=message, **fields)


def run(code: int = 1, reason: str = "Error", message: str = "", started: float = 2, finished: float = 3) -> Run:
    """A run that has ended."""
    return Run(code, reason, message, at(started), at(finished))


def pod(letter: str = "a", *containers: Container, name: str = "web-1", wish: Spec | None = None, **fields: Any) -> Pod:
    """A Pod of a release: ready since second 3 unless a container is not."""
    parts = containers or (container(),)
    ready = fields.pop("ready", all(part.ready for part in parts if not part.init))
    fields = {"ready_changed": at(3) if ready else at(1), "phase": "Running" if ready else "Pending", **fields}
    return Pod(
        name=name,
        uid=f"uid-{letter}-{name}",
        release=release_id(letter, wish),
        created=at(0),
        node="node-1",
        ready=ready,
        scheduled_at=fields.pop("scheduled_at", at(1)),
        probed=fields.pop("probed", True),
        containers=parts,
        **fields,
    )


def pods(letter: str, count: int = 2, wish: Spec | None = None, **fields: Any) -> tuple[Pod, ...]:
    """So many ready Pods of a release."""
    return tuple(pod(letter, name=f"web-{letter}-{n}", wish=wish, **fields) for n in range(count))


def seen(chosen: str | None = "a", **fields: Any) -> Observation:
    """What podpin saw: the registry's choice by letter, and whatever else is given."""
    look = None if chosen is None else Resolved(f"1.0.{ord(chosen) - 97}", digest(chosen))
    return Observation(**{"images": {"app": look}, **fields})
