"""The one place that sends requests to the API server, and turns its answers into values or podpin's errors.

Nothing is retried here: a failed reconcile comes back by itself, later and with fresh eyes.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, Final
from urllib.parse import urlencode

import aiohttp
from kubernetes.aio.client.api_client import ApiClient
from kubernetes.aio.client.configuration import Configuration
from yarl import URL

from podpin import __version__
from podpin.errors import Conflict, Denied, Invalid, NotFound, PodpinError, Unavailable

JSON = "application/json"
APPLY = "application/apply-patch+yaml"
MERGE = "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
JSON_PATCH = "application/json-patch+json"
METADATA_ONLY = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
METADATA_LIST = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"

REQUEST_SECONDS = 30.0
MISFITS = ("failed to create typed patch object", "failed to convert new object")
"""How the API server refuses an apply that does not fit the schema: with code 500, as if the fault were its own."""
SILENCE_SECONDS = 100.0
"""How long a watch may say nothing: the API server sends a bookmark every minute."""

LONGEST_OBJECT = 8 * 2**20
"""How many bytes one object may have: etcd keeps none of more than a few MiB."""
LONGEST_PAGE = 128 * 2**20
"""How many bytes a page of a list may have."""
_PATH: Final = re.compile(r"(?:/(?!\.)[A-Za-z0-9._:-]+(?<!\.))+", re.ASCII)
"""No segment that a client or a proxy could fold, nothing that ends a path or is spelt in two ways."""

Body = dict[str, Any]


class Expired(PodpinError):  # noqa: N818 -- named for what the resource version is
    """The API server no longer knows this resource version (HTTP 410): list again."""


class Api:
    """Raw requests to one API server, as one user.

    `left` says for how many seconds podpin may still write: it is asked before each write, which is waited for no
    longer than that. `observe` is told of each request: its method, its path, and the status that came, or None.
    """

    def __init__(
        self,
        configuration: Configuration,
        left: Callable[[], float] = lambda: math.inf,
        observe: Callable[[str, str, int | None], None] = lambda _method, _path, _status: None,
    ) -> None:
        self._observe = observe
        self._client = ApiClient(configuration)
        self._left = left
        self._host = str(configuration.host).rstrip("/")
        self._agent = f"podpin/{__version__}"

    async def close(self) -> None:
        """Close all connections."""
        await self._client.close()

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: object = None,
        kind: str = JSON,
        accept: str = JSON,
    ) -> Body:
        """Send one request and return the object that comes back.

        Raises Denied, NotFound, Conflict, Invalid or Unavailable, each with the API server's own message: it is the
        user's cluster that speaks, not a stranger. A path that could be taken for another one is Invalid, and not sent.
        """
        left = REQUEST_SECONDS if method == "GET" else min(REQUEST_SECONDS, self._left())
        if left <= 0:
            raise Unavailable("podpin does not lead any more, and writes nothing.")
        response = await self._send(method, path, query, body, kind, accept, aiohttp.ClientTimeout(total=left))
        raw = await _read(response, LONGEST_PAGE if query and "limit" in query else LONGEST_OBJECT)
        if response.status >= 400:
            raise _error_of(response.status, raw, response.headers.get("Retry-After"))
        return _parsed(raw)

    async def watch(self, path: str, query: Mapping[str, str], accept: str = JSON) -> AsyncIterator[tuple[str, Body]]:
        """Open a watch and return its events, as (type, object), which go on until the API server ends it.

        To open it and to go on raise Expired where the resource version is too old, else what `request` raises.
        """
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=10.0, sock_read=SILENCE_SECONDS)
        response = await self._send("GET", path, {**query, "watch": "true"}, None, JSON, accept, timeout)
        if response.status < 400:
            return self._events(response)
        raw = await _read(response, LONGEST_OBJECT)
        raise _error_of(response.status, raw, response.headers.get("Retry-After"))

    async def _events(self, response: aiohttp.ClientResponse) -> AsyncIterator[tuple[str, Body]]:
        try:
            rest = b""
            async for chunk in response.content.iter_any():
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    kind, body = _event_of(line)
                    if kind == "ERROR":
                        raise _error_of(int(body.get("code") or 500), json.dumps(body).encode(), None)
                    yield kind, body
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            raise _unreachable(error) from error
        finally:
            response.close()

    async def _send(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None,
        body: object,
        kind: str,
        accept: str,
        timeout: aiohttp.ClientTimeout,
    ) -> aiohttp.ClientResponse:
        if not _PATH.fullmatch(path) or ".." in path:
            raise Invalid(f"podpin asks the API server for no such path: {path[:300]!r}.")
        headers = {"Accept": accept, "Content-Type": kind, "User-Agent": self._agent}
        # Encoded already: nobody on the way is to read the path once more.
        url = URL(f"{self._host}{path}" + (f"?{urlencode(query)}" if query else ""), encoded=True)
        status: int | None = None
        try:
            await self._client.update_params_for_auth(headers, [], ["BearerToken"], path, method, body)
            answer = await self._client.rest_client.request(
                method, url, headers=headers, body=body, _request_timeout=timeout
            )
            status = answer.response.status
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise _unreachable(error) from error
        finally:
            self._observe("WATCH" if query and "watch" in query else method, path, status)
        response: aiohttp.ClientResponse = answer.response
        return response


async def _read(response: aiohttp.ClientResponse, longest: int) -> bytes:
    chunks, length = [], 0
    try:
        async for chunk in response.content.iter_any():
            chunks.append(chunk)
            length += len(chunk)
            if length > longest:
                response.close()
                raise Unavailable(f"The API server's answer is longer than {longest // 2**20} MiB.")
    except (aiohttp.ClientError, TimeoutError) as error:
        raise _unreachable(error) from error
    return b"".join(chunks)


def _unreachable(error: Exception) -> Unavailable:
    return Unavailable(f"The API server does not answer: {type(error).__name__}: {error}.")


def _parsed(raw: bytes) -> Body:
    try:
        body = json.loads(raw)
    except ValueError as error:
        raise Unavailable("The API server answered something that is no JSON.") from error
    return body if isinstance(body, dict) else {}


def _event_of(line: bytes) -> tuple[str, Body]:
    event = json.loads(line)
    kind, body = (event.get("type"), event.get("object")) if isinstance(event, dict) else (None, None)
    if not isinstance(kind, str) or not isinstance(body, dict):
        raise ValueError("a line of the watch is no event")  # noqa: TRY004 -- as what is no JSON at all
    return kind, body


def _error_of(status: int, raw: bytes, retry_after: str | None) -> PodpinError:
    try:
        message = str(json.loads(raw).get("message") or "") or f"HTTP {status}"
    except (ValueError, AttributeError):
        message = raw[:200].decode(errors="replace").strip() or f"HTTP {status}"
    if status == 500 and message.startswith(MISFITS):
        return Invalid(message)
    match status:
        case 401 | 403:
            return Denied(message)
        case 404:
            return NotFound(message)
        case 409:
            return Conflict(message)
        case 410:
            return Expired(message)
        case 400 | 405 | 413 | 415 | 422:
            return Invalid(message)
    wait = float(retry_after) if retry_after is not None and retry_after.isdigit() else None
    return Unavailable(message, retry_after=wait)
