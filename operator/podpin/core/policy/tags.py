"""Which tags are candidates, and what of a tag counts: `include`, `exclude` and `extract` of the spec's `tags`.

The patterns are RE2, which is Go's syntax: they cannot run away, whatever a user writes. They are searched for anywhere
in the tag, as Flux and Argo do; `^` and `$` bind them. `extract` is a replacement in Go's syntax, from regexp.Expand:
`$name`, `${name}`, `$1`, `$$`. Its value, not the tag, is then what the policy reads.

Several tags may yield one value. Of these the one that comes last in the order of characters stands for all.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

    from podpin.core.spec.images import TagsSpec

PATTERN_MEMORY: Final = 1 << 20
"""Bytes that a compiled pattern may take: RE2 refuses what needs more."""
LONGEST_VALUE: Final = 1024
"""Bytes that may be extracted from a tag. No tag is longer than 128; a replacement can repeat its groups."""

_REFERENCE: Final = re.compile(r"\$(?:\$|\{(\w+)\}|(\w+))", re.ASCII)


class TagsInvalid(ValueError):  # noqa: N818 -- says what the filter is
    """A pattern or a replacement that cannot be used; the text is a sentence for the user."""


class Filter:
    """The compiled form of a `tags`. Raises TagsInvalid."""

    __slots__ = ("_exclude", "_include", "_parts")

    def __init__(self, spec: TagsSpec) -> None:
        self._include = None if spec.include is None else _compile("include", spec.include)
        self._exclude = [_compile(f"exclude[{at}]", pattern) for at, pattern in enumerate(spec.exclude)]
        self._parts: list[bytes | int] | None = None
        if spec.extract is not None:
            if self._include is None:
                raise TagsInvalid("tags.extract takes its groups from tags.include: give that as well")
            self._parts = _template(spec.extract, self._include)

    def value(self, tag: str) -> str | None:
        """What of the tag counts; None where it is no candidate."""
        text = tag.encode()  # RE2 reads bytes, and its binding takes long to turn offsets into those of a str
        found = None
        if self._include is not None:
            found = self._include.search(text)
            if found is None:
                return None
        if any(pattern.search(text) for pattern in self._exclude):
            return None
        if self._parts is None or found is None:
            return tag
        value = b"".join(part if isinstance(part, bytes) else found.group(part) or b"" for part in self._parts)
        return value.decode("utf-8", "replace") if 0 < len(value) <= LONGEST_VALUE else None

    def explain(self, tag: str) -> tuple[str, str | None]:
        """What of the tag counts, and in a few words why it is no candidate, or None."""
        value = self.value(tag)
        if value is not None:
            return value, None
        text = tag.encode()
        if self._include is not None and not self._include.search(text):
            return tag, "tags.include is not found in it"
        if any(pattern.search(text) for pattern in self._exclude):
            return tag, "tags.exclude is found in it"
        return tag, f"tags.extract leaves nothing of it, or more than {LONGEST_VALUE} characters"

    def values(self, tags: Iterable[str]) -> dict[str, str]:
        """The candidates: from each value to its tag."""
        chosen: dict[str, str] = {}
        for tag in tags:
            value = self.value(tag)
            if value is not None and chosen.get(value, "") < tag:
                chosen[value] = tag
        return chosen


@lru_cache(maxsize=1024)
def filter_of(spec: TagsSpec) -> Filter:
    """The filter, compiled once. Raises TagsInvalid."""
    return Filter(spec)


def _compile(field: str, pattern: str) -> Any:
    import re2  # not before somebody filters: it takes memory that most do without

    options = re2.Options()
    options.max_mem = PATTERN_MEMORY
    options.log_errors = False
    try:
        return re2.compile(pattern.encode(), options)
    except re2.error as error:
        why = error.args[0].decode("utf-8", "replace") if isinstance(error.args[0], bytes) else str(error.args[0])
        raise TagsInvalid(f'tags.{field} "{pattern}" is no regular expression in RE2\'s syntax: {why}') from None


def _template(text: str, include: Any) -> list[bytes | int]:
    """The pieces of a replacement: texts, and numbers of groups."""
    named = {name.decode(): group for name, group in include.groupindex.items()}
    parts: list[bytes | int] = []
    end = 0
    for found in _REFERENCE.finditer(text):
        parts.append(text[end : found.start()].encode())
        end = found.end()
        name = found[1] or found[2]
        if name is None:
            parts.append(b"$")
            continue
        group = int(name) if name.isdigit() else named.get(name)
        if group is None or group > include.groups:
            known = ", ".join(f"${one}" for one in (*range(include.groups + 1), *named))
            raise TagsInvalid(
                f'tags.extract "{text}" names {found[0]}, which tags.include does not have; it has {known}'
            )
        parts.append(group)
    parts.append(text[end:].encode())
    if "$" in _REFERENCE.sub("", text):
        raise TagsInvalid(f'tags.extract "{text}" has a $ without a name; write $$ for the character itself')
    return [part for part in parts if part != b""]
