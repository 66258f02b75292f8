"""What the notices of registries are about, and how they prove themselves.

The bodies are written after what each vendor documents, with names of our own.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podpin.core.hooks import MOST_NOTICES, SOURCES, Extent, Notice, NotUnderstood, read
from podpin.core.reference import parse_repository

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

Json = dict[str, Any]

DIGEST = "sha256:" + "4f" * 32
FORM = {"content-type": "application/x-www-form-urlencoded"}


def told(source: str, body: Any, headers: Mapping[str, str] | None = None) -> list[Notice]:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return list(read(SOURCES[source], headers or {}, content))


def web(host: str | None = "registry.example.com", extent: Extent = Extent.EXACT) -> list[Notice]:
    return [Notice(host, "shop/web", extent)]


def encoded(body: Any) -> str:
    return base64.b64encode(json.dumps(body).encode()).decode()


# --- bodies, as they come

DOCKERHUB: Json = {
    "callback_url": "https://registry.hub.docker.com/u/shop/web/hook/2141b5bi5i5b02bec211i4eeih0242eg11000a/",
    "push_data": {"pushed_at": 1754300000, "pusher": "builder", "tag": "1.4.2"},
    "repository": {
        "is_official": False, "is_private": True, "name": "web", "namespace": "shop", "owner": "shop",
        "repo_name": "shop/web", "repo_url": "https://hub.docker.com/r/shop/web", "status": "Active", "star_count": 0,
    },
}  # fmt: skip


def event(action: str = "push", **changes: Any) -> Json:
    """One event of distribution; `changes` are laid over its target."""
    target = {
        "mediaType": "application/vnd.oci.image.index.v1+json", "digest": DIGEST, "size": 1207, "length": 1207,
        "repository": "shop/web", "url": f"https://registry.example.com/v2/shop/web/manifests/{DIGEST}", "tag": "1.4.2",
    }  # fmt: skip
    return {
        "id": "320678d8-ca14-430f-8bb6-4ca139cd83f7",
        "timestamp": "2026-03-09T14:44:26.402973972Z",
        "action": action,
        "target": {name: value for name, value in {**target, **changes}.items() if value is not None},
        "request": {
            "id": "6df2",
            "addr": "10.1.2.3:51",
            "host": "registry.example.com",
            "method": "PUT",
            "useragent": "buildah/1.39",
        },
        "actor": {"name": "builder"},
        "source": {"addr": "registry-0:5000", "instanceID": "a1"},
    }


def envelope(*events: Json) -> Json:
    return {"events": list(events)}


HARBOR_DATA: Json = {
    "resources": [{"digest": DIGEST, "tag": "1.4.2", "resource_url": "registry.example.com/shop/web:1.4.2"}],
    "repository": {
        "date_created": 1754200000,
        "name": "web",
        "namespace": "shop",
        "repo_full_name": "shop/web",
        "repo_type": "private",
    },
}
HARBOR: Json = {"type": "PUSH_ARTIFACT", "occur_at": 1754300000, "operator": "builder", "event_data": HARBOR_DATA}
HARBOR_EVENT: Json = {
    "specversion": "1.0", "id": "1", "requestid": "2", "source": "/projects/1/webhook/policies/15", "type": "harbor.artifact.pushed",
    "datacontenttype": "application/json", "time": "2026-03-09T14:44:26Z", "data": HARBOR_DATA, "operator": "builder",
}  # fmt: skip

QUAY: Json = {
    "name": "web", "repository": "shop/web", "namespace": "shop", "docker_url": "quay.io/shop/web",
    "homepage": "https://quay.io/repository/shop/web", "updated_tags": ["1.4.2"],
}  # fmt: skip


def github(
    key: str = "package",
    action: str = "published",
    url: Any = "ghcr.io/shop/web:1.4.2",
    tag: Any = "1.4.2",
    kind: str = "CONTAINER",
) -> Json:
    version = {
        "id": 1, "version": DIGEST, "name": DIGEST, "package_url": url, "html_url": "https://github.com/Shop/web/packages/1?version=1.4.2",
        "container_metadata": {"labels": {}, "manifest": {}, "tag": {"name": tag, "digest": DIGEST}},
    }  # fmt: skip
    package = {
        "id": 2, "name": "Web", "namespace": "Shop", "ecosystem": "CONTAINER", "package_type": kind, "package_version": version,
        "owner": {"login": "Shop", "id": 3}, "registry": {"name": "GitHub CONTAINER registry", "url": "https://ghcr.io/Shop"},
    }  # fmt: skip
    return {"action": action, key: package, "sender": {"login": "builder"}}


GAR_DATA: Json = {
    "action": "INSERT",
    "digest": f"europe-docker.pkg.dev/project/shop/web@{DIGEST}",
    "tag": "europe-docker.pkg.dev/project/shop/web:1.4.2",
}
GAR = [Notice("europe-docker.pkg.dev", "project/shop/web")]


def pubsub(data: Any) -> Json:
    return {
        "message": {"data": data, "messageId": "136969346945", "publishTime": "2026-03-09T14:44:26Z", "attributes": {}},
        "subscription": "projects/project/subscriptions/podpin",
    }


def ecr(region: str = "eu-central-1", **changes: Any) -> Json:
    detail = {
        "action-type": "PUSH", "image-digest": DIGEST, "image-tag": "1.4.2", "repository-name": "shop/web", "result": "SUCCESS",
        "manifest-media-type": "application/vnd.oci.image.index.v1+json",
    }  # fmt: skip
    return {
        "version": "0", "id": "13cde686-328b-6117-af20-0e5566167482", "detail-type": "ECR Image Action", "source": "aws.ecr",
        "account": "123456789012", "time": "2026-03-09T14:44:26Z", "region": region, "resources": [], "detail": {**detail, **changes},
    }  # fmt: skip


def artifactory(event_type: str = "pushed", **changes: Any) -> Json:
    data = {
        "image_name": "shop/web", "name": "list.manifest.json", "path": "shop/web/1.4.2/list.manifest.json", "platforms": [],
        "repo_key": "docker-local", "sha256": "4f" * 32, "size": 1207, "tag": "1.4.2",
    }  # fmt: skip
    return {
        "domain": "docker", "event_type": event_type, "data": data, "subscription_key": "podpin",
        "jpd_origin": "https://registry.example.com/artifactory", "source": "jfrog/builder", **changes,
    }  # fmt: skip


def nexus(action: str = "CREATED", **part: Any) -> Json:
    content = part or {
        "component": {
            "id": "08909bf0",
            "componentId": "ZG9j",
            "format": "docker",
            "name": "shop/web",
            "group": None,
            "version": "1.4.2",
        }
    }
    return {
        "timestamp": "2026-03-09T14:44:26.402+00:00", "nodeId": "7FF3A2A9", "initiator": "builder/10.1.2.3",
        "repositoryName": "docker-hosted", "action": action, **content,
    }  # fmt: skip


def asset(name: str, kind: str = "docker") -> Json:
    return {"asset": {"id": "31c9", "assetId": "ZG9j", "format": kind, "name": name}}


def pipeline(status: str = "success") -> Json:
    return {
        "object_kind": "pipeline",
        "object_attributes": {"id": 31, "ref": "main", "status": status, "detailed_status": "passed"},
        "project": {
            "id": 1,
            "name": "Web",
            "path_with_namespace": "Shop/Web",
            "web_url": "https://gitlab.example.com/Shop/Web",
        },
    }


def job(status: str = "success") -> Json:
    project = {"id": 1, "name": "Web", "path_with_namespace": "Shop/Web"}
    return {"object_kind": "build", "ref": "main", "build_name": "image", "build_status": status, "project": project}


def cloud(kind: str, data: Any, source: str = "zotregistry.dev", **more: Any) -> Json:
    return {
        "specversion": "1.0",
        "id": "a1",
        "source": source,
        "type": kind,
        "datacontenttype": "application/json",
        "data": data,
        **more,
    }


def zot(reference: Any = "1.4.2", name: Any = "shop/web") -> Json:
    return {
        "name": name,
        "reference": reference,
        "digest": DIGEST,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifest": "{}",
    }


def binary(kind: str, source: str = "zotregistry.dev", **more: str) -> dict[str, str]:
    return {
        "content-type": "application/json",
        "ce-specversion": "1.0",
        "ce-id": "a1",
        "ce-type": kind,
        "ce-source": source,
        **more,
    }


UPDATED = "zotregistry.image.updated"
OURS = "com.example.registry.image.updated"
AMAZON = "arn:aws:ecr:eu-central-1:123456789012:repository/shop/web"
AMAZON_WEB = web("123456789012.dkr.ecr.eu-central-1.amazonaws.com")
AZURE = "Microsoft.ContainerRegistry.ImagePushed"
EVENTARC = "google.cloud.pubsub.topic.v1.messagePublished"

PUSHES: dict[str, tuple[str, Any, list[Notice]]] = {
    "dockerhub": ("dockerhub", DOCKERHUB, web("docker.io")),
    "dockerhub, an official image": ("dockerhub", {"repository": {"repo_name": "nginx"}}, [Notice("docker.io", "library/nginx")]),
    "dockerhub, an official image by its full name": ("dockerhub", {"repository": {"repo_name": "library/nginx"}}, [Notice("docker.io", "library/nginx")]),
    "distribution": ("distribution", envelope(event()), web()),
    "distribution, the host with a port": ("distribution", envelope({**event(), "request": {"host": "10.1.2.3:5000"}}), web("10.1.2.3:5000")),
    "distribution, the host in capitals": ("distribution", envelope({**event(), "request": {"host": "Registry.Example.com"}}), web()),
    "distribution, a host that no image name can have": ("distribution", envelope({**event(), "request": {"host": "registry"}}), web(None)),
    "distribution, no host": ("distribution", envelope({**event(), "request": {}}), web(None)),
    "distribution, a push among pulls": ("distribution", envelope(event("pull"), event(), event("delete", tag=None)), web()),
    "distribution, several repositories": ("distribution", envelope(event(), event(repository="shop/api")), [*web(), Notice("registry.example.com", "shop/api")]),
    "distribution, several tags of one repository": ("distribution", envelope(event(), event(tag="latest")), web()),
    "harbor": ("harbor", HARBOR, web()),
    "harbor 1": ("harbor", {**HARBOR, "type": "pushImage"}, web()),
    "harbor, as a CloudEvent": ("harbor", HARBOR_EVENT, web()),
    "harbor, without a usable URL": ("harbor", {**HARBOR, "event_data": {**HARBOR_DATA, "resources": [{"resource_url": ""}]}}, web(None)),
    "quay": ("quay", QUAY, web("quay.io")),
    "quay of one's own": ("quay", {**QUAY, "docker_url": "quay.example.com:8443/shop/web"}, web("quay.example.com:8443")),
    "quay, as it was once": ("quay", {**QUAY, "updated_tags": {"latest": "b750fe79"}}, web("quay.io")),
    "ghcr, package": ("ghcr", github(), web("ghcr.io")),
    "ghcr, registry_package": ("ghcr", github("registry_package", "updated"), web("ghcr.io")),
    "ghcr, without a URL": ("ghcr", github(url=None), web("ghcr.io")),
    "ghcr, without a tag": ("ghcr", github(url="ghcr.io/shop/web:", tag=""), web("ghcr.io")),
    "ghcr of one's own": ("ghcr", github(url="containers.github.example.com/shop/web:1.4.2"), web("containers.github.example.com")),
    "gar": ("gar", pubsub(encoded(GAR_DATA)), GAR),
    "gar, without a wrapper": ("gar", GAR_DATA, GAR),
    "gcr": ("gar", pubsub(encoded({"action": "INSERT", "digest": f"gcr.io/shop/web@{DIGEST}", "tag": "gcr.io/shop/web:1"})), web("gcr.io")),
    "ecr": ("ecr", ecr(), AMAZON_WEB),
    "ecr in China": ("ecr", ecr("cn-north-1"), web("123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn")),
    "acr": ("acr", {**event(), "request": {"host": "shop.azurecr.io"}}, web("shop.azurecr.io")),
    "gitlab, its registry": ("gitlab", envelope(event()), web()),
    "gitlab, a pipeline that succeeded": ("gitlab", pipeline(), web(None, Extent.BELOW)),
    "gitlab, a job that succeeded": ("gitlab", job(), web(None, Extent.BELOW)),
    "artifactory": ("artifactory", artifactory(), web(extent=Extent.BEHIND)),
    "artifactory, a promotion": ("artifactory", artifactory("promoted"), web(extent=Extent.BEHIND)),
    "artifactory, the data alone": ("artifactory", {**artifactory()["data"], "event_type": "pushed"}, web(None, Extent.BEHIND)),
    "nexus, a component": ("nexus", nexus(), web(None, Extent.BEHIND)),
    "nexus, a tag that moves": ("nexus", nexus("UPDATED", **asset("v2/shop/web/manifests/1.4.2")), web(None, Extent.BEHIND)),
    "nexus, an asset with a slash before it": ("nexus", nexus("UPDATED", **asset("/v2/shop/web/manifests/1.4.2")), web(None, Extent.BEHIND)),
    "zot, structured": ("zot", cloud(UPDATED, zot()), web(None)),
    "zot, under a name of its own": ("zot", cloud(OURS, zot(), "https://registry.example.com"), web()),
    "cloudevents, zot": ("cloudevents", cloud(UPDATED, zot()), web(None)),
    "cloudevents, zot under a name of its own": ("cloudevents", cloud(OURS, zot(), "https://registry.example.com"), web()),
    "cloudevents, harbor": ("cloudevents", HARBOR_EVENT, web()),
    "cloudevents, azure": ("cloudevents", cloud(AZURE, event(), subject="shop/web:1.4.2"), web()),
    "cloudevents, amazon": ("cloudevents", cloud("com.amazon.ecr.push", {"repositoryName": "shop/web"}, AMAZON), AMAZON_WEB),
    "cloudevents, google": ("cloudevents", cloud(EVENTARC, pubsub(encoded(GAR_DATA))), GAR),
    "cloudevents, a repository in the data": ("cloudevents", cloud("com.example.pushed", {"repository": "registry.example.com/shop/web"}), web()),
    "cloudevents, an image in the data": ("cloudevents", cloud("com.example.pushed", {"image": f"registry.example.com/shop/web:1@{DIGEST}"}), web()),
    "cloudevents, an image as the subject": ("cloudevents", cloud("com.example.pushed", None, subject="registry.example.com/shop/web:1"), web()),
    "cloudevents, data in base64": ("cloudevents", {**cloud(UPDATED, None), "data_base64": encoded(zot())}, web(None)),
    "cloudevents, data as text": ("cloudevents", cloud(UPDATED, json.dumps(zot())), web(None)),
    "cloudevents, a batch": ("cloudevents", [cloud(UPDATED, zot()), cloud(UPDATED, zot(name="shop/api"))], [*web(None), Notice(None, "shop/api")]),
    "plain": ("plain", {"repository": "registry.example.com/shop/web"}, web()),
    "plain, with a tag that does not matter": ("plain", {"repository": "registry.example.com/shop/web:1.4.2"}, web()),
    "plain, a short name": ("plain", {"repository": "shop/web"}, web("docker.io")),
    "plain, another name of Docker Hub": ("plain", {"repository": "registry-1.docker.io/shop/web"}, web("docker.io")),
}  # fmt: skip


@pytest.mark.parametrize(("source", "body", "wanted"), PUSHES.values(), ids=PUSHES)
def test_a_push_names_its_repository(source: str, body: Any, wanted: list[Notice]) -> None:
    assert told(source, body) == wanted


def test_every_source_has_a_push_among_these() -> None:
    assert {source for source, _, _ in PUSHES.values()} == set(SOURCES)


@pytest.mark.parametrize(
    ("source", "headers", "body", "wanted"),
    [
        ("plain", FORM, b"repository=registry.example.com%2Fshop%2Fweb&ref=main", web()),
        ("plain", {"content-type": "Application/X-WWW-Form-Urlencoded; charset=UTF-8"}, b"repository=registry.example.com/shop/web", web()),
        ("plain", FORM, b"repository=registry.example.com/shop/web&repository=quay.io/shop/web", [*web(), *web("quay.io")]),
        ("ghcr", FORM, b"payload=" + json.dumps(github()).encode(), web("ghcr.io")),
        ("zot", binary(UPDATED), json.dumps(zot()).encode(), web(None)),
        ("zot", binary(OURS, "https://registry.example.com"), json.dumps(zot()).encode(), web()),
        ("cloudevents", binary(UPDATED), json.dumps(zot()).encode(), web(None)),
        ("cloudevents", binary("com.example.pushed", **{"ce-subject": "registry.example.com/shop/web:1"}), b"{}", web()),
        ("cloudevents", binary("com.amazon.ecr.push", AMAZON), b'{"repositoryName": "shop/web"}', AMAZON_WEB),
    ],
)  # fmt: skip
def test_forms_and_events_whose_type_stands_in_a_header(
    source: str, headers: dict[str, str], body: bytes, wanted: list[Notice]
) -> None:
    assert told(source, body, headers) == wanted


NO_PUSHES: dict[str, tuple[str, Any]] = {
    "distribution, our own pull": ("distribution", envelope(event("pull"))),
    "distribution, a pull by digest": ("distribution", envelope(event("pull", tag=None))),
    "distribution, a deletion": ("distribution", envelope(event("delete"))),
    "distribution, a blob": ("distribution", envelope(event(tag=None, mediaType="application/octet-stream"))),
    "distribution, nothing": ("distribution", envelope()),
    "harbor, a pull": ("harbor", {**HARBOR, "type": "PULL_ARTIFACT"}),
    "harbor, a scan": ("harbor", {"type": "SCANNING_COMPLETED", "event_data": {}}),
    "harbor, a deletion as a CloudEvent": ("harbor", {**HARBOR_EVENT, "type": "harbor.artifact.deleted"}),
    "quay, a build": ("quay", {**QUAY, "updated_tags": None, "build_id": "296ec063"}),
    "ghcr, a ping": ("ghcr", {"zen": "Keep it logically awesome.", "hook_id": 1}),
    "ghcr, another kind of package": ("ghcr", github(kind="npm")),
    "ghcr, a push to git": ("ghcr", {"ref": "refs/heads/main", "commits": []}),
    "gar, a deletion": ("gar", pubsub(encoded({**GAR_DATA, "action": "DELETE"}))),
    "gar, a push without a tag": ("gar", pubsub(encoded({"action": "INSERT", "digest": GAR_DATA["digest"]}))),
    "ecr, a failure": ("ecr", ecr(result="FAILURE")),
    "ecr, a deletion": ("ecr", ecr(**{"action-type": "DELETE"})),
    "ecr, a push without a tag": ("ecr", ecr(**{"image-tag": ""})),
    "acr, a ping": ("acr", {"id": "a", "timestamp": "2026-03-09T14:44:26Z", "action": "ping"}),
    "acr, a chart": ("acr", event("chart_push")),
    "gitlab, a pipeline that runs": ("gitlab", pipeline("running")),
    "gitlab, a job that failed": ("gitlab", job("failed")),
    "gitlab, a push to git": ("gitlab", {"object_kind": "push", "project": {"path_with_namespace": "shop/web"}}),
    "artifactory, a deletion": ("artifactory", artifactory("deleted")),
    "artifactory, another domain": ("artifactory", artifactory(domain="artifact")),
    "nexus, a deletion": ("nexus", nexus("DELETED")),
    "nexus, another format": ("nexus", nexus("CREATED", component={"format": "maven2", "name": "web"})),
    "nexus, a manifest by digest": ("nexus", nexus("CREATED", **asset(f"v2/shop/web/manifests/{DIGEST}"))),
    "nexus, a blob": ("nexus", nexus("CREATED", **asset(f"v2/-/blobs/{DIGEST}"))),
    "nexus, an audit": ("nexus", {"nodeId": "7FF3A2A9", "initiator": "admin", "audit": {"domain": "security"}}),
    "zot, a deletion": ("zot", cloud("zotregistry.image.deleted", zot())),
    "zot, a new repository": ("zot", cloud("zotregistry.repository.created", {"name": "shop/web"})),
    "zot, a push without a tag": ("zot", cloud(UPDATED, zot(DIGEST))),
    "cloudevents, a deletion in zot": ("cloudevents", cloud("zotregistry.image.deleted", zot())),
    "cloudevents, a deletion in harbor": ("cloudevents", {**HARBOR_EVENT, "type": "harbor.artifact.deleted"}),
    "cloudevents, a deletion in azure": ("cloudevents", cloud("Microsoft.ContainerRegistry.ImageDeleted", event("delete"))),
    "cloudevents, an empty batch": ("cloudevents", []),
}  # fmt: skip


@pytest.mark.parametrize(("source", "body"), NO_PUSHES.values(), ids=NO_PUSHES)
def test_what_is_no_push_of_a_tag_is_about_nothing(source: str, body: Any) -> None:
    assert told(source, body) == []


NAMES: dict[str, Callable[[Any], tuple[str, Any]]] = {
    "dockerhub": lambda name: ("dockerhub", {"repository": {"repo_name": name}}),
    "distribution": lambda name: ("distribution", envelope(event(repository=name) if name is not None else event(repository=""))),
    "harbor": lambda name: ("harbor", {**HARBOR, "event_data": {"resources": [{"resource_url": name}], "repository": {"repo_full_name": name}}}),
    "quay": lambda name: ("quay", {**QUAY, "docker_url": name}),
    "gar": lambda name: ("gar", {"action": "INSERT", "tag": name or [0]}),
    "ecr": lambda name: ("ecr", ecr(**{"repository-name": name})),
    "acr": lambda name: ("acr", event(repository=name) if name is not None else event(repository="")),
    "artifactory": lambda name: ("artifactory", {"event_type": "pushed", "image_name": name}),
    "nexus": lambda name: ("nexus", nexus("CREATED", component={"format": "docker", "name": name})),
    "gitlab": lambda name: ("gitlab", {"object_kind": "build", "build_status": "success", "project": {"path_with_namespace": name}}),
    "zot": lambda name: ("zot", cloud(UPDATED, zot(name=name))),
    "cloudevents": lambda name: ("cloudevents", cloud("com.example.pushed", {"repository": name} if name else {})),
    "plain": lambda name: ("plain", {"repository": name}),
}  # fmt: skip


@pytest.mark.parametrize(
    "name", [None, "", 7, ["shop/web"], {"a": 1}, "shop/../web", "a b", "x" * 300, "\ud800", "shop/web\n", "@", "://"]
)
@pytest.mark.parametrize("source", NAMES)
def test_a_push_that_names_no_repository_is_not_understood(source: str, name: Any) -> None:
    with pytest.raises(NotUnderstood):
        told(*NAMES[source](name))


@pytest.mark.parametrize(
    "body",
    [b"", b"\xff\xfe\x00", b"not JSON", b"[" * 100_000, b'{"a":' * 50_000, b"9" * 5_000, b'"text"', b"null", b"17", b"{}x", b'{"a": 1', b"NaN"],
)  # fmt: skip
@pytest.mark.parametrize("source", SOURCES)
def test_what_is_no_notice_at_all_is_not_understood(source: str, body: bytes) -> None:
    with pytest.raises(NotUnderstood):
        told(source, body)


@pytest.mark.parametrize(
    ("source", "body"),
    [
        ("distribution", {}), ("distribution", {"events": {}}), ("distribution", {"events": [[]]}), ("distribution", {"events": [event(), 7]}),
        ("harbor", {"type": "PUSH_ARTIFACT"}), ("harbor", {"type": "PUSH_ARTIFACT", "event_data": {"resources": "x"}}),
        ("gar", {"message": {}}), ("gar", pubsub("%%%")), ("gar", pubsub("e30")), ("gar", pubsub("4pyT\n")), ("gar", pubsub("ü")),
        ("gar", pubsub(encoded([]))), ("gar", {"subscription": "x"}),
        ("ecr", {}), ("ecr", {"detail": []}),
        ("ghcr", {"action": "published", "package": []}),
        ("artifactory", {"data": []}),
        ("cloudevents", cloud(AZURE, [])), ("cloudevents", {"type": "a"}), ("cloudevents", {"specversion": "1.0", "type": 7}),
        ("cloudevents", {**cloud(UPDATED, None), "data_base64": "%%%"}), ("cloudevents", [cloud(UPDATED, zot()), 7]),
        ("cloudevents", cloud("com.amazon.ecr.push", {})),
        ("zot", {"name": "shop/web"}),
    ],
)  # fmt: skip
def test_what_has_other_things_in_its_places_is_not_understood(source: str, body: Any) -> None:
    with pytest.raises(NotUnderstood):
        told(source, body)


def test_a_form_with_too_many_fields_is_not_understood() -> None:
    with pytest.raises(NotUnderstood):
        told("plain", b"repository=quay.io/shop/web&" * 1000, FORM)


@pytest.mark.parametrize("source", NAMES)
def test_what_was_not_understood_is_not_quoted(source: str) -> None:
    with pytest.raises(NotUnderstood) as raised:
        told(*NAMES[source]("hunter2 is the password"))
    assert "hunter2" not in str(raised.value)


def test_a_notice_is_about_so_many_repositories_at_most() -> None:
    assert (
        len(told("distribution", envelope(*(event(repository=f"shop/web-{n}") for n in range(1000))))) == MOST_NOTICES
    )


SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(["push", "shop/web", "INSERT", "PUSH_ARTIFACT"])
)
ANYTHING = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
TYPES = st.sampled_from([UPDATED, OURS, AZURE, EVENTARC, "com.amazon.ecr.push", "harbor.artifact.pushed", "a", ""])


@st.composite
def spoiled(draw: st.DrawFn) -> tuple[str, bytes]:
    """A good body, of which something is another thing, or gone."""
    source, body, _ = draw(st.sampled_from(list(PUSHES.values())))
    body = json.loads(json.dumps(body))
    place: Any = body
    while isinstance(place, dict | list) and place:
        key: Any = draw(st.sampled_from(sorted(place)) if isinstance(place, dict) else st.integers(0, len(place) - 1))
        if not isinstance(place[key], dict | list) or draw(st.booleans()):
            if isinstance(place, dict) and draw(st.booleans()):
                del place[key]
            else:
                place[key] = draw(ANYTHING)
            break
        place = place[key]
    return source, json.dumps(body).encode()


@given(spoiled(), st.sampled_from(list(SOURCES)), st.booleans())
def test_a_spoiled_body_is_understood_or_not_and_never_anything_else(
    one: tuple[str, bytes], other: str, same: bool
) -> None:
    holds(one[0] if same else other, {}, one[1])


@given(
    st.sampled_from(list(SOURCES)),
    st.binary(max_size=200) | ANYTHING.map(lambda value: json.dumps(value).encode()),
    TYPES,
    st.booleans(),
    st.booleans(),
)
def test_any_body_is_understood_or_not_and_never_anything_else(
    source: str, body: bytes, kind: str, form: bool, event: bool
) -> None:
    holds(source, {**(FORM if form else {}), **({"ce-type": kind} if event else {})}, body)


def holds(source: str, headers: Mapping[str, str], body: bytes) -> None:
    """Whatever comes out of a body is the name of a repository."""
    try:
        notices = read(SOURCES[source], headers, body)
    except NotUnderstood:
        return
    for notice in notices:
        assert parse_repository(f"registry.example.com/{notice.path}").path == notice.path
        assert notice.host is None or notice.host == notice.host.lower()


# --- proof

SECRET = "correct-horse-battery"
BODY = b'{"a": 1}'


def mac(algorithm: str, secret: str = SECRET, body: bytes = BODY) -> str:
    return hmac.new(secret.encode(), body, getattr(hashlib, algorithm)).hexdigest()


BASIC = base64.b64encode(SECRET.encode()).decode()


@pytest.mark.parametrize(
    ("source", "headers"),
    [
        ("harbor", {"authorization": SECRET}), ("harbor", {"authorization": f"Bearer {SECRET}"}), ("zot", {"authorization": f"Basic {BASIC}"}),
        ("distribution", {"authorization": SECRET}), ("acr", {"authorization": SECRET}), ("ecr", {"authorization": SECRET}),
        ("plain", {"authorization": SECRET}), ("cloudevents", {"authorization": SECRET}),
        ("gitlab", {"x-gitlab-token": SECRET}), ("gitlab", {"authorization": SECRET}),
        ("ghcr", {"x-hub-signature-256": "sha256=" + mac("sha256")}),
        ("nexus", {"x-nexus-webhook-signature": mac("sha1")}),
        ("artifactory", {"x-jfrog-event-auth": SECRET}), ("artifactory", {"x-jfrog-event-auth": mac("sha256")}),
    ],
)  # fmt: skip
def test_a_secret_proves_its_source(source: str, headers: dict[str, str]) -> None:
    assert SOURCES[source].proof.holds(SECRET, headers, BODY)


@pytest.mark.parametrize(
    ("source", "headers"),
    [
        *((source, {}) for source in SOURCES),
        *((source, {"authorization": "", "x-gitlab-token": "", "x-hub-signature-256": "", "x-jfrog-event-auth": ""}) for source in SOURCES),
        ("harbor", {"authorization": SECRET[:-1]}), ("harbor", {"authorization": f"{SECRET} "}), ("harbor", {"authorization": SECRET.upper()}),
        ("harbor", {"authorization": f"bearer{SECRET}"}), ("harbor", {"x-gitlab-token": SECRET}), ("harbor", {"authorization": "\udcff"}),
        ("gitlab", {"x-gitlab-token": f"Bearer {SECRET}"}),
        ("ghcr", {"x-hub-signature-256": mac("sha256")}), ("ghcr", {"x-hub-signature-256": "sha256=" + mac("sha256", body=b"{}")}),
        ("ghcr", {"x-hub-signature-256": "sha256=" + mac("sha256", "another")}), ("ghcr", {"x-hub-signature": "sha1=" + mac("sha1")}),
        ("ghcr", {"x-hub-signature-256": SECRET}),
        ("nexus", {"x-nexus-webhook-signature": mac("sha256")}), ("nexus", {"x-nexus-webhook-signature": SECRET}),
        ("artifactory", {"x-jfrog-event-auth": mac("sha1")}), ("dockerhub", {"authorization": SECRET}),
    ],
)  # fmt: skip
def test_anything_else_proves_nothing(source: str, headers: dict[str, str]) -> None:
    assert not SOURCES[source].proof.holds(SECRET, headers, BODY)


def test_the_body_is_needed_for_signatures_alone() -> None:
    assert {name for name, source in SOURCES.items() if source.proof.by_body} == {"ghcr", "nexus", "artifactory"}
