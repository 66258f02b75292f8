"""When a new version may begin: `spec.update`."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, ClassVar, Final, Literal

from pydantic import Field

from podpin.core.schema import Part, Rule, Span, Text
from podpin.core.spec.grammars import DnsLabel
from podpin.core.times import read_time
from podpin.core.windows import Interval, Opening, Window

MANUAL: Final = "Manual"
MAX_WINDOWS: Final = 16
MAX_DEPENDENCIES: Final = 16

Cron = Annotated[
    str,
    Text(
        grammar=r"[0-9*,/-]{1,64}(?: +[0-9*,/-]{1,64}){2}(?: +[0-9A-Za-z*,/-]{1,64}){2}",
        message="must be a cron expression of five fields (minute, hour, day of the month, month, day of the week), "
        "such as 0 9 * * 1-5",
        max_length=256,
        hints=(("^@", "must be written out in five fields, such as 0 9 * * 1-5: names like @daily are not known"),),
    ),
]
Zone = Annotated[
    str,
    Text(
        grammar=r"[A-Za-z][A-Za-z0-9_+-]*(?:/[A-Za-z0-9_+-]+){0,2}",
        message="must be the name of a time zone, such as Europe/Berlin or UTC",
        max_length=64,
    ),
]
Instant = Annotated[
    str,
    Text(
        grammar=r"2[0-9]{3}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12][0-9]|3[01])T(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]"
        r"(?:Z|[+-](?:0[0-9]|1[0-4]):[0-5][0-9])",
        message="must be a time with its zone, such as 2026-12-20T00:00:00Z",
        max_length=32,
    ),
]
Length = Annotated[timedelta, Span("1m", "744h")]


class WindowSpec(Part):
    """A window that opens again and again."""

    cron: Cron
    """When it opens, in five fields as in cron: 0 9 * * 1-5 is nine o'clock from Monday to Friday."""
    duration: Length
    """How long it stays open, from 1m to 744h."""
    time_zone: Zone = "UTC"
    """In which time zone the expression is meant, such as Europe/Berlin."""

    @property
    def opening(self) -> Opening:
        """When it is open."""
        return Window(self.cron, self.duration, self.time_zone)


class FreezeSpec(Part):
    """A time in which no update begins: either again and again, or once."""

    cron: Cron | None = None
    """When it begins, as in windows."""
    duration: Length | None = None
    """How long it lasts, from 1m to 744h."""
    time_zone: Zone | None = None
    """In which time zone the expression is meant; left out, UTC."""
    from_: Annotated[Instant | None, Field(alias="from")] = None
    """When it begins, such as 2026-12-20T00:00:00Z."""
    to: Instant | None = None
    """When it is over."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "(has(self.cron) && has(self.duration) && !has(self.from) && !has(self.to)) || "
            "(has(self.from) && has(self.to) && !has(self.cron) && !has(self.duration) && !has(self.timeZone))",
            "a freeze needs either cron and duration, or from and to",
            lambda one: (
                (one.cron is not None and one.duration is not None and one.from_ is None and one.to is None)
                or (one.from_ is not None and one.to is not None
                    and one.cron is None and one.duration is None and one.time_zone is None)
            ),
        ),
    )  # fmt: skip

    @property
    def opening(self) -> Opening:
        """When it lasts."""
        if self.cron is not None and self.duration is not None:
            return Window(self.cron, self.duration, self.time_zone or "UTC")
        start, end = read_time(self.from_), read_time(self.to)
        assert start is not None
        assert end is not None
        return Interval(start, end)


class DependencySpec(Part):
    """Another rollout of the same namespace."""

    name: DnsLabel
    """Its name."""


class UpdateSpec(Part):
    """When a new version may take the place of the stable one. Going back is never held up."""

    mode: Literal["Auto", "Manual"] = "Auto"
    """Auto tries a new version by itself; with Manual each one waits for the annotation podpin.dev/approve=RELEASE."""
    windows: Annotated[tuple[WindowSpec, ...], Field(max_length=MAX_WINDOWS)] = ()
    """Updates begin only while one of these is open; left out, at any time. What has begun goes on."""
    freeze: Annotated[tuple[FreezeSpec, ...], Field(max_length=MAX_WINDOWS)] = ()
    """No update begins during these, whatever the windows say."""
