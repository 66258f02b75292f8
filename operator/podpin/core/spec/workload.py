"""What runs the image: `spec.workload`, a workload that podpin makes and owns."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final, Literal

from pydantic import Field

from podpin.core.schema import OPEN, Keyed, Part, Rule, Shaped
from podpin.core.spec.grammars import MAX_LABEL_KEY, RESERVED_PREFIX, AccountName, DnsLabel, DnsSubdomain

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_CONTAINERS: Final = 64


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

    kind: Annotated[
        Literal["Deployment", "Pods"], Rule("self == oldSelf", "kind cannot be changed: make a new ImageRollout")
    ]
    """The kind of the workload: a Deployment, or Pods that podpin makes and replaces itself."""
    replicas: Annotated[int, Field(ge=0, le=2**31 - 1, json_schema_extra={"format": "int32"})] | None = None
    """How many Pods to run. With kind Deployment, leave it out when an autoscaler decides; podpin then never sets it.
    With kind Pods it must be there: an autoscaler of the ImageRollout changes it."""
    strategy: Annotated[dict[str, Any], Shaped(_Strategy)] | None = None
    """How new Pods take the place of old ones, as in a Deployment. Left out, no Pod is stopped before its successor is
    ready."""
    in_place: bool = False
    """With kind Pods: where a new version changes nothing but images, change those of the running Pods, which keep
    node, address and volumes. One Pod, or maxUnavailable, is out of service at a time, while its containers restart."""
    pin_config: bool = False
    """Copy the ConfigMaps and Secrets that the template names, for each release: other contents make a new release,
    which is tried and rolled back as one. podpin needs more rights for it, which manifests/pin-config.yaml gives."""
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
            "!self.inPlace || (self.kind == 'Pods' && (!has(self.strategy) || !has(self.strategy.type) || "
            "self.strategy.type != 'Recreate'))",
            "inPlace needs kind Pods, and has no meaning with the strategy Recreate: leave it out",
            lambda workload: (
                not workload.in_place
                or (workload.kind == "Pods" and (workload.strategy or {}).get("type") != "Recreate")
            ),
        ),
        # The scale subresource answers with an error where the field is not there, and no autoscaler could begin.
        Rule(
            "self.kind != 'Pods' || has(self.replicas)",
            "kind Pods needs replicas: write how many Pods to begin with, and let an autoscaler change it",
            lambda workload: workload.kind != "Pods" or workload.replicas is not None,
        ),
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
