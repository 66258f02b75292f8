"""What a release is, how it gets its id, and how its record is written and read.

A release is what rolls out as one: the digests of all managed containers and the Pod template. Its id is a hash over
canonical JSON of what the user wrote plus the digests, never over API structs, whose defaults move with Kubernetes'
versions (fluxcd/flagger#1673 rolled everything out because of that). The tag is not part of it: a digest that gets a
second name is the same release, so promoting by re-tagging restarts nothing, and a rejected digest stays rejected
under any name.

Records are ControllerRevisions owned by the rollout. Their data (template and pins) never changes; the verdict stands
in annotations, so that all that deciding needs is in the metadata, and podpin never holds ten thousand templates in
memory.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final, Literal

from podpin.core import names, pinned_config
from podpin.core.pinned_config import Contents, Copy
from podpin.core.reference import parse_pin
from podpin.core.spec import Spec
from podpin.core.spec.images import ImageSpec
from podpin.core.times import read_time, write_time

Images = tuple[tuple[str, str], ...]
"""Pins by container, in the order of the spec."""

STABLE: Literal["Stable"] = "Stable"
REJECTED: Literal["Rejected"] = "Rejected"
NOTHING_PINNED: Final = Contents()
"""Of a rollout whose configuration is not pinned."""


def digest_of(value: object, length: int = 10) -> str:
    """A short hash, in hex, over canonical JSON: sorted keys, no blanks, UTF-8."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:length]


@dataclass(frozen=True, slots=True)
class Release:
    """One version of the application: exact images and the template they run in, as the user wrote it."""

    id: str
    spec_hash: str
    images: Images
    template: Mapping[str, Any]
    retried: str | None = None
    """The request by which it was last tried again: its Pods are made anew for it."""
    copies: tuple[Copy, ...] = ()
    """The copies of ConfigMaps and Secrets that the template names, where its configuration is pinned."""


def source_of(image: ImageSpec) -> str:
    """A fingerprint of where an image is chosen from: while it stays, an older choice is still a valid one."""
    policy, tags = image.selection
    # How long something must be healthy and how many candidates are tried say when, not what.
    chosen_by = [policy.model_dump(mode="json", exclude_none=True, exclude={"promote": {"healthy_for"}})]
    if tags is not None:
        chosen_by.append(tags.model_dump(mode="json", exclude_none=True, exclude={"limit"}))
    demands = [{"platforms": list(image.platforms)}] if image.platforms else []
    demands += [demand.model_dump(mode="json", exclude_none=True) for demand in image.verify]
    return digest_of([image.container, image.repository, *chosen_by, *demands])


def id_of(images: Images, template: Mapping[str, Any]) -> str:
    """The id of the release with these pins and this template."""
    exact = {}
    for container, pin in images:
        parsed = parse_pin(pin)
        exact[container] = f"{parsed.repository}@{parsed.digest}"
    return digest_of({"v": 1, "images": exact, "template": template})


def spec_hash_of(spec: Spec) -> str:
    """A fingerprint of what the user wrote, pins and the contents of ConfigMaps and Secrets apart."""
    wish = {"v": 1, "images": sorted(source_of(image) for image in spec.images), "template": spec.template}
    return digest_of({**wish, "pinConfig": True} if spec.pins_config else wish)


def release_of(spec: Spec, images: Images, contents: Contents = NOTHING_PINNED) -> Release:
    """The release that this spec asks for with these pins, and with what its configuration contains."""
    template = pinned_config.with_copies(spec.template, contents.copies) if contents.copies else spec.template
    return Release(
        id=id_of(images, template),
        spec_hash=spec_hash_of(spec),
        images=images,
        template=template,
        copies=contents.copies,
    )


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a release. `order` counts a rollout's verdicts: the newest is so by it, whatever clocks say."""

    result: Literal["Stable", "Rejected"]
    order: int
    reason: str
    message: str
    started: datetime
    at: datetime
    asked: str | None = None
    """The request by which a person brought it about, as `kind=value`; None where podpin did it by itself."""


@dataclass(frozen=True, slots=True)
class Record:
    """The metadata of a release record: all of it that deciding needs."""

    release: str
    spec_hash: str
    images: Images
    verdict: Verdict | None = None
    request: str | None = None
    created: datetime | None = None
    owner: str | None = None
    """The uid of the rollout that it belongs to; None for one that is not written yet, or has been orphaned."""
    runs: int = 0
    """Where podpin makes the Pods itself: the release with the highest number is to run; 0 for one that never was."""
    template: str = ""
    """There too: a hash of its template; empty where it is not known."""
    copies: tuple[Copy, ...] = ()
    """The copies of ConfigMaps and Secrets that its template names."""

    @property
    def is_stable(self) -> bool:
        """Proven once, and not rejected since."""
        return self.verdict is not None and self.verdict.result == STABLE

    @property
    def is_rejected(self) -> bool:
        """Tried and failed, and not to be tried again without a new cause."""
        return self.verdict is not None and self.verdict.result == REJECTED

    @property
    def retried(self) -> str | None:
        """The request by which it was last tried again, or None."""
        return (
            self.request if self.request is not None and self.request.partition(":")[2].startswith("retry=") else None
        )

    def judged(self, verdict: Verdict | None, request: str | None = None) -> Record:
        """The same record with another verdict, remembering the request that asked for it, if one did."""
        return replace(self, verdict=verdict, request=request or self.request)


def unjudged(release: Release) -> Record:
    """The record of a release that has no verdict, and is not written yet."""
    return Record(release=release.id, spec_hash=release.spec_hash, images=release.images, copies=release.copies)


def annotations_of(record: Record) -> dict[str, str | None]:
    """The annotations that hold a record's verdict; None where an annotation is to be absent."""
    verdict = record.verdict
    return {
        names.ANNOTATION_REQUEST: record.request,
        **({names.ANNOTATION_RUNS: str(record.runs)} if record.runs else {}),
        **({names.ANNOTATION_TEMPLATE: record.template} if record.template else {}),
        names.ANNOTATION_VERDICT: None
        if verdict is None
        else json.dumps(
            {
                "result": verdict.result,
                "order": verdict.order,
                "reason": verdict.reason,
                "message": verdict.message,
                "started": write_time(verdict.started),
                "at": write_time(verdict.at),
                **({"asked": verdict.asked} if verdict.asked else {}),
            },
            sort_keys=True,
        ),
    }


def record_manifest(
    rollout: str, namespace: str, owner: Mapping[str, Any], release: Release, record: Record
) -> dict[str, Any]:
    """The ControllerRevision that records a release."""
    annotations = {
        names.ANNOTATION_IMAGES: json.dumps(dict(record.images)),
        names.ANNOTATION_SPEC: record.spec_hash,
        **({names.ANNOTATION_CONFIG: pinned_config.written(record.copies)} if record.copies else {}),
        **annotations_of(record),
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "ControllerRevision",
        "metadata": {
            "name": names.record_name(rollout, release.id),
            "namespace": namespace,
            "labels": {
                names.LABEL_ROLLOUT: rollout,
                names.LABEL_RELEASE: release.id,
                names.LABEL_MANAGED_BY: names.FIELD_MANAGER,
            },
            "annotations": {key: value for key, value in annotations.items() if value is not None},
            "ownerReferences": [dict(owner)],
        },
        "revision": 1,
        "data": {"images": dict(release.images), "template": release.template},
    }


def record_of(metadata: Mapping[str, Any]) -> Record | None:
    """A record as read back from a ControllerRevision's metadata, or None where the object is none of podpin's."""
    release = (metadata.get("labels") or {}).get(names.LABEL_RELEASE)
    annotations = metadata.get("annotations") or {}
    try:
        images = json.loads(annotations[names.ANNOTATION_IMAGES])
        pins = tuple((str(container), str(parse_pin(pin))) for container, pin in images.items())
        raw = annotations.get(names.ANNOTATION_VERDICT)
        verdict = _verdict_of(json.loads(raw)) if raw else None
    except (KeyError, ValueError, AttributeError, TypeError, OverflowError):
        return None
    if not release:
        return None
    return Record(
        release=str(release),
        spec_hash=annotations.get(names.ANNOTATION_SPEC, ""),
        images=pins,
        verdict=verdict,
        request=annotations.get(names.ANNOTATION_REQUEST),
        created=read_time(metadata.get("creationTimestamp")),
        runs=_number(annotations.get(names.ANNOTATION_RUNS)),
        template=annotations.get(names.ANNOTATION_TEMPLATE, ""),
        copies=pinned_config.read(annotations.get(names.ANNOTATION_CONFIG)),
        owner=next(
            (str(owner.get("uid")) for owner in metadata.get("ownerReferences") or () if owner.get("controller")), None
        ),
    )


def _number(text: object) -> int:
    return int(text) if isinstance(text, str) and re.fullmatch("[1-9][0-9]{0,15}", text, re.ASCII) else 0


def _verdict_of(raw: Mapping[str, Any]) -> Verdict:
    started, at = read_time(raw.get("started")), read_time(raw["at"])
    if at is None or raw["result"] not in (STABLE, REJECTED):
        raise ValueError("a verdict without a time or a known result")
    return Verdict(
        result=raw["result"],
        order=int(raw["order"]),
        reason=str(raw.get("reason", "")),
        message=str(raw.get("message", "")),
        started=started or at,
        at=at,
        asked=str(raw["asked"]) if raw.get("asked") else None,
    )


def release_from_record(metadata: Mapping[str, Any], data: Mapping[str, Any]) -> Release | None:
    """A release as read back whole from its record, or None where the record cannot be read."""
    record = record_of(metadata)
    template = data.get("template")
    if record is None or not isinstance(template, Mapping):
        return None
    return Release(record.release, record.spec_hash, record.images, template, record.retried, record.copies)


def short(digest: str) -> str:
    """A digest as people read it: twelve digits."""
    return f"{digest.partition(':')[2][:12]}"


def image_text(image: str) -> str:
    """One pin as people read it: `web:1.4.2`, or the digest's first digits where it has no tag."""
    pin = parse_pin(image)
    name = pin.repository.rsplit("/", 1)[-1]
    return f"{name}:{pin.tag}" if pin.tag else f"{name}@{short(pin.digest)}"


def images_text(images: Images) -> str:
    """Pins as people read them: `web:1.4.2@0123456789ab`, each behind its container's name where there are several."""
    told = []
    for container, image in images:
        pin = parse_pin(image)
        name = pin.repository.rsplit("/", 1)[-1]
        exact = f"{name}{':' + pin.tag if pin.tag else ''}@{short(pin.digest)}"
        told.append(exact if len(images) == 1 else f"{container} {exact}")
    return ", ".join(told)
