"""Has somebody changed what podpin applied? The comparison of a manifest with the object that came of it.

The object holds more than the manifest, for it has defaults and other people's fields; those do not count. Nor do
spellings that the API server rewrites: quantities, empty values, numbers that are written as text.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any, Final

from podpin.core.observation import Observation, Pod
from podpin.core.release import Record

_QUANTITY: Final = re.compile(
    r"([+-]?[0-9]+(?:\.[0-9]*)?|[+-]?\.[0-9]+)(n|u|m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei|[eE][+-]?[0-9]{1,3})?", re.ASCII
)
_SCALE: Final = {
    **{
        suffix: Decimal(10) ** power
        for suffix, power in (
            ("n", -9),
            ("u", -6),
            ("m", -3),
            ("k", 3),
            ("M", 6),
            ("G", 9),
            ("T", 12),
            ("P", 15),
            ("E", 18),
        )
    },
    **{
        suffix: Decimal(2) ** power
        for suffix, power in (("Ki", 10), ("Mi", 20), ("Gi", 30), ("Ti", 40), ("Pi", 50), ("Ei", 60))
    },
}
_KEYS: Final = ("name", "mountPath", "containerPort", "devicePath", "ip", "topologyKey", "key", "uid")
"""What tells the entries of a list apart, where they are objects."""
_QUANTITIES: Final = ("requests", "limits", "overhead", "sizeLimit", "divisor")
"""The fields whose values are quantities. Elsewhere `1.10` and `1.1` are two versions."""


def differs(wanted: Mapping[str, Any], live: Mapping[str, Any]) -> bool:
    """Whether a field that the manifest names is another in the live object."""
    return not _within(wanted, live)


def unaltered(seen: Observation, records: Mapping[str, Record]) -> Observation:
    """The same world without the Pods that carry a release's label and somebody else's images: they tell nothing of it.

    Where a workload is as podpin applied it, and all of its Pods have other images, an admission webhook will have
    rewritten them: then they are the release's.
    """
    workload = seen.workload
    if workload is None:
        return seen
    apart = workload.drifted or workload.observed_generation < workload.generation or workload.updated == 0
    kinds = {(pod.release, pod.images): pod for pod in seen.pods}  # a few, however many Pods there are
    altered = {kind for kind, pod in kinds.items() if is_altered(pod, records.get(pod.release))}
    true = {release for release, images in kinds if (release, images) not in altered}
    gone = {(release, images) for release, images in altered if apart or release in true}
    if not gone:
        return seen
    return replace(seen, pods=tuple(pod for pod in seen.pods if (pod.release, pod.images) not in gone))


def is_altered(pod: Pod, record: Record | None) -> bool:
    """Whether an image of the Pod is not the one that its release has for that container."""
    pins = dict(record.images) if record else {}
    return any(pins.get(container, image) != image for container, image in pod.images)


def _within(wanted: Any, live: Any, *, quantity: bool = False) -> bool:
    if wanted is None:
        return True  # a null leaves the field to the defaults
    if isinstance(wanted, Mapping):
        if not isinstance(live, Mapping):
            return not wanted and live is None
        return all(
            _within(value, live.get(field), quantity=quantity or field in _QUANTITIES)
            for field, value in wanted.items()
        )
    if isinstance(wanted, Sequence) and not isinstance(wanted, str):
        if not isinstance(live, Sequence) or isinstance(live, str):
            return not wanted and live is None
        return _lists(wanted, live)
    return wanted == live or (wanted in ("", 0, False) and live is None) or (quantity and _same_quantity(wanted, live))


def _lists(wanted: Sequence[Any], live: Sequence[Any]) -> bool:
    key = next(
        (
            key
            for key in _KEYS
            if wanted and all(isinstance(entry, Mapping) and key in entry for entry in (*wanted, *live))
        ),
        None,
    )
    if key is None:
        return len(wanted) == len(live) and all(
            _within(entry, other) for entry, other in zip(wanted, live, strict=True)
        )
    # More than one entry may have the same key, such as a port with two protocols.
    return all(any(entry[key] == other[key] and _within(entry, other) for other in live) for entry in wanted)


def _same_quantity(wanted: Any, live: Any) -> bool:
    if isinstance(wanted, bool) or isinstance(live, bool):
        return False
    one, other = _quantity(wanted), _quantity(live)
    return one is not None and one == other


def _quantity(value: Any) -> Decimal | None:
    matched = _QUANTITY.fullmatch(str(value)) if isinstance(value, str | int | float) else None
    if matched is None:
        return None
    number, suffix = Decimal(matched[1]), matched[2] or ""
    return number * (_SCALE[suffix] if suffix in _SCALE else Decimal(f"1{suffix}") if suffix else Decimal(1))
