"""Whatever a stranger sends, there is an answer or one of podpin's own errors, and never another host."""

from __future__ import annotations

import contextlib
import json

from hypothesis import given
from hypothesis import strategies as st
from tests.adapters.registry.scripted import IMAGE, INDEX, digest_of
from yarl import URL

from podpin.adapters.registry.limits import parse_retry_after
from podpin.adapters.registry.manifest import prove_manifest
from podpin.adapters.registry.paging import next_page
from podpin.errors import Untrusted

HERE = URL("https://r.example:5000/v2/a/b/tags/list", encoded=True)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.sampled_from([IMAGE, INDEX]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
NAMES = st.sampled_from(["schemaVersion", "mediaType", "manifests", "layers", "config", "fsLayers", "subject"])
KINDS = st.sampled_from([None, "", IMAGE, INDEX, f"{IMAGE}; q=1", "text/html", "application/json"]) | st.text(
    max_size=9
)


@given(KINDS, st.binary(max_size=60) | st.dictionaries(NAMES, VALUES).map(lambda value: json.dumps(value).encode()))
def test_a_manifest_is_proven_or_refused(kind: str | None, body: bytes) -> None:
    with contextlib.suppress(Untrusted):
        assert prove_manifest("It", kind, body).digest == digest_of(body)


@given(st.lists(st.text(max_size=60) | st.from_regex(r'<[^>]{0,30}>; rel="?next"?', fullmatch=True), max_size=3))
def test_the_next_page_is_at_the_same_place(links: list[str]) -> None:
    page = next_page(links, HERE)
    if page is not None:
        assert page.origin() == HERE.origin()
        assert page.raw_path == HERE.raw_path
        assert str(page).isascii()
        assert str(page).isprintable()
        assert " " not in str(page)


@given(st.none() | st.text(max_size=40), st.none() | st.text(max_size=40))
def test_a_wait_is_never_negative(value: str | None, date: str | None) -> None:
    wait = parse_retry_after(value, date)
    assert wait is None or wait >= 0
