"""Flags and variables, and what podpin says about them."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from podpin import __version__
from podpin.core.clouds import Loan
from podpin.core.mirrors import Mirror
from podpin.core.selector import parse_selector
from podpin.settings import Settings, parse_settings


def settings(*arguments: str, **environment: str) -> Settings:
    return parse_settings(["run", *arguments], environment)


def test_nothing_given_serves_all_namespaces_and_trusts_no_plain_http() -> None:
    assert settings() == Settings()
    assert settings().namespaces == ()
    assert settings().insecure_registries == frozenset()


@pytest.mark.parametrize(
    ("arguments", "environment", "wanted"),
    [
        (("--kubeconfig", "k", "--context", "c"), {}, {"kubeconfig": "k", "context": "c"}),
        ((), {"PODPIN_KUBECONFIG": "k", "PODPIN_CONTEXT": "c"}, {"kubeconfig": "k", "context": "c"}),
        (("--context", "flag"), {"PODPIN_CONTEXT": "variable"}, {"context": "flag"}),
        (("--namespace", "a", "--namespace", "b"), {}, {"namespaces": ("a", "b")}),
        ((), {"PODPIN_NAMESPACE": "a, b,,"}, {"namespaces": ("a", "b")}),
        (("--namespace", "c"), {"PODPIN_NAMESPACE": "a,b"}, {"namespaces": ("c",)}),
        (("--namespace", "a", "--namespace", "a"), {}, {"namespaces": ("a",)}),
        ((), {"PODPIN_NAMESPACE": ""}, {"namespaces": ()}),
        (("--namespace", "a,b"), {}, {"namespaces": ("a", "b")}),
        (("--insecure-registry", "r:5000"), {}, {"insecure_registries": frozenset({"r:5000"})}),
        ((), {"PODPIN_INSECURE_REGISTRY": "r:5000,s"}, {"insecure_registries": frozenset({"r:5000", "s"})}),
        (("--insecure-registry", "r"), {"PODPIN_INSECURE_REGISTRY": "s"}, {"insecure_registries": frozenset({"r"})}),
        (("--cloud-credentials", "aws,azure"), {}, {"cloud_credentials": (Loan("aws"), Loan("azure"))}),
        ((), {"PODPIN_CLOUD_CREDENTIALS": "gcp=gcr.io/shop"}, {"cloud_credentials": (Loan("gcp", "gcr.io/shop"),)}),
        (("--mirror", "docker.io=m.local/hub+tags"), {}, {"mirrors": (Mirror("docker.io", "m.local/hub", tags=True),)}),
        ((), {"PODPIN_MIRROR": "a.io=m.io,b.io=m.io"}, {"mirrors": (Mirror("a.io", "m.io"), Mirror("b.io", "m.io"))}),
        (("--reachable-host", "r:5000"), {}, {"reachable_hosts": frozenset({"r:5000"})}),
        ((), {"PODPIN_REACHABLE_HOST": "[fd00::1]:5,s"}, {"reachable_hosts": frozenset({"[fd00::1]:5", "s"})}),
        (("--private-ranges", "deny"), {}, {"private_ranges": False}),
        (("--private-ranges", "allow"), {"PODPIN_PRIVATE_RANGES": "deny"}, {}),
        (("--min-interval", "1m30s"), {}, {"min_interval": timedelta(seconds=90)}),
        ((), {"PODPIN_MIN_INTERVAL": "1h"}, {"min_interval": timedelta(hours=1)}),
        (("--sigstore-trusted-root", "/r.json"), {}, {"sigstore_trusted_root": Path("/r.json")}),
        ((), {"PODPIN_SIGSTORE_TRUSTED_ROOT": "/r.json"}, {"sigstore_trusted_root": Path("/r.json")}),
        (("--selector", "shard = a"), {}, {"selector": parse_selector("shard = a")}),
        ((), {"PODPIN_SELECTOR": "shard in (a,b),!old"}, {"selector": parse_selector("shard in (a,b),!old")}),
        (("--leader-elect",), {}, {"leader_elect": True}),
        (("--leader-elect=false",), {"PODPIN_LEADER_ELECT": "true"}, {}),
        ((), {"PODPIN_LEADER_ELECT": "true"}, {"leader_elect": True}),
        (("--leader-elect", "--lease", "ops/podpin-a"), {}, {"leader_elect": True, "lease": "ops/podpin-a"}),
        (("--leader-elect",), {"PODPIN_IDENTITY": "podpin-x"}, {"leader_elect": True, "identity": "podpin-x"}),
        (("--health-address", "[::1]:8081"), {}, {"health_address": "[::1]:8081"}),
        (("--metrics-address", "[::]:8081"), {}, {"metrics_address": "[::]:8081"}),
        ((), {"PODPIN_METRICS_ADDRESS": "h:1"}, {"metrics_address": "h:1"}),
        (("--hook-address", "[::]:1", "--hook-secrets", "f"), {}, {"hook_address": "[::]:1", "hook_secrets": "f"}),
        (("--hook-secrets", "f"), {"PODPIN_HOOK_ADDRESS": "h:1"}, {"hook_address": "h:1", "hook_secrets": "f"}),
        (("--log-format", "json", "--log-level", "debug"), {}, {"log_format": "json", "log_level": "debug"}),
        ((), {"PODPIN_LOG_FORMAT": "json", "PODPIN_LOG_LEVEL": "error"}, {"log_format": "json", "log_level": "error"}),
        (("--workers", "4"), {"PODPIN_WORKERS": "5"}, {"workers": 4}),
        ((), {"PODPIN_WORKERS": "5"}, {"workers": 5}),
        ((), {"PODPIN_CONTEXT": "", "PODPIN_WORKERS": "", "PODPIN_LOG_FORMAT": ""}, {}),
        ((), {"PODPINNAMESPACE": "a", "NAMESPACE": "b"}, {}),
    ],
)  # fmt: skip
def test_a_flag_wins_over_its_variable(
    arguments: tuple[str, ...], environment: dict[str, str], wanted: dict[str, Any]
) -> None:
    assert settings(*arguments, **environment) == Settings(**wanted)


@pytest.mark.parametrize(
    ("arguments", "environment", "says"),
    [
        (("run", "--log-format", "xml"), {}, "--log-format: must be human or json, not 'xml'"),
        (("run",), {"PODPIN_LOG_FORMAT": "xml"}, "--log-format: must be human or json, not 'xml'"),
        (("run",), {"PODPIN_LOG_LEVEL": "loud"}, "--log-level: must be debug, info, warning or error, not 'loud'"),
        (("run", "--hook-address", "h:1"), {}, "--hook-address and --hook-secrets need each other"),
        (("run",), {"PODPIN_HOOK_SECRETS": "f"}, "--hook-address and --hook-secrets need each other"),
        (("run", "--hook-address", "h", "--hook-secrets", "f"), {}, "--hook-address: must be HOST:PORT, not 'h'"),
        (
            ("run", "--mirror", "docker.io"),
            {},
            "--mirror: 'docker.io' must be PREFIX=HOST[/PATH][+tags], such as docker.io=",
        ),
        (("run", "--cloud-credentials", "ibm"), {}, "--cloud-credentials: 'ibm' must be aws, gcp or azure"),
        (("run", "--private-ranges", "no"), {}, "--private-ranges: must be allow or deny, not 'no'"),
        (("run", "--min-interval", "5"), {}, "--min-interval: '5' must be a duration with its unit, such as 90s"),
        (("run", "--reachable-host", "https://r"), {}, "--reachable-host: must be HOST or HOST:PORT, without a scheme"),
        (("run", "--insecure-registry", "r/x"), {}, "--insecure-registry: must be HOST or HOST:PORT, without a scheme"),
        (("run", "--leader-elect=yes"), {}, "--leader-elect: must be true or false, not 'yes'"),
        (("run",), {"PODPIN_LEADER_ELECT": "1"}, "--leader-elect: must be true or false, not '1'"),
        (("run", "--selector", "shard is a"), {}, "--selector: 'shard is a' is no label selector: write shard=a,"),
        (("run", "--lease", "a"), {}, "--lease and --identity need --leader-elect"),
        (("run",), {"PODPIN_IDENTITY": "a"}, "--lease and --identity need --leader-elect"),
        (("run", "--leader-elect", "--lease", "a/b/c"), {}, "--lease: must be NAME or NAMESPACE/NAME, of lower-case"),
        (("run", "--workers", "0"), {}, "--workers: must be a whole number above 0, not '0'"),
        (("run",), {"PODPIN_WORKERS": "many"}, "--workers: must be a whole number above 0, not 'many'"),
        (("run", "--health-address", "8080"), {}, "--health-address: must be HOST:PORT, not '8080'"),
        (("run", "--health-address", ":8080"), {}, "--health-address: must be HOST:PORT, not ':8080'"),
        (("run", "--health-address", "a:70000"), {}, "--health-address: must be HOST:PORT, not 'a:70000'"),
        (("run",), {"PODPIN_HEALTH_ADDRESS": "here:http"}, "--health-address: must be HOST:PORT, not 'here:http'"),
        (("run", "--metrics-address", "8081"), {}, "--metrics-address: must be HOST:PORT, not '8081'"),
        (("run", "--namspace", "a"), {}, "--namspace"),
        (("walk",), {}, "walk"),
        ((), {}, "COMMAND"),
    ],
)
def test_what_it_does_not_understand_ends_it_with_2_and_names_the_culprit(
    arguments: tuple[str, ...], environment: dict[str, str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        parse_settings(arguments, environment)
    assert end.value.code == 2
    told = capsys.readouterr().err
    assert told.startswith("usage: podpin")
    assert says in told.splitlines()[-1]


@pytest.mark.parametrize("arguments", [("--help",), ("run", "--help")], ids=" ".join)
def test_help_is_worth_reading(arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        parse_settings(arguments, {})
    assert end.value.code == 0
    told = capsys.readouterr().out
    assert told.startswith("usage: podpin")
    assert max(map(len, told.splitlines())) <= 120
    if arguments == ("--help",):
        assert "goes back to the last good version" in told
        assert "serve ImageRollouts until stopped" in told
    else:
        for flag in (
            "kubeconfig",
            "context",
            "namespace",
            "insecure-registry",
            "mirror",
            "cloud-credentials",
            "reachable-host",
            "private-ranges",
            "min-interval",
            "health-address",
            "metrics-address",
            "log-format",
            "workers",
        ):
            assert f"--{flag}" in told
            assert f"PODPIN_{flag.upper().replace('-', '_')}" in told
        assert "podpin run --context staging" in told


def test_the_version_is_the_package_s(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        parse_settings(["--version"], {})
    assert end.value.code == 0
    assert capsys.readouterr().out == f"podpin {__version__}\n"
