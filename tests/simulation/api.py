"""The API server: objects with versions and generations, server-side apply, and watches that are played back late.

It knows no kind of its own but for what its admission does with Deployments and ImageRollouts, so that another kind is
a name more. Stored objects are never changed in place: who holds one holds that version of it.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final, Protocol

from podpin.adapters.kube.api import APPLY, JSON_PATCH, MERGE, STRATEGIC, Expired
from podpin.core.times import write_time
from podpin.errors import Conflict, Invalid, NotFound
from tests.builders import at

if TYPE_CHECKING:
    from tests.simulation.clockwork import Clockwork

Json = dict[str, Any]

KEPT: Final = 400
"""How many changes of a collection the API server remembers for watches."""
DEFAULTS: Final[Mapping[str, Any]] = {"replicas": 1, "progressDeadlineSeconds": 600, "revisionHistoryLimit": 10}
WITH_GENERATION: Final = ("deployments", "imagerollouts")


class PodKeeper(Protocol):
    """Whoever looks after the Pods, which live on when the API server has answered."""

    def admit(self, manifest: Json, *, rehearsed: bool) -> Json:
        """Make a Pod, or only ask whether it could be made; raises Denied where it may not be."""

    def let_go(self, name: str) -> Json:
        """Delete a Pod; returns it as it is then."""

    def evict(self, name: str) -> Json:
        """Evict a Pod; raises Unavailable where a budget does not allow it."""

    def hand_over(self, name: str, owners: list[Json]) -> Json:
        """Give a Pod other owners; returns it as it is then."""


class ApiServer:
    def __init__(self, clock: Clockwork) -> None:
        self._clock = clock
        self.pods: PodKeeper | None = None
        self._versions = itertools.count(1000)
        self._uids = itertools.count(1)
        self._objects: defaultdict[str, dict[str, Json]] = defaultdict(dict)
        self._journals: defaultdict[str, list[tuple[int, str, Json]]] = defaultdict(list)
        self._applied: dict[tuple[str, str], dict[str, Json]] = {}
        """What each manager has applied of an object, by collection and name."""
        self.heard: list[Callable[[str, str, Json], None]] = []
        """Told of each change: the collection, what has happened, the object."""

    # --- what the cluster's own parts do

    def get(self, collection: str, name: str) -> Json | None:
        """An object as it is now."""
        return self._objects[collection].get(name)

    def all(self, collection: str) -> list[Json]:
        """All objects of a collection."""
        return list(self._objects[collection].values())

    def put(self, collection: str, raw: Json) -> Json:
        """Store an object, with a new version, and a new generation where its spec has changed."""
        name = raw["metadata"]["name"]
        old = self._objects[collection].get(name)
        metadata = {**raw["metadata"], "namespace": "shop", "resourceVersion": str(next(self._versions))}
        metadata.setdefault("uid", f"{collection}-{next(self._uids)}")
        metadata.setdefault("creationTimestamp", write_time(at(self._clock.now)))
        if collection in WITH_GENERATION:
            before = old["metadata"]["generation"] if old else 0
            metadata["generation"] = before + (old is None or old["spec"] != raw["spec"])
        stored = {**raw, "metadata": metadata}
        self._objects[collection][name] = stored
        self._tell(collection, "ADDED" if old is None else "MODIFIED", stored)
        return stored

    def remove(self, collection: str, name: str) -> None:
        """Delete an object, and whatever it owns."""
        old = self._objects[collection].pop(name, None)
        if old is None:
            return
        self._applied.pop((collection, name), None)
        gone = {**old, "metadata": {**old["metadata"], "resourceVersion": str(next(self._versions))}}
        self._tell(collection, "DELETED", gone)
        for other in ("deployments", "controllerrevisions"):  # Pods take their time: their keeper hears of it
            for raw in self.all(other):
                owners = raw["metadata"].get("ownerReferences") or ()
                if any(owner["uid"] == old["metadata"]["uid"] for owner in owners):
                    self.remove(other, raw["metadata"]["name"])

    def update_spec(self, collection: str, name: str, **fields: Any) -> None:
        """Somebody else than podpin writes fields of a spec, and owns them; of a template only what differs."""
        raw = self._objects[collection][name]
        theirs = fields.keys() - {"template"}
        for applied in self._applied.get((collection, name), {}).values():
            applied["spec"] = {field: value for field, value in applied["spec"].items() if field not in theirs}
        self.put(collection, self._with_managers(collection, {**raw, "spec": {**raw["spec"], **fields}}))

    def _tell(self, collection: str, kind: str, raw: Json) -> None:
        journal = self._journals[collection]
        journal.append((int(raw["metadata"]["resourceVersion"]), kind, raw))
        if len(journal) > 2 * KEPT:
            del journal[:KEPT]
        for listener in self.heard:
            listener(collection, kind, raw)

    # --- what comes over the wire

    def since(self, collection: str, version: int) -> list[tuple[int, str, Json]]:
        """The changes after a version. Raises Expired where they are not remembered any more."""
        journal = self._journals[collection]
        if len(journal) > KEPT and journal[0][0] > version + 1 and version < journal[-KEPT][0]:
            raise Expired("too old resource version")
        # Mostly few are new: they stand at the end.
        start = len(journal)
        while start and journal[start - 1][0] > version:
            start -= 1
        return journal[start:]

    def read(self, path: str, query: Mapping[str, str]) -> Json:
        """Answer a GET of an object or a list."""
        collection, name = place_of(path)
        if name is None:
            items = [raw for raw in self.all(collection) if _selected(raw, query.get("labelSelector", ""))]
            version = str(next(self._versions))
            return {"metadata": {"resourceVersion": version}, "items": items}
        found = self.get(collection, name)
        if found is None:
            raise NotFound(f"{collection} {name} not found")
        return found

    def write(self, method: str, path: str, query: Mapping[str, str], body: Any, kind: str) -> Json:
        """Carry out a POST, a PATCH or a DELETE."""
        collection, name = place_of(path)
        if collection == "pods":
            return self._write_pod(method, path, query, body, kind)
        assert name is not None
        old = self.get(collection, name)
        if method == "DELETE":
            if old is None:
                raise NotFound(f"{collection} {name} not found")
            _precondition(old, body)
            self.remove(collection, name)
            return old
        if kind == APPLY:
            return self._apply(collection, name, query["fieldManager"], body)
        if old is None:
            raise NotFound(f"{collection} {name} not found")
        if kind == MERGE:
            return self.put(collection, _merged(old, body))
        assert kind == JSON_PATCH
        test, add = body
        if test["value"] != old["metadata"]["uid"]:
            raise Invalid("the test of the patch failed")
        return self.put(collection, {**old, add["path"].strip("/"): add["value"]})

    def _write_pod(self, method: str, path: str, query: Mapping[str, str], body: Any, kind: str) -> Json:
        assert self.pods is not None
        _, name = place_of(path)
        if name is None:
            made = body["metadata"].get("name")
            if made is not None and self.get("pods", made) is not None:
                raise Conflict(f"pods {made} already exists")
            return self.pods.admit(body, rehearsed="dryRun" in query)
        old = self.get("pods", name)
        if old is None:
            raise NotFound(f"pods {name} not found")
        if method == "POST":
            _precondition(old, body["deleteOptions"])
            return self.pods.evict(name)
        if method == "DELETE":
            _precondition(old, body)
            return self.pods.let_go(name)
        assert kind == STRATEGIC
        if body["metadata"]["uid"] != old["metadata"]["uid"]:
            raise Conflict("the uid is another one")
        return self.pods.hand_over(name, body["metadata"]["ownerReferences"])

    def _apply(self, collection: str, name: str, manager: str, body: Json) -> Json:
        old = self.get(collection, name)
        uid = body["metadata"].get("uid")
        if uid is not None and (old is None or old["metadata"]["uid"] != uid):
            raise Conflict("the uid is another one")
        managers = self._applied.setdefault((collection, name), {})
        before = managers.get(manager, {})
        others = [applied for other, applied in managers.items() if other != manager]
        managers[manager] = {**body, "spec": dict(body.get("spec") or {})}
        raw = _merged(_without(old or {}, before, body, others), body)
        if collection == "deployments":
            raw["spec"] = {**DEFAULTS, **raw["spec"]}
        raw = self._with_managers(collection, raw)
        same = old is not None and _plain(old) == _plain(raw)
        return old if same and old is not None else self.put(collection, raw)

    def _with_managers(self, collection: str, raw: Json) -> Json:
        if collection != "deployments":
            return raw
        managers = self._applied.get((collection, raw["metadata"]["name"]), {})
        told = [
            {"manager": manager, "fieldsV1": {"f:spec": {"f:replicas": {}} if "replicas" in applied["spec"] else {}}}
            for manager, applied in managers.items()
        ]
        return {**raw, "metadata": {**raw["metadata"], "managedFields": told}}


def _precondition(raw: Json, options: Any) -> None:
    uid = ((options or {}).get("preconditions") or {}).get("uid")
    if uid is not None and uid != raw["metadata"]["uid"]:
        raise Conflict("the uid in the precondition is another one")


def place_of(path: str) -> tuple[str, str | None]:
    """Collection and name of a path; no name for that of a list."""
    parts = path.strip("/").split("/")
    if "namespaces" not in parts:
        return parts[-1], None
    rest = parts[parts.index("namespaces") + 2 :]
    return rest[0], rest[1] if len(rest) > 1 else None


def _selected(raw: Json, selector: str) -> bool:
    label, _, value = selector.partition("=")
    labels = raw["metadata"].get("labels") or {}
    return not label or (label in labels and (not value or labels[label] == value))


def _plain(raw: Json) -> Json:
    return {**raw, "metadata": {key: value for key, value in raw["metadata"].items() if key != "resourceVersion"}}


def _named(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(one, dict) and "name" in one for one in value)


def _merged(old: Any, new: Any) -> Any:
    """A value with another merged into it: maps by key, lists of things with names by these, all else as a whole."""
    if isinstance(old, dict) and isinstance(new, dict):
        merged = dict(old)
        for key, value in new.items():
            if value is None:
                merged.pop(key, None)
            else:
                merged[key] = _merged(merged.get(key), value)
        return merged
    if _named(old) and _named(new):
        before = {one["name"]: one for one in old}
        names = [one["name"] for one in new]
        return [
            *(_merged(before.get(one["name"]), one) for one in new),
            *(one for one in old if one["name"] not in names),
        ]
    if isinstance(new, dict):
        return {key: _merged(None, value) for key, value in new.items() if value is not None}
    return new


def _without(live: Any, before: Any, now: Any, others: Iterable[Any]) -> Any:
    """What lives, without what a manager applied before, applies no more, and nobody else has applied."""
    if isinstance(live, dict) and isinstance(before, dict):
        kept = {}
        for key, value in live.items():
            theirs = [other[key] for other in others if isinstance(other, dict) and key in other]
            if key in before and not (isinstance(now, dict) and key in now) and not theirs:
                continue
            inner = now.get(key) if isinstance(now, dict) else None
            kept[key] = _without(value, before.get(key), inner, theirs)
        return kept
    if _named(live) and _named(before):
        mine = {one["name"]: one for one in before}
        still = {one["name"]: one for one in now or ()}
        return [
            _without(one, mine.get(one["name"]), still.get(one["name"]), ())
            for one in live
            if one["name"] not in mine or one["name"] in still
        ]
    return live
