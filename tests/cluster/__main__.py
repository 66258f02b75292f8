"""`python -m tests.cluster`: bring a test cluster up, look around in it, take it down."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
import time
from pathlib import Path

from tests.cluster import build, local, state, toolchain
from tests.cluster.errors import ClusterError
from tests.cluster.local import LocalCluster, Wanted
from tests.waiting import NotInTimeError


def main() -> None:
    arguments = parse()
    try:
        COMMANDS[arguments.command](arguments)
    except (ClusterError, NotInTimeError) as error:
        sys.exit(f"{error}")
    except KeyboardInterrupt:
        sys.exit("interrupted; what was begun is undone, a build goes on where it was")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.cluster",
        description=__doc__,
        epilog="shell -- COMMAND runs one command there and returns",
    )
    parser.add_argument("command", choices=COMMANDS, help="what to do")
    parser.add_argument("--name", default="default", help="which cluster; several may run at once")
    parser.add_argument("--control-plane-only", action="store_true", help="up: without a node")
    parser.add_argument("--kwok", action="store_true", help="up: pretend a node (with --control-plane-only)")
    parser.add_argument(
        "--client-rate", type=int, default=200, help="up: requests a second that the controllers may send"
    )
    parser.add_argument("--node", action="store_true", help="shell: on the node itself")
    parser.add_argument("--all", action="store_true", help="down: every cluster that no running test holds")
    given = sys.argv[1:]
    end = given.index("--") if "--" in given else len(given)
    arguments = parser.parse_args(given[:end])
    arguments.words = given[end + 1 :]
    return arguments


def up(arguments: argparse.Namespace) -> None:
    begun = time.monotonic()
    cluster = local.up(
        Wanted(
            name=arguments.name,
            full=not arguments.control_plane_only,
            kwok=arguments.kwok,
            client_rate=arguments.client_rate,
        )
    )
    print(f"cluster {cluster.name!r} is up ({time.monotonic() - begun:.1f} s)")
    describe(cluster)


def down(arguments: argparse.Namespace) -> None:
    toolchain.require_root()
    with state.lock():
        for name in local.remove_stale():
            print(f"cluster {name!r} was stale and is gone")
        for record in state.records():
            mine = record.name == arguments.name or (arguments.all and record.owner is None)
            if mine and not record.starting:
                local.remove(record)
                print(f"cluster {record.name!r} is gone")


def shell(arguments: argparse.Namespace) -> None:
    cluster = running(arguments.name)
    path = f"{cluster.record.binaries}:{Path(sys.executable).parent}:{os.environ.get('PATH', os.defpath)}"
    environment = {**os.environ, **cluster.environment(), "PATH": path}
    command = arguments.words or [os.environ.get("SHELL", "/bin/sh")]
    if arguments.node:
        command = [*cluster.enter(), *command]
    elif not arguments.words:
        print(f"KUBECONFIG is set; the registry is {cluster.registry.address}; exit leaves the cluster running")
    os.execvpe(command[0], command, environment)


def status(arguments: argparse.Namespace) -> None:
    toolchain.require_root()
    found = state.records()
    if not found:
        print("no cluster runs")
    for record in found:
        kind = "full node" if record.full else "control plane"
        health = "stale, removed by the next up or down" if record.stale else "running"
        owner = f", held by process {record.owner.pid}" if record.owner else ""
        print(f"{record.name}: {kind}, {health}{owner}")
        if not record.stale and record.supervisor is not None:
            cluster = LocalCluster(record)
            print(f"  parts: {', '.join(sorted(cluster.parts.running()))}")
            describe(cluster)


def show_environment(arguments: argparse.Namespace) -> None:
    for name, value in running(arguments.name).environment().items():
        print(f"export {name}={shlex.quote(value)}")


def build_programs(arguments: argparse.Namespace) -> None:
    print(build.binaries())
    if arguments.kwok:
        print(build.binaries(build.KWOK))


def running(name: str) -> LocalCluster:
    toolchain.require_root()
    cluster = local.find(name)
    if cluster is None:
        raise ClusterError(f"no cluster {name!r} runs; `make cluster-up` starts one")
    return cluster


def describe(cluster: LocalCluster) -> None:
    private = cluster.private_registry
    print(f"  export KUBECONFIG={cluster.kubeconfig}")
    print(f"  registry          {cluster.registry.address} (plain HTTP)")
    print(f"  private registry  {private.address} (TLS, {private.username}:{private.password})")
    print(f"  logs              {cluster.parts.logs}")


COMMANDS = {
    "up": up,
    "down": down,
    "shell": shell,
    "status": status,
    "env": show_environment,
    "build": build_programs,
}

if __name__ == "__main__":
    main()
