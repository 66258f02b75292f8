"""How the image of a container is chosen: one module for each policy that the spec knows, and one table of them.

A policy is a pure function from a repository's tags to a choice. Everybody else asks the functions here, with the
`policy` and the `tags` of the spec, and need not know which policies there are. A new one is a module and a row in
`POLICIES`. Where `tags` extracts a part of each tag, the policy sees that part alone.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, Protocol

from podpin.core.policy import alphabetical, digest, numeric, promote, semver, tag
from podpin.core.policy.choice import Choice, NoMatch
from podpin.core.policy.newest import Newest
from podpin.core.policy.tags import TagsInvalid, filter_of
from podpin.core.reference import is_signature

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from podpin.core.spec.images import Policy, Selection

__all__ = [
    "POLICIES",
    "Choice",
    "Kind",
    "NoMatch",
    "advance",
    "check",
    "choose",
    "dated",
    "explain",
    "limit_of",
    "needs_registry",
    "needs_tags",
    "needs_times",
]

_DIGITS: Final = re.compile("[0-9]+|[^0-9]+", re.ASCII)
NO_TIMES: Final[Mapping[str, datetime]] = {}
MOST_DATED: Final = 100
"""Of how many tags the build time is looked at where the spec sets no limit."""
MOST_TRIED: Final = 10
"""How many candidates are tried where the spec sets no limit."""


class Kind(Protocol):
    """What a policy's module offers. `policy` is the model of the spec that stands under the policy's name."""

    @property
    def NEEDS_TAGS(self) -> bool:  # noqa: N802 -- a module's constant
        """Whether it chooses from the list of the repository's tags."""

    @property
    def NEEDS_REGISTRY(self) -> bool:  # noqa: N802
        """Whether anything has to be asked of the registry at all."""

    def check(self, policy: Any) -> str | None:
        """A sentence for the user where the policy is wrong in a way that the schema cannot see."""

    def refuse(self, policy: Any, tag: str) -> str | None:
        """Why the policy passes a tag over, in a few words; None where the tag is a candidate."""

    def choose(self, policy: Any, tags: Sequence[str]) -> Choice | NoMatch:
        """The choice among tags, whatever their order."""

    def advance(self, policy: Any, chosen: str, new: Choice | NoMatch) -> Choice | NoMatch:
        """`new`, or `chosen` again where `new` would be a step back."""


POLICIES: Final[Mapping[str, Kind]] = {
    "tag": tag,
    "semver": semver,
    "numeric": numeric,
    "alphabetical": alphabetical,
    "newest": Newest(),
    "promote": promote,
    "digest": digest,
}
"""Every policy by its field in the spec's `policy`."""


def choose(selection: Selection, tags: Sequence[str], times: Mapping[str, datetime] = NO_TIMES) -> Choice | NoMatch:
    """The tag, or the digest, that the policy takes. `tags` may be empty where `needs_tags` says that none are needed.

    The order of `tags` does not matter, and tags of signatures are no candidates. `times` are the build times of those
    tags that `dated` names, where `needs_times`. Raises RangeInvalid and TagsInvalid for what `check` finds fault with.
    """
    kind, spec = _find(selection.policy, times)
    if not kind.NEEDS_TAGS:
        return kind.choose(spec, tags)
    candidates = [tag for tag in tags if not is_signature(tag)]
    if selection.tags is None:
        return kind.choose(spec, candidates)
    values = filter_of(selection.tags).values(candidates)
    if candidates and not values:
        return NoMatch("No tag of the repository passes spec.images.tags: check include, exclude and extract.")
    found = kind.choose(spec, list(values))
    return Choice(values[found.tag], None) if isinstance(found, Choice) and found.tag is not None else found


def dated(selection: Selection, tags: Sequence[str]) -> list[str] | NoMatch:
    """The tags whose build times the policy wants to know, in the order of characters with numbers as numbers.

    Never more than the limit: where the spec sets none and there are too many, the refusal. Raises TagsInvalid.
    """
    candidates = {tag for tag in tags if not is_signature(tag)}
    if selection.tags is not None:
        candidates = set(filter_of(selection.tags).values(candidates).values())
    ranked = sorted(candidates, key=natural)
    if selection.tags is not None and selection.tags.limit is not None:
        return ranked[-selection.tags.limit :]
    if len(ranked) > MOST_DATED:
        return NoMatch(
            f"More than {MOST_DATED} tags of the repository are candidates, and the policy newest would have to look "
            "into each: leave fewer by spec.images.tags.include, or take the last ones by spec.images.tags.limit."
        )
    return ranked


def limit_of(selection: Selection) -> int:
    """How many candidates are tried at most."""
    given = None if selection.tags is None else selection.tags.limit
    return MOST_TRIED if given is None else given


def explain(
    selection: Selection, tags: Sequence[str], most: int, times: Mapping[str, datetime] = NO_TIMES
) -> tuple[list[str], dict[str, str]]:
    """What `choose` makes of each tag: up to `most` that fit, the best first, and why the others are passed over.

    Raises as `choose` does.
    """
    kind, spec = _find(selection.policy, times)
    reasons: dict[str, str] = {}
    fitting: list[str] = []
    candidates = filter_of(selection.tags) if selection.tags is not None else None
    for name in tags:
        value, why = (name, None) if candidates is None else candidates.explain(name)
        if is_signature(name):
            why = "it is the tag of a signature or an attestation"
        why = why or kind.refuse(spec, value)
        if why is None:
            fitting.append(name)
        else:
            reasons[name] = why
    ranked: list[str] = []
    while len(ranked) < most:
        found = choose(selection, [name for name in fitting if name not in ranked], times)
        if not isinstance(found, Choice) or found.tag is None or found.tag in ranked:
            break
        ranked.append(found.tag)
    return ranked, reasons


def advance(
    selection: Selection, chosen: str | None, new: Choice | NoMatch, times: Mapping[str, datetime] = NO_TIMES
) -> Choice | NoMatch:
    """Never step back by accident: `new`, unless it is lower than the tag `chosen` before for the same policy.

    Registries serve stale and shortened lists at times (fluxcd/image-reflector-controller#817). `chosen` is the
    high-water mark from the status; None where there is none yet, or the spec has changed, or somebody asked anew.
    """
    if chosen is None:
        return new
    kind, spec = _find(selection.policy, times)
    if selection.tags is None or not kind.NEEDS_TAGS:
        return kind.advance(spec, chosen, new)
    values = filter_of(selection.tags)
    mark = values.value(chosen)
    if mark is None:
        return new
    if not isinstance(new, Choice) or new.tag is None:
        kept = kind.advance(spec, mark, new)
        return Choice(chosen, None) if isinstance(kept, Choice) else kept
    value = values.value(new.tag)
    if value == mark:
        return new if new.tag >= chosen else Choice(chosen, None)
    return new if kind.advance(spec, mark, Choice(value, None)) == Choice(value, None) else Choice(chosen, None)


def check(selection: Selection) -> str | None:
    """A sentence for the user where the policy is wrong in a way that only the operator can see; else None."""
    kind, spec = _find(selection.policy)
    if selection.tags is not None:
        try:
            filter_of(selection.tags)
        except TagsInvalid as wrong:
            return str(wrong)
    return kind.check(spec)


def needs_tags(selection: Selection) -> bool:
    """Whether the policy chooses from the list of the repository's tags."""
    return _find(selection.policy)[0].NEEDS_TAGS


def needs_times(selection: Selection) -> bool:
    """Whether the policy compares the build times of tags."""
    return isinstance(_find(selection.policy)[0], Newest)


def needs_registry(selection: Selection) -> bool:
    """Whether anything has to be asked of the registry at all."""
    return _find(selection.policy)[0].NEEDS_REGISTRY


def natural(tag: str) -> tuple[tuple[int, int, str], ...]:
    """The key by which tags stand in the order of characters, where numbers count as numbers: v9 before v10."""
    parts = _DIGITS.findall(tag)
    return (*((1, int(part), "") if part.isdigit() else (2, 0, part) for part in parts), (0, 0, tag))


def _find(policy: Policy, times: Mapping[str, datetime] = NO_TIMES) -> tuple[Kind, Any]:
    """The policy that is given, and what the spec says of it. The schema sees to it that there is just one."""
    for name, kind in POLICIES.items():
        spec = getattr(policy, name)
        if spec is not None:
            return kind.knowing(times) if isinstance(kind, Newest) else kind, spec
    msg = "a policy needs one of " + ", ".join(POLICIES)
    raise ValueError(msg)
