"""A workload that somebody else has made: what is applied to it, what stands in the way, and what ran before."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import pytest
from tests.builders import REPOSITORY, START, at, digest, images, pod, record, rollout, seen, waiting
from tests.builders import pods as ready

from podpin.core import adopted
from podpin.core.decision import Apply, Judge, Requests, Unstick, Write
from podpin.core.health import is_complete
from podpin.core.kinds import KINDS
from podpin.core.names import Key, Place
from podpin.core.observation import Pod, Workload, workload_of
from podpin.core.reference import parse_pin
from podpin.core.release import Release, release_of
from podpin.core.rollout import decide
from podpin.core.spec import Problem, Spec, parse_spec

WEB, PLACE = Key("shop", "web"), Place("Deployment", "shopfront")
Json = dict[str, Any]


def wish(**changes: Any) -> Spec:
    """A spec that adopts the Deployment `shopfront`."""
    image = {"container": "app", "repository": REPOSITORY, "policy": {"semver": {"range": ">=1"}}}
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "shopfront"}
    terms = {"progressDeadline": "60s", "bakeTime": "10s"}
    return parse_spec({"images": [image], "targetRef": target, "rollout": terms, **changes})


def named(*containers: str) -> Spec:
    """A spec that names these containers."""
    policy = {"semver": {"range": ">=1"}}
    return wish(images=[{"container": one, "repository": REPOSITORY, "policy": policy} for one in containers])


def live(**changes: Any) -> Json:
    """The Deployment as its author has made it: whole, with an init container and a sidecar."""
    pod = {
        "containers": [
            {"name": "app", "image": f"{REPOSITORY}:1.0.0", "env": [{"name": "A", "value": "b"}]},
            {"name": "side", "image": "proxy:2"},
        ],
        "initContainers": [{"name": "setup", "image": "setup:1", "command": ["true"]}],
        "nodeSelector": {"disk": "ssd"},
        "affinity": {"nodeAffinity": {"required": 1}, "podAffinity": {"required": 2}},
        "imagePullSecrets": [{"name": "pull"}],
        "serviceAccountName": "shop",
        "volumes": [{"name": "v"}],
    }
    body: Json = {
        "metadata": {"name": "shopfront", "namespace": "shop", "uid": "d1", "generation": 4},
        "spec": {"replicas": 2, "selector": {"matchLabels": {"app": "web"}}, "template": {"spec": pod}},
        "status": {"observedGeneration": 4, "replicas": 2, "updatedReplicas": 2, "availableReplicas": 2},
    }
    for path, value in changes.items():
        *way, last = path.split("__")
        part = body
        for step in way:
            part = part.setdefault(step, {})
        part[last] = value
    return body


def there(**changes: Any) -> Workload:
    return workload_of(live(**changes))


# --- seeing


def test_of_the_template_what_podpin_reads_is_kept() -> None:
    assert there().template == {
        "spec": {
            "containers": [{"name": "app", "image": f"{REPOSITORY}:1.0.0"}, {"name": "side", "image": "proxy:2"}],
            "initContainers": [{"name": "setup", "image": "setup:1"}],
            "nodeSelector": {"disk": "ssd"},
            "affinity": {"nodeAffinity": {"required": 1}},
            "imagePullSecrets": [{"name": "pull"}],
            "serviceAccountName": "shop",
        }
    }


def test_of_the_template_of_a_workload_that_podpin_has_made_nothing_is_kept() -> None:
    owner = {"kind": "ImageRollout", "name": "web", "uid": "u", "controller": True}
    assert there(metadata__ownerReferences=[owner]).template == {}


# --- what stands in the way


def labelled(name: str) -> Json:
    return {"metadata__labels": {"podpin.dev/rollout": name}}


CONTROLLED: Json = {"metadata__ownerReferences": [{"kind": "Shop", "name": "front", "uid": "u9", "controller": True}]}


@pytest.mark.parametrize(
    ("workload", "claimant", "reason", "says"),
    [
        (None, None, "TargetNotFound", "there is no Deployment shopfront in namespace shop: create it"),
        (there(**CONTROLLED), None, "WorkloadConflict", "the Deployment shopfront is controlled by Shop front"),
        (there(), Key("shop", "other"), "WorkloadConflict", "has the ImageRollout other already"),
        (there(spec__template={"spec": {"containers": [{"name": "web"}, {"name": "side"}]}}), None,
         "ContainerNotFound", "'app', which the Deployment shopfront does not have; it has side, web"),
    ],
    ids=["it is not there", "somebody controls it", "another rollout has it", "it has no such container"],
)  # fmt: skip
def test_podpin_keeps_its_hands_off_where(
    workload: Workload | None, claimant: Key | None, reason: str, says: str
) -> None:
    found = adopted.obstacle(WEB, wish(), workload, claimant)
    assert found is not None
    assert found.reason == reason
    assert says in found.message
    decision = decide(rollout(wish()), seen("a", workload=workload, obstacle=found), START)
    assert decision.actions == ()
    assert [(one.type, one.status, one.reason) for one in decision.status.conditions] == [
        ("Ready", "False", reason),
        ("Stalled", "True", reason),
    ]
    assert decision.recheck_at == START + adopted.LOOK_AGAIN


@pytest.mark.parametrize(
    "workload",
    [there(), there(**labelled("web")), there(**labelled("gone")),
     there(metadata__ownerReferences=[{"kind": "Shop", "name": "front", "uid": "u9"}])],
    ids=["nobody has it", "this rollout has it", "a rollout that is gone had it", "an owner does not control it"],
)  # fmt: skip
def test_nothing_stands_in_the_way_where(workload: Workload) -> None:
    assert adopted.obstacle(WEB, wish(), workload, None) is None
    assert adopted.obstacle(WEB, named("app", "setup", "side"), workload, None) is None


def claim(name: str, created: str, target: str = "shopfront", **metadata: Any) -> Json:
    reference = {"apiVersion": "apps/v1", "kind": "Deployment", "name": target}
    return {"metadata": {"name": name, "creationTimestamp": created, **metadata}, "spec": {"targetRef": reference}}


@pytest.mark.parametrize(
    ("others", "first"),
    [
        ([], None),
        ([claim("other", "2026-02-28T12:00:00Z")], "other"),
        ([claim("other", "2026-03-02T12:00:00Z")], None),
        ([claim("a", "2026-03-01T12:00:00Z"), claim("x", "2026-03-01T12:00:00Z")], "a"),
        ([claim("other", "2026-02-28T12:00:00Z", target="elsewhere")], None),
        ([claim("other", "2026-02-28T12:00:00Z", deletionTimestamp="2026-03-01T12:00:00Z")], None),
        ([{"metadata": {"name": "own"}, "spec": {"workload": {}}}, {"metadata": {}, "spec": None}], None),
    ],
    ids=["alone", "older", "younger", "of the same second, by name", "with another target", "going", "without a target"],
)  # fmt: skip
def test_of_two_rollouts_for_one_workload_the_older_has_it(others: list[Json], first: str | None) -> None:
    me = claim("web", "2026-03-01T12:00:00Z")
    assert adopted.first_of([me, *others], WEB, PLACE) == (Key("shop", first) if first else None)


# --- what is applied


def release(spec: Spec, *containers: str, letter: str = "a") -> Release:
    ((_, image),) = images(letter)
    return release_of(spec, tuple((one, image) for one in containers or ("app",)))


def test_only_images_and_marks_of_its_own_are_applied() -> None:
    spec, ((_, image),) = named("app", "setup"), images("a")
    made = release(spec, "app", "setup")
    assert adopted.pins_of(WEB, spec, there(), made, "i") == {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {
            "name": "shopfront",
            "namespace": "shop",
            "labels": {"podpin.dev/rollout": "web"},
            "annotations": {"podpin.dev/intent": "i"},
        },
        "spec": {
            "template": {
                "metadata": {"labels": {"podpin.dev/rollout": "web", "podpin.dev/release": made.id}},
                "spec": {
                    "containers": [{"name": "app", "image": image}],
                    "initContainers": [{"name": "setup", "image": image}],
                },
            }
        },
    }


def test_a_release_that_is_tried_again_gets_new_pods() -> None:
    made = replace(release(wish()), retried="1:retry=x")
    applied = adopted.pins_of(WEB, wish(), there(), made, "i")
    assert applied["spec"]["template"]["metadata"]["annotations"] == {"podpin.dev/retried": "1:retry=x"}
    assert adopted.intent_of(PLACE, "r", made.images) != adopted.intent_of(PLACE, "r", made.images, "1:retry=x")


def test_a_canary_has_the_authors_pods_with_the_images_of_its_release() -> None:
    body = live(
        spec__template__metadata={"creationTimestamp": None, "labels": {"app": "web"}, "annotations": {"a": "b"}}
    )
    before = copy.deepcopy(body)
    made = release(named("app", "setup"), "app", "setup")
    template = adopted.template_of(WEB, named("app", "setup"), body, made)
    pod = before["spec"]["template"]["spec"]
    pod["containers"][0]["image"] = pod["initContainers"][0]["image"] = dict(made.images)["app"]
    labels = {"app": "web", "podpin.dev/rollout": "web", "podpin.dev/release": made.id}
    assert template == {"metadata": {"labels": labels, "annotations": {"a": "b"}}, "spec": pod}
    assert body["spec"]["template"]["spec"]["containers"][0]["image"] == f"{REPOSITORY}:1.0.0", "what was seen stays"
    again = adopted.template_of(WEB, wish(), body, replace(release(wish()), retried="1:retry=x"))
    assert again["metadata"]["annotations"] == {"a": "b", "podpin.dev/retried": "1:retry=x"}


@pytest.mark.parametrize(
    ("spec", "pinned"),
    [(wish(), "side"), (named("app", "new"), "new")],
    ids=["is no longer named in the spec", "is not in the workload"],
)
def test_a_container_is_left_out_that(spec: Spec, pinned: str) -> None:
    applied = adopted.pins_of(WEB, spec, there(), release(spec, "app", pinned), "i")
    assert [one["name"] for one in applied["spec"]["template"]["spec"]["containers"]] == ["app"]


def test_a_release_is_its_images_alone_whatever_the_author_changes() -> None:
    assert release(wish()).id == release(wish()).id
    assert release(wish()).template == {}
    assert release(wish()).id != release(wish(), letter="b").id


def test_a_container_that_an_apply_would_make_is_found() -> None:
    spec = named("app", "setup")
    applied = adopted.pins_of(WEB, spec, there(), release(spec, "app", "setup"), "i")
    assert adopted.lacking("Deployment", live(), applied) == ()
    moved = live(spec__template={"spec": {"containers": [{"name": "app"}, {"name": "setup"}]}})
    assert adopted.lacking("Deployment", moved, applied) == ("setup",)


def owned(*containers: str, manager: str = "podpin", operation: str = "Apply") -> Json:
    """The live object with the images of these containers in somebody's hands."""
    mine: Json = {f'k:{{"name":"{one}"}}': {".": {}, "f:name": {}, "f:image": {}} for one in containers}
    early = {item: mine.pop(item) for item in list(mine) if "setup" in item}
    pod = {"f:containers": mine, "f:initContainers": {".": {}, **early}}
    fields = {"f:spec": {"f:template": {"f:spec": pod}}}
    return live(metadata__managedFields=[{"manager": manager, "operation": operation, "fieldsV1": fields}])


@pytest.mark.parametrize(
    ("body", "left"),
    [
        (owned("app"), None),
        (owned("app", "side"), {"containers": [{"name": "side", "image": "proxy:2"}]}),
        (owned("app", "setup"), {"initContainers": [{"name": "setup", "image": "setup:1"}]}),
        (owned("app", "side", manager="helm"), None),
        (owned("app", "side", operation="Update"), None),
        (owned("app", "gone"), None),
        (live(), None),
    ],
    ids=["all are still named", "one is not", "an init container is not", "somebody else's", "not applied",
         "the author has removed it", "nothing is podpin's yet"],
)  # fmt: skip
def test_what_is_taken_out_of_the_spec_is_handed_over_as_it_is(body: Json, left: Json | None) -> None:
    applied = adopted.pins_of(WEB, wish(), there(), release(wish()), "i")
    handed = adopted.given_up("Deployment", body, applied)
    assert (handed and handed["spec"]["template"]["spec"]) == left
    assert handed is None or handed["metadata"] == {"name": "shopfront", "uid": "d1"}


# --- what ran before


def pods(*ids: str, **metadata: Any) -> list[Json]:
    return [{"metadata": metadata, "status": {"containerStatuses": [{"name": "app", "imageID": one}]}} for one in ids]


EXACT = f"{REPOSITORY}@{digest('f')}"


@pytest.mark.parametrize(
    ("changes", "running", "ran"),
    [
        ({}, pods(EXACT, EXACT), f"{REPOSITORY}:1.0.0@{digest('f')}"),
        ({}, pods(f"docker-pullable://{EXACT}", EXACT), f"{REPOSITORY}:1.0.0@{digest('f')}"),
        ({}, pods(EXACT, f"{REPOSITORY}@{digest('e')}"), None),
        ({}, pods(EXACT), None),
        ({}, pods(EXACT, EXACT, deletionTimestamp="now"), None),
        ({}, pods(digest("f"), digest("f")), None),
        ({}, pods("", ""), None),
        ({}, pods(f"elsewhere.example.com/web@{digest('f')}", f"elsewhere.example.com/web@{digest('f')}"), None),
        ({"status__availableReplicas": 1}, pods(EXACT, EXACT), None),
        ({"status__updatedReplicas": 1}, pods(EXACT, EXACT), None),
        ({"spec__replicas": 0, "status": {"observedGeneration": 4}}, [], None),
        ({"spec__template": {"spec": {"containers": [{"name": "app", "image": EXACT}]}}}, pods("", ""), EXACT),
    ],
    ids=["all Pods have one digest", "an older runtime's way to write it", "two digests", "a Pod is missing",
         "its Pods are going", "an image without a repository", "not started", "another repository's",
         "not all available", "in mid-rollout", "scaled to zero", "the template is exact"],
)  # fmt: skip
def test_what_ran_before_is_known_where_its_pods_tell_it_exactly(
    changes: Json, running: list[Json], ran: str | None
) -> None:
    found = adopted.what_ran(wish(), there(**changes), running)
    assert (dict(found.images)["app"] if found else None) == ran
    assert found is None or parse_pin(dict(found.images)["app"]).digest == digest("f")


@pytest.mark.parametrize(
    ("spec", "running", "unknown"),
    [
        (wish(), there(), True),
        (wish(), there(spec__template={"metadata": {"labels": {"podpin.dev/release": record("a", wish=wish()).release}}}),
         False),
        (named("app", "side"),
         there(spec__template={"metadata": {"labels": {"podpin.dev/release": record("a", wish=wish()).release}}}), True),
    ],
    ids=["at adoption", "where the running release pins all", "where another container is named"],
)  # fmt: skip
def test_it_is_asked_for(spec: Spec, running: Workload, unknown: bool) -> None:
    assert adopted.is_unknown(spec, running, [record("a", wish=wish())]) is unknown


@pytest.mark.parametrize(
    ("selector", "query"),
    [
        ({"matchLabels": {"app": "web", "tier": "front"}}, "app=web,tier=front"),
        ({"matchExpressions": [{"key": "a", "operator": "In", "values": ["x", "y"]}, {"key": "b", "operator": "NotIn", "values": ["z"]},
                               {"key": "c", "operator": "Exists"}, {"key": "d", "operator": "DoesNotExist"}]},
         "a in (x,y),b notin (z),c,!d"),
        ({}, None),
    ],
    ids=["labels", "expressions", "nothing"],
)  # fmt: skip
def test_pods_are_found_by_the_workload_s_own_selector(selector: Json, query: str | None) -> None:
    assert adopted.selector_of(live(spec__selector=selector)) == query


# --- deciding


RAN = Release(id="before", spec_hash="", images=(("app", f"{REPOSITORY}:0.9@{digest('f')}"),), template={})


def test_what_ran_is_on_record_before_anything_is_put_in_its_place() -> None:
    decision = decide(rollout(wish()), seen("a", workload=there(), ran=RAN), START)
    (tried, before, applied) = decision.actions
    assert isinstance(tried, Write)
    assert tried.record.verdict is None
    assert isinstance(before, Write)
    assert before.release == RAN
    assert before.record.is_stable
    assert isinstance(applied, Apply)
    assert (applied.id, applied.uid) == (tried.release.id, "d1")
    assert [notice.reason for notice in decision.notices][:2] == ["Progressing", "Adopted"]


def adopted_at(letter: str, spec: Spec, **fields: Any) -> Workload:
    """The workload as podpin has pinned it to a release."""
    made = release(spec, letter=letter)
    intent = adopted.intent_of(PLACE, made.id, made.images)
    return replace(there(), rollout="web", release=made.id, intent=intent, **fields)


def test_a_first_choice_that_fails_gives_way_to_what_ran_before() -> None:
    spec = wish()
    broken = tuple(
        replace(pod("b", waiting("ErrImageNeverPull"), name=f"w-{n}"), release=release(spec, letter="b").id)
        for n in "12"
    )
    before = replace(record("f"), release="before", images=RAN.images, verdict=record("a", "Stable").verdict)
    records = (before, record("b", wish=spec))
    view = seen("b", workload=adopted_at("b", spec, available=0), pods=broken, records=records)
    decision = decide(rollout(spec), view, at(5))
    assert [type(one) for one in decision.actions] == [Judge, Apply]
    assert isinstance(decision.actions[1], Apply)
    assert decision.actions[1].id == "before"


def test_nothing_happens_where_the_wanted_release_is_pinned_and_proven() -> None:
    spec = wish()
    view = seen(
        "a", workload=adopted_at("a", spec), pods=ready("a", wish=spec), records=(record("a", "Stable", wish=spec),)
    )
    first = decide(rollout(spec), view, START)
    assert first.actions == ()
    assert first.status.running is not None
    assert first.status.running.ready == "2/2"
    again = decide(rollout(spec, first.status), view, at(600))
    assert (again.actions, again.notices, again.status) == ((), (), first.status)


def test_a_label_of_somebody_who_is_gone_is_replaced() -> None:
    spec = wish()
    view = seen(
        "a", workload=replace(adopted_at("a", spec), rollout="gone"), records=(record("a", "Stable", wish=spec),)
    )
    assert [type(one) for one in decide(rollout(spec), view, START).actions] == [Apply]


def test_a_problem_is_told_once() -> None:
    problem = Problem("TargetNotFound", "there is none")
    first = decide(rollout(wish()), seen(None, obstacle=problem), START)
    assert [notice.reason for notice in first.notices] == ["TargetNotFound"]
    again = decide(rollout(wish(), first.status), seen(None, obstacle=problem), at(30))
    assert (again.status, again.notices) == (first.status, ())


# --- the kinds


def set_of(kind: str, spec: Json, status: Json) -> Workload:
    return workload_of(
        {"metadata": {"uid": "s1", "generation": 2}, "spec": spec, "status": {"observedGeneration": 2, **status}}, kind
    )


WHOLE = {"replicas": 3, "updatedReplicas": 3, "availableReplicas": 3}
PARTITION = {"type": "RollingUpdate", "rollingUpdate": {"partition": 2}}
DAEMONS = {"desiredNumberScheduled": 2, "currentNumberScheduled": 2, "updatedNumberScheduled": 2, "numberAvailable": 2}


@pytest.mark.parametrize(
    ("kind", "spec", "status", "replicas", "complete", "held"),
    [
        ("StatefulSet", {"replicas": 3}, WHOLE, 3, True, False),
        ("StatefulSet", {"replicas": 3}, {**WHOLE, "updatedReplicas": 2}, 3, False, False),
        ("StatefulSet", {"replicas": 3}, {**WHOLE, "availableReplicas": 2}, 3, False, False),
        ("StatefulSet", {"replicas": 3, "updateStrategy": PARTITION}, {**WHOLE, "updatedReplicas": 1}, 1, True, False),
        ("StatefulSet", {"replicas": 3, "updateStrategy": PARTITION}, WHOLE, 1, True, False),
        ("StatefulSet", {"replicas": 3, "updateStrategy": PARTITION}, {**WHOLE, "updatedReplicas": 0}, 1, False, False),
        ("StatefulSet", {"replicas": 2, "updateStrategy": PARTITION}, {**WHOLE, "replicas": 2}, 0, False, True),
        ("StatefulSet", {"replicas": 3, "updateStrategy": {"type": "OnDelete"}}, WHOLE, 3, True, True),
        ("StatefulSet", {}, {}, 1, False, False),
        ("DaemonSet", {}, DAEMONS, 2, True, False),
        ("DaemonSet", {}, {**DAEMONS, "updatedNumberScheduled": 1}, 2, False, False),
        ("DaemonSet", {"updateStrategy": {"type": "OnDelete"}}, DAEMONS, 2, True, True),
        ("DaemonSet", {}, {}, 0, True, False),
    ],
    ids=["whole", "one is old", "one is away", "the partition leaves one", "all are of one revision", "none has moved yet",
         "the partition holds all", "OnDelete", "a set of one that has not begun", "on every node", "one node is old",
         "OnDelete on nodes", "for no node"],
)  # fmt: skip
def test_a_set_is_seen(kind: str, spec: Json, status: Json, replicas: int, complete: bool, held: bool) -> None:
    found = set_of(kind, spec, status)
    assert found.replicas == replicas
    assert is_complete(found) is complete
    assert (found.held is not None) is held


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_the_pod_template_is_found_and_made_in_the_same_place(kind: str) -> None:
    template = {"metadata": {"labels": {"podpin.dev/release": "r"}}, "spec": {"containers": [{"name": "app"}]}}
    raw = KINDS[kind].around(template)
    assert KINDS[kind].template_of(raw) == template
    assert workload_of(raw, kind).release == "r"
    assert workload_of({}, kind).template == {}


def test_a_release_of_a_cron_job_is_stable_once_it_is_written() -> None:
    target = {"apiVersion": "batch/v1", "kind": "CronJob", "name": "shopfront"}
    spec = wish(targetRef=target)
    made = release(spec)
    place = Place("CronJob", "shopfront")
    template = {"metadata": {"labels": {"podpin.dev/release": made.id}}, "spec": {"containers": [{"name": "app"}]}}
    raw = KINDS["CronJob"].around(template) | {"metadata": {"uid": "d1", "labels": {"podpin.dev/rollout": "web"}}}
    there_now = replace(workload_of(raw, "CronJob"), intent=adopted.intent_of(place, made.id, made.images))
    first = decide(rollout(spec), seen("a", workload=there_now, records=(record("a", wish=spec),)), START)
    assert [type(one) for one in first.actions] == [Judge]
    assert first.status.conditions[0].reason == "RolledOut"
    assert (first.status.replicas, first.status.running and first.status.running.ready) == (0, None)


def sets(held: str | None = None, **fields: Any) -> tuple[Spec, Workload]:
    """A StatefulSet that is on its way back to release A."""
    spec = wish(targetRef={"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "db"})
    made = release(spec)
    intent = adopted.intent_of(Place("StatefulSet", "db"), made.id, made.images)
    back = replace(there(), rollout="web", release=made.id, intent=intent, held=held, **fields)
    return spec, back


def member(ordinal: int, letter: str, *, ready: bool, **fields: Any) -> Pod:
    one = pod(letter, name=f"db-{ordinal}", wish=wish(), ready=ready)
    return replace(one, release=release(wish(), letter=letter).id, **{"owner": "", **fields})


GOOD = member(0, "a", ready=True)


@pytest.mark.parametrize(
    ("workload", "members", "removed"),
    [
        ({}, [GOOD, member(1, "b", ready=False)], "db-1"),
        ({}, [member(1, "b", ready=False), member(2, "b", ready=False)], "db-2"),
        ({}, [member(2, "b", ready=False), member(10, "b", ready=False)], "db-10"),
        ({}, [GOOD, member(1, "b", ready=True)], None),
        ({}, [GOOD, member(1, "a", ready=False)], None),
        ({}, [GOOD, member(1, "c", ready=False)], None),
        ({}, [member(1, "b", ready=False), member(2, "b", ready=False, deleting=True)], None),
        ({}, [replace(member(1, "b", ready=False), name="somebody-s")], None),
        ({"observed_generation": 3}, [GOOD, member(1, "b", ready=False)], None),
        ({"held": "OnDelete"}, [GOOD, member(1, "b", ready=False)], None),
        ({}, [GOOD], None),
    ],
    ids=["a broken one of the rejected release", "the last first", "the last by its number", "one that is ready",
         "one of the stable release", "one of a release without a verdict", "none beside one that is going", "none of its own",
         "none before the controller knows", "none where its author deletes them", "none where all is well"],
)  # fmt: skip
def test_of_a_set_that_is_stuck_the_pod_removed_is(workload: Json, members: list[Pod], removed: str | None) -> None:
    spec, back = sets(**workload)
    records = (record("a", "Stable", wish=spec), record("b", "Rejected", order=2, wish=spec), record("c", wish=spec))
    decision = decide(rollout(spec), seen("b", workload=back, pods=tuple(members), records=records), at(5))
    assert [one.pod for one in decision.actions if isinstance(one, Unstick)] == ([removed] if removed else [])
    assert len([one for one in decision.notices if one.reason == "Unstuck"]) == bool(removed)


def test_pods_that_only_their_author_moves_are_waited_for_without_blame() -> None:
    spec, back = sets(held="OnDelete", updated=0)
    view = seen("a", workload=back, pods=(), records=(record("a", wish=spec),))
    for moment in (at(0), at(6000)):
        said = decide(rollout(spec), view, moment)
        assert said.actions == ()
        assert said.status.conditions[0].reason == "HeldByStrategy"


@pytest.mark.parametrize(
    "update",
    [
        pytest.param({"mode": "Manual"}, id="Manual"),
        pytest.param({"windows": [{"cron": "0 9 * * 1", "duration": "1h"}]}, id="windows"),
    ],
)
def test_adopting_puts_no_other_image_in_before_it_may(update: Json) -> None:
    spec = wish(update=update)
    running = seen("b", workload=there())
    assert decide(rollout(spec), running, START).actions == ()
    approved = rollout(spec, requests=Requests(approve=release(spec, letter="b").id))
    assert [type(one) for one in decide(approved, running, START).actions] == [Write, Apply]
    same = replace(running, images=seen("a").images, ran=release(spec))
    assert Apply in [type(one) for one in decide(rollout(spec), same, START).actions], "pinning what runs may begin"
