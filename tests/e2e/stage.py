"""What each end-to-end test stands on: a namespace of its own, in which it plays user, builder and bystander.

A stage speaks of one rollout, `web`, whose image is in a repository of its own: push a version, ask for a look, wait
for what the user is told, and look back at everything that has happened.
"""

from __future__ import annotations

import itertools
import json
import time
from copy import deepcopy
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import pytest
from tests.cluster.images import push_app
from tests.e2e.world import Json, World, version_of
from tests.waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from tests.cluster.application import Kind
    from tests.cluster.audit import Entry
    from tests.cluster.images import Format
    from tests.cluster.kubectl import Manifest
    from tests.cluster.protocol import Cluster, Feature
    from tests.cluster.registry import Registry
    from tests.e2e.gate import Gate
    from tests.e2e.program import Program

RELEASE: Final = "podpin.dev/release"
ROLLOUT: Final = "podpin.dev/rollout"
AGENT: Final = "podpin/"
RUNS: Final = "podpin.dev/runs"
_TOKENS = itertools.count(1)

both_kinds = pytest.mark.parametrize("kind", ["Deployment", "Pods"])
"""A row that means the same for both kinds of workloads that podpin makes."""


@dataclass(frozen=True)
class Stage:
    """A namespace on the cluster. `podpin` serves it, unless the test starts its own."""

    cluster: Cluster
    world: World
    namespace: str
    podpin: Program
    make_podpin: Callable[..., Program]
    kubeconfig: Path
    """podpin's own identity."""
    folder: Path
    gates: list[Gate]
    begun: int = 0
    """Where the audit log stood when the stage was set."""
    notes: list[str] = field(default_factory=list)

    # --- the user

    @property
    def registry(self) -> Registry:
        """The registry that is open to all."""
        return self.cluster.registry

    @property
    def repository(self) -> str:
        """The repository of this stage's application, without the registry."""
        return f"{self.namespace}/web"

    def need(self, *features: Feature) -> None:
        """Skip the test on a cluster that cannot do this."""
        for feature in features:
            if not self.cluster.can(feature):
                pytest.skip(f"this cluster cannot do {feature!r}")

    def gate(self) -> Gate:
        """A gate before the registry for this test alone."""
        if not self.gates:
            pytest.skip("this cluster's node cannot be told of another registry")
        return self.gates.pop()

    def push(
        self,
        tag: str,
        kind: Kind = "good",
        *,
        repository: str = "",
        form: Format = "oci",
        after: float = 1,
        **more: Any,
    ) -> str:
        """Push a version of the application; return its digest."""
        return push_app(self.registry, repository or self.repository, tag, kind, format=form, after=after, **more)

    def rollout(self, name: str = "web", **changes: Any) -> Json:
        """A manifest that follows `>=1` of this stage's repository: two replicas, probed each second, quickly judged.

        `changes` are laid over the spec: dictionaries are merged, everything else is replaced.
        """
        spec = web_spec(f"{self.registry.address}/{self.repository}")
        return image_rollout(name, self.namespace, laid_over(spec, changes))

    def apply(self, manifest: Manifest) -> None:
        """`kubectl apply`, and wait until the bystander has seen it."""
        answer = json.loads(self.cluster.kubectl.apply(manifest, "-n", self.namespace, "-o", "json"))
        for body in answer["items"] if answer["kind"] == "List" else [answer]:
            if body["kind"] == "ImageRollout":
                self._wait_seen(body)

    def change(self, patch: Json, name: str = "web") -> None:
        """A merge patch of the rollout, as `kubectl edit` would send it."""
        words = ("patch", "imagerollout", name, "--type=merge", "-p", json.dumps(patch), "-o", "json")
        self._wait_seen(json.loads(self.kubectl(*words)))

    def annotate(self, request: str, value: str, name: str = "web") -> None:
        """Ask for something by annotation."""
        self.change({"metadata": {"annotations": {f"podpin.dev/{request}": value}}}, name)

    def kubectl(self, *words: str, **more: Any) -> str:
        """kubectl in this namespace."""
        return self.cluster.kubectl(*words, "-n", self.namespace, **more)

    def look(self, name: str = "web") -> None:
        """Ask podpin to look at the registry now, and wait until it says that it has."""
        token = f"look-{next(_TOKENS)}"
        self.annotate("reconcile", token, name)
        self.until(
            lambda: (self.status(name).get("requests") or {}).get("reconcile") == token,
            "podpin to have looked at the registry",
        )

    def _wait_seen(self, body: Json) -> None:
        name, version = body["metadata"]["name"], version_of(body)

        def seen() -> bool:
            known = self.world.history("rollouts", self.namespace, name)
            return bool(known) and version_of(known[-1]) >= version

        wait_for(seen, 20, f"the bystander to see {name}", every=0.02)

    # --- the bystander

    def until(self, predicate: Callable[[], Any], what: str, timeout: float = 90) -> Any:
        """Wait; the failure tells the whole story of this stage."""
        return wait_for(
            predicate, timeout, what, every=0.05, retry_on=(AssertionError, KeyError, IndexError), seen=self.story
        )

    def object(self, name: str = "web") -> Json:
        """The ImageRollout now."""
        return self.world.get("rollouts", self.namespace, name) or {}

    def status(self, name: str = "web") -> Json:
        """Its status now."""
        status: Json = self.object(name).get("status") or {}
        return status

    def condition(self, kind: str, name: str = "web") -> Json:
        """One of its conditions now; empty where there is none."""
        conditions: list[Json] = self.status(name).get("conditions") or []
        return next((one for one in conditions if one["type"] == kind), {})

    def until_says(self, reason: str, words: str = "", *, name: str = "web", timeout: float = 90) -> Json:
        """Wait until Ready, said of the newest spec, has this reason and these words in its message; return Ready."""

        def says() -> Json | None:
            ready, metadata = self.condition("Ready", name), self.object(name).get("metadata", {})
            current = self.status(name).get("observedGeneration") == metadata.get("generation")
            return ready if current and ready.get("reason") == reason and words in ready["message"] else None

        answer: Json = self.until(says, f"{name} to say {reason} {words!r}", timeout)
        return answer

    def until_stable(self, tag: str, *, name: str = "web", timeout: float = 90) -> Json:
        """Wait until this tag's image is the stable release and runs; return Ready."""
        return self.until_says("RolledOut", f":{tag}@", name=name, timeout=timeout)

    def deployment(self, name: str = "web") -> Json:
        """The Deployment now."""
        return self.world.get("deployments", self.namespace, name) or {}

    def pods(self, release: str | None = None) -> dict[str, Json]:
        """The Pods that are there and shall stay, by name."""
        return {
            name: pod
            for name, pod in self.world.now("pods", self.namespace).items()
            if "deletionTimestamp" not in pod["metadata"] and release in (None, pod["metadata"]["labels"].get(RELEASE))
        }

    def images(self) -> set[str]:
        """The images of the Pods' first containers."""
        return {pod["spec"]["containers"][0]["image"] for pod in self.pods().values()}

    def serving(self, name: str = "web") -> frozenset[str]:
        """The names of the Pods of the stable release."""
        return frozenset(self.pods(self.status(name)["stable"]["release"]))

    def templates(self, name: str = "web") -> list[str]:
        """The releases that the workload has run, in order, once for each change of its template.

        Where podpin makes the Pods itself, each change is a number on the record of the release that is to run.
        """
        if self.object(name).get("spec", {}).get("workload", {}).get("kind") == "Pods":
            return self._runs(name)
        ran: list[tuple[str, str]] = []
        for body in self.world.history("deployments", self.namespace, name):
            template = body["spec"]["template"]
            one = (template["metadata"]["labels"].get(RELEASE, "nobody's"), json.dumps(template, sort_keys=True))
            if not ran or ran[-1] != one:
                ran.append(one)
        return [release for release, _ in ran]

    def _runs(self, name: str) -> list[str]:
        found: dict[int, str] = {}
        for history in self.world.ever("records", self.namespace).values():
            for body in history:
                labels, annotations = body["metadata"]["labels"], body["metadata"].get("annotations") or {}
                if labels.get(ROLLOUT) == name and RUNS in annotations:
                    found[int(annotations[RUNS])] = labels[RELEASE]
        return [found[number] for number in sorted(found)]

    def verdicts(self, name: str = "web") -> dict[str, str]:
        """By tag, what the records say of each release: Stable, a reason of rejection, or nothing yet."""
        found = {}
        for body in self.world.now("records", self.namespace).values():
            annotations = body["metadata"].get("annotations") or {}
            # A StatefulSet's own revisions have the labels of its template, podpin's among them.
            if body["metadata"]["labels"].get(ROLLOUT) == name and "podpin.dev/images" in annotations:
                pin = next(iter(json.loads(annotations["podpin.dev/images"]).values()))
                verdict = json.loads(annotations.get("podpin.dev/verdict", "{}"))
                tag = pin.partition("@")[0].rpartition(":")[2]
                found[tag] = verdict["reason"] if verdict.get("result") == "Rejected" else verdict.get("result", "")
        return found

    def release(self, tag: str, name: str = "web") -> str:
        """The id of the release with this tag's image."""
        for body in self.world.now("records", self.namespace).values():
            if f":{tag}@" in (body["metadata"].get("annotations") or {}).get("podpin.dev/images", ""):
                return str(body["metadata"]["labels"][RELEASE])
        raise AssertionError(f"no record of a release with {tag}")

    def pin(self, tag: str) -> str:
        """What a Pod with this tag's image names."""
        return f"{self.registry.address}/{self.repository}:{tag}@{self.registry.digest(self.repository, tag)}"

    def replica_sets(self) -> list[str]:
        """The releases that have ever had a ReplicaSet, one entry for each ReplicaSet."""
        every = self.world.ever("replicasets", self.namespace).values()
        return [history[0]["metadata"]["labels"][RELEASE] for history in every]

    def events(self, reason: str = "", name: str = "web") -> list[Json]:
        """The events about the rollout, in order."""
        found = [
            event
            for event in self.world.now("events", self.namespace).values()
            if event["involvedObject"]["kind"] == "ImageRollout" and event["involvedObject"]["name"] == name
        ]
        return [event for event in sorted(found, key=version_of) if reason in ("", event["reason"])]

    def mark(self) -> int:
        """Where the audit log ends now that all that has been seen so far stands in it: lines come a little late."""
        path, before = f"/api/v1/namespaces/{self.namespace}?mark={next(_TOKENS)}", self.cluster.audit.position()
        self.cluster.kubectl("get", "--raw", path)
        wait_for(
            lambda: any(one.uri == path for one in self.cluster.audit.requests(since=before)),
            20,
            "the audit log to catch up",
            every=0.02,
        )
        return self.cluster.audit.position()

    def writes(self, since: int | None = None) -> list[Entry]:
        """podpin's writes here, events aside, from the audit log."""
        self.mark()
        begun = self.begun if since is None else since
        found = self.cluster.audit.writes(AGENT, since=begun, namespace=self.namespace)
        return [one for one in found if one.resource != "events"]

    def changes(self, name: str = "web") -> list[str]:
        """Every step that the rollout's status has taken."""
        states = self.world.history("rollouts", self.namespace, name)
        return [f"status step: {difference(one, other)}" for one, other in itertools.pairwise(states)]

    def asked_by_podpin(self, name: str, since: int = 0) -> list[str]:
        """The paths that podpin has asked the registry for, of one of this stage's repositories."""
        repository = f"/v2/{self.namespace}/{name}/"
        found = self.registry.requests("podpin", since=since)
        return [one.path for one in found if one.agent == "podpin" and one.path.startswith(repository)]

    # --- what must always hold

    def assert_untouched(self, names: Iterable[str]) -> None:
        """These Pods have been ready from their first readiness on, were never restarted, and are there still."""
        for name in names:
            history = self.world.history("pods", self.namespace, name)
            states = list(itertools.dropwhile(lambda pod: not is_ready(pod), history))
            assert states, f"{name} never was ready"
            assert all(is_ready(pod) for pod in states), f"{name} lost its readiness"
            assert not any("deletionTimestamp" in pod["metadata"] for pod in states), f"{name} was deleted"
            assert not any(restarts(pod) for pod in states), f"{name} was restarted"
            assert self.world.get("pods", self.namespace, name), f"{name} is gone"

    def assert_pinned(self) -> None:
        """Nothing that podpin wrote has ever named an image without a digest."""
        for histories in (self.world.ever(kind, self.namespace) for kind in ("deployments", "pods")):
            for body in itertools.chain.from_iterable(histories.values()):
                if ROLLOUT not in (body["metadata"].get("labels") or {}):
                    continue
                pod = body["spec"]["template"]["spec"] if "template" in body["spec"] else body["spec"]
                for container in [*pod["containers"], *pod.get("initContainers", ())]:
                    assert "@sha256:" in container["image"], f"{container['image']} is not pinned"

    def story(self) -> str:
        """Everything that somebody would ask for who reads a failed test."""
        told = [f"--- {self.namespace}", *self.notes, *self.changes()]
        for name, body in self.world.now("rollouts", self.namespace).items():
            told.append(f"rollout {name}: {json.dumps(body.get('status'), indent=1)}")
        for name, body in self.world.now("pods", self.namespace).items():
            told.append(f"pod {name}: {json.dumps(body['status'].get('containerStatuses'))}")
        events = sorted(self.world.now("events", self.namespace).values(), key=version_of)[-30:]
        told += [f"event {one['involvedObject']['name']} {one['reason']}: {one.get('message')}" for one in events]
        told.append(self.podpin.said(self.namespace))
        return "\n".join(told)


def web_spec(repository: str) -> Json:
    """The spec that most tests start from."""
    probe = {"httpGet": {"path": "/healthz", "port": 8080}, "periodSeconds": 1, "failureThreshold": 1}
    return {
        "images": [{"container": "app", "repository": repository, "policy": {"semver": {"range": ">=1"}}}],
        "registry": {"interval": "24h"},
        "rollout": {"progressDeadline": "60s", "bakeTime": "1s"},
        "workload": {
            "kind": "Deployment",
            "replicas": 2,
            "template": {
                "metadata": {"labels": {"app": "web"}},
                "spec": {
                    "terminationGracePeriodSeconds": 3,
                    "containers": [{"name": "app", "readinessProbe": probe}],
                },
            },
        },
    }


def image_rollout(name: str, namespace: str, spec: Json) -> Json:
    """An ImageRollout with this spec."""
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": "podpin.dev/v1alpha1", "kind": "ImageRollout", "metadata": metadata, "spec": spec}


def laid_over(base: Json, changes: Json) -> Json:
    """A copy of `base` with `changes` merged in; lists and plain values are replaced, None takes a field out."""
    result = deepcopy(base)
    for key, value in changes.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, dict) and isinstance(result.get(key), dict):
            result[key] = laid_over(result[key], value)
        else:
            result[key] = deepcopy(value)
    return result


def container_of(manifest: Json) -> Json:
    """The application's container in a rollout's template, to be changed."""
    container: Json = pod_of(manifest)["containers"][0]
    return container


def pod_of(manifest: Json) -> Json:
    """The Pod's spec in a rollout's template, to be changed."""
    pod: Json = manifest["spec"]["workload"]["template"]["spec"]
    return pod


def is_ready(pod: Json) -> bool:
    """Whether the Pod's condition Ready holds."""
    conditions = pod.get("status", {}).get("conditions") or ()
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


def restarts(pod: Json) -> int:
    """How often its containers were restarted, in all."""
    return sum(one["restartCount"] for one in pod["status"].get("containerStatuses") or ())


def stays(seconds: float, holds: Callable[[], object], what: str, *, every: float = 0.1) -> None:
    """Watch for a while that something goes on being so."""
    begun = time.monotonic()
    while (passed := time.monotonic() - begun) < seconds:
        assert holds(), f"no longer so after {passed:.1f} s: {what}"
        time.sleep(every)


def difference(before: Json, after: Json) -> list[str]:
    """What differs between two objects, as paths with both values: for the story of a failed test."""
    told: list[str] = []

    def walk(path: str, one: Any, other: Any) -> None:
        if isinstance(one, dict) and isinstance(other, dict):
            for key in sorted(one.keys() | other.keys()):
                walk(f"{path}.{key}", one.get(key), other.get(key))
        elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
            for at, (left, right) in enumerate(zip(one, other, strict=True)):
                walk(f"{path}[{at}]", left, right)
        elif one != other:
            told.append(f"{path}: {json.dumps(one)} -> {json.dumps(other)}")

    walk("status", before.get("status") or {}, after.get("status") or {})
    return told
