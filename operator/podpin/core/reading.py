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
