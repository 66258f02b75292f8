"""Which policy somebody who runs a tag today probably wants: a guess for `podpin init`, to be read by a person.

It errs on the careful side: what runs is always among the candidates, a major version is never left by itself, and a
tag of which nobody can say whether it moves is followed as it is.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

KINDS: Final = ("semver", "numeric", "alphabetical", "newest", "tag", "digest")
"""What `init --policy` takes."""

_THREE: Final = r"[0-9]+\.[0-9]+\.[0-9]+"
_WORDS: Final = "alpha|beta|rc|pre|preview|dev|snapshot|canary|next|nightly|milestone|m"
_STAGES: Final = re.compile(rf"(?:{_WORDS})(?:[.-]?[0-9][0-9A-Za-z.-]*)?", re.IGNORECASE | re.ASCII)
_BRANCHES: Final = re.compile(
    "(?:build|main|master|trunk|release|rel|dev|develop|prod|ci|run|rev|b|r)", re.IGNORECASE | re.ASCII
)
_SPECIAL: Final = re.compile(r"[.^$*+?()\[\]{}|\\]")


@dataclass(frozen=True, slots=True)
class Guess:
    """A policy, which tags are its candidates, and why, each as it is written in a spec."""

    policy: Mapping[str, Any]
    why: str
    """What the policy does with tags like this one, in a few words."""
    tags: Mapping[str, Any] | None = None
    kept: str | None = None
    """What the candidates have in common, in a few words; only beside `tags`."""

    @property
    def kind(self) -> str:
        """The policy's name."""
        return next(iter(self.policy))


def guess(tag: str | None, digest: str | None = None) -> Guess:
    """The policy for an image that has this tag, or this digest, today."""
    if tag is None and digest is not None:
        return Guess({"digest": {"value": digest}}, "exactly this image, for good: it has no tag to follow")
    if tag is None or tag == "latest":
        return follow("latest")
    return next(found for shape in SHAPES if (found := shape(tag)) is not None)


def follow(tag: str) -> Guess:
    """The policy that follows one tag."""
    return Guess({"tag": {"name": tag}}, "this one tag: another digest under it is a new version")


def versions(tag: str) -> Guess | None:
    """The versions of one major version, as in 1.4.2, v1.4.2, web-1.4.2 and 1.4.2-alpine."""
    found = re.fullmatch(rf"((?:[A-Za-z][A-Za-z0-9]*[-_.])*)(v?)({_THREE})(?:-(.+))?", tag, re.ASCII)
    if not found or _is_year(found[3].split(".")[0]):
        return None
    prefix, led, version, suffix = found.groups()
    stage = suffix if suffix and _STAGES.fullmatch(suffix) else None
    if suffix and not stage and suffix.isdigit():
        return None
    wanted = f"^{version}-{stage}" if stage else f"^{version}"
    why = f"the highest version from {version} on, below {_next(version)}"
    why += ", its pre-releases too" if stage else ""
    policy = {"semver": {"range": wanted}}
    if not prefix and (stage or not suffix):
        return Guess(policy, why)
    group = r"(?P<version>[0-9]+\.[0-9]+\.[0-9]+" + ("(?:-[0-9A-Za-z.-]+)?" if stage else "") + ")"
    variant = "" if stage or not suffix else f"-{_pattern(suffix)}"
    tags = {"include": f"^{_literal(prefix)}{'v?' if led else ''}{group}{variant}$", "extract": "$version"}
    return Guess(policy, why, tags, f"tags like {tag}")


def dates(tag: str) -> Guess | None:
    """Dates and versions by the calendar, as in 2026.10.1, 20261001 and 2026-10-01."""
    if re.fullmatch(r"(?:19|20)[0-9]{2}-[01][0-9]-[0-3][0-9]", tag, re.ASCII):
        tags = {"include": "^[0-9]{4}-[0-9]{2}-[0-9]{2}$"}
        return Guess({"alphabetical": {"order": "asc"}}, "the latest day, which is the last by its characters", tags,
                     f"tags like {tag}")  # fmt: skip
    if not re.fullmatch(r"v?(?:19|20)[0-9]{2}(?:\.[0-9]+)+", tag, re.ASCII):
        return None
    return _numbers(tag, "the latest date, its groups compared as numbers")


def numbers(tag: str) -> Guess | None:
    """Build numbers, as in 1041 and 1.2.3.4. One or two short groups are rather a tag that moves, as in 16 and 1.27."""
    groups = tag.removeprefix("v").split(".")
    if not all(re.fullmatch("[0-9]+", one, re.ASCII) for one in groups):
        return None
    if len(groups) <= 2 and len(groups[0]) < 3:
        return None
    return _numbers(tag, "the highest number")


def builds(tag: str) -> Guess | None:
    """Numbers of builds with a word before or a commit behind them, as in build-57 and main-1041-3f2a9c1."""
    if found := re.fullmatch(rf"({_THREE})-([0-9]+)", tag, re.ASCII):
        tags = {"include": r"^([0-9]+\.[0-9]+\.[0-9]+)-([0-9]+)$", "extract": "$1.$2"}
        return Guess({"numeric": {"order": "asc"}}, "the highest version, and of that the highest build", tags,
                     f"tags like {found[0]}")  # fmt: skip
    found = re.fullmatch(r"([A-Za-z]+)([-_.]?)([0-9]+)((?:[-_.]g?[0-9a-f]{7,40})?)", tag, re.ASCII)
    if not found or not (_BRANCHES.fullmatch(found[1]) or (len(found[3]) > 2 and found[2])):
        return None
    commit = _pattern(found[4])
    tags = {"include": f"^{_literal(found[1] + found[2])}(?P<number>[0-9]+){commit}$", "extract": "$number"}
    return Guess({"numeric": {"order": "asc"}}, "the highest number", tags, f"tags like {tag}")


def commits(tag: str) -> Guess | None:
    """Commits, as in 3f2a9c1 and main-3f2a9c1: nothing in them says which is newer."""
    found = re.fullmatch(r"((?:[A-Za-z][A-Za-z0-9]*[-_.])*)(g?[0-9a-f]{7,40})", tag, re.ASCII)
    if not found or not re.search("[0-9]", found[2]):
        return None
    tags = {"include": f"^{_literal(found[1])}{_pattern(found[2])}$", "limit": 100}
    return Guess({"newest": {}}, "the image that was built last, for commits have no order", tags, f"tags like {tag}")


def _follow_any(tag: str) -> Guess | None:
    return follow(tag)


SHAPES: Final[tuple[Callable[[str], Guess | None], ...]] = (
    dates,  # before versions and numbers, for a year is both
    versions,
    numbers,
    builds,
    commits,
    _follow_any,  # what is none of these has a name, such as stable or 1.27
)
"""What a tag may look like, in the order of asking."""


def _numbers(tag: str, why: str) -> Guess:
    lead = "v" if tag.startswith("v") else ""
    groups = tag.removeprefix("v").split(".")
    year = "[0-9]{4}" if _is_year(groups[0]) and len(groups) > 1 else "[0-9]+"
    tags = {"include": f"^{lead}{year}" + r"\.[0-9]+" * (len(groups) - 1) + "$"}
    return Guess({"numeric": {"order": "asc"}}, why, tags, f"tags like {tag}")


def _is_year(group: str) -> bool:
    return re.fullmatch("(?:19|20)[0-9]{2}", group, re.ASCII) is not None


def _next(version: str) -> str:
    """The first version that a caret range does not hold any more."""
    major, minor, patch = (int(one) for one in version.split("."))
    if major:
        return f"{major + 1}.0.0"
    return f"0.{minor + 1}.0" if minor else f"0.0.{patch + 1}"


def _literal(text: str) -> str:
    return _SPECIAL.sub(lambda found: "\\" + found[0], text)


def _pattern(text: str) -> str:
    """A pattern for a text: any commit for a commit, and else the text itself."""
    return "".join(_pieces(text))


def _pieces(text: str) -> Iterator[str]:
    for piece in re.split("([-_.])", text):
        is_commit = re.fullmatch("g?[0-9a-f]{7,40}", piece, re.ASCII) and re.search("[0-9]", piece)
        if is_commit:
            yield f"{'g' if piece.startswith('g') else ''}[0-9a-f]{{{len(piece.removeprefix('g'))}}}"
        else:
            yield _literal(piece)
