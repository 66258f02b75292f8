"""Every name that podpin spells: its group, its labels and annotations, and what its children are called.

Names are deterministic, so that an action done twice is the same action. Each is spelled here and nowhere else.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Final, NamedTuple

GROUP: Final = "podpin.dev"
VERSION: Final = "v1alpha1"
KIND: Final = "ImageRollout"
PLURAL: Final = "imagerollouts"
API_VERSION: Final = f"{GROUP}/{VERSION}"

FIELD_MANAGER: Final = "podpin"
"""Who owns the fields that podpin applies server-side."""

FIELD_MANAGER_SCALE: Final = "podpin-scale"
"""Who owns the number of replicas from when the user leaves it out until an autoscaler sets it."""

FIELD_MANAGER_LEFT: Final = "podpin-left"
"""Who owns the image of an adopted workload's container from when it is taken out of spec.images."""

FIELD_MANAGER_PEOPLE: Final = "kubectl-podpin"
"""Who owns the annotations by which people ask for something on the command line."""

LABEL_ROLLOUT: Final = f"{GROUP}/rollout"
"""On every child and every Pod: the ImageRollout's name. It is the whole selector unless the user adds labels to it."""
LABEL_PULLS: Final = f"{GROUP}/pulls-for"
"""On a Pod that only pulls a release onto its node: the ImageRollout's name. Such a Pod has LABEL_ROLLOUT too, so that
one watch shows all Pods, but empty, so that no selector of a workload, a budget or an autoscaler counts it."""
LABEL_RELEASE: Final = f"{GROUP}/release"
"""On the Pod template and on release records: the release's id."""
LABEL_MANAGED_BY: Final = "app.kubernetes.io/managed-by"

ANNOTATION_INTENT: Final = f"{GROUP}/intent"
"""On the workload: a hash of what podpin last wanted it to be."""
LABEL_TRACK: Final = f"{GROUP}/track"
"""On the Pods of a canary and on its Deployment: `canary`. The other Pods have no such label."""
CANARY: Final = "canary"

ANNOTATION_STEP: Final = f"{GROUP}/step"
"""On a canary: which step it takes and with how many Pods, as in `1/2`."""
ANNOTATION_IMAGES: Final = f"{GROUP}/images"
"""On a release record: its pins, a JSON object from container to pin."""
ANNOTATION_SPEC: Final = f"{GROUP}/spec"
"""On a release record: a hash of what the user wrote, pins apart, to tell a moved tag from an edited spec."""
ANNOTATION_VERDICT: Final = f"{GROUP}/verdict"
"""On a release record: the verdict, a JSON object; absent while the release is being tried."""
ANNOTATION_CONFIG: Final = f"{GROUP}/config"
"""On a release record: the copies that its template names, a JSON list of kind, original and copy."""
ANNOTATION_COPY_OF: Final = f"{GROUP}/copy-of"
"""On a copy of a ConfigMap or a Secret: the name of the original."""
ANNOTATION_RUNS: Final = f"{GROUP}/runs"
"""On a release record, where podpin makes the Pods itself: a number; the release with the highest one is to run."""
ANNOTATION_TEMPLATE: Final = f"{GROUP}/template"
"""Beside it: a hash of the template, by which two releases are known to differ in their images alone."""
ANNOTATION_PATCHED: Final = f"{GROUP}/patched"
"""On a Pod that was updated in place: a JSON object with when, and how often its containers had been restarted."""
ANNOTATION_RETRIED: Final = f"{GROUP}/retried"
"""On the Pod template: the request by which its release was tried again, so that it is tried with new Pods."""
ANNOTATION_REQUEST: Final = f"{GROUP}/request"
"""On a release record: the last request that changed its verdict, so that a crash can't make podpin obey twice."""

REQUEST_RECONCILE: Final = f"{GROUP}/reconcile"
REQUEST_RETRY: Final = f"{GROUP}/retry"
REQUEST_APPROVE: Final = f"{GROUP}/approve"
REQUEST_ROLLBACK: Final = f"{GROUP}/rollback-to"
"""On the ImageRollout, written by people: requests, each handled once."""
PAUSE: Final = f"{GROUP}/pause"
"""On the ImageRollout, written by people: nothing new begins or goes on while it is there; its value says why."""
PROMOTE_TO: Final = f"{GROUP}/promote-to"
"""On the ImageRollout, written by people: the namespaces whose rollouts may promote from it, with commas, or `*`."""


class Key(NamedTuple):
    """Which ImageRollout."""

    namespace: str
    name: str

    def __str__(self) -> str:
        """As kubectl would have it: `namespace/name`."""
        return f"{self.namespace}/{self.name}"


class Place(NamedTuple):
    """Where a workload is: its kind, and its name in the rollout's namespace."""

    kind: str
    name: str

    def __str__(self) -> str:
        """As people name it: `Deployment web`."""
        return f"{self.kind} {self.name}"


def workload_name(rollout: str) -> str:
    """The name of the Deployment that runs the rollout."""
    return rollout


def canary_name(rollout: str) -> str:
    """The name of the Deployment that runs a canary."""
    return f"{rollout}-{CANARY}"


def canary_place(rollout: str) -> Place:
    """Where that Deployment is."""
    return Place("Deployment", canary_name(rollout))


def pull_name(rollout: str, release: str, mark: str) -> str:
    """The name of a Pod that only pulls a release onto a node; `mark` tells the nodes apart."""
    return f"{rollout}-{release}-pull-{mark}"


def rollout_of(labels: Mapping[str, str]) -> str | None:
    """The name of the ImageRollout that an object with these labels is of, or None."""
    return labels.get(LABEL_ROLLOUT) or labels.get(LABEL_PULLS) or None


def config_key_name(rollout: str, uid: str) -> str:
    """The name of the Secret with the key by which a rollout's copies of ConfigMaps and Secrets get their names.

    A rollout that is made anew has a key of its own: that of the one before may be about to go with it.
    """
    return f"{rollout}-config-key-{hashlib.sha256(uid.encode()).hexdigest()[:8]}"


def pod_name(rollout: str, release: str, ordinal: int) -> str:
    """The name of a Pod that podpin makes itself."""
    return f"{rollout}-{release}-{ordinal}"


def record_name(rollout: str, release: str) -> str:
    """The name of the ControllerRevision that records a release."""
    return f"{rollout}-{release}"


def lease_name(selector: str) -> str:
    """The name of the Lease of those that serve what this label selector selects; empty is everything."""
    if not selector:
        return FIELD_MANAGER
    readable = re.sub("[^a-z0-9]+", "-", selector.lower())[:32].strip("-")
    return f"{FIELD_MANAGER}-{readable}-{hashlib.sha256(selector.encode()).hexdigest()[:8]}"
