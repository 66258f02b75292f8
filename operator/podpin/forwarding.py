"""Hands a webhook that has reached a standby to the podpin that leads: the Service sends it to either of them.

A registry seldom sends a notice twice, so to be told to ask again is to lose it until the next look. Where the leader
is comes from the API server, not from the Lease: what proves itself by a secret goes to a Pod of podpin's own namespace
that the kubelet vouches for, and nowhere else.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Final

import aiohttp

from podpin.adapters.kube.api import Api
from podpin.errors import PodpinError
from podpin.leader import Leader

SECONDS: Final = 3.0
"""How long the leader's answer is waited for: senders are impatient."""
MOST_BYTES: Final = 4096
"""How much of it is passed on."""
FORWARDED: Final = "X-Podpin-Forwarded"
"""Marks what has been handed on once, and is not again."""
_STAYS: Final = frozenset({"connection", "content-length", "host", "keep-alive", "te", "transfer-encoding", "upgrade"})


class Forwarding:
    """The way to the leader's webhooks, which answer at the same port as one's own, in the Pods of this namespace."""

    def __init__(self, leader: Leader, api: Api, namespace: str, port: int) -> None:
        self._leader, self._api, self._namespace, self._port = leader, api, namespace, port
        self._known: tuple[str, str] | None = None
        self._session: aiohttp.ClientSession | None = None

    @property
    def leads(self) -> bool:
        """Whether there is nothing to hand on, as this podpin leads itself."""
        return self._leader.leads

    async def hand_on(self, path: str, headers: Mapping[str, str], body: bytes) -> tuple[int, str] | None:
        """What the leader answers, or None where it cannot be reached."""
        if FORWARDED.lower() in {name.lower() for name in headers}:
            return None
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=SECONDS), auto_decompress=False)
        kept = {name: value for name, value in headers.items() if name.lower() not in _STAYS} | {FORWARDED: "1"}
        try:
            async with asyncio.timeout(SECONDS):
                address = await self._address()
                if address is None:
                    return None
                url = f"http://{address}:{self._port}{path}"
                async with self._session.post(url, data=body, headers=kept, allow_redirects=False) as answer:
                    said = await answer.content.read(MOST_BYTES)
                    return answer.status, said.decode(errors="replace")
        except (aiohttp.ClientError, TimeoutError, OSError, PodpinError):
            self._known = None
            return None

    async def _address(self) -> str | None:
        holder = self._leader.holder
        if holder is None or holder == self._leader.me:
            return None
        if self._known is None or self._known[0] != holder:
            pod = await self._api.request("GET", f"/api/v1/namespaces/{self._namespace}/pods/{holder}")
            ip = str((pod.get("status") or {}).get("podIP") or "")
            if not ip:
                return None
            self._known = holder, f"[{ip}]" if ":" in ip else ip
        return self._known[1]

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()
