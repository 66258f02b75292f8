"""Which image: `spec.images`, a repository with its policy and what a version must be like to be taken."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, ClassVar, Final, Literal, NamedTuple

from pydantic import Field

from podpin.core.schema import Part, Rule, Span, Text
from podpin.core.spec.grammars import DigestValue, DnsLabel, DnsSubdomain, Platform, Repository, TagName

MAX_IMAGES: Final = 32


class TagPolicy(Part):
    """Follow one tag: whenever it comes to name another digest, that digest is the new version."""

    name: TagName
    """The tag to follow, such as latest or 1.27."""


class SemverPolicy(Part):
    """Take the highest version within a range. Tags may lead with v; tags that are no versions are passed over."""

    range: Annotated[str, Field(min_length=1, max_length=256)]
    """The range in the grammar that Flux, Helm and Argo know: ">=1.4 <2", "~1.4", "1.x || 2.x". Pre-releases are taken
    only when the range names one."""


class NumericPolicy(Part):
    """Take the highest number, or the lowest. Dotted groups of numbers count too; other tags are passed over."""

    order: Literal["asc", "desc"] = "asc"
    """asc takes the highest number, desc the lowest."""


class AlphabeticalPolicy(Part):
    """Take the last tag in the order of characters, or the first."""

    order: Literal["asc", "desc"] = "asc"
    """asc takes the last tag, desc the first."""


class NewestPolicy(Part):
    """Take the image that was built last, by the build time that it carries itself. It costs a few requests for each
    tag, once: so at most tags.limit tags are looked at, those that do not say when they were built are passed over, and
    a tag that is pushed again is noticed only while it is the one chosen."""


class RolloutRef(Part):
    """Another ImageRollout, and one of its containers."""

    namespace: DnsLabel
    """Its namespace. Another than the rollout's own must be let in by the source's annotation
    podpin.dev/promote-to."""
    name: DnsSubdomain
    """Its name."""
    container: DnsLabel | None = None
    """The container whose image is taken; left out, the one of the same name."""


class PromotePolicy(Part):
    """Take the digest that another rollout has proven: that of its stable release."""

    from_: Annotated[RolloutRef, Field(alias="from")]
    """The rollout that proves it."""
    healthy_for: Annotated[timedelta, Span("0s", "8760h")] = timedelta()
    """How long the other rollout must have had it as its stable release, up to 8760h; left out, it is taken at once."""


class DigestPolicy(Part):
    """Run exactly this image, and never ask the registry for another."""

    value: DigestValue
    """The digest of the image index or manifest: sha256: and 64 hexadecimal digits."""


POLICIES: Final = ("tag", "semver", "numeric", "alphabetical", "newest", "promote", "digest")
_CHOOSING: Final = ("semver", "numeric", "alphabetical", "newest")
"""Those that choose among tags."""


def _given(policy: Policy) -> list[str]:
    return [name for name in POLICIES if getattr(policy, name) is not None]


class Policy(Part):
    """How the version is chosen: exactly one of these."""

    tag: TagPolicy | None = None
    """Follow one tag by its digest."""
    semver: SemverPolicy | None = None
    """Take the highest version within a range."""
    numeric: NumericPolicy | None = None
    """Take the highest number, such as a build number or a date."""
    alphabetical: AlphabeticalPolicy | None = None
    """Take the last tag in the order of characters."""
    newest: NewestPolicy | None = None
    """Take the image that was built last."""
    promote: PromotePolicy | None = None
    """Take what another rollout has proven."""
    digest: DigestPolicy | None = None
    """Run one digest for good."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            " || ".join(f"has(self.{name})" for name in POLICIES),
            f"policy needs one of {', '.join(POLICIES[:-1])} or {POLICIES[-1]}; none is given",
            lambda policy: len(_given(policy)) > 0,
        ),
        Rule(
            f"[{', '.join(f'has(self.{name})' for name in POLICIES)}].filter(given, given).size() < 2",
            f"policy must be only one of {', '.join(POLICIES[:-1])} and {POLICIES[-1]}; more than one is given",
            lambda policy: len(_given(policy)) < 2,
        ),
    )


Pattern = Annotated[str, Field(min_length=1, max_length=256)]


class TagsSpec(Part):
    """Which of the repository's tags are candidates, and what of a tag the policy reads. Patterns are RE2, as in Go,
    and are searched for anywhere in the tag: bind them with ^ and $."""

    include: Pattern | None = None
    """Only tags in which this is found are candidates."""
    exclude: Annotated[tuple[Pattern, ...], Field(max_length=16)] = ()
    """No tag in which one of these is found is a candidate."""
    extract: Pattern | None = None
    """What the policy reads instead of the whole tag: groups of include, as in $version or $1.$2."""
    limit: Annotated[int, Field(ge=1, le=250, json_schema_extra={"format": "int32"})] | None = None
    """At most how many candidates are looked at closely, from 1 to 250. With newest, the last so many tags in the order
    of characters, where numbers count as numbers; left out, more than 100 candidates are refused. With the others, how
    many of the best are tried where platforms, minAge, immutableTags or verify pass them over; left out, 10."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "!has(self.extract) || has(self.include)",
            "extract takes its groups from include: give that as well",
            lambda tags: tags.extract is None or tags.include is not None,
        ),
    )


PublicKey = Annotated[
    str,
    Text(
        # Short: what a rule may cost is counted from its length. The operator reads it in earnest.
        grammar=r"(?:-----BEGIN PUBLIC KEY-----[^-]+-----END PUBLIC KEY-----[\r\n ]*)+",
        message="must be a public key in PEM, as in the file cosign.pub: -----BEGIN PUBLIC KEY----- and what follows",
        max_length=4096,
        hints=(("PRIVATE KEY", "must be the public key, as in the file cosign.pub: keep the private one to yourself"),),
    ),
]
Issuer = Annotated[
    str,
    Text(
        grammar="https?://[!-)+-~]+",
        message="must be the address of the identity's issuer, such as https://token.actions.githubusercontent.com",
        max_length=256,
    ),
]
Identity = Annotated[
    str,
    Text(
        grammar=r"[!-)+-~]+\*?",
        message="must be an e-mail address or a URL, as it stands in the certificate; a * may stand at its end only, "
        "and not alone",
        max_length=512,
    ),
]


class CosignDemand(Part):
    """A signature made by cosign with a key pair; the public key is given in one of these two forms."""

    public_key: PublicKey | None = None
    """The public key in PEM. Of several one after another, any will do, so that a key can be replaced."""
    public_key_secret: DnsSubdomain | None = None
    """The name of a Secret in the rollout's own namespace whose key cosign.pub holds the public key, as cosign
    generate-key-pair k8s://NAMESPACE/NAME makes it."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "has(self.publicKey) != has(self.publicKeySecret)",
            "cosign needs either publicKey or publicKeySecret, and not both",
            lambda cosign: (cosign.public_key is None) != (cosign.public_key_secret is None),
        ),
    )


class SigstoreDemand(Part):
    """A signature made without a key, by an identity that sigstore has certified."""

    issuer: Issuer
    """Who vouches for the identity, such as https://token.actions.githubusercontent.com."""
    identity: Identity
    """Who must have signed: an e-mail address, or the URL of a workflow. With a * at its end, all identities that begin
    so: https://github.com/shop/web/.github/workflows/release.yml@refs/tags/*."""


class Demand(Part):
    """One signature that an image must have: exactly one of cosign and sigstore."""

    cosign: CosignDemand | None = None
    """A signature made by cosign with a key pair."""
    sigstore: SigstoreDemand | None = None
    """A signature made without a key, by an identity that sigstore has certified."""
    subject: Literal["index", "platform", "either"] = "index"
    """What must be signed. index: what the tag names, which is what cosign sign signs. platform: the manifest of every
    platform in it. either: the one or the other."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "has(self.cosign) != has(self.sigstore)",
            "an entry of verify needs either cosign or sigstore, and not both: several entries must all be met",
            lambda demand: (demand.cosign is None) != (demand.sigstore is None),
        ),
    )


class Selection(NamedTuple):
    """What decides which version is chosen from a repository."""

    policy: Policy
    tags: TagsSpec | None = None


class ImageSpec(Part):
    """One container, and where its image comes from."""

    container: DnsLabel
    """The name of a container or init container of the template."""
    repository: Repository
    """The image's repository without scheme, tag or digest, as in registry.example.com/shop/web. A name without a
    registry is one of Docker Hub, as for docker pull."""
    policy: Policy
    tags: TagsSpec | None = None
    """Which tags are candidates; only with a policy that chooses among them."""
    platforms: Annotated[tuple[Platform, ...], Field(max_length=8)] = ()
    """Platforms such as linux/amd64 or linux/arm/v7 that a version must have; one that lacks any is passed over. Left
    out, those of the nodes that the template can run on."""
    min_age: Annotated[timedelta, Span("0s", "8760h")] | None = None
    """How long ago a version must have been built, by the build time that it carries, up to 8760h; one that does not
    say when counts as too young. Left out, it may be new."""
    immutable_tags: bool = False
    """Whether a tag that comes to name another digest is refused; left out, it is followed."""
    verify: Annotated[tuple[Demand, ...], Field(max_length=8)] = ()
    """Signatures that a version must have: all of these. One that lacks any is passed over."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "!has(self.verify) || self.verify.size() == 0 || !has(self.policy.digest)",
            "verify has no meaning with the policy digest, which names one image for good: leave it out",
            lambda image: not image.verify or image.policy.digest is None,
        ),
        Rule(
            "!has(self.policy.digest) || "
            "!(has(self.platforms) || has(self.minAge) || (has(self.immutableTags) && self.immutableTags))",
            "platforms, minAge and immutableTags have no meaning with the policy digest, which names one image for "
            "good: leave them out",
            lambda image: (
                image.policy.digest is None
                or not (image.platforms or image.min_age is not None or image.immutable_tags)
            ),
        ),
        Rule(
            "!has(self.policy.newest) || !has(self.tags) || !has(self.tags.extract)",
            "tags.extract has no meaning with the policy newest, which compares build times: leave it out",
            lambda image: image.policy.newest is None or image.tags is None or image.tags.extract is None,
        ),
        Rule(
            f"!has(self.tags) || {' || '.join(f'has(self.policy.{name})' for name in _CHOOSING)}",
            f"tags has a meaning only with the policies {', '.join(_CHOOSING)}, which choose among tags: leave it out",
            lambda image: image.tags is None or any(name in _CHOOSING for name in _given(image.policy)),
        ),
    )

    @property
    def selection(self) -> Selection:
        """What decides which version is chosen."""
        return Selection(self.policy, self.tags)
