"""How the image of a container is chosen: one module for each policy that the spec knows, and one table of them.

A policy is a pure function from a repository's tags to a choice. Everybody else asks the functions here, with the whole
`policy` of the spec, and need not know which policies there are. A new one is a module and a row in `POLICIES`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Protocol

from podpin.core.policy import digest, semver, tag
from podpin.core.policy.choice import Choice, NoMatch
from podpin.core.reference import is_signature

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from podpin.core.spec import Policy

__all__ = ["POLICIES", "Choice", "Kind", "NoMatch", "advance", "check", "choose", "needs_registry", "needs_tags"]


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

    def choose(self, policy: Any, tags: Sequence[str]) -> Choice | NoMatch:
        """The choice among tags, whatever their order."""

    def advance(self, policy: Any, chosen: str, new: Choice | NoMatch) -> Choice | NoMatch:
        """`new`, or `chosen` again where `new` would be a step back."""


POLICIES: Final[Mapping[str, Kind]] = {
    "tag": tag,
    "semver": semver,
    "digest": digest,
}
"""Every policy by its field in the spec's `policy`."""


def choose(policy: Policy, tags: Sequence[str]) -> Choice | NoMatch:
    """The tag, or the digest, that the policy takes. `tags` may be empty where `needs_tags` says that none are needed.

    The order of `tags` does not matter, and tags of signatures are no candidates. Raises RangeInvalid for a policy that
    `check` finds fault with.
    """
    kind, spec = _find(policy)
    return kind.choose(spec, [tag for tag in tags if not is_signature(tag)] if kind.NEEDS_TAGS else tags)


def advance(policy: Policy, chosen: str | None, new: Choice | NoMatch) -> Choice | NoMatch:
    """Never step back by accident: `new`, unless it is lower than the tag `chosen` before for the same policy.

    Registries serve stale and shortened lists at times (fluxcd/image-reflector-controller#817). `chosen` is the
    high-water mark from the status; None where there is none yet, or the spec has changed, or somebody asked anew.
    """
    if chosen is None:
        return new
    kind, spec = _find(policy)
    return kind.advance(spec, chosen, new)


def check(policy: Policy) -> str | None:
    """A sentence for the user where the policy is wrong in a way that only the operator can see; else None."""
    kind, spec = _find(policy)
    return kind.check(spec)


def needs_tags(policy: Policy) -> bool:
    """Whether the policy chooses from the list of the repository's tags."""
    return _find(policy)[0].NEEDS_TAGS


def needs_registry(policy: Policy) -> bool:
    """Whether anything has to be asked of the registry at all."""
    return _find(policy)[0].NEEDS_REGISTRY


def _find(policy: Policy) -> tuple[Kind, Any]:
    """The policy that is given, and what the spec says of it. The schema sees to it that there is just one."""
    for name, kind in POLICIES.items():
        spec = getattr(policy, name)
        if spec is not None:
            return kind, spec
    msg = "a policy needs one of " + ", ".join(POLICIES)
    raise ValueError(msg)
