"""Credentials for Amazon ECR, by the role of podpin's Pod or of its node.

The role's keys come from where AWS' own libraries look in a cluster: a web identity (IRSA), EKS Pod Identity, and the
instance's metadata service, in this order. They sign one request, GetAuthorizationToken, whose answer is a user and a
password for twelve hours.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from podpin.adapters.cloud.exchange import read_token
from podpin.adapters.cloud.sigv4 import Keys, signed
from podpin.core.clouds import HOSTS
from podpin.core.keyring import Credential
from podpin.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from podpin.adapters.cloud.exchange import Exchange

_TARGET: Final = "AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken"


@dataclass(frozen=True, slots=True)
class Aws:
    """Asks AWS. `environment` is podpin's own; `metadata` is where the instance's metadata service is."""

    exchange: Exchange
    environment: Mapping[str, str]
    clock: Callable[[], datetime]
    metadata: str = "http://169.254.169.254"
    endpoint: str = "https://{name}/"

    def key(self, host: str) -> str:
        """A credential is good for all of a region's registries."""
        region, name, domain = _region_of(host)
        return f"{region} {name}.{domain}"

    async def credential(self, host: str) -> tuple[Credential, datetime]:
        """A credential for an ECR host, and until when it is good. Raises Denied and Unavailable."""
        region, service, domain = _region_of(host)
        keys = await self._keys(region, domain)
        name = f"{service}.{region}.{domain}"
        body = b"{}"
        headers = {"content-type": "application/x-amz-json-1.1", "x-amz-target": _TARGET}
        answer = await self.exchange.json(
            "Amazon ECR",
            "POST",
            self.endpoint.format(name=name),
            headers=signed(
                keys,
                host=name,
                region=region,
                service="ecr",
                headers=headers,
                body=body,
                now=self.clock(),
            ),
            body=body,
        )
        try:
            (data,) = answer["authorizationData"]
            user, _, password = base64.b64decode(data["authorizationToken"], validate=True).decode().partition(":")
            return Credential(user, password), datetime.fromtimestamp(float(data["expiresAt"]), UTC)
        except (KeyError, TypeError, ValueError, OverflowError):
            raise Unavailable("Amazon ECR answers without an authorization token.") from None

    async def _keys(self, region: str, domain: str) -> Keys:
        role, web_identity = (self.environment.get(f"AWS_{name}") for name in ("ROLE_ARN", "WEB_IDENTITY_TOKEN_FILE"))
        if role and web_identity:
            return await self._by_web_identity(role, web_identity, self.environment.get("AWS_REGION") or region, domain)
        pods = self.environment.get("AWS_CONTAINER_CREDENTIALS_FULL_URI")
        if pods:
            return await self._of_pod(pods)
        return await self._of_instance()

    async def _by_web_identity(self, role: str, file: str, region: str, domain: str) -> Keys:
        who = "AWS' token service"
        answer = await self.exchange.json(
            who,
            "POST",
            self.endpoint.format(name=f"sts.{region}.{domain}"),
            headers={"accept": "application/json"},
            form={
                "Action": "AssumeRoleWithWebIdentity",
                "Version": "2011-06-15",
                "RoleArn": role,
                "RoleSessionName": "podpin",
                "WebIdentityToken": read_token(file),
            },
        )
        try:
            given = answer["AssumeRoleWithWebIdentityResponse"]["AssumeRoleWithWebIdentityResult"]["Credentials"]
            return _checked(Keys(given["AccessKeyId"], given["SecretAccessKey"], given["SessionToken"]))
        except (KeyError, TypeError, ValueError):
            raise Unavailable(f"{who} answers without keys.") from None

    async def _of_pod(self, url: str) -> Keys:
        file = self.environment.get("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE")
        headers = {"authorization": read_token(file)} if file else {}
        who = "EKS Pod Identity"
        return _keys_of(who, await self.exchange.json(who, "GET", url, headers=headers))

    async def _of_instance(self) -> Keys:
        who = "The instance's metadata service"
        asked = {"x-aws-ec2-metadata-token-ttl-seconds": "60"}
        token = await self.exchange.text(who, "PUT", f"{self.metadata}/latest/api/token", headers=asked)
        headers = {"x-aws-ec2-metadata-token": token.strip()}
        roles = f"{self.metadata}/latest/meta-data/iam/security-credentials/"
        role = (await self.exchange.text(who, "GET", roles, headers=headers)).strip().partition("\n")[0]
        return _keys_of(who, await self.exchange.json(who, "GET", f"{roles}{role}", headers=headers))


def _region_of(host: str) -> tuple[str, str, str]:
    """The region of a registry, the name of its service there, and the domain of both."""
    found = HOSTS["aws"].fullmatch(host)
    assert found is not None, host
    return found["region"], "ecr-fips" if found["fips"] else "api.ecr", found["domain"]


def _keys_of(who: str, answer: dict[str, Any]) -> Keys:
    try:
        return _checked(Keys(answer["AccessKeyId"], answer["SecretAccessKey"], answer["Token"]))
    except (KeyError, TypeError, ValueError):
        raise Unavailable(f"{who} answers without keys.") from None


def _checked(keys: Keys) -> Keys:
    """Raise ValueError for what would not go into a header."""
    for part in (keys.access, keys.secret, keys.session):
        if not isinstance(part, str) or not part.isascii() or not part.isprintable():
            raise ValueError("no keys")
    return keys
