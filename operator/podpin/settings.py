"""What the administrator decides: flags, each with an environment variable of the same name, as one frozen value.

A flag wins over its variable. Lists are given by repeating the flag, or with commas in the variable.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from podpin import __version__

DESCRIPTION = """\
podpin runs applications by image digest, and goes back to the last good version by itself when a new one fails.

You say what to run with an ImageRollout (kubectl explain imagerollout.spec). podpin chooses a tag by its policy,
resolves it to a digest, runs that as a Deployment, judges the new Pods, and rolls back what does not become healthy
and stay so.
"""

RUN_EPILOG = """\
The cluster is found as kubectl finds it: --kubeconfig and --context, then $KUBECONFIG, the account of the Pod that
podpin runs in, and ~/.kube/config. What podpin may do there is in manifests/rbac.yaml.

Every option can also be given as an environment variable, for example PODPIN_NAMESPACE=shop,blog.

examples:
  podpin run --context staging
  podpin run --namespace shop --namespace blog --log-format json
  podpin run --insecure-registry registry.lab:5000
"""


@dataclass(frozen=True, slots=True)
class Settings:
    """How this podpin is to run."""

    kubeconfig: str | None = None
    context: str | None = None
    namespaces: tuple[str, ...] = ()
    """The namespaces to serve; none means all."""
    insecure_registries: frozenset[str] = frozenset()
    """HOST or HOST:PORT of registries that may be spoken to over plain HTTP."""
    health_address: str = "0.0.0.0:8080"
    log_format: str = "human"
    log_level: str = "info"
    workers: int = 16


def parse_settings(arguments: Sequence[str], environment: Mapping[str, str] = os.environ) -> Settings:
    """The settings from the command line and the environment.

    Exits, as argparse does, on what it does not understand.
    """
    parser = argparse.ArgumentParser(
        prog="podpin", description=DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--version", action="version", version=f"podpin {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    run = commands.add_parser(
        "run",
        help="serve ImageRollouts until stopped",
        description="Serve the ImageRollouts of a cluster, or of some of its namespaces, until stopped.",
        epilog=RUN_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )

    def option(flag: str, what: str, **details: object) -> None:
        name = f"PODPIN_{flag.upper().replace('-', '_')}"
        given = environment.get(name)
        default = details.pop("default", None)
        if details.get("action") == "append":
            default = [part.strip() for part in given.split(",") if part.strip()] if given else []
        elif given is not None:
            convert = details.get("type")
            default = convert(given) if callable(convert) else given
        run.add_argument(f"--{flag}", default=default, help=f"{what} [{name}]", **details)  # type: ignore[arg-type]

    option("kubeconfig", "kubeconfig file to use", metavar="FILE")
    option("context", "context of the kubeconfig to use", metavar="NAME")
    option("namespace", "serve this namespace only; may be repeated (default: all)", metavar="NAME", action="append")
    option(
        "insecure-registry",
        "speak plain HTTP to this registry; may be repeated. Everything sent there can be read and changed on the way",
        metavar="HOST[:PORT]",
        action="append",
    )
    option(
        "health-address",
        "where /healthz and /readyz answer (default: 0.0.0.0:8080)",
        metavar="HOST:PORT",
        default="0.0.0.0:8080",
    )
    option("log-format", "human or json (default: human)", choices=("human", "json"), default="human")
    option(
        "log-level",
        "debug, info, warning or error (default: info)",
        choices=("debug", "info", "warning", "error"),
        default="info",
    )
    option("workers", "how many rollouts are worked on at once (default: 16)", metavar="N", type=int, default=16)
    given = parser.parse_args(arguments)
    host, _, port = given.health_address.rpartition(":")
    if not host or not port.isdigit():
        run.error(f"--health-address must be HOST:PORT, not {given.health_address!r}")
    if given.workers < 1:
        run.error("--workers must be at least 1")
    return Settings(
        kubeconfig=given.kubeconfig,
        context=given.context,
        namespaces=tuple(dict.fromkeys(given.namespace)),
        insecure_registries=frozenset(given.insecure_registry),
        health_address=given.health_address,
        log_format=given.log_format,
        log_level=given.log_level,
        workers=given.workers,
    )
