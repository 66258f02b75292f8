"""How podpin's log looks: one line per event, for people or for machines."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime

HUMAN = "%(asctime)s %(levelname)-7s %(message)s"


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
    logging.getLogger("kopf").setLevel(logging.ERROR if level != "debug" else logging.DEBUG)
    logging.getLogger("asyncio").setLevel(logging.ERROR)
