"""Credentials by podpin's own identity in a cloud, from scripted endpoints of the clouds."""

from __future__ import annotations

import asyncio
import base64
import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from tests.adapters.registry.scripted import Scripted, reply, serving

from podpin.adapters.cloud.aws import Aws
from podpin.adapters.cloud.azure import Azure
from podpin.adapters.cloud.credentials import CloudCredentials
from podpin.adapters.cloud.exchange import Exchange
from podpin.adapters.cloud.gcp import Gcp
from podpin.adapters.cloud.sigv4 import Keys, signed
from podpin.core.clouds import Loan
from podpin.core.keyring import Credential
from podpin.core.reference import parse_repository
from podpin.errors import Denied, Unavailable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from aiohttp import web
    from tests.adapters.registry.scripted import Reply

    from podpin.adapters.cloud.credentials import Cloud

NOW = datetime(2026, 11, 24, 12, 34, 56, tzinfo=UTC)
ECR = "123456789012.dkr.ecr.eu-west-1.amazonaws.com"
GAR = "europe-docker.pkg.dev"
ACR = "shops.azurecr.io"
NOBODY = "00000000-0000-0000-0000-000000000000"
KEYS = {
    "AccessKeyId": "AKIDEXAMPLE",
    "SecretAccessKey": "secret/key",
    "Token": "session/token==",
    "Expiration": "2026-11-24T18:00:00Z",
}


class Times:
    """The time, which passes only when a test says so."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def times() -> Times:
    return Times()


@pytest.fixture
async def cloud() -> AsyncIterator[Scripted]:
    async with serving() as server:
        yield server


@pytest.fixture
async def exchange() -> AsyncIterator[Exchange]:
    made = Exchange()
    yield made
    await made.close()


def aws(cloud: Scripted, exchange: Exchange, times: Times, **environment: str) -> Aws:
    here = f"http://{cloud.host}"
    return Aws(exchange, environment, times, metadata=here, endpoint=here + "/{name}/")


def azure(cloud: Scripted, exchange: Exchange, times: Times, **environment: str) -> Azure:
    here = f"http://{cloud.host}"
    return Azure(exchange, environment, times, metadata=here, registry=here + "/{host}/oauth2/exchange")


def gcp(cloud: Scripted, exchange: Exchange, times: Times) -> Gcp:
    return Gcp(exchange, {"GCE_METADATA_HOST": cloud.host}, times)


def ecr_token(password: str = "ey.pass", until: datetime = NOW + timedelta(hours=12)) -> Reply:
    token = base64.b64encode(f"AWS:{password}".encode()).decode()
    return reply(200, {"authorizationData": [{"authorizationToken": token, "expiresAt": until.timestamp()}]})


# --- Amazon


def test_signs_as_aws_own_library_does() -> None:
    # The expected line is botocore's for the same request.
    headers = signed(
        Keys("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "a+session/token=="),
        host="api.ecr.eu-west-1.amazonaws.com",
        region="eu-west-1",
        service="ecr",
        headers={
            "content-type": "application/x-amz-json-1.1",
            "x-amz-target": "AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken",
        },
        body=b"{}",
        now=NOW,
    )
    assert headers["authorization"] == (
        "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20261124/eu-west-1/ecr/aws4_request, "
        "SignedHeaders=content-type;host;x-amz-date;x-amz-security-token;x-amz-target, "
        "Signature=efea96a5fc50d25851d70bc71f803c28dec2b89be4ac35fe796d8d7cc37a18f0"
    )
    assert headers["x-amz-date"] == "20261124T123456Z"


async def test_amazon_by_the_instances_role(cloud: Scripted, exchange: Exchange, times: Times) -> None:
    cloud.on("PUT /latest/api/token", reply(200, "imds"))
    roles = "/latest/meta-data/iam/security-credentials/"
    cloud.on(f"GET {roles}", reply(200, "node-role"))
    cloud.on(f"GET {roles}node-role", reply(200, KEYS))
    cloud.on("POST /api.ecr.eu-west-1.amazonaws.com/", ecr_token())
    found = await aws(cloud, exchange, times).credential(ECR)
    assert found == (Credential("AWS", "ey.pass"), NOW + timedelta(hours=12))
    assert cloud.seen[0].headers["X-aws-ec2-metadata-token-ttl-seconds"] == "60"
    assert cloud.seen[2].headers["X-aws-ec2-metadata-token"] == "imds"
    asked = cloud.seen[-1].headers
    assert asked["X-Amz-Target"] == "AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken"
    assert asked["Host"] == "api.ecr.eu-west-1.amazonaws.com"
    assert asked["X-Amz-Security-Token"] == KEYS["Token"]
    assert "20261124/eu-west-1/ecr/aws4_request" in asked["Authorization"]


async def test_amazon_by_a_web_identity(cloud: Scripted, exchange: Exchange, times: Times, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("ey.web\n")
    forms: list[dict[str, str]] = []
    given = {**KEYS, "SessionToken": KEYS["Token"], "Expiration": 1.8e9}

    async def assume(request: web.BaseRequest) -> web.StreamResponse:
        forms.append({name: str(value) for name, value in (await request.post()).items()})
        answer = {"AssumeRoleWithWebIdentityResponse": {"AssumeRoleWithWebIdentityResult": {"Credentials": given}}}
        return await reply(200, answer)(request)

    cloud.on("POST /sts.eu-central-1.amazonaws.com/", assume)
    cloud.on("POST /api.ecr.eu-west-1.amazonaws.com/", ecr_token())
    role = "arn:aws:iam::123456789012:role/podpin"
    environment = {"AWS_ROLE_ARN": role, "AWS_WEB_IDENTITY_TOKEN_FILE": str(file), "AWS_REGION": "eu-central-1"}
    credential, _ = await aws(cloud, exchange, times, **environment).credential(ECR)
    assert credential == Credential("AWS", "ey.pass")
    assert forms == [
        {
            "Action": "AssumeRoleWithWebIdentity",
            "Version": "2011-06-15",
            "RoleArn": role,
            "RoleSessionName": "podpin",
            "WebIdentityToken": "ey.web",
        }
    ]


async def test_amazon_by_pod_identity(cloud: Scripted, exchange: Exchange, times: Times, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("ey.pod")
    cloud.on("GET /v1/credentials", reply(200, KEYS))
    cloud.on("POST /ecr-fips.us-gov-west-1.amazonaws.com/", ecr_token())
    environment = {
        "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"http://{cloud.host}/v1/credentials",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": str(file),
    }
    host = "123456789012.dkr.ecr-fips.us-gov-west-1.amazonaws.com"
    credential, _ = await aws(cloud, exchange, times, **environment).credential(host)
    assert credential == Credential("AWS", "ey.pass")
    assert cloud.authorizations[0] == "ey.pod"


# --- Google and Azure


async def test_google_by_the_metadata_server(cloud: Scripted, exchange: Exchange, times: Times) -> None:
    path = "/computeMetadata/v1/instance/service-accounts/default/token"
    cloud.on(f"GET {path}", reply(200, {"access_token": "ya29.x", "expires_in": 3599, "token_type": "Bearer"}))
    found = await gcp(cloud, exchange, times).credential(GAR)
    assert found == (Credential("oauth2accesstoken", "ya29.x"), NOW + timedelta(seconds=3599))
    assert cloud.seen[0].headers["Metadata-Flavor"] == "Google"


def jwt(**claims: Any) -> str:
    return ".".join(
        base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in ({}, claims, {})
    )


async def posted(request: web.BaseRequest) -> dict[str, str]:
    return {name: str(value) for name, value in (await request.post()).items()}


def exchanging(forms: list[dict[str, str]], answer: dict[str, Any]) -> Reply:
    async def exchange(request: web.BaseRequest) -> web.StreamResponse:
        forms.append(await posted(request))
        return await reply(200, answer)(request)

    return exchange


async def test_azure_by_the_nodes_identity(cloud: Scripted, exchange: Exchange, times: Times) -> None:
    forms: list[dict[str, str]] = []
    refresh = jwt(exp=(NOW + timedelta(hours=3)).timestamp())
    cloud.on("GET /metadata/identity/oauth2/token", reply(200, {"access_token": "entra", "expires_in": "86399"}))
    cloud.on(f"POST /{ACR}/oauth2/exchange", exchanging(forms, {"refresh_token": refresh}))
    found = await azure(cloud, exchange, times, AZURE_CLIENT_ID="me").credential(ACR)
    assert found == (Credential(NOBODY, "", refresh), NOW + timedelta(hours=3))
    assert forms == [{"grant_type": "access_token", "service": ACR, "access_token": "entra"}]
    asked = cloud.seen[0]
    assert asked.headers["Metadata"] == "true"
    assert dict(asked.query) == {
        "api-version": "2018-02-01",
        "resource": "https://containerregistry.azure.net",
        "client_id": "me",
    }


async def test_azure_by_a_workload_identity(cloud: Scripted, exchange: Exchange, times: Times, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("ey.federated")
    forms: list[dict[str, str]] = []
    cloud.on("POST /tenant/oauth2/v2.0/token", exchanging(forms, {"access_token": "entra", "expires_in": 3599}))
    cloud.on(f"POST /{ACR}/oauth2/exchange", exchanging(forms, {"refresh_token": "opaque"}))
    environment = {
        "AZURE_CLIENT_ID": "me",
        "AZURE_TENANT_ID": "tenant",
        "AZURE_FEDERATED_TOKEN_FILE": str(file),
        "AZURE_AUTHORITY_HOST": f"http://{cloud.host}/",
    }
    found = await azure(cloud, exchange, times, **environment).credential(ACR)
    assert found == (Credential(NOBODY, "", "opaque"), NOW + timedelta(hours=1))
    assert forms[0] == {
        "grant_type": "client_credentials",
        "client_id": "me",
        "scope": "https://containerregistry.azure.net/.default",
        "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
        "client_assertion": "ey.federated",
    }


FLAWS: dict[str, tuple[Reply, type[Exception]]] = {
    "refused": (reply(403, {"message": "secret detail"}), Denied),
    "no such role": (reply(404, "secret detail"), Unavailable),
    "out of order": (reply(500, "secret detail"), Unavailable),
    "a redirect": (reply(302, location="http://evil.example/"), Unavailable),
    "no JSON": (reply(200, "secret detail"), Unavailable),
    "a list": (reply(200, ["secret detail"]), Unavailable),
    "nothing in it": (reply(200, {"detail": "secret detail"}), Unavailable),
    "no text": (
        reply(200, {"access_token": 7, "expires_in": "soon", "refresh_token": 7, "authorizationData": 7}),
        Unavailable,
    ),
    "without end": (reply(200, b"x" * 100_000), Unavailable),
}


@pytest.mark.parametrize(("flaw", "error"), FLAWS.values(), ids=FLAWS)
@pytest.mark.parametrize("name", ["aws", "gcp", "azure"])
async def test_says_what_is_wrong_with_a_cloud_in_its_own_words(
    cloud: Scripted, exchange: Exchange, times: Times, name: str, flaw: Reply, error: type[Exception]
) -> None:
    asked: dict[str, tuple[Cloud, str]] = {
        "aws": (aws(cloud, exchange, times), ECR),
        "gcp": (gcp(cloud, exchange, times), GAR),
        "azure": (azure(cloud, exchange, times), ACR),
    }
    cloud.on("*", flaw)
    one, host = asked[name]
    with pytest.raises(error) as caught:
        await one.credential(host)
    assert "secret detail" not in str(caught.value)
    assert str(caught.value).endswith(".")


async def test_a_token_that_is_not_there_is_said_to_be_missing(
    cloud: Scripted, exchange: Exchange, times: Times
) -> None:
    environment = {"AWS_ROLE_ARN": "x", "AWS_WEB_IDENTITY_TOKEN_FILE": "/nonexistent/token"}
    with pytest.raises(Unavailable, match="cannot be read from /nonexistent/token"):
        await aws(cloud, exchange, times, **environment).credential(ECR)
    assert cloud.seen == []


# --- who is lent what, and for how long


class Bank:
    """A cloud that gives a new credential each time, good for an hour."""

    def __init__(self, times: Times) -> None:
        self.times = times
        self.asked: list[str] = []
        self.trouble: Exception | None = None

    def key(self, host: str) -> str:
        return host

    async def credential(self, host: str) -> tuple[Credential, datetime]:
        self.asked.append(host)
        await asyncio.sleep(0)
        if self.trouble:
            raise self.trouble
        return Credential("me", f"{host} {len(self.asked)}"), self.times() + timedelta(hours=1)


def lending(bank: Bank, *loans: Loan) -> CloudCredentials:
    return CloudCredentials(loans or [Loan("gcp")], {"gcp": bank}, Exchange(), bank.times)


SHOP, BANK = parse_repository("gcr.io/shop/web"), parse_repository("eu.gcr.io/bank/web")


async def test_a_credential_is_asked_for_once_and_kept_until_shortly_before_its_end(times: Times) -> None:
    bank = Bank(times)
    lender = lending(bank)
    found = await asyncio.gather(*(lender.credential(SHOP) for _ in range(20)))
    assert set(found) == {Credential("me", "gcr.io 1")}
    times.now += timedelta(minutes=54)
    assert await lender.credential(SHOP) == Credential("me", "gcr.io 1")
    times.now += timedelta(minutes=2)
    assert await lender.credential(SHOP) == Credential("me", "gcr.io 2")
    assert await lender.credential(BANK) == Credential("me", "eu.gcr.io 3")


async def test_a_cloud_that_gives_none_is_left_alone_for_a_minute(
    times: Times, caplog: pytest.LogCaptureFixture
) -> None:
    bank = Bank(times)
    bank.trouble = Unavailable("Google's metadata server cannot be reached from podpin's Pod.")
    lender = lending(bank)
    assert [await lender.credential(SHOP) for _ in range(5)] == [None] * 5
    assert len(bank.asked) == len(caplog.messages) == 1
    bank.trouble = None
    times.now += timedelta(minutes=1)
    assert await lender.credential(SHOP) is not None


async def test_nothing_is_lent_beyond_what_the_administrator_says(times: Times) -> None:
    bank = Bank(times)
    lender = lending(bank, Loan("gcp", "gcr.io/shop"))
    for name in ("eu.gcr.io/shop/web", "gcr.io/bank/web", "quay.io/shop/web", "gcr.io.evil.example/shop/web"):
        assert await lender.credential(parse_repository(name)) is None
    assert bank.asked == []


async def test_hosts_of_strangers_are_forgotten(times: Times) -> None:
    lender = CloudCredentials([Loan("azure")], {"azure": Bank(times)}, Exchange(), times)
    for number in range(1000):
        await lender.credential(parse_repository(f"shops{number}.azurecr.io/web"))
    assert len(lender._kept) <= 256


def test_the_clouds_hosts_that_share_a_credential() -> None:
    exchange = Exchange()
    amazon, google, microsoft = (kind(exchange, {}, Times()) for kind in (Aws, Gcp, Azure))
    assert amazon.key(ECR) == amazon.key(ECR.replace("1234", "4321"))
    assert amazon.key(ECR) != amazon.key(ECR.replace("eu-west-1", "eu-west-2"))
    assert google.key(GAR) == google.key("gcr.io")
    assert microsoft.key(ACR) != microsoft.key("other.azurecr.io")
