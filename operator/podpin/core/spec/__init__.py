"""What the user asks for: the `spec` of an ImageRollout.

These models are the one source of that. They parse the spec in the operator, and `podpin.crd` turns them into the
schema by which the API server refuses nonsense at `kubectl apply`. So each demand stands once, beside the field that
it is about, with the sentence that the user is to read; `podpin.core.schema` explains how. Each part of the spec has
a room of its own.

What a schema cannot judge, because it lies between two lists or in a grammar of its own, is `problem_of`: the
operator says it as `Stalled`, and does not try again until the spec changes.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import Field, ValidationError

from podpin.core import names, policy
from podpin.core.reference import ReferenceInvalid, parse_reference, parse_repository
from podpin.core.schema import DURATION_CEL, Keyed, Part, Rule
from podpin.core.spec.images import MAX_IMAGES, ImageSpec
from podpin.core.spec.registry import RegistrySpec
from podpin.core.spec.target import IN_ITS_GROUP, TargetRef
from podpin.core.spec.trial import RollbackSpec, RolloutSpec
from podpin.core.spec.update import MAX_DEPENDENCIES, DependencySpec, UpdateSpec
from podpin.core.spec.workload import WorkloadSpec
from podpin.core.windows import Window, flaw_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


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
    update: UpdateSpec = UpdateSpec()
    """When a new version may begin."""
    depends_on: Annotated[tuple[DependencySpec, ...], Field(max_length=MAX_DEPENDENCIES), Keyed("name")] = ()
    """Other rollouts of this namespace that must run what they want, healthily, before a new version begins here."""
    rollback: RollbackSpec = RollbackSpec()
    """What follows when a new version fails."""
    own: Annotated[WorkloadSpec | None, Field(alias="workload")] = None
    """The workload that podpin makes and owns. Either this or targetRef."""
    target_ref: (
        Annotated[
            TargetRef, IN_ITS_GROUP, Rule("self == oldSelf", "targetRef cannot be changed: make a new ImageRollout")
        ]
        | None
    ) = None
    """A workload that exists already and stays its author's: podpin owns the images of the named containers, and no
    other field. Either this or workload."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "has(self.workload) != has(self.targetRef)",
            "give exactly one of workload, which podpin makes, and targetRef, a workload that exists",
            lambda spec: (spec.own is None) != (spec.target_ref is None),
        ),
        Rule(
            "!has(self.targetRef) || !has(self.rollout.canary) || self.targetRef.kind == 'Deployment'",
            "rollout.canary needs workload, or the targetRef of a Deployment: beside another kind podpin makes no Pods",
            lambda spec: spec.target_ref is None or spec.rollout.canary is None or spec.target_ref.kind == "Deployment",
        ),
        Rule(
            "has(self.targetRef) == has(oldSelf.targetRef)",
            "workload and targetRef cannot take each other's place later: make a new ImageRollout",
        ),
        Rule(
            "!has(self.workload) || self.workload.minReadySeconds == 0 || "
            f"!{DURATION_CEL.format('self.rollout.progressDeadline')} || "
            "duration(self.rollout.progressDeadline).getMilliseconds() > self.workload.minReadySeconds * 1000",
            "rollout.progressDeadline must be longer than workload.minReadySeconds: no Pod could be available in time",
            lambda spec: (
                spec.own is None or spec.rollout.progress_deadline > timedelta(seconds=spec.own.min_ready_seconds)
            ),
        ),
    )

    @property
    def workload(self) -> WorkloadSpec:
        """The workload that podpin makes. To be asked only where there is no target."""
        assert self.own is not None, "the workload is somebody else's"
        return self.own

    @property
    def kind(self) -> str:
        """The kind of the workload that runs the image."""
        return self.target_ref.kind if self.target_ref else self.workload.kind

    @property
    def template(self) -> Mapping[str, Any]:
        """The Pods' template as the user wrote it here: nothing where the workload is somebody else's."""
        return self.own.template if self.own else {}

    @property
    def pins_config(self) -> bool:
        """Whether each release has copies of the ConfigMaps and Secrets that its template names."""
        return self.own is not None and self.own.pin_config

    @property
    def replicas(self) -> int | None:
        """How many Pods the user wants, or None where somebody else decides."""
        return self.own.replicas if self.own else None

    def place(self, rollout: str) -> names.Place:
        """Where the workload of a rollout of this name is."""
        target = self.target_ref
        return names.Place(self.kind, target.name if target else names.workload_name(rollout))


class SpecInvalid(ValueError):  # noqa: N818 -- says what the spec is
    """The spec is not one that the schema would let pass; the text is one sentence for the user."""


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with a spec that the schema let pass: a reason for machines, a sentence for the user."""

    reason: str
    message: str
    spec: Spec | None = None
    """The spec, where it could be read."""
    at: tuple[str | int, ...] = field(default=(), compare=False)
    """Where in the resource, for those who can point at it."""


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
    return next(problems_of(spec), None)


def _mistimed(spec: Spec) -> Iterator[Problem]:
    """What is wrong with the times at which updates may begin."""
    openings = {
        "windows": [one.opening for one in spec.update.windows],
        "freeze": [one.opening for one in spec.update.freeze],
    }
    for listed, entries in openings.items():
        for nth, opening in enumerate(entries):
            at, path = f"spec.update.{listed}[{nth}]", ("spec", "update", listed, nth)
            if isinstance(opening, Window):
                if flaw := flaw_of(opening.cron, opening.zone):
                    yield Problem("InvalidWindow", f"{at}: {flaw}", at=path)
            elif opening.start >= opening.end:
                says = f"{at}: it ends before it begins: give a later time as its end"
                yield Problem("InvalidWindow", says, at=path)


def problems_of(spec: Spec) -> Iterator[Problem]:
    """All that is wrong with `spec` that only the operator can see."""
    yield from _mistimed(spec)
    containers = {container["name"]: container.get("image") for container in spec.own.containers()} if spec.own else {}
    managed = {image.container for image in spec.images}
    for nth, image in enumerate(spec.images):
        at: tuple[str | int, ...] = ("spec", "images", nth)
        # What containers somebody else's workload has is seen when podpin looks at it.
        if spec.own is not None and image.container not in containers:
            yield Problem(
                "ContainerNotFound",
                f"spec.images names the container {image.container!r}, which the template does not have; "
                f"it has {', '.join(sorted(containers))}",
                at=(*at, "container"),
            )
        try:
            parse_repository(image.repository)
        except ReferenceInvalid as error:
            says = f"the repository of container {image.container!r}: {error}"
            yield Problem("InvalidRepository", says, at=(*at, "repository"))
        if sentence := policy.check(image.selection):
            yield Problem("InvalidPolicy", f"the policy of container {image.container!r}: {sentence}", at=at)
    for name, written in containers.items():
        if name not in managed and (problem := _unmanaged(name, written)):
            yield replace(problem, at=_place_of(spec, name))


def _place_of(spec: Spec, container: str) -> tuple[str | int, ...]:
    """Where in the resource a container of the template stands."""
    for listed in ("containers", "initContainers"):
        for nth, one in enumerate(spec.template["spec"].get(listed) or ()):
            if one["name"] == container:
                return ("spec", "workload", "template", "spec", listed, nth)
    return ()


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
