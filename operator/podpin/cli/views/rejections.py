"""Which of the rejected releases is the one that is wanted: what a retry would try, and what Ready speaks of.

It is the newest one with the images that the policy chooses now, and not simply the newest: whoever went back by
request from 1.4.1, when 1.4.2 had failed before, has rejected 1.4.1 last, and 1.4.2 is still what is wanted.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from podpin.core.reading import array, mapping, text


def wanted(raw: Mapping[str, Any]) -> Mapping[str, Any]:
    """The entry of status.rejected about the wanted release, or the newest entry where none can be told; else empty."""
    status = mapping(raw.get("status"))
    rejected = [mapping(one) for one in array(status.get("rejected"))]
    chosen = {text(one.get("container")): text(one.get("digest")) for one in map(mapping, array(status.get("images")))}
    fitting = [one for one in rejected if chosen and _digests(one) == chosen]
    return next(iter((*fitting, *rejected)), {})


def _digests(entry: Mapping[str, Any]) -> dict[str, str]:
    pins = map(mapping, array(entry.get("images")))
    return {text(pin.get("container")): text(pin.get("image")).rpartition("@")[2] for pin in pins}
