"""The ImageRollout that `podpin init` proposes for a workload that exists: YAML with a comment for each line of it.

Either it adopts the workload (`targetRef`), or it has a workload of its own with that one's template (`workload`). From
a live object come many fields that nobody wrote, only the API server's defaults: those are left out again.
"""

from __future__ import annotations

import json
import re
from collections.abc import Container, Iterable, Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

import yaml

from podpin.core import names
from podpin.core.duration import format_duration
from podpin.core.kinds import KINDS
from podpin.core.policy.guess import Guess, follow, guess, versions
from podpin.core.reading import array, mapping, number, text
from podpin.core.reference import ReferenceInvalid, parse_reference

_LISTS: Final = ("initContainers", "containers")
_COLUMN: Final = 50
"""Where comments begin, if the line is not longer."""
_RESTARTED: Final = "kubectl.kubernetes.io/restartedAt"

_PROBE: Final = {"failureThreshold": 3, "periodSeconds": 10, "successThreshold": 1, "timeoutSeconds": 1}
_DEFAULTS: Final[Mapping[str, Any]] = {
    "pod": {
        "dnsPolicy": "ClusterFirst",
        "restartPolicy": "Always",
        "schedulerName": "default-scheduler",
        "securityContext": {},
        "terminationGracePeriodSeconds": 30,
    },
    "container": {
        "resources": {},
        "terminationMessagePath": "/dev/termination-log",
        "terminationMessagePolicy": "File",
    },
}
_ROLLING: Final = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}}
_DEADLINE: Final = 600
_MODE: Final = 0o644
_LONGEST: Final = timedelta(hours=24)


class NotProposable(ValueError):  # noqa: N818 -- names what the workload is
    """There is no ImageRollout for this; the text is one sentence for the user."""


@dataclass(frozen=True, slots=True)
class Wishes:
    """What somebody asks of the proposal."""

    adopt: bool = False
    """By targetRef, and not by a workload of its own."""
    name: str | None = None
    """The ImageRollout's name; left out, the workload's."""
    policy: str | None = None
    """The name of a policy, or with its value, as in `semver=^1.4`; left out, it is guessed from each tag."""
    containers: tuple[str, ...] = ()
    """The containers whose image podpin is to choose; left out, all whose image is not exact already."""

    def adopts(self, kind: str) -> bool:
        """Whether a workload of this kind is adopted: whatever is asked, podpin makes nothing but Deployments of it."""
        return self.adopt or kind != "Deployment"


@dataclass(frozen=True, slots=True)
class _Line:
    """One line of YAML, and what is said of it."""

    written: str
    comment: str = ""

    def __str__(self) -> str:
        if not self.comment:
            return self.written
        gap = " " * max(_COLUMN - len(self.written), 2) if self.written else ""
        return f"{self.written}{gap}# {self.comment}"


def propose(workload: Mapping[str, Any], wishes: Wishes) -> str:
    """The manifest as text. Raises NotProposable."""
    kind, metadata = text(workload.get("kind")), mapping(workload.get("metadata"))
    _insist_on_a_kind(kind, text(workload.get("apiVersion")))
    _insist_on_nobody_else(kind, metadata)
    adopts = wishes.adopts(kind)
    template = mapping(KINDS[kind].template_of(workload))
    containers = dict(_containers(template))
    if not containers:
        raise NotProposable(f"the {kind} {metadata.get('name')} has no containers: is it a whole manifest?")
    managed = _managed(containers, wishes, adopts=adopts)
    name = wishes.name or text(metadata.get("name"))
    lines = [
        *_heading(kind, metadata, name, wishes),
        _Line(f"apiVersion: {names.API_VERSION}"),
        _Line(f"kind: {names.KIND}"),
        _Line("metadata:"),
        _Line(f"  name: {_scalar(name)}"),
    ]
    if namespace := text(metadata.get("namespace")):
        lines.append(_Line(f"  namespace: {_scalar(namespace)}"))
    lines += [_Line("spec:"), _Line("  images:", "the containers whose image podpin chooses")]
    for container in managed:
        lines += _image(container, containers[container], wishes)
    lines += _trying(workload)
    lines += _target(kind, metadata) if adopts else _workload(workload, template, managed)
    return "".join(f"{line}\n" for line in lines)


def _insist_on_a_kind(kind: str, version: str) -> None:
    if kind not in KINDS:
        there = ", ".join(KINDS)
        what = kind or "thing without a kind"
        raise NotProposable(f"a {what} rolls nothing out: podpin adopts one of {there}")
    if version != KINDS[kind].api_version:
        raise NotProposable(
            f"the {kind} has the apiVersion {version!r}; podpin knows that of {KINDS[kind].api_version}"
        )


def _insist_on_nobody_else(kind: str, metadata: Mapping[str, Any]) -> None:
    name = metadata.get("name")
    if not isinstance(name, str):
        raise NotProposable(f"the {kind} has no name")
    for owner in map(mapping, array(metadata.get("ownerReferences"))):
        if owner.get("controller") is True:
            raise NotProposable(
                f"the {kind} {name} is controlled by the {owner.get('kind')} {owner.get('name')}, "
                "which would write its images too"
            )
    if mine := mapping(metadata.get("labels")).get(names.LABEL_ROLLOUT):
        raise NotProposable(f"the {kind} {name} has an {names.KIND} already: {mine}")


def _containers(template: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Every container with its image, those first that the workload is about."""
    pod = mapping(template.get("spec"))
    for listed in reversed(_LISTS):
        for one in map(mapping, array(pod.get(listed))):
            yield text(one.get("name")), text(one.get("image"))


def _managed(containers: Mapping[str, str], wishes: Wishes, *, adopts: bool) -> list[str]:
    for name in wishes.containers:
        if name not in containers:
            raise NotProposable(f"there is no container {name!r}; there are {', '.join(sorted(containers))}")
    loose = [name for name, image in containers.items() if not _is_exact(image)]
    if wishes.containers:
        left = [name for name in loose if name not in wishes.containers]
        if left and not adopts:
            raise NotProposable(
                f"the image of container {left[0]!r} has no digest: let podpin choose it too, or write it with @sha256:"
            )
        return [name for name in containers if name in wishes.containers]
    return loose or [next(iter(containers))]


def _is_exact(image: str) -> bool:
    try:
        return parse_reference(image).digest is not None
    except ReferenceInvalid:
        return False


def _heading(kind: str, metadata: Mapping[str, Any], name: str, wishes: Wishes) -> Iterator[_Line]:
    was = text(metadata.get("name"))
    where = "/".join(filter(None, (text(metadata.get("namespace")), was)))
    told = [f"Proposed by podpin init for the {kind} {where}. Nothing happens before it is applied."]
    if wishes.adopts(kind):
        if not wishes.adopt:
            told.append(f"podpin makes no {kind} of its own, but it can adopt this one.")
        told += [
            f"It takes over the images of those containers of the {kind} that are named below, and nothing else.",
            "Leave these images out of the manifest that you keep of it: docs/adoption.md says why.",
        ]
    elif name == was:
        told += [
            f"podpin makes a Deployment {name} of its own, and takes over none that exists. Delete that one before, by",
            f"kubectl delete deployment {name} --cascade=orphan: its Pods go on serving. When the new ones are ready,",
            "delete its ReplicaSet. With --adopt podpin would take over the images of what exists, and nothing else.",
        ]
    else:
        told += [
            f"podpin makes a Deployment {name} of its own beside {was}: delete that one once the new Pods are ready.",
            "A Service whose labels select both sends its requests to both meanwhile.",
        ]
    yield from (_Line("", one) for one in told)


def _image(container: str, image: str, wishes: Wishes) -> Iterator[_Line]:
    repository, tag, digest = _named(container, image)
    found = _wished(wishes.policy, tag, digest) if wishes.policy else guess(tag, digest)
    runs = tag or digest or "latest, for its image names no tag"
    yield _Line(f"  - container: {_scalar(container)}")
    yield _Line(f"    repository: {_scalar(repository)}", f"where it is looked for; now it is {runs}")
    yield _Line("    policy:")
    [(kind, fields)] = found.policy.items()
    if not fields:
        yield _Line(f"      {kind}: {{}}", found.why)
    else:
        [(field, value)] = fields.items()
        yield _Line(f"      {kind}:")
        yield _Line(f"        {field}: {_scalar(value)}", found.why)
    if found.tags:
        yield _Line("    tags:", f"only {found.kept}")
        for field, value in found.tags.items():
            yield _Line(f"      {field}: {_scalar(value)}", _ABOUT_TAGS.get(field, ""))


_ABOUT_TAGS: Final = {
    "extract": "what the policy reads of a tag",
    "limit": "how many tags are looked into, the last by their characters",
}


def _named(container: str, image: str) -> tuple[str, str | None, str | None]:
    """Repository, tag and digest, the repository as it is written."""
    if not image:
        raise NotProposable(f"container {container!r} has no image, which would say where podpin finds one")
    try:
        reference = parse_reference(image)
    except ReferenceInvalid as error:
        raise NotProposable(f"the image of container {container!r}: {error}") from None
    name = image.partition("@")[0]
    return name.removesuffix(f":{reference.tag}") if reference.tag else name, reference.tag, reference.digest


def _wished(policy: str, tag: str | None, digest: str | None) -> Guess:
    """The policy that was asked for, with what the tag gives for the rest of it."""
    kind, given, value = policy.partition("=")
    guessed = guess(tag, digest)
    if not given and guessed.kind == kind:
        return guessed
    match kind:
        case "semver":
            found = versions(tag) if tag else None
            if not value and found is None:
                raise NotProposable(f"the tag {tag!r} is no version to begin with: write --policy semver=RANGE")
            if not value and found is not None:
                return found
            kept = found or Guess({}, "")
            return Guess({"semver": {"range": value}}, "the highest version in the range", kept.tags, kept.kept)
        case "tag":
            return follow(value or tag or "latest")
        case "digest":
            if not (value or digest):
                raise NotProposable("the image names no digest: write --policy digest=sha256:…")
            return Guess({"digest": {"value": value or digest}}, "exactly this image, for good")
        case "numeric" | "alphabetical":
            order = value or "asc"
            why = {"numeric": "number", "alphabetical": "tag by its characters"}[kind]
            return Guess({kind: {"order": order}}, f"the {'lowest' if order == 'desc' else 'highest'} {why}")
        case "newest":
            return Guess({"newest": {}}, "the image that was built last")
        case _:
            raise NotProposable(f"there is no policy {kind!r}")


def _trying(workload: Mapping[str, Any]) -> Iterator[_Line]:
    if workload["kind"] == "CronJob":
        return  # its releases are not judged
    seconds = number(mapping(workload.get("spec")).get("progressDeadlineSeconds"), otherwise=_DEADLINE)
    yield _Line("  rollout:")
    deadline = format_duration(min(timedelta(seconds=seconds), _LONGEST))
    yield _Line(f"    progressDeadline: {deadline}", "a new version that makes no progress for so long is rejected")
    yield _Line("    bakeTime: 30s", "how long all its Pods must stay ready before it is stable")


def _target(kind: str, metadata: Mapping[str, Any]) -> Iterator[_Line]:
    yield _Line("  targetRef:", "the workload that is adopted")
    yield _Line(f"    apiVersion: {KINDS[kind].api_version}")
    yield _Line(f"    kind: {kind}")
    yield _Line(f"    name: {_scalar(metadata['name'])}")


def _workload(workload: Mapping[str, Any], template: Mapping[str, Any], managed: Iterable[str]) -> Iterator[_Line]:
    spec = mapping(workload.get("spec"))
    yield _Line("  workload:", "the Deployment that podpin makes, under the rollout's name")
    yield _Line("    kind: Deployment")
    replicas = number(spec.get("replicas"), otherwise=1)
    yield _Line(f"    replicas: {replicas}", "leave it out where an autoscaler scales the Deployment")
    strategy = mapping(spec.get("strategy"))
    if strategy and strategy != _ROLLING:
        yield _Line("    strategy:", "as it was")
        yield from _dumped(strategy, "      ")
    if ready := number(spec.get("minReadySeconds")):
        yield _Line(f"    minReadySeconds: {ready}")
    kept = list(managed)
    yield _Line("    template:", f"as it was, without the images of {', '.join(kept)}")
    yield from _dumped(_bare(template, kept), "      ")


def _bare(template: Mapping[str, Any], managed: Container[str]) -> dict[str, Any]:
    """The template without managed images, and without what the API server and podpin add by themselves."""
    body = deepcopy(dict(template))
    metadata = mapping(body.get("metadata"))
    kept: dict[str, Any] = {}
    for field in ("labels", "annotations"):
        pairs = {
            key: value
            for key, value in mapping(metadata.get(field)).items()
            if not key.startswith(f"{names.GROUP}/") and key != _RESTARTED
        }
        kept |= {field: pairs} if pairs else {}
    pod = _without(dict(mapping(body.get("spec"))), _DEFAULTS["pod"])
    if pod.get("serviceAccount") == pod.get("serviceAccountName"):
        pod.pop("serviceAccount", None)
    for source in (inner for one in map(mapping, array(pod.get("volumes"))) for inner in one.values()):
        if isinstance(source, dict) and source.get("defaultMode") == _MODE:
            del source["defaultMode"]
    for listed in _LISTS:
        if pod.get(listed):
            pod[listed] = [_container(dict(mapping(one)), managed) for one in array(pod[listed])]
    return {**({"metadata": kept} if kept else {}), "spec": pod}


def _container(container: dict[str, Any], managed: Container[str]) -> dict[str, Any]:
    image = text(container.get("image"))
    if container.get("name") in managed:
        container.pop("image", None)
    container = _without(container, _DEFAULTS["container"])
    usual = "Always" if image.endswith(":latest") or ":" not in image.rpartition("/")[2] else "IfNotPresent"
    if container.get("imagePullPolicy") == usual:
        del container["imagePullPolicy"]
    for probe in ("livenessProbe", "readinessProbe", "startupProbe"):
        if isinstance(container.get(probe), dict):
            container[probe] = _without(container[probe], _PROBE)
            if isinstance(container[probe].get("httpGet"), dict):
                container[probe]["httpGet"] = _without(container[probe]["httpGet"], {"scheme": "HTTP"})
    if isinstance(container.get("ports"), list):
        container["ports"] = [_without(dict(mapping(port)), {"protocol": "TCP"}) for port in container["ports"]]
    return container


def _without(fields: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """The fields that say something: neither nothing, nor what would be so anyway."""
    return {
        name: value
        for name, value in fields.items()
        if value is not None and not (name in defaults and defaults[name] == value)
    }


def _dumped(value: Mapping[str, Any], indent: str) -> Iterator[_Line]:
    for line in yaml.safe_dump(dict(value), sort_keys=False, width=1000, allow_unicode=True).splitlines():
        yield _Line(f"{indent}{line}" if line else "")


_PLAIN: Final = re.compile(
    r"(?!(?:y|n|yes|no|on|off|true|false|null)$)[a-z][a-z0-9._/-]*(?::[0-9]+[a-z0-9._/-]*)?", re.IGNORECASE | re.ASCII
)


def _scalar(value: Any) -> str:
    """A value in YAML: a text in quotes where it needs them, in single ones where that spares backslashes."""
    if not isinstance(value, str):
        return json.dumps(value)
    if _PLAIN.fullmatch(value):
        return value
    return f"'{value}'" if "\\" in value and "'" not in value else json.dumps(value, ensure_ascii=False)
