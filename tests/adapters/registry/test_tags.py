"""Listing tags, over every way in which registries page."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.adapters.registry.scripted import Scripted, missing, reply
from yarl import URL

from podpin.adapters.registry.limits import Limits
from podpin.adapters.registry.paging import next_page
from podpin.core.keyring import Access
from podpin.core.reference import Repository
from podpin.errors import Denied, Invalid, NotFound, Untrusted

if TYPE_CHECKING:
    from aiohttp import web
    from tests.adapters.registry.conftest import NewClient, Serve
    from tests.adapters.registry.scripted import Reply

    from podpin.adapters.registry.client import RegistryClient

ANYBODY = Access()
LIST = "GET /v2/app/tags/list"
HEX = "0123456789abcdef" * 4


def page(*tags: object, link: str | None = None) -> Reply:
    more = {} if link is None else {"link": link}
    return reply(200, {"name": "app", "tags": list(tags)}, **more)


async def test_a_list_on_one_page_costs_one_request_without_n(registry: Scripted, client: RegistryClient) -> None:
    registry.on(LIST, page("1.0", "1.1"))
    assert await client.list_tags(registry.app, ANYBODY) == ("1.0", "1.1")
    assert registry.asked == [LIST]


LINKS = {
    "relative": '</v2/app/tags/list?last=a%2Fb&n=2>; rel="next"',
    "relative to the page": '<list?last=a%2Fb&n=2>; rel="next"',
    "the query alone": "<?last=a%2Fb&n=2>; rel=next",
    "absolute": '<http://{host}/v2/app/tags/list?last=a%2Fb&n=2>; rel="next"',
    "absolute with another scheme, behind a proxy": '<https://{host}/v2/app/tags/list?last=a%2Fb&n=2>; rel="next"',
    "absolute with the proxy's own host": '<http://internal:5000/v2/app/tags/list?last=a%2Fb&n=2>; rel="next"',
    "without the repository's prefix, as Artifactory has it": '</v2/tags/list?last=a%2Fb&n=2>; rel="next"',
    "with a prefix too many, as Nexus has it": '</repository/hosted/v2/app/tags/list?last=a%2Fb&n=2>; rel="next"',
    "among other links": '</v2/x>; rel="prev", </v2/app/tags/list?last=a%2Fb&n=2>; title="a, b"; rel="next"',
    "in capitals": '</v2/app/tags/list?last=a%2Fb&n=2>; REL="Next"',
    "with more than one relation": '</v2/app/tags/list?last=a%2Fb&n=2>; rel="last next"',
}


@pytest.mark.parametrize("link", LINKS.values(), ids=LINKS)
async def test_follows_every_spelling_of_a_link_by_its_query_as_it_stands(
    registry: Scripted, client: RegistryClient, link: str
) -> None:
    second = f"{LIST}?last=a%2Fb&n=2"
    registry.on(LIST, page("1", link=link.replace("{host}", registry.host)))
    registry.on(second, page("2"))
    assert await client.list_tags(registry.app, ANYBODY) == ("1", "2")
    assert registry.asked == [LIST, second]


async def test_follows_quays_own_token(registry: Scripted, client: RegistryClient) -> None:
    registry.on(LIST, page("1", link='</v2/app/tags/list?next_page=gAAA%3D%3D>; rel="next"'))
    registry.on(f"{LIST}?next_page=gAAA%3D%3D", page("2"))
    assert await client.list_tags(registry.app, ANYBODY) == ("1", "2")


NO_NEXT = ['</v2/x?a=b>; rel="prev"', "</v2/x?a=b>", "nonsense", "<>; rel=next", '</v2/x>; rel="next"', "<" * 9000, ""]


@pytest.mark.parametrize("link", NO_NEXT)
def test_what_is_no_next_page_is_none(link: str) -> None:
    assert next_page([link], URL("http://r.io/v2/app/tags/list")) is None


def test_a_link_can_not_break_the_request_line() -> None:
    found = next_page(["</x?last=a b\x7fä\t>; rel=next"], URL("http://r.io/v2/app/tags/list"))
    assert found is not None
    assert str(found).isascii()
    assert not set(str(found)) & set(" \t\x7f")


async def test_a_link_leads_no_credential_to_another_host(
    registry: Scripted, serve: Serve, new_client: NewClient
) -> None:
    other = await serve("localhost")
    client = new_client(registry, other)
    registry.on(LIST, page("1", link=f'<http://{other.host}/v2/app/tags/list?last=1>; rel="next"'))
    registry.on(f"{LIST}?last=1", page("2"))
    assert await client.list_tags(registry.app, ANYBODY) == ("1", "2")
    assert other.seen == []


async def test_a_link_that_leads_back_ends_the_list(registry: Scripted, client: RegistryClient) -> None:
    registry.on(LIST, page("1", link='</v2/app/tags/list?last=1>; rel="next"'))
    registry.on(f"{LIST}?last=1", page("2", link='</v2/app/tags/list?last=1>; rel="next"'))
    assert await client.list_tags(registry.app, ANYBODY) == ("1", "2")
    assert len(registry.seen) == 2


async def test_a_list_without_end_is_an_error_and_not_half_a_list(registry: Scripted, new_client: NewClient) -> None:
    async def another(request: web.BaseRequest) -> web.StreamResponse:
        number = len(registry.seen)
        return await page(f"t{number}", link=f'</v2/app/tags/list?last={number}>; rel="next"')(request)

    registry.on("*", another)
    client = new_client(registry, limits=Limits(pages=5))
    with pytest.raises(Invalid, match="more tags for app than podpin reads"):
        await client.list_tags(registry.app, ANYBODY)
    assert len(registry.seen) == 5


async def test_too_many_tags_on_one_page_are_an_error(registry: Scripted, new_client: NewClient) -> None:
    registry.on(LIST, page(*(f"t{number}" for number in range(11))))
    with pytest.raises(Invalid, match="10 tags"):
        await new_client(registry, limits=Limits(tags=10)).list_tags(registry.app, ANYBODY)


LISTS = {
    "null is empty, as GitLab and others have it": ({"name": "app", "tags": None}, ()),
    "an empty list is empty": ({"tags": []}, ()),
    "what is no tag is left out": ({"tags": ["1", 2, None, "", "-x", "a/b", "x" * 129, "1\n", "ä"]}, ("1",)),
    "signatures are left out": ({"tags": [f"sha256-{HEX}{end}" for end in ("", ".sig", ".att", ".sbom")]}, ()),
    "what only looks like a signature stays": ({"tags": ["sha256-abc.sig", f"sha256-{HEX}.txt"]}, 2),
    "a tag twice counts once": ({"tags": ["1", "1"]}, ("1",)),
    "the order is the registry's": ({"tags": ["b", "a"]}, ("b", "a")),
}


@pytest.mark.parametrize(("content", "expected"), LISTS.values(), ids=LISTS)
async def test_reads_lists(registry: Scripted, client: RegistryClient, content: object, expected: object) -> None:
    registry.on(LIST, reply(200, content))
    tags = await client.list_tags(registry.app, ANYBODY)
    assert (len(tags) if isinstance(expected, int) else tags) == expected


BROKEN = {
    "a web page": (reply(200, "<html>", kind="text/html"), Untrusted, "web page"),
    "no JSON": (reply(200, "tags"), Untrusted, "no list of tags"),
    "no tags": (reply(200, {"name": "app"}), Untrusted, "no list of tags"),
    "tags that are text": (reply(200, {"tags": "1"}), Untrusted, "no list of tags"),
    "no such repository": (missing("NAME_UNKNOWN"), NotFound, "has no repository app"),
    "forbidden": (reply(403), Denied, "without credentials"),
    "too many asked for, as Quay says": (reply(413), Invalid, "HTTP 413"),
}


@pytest.mark.parametrize(("answer", "error", "sentence"), BROKEN.values(), ids=BROKEN)
async def test_says_what_is_wrong_with_a_list(
    registry: Scripted, client: RegistryClient, answer: Reply, error: type[Exception], sentence: str
) -> None:
    registry.on(LIST, answer)
    with pytest.raises(error, match=sentence):
        await client.list_tags(registry.app, ANYBODY)


async def test_a_long_path_is_asked_for_as_it_is(registry: Scripted, client: RegistryClient) -> None:
    registry.on("GET /v2/a/b__c/d-e/tags/list", page("1"))
    assert await client.list_tags(Repository(registry.host, "a/b__c/d-e"), ANYBODY) == ("1",)
