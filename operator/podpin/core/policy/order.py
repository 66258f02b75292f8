"""The highest of many tags, or the lowest, whatever their order in the registry's list.

Several tags may stand for one value, as `1.0` and `v1.0` do. Among those the one that comes last in the order of
characters wins, with ascending and with descending order alike.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from podpin.core.policy.choice import Choice

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from podpin.core.policy.choice import NoMatch

Order: TypeAlias = Literal["asc", "desc"]
"""`asc` sorts upwards and takes the last, which is the highest; `desc` takes the lowest."""

Key: TypeAlias = "Callable[[str], Any]"
"""From a tag to what it is ordered by, or None for a tag that is passed over."""


def best(tags: Iterable[str], key: Key, order: Order) -> str | None:
    """The tag that comes last in this order, or None where all are passed over."""
    keyed = [(found, tag) for tag in tags if (found := key(tag)) is not None]
    if not keyed:
        return None
    if order == "asc":
        return str(max(keyed)[1])
    lowest = min(found for found, _ in keyed)
    return max(tag for found, tag in keyed if found == lowest)


def keep(chosen: str, new: Choice | NoMatch, key: Key, order: Order) -> Choice | NoMatch:
    """`chosen` again where `new` is nothing or comes before it in this order."""
    if key(chosen) is None:
        return new
    if isinstance(new, Choice) and new.tag is not None and best((chosen, new.tag), key, order) == new.tag:
        return new
    return Choice(chosen, None)
