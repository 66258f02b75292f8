"""What podpin asks of the cluster and writes to it, request by request, against a scripted API server."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from tests.adapters.kube.scripted import ApiServer, Reply, failure, page
from tests.builders import REPOSITORY, UID, images, pod, spec

from podpin.adapters.kube.api import APPLY, JSON_PATCH, MERGE, STRATEGIC, Api
from podpin.adapters.kube.cluster import Cluster
from podpin.core.decision import Notice, PatchPod
from podpin.core.names import Key, Place, config_key_name
from podpin.core.pinned_config import Copy, key_manifest, manifest_of
from podpin.core.placement import placement_of
from podpin.core.reference import parse_repository
from podpin.core.release import Record, Verdict, record_manifest, release_of
from podpin.core.workload import deployment, intent_of, owner_reference
from podpin.core.workload import pod as pod_manifest
from podpin.errors import Conflict, Denied, Invalid, NotFound, PodpinError, Unavailable

if TYPE_CHECKING:
    pass

WEB = Key("shop", "web")
PLACE = Place("Deployment", "web")
NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
RELEASE = release_of(spec(), images("a"))
RECORD = Record(RELEASE.id, RELEASE.spec_hash, RELEASE.images)
OWNER = owner_reference("web", UID)
DEPLOYMENT = "/apis/apps/v1/namespaces/shop/deployments/web"
RECORD_PATH = f"/apis/apps/v1/namespaces/shop/controllerrevisions/web-{RELEASE.id}"
STATUS = "/apis/podpin.dev/v1alpha1/namespaces/shop/imagerollouts/web/status"
EVENTS = "/api/v1/namespaces/shop/events"
SECRETS = "/api/v1/namespaces/shop/secrets"
ACCOUNT = "/api/v1/namespaces/shop/serviceaccounts/default"


@pytest.fixture
def cluster(api: Api) -> Cluster:
    return Cluster(api, (), lambda _: None)


def manifest(replicas: int | None = 2) -> dict[str, Any]:
    wish = spec(workload={"replicas": replicas}).workload
    return deployment(WEB, OWNER, wish, RELEASE, intent_of(wish, RELEASE.id, RELEASE.images))


def stored(body: dict[str, Any], version: int = 7, **metadata: Any) -> dict[str, Any]:
    """An object as the API server hands it back."""
    return {**body, "metadata": {**body["metadata"], "resourceVersion": str(version), "uid": "d1", **metadata}}


def stored_record(version: int = 7) -> dict[str, Any]:
    return stored(record_manifest("web", "shop", OWNER, RELEASE, RECORD), version)


# --- mirrors


def test_all_namespaces_are_one_mirror_for_each_kind(cluster: Cluster) -> None:
    assert [mirror._path for mirror in cluster.mirrors] == [
        "/apis/apps/v1/deployments",
        "/api/v1/pods",
        "/apis/apps/v1/controllerrevisions",
    ]
    assert cluster.workload(WEB, PLACE) is None
    assert cluster.pods(WEB) == ()
    assert cluster.records(WEB) == ()


def test_some_namespaces_are_a_mirror_each(api: Api) -> None:
    cluster = Cluster(api, ("shop", "blog"), lambda _: None)
    assert [mirror._path for mirror in cluster.mirrors] == [
        "/apis/apps/v1/namespaces/shop/deployments",
        "/apis/apps/v1/namespaces/blog/deployments",
        "/api/v1/namespaces/shop/pods",
        "/api/v1/namespaces/blog/pods",
        "/apis/apps/v1/namespaces/shop/controllerrevisions",
        "/apis/apps/v1/namespaces/blog/controllerrevisions",
    ]
    cluster.mirrors[0].put(stored(manifest()))
    assert cluster.workload(WEB, PLACE) is not None
    assert cluster.workload(Key("blog", "web"), PLACE) is None


def test_only_the_deployment_of_the_rollout_s_name_is_its_workload(cluster: Cluster) -> None:
    """A copy that somebody made under another name has the same labels and owner."""
    copied = stored(manifest(), uid="copy")
    copied["metadata"]["name"] = "a-copy"
    cluster.mirrors[0].put(copied)
    assert cluster.workload(WEB, PLACE) is None
    cluster.mirrors[0].put(stored(manifest()))
    found = cluster.workload(WEB, PLACE)
    assert found is not None
    assert found.uid == "d1"


# --- looking


async def test_a_deployment_that_is_not_there_is_none(server: ApiServer, cluster: Cluster) -> None:
    assert await cluster.live_workload(WEB, PLACE) is None
    server.on("GET", DEPLOYMENT, Reply(body=stored(manifest())))
    assert await cluster.live_workload(WEB, PLACE) == stored(manifest())
    server.on("GET", DEPLOYMENT, failure(403, "forbidden"))
    with pytest.raises(Denied):
        await cluster.live_workload(WEB, PLACE)


async def test_a_release_is_read_whole_from_its_record_or_not_at_all(server: ApiServer, cluster: Cluster) -> None:
    assert await cluster.release(WEB, RELEASE.id) is None
    server.on("GET", RECORD_PATH, Reply(body=stored_record()))
    assert await cluster.release(WEB, RELEASE.id) == RELEASE
    server.on("GET", RECORD_PATH, Reply(body={**stored_record(), "data": None}))
    assert await cluster.release(WEB, RELEASE.id) is None


@pytest.mark.parametrize(
    ("events", "told"),
    [
        ([], None),
        ([{"reason": "BackOff", "message": "no"}], None),
        ([{"reason": "FailedMount", "message": "first", "lastTimestamp": "2026-03-01T12:00:00Z"},
          {"reason": "FailedAttachVolume", "message": "last", "lastTimestamp": "2026-03-01T12:00:09Z"},
          {"reason": "BackOff", "message": "no", "lastTimestamp": "2026-03-01T12:00:10Z"}], "last"),
        ([{"reason": "FailedMount", "message": "old", "lastTimestamp": "2026-03-01T12:00:00Z"},
          {"reason": "FailedMount", "message": "new", "lastTimestamp": None, "eventTime": "2026-03-01T12:00:01.5Z"}],
         "new"),
        ([{"reason": "FailedMount"}], ""),
        ([{"reason": "FailedCreatePodSandBox", "message": "no network"}], "no network"),
    ],
    ids=["no events", "others", "the newest", "with a time of its own", "without words", "no sandbox"],
)  # fmt: skip
async def test_a_volume_s_trouble_is_what_the_newest_event_says(
    server: ApiServer, cluster: Cluster, events: list[Any], told: str | None
) -> None:
    server.on("GET", EVENTS, page(*events, version=1))
    assert await cluster.mount_trouble(WEB, pod("a")) == told
    assert server.last.query == {"fieldSelector": "involvedObject.uid=uid-a-web-1,type=Warning", "limit": "50"}


@pytest.mark.parametrize(
    ("kind", "path"),
    [("ConfigMap", "/api/v1/namespaces/shop/configmaps/settings"), ("Secret", f"{SECRETS}/settings")],
)
async def test_of_configuration_the_metadata_is_read_and_nothing_else(
    server: ApiServer, cluster: Cluster, kind: str, path: str
) -> None:
    server.on("GET", path, Reply(body={"metadata": {"name": "settings"}}))
    assert await cluster.config_metadata(WEB, kind, "settings") == {"name": "settings"}
    assert "PartialObjectMetadata" in server.last.headers["Accept"]
    server.on("GET", path, failure(404))
    assert await cluster.config_metadata(WEB, kind, "settings") is None
    server.on("GET", path, failure(403, "configmaps is forbidden"))
    with pytest.raises(Denied):
        await cluster.config_metadata(WEB, kind, "settings")


@pytest.mark.parametrize("name", ["../pods/web", "Settings", "a/b", "a?b", ""])
async def test_what_can_be_no_name_is_no_configuration_s_name(cluster: Cluster, name: str) -> None:
    assert await cluster.config_metadata(WEB, "ConfigMap", name) is None


# --- copies of configuration

CONFIGS = "/api/v1/namespaces/shop/configmaps"
KEY_PATH = f"{SECRETS}/{config_key_name('web', UID)}"
ONE = Copy("ConfigMap", "settings", "web-settings-0")
MADE = manifest_of(WEB, UID, ONE, {"data": {"a": "1"}})


async def test_the_contents_are_read_in_full_where_they_are_to_be_copied(server: ApiServer, cluster: Cluster) -> None:
    assert await cluster.config(WEB, "ConfigMap", "settings") is None
    server.on("GET", f"{CONFIGS}/settings", Reply(body=MADE))
    assert await cluster.config(WEB, "ConfigMap", "settings") == MADE
    assert server.last.headers["Accept"] == "application/json"
    assert await cluster.config(WEB, "Secret", "../pods/web") is None


async def test_a_rollout_s_key_is_made_once_and_read_from_then_on(server: ApiServer, cluster: Cluster) -> None:
    server.on("POST", SECRETS, Reply(201, body=key_manifest(WEB, UID, bytes(32))))
    assert await cluster.config_key(WEB, UID) == bytes(32)
    sent = server.last.body
    assert server.last.query == {"fieldManager": "podpin"}
    assert sent["metadata"]["name"] == config_key_name("web", UID)
    assert len(base64.b64decode(sent["data"]["key"])) == 32
    assert sent["data"]["key"] != key_manifest(WEB, UID, bytes(32))["data"]["key"], "it is random"
    server.on("GET", KEY_PATH, Reply(body=sent))
    assert await cluster.config_key(WEB, UID) == base64.b64decode(sent["data"]["key"])
    assert server.count("POST", SECRETS) == 1
    server.on("GET", KEY_PATH, failure(404))
    await cluster.config_key(WEB, UID, bytes([7] * 32))
    assert base64.b64decode(server.last.body["data"]["key"]) == bytes([7] * 32), "it is made again as it was"


async def test_a_key_that_is_somebody_else_s_or_spoilt_is_not_used(server: ApiServer, cluster: Cluster) -> None:
    server.on("GET", KEY_PATH, Reply(body={**key_manifest(WEB, UID, bytes(32)), "data": {"key": "hunter2"}}))
    with pytest.raises(Invalid, match="does not hold podpin's key to the copies any more: delete it") as told:
        await cluster.config_key(WEB, UID)
    assert "hunter2" not in str(told.value)


async def test_a_copy_is_made_and_never_laid_over_what_is_there(server: ApiServer, cluster: Cluster) -> None:
    server.on("POST", CONFIGS, Reply(201, body=MADE))
    await cluster.write_copy(WEB, MADE)
    assert server.last.body == MADE
    server.on("POST", CONFIGS, failure(409, "exists"))
    with pytest.raises(Conflict):
        await cluster.write_copy(WEB, MADE)


@pytest.mark.parametrize("answer", [Reply(), failure(404), failure(409, "the uid is another one")], ids=str)
async def test_a_copy_is_deleted_by_its_uid(server: ApiServer, cluster: Cluster, answer: Reply) -> None:
    server.on("GET", f"{CONFIGS}/web-settings-0", Reply(body={"metadata": {**MADE["metadata"], "uid": "c1"}}))
    server.on("DELETE", f"{CONFIGS}/web-settings-0", answer)
    await cluster.drop_copy(WEB, UID, ONE)
    assert server.last.body == {"preconditions": {"uid": "c1"}}


async def test_a_copy_that_is_gone_needs_not_be_deleted(server: ApiServer, cluster: Cluster) -> None:
    await cluster.drop_copy(WEB, UID, ONE)
    assert server.count("DELETE", f"{CONFIGS}/web-settings-0") == 0


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"labels": {}}, id="without labels"),
        pytest.param({"labels": {**MADE["metadata"]["labels"], "podpin.dev/rollout": "blog"}}, id="of another rollout"),
        pytest.param({"ownerReferences": []}, id="without an owner"),
        pytest.param({"ownerReferences": [{**OWNER, "uid": "before"}]}, id="of a rollout that was made anew since"),
    ],
)
async def test_what_is_not_the_rollout_s_copy_is_not_deleted(
    server: ApiServer, cluster: Cluster, changes: dict[str, Any]
) -> None:
    metadata = {**MADE["metadata"], "uid": "c1", **changes}
    server.on("GET", f"{CONFIGS}/web-settings-0", Reply(body={"metadata": metadata}))
    await cluster.drop_copy(WEB, UID, ONE)
    assert server.count("DELETE", f"{CONFIGS}/web-settings-0") == 0


NODES = "/api/v1/nodes"


def node_body(name: str, arch: str) -> dict[str, Any]:
    return {"metadata": {"name": name, "labels": {"kubernetes.io/os": "linux", "kubernetes.io/arch": arch}}}


async def test_the_nodes_are_read_once_a_minute_for_all_that_ask(server: ApiServer, api: Api) -> None:
    ticks = [100.0]
    cluster = Cluster(api, (), lambda _: None, monotonic=lambda: ticks[0])
    server.on("GET", NODES, page(node_body("a", "amd64"), node_body("b", "arm64"), version=1))
    anywhere, there = placement_of({}), placement_of({"spec": {"nodeSelector": {"kubernetes.io/arch": "arm64"}}})
    found = await asyncio.gather(cluster.platforms(anywhere), cluster.platforms(there))
    assert [*found] == [("linux/amd64", "linux/arm64"), ("linux/arm64",)]
    assert server.count("GET", NODES) == 1
    server.on("GET", NODES, page(node_body("c", "s390x"), version=2))
    ticks[0] += 59
    assert await cluster.platforms(there) == ("linux/arm64",)
    ticks[0] += 2
    assert await cluster.platforms(anywhere) == ("linux/s390x",)


async def test_who_may_not_see_the_nodes_is_not_refused_for_every_image(server: ApiServer, cluster: Cluster) -> None:
    server.on("GET", NODES, failure(403, "nodes is forbidden"))
    assert await cluster.platforms(placement_of({})) == ()
    assert await cluster.platforms(placement_of({})) == ()
    assert server.count("GET", NODES) == 1


async def test_nodes_that_cannot_be_read_now_are_an_error(server: ApiServer, cluster: Cluster) -> None:
    server.on("GET", NODES, failure(500, "etcd is away"))
    with pytest.raises(Unavailable):
        await cluster.platforms(placement_of({}))


async def test_nodes_of_a_while_ago_are_better_than_none(server: ApiServer, api: Api) -> None:
    ticks = [100.0]
    cluster = Cluster(api, (), lambda _: None, monotonic=lambda: ticks[0])
    server.on("GET", NODES, page(node_body("a", "amd64"), version=1))
    await cluster.platforms(placement_of({}))
    server.on("GET", NODES, failure(500, "etcd is away"))
    ticks[0] += 3600
    assert await cluster.platforms(placement_of({})) == ("linux/amd64",)


@pytest.mark.parametrize("status", [403, 404])
async def test_another_rollout_that_is_not_there_is_none(server: ApiServer, cluster: Cluster, status: int) -> None:
    path = "/apis/podpin.dev/v1alpha1/namespaces/shop/imagerollouts/web"
    server.on("GET", path, failure(status, "no"))
    assert await cluster.rollout(WEB) is None
    server.on("GET", path, Reply(body={"metadata": {"name": "web"}}))
    assert await cluster.rollout(WEB) == {"metadata": {"name": "web"}}


PODS = "/api/v1/namespaces/shop/pods"


def pod_body(name: str, version: int) -> dict[str, Any]:
    labels = {"podpin.dev/rollout": "web", "podpin.dev/release": RELEASE.id}
    return {
        "metadata": {"namespace": "shop", "name": name, "uid": name, "labels": labels, "resourceVersion": str(version),
                     "creationTimestamp": "2026-03-01T12:00:00Z"},
    }  # fmt: skip


async def test_what_is_known_of_a_rollout_can_be_read_anew(server: ApiServer, cluster: Cluster) -> None:
    deployments, pods, _ = cluster.mirrors
    deployments.put(stored(manifest(), 3))
    for body in (pod_body("gone", 4), pod_body("newer", 90), pod_body("known", 5)):
        pods.put(body)
    server.on("GET", DEPLOYMENT, Reply(body=stored(manifest(), 8, generation=5)))
    server.on("GET", PODS, page(pod_body("known", 6), version=50, more="next"), page(pod_body("new", 7), version=50))
    await cluster.refresh(WEB, PLACE)
    assert sorted(pod.name for pod in cluster.pods(WEB)) == ["known", "new", "newer"]
    found = cluster.workload(WEB, PLACE)
    assert found is not None
    assert found.generation == 5
    first, second = (asked.query for asked in server.asked if asked.path == PODS)
    assert first == {"labelSelector": "podpin.dev/rollout=web", "limit": "500"}
    assert second == {**first, "continue": "next"}


async def test_pods_that_pull_are_read_anew_where_there_are_any(server: ApiServer, cluster: Cluster) -> None:
    def puller(name: str, version: int) -> dict[str, Any]:
        body = pod_body(name, version)
        body["metadata"]["labels"] |= {"podpin.dev/rollout": "", "podpin.dev/pulls-for": "web"}
        return body

    for body in (puller("gone", 4), puller("newer", 90), puller("known", 5)):
        cluster.mirrors[1].put(body)
    server.on("GET", PODS, page(pod_body("own", 7), version=50), page(puller("known", 6), version=60))
    await cluster.refresh(WEB, PLACE)
    found = sorted((pod.name, pod.pulls) for pod in cluster.pods(WEB))
    assert found == [("known", True), ("newer", True), ("own", False)]
    asked = [each.query["labelSelector"] for each in server.asked if each.path == PODS]
    assert asked == ["podpin.dev/rollout=web", "podpin.dev/pulls-for=web"]


async def test_a_deployment_that_is_found_gone_is_known_no_more(server: ApiServer, cluster: Cluster) -> None:
    cluster.mirrors[0].put(stored(manifest(), 3))
    server.on("GET", PODS, page(version=50))
    await cluster.refresh(WEB, PLACE)
    assert (cluster.workload(WEB, PLACE), cluster.pods(WEB)) == (None, ())


async def test_what_cannot_be_read_anew_is_one_of_podpin_s_errors(server: ApiServer, cluster: Cluster) -> None:
    server.on("GET", DEPLOYMENT, failure(503, "down"))
    server.on("GET", PODS, failure(503, "down"))
    with pytest.raises(Unavailable, match="down"):
        await cluster.refresh(WEB, PLACE)


def test_a_rollout_is_out_of_sight_while_a_mirror_of_its_namespace_is_in_trouble(api: Api) -> None:
    cluster = Cluster(api, ("shop", "blog"), lambda _: None)
    assert cluster.blind(WEB, "Deployment") is None
    for mirror in cluster.mirrors:
        mirror.trouble = mirror._path
        assert cluster.blind(WEB, "Deployment") == (mirror._path if "/shop/" in mirror._path else None)
        mirror.trouble = None


# --- credentials


def b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def pull_secret(password: str = "hunter2", kind: str = "kubernetes.io/dockerconfigjson") -> Reply:
    config = {"auths": {"registry.example.com": {"username": "me", "password": password}}}
    return Reply(body={"type": kind, "data": {".dockerconfigjson": b64(json.dumps(config))}})


def docker_config(data: str) -> Reply:
    return Reply(body={"type": "kubernetes.io/dockerconfigjson", "data": {".dockerconfigjson": data}})


async def passwords(cluster: Cluster, secrets: tuple[str, ...], others: tuple[str, ...] = ()) -> list[str]:
    access = await cluster.access("shop", secrets, others, "default", None)
    return [each.password for each in access.keyring.lookup(parse_repository(REPOSITORY))]


async def test_no_secrets_anywhere_are_no_credentials(server: ApiServer, cluster: Cluster) -> None:
    assert await passwords(cluster, ()) == []
    assert [asked.path for asked in server.asked] == [ACCOUNT]


async def test_the_rollout_s_own_secrets_come_first_and_the_template_s_after_them(
    server: ApiServer, cluster: Cluster
) -> None:
    server.on("GET", f"{SECRETS}/mine", pull_secret("mine"))
    server.on("GET", f"{SECRETS}/theirs", pull_secret("theirs"))
    assert await passwords(cluster, ("mine",), ("theirs",)) == ["mine", "theirs"]
    assert server.count("GET", ACCOUNT) == 0


async def test_the_account_s_secrets_count_where_the_template_names_none(server: ApiServer, cluster: Cluster) -> None:
    server.on("GET", ACCOUNT, Reply(body={"imagePullSecrets": [{"name": "gone"}, {}, {"name": "account"}]}))
    server.on("GET", f"{SECRETS}/account", pull_secret("account"))
    assert await passwords(cluster, ()) == ["account"]


async def test_a_secret_of_the_template_that_is_missing_or_odd_is_passed_over(
    server: ApiServer, cluster: Cluster
) -> None:
    server.on("GET", f"{SECRETS}/opaque", pull_secret(kind="Opaque"))
    server.on("GET", f"{SECRETS}/good", pull_secret("good"))
    assert await passwords(cluster, (), ("missing", "opaque", "good")) == ["good"]


@pytest.mark.parametrize(
    ("reply", "error", "says"),
    [
        (failure(404), NotFound,
         "Secret mine does not exist in namespace shop: create it, or take it out of the spec."),
        (failure(403, "secrets is forbidden"), Denied, "secrets is forbidden"),
        (pull_secret(kind="Opaque"), Invalid, "Secret mine is of type Opaque, not kubernetes.io/dockerconfigjson:"),
        (docker_config("no base64"), Invalid, "Secret mine holds something that is no base64."),
        (docker_config("YWJj"), Invalid, "mine"),
        (Reply(body={"type": "kubernetes.io/dockerconfigjson"}), Invalid, "mine"),
    ],
    ids=["missing", "forbidden", "of another type", "no base64", "no JSON", "empty"],
)  # fmt: skip
async def test_a_secret_that_the_rollout_names_must_be_good(
    server: ApiServer, cluster: Cluster, reply: Reply, error: type[PodpinError], says: str
) -> None:
    server.on("GET", f"{SECRETS}/mine", reply)
    with pytest.raises(error) as refusal:
        await passwords(cluster, ("mine",))
    assert says in str(refusal.value)


NO_NAMES = ("../../victim/secrets/x", "..", "a/b", "x?y", "x#", "%2e%2e", "x\n", "A", "a" * 254, "")


@pytest.mark.parametrize("name", NO_NAMES)
async def test_what_can_be_no_name_never_becomes_a_path(server: ApiServer, cluster: Cluster, name: str) -> None:
    for path in ("/api/v1/namespaces/victim/secrets/x", ACCOUNT):
        server.on("GET", path, pull_secret("stolen"))
    with pytest.raises(Invalid, match="can't be the name of a Secret"):
        await passwords(cluster, (name,))
    assert await passwords(cluster, (), (name,)) == []
    with pytest.raises(Invalid, match="can't be the name of a ServiceAccount"):
        await cluster.access("shop", (), (), name, None)
    assert server.asked == []
    server.on("GET", ACCOUNT, Reply(body={"imagePullSecrets": [{"name": name}]}))
    assert await passwords(cluster, ()) == []
    assert [asked.path for asked in server.asked] == [ACCOUNT]


async def test_a_release_whose_label_can_be_no_name_has_no_record(server: ApiServer, cluster: Cluster) -> None:
    assert await cluster.release(WEB, "B_d") is None
    assert server.asked == []


@pytest.mark.parametrize(
    ("reply", "ca"),
    [
        (Reply(body={"data": {"ca.crt": b64("PEM"), "tls.crt": b64("x")}}), b"PEM"),
        (Reply(body={"data": {"ca.crt": ""}}), "Secret ca has no key ca.crt"),
        (Reply(body={}), "Secret ca has no key ca.crt"),
        (failure(404), "Secret ca does not exist in namespace shop"),
        (Reply(body={"data": {"ca.crt": "%"}}), "Secret ca holds something that is no base64."),
    ],
    ids=["good", "empty", "without the key", "missing", "no base64"],
)
async def test_a_ca_comes_from_its_secret(server: ApiServer, cluster: Cluster, reply: Reply, ca: bytes | str) -> None:
    server.on("GET", f"{SECRETS}/ca", reply)
    if isinstance(ca, bytes):
        assert (await cluster.access("shop", (), (), "default", "ca")).ca == ca
        return
    with pytest.raises(PodpinError, match=ca):
        await cluster.access("shop", (), (), "default", "ca")


@pytest.mark.parametrize(
    ("reply", "sentence"),
    [
        (Reply(body={"data": {"cosign.key": b64("private")}}), "Secret cosign has no key cosign.pub"),
        (failure(404), "Secret cosign does not exist in namespace shop"),
        (Reply(body={"data": {"cosign.pub": "%"}}), "Secret cosign holds something that is no base64."),
    ],
    ids=["without the key", "missing", "no base64"],
)
async def test_a_public_key_that_the_rollout_names_must_be_there(
    server: ApiServer, cluster: Cluster, reply: Reply, sentence: str
) -> None:
    server.on("GET", f"{SECRETS}/cosign", reply)
    with pytest.raises(PodpinError, match=sentence):
        await cluster.access("shop", (), (), "default", None, ("cosign",))


async def test_public_keys_come_from_their_secrets_and_tell_accesses_apart(server: ApiServer, cluster: Cluster) -> None:
    server.on("GET", f"{SECRETS}/one", Reply(body={"data": {"cosign.pub": b64("pem"), "cosign.key": b64("private")}}))
    server.on("GET", f"{SECRETS}/two", Reply(body={"data": {"cosign.pub": b64("other")}}))
    found = [await cluster.access("shop", (), (), "default", None, names) for names in ((), ("one",), ("one", "two"))]
    assert [access.keys for access in found] == [(), (("one", b"pem"),), (("one", b"pem"), ("two", b"other"))]
    repository = parse_repository("registry.example.com/web")
    assert len({access.fingerprint_for(repository) for access in found}) == 3
    assert "private" not in repr(found)


async def test_no_secret_s_content_is_ever_in_an_error_or_a_log(
    server: ApiServer, cluster: Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    broken = {"auths": {"registry.example.com": {"username": "me", "password": 5, "auth": "hunter2"}}}
    data = {".dockerconfigjson": b64(json.dumps(broken))}
    server.on("GET", f"{SECRETS}/mine", Reply(body={"type": "kubernetes.io/dockerconfigjson", "data": data}))
    told = ""
    try:
        await passwords(cluster, ("mine",), ("missing",))
    except PodpinError as error:
        told = str(error)
    assert "hunter2" not in told + caplog.text


# --- acting


async def test_a_record_is_applied_and_known_at_once(server: ApiServer, cluster: Cluster) -> None:
    server.on("PATCH", RECORD_PATH, Reply(body=stored_record()))
    await cluster.write_record(WEB, UID, RELEASE, RECORD)
    assert server.last.headers["Content-Type"] == APPLY
    assert server.last.query == {"fieldManager": "podpin", "force": "true"}
    assert server.last.body == record_manifest("web", "shop", OWNER, RELEASE, RECORD)
    assert [record.release for record in cluster.records(WEB)] == [RELEASE.id]


@pytest.mark.parametrize("verdict", [None, Verdict("Rejected", 2, "CrashLooping", "so", NOON, NOON)])
async def test_a_verdict_is_merged_into_the_annotations_or_out_of_them(
    server: ApiServer, cluster: Cluster, verdict: Verdict | None
) -> None:
    judged = RECORD.judged(verdict)
    answer = stored(record_manifest("web", "shop", OWNER, RELEASE, judged))
    server.on("PATCH", RECORD_PATH, Reply(body=answer))
    await cluster.judge(WEB, judged)
    assert server.last.headers["Content-Type"] == MERGE
    assert server.last.query == {"fieldManager": "podpin"}
    sent = server.last.body["metadata"]["annotations"]
    assert sent.keys() == {"podpin.dev/verdict", "podpin.dev/request"}
    assert (sent["podpin.dev/verdict"] is None) is (verdict is None)
    assert [record.verdict for record in cluster.records(WEB)] == [verdict]


async def test_the_workload_is_applied_by_force_and_known_at_once(server: ApiServer, cluster: Cluster) -> None:
    server.on("PATCH", DEPLOYMENT, Reply(body=stored(manifest(), generation=4)))
    applied = await cluster.apply(WEB, manifest(), None)
    assert (applied.uid, applied.generation, applied.release) == ("d1", 4, RELEASE.id)
    assert server.last.headers["Content-Type"] == APPLY
    assert server.last.query == {"fieldManager": "podpin", "force": "true"}
    assert server.last.body == manifest()
    assert cluster.workload(WEB, PLACE) == applied


async def test_the_workload_that_was_seen_is_named_by_its_uid(server: ApiServer, cluster: Cluster) -> None:
    sent = manifest()
    server.on("PATCH", DEPLOYMENT, failure(409, "the UID in the precondition does not match"))
    with pytest.raises(Conflict):
        await cluster.apply(WEB, sent, "d1")
    assert server.last.body["metadata"]["uid"] == "d1"
    assert "uid" not in sent["metadata"]
    assert cluster.workload(WEB, PLACE) is None


def managed(manager: str, fields: dict[str, Any]) -> dict[str, Any]:
    entry = {"manager": manager, "operation": "Apply", "fieldsV1": {"f:spec": fields}}
    return stored(manifest(), managedFields=[{"manager": "kubectl"}, entry])


@pytest.mark.parametrize(
    ("live", "handed_over"),
    [
        (Reply(body=managed("podpin", {"f:replicas": {}, "f:template": {}})), True),
        (Reply(body=managed("podpin", {"f:template": {}})), False),
        (Reply(body=managed("hpa", {"f:replicas": {}})), False),
        (Reply(body=stored(manifest())), False),
        (failure(404), False),
    ],
    ids=["podpin's", "not podpin's any more", "an autoscaler's", "nobody's", "no workload"],
)
async def test_the_number_of_replicas_is_handed_over_before_it_is_left_out(
    server: ApiServer, cluster: Cluster, live: Reply, handed_over: bool
) -> None:
    server.on("GET", DEPLOYMENT, live)
    server.on("PATCH", DEPLOYMENT, Reply(body=stored(manifest(None))))
    await cluster.apply(WEB, manifest(None), "d1")
    writes = [asked for asked in server.asked if asked.method == "PATCH"]
    assert [asked.query["fieldManager"] for asked in writes] == ["podpin-scale", "podpin"][not handed_over :]
    if handed_over:
        assert writes[0].body["spec"] == {"replicas": 2}
        assert writes[0].body["metadata"]["uid"] == "d1"
    assert "replicas" not in writes[-1].body["spec"]


@pytest.mark.parametrize(("replicas", "uid"), [(2, "d1"), (None, None)], ids=["a number is given", "a new workload"])
async def test_nothing_is_asked_where_no_number_is_left_out(
    server: ApiServer, cluster: Cluster, replicas: int | None, uid: str | None
) -> None:
    server.on("PATCH", DEPLOYMENT, Reply(body=stored(manifest(replicas))))
    await cluster.apply(WEB, manifest(replicas), uid)
    assert [asked.method for asked in server.asked] == ["PATCH"]


@pytest.mark.parametrize("reply", [Reply(body={"kind": "Status"}), failure(404)], ids=["there", "gone already"])
async def test_a_record_that_is_pruned_is_gone_at_once(server: ApiServer, cluster: Cluster, reply: Reply) -> None:
    cluster.mirrors[2].put(stored_record())
    server.on("DELETE", RECORD_PATH, reply)
    await cluster.prune(WEB, RELEASE.id)
    assert server.count("DELETE", RECORD_PATH) == 1
    assert cluster.records(WEB) == ()


async def test_a_record_that_could_not_be_pruned_stays(server: ApiServer, cluster: Cluster) -> None:
    cluster.mirrors[2].put(stored_record())
    server.on("DELETE", RECORD_PATH, failure(403))
    with pytest.raises(Denied):
        await cluster.prune(WEB, RELEASE.id)
    assert len(cluster.records(WEB)) == 1


async def test_a_status_is_replaced_for_the_very_rollout_that_was_looked_at(
    server: ApiServer, cluster: Cluster
) -> None:
    server.on("PATCH", STATUS, Reply(body={"metadata": {"resourceVersion": "9"}}))
    assert await cluster.write_status(WEB, UID, {"replicas": 2}) == {"metadata": {"resourceVersion": "9"}}
    assert server.last.headers["Content-Type"] == JSON_PATCH
    assert server.last.body == [
        {"op": "test", "path": "/metadata/uid", "value": UID},
        {"op": "add", "path": "/status", "value": {"replicas": 2}},
    ]


@pytest.mark.parametrize(
    ("write", "error"),
    [
        (failure(404, "gone"), NotFound),
        (failure(409, "changed"), Conflict),
        (failure(422, "the server rejected our request due to an error in our request"), Invalid),
        (failure(422, "ImageRollout is invalid: status.replicas: must be an integer"), Invalid),
    ],
    ids=["gone", "changed", "another uid", "refused"],
)
async def test_a_status_that_cannot_be_written_says_why(
    server: ApiServer, cluster: Cluster, write: Reply, error: type[PodpinError]
) -> None:
    server.on("PATCH", STATUS, write)
    with pytest.raises(error):
        await cluster.write_status(WEB, UID, {})


# --- events


async def test_an_event_is_about_the_rollout_and_says_who_says_so(server: ApiServer, cluster: Cluster) -> None:
    server.on("POST", EVENTS, Reply(201, {}))
    cluster.announce(WEB, UID, Notice("Warning", "Rejected", "x" * 5000), NOON)
    await cluster.flush()
    body = server.last.body
    assert body["involvedObject"] == {
        "apiVersion": "podpin.dev/v1alpha1",
        "kind": "ImageRollout",
        "namespace": "shop",
        "name": "web",
        "uid": UID,
    }
    assert (body["type"], body["reason"], len(body["message"])) == ("Warning", "Rejected", 1024)
    assert body["firstTimestamp"] == body["lastTimestamp"] == "2026-03-01T12:00:00Z"
    assert body["reportingComponent"] == body["source"]["component"] == "podpin"
    assert not cluster._posting


async def test_an_event_that_gets_lost_disturbs_nobody(
    server: ApiServer, cluster: Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    server.on("POST", EVENTS, failure(403, "events is forbidden"))
    cluster.announce(WEB, UID, Notice("Normal", "RolledOut", "so"), NOON)
    await cluster.flush()
    assert "the event RolledOut could not be posted: events is forbidden" in caplog.text


async def test_there_may_be_nothing_to_wait_for(cluster: Cluster) -> None:
    await asyncio.wait_for(cluster.flush(), 1)
    assert not cluster._posting


# --- Pods of podpin's own

PODS = "/api/v1/namespaces/shop/pods"
POD = pod_manifest(WEB, OWNER, RELEASE, "web-x-0")


def live_pod(version: int = 9, **metadata: Any) -> dict[str, Any]:
    made = {"uid": "p1", "creationTimestamp": "2026-03-01T12:00:00Z", "resourceVersion": str(version), **metadata}
    return {**POD, "kind": "Pod", "metadata": {**POD["metadata"], **made}}


async def test_a_pod_that_was_made_is_known_at_once(server: ApiServer, cluster: Cluster) -> None:
    server.on("POST", PODS, Reply(body=live_pod()))
    assert await cluster.create_pod(WEB, UID, POD)
    assert server.last.body == POD
    assert [one.name for one in cluster.pods(WEB)] == ["web-x-0"]


@pytest.mark.parametrize(
    ("there", "free"),
    [
        (live_pod(), True),
        (live_pod(ownerReferences=[]), True),
        (live_pod(ownerReferences=[{**OWNER, "uid": "another"}]), False),
        (live_pod(labels={"app": "theirs"}), False),
        (live_pod(labels={"podpin.dev/rollout": "", "podpin.dev/pulls-for": "web", "podpin.dev/release": "b"}), True),
    ],
    ids=[
        "podpin's own, whose answer was lost",
        "an orphan of podpin's",
        "another rollout's",
        "a stranger's",
        "it pulls",
    ],
)
async def test_a_name_that_is_taken_is_looked_at(
    server: ApiServer, cluster: Cluster, there: dict[str, Any], free: bool
) -> None:
    server.on("POST", PODS, failure(409, 'pods "web-x-0" already exists'))
    server.on("GET", f"{PODS}/web-x-0", Reply(body=there))
    assert await cluster.create_pod(WEB, UID, POD) is free
    assert len(cluster.pods(WEB)) == free


async def test_a_pod_is_rehearsed_without_being_made(server: ApiServer, cluster: Cluster) -> None:
    server.on("POST", PODS, Reply(body=live_pod()))
    await cluster.rehearse(WEB, POD)
    assert server.last.query["dryRun"] == "All"
    assert cluster.pods(WEB) == ()


@pytest.mark.parametrize(
    ("answer", "left"),
    [
        (Reply(body=live_pod(10, deletionTimestamp="2026-03-01T12:00:30Z", deletionGracePeriodSeconds=30)), [True]),
        (Reply(body=live_pod(10, deletionTimestamp="2026-03-01T12:00:00Z", deletionGracePeriodSeconds=0)), []),
        (failure(404), []),
    ],
    ids=["on its way out", "gone at once", "gone before"],
)
async def test_a_pod_that_was_deleted_is_known_to_go(
    server: ApiServer, cluster: Cluster, answer: Reply, left: list[bool]
) -> None:
    server.on("POST", PODS, Reply(body=live_pod()))
    await cluster.create_pod(WEB, UID, POD)
    server.on("DELETE", f"{PODS}/web-x-0", answer)
    await cluster.delete_pod(WEB, "web-x-0", "p1")
    assert server.last.body == {"preconditions": {"uid": "p1"}}
    assert [one.deleting for one in cluster.pods(WEB)] == left


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (Reply(body={"kind": "Status"}), None),
        (failure(404), None),
        (failure(429, "Cannot evict pod as it would violate the pod's disruption budget."), "Cannot evict"),
        (failure(500, "This pod has more than one PodDisruptionBudget"), "more than one"),
    ],
    ids=["taken away", "gone", "a budget says no", "two budgets"],
)
async def test_an_eviction_asks_the_budget(server: ApiServer, cluster: Cluster, answer: Reply, why: str | None) -> None:
    server.on("POST", f"{PODS}/web-x-0/eviction", answer)
    told = await cluster.evict_pod(WEB, "web-x-0", "p1")
    assert told is None if why is None else why in str(told)
    sent = next(one for one in server.asked if one.method == "POST").body
    assert sent["deleteOptions"] == {"preconditions": {"uid": "p1"}}


async def test_an_api_server_that_is_busy_is_no_budget(server: ApiServer, cluster: Cluster) -> None:
    server.on("POST", f"{PODS}/web-x-0/eviction", failure(429, "too many requests", retry_after="1"))
    with pytest.raises(Unavailable):
        await cluster.evict_pod(WEB, "web-x-0", "p1")


async def test_an_orphan_is_adopted_by_a_rollout_that_is_there_still(server: ApiServer, cluster: Cluster) -> None:
    rollout = "/apis/podpin.dev/v1alpha1/namespaces/shop/imagerollouts/web"
    server.on("PATCH", f"{PODS}/web-x-0", Reply(body=live_pod()))
    for metadata in ({"uid": "another"}, {"uid": UID, "deletionTimestamp": "2026-03-01T12:00:00Z"}):
        server.on("GET", rollout, Reply(body={"metadata": metadata}))
        with pytest.raises(NotFound):
            await cluster.adopt_pod(WEB, UID, "web-x-0", "p1")
    server.on("GET", rollout, Reply(body={"metadata": {"uid": UID}}))
    await cluster.adopt_pod(WEB, UID, "web-x-0", "p1")
    assert server.last.headers["Content-Type"] == STRATEGIC
    assert server.last.body == {"metadata": {"uid": "p1", "ownerReferences": [OWNER]}}
    assert len(cluster.pods(WEB)) == 1


async def test_a_pod_is_given_other_images_as_it_was_read_a_moment_ago(server: ApiServer, cluster: Cluster) -> None:
    statuses = [{"name": "app", "restartCount": 4, "containerID": "c", "imageID": "x@y"}]
    server.on(
        "GET", f"{PODS}/web-x-0", Reply(body={**live_pod(9, generation=3), "status": {"containerStatuses": statuses}})
    )
    server.on("PATCH", f"{PODS}/web-x-0", Reply(body=live_pod(10)))
    await cluster.patch_pod(WEB, PatchPod("web-x-0", "p1", "b", images("b"), None, NOON))
    assert server.last.headers["Content-Type"] == STRATEGIC
    sent = server.last.body
    assert sent["spec"] == {"containers": [{"name": "app", "image": images("b")[0][1]}]}
    assert sent["metadata"]["resourceVersion"] == "9"
    assert sent["metadata"]["labels"] == {"podpin.dev/release": "b"}
    noted = json.loads(sent["metadata"]["annotations"]["podpin.dev/patched"])
    assert noted["containers"] == {"app": {"restarts": 4, "image": "x@y", "settled": True}}
    assert noted["generation"] == 4
    with pytest.raises(Conflict):
        await cluster.patch_pod(WEB, PatchPod("web-x-0", "another", "b", images("b"), None, NOON))
