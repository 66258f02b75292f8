"""How podpin's log looks: one line per event, for people or for machines.

A line for machines has the rollout that it is about, and the release where there is one, as fields of their own, and
there is one more for each decision that does something (`podpin.decisions`), with all that was done. People have read
the same in the other lines by then.
"""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime

from podpin.core.names import Key

HUMAN = "%(asctime)s %(levelname)-7s %(message)s"
DECISIONS = "podpin.decisions"
"""The logger of decisions."""
FIELDS = ("release", "ready", "reason", "actions")
"""What else a line may carry besides its message."""


class JsonLines(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as JSON, its exception included."""
        line = {
            "time": datetime.fromtimestamp(record.created, UTC)
            .isoformat(timespec="milliseconds")
            .replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        about = next((one for one in record.args or () if isinstance(one, Key)), None)
        if about is not None:
            line["namespace"], line["rollout"] = about
        line |= {field: value for field in FIELDS if (value := getattr(record, field, None)) is not None}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


def set_up(form: str, level: str) -> None:
    """Send all logs to standard error, in the format `human` or `json`."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonLines() if form == "json" else logging.Formatter(HUMAN, "%Y-%m-%dT%H:%M:%S"))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("podpin").setLevel(level.upper())
    logging.getLogger(DECISIONS).setLevel(logging.WARNING if form == "human" and level != "debug" else logging.NOTSET)
    logging.getLogger("kopf").setLevel(logging.ERROR if level != "debug" else logging.DEBUG)
    logging.getLogger("asyncio").setLevel(logging.ERROR)
