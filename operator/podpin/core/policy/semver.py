"""The policy `semver`: the highest version in a range.

Several tags may spell one version: `1.0`, `1.0.0`, `v1.0.0`. Of these the one with the most numbers written wins, for
short tags are the ones that get moved; then the one that comes last in the order of characters, so `v1.0.0` before
`1.0.0`. The order of the list never matters.

Tags that are no versions are passed over. A tag cannot hold a `+`; one in which it was replaced, as Helm does with `_`
(`1.0.0_build.7`), is no version and is passed over too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeAlias

from podpin.core.policy.choice import Choice, NoMatch
from podpin.core.semver import RangeInvalid, parse_range, precedence

if TYPE_CHECKING:
    from collections.abc import Sequence

    from podpin.core.semver import Key, Range
    from podpin.core.spec.images import SemverPolicy

NEEDS_TAGS: Final = True
NEEDS_REGISTRY: Final = True

_Candidate: TypeAlias = "tuple[Key, str]"


def check(policy: SemverPolicy) -> str | None:
    """The sentence that says where the range does not parse, or None where it does."""
    try:
        parse_range(policy.range)
    except RangeInvalid as wrong:
        return str(wrong)
    return None


def refuse(policy: SemverPolicy, tag: str) -> str | None:
    """Why the tag is passed over, in a few words. Raises RangeInvalid where `check` finds fault."""
    wanted, key = parse_range(policy.range), precedence(tag)
    if key is None:
        return "it is no version such as 1.2.3"
    if wanted.admits_key(key):
        return None
    if wanted.spans_key(key):
        return "it is a pre-release, and the range names none"
    return "it is outside the range"


def choose(policy: SemverPolicy, tags: Sequence[str]) -> Choice | NoMatch:
    """The tag of the highest version in the range. Raises RangeInvalid where `check` finds fault."""
    wanted = parse_range(policy.range)
    admitted: list[_Candidate] = []
    refused: list[_Candidate] = []
    # From the end, for most registries sort their lists: few tags are then higher than those before, and the dearer
    # question, whether the range holds it, is asked of those only.
    for tag in reversed(tags):
        key = precedence(tag)
        if key is None or (admitted and key < admitted[-1][0]):
            continue
        (admitted if wanted.admits_key(key) else refused).append((key, tag))
    return Choice(_highest(admitted), None) if admitted else _explain(wanted, tags, refused)


def advance(policy: SemverPolicy, chosen: str, new: Choice | NoMatch) -> Choice | NoMatch:
    """Keep `chosen` where it is in the range and `new` is lower or nothing: the list was stale or has shrunk."""
    mark = precedence(chosen)
    if mark is None or not parse_range(policy.range).admits_key(mark):
        return new
    if isinstance(new, Choice) and new.tag is not None and (found := precedence(new.tag)) is not None:
        return new if (found, _spelling(new.tag)) >= (mark, _spelling(chosen)) else Choice(chosen, None)
    return Choice(chosen, None)


def _highest(candidates: list[_Candidate]) -> str:
    """The tag of the highest version, and among those that spell it, the one that the rule above names."""
    highest = max(key for key, _ in candidates)
    return max((tag for key, tag in candidates if key == highest), key=_spelling)


def _spelling(tag: str) -> tuple[int, str]:
    """The order among tags that spell one version."""
    numbers = tag.partition("+")[0].partition("-")[0]
    return numbers.count("."), tag


def _explain(wanted: Range, tags: Sequence[str], versions: list[_Candidate]) -> NoMatch:
    """Why no tag is in the range: the nearest reason. `versions` are those of the tags that are one."""
    refusal = f'No tag of the repository is a version in the range "{wanted.text}"'
    if not tags:
        return NoMatch(f"{refusal}: the repository has no tags.")
    if not versions:
        return NoMatch(f"{refusal}: none of its tags is a version such as 1.2.3.")
    prereleases = [(key, tag) for key, tag in versions if wanted.spans_key(key)]
    if not prereleases:
        return NoMatch(f"{refusal}: the highest version there is {_highest(versions)}.")
    return NoMatch(
        f"{refusal}: only pre-releases such as {_highest(prereleases)} are, and a range takes those "
        'only if it names one itself, as ">=1.2.3-0" does.'
    )
