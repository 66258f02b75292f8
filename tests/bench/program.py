"""podpin as a program of its own: started, asked whether it is ready, watched from outside, killed."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import aiohttp

from tests.bench.figures import CannotMeasureError
from tests.cluster.errors import last_lines

if TYPE_CHECKING:
    from tests.cluster.local import LocalCluster

USER = "podpin-bench"
"""As whom podpin works: by this name the audit log knows its requests, whichever client sends them."""
HOOK = "a-path-for-the-bench"
QUIET_SHARE = 0.05
QUIET_SECONDS = 1.0
"""podpin counts as idle once it takes less than this share of a core for so long."""


class Podpin:
    """A running podpin."""

    def __init__(self, process: asyncio.subprocess.Process, health: str, hooks: str, log: Path, started: float) -> None:
        self._process, self._health, self._hooks, self._log = process, health, hooks, log
        self.started = started

    @classmethod
    async def start(cls, cluster: LocalCluster, log: Path) -> Podpin:
        """Start it for all namespaces of a cluster."""
        kubeconfig = await asyncio.to_thread(cluster.kubeconfig_for, USER, ["system:masters"])
        health, hooks = f"127.0.0.1:{_free_port()}", f"127.0.0.1:{_free_port()}"
        secrets = log.with_name("hooks.json")
        secrets.write_text(json.dumps([{"source": "plain", "path": HOOK}]))
        # fmt: off
        command = [
            "-m", "podpin", "run", f"--kubeconfig={kubeconfig}", f"--health-address={health}",
            f"--insecure-registry={cluster.registry.address}", f"--hook-address={hooks}", f"--hook-secrets={secrets}",
        ]
        # fmt: on
        started = time.perf_counter()
        with log.open("ab") as output:
            process = await asyncio.create_subprocess_exec(
                sys.executable, *command, stdout=output, stderr=output, env={**os.environ, **cluster.environment()}
            )
        return cls(process, health, hooks, log, started)

    async def tell(self, repository: str) -> float:
        """Send it a webhook about a push; when that was."""
        async with aiohttp.ClientSession() as session:
            begun = time.perf_counter()
            url = f"http://{self._hooks}/hook/plain/{HOOK}"
            async with session.post(url, json={"repository": repository}) as answer:
                if answer.status != 202:
                    raise CannotMeasureError(f"podpin answered a webhook with {answer.status}.")
        return begun

    async def ready(self, patience: float = 60) -> float:
        """When it said for the first time that it is ready."""
        async with aiohttp.ClientSession() as session:
            while time.perf_counter() < self.started + patience:
                self._check()
                with contextlib.suppress(aiohttp.ClientError):
                    async with session.get(f"http://{self._health}/readyz") as answer:
                        if answer.status == 200:
                            return time.perf_counter()
                await asyncio.sleep(0.02)
        raise CannotMeasureError(f"podpin was not ready after {patience:.0f} s; its log ends:\n{last_lines(self._log)}")

    async def idle(self, patience: float = 120) -> float:
        """Since when it has been idle, once it has been so for a while."""
        deadline = time.perf_counter() + patience
        since, before, spent = time.perf_counter(), time.perf_counter(), self.cpu()
        while time.perf_counter() < deadline:
            await asyncio.sleep(0.1)
            at, cpu = time.perf_counter(), self.cpu()
            if cpu - spent > QUIET_SHARE * (at - before):
                since = at
            before, spent = at, cpu
            if at - since >= QUIET_SECONDS:
                return since
        raise CannotMeasureError(f"podpin was still busy after {patience:.0f} s.")

    def cpu(self) -> float:
        """The CPU time that it has taken so far, in seconds."""
        self._check()
        total = 0
        for thread in Path(f"/proc/{self._process.pid}/task").iterdir():
            with contextlib.suppress(FileNotFoundError):
                total += int((thread / "schedstat").read_text().split()[0])
        return total / 1e9

    def memory(self, field: str = "VmRSS") -> float:
        """Its memory in MiB; `VmHWM` for the most that it ever had."""
        self._check()
        lines = Path(f"/proc/{self._process.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(f"{field}:"))

    async def kill(self) -> None:
        """End it at once, with no chance to say goodbye."""
        await self._end(signal.SIGKILL)

    async def stop(self) -> None:
        """Ask it to end."""
        await self._end(signal.SIGTERM)

    async def _end(self, how: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(how)
        try:
            await asyncio.wait_for(self._process.wait(), 10)
        except TimeoutError:
            self._process.kill()
            await self._process.wait()

    def _check(self) -> None:
        if self._process.returncode is not None:
            raise CannotMeasureError(
                f"podpin ended with {self._process.returncode}; its log ends:\n{last_lines(self._log)}"
            )


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
