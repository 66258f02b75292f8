"""What the user asks for: the `spec` of an ImageRollout.

These models are the one source of that. They parse the spec in the operator, and `podpin.crd` turns them into the
schema by which the API server refuses nonsense at `kubectl apply`. So each demand stands once, beside the field that
it is about, with the sentence that the user is to read; `podpin.core.schema` explains how.

What a schema cannot judge, because it lies between two lists or in a grammar of its own, is `problem_of`: the
operator says it as `Stalled`, and does not try again until the spec changes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final, Literal, NamedTuple

from pydantic import Field, ValidationError

from podpin.core import names, policy
from podpin.core.reference import ReferenceInvalid, parse_reference, parse_repository
from podpin.core.schema import DURATION_CEL, OPEN, Keyed, Part, Rule, Shaped, Span, Text

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

# Labels and annotations under this prefix are podpin's own.
RESERVED_PREFIX: Final = f"{names.GROUP}/"
MAX_IMAGES: Final = 32
MAX_CONTAINERS: Final = 64
MAX_LABEL_KEY: Final = 253 + len("/") + 63

DnsLabel = Annotated[
    str,
    Text(
        grammar="[a-z0-9](?:[-a-z0-9]*[a-z0-9])?",
        message="must be a DNS label: lower-case letters, digits and '-', with a letter or digit at both ends",
        max_length=63,
    ),
]
DnsSubdomain = Annotated[
    str,
    Text(
        grammar=r"[a-z0-9](?:[-a-z0-9]*[a-z0-9])?(?:\.[a-z0-9](?:[-a-z0-9]*[a-z0-9])?)*",
        message="must be the name of an object: lower-case letters, digits, '-' and '.', "
        "with a letter or digit at both ends",
        max_length=253,
    ),
]
AccountName = Annotated[
    str,
    Text(
        # Empty means the default one, as in any Pod.
        grammar=r"(?:[a-z0-9](?:[-a-z0-9]*[a-z0-9])?(?:\.[a-z0-9](?:[-a-z0-9]*[a-z0-9])?)*)?",
        message="must be the name of a ServiceAccount: lower-case letters, digits, '-' and '.', "
        "with a letter or digit at both ends",
        max_length=253,
    ),
]
Repository = Annotated[
    str,
    Text(
        grammar=r"(?:(?:[A-Za-z0-9.-]+|\[[0-9A-Fa-f:]+\])(?::[0-9]{1,5})?/)?"
        r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*",
        message="is not an image repository: write it as in registry.example.com/shop/web",
        max_length=255,
        hints=(
            ("://", "repository must not carry a scheme: write it as in registry.example.com/shop/web"),
            ("@", "repository must not carry a digest: put it under policy.digest"),
            (":[^/]*$", "repository must not carry a tag: put it under policy.tag"),
            (
                r"^(?:[^/]*[.:][^/]*/)?[^A-Z]*[A-Z]",
                "repository must be in lower case: registries know no capitals in a path",
            ),
        ),
    ),
]
TagName = Annotated[
    str,
    Text(
        grammar="[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}",
        message="must be one tag, such as 1.27: letters, digits, '_', '.' and '-', not beginning with '.' or '-'",
        max_length=128,
        hints=(("[:/@]", "must be the tag alone, such as 1.27: the repository has a field of its own"),),
    ),
]
DigestValue = Annotated[
    str,
    Text(
        grammar="sha256:[0-9a-f]{64}",
        message="must be sha256: and exactly 64 hexadecimal digits in lower case",
        max_length=128,
        hints=(("^[0-9A-Fa-f]{64}$", "must begin with sha256:"),),
    ),
]

Platform = Annotated[
    str,
    Text(
        grammar="[a-z0-9][a-z0-9._-]{0,31}/[a-z0-9][a-z0-9._-]{0,31}(?:/[a-z0-9][a-z0-9._-]{0,31})?",
        message="must be a platform such as linux/amd64 or linux/arm/v7",
        max_length=100,
    ),
]


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


class SecretRef(Part):
    """A Secret in the rollout's own namespace."""

    name: DnsSubdomain
    """The name of the Secret."""


class RegistrySpec(Part):
    """How the registry is asked."""

    interval: Annotated[timedelta, Span("10s", "24h")] = timedelta(minutes=5)
    """How often to look for a new version, from 10s to 24h."""
    pull_secrets: Annotated[tuple[SecretRef, ...], Field(max_length=16), Keyed("name")] = ()
    """Secrets of type kubernetes.io/dockerconfigjson or kubernetes.io/dockercfg to look with. The template's
    imagePullSecrets and those of its ServiceAccount are used as well."""
    ca_secret: SecretRef | None = None
    """A Secret whose key ca.crt holds the certificates to trust for this registry, in PEM."""


class RolloutSpec(Part):
    """When a new version counts as good."""

    progress_deadline: Annotated[timedelta, Span("1s", "24h")] = timedelta(minutes=10)
    """How long the new version may make no progress before it is rejected, from 1s to 24h."""
    bake_time: Annotated[timedelta, Span("0s", "24h")] = timedelta(seconds=30)
    """How long every replica must stay ready, without a restart, before the new version is stable; up to 24h."""


class RollbackSpec(Part):
    """What follows when a new version fails."""

    enabled: bool = True
    """Go back to the stable version. If false, the failed one is named as such and left in place."""


class SelectorSpec(Part):
    """Labels by which the workload selects its Pods, besides podpin's own."""

    match_labels: Annotated[
        dict[str, Annotated[str, Field(max_length=63)]],
        # Few and short enough for status.selector, in which they stand in one line.
        Field(min_length=1, max_length=8, json_schema_extra={"x-kubernetes-map-type": "atomic"}),
        Rule(
            f"self.all(key, size(key) <= {MAX_LABEL_KEY})",
            f"the key of a label has at most {MAX_LABEL_KEY} characters",
            lambda labels: all(len(key) <= MAX_LABEL_KEY for key in labels),
        ),
    ]
    """The labels; each must stand among the template's."""


def _is_amount(value: int | str) -> bool:
    return value >= 0 if isinstance(value, int) else re.fullmatch("(?:0|[1-9][0-9]{0,2})%", value) is not None


Amount = Annotated[
    int | str,
    Rule(
        "type(self) == int ? self >= 0 : self.matches('^(?:0|[1-9][0-9]{0,2})%$')",
        "must be a number of Pods or a percentage such as 25%",
        _is_amount,
    ),
]


class _RollingUpdate(Part):
    """How many Pods are replaced at a time."""

    max_surge: Amount | None = None
    """How many Pods may run above replicas: a number or a percentage; left out, 25%."""
    max_unavailable: Amount | None = None
    """How many Pods may be missing below replicas: a number or a percentage; left out, none."""

    rules: ClassVar[tuple[Rule, ...]] = (
        # Left out, maxUnavailable is 0 and maxSurge is not.
        Rule(
            "!has(self.maxSurge) || !(self.maxSurge == 0 || self.maxSurge == '0%') || "
            "(has(self.maxUnavailable) && !(self.maxUnavailable == 0 || self.maxUnavailable == '0%'))",
            "maxSurge 0 needs a maxUnavailable above 0: otherwise no Pod could ever be replaced",
            lambda update: update.max_surge not in (0, "0%") or update.max_unavailable not in (None, 0, "0%"),
        ),
    )


class _Strategy(Part):
    """How new Pods take the place of old ones, as in a Deployment."""

    type: Literal["RollingUpdate", "Recreate"] = "RollingUpdate"
    """RollingUpdate replaces Pods few by few; Recreate stops all old ones first, and costs an outage."""
    rolling_update: _RollingUpdate | None = None
    """How many Pods are replaced at a time; only with RollingUpdate."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "self.type == 'RollingUpdate' || !has(self.rollingUpdate)",
            "rollingUpdate has no meaning with type Recreate: leave it out",
            lambda strategy: strategy.type == "RollingUpdate" or strategy.rolling_update is None,
        ),
    )


class _Container(Part):
    """A container, as in any Pod. The image of one that is named in spec.images may be left out."""

    model_config = OPEN

    name: DnsLabel
    """The container's name, unique in the Pod."""
    image: Annotated[str, Field(max_length=1024)] | None = None
    """The container's image. That of a container named in spec.images is podpin's to choose."""


class _PullSecret(Part):
    """A Secret in the rollout's own namespace with which the image is pulled."""

    model_config = OPEN

    name: DnsSubdomain | None = None
    """The name of the Secret."""


class _PodSpec(Part):
    """The specification of the Pods, as in a Deployment."""

    model_config = OPEN

    containers: Annotated[tuple[_Container, ...], Field(max_length=MAX_CONTAINERS), Keyed("name")] = ()
    """The containers of the Pod; at least one."""
    init_containers: Annotated[tuple[_Container, ...], Field(max_length=MAX_CONTAINERS), Keyed("name")] = ()
    """The containers that run before the others, in their order."""
    image_pull_secrets: Annotated[tuple[_PullSecret, ...], Field(max_length=16)] | None = None
    """Secrets with which the images are pulled."""
    service_account_name: AccountName | None = None
    """The ServiceAccount as which the Pods run."""
    service_account: AccountName | None = None
    """The old name of serviceAccountName."""
    restart_policy: Annotated[str, Field(max_length=32)] | None = None
    """Always, or left out."""

    rules: ClassVar[tuple[Rule, ...]] = (
        # Not by `required`: a misspelt `containers` is a field that is kept, so this is the only place to hear of it.
        Rule(
            "has(self.containers) && self.containers.size() > 0",
            "the template needs at least one container: list them under containers, and check how that is spelt",
            lambda pod: len(pod.containers) > 0,
        ),
        Rule(
            "!has(self.restartPolicy) || self.restartPolicy == 'Always'",
            "restartPolicy must be Always or left out: the workload keeps its Pods running",
            lambda pod: pod.restart_policy in (None, "Always"),
        ),
        Rule(
            "!has(self.initContainers) || !has(self.containers) || "
            "self.initContainers.all(early, !self.containers.exists(other, other.name == early.name))",
            "a container and an init container have the same name: names must be unique in the Pod",
            lambda pod: not {early.name for early in pod.init_containers} & {other.name for other in pod.containers},
        ),
    )


_UNRESERVED: Final = Rule(
    f"self.all(key, !key.startsWith('{RESERVED_PREFIX}'))",
    f"keys that begin with {RESERVED_PREFIX} are podpin's own: leave them out",
    lambda pairs: not any(key.startswith(RESERVED_PREFIX) for key in pairs),
)


class _PodMetadata(Part):
    """Labels and annotations of the Pods."""

    labels: Annotated[dict[str, Annotated[str, Field(max_length=63)]], Field(max_length=64), _UNRESERVED] | None = None
    """The Pods' labels, as a Service selects them."""
    annotations: Annotated[dict[str, str], Field(max_length=128), _UNRESERVED] | None = None
    """The Pods' annotations."""


class _PodTemplate(Part):
    """What the Pods are made from, as in a Deployment."""

    metadata: _PodMetadata | None = None
    spec: _PodSpec


class WorkloadSpec(Part):
    """What runs the image: the workload that podpin makes and owns, under the rollout's own name."""

    kind: Annotated[Literal["Deployment"], Rule("self == oldSelf", "kind cannot be changed: make a new ImageRollout")]
    """The kind of the workload."""
    replicas: Annotated[int, Field(ge=0, le=2**31 - 1, json_schema_extra={"format": "int32"})] | None = None
    """How many Pods to run. Leave it out when an autoscaler decides; podpin then never sets it."""
    strategy: Annotated[dict[str, Any], Shaped(_Strategy)] | None = None
    """How new Pods take the place of old ones, as in a Deployment. Left out, no Pod is stopped before its successor is
    ready."""
    min_ready_seconds: Annotated[int, Field(ge=0, le=86_400, json_schema_extra={"format": "int32"})] = 0
    """How long a Pod must be ready before it counts as available, as in a Deployment."""
    selector: (
        Annotated[SelectorSpec, Rule("self == oldSelf", "selector cannot be changed: make a new ImageRollout")] | None
    ) = None
    """Labels of the template that shall select the Pods besides podpin's own. It cannot be changed later."""
    template: Annotated[dict[str, Any], Shaped(_PodTemplate)]
    """The Pods' template, as in a Deployment, except that the image of a container named in spec.images may be left
    out."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "has(self.selector) == has(oldSelf.selector)",
            "selector cannot be added or removed later: make a new ImageRollout",
        ),
        Rule(
            "!has(self.selector) || (has(self.template.metadata) && has(self.template.metadata.labels) && "
            "self.selector.matchLabels.all(key, key in self.template.metadata.labels && "
            "self.template.metadata.labels[key] == self.selector.matchLabels[key]))",
            "selector.matchLabels must stand among the labels of the template",
            lambda workload: (
                workload.selector is None or workload.selector.match_labels.items() <= workload.template_labels.items()
            ),
        ),
    )

    @property
    def template_labels(self) -> dict[str, str]:
        """The labels that the user gave the Pods."""
        return dict((self.template.get("metadata") or {}).get("labels") or {})

    def containers(self) -> Iterator[dict[str, Any]]:
        """The template's containers, init containers first, as the user wrote them."""
        pod = self.template["spec"]
        yield from pod.get("initContainers") or ()
        yield from pod["containers"]


class Spec(Part):
    """What runs, where its image comes from, and how a new version is tried."""

    images: Annotated[tuple[ImageSpec, ...], Field(min_length=1, max_length=MAX_IMAGES), Keyed("container")]
    """The containers whose image podpin chooses, and where from. One entry for each container."""
    registry: RegistrySpec = RegistrySpec()
    """How the registry is asked."""
    suspend: bool = False
    """Leave everything as it is: look for no new version, and change nothing, until this is false again."""
    rollout: RolloutSpec = RolloutSpec()
    """When a new version counts as good."""
    rollback: RollbackSpec = RollbackSpec()
    """What follows when a new version fails."""
    workload: WorkloadSpec

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            f"self.workload.minReadySeconds == 0 || !{DURATION_CEL.format('self.rollout.progressDeadline')} || "
            "duration(self.rollout.progressDeadline).getMilliseconds() > self.workload.minReadySeconds * 1000",
            "rollout.progressDeadline must be longer than workload.minReadySeconds: no Pod could be available in time",
            lambda spec: spec.rollout.progress_deadline > timedelta(seconds=spec.workload.min_ready_seconds),
        ),
    )


class SpecInvalid(ValueError):  # noqa: N818 -- says what the spec is
    """The spec is not one that the schema would let pass; the text is one sentence for the user."""


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with a spec that the schema let pass: a reason for machines, a sentence for the user."""

    reason: str
    message: str


def parse_spec(raw: Mapping[str, Any]) -> Spec:
    """The spec that the API server hands over. Only one that was stored under an older schema can be invalid."""
    try:
        return Spec.model_validate(raw, by_alias=True, by_name=False)
    except ValidationError as error:
        raise SpecInvalid(_sentence(error)) from None


def parse_image(raw: Mapping[str, Any]) -> ImageSpec:
    """One entry of `spec.images` by itself. Raises SpecInvalid, also for what only the operator can see."""
    try:
        image = ImageSpec.model_validate(raw, by_alias=True, by_name=False)
        parse_repository(image.repository)
    except ValidationError as error:
        raise SpecInvalid(_sentence(error, "images[0]")) from None
    except ReferenceInvalid as error:
        raise SpecInvalid(f"the repository: {error}") from None
    if sentence := policy.check(image.selection):
        raise SpecInvalid(sentence)
    return image


def _sentence(error: ValidationError, root: str = "spec") -> str:
    """The first thing that is wrong: where, which value, and what to do."""
    first = error.errors(include_url=False)[0]
    path = root + "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in first["loc"])
    if first["type"] == "missing":
        return f"{path} must be given"
    value = first["input"]
    shown = f" {value!r}" if isinstance(value, str | int) and len(str(value)) <= 100 else ""
    message = "must be an object" if first["type"] == "model_type" else first["msg"]
    if first["type"] != "refused":
        message = message[:1].lower() + message[1:]
    return f"{path}{shown}: {message}"


def problem_of(spec: Spec) -> Problem | None:
    """The first thing wrong with `spec` that only the operator can see, or None."""
    return next(_problems(spec), None)


def _problems(spec: Spec) -> Iterator[Problem]:
    containers = {container["name"]: container.get("image") for container in spec.workload.containers()}
    managed = {image.container for image in spec.images}
    for image in spec.images:
        if image.container not in containers:
            yield Problem(
                "ContainerNotFound",
                f"spec.images names the container {image.container!r}, which the template does not have; "
                f"it has {', '.join(sorted(containers))}",
            )
        try:
            parse_repository(image.repository)
        except ReferenceInvalid as error:
            yield Problem("InvalidRepository", f"the repository of container {image.container!r}: {error}")
        if sentence := policy.check(image.selection):
            yield Problem("InvalidPolicy", f"the policy of container {image.container!r}: {sentence}")
    for name, written in containers.items():
        if name not in managed and (problem := _unmanaged(name, written)):
            yield problem


def _unmanaged(name: str, written: str | None) -> Problem | None:
    """What is wrong with a container whose image podpin does not choose: it too must run one exact image."""
    if not written:
        return Problem(
            "ImageMissing",
            f"container {name!r} has no image: write one in the template, or add the container to spec.images",
        )
    try:
        exact = parse_reference(written).digest is not None
    except ReferenceInvalid as error:
        return Problem("InvalidImage", f"the image of container {name!r}: {error}")
    if exact:
        return None
    return Problem(
        "ImageNotPinned",
        f"container {name!r} has the image {written!r} without a digest: add the container to spec.images, "
        "or write its image with @sha256:",
    )
