"""What is seen of ImageRollouts only when several manifests lie side by side: in a file, a directory, a repository.

Circles of `dependsOn`, two of one name, two for one workload, a container that the workload named by `targetRef` lacks,
a Deployment that stands where podpin would make one. And what is legal and unwise, as the documents say it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from podpin.core import names
from podpin.core.dependencies import circle_of
from podpin.core.flaws import is_rollout, spec_in
from podpin.core.kinds import KINDS
from podpin.core.reading import array, mapping
from podpin.core.reference import ReferenceInvalid, parse_reference
from podpin.core.spec import Spec
from podpin.core.structure import Flaw


@dataclass(frozen=True, slots=True)
class Placed:
    """A manifest's namespace and name. Where it gives no namespace, that is whichever is current: one for all such."""

    namespace: str
    name: str


def placed(body: Mapping[str, Any]) -> Placed:
    """Where a manifest says that its object is."""
    metadata = mapping(body.get("metadata"))
    return Placed(str(metadata.get("namespace") or ""), str(metadata.get("name") or ""))


@dataclass(frozen=True, slots=True)
class Manifest:
    """A document, and the file that it is from."""

    source: str
    body: Mapping[str, Any]


def flaws_among(manifests: Sequence[Manifest]) -> Iterator[tuple[int, Flaw]]:
    """What is wrong between manifests, and unwise in them: the place of the manifest in the list, and the flaw.

    An ImageRollout whose spec can't be read is passed over. Files that each have one of the same name are variants of
    it, such as one for each cluster: each is seen with what is in its own file first.
    """
    seen = _Seen(manifests)
    taken: dict[tuple[str, names.Place], str] = {}
    known: set[tuple[str, Placed]] = set()
    for nth, one in enumerate(manifests):
        spec = spec_in(one.body) if is_rollout(one.body) else None
        if spec is None:
            continue
        me = placed(one.body)
        if (one.source, me) in known:
            told = f"a second {names.KIND} is called {me.name}, and the later one would take the place of the other"
            yield nth, Flaw(("metadata", "name"), f"{told}: give one of them another name")
        known.add((one.source, me))
        place = spec.place(me.name)
        other = taken.setdefault((me.namespace, place), me.name)
        if other != me.name:
            told = f"the {place} has the {names.KIND} {other} already, and a workload can have one only"
            at = ("spec", "targetRef") if spec.target_ref else ("metadata", "name")
            yield nth, Flaw(at, f"{told}: put all containers into the spec.images of one of them", "WorkloadConflict")
        if circle := circle_of(me.name, seen.beside(one.source, me.namespace)):
            yield nth, Flaw(("spec", "dependsOn"), circle)
        workload = seen.find(place.kind, Placed(me.namespace, place.name), one.source)
        yield from ((nth, flaw) for flaw in _beside(spec, place, workload))
        yield from ((nth, flaw) for flaw in _unwise(spec))
        yield from ((nth, flaw) for flaw in _raced(spec, seen.beside(one.source, me.namespace)))
        yield from ((nth, flaw) for flaw in _scaled(spec, place, me, manifests))


class _Seen:
    """All manifests, by kind, namespace and name."""

    def __init__(self, manifests: Iterable[Manifest]) -> None:
        self._all: dict[tuple[str, Placed], dict[str, Mapping[str, Any]]] = {}
        for one in manifests:
            if is_rollout(one.body) and spec_in(one.body) is None:
                continue
            self._all.setdefault((str(one.body.get("kind")), placed(one.body)), {})[one.source] = one.body

    def find(self, kind: str, place: Placed, source: str) -> Mapping[str, Any] | None:
        """The manifest of that name: that of the same file, where there is one."""
        there = self._all.get((kind, place), {})
        return there.get(source) or next(iter(there.values()), None)

    def beside(self, source: str, namespace: str) -> Callable[[str], Mapping[str, Any] | None]:
        """What finds ImageRollouts of the same namespace by their names."""
        return lambda name: self.find(names.KIND, Placed(namespace, name), source)


def _beside(spec: Spec, place: names.Place, workload: Mapping[str, Any] | None) -> Iterator[Flaw]:
    """Between a rollout and the manifest of a workload where its own is, or is to be."""
    if workload is None:
        return
    if spec.target_ref is None:
        told = f"a {place} is given too, and podpin does not take over what it has not made"
        yield Flaw(("spec", "workload"), f"{told}: leave that out, or name it by spec.targetRef", "WorkloadConflict")
        return
    pod = mapping(KINDS[place.kind].template_of(workload).get("spec"))
    images = {
        str(one.get("name")): one.get("image")
        for listed in ("containers", "initContainers")
        for one in map(mapping, array(pod.get(listed)))
    }
    for nth, image in enumerate(spec.images):
        if image.container not in images:
            told = f"spec.images names the container {image.container!r}, which the {place} does not have"
            at = ("spec", "images", nth, "container")
            yield Flaw(at, f"{told}; it has {', '.join(sorted(images)) or 'none'}", "ContainerNotFound")
        elif _is_loose(images[image.container]):
            told = f"the manifest of the {place} has an image for container {image.container!r}"
            yield _warning(
                ("spec", "images", nth, "container"),
                f"{told}: leave it out there, for each kubectl apply would put it back and podpin would correct it",
            )


def _is_loose(image: Any) -> bool:
    """Whether a manifest has an image there that is not one exact one."""
    try:
        return isinstance(image, str) and parse_reference(image).digest is None
    except ReferenceInvalid:
        return True


def _unwise(spec: Spec) -> Iterator[Flaw]:
    if spec.own is None:
        return
    managed = {image.container for image in spec.images}
    for nth, container in enumerate(spec.template["spec"]["containers"]):
        if container["name"] in managed and not container.get("readinessProbe"):
            yield _warning(
                ("spec", "workload", "template", "spec", "containers", nth),
                f"container {container['name']!r} has no readinessProbe: without one Kubernetes calls a Pod ready as "
                "soon as it has started, and podpin can only wait for it to crash",
            )


def _raced(spec: Spec, find: Callable[[str], Mapping[str, Any] | None]) -> Iterator[Flaw]:
    """A rollout that waits for another one, and follows the same tags as that one."""
    mine = {(one.repository, one.selection) for one in spec.images if one.policy.digest is None}
    for nth, dependency in enumerate(spec.depends_on):
        other = spec_in(find(dependency.name) or {})
        if other and any((one.repository, one.selection) in mine for one in other.images):
            yield _warning(
                ("spec", "dependsOn", nth),
                f"it waits for {dependency.name} and follows the same tags, and podpin may see a new version here "
                f"before it sees it there: take by the policy promote what {dependency.name} has proven",
            )


def _scaled(spec: Spec, place: names.Place, me: Placed, manifests: Iterable[Manifest]) -> Iterator[Flaw]:
    """A number of replicas where an autoscaler is given that sets it too."""
    if spec.own is None or spec.own.kind != "Deployment" or spec.own.replicas is None:
        return
    for body in (one.body for one in manifests):
        target = mapping(mapping(body.get("spec")).get("scaleTargetRef"))
        if (
            body.get("kind") == "HorizontalPodAutoscaler"
            and placed(body).namespace == me.namespace
            and (target.get("kind"), target.get("name")) == place
        ):
            yield _warning(
                ("spec", "workload", "replicas"),
                f"the HorizontalPodAutoscaler {placed(body).name} scales the {place}: "
                "leave replicas out, for podpin would set it back",
            )


def _warning(at: tuple[str | int, ...], message: str) -> Flaw:
    return Flaw(at, message, is_error=False)
