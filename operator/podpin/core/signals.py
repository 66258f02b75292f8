"""What a Pod's state says, and whose fault it is: the image's, or the cluster's.

Each signal is a small pure function from a Pod to a finding or nothing. The two lists at the end are the policy: the
order is the order of asking, and the first answer counts. The cluster is asked first: what it did to a Pod must never
be blamed on the release. What neither list knows is left to the progress deadline.

The texts matched here are those of the kubelet, containerd, CRI-O and the OCI runtimes as of Kubernetes 1.35.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from podpin.core.observation import Container, Pod, Run

REPEATS: Final = 3
"""How often a container must have failed before a failure that may pass counts as the image's fault."""
READINESS_LOST: Final = "ReadinessLost"
LOST_EXIT_CODE: Final = 255


@dataclass(frozen=True, slots=True)
class Finding:
    """A reason in CamelCase for machines, a sentence for people.

    `certain` findings are about the image itself; the others could have a cause that stable's Pods share.
    """

    reason: str
    message: str
    certain: bool = False


Signal = Callable[[Pod], Finding | None]

PULL_REASONS: Final = frozenset({"ErrImagePull", "ImagePullBackOff", "ImageInspectError", "RegistryUnavailable"})

NOT_FOUND: Final = re.compile(
    r"not found|manifest unknown|name unknown|does not exist|NotFound|MANIFEST_UNKNOWN", re.ASCII
)
NO_PLATFORM: Final = re.compile(
    r"no match for platform|no matching manifest|no image found in (?:image index|manifest list)|exec format error",
    re.IGNORECASE,
)
REFUSED: Final = re.compile(
    r"unauthorized|denied|forbidden|authentication required|no basic auth credentials|\b40[13]\b", re.IGNORECASE
)
UNTRUSTED: Final = re.compile(r"x509|certificate signed by unknown authority|certificate has expired", re.IGNORECASE)
REGISTRY_TROUBLE: Final = re.compile(
    r"too ?many ?requests|\b429\b|\b50[0234]\b|rate limit|service unavailable|bad gateway|gateway time-?out"
    r"|internal server error|i/o timeout|deadline exceeded|connection refused|connection reset|no such host"
    r"|no route to host|network is unreachable|TLS handshake timeout|unexpected EOF|: EOF|context canceled"
    r"|temporary failure in name resolution|server misbehaving",
    re.IGNORECASE,
)
CANNOT_START: Final = re.compile(
    r"exec format error|no such file or directory|executable file not found|not a directory|is a directory"
    r"|permission denied|no command specified",
    re.IGNORECASE,
)
CACHE_LAG: Final = re.compile(r"failed to sync (?:configmap|secret) cache", re.IGNORECASE)
PASSING: Final = re.compile(
    r"deadline exceeded|is reserved for|context canceled|failed to reserve|no space left|cannot allocate memory",
    re.IGNORECASE,
)


def pull_failure(pod: Pod) -> Container | None:
    """The first container whose image could not be pulled, if there is one."""
    return next((c for c in pod.containers if c.waiting in PULL_REASONS), None)


def missing_images(pod: Pod) -> tuple[Container, ...]:
    """The containers whose images do not exist, if the kubelet is to be believed.

    "Denied" often says "does not exist" in the same breath, for a registry does not tell strangers which it is.
    """
    return tuple(
        container
        for container in pod.containers
        if container.waiting in PULL_REASONS
        and NOT_FOUND.search(container.message)
        and not NO_PLATFORM.search(container.message)
        and not REFUSED.search(container.message)
    )


# --- the cluster's fault


def evicted(pod: Pod) -> Finding | None:
    """The Pod was evicted, preempted, or refused by its node."""
    if pod.disrupted:
        return Finding("PodDisrupted", f"Pod {pod.name} is being taken away by the cluster ({pod.disrupted})")
    if pod.phase == "Failed" and pod.reason:
        return Finding("PodEvicted", f"Pod {pod.name} was ended by the cluster ({pod.reason})")
    return None


def unschedulable(pod: Pod) -> Finding | None:
    """No node takes the Pod."""
    if pod.unschedulable is None:
        return None
    return Finding(
        "Unschedulable", f"Pod {pod.name} fits on no node: {pod.unschedulable or 'the scheduler gives no reason'}"
    )


def node_lost(pod: Pod) -> Finding | None:
    """Ready was withdrawn although every container is: the node controller speaks for a node that went silent."""
    mains = [c for c in pod.containers if not c.init]
    if pod.phase == "Running" and not pod.ready and not pod.gated and mains and all(c.ready for c in mains):
        return Finding("NodeLost", f"Pod {pod.name} is on node {pod.node}, which has stopped answering")
    return None


def containers_lost(pod: Pod) -> Finding | None:
    """The runtime lost the containers that ran, which is what a node that was rebooted shows.

    Only where nothing else stands in their way: what cannot be started again, or is lost again and again, and what has
    failed beside them, is judged like any other.
    """
    down = [c for c in pod.containers if not c.init and not c.ready and c.running_since is None]
    if not down or not all(_was_lost(container) for container in down):
        return None
    return Finding("NodeLost", f"node {pod.node} has lost container {down[0].name} of Pod {pod.name}")


def volume_trouble(pod: Pod) -> Finding | None:
    """A volume of the Pod cannot be mounted, or it cannot have its network: a missing ConfigMap, storage, the CNI."""
    if not pod.trouble:
        return None
    if "sandbox" in pod.trouble.lower():
        return Finding("SandboxNotReady", f"Pod {pod.name} waits for its network: {pod.trouble}")
    return Finding("VolumeNotReady", f"Pod {pod.name} waits for a volume: {pod.trouble}")


def config_lag(pod: Pod) -> Finding | None:
    """The kubelet has not yet caught up with a ConfigMap or a Secret."""
    for container in pod.containers:
        if container.waiting == "CreateContainerConfigError" and CACHE_LAG.search(container.message):
            return Finding("VolumeNotReady", f"Pod {pod.name}: {container.message}")
    return None


def registry_trouble(pod: Pod) -> Finding | None:
    """The node could not reach the registry, or was told to come back later."""
    container = pull_failure(pod)
    if container is None or not REGISTRY_TROUBLE.search(container.message) or REFUSED.search(container.message):
        return None
    return Finding(
        "RegistryUnavailable",
        f"the registry does not serve the image of container {container.name} to the node of Pod {pod.name} now",
    )


# --- the image's fault


def image_not_found(pod: Pod) -> Finding | None:
    """The kubelet says the image does not exist. Whether the registry agrees is asked by the caller."""
    missing = missing_images(pod)
    if not missing:
        return None
    return Finding("ImageNotFound", f"the registry has no such image for container {missing[0].name}", certain=True)


def image_name_invalid(pod: Pod) -> Finding | None:
    """The kubelet cannot parse the image's name."""
    for container in pod.containers:
        if container.waiting == "InvalidImageName":
            return Finding(
                "InvalidImageName", f"the image name of container {container.name} is not valid", certain=True
            )
    return None


def wrong_platform(pod: Pod) -> Finding | None:
    """The image has nothing for the node's platform."""
    container = pull_failure(pod)
    if container is None or not NO_PLATFORM.search(container.message):
        return None
    return Finding(
        "WrongPlatform",
        f"the image of container {container.name} has no variant for the platform of node {pod.node}",
        certain=True,
    )


def cannot_start(pod: Pod) -> Finding | None:
    """The container's process cannot be started: a missing binary, another architecture's, no command at all."""
    for container in pod.containers:
        run = container.ended or container.last
        if run is not None and _start_failed(run) and not container.ready:
            return Finding(
                "CannotStart", f"container {container.name} cannot be started: {_brief(run.message)}", certain=True
            )
        if container.waiting in ("CreateContainerError", "RunContainerError") and CANNOT_START.search(
            container.message
        ):
            return Finding(
                "CannotStart",
                f"container {container.name} cannot be started: {_brief(container.message)}",
                certain=True,
            )
    return None


def bad_container_config(pod: Pod) -> Finding | None:
    """The container cannot be created as the template has it: a missing key, a forbidden user, and the like."""
    for container in pod.containers:
        if container.waiting in ("CreateContainerConfigError", "ErrImageNeverPull") and not PASSING.search(
            container.message
        ):
            return Finding(
                "BadContainerConfig",
                f"container {container.name} cannot be created: {_brief(container.message)}",
                certain=True,
            )
    return None


def init_failing(pod: Pod) -> Finding | None:
    """An init container fails again and again."""
    return _repeated(pod, init=True, reason="InitContainerFailed")


def out_of_memory(pod: Pod) -> Finding | None:
    """A container is killed again and again for using more memory than its limit."""
    for container in pod.containers:
        run = container.ended or container.last
        if run is not None and run.reason == "OOMKilled" and failures(container) >= REPEATS:
            return Finding(
                "OutOfMemory",
                f"container {container.name} was killed {REPEATS} times or more for using more memory than its limit",
            )
    return None


def crash_looping(pod: Pod) -> Finding | None:
    """A container exits again and again."""
    return _repeated(pod, init=False, reason="CrashLooping")


def disturbed(pod: Pod) -> Finding | None:
    """The Pod had been ready and is no longer: it restarted, or its readiness probe fails now.

    Without a readiness probe, Ready says no more than that the containers have started: then an exit is one of the
    three that make a crash loop.
    """
    if pod.ready or not pod.probed or not had_been_ready(pod):
        return None
    if any(c.last is not None and _is_lost(c.last) for c in pod.containers if not c.init and not c.ready):
        return None  # it is on its way up for a second time, and that is not its fault
    for container in (c for c in pod.containers if not c.init and not c.ready):
        run = container.ended or container.last
        if container.running_since is None and run is not None:
            return Finding(
                "RestartedAfterReady",
                f"container {container.name} exited with code {run.exit_code} after it had been ready",
            )
    return Finding(READINESS_LOST, "it had been ready and no longer is")


def had_been_ready(pod: Pod) -> bool:
    """Ready turned false later than the first known start of a container: so it had turned true before.

    A Pod that never was ready has Ready set to false once, before its containers start.
    """
    starts = [moment for c in pod.containers if not c.init for moment in _starts(c)]
    return bool(starts) and pod.ready_changed is not None and pod.ready_changed > min(starts)


def _starts(container: Container) -> Iterable[datetime]:
    if container.running_since:
        yield container.running_since
    for run in (container.ended, container.last):
        if run is not None and run.started:
            yield run.started


def failures(container: Container) -> int:
    """How many runs of the container have ended: each restart follows one, and one more may wait to be restarted."""
    return container.restarts + (
        1 if container.running_since is None and (container.ended or container.waiting == "CrashLoopBackOff") else 0
    )


def _repeated(pod: Pod, *, init: bool, reason: str) -> Finding | None:
    for container in pod.containers:
        if container.init != init or container.ready or failures(container) < REPEATS:
            continue
        run = container.ended or container.last
        if init and run is not None and run.exit_code == 0:
            continue
        how = f", last with code {run.exit_code} ({run.reason})" if run is not None else ""
        kind = "init container" if init else "container"
        return Finding(reason, f"{kind} {container.name} exited {REPEATS} times or more{how}")
    return None


def _is_lost(run: Run) -> bool:
    """containerd's words for a container whose process it does not find any more (cri/server/events.go, restart.go)."""
    return run.reason == "Unknown" and run.exit_code == LOST_EXIT_CODE


def _was_lost(container: Container) -> bool:
    if failures(container) >= REPEATS:
        return False
    if container.ended is not None:
        return _is_lost(container.ended)
    on_its_way = container.waiting in (None, "ContainerCreating", "PodInitializing", "CrashLoopBackOff")
    return on_its_way and container.last is not None and _is_lost(container.last)


def _start_failed(run: Run) -> bool:
    return run.reason in ("StartError", "ContainerCannotRun") and bool(CANNOT_START.search(run.message))


def _brief(message: str, limit: int = 200) -> str:
    """The telling end of a runtime's message: it puts its own layers first, as in `…: exec: "/app": no such file`."""
    flat = " ".join(message.split()).removesuffix(": unknown")
    flat = flat[max(flat.rfind(": exec: ") + 2, 0) :] if ": exec: " in flat else flat
    return flat if len(flat) <= limit else f"…{flat[-limit:]}"


CLUSTER_SIGNALS: tuple[Signal, ...] = (
    evicted,  # the Pod is going away: nothing else about it matters
    unschedulable,  # it never got to a node
    node_lost,  # it got to one that is gone
    containers_lost,  # or that was gone, and has come back
    volume_trouble,  # its node waits for storage or configuration
    config_lag,  # the kubelet is behind, not the template wrong
    registry_trouble,  # last: only what is left can be the registry's doing
)

FAILURE_SIGNALS: tuple[Signal, ...] = (
    image_name_invalid,  # nothing was even asked for
    wrong_platform,  # before "not found": some runtimes say both in one message
    image_not_found,
    cannot_start,  # at once: a missing binary does not appear by waiting
    bad_container_config,
    init_failing,  # before the main containers: they have not had their turn
    out_of_memory,  # before the crash loop: it tells more
    crash_looping,
    disturbed,  # last: the weakest evidence
)


def unready(pod: Pod) -> Finding:
    """The last obstacle of a Pod that did not become ready in time, in words."""
    for container in (c for c in pod.containers if not c.ready and not (c.init and c.ended and not c.ended.exit_code)):
        if container.running_since is not None:
            why = f"container {container.name} runs, but its readiness probe does not succeed"
            return Finding(
                "ProgressDeadlineExceeded", why if pod.probed else f"container {container.name} runs, but is not ready"
            )
        run = container.ended or container.last
        if run is not None:
            return Finding(
                "ProgressDeadlineExceeded",
                f"container {container.name} exited with code {run.exit_code} ({run.reason})",
            )
        if container.waiting:
            return Finding("ProgressDeadlineExceeded", f"container {container.name} waits ({container.waiting})")
    return Finding("ProgressDeadlineExceeded", "a Pod did not become ready")


PULL_TROUBLES: Final = frozenset({"ImagePullDenied", "ImagePullUntrusted", "ImagePullFailed", "RegistryDisagrees"})
"""What is told at once, though the release is judged by the deadline."""


def pull_explanation(pod: Pod) -> Finding | None:
    """Why a pull fails that no signal judges: it waits for the deadline, but the user is told at once."""
    container = pull_failure(pod)
    if container is None:
        return None
    if REFUSED.search(container.message):
        return Finding(
            "ImagePullDenied",
            f"the node may not pull the image of container {container.name}: give the template imagePullSecrets that "
            "the registry accepts",
        )
    if UNTRUSTED.search(container.message):
        return Finding(
            "ImagePullUntrusted",
            f"the node does not trust the certificate of the registry of container {container.name}",
        )
    return Finding(
        "ImagePullFailed", f"the image of container {container.name} can't be pulled: {_brief(container.message)}"
    )


def standing(pod: Pod) -> str | None:
    """What stands in the way of a Pod and goes on doing so, in words that stay while containers are started anew.

    None where nothing such can be told. What comes and goes with each attempt, such as that a container runs or waits
    just now, and a runtime's or a scheduler's changing words, are left out.
    """
    if pod.unschedulable is not None:
        return "it fits on no node"
    if node_lost(pod):
        return f"its node {pod.node} has stopped answering"
    if (unpulled := pull_failure(pod)) is not None:
        return f"the image of container {unpulled.name} can't be pulled"
    finding = cannot_start(pod) or _never_configured(pod)
    finding = finding or init_failing(pod) or out_of_memory(pod) or crash_looping(pod)
    if finding is not None:
        return finding.message
    if any(c.restarts or (c.ended is not None and c.ended.exit_code) for c in pod.containers):
        return None
    if pod.containers and all(c.waiting in ("ContainerCreating", "PodInitializing") for c in pod.containers):
        return "it waits for a volume or for its network"
    silent = next((c for c in pod.containers if not c.init and not c.ready and c.running_since is not None), None)
    if silent is None or not pod.probed:
        return None
    return f"container {silent.name} runs, but its readiness probe does not succeed"


def _never_configured(pod: Pod) -> Finding | None:
    """A container that has never run cannot be created as the template has it. One that has run waits in turns: now
    for its configuration, now for its next try."""
    fresh = tuple(c for c in pod.containers if c.last is None and not CACHE_LAG.search(c.message))
    return bad_container_config(replace(pod, containers=fresh))
