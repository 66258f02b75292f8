"""The rows of `podpin get`: one line for each rollout, what comes next in a column of its own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from rich.text import Text

from podpin.cli.views.ages import age
from podpin.cli.views.marks import Mark, condition, mark_of
from podpin.cli.views.rejections import wanted
from podpin.core.reading import array, mapping, text

Cell = Text | str


def heads(*, everywhere: bool, wide: bool) -> list[str]:
    """The columns."""
    place = ["  NAMESPACE", "NAME"] if everywhere else ["  NAME"]
    return [*place, "IMAGE", "DIGEST", "REASON", "PODS", "NEXT", "AGE", *(["MESSAGE"] if wide else [])]


def rows(raws: Iterable[Mapping[str, Any]], now: datetime, *, everywhere: bool, wide: bool) -> list[list[Cell]]:
    """A row for each rollout."""
    return [_row(raw, now, everywhere=everywhere, wide=wide) for raw in raws]


def _row(raw: Mapping[str, Any], now: datetime, *, everywhere: bool, wide: bool) -> list[Cell]:
    metadata, ready, mark = mapping(raw.get("metadata")), condition(raw, "Ready"), mark_of(raw)
    running = mapping(mapping(raw.get("status")).get("running"))
    name = text(metadata.get("name"))
    place: list[Cell] = [mark.before(text(metadata.get("namespace"))), name] if everywhere else [mark.before(name)]
    row = [
        *place,
        text(running.get("image")),
        Text(text(running.get("digest")), style="dim"),
        Text(text(ready.get("reason")), style=mark.style),
        text(running.get("ready")),
        following(raw),
        age(metadata.get("creationTimestamp"), now),
    ]
    return [*row, text(ready.get("message"))] if wide else row


def following(raw: Mapping[str, Any]) -> Text:
    """What comes next, or would if it had not failed."""
    status = mapping(raw.get("status"))
    candidate, waiting, stable = (mapping(status.get(part)) for part in ("candidate", "waiting", "stable"))
    if candidate and candidate.get("release") != stable.get("release"):
        return Mark.MOVING.before(f"{first_image(candidate)} is tried")
    if waiting:
        until = text(waiting.get("until"))
        return Mark.WAITING.before(f"{first_image(waiting)} waits" + (f" until {until}" if until else ""))
    if condition(raw, "Ready").get("reason") in ("RolledBack", "RollingBack", "Rejected"):
        rejected = wanted(raw)
        if rejected:
            return Mark.BAD.before(f"{first_image(rejected)} failed: {text(rejected.get('reason'))}")
    return Text()


def first_image(release: Mapping[str, Any]) -> str:
    """A release's first image as people say it: without registry, path and digest, as in `web:1.4.2`."""
    pinned = text(mapping(next(iter(array(release.get("images"))), None)).get("image"))
    name, _, digest = pinned.rpartition("/")[2].partition("@")
    return name if ":" in name else f"{name}@{digest.partition(':')[2][:12]}"
