"""A gate before the cluster's registry, for one test alone: everybody is served but whom the test turns away.

The node and podpin reach the registry through it under one more name, so a test can let the registry fail for one of
them without any other test noticing.
"""

from __future__ import annotations

import contextlib
import http.client
import threading
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Final

from tests.cluster.local import LocalCluster

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tests.cluster.protocol import Cluster

NODE: Final = "containerd/"
PODPIN: Final = "podpin"
GATES: Final = 10
"""How many there are: one for each test that takes one."""
SILENCE_SECONDS: Final = 90


@dataclass(frozen=True)
class Refusal:
    """What is answered instead; a body of many pieces is sent until nobody listens any more."""

    status: int
    headers: Mapping[str, str]
    body: Iterable[bytes]


SILENCE: Final = Refusal(0, {}, ())


class Gate(ThreadingHTTPServer):
    """Forwards to the registry, except for those who are turned away."""

    daemon_threads = True

    def __init__(self, host: str, registry: str) -> None:
        super().__init__((host, 0), _Passage)
        self.registry = registry
        self.address = f"{host}:{self.server_address[1]}"
        self._refusals: dict[str, Refusal] = {}
        self._closing = threading.Event()
        self.turned_away: list[str] = []
        """The paths that were asked for by those who were turned away."""

    def turn_away(self, agent: str, status: int, body: bytes = b"", **headers: str) -> None:
        """Answer whoever's user agent begins so with this, instead of the registry's answer."""
        named = {name.replace("_", "-"): text for name, text in headers.items()}
        self._refusals[agent] = Refusal(status, {"Content-Length": str(len(body)), **named}, [body])

    def drown(self, agent: str, size: int) -> None:
        """Answer whoever's user agent begins so with a good status and a body of this many bytes."""
        piece = b" " * (1 << 20)
        headers = {"Content-Length": str(size), "Content-Type": "application/json"}
        self._refusals[agent] = Refusal(200, headers, [piece] * (size // len(piece)))

    def keep_silent(self, agent: str) -> None:
        """Take the requests of whoever's user agent begins so, and never say anything."""
        self._refusals[agent] = SILENCE

    def close(self) -> None:
        """Stop serving."""
        self._closing.set()
        self.shutdown()
        self.server_close()

    def let_in(self) -> None:
        """Serve everybody again."""
        self._refusals.clear()

    def refusal(self, agent: str) -> Refusal | None:
        """What to say to this user agent instead; None where it is served."""
        return next((answer for start, answer in self._refusals.items() if agent.startswith(start)), None)

    def keep_waiting(self) -> None:
        """Say nothing, for a long while."""
        self._closing.wait(SILENCE_SECONDS)


class _Passage(BaseHTTPRequestHandler):
    server: Gate
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        refusal = self.server.refusal(self.headers.get("User-Agent", ""))
        if refusal is not None:
            self.server.turned_away.append(self.path)
            self.close_connection = True
            if refusal is SILENCE:
                self.server.keep_waiting()
            else:
                self._answer(refusal.status, refusal.headers, refusal.body)
            return
        connection = http.client.HTTPConnection(self.server.registry, timeout=30)
        with contextlib.closing(connection):
            connection.request(self.command, self.path, headers=dict(self.headers.items()))
            answer = connection.getresponse()
            body = answer.read()
            headers = {
                "Content-Length": str(len(body)),
                **{name.title(): text for name, text in answer.headers.items()},
            }
            self._answer(answer.status, headers, [body])

    do_HEAD = do_GET  # noqa: N815 - the name that the base class looks for

    def _answer(self, status: int, headers: Mapping[str, str], body: Iterable[bytes]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            if name.lower() not in ("connection", "transfer-encoding", "date", "server"):
                self.send_header(name, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        with contextlib.suppress(ConnectionError):  # whoever has had enough goes
            for piece in body:
                self.wfile.write(piece)

    def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002 - the name that the base class has
        """Say nothing."""


def gates_of(cluster: Cluster) -> list[Gate]:
    """Gates that this machine and the node know by one name; none where a test cannot tell the node about them."""
    if not isinstance(cluster, LocalCluster) or not cluster.can("nodes"):
        return []
    gates = [Gate(cluster.network.gateway, cluster.registry.address) for _ in range(GATES)]
    for gate in gates:
        hosts = cluster.run / "registries" / gate.address
        hosts.mkdir(exist_ok=True)
        (hosts / "hosts.toml").write_text(f'server = "http://{gate.address}"\n[host]\n')
        threading.Thread(target=gate.serve_forever, kwargs={"poll_interval": 0.2}, daemon=True).start()
    return gates
