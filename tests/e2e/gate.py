"""A gate before the cluster's registry, for one test alone: everybody is served but whom the test turns away.

The node and podpin reach the registry through it under one more name, so a test can let the registry fail for one of
them without any other test noticing.
"""

from __future__ import annotations

import contextlib
import http.client
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Final

from tests.cluster.local import LocalCluster

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.cluster.protocol import Cluster

NODE: Final = "containerd/"
PODPIN: Final = "podpin"
GATES: Final = 6
"""How many there are: one for each test that takes one."""


class Gate(ThreadingHTTPServer):
    """Forwards to the registry, except for those who are turned away."""

    daemon_threads = True

    def __init__(self, host: str, registry: str) -> None:
        super().__init__((host, 0), _Passage)
        self.registry = registry
        self.address = f"{host}:{self.server_address[1]}"
        self._refusals: dict[str, tuple[int, Mapping[str, str], bytes]] = {}
        self.turned_away: list[str] = []
        """The paths that were asked for by those who were turned away."""

    def turn_away(self, agent: str, status: int, body: bytes = b"", **headers: str) -> None:
        """Answer whoever's user agent begins so with this, instead of the registry's answer."""
        self._refusals[agent] = (status, {name.replace("_", "-"): text for name, text in headers.items()}, body)

    def close(self) -> None:
        """Stop serving."""
        self.shutdown()
        self.server_close()

    def let_in(self) -> None:
        """Serve everybody again."""
        self._refusals.clear()

    def refusal(self, agent: str) -> tuple[int, Mapping[str, str], bytes] | None:
        """What to say to this user agent instead."""
        return next((answer for start, answer in self._refusals.items() if agent.startswith(start)), None)


class _Passage(BaseHTTPRequestHandler):
    server: Gate
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        refusal = self.server.refusal(self.headers.get("User-Agent", ""))
        if refusal is not None:
            self.server.turned_away.append(self.path)
            self._answer(*refusal)
            return
        connection = http.client.HTTPConnection(self.server.registry, timeout=30)
        with contextlib.closing(connection):
            connection.request(self.command, self.path, headers=dict(self.headers.items()))
            answer = connection.getresponse()
            self._answer(answer.status, dict(answer.headers.items()), answer.read())

    do_HEAD = do_GET  # noqa: N815 - the name that the base class looks for

    def _answer(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        self.send_response(status)
        length = str(len(body))
        for name, value in headers.items():
            if name.lower() == "content-length":
                length = value
            elif name.lower() not in ("connection", "transfer-encoding", "date", "server"):
                self.send_header(name, value)
        self.send_header("Content-Length", length)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002 - the name that the base class has
        """Say nothing."""


def gates_of(cluster: Cluster) -> list[Gate]:
    """Gates that this machine and the node know by one name; none where a test cannot tell the node about them."""
    if not isinstance(cluster, LocalCluster):
        return []
    gates = [Gate(cluster.network.gateway, cluster.registry.address) for _ in range(GATES)]
    for gate in gates:
        hosts = cluster.run / "registries" / gate.address
        hosts.mkdir(exist_ok=True)
        (hosts / "hosts.toml").write_text(f'server = "http://{gate.address}"\n[host]\n')
        threading.Thread(target=gate.serve_forever, kwargs={"poll_interval": 0.2}, daemon=True).start()
    return gates
