"""One question to a cloud's own service, and its answer as JSON.

These addresses come from the cloud's conventions and from podpin's own environment, never from a rollout, so that the
rules for registries' addresses do not hold here: metadata services are what is meant to be reached.
"""

from __future__ import annotations

import json
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import aiohttp

from podpin.errors import Denied, Unavailable

if TYPE_CHECKING:
    from collections.abc import Mapping

_MOST_BYTES: Final = 64 * 1024
_TIMEOUT: Final = aiohttp.ClientTimeout(total=10, sock_connect=3)


def read_token(file: str) -> str:
    """The token of podpin's own identity, as the cluster puts it into the Pod. Raises Unavailable."""
    try:
        return Path(file).read_text().strip()
    except (OSError, ValueError) as error:
        raise Unavailable(f"The token of podpin's own identity cannot be read from {file}.") from error


class Exchange:
    """Asks, without cookies, redirects and proxies, and with short patience."""

    def __init__(self) -> None:
        self._client: aiohttp.ClientSession | None = None

    async def text(
        self,
        who: str,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        form: Mapping[str, str] | None = None,
        body: bytes | None = None,
    ) -> str:
        """What `who`, named so in errors, answers. Raises Denied for a refusal and Unavailable for all else.

        No error holds anything of the answer.
        """
        if self._client is None:
            self._client = aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar(), timeout=_TIMEOUT)
        try:
            async with self._client.request(
                method, url, headers=headers, data=body if form is None else form, allow_redirects=False
            ) as response:
                content = bytearray()
                async for chunk in response.content.iter_chunked(_MOST_BYTES):
                    content += chunk
                    if len(content) > _MOST_BYTES:
                        raise Unavailable(f"{who} answers with more than podpin reads.")
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise Unavailable(f"{who} cannot be reached from podpin's Pod.") from error
        if response.status in {HTTPStatus.BAD_REQUEST, HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
            raise Denied(f"{who} refuses podpin's own identity (HTTP {response.status}).")
        if response.status != HTTPStatus.OK:
            raise Unavailable(f"{who} gives no answer (HTTP {response.status}).")
        return content.decode("utf-8", "replace")

    async def json(self, who: str, method: str, url: str, **how: Any) -> dict[str, Any]:
        """The same, for an answer that is a JSON object."""
        try:
            answer = json.loads(await self.text(who, method, url, **how))
        except (ValueError, RecursionError):
            answer = None
        if not isinstance(answer, dict):
            raise Unavailable(f"{who} answers with what podpin does not understand.")
        return answer

    async def close(self) -> None:
        """End all connections."""
        if self._client is not None:
            await self._client.close()
