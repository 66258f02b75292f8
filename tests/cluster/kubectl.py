"""kubectl as tests use it: its output, or an error with what it said."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from tests.cluster.commands import run

ESTABLISHED: Final = """{.status.conditions[?(@.type=="Established")].status}=True"""
Manifest = str | Path | Mapping[str, Any] | Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Kubectl:
    """A kubectl program and whom it speaks for."""

    program: Path | str
    kubeconfig: Path
    context: str | None = None
    cache: Path | None = None  # a throw-away cluster's own; its address will be another cluster's tomorrow
    no_proxy: str = ""  # addresses that no proxy of this machine's environment can know

    def __call__(self, *words: str, stdin: str | None = None, timeout: float = 120) -> str:
        """Run `kubectl words…` and return what it printed."""
        context = ["--context", self.context] if self.context else []
        environment = {**os.environ, "KUBECONFIG": str(self.kubeconfig), "KUBERC": "off"}
        if self.cache is not None:
            environment["KUBECACHEDIR"] = str(self.cache)
        if self.no_proxy:
            environment["NO_PROXY"] = environment["no_proxy"] = self.no_proxy
        return run(self.program, *context, *words, stdin=stdin, timeout=timeout, env=environment)

    def get(self, *words: str) -> Any:
        """The object, or list of objects, as JSON has it."""
        return json.loads(self("get", *words, "-o", "json"))

    def serve(self, plural: str, group: str) -> None:
        """Wait until a new CRD is served. Its names come first: to wait for a condition is an error to kubectl while
        the list of conditions is still null."""
        for what in (f"{{.status.acceptedNames.plural}}={plural}", ESTABLISHED):
            self("wait", f"--for=jsonpath={what}", "--timeout=30s", f"crd/{plural}.{group}")

    def apply(self, manifest: Manifest, *words: str) -> str:
        """Apply YAML text, a file, an object or several; `words` may add --server-side and the like."""
        return self("apply", *words, "-f", "-", stdin=text_of(manifest))

    def delete(self, manifest: Manifest, *words: str) -> str:
        """Delete what the manifest names, if it is there."""
        return self("delete", "--ignore-not-found", *words, "-f", "-", stdin=text_of(manifest))


def text_of(manifest: Manifest) -> str:
    """YAML of whatever form a test has its manifest in."""
    if isinstance(manifest, str):
        return manifest
    if isinstance(manifest, Path):
        return manifest.read_text()
    objects = [manifest] if isinstance(manifest, Mapping) else manifest
    return yaml.safe_dump_all([dict(one) for one in objects], sort_keys=False)
