"""Credentials for Azure Container Registry, by the workload identity of podpin's Pod or the identity of its node.

Microsoft Entra gives a token for the audience of all container registries, and the registry exchanges that for one of
its own, which podpin then uses as any other identity token.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

from podpin.adapters.cloud.exchange import read_token
from podpin.core.keyring import Credential
from podpin.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from podpin.adapters.cloud.exchange import Exchange

_NOBODY: Final = "00000000-0000-0000-0000-000000000000"
"""The user's name where a token comes instead of a password."""
_AUDIENCE: Final = "https://containerregistry.azure.net"
_ASSERTION: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_USUAL_LIFE: Final = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Azure:
    """Asks Azure. `environment` is podpin's own; `metadata` is where the instance's metadata service is."""

    exchange: Exchange
    environment: Mapping[str, str]
    clock: Callable[[], datetime]
    metadata: str = "http://169.254.169.254"
    registry: str = "https://{host}/oauth2/exchange"

    def key(self, host: str) -> str:
        """Each registry gives a credential of its own."""
        return host

    async def credential(self, host: str) -> tuple[Credential, datetime]:
        """A credential for a registry of Azure's, and until when it is good. Raises Denied and Unavailable."""
        token = _text(await self._token(), "access_token", "Microsoft Entra")
        form = {"grant_type": "access_token", "service": host, "access_token": token}
        who = f"The registry at {host}"
        answer = await self.exchange.json(who, "POST", self.registry.format(host=host), form=form)
        refresh = _text(answer, "refresh_token", who)
        return Credential(_NOBODY, "", refresh), _expiry(refresh) or self.clock() + _USUAL_LIFE

    async def _token(self) -> dict[str, Any]:
        names = ("AZURE_CLIENT_ID", "AZURE_TENANT_ID", "AZURE_FEDERATED_TOKEN_FILE")
        client, tenant, file = (self.environment.get(name) for name in names)
        if client and tenant and file:
            authority = self.environment.get("AZURE_AUTHORITY_HOST") or "https://login.microsoftonline.com/"
            form = {
                "grant_type": "client_credentials",
                "client_id": client,
                "scope": f"{_AUDIENCE}/.default",
                "client_assertion_type": _ASSERTION,
                "client_assertion": read_token(file),
            }
            url = f"{authority.rstrip('/')}/{tenant}/oauth2/v2.0/token"
            return await self.exchange.json("Microsoft Entra", "POST", url, form=form)
        query = {"api-version": "2018-02-01", "resource": _AUDIENCE} | ({"client_id": client} if client else {})
        url = f"{self.metadata}/metadata/identity/oauth2/token?{urlencode(query)}"
        return await self.exchange.json("Azure's metadata service", "GET", url, headers={"metadata": "true"})


def _text(answer: dict[str, Any], name: str, who: str) -> str:
    value = answer.get(name)
    if not isinstance(value, str) or not value:
        raise Unavailable(f"{who} answers without a token.")
    return value


def _expiry(token: str) -> datetime | None:
    """When a JSON Web Token ends, as it says itself; None where it does not say. It need not be proven for that."""
    try:
        payload = token.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        return datetime.fromtimestamp(float(claims["exp"]), UTC)
    except (IndexError, KeyError, TypeError, ValueError, OverflowError, RecursionError):
        return None
