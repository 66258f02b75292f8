"""What a webhook is about, and reading it out of a body that anybody may have written.

Nothing in a body is where it should be until it is found there: every step down names what it looks for, and what is
missing or of another type is NotUnderstood. Names are read by the same grammar as those in a spec, so nothing but a
repository's name ever comes out of a body.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qs

from podpin.core.reference import DOCKER_HUB, ReferenceInvalid, parse_reference

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_HUB_NAMES: Final = frozenset({"index.docker.io", "registry-1.docker.io", "registry.hub.docker.com", "hub.docker.com"})
_FORM: Final = "application/x-www-form-urlencoded"
_MOST_FIELDS: Final = 256


class NotUnderstood(ValueError):  # noqa: N818 -- it names the body's state, like podpin.errors
    """A body that is not what its source sends. Its text is a sentence that quotes nothing of the body."""


class Extent(Enum):
    """Which repositories a notice means by its path."""

    EXACT = auto()
    BELOW = auto()
    """It and all below it: the source knows of a project, not of its repositories."""
    BEHIND = auto()
    """It, and it behind any first part: the source knows the image, but not under which of its repositories."""


@dataclass(frozen=True, slots=True)
class Notice:
    """A repository that something was pushed to. `host` is in lowercase, and None where the source names none."""

    host: str | None
    path: str
    extent: Extent = Extent.EXACT


def named(name: object, extent: Extent = Extent.EXACT) -> Notice:
    """The repository that a whole image name is of, tag and digest aside. Raises NotUnderstood."""
    text = _text(name)
    try:
        reference = parse_reference(text.partition("://")[2] or text)
    except ReferenceInvalid:
        raise NotUnderstood("The repository that it names is none.") from None
    host = reference.host.lower()
    return Notice(DOCKER_HUB if host in _HUB_NAMES else host, reference.path, extent)


def placed(host: object, path: object, extent: Extent = Extent.EXACT) -> Notice:
    """The repository with this path at a registry, whose host may be unknown or no name. Raises NotUnderstood."""
    text = _text(path).strip("/")
    alone = named(f"unknown.invalid/{text}", extent)
    if isinstance(host, str) and host:
        try:
            there = named(f"{host}/{text}", extent)
        except NotUnderstood:
            return Notice(None, alone.path, extent)
        if there.host == host.lower() or host.lower() in _HUB_NAMES:
            return there
    return Notice(None, alone.path, extent)


def host_of(url: object) -> str | None:
    """The host, with its port, of a URL; None where it is no URL."""
    if not isinstance(url, str) or "://" not in url:
        return None
    return url.partition("://")[2].partition("/")[0] or None


def parse_json(body: bytes | str) -> Any:
    """The JSON in a body. Raises NotUnderstood."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        raise NotUnderstood("The body is not JSON.") from None


def parse_form(headers: Mapping[str, str], body: bytes) -> dict[str, list[str]] | None:
    """The fields of a form, or None where the body is no form. Raises NotUnderstood."""
    if not headers.get("content-type", "").lower().startswith(_FORM):
        return None
    try:
        return parse_qs(body.decode(), max_num_fields=_MOST_FIELDS)
    except ValueError:
        raise NotUnderstood("The body is not a form.") from None


def object_of(value: object) -> Mapping[str, Any]:
    """What must be a JSON object. Raises NotUnderstood."""
    if not isinstance(value, dict):
        raise NotUnderstood("The body is not the JSON object that this source sends.")
    return value


def objects_of(value: object) -> Iterator[Mapping[str, Any]]:
    """What must be a list of JSON objects. Raises NotUnderstood."""
    if not isinstance(value, list):
        raise NotUnderstood("The body lacks the list that this source sends.")
    for one in value:
        yield object_of(one)


def at(value: object, *names: str) -> Any:
    """What stands there, some objects down; None where there is nothing."""
    for name in names:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _text(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise NotUnderstood("The body does not say which repository it is about.")
    return value
