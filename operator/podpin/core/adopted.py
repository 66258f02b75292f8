"""A workload that somebody else has made: what podpin applies to it, what stands in the way, and what ran before.

podpin owns the images of the named containers, and labels and annotations under its own prefix, which nobody else
writes: by them the workload and its Pods are found. Every other field stays its author's. There is no owner reference:
letting go leaves the workload as it is, still pinned.

A release of such a workload is its exact images alone. What its author changes in the template is rolled out by the
workload's own controller, and is none of podpin's releases.
"""

from __future__ import annotations

import json
from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any, Final

from podpin.core import names
from podpin.core.health import is_complete
from podpin.core.kinds import KINDS
from podpin.core.names import Key, Place
from podpin.core.observation import Observation, Pod, Workload
from podpin.core.reading import array, mapping, text
from podpin.core.reference import parse_reference, pin
from podpin.core.release import Images, Record, Release, digest_of, id_of
from podpin.core.spec import Problem, Spec
from podpin.core.workload import pod_template

LOOK_AGAIN: Final = timedelta(seconds=30)
"""How often a workload that podpin may not or can't take over is looked at again: no watch tells of it."""

_FIELDS: Final = ("containers", "initContainers")


def holds(rollout: str, workload: Workload) -> bool:
    """Whether podpin has taken the workload over for this rollout."""
    return workload.rollout == rollout and workload.release is not None and workload.owner is None


def obstacle(key: Key, spec: Spec, workload: Workload | None, claimant: Key | None) -> Problem | None:
    """Why podpin keeps its hands off the workload, or None.

    `claimant` is the other ImageRollout that has it, or has been there longer and wants it too.
    """
    place = spec.place(key.name)
    if workload is None:
        return Problem(
            "TargetNotFound",
            f"there is no {place} in namespace {key.namespace}: create it, or make a new ImageRollout with another "
            f"targetRef; podpin looks again every {LOOK_AGAIN.seconds} s",
        )
    if workload.owner is not None:
        return Problem(
            "WorkloadConflict",
            f"the {place} is controlled by {workload.owned_by}, which would write its images too: let spec.targetRef "
            "name a workload that nobody controls",
        )
    if claimant is not None:
        return Problem(
            "WorkloadConflict",
            f"the {place} has the ImageRollout {claimant.name} already, and a workload can have one only: delete one "
            "of the two, and put all containers into the spec.images of the other",
        )
    there = dict(_images_in(mapping(workload.template.get("spec"))))
    for image in spec.images:
        if image.container not in there:
            return Problem(
                "ContainerNotFound",
                f"spec.images names the container {image.container!r}, which the {place} does not have; "
                f"it has {', '.join(sorted(there))}",
            )
    return None


def wants(body: Mapping[str, Any], place: Place) -> bool:
    """Whether an ImageRollout, as the API server has it, has this workload for its target, and is there to stay."""
    target = mapping(mapping(body.get("spec")).get("targetRef"))
    there = "deletionTimestamp" not in mapping(body.get("metadata"))
    return there and (target.get("kind"), target.get("name")) == place


def first_of(bodies: Iterable[Mapping[str, Any]], me: Key, place: Place) -> Key | None:
    """The ImageRollout that has wanted this workload for longest, if that is another one."""
    claims = sorted(
        (text(metadata.get("creationTimestamp")), text(metadata.get("name")))
        for body in bodies
        if wants(body, place) and (metadata := mapping(body.get("metadata")))
    )
    return Key(me.namespace, claims[0][1]) if claims and claims[0][1] != me.name else None


def intent_of(place: Place, release: str, images: Images, retried: str | None = None) -> str:
    """A hash of everything that podpin wants of the workload; equal hashes mean that there is nothing to apply."""
    wanted = {"v": 1, "place": [*place], "release": release, "images": dict(images)}
    return digest_of({**wanted, **({"retried": retried} if retried else {})})


def pins_of(key: Key, spec: Spec, workload: Workload, release: Release, intent: str) -> dict[str, Any]:
    """What podpin applies to a workload to let it run a release: of the named containers those that it has."""
    place = spec.place(key.name)
    shape, pins = KINDS[place.kind], dict(release.images)
    named = {image.container for image in spec.images} & pins.keys()
    here = mapping(workload.template.get("spec"))
    pod = {
        field: [{"name": name, "image": pins[name]} for name, _ in _images_in(here, (field,)) if name in named]
        for field in _FIELDS
    }
    template: dict[str, Any] = {
        "metadata": {"labels": {names.LABEL_ROLLOUT: key.name, names.LABEL_RELEASE: release.id}},
        "spec": {field: containers for field, containers in pod.items() if containers},
    }
    if release.retried:
        template["metadata"]["annotations"] = {names.ANNOTATION_RETRIED: release.retried}
    return {
        "apiVersion": shape.api_version,
        "kind": place.kind,
        "metadata": {
            "name": place.name,
            "namespace": key.namespace,
            "labels": {names.LABEL_ROLLOUT: key.name},
            "annotations": {names.ANNOTATION_INTENT: intent},
        },
        **shape.around(template),
    }


def template_of(key: Key, spec: Spec, live: Mapping[str, Any], release: Release) -> dict[str, Any]:
    """A workload's Pods as its author has them now, with a release's images and podpin's labels."""
    template = KINDS[spec.place(key.name).kind].template_of(live)
    metadata, named = mapping(template.get("metadata")), {image.container for image in spec.images}
    written = {field: metadata[field] for field in ("labels", "annotations") if metadata.get(field)}
    images = tuple((container, image) for container, image in release.images if container in named)
    return pod_template(key.name, replace(release, template={**template, "metadata": written}, images=images))


def lacking(kind: str, live: Mapping[str, Any], manifest: Mapping[str, Any]) -> tuple[str, ...]:
    """Containers that a manifest names and the live object has not: applying it would make them."""
    here, named = (mapping(KINDS[kind].template_of(raw).get("spec")) for raw in (live, manifest))
    return tuple(
        name
        for field in _FIELDS
        for name, _ in _images_in(named, (field,))
        if name not in dict(_images_in(here, (field,)))
    )


def given_up(kind: str, live: Mapping[str, Any], manifest: Mapping[str, Any]) -> dict[str, Any] | None:
    """What podpin owns of a workload and no longer names: the images of containers that are taken out of spec.images.

    To be applied by another manager, with what stands there now, before podpin leaves them out: the API server removes
    what nobody applies any more, and refuses a container without an image. None where there is nothing of the kind.
    """
    shape = KINDS[kind]
    here, named = (mapping(shape.template_of(raw).get("spec")) for raw in (live, manifest))
    left: dict[str, Any] = {}
    for field in _FIELDS:
        kept, ours = dict(_images_in(named, (field,))), set(_owned(shape.template, live, field))
        gone = [
            {"name": name, "image": image}
            for name, image in _images_in(here, (field,))
            if name in ours and name not in kept
        ]
        if gone:
            left[field] = gone
    if not left:
        return None
    metadata = mapping(live.get("metadata"))
    body = {"apiVersion": shape.api_version, "kind": kind, **shape.around({"spec": left})}
    return {**body, "metadata": {"name": metadata.get("name"), "uid": metadata.get("uid")}}


def _owned(path: Iterable[str], live: Mapping[str, Any], field: str) -> Iterator[str]:
    """The containers whose image podpin has applied."""
    for entry in map(mapping, array(mapping(live.get("metadata")).get("managedFields"))):
        if entry.get("manager") != names.FIELD_MANAGER or entry.get("operation") != "Apply":
            continue
        fields = mapping(entry.get("fieldsV1"))
        for step in (*path, "spec", field):
            fields = mapping(fields.get(f"f:{step}"))
        for item, owned in fields.items():
            if item.startswith("k:{") and "f:image" in mapping(owned):
                yield text(json.loads(item[2:]).get("name"))


def stuck(place: Place, seen: Observation, rejected: Container[str]) -> Pod | None:
    """The Pod to be deleted so that a StatefulSet can go on, or None.

    Its controller waits for a Pod that is not ready, also where the next revision would mend it
    (kubernetes/kubernetes#67250). So the last broken Pod of a rejected release goes, once the controller knows what is
    to come in its place, and no other Pod is on its way out.
    """
    workload = seen.workload
    if place.kind != "StatefulSet" or workload is None or workload.held:
        return None
    if workload.observed_generation < workload.generation:
        return None
    numbered = {
        int(ordinal): pod
        for pod in seen.pods
        if (ordinal := pod.name.removeprefix(f"{place.name}-")).isdecimal()
        and ordinal != pod.name
        and pod.owner == ""  # a controller makes it
    }
    if any(pod.deleting for pod in numbered.values()):
        return None
    broken = {
        ordinal: pod
        for ordinal, pod in numbered.items()
        if not pod.ready and pod.release != workload.release and pod.release in rejected
    }
    return broken[max(broken)] if broken else None


# --- what ran before


def is_unknown(spec: Spec, workload: Workload, records: Iterable[Record]) -> bool:
    """Whether a change of images would leave something that podpin could not bring back."""
    running = next((record for record in records if record.release == workload.release), None)
    pinned = {container for container, _ in running.images} if running else set()
    return not {image.container for image in spec.images} <= pinned


def selector_of(live: Mapping[str, Any]) -> str | None:
    """The workload's own selector, as the API server takes it in a query; None where it has none."""
    selector = mapping(mapping(live.get("spec")).get("selector"))
    terms = [f"{label}={value}" for label, value in mapping(selector.get("matchLabels")).items()]
    for one in map(mapping, array(selector.get("matchExpressions"))):
        key, values = text(one.get("key")), ",".join(map(str, array(one.get("values"))))
        told = {"In": f"{key} in ({values})", "NotIn": f"{key} notin ({values})", "Exists": key}
        terms.append(told.get(text(one.get("operator")), f"!{key}"))
    return ",".join(terms) or None


def what_ran(spec: Spec, workload: Workload, pods: Iterable[Mapping[str, Any]]) -> Release | None:
    """The release that a workload has run well until now, or None where its Pods don't tell it exactly.

    They do where all of them are there and available, and have the same digest of each container. The digest may be
    that of one platform's manifest where the image is an index: as exact, only narrower. One that the node knows from
    another repository is no answer: the images may be equal, but nothing says that this repository has it.
    """
    if not is_complete(workload) or workload.replicas == 0:
        return None
    there = [pod for pod in pods if not mapping(pod.get("metadata")).get("deletionTimestamp")]
    if len(there) != workload.replicas:
        return None
    written = dict(_images_in(mapping(workload.template.get("spec"))))
    pins = []
    for image in spec.images:
        exact = _exact(written.get(image.container, ""), {_image_id(pod, image.container) for pod in there})
        if exact is None:
            return None
        pins.append((image.container, exact))
    images = tuple(pins)
    # Its fingerprint is none: no spec has asked for it.
    return Release(id=id_of(images, spec.template), spec_hash="", images=images, template=spec.template)


def _exact(written: str, ids: set[str]) -> str | None:
    try:
        here = parse_reference(written)
        if here.digest is not None:
            return pin(here.repository, here.tag, here.digest)
        (run,) = map(parse_reference, ids)
        if run.digest is None or run.repository != here.repository:
            return None
        return pin(here.repository, here.tag, run.digest)
    except ValueError:  # no image's name, or not one for all
        return None


def _image_id(pod: Mapping[str, Any], container: str) -> str:
    status = mapping(pod.get("status"))
    statuses = (*array(status.get("containerStatuses")), *array(status.get("initContainerStatuses")))
    told = next((text(one.get("imageID")) for one in map(mapping, statuses) if one.get("name") == container), "")
    return told.rpartition("://")[2]  # docker-pullable://, as some runtimes have it


def _images_in(pod: Mapping[str, Any], fields: Iterable[str] = _FIELDS) -> Iterator[tuple[str, str]]:
    for field in fields:
        for container in map(mapping, array(pod.get(field))):
            yield text(container.get("name")), text(container.get("image"))
