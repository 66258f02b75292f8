"""The registry, as the rest of podpin sees it: which tags are there, and which digest is behind one.

It speaks the OCI distribution protocol as registries really speak it. Polling is one HEAD, which Docker Hub does not
count as a pull; a digest that is new is fetched and computed before anybody gets to see it, since digest headers are
wrong often enough. What is pinned is the digest at the top: the index's where there is an index.
"""

from __future__ import annotations

import logging
import random
import time
from collections import OrderedDict
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

from aiohttp import hdrs
from yarl import URL

from podpin.adapters.registry.auth import Authorizer, Errand, denied
from podpin.adapters.registry.limits import Limits
from podpin.adapters.registry.manifest import (
    ACCEPT,
    INDEX_TYPES,
    MOST_DESCRIPTORS,
    Descriptor,
    Manifest,
    descriptors_in,
    digest_of,
    is_web_page,
    media_type,
    prove_manifest,
    read_object,
)
from podpin.adapters.registry.paging import next_page
from podpin.adapters.registry.transport import Answer, Transport, authority, same_origin
from podpin.core.image import children_of, config_of, created_of, facts_of, pick
from podpin.core.mirrors import mirrors_of
from podpin.core.reference import ReferenceInvalid, is_signature, parse_digest, parse_tag
from podpin.errors import Denied, Invalid, NotFound, PodpinError, Unavailable, Untrusted

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from podpin.core.image import Facts
    from podpin.core.keyring import Access, Credential
    from podpin.core.mirrors import Mirror
    from podpin.core.reference import Repository

log = logging.getLogger(__name__)

_T = TypeVar("_T")

_DIGEST_HEADER: Final = "Docker-Content-Digest"
_API_HEADER: Final = "Docker-Distribution-Api-Version"
_MANIFEST_HEADERS: Final[Mapping[str, str]] = {hdrs.ACCEPT: ACCEPT}
_BLOB_HEADERS: Final[Mapping[str, str]] = {hdrs.ACCEPT: "*/*"}
_INDEX_HEADERS: Final[Mapping[str, str]] = {hdrs.ACCEPT: INDEX_TYPES[0]}
_LIST_HEADERS: Final[Mapping[str, str]] = {hdrs.ACCEPT: "application/json"}
_REFUSED: Final = frozenset({400, 405, 406, 410, 413, 414, 422})
_REFERRER_PAGES: Final = 8
_KEPT: Final = 64
_KEPT_BYTES: Final = 16 * 1024
"""How many manifests are kept, and how long one may be: what was proven is often asked for once more right away."""


class Lender(Protocol):
    """Who has credentials of podpin's own."""

    async def credential(self, repository: Repository) -> Credential | None:
        """The one that is lent for this repository, if any."""


class RegistryClient:
    """All registries, for all rollouts, each with its own access.

    Hosts are exact `host[:port]`: `insecure_hosts` are spoken to by plain HTTP and may be on loopback,
    `reachable_hosts` may be at any address, and all others in private networks if `private_ranges`. `trusted_realms`
    maps a registry's host to those of token servers that may see its passwords. `mirrors` are asked before a source,
    with the credentials for their own names. The `lender` may have some where an access has none. `monotonic` gives
    seconds, `rng` numbers in [0, 1). `observe` is told of each request: host, status or None, seconds.

    Every method raises podpin.errors: Unavailable where nothing follows for the image (its `retry_after` is in
    seconds), Denied, NotFound, Untrusted, and Invalid for what will be refused until somebody changes it.
    """

    def __init__(
        self,
        *,
        insecure_hosts: frozenset[str] = frozenset(),
        reachable_hosts: frozenset[str] = frozenset(),
        private_ranges: bool = True,
        trusted_realms: Mapping[str, frozenset[str]] | None = None,
        mirrors: Sequence[Mirror] = (),
        lender: Lender | None = None,
        limits: Limits | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        rng: Callable[[], float] = random.random,
        observe: Callable[[str, int | None, float], None] = lambda _host, _status, _seconds: None,
    ) -> None:
        self._limits = limits or Limits()
        self._mirrors = tuple(mirrors)
        self._lender = lender
        self._transport = Transport(
            insecure_hosts=insecure_hosts,
            reachable_hosts=reachable_hosts,
            private_ranges=private_ranges,
            limits=self._limits,
            monotonic=monotonic,
            rng=rng,
            observe=observe,
        )
        self._authorizer = Authorizer(
            self._transport,
            trusted_realms=trusted_realms or {},
            token_bytes=self._limits.token_bytes,
            monotonic=monotonic,
        )
        self._proven: OrderedDict[tuple[Errand, str], Manifest] = OrderedDict()

    async def list_tags(self, repository: Repository, access: Access) -> tuple[str, ...]:
        """All tags of the repository, in the registry's order; signatures and attestations are left out.

        Raises Invalid for a list that is longer than podpin reads: a part of it would be a wrong answer.
        """

        async def attempt(errand: Errand) -> tuple[str, ...]:
            return await self._list(repository, errand)

        return await self._anywhere(repository, access, attempt, tags=True)

    async def resolve(self, repository: Repository, tag: str, access: Access, *, known: str | None = None) -> str:
        """The digest behind the tag: that of the index where there is one.

        Costs one HEAD while it is `known`. Any other is computed from the manifest's bytes before it is returned.
        """
        parse_tag(tag)

        async def attempt(errand: Errand) -> str:
            return await self._resolve(repository, tag, errand, access, known)

        return await self._anywhere(repository, access, attempt, tags=True)

    async def exists(self, repository: Repository, digest: str, access: Access) -> bool:
        """Whether the registry still has this digest. False only if it says so clearly; all else is an error.

        Of the mirrors, those alone are asked that stand for the source: from the others, nodes may not pull.
        """
        parse_digest(digest)

        async def attempt(errand: Errand) -> bool:
            # A page for people is there under any name; only the digest itself shows that it was understood.
            if await self._head(digest, errand) != digest:
                await self._fetch(repository, digest, errand)
            return True

        try:
            return await self._anywhere(repository, access, attempt, tags=True)
        except NotFound:
            return False

    async def manifest(self, repository: Repository, name: str, access: Access) -> Manifest:
        """The manifest or index behind a tag or a digest; one that was proven a moment ago is not fetched again."""
        if ":" in name:
            parse_digest(name)
        else:
            parse_tag(name)

        async def attempt(errand: Errand) -> Manifest:
            return self._proven.get((errand, name)) or await self._fetch(repository, name, errand)

        return await self._anywhere(repository, access, attempt, tags=":" not in name)

    async def blob(self, repository: Repository, digest: str, access: Access, most_bytes: int) -> bytes:
        """The blob of this digest, computed from its bytes. Raises Untrusted for one longer than `most_bytes`."""
        parse_digest(digest)

        async def attempt(errand: Errand) -> bytes:
            url = self._url(errand, f"blobs/{digest}")
            answer = await self._ask("GET", url, errand, _BLOB_HEADERS, most_bytes)
            self._expect_ok(answer, errand, f"blob {digest} in {repository.path}")
            found = digest_of(answer.body)
            if found != digest:
                raise Untrusted(
                    f"What the registry at {authority(url)} sends as the blob {digest} of {repository.path} has the "
                    f"digest {found}; ask the registry's operator."
                )
            return answer.body

        return await self._anywhere(repository, access, attempt)

    async def inspect(
        self, repository: Repository, digest: str, access: Access, wanted: Sequence[str] = (), *, briefly: bool = False
    ) -> Facts:
        """What the image of this digest is; of an index, that for the first of the `wanted` platforms is looked into.

        Briefly, an index is asked for its platforms alone, which stand in itself.

        Costs one GET where the manifest was proven just now: of the image that an index names, or of the config.
        Another one where an index does not say when it was built. What the registry does not show is unknown.
        """
        top = await self.manifest(repository, digest, access)
        index = manifest = read_object(top.body)
        if top.media_type in INDEX_TYPES:
            if briefly:
                return facts_of(index, None, None)
            child = pick(children_of(index or {}), wanted)
            inner = None if child is None else await _shown(self.manifest(repository, child.digest, access))
            manifest = None if inner is None else read_object(inner.body)
        else:
            index = None
        config: dict[str, Any] | None = None
        name = config_of(manifest or {})
        dated = created_of(index or {}) or created_of(manifest or {})
        if name is not None and (index is None or dated is None):
            body = await _shown(self.blob(repository, name, access, self._limits.manifest_bytes))
            config = None if body is None else read_object(body)
        return facts_of(index, manifest, config)

    async def referrers(self, repository: Repository, digest: str, access: Access) -> tuple[Descriptor, ...] | None:
        """What the registry says refers to this digest; None where it cannot tell.

        None of it is proven: whoever follows a descriptor must look whether its `subject` is this digest. A very long
        list is cut off.
        """
        parse_digest(digest)

        async def attempt(errand: Errand) -> tuple[Descriptor, ...] | None:
            return await self._referrers(errand, digest)

        # An empty list may come from a mirror that copies images without what refers to them.
        found = await self._from_mirrors(repository, access, attempt, tags=True)
        return found or await self._with_each_credential(repository, access, attempt)

    async def close(self) -> None:
        """End all connections. The client is of no use after it."""
        await self._transport.close()

    async def _anywhere(
        self,
        repository: Repository,
        access: Access,
        attempt: Callable[[Errand], Awaitable[_T]],
        *,
        tags: bool = False,
    ) -> _T:
        """Try the repository's mirrors in their order, and then the source, whose error is the one that counts.

        With `tags`, what is asked for has no digest by which a mirror's answer could be proven.
        """
        found = await self._from_mirrors(repository, access, attempt, tags=tags)
        return await self._with_each_credential(repository, access, attempt) if found is None else found

    async def _from_mirrors(
        self,
        repository: Repository,
        access: Access,
        attempt: Callable[[Errand], Awaitable[_T]],
        *,
        tags: bool = False,
    ) -> _T | None:
        """What the first mirror answers that does; None if none does. Each is asked with its own name's credentials."""
        for copy in mirrors_of(self._mirrors, repository, tags=tags):
            try:
                return await self._with_each_credential(copy, access, attempt)
            except NotFound as error:
                log.debug("a mirror lacks %s, the next place is asked: %s", repository, error)
            except PodpinError as error:
                log.info("a mirror does not serve %s, the next place is asked: %s", repository, error)
        return None

    async def _with_each_credential(
        self, repository: Repository, access: Access, attempt: Callable[[Errand], Awaitable[_T]]
    ) -> _T:
        """Try the credentials in the kubelet's order, or none where there are none.

        Many registries say 404 to who has no right to look, so that only the last credential's 404 counts, and only if
        none was refused.
        """
        registry = self._base(repository)
        refusal: PodpinError | None = None
        given = access.keyring.lookup(repository)
        lent = None if given else await self._borrow(repository)
        for credential in given or (lent,):
            try:
                # What is lent goes to no host for which only the rollout's own CA vouches.
                ca = access.ca if lent is None else None
                return await attempt(Errand(registry, repository.path, credential, ca, lent is not None))
            except (Denied, NotFound) as error:
                if not isinstance(refusal, Denied):
                    refusal = error
        assert refusal is not None
        raise refusal

    async def _borrow(self, repository: Repository) -> Credential | None:
        """What podpin's own identity has for a repository for which no Secret has anything, over TLS alone."""
        if self._lender is None or self._transport.scheme_for(repository.api_host) != "https":
            return None
        return await self._lender.credential(repository)

    def _base(self, repository: Repository) -> URL:
        host = repository.api_host
        try:
            return URL(f"{self._transport.scheme_for(host)}://{host}/")
        except ValueError:
            raise Invalid(f"The registry's host {host} is not one that can be reached.") from None

    async def _list(self, repository: Repository, errand: Errand) -> tuple[str, ...]:
        limits = self._limits
        # No `n`: ECR and Quay refuse one that is too large for them, others ignore it.
        page: URL | None = self._url(errand, "tags/list")
        seen: set[URL] = set()
        tags: dict[str, None] = {}
        while page is not None and page not in seen:
            seen.add(page)
            answer = await self._ask("GET", page, errand, _LIST_HEADERS, limits.tag_page_bytes)
            self._expect_ok(answer, errand, f"repository {repository.path}")
            tags |= dict.fromkeys(_tags_of(answer))
            page = next_page(answer.headers.getall(hdrs.LINK, []), page)
            if len(tags) > limits.tags or (page is not None and len(seen) >= limits.pages):
                raise Invalid(
                    f"The registry at {authority(errand.registry)} lists more tags for {repository.path} than podpin "
                    f"reads ({limits.tags:,} tags, {limits.pages} pages); remove old ones, or follow one tag by name.",
                )
        return tuple(tags)

    async def _referrers(self, errand: Errand, digest: str) -> tuple[Descriptor, ...] | None:
        """Take nothing but 200 and an index for an answer: what registries say that lack this API is of all kinds.

        Redirects are not followed: the one that is known leads to a web site that then asks to be left alone.
        """
        page: URL | None = self._url(errand, f"referrers/{digest}")
        seen: set[URL] = set()
        found: list[Descriptor] = []
        while page is not None and page not in seen and len(seen) < _REFERRER_PAGES and len(found) < MOST_DESCRIPTORS:
            seen.add(page)
            try:
                answer = await self._ask("GET", page, errand, _INDEX_HEADERS, self._limits.manifest_bytes, redirects=0)
            except Untrusted:
                return None
            if answer.status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
                raise denied(errand, answer.status)
            if answer.status != HTTPStatus.OK or media_type(answer.headers.get(hdrs.CONTENT_TYPE)) != INDEX_TYPES[0]:
                return None
            found += descriptors_in(answer.body)
            page = next_page(answer.headers.getall(hdrs.LINK, []), page)
        return tuple(found)

    async def _resolve(
        self, repository: Repository, tag: str, errand: Errand, access: Access, known: str | None
    ) -> str:
        claimed = await self._head(tag, errand)
        if claimed is None:
            return await self._resolve_by_get(repository, tag, errand, known)
        if claimed != known and (errand, claimed) not in self._proven:
            # By digest and not by tag: what is checked is then what is pinned, whatever the tag does meanwhile.
            async def attempt(mirrored: Errand) -> Manifest:
                return await self._fetch(repository, claimed, mirrored)

            try:
                if await self._from_mirrors(repository, access, attempt) is None:
                    await self._fetch(repository, claimed, errand)
            except NotFound as error:
                raise Unavailable(
                    f"The registry at {authority(errand.registry)} names the digest {claimed} for "
                    f"{repository.path}:{tag} and does not have it; podpin asks again later.",
                ) from error
        return claimed

    async def _resolve_by_get(self, repository: Repository, tag: str, errand: Errand, known: str | None) -> str:
        """Where HEAD does not tell: fetch the manifest, unless the registry says that it is still the known one."""
        if known is None:
            return (await self._fetch(repository, tag, errand)).digest
        manifest = await self._fetch_unless(repository, tag, errand, known)
        return known if manifest is None else manifest.digest

    async def _head(self, name: str, errand: Errand) -> str | None:
        """Ask for a manifest's digest alone; None if HEAD does not tell and GET has to."""
        answer = await self._ask("HEAD", self._url(errand, f"manifests/{name}"), errand, _MANIFEST_HEADERS, 0)
        if answer.status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
            raise denied(errand, answer.status)
        if answer.status != HTTPStatus.OK:
            return None
        return _digest_header(answer)

    async def _fetch(self, repository: Repository, name: str, errand: Errand) -> Manifest:
        """Fetch a manifest by tag or digest, and prove it. Raises NotFound only for a clear 404."""
        manifest = await self._fetch_unless(repository, name, errand, None)
        assert manifest is not None
        return manifest

    async def _fetch_unless(
        self, repository: Repository, name: str, errand: Errand, known: str | None
    ) -> Manifest | None:
        """Fetch a manifest and prove it; None if it is the `known` one, which was proven when it became known."""
        url = self._url(errand, f"manifests/{name}")
        headers = _MANIFEST_HEADERS if known is None else {**_MANIFEST_HEADERS, hdrs.IF_NONE_MATCH: f'"{known}"'}
        answer = await self._ask("GET", url, errand, headers, self._limits.manifest_bytes)
        if known is not None and answer.status == HTTPStatus.NOT_MODIFIED:
            return None
        by_digest = ":" in name
        shown = f"{repository.path}{'@' if by_digest else ':'}{name}"
        self._expect_ok(answer, errand, shown)
        where = f"What the registry at {authority(url)} sends as {shown}"
        manifest = prove_manifest(where, answer.headers.get(hdrs.CONTENT_TYPE), answer.body)
        promised = name if by_digest else _digest_header(answer)
        if promised is not None and promised != manifest.digest:
            raise Untrusted(
                f"{where} has the digest {manifest.digest}, and not {promised} as it says; ask the registry's operator."
            )
        self._keep(errand, manifest)
        return manifest

    def _keep(self, errand: Errand, manifest: Manifest) -> None:
        """Keep a manifest for those alone who may see it: the errand has their credential."""
        if len(manifest.body) <= _KEPT_BYTES:
            self._proven[errand, manifest.digest] = manifest
            if len(self._proven) > _KEPT:
                self._proven.popitem(last=False)

    async def _ask(
        self,
        method: str,
        url: URL,
        errand: Errand,
        headers: Mapping[str, str],
        most_bytes: int,
        *,
        redirects: int | None = None,
    ) -> Answer:
        """Ask the registry, with what it wanted the last time; and once more with what it wants now, if it says 401."""
        authorization = await self._authorizer.expected(errand)
        for again in (True, False):
            answer = await self._transport.fetch(
                method,
                url,
                who="registry",
                ca=errand.ca,
                headers=headers,
                authorization=authorization,
                most_bytes=most_bytes,
                redirects=self._limits.redirects if redirects is None else redirects,
            )
            if answer.status != HTTPStatus.UNAUTHORIZED or not again or not same_origin(answer.url, url):
                break
            response = await self._authorizer.respond(answer, errand, authorization)
            if response is None:
                break
            authorization = response
        return answer

    def _expect_ok(self, answer: Answer, errand: Errand, what: str) -> None:
        """Raise the error that a status stands for."""
        host, status = authority(answer.url), answer.status
        if status == HTTPStatus.OK:
            return
        if status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
            raise denied(errand, status)
        if is_web_page(answer.headers.get(hdrs.CONTENT_TYPE), answer.body):
            raise Untrusted(
                f"The host {host} answers with a web page, as no registry does; check the repository's host."
            )
        if status == HTTPStatus.NOT_FOUND:
            if not _is_registrys_own(answer):
                raise Unavailable(
                    f"The host {host} says 404 as no registry does; check the repository's host, or ask again later.",
                )
            raise NotFound(f"The registry at {host} has no {_missing(answer, errand, what)}.")
        if status == HTTPStatus.BAD_REQUEST and errand.registry.scheme == "http" and b"HTTPS" in answer.body:
            raise Untrusted(
                f"The registry at {host} speaks TLS; the administrator should take it out of --insecure-registry.",
            )
        if status in _REFUSED:
            raise Invalid(f"The registry at {host} refuses to say anything about {what} (HTTP {status}).")
        raise Unavailable(f"The registry at {host} answers in a way that podpin does not know (HTTP {status}).")

    def _url(self, errand: Errand, rest: str) -> URL:
        return URL(f"{errand.registry}v2/{errand.path}/{rest}", encoded=True)


async def _shown(asking: Awaitable[_T]) -> _T | None:
    """What was asked for, or None where the registry answers with anything but that; Unavailable is raised still."""
    try:
        return await asking
    except Unavailable:
        raise
    except PodpinError:
        return None


def _digest_header(answer: Answer) -> str | None:
    try:
        return parse_digest(answer.headers.get(_DIGEST_HEADER, ""))
    except ReferenceInvalid:
        return None


def _tags_of(answer: Answer) -> list[str]:
    host = authority(answer.url)
    if is_web_page(answer.headers.get(hdrs.CONTENT_TYPE), answer.body):
        raise Untrusted(f"The host {host} answers with a web page, as no registry does; check the repository's host.")
    content = read_object(answer.body)
    if content is None or "tags" not in content:
        raise Untrusted(f"The registry at {host} answers with what is no list of tags.")
    listed = content["tags"] or []
    if not isinstance(listed, list):
        raise Untrusted(f"The registry at {host} answers with what is no list of tags.")
    return [tag for tag in listed if isinstance(tag, str) and _is_tag(tag) and not is_signature(tag)]


def _is_tag(text: str) -> bool:
    try:
        parse_tag(text)
    except ReferenceInvalid:
        return False
    return True


def _is_registrys_own(answer: Answer) -> bool:
    """Whether a 404 comes from a registry, and not from something in front of it that has lost it."""
    return _API_HEADER in answer.headers or isinstance((read_object(answer.body) or {}).get("errors"), list)


def _missing(answer: Answer, errand: Errand, what: str) -> str:
    errors = (read_object(answer.body) or {}).get("errors")
    codes = [error.get("code") for error in errors if isinstance(error, dict)] if isinstance(errors, list) else []
    return f"repository {errand.path}" if "NAME_UNKNOWN" in codes else what
