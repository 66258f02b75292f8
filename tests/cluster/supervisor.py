"""The first process inside a cluster's namespaces: it starts the parts, reaps what they leave, answers on a socket.

When it dies, the kernel ends everything it started and undoes every mount: that is how a cluster stops without a
trace. It runs by path (`python supervisor.py SETTINGS`), so it imports the standard library alone. One request per
connection, a line of JSON:

    {"do": "start", "part": NAME, "argv": [...], "log": FILE}
    {"do": "stop", "part": NAME, "signal": 9}
    {"do": "signal", "part": NAME, "signal": 19}
    {"do": "status"}

A test's cluster also has a lifeline: a pipe whose other end the test process holds. When that process is gone,
however it went, the pipe ends and so does the cluster.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
from typing import Any


class Supervisor:
    """The table of parts: which process each one is, or how it ended."""

    def __init__(self) -> None:
        self.pids: dict[str, int] = {}
        self.ended: dict[str, int] = {}

    def reap(self) -> None:
        """Collect every process that has ended; the orphans of containerd's shims come here too."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            for part, known in list(self.pids.items()):
                if known == pid:
                    del self.pids[part]
                    self.ended[part] = os.waitstatus_to_exitcode(status)

    def handle(self, request: dict[str, Any]) -> dict[str, Any]:
        """Do what one request asks."""
        what = request["do"]
        if what == "start":
            return self.start(request["part"], request["argv"], request["log"])
        if what == "stop":
            return self.stop(request["part"], request["signal"])
        if what == "signal":
            os.kill(self.pids[request["part"]], request["signal"])
            return {}
        if what == "status":
            return {"running": self.pids, "ended": self.ended}
        return {"error": f"unknown request {what!r}"}

    def start(self, part: str, argv: list[str], log: str) -> dict[str, Any]:
        if part in self.pids:
            return {"error": f"{part} runs already"}
        self.ended.pop(part, None)
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        files = [
            (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, log, flags, 0o644),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ]
        pid = os.posix_spawnp(
            argv[0], argv, os.environ, file_actions=files, setsid=True, setsigdef=[signal.SIGPIPE, signal.SIGXFSZ]
        )
        self.pids[part] = pid
        return {"pid": pid}

    def stop(self, part: str, number: int) -> dict[str, Any]:
        pid = self.pids.get(part)
        if pid is None:
            return {"error": f"{part} does not run"}
        os.kill(pid, number)
        os.waitpid(pid, 0)
        del self.pids[part]
        self.ended[part] = -number
        return {}


def prepare(commands: list[list[str]]) -> None:
    """Mounts, addresses and routes, before anything runs in here."""
    for command in commands:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            sys.exit(f"{' '.join(command)}: {done.stderr.strip()}")


def serve(supervisor: Supervisor, path: str, lifeline: int | None) -> None:
    """Answer requests until the lifeline ends or somebody kills this process."""
    wake, woken = os.pipe()
    os.set_blocking(woken, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(woken, warn_on_full_buffer=False)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen()
    watched: list[Any] = [wake, listener, *([lifeline] if lifeline is not None else [])]
    while True:
        ready, _, _ = select.select(watched, [], [])
        if wake in ready:
            os.read(wake, 4096)
        supervisor.reap()
        if lifeline in ready:
            sys.exit("whoever started this cluster is gone")
        if listener in ready:
            connection, _ = listener.accept()
            connection.settimeout(5)
            with connection, connection.makefile("rw") as stream, contextlib.suppress(OSError):
                answer_one(supervisor, stream)


def answer_one(supervisor: Supervisor, stream: Any) -> None:
    line = stream.readline()
    if not line:
        return
    try:
        answer = supervisor.handle(json.loads(line))
    except (OSError, KeyError, ValueError) as error:
        answer = {"error": f"{type(error).__name__}: {error}"}
    stream.write(json.dumps(answer) + "\n")
    stream.flush()


def main() -> None:
    with open(sys.argv[1]) as file:  # noqa: PTH123 - nothing but what must be loaded in every cluster's first process
        settings = json.load(file)
    lifeline = settings["lifeline"]
    if lifeline is not None:
        os.set_inheritable(lifeline, False)
    prepare(settings["prepare"])
    serve(Supervisor(), settings["socket"], lifeline)


if __name__ == "__main__":
    main()
