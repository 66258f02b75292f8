"""Starting, stopping and asking after a cluster's parts: the host's end of the supervisor's socket."""

from __future__ import annotations

import json
import signal
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.cluster.commands import as_text
from tests.cluster.errors import ClusterError, last_lines

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Part:
    """One program of the cluster."""

    name: str
    argv: Sequence[str | Path]


@dataclass(frozen=True, slots=True)
class Parts:
    """All programs of one cluster, by name."""

    socket: Path
    logs: Path

    def start(self, part: Part) -> None:
        """Start it; it may take a while until it is of use."""
        self._ask({"do": "start", "part": part.name, "argv": as_text(part.argv), "log": str(self.log(part.name))})

    def stop(self, name: str, how: signal.Signals = signal.SIGKILL) -> None:
        """Send the signal and return when the process is gone."""
        self._ask({"do": "stop", "part": name, "signal": int(how)})

    def signal(self, name: str, number: signal.Signals) -> None:
        """Send a signal and do not wait: SIGSTOP freezes a part, SIGCONT lets it go on."""
        self._ask({"do": "signal", "part": name, "signal": int(number)})

    def running(self) -> dict[str, int]:
        """Names and process ids (as seen inside)."""
        return dict(self._ask({"do": "status"})["running"])

    def check(self, *names: str) -> None:
        """Raise, with the end of its log, if one of them has ended by itself."""
        ended = self._ask({"do": "status"})["ended"]
        for name in names:
            if name in ended:
                log = self.log(name)
                raise ClusterError(f"{name} ended with {ended[name]}; the end of {log}:\n{last_lines(log)}")

    def log(self, name: str) -> Path:
        """The file that the part writes to."""
        return self.logs / f"{name}.log"

    def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(30)
            try:
                connection.connect(str(self.socket))
                with connection.makefile("rw") as stream:
                    stream.write(json.dumps(request) + "\n")
                    stream.flush()
                    line = stream.readline()
            except (FileNotFoundError, ConnectionError) as error:
                raise ClusterError(f"the cluster does not run (nothing answers on {self.socket})") from error
        if not line:
            raise ClusterError(f"the cluster's supervisor ended; see {self.log('supervisor')}")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise ClusterError(answer["error"])
        return answer
