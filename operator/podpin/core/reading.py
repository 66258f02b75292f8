"""How documents that anybody may have written are read: what is missing or of another type is empty, never an error."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def mapping(value: object) -> Mapping[str, Any]:
    """The object that stands there, or an empty one."""
    return value if isinstance(value, Mapping) else {}


def array(value: object) -> list[Any]:
    """The list that stands there, or an empty one."""
    return value if isinstance(value, list) else []


def text(value: object) -> str:
    """The text that stands there, or an empty one."""
    return value if isinstance(value, str) else ""


def number(value: object, otherwise: int = 0) -> int:
    """The whole number that stands there, or another one."""
    return value if isinstance(value, int) and not isinstance(value, bool) else otherwise
