"""Where else an image may be had: the administrator's mirrors.

The rules are those of containers/image (containers-registries.conf): the longest prefix that ends where a part of the
name ends, its mirrors in the order in which they are given, and the source after them. A mirror is asked for what has a
digest, for that can be proven; tags may differ between a mirror and its source, so that it is asked for those only
where the administrator says so. What is pinned keeps the source's name.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from podpin.core.reference import DOCKER_HUB, ReferenceInvalid, Repository, parse_repository

if TYPE_CHECKING:
    from collections.abc import Iterable

_TAGS: Final = "+tags"
_ADVICE: Final = "must be PREFIX=HOST[/PATH][+tags], such as docker.io=mirror.example.com/hub"


@dataclass(frozen=True, slots=True)
class Mirror:
    """Repositories whose name begins with `prefix` are at `place` too: both are `host[:port][/path]`.

    `tags` says whether the mirror is asked for tags as well, and so stands for the source altogether.
    """

    prefix: str
    place: str
    tags: bool = False

    def copy_of(self, repository: Repository) -> Repository | None:
        """Where this mirror has the repository, or None if its prefix does not apply."""
        name = str(repository)
        if not f"{name}/".startswith(f"{self.prefix}/"):
            return None
        host, _, path = f"{self.place}{name[len(self.prefix) :]}".partition("/")
        return Repository(host, path) if path else None


def parse_mirror(text: str) -> Mirror:
    """Read `PREFIX=HOST[/PATH]`, with `+tags` at the end for a mirror that serves tags too.

    A ValueError carries a sentence for the user.
    """
    prefix, equals, place = text.partition("=")
    if not equals:
        raise ValueError(f"{text!r} {_ADVICE}")
    tags = place.endswith(_TAGS)
    try:
        return Mirror(parse_place(prefix), parse_place(place.removesuffix(_TAGS)), tags)
    except ReferenceInvalid:
        raise ValueError(f"{text!r} {_ADVICE}") from None


def mirrors_of(mirrors: Iterable[Mirror], repository: Repository, *, tags: bool = False) -> tuple[Repository, ...]:
    """Where the repository is mirrored, in the order in which to ask; with `tags`, only where tags may be asked for."""
    applying = [(mirror, copy) for mirror in mirrors if (copy := mirror.copy_of(repository)) is not None]
    longest = max((len(mirror.prefix) for mirror, _ in applying), default=0)
    return tuple(
        dict.fromkeys(copy for mirror, copy in applying if len(mirror.prefix) == longest and (mirror.tags or not tags))
    )


def parse_place(place: str) -> str:
    """A host with a path or without, in its usual spelling. Raises ReferenceInvalid."""
    host, slash, path = place.partition("/")
    # Two parts more make a repository of it, and not one of Docker Hub's short names.
    repository = parse_repository(f"{place}/x/x")
    if host not in {repository.host, f"index.{DOCKER_HUB}"}:
        raise ReferenceInvalid(f"{place!r} does not begin with a registry's host.")
    return f"{repository.host}{slash}{path}"
