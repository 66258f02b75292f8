"""One Pod, from the scheduler to its end, as its kubelet and the control plane write it down.

A Pod's story is a chain of events on the clockwork. Whatever interrupts it begins another `chapter`; what was still to
happen in the one before does not happen any more. While a node is down its kubelet writes nothing, and nothing goes on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from podpin.core.names import ANNOTATION_RETRIED, LABEL_PULLS, LABEL_RELEASE
from podpin.core.times import write_time
from tests.builders import at
from tests.simulation.images import Fate, fate_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from podpin.core.release import Record
    from tests.simulation.api import Json
    from tests.simulation.nodes import Node, Nodes

PERIOD: Final = 5.0
"""Seconds between two readiness probes."""
PROBE: Final = {"periodSeconds": 5, "timeoutSeconds": 1, "httpGet": {"port": 80}}
BACKOFF: Final = 10.0
LONGEST_BACKOFF: Final = 300.0
GRACE: Final = 2.0
"""Seconds that a container takes to stop."""
LOST: Final = (255, "Unknown", "")


@dataclass(slots=True)
class Ended:
    """One run that is over, in the node's time."""

    started: float
    finished: float
    exit: tuple[int, str, str]

    def raw(self) -> Json:
        """As it stands in a Pod's status."""
        code, reason, message = self.exit
        return {
            "exitCode": code,
            "reason": reason,
            "message": message,
            "startedAt": write_time(at(self.started)),
            "finishedAt": write_time(at(self.finished)),
        }


class PodLife:
    def __init__(self, nodes: Nodes, name: str, owners: list[Json], template: Json) -> None:
        self.nodes, self.clock, self.name, self.owners = nodes, nodes.clock, name, owners
        self.template = template
        self.labels: dict[str, str] = dict(template["metadata"]["labels"])
        self.pulls = LABEL_PULLS in self.labels
        """It names its node, and its command does not exist: it only pulls."""
        self.fate: Fate = fate_of(template)
        container = template["spec"]["containers"][0]
        self.container: str = container["name"]
        self.image: str = container["image"]
        self.probed = "readinessProbe" in container
        self.node: Node | None = None
        self.phase, self.reason = "Pending", ""
        self.scheduled_at: float | None = None
        self.unschedulable: str | None = None
        self.disrupted: str | None = None
        self.deleting = False
        self.gone = False
        self.told = False
        """The kubelet has written something about it."""
        self.waiting: tuple[str, str] | None = None
        self.started: float | None = None
        self.ended: Ended | None = None
        self.last: Ended | None = None
        self.restarts = 0
        self.runs = False
        self.container_ready = False
        self.ready = False
        self.ready_changed = 0.0
        self.ready_since: float | None = None
        """In true time."""
        self._pulls = 0
        self._chapter = 0
        self._last = self.nodes.api.put("pods", self.raw())

    # --- what others see

    @property
    def active(self) -> bool:
        """It counts as a replica."""
        return not self.deleting and not self.gone and self.phase not in ("Failed", "Succeeded")

    def is_of(self, record: Record) -> bool:
        """It is a Pod of this release, in its last try, as nobody has changed it."""
        release, retried = self.labels[LABEL_RELEASE], self.template["metadata"].get("annotations") or {}
        same = (release, retried.get(ANNOTATION_RETRIED)) == (record.release, record.retried)
        return same and self.image == dict(record.images)[self.container]

    def available(self, min_ready: float) -> bool:
        """It is ready, and has been for long enough."""
        return self.active and self.ready_since is not None and self.clock.now >= self.ready_since + min_ready

    def raw(self) -> Json:
        """The object as it is to be stored now."""
        stored = self.nodes.api.get("pods", self.name)
        metadata: Json = {**self.template["metadata"], **(stored["metadata"] if stored else {}), "name": self.name}
        metadata["ownerReferences"] = self.owners
        if self.deleting:
            metadata["deletionTimestamp"] = "2026-03-01T12:00:00Z"
            if self.node is not None:
                metadata["deletionGracePeriodSeconds"] = 0 if self.pulls else int(GRACE)
        spec = {**self.template["spec"], **({"nodeName": self.node.name} if self.node else {})}
        status: Json = {"phase": self.phase, "conditions": self._conditions()}
        if self.reason:
            status["reason"] = self.reason
        if self.told:
            status["containerStatuses"] = [self._container()]
        return {"kind": "Pod", "metadata": metadata, "spec": spec, "status": status}

    def stored(self) -> Json:
        """The object as it was stored last, though it may be gone by now."""
        return self._last

    def _conditions(self) -> list[Json]:
        told: list[Json] = []
        if self.scheduled_at is not None:
            moment = write_time(at(self.scheduled_at))
            told.append({"type": "PodScheduled", "status": "True", "lastTransitionTime": moment})
        elif self.unschedulable is not None:
            reason = {"reason": "Unschedulable", "message": self.unschedulable}
            told.append({"type": "PodScheduled", "status": "False", **reason})
        if self.told:
            moment = write_time(at(self.ready_changed))
            told.append({"type": "Ready", "status": str(self.ready), "lastTransitionTime": moment})
        if self.disrupted:
            told.append({"type": "DisruptionTarget", "status": "True", "reason": self.disrupted})
        return told

    def _container(self) -> Json:
        state: Json = {}
        if self.waiting is not None:
            state = {"waiting": {"reason": self.waiting[0], "message": self.waiting[1]}}
        elif self.runs and self.started is not None:
            state = {"running": {"startedAt": write_time(at(self.started))}}
        elif self.ended is not None:
            state = {"terminated": self.ended.raw()}
        status = {
            "name": self.container,
            "ready": self.container_ready,
            "restartCount": self.restarts,
            "image": self.image,
            "state": state,
        }
        if self.last is not None:
            status["lastState"] = {"terminated": self.last.raw()}
        return status

    def write(self) -> None:
        """Store what has become of it."""
        if not self.gone:
            self._last = self.nodes.api.put("pods", self.raw())

    # --- how its story goes on

    def after(self, seconds: float, happens: Callable[[], None]) -> None:
        """Let the node do something later, unless the story has taken another turn by then."""
        chapter = self._chapter

        def due() -> None:
            if chapter != self._chapter or self.gone:
                return
            if self.node is not None and not self.node.up:
                self.node.missed.append(due)
                return
            happens()

        self.clock.after(seconds, due)

    def turn(self) -> None:
        """Begin another chapter."""
        self._chapter += 1
        if self.deleting:
            self.after(GRACE, self.vanish)

    @property
    def node_time(self) -> float:
        """What the clock of its node says."""
        return self.clock.now + (self.node.skew if self.node else 0.0)

    def set_ready(self, ready: bool, *, clock: float | None = None) -> None:
        """Change the condition Ready, by the node's clock unless another is named."""
        if ready == self.ready and self.told:
            return
        self.told = True
        self.ready = ready
        self.ready_changed = self.node_time if clock is None else clock
        self.ready_since = self.clock.now if ready else None

    def bound(self, node: Node) -> None:
        """The scheduler has found a node."""
        self.node, self.scheduled_at, self.unschedulable = node, self.clock.now, None
        self.write()
        self.after(0.2, self._admitted)

    def _admitted(self) -> None:
        self.waiting = ("ContainerCreating", "")
        self.set_ready(False)
        self.write()
        self._mount()

    def _mount(self) -> None:
        if self.nodes.storage_down and not self.pulls:
            self.after(10.0, self._mount)
        else:
            self._pull()

    def _pull(self) -> None:
        assert self.node is not None
        if self.image in self.node.images:
            self.after(0.2, self._create)
            return
        refusal = self.nodes.registry.pull(self.image)
        if refusal is None:
            self.after(self.nodes.pull_seconds, self._pulled)
            return
        self.waiting = ("ErrImagePull", refusal)
        self.write()
        pause = min(BACKOFF * 2**self._pulls, LONGEST_BACKOFF)
        self._pulls += 1
        self.after(1.0, lambda: self._back_off(f'Back-off pulling image "x": ErrImagePull: {refusal}'))
        self.after(pause, self._pull)

    def _back_off(self, message: str) -> None:
        self.waiting = ("ImagePullBackOff", message)
        self.write()

    def _pulled(self) -> None:
        assert self.node is not None
        self.node.images.add(self.image)
        self._create()

    def _create(self) -> None:
        refusal = "container has runAsNonRoot and image will run as root" if self.pulls else self.fate.config
        if refusal is not None:
            self.waiting = ("CreateContainerConfigError", refusal)
            self.write()
            self.after(20.0, self._create)
            return
        self.turn()
        self.waiting, self.ended = None, None
        self.started = self.node_time
        if self.fate.exit[1] == "StartError":
            self._exit(self.fate.exit)
            return
        self.runs = True
        self.phase = "Running"
        if not self.probed:
            self.container_ready = True
            self.set_ready(True)
        self.write()
        if self.probed:
            self.after(self.fate.ready_after, self._probe)
        if self.fate.exits_after is not None:
            self.after(self.fate.exits_after, lambda: self._exit(self.fate.exit))

    def _probe(self) -> None:
        """The readiness probe succeeds, if what the application needs is there."""
        if self.nodes.backend_down:
            self.after(PERIOD, self._probe)
            return
        self.container_ready = True
        self.set_ready(True)
        self.write()
        if self.fate.stays_ready is not None:
            self.after(self.fate.stays_ready, self._falls_ill)

    def _falls_ill(self) -> None:
        self.lose_readiness()
        if self.fate.returns_after is not None:
            self.after(self.fate.returns_after, self._probe)

    def lose_readiness(self) -> None:
        """The readiness probe fails."""
        self.container_ready = False
        self.set_ready(False)
        self.write()

    def backend_fails(self, delay: float) -> None:
        """What the application needs is gone: its probe sees that when its turn comes, and sees it come back."""
        if self.runs and self.probed and self.container_ready:
            self.after(delay, self._backend_missed)

    def _backend_missed(self) -> None:
        if self.nodes.backend_down and self.container_ready:
            self.lose_readiness()
            self.after(PERIOD, self._probe)

    def _exit(self, how: tuple[int, str, str]) -> None:
        self.turn()
        assert self.started is not None
        self.ended = Ended(self.started, self.node_time, how)
        self.runs, self.container_ready = False, False
        self.set_ready(False)
        self.write()
        lived = self.ended.finished - self.ended.started
        if self.restarts == 0 or lived > 2 * LONGEST_BACKOFF or how == LOST:
            self.after(1.0, self._again)
            return
        self.after(1.0, self._crash_loop)
        self.after(min(BACKOFF * 2 ** (self.restarts - 1), LONGEST_BACKOFF), self._again)

    def _crash_loop(self) -> None:
        self.waiting = ("CrashLoopBackOff", "back-off restarting failed container")
        self.last = self.ended
        self.write()

    def _again(self) -> None:
        assert self.node is not None
        self.last = self.ended or self.last
        self.restarts += 1
        if self.image in self.node.images:
            self._create()
        else:
            self._pull()

    def change_image(self, image: str) -> None:
        """Somebody sets another image by hand: the kubelet restarts the container with it."""
        if not self.active:
            return
        container = {**self.template["spec"]["containers"][0], "image": image}
        self.template = {**self.template, "spec": {**self.template["spec"], "containers": [container]}}
        self.image, self.fate = image, fate_of(self.template)
        if self.runs and self.node is not None and self.node.up:
            self._exit((137, "Error", ""))
        else:
            self.write()

    # --- what happens to its node

    def kubelet_restarts(self, delay: float) -> None:
        """Readiness is withdrawn until the probe has had its round."""
        if self.runs and self.probed and self.container_ready:
            self.turn()
            self.lose_readiness()
            self.after(delay, self._probe)
            if self.fate.exits_after is not None:  # the container lives on, and dies when it would have
                assert self.started is not None
                left = self.started + self.fate.exits_after - self.node_time
                self.after(max(0.0, left), lambda: self._exit(self.fate.exit))

    def reboots(self) -> None:
        """The node comes up again, and has lost all containers."""
        if self.runs:
            self._exit(LOST)

    def falls_silent(self) -> None:
        """The node controller speaks for a node that does not."""
        if self.ready:
            self.set_ready(False, clock=self.clock.now)
            self.write()

    def is_heard_again(self) -> None:
        """The kubelet writes what it knows."""
        if self.told and self.container_ready and not self.ready:
            self.set_ready(True)
            self.write()

    # --- how it ends

    def evict(self, why: str) -> None:
        """Somebody asks the API server to evict it, or the scheduler preempts it."""
        if self.active:
            self.disrupted = why
            self.delete()

    def fail(self, reason: str) -> None:
        """The kubelet throws it out: it stays listed."""
        if self.active:
            self.turn()
            self.phase, self.reason, self.disrupted = "Failed", reason, "TerminationByKubelet"
            self.runs, self.container_ready, self.waiting = False, False, None
            self.set_ready(False)
            self.write()
            self.nodes.changed(self)

    def delete(self) -> None:
        """It is to go, with the time that its container takes to stop."""
        if self.gone or self.deleting:
            return
        self.deleting = True
        self.write()
        self.nodes.changed(self)
        if self.node is None or self.pulls or self.phase in ("Failed", "Succeeded"):
            self.vanish()
        else:
            self.turn()

    def vanish(self) -> None:
        """It is gone."""
        if not self.gone:
            self.gone = True
            self.nodes.api.remove("pods", self.name)
            self.nodes.changed(self)


def template_defaults() -> dict[str, Any]:
    """The container of the templates of this world: with a readiness probe, as a careful user writes it."""
    return {"name": "app", "readinessProbe": PROBE}
