"""Which cloud's identity is lent for which repository."""

from __future__ import annotations

import pytest

from podpin.core.clouds import Loan, cloud_for, parse_loan
from podpin.core.reference import Repository, parse_repository

EVERYTHING = [Loan("aws"), Loan("gcp"), Loan("azure")]
ECR = "123456789012.dkr.ecr.eu-west-1.amazonaws.com"

CLOUDS = {
    f"{ECR}/app": "aws",
    "123456789012.dkr.ecr-fips.us-gov-west-1.amazonaws.com/app": "aws",
    "123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn/app": "aws",
    "gcr.io/shop/web": "gcp",
    "eu.gcr.io/shop/web": "gcp",
    "europe-west3-docker.pkg.dev/shop/web/app": "gcp",
    "shops.azurecr.io/web": "azure",
    "shops.azurecr.cn/web": "azure",
    "public.ecr.aws/nginx/nginx": None,
    "nginx": None,
    "pkg.dev/shop/web": None,
    "europe-npm.pkg.dev/shop/web": None,
    f"{ECR}.evil.example/app": None,
    f"evil-{ECR}/app": None,
    f"{ECR}:8443/app": None,
    "12345.dkr.ecr.eu-west-1.amazonaws.com/app": None,
    "123456789012.dkr.ecr.evil.example.amazonaws.com/app": None,
    "evil.example/gcr.io/app": None,
    "evilgcr.io/app": None,
    "a.b.gcr.io/app": None,
    "shops.azurecr.io.evil.example/app": None,
    "a.b.azurecr.io/app": None,
}


@pytest.mark.parametrize(("name", "cloud"), CLOUDS.items(), ids=CLOUDS)
def test_a_cloud_is_known_by_the_whole_host(name: str, cloud: str | None) -> None:
    assert cloud_for(EVERYTHING, parse_repository(name)) == cloud
    assert cloud_for([], parse_repository(name)) is None


LOANS = {
    "the cloud of the host alone counts": (["aws", "azure"], "gcr.io/shop/web", None),
    "a host": (["gcp=gcr.io"], "gcr.io/shop/web", "gcp"),
    "another host": (["gcp=eu.gcr.io"], "gcr.io/shop/web", None),
    "a project": (["gcp=gcr.io/shop"], "gcr.io/shop/web", "gcp"),
    "a project whose name only begins so": (["gcp=gcr.io/shop"], "gcr.io/shopping/web", None),
    "one repository": (["gcp=gcr.io/shop/web"], "gcr.io/shop/web", "gcp"),
    "one of several": (["gcp=gcr.io/bank", "gcp=gcr.io/shop"], "gcr.io/shop/web", "gcp"),
    "all of it beside a part": (["gcp=gcr.io/bank", "gcp"], "gcr.io/shop/web", "gcp"),
}


@pytest.mark.parametrize(("texts", "name", "cloud"), LOANS.values(), ids=LOANS)
def test_it_is_lent_for(texts: list[str], name: str, cloud: str | None) -> None:
    assert cloud_for(map(parse_loan, texts), parse_repository(name)) == cloud


@pytest.mark.parametrize(
    "text", ["", "ibm", "AWS", "gcp=", "gcp=gcr.io/", "gcp=https://gcr.io", "gcp=quay.io/x", f"gcp={ECR}"]
)
def test_refuses(text: str) -> None:
    with pytest.raises(ValueError, match=r"must be aws, gcp or azure|is none of gcp's registries"):
        parse_loan(text)


def test_a_host_in_capitals_is_lent_nothing() -> None:
    assert cloud_for(EVERYTHING, Repository("GCR.io", "shop/web")) is None
