"""Pulling a release before it begins: onto the nodes of the running Pods, while nothing else has changed. Pure.

For each of these nodes there is a Pod with the release's images that is never to run: its command does not exist, and
it has no volumes, no token and no rights. That its containers got as far as being refused a start proves that their
images are there, pulled and unpacked. Whether the images' own entrypoints work, nothing tells but running them: that is
what the trial is for.

The Pods stand on the cluster under names that follow from release and node, so a crash forgets nothing and makes none
twice. They have none of the template's labels, and podpin's own label without a value: no Service, no workload and no
budget takes them for the application's. They name their node themselves. So the scheduler has no part in it and evicts
nobody for them; the kubelet refuses them where the template does not fit, and such a node is passed over.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Final, TypeGuard

from podpin.core import names
from podpin.core.decision import EndPull, Notice, Rollout, StartPull
from podpin.core.gates import Hold
from podpin.core.health import LATE, doubted
from podpin.core.observation import Container, Observation, Pod
from podpin.core.release import Release, digest_of
from podpin.core.signals import (
    Finding,
    evicted,
    image_name_invalid,
    image_not_found,
    node_lost,
    pull_explanation,
    pull_failure,
    registry_trouble,
    standing,
    volume_trouble,
    wrong_platform,
)
from podpin.core.spec import Spec
from podpin.core.status import WaitingStatus
from podpin.core.transitions import World, is_new, retries
from podpin.core.workload import owner_reference, pod_template

PRE_PULLING: Final = "PrePulling"
MOST_NODES: Final = 10
"""Onto how many nodes a release is pulled: those with the most of the rollout's Pods."""
MOST_TOLD: Final = 3
"""How many nodes are told of by name."""
SILENCE: Final = timedelta(seconds=30)
"""After how long a node counts as silent that has not taken its Pod up."""
MOMENT: Final = timedelta(seconds=2)
"""How much later than it was decided a Pod may be made: times are whole seconds."""
OVERTIME: Final = timedelta(minutes=1)
"""How long after podpin should have taken it away a Pod ends by itself."""
NOTHING: Final = "/podpin.dev/nothing-to-run"
"""The command that no image has."""
PAST_THE_PULL: Final = frozenset({"CreateContainerConfigError", "CreateContainerError", "RunContainerError"})
"""What a container waits for after its image is there, in the kubelet's order of doing things."""
NEVER_THERE: Final = "ContainerStatusUnknown"
"""How the kubelet shows containers that it ended before there were any."""
OVER_TIME: Final = "DeadlineExceeded"
WORDLESS: Final = re.compile(r'(Back-off pulling image "[^"]*")?')
"""What the kubelet of older nodes says between two attempts: that there was one, but not what came of it."""
_TAKEN_OVER: Final = ("imagePullSecrets", "serviceAccountName", "nodeSelector", "tolerations", "runtimeClassName")
"""What the Pods have of the template: with what its images are pulled, and where it may run."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """A release that is to be pulled before it begins."""

    release: Release
    template: Mapping[str, Any] = field(hash=False)
    """That of its Pods, whoever wrote it."""
    images: tuple[tuple[str, str], ...]
    """What is pulled, by container; of containers with the same image the first."""
    retried: str | None
    """The request for which it is tried again."""
    nodes: tuple[str, ...]
    deadline: timedelta
    until: datetime | None
    """By when it must be done; None while that is put off."""

    def name(self, rollout: str, node: str) -> str:
        """What the Pod for a node is called."""
        return names.pull_name(rollout, self.release.id, digest_of([node, self.retried], 8))


@dataclass(frozen=True, slots=True)
class Pulled:
    """It may begin. `passed_over` says of which nodes nothing is known, and why."""

    passed_over: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Plan:
    """Which Pods to make and which to take away, and when there will be more to do though nothing happens."""

    actions: tuple[StartPull | EndPull, ...] = ()
    recheck_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class _Node:
    """How far a node has come."""

    name: str
    done: bool = False
    passed: str | None = None
    """Why nothing is to be learned here, and it is not the image's fault."""
    proof: Finding | None = None
    """Why it can never have the images."""
    trouble: Finding | None = None
    """What stands in the way just now."""
    words: str | None = None
    """The same in words that stay; None where its own do."""
    blameless: bool = False
    """That trouble is the cluster's, or may be for all that is known."""
    unmade: bool = False
    """That trouble is that its Pod could not be made so far."""
    due: datetime | None = None
    """When its Pod has had its time; None where no Pod is there."""

    @property
    def waits(self) -> bool:
        """There is more to come."""
        return not self.done and self.passed is None and self.proof is None


def attempt_of(rollout: Rollout, spec: Spec, seen: Observation, world: World) -> Attempt | None:
    """The release that is to be pulled now, or None where none is: there must be a stable one that runs on nodes.

    A rejected release that runs is to be left at once, and what is not judged by its Pods has none to speak of.
    """
    wanted, workload, running = world.wanted, seen.workload, world.record(world.running)
    if not spec.rollout.pre_pull or spec.suspend or wanted is None or workload is None or not workload.judged:
        return None
    if not (is_new(world) or retries(world)) or world.stable is None or running is None or running.is_rejected:
        return None
    record, told = world.record(wanted.id), rollout.status.waiting
    retried = world.retry if retries(world) else record.retried if record else None
    template = spec.template or workload.template
    attempt = Attempt(
        release=wanted,
        template=template,
        images=_distinct(_images(rollout, spec, wanted)),
        retried=retried,
        nodes=_nodes(seen),
        deadline=spec.rollout.progress_deadline,
        until=told.until if _is_under_way(told, wanted.id) else world.now + spec.rollout.progress_deadline,
    )
    return attempt if attempt.nodes and attempt.images else None


def _is_under_way(told: WaitingStatus | None, release: str) -> TypeGuard[WaitingStatus]:
    """It was told of before, and so was its end."""
    return told is not None and (told.release, told.reason) == (release, PRE_PULLING)


def _distinct(images: Iterable[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    first: dict[str, str] = {}
    for container, image in images:
        first.setdefault(image, container)
    return tuple((container, image) for image, container in first.items())


def _images(rollout: Rollout, spec: Spec, release: Release) -> list[tuple[str, str]]:
    """All images of podpin's own template, or those that it puts into somebody else's."""
    if spec.own is None:
        return list(release.images)
    pod = pod_template(rollout.key.name, release)["spec"]
    return [(str(one["name"]), str(one["image"])) for part in _PARTS for one in pod.get(part) or ()]


_PARTS: Final = ("containers", "initContainers")


def _nodes(seen: Observation) -> tuple[str, ...]:
    """The nodes with the most of the rollout's Pods; those that have been begun with stay among them."""
    live = [pod for pod in seen.pods if pod.node and not pod.is_over]
    lost = {pod.node for pod in live if node_lost(pod)}
    crowd = Counter(pod.node for pod in live if pod.node and pod.node not in lost)
    begun = {pod.node for pod in seen.pullers}
    return tuple(sorted(sorted(crowd, key=lambda node: (node not in begun, -crowd[node], node))[:MOST_NODES]))


def outcome(attempt: Attempt, rollout: Rollout, seen: Observation, now: datetime) -> Hold | Finding | Pulled:
    """Whether the release must wait still, can never be had, or may begin.

    What only the deadline can judge is judged by it as in a trial, and no node's own trouble is held against the
    release. Where no node has the images because the registry is not to be had, the deadline is put off until it is;
    and where podpin itself was late with a node's Pod, until that has had its time too.
    """
    nodes = [_seen(attempt, node, rollout, seen, now) for node in attempt.nodes]
    proof = next((node.proof for node in nodes if node.proof), None)
    if proof is not None:
        return replace(proof, message=f"{proof.message}; that was seen before anything had changed")
    waiting = [node for node in nodes if node.waits]
    passed = [(node.name, node.passed) for node in nodes if node.passed is not None]
    if not waiting:
        return Pulled(tuple(passed))
    done = any(node.done for node in nodes)
    blamed = [node for node in waiting if node.trouble and not node.blameless and not node.unmade]
    stuck = any(node.blameless for node in waiting) and not done and not blamed
    if attempt.until is None:
        return _hold(attempt, waiting, None if stuck else now + attempt.deadline)
    if now < attempt.until:
        return _hold(attempt, waiting, attempt.until)
    refused = next((node.trouble for node in blamed if node.trouble and _is_due(node, now)), None)
    if refused is not None:
        return _late(f"not all nodes had its images before the progress deadline: {refused.message}")
    if stuck:
        return _hold(attempt, waiting, None)
    tried = [node for node in waiting if not node.unmade]
    early = [node for node in (blamed if done else tried) if not _is_due(node, now)]
    if early:
        return _hold(attempt, waiting, max(node.due or now + attempt.deadline for node in early))
    if tried and not done:
        return _late(f"no node had its images before the progress deadline: node {tried[0].name} is not done pulling")
    return Pulled((*passed, *((one.name, one.trouble.message if one.trouble else _SLOW) for one in waiting)))


_SLOW: Final = "it has not done so in time"


def _is_due(node: _Node, now: datetime) -> bool:
    """Its Pod has been there for long enough to be judged by."""
    return node.due is not None and node.due <= now + MOMENT


def _late(message: str) -> Finding:
    return Finding(LATE, message)


def _hold(attempt: Attempt, waiting: Iterable[_Node], until: datetime | None) -> Hold:
    told = f"its images are pulled first on the nodes of the running Pods, {_told(attempt.nodes)}"
    trouble = next((node.words or node.trouble.message for node in waiting if node.trouble), None)
    return Hold(PRE_PULLING, f"{told}: {trouble}" if trouble else told, until)


def _told(nodes: tuple[str, ...]) -> str:
    more = len(nodes) - MOST_TOLD
    return ", ".join(nodes[:MOST_TOLD]) + (f" and {more} more" if more > 0 else "")


def _seen(attempt: Attempt, node: str, rollout: Rollout, seen: Observation, now: datetime) -> _Node:
    """How far a node has come, by its Pod."""
    name = attempt.name(rollout.key.name, node)
    if name in seen.not_pulled:
        return _Node(node, passed=f"podpin could not make a Pod there: {seen.not_pulled[name]}")
    whole = next((pod for pod in _mine(rollout.uid, seen) if pod.name == name), None)
    if whole is None and name in seen.unmade:
        failed = f"podpin could not make a Pod on node {node} so far: {seen.unmade[name]}"
        return _Node(node, trouble=Finding("PodsNotCreated", failed), unmade=True)
    if whole is None:
        return _Node(node)
    # What others put into every Pod, as a mesh its sidecar, has no part in it.
    ours = {container for container, _ in attempt.images}
    pod = replace(whole, containers=tuple(one for one in whole.containers if one.name in ours))
    if _has_all(pod, ours):
        return _Node(node, done=True)
    if is_spent(pod):
        return _Node(node)
    if taken := evicted(pod):
        return _Node(node, passed=f"{taken.message}{f': {pod.message}' if pod.message else ''}")
    if pod.is_over:
        return _Node(node, passed=f"Pod {pod.name} ended before it had pulled anything")
    if not pod.containers and not whole.containers and now >= _silent_at(attempt, pod):
        return _Node(node, passed="it does not take up the Pod that pulls")
    for signal in (image_name_invalid, wrong_platform):
        if proof := signal(pod):
            return _Node(node, proof=proof)
    due = pod.created + attempt.deadline
    if doubt := doubted(pod, seen):
        return _Node(node, trouble=doubt, due=due)
    if proof := image_not_found(pod):
        return _Node(node, proof=proof)
    if trouble := volume_trouble(pod) or registry_trouble(pod):
        return _Node(node, trouble=trouble, blameless=True, due=due)
    if (failure := pull_failure(pod)) and is_wordless(failure):
        why = f"node {node} could not pull the image of container {failure.name} and has not said why"
        return _Node(node, trouble=Finding("ImagePullFailed", why), blameless=True, due=due)
    trouble = pull_explanation(pod)
    words = standing(pod) if trouble and trouble.reason == "ImagePullFailed" else None
    return _Node(node, trouble=trouble, words=words, due=due)


def is_wordless(container: Container) -> bool:
    """Its image could not be pulled, and its status has forgotten why."""
    return container.waiting == "ImagePullBackOff" and WORDLESS.fullmatch(container.message) is not None


def _silent_at(attempt: Attempt, pod: Pod) -> datetime:
    """From when a Pod counts as not taken up. The API server's clock, which its age goes by, may be behind."""
    begun = pod.created if attempt.until is None else max(pod.created, attempt.until - attempt.deadline)
    return begun + SILENCE


def is_spent(pod: Pod) -> bool:
    """The Pod has ended by itself, having waited for so long: it is made anew if it is needed still."""
    return pod.phase == "Failed" and pod.reason == OVER_TIME


def _has_all(pod: Pod, wanted: set[str]) -> bool:
    there = {
        one.name
        for one in pod.containers
        if one.running_since is not None
        or one.waiting in PAST_THE_PULL
        or (one.ended is not None and one.ended.reason != NEVER_THERE)
    }
    return wanted <= there


def told(world: World, attempt: Attempt, pulled: Pulled) -> World:
    """The same world with what is to be said of nodes that were passed over."""
    if not pulled.passed_over:
        return world
    why = "; ".join(f"{node}: {reason}" for node, reason in pulled.passed_over[:MOST_TOLD])
    count = f"{len(pulled.passed_over)} of {len(attempt.nodes)}"
    return world.say(
        Notice("Warning", "NotPulled", f"Release {attempt.release.id} was not pulled first on {count} nodes: {why}")
    )


def plan(attempt: Attempt | None, rollout: Rollout, seen: Observation, now: datetime) -> Plan:
    """The Pods that the attempt needs and has not got, and those that nobody needs, which are all where it is None."""
    if attempt is None:
        return Plan(swept(rollout.uid, seen))
    mine = _mine(rollout.uid, seen)
    wanted = {attempt.name(rollout.key.name, node): node for node in attempt.nodes}
    there = {pod.name for pod in mine}
    surplus = [EndPull(pod.name, pod.uid) for pod in mine if pod.name not in wanted or is_spent(pod)]
    missing = [
        StartPull(name, _manifest(attempt, rollout, node, name))
        for name, node in wanted.items()
        if name not in there and name not in seen.not_pulled
    ]
    silent = [at for pod in mine if not pod.containers and (at := _silent_at(attempt, pod)) > now]
    return Plan((*surplus, *missing), min(silent, default=None))


def swept(uid: str, seen: Observation) -> tuple[EndPull, ...]:
    """All Pods that only pull are to go."""
    return tuple(EndPull(pod.name, pod.uid) for pod in _mine(uid, seen))


def _mine(uid: str, seen: Observation) -> list[Pod]:
    return [pod for pod in seen.pullers if pod.owner == uid and not pod.deleting]


def _manifest(attempt: Attempt, rollout: Rollout, node: str, name: str) -> dict[str, Any]:
    written = attempt.template.get("spec") or {}
    account = written.get("serviceAccountName") or written.get("serviceAccount")
    required = ((written.get("affinity") or {}).get("nodeAffinity") or {}).get(_REQUIRED)
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": rollout.key.namespace,
            "labels": {
                names.LABEL_ROLLOUT: "",
                names.LABEL_PULLS: rollout.key.name,
                names.LABEL_RELEASE: attempt.release.id,
                "sidecar.istio.io/inject": "false",
            },
            "annotations": {
                "linkerd.io/inject": "disabled",
                **({names.ANNOTATION_RETRIED: attempt.retried} if attempt.retried else {}),
            },
            "ownerReferences": [owner_reference(rollout.key.name, rollout.uid)],
        },
        "spec": {
            **{key: written[key] for key in _TAKEN_OVER if written.get(key)},
            **({"serviceAccountName": account} if account else {}),
            **({"affinity": {"nodeAffinity": {_REQUIRED: required}}} if required else {}),
            "nodeName": node,
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 0,
            "activeDeadlineSeconds": math.ceil((attempt.deadline + OVERTIME).total_seconds()),
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [
                {
                    "name": container,
                    "image": image,
                    "command": [NOTHING],
                    "resources": {
                        "requests": {"cpu": "1m", "memory": "8Mi"},
                        "limits": {"cpu": "100m", "memory": "32Mi"},
                    },
                    "securityContext": {
                        "allowPrivilegeEscalation": False,
                        "readOnlyRootFilesystem": True,
                        "capabilities": {"drop": ["ALL"]},
                    },
                }
                for container, image in attempt.images
            ],
        },
    }


_REQUIRED: Final = "requiredDuringSchedulingIgnoredDuringExecution"
