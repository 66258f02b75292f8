"""Other rollouts that must run what they want, healthily, before a new release of this one begins.

A dependency counts as met while its condition Ready, said of its newest spec, is True because its wanted release is
stable. One that is missing, suspended, paused, held back, rolled back or ill is waited for. The sentences do not say
which of these it is: what goes on there is told there, and would be told here at each step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

MET: Final = frozenset({"RolledOut", "ScaledToZero"})
"""The reasons of Ready with which a rollout runs what it wants."""
MOST_FOLLOWED: Final = 64
"""How many rollouts are followed from one to the next in search of a circle."""

Body = Mapping[str, Any] | None
"""An ImageRollout as it is stored; None where there is none."""


def awaited(name: str, wanted: Iterable[str], find: Callable[[str], Body]) -> str | None:
    """What the rollout `name` waits for of those that it depends on, in a sentence; None where all is met.

    `find` finds rollouts of the same namespace by their names.
    """
    wanted = tuple(wanted)
    if circle := circle_of(name, find):
        return circle
    for one in wanted:
        body = find(one)
        if body is None:
            return f"it waits for the ImageRollout {one}, which is not there"
        if not _is_met(body):
            return f"it waits for the ImageRollout {one}, which does not run its wanted release healthily yet"
    return None


def _is_met(body: Mapping[str, Any]) -> bool:
    metadata, status = body["metadata"], body.get("status") or {}
    ready: Mapping[str, Any] = next((one for one in status.get("conditions") or () if one.get("type") == "Ready"), {})
    current: bool = status.get("observedGeneration") == metadata.get("generation")
    return current and ready.get("status") == "True" and ready.get("reason") in MET


def circle_of(name: str, find: Callable[[str], Body]) -> str | None:
    """That the rollout `name` waits for itself in the end, in a sentence; None where it does not."""
    circle = _circle(name, find)
    told = ", which waits for ".join((*circle, name)) if circle else ""
    return f"spec.dependsOn leads in a circle: {told}: take one of them out" if circle else None


def _circle(name: str, find: Callable[[str], Body]) -> tuple[str, ...] | None:
    """The way from a rollout over its dependencies back to itself, or None."""
    ways: list[tuple[str, ...]] = [(name,)]
    known = {name}
    while ways:
        way = ways.pop()
        for one in _wanted(find(way[-1])):
            if one == name:
                return way
            if one not in known and len(known) < MOST_FOLLOWED:
                known.add(one)
                ways.append((*way, one))
    return None


def _wanted(body: Body) -> list[str]:
    entries = ((body or {}).get("spec") or {}).get("dependsOn") or ()
    return [str(entry.get("name")) for entry in entries if isinstance(entry, Mapping)]
