"""What podpin says about a rollout: the `status` of an ImageRollout.

Status is a view, not the record: what must not be lost stands in the releases' ControllerRevisions. So reading it is
total, and what cannot be read counts as absent: `parse_status` drops the part in question and raises nothing. Writing
and reading again gives the same value (`parse_status(render_status(s)) == s`), so that deciding twice on one world
writes nothing the second time; for this, times are cut when the models are made: to the second, as the API
conventions have it, or to the microsecond where podpin measures from them.

Lists are newest first, and bounded.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, AwareDatetime, Field, PlainSerializer, ValidationError

from podpin.core.schema import Cut, Keyed, Part

MAX_CONDITIONS: Final = 16
MAX_IMAGES: Final = 32
MAX_REJECTED: Final = 20
MAX_HISTORY: Final = 20
MAX_REFUSED: Final = 8
MAX_UNFIT: Final = 8
MAX_PLATFORMS: Final = 32


def _to_utc(at: datetime) -> datetime:
    try:
        return at.astimezone(UTC)
    except OverflowError:
        raise ValueError("a time beyond the calendar") from None


def _to_second(at: datetime) -> datetime:
    return _to_utc(at).replace(microsecond=0)


def _rfc3339(at: datetime) -> str:
    return at.isoformat().replace("+00:00", "Z")


Time = Annotated[AwareDatetime, AfterValidator(_to_second), PlainSerializer(_rfc3339)]
MicroTime = Annotated[AwareDatetime, AfterValidator(_to_utc), PlainSerializer(_rfc3339)]
Message = Annotated[str, Cut(1024)]
Asked = Annotated[str, Cut(256)]
Release = Annotated[str, Field(max_length=63)]


class Condition(Part):
    """One aspect of the rollout's state, as the API conventions have it."""

    type: Annotated[str, Field(max_length=316)]
    """Which aspect: Ready, Reconciling, Stalled, Resolved."""
    status: Literal["True", "False", "Unknown"]
    """Whether it holds."""
    reason: Annotated[str, Field(max_length=1024)]
    """Why, in one word for machines."""
    message: Annotated[str, Cut(32768)] = ""
    """Why, in a sentence."""
    last_transition_time: Time
    """When the status last changed."""
    observed_generation: int | None = None
    """The generation of the spec that this was said of."""


class ImageStatus(Part):
    """The version chosen for one container; not necessarily the one that runs."""

    container: Annotated[str, Field(max_length=63)]
    """The container."""
    repository: Annotated[str, Field(max_length=255)]
    """The repository that was looked at."""
    tag: Annotated[str, Field(max_length=128)] | None = None
    """The tag chosen by the policy; none where the spec names a digest."""
    digest: Annotated[str, Field(max_length=256)]
    """What the tag names: the digest of the image index, or of the manifest where there is no index."""
    resolved_at: Time
    """When the tag was first seen to name this digest."""
    source: Annotated[str, Field(max_length=64)]
    """A fingerprint of the part of the spec that this was chosen for."""
    size_bytes: int | None = None
    """Bytes to pull in all, for one platform."""
    new_bytes: int | None = None
    """How many of them are to be pulled where the stable release is there already: layers are shared."""
    platforms: Annotated[tuple[Annotated[str, Field(max_length=100)], ...], Cut(MAX_PLATFORMS)] | None = None
    """The platforms for which it is there."""
    created: Time | None = None
    """When it was built, by the word of its publisher."""
    base: Annotated[str, Field(max_length=512)] | None = None
    """The image that it was built on, where it says so."""


class PinnedImage(Part):
    """One container's image in a release."""

    container: Annotated[str, Field(max_length=63)]
    """The container."""
    image: Annotated[str, Field(max_length=1024)]
    """Its exact image, as repository:tag@digest."""


Pins = Annotated[tuple[PinnedImage, ...], Field(max_length=MAX_IMAGES), Keyed("container")]


class ReleaseStatus(Part):
    """A release that proved healthy."""

    release: Release
    """The release's id."""
    images: Pins
    """Its images."""
    since: Time
    """Since when it has counted as stable."""


class CanaryStatus(Part):
    """How far the canary has come."""

    step: int
    """Which step it takes, from 1."""
    of: int
    """How many steps there are."""
    replicas: int
    """How many Pods it has in this step."""
    since: MicroTime
    """When the step began."""


class CandidateStatus(Part):
    """The release that is being tried."""

    release: Release
    """The release's id."""
    images: Pins
    """Its images."""
    started_at: MicroTime
    """When it was first rolled out."""
    clock_from: MicroTime
    """From when its progress deadline is counted: its last progress."""
    paused_since: MicroTime | None = None
    """Since when that clock has stood still, because the cause lies in the cluster and not in the release."""
    unfit: Annotated[tuple[Annotated[str, Field(max_length=63)], ...], Cut(MAX_UNFIT)] | None = None
    """The checks that did not pass with the stable release either, before this one was started."""
    canary: CanaryStatus | None = None
    """Its canary, while it is tried beside the stable release."""


class RejectedStatus(Part):
    """A release that failed. It is not tried again until somebody asks for it."""

    release: Release
    """The release's id."""
    images: Pins
    """Its images."""
    reason: Annotated[str, Field(max_length=256)]
    """Why it failed, in one word."""
    message: Message = ""
    """Why it failed, in a sentence."""
    at: Time
    """When it was rejected."""


class HistoryEntry(Part):
    """A release whose trial is over."""

    release: Release
    """The release's id."""
    images: Pins
    """Its images."""
    result: Literal["Stable", "Rejected", "Superseded"]
    """How the trial ended: the release proved healthy, failed, or gave way to a newer one before either was known."""
    reason: Annotated[str, Field(max_length=256)] | None = None
    """Why, in one word."""
    message: Message | None = None
    """Why, in a sentence."""
    asked: Asked | None = None
    """The request by which a person brought it about, such as retry=…; absent where podpin did it by itself."""
    started_at: Time
    """When it was first rolled out."""
    ended_at: Time
    """When its trial ended."""


class WorkloadStatus(Part):
    """The workload as podpin last wrote it."""

    name: Annotated[str, Field(max_length=253)]
    """The workload's name."""
    uid: Annotated[str, Field(max_length=64)]
    """The workload's UID: another object of that name is not podpin's."""
    generation: int
    """The workload's generation after podpin's last write."""
    intent: Annotated[str, Field(max_length=64)]
    """A hash of what podpin last wrote."""
    release: Release | None = None
    """The release that podpin last gave it."""


class RequestsStatus(Part):
    """The last value of each request annotation that podpin has handled."""

    reconcile: Annotated[str, Field(max_length=262144)] | None = None
    """Of podpin.dev/reconcile."""
    retry: Annotated[str, Field(max_length=262144)] | None = None
    """Of podpin.dev/retry."""
    rollback_to: Annotated[str, Field(max_length=262144)] | None = None
    """Of podpin.dev/rollback-to."""
    approve: Annotated[str, Field(max_length=262144)] | None = None
    """Of podpin.dev/approve."""
    obeyed: int = 0
    """How many retries and rollbacks have been obeyed in all: it tells a request made again from one made once."""


class RefusedStatus(Part):
    """A workload that the API server refused: it is not sent again until something about it changes."""

    intents: Annotated[tuple[Annotated[str, Field(max_length=64)], ...], Cut(MAX_REFUSED)]
    """Hashes of what was refused, newest first."""
    message: Message
    """The API server's own words about the newest."""


class RunningStatus(Part):
    """What runs, not what is wished, in the few words that a line of kubectl get has room for."""

    image: Annotated[str, Field(max_length=384)]
    """The first container's image without its registry, as in web:1.4.2."""
    digest: Annotated[str, Field(max_length=12)]
    """The first twelve digits of its digest."""
    ready: Annotated[str, Field(max_length=24)] | None = None
    """How many of the wanted Pods are ready, as in 3/3."""
    trying: Annotated[str, Field(max_length=384)] | None = None
    """The image of the release that is being tried, while the stable one serves."""


class WaitingStatus(Part):
    """A release that is wanted and may not begin yet."""

    release: Release
    """The release's id, as the annotation podpin.dev/approve names it."""
    images: Pins
    """Its images."""
    reason: Annotated[str, Field(max_length=256)]
    """What holds it back, in one word."""
    until: Time | None = None
    """Until when, where that is known."""


class Status(Part):
    """What podpin knows and says about the rollout."""

    observed_generation: int | None = None
    """The generation of the spec that this status answers."""
    conditions: Annotated[tuple[Condition, ...], Field(max_length=MAX_CONDITIONS), Keyed("type")] = ()
    """Ready says whether the wanted version runs and is healthy, and its reason what else is the case. Reconciling and
    Stalled are there only while true. Resolved says whether the registry gave a version, and
    Verified, where the spec has verify, whether it is signed as it should be. StableLost warns, while true, that the
    registry no longer has the stable release's image."""
    running: RunningStatus | None = None
    """What runs, for kubectl get."""
    images: Annotated[tuple[ImageStatus, ...], Field(max_length=MAX_IMAGES), Keyed("container")] = ()
    """The version chosen for each container."""
    stable: ReleaseStatus | None = None
    """The newest release that proved healthy: what a failed one gives way to."""
    waiting: WaitingStatus | None = None
    """The release that is wanted and may not begin yet, if there is one."""
    candidate: CandidateStatus | None = None
    """The release that is being tried, if one is."""
    rejected: Annotated[tuple[RejectedStatus, ...], Cut(MAX_REJECTED)] = ()
    """Releases that failed, newest first."""
    history: Annotated[tuple[HistoryEntry, ...], Cut(MAX_HISTORY)] = ()
    """Releases whose trial is over, newest first."""
    workload: WorkloadStatus | None = None
    """The workload as podpin last wrote it."""
    replicas: int | None = None
    """How many Pods there are."""
    ready_replicas: int | None = None
    """How many of them are ready."""
    selector: Annotated[str, Field(max_length=4096)] | None = None
    """The label selector of the Pods, for autoscalers."""
    requests: RequestsStatus | None = None
    """The requests by annotation that have been handled."""
    refused: RefusedStatus | None = None
    """What the API server refused last, as long as it is still wanted."""


def parse_status(raw: object) -> Status:
    """The status as it was stored. What cannot be read is dropped: an entry of a list alone, any other part whole."""
    parts = dict(raw) if isinstance(raw, Mapping) else {}
    while True:
        try:
            return Status.model_validate(parts, by_alias=True, by_name=False)
        except ValidationError as error:
            for field, bad in _unreadable(error).items():
                entries = parts.pop(field)
                if bad:
                    parts[field] = [entry for at, entry in enumerate(entries) if at not in bad]


def _unreadable(error: ValidationError) -> dict[str, set[int]]:
    """The fields with which something is wrong, and which entries of those that are lists; none means all of it."""
    found: dict[str, set[int]] = {}
    whole: set[str] = set()
    for details in error.errors(include_url=False, include_input=False, include_context=False):
        match details["loc"]:
            case (str(field), int(at), *_):
                found.setdefault(field, set()).add(at)
            case (str(field), *_):
                found.setdefault(field, set())
                whole.add(field)
    return {field: set() if field in whole else entries for field, entries in found.items()}


def render_status(status: Status) -> dict[str, Any]:
    """The status as it is stored: JSON in camelCase, without what is None or an empty list."""
    body = status.model_dump(mode="json", by_alias=True, exclude_none=True)
    return {field: value for field, value in body.items() if value != []}
