"""What must hold of an ImageRollout as a whole: between its name and its spec, which no one model sees."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from podpin.core.schema import Rule

MAX_NAME: Final = 63


def _awaits_itself(body: Mapping[str, Any]) -> bool:
    return any(one["name"] == body["metadata"]["name"] for one in body["spec"].get("dependsOn") or ())


WHOLE: Final[tuple[Rule, ...]] = (
    Rule(
        f"self.metadata.name.size() <= {MAX_NAME}",
        f"metadata.name must have at most {MAX_NAME} characters: it becomes a label of the Pods",
        lambda body: len(body["metadata"]["name"]) <= MAX_NAME,
    ),
    Rule(
        "!has(self.spec.dependsOn) || self.spec.dependsOn.all(one, one.name != self.metadata.name)",
        "spec.dependsOn names the rollout itself, which would wait for ever: take that out",
        lambda body: not _awaits_itself(body),
    ),
)
"""In Python they are asked of a manifest that has a name, and a spec that its model has let pass."""
