"""CloudEvents, from whoever sends them, and the plain notice of a script or a pipeline."""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from podpin.core.hooks import registries
from podpin.core.hooks.notice import (
    Notice,
    NotUnderstood,
    at,
    host_of,
    named,
    object_of,
    objects_of,
    parse_form,
    parse_json,
    placed,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping


class Event(NamedTuple):
    """A CloudEvent, as far as it matters here: specification 1.0, JSON event format and HTTP binding."""

    type: str
    source: object
    subject: object
    data: Any


def plain(headers: Mapping[str, str], body: bytes) -> Iterator[Notice]:
    """`{"repository": "registry.example.com/shop/web"}`, or the same as a field of a form."""
    form = parse_form(headers, body)
    if form is None:
        yield named(object_of(parse_json(body)).get("repository"))
        return
    yield from map(named, form.get("repository", [""]))


def zot(headers: Mapping[str, str], body: bytes) -> Iterator[Notice]:
    """zot's events, of which `image.updated`, behind a prefix of the administrator's, is a push."""
    for event in _events(headers, body):
        yield from _zot(event)


def cloudevents(headers: Mapping[str, str], body: bytes) -> Iterator[Notice]:
    """Events of any kind: those that are known by their type, and others that name a repository."""
    for event in _events(headers, body):
        for start, read in _KNOWN.items():
            if event.type.startswith(start):
                yield from read(event)
                break
        else:
            yield from _zot(event) if event.type.endswith(_ZOT_PUSH) else _any(event)


_ZOT_PUSH: Final = ".image.updated"


def _zot(event: Event) -> Iterator[Notice]:
    reference = at(event.data, "reference")
    is_digest = isinstance(reference, str) and ":" in reference
    if event.type.endswith(_ZOT_PUSH) and not is_digest:
        yield placed(host_of(event.source), at(event.data, "name"))


def _harbor(event: Event) -> Iterator[Notice]:
    return registries.harbor_resources(object_of(event.data)) if event.type == "harbor.artifact.pushed" else iter(())


def _azure(event: Event) -> Iterator[Notice]:
    pushed = event.type.endswith(".ImagePushed")
    return registries.pushes({"events": [event.data]}) if pushed else iter(())


def _amazon(event: Event) -> Iterator[Notice]:
    """What an input transformer of EventBridge makes of ECR's event; `source` is then the repository's ARN."""
    parts = event.source.split(":") if isinstance(event.source, str) else []
    region, account = (parts[3], parts[4]) if len(parts) > 4 else (None, None)
    name = at(event.data, "repositoryName") or at(event.data, "repository-name")
    if event.type.endswith((".push", ".pushed")):
        yield placed(registries.ecr_host(account, region), name)


def _google(event: Event) -> Iterator[Notice]:
    return registries.pubsub(object_of(event.data))


def _any(event: Event) -> Iterator[Notice]:
    yield named(at(event.data, "repository") or at(event.data, "image") or event.subject)


_KNOWN: Final[Mapping[str, Callable[[Event], Iterator[Notice]]]] = {
    "zotregistry.": _zot,
    "harbor.": _harbor,
    "Microsoft.ContainerRegistry.": _azure,
    "com.amazon.ecr.": _amazon,
    "google.cloud.pubsub.": _google,
}
"""By how their type begins."""


def _events(headers: Mapping[str, str], body: bytes) -> Iterator[Event]:
    if "ce-type" in headers:
        yield Event(headers["ce-type"], headers.get("ce-source"), headers.get("ce-subject"), parse_json(body))
        return
    content = parse_json(body)
    for event in objects_of(content) if isinstance(content, list) else [object_of(content)]:
        kind = event.get("type")
        if not isinstance(kind, str) or "specversion" not in event:
            raise NotUnderstood("The body is not a CloudEvent.")
        yield Event(kind, event.get("source"), event.get("subject"), _data_of(event))


def _data_of(event: Mapping[str, Any]) -> Any:
    data = event.get("data")
    encoded = event.get("data_base64")
    if data is not None or not isinstance(encoded, str):
        return parse_json(data) if isinstance(data, str) else data
    try:
        return parse_json(base64.b64decode(encoded, validate=True))
    except (binascii.Error, ValueError):
        raise NotUnderstood("The event's data is not JSON in base64.") from None
