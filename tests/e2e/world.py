"""What a bystander sees: every state that each object of the cluster has been in, in order.

Tests ask this instead of the API server. So a hundred of them can wait at once at no cost, and a test can say "never":
never without a digest, never unready, no template in between.
"""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING, Any, Final

import urllib3
from kubernetes import client, config
from tests.waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

Json = dict[str, Any]

PATHS: Final = {
    "rollouts": "/apis/podpin.dev/v1alpha1/imagerollouts",
    "deployments": "/apis/apps/v1/deployments",
    "replicasets": "/apis/apps/v1/replicasets",
    "records": "/apis/apps/v1/controllerrevisions",
    "pods": "/api/v1/pods",
    "events": "/api/v1/events",
}
WATCH_SECONDS: Final = 5


class World:
    """Watches the whole cluster in the background, from `start` to `stop`."""

    def __init__(self, kubeconfig: Path) -> None:
        self._client = config.new_client_from_config(str(kubeconfig))
        self._lock = threading.Lock()
        self._histories: dict[tuple[str, str, str], list[Json]] = {}
        self._names: dict[tuple[str, str], dict[str, None]] = {}
        self._gone: set[tuple[str, str, str]] = set()
        self._listed = {kind: threading.Event() for kind in PATHS}
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._keep_watching, args=(kind,), daemon=True) for kind in PATHS]

    def start(self) -> None:
        """Begin; returns once everything has been seen once."""
        for thread in self._threads:
            thread.start()
        wait_for(lambda: all(one.is_set() for one in self._listed.values()), 30, "the first list of everything")

    def stop(self) -> None:
        """End; the watches that are open run out by themselves."""
        self._stop.set()
        for thread in self._threads:
            thread.join(WATCH_SECONDS + 5)
        self._client.rest_client.pool_manager.clear()

    def history(self, kind: str, namespace: str, name: str) -> list[Json]:
        """All states of an object, oldest first; of one made anew, those of its predecessor too."""
        with self._lock:
            return list(self._histories.get((kind, namespace, name), ()))

    def now(self, kind: str, namespace: str) -> dict[str, Json]:
        """The objects that are there now, by name."""
        with self._lock:
            return {
                name: self._histories[kind, namespace, name][-1]
                for name in self._names.get((kind, namespace), ())
                if (kind, namespace, name) not in self._gone
            }

    def ever(self, kind: str, namespace: str) -> dict[str, list[Json]]:
        """The histories of all objects that have ever been there, by name, in the order in which they appeared."""
        with self._lock:
            return {
                name: list(self._histories[kind, namespace, name]) for name in self._names.get((kind, namespace), ())
            }

    def get(self, kind: str, namespace: str, name: str) -> Json | None:
        """An object as it is now, or None."""
        return self.now(kind, namespace).get(name)

    # --- watching

    def _keep_watching(self, kind: str) -> None:
        version = ""
        while not self._stop.is_set():
            try:
                version = self._watch(kind, version) if version else self._list(kind)
            except (OSError, ValueError, urllib3.exceptions.HTTPError, client.ApiException):
                version = ""
                self._stop.wait(0.2)

    def _list(self, kind: str) -> str:
        with self._open(PATHS[kind]) as answer:
            content = json.loads(answer.read())
        if answer.status != 200:
            raise OSError(f"listing {kind}: {answer.status}")
        version: str = content["metadata"]["resourceVersion"]
        found = {(one["metadata"].get("namespace", ""), one["metadata"]["name"]) for one in content["items"]}
        with self._lock:
            for one in content["items"]:
                self._put(kind, one)
            for known, namespace, name in self._histories:
                if known == kind and (namespace, name) not in found:
                    self._gone.add((kind, namespace, name))
        self._listed[kind].set()
        return version

    def _watch(self, kind: str, version: str) -> str:
        path = f"{PATHS[kind]}?watch=true&timeoutSeconds={WATCH_SECONDS}&resourceVersion={version}"
        with self._open(path) as answer:
            if answer.status != 200:
                return ""
            for line in _lines(answer):
                event = json.loads(line)
                if event["type"] == "ERROR":
                    return ""
                metadata = event["object"]["metadata"]
                version = metadata["resourceVersion"]
                with self._lock:
                    if event["type"] == "DELETED":
                        self._gone.add((kind, metadata.get("namespace", ""), metadata["name"]))
                    else:
                        self._put(kind, event["object"])
        return version

    def _put(self, kind: str, body: Json) -> None:
        namespace, name = body["metadata"].get("namespace", ""), body["metadata"]["name"]
        history = self._histories.setdefault((kind, namespace, name), [])
        self._names.setdefault((kind, namespace), {})[name] = None
        self._gone.discard((kind, namespace, name))
        if not history or version_of(history[-1]) < version_of(body):
            history.append(body)

    def _open(self, path: str) -> urllib3.BaseHTTPResponse:
        headers = {"Accept": "application/json", "User-Agent": "podpin-tests-world"}
        self._client.update_params_for_auth(headers, [], ["BearerToken"], path, "GET", None)
        url = f"{self._client.configuration.host}{path}"
        answer = self._client.call_api("GET", url, header_params=headers, _request_timeout=(5, WATCH_SECONDS + 10))
        response: urllib3.BaseHTTPResponse = answer.response
        return response


def version_of(body: Json) -> int:
    """The resource version, which is a number that grows."""
    return int(body["metadata"]["resourceVersion"])


def _lines(answer: urllib3.BaseHTTPResponse) -> Iterator[bytes]:
    rest = b""
    for chunk in answer.stream(1 << 20):
        *whole, rest = (rest + chunk).split(b"\n")
        yield from whole
