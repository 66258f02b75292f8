"""Webhooks: what a registry's notice is about, and whether it comes from where it says.

A notice only asks podpin to look. What was pushed is learnt from the registry itself, so all that is read here is the
repository's name. Each source is a row: how its notices are read, and what they carry to prove themselves. A source is
a pure function; what it does not understand it says with NotUnderstood, and nothing else is ever raised.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from podpin.core.hooks import events, gitlab, registries
from podpin.core.hooks.notice import Extent, Notice, NotUnderstood
from podpin.core.hooks.proof import AUTHORIZATION, GITLAB, NONE, Signature

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from podpin.core.hooks.proof import Proof

__all__ = ["MOST_NOTICES", "SOURCES", "Extent", "NotUnderstood", "Notice", "Source", "read"]

MOST_NOTICES: Final = 64
"""How many repositories of one body are looked at; registries send one, or a few."""


@dataclass(frozen=True, slots=True)
class Source:
    """Something that sends notices.

    `read` takes the headers, by their names in lowercase, and the body; it raises NotUnderstood, and returns nothing
    for notices of what is no push. `proof` is what this source can send so that podpin knows it. `asks_first` says
    that it may ask by OPTIONS whether it is allowed to send notices.
    """

    read: Callable[[Mapping[str, str], bytes], Iterable[Notice]]
    proof: Proof
    asks_first: bool = False


SOURCES: Final[Mapping[str, Source]] = {
    "acr": Source(registries.acr, AUTHORIZATION),
    "artifactory": Source(registries.artifactory, Signature("x-jfrog-event-auth", "sha256", or_plain=True)),
    "cloudevents": Source(events.cloudevents, AUTHORIZATION, asks_first=True),
    "distribution": Source(registries.distribution, AUTHORIZATION),
    "dockerhub": Source(registries.dockerhub, NONE),
    "ecr": Source(registries.ecr, AUTHORIZATION),
    "gar": Source(registries.gar, NONE),
    "ghcr": Source(registries.ghcr, Signature("x-hub-signature-256", "sha256", prefix="sha256=")),
    "gitlab": Source(gitlab.gitlab, GITLAB),
    "harbor": Source(registries.harbor, AUTHORIZATION),
    "nexus": Source(registries.nexus, Signature("x-nexus-webhook-signature", "sha1")),
    "plain": Source(events.plain, AUTHORIZATION),
    "quay": Source(registries.quay, NONE),
    "zot": Source(events.zot, AUTHORIZATION),
}
"""All sources, by the name that stands in the hook's URL."""


def read(source: Source, headers: Mapping[str, str], body: bytes) -> tuple[Notice, ...]:
    """What a notice is about: each repository once, MOST_NOTICES at most. Raises NotUnderstood."""
    return tuple(itertools.islice(dict.fromkeys(source.read(headers, body)), MOST_NOTICES))
