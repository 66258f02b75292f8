"""A release that is to be pulled before it begins: what is made for it, what the nodes show, and what follows."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import pytest
from tests.builders import (
    REPOSITORY,
    UID,
    at,
    container,
    digest,
    pod,
    record,
    release_id,
    rollout,
    run,
    seen,
    spec,
    waiting,
    workload,
)
from tests.decisions import ready_of, told

from podpin.core.decision import EndPull, Requests, Rollout, StartPull
from podpin.core.observation import Observation, Resolved
from podpin.core.release import digest_of
from podpin.core.rollout import decide
from podpin.core.status import PinnedImage, Status, WaitingStatus

if TYPE_CHECKING:
    from datetime import datetime

    from podpin.core.observation import Container, Pod
    from podpin.core.spec import Spec

TERMS = {"progressDeadline": "60s", "bakeTime": "10s"}
FIRST = spec(rollout={**TERMS, "prePull": True})
BY_CANARY = spec(rollout={**TERMS, "prePull": True, "canary": {"replicas": 1}})
MANUAL = spec(rollout={**TERMS, "prePull": True}, update={"mode": "Manual"})
SUSPENDED = spec(rollout={**TERMS, "prePull": True}, suspend=True)
B = release_id("b")
IMAGE = f"{REPOSITORY}:1.0.1@{digest('b')}"
STABLE = record("a", "Stable")
RUNS: tuple[Pod, ...] = tuple(replace(pod("a", name=f"web-{n}"), node=f"node-{n}") for n in (1, 2))
STEADY: dict[str, Any] = {"workload": workload("a"), "pods": RUNS, "records": (STABLE,)}

THERE = waiting("CreateContainerConfigError", "container has runAsNonRoot and image will run as root")
REFUSED_A_START = container(
    ready=False, running_since=None, ended=run(128, "StartError", 'exec: "/podpin.dev/nothing-to-run"')
)
PULLS = waiting("ContainerCreating")
GONE = waiting("ErrImagePull", "rpc error: not found", image=IMAGE)
FOREIGN = waiting(
    "ImagePullBackOff", "Back-off pulling image: no match for platform in manifest: not found", image=IMAGE
)
DENIED = waiting("ErrImagePull", "failed with status code: 401 Unauthorized", image=IMAGE)
WORDLESS = waiting("ImagePullBackOff", f'Back-off pulling image "{IMAGE}"', image=IMAGE)
BROKEN = waiting("ErrImagePull", "httpReadSeeker: connection broken 17", image=IMAGE)
DOWN = waiting("ErrImagePull", "dial tcp: i/o timeout", image=IMAGE)
NEVER_THERE = container(ready=False, running_since=None, ended=run(137, "ContainerStatusUnknown"))
MESH = container("istio-proxy")


def pulls(node: str, *parts: Container, retried: str | None = None, **fields: Any) -> Pod:
    """The Pod that pulls B onto a node."""
    name = f"web-{B}-pull-{digest_of([node, retried], 8)}"
    made = pod("b", *parts or (PULLS,), name=name, ready=False, retried=retried, owner=UID)
    return replace(made, **{"node": node, "pulls": True, "containers": parts, **fields})


def wants(wish: Spec = FIRST, until: datetime | None = None, **fields: Any) -> Rollout:
    """The rollout; `until` is the end that its status tells for the pulling of B, in seconds."""
    images = (PinnedImage(container="app", image=IMAGE),)
    told_of = WaitingStatus(release=B, images=images, reason="PrePulling", until=until or at(100))
    return rollout(wish, Status(waiting=told_of), **fields)


def world(one: tuple[Container, ...] | None, other: tuple[Container, ...] | None, **fields: Any) -> Observation:
    """A steady world in which B is wanted, and how far it has come on both nodes: None where no Pod is there."""
    there = [pulls(f"node-{n}", *parts) for n, parts in ((1, one), (2, other)) if parts is not None]
    return seen("b", **{**STEADY, "pullers": tuple(there), **fields})


BOTH = world((THERE,), (REFUSED_A_START,))
BEGINS = ["write b", "apply b", "EndPull", "EndPull"]
TURNED_DOWN = ["write b", "EndPull", "EndPull"]
MAKES = ["StartPull", "StartPull"]


@dataclass(frozen=True)
class Row:
    says: str
    rollout: Rollout
    seen: Observation
    does: list[str]
    ready: str = "Unknown PrePulling"
    events: list[str] | None = field(default=None)
    words: str = ""
    now: float = 90


ROWS = [
    Row("does nothing where nothing new is wanted", wants(), seen("a", **STEADY), [], "True RolledOut", []),
    Row("pulls nothing where nobody asks for it", rollout(), seen("b", **STEADY), ["write b", "apply b"], "Unknown Progressing"),
    # making the Pods
    Row("makes a Pod on each node of the running Pods, and changes nothing", rollout(FIRST), seen("b", **STEADY), MAKES, events=["PrePulling"], words="node-1, node-2"),
    Row("makes one Pod for a node with two", rollout(FIRST), seen("b", **{**STEADY, "pods": (RUNS[0], replace(RUNS[0], name="web-9"))}), ["StartPull"]),
    Row("makes the one that podpin died over", wants(), world((PULLS,), None), ["StartPull"]),
    Row("waits while nodes pull", wants(), world((PULLS,), (THERE,)), []),
    Row("waits while one of two images is not there yet", wants(), world((PULLS,), (THERE, PULLS)), []),
    Row("makes none on a node that has stopped answering", rollout(FIRST), seen("b", **{**STEADY, "pods": (RUNS[0], replace(RUNS[1], ready=False))}), ["StartPull"], "False Degraded"),
    Row("makes none on a node that a Pod is leaving", rollout(FIRST), seen("b", **{**STEADY, "pods": (RUNS[0], replace(RUNS[1], deleting=True))}), ["StartPull"]),
    Row("takes the Pod of a node away that no Pod runs on any more", wants(), world((PULLS,), (PULLS,), pods=RUNS[:1]), ["EndPull"]),
    Row("makes a Pod anew that has waited for too long", wants(), world((PULLS,), None, pullers=(pulls("node-1", NEVER_THERE, phase="Failed", reason="DeadlineExceeded"), pulls("node-2", THERE))), ["EndPull"]),
    # when it may begin
    Row("begins when all nodes have the images", wants(), BOTH, BEGINS, "Unknown Progressing", ["Progressing"]),
    Row("begins with its canary", wants(BY_CANARY), BOTH, ["write b", "canary b 1 with 1", "EndPull", "EndPull"], "Unknown Progressing"),
    Row("minds no sidecar that others put into the Pod", wants(), world((THERE, MESH), (THERE, waiting("ImagePullBackOff", "401 Unauthorized", name="istio-proxy"))), BEGINS, "Unknown Progressing"),
    Row("begins at once with the first release", rollout(FIRST), seen("b"), ["write b", "apply b"], "Unknown Progressing"),
    Row("begins at once where no Pods are wanted", rollout(FIRST), seen("b", **{**STEADY, "pods": ()}), ["write b", "apply b"], "Unknown Progressing"),
    Row("leaves a rejected release at once", rollout(spec(rollout={**TERMS, "prePull": True}, rollback={"enabled": False})), seen("c", workload=workload("b", ready=False), pods=(replace(pod("b", PULLS), node="node-1"),), records=(STABLE, record("b", "Rejected", 2))), ["write c", "apply c"], "Unknown Progressing"),
    # what is no fault of the image
    Row("passes over a node for which the Pod is refused, and says so", wants(), world((THERE,), None, not_pulled={pulls("node-2").name: "exceeded quota"}), ["write b", "apply b", "EndPull"], "Unknown Progressing", ["Progressing", "NotPulled"], "node-2: podpin could not make a Pod there: exceeded quota"),
    Row("passes over a node that refuses the Pod", wants(), world(None, None, pullers=(pulls("node-1", THERE), pulls("node-2", phase="Failed", reason="OutOfpods", message="Node didn't have enough capacity"))), BEGINS, "Unknown Progressing", ["Progressing", "NotPulled"], "capacity"),
    Row("passes over a node where the template would not run", wants(), world(None, None, pullers=(pulls("node-1", THERE), pulls("node-2", phase="Failed", reason="NodeAffinity"))), BEGINS, "Unknown Progressing"),
    Row("passes over a node from which the Pod is taken away", wants(), world(None, None, pullers=(pulls("node-1", THERE), pulls("node-2", PULLS, disrupted="DeletionByTaintManager"))), BEGINS, "Unknown Progressing"),
    Row("waits for a node that has not taken the Pod up yet", wants(), world((THERE,), ()), [], now=69),
    Row("passes over a node that is silent", wants(), world((THERE,), ()), BEGINS, "Unknown Progressing", ["Progressing", "NotPulled"], now=70),
    Row("gives a node its time to take the Pod up where the API server's clock is behind", wants(), world(None, None, pullers=(pulls("node-1", THERE), pulls("node-2", created=at(-31)))), [], now=41),
    Row("begins where nothing can be learned at all", wants(), world(None, None, not_pulled={pulls(f"node-{n}").name: "forbidden" for n in (1, 2)}), ["write b", "apply b"], "Unknown Progressing", ["Progressing", "NotPulled"]),
    Row("waits for a registry that is down", wants(), world((DOWN,), (PULLS,)), [], words="does not serve the image"),
    # the image's fault
    Row("rejects what the registry itself has not", wants(), world((GONE,), (PULLS,), gone=frozenset({digest("b")})), TURNED_DOWN, "True RolledBack", ["Rejected"], "ImageNotFound"),
    Row("doubts a node that the registry contradicts", wants(), world((GONE,), (THERE,)), [], words="the registry has not confirmed"),
    Row("rejects what has nothing for the node's platform", wants(), world((FOREIGN,), (THERE,)), TURNED_DOWN, "True RolledBack", ["Rejected"], "WrongPlatform"),
    Row("tells of a pull that is denied", wants(), world((DENIED,), (THERE,)), [], words="imagePullSecrets"),
    # the deadline
    Row("rejects at the deadline what a node may not pull", wants(), world((DENIED,), (THERE,)), TURNED_DOWN, "True RolledBack", ["Rejected"], "ProgressDeadlineExceeded", now=100),
    Row("rejects at the deadline what no node has got", wants(), world((PULLS,), (PULLS,)), TURNED_DOWN, "True RolledBack", ["Rejected"], "no node had its images", now=100),
    Row("begins at the deadline where some nodes have it and others are slow", wants(), world((THERE,), (PULLS,)), BEGINS, "Unknown Progressing", ["Progressing", "NotPulled"], now=100),
    Row("begins at the deadline where one node cannot reach the registry", wants(), world((THERE,), (DOWN,)), BEGINS, "Unknown Progressing", ["Progressing", "NotPulled"], now=100),
    Row("waits on where no node can reach the registry", wants(), world((DOWN,), (DOWN,)), [], now=100),
    Row("blames nothing on an image where no Pod has its network", wants(), world(None, None, pullers=tuple(pulls(f"node-{n}", PULLS, trouble="FailedCreatePodSandBox: no address") for n in (1, 2))), [], words="waits for its network", now=100),
    Row("waits on where one node cannot reach the registry and none has it", wants(), world((DOWN,), (PULLS,)), [], words="does not serve the image", now=100),
    Row("waits on for the words of nodes that only say that they could not pull", wants(), world((WORDLESS,), (WORDLESS,)), [], words="has not said why", now=100),
    Row("begins at the deadline where one node does not say why it could not pull", wants(), world((THERE,), (WORDLESS,)), BEGINS, "Unknown Progressing", ["Progressing", "NotPulled"], now=100),
    Row("rejects at the deadline with a runtime's own words", wants(), world((BROKEN,), (THERE,)), TURNED_DOWN, "True RolledBack", ["Rejected"], "connection broken 17", now=100),
    # what podpin itself was late with
    Row("does not blame an image on Pods that are not there", wants(), world(None, None), MAKES, now=200),
    Row("does not blame an image on Pods that ended while podpin was away", wants(), world(None, None, pullers=tuple(pulls(f"node-{n}", NEVER_THERE, phase="Failed", reason="DeadlineExceeded") for n in (1, 2))), ["EndPull", "EndPull"], now=200),
    Row("does not blame an image on nodes that the Pods have only just moved to", wants(), world((PULLS,), (PULLS,), pods=tuple(replace(one, node=f"{one.node}-new") for one in RUNS)), ["EndPull", "EndPull", *MAKES], now=100),
    Row("does not put the end off for a Pod that was made a moment after it was decided", wants(), world(None, None, pullers=tuple(pulls(f"node-{n}", PULLS, created=at(41)) for n in (1, 2))), TURNED_DOWN, "True RolledBack", ["Rejected"], now=100),
    Row("gives a Pod its time that was made late", wants(), world((PULLS,), None, pullers=(pulls("node-1", PULLS), pulls("node-2", PULLS, created=at(60)))), [], now=100),
    Row("gives a Pod its time that was made late, though another node has the images", wants(), world((THERE,), None, pullers=(pulls("node-1", THERE), pulls("node-2", DENIED, created=at(60)))), [], words="imagePullSecrets", now=100),
    Row("rejects what a Pod that was made late has not got in its time", wants(until=at(120)), world((PULLS,), None, pullers=(pulls("node-1", PULLS), pulls("node-2", PULLS, created=at(60)))), TURNED_DOWN, "True RolledBack", ["Rejected"], "no node had its images", now=120),
    # what stops it
    Row("pulls nothing before it is approved of", rollout(MANUAL), seen("b", **STEADY), [], "True AwaitingApproval"),
    Row("takes its Pods away when it is paused", wants(paused="incident"), world((PULLS,), (PULLS,)), ["EndPull", "EndPull"], "True Paused"),
    Row("takes its Pods away when it is suspended", wants(SUSPENDED), world((PULLS,), (PULLS,)), ["EndPull", "EndPull"], "True Suspended"),
    Row("begins and takes its Pods away when it is not to be pulled first any more", wants(spec()), world((PULLS,), (PULLS,)), BEGINS, "Unknown Progressing"),
    Row("gives it up when it is not wanted any more", wants(), world((PULLS,), (PULLS,), images={"app": Resolved("1.0.0", digest("a"))}), ["EndPull", "EndPull"], "True RolledOut"),
    Row("gives it up for a newer one", wants(), world((PULLS,), (PULLS,), images={"app": Resolved("1.0.2", digest("c"))}), ["EndPull", "EndPull", *MAKES]),
    Row("sweeps what podpin's death has left behind", wants(), world((THERE,), (THERE,), workload=workload("b", ready=False), records=(STABLE, record("b"))), ["EndPull", "EndPull"], "Unknown Progressing"),
    Row("leaves the Pods of another rollout of that name alone", wants(), seen("a", **STEADY, pullers=(pulls("node-1", PULLS, owner="another"),)), [], "True RolledOut"),
    # beside a candidate that is being tried
    Row("lets an earlier candidate go on while a newer one is pulled", rollout(FIRST), seen("c", workload=workload("b", ready=False), pods=(replace(pod("b", PULLS), node="node-1"), *RUNS), records=(STABLE, record("b"))), MAKES, "Unknown Progressing"),
    Row("takes a failing candidate back, though a newer one is pulled", rollout(FIRST), seen("c", workload=workload("b", ready=False), pods=(replace(pod("b", waiting("CrashLoopBackOff", restarts=2, last=run())), node="node-1"), *RUNS), records=(STABLE, record("b"))), ["reject b", "apply a", *MAKES]),
]  # fmt: skip


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.says)
def test_a_release_is_pulled_first(row: Row) -> None:
    decision = decide(row.rollout, row.seen, at(row.now))
    assert [told(action) for action in decision.actions] == row.does
    assert ready_of(decision.status) == row.ready
    if row.events is not None:
        assert [notice.reason for notice in decision.notices if notice.reason != "RolledOut"] == row.events
    ready = next(one.message for one in decision.status.conditions if one.type == "Ready")
    assert row.words in " ".join([ready, *(notice.message for notice in decision.notices)])


def test_the_end_is_told_when_it_begins_and_stands() -> None:
    first = decide(rollout(FIRST), seen("b", **STEADY), at(7.5))
    assert first.status.waiting is not None
    assert (first.status.waiting.reason, first.status.waiting.until) == ("PrePulling", at(67))
    assert first.recheck_at == at(67.5)
    second = decide(rollout(FIRST, first.status), world((PULLS,), (THERE,)), at(40))
    assert (second.status, second.actions, second.notices) == (first.status, (), ())
    assert second.recheck_at == at(67)


def test_the_end_is_put_off_while_the_registry_is_down() -> None:
    put_off = decide(wants(), world((DOWN,), (DOWN,)), at(100))
    assert put_off.status.waiting is not None
    assert put_off.status.waiting.until is None
    still = decide(rollout(FIRST, put_off.status), world((DOWN,), (DOWN,)), at(5000))
    assert (still.status, still.actions, still.recheck_at) == (put_off.status, (), None)
    half = decide(rollout(FIRST, put_off.status), world((PULLS,), (DOWN,)), at(5000))
    assert (half.status.waiting, half.actions, half.recheck_at) == (put_off.status.waiting, (), None), (
        "one node is no registry"
    )
    for back in ((PULLS, PULLS), (DENIED, DOWN)):
        on = decide(rollout(FIRST, put_off.status), world(back[:1], back[1:]), at(5000))
        assert on.status.waiting is not None
        assert on.recheck_at == on.status.waiting.until == at(5060), "it has its time from when the registry is back"


def test_the_end_is_put_off_once_for_a_pod_that_was_made_late() -> None:
    late = world((PULLS,), None, pullers=(pulls("node-1", PULLS), pulls("node-2", PULLS, created=at(60))))
    first = decide(wants(), late, at(100))
    assert first.status.waiting is not None
    assert first.recheck_at == first.status.waiting.until == at(120)
    second = decide(rollout(FIRST, first.status), late, at(110))
    assert (second.status, second.actions) == (first.status, ())


def test_a_silent_node_is_looked_at_again_in_time() -> None:
    assert decide(wants(), world((THERE,), ()), at(50)).recheck_at == at(70)


def test_a_runtimes_changing_words_are_not_written_each_time() -> None:
    first = decide(wants(), world((BROKEN,), (PULLS,)), at(90))
    again = replace(BROKEN, waiting="ImagePullBackOff", message="Back-off pulling image: connection broken 18")
    assert decide(rollout(FIRST, first.status), world((again,), (PULLS,)), at(91)).status == first.status


def test_a_retry_is_pulled_anew_and_rejected_anew() -> None:
    rejected = {**STEADY, "records": (STABLE, record("b", "Rejected", 2))}
    again = rollout(FIRST, requests=Requests(retry="now"))
    first = decide(again, seen("b", **rejected), at(90))
    assert [told(action) for action in first.actions] == MAKES
    assert first.status.requests is None, "it is handled when it has begun"
    assert first.status.waiting is not None
    there = tuple(pulls(f"node-{n}", THERE, retried="1:retry=now") for n in (1, 2))
    on = rollout(FIRST, first.status, requests=Requests(retry="now"))
    begun = decide(on, seen("b", **rejected, pullers=there), at(91))
    assert [told(action) for action in begun.actions] == ["forgive b", "apply b", "EndPull", "EndPull"]
    foreign = tuple(replace(one, containers=(FOREIGN,)) for one in there)
    turned = decide(on, seen("b", **rejected, pullers=foreign), at(91))
    assert [told(action) for action in turned.actions] == ["reject b", "EndPull", "EndPull"]
    assert turned.status.requests is not None
    assert turned.status.requests.retry == "now"
    assert turned.status.rejected[0].reason == "WrongPlatform"
    assert [one.asked for one in turned.status.history][:1] == ["retry=now"]


def test_a_candidate_that_a_newer_one_cannot_replace_gives_way_to_the_stable_release() -> None:
    trying = seen("c", workload=workload("b", ready=False), pods=(replace(pod("b", PULLS), node="node-1"),))
    trying = replace(trying, records=(STABLE, record("b")))
    first = decide(rollout(FIRST), trying, at(90))
    (made,) = (action for action in first.actions if isinstance(action, StartPull))
    foreign = replace(pulls("node-1", FOREIGN), name=made.name, release=release_id("c"))
    decision = decide(rollout(FIRST, first.status), replace(trying, pullers=(foreign,)), at(91))
    assert [told(action) for action in decision.actions] == ["write c", "apply a", "EndPull"]
    assert {entry.result for entry in decision.status.history} == {"Stable", "Superseded", "Rejected"}


def test_ten_nodes_are_enough_and_those_that_were_begun_with_stay() -> None:
    many = tuple(replace(pod("a", name=f"web-{n}"), node=f"node-{n:02}") for n in range(30))
    twice = (*many, replace(many[29], name="web-twice"))
    decision = decide(rollout(FIRST), seen("b", **{**STEADY, "pods": twice}), at(90))
    nodes = [action.manifest["spec"]["nodeName"] for action in decision.actions if isinstance(action, StartPull)]
    assert nodes == [*(f"node-{n:02}" for n in range(9)), "node-29"]
    begun = tuple(pulls(node, PULLS) for node in nodes)
    moved = (*(replace(one, name=f"{one.name}-b", node="node-15") for one in many), *many)
    assert decide(wants(), seen("b", **{**STEADY, "pods": moved}, pullers=begun), at(91)).actions == ()


def test_a_spec_that_cannot_be_used_leaves_no_pods_behind() -> None:
    broken = spec(
        rollout={**TERMS, "prePull": True},
        images=[{"container": "other", "repository": REPOSITORY, "policy": {"semver": {"range": ">=1"}}}],
    )
    from podpin.core.spec import problem_of

    problem = problem_of(broken)
    assert problem is not None
    decision = decide(replace(wants(), spec=problem), Observation(pullers=(pulls("node-1", PULLS),)), at(90))
    assert [told(action) for action in decision.actions] == ["EndPull"]
    assert decision.status.waiting is None, "its time begins anew when the spec is mended"


# --- the Pods


def manifest(wish: Spec, **fields: Any) -> dict[str, Any]:
    decision = decide(
        rollout(wish), seen("b", **{**STEADY, "workload": workload("a", wish), "pods": RUNS[:1], **fields}), at(90)
    )
    (made,) = (action for action in decision.actions if isinstance(action, StartPull))
    assert made.name == made.manifest["metadata"]["name"]
    return dict(made.manifest)


PART = f"{REPOSITORY}-migrate@{digest('d')}"
RICH: dict[str, Any] = {
    "metadata": {"labels": {"app": "web"}, "annotations": {"a": "b"}},
    "spec": {
        "imagePullSecrets": [{"name": "shop"}],
        "serviceAccountName": "web",
        "nodeSelector": {"disk": "ssd"},
        "tolerations": [{"key": "a", "operator": "Exists"}],
        "affinity": {
            "podAntiAffinity": {},
            "nodeAffinity": {
                "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [{"matchExpressions": []}]},
                "preferredDuringSchedulingIgnoredDuringExecution": [],
            },
        },
        "initContainers": [{"name": "migrate", "image": PART}],
        "containers": [
            {"name": "app", "env": [{"name": "A", "value": "b"}], "volumeMounts": [{"name": "v", "mountPath": "/v"}]},
            {"name": "again", "image": PART, "command": ["/bin/again"]},
        ],
        "volumes": [{"name": "v", "emptyDir": {}}],
        "hostNetwork": True,
        "priorityClassName": "high",
    },
}


def test_a_pod_has_the_images_and_what_pulling_needs_and_nothing_else() -> None:
    wish = spec(template=RICH, rollout={**TERMS, "prePull": True})
    stable = replace(record("a", "Stable", wish=wish))
    body = manifest(wish, records=(stable,))
    assert (
        body["metadata"]["labels"] | {"podpin.dev/rollout": "", "podpin.dev/pulls-for": "web"}
        == body["metadata"]["labels"]
    )
    assert "app" not in body["metadata"]["labels"]
    assert [one["uid"] for one in body["metadata"]["ownerReferences"]] == [UID]
    pod_spec = body["spec"]
    assert [(one["name"], one["image"]) for one in pod_spec["containers"]] == [("app", IMAGE), ("again", PART)]
    assert {tuple(one["command"]) for one in pod_spec["containers"]} == {("/podpin.dev/nothing-to-run",)}
    assert set(pod_spec["containers"][0]) == {"name", "image", "command", "resources", "securityContext"}
    taken_over = {
        key: pod_spec[key] for key in ("imagePullSecrets", "serviceAccountName", "nodeSelector", "tolerations")
    }
    assert taken_over == {key: RICH["spec"][key] for key in taken_over}
    required = RICH["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    assert pod_spec["affinity"] == {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}}
    assert not pod_spec.keys() & {"volumes", "hostNetwork", "priorityClassName", "initContainers"}
    assert (pod_spec["nodeName"], pod_spec["restartPolicy"], pod_spec["automountServiceAccountToken"]) == (
        "node-1",
        "Never",
        False,
    )
    assert pod_spec["activeDeadlineSeconds"] == 120


def test_of_an_adopted_workload_the_images_are_pulled_that_podpin_chooses() -> None:
    image = {"container": "app", "repository": REPOSITORY, "policy": {"semver": {"range": ">=1"}}}
    target = {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "db"}
    from podpin.core.spec import parse_spec

    wish = parse_spec({"images": [image], "rollout": {"prePull": True}, "targetRef": target})
    stable = record("a", "Stable", wish=wish)
    whole = replace(
        workload("a"),
        owner=None,
        rollout="web",
        release=stable.release,
        template={
            "spec": {"imagePullSecrets": [{"name": "s"}], "containers": [{"name": "other", "image": "x:latest"}]}
        },
    )
    there = tuple(replace(one, release=stable.release) for one in RUNS[:1])
    decision = decide(rollout(wish), seen("b", workload=whole, pods=there, records=(stable,)), at(90))
    (made,) = (action for action in decision.actions if isinstance(action, StartPull))
    assert [one["image"] for one in made.manifest["spec"]["containers"]] == [IMAGE]
    assert made.manifest["spec"]["imagePullSecrets"] == [{"name": "s"}]
    assert not any(isinstance(action, EndPull) for action in decision.actions)
