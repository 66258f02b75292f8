"""For which repositories podpin's own identity in a cloud is lent to those who have no credentials for them.

A cloud's registry is known by its host. Everybody who may write an ImageRollout sees what podpin may see there, so that
nothing is lent unless the administrator says so, for a whole cloud or for a part of it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from podpin.core.mirrors import parse_place
from podpin.core.reference import ReferenceInvalid

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from podpin.core.reference import Repository

# Whole names of the clouds' own domains, in which nobody else can answer. ECR Public needs no credentials.
HOSTS: Final[Mapping[str, re.Pattern[str]]] = {
    "aws": re.compile(
        r"[0-9]{12}\.dkr\.ecr(?P<fips>-fips)?\.(?P<region>[a-z]{2}(?:-[a-z]+)+-[0-9]{1,2})\.(?P<domain>amazonaws\.com(?:\.cn)?)",
        re.ASCII,
    ),
    "gcp": re.compile(r"(?:[a-z]+\.)?gcr\.io|[a-z0-9-]+-docker\.pkg\.dev", re.ASCII),
    "azure": re.compile(r"[a-z0-9-]{5,63}\.azurecr\.(?:io|cn|us)", re.ASCII),
}
_ADVICE: Final = "must be aws, gcp or azure, or one of them with a registry, such as gcp=europe-docker.pkg.dev/shop"


@dataclass(frozen=True, slots=True)
class Loan:
    """The identity in one cloud is lent for repositories whose name begins with `place`; empty is all of that cloud."""

    cloud: str
    place: str = ""


def parse_loan(text: str) -> Loan:
    """Read `CLOUD` or `CLOUD=HOST[/PATH]`. A ValueError carries a sentence for the user."""
    cloud, equals, place = text.partition("=")
    if cloud not in HOSTS:
        raise ValueError(f"{text!r} {_ADVICE}")
    if not equals:
        return Loan(cloud)
    try:
        loan = Loan(cloud, parse_place(place))
    except ReferenceInvalid:
        raise ValueError(f"{text!r} {_ADVICE}") from None
    if not HOSTS[cloud].fullmatch(loan.place.partition("/")[0]):
        raise ValueError(f"{text!r} names a host that is none of {cloud}'s registries")
    return loan


def cloud_for(loans: Iterable[Loan], repository: Repository) -> str | None:
    """The cloud whose identity is lent for this repository, or None."""
    name = f"{repository}/"
    for loan in loans:
        if HOSTS[loan.cloud].fullmatch(repository.host) and (not loan.place or name.startswith(f"{loan.place}/")):
            return loan.cloud
    return None
