"""podpin as a program: started, asked after, stopped and killed, as an administrator or a bad day would."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import closing
from typing import TYPE_CHECKING

from tests.waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

TROUBLE = ("podpin has a bug", "Traceback (most recent call last)", "has ended:")
"""What podpin logs only when something is wrong with podpin itself."""


class Program:
    """`python -m podpin run`, at most one process at a time, all writing to one log."""

    def __init__(
        self,
        kubeconfig: Path,
        log: Path,
        environment: Mapping[str, str],
        *,
        namespaces: Sequence[str] = (),
        insecure: Sequence[str] = (),
        flags: Sequence[str] = (),
    ) -> None:
        self.log = log
        self._environment = {**os.environ, **environment, "KUBECONFIG": str(kubeconfig)}
        self._port = free_port()
        self.metrics_address = f"127.0.0.1:{free_port()}"
        self._flags = [
            f"--health-address=127.0.0.1:{self._port}",
            f"--metrics-address={self.metrics_address}",
            *(f"--namespace={namespace}" for namespace in namespaces),
            *(f"--insecure-registry={host}" for host in insecure),
            *flags,
        ]
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def runs(self) -> bool:
        """Whether the process is there."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """The process's id."""
        assert self._process is not None
        return self._process.pid

    def start(self, *, wait: bool = True) -> None:
        """Start it, and wait until it says that it is ready."""
        assert not self.runs
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "podpin", "run", *self._flags],
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        if wait:
            self.wait_ready()

    def wait_ready(self, timeout: float = 60) -> None:
        """Until /readyz says ok."""

        def ready() -> bool:
            assert self._process is not None
            if self._process.poll() is not None:
                raise RuntimeError(f"podpin ended with {self._process.returncode}:\n{self.said()}")
            return self.ask("/readyz") == (200, "ok")

        wait_for(ready, timeout, "podpin to be ready", retry_on=(OSError,), seen=self.said)

    def ask(self, path: str) -> tuple[int, str]:
        """What it answers at its health address."""
        with closing(http.client.HTTPConnection("127.0.0.1", self._port, timeout=5)) as connection:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read().decode().strip()

    def terminate(self, timeout: float = 20) -> tuple[int, float]:
        """Send SIGTERM; return its exit code and how many seconds it took."""
        assert self._process is not None
        begun = time.monotonic()
        self._process.send_signal(signal.SIGTERM)
        code = self._process.wait(timeout)
        return code, time.monotonic() - begun

    def kill(self) -> None:
        """kill -9, if it still runs."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def freeze(self) -> None:
        """Stop its clock: it hears and says nothing until it is thawed."""
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        os.kill(self.pid, signal.SIGCONT)

    def wait_gone(self, timeout: float = 60) -> None:
        """Until somebody else has killed it."""
        assert self._process is not None
        self._process.wait(timeout)

    def said(self, about: str = "", last: int = 40) -> str:
        """The end of its log: the lines with these words."""
        if not self.log.exists():
            return "(podpin has logged nothing)"
        lines = self.log.read_text(errors="replace").splitlines()
        return "\n".join([line for line in lines if about in line][-last:])

    def trouble(self) -> list[str]:
        """Lines of its log that must never be there."""
        lines = self.log.read_text(errors="replace").splitlines() if self.log.exists() else []
        return [line for line in lines if any(words in line for words in TROUBLE)]


def free_port() -> int:
    """A port of this machine that nobody listens on now."""
    with closing(socket.socket()) as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])
