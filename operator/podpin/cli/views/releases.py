"""The releases of a rollout as people name them: by id, by the first digits of one, by a tag, or by what it is.

The records have all of them. Where these may not be read, status has the newest, which is enough for most questions.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from podpin.core.names import KIND
from podpin.core.reading import array, mapping, text
from podpin.core.reference import ReferenceInvalid, parse_pin
from podpin.core.release import STABLE, Images, images_text, record_of, release_of
from podpin.core.spec import SpecInvalid, parse_spec
from podpin.core.status import PinnedImage, Status

SHORTEST: Final = 3
"""How many digits of an id must be given."""


@dataclass(frozen=True, slots=True)
class Known:
    """A release that is known."""

    release: str
    images: Images
    result: str | None = None
    """Stable, Rejected, Superseded, or None while it has no verdict."""
    reason: str = ""
    message: str = ""
    order: int = 0
    """By it, the newest verdict is known."""

    @property
    def tags(self) -> set[str]:
        """The tags of its images."""
        found = set()
        for _, image in self.images:
            try:
                found.add(parse_pin(image).tag or "")
            except ReferenceInvalid:
                continue
        return found - {""}


def pins_text(pins: Iterable[PinnedImage]) -> str:
    """The images of a release in status, as people read them: `web:1.4.2@0123456789ab`."""
    return images_text(tuple((pin.container, pin.image) for pin in pins))


def from_records(raws: Iterable[Mapping[str, Any]], uid: str) -> list[Known]:
    """The releases on record that belong to the rollout with this uid, newest verdict first, before them the unjudged.

    A StatefulSet's own revisions carry podpin's labels too, and are passed over.
    """
    found = []
    for raw in raws:
        metadata = mapping(raw.get("metadata"))
        owners = [one for one in map(mapping, array(metadata.get("ownerReferences"))) if one.get("controller")]
        if any(one.get("kind") != KIND or text(one.get("uid")) != uid for one in owners):
            continue
        record = record_of(metadata)
        if record is None:
            continue
        verdict = record.verdict
        if verdict is None:
            found.append(Known(record.release, record.images, order=1 << 62))
        else:
            told = (verdict.result, verdict.reason, verdict.message, verdict.order)
            found.append(Known(record.release, record.images, *told))
    return sorted(found, key=lambda one: (-one.order, one.release))


def from_status(status: Status) -> list[Known]:
    """The releases that status speaks of, newest first."""
    found: dict[str, Known] = {}

    def put(release: str, images: tuple[PinnedImage, ...], *told: str | None) -> None:
        result, reason, message = told
        pins = tuple((pin.container, pin.image) for pin in images)
        order = 1000 - len(found)
        found.setdefault(release, Known(release, pins, result, reason or "", message or "", order))

    if status.candidate is not None:
        put(status.candidate.release, status.candidate.images, None, "", "")
    if status.waiting is not None:
        put(status.waiting.release, status.waiting.images, None, "", "")
    rejected = {one.release: one for one in status.rejected}
    if status.stable is not None:
        put(status.stable.release, status.stable.images, STABLE, "", "")
    for one in rejected.values():
        put(one.release, one.images, "Rejected", one.reason, one.message)
    for entry in status.history:
        put(entry.release, entry.images, entry.result, entry.reason, entry.message)
    return list(found.values())


def asked_for(raw: Mapping[str, Any], one: Known) -> Mapping[str, Any] | None:
    """The template of a release that has not begun, if it is the one which the spec asks for now; else None.

    Where the configuration is pinned it is none: the names of the copies are not known here.
    """
    try:
        spec = parse_spec(mapping(raw.get("spec")))
    except SpecInvalid:
        return None
    release = release_of(spec, one.images)
    return release.template if release.id == one.release else None


def running(status: Status) -> str | None:
    """The release that is judged, or else the one that runs: what `previous` is counted from."""
    if status.candidate is not None:
        return status.candidate.release
    failed = {one.release for one in status.rejected}
    ready = next((one for one in status.conditions if one.type == "Ready"), None)
    if status.workload is not None and status.workload.release in failed:
        return status.workload.release
    if failed and ready is not None and ready.reason == "Rejected":
        return status.rejected[0].release  # it failed, and is left as it is
    return status.stable.release if status.stable is not None else None


def previous(known: Sequence[Known], status: Status) -> Known | None:
    """The release that `previous` means: the newest stable one that is not the one which runs."""
    proven = [one for one in known if one.result == STABLE and one.release != running(status)]
    return max(proven, key=lambda one: one.order, default=None)


def named(words: str, known: Sequence[Known], status: Status) -> Known | str:
    """The one release that somebody means, or a sentence about why that is none or not only one."""
    special = {
        "stable": status.stable.release if status.stable else None,
        "candidate": status.candidate.release if status.candidate else None,
        "waiting": status.waiting.release if status.waiting else None,
    }
    if words == "previous":
        return previous(known, status) or "there is no stable release before the one that runs"
    if words in special:
        found = [one for one in known if one.release == special[words]]
        return found[0] if found else f"there is no release that is {words}"
    exact = [one for one in known if one.release == words]
    begun = [one for one in known if len(words) >= SHORTEST and one.release.startswith(words)]
    tagged = [one for one in known if words in one.tags]
    for some in (exact, begun, tagged):
        if len(some) == 1:
            return some[0]
        if some:
            return f"{words!r} is more than one release: {', '.join(one.release for one in some)}"
    there = ", ".join(one.release for one in known) or "none"
    return f"{words!r} is no release that is known here: {there}"
