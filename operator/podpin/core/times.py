"""How times are read from and written to Kubernetes objects: RFC 3339, UTC, whole seconds."""

from __future__ import annotations

from datetime import UTC, datetime


def read_time(text: object) -> datetime | None:
    """The time that a field holds, in UTC, or None where it holds none that can be read."""
    if not isinstance(text, str) or not text:
        return None
    try:
        value = datetime.fromisoformat(text)
        return value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return None


def write_time(value: datetime) -> str:
    """A time as Kubernetes writes it: `2026-11-24T06:00:00Z`, to the second."""
    return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
