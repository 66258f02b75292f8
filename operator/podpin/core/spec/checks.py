"""What the user asks of a new version besides ready Pods: `spec.rollout.checks`.

An address may carry the words `$(namespace)`, `$(name)` and `$(release)`, spelt as Kubernetes spells variables in a
container's command. They are filled in when the check is made, and no other word is known.
"""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated, ClassVar, Final

from pydantic import Field

from podpin.core.schema import Part, Rule, Span, Text
from podpin.core.spec.grammars import DnsLabel

MAX_CHECKS: Final = 8
WORDS: Final = ("namespace", "name", "release")
"""What an address or a query may have filled in, as `$(word)`."""

_REST: Final = "self" + "".join(f".replace('$({word})', ' ')" for word in WORDS)
_KNOWN: Final = Rule(
    f"!{_REST}.contains('$(')",
    "may carry $(namespace), $(name) and $(release), and no other word in $()",
    lambda text: re.search(rf"\$\((?!(?:{'|'.join(WORDS)})\))", text) is None,
)
_HINTS: Final = (
    ("^https?://[^/?#]*@", "must not carry a user or a password: whoever reads the rollout would read them"),
    ("#", "must not have a fragment: what follows # is never sent"),
)
Url = Annotated[
    str,
    Text(
        grammar=r"https?://[^\s/?#@]+(?:[/?][^\s#]*)?",
        message="must be a web address, such as http://web.$(namespace).svc:8080/healthz",
        max_length=1024,
        hints=_HINTS,
    ),
    _KNOWN,
]
Api = Annotated[
    str,
    Text(
        grammar=r"https?://[^\s/?#@]+(?:/[^\s?#]*)?",
        message="must be the address of an API, such as http://prometheus.monitoring.svc:9090",
        max_length=1024,
        hints=(*_HINTS, (r"\?", "must not have a query: that is a field of its own")),
    ),
    _KNOWN,
]


Code = Annotated[int, Field(ge=100, le=599, json_schema_extra={"format": "int32"})]


class StatusRange(Part):
    """The statuses that count as good; left out, those that the kubelet's probes take for good."""

    least: Annotated[Code, Field(alias="min")] = 200
    """The lowest one."""
    most: Annotated[Code, Field(alias="max")] = 399
    """The highest one."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            # The API server asks this of the default itself, too, which is empty at the time.
            "(has(self.min) ? self.min : 200) <= (has(self.max) ? self.max : 399)",
            "min must not be above max: no status could ever be good",
            lambda status: status.least <= status.most,
        ),
    )

    def __str__(self) -> str:
        """One status, or a range."""
        return f"{self.least}-{self.most}" if self.least < self.most else f"{self.least}"


class HttpCheck(Part):
    """Ask an address, and expect a status."""

    url: Url
    """What is asked, by GET. $(namespace), $(name) and $(release) are filled in. Redirects are not followed."""
    status: StatusRange = StatusRange()
    """The statuses that count as good."""


class PrometheusCheck(Part):
    """Ask Prometheus, or what speaks its API, and expect a number."""

    address: Api
    """The address of its API without /api/v1, such as http://prometheus.monitoring.svc:9090."""
    query: Annotated[str, Field(min_length=1, max_length=2048), _KNOWN]
    """A query in PromQL that gives a number, or several. $(namespace), $(name) and $(release) are filled in. As long as
    it gives none, the release is not proven, and at the progress deadline it is rejected: let a query that can have
    nothing to tell end in `or vector(0)`."""
    least: Annotated[float | None, Field(alias="min")] = None
    """Every number must be this or more."""
    most: Annotated[float | None, Field(alias="max")] = None
    """Every number must be this or less."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "has(self.min) || has(self.max)",
            "prometheus needs min, max or both: what the numbers are to be",
            lambda check: check.least is not None or check.most is not None,
        ),
        Rule(
            "!has(self.min) || !has(self.max) || self.min <= self.max",
            "min must not be above max: no number could ever be good",
            lambda check: check.least is None or check.most is None or check.least <= check.most,
        ),
    )


class CheckSpec(Part):
    """One check: exactly one of http and prometheus, and how often it is made."""

    name: DnsLabel
    """The name by which podpin speaks of it."""
    http: HttpCheck | None = None
    """Ask an address, and expect a status."""
    prometheus: PrometheusCheck | None = None
    """Ask Prometheus, and expect a number."""
    interval: Annotated[timedelta, Span("1s", "10m")] = timedelta(seconds=10)
    """How long to wait from one time to the next, from 1s to 10m."""
    timeout: Annotated[timedelta, Span("100ms", "30s")] = timedelta(seconds=5)
    """How long an answer may take, up to 30s."""
    failures_allowed: Annotated[int, Field(ge=0, le=100, json_schema_extra={"format": "int32"})] = 2
    """How often it may fail in one bake time. With one more, the release is rejected."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "has(self.http) != has(self.prometheus)",
            "a check needs exactly one of http and prometheus",
            lambda check: (check.http is None) != (check.prometheus is None),
        ),
    )
