"""Which hooks an administrator has allowed, and what proves each.

The entries are what a file holds; reading that is somebody else's. Whatever is wrong with one is said without quoting a
path or a secret, for those are not for the log.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from podpin.core.hooks import SOURCES, Source
from podpin.core.hooks.proof import same

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

SHORTEST: Final = 16
"""How many characters what must not be guessed has at least."""

_PATH: Final = re.compile(r"[A-Za-z0-9_.~-]{1,256}", re.ASCII)
_FIELDS: Final = frozenset({"source", "path", "secret"})


class EntryInvalid(ValueError):  # noqa: N818 -- it names the entry's state, like podpin.errors
    """An entry that cannot be used. Its text is one sentence for the administrator."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A hook that is answered: `POST /hook/<name of the source>/<path>`. Without a secret, the path is the proof."""

    name: str
    path: str = field(repr=False)
    secret: str | None = field(repr=False)

    @property
    def source(self) -> Source:
        """Who sends the notices."""
        return SOURCES[self.name]

    def holds(self, headers: Mapping[str, str], body: bytes) -> bool:
        """Whether a notice to this path proves itself."""
        return self.secret is None or self.source.proof.holds(self.secret, headers, body)

    @property
    def by_body(self) -> bool:
        """Whether that can be told only once the body is there."""
        return self.secret is not None and self.source.proof.by_body


def find(entries: Iterable[Entry], name: str, path: str) -> Entry | None:
    """The entry with this path. How long it takes does not tell how much of the path is right."""
    found = None
    for entry in entries:
        if same(path, entry.path) & same(name, entry.name):
            found = entry
    return found


def entries_of(content: object) -> tuple[Entry, ...]:
    """The entries in a file's content: a list of objects with `source`, `path` and `secret`. Raises EntryInvalid."""
    if not isinstance(content, list):
        raise EntryInvalid("It must be a list of hooks, each with source and path.")
    entries: dict[tuple[str, str], Entry] = {}
    for number, raw in enumerate(content, 1):
        entry = _entry_of(raw, f"Hook {number}")
        if entries.setdefault((entry.name, entry.path), entry) is not entry:
            raise EntryInvalid(f"Hook {number} has the source and the path of another; give each a path of its own.")
    return tuple(entries.values())


def _entry_of(raw: Any, which: str) -> Entry:
    if not isinstance(raw, dict) or not set(raw) <= _FIELDS:
        raise EntryInvalid(f"{which} must have source, path and, where the source sends one, secret, and nothing else.")
    name, path, secret = raw.get("source"), raw.get("path"), raw.get("secret")
    if not isinstance(name, str) or name not in SOURCES:
        raise EntryInvalid(f"{which} has no source that podpin knows; give one of {', '.join(SOURCES)}.")
    if not isinstance(path, str) or not _PATH.fullmatch(path):
        raise EntryInvalid(f"{which} ({name}) needs a path of 1 to 256 letters, digits, '_', '.', '~' or '-'.")
    if secret is not None and SOURCES[name].proof.sent is None:
        raise EntryInvalid(f"{which} ({name}) has a secret, but this source sends none: leave it out.")
    if secret is not None and (not isinstance(secret, str) or len(secret) < SHORTEST):
        raise EntryInvalid(f"{which} ({name}) needs a secret of at least {SHORTEST} characters, written as text.")
    if secret is None and len(path) < SHORTEST:
        raise EntryInvalid(
            f"{which} ({name}) has no secret, so nobody may guess its path: make that {SHORTEST} random characters "
            "or more."
        )
    return Entry(name, path, secret)
