"""What the administrator decides: flags, each with an environment variable of the same name, as one frozen value.

A flag wins over its variable, and an empty variable is none. Lists are given with commas, or by repeating the flag.
"""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from types import MappingProxyType
from typing import NoReturn, TypeVar

from podpin import __version__
from podpin.core.clouds import Loan, parse_loan
from podpin.core.duration import format_duration, parse_duration
from podpin.core.mirrors import Mirror, parse_mirror
from podpin.core.selector import EVERYTHING, Selector, SelectorInvalid, parse_selector

_T = TypeVar("_T")
_LEASE = re.compile(r"(?:[a-z0-9]([-a-z0-9]*[a-z0-9])?/)?[a-z0-9]([-.a-z0-9]*[a-z0-9])?", re.ASCII)
_HOST = re.compile(r"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:]+\])(?::[0-9]{1,5})?", re.ASCII)

DESCRIPTION = """\
podpin runs applications by image digest, and goes back to the last good version by itself when a new one fails.

You say what to run with an ImageRollout (kubectl explain imagerollout.spec). podpin chooses a tag by its policy,
resolves it to a digest, runs that as a Deployment, judges the new Pods, and rolls back what does not become healthy
and stay so.
"""

RUN = "serve ImageRollouts until stopped"
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
    selector: Selector = EVERYTHING
    """Which ImageRollouts to serve there, by their labels."""
    insecure_registries: frozenset[str] = frozenset()
    """HOST or HOST:PORT of registries that may be spoken to over plain HTTP."""
    trusted_realms: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """Hosts of token servers by registry, which may be sent the registry's credentials besides the registry itself."""
    mirrors: tuple[Mirror, ...] = ()
    """Where images may be had besides their source, in the order in which to ask."""
    cloud_credentials: tuple[Loan, ...] = ()
    """For which of the clouds' registries podpin's own identity is lent to those who have no credentials."""
    reachable_hosts: frozenset[str] = frozenset()
    """HOST or HOST:PORT that may be at any address: loopback, link-local, private."""
    private_ranges: bool = True
    """Whether other registries may be in private networks."""
    min_interval: timedelta = timedelta(seconds=10)
    """The shortest time between two looks at a repository, whatever a rollout asks for."""
    sigstore_trusted_root: Path | None = None
    """The trusted_root.json by which signatures without keys are verified; none means that they cannot be."""
    leader_elect: bool = False
    """Whether to work only while holding a Lease, so that several podpins may run."""
    lease: str | None = None
    """That Lease, as NAME or NAMESPACE/NAME, where it is not podpin's own one for what it serves; without a namespace
    it is in that of podpin's Pod."""
    identity: str | None = None
    """What this podpin calls itself in the Lease; none is the host's name and something by chance."""
    health_address: str = "0.0.0.0:8080"
    metrics_address: str | None = None
    """HOST:PORT where Prometheus reads /metrics; nothing is measured without it."""
    hook_address: str | None = None
    """HOST:PORT where webhooks are answered; none are without it."""
    hook_secrets: str | None = None
    """The file that says which webhooks are allowed."""
    log_format: str = "human"
    log_level: str = "info"
    workers: int = 16


def parse_settings(
    arguments: Sequence[str],
    environment: Mapping[str, str] = os.environ,
    *,
    called: str = "podpin",
    others: Mapping[str, str] = MappingProxyType({}),
) -> Settings:
    """The settings from the command line and the environment.

    `others` are the commands besides `run`, each with what it is for, to be listed.
    Exits, as argparse does, on what it does not understand.
    """
    parser = argparse.ArgumentParser(
        prog=called, description=DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--version", action="version", version=f"podpin {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    run = commands.add_parser(
        "run",
        help=RUN,
        description="Serve the ImageRollouts of a cluster, or of some of its namespaces, until stopped.",
        epilog=RUN_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )

    # For the list of commands; __main__ hands their arguments over without coming here.
    for name, purpose in others.items():
        commands.add_parser(name, help=purpose, add_help=False)

    def option(flag: str, what: str, metavar: str, read: Callable[[str], object] = str, default: object = None) -> None:
        variable = _variable(flag)
        # A default that is text is read as the flag itself would be, so both are checked alike.
        given = environment.get(variable) or default
        run.add_argument(f"--{flag}", default=given, help=f"{what} [{variable}]", metavar=metavar, type=read)

    def listing(flag: str, what: str, metavar: str) -> None:
        # The variable is read when no flag is given: argparse would add the flags to a default.
        run.add_argument(
            f"--{flag}", help=f"{what} [{_variable(flag)}]", metavar=metavar, type=_listed, action="extend"
        )

    usual = Settings()
    option("kubeconfig", "kubeconfig file to use", "FILE")
    option("context", "context of the kubeconfig to use", "NAME")
    listing("namespace", "serve this namespace only; may be repeated (default: all)", "NAME")
    option(
        "selector", "serve only ImageRollouts with these labels, as in shard=a; see docs/ha.md", "SELECTOR", _selector
    )
    listing(
        "insecure-registry",
        "speak plain HTTP to this registry; may be repeated. Everything sent there can be read and changed on the way",
        "HOST[:PORT]",
    )
    listing(
        "trusted-realm",
        "let that token server have this registry's credentials; may be repeated (default: none but the registry)",
        "REGISTRY=HOST",
    )
    listing(
        "reachable-host",
        "connect to this host at any address, even a loopback, link-local or private one; may be repeated",
        "HOST[:PORT]",
    )
    listing(
        "mirror",
        "for images whose names begin with PREFIX, ask there first: by digest, or for tags too with +tags; repeatable",
        "PREFIX=HOST[/PATH][+tags]",
    )
    listing(
        "cloud-credentials",
        "lend podpin's own identity in this cloud (aws, gcp or azure), or for this part of it, to all rollouts without "
        "credentials for it; may be repeated (default: none)",
        "CLOUD[=HOST[/PATH]]",
    )
    option(
        "min-interval",
        f"how often to look at a repository at the most (default: {format_duration(usual.min_interval)})",
        "DURATION",
        _duration,
        format_duration(usual.min_interval),
    )
    option(
        "sigstore-trusted-root",
        "trusted_root.json of the sigstore to verify signatures without keys by (default: none, and they cannot be)",
        "FILE",
        Path,
    )
    elect = "leader-elect"
    run.add_argument(
        f"--{elect}",
        nargs="?",
        const=True,
        default=environment.get(_variable(elect)) or "false",
        type=_yes_or_no,
        metavar="true|false",
        help="work only while holding a Lease, so that of several podpins one does, see docs/ha.md (default: false) "
        f"[{_variable(elect)}]",
    )
    option(
        "lease",
        "the Lease that they share (default: podpin, or one for each --selector, in the namespace of podpin's Pod)",
        "[NAMESPACE/]NAME",
        _lease,
    )
    option(
        "identity",
        "what this podpin, and no other at that time, calls itself there (default: the host's name and a random part)",
        "NAME",
    )
    option(
        "health-address",
        f"where /healthz and /readyz answer (default: {usual.health_address})",
        "HOST:PORT",
        _address,
        usual.health_address,
    )
    option("metrics-address", "where /metrics answers Prometheus (default: nowhere)", "HOST:PORT", _address)
    option("hook-address", "where webhooks of registries are answered (default: nowhere)", "HOST:PORT", _address)
    option("hook-secrets", "the file that lists the webhooks and their secrets, see docs/hooks.md", "FILE")
    for flag, words, what, default in (
        ("private-ranges", ("allow", "deny"), "registries in private networks: ", "allow"),
        ("log-format", ("human", "json"), "", usual.log_format),
        ("log-level", ("debug", "info", "warning", "error"), "", usual.log_level),
    ):
        option(flag, f"{what}{_either(words)} (default: {default})", f"{{{','.join(words)}}}", _one_of(words), default)
    option("workers", f"how many rollouts are worked on at once (default: {usual.workers})", "N", _count, usual.workers)
    given = parser.parse_args(arguments)
    if bool(given.hook_address) != bool(given.hook_secrets):
        run.error("--hook-address and --hook-secrets need each other: where to answer webhooks, and which")

    if not given.leader_elect and (given.lease or given.identity):
        run.error("--lease and --identity need --leader-elect: without it there is no election")

    def listed(flag: str, flags: list[str] | None) -> list[str]:
        return _listed(environment.get(_variable(flag), "")) if flags is None else flags

    return Settings(
        kubeconfig=given.kubeconfig,
        context=given.context,
        namespaces=tuple(dict.fromkeys(listed("namespace", given.namespace))),
        selector=given.selector or EVERYTHING,
        insecure_registries=_hosts(
            "insecure-registry", listed("insecure-registry", given.insecure_registry), run.error
        ),
        mirrors=_parsed("mirror", parse_mirror, listed("mirror", given.mirror), run.error),
        cloud_credentials=_parsed(
            "cloud-credentials", parse_loan, listed("cloud-credentials", given.cloud_credentials), run.error
        ),
        reachable_hosts=_hosts("reachable-host", listed("reachable-host", given.reachable_host), run.error),
        private_ranges=given.private_ranges == "allow",
        min_interval=given.min_interval,
        trusted_realms=_realms(listed("trusted-realm", given.trusted_realm), run.error),
        sigstore_trusted_root=given.sigstore_trusted_root,
        leader_elect=given.leader_elect,
        lease=given.lease,
        identity=given.identity,
        health_address=given.health_address,
        metrics_address=given.metrics_address,
        hook_address=given.hook_address,
        hook_secrets=given.hook_secrets,
        log_format=given.log_format,
        log_level=given.log_level,
        workers=given.workers,
    )


def _variable(flag: str) -> str:
    return f"PODPIN_{flag.upper().replace('-', '_')}"


def _listed(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _either(words: Sequence[str]) -> str:
    return f"{', '.join(words[:-1])} or {words[-1]}"


def _one_of(words: Sequence[str]) -> Callable[[str], str]:
    def read(text: str) -> str:
        if text not in words:
            raise argparse.ArgumentTypeError(f"must be {_either(words)}, not {text!r}")
        return text

    return read


def _yes_or_no(text: str) -> bool:
    if text not in ("true", "false"):
        raise argparse.ArgumentTypeError(f"must be true or false, not {text!r}")
    return text == "true"


def _lease(text: str) -> str:
    if not _LEASE.fullmatch(text):
        raise argparse.ArgumentTypeError(
            f"must be NAME or NAMESPACE/NAME, of lower-case letters and digits, not {text!r}"
        )
    return text


def _selector(text: str) -> Selector:
    try:
        return parse_selector(text)
    except SelectorInvalid as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _hosts(flag: str, hosts: Sequence[str], refuse: Callable[[str], NoReturn]) -> frozenset[str]:
    for host in hosts:
        if not _HOST.fullmatch(host):
            refuse(f"argument --{flag}: must be HOST or HOST:PORT, without a scheme or a path, not {host!r}")
    return frozenset(hosts)


def _realms(pairs: Sequence[str], refuse: Callable[[str], NoReturn]) -> Mapping[str, frozenset[str]]:
    realms: dict[str, frozenset[str]] = {}
    for pair in pairs:
        registry, _, host = pair.partition("=")
        if not registry or not host or "/" in pair:
            refuse(f"argument --trusted-realm: must be REGISTRY=HOST, without a scheme, not {pair!r}")
        realms[registry] = realms.get(registry, frozenset()) | {host}
    return realms


def _parsed(
    flag: str, parse: Callable[[str], _T], texts: Sequence[str], refuse: Callable[[str], NoReturn]
) -> tuple[_T, ...]:
    try:
        return tuple(map(parse, texts))
    except ValueError as error:
        refuse(f"argument --{flag}: {error}")


def _address(text: str) -> str:
    host, _, port = text.rpartition(":")
    if not host or not (port.isascii() and port.isdigit()) or int(port) > 65535:
        raise argparse.ArgumentTypeError(f"must be HOST:PORT, not {text!r}")
    return text


def _duration(text: str) -> timedelta:
    try:
        return parse_duration(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number above 0, not {text!r}")
    return int(text)
