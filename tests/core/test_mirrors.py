"""Which mirrors serve a repository, and what the administrator may say about them."""

from __future__ import annotations

import pytest

from podpin.core.mirrors import Mirror, mirrors_of, parse_mirror
from podpin.core.reference import parse_repository

MIRRORS = [
    parse_mirror(text)
    for text in (
        "docker.io=one.local:5000/hub",
        "docker.io=two.local+tags",
        "docker.io/library=official.local/library",
        "quay.io/shop=quay.local",
        "r.io:5000=port.local",
        "docker.io=one.local:5000/hub",
    )
]

ROWS = {
    "none where no prefix applies": ("ghcr.io/me/app", [], []),
    "in the order in which they are given, each once": ("me/app", ["one.local:5000/hub/me/app", "two.local/me/app"], ["two.local/me/app"]),
    "those of the longest prefix alone": ("nginx", ["official.local/library/nginx"], []),
    "a prefix ends where a part of the name ends": ("quay.io/shopping/web", [], []),
    "a host is no prefix of a longer host": ("docker.io.evil.example/app", [], []),
    "a path is cut off with its prefix": ("quay.io/shop/web", ["quay.local/web"], []),
    "a mirror of a host alone has no place for the prefix itself": ("quay.io/shop", [], []),
    "a port is part of the host": ("r.io/app", [], []),
    "a port that is the same": ("r.io:5000/app", ["port.local/app"], []),
    "Docker Hub's older name is the same": ("index.docker.io/me/app", ["one.local:5000/hub/me/app", "two.local/me/app"], ["two.local/me/app"]),
}  # fmt: skip


@pytest.mark.parametrize(("name", "by_digest", "by_tag"), ROWS.values(), ids=ROWS)
def test_the_mirrors_of(name: str, by_digest: list[str], by_tag: list[str]) -> None:
    repository = parse_repository(name)
    assert [str(copy) for copy in mirrors_of(MIRRORS, repository)] == by_digest
    assert [str(copy) for copy in mirrors_of(MIRRORS, repository, tags=True)] == by_tag


READ = {
    "docker.io=mirror.local": Mirror("docker.io", "mirror.local"),
    "index.docker.io/library=mirror.local:5000/hub/library+tags": Mirror("docker.io/library", "mirror.local:5000/hub/library", tags=True),
    "localhost:5000=[fd00::1]:5000": Mirror("localhost:5000", "[fd00::1]:5000"),
}  # fmt: skip


@pytest.mark.parametrize("text", READ)
def test_reads(text: str) -> None:
    assert parse_mirror(text) == READ[text]


@pytest.mark.parametrize(
    "text",
    ["", "docker.io", "=", "docker.io=", "=mirror.local", "nginx=mirror.local", "library/nginx=mirror.local", "docker.io=mirror",
     "https://docker.io=mirror.local", "docker.io=https://mirror.local", "docker.io/=mirror.local", "docker.io=mirror.local/",
     "docker.io=mirror.local+all", "docker.io=mirror.local/Hub", "docker.io=m.local@sha256:x", "a=b=c", "docker.io=evildocker.io x"],
)  # fmt: skip
def test_refuses(text: str) -> None:
    with pytest.raises(ValueError, match=r"must be PREFIX=HOST\[/PATH\]\[\+tags\], such as"):
        parse_mirror(text)
