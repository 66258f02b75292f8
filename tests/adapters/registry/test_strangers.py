"""Whatever a stranger sends, there is an answer or one of podpin's own errors, and never another host."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import re
from ipaddress import IPv4Address, IPv6Address
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from multidict import CIMultiDict, CIMultiDictProxy
from tests.adapters.registry.scripted import IMAGE, INDEX, digest_of, image
from tests.adapters.registry.scripted import access as access_of
from yarl import URL

from podpin.adapters.registry.addresses import Reach
from podpin.adapters.registry.client import RegistryClient
from podpin.adapters.registry.limits import parse_retry_after, read_quota
from podpin.adapters.registry.manifest import prove_manifest
from podpin.adapters.registry.paging import next_page
from podpin.adapters.registry.transport import Answer
from podpin.core.reference import Repository
from podpin.errors import Invalid, PodpinError, Untrusted

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


AMBIGUOUS: dict[str, bytes] = {
    "a list twice": b'{"manifests":[],"manifests":[{}]}',
    "a list in another case": b'{"manifests":[],"Manifests":[{}]}',
    "only in another case": b'{"manifests":[],"Subject":{}}',
    "a digest in two cases": b'{"manifests":[{"digest":"sha256:a","Digest":"sha256:b"}]}',
    "a platform in two cases": b'{"manifests":[{"platform":{},"platForm":{}}]}',
    "an architecture in two cases": b'{"manifests":[{"platform":{"architecture":"a","Architecture":"b"}}]}',
    "a letter that folds to another": '{"manifests":[],"manife\u017fts":[{}]}'.encode(),
    "a letter that is written as its number": b'{"manifests":[],"\\u004danifests":[{}]}',
}


@pytest.mark.parametrize("body", AMBIGUOUS.values(), ids=AMBIGUOUS)
def test_what_can_be_read_as_two_documents_is_refused(body: bytes) -> None:
    with pytest.raises(Untrusted, match="can be read as two different images"):
        prove_manifest("It", INDEX, body)


def test_annotations_are_texts_and_may_be_called_anything() -> None:
    body = b'{"manifests":[],"annotations":{"Size":"1","size":"2"},"x-vendor":{"a":1}}'
    assert prove_manifest("It", INDEX, body).body == body


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


@given(st.none() | st.text(max_size=40) | st.from_regex(r"[0-9]{1,9};w=[0-9]{1,9}", fullmatch=True))
def test_a_quota_is_words_or_nothing(value: str | None) -> None:
    words = read_quota(value)
    assert words is None or re.fullmatch(r"[0-9]+ requests in [0-9hms]+", words)


def verdict(address: str) -> str | None:
    try:
        Reach(private=False).check("r.example", 443, address)
    except Invalid as refusal:
        return str(refusal)
    return None


@given(st.integers(0, 2**32 - 1) | st.sampled_from([0xA9FEA9FE, 0x7F000001, 0x0A000001, 0x08080808]))
def test_an_address_is_what_it_is_however_it_is_wrapped(number: int) -> None:
    bare = verdict(str(IPv4Address(number)))
    for wrapped in ((0xFFFF << 32) | number, (0x64FF9B << 96) | number, (0x2002 << 112) | (number << 80)):
        assert verdict(str(IPv6Address(wrapped))) == bare


@given(
    st.integers(0, 2**32 - 1), st.sampled_from(["{0}", "{0:#x}", "0{0:o}", "{1}.{2}", "{1:#x}.{3}.{4}", "{1}.{3}.{4}."])
)
def test_no_odd_spelling_of_an_address_is_taken(number: int, spelling: str) -> None:
    parts = (number, number >> 24, number & 0xFFFFFF, number >> 16 & 0xFF, number & 0xFFFF)
    with pytest.raises(Invalid, match="in a spelling"):
        Reach().check_literal(spelling.format(*parts), 443)


GOOD = image()
BODIES = st.sampled_from(
    [
        GOOD,
        b"",
        b"<html>",
        b"{}",
        b"[" * 5000,
        b'{"tags": ["1", null, {}]}',
        b'{"errors": [{"code": 7}, 7]}',
        b'{"token": "t"}',
    ]
) | st.binary(max_size=40)
HEADERS = st.lists(
    st.tuples(
        st.sampled_from(
            ["Content-Type", "Docker-Content-Digest", "Link", "WWW-Authenticate", "Docker-Distribution-Api-Version"]
        ),
        st.sampled_from(
            [
                IMAGE,
                INDEX,
                "text/html",
                digest_of(GOOD),
                "sha256:" + "0" * 64,
                '</v2/x?last=1>; rel="next"',
                "Basic",
                'Bearer realm="https://r.example/token"',
                'Bearer realm="https://r.example/token",scope="a b c",error="insufficient_scope"',
                'Bearer realm="http://["',
            ]
        )
        | st.text(max_size=20),
    ),
    max_size=4,
)
STATUSES = st.sampled_from([200, 200, 200, 204, 206, 304, 400, 401, 403, 404, 405, 406, 410, 413, 418])
ANSWERS = st.lists(st.tuples(STATUSES, HEADERS, BODIES), min_size=1, max_size=8)


@given(ANSWERS, st.booleans())
@settings(max_examples=150, deadline=None)
def test_whatever_a_registry_answers_is_proven_or_one_of_our_own_errors(
    answers: list[tuple[int, list[tuple[str, str]], bytes]], known: bool
) -> None:
    left = iter(itertools.cycle(answers))
    served = {digest_of(body) for _, _, body in answers}

    async def fetch(method: str, url: URL, **_: Any) -> Answer:
        status, headers, body = next(left)
        return Answer(url, status, CIMultiDictProxy(CIMultiDict(headers)), b"" if method == "HEAD" else body)

    async def ask() -> None:
        client = RegistryClient()
        client._transport.fetch = fetch  # type: ignore[method-assign]
        repository, access = Repository("r.example", "app"), access_of("r.example")
        before = digest_of(b"before") if known else None
        with contextlib.suppress(PodpinError):
            assert await client.resolve(repository, "1", access, known=before) in served | {before}
        with contextlib.suppress(PodpinError):
            assert all(isinstance(tag, str) for tag in await client.list_tags(repository, access))
        with contextlib.suppress(PodpinError):
            assert (await client.manifest(repository, "1", access)).digest in served
        with contextlib.suppress(PodpinError):
            assert await client.blob(repository, digest_of(GOOD), access, 10_000) == GOOD
        with contextlib.suppress(PodpinError):
            assert await client.exists(repository, digest_of(GOOD), access) in {True, False}
        await client.close()

    asyncio.run(ask())
