"""podpin's own identity in a cloud: lent where no Secret has anything, over TLS, and to that host alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.adapters.registry.scripted import Authority, Scripted, access, manifest, reply
from tests.adapters.registry.test_auth import basic

from podpin.core.keyring import Access, Credential, Keyring
from podpin.core.mirrors import Mirror
from podpin.core.reference import Repository, parse_repository
from podpin.errors import Denied, Untrusted

if TYPE_CHECKING:
    from pathlib import Path

    from aiohttp import web
    from tests.adapters.registry.conftest import KnownAs, Serve
    from tests.adapters.registry.scripted import Reply

ECR = "123456789012.dkr.ecr.eu-west-1.amazonaws.com"
APP = parse_repository(f"{ECR}/app")
LENT = basic("AWS", "lent")


class Lender:
    """Lends the same for one host, and remembers who was asked for."""

    def __init__(self, host: str = ECR) -> None:
        self.host = host
        self.asked: list[str] = []

    async def credential(self, repository: Repository) -> Credential | None:
        self.asked.append(str(repository))
        return Credential("AWS", "lent") if repository.host == self.host else None


def locked(*headers: str, challenge: str = "Basic") -> Reply:
    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        if request.headers.get("Authorization") in headers:
            return await manifest()(request)
        return await reply(401, www_authenticate=challenge)(request)

    return answer


@pytest.fixture(autouse=True)
def trusted_by_all(authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The clouds' registries have certificates that this machine trusts by itself."""
    (tmp_path / "ca.crt").write_bytes(authority.pem)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.crt"))


async def test_it_goes_to_no_host_for_which_only_the_rollouts_own_authority_vouches(
    serve: Serve, known_as: KnownAs, tmp_path: Path
) -> None:
    own = Authority.create(tmp_path)
    forged = await serve(tls=own.context(ECR))
    client = known_as({ECR: forged}, tls=True, lender=Lender())
    with pytest.raises(Untrusted):
        await client.resolve(APP, "1", Access(ca=own.pem))
    assert forged.seen == []


@pytest.fixture
async def ecr(serve: Serve, authority: Authority) -> Scripted:
    return await serve(tls=authority.context(ECR))


async def test_it_is_lent_to_who_has_nothing_for_the_host(
    ecr: Scripted, known_as: KnownAs, authority: Authority
) -> None:
    ecr.on("*", locked(LENT))
    client = known_as({ECR: ecr}, tls=True, lender=Lender())
    for keyring in (Keyring(), access("quay.io").keyring):
        await client.resolve(APP, "1", Access(keyring, authority.pem))
    assert set(ecr.authorizations) == {None, LENT}


async def test_a_secret_for_the_host_comes_before_it_even_if_it_is_refused(
    ecr: Scripted, known_as: KnownAs, authority: Authority
) -> None:
    ecr.on("*", locked(LENT))
    lender = Lender()
    with pytest.raises(Denied, match="check the Secret"):
        await known_as({ECR: ecr}, tls=True, lender=lender).resolve(APP, "1", access(ECR, ca=authority.pem))
    assert lender.asked == []
    assert set(ecr.authorizations) == {None, basic()}


async def test_what_refuses_it_is_said_in_words_about_it(
    ecr: Scripted, known_as: KnownAs, authority: Authority
) -> None:
    ecr.on("*", reply(403))
    with pytest.raises(Denied, match="refuses podpin's own identity in the cloud for app"):
        await known_as({ECR: ecr}, tls=True, lender=Lender()).resolve(APP, "1", Access(ca=authority.pem))


async def test_it_never_goes_over_plain_http(serve: Serve, known_as: KnownAs) -> None:
    plain, lender = await serve(), Lender()
    plain.on("*", locked(LENT))
    with pytest.raises(Denied, match="without credentials"):
        await known_as({ECR: plain}, lender=lender).resolve(APP, "1", Access())
    assert lender.asked == []
    assert set(plain.authorizations) == {None}


async def test_it_goes_to_no_strange_realm(
    ecr: Scripted, serve: Serve, known_as: KnownAs, authority: Authority
) -> None:
    stranger = await serve(tls=authority.context("evil.example"))
    ecr.on("*", locked(challenge='Bearer realm="https://evil.example/token"'))
    client = known_as({ECR: ecr, "evil.example": stranger}, tls=True, lender=Lender())
    with pytest.raises(Untrusted, match="not known to belong to it"):
        await client.resolve(APP, "1", Access(ca=authority.pem))
    assert stranger.seen == []


async def test_it_goes_to_no_host_of_a_redirect(
    ecr: Scripted, serve: Serve, known_as: KnownAs, authority: Authority
) -> None:
    stranger = await serve(tls=authority.context("evil.example"))
    stranger.on("*", manifest())

    async def redirect(request: web.BaseRequest) -> web.StreamResponse:
        if "Authorization" not in request.headers:
            return await reply(401, www_authenticate="Basic")(request)
        return await reply(307, location=f"https://evil.example{request.path}")(request)

    ecr.on("*", redirect)
    client = known_as({ECR: ecr, "evil.example": stranger}, tls=True, lender=Lender())
    await client.resolve(APP, "1", Access(ca=authority.pem))
    assert set(stranger.authorizations) == {None}


async def test_a_mirror_is_lent_its_own_and_its_source_nothing(
    ecr: Scripted, serve: Serve, known_as: KnownAs, authority: Authority
) -> None:
    source = await serve(tls=authority.context("quay.io"))
    ecr.on("*", locked(LENT))
    source.on("*", manifest())
    client = known_as(
        {ECR: ecr, "quay.io": source}, tls=True, lender=Lender(), mirrors=[Mirror("quay.io", f"{ECR}/quay")]
    )
    await client.resolve(parse_repository("quay.io/app"), "1", Access(ca=authority.pem))
    assert [request.path.rpartition("/")[0] for request in ecr.seen] == ["/v2/quay/app/manifests"] * 2
    assert set(source.authorizations) == {None}
