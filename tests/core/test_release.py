"""What a release is called, and how its record is written and read."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.builders import REPOSITORY, UID, digest, images, raw_spec, spec

from podpin.core.release import (
    Record,
    Release,
    Verdict,
    annotations_of,
    digest_of,
    record_manifest,
    record_of,
    release_from_record,
    release_of,
    source_of,
)
from podpin.core.workload import owner_reference

NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
VERDICT = Verdict("Rejected", 7, "CrashLooping", "container app exited 3 times", NOON, NOON)


def changed(**template: Any) -> Any:
    return spec(template={"spec": {"containers": [{"name": "app", **template}]}})


def record(verdict: Verdict | None = None, request: str | None = None) -> tuple[Release, Record]:
    release = release_of(spec(), images("a"))
    return release, Record(release.id, release.spec_hash, release.images, verdict, request, NOON, UID)


def stored(release: Release, written: Record) -> dict[str, Any]:
    """The record as the API server hands it back."""
    body = record_manifest("web", "shop", owner_reference("web", UID), release, written)
    body["metadata"]["creationTimestamp"] = "2026-03-01T12:00:00Z"
    again: dict[str, Any] = json.loads(json.dumps(body))
    return again


def test_the_id_does_not_move_with_podpin_s_version() -> None:
    """Were it another one day, every rollout in the world would roll out anew. Never change these two words."""
    release = release_of(spec(), images("a"))
    assert (release.id, release.spec_hash) == ("33ac086849", "4617db57b3")


def test_the_hash_is_over_canonical_json() -> None:
    assert digest_of({"b": [1, "ü"], "a": None}) == digest_of({"a": None, "b": [1, "ü"]})
    assert digest_of({"a": 1}, 64) == "015abd7f5cc57a2dd94b7590f04ad8084273905ee33ec5cebeae62276a97f862"


@pytest.mark.parametrize(
    ("wish", "pins"),
    [
        (spec(), images("a", tag="stable")),
        (spec(), (("app", f"{REPOSITORY}@{digest('a')}"),)),
        (spec(suspend=True), images("a")),
        (spec(rollout={"progressDeadline": "1h", "bakeTime": "1m"}), images("a")),
        (spec(workload={"replicas": 9, "minReadySeconds": 3, "strategy": {"type": "Recreate"}}), images("a")),
    ],
    ids=["another tag", "no tag", "suspended", "other terms", "scaled"],
)
def test_the_same_release_has_the_same_id_in_spite_of(wish: Any, pins: Any) -> None:
    assert release_of(wish, pins).id == release_of(spec(), images("a")).id


@pytest.mark.parametrize(
    ("wish", "pins"),
    [
        (spec(), images("b")),
        (spec(), (("app", f"elsewhere/web:1.0.0@{digest('a')}"),)),
        (spec(), (("init", images("a")[0][1]),)),
        (changed(args=["--fast"]), images("a")),
        (changed(args=[]), images("a")),
        (spec(template={"metadata": {"annotations": {"restarted": "at noon"}}}), images("a")),
    ],
    ids=["another digest", "another repository", "another container", "arguments", "an empty field", "an annotation"],
)
def test_another_release_has_another_id_because_of(wish: Any, pins: Any) -> None:
    assert release_of(wish, pins).id != release_of(spec(), images("a")).id


def test_a_moved_tag_leaves_the_hash_of_the_spec_alone_and_an_edit_does_not() -> None:
    first = release_of(spec(), images("a"))
    assert release_of(spec(), images("b")).spec_hash == first.spec_hash
    assert release_of(changed(args=["--fast"]), images("a")).spec_hash != first.spec_hash
    other = {"container": "app", "repository": REPOSITORY, "policy": {"semver": {"range": ">=2"}}}
    assert release_of(spec(images=[other]), images("a")).spec_hash != first.spec_hash


def test_a_source_is_another_when_container_repository_or_policy_are() -> None:
    def source(**changes: Any) -> str:
        (image,) = spec(images=[{**raw_spec()["images"][0], **changes}]).images
        return source_of(image)

    assert source() == source()
    others = [
        source(repository="elsewhere/web"),
        source(policy={"tag": {"name": "1"}}),
        source(policy={"semver": {"range": "1"}}),
        source(verify=[{"cosign": {"publicKeySecret": "a"}}]),
        source(verify=[{"cosign": {"publicKeySecret": "b"}}]),
        source(verify=[{"cosign": {"publicKeySecret": "a"}, "subject": "either"}]),
    ]
    assert len({source(), *others}) == 7


def test_a_source_without_signatures_is_what_it_was_before_there_were_any() -> None:
    (image,) = spec(images=[{"container": "app", "repository": "shop/web", "policy": {"tag": {"name": "1"}}}]).images
    assert source_of(image) == "db3af9f4ac"
    (image,) = spec(images=[{**image.model_dump(exclude={"tags", "verify"}, exclude_none=True), "verify": []}]).images
    assert source_of(image) == "db3af9f4ac"


# --- records


@pytest.mark.parametrize("verdict", [None, VERDICT, Verdict("Stable", 1, "RolledOut", "ünï", NOON, NOON, "retry=x")])
@pytest.mark.parametrize("request_", [None, "1:retry=now"])
def test_a_record_is_read_back_as_it_was_written(verdict: Verdict | None, request_: str | None) -> None:
    release, written = record(verdict, request_)
    body = stored(release, written)
    assert record_of(body["metadata"]) == written
    assert release_from_record(body["metadata"], body["data"]) == replace(release, retried=request_)


def test_the_manifest_is_owned_and_holds_what_never_changes_as_data() -> None:
    release, written = record()
    body = stored(release, written)
    assert (body["apiVersion"], body["kind"], body["revision"]) == ("apps/v1", "ControllerRevision", 1)
    assert body["metadata"]["name"] == f"web-{release.id}"
    assert body["metadata"]["labels"] == {
        "podpin.dev/rollout": "web",
        "podpin.dev/release": release.id,
        "app.kubernetes.io/managed-by": "podpin",
    }
    assert body["metadata"]["ownerReferences"] == [owner_reference("web", UID)]
    assert body["data"] == {"images": dict(release.images), "template": release.template}
    assert set(body["metadata"]["annotations"]) == {"podpin.dev/images", "podpin.dev/spec"}


def test_a_verdict_is_taken_back_by_a_null() -> None:
    _, written = record(VERDICT)
    forgiven = written.judged(None, "1:retry=now")
    assert annotations_of(forgiven) == {"podpin.dev/verdict": None, "podpin.dev/request": "1:retry=now"}
    assert not forgiven.is_rejected
    assert not forgiven.is_stable


def test_a_later_verdict_without_a_request_keeps_the_old_one() -> None:
    _, written = record(VERDICT, "1:retry=now")
    assert written.judged(VERDICT).request == "1:retry=now"
    assert written.judged(VERDICT, "2:retry=then").request == "2:retry=then"


def annotated(**annotations: str | None) -> dict[str, Any]:
    """A record's metadata with other annotations; None takes one out."""
    body = stored(*record(VERDICT))["metadata"]
    merged = {**body["annotations"], **{f"podpin.dev/{name}": value for name, value in annotations.items()}}
    return {**body, "annotations": {name: value for name, value in merged.items() if value is not None}}


def verdict(**fields: Any) -> str:
    good = {"result": "Stable", "order": 1, "reason": "r", "message": "m", "started": "2026-03-01T12:00:00Z"}
    return json.dumps({**good, "at": "2026-03-01T12:00:00Z", **fields})


@pytest.mark.parametrize(
    "metadata",
    [
        {},
        {"labels": None, "annotations": None},
        {**annotated(), "labels": {"podpin.dev/rollout": "web"}},
        {**annotated(), "labels": {"podpin.dev/release": ""}},
        annotated(images=None),
        annotated(images="no json"),
        annotated(images="[]"),
        annotated(images="3"),
        annotated(images='{"app": "web:1.0.0"}'),
        annotated(images='{"app": 3}'),
        annotated(verdict="no json"),
        annotated(verdict="[]"),
        annotated(verdict="7"),
        annotated(verdict="{}"),
        annotated(verdict=verdict(result="Lost")),
        annotated(verdict=verdict(result=None)),
        annotated(verdict=verdict(at="yesterday")),
        annotated(verdict=verdict(at=None)),
        annotated(verdict=verdict(order=None)),
        annotated(verdict=verdict(order="first")),
        annotated(verdict=verdict(order=float("inf"))),
    ],
    ids=lambda metadata: json.dumps(metadata.get("annotations"))[:60],
)  # fmt: skip
def test_a_record_that_cannot_be_read_is_none(metadata: dict[str, Any]) -> None:
    assert record_of(metadata) is None
    assert release_from_record(metadata, {"template": {}}) is None


def test_a_verdict_without_its_beginning_began_when_it_ended() -> None:
    read = record_of(annotated(verdict=verdict(started=None)))
    assert read is not None
    assert read.verdict is not None
    assert read.verdict.started == NOON


@pytest.mark.parametrize("data", [{}, {"template": None}, {"template": "x"}, {"template": []}])
def test_a_record_without_a_template_is_no_release(data: dict[str, Any]) -> None:
    assert release_from_record(annotated(), data) is None


@pytest.mark.parametrize("owners", [None, [], [{"uid": "x"}], [{"uid": "x", "controller": False}]])
def test_a_record_without_a_controller_is_nobody_s(owners: Any) -> None:
    read = record_of({**annotated(), "ownerReferences": owners})
    assert read is not None
    assert read.owner is None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@given(
    st.fixed_dictionaries({}, optional=dict.fromkeys(("result", "order", "reason", "message", "started", "at"), JSON))
)
def test_any_annotation_can_be_read(fields: dict[str, Any]) -> None:
    for text in (json.dumps(fields), verdict(**fields)):
        read = record_of(annotated(verdict=text))
        assert read is None or read.verdict is not None
