"""From a release to the manifest of the workload that runs it: pure synthesis, one builder per kind.

podpin names only what it owns. What the user left out stays out, so that defaults, autoscalers and other controllers
keep their fields. The manifest of a release must not move with podpin's version: upgrading podpin restarts nobody's
Pods.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any, Final

from podpin.core import names
from podpin.core.decision import ApplyCanary
from podpin.core.release import Images, Release, digest_of
from podpin.core.spec.workload import WorkloadSpec

DEFAULT_STRATEGY: Final = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": 0}}
"""The stable Pods serve until new ones are ready: a bad image costs no request."""


def intent_of(spec: WorkloadSpec, release: str, images: Images, retried: str | None = None) -> str:
    """A hash of everything that the workload is to be; equal hashes mean that there is nothing to apply."""
    return digest_of(
        {
            **({"retried": retried} if retried else {}),
            "v": 1,
            "release": release,
            "images": dict(images),
            "replicas": spec.replicas,
            "strategy": strategy_of(spec),
            "minReadySeconds": spec.min_ready_seconds,
            "selector": spec.selector.match_labels if spec.selector else {},
        }
    )


def strategy_of(spec: WorkloadSpec) -> Mapping[str, Any]:
    """The Deployment's strategy: the user's, with nobody unavailable unless the user says so."""
    if spec.strategy is None:
        return DEFAULT_STRATEGY
    strategy = spec.strategy
    if strategy.get("type", "RollingUpdate") != "RollingUpdate":
        return strategy
    rolling = {**DEFAULT_STRATEGY["rollingUpdate"], **(strategy.get("rollingUpdate") or {})}  # type: ignore[dict-item]
    return {"type": "RollingUpdate", "rollingUpdate": rolling}


def amount_of(value: int | str, of: int, *, up: bool) -> int:
    """How many Pods a number or a percentage of them is, as in maxSurge (rounded up) and maxUnavailable (down)."""
    if isinstance(value, int):
        return value
    percent = int(value.removesuffix("%"))
    return -(-of * percent // 100) if up else of * percent // 100


def selector_of(rollout: str, spec: WorkloadSpec | None) -> dict[str, str]:
    """The labels by which the workload finds its Pods: podpin's own, so that the template's may change freely.

    An adopted workload, which has no spec here, has a selector of its own; podpin's label finds its Pods too.
    """
    extra = spec.selector.match_labels if spec and spec.selector else {}
    return {**extra, names.LABEL_ROLLOUT: rollout}


def deployment(
    key: names.Key, owner: Mapping[str, Any], spec: WorkloadSpec, release: Release, intent: str
) -> dict[str, Any]:
    """The Deployment that runs a release."""
    wish = {
        "selector": {"matchLabels": selector_of(key.name, spec)},
        "strategy": dict(strategy_of(spec)),
        "template": pod_template(key.name, release),
        **({"replicas": spec.replicas} if spec.replicas is not None else {}),
        **({"minReadySeconds": spec.min_ready_seconds} if spec.min_ready_seconds else {}),
    }
    return _deployment(key, names.workload_name(key.name), owner, {names.ANNOTATION_INTENT: intent}, wish)


def _deployment(
    key: names.Key, name: str, owner: Mapping[str, Any], annotations: Mapping[str, str], wish: Mapping[str, Any]
) -> dict[str, Any]:
    """A Deployment of the rollout's own, with `wish` for its spec."""
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {
            "name": name,
            "namespace": key.namespace,
            "labels": {names.LABEL_ROLLOUT: key.name, names.LABEL_MANAGED_BY: names.FIELD_MANAGER},
            "annotations": dict(annotations),
            "ownerReferences": [dict(owner)],
        },
        "spec": dict(wish),
    }


def canary(
    key: names.Key,
    owner: Mapping[str, Any],
    template: Mapping[str, Any],
    ready_seconds: int,
    apply: ApplyCanary,
) -> dict[str, Any]:
    """The Deployment of a canary: Pods as the workload would have them, by this template, few, and with a label more.

    They count as available when they have been ready for `ready_seconds`, like the workload's.
    """
    mark, metadata = {names.LABEL_TRACK: names.CANARY}, template["metadata"]
    wish = {
        "replicas": apply.replicas,
        "selector": {"matchLabels": {names.LABEL_ROLLOUT: key.name, **mark}},
        "strategy": {"type": "Recreate"},
        "template": {**template, "metadata": {**metadata, "labels": {**metadata["labels"], **mark}}},
        **({"minReadySeconds": ready_seconds} if ready_seconds else {}),
    }
    noted = {names.ANNOTATION_INTENT: apply.intent, names.ANNOTATION_STEP: f"{apply.step}/{apply.replicas}"}
    body = _deployment(key, names.canary_name(key.name), owner, noted, wish)
    body["metadata"]["labels"].update(mark)
    return body


def pod(key: names.Key, owner: Mapping[str, Any], release: Release, name: str | None) -> dict[str, Any]:
    """One Pod of a release, where podpin makes the Pods itself; without a name, the API server gives it one."""
    template = pod_template(key.name, release)
    called = {"name": name} if name is not None else {"generateName": f"{key.name}-{release.id}-"}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {**template["metadata"], **called, "namespace": key.namespace, "ownerReferences": [dict(owner)]},
        "spec": template["spec"],
    }


BUILDERS: Mapping[str, Callable[[names.Key, Mapping[str, Any], WorkloadSpec, Release, str], dict[str, Any]]] = {
    "Deployment": deployment,
}


def pod_template(rollout: str, release: Release) -> dict[str, Any]:
    """The user's template with podpin's labels and every managed container pinned."""
    template = copy.deepcopy(dict(release.template))
    metadata = template.setdefault("metadata", {})
    metadata["labels"] = {
        **(metadata.get("labels") or {}),
        names.LABEL_ROLLOUT: rollout,
        names.LABEL_RELEASE: release.id,
    }
    if release.retried:
        metadata["annotations"] = {**(metadata.get("annotations") or {}), names.ANNOTATION_RETRIED: release.retried}
    pins = dict(release.images)
    for field in ("containers", "initContainers"):
        for container in template.get("spec", {}).get(field) or ():
            if container.get("name") in pins:
                container["image"] = pins[container["name"]]
    return template


def owner_reference(name: str, uid: str) -> dict[str, Any]:
    """What makes a child the rollout's: collected with it, and nobody else's.

    blockOwnerDeletion stays out, for it needs rights on the rollout's finalizers that podpin does not ask for.
    """
    return {"apiVersion": names.API_VERSION, "kind": names.KIND, "name": name, "uid": uid, "controller": True}
