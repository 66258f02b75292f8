"""Credentials for the clouds' registries by podpin's own identity, each kept until shortly before it ends.

One is asked for by the first who needs it, however many wait for it. A cloud that gives none is left alone for a
minute, and the registry is asked without credentials: it may be public.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final, Protocol

from podpin.adapters.cloud.aws import Aws
from podpin.adapters.cloud.azure import Azure
from podpin.adapters.cloud.exchange import Exchange
from podpin.adapters.cloud.gcp import Gcp
from podpin.core.clouds import cloud_for
from podpin.errors import PodpinError, Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from podpin.core.clouds import Loan
    from podpin.core.keyring import Credential
    from podpin.core.reference import Repository

PATIENCE_SECONDS: Final = 20.0
EARLIER: Final = timedelta(minutes=5)
"""How long before its end a credential is renewed, or half its life if that is shorter."""
AGAIN: Final = timedelta(minutes=1)
_KEPT: Final = 256

log = logging.getLogger(__name__)


class Cloud(Protocol):
    """One cloud. Its methods raise podpin.errors."""

    def key(self, host: str) -> str:
        """What a credential for this host is good for: equal for hosts that take the same one."""

    async def credential(self, host: str) -> tuple[Credential, datetime]:
        """A credential for the host, and until when it is good."""


@dataclass(slots=True)
class _Kept:
    credential: Credential | None = None
    until: datetime | None = None
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class CloudCredentials:
    """What podpin lends, by the administrator's leave."""

    def __init__(
        self, loans: Sequence[Loan], clouds: Mapping[str, Cloud], exchange: Exchange, clock: Callable[[], datetime]
    ) -> None:
        self._loans = tuple(loans)
        self._clouds = clouds
        self._exchange = exchange
        self._clock = clock
        self._kept: OrderedDict[str, _Kept] = OrderedDict()

    @classmethod
    def by_environment(
        cls, loans: Sequence[Loan], environment: Mapping[str, str], clock: Callable[[], datetime]
    ) -> CloudCredentials:
        """Those that the environment of podpin's own Pod leads to."""
        exchange = Exchange()
        clouds: dict[str, Cloud] = {
            "aws": Aws(exchange, environment, clock),
            "gcp": Gcp(exchange, environment, clock),
            "azure": Azure(exchange, environment, clock),
        }
        return cls(loans, clouds, exchange, clock)

    async def credential(self, repository: Repository) -> Credential | None:
        """The credential that is lent for this repository; None if there is none, or the cloud gives none."""
        name = cloud_for(self._loans, repository)
        if name is None:
            return None
        cloud = self._clouds[name]
        kept = self._place_for(f"{name} {cloud.key(repository.host)}")
        async with kept.lock:
            if kept.until is None or self._clock() >= kept.until:
                await self._renew(kept, cloud, repository.host)
            return kept.credential

    async def close(self) -> None:
        """End all connections."""
        await self._exchange.close()

    async def _renew(self, kept: _Kept, cloud: Cloud, host: str) -> None:
        now = self._clock()
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                kept.credential, end = await cloud.credential(host)
            kept.until = end - min(EARLIER, (end - now) / 2)
        except (PodpinError, TimeoutError) as error:
            reason = error if isinstance(error, PodpinError) else Unavailable("The cloud did not answer in time.")
            log.warning("podpin's own identity gives no credential for %s: %s", host, reason)
            kept.credential, kept.until = None, now + AGAIN

    def _place_for(self, key: str) -> _Kept:
        """Hosts come from strangers: keep those used last."""
        kept = self._kept.get(key)
        if kept is None:
            kept = self._kept[key] = _Kept()
        self._kept.move_to_end(key)
        if len(self._kept) > _KEPT:
            self._kept.popitem(last=False)
        return kept
