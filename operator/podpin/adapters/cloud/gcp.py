"""Credentials for Google's registries, by the service account of podpin's Pod or of its node.

In a cluster of Google's both come from the metadata server: with Workload Identity it knows the Pod's own account.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from podpin.core.keyring import Credential
from podpin.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from podpin.adapters.cloud.exchange import Exchange

_PATH: Final = "/computeMetadata/v1/instance/service-accounts/default/token"


@dataclass(frozen=True, slots=True)
class Gcp:
    """Asks Google. `environment` is podpin's own."""

    exchange: Exchange
    environment: Mapping[str, str]
    clock: Callable[[], datetime]

    def key(self, host: str) -> str:  # noqa: ARG002
        """A credential is good for all of Google's registries."""
        return ""

    async def credential(self, host: str) -> tuple[Credential, datetime]:
        """A credential for one of Google's hosts, and until when it is good. Raises Denied and Unavailable."""
        who = "Google's metadata server"
        now = self.clock()
        server = self.environment.get("GCE_METADATA_HOST") or "metadata.google.internal"
        answer = await self.exchange.json(who, "GET", f"http://{server}{_PATH}", headers={"metadata-flavor": "Google"})
        try:
            token, life = answer["access_token"], timedelta(seconds=float(answer["expires_in"]))
        except (KeyError, TypeError, ValueError, OverflowError):
            raise Unavailable(f"{who} answers without a token for {host}.") from None
        if not isinstance(token, str) or not token:
            raise Unavailable(f"{who} answers without a token for {host}.")
        return Credential("oauth2accesstoken", token), now + life
