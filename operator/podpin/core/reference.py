"""What an image is called: host, repository, tag and digest.

Every other room compares, stores or sends these names, so there is one grammar for them: distribution/reference's,
which the container runtimes use too. It is our own code because a name comes from strangers and goes into URLs: each
pattern is matched whole (`fullmatch`, ASCII), and in one way only, so that no name takes more than linear time.

`parse_reference` is that grammar with Docker Hub's short names filled in. `parse_repository` is for
`spec.images[].repository`, where a tag or a scheme is a mistake, and says which one.
"""

from __future__ import annotations

import functools
import ipaddress
import re
from dataclasses import dataclass
from typing import Final

DOCKER_HUB: Final = "docker.io"
"""The name under which Docker Hub's repositories are known."""

_DOCKER_HUB_LEGACY: Final = "index.docker.io"
_DOCKER_HUB_API: Final = "registry-1.docker.io"
_LONGEST_PATH: Final = 255
_LONGEST_QUOTE: Final = 120

# What parts two words never occurs within one: there is one way to match, and nothing to try again.
_LABEL: Final = r"[a-zA-Z0-9]+(?:-+[a-zA-Z0-9]+)*"
_HOST: Final = re.compile(rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[a-fA-F0-9:]+\])(?::[0-9]+)?", re.ASCII)
_COMPONENT: Final = r"[a-z0-9]+(?:(?:\.|__?|-+)[a-z0-9]+)*"
_PATH: Final = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*", re.ASCII)
_TAG: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}", re.ASCII)
_SHA256: Final = re.compile(r"sha256:[0-9a-f]{64}", re.ASCII)
_ANY_DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}|sha384:[0-9a-f]{96}|sha512:[0-9a-f]{128}", re.ASCII)
_SIGNATURE: Final = re.compile(r"sha256-[0-9a-f]{64}(?:\.(?:sig|att|sbom))?", re.ASCII)
_IDENTIFIER: Final = re.compile(r"[0-9a-f]{64}", re.ASCII)
_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://", re.ASCII)
_PORT: Final = re.compile(r"[0-9]{1,5}", re.ASCII)
_BLANK: Final = re.compile(r"\s|[\x00-\x1f\x7f]")


class ReferenceInvalid(ValueError):  # noqa: N818 -- it names the reference's state, like podpin.errors
    """A name that is no image name. Its text is one sentence for the user."""


@dataclass(frozen=True, slots=True)
class Repository:
    """A repository under its full name, as `parse_repository` makes it.

    `host` is the registry's host with its port if it was written, `path` the repository's name there.
    """

    host: str
    path: str

    def __str__(self) -> str:
        return f"{self.host}/{self.path}"

    @property
    def api_host(self) -> str:
        """The host, with its port if it was written, that answers the registry's API for this repository."""
        return _DOCKER_HUB_API if self.host == DOCKER_HUB else self.host


@dataclass(frozen=True, slots=True)
class Reference:
    """Any image name, normalised: Docker Hub's short names are filled in. Without a tag or a digest, those are None."""

    host: str
    path: str
    tag: str | None = None
    digest: str | None = None

    def __str__(self) -> str:
        tag = "" if self.tag is None else f":{self.tag}"
        digest = "" if self.digest is None else f"@{self.digest}"
        return f"{self.host}/{self.path}{tag}{digest}"

    @property
    def repository(self) -> Repository:
        """Where the image lives, without tag and digest."""
        return Repository(self.host, self.path)


@dataclass(frozen=True, slots=True)
class Pin:
    """One exact image. The repository stands as the user wrote it; the tag is for people, the digest decides."""

    repository: str
    tag: str | None
    digest: str

    def __str__(self) -> str:
        return pin(self.repository, self.tag, self.digest)


def parse_reference(text: str) -> Reference:
    """Read any image name, as distribution/reference's ParseNormalizedNamed does, tag and digest included.

    Digests may be sha256, sha384 or sha512. Raises ReferenceInvalid.
    """
    if _IDENTIFIER.fullmatch(text):
        raise ReferenceInvalid(
            f"{_quote(text)} has 64 hexadecimal digits and so reads as an image's id, not as a repository's name; "
            "write the registry's host before it.",
        )
    name, at, digest = text.partition("@")
    name, tag = _split_tag(name)
    host, path = _split_host(name)
    _check_name(text, host, path)
    if tag is not None and not _TAG.fullmatch(tag):
        raise ReferenceInvalid(_bad_tag(tag))
    if at and not _ANY_DIGEST.fullmatch(digest):
        raise ReferenceInvalid(
            f"{_quote(digest)} is not a digest that podpin knows; write sha256: and 64 lowercase hexadecimal digits.",
        )
    return Reference(host, path, tag, digest if at else None)


def is_signature(tag: str) -> bool:
    """Whether what a tag names is no image but belongs to one.

    Signatures, attestations and SBOMs are kept under tags too: in cosign's layout, and as the fallback of the referrers
    API.
    """
    return tag.startswith("sha256-") and _SIGNATURE.fullmatch(tag) is not None


@functools.lru_cache(maxsize=1024)  # the same few names are read at each look at a rollout, many times
def parse_repository(text: str) -> Repository:
    """Read a repository's name: no scheme, no tag, no digest. Raises ReferenceInvalid with what is wrong with it."""
    if not text:
        raise ReferenceInvalid("The repository is empty; write it as registry.example.com/shop/web.")
    if _BLANK.search(text):
        raise ReferenceInvalid(f"The repository {_quote(text)} has blanks or control characters in it; take them out.")
    if scheme := _SCHEME.match(text):
        raise ReferenceInvalid(
            f"The repository {_quote(text)} starts with {scheme[0]}; write it without a scheme, "
            "as registry.example.com/shop/web.",
        )
    if "@" in text:
        raise ReferenceInvalid(
            f"The repository {_quote(text)} has an @ in it; "
            "give a digest in policy.digest.value, not in the repository.",
        )
    if text.startswith("[") and "/" not in text:
        raise ReferenceInvalid(f"The repository {_quote(text)} is a host alone; write {text}/NAME.")
    name, tag = _split_tag(text)
    if tag is not None:
        raise ReferenceInvalid(_misplaced_tag(text, name, tag))
    reference = parse_reference(text)
    if flaw := _unreachable(reference.host):
        raise ReferenceInvalid(f"The repository {_quote(text)} has a host that cannot exist: {flaw}.")
    return reference.repository


def parse_tag(text: str) -> str:
    """Return the tag if it is one. Raises ReferenceInvalid."""
    if not _TAG.fullmatch(text):
        raise ReferenceInvalid(_bad_tag(text))
    return text


def parse_digest(text: str) -> str:
    """Return the digest if it is sha256 in lowercase, the only kind that podpin pins. Raises ReferenceInvalid."""
    if not _SHA256.fullmatch(text):
        raise ReferenceInvalid(
            f"{_quote(text)} is not a digest{_why_no_digest(text)}; write sha256: and 64 lowercase hexadecimal digits.",
        )
    return text


def pin(repository: Repository | str, tag: str | None, digest: str) -> str:
    """Name one exact image: `repository:tag@digest`, or `repository@digest` without a tag.

    The repository's text stays as it is, so that the Pod shows what the user wrote. Raises ReferenceInvalid if a part
    is not what it should be, so that no image is ever named by halves.
    """
    text = str(repository)
    parse_repository(text)
    mark = "" if tag is None else f":{parse_tag(tag)}"
    return f"{text}{mark}@{parse_digest(digest)}"


def parse_pin(text: str) -> Pin:
    """Read what `pin` wrote. Raises ReferenceInvalid, also for a name that has no digest."""
    name, at, digest = text.rpartition("@")
    if not at:
        raise ReferenceInvalid(f"{_quote(text)} has no digest; a pin ends in @sha256: and 64 hexadecimal digits.")
    repository, tag = _split_tag(name)
    parse_repository(repository)
    return Pin(repository, None if tag is None else parse_tag(tag), parse_digest(digest))


def _split_tag(name: str) -> tuple[str, str | None]:
    """Cut the tag off: it follows the first colon after the last slash, so that a host's port is not taken for one."""
    slash = name.rfind("/") + 1
    last, colon, tag = name[slash:].partition(":")
    return name[:slash] + last, tag if colon else None


def _split_host(name: str) -> tuple[str, str]:
    """Tell host from path as Docker does: a first part is a host if it could not be a user of Docker Hub."""
    first, slash, rest = name.partition("/")
    if slash and (first == "localhost" or "." in first or ":" in first or first != first.lower()):
        host, path = (DOCKER_HUB if first == _DOCKER_HUB_LEGACY else first), rest
    else:
        host, path = DOCKER_HUB, name
    if host == DOCKER_HUB and "/" not in path:
        path = f"library/{path}"
    return host, path


def _check_name(text: str, host: str, path: str) -> None:
    if not _HOST.fullmatch(host):
        raise ReferenceInvalid(f"{_quote(text)} does not name an image: {_quote(host)} is not a registry's host.")
    if len(path) > _LONGEST_PATH:
        raise ReferenceInvalid(
            f"The repository's path in {_quote(text)} has {len(path)} characters; at most {_LONGEST_PATH} are allowed.",
        )
    if _PATH.fullmatch(path):
        return
    if path != path.lower():
        raise ReferenceInvalid(f"{_quote(text)} has capital letters in the repository's path; registries allow none.")
    raise ReferenceInvalid(
        f"{_quote(text)} does not name an image; a repository is lowercase letters and digits, parted by single '.', "
        "'_', '__' or '-', with '/' between its parts.",
    )


def _unreachable(host: str) -> str | None:
    """Say why nothing can listen at this host although the grammar allows it, or None."""
    if host.startswith("["):
        address, _, port = host[1:].partition("]")
        port = port.removeprefix(":")
        try:
            ipaddress.IPv6Address(address)
        except ValueError:
            return f"{_quote(address)} is not an IPv6 address"
    else:
        name, _, port = host.partition(":")
        if len(name) > 253 or any(len(label) > 63 for label in name.split(".")):
            return "its name is longer than the DNS allows"
    if port and not (_PORT.fullmatch(port) and 0 < int(port) < 65536):
        return f"{_quote(port)} is not a port"
    return None


def _misplaced_tag(text: str, name: str, tag: str) -> str:
    if "/" not in name and _PORT.fullmatch(tag):
        return (
            f"The repository {_quote(text)} can be a host with a port, or a repository with a tag; "
            f"write {name}:{tag}/NAME for the one, or {name} and the tag in its policy for the other."
        )
    return f"The repository {_quote(text)} has the tag {_quote(tag)} in it; give the tag in its policy instead."


def _bad_tag(tag: str) -> str:
    return (
        f"{_quote(tag)} is not a tag; a tag is 1 to 128 letters, digits, '_', '.' or '-', "
        "and does not start with '.' or '-'."
    )


def _why_no_digest(text: str) -> str:
    algorithm, colon, digits = text.partition(":")
    if not colon or algorithm != "sha256":
        return ": it does not start with sha256:"
    if len(digits) != 64:
        return f": it has {len(digits)} digits instead of 64"
    return ""


def _quote(text: str) -> str:
    """Show a user's own text in a sentence: short, printable, and without a password that was written before an @."""
    before, at, after = text.partition("@")
    if at and not _SHA256.match(after) and ":" in before:
        text = f"…@{after}"
    shown = "".join(sign if sign.isprintable() else ascii(sign)[1:-1] for sign in text[:_LONGEST_QUOTE])
    return f'"{shown}…"' if len(text) > _LONGEST_QUOTE else f'"{shown}"'
