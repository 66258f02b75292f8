"""The next page of a tag list, out of a Link header.

Registries agree on little here. Artifactory drops the repository's prefix from the path, Nexus adds one, proxies write
hosts that only they know; the query alone is always right, whether it holds `last` or Quay's `next_page`. So podpin
stays at its own host and path, and takes the query as it stands. A token therefore never follows a Link anywhere.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from yarl import URL

if TYPE_CHECKING:
    from collections.abc import Iterable

_LINK: Final = re.compile(r"<([^<>]*)>((?:[^,\"<]|\"(?:[^\"\\]|\\.)*\")*)", re.ASCII)
_NEXT: Final = re.compile(
    r";\s*rel\s*=\s*(?:\"(?:[^\"]*\s)?next(?:\s[^\"]*)?\"|next\s*(?:;|$))", re.ASCII | re.IGNORECASE
)
_RAW_QUERY: Final = re.compile(r"[\x21\x23-\x7e]+", re.ASCII)
_LONGEST: Final = 16 * 1024


def next_page(links: Iterable[str], here: URL) -> URL | None:
    """The URL of the page after `here`, or None if this was the last one."""
    for header in links:
        for target, parameters in _LINK.findall(header[:_LONGEST]):
            query = target.partition("#")[0].partition("?")[2]
            if query and _NEXT.search(parameters):
                if not _RAW_QUERY.fullmatch(query):
                    query = URL.build(query_string=query).raw_query_string
                return URL(f"{here.with_query(None)}?{query}", encoded=True)
    return None
