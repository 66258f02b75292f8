"""GitLab: the notifications of its registry, and the webhooks of a project.

Only who runs GitLab can have its registry notify somebody. Everybody else has the hooks of a project, and they know of
jobs and pipelines, not of images: one that succeeds may have pushed to any repository of the project.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from podpin.core.hooks.notice import Extent, Notice, at, object_of, parse_json, placed
from podpin.core.hooks.registries import pushes

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


def gitlab(_: Mapping[str, str], body: bytes) -> Iterator[Notice]:
    """Pushes of the registry; of a project's hooks, jobs and pipelines that succeeded."""
    event = object_of(parse_json(body))
    if "events" in event:
        yield from pushes(event)
        return
    ended = {"pipeline": at(event, "object_attributes", "status"), "build": event.get("build_status")}
    kind = event.get("object_kind")
    if isinstance(kind, str) and ended.get(kind) == "success":
        path = at(event, "project", "path_with_namespace")
        yield placed(None, path.lower() if isinstance(path, str) else None, Extent.BELOW)
