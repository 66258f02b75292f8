"""The whole paper cluster, with podpin in it, and what people do to it.

`run` lets time pass; podpin looks when it is woken, and only then. `heal` takes all troubles away, and `calm` says
what must be so some time later.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from podpin.core.names import ANNOTATION_STEP, LABEL_RELEASE, LABEL_TRACK, PAUSE, REQUEST_APPROVE
from podpin.core.podset import running_of, terms_of
from podpin.core.release import Release, release_of
from podpin.core.spec import Spec, parse_spec
from tests.builders import REPOSITORY, UID, digest
from tests.simulation.api import ApiServer, Json
from tests.simulation.clockwork import Clockwork
from tests.simulation.connection import Connection
from tests.simulation.deployments import Deployments
from tests.simulation.images import Registry, letter_of
from tests.simulation.kubelet import template_defaults
from tests.simulation.nodes import Nodes
from tests.simulation.podpin import HEARS_AFTER, PaperLoop, Podpin, ready_of, time_of
from tests.simulation.promises import Promises

if TYPE_CHECKING:
    from datetime import datetime

    from podpin.core.podset import Terms
    from tests.simulation.kubelet import PodLife

DEADLINE, BAKE = 300, 15
"""Seconds of the rollouts of this world."""
LONG: Final = 2400.0
"""Seconds after which everything has come to rest, once nothing stands in the way: the deadline, the longest back-off
of a kubelet, what a clock may be off, and the Pods one after another."""
SLICE: Final = 100.0
"""Seconds after which it is asked again whether everything has come to rest."""
QUIET: Final = 2.0 * DEADLINE
"""Seconds in which nothing is written then."""
WATCHED: Final = ("deployments", "pods", "controllerrevisions", "imagerollouts")
WINDOW: Final = {"cron": "0 * * * *", "duration": "20m"}
FREEZE: Final = {"cron": "10 * * * *", "duration": "5m"}
OTHER: Final = "db"
"""The name of the rollout that this one depends on, where it does."""
RESTARTS_AFTER: Final = 3.0
"""Seconds after which a podpin that has died is started anew."""


@dataclass
class Wish:
    """What the user writes into the ImageRollout."""

    kind: str = "Deployment"
    canary: Json | None = None
    pre_pull: bool = False
    manual: bool = False
    windows: bool = False
    freeze: bool = False
    depends: bool = False
    replicas: int | None = 2
    variant: str = "0"
    broken: bool = False
    probed: bool = True
    enabled: bool = True
    suspend: bool = False
    strategy: Json | None = None
    min_ready: int = 0
    terms: Json = field(default_factory=lambda: {"progressDeadline": f"{DEADLINE}s", "bakeTime": f"{BAKE}s"})

    def spec(self) -> Json:
        """As the API server has it."""
        container: Json = template_defaults() if self.probed else {"name": "app"}
        if self.broken:
            container["args"] = ["--broken"]
        template = {"metadata": {"labels": {"variant": self.variant}}, "spec": {"containers": [container]}}
        workload: Json = {"kind": self.kind, "template": template}
        if self.replicas is not None or self.kind == "Pods":
            workload["replicas"] = 1 if self.replicas is None else self.replicas
        if self.strategy is not None:
            workload["strategy"] = self.strategy
        if self.min_ready:
            workload["minReadySeconds"] = self.min_ready
        image = {"container": "app", "repository": REPOSITORY, "policy": {"tag": {"name": "live"}}}
        canary: Json = {} if self.canary is None else {"canary": self.canary}
        return {
            "images": [image],
            "rollout": {**self.terms, "prePull": self.pre_pull, **canary},
            "update": {
                "mode": "Manual" if self.manual else "Auto",
                "windows": [WINDOW] if self.windows else [],
                "freeze": [FREEZE] if self.freeze else [],
            },
            "dependsOn": [{"name": OTHER}] if self.depends else [],
            "rollback": {"enabled": self.enabled},
            "suspend": self.suspend,
            "workload": workload,
        }


class PaperCluster:
    def __init__(self, *, nodes: int = 3, room: int = 20, **wish: Any) -> None:
        self.clock = Clockwork()
        self.api = ApiServer(self.clock)
        self.registry = Registry()
        self.nodes = Nodes(self.clock, self.api, self.registry, nodes, room)
        self.deployments = Deployments(self.api, self.nodes)
        self.connection = Connection(self.clock, self.api)
        self.connection.pod_events = self._pod_events
        self.promises = Promises(self)
        self.connection.witness = self.promises.witness
        self.skew = 0.0
        """How much the operator's clock is ahead, in seconds."""
        self.loop = PaperLoop(self.clock, self._hear)
        self.podpin: Podpin | None = None
        self.lives = 0
        self._hearing = False
        self._requests = 0
        self.wish = Wish(**wish)
        self.api.heard.append(self._news)

    def close(self) -> None:
        """Take the world apart."""
        if self.podpin is not None:
            self.podpin.end()
        self.loop.close()

    # --- podpin's lives

    def start_podpin(self) -> None:
        """A new life of podpin begins."""
        if self.podpin is None:
            self.lives += 1
            self.connection.dead = False
            self.podpin = Podpin(self.loop, self.connection, self.registry, self.now)

    def stop_podpin(self) -> None:
        """podpin is stopped."""
        if self.podpin is not None:
            self.podpin.end()
            self.podpin = None

    def now(self) -> datetime:
        """What the operator's clock says."""
        return time_of(self.clock, self.skew)

    def _news(self, collection: str, kind: str, raw: Json) -> None:
        if collection in WATCHED and not self._hearing:
            self._hearing = True
            self.clock.after(HEARS_AFTER, self._hear)

    def _hear(self) -> None:
        self._hearing = False
        if self.podpin is None:
            return
        if self.loop.is_running():
            self._hearing = True
            self.clock.after(HEARS_AFTER, self._hear)
            return
        self.podpin.hear()

    def run(self, seconds: float) -> None:
        """Let time pass; a podpin that dies is started anew after a while."""
        end = self.clock.now + seconds
        while True:
            self._bury()
            step = min(RESTARTS_AFTER, end - self.clock.now)
            if step <= 0:
                return
            self.clock.run_for(step)

    def _bury(self) -> None:
        if self.podpin is not None and self.podpin.died:
            self.podpin = None
            self.start_podpin()

    # --- what people do

    def apply(self, **changes: Any) -> None:
        """The user applies the ImageRollout, as it is or with changes of the wish."""
        for name, value in changes.items():
            setattr(self.wish, name, value)
        self.promises.cause()
        old = self.api.get("imagerollouts", "web")
        metadata = old["metadata"] if old else {"name": "web", "uid": UID}
        self.api.put("imagerollouts", {**(old or {}), "metadata": metadata, "spec": self.wish.spec()})

    def push(self, letter: str, *, told: bool = True) -> None:
        """Somebody pushes an image; a webhook tells podpin of it, or nobody does."""
        self.promises.cause()
        self.registry.tag = letter
        if told and self.podpin is not None:
            self.podpin.poller.look()

    def ask(self, what: str, value: str | None = None) -> None:
        """A person annotates the rollout: a request."""
        raw = self.api.get("imagerollouts", "web")
        if raw is None:
            return
        self._requests += 1
        self.promises.cause(2)
        annotations = raw["metadata"].get("annotations") or {}
        if value is not None and annotations.get(f"podpin.dev/{what}") == value:
            annotations = {key: each for key, each in annotations.items() if key != f"podpin.dev/{what}"}
        else:
            annotations = {**annotations, f"podpin.dev/{what}": value or str(self._requests)}
        self.api.put("imagerollouts", {**raw, "metadata": {**raw["metadata"], "annotations": annotations}})

    def annotate(self, name: str, value: str | None) -> None:
        """A person writes an annotation on the rollout, or takes it away."""
        raw = self.api.get("imagerollouts", "web")
        if raw is not None:
            kept = {key: each for key, each in (raw["metadata"].get("annotations") or {}).items() if key != name}
            annotations = kept if value is None else {**kept, name: value}
            self.api.put("imagerollouts", {**raw, "metadata": {**raw["metadata"], "annotations": annotations}})

    def approve(self, step: int | None = None) -> None:
        """A person approves of what is wanted, or of what comes after a step of its canary."""
        if self.wanted is not None:
            self.annotate(REQUEST_APPROVE, self.wanted.id if step is None else f"{self.wanted.id}/{step}")

    def other_is(self, *, well: bool) -> None:
        """The rollout that this one depends on runs what it wants, or does not."""
        ready = {"type": "Ready", "status": str(well), "reason": "RolledOut" if well else "Degraded"}
        old = self.api.get("imagerollouts", OTHER)
        metadata = old["metadata"] if old else {"name": OTHER}
        status = {"observedGeneration": 1, "conditions": [ready]}
        self.api.put("imagerollouts", {"metadata": metadata, "spec": {}, "status": status})

    def delete_canary(self) -> None:
        """Somebody deletes the canary."""
        self.promises.cause()
        self.api.remove("deployments", "web-canary")

    def scale(self, replicas: int) -> None:
        """An autoscaler, or a person, changes the number of replicas."""
        if self.has_pods:
            self.wish.replicas = replicas
            raw = self.api.get("imagerollouts", "web")
            if raw is not None:
                self.api.put("imagerollouts", {**raw, "spec": self.wish.spec()})
        elif self.deployment is not None:
            self.api.update_spec("deployments", "web", replicas=replicas)

    def edit_deployment(self, **fields: Any) -> None:
        """Somebody edits the Deployment by hand."""
        if self.deployment is not None:
            self.promises.cause()
            self.api.update_spec("deployments", "web", **fields)

    def set_image(self, letter: str) -> None:
        """Somebody sets another image by hand, as with kubectl set image: a tag alone."""
        raw = self.deployment
        if raw is not None:
            template = raw["spec"]["template"]
            container = {**template["spec"]["containers"][0], "image": f"{REPOSITORY}:by-hand-{letter}"}
            self.edit_deployment(template={**template, "spec": {**template["spec"], "containers": [container]}})

    def delete_workload(self) -> None:
        """Somebody deletes the Deployment, and with it its Pods; or all Pods that podpin has made."""
        self.promises.cause()
        self.api.remove("deployments", "web")
        for pod in self.pods if self.has_pods else ():
            pod.delete()

    def lose_status(self) -> None:
        """The status is gone, as after a restore that leaves it out."""
        raw = self.api.get("imagerollouts", "web")
        if raw is not None:
            self.promises.cause(2)
            self.api.put("imagerollouts", {key: value for key, value in raw.items() if key != "status"})

    def snapshot(self) -> dict[str, Json]:
        """A backup of what podpin has written, but for the workload."""
        kept = {raw["metadata"]["name"]: raw for raw in self.api.all("controllerrevisions")}
        rollout = self.api.get("imagerollouts", "web")
        return {**kept, **({"web": rollout} if rollout else {})}

    def restore(self, snapshot: dict[str, Json]) -> None:
        """The backup is put back: younger records are gone, verdicts and status are what they were."""
        self.promises.cause(4)
        for raw in self.api.all("controllerrevisions"):
            if raw["metadata"]["name"] not in snapshot:
                self.promises.forgotten.add(raw["metadata"]["labels"][LABEL_RELEASE])
                self.api.remove("controllerrevisions", raw["metadata"]["name"])
        for name, raw in snapshot.items():
            if name == "web":
                current = self.api.get("imagerollouts", "web")
                if current is not None and "status" in raw:
                    self.api.put("imagerollouts", {**current, "status": raw["status"]})
            else:
                self.api.put("controllerrevisions", raw)

    def heal(self) -> None:
        """All troubles are over, and nobody holds anything back any more."""
        self.registry.down = self.registry.lies = False
        self.registry.lost.clear()
        if self.registry.tag is None:
            self.push("a", told=False)
        self.nodes.heal()
        self.nodes.room = max(self.nodes.room, 20)
        self.deployments.asleep = False
        connection = self.connection
        connection.down, connection.latency, connection.crash_after = False, 0.0, None
        connection.fails = lambda _: None
        for collection in WATCHED:
            connection.hold(collection, held=False)
        if self.deployment is not None and self.deployment["spec"].get("paused"):
            self.edit_deployment(paused=False)
        if self.deployment is not None and self.deployment["spec"]["replicas"] == 0 and self.wish.replicas is None:
            self.scale(2)
        if self.wish.suspend or self.wish.replicas == 0 or self.wish.windows or self.wish.freeze:
            replicas = self.wish.replicas or (None if self.wish.replicas is None else 2)
            self.apply(suspend=False, replicas=replicas, windows=False, freeze=False)
        self.annotate(PAUSE, None)
        self.other_is(well=True)
        self.approve(99)
        self._hear()
        self._bury()
        self.start_podpin()

    def calm(self) -> None:
        """Whatever came before: left alone, everything comes to rest where it should, and stays there."""
        self.heal()
        end = self.clock.now + LONG
        self.run(SLICE)
        while (self.promises.complaint() is not None or self.is_coming_up) and self.clock.now < end:
            self.run(SLICE)
        # What runs may have come up just now: whoever watches it for its bake time may write once more.
        self.run(SLICE)
        self.promises.all_is_as_it_should_be()
        if not self.is_restless:
            self.promises.a_quiet_world_gets_no_writes(QUIET)
            self.promises.all_is_as_it_should_be()

    # --- what can be seen

    @property
    def deployment(self) -> Json | None:
        """The Deployment as it is now."""
        return self.api.get("deployments", "web")

    @property
    def has_pods(self) -> bool:
        """podpin makes the Pods itself."""
        return self.wish.kind == "Pods"

    @property
    def pods(self) -> list[PodLife]:
        """The Pods of the workload, without those of a canary and those that only pull."""
        return [pod for pod in self.nodes.pods.values() if LABEL_TRACK not in pod.labels and not pod.pulls]

    @property
    def canary(self) -> tuple[str, int] | None:
        """The release that the canary runs, and its step."""
        raw = self.api.get("deployments", "web-canary")
        if raw is None:
            return None
        step = int(raw["metadata"]["annotations"][ANNOTATION_STEP].partition("/")[0])
        return raw["spec"]["template"]["metadata"]["labels"][LABEL_RELEASE], step

    @property
    def terms(self) -> Terms:
        """By what Pods are replaced, as podpin knows the spec."""
        assert self.podpin is not None
        return terms_of(parse_spec(self.podpin.basis["spec"]))

    @property
    def running(self) -> str | None:
        """The release that the Deployment runs, or that the Pods are to be of."""
        if self.has_pods:
            record = running_of(self.promises.records().values())
            return record.release if record else None
        raw = self.deployment
        return raw["spec"]["template"]["metadata"]["labels"].get(LABEL_RELEASE) if raw else None

    @property
    def runs(self) -> str | None:
        """The letter of the image that runs."""
        if self.has_pods:
            record = self.promises.records().get(self.running or "")
            return letter_of(record.images[0][1]) if record else None
        raw = self.deployment
        image: str = raw["spec"]["template"]["spec"]["containers"][0]["image"] if raw else ""
        return image[-1] if raw else None

    @property
    def ready(self) -> tuple[str, str]:
        """Status and reason of Ready."""
        return ready_of(self.api.get("imagerollouts", "web"))

    @property
    def rollback_enabled(self) -> bool:
        """Whether podpin may go back by itself."""
        return self.wish.enabled

    @property
    def spec(self) -> Spec:
        """The spec as podpin reads it."""
        return parse_spec(self.wish.spec())

    @property
    def wanted(self) -> Release | None:
        """What user and registry ask for."""
        letter = self.registry.tag
        if letter is None or self.api.get("imagerollouts", "web") is None:
            return None
        return release_of(self.spec, (("app", f"{REPOSITORY}:live@{digest(letter)}"),))

    @property
    def is_restless(self) -> bool:
        """A Pod changes its mind all the time, so that what is told of it, and done about it, does, too; or what is
        wanted has no verdict yet, as its control group is ill, or was."""
        wanted = self.wanted
        record = self.promises.records().get(wanted.id) if wanted is not None else None
        if record is not None and record.verdict is None:
            return True
        return any(pod.fate.is_restless(probed=pod.probed) for pod in self.nodes.pods.values() if pod.active)

    def _pod_events(self) -> list[Json]:
        if not self.nodes.storage_down:
            return []
        return [{"reason": "FailedMount", "message": 'configmap "web" not found', "lastTimestamp": "x"}]

    @property
    def is_coming_up(self) -> bool:
        """A Pod of a good image is not ready yet, as after a kubelet's long back-off."""
        return any(pod.active and pod.fate.good and not pod.ready for pod in self.nodes.pods.values())

    # --- excuses

    def lasting_excuses(self) -> set[str]:
        """Why a good release may fail rightly, of what is the case now."""
        return {"a mirror lies"} if self.registry.lies else set()

    def excuses_now(self, letter: str) -> set[str]:
        """The same for one image."""
        excuses = {"its image is gone"} if letter in self.registry.lost else set()
        stable = self.promises.stable()
        control = [
            pod for pod in self.nodes.pods.values() if stable and pod.labels.get(LABEL_RELEASE) == stable.release
        ]
        if "the backend fails" in self.promises.excuses and not any(pod.active for pod in control):
            excuses.add("no control group")
        return excuses
