"""The notices that registries send in formats of their own, each as its vendor documents it.

Pushes count, where it is told under a tag; pulls, deletions and scans do not. For pulls that is a must: podpin's
own look is one, and would bring about the next.
"""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, Any, Final

from podpin.core.hooks.notice import (
    Extent,
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
from podpin.core.reference import DOCKER_HUB

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_CHINA: Final = "cn-"


def dockerhub(_: Mapping[str, str], body: bytes) -> Iterator[Notice]:
    """Docker Hub: one push, `repository.repo_name`."""
    yield placed(DOCKER_HUB, at(object_of(parse_json(body)), "repository", "repo_name"))


def distribution(_: Mapping[str, str], body: bytes) -> Iterator[Notice]:
    """The notification envelope of distribution, once docker-registry: `events[]` of pushes, pulls and deletions."""
    return pushes(object_of(parse_json(body)))


def pushes(envelope: Mapping[str, Any]) -> Iterator[Notice]:
    """What an envelope tells of pushes under a tag. Blobs, and the manifests that an index holds, come without one."""
    for event in objects_of(envelope.get("events")):
        if event.get("action") == "push" and at(event, "target", "tag"):
            yield placed(at(event, "request", "host"), at(event, "target", "repository"))


def acr(_: Mapping[str, str], body: bytes) -> Iterator[Notice]:
    """Azure Container Registry: one event of distribution, without the envelope."""
    return pushes({"events": [parse_json(body)]})


def harbor(_: Mapping[str, str], body: bytes) -> Iterator[Notice]:
    """Harbor's own format, and its CloudEvents."""
    event = object_of(parse_json(body))
    # `pushImage` is what Harbor 1 called it.
    if (event.get("type") or event.get("event_type")) in ("PUSH_ARTIFACT", "pushImage", "harbor.artifact.pushed"):
        return harbor_resources(object_of(event.get("event_data") or event.get("data")))
    return iter(())


def harbor_resources(data: Mapping[str, Any]) -> Iterator[Notice]:
    """The repository of Harbor's `resources[]`: by the URL that Harbor thinks is its own, or else by its path."""
    for resource in objects_of(data.get("resources")):
        try:
            yield named(resource.get("resource_url"))
        except NotUnderstood:
            yield placed(None, at(data, "repository", "repo_full_name"))


def quay(_: Mapping[str, str], body: bytes) -> Iterator[Notice]:
    """Quay: of its notices only those of pushes have `updated_tags`."""
    event = object_of(parse_json(body))
    if event.get("updated_tags"):
        yield named(event.get("docker_url"))


def ghcr(headers: Mapping[str, str], body: bytes) -> Iterator[Notice]:
    """GitHub's `package` and `registry_package` events, as JSON or as a form."""
    form = parse_form(headers, body)
    event = object_of(parse_json(body if form is None else form.get("payload", [""])[0]))
    package = event.get("package", event.get("registry_package"))
    if event.get("action") not in ("published", "updated") or package is None:
        return
    kind, version = at(object_of(package), "package_type"), at(package, "package_version")
    if not isinstance(kind, str) or kind.lower() not in ("container", "docker"):
        return
    try:
        yield named(at(version, "package_url"))
    except NotUnderstood:
        owner, name = at(package, "owner", "login"), package.get("name")
        yield placed("ghcr.io", f"{owner}/{name}".lower() if owner and name else None)


def gar(_: Mapping[str, str], body: bytes) -> Iterator[Notice]:
    """Google's Artifact Registry, and gcr.io, through a push subscription of Pub/Sub, wrapped or not."""
    return pubsub(object_of(parse_json(body)))


def pubsub(event: Mapping[str, Any]) -> Iterator[Notice]:
    """What the registry published to the topic `gcr`."""
    if "message" in event:
        event = object_of(parse_json(_decoded(at(event, "message", "data"))))
    if event.get("action") == "INSERT" and event.get("tag"):
        yield named(event["tag"])
    elif "action" not in event:
        raise NotUnderstood("The message does not say what was done.")


def _decoded(data: object) -> bytes:
    if not isinstance(data, str):
        raise NotUnderstood("The message has no data.")
    try:
        return base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError):
        raise NotUnderstood("The message's data is not base64.") from None


def ecr(_: Mapping[str, str], body: bytes) -> Iterator[Notice]:
    """Amazon's registry, through EventBridge: `detail-type` is `ECR Image Action`."""
    event = object_of(parse_json(body))
    detail = object_of(event.get("detail"))
    if detail.get("action-type") == "PUSH" and detail.get("result") == "SUCCESS" and detail.get("image-tag"):
        yield placed(ecr_host(event.get("account"), event.get("region")), detail.get("repository-name"))


def ecr_host(account: object, region: object) -> str | None:
    """The host of an account's registry in a region."""
    if not isinstance(account, str) or not isinstance(region, str):
        return None
    return f"{account}.dkr.ecr.{region}.amazonaws.com{'.cn' if region.startswith(_CHINA) else ''}"


def artifactory(_: Mapping[str, str], body: bytes) -> Iterator[Notice]:
    """Artifactory: a tag pushed or promoted. It names the local repository; one may pull through a virtual one."""
    event = object_of(parse_json(body))
    data = object_of(event.get("data", event))
    if event.get("domain", "docker") != "docker":
        return
    if (event.get("event_type") or data.get("event_type")) in ("pushed", "promoted"):
        yield placed(host_of(event.get("jpd_origin")), data.get("image_name"), Extent.BEHIND)


def nexus(_: Mapping[str, str], body: bytes) -> Iterator[Notice]:
    """Nexus: a component or an asset of format docker. It does not know under which host and group one pulls it."""
    event = object_of(parse_json(body))
    if event.get("action") not in ("CREATED", "UPDATED"):
        return
    if at(event, "component", "format") == "docker":
        yield placed(None, at(event, "component", "name"), Extent.BEHIND)
    elif at(event, "asset", "format") == "docker":
        # An asset is named as its path in the registry's API: v2/shop/web/manifests/1.4.2
        asset = at(event, "asset", "name")
        name, manifests, reference = asset.rpartition("/manifests/") if isinstance(asset, str) else ("", "", "")
        if manifests and ":" not in reference:
            yield placed(None, name.strip("/").removeprefix("v2/"), Extent.BEHIND)
