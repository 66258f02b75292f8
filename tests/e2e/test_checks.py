"""Checks of one's own, on the cluster: Pods that are ready and do the wrong thing all the same."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import pytest
from tests.e2e.stage import both_kinds, pod_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.e2e.stage import Stage
    from tests.e2e.world import Json

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]


def service(stage: Stage) -> str:
    """The URL of a Service before the application's Pods."""
    ports = [{"port": 80, "targetPort": 8080}]
    body = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"}}
    stage.apply({**body, "spec": {"selector": {"app": "web"}, "ports": ports}})
    return stage.cluster.service_url("web", stage.namespace)


def checked(stage: Stage, check: Json, kind: str = "Deployment", **rollout: Any) -> Json:
    """A rollout whose Pods are ready whatever their /healthz says: that is left to the check."""
    usual = {"name": "front", "interval": "1s", "timeout": "3s", "failuresAllowed": 1}
    manifest = stage.rollout(rollout={"bakeTime": "3s", "checks": [usual | check], **rollout}, workload={"kind": kind})
    pod_of(manifest)["containers"][0]["readinessProbe"]["httpGet"]["path"] = "/"
    return manifest


@both_kinds
def test_a_version_whose_pods_are_ready_and_answer_wrongly_is_rolled_back(stage: Stage, kind: str) -> None:
    stage.need("reach-services", "audit")
    url = service(stage)
    stage.push("1.0.0")
    stage.apply(checked(stage, {"http": {"url": f"{url}/healthz", "status": {"max": 200}}}, kind))
    stage.until_stable("1.0.0")
    begun = stage.mark()
    stage.push("1.1.0")
    stage.look()
    stage.until_stable("1.1.0")
    writes = [(one.verb, one.resource, one.subresource) for one in stage.writes(begun)]
    moved = sum(resource == "pods" for _, resource, _ in writes)
    assert moved == (4 if kind == "Pods" else 0)
    assert len(writes) - moved <= 6, writes  # one of them for the request to look
    stage.push("1.2.0", "unready")
    stage.look()
    ready = stage.until_says("RolledBack", "CheckFailed")
    assert "the check front failed more than once: HTTP 404 where 200 was expected" in ready["message"]
    stage.push("1.3.0")
    stage.look()
    stage.until_stable("1.3.0")
    assert stage.verdicts() == {"1.0.0": "Stable", "1.1.0": "Stable", "1.2.0": "CheckFailed", "1.3.0": "Stable"}
    stage.assert_pinned()


class Prometheus:
    """As much of Prometheus as answers one query, with the number that a test says; None is no number.

    Of the release that is `known` to be good, the number is 0.
    """

    def __init__(self) -> None:
        self.number: float | None = 0.0
        self.known = "no release"
        self.queries: set[str] = set()


@contextlib.contextmanager
def prometheus(stage: Stage) -> Iterator[tuple[Prometheus, str]]:
    """It runs on this machine, at the address by which the cluster is reached: podpin does not ask loopback."""
    told = Prometheus()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            url = urlsplit(self.path)
            query = parse_qs(url.query).get("query", [""])[0]
            told.queries.add(query)
            number = 0.0 if told.known in query else told.number
            values = [] if number is None else [{"metric": {}, "value": [0, str(number)]}]
            body = json.dumps({"status": "success", "data": {"resultType": "vector", "result": values}}).encode()
            self.send_response(200 if url.path == "/api/v1/query" else 404)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect((urlsplit(stage.cluster.service_url("web", stage.namespace)).hostname, 80))
        here = probe.getsockname()[0]
    with ThreadingHTTPServer((here, 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield told, f"http://{here}:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def test_a_version_whose_numbers_are_bad_is_rolled_back(stage: Stage) -> None:
    stage.need("reach-services")
    service(stage)
    with prometheus(stage) as (told, address):
        query = 'sum(errors{namespace="$(namespace)",release="$(release)"})'
        stage.push("1.0.0")
        stage.apply(checked(stage, {"prometheus": {"address": address, "query": query, "max": 0.5}}))
        stage.until_stable("1.0.0")
        stage.push("1.1.0")
        told.known, told.number = stage.release("1.0.0"), None
        stage.look()
        stage.until_says("Progressing", "the check front has given no number yet")
        told.number = 0.75
        ready = stage.until_says("RolledBack", "CheckFailed")
        assert "0.75 where 0.5 or less was expected" in ready["message"]
        release = stage.release("1.1.0")
        assert f'sum(errors{{namespace="{stage.namespace}",release="{release}"}})' in told.queries


def test_a_check_that_podpin_may_not_make_holds_a_version_up_and_blames_it_for_nothing(stage: Stage) -> None:
    stage.push("1.0.0")
    stage.apply(checked(stage, {"http": {"url": "http://127.0.0.1:8080/"}}))
    ready = stage.until_says("CheckUnavailable", "a loopback address, where podpin does not connect to")
    assert ready["status"] == "Unknown"
    assert stage.verdicts() == {"1.0.0": ""}
    stage.change({"spec": {"rollout": {"checks": None}}})
    stage.until_stable("1.0.0")
    assert len(stage.templates()) == 1
