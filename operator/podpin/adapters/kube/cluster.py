"""What podpin reads from the cluster and writes to it, in podpin's own words.

Reads come from the mirrors; only what they cannot know is asked of the API server. Every write says exactly what it
means to be true and may be repeated. Writes to a child carry the uid that was seen, so that a child made anew by
somebody else is never taken for ours.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import contextlib
import functools
import itertools
import logging
import re
import secrets
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any, Final

from podpin.adapters.kube.api import APPLY, JSON_PATCH, MERGE, METADATA_ONLY, STRATEGIC, Api
from podpin.adapters.kube.mirror import PAGE, Mirror
from podpin.core import adopted, in_place, names, pinned_config
from podpin.core.config import CONFIG_MAP, SECRET
from podpin.core.decision import Notice, PatchPod
from podpin.core.keyring import Access, Keyring, KeyringInvalid, SecretData
from podpin.core.kinds import KINDS
from podpin.core.names import Key, Place
from podpin.core.observation import Pod, Workload, pod_of, workload_of
from podpin.core.pinned_config import Copy
from podpin.core.placement import Node, node_of, platforms_for
from podpin.core.release import Record, Release, annotations_of, record_manifest, record_of, release_from_record
from podpin.core.times import write_time
from podpin.core.workload import owner_reference
from podpin.errors import Conflict, Denied, Invalid, NotFound, PodpinError, Unavailable

SECRET_TYPES = ("kubernetes.io/dockerconfigjson", "kubernetes.io/dockercfg")
NOT_SET_UP = ("FailedMount", "FailedAttachVolume", "FailedCreatePodSandBox")
"""The reasons of the events that tell why the containers of a Pod are not created."""
BUDGET: Final = re.compile("disruption ?budget", re.IGNORECASE)
"""What is spoken of where an eviction is refused: a budget that has nothing left, or two that share the Pod."""
LONGEST_EVENT = 1024
NODES_FRESH: Final = 60.0
"""Seconds for which what was read of the nodes is taken for current."""
_AS_PODPIN: Final = {"fieldManager": names.FIELD_MANAGER}
_NAME: Final = re.compile(
    r"(?=.{1,253}\Z)[a-z0-9](?:[-a-z0-9]*[a-z0-9])?(?:\.[a-z0-9](?:[-a-z0-9]*[a-z0-9])?)*", re.ASCII
)

log = logging.getLogger(__name__)


class Cluster:
    """One cluster, or some namespaces of it."""

    def __init__(
        self,
        api: Api,
        namespaces: Iterable[str],
        changed: Callable[[Key], None],
        listed: Callable[[Key], None] | None = None,
        begin: Callable[[Mirror[Any]], None] = lambda _: None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.api = api
        self._monotonic = monotonic
        self._nodes: tuple[float, tuple[Node, ...]] | None = None
        self._reading_nodes = asyncio.Lock()
        self._instance = names.FIELD_MANAGER
        self._posting: dict[Key, asyncio.Task[None]] = {}
        self._posted = itertools.count()
        self._begin = begin
        """Lets a mirror run that is needed after the start: of most kinds few clusters have a workload to adopt."""
        self._watched = {"Deployment"}
        self._workloads: dict[str, dict[str, Mirror[Workload]]] = {kind: {} for kind in KINDS}
        self._pods: dict[str, Mirror[Pod]] = {}
        self._records: dict[str, Mirror[Record]] = {}
        for namespace in tuple(namespaces) or ("",):
            where = f"/namespaces/{namespace}" if namespace else ""
            apps, core = f"/apis/apps/v1{where}", f"/api/v1{where}"
            for kind, row in KINDS.items():
                self._workloads[kind][namespace] = Mirror(
                    api,
                    f"/{row.group}{where}/{row.plural}",
                    functools.partial(workload_of, kind=kind),
                    changed,
                    listed=listed,
                )
            self._pods[namespace] = Mirror(api, f"{core}/pods", pod_of, changed, listed=listed)
            self._records[namespace] = Mirror(
                api, f"{apps}/controllerrevisions", _record_of, changed, listed=listed, metadata_only=True
            )

    @property
    def mirrors(self) -> tuple[Mirror[Any], ...]:
        """All mirrors that are needed, to be run and to be asked whether they are current."""
        watched = (self._workloads[kind].values() for kind in KINDS if kind in self._watched)
        return (*itertools.chain.from_iterable(watched), *self._pods.values(), *self._records.values())

    def _mine(self, mirrors: Mapping[str, Mirror[Any]], key: Key) -> Mirror[Any]:
        return mirrors.get(key.namespace) or mirrors[""]

    # --- looking

    def blind(self, key: Key, kind: str) -> str | None:
        """Why what is known of a rollout may not be current, in a sentence, or None.

        Workloads of a kind are watched from when it is asked for the first time.
        """
        beside = [self._mine(self._pods, key), self._mine(self._records, key)]
        if kind not in KINDS:
            return next((mirror.trouble for mirror in beside if mirror.trouble), None)
        if kind not in self._watched:
            self._watched.add(kind)
            for mirror in self._workloads[kind].values():
                self._begin(mirror)
        workloads = self._mine(self._workloads[kind], key)
        if kind != "Deployment" and not workloads.synced.is_set():
            return workloads.trouble or f"podpin is still reading {KINDS[kind].plural}"
        return next((mirror.trouble for mirror in (workloads, *beside) if mirror.trouble), None)

    async def refresh(self, key: Key, place: Place) -> None:
        """Read a rollout's workload and Pods anew: a watch may be silent, or behind, without anybody knowing."""
        places = ([place] if place.kind in KINDS else []) + ([names.canary_place(key.name)] if self.canary(key) else [])
        await asyncio.gather(*(self._renew_workload(key, one) for one in places), self._renew_pods(key))

    async def _renew_workload(self, key: Key, place: Place) -> None:
        mirror = self._mine(self._workloads[place.kind], key)
        raw = await self.live_workload(key, place)
        if raw is None:
            mirror.drop(key.namespace, place.name)
        else:
            mirror.put(raw)

    async def _renew_pods(self, key: Key) -> None:
        mirror: Mirror[Pod] = self._mine(self._pods, key)
        pods, version = await self._list_pods(key.namespace, f"{names.LABEL_ROLLOUT}={key.name}")
        if any(pod.pulls for pod in mirror.of(key)):
            pods += (await self._list_pods(key.namespace, f"{names.LABEL_PULLS}={key.name}"))[0]
        mirror.renew(key, pods, version)

    async def _list_pods(self, namespace: str, selector: str) -> tuple[list[Mapping[str, Any]], str]:
        query = {"labelSelector": selector, "limit": PAGE}
        pods: list[Mapping[str, Any]] = []
        while True:
            page = await self.api.request("GET", f"/api/v1/namespaces/{namespace}/pods", query=query)
            pods.extend(page.get("items") or ())
            if not page["metadata"].get("continue"):
                return pods, page["metadata"]["resourceVersion"]
            query["continue"] = page["metadata"]["continue"]

    def workload(self, key: Key, place: Place) -> Workload | None:
        """The rollout's workload, as far as the mirror knows: one that carries the rollout's label."""
        mirrors = self._workloads.get(place.kind)
        found: Workload | None = self._mine(mirrors, key).named(key, place.name) if mirrors else None
        return found

    def pods(self, key: Key) -> tuple[Pod, ...]:
        """The rollout's Pods, of all releases, and those that only pull one."""
        return tuple(self._mine(self._pods, key).of(key))

    def records(self, key: Key) -> tuple[Record, ...]:
        """The records of the rollout's releases."""
        return tuple(self._mine(self._records, key).of(key))

    def canary(self, key: Key) -> Workload | None:
        """The Deployment of the rollout's canary, as far as the mirror knows."""
        return self.workload(key, names.canary_place(key.name))

    async def live_workload(self, key: Key, place: Place) -> Mapping[str, Any] | None:
        """The workload in this place as it is now, whoever owns it, or None."""
        try:
            return await self.api.request("GET", _workload(key, place))
        except NotFound:
            return None

    async def selected(self, key: Key, place: Place) -> list[Mapping[str, Any]]:
        """The Pods that the workload in this place selects, in full and as they are now; none where it selects none."""
        live = await self.live_workload(key, place)
        selector = adopted.selector_of(live) if live else None
        return (await self._list_pods(key.namespace, selector))[0] if selector else []

    async def confirm(self, key: Key, uid: str) -> None:
        """Make sure that an ImageRollout is there still; raises NotFound where it is gone or another one by now."""
        body = await self.api.request("GET", _rollout(key))
        if body["metadata"]["uid"] != uid:
            raise NotFound(f"ImageRollout {key} is another one by now.")

    async def rollout(self, key: Key) -> Mapping[str, Any] | None:
        """An ImageRollout as it is now; None where there is none, or it is none of podpin's business."""
        try:
            return await self.api.request("GET", _rollout(key))
        except (NotFound, Denied):
            return None

    async def release(self, key: Key, release: str) -> Release | None:
        """A release, whole, from its record; None where there is no such record or it cannot be read."""
        try:
            raw = await self.api.request("GET", _record(key, release))
        except (NotFound, Invalid):  # a label that somebody changed may be no name at all
            return None
        return release_from_record(raw["metadata"], raw.get("data") or {})

    async def mount_trouble(self, key: Key, pod: Pod) -> str | None:
        """What the events of a Pod say of a volume that cannot be mounted or a network that it cannot have, or None."""
        query = {"fieldSelector": f"involvedObject.uid={pod.uid},type=Warning", "limit": "50"}
        answer = await self.api.request("GET", f"/api/v1/namespaces/{key.namespace}/events", query=query)
        troubles = [event for event in answer.get("items") or () if event.get("reason") in NOT_SET_UP]
        newest = max(
            troubles, key=lambda event: str(event.get("lastTimestamp") or event.get("eventTime") or ""), default=None
        )
        return str(newest.get("message", "")) if newest else None

    async def platforms(self, placement: str) -> tuple[str, ...]:
        """The platforms, as `os/arch`, of the nodes that a placement allows; read once a minute at most.

        Asked for an image that is new only: nodes change all the time, and podpin watches none.
        """
        async with self._reading_nodes:
            if self._nodes is None or self._monotonic() - self._nodes[0] > NODES_FRESH:
                try:
                    self._nodes = (self._monotonic(), await self._list_nodes())
                except PodpinError:
                    if self._nodes is None:
                        raise  # the nodes of a while ago tell better than none which platforms there are
        return platforms_for(placement, self._nodes[1])

    async def _list_nodes(self) -> tuple[Node, ...]:
        query = {"limit": PAGE}
        nodes: list[Node] = []
        while True:
            try:
                page = await self.api.request("GET", "/api/v1/nodes", query=query)
            except Denied:
                return ()  # who serves a few namespaces may not see the nodes
            nodes.extend(node_of(raw) for raw in page.get("items") or ())
            if not page["metadata"].get("continue"):
                return tuple(nodes)
            query["continue"] = page["metadata"]["continue"]

    async def config_metadata(self, key: Key, kind: str, name: str) -> Mapping[str, Any] | None:
        """The metadata of a ConfigMap or a Secret in the rollout's namespace, or None where there is none.

        The contents are not asked for, and do not come.
        """
        try:
            raw = await self.api.request("GET", _config(key, kind, name), accept=METADATA_ONLY)
        except (NotFound, Invalid):  # what can be no name is nothing's name
            return None
        metadata: Mapping[str, Any] = raw["metadata"]
        return metadata

    async def config(self, key: Key, kind: str, name: str) -> Mapping[str, Any] | None:
        """A ConfigMap or a Secret in the rollout's namespace with its contents, or None where there is none."""
        try:
            return await self.api.request("GET", _config(key, kind, name))
        except (NotFound, Invalid):
            return None

    async def config_key(self, key: Key, uid: str, known: bytes | None = None) -> bytes:
        """The key by which a rollout's copies of configuration get their names; it is made where there is none.

        It is made as it was where that is known still: with another one all copies would have other names.
        Raises Invalid where the Secret that should hold it does not.
        """
        name = names.config_key_name(key.name, uid)
        raw = await self.config(key, SECRET, name)
        if raw is None:
            body = pinned_config.key_manifest(key, uid, known or secrets.token_bytes(pinned_config.KEY_BYTES))
            raw = await self.api.request("POST", _configs(key, SECRET), query=_AS_PODPIN, body=body)
        if (secret := pinned_config.key_in(key, uid, raw)) is None:
            raise Invalid(f"Secret {name} does not hold podpin's key to the copies any more: delete it.")
        return secret

    # --- credentials

    async def access(
        self,
        namespace: str,
        secrets: Iterable[str],
        others: Iterable[str],
        account: str,
        ca: str | None,
        keys: Iterable[str] = (),
    ) -> Access:
        """The credentials and the CA for a rollout's registries, and the keys for its signatures, read now.

        `secrets` and `keys` the rollout names itself: they must exist. `others` are the template's; as for the kubelet,
        one that is missing is passed over, and only where there are none do those of the ServiceAccount count.
        Raises NotFound or Invalid with the Secret's name, and Invalid where an account has a name that can be none.
        """
        data = [await self._pull_secret(namespace, name) for name in secrets]
        named = tuple(others) or await self._account_secrets(namespace, account)
        for name in named:
            try:
                data.append(await self._pull_secret(namespace, name))
            except (NotFound, Invalid) as error:
                log.debug("passing over a pull secret: %s", error)
        try:
            keyring = Keyring.of_secrets(data)
        except KeyringInvalid as error:
            raise Invalid(str(error)) from error
        return Access(
            keyring,
            await self._ca(namespace, ca) if ca else None,
            tuple([(name, await self._public_key(namespace, name)) for name in keys]),
        )

    async def _secret(self, namespace: str, name: str) -> Mapping[str, Any]:
        try:
            return await self.api.request("GET", _path(f"/api/v1/namespaces/{namespace}/secrets", "Secret", name))
        except NotFound as error:
            raise NotFound(
                f"Secret {name} does not exist in namespace {namespace}: create it, or take it out of the spec."
            ) from error

    async def _pull_secret(self, namespace: str, name: str) -> SecretData:
        raw = await self._secret(namespace, name)
        kind = raw.get("type", "")
        if kind not in SECRET_TYPES:
            raise Invalid(
                f"Secret {name} is of type {kind}, not {SECRET_TYPES[0]}: "
                "make it with kubectl create secret docker-registry."
            )
        return SecretData(name, kind, _decoded(name, raw.get("data") or {}))

    async def _account_secrets(self, namespace: str, account: str) -> tuple[str, ...]:
        try:
            raw = await self.api.request(
                "GET", _path(f"/api/v1/namespaces/{namespace}/serviceaccounts", "ServiceAccount", account)
            )
        except NotFound:
            return ()
        return tuple(secret["name"] for secret in raw.get("imagePullSecrets") or () if secret.get("name"))

    async def _ca(self, namespace: str, name: str) -> bytes:
        data = _decoded(name, (await self._secret(namespace, name)).get("data") or {})
        if not data.get("ca.crt"):
            raise Invalid(f"Secret {name} has no key ca.crt: put the registry's CA certificate there, in PEM.")
        return data["ca.crt"]

    async def _public_key(self, namespace: str, name: str) -> bytes:
        data = _decoded(name, (await self._secret(namespace, name)).get("data") or {})
        if not data.get("cosign.pub"):
            raise Invalid(f"Secret {name} has no key cosign.pub: put the public key there, in PEM.")
        return data["cosign.pub"]

    # --- acting

    async def write_record(self, key: Key, uid: str, release: Release, record: Record) -> None:
        """Create the record of a release; one that is there already is left as it is.

        It is applied, not posted: only so does the API server store the data in its own spelling, without which it
        takes each later change of the annotations for a change of the immutable data.
        """
        body = record_manifest(key.name, key.namespace, owner_reference(key.name, uid), release, record)
        query = {**_AS_PODPIN, "force": "true"}
        raw = await self.api.request("PATCH", _record(key, release.id), query=query, body=body, kind=APPLY)
        self._mine(self._records, key).put(raw)

    async def judge(self, key: Key, record: Record) -> None:
        """Write a record's verdict."""
        body = {"metadata": {"annotations": annotations_of(record)}}
        raw = await self.api.request("PATCH", _record(key, record.release), query=_AS_PODPIN, body=body, kind=MERGE)
        self._mine(self._records, key).put(raw)

    async def apply(self, key: Key, manifest: Mapping[str, Any], uid: str | None) -> Workload:
        """Apply podpin's own workload, server-side, and return it as the API server has it now.

        Raises Conflict where the workload that was seen is another one by now.
        """
        if uid and "replicas" not in manifest["spec"]:
            await self._keep_replicas(key, uid)
        body = {**manifest, "metadata": {**manifest["metadata"], **({"uid": uid} if uid else {})}}
        return await self._applied(key, body)

    async def apply_pins(self, key: Key, manifest: Mapping[str, Any], uid: str) -> Workload:
        """Apply podpin's part of somebody else's workload, and return it as the API server has it now.

        Raises Conflict where that workload is another one by now, or has no longer the containers that are named: an
        apply would make them.
        """
        place = Place(manifest["kind"], manifest["metadata"]["name"])
        live = await self.live_workload(key, place)
        if live is None or live["metadata"]["uid"] != uid or adopted.lacking(place.kind, live, manifest):
            raise Conflict(f"The {place} has changed since podpin looked at it.")
        version = live["metadata"]["resourceVersion"]
        if (left := adopted.given_up(place.kind, live, manifest)) is not None:
            query = {"fieldManager": names.FIELD_MANAGER_LEFT, "force": "true"}
            raw = await self.api.request("PATCH", _workload(key, place), query=query, body=left, kind=APPLY)
            version = raw["metadata"]["resourceVersion"]
        metadata = {**manifest["metadata"], "uid": uid, "resourceVersion": version}
        return await self._applied(key, {**manifest, "metadata": metadata})

    async def _applied(self, key: Key, body: Mapping[str, Any]) -> Workload:
        place = Place(body["kind"], body["metadata"]["name"])
        query = {**_AS_PODPIN, "force": "true"}
        raw = await self.api.request("PATCH", _workload(key, place), query=query, body=body, kind=APPLY)
        workload = self._mine(self._workloads[place.kind], key).put(raw)
        assert isinstance(workload, Workload)
        return workload

    async def remove_canary(self, key: Key, uid: str) -> None:
        """Delete the Deployment of a canary, and its Pods with it, unless it is another one by now, or gone."""
        place = names.canary_place(key.name)
        body = {"propagationPolicy": "Background", "preconditions": {"uid": uid}}
        with contextlib.suppress(NotFound, Conflict):
            await self.api.request("DELETE", _workload(key, place), body=body)
        self._mine(self._workloads[place.kind], key).drop(key.namespace, place.name)

    async def write_copy(self, key: Key, manifest: Mapping[str, Any]) -> None:
        """Make a copy of a ConfigMap or a Secret; raises Conflict where its name is taken."""
        await self.api.request("POST", _configs(key, manifest["kind"]), query=_AS_PODPIN, body=manifest)

    async def drop_copy(self, key: Key, uid: str, one: Copy) -> None:
        """Delete a copy of the rollout's, unless it is gone; what is not podpin's copy stays."""
        metadata = await self.config_metadata(key, one.kind, one.name)
        if metadata is None or not pinned_config.is_owned(key, uid, metadata):
            return
        body = {"preconditions": {"uid": metadata["uid"]}}
        with contextlib.suppress(NotFound, Conflict):
            await self.api.request("DELETE", _config(key, one.kind, one.name), body=body)

    # --- Pods of podpin's own

    async def rehearse(self, key: Key, manifest: Mapping[str, Any]) -> None:
        """Ask whether a Pod would be taken, without making it; raises Invalid or Denied where it would not."""
        query = {**_AS_PODPIN, "dryRun": "All"}
        await self.api.request("POST", _pods(key), query=query, body=manifest)

    async def create_pod(self, key: Key, uid: str, manifest: Mapping[str, Any]) -> bool:
        """Make a Pod. One of that name that is there already is taken in instead, so that the next look knows of it.

        Returns whether the name is the rollout's to use: False where somebody else's Pod has it.
        """
        mirror = self._mine(self._pods, key)
        try:
            raw = await self.api.request("POST", _pods(key), query=_AS_PODPIN, body=manifest)
        except Conflict:
            raw = await self.api.request("GET", _pod(key, manifest["metadata"]["name"]))
            pod, rollout = pod_of(raw), names.rollout_of(raw["metadata"].get("labels") or {})
            if pod is None or rollout != key.name or pod.owner not in (uid, None):
                return False
        mirror.put(raw)
        return True

    async def delete_pod(self, key: Key, name: str, uid: str) -> None:
        """Delete a Pod, unless it is gone or another one by now."""
        body = {"preconditions": {"uid": uid}}
        mirror = self._mine(self._pods, key)
        try:
            raw = await self.api.request("DELETE", _pod(key, name), body=body)
        except NotFound:
            mirror.drop(key.namespace, name)
            return
        # A Pod that no kubelet has yet is gone at once.
        if raw.get("kind") == "Pod" and raw["metadata"].get("deletionGracePeriodSeconds"):
            mirror.put(raw)
        else:
            mirror.drop(key.namespace, name)

    async def evict_pod(self, key: Key, name: str, uid: str) -> str | None:
        """Evict a Pod, unless it is gone; returns why its PodDisruptionBudget does not allow that, or None."""
        body = {
            "apiVersion": "policy/v1",
            "kind": "Eviction",
            "metadata": {"name": name, "namespace": key.namespace},
            "deleteOptions": {"preconditions": {"uid": uid}},
        }
        mirror = self._mine(self._pods, key)
        try:
            await self.api.request("POST", f"{_pod(key, name)}/eviction", body=body)
            mirror.put(await self.api.request("GET", _pod(key, name)))
        except NotFound:
            mirror.drop(key.namespace, name)
        except Unavailable as error:
            if not BUDGET.search(str(error)):
                raise
            return str(error)
        return None

    async def patch_pod(self, key: Key, action: PatchPod) -> None:
        """Change the images of a running Pod, and note on it what was known of its containers by then.

        It is read first, so that the note is exact, and Conflict is raised where it has moved on since.
        """
        path = _pod(key, action.name)
        live = await self.api.request("GET", path)
        if live["metadata"]["uid"] != action.uid:
            raise Conflict(f"Pod {action.name} is another one by now.")
        noted = in_place.note(action.at, [container for container, _ in action.images], live)
        body = {
            "metadata": {
                "resourceVersion": live["metadata"]["resourceVersion"],
                "labels": {names.LABEL_RELEASE: action.id},
                "annotations": {names.ANNOTATION_PATCHED: noted, names.ANNOTATION_RETRIED: action.retried},
            },
            "spec": {"containers": [{"name": container, "image": image} for container, image in action.images]},
        }
        raw = await self.api.request("PATCH", path, query=_AS_PODPIN, body=body, kind=STRATEGIC)
        self._mine(self._pods, key).put(raw)

    async def adopt_pod(self, key: Key, uid: str, name: str, pod_uid: str) -> None:
        """Make the ImageRollout the controller of a Pod that has none.

        Raises NotFound where the ImageRollout is another one by now or about to go: it may have let go of the Pod.
        """
        rollout = await self.api.request("GET", _rollout(key))
        if rollout["metadata"]["uid"] != uid or rollout["metadata"].get("deletionTimestamp"):
            raise NotFound(f"ImageRollout {key} is going away.")
        body = {"metadata": {"uid": pod_uid, "ownerReferences": [owner_reference(key.name, uid)]}}
        raw = await self.api.request("PATCH", _pod(key, name), query=_AS_PODPIN, body=body, kind=STRATEGIC)
        self._mine(self._pods, key).put(raw)

    async def _keep_replicas(self, key: Key, uid: str) -> None:
        """Hand the number of replicas over before it is left out: what nobody applies any more falls back to 1.

        The recipe is Kubernetes' own ("Transferring ownership between managers" in the reference of Server-Side Apply).
        """
        place = Place("Deployment", names.workload_name(key.name))
        live = await self.live_workload(key, place)
        fields = (live or {}).get("metadata", {}).get("managedFields") or ()
        ours = any(
            entry.get("manager") == names.FIELD_MANAGER and "f:replicas" in entry.get("fieldsV1", {}).get("f:spec", {})
            for entry in fields
        )
        if live is None or not ours:
            return
        body = {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": place.name, "uid": uid},
            "spec": {"replicas": live["spec"]["replicas"]},
        }
        query = {"fieldManager": names.FIELD_MANAGER_SCALE, "force": "true"}
        await self.api.request("PATCH", _workload(key, place), query=query, body=body, kind=APPLY)

    async def prune(self, key: Key, release: str) -> None:
        """Delete the record of a release."""
        with contextlib.suppress(NotFound):
            await self.api.request("DELETE", _record(key, release))
        self._mine(self._records, key).drop(key.namespace, names.record_name(key.name, release))

    async def write_status(self, key: Key, uid: str, status: Mapping[str, Any]) -> Mapping[str, Any]:
        """Replace the status of an ImageRollout; returns the object as it is then.

        Raises NotFound where the ImageRollout is gone, and Invalid where it is another one by now: so the API server
        calls a test within a patch that fails.
        """
        body = [
            {"op": "test", "path": "/metadata/uid", "value": uid},
            {"op": "add", "path": "/status", "value": status},
        ]
        path = f"{_rollout(key)}/status"
        return await self.api.request("PATCH", path, query=_AS_PODPIN, body=body, kind=JSON_PATCH)

    def announce(self, key: Key, uid: str, notice: Notice, now: datetime) -> None:
        """Post an event about an ImageRollout, beside the work: an event that gets lost changes nothing.

        A rollout's events are posted one after another, under names that sort by time: their times are only to the
        second, and kubectl puts equal ones in the order of their names.
        """
        before = self._posting.get(key)
        name = f"{key.name}.{int(now.timestamp() * 1e6):x}.{next(self._posted):04x}"
        task = asyncio.get_running_loop().create_task(self._post(key, uid, name, notice, now, before))
        self._posting[key] = task
        task.add_done_callback(functools.partial(self._has_posted, key))

    def _has_posted(self, key: Key, task: asyncio.Task[None]) -> None:
        if self._posting.get(key) is task:
            del self._posting[key]

    async def flush(self) -> None:
        """Wait for the events that are on their way."""
        await asyncio.gather(*self._posting.values())

    async def _post(
        self, key: Key, uid: str, name: str, notice: Notice, now: datetime, before: asyncio.Task[None] | None
    ) -> None:
        if before is not None:
            await asyncio.wait([before])
        about = {
            "apiVersion": names.API_VERSION,
            "kind": names.KIND,
            "namespace": key.namespace,
            "name": key.name,
            "uid": uid,
        }
        body = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": name, "namespace": key.namespace},
            "involvedObject": about,
            "type": notice.type,
            "reason": notice.reason,
            "message": notice.message[:LONGEST_EVENT],
            "source": {"component": names.FIELD_MANAGER},
            "reportingComponent": names.FIELD_MANAGER,
            "reportingInstance": self._instance,
            "firstTimestamp": write_time(now),
            "lastTimestamp": write_time(now),
            "count": 1,
            "action": notice.reason,
        }
        try:
            await self.api.request("POST", f"/api/v1/namespaces/{key.namespace}/events", body=body)
        except PodpinError as error:
            log.warning("%s: the event %s could not be posted: %s", key, notice.reason, error)


def _record_of(raw: Mapping[str, Any]) -> Record | None:
    return record_of(raw["metadata"])


def _path(folder: str, kind: str, name: str) -> str:
    """The path of one object; raises Invalid where the name could lead anywhere else."""
    if not _NAME.fullmatch(name):
        raise Invalid(f"{name[:300]!r} can't be the name of a {kind}: lower-case letters, digits, '-' and '.' only.")
    return f"{folder}/{name}"


def _rollout(key: Key) -> str:
    return _path(f"/apis/{names.API_VERSION}/namespaces/{key.namespace}/{names.PLURAL}", names.KIND, key.name)


def _workload(key: Key, place: Place) -> str:
    kind = KINDS[place.kind]
    return _path(f"/{kind.group}/namespaces/{key.namespace}/{kind.plural}", place.kind, place.name)


def _record(key: Key, release: str) -> str:
    name = names.record_name(key.name, release)
    return _path(f"/apis/apps/v1/namespaces/{key.namespace}/controllerrevisions", "ControllerRevision", name)


def _configs(key: Key, kind: str) -> str:
    folder = {CONFIG_MAP: "configmaps", SECRET: "secrets"}[kind]
    return f"/api/v1/namespaces/{key.namespace}/{folder}"


def _config(key: Key, kind: str, name: str) -> str:
    return _path(_configs(key, kind), kind, name)


def _pods(key: Key) -> str:
    return f"/api/v1/namespaces/{key.namespace}/pods"


def _pod(key: Key, name: str) -> str:
    return _path(_pods(key), "Pod", name)


def _decoded(name: str, data: Mapping[str, Any]) -> dict[str, bytes]:
    try:
        return {key: base64.b64decode(str(value), validate=True) for key, value in data.items()}
    except binascii.Error as error:
        raise Invalid(f"Secret {name} holds something that is no base64.") from error
