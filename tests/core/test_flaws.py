"""What is said of a manifest without a cluster: the same sentences, from the same table, as the API server's."""

from __future__ import annotations

import random
from copy import deepcopy
from typing import TYPE_CHECKING, Any

import pytest
from tests.specs import BAD, REPOSITORIES, Bad, adopting, full, good

from podpin.core.flaws import flaws_of, spec_schema
from podpin.core.spec import parse_spec
from podpin.core.structure import without_nulls

if TYPE_CHECKING:
    from collections.abc import Callable


def manifest(spec: Any, **metadata: Any) -> dict[str, Any]:
    return {
        "apiVersion": "podpin.dev/v1alpha1",
        "kind": "ImageRollout",
        "metadata": {"name": "web", **metadata},
        "spec": spec,
    }


def said(body: dict[str, Any]) -> list[str]:
    return [flaw.message for flaw in flaws_of(body)]


@pytest.mark.parametrize("spec", [good(), full(), adopting()], ids=["a workload", "every field", "a target"])
def test_finds_nothing_wrong_with_a_good_one(spec: dict[str, Any]) -> None:
    assert said(manifest(spec)) == []


@pytest.mark.parametrize("repository", REPOSITORIES)
def test_every_way_to_write_a_repository_passes(repository: str) -> None:
    spec = good()
    spec["images"][0]["repository"] = repository
    assert [one for one in flaws_of(manifest(spec)) if one.reason is None] == []


@pytest.mark.parametrize("bad", BAD, ids=lambda bad: bad.name)
def test_says_what_the_api_server_says_once_for_each_place(bad: Bad) -> None:
    spec = good()
    bad.change(spec)
    flaws = flaws_of(manifest(spec))
    assert bad.says in flaws[0].message
    assert flaws[0].message.startswith(bad.at)
    assert len({flaw.at for flaw in flaws}) == len(flaws) == (2 if bad.name == "a freeze from a day" else 1)


def test_a_null_is_as_good_as_nothing() -> None:
    spec = good()
    spec["suspend"] = spec["images"][0]["policy"]["tag"] = None
    spec["workload"] |= {"replicas": None, "selector": None, "strategy": None}
    assert said(manifest(spec)) == []


UNKNOWN: tuple[tuple[str, Callable[[Any], object], str], ...] = (
    ("one letter too many", lambda spec: spec.update(suspended=True),
     'unknown field "spec.suspended"; did you mean "suspend"?'),
    ("one letter too few", lambda spec: spec["images"][0]["policy"].update(semvr={}),
     'unknown field "spec.images[0].policy.semvr"; did you mean "semver"?'),
    ("a plural", lambda spec: spec["images"][0].update(platform="linux/amd64"),
     'unknown field "spec.images[0].platform"; did you mean "platforms"?'),
    ("another case", lambda spec: spec.update(rollout={"baketime": "1m"}),
     'unknown field "spec.rollout.baketime"; did you mean "bakeTime"?'),
    ("a field in the wrong place", lambda spec: spec.update(progressDeadline="1m"),
     'unknown field "spec.progressDeadline"; it belongs under spec.rollout'),
    ("within a part of the template that podpin knows whole",
     lambda spec: spec["workload"]["template"].update(metadata={"label": {}}),
     'unknown field "spec.workload.template.metadata.label"; did you mean "labels"?'),
    ("a field that must be there", lambda spec: spec.update(imges=spec.pop("images")),
     'unknown field "spec.imges"; did you mean "images"?'),
    ("nothing like it", lambda spec: spec.update(xyzzy=1), 'unknown field "spec.xyzzy"'),
)  # fmt: skip


@pytest.mark.parametrize(("change", "says"), [row[1:] for row in UNKNOWN], ids=[row[0] for row in UNKNOWN])
def test_an_unknown_field_is_named_with_what_was_meant(change: Callable[[Any], object], says: str) -> None:
    spec = good()
    change(spec)
    assert said(manifest(spec)) == [says]


def test_fields_of_the_pod_are_not_podpins_to_know() -> None:
    spec = good()
    spec["workload"]["template"]["spec"]["nodeSelector"] = {"disk": "ssd"}
    assert said(manifest(spec)) == []


ENVELOPES: tuple[tuple[str, dict[str, Any], str], ...] = (
    ("another version", {"apiVersion": "podpin.dev/v1"},
     'no matches for kind "ImageRollout" in version "podpin.dev/v1": write podpin.dev/v1alpha1'),
    ("no spec", {"spec": None}, "spec: Required value"),
    ("a spec that is a list", {"spec": []},
     'spec: Invalid value: "array": spec in body must be of type object: "array"'),
    ("no metadata", {"metadata": None}, "metadata.name: Required value: name or generateName is required"),
    ("no name", {"metadata": {}}, "metadata.name: Required value: name or generateName is required"),
    ("a name in capitals", {"metadata": {"name": "Web"}},
     'metadata.name: Invalid value: "Web": a lowercase RFC 1123 subdomain must consist of'),
    ("a name that is too long for a label", {"metadata": {"name": "a" * 64}},
     "metadata.name must have at most 63 characters: it becomes a label of the Pods"),
    ("a namespace with a slash", {"metadata": {"name": "web", "namespace": "a/b"}},
     'metadata.namespace: Invalid value: "a/b": a lowercase RFC 1123 label must consist of'),
    ("a label that is a number", {"metadata": {"name": "web", "labels": {"tier": 1}}},
     "metadata.labels.tier: must be a text, and 1 is none: put it in quotes"),
    ("labels that are a list", {"metadata": {"name": "web", "labels": ["tier"]}},
     "metadata.labels: must be an object of keys and texts"),
    ("a misspelt field beside the spec", {"specs": {}}, 'unknown field "specs"; did you mean "spec"?'),
    ("a field of the spec beside it", {"suspend": True}, 'unknown field "suspend"; it belongs under spec'),
    ("a misspelt field of the metadata", {"metadata": {"name": "web", "label": {}}},
     'unknown field "metadata.label"; did you mean "labels"?'),
    ("a dependency on itself", {"spec": good() | {"dependsOn": [{"name": "web"}]}},
     "spec.dependsOn names the rollout itself, which would wait for ever: take that out"),
)  # fmt: skip


@pytest.mark.parametrize(("change", "says"), [row[1:] for row in ENVELOPES], ids=[row[0] for row in ENVELOPES])
def test_what_is_around_the_spec_is_judged_too(change: dict[str, Any], says: str) -> None:
    [sentence] = said(manifest(good()) | change)
    assert sentence.startswith(says)


def test_a_name_to_be_generated_is_a_name() -> None:
    body = manifest(good())
    body["metadata"] = {"generateName": "web-"}
    assert said(body) == []


def test_what_only_podpin_can_see_comes_with_its_reason_and_all_of_it() -> None:
    spec = good()
    spec["images"][0] |= {"container": "front", "policy": {"semver": {"range": "one"}}}
    spec["update"] = {"windows": [{"cron": "99 9 * * *", "duration": "1h"}]}
    flaws = flaws_of(manifest(spec))
    assert [(one.reason, one.at) for one in flaws] == [
        ("InvalidWindow", ("spec", "update", "windows", 0)),
        ("ContainerNotFound", ("spec", "images", 0, "container")),
        ("InvalidPolicy", ("spec", "images", 0)),
        ("ImageMissing", ("spec", "workload", "template", "spec", "containers", 0)),
    ]
    assert "which the template does not have; it has app" in flaws[1].message


def test_two_mistakes_bring_two_sentences() -> None:
    spec = good()
    spec["registry"] = {"interval": "5"}
    spec["suspend"] = "no"
    assert [sentence.split(":")[0] for sentence in said(manifest(spec))] == ["spec.suspend", "spec.registry.interval"]


@pytest.mark.parametrize("seed", range(200))
def test_what_is_let_pass_can_be_read_and_what_cannot_be_read_is_not_let_pass(seed: int) -> None:
    chance = random.Random(seed)
    spec = deepcopy(full())
    for _ in range(chance.randint(1, 3)):
        spoil(spec, chance)
    found = flaws_of(manifest(spec))
    if not found:
        parse_spec(without_nulls(spec_schema(), spec))
    assert all("\n" not in one.message for one in found)


def spoil(value: Any, chance: random.Random) -> None:
    """One change at random somewhere in it."""
    while True:
        key = chance.choice(sorted(value) if isinstance(value, dict) else range(len(value)))
        inner = value[key]
        if isinstance(inner, dict | list) and inner and chance.random() < 0.8:
            value = inner
            continue
        value[key] = chance.choice([None, "", "x", 0, -1, 1.5, True, [], {}, [{}], {"x": 1}, "9999999h", 10**12])
        return
