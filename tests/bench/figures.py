"""What is measured, beside what it may be: the budgets are the design's, the peers were measured on a like machine."""

from __future__ import annotations

import json
import math
import os
import platform
import statistics
from collections import Counter
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from tests.cluster.audit import Entry


class CannotMeasureError(Exception):
    """A figure could not be had; the text is one sentence that says why."""


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the table, before it is measured.

    `most` and `most_ratio` are what the figure and its ratio may be at most; None where there is no budget.
    """

    what: str
    budget: str = ""
    peer: str = ""
    most: float | None = None
    most_ratio: float | None = None


ROWS: Final[Mapping[str, Row]] = {
    "writes.rollout.1": Row("API writes, good rollout of 1 replica", "5", "9 Argo, 9 Flagger; 8 Deployment", 5),
    "writes.rollout.3": Row("API writes, good rollout of 3 replicas", "5", "19 Argo, 9 Flagger; 20 Deployment", 5),
    "writes.rollout.events": Row("  the same, events included", "", "22 Argo, 14 Flagger"),
    "writes.rollback": Row("API writes, rollback", "3", "9", 3),
    "writes.rollback.events": Row("  the same, events included"),
    "node.tag": Row(
        "tag moved and asked for → template changed", "p99 200 ms, ratio 3", "11 ms Keel, unpinned", 200, 3
    ),
    "node.evidence": Row(
        "evidence in Pod status → rolled back", "p99 200 ms, ratio 3", "3.4 s; default 599 s Argo", 200, 3
    ),
    "node.good": Row("tag moved and asked for → stable, 1 replica, bakeTime 1 s", "", "0.7 s Argo, 0.8 s Deployment"),
    "memory.0": Row("memory at 0 rollouts, MiB", "60", "48 Flux, 52 Flagger", 60),
    "scale.new": Row("new: applied to all healthy", "", "59 s Flux, 105 s Argo; 22 s Deployments"),
    "scale.new.writes": Row("  API writes for each, events aside", "5", "", 5.0),
    "memory.n": Row("memory, MiB", "90 at 1,000; 250 at 10,000", "93 Keel, 116 Flagger", None),
    "memory.peak": Row("  the most that it ever had"),
    "quiet.writes": Row("quiet minute: API writes", "0", "0 Argo; 4,004 Flux", 0),
    "quiet.reads": Row("quiet minute: API reads, watches begun again aside", "0", "0 Argo; 300 Keel", 0),
    "quiet.watches": Row("quiet minute: watches begun again", "1 per watch", "", 4),
    "quiet.cpu": Row("quiet minute: CPU, % of a core", "0.3 at 1,000; 3 at 10,000", "0.1 Argo; 13.5 Flux"),
    "quiet.registry": Row("registry requests per repository and interval", "1", "2 per object Flux", 1.2),
    "idle.tag": Row(
        "tag moved and asked for → template changed", "p99 200 ms, ratio 3", "11 ms Keel, unpinned", 200, 3
    ),
    "idle.hook": Row("webhook → template changed", "p99 200 ms, ratio 3", "11 ms Keel, unpinned", 200, 3),
    "idle.evidence": Row(
        "evidence in Pod status → rolled back", "p99 200 ms, ratio 3", "3.4 s; default 599 s Argo", 200, 3
    ),
    "move": Row("one tag moves for all: last template changed", "10 s at 1,000; ratio 1.5", "596 s Keel", None, 1.5),
    "move.cpu": Row("  podpin's CPU until then, for each"),
    "move.healthy": Row("  until all are stable again"),
    "move.writes": Row("  API writes for each, events aside", "5", "", 5.0),
    "restart": Row("killed and started: all reconciled", "30 s at 10,000", "2.5 s + 16 s lease Argo"),
    "restart.ready": Row("  until ready"),
    "restart.writes": Row("  API writes and events meanwhile", "0", "an event for each Argo", 0),
    "choose": Row("choosing among 10,000 tags", "20 ms", "57 ms Flux, listing included", 20),
}
"""All figures, in the order of the table."""


@dataclass(frozen=True, slots=True)
class Figure:
    """What came out. `value` is what the budget is about, `text` what the table shows."""

    key: str
    value: float
    text: str
    ratio: float | None = None
    high_ratio: float | None = None
    """The ratio of the 99th percentiles, where `ratio` is one of medians."""
    most: float | None = None
    samples: Mapping[str, Sequence[float]] = field(default_factory=dict)
    note: str = ""

    @property
    def over(self) -> bool:
        """Whether it exceeds its budget."""
        row = ROWS[self.key]
        most = row.most if self.most is None else self.most
        over = most is not None and self.value > most
        return over or (row.most_ratio is not None and self.ratio is not None and self.ratio > row.most_ratio)


def count(key: str, value: float, most: float | None = None) -> Figure:
    """A figure that is a number as it stands."""
    return Figure(key, value, f"{value:,.0f}" if value == round(value) else f"{value:,.4g}", most=most)


def noted(figure: Figure, note: str) -> Figure:
    """The same with a remark, for whoever reads the JSON."""
    return replace(figure, note=note)


def writes(key: str, samples: Sequence[Sequence[Entry]]) -> Figure:
    """Of writes counted several times, the median, and the most where those are others; the note tells which writes."""
    values = [len(entries) for entries in samples]
    middle, most = statistics.median_low(values), max(values)
    told = Counter(
        ", ".join(f"{e.verb} {e.resource}{e.subresource and '/'}{e.subresource}" for e in s) for s in samples
    )
    return Figure(
        key,
        middle,
        f"{middle}" + (f" (up to {most})" if most != middle else ""),
        samples={"counts": values},
        note="; ".join(f"{times} times: {which}" for which, times in told.most_common()),
    )


def writes_each(key: str, entries: Sequence[Entry], among: int) -> Figure:
    """Writes for each of so many rollouts; the note tells of which kind they were."""
    kinds = Counter(f"{one.verb} {one.resource}/{one.subresource} {one.code}" for one in entries)
    told = "; ".join(f"{times / among:.2f} {kind}" for kind, times in kinds.most_common())
    return noted(count(key, round(len(entries) / among, 2)), told)


def seconds(key: str, value: float, ratio: float | None = None, most: float | None = None) -> Figure:
    """A figure in seconds."""
    return Figure(key, value, f"{value:.2f} s", ratio, most=most)


def latency(key: str, samples: Sequence[float], bare: Sequence[float] = ()) -> Figure:
    """Times in seconds, with those of the bare requests. The budget is about the 99th percentile."""
    middle, high = statistics.median(samples) * 1000, percentile(samples, 99) * 1000
    ratio = statistics.median(samples) / statistics.median(bare) if bare else None
    high_ratio = percentile(samples, 99) / percentile(bare, 99) if bare else None
    text = f"{middle:.0f} ms, p99 {high:.0f} ms"
    return Figure(key, high, text, ratio, high_ratio, samples={"podpin": samples, "bare": bare})


def median(key: str, samples: Sequence[float]) -> Figure:
    """Times in seconds, where the budget is about the usual one."""
    figure = latency(key, samples)
    return replace(figure, value=statistics.median(samples) * 1000)


def percentile(samples: Sequence[float], percent: float) -> float:
    """The smallest of the samples that so many percent of them don't exceed."""
    ordered = sorted(samples)
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]


def table(figures: Iterable[Figure]) -> str:
    """All figures for people."""
    measured = {figure.key: figure for figure in figures}
    lines = [("", "podpin", "ratio", "budget", "best peers", "")]
    for key, row in ROWS.items():
        if figure := measured.get(key):
            ratio = ", p99 ".join(f"{one:.1f}" for one in (figure.ratio, figure.high_ratio) if one is not None)
            lines.append((row.what, figure.text, ratio, row.budget, row.peer, "OVER" if figure.over else ""))
    widths = [max(len(line[at]) for line in lines) for at in range(len(lines[0]))]
    shown = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines]
    return "\n".join([shown[0], "─" * sum((*widths, 2 * len(widths) - 2)), *shown[1:]])


def write_json(path: Path, figures: Iterable[Figure], missing: Sequence[str]) -> None:
    """All figures for machines."""
    content = {
        "machine": {"cpus": os.cpu_count(), "load": os.getloadavg()[1], "python": platform.python_version()},
        "figures": [
            {**asdict(figure), "what": ROWS[figure.key].what.strip(), "budget": ROWS[figure.key].budget}
            | {"over": figure.over}
            for figure in figures
        ],
        "missing": list(missing),
    }
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n")
