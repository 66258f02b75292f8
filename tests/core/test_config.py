"""What a template takes from ConfigMaps and Secrets, and what is said when that has changed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest
from tests.builders import at

from podpin.core.config import Moved, Reference, moved, references, suspicion
from podpin.core.times import write_time


def template(**pod: Any) -> dict[str, Any]:
    return {"spec": {"containers": [{"name": "app"}], **pod}}


def of(**container: Any) -> dict[str, Any]:
    return {"containers": [{"name": "app", **container}]}


@dataclass(frozen=True)
class Named:
    says: str
    pod: dict[str, Any] = field(default_factory=dict)
    found: tuple[Reference, ...] = ()


SETTINGS, KEY = Reference("ConfigMap", "settings"), Reference("Secret", "key")
NAMED = [
    Named("a template that names none"),
    Named("a volume of a ConfigMap", {"volumes": [{"name": "v", "configMap": {"name": "settings"}}]}, (SETTINGS,)),
    Named("a volume of a Secret", {"volumes": [{"name": "v", "secret": {"secretName": "key"}}]}, (KEY,)),
    Named(
        "a projected volume of both",
        {
            "volumes": [
                {
                    "name": "v",
                    "projected": {
                        "sources": [
                            {"secret": {"name": "key"}},
                            {"configMap": {"name": "settings"}},
                            {"serviceAccountToken": {"path": "token"}},
                        ]
                    },
                }
            ]
        },
        (SETTINGS, KEY),
    ),
    Named(
        "the whole environment of a container",
        of(envFrom=[{"configMapRef": {"name": "settings"}}, {"prefix": "K", "secretRef": {"name": "key"}}]),
        (SETTINGS, KEY),
    ),
    Named(
        "one variable of an init container",
        {
            "initContainers": [
                {
                    "name": "first",
                    "env": [
                        {"name": "A", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "a"}}},
                        {"name": "B", "valueFrom": {"secretKeyRef": {"name": "key", "key": "b"}}},
                        {"name": "C", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
                        {"name": "D", "value": "plain"},
                    ],
                }
            ]
        },
        (SETTINGS, KEY),
    ),
    Named(
        "one that may be missing",
        of(envFrom=[{"configMapRef": {"name": "settings", "optional": True}}]),
        (Reference("ConfigMap", "settings", optional=True),),
    ),
    Named(
        "one that may be missing here and not there",
        {
            **of(envFrom=[{"configMapRef": {"name": "settings", "optional": True}}]),
            "volumes": [{"name": "v", "configMap": {"name": "settings"}}],
        },
        (SETTINGS,),
    ),
    Named(
        "what the kubelet itself uses is not the containers' configuration",
        {
            "imagePullSecrets": [{"name": "pull"}],
            "volumes": [{"name": "v", "csi": {"driver": "d", "nodePublishSecretRef": {"name": "storage"}}}],
        },
    ),
    Named("odd shapes", {"containers": "odd", "initContainers": [7], "volumes": [{"configMap": [], "secret": {}}]}),
    Named("odd names", of(envFrom=[{"configMapRef": {"name": 7}}, {"secretRef": {"name": ""}}, None])),
]


@pytest.mark.parametrize("row", NAMED, ids=lambda row: row.says)
def test_references(row: Named) -> None:
    assert references(template(**row.pod)) == row.found


def test_a_template_without_a_spec_names_nothing() -> None:
    assert references({}) == ()


def managed(by: str, second: float, field: str = "f:data", **more: Any) -> dict[str, Any]:
    return {"manager": by, "time": write_time(at(second)), "fieldsV1": {field: {}}, **more}


@dataclass(frozen=True)
class Fate:
    says: str
    managers: list[Any] | None
    """None where the object is missing."""
    found: Moved | None = None
    reference: Reference = SETTINGS


MAYBE = Reference("ConfigMap", "settings", optional=True)
FATES = [
    Fate("what was changed before is what it was", [managed("helm", 9)]),
    Fate("what was changed in the same second may be what it was", [managed("helm", 10)]),
    Fate("what was changed after is not", [managed("helm", 11)], Moved(SETTINGS, "helm")),
    Fate("so is what may be missing, and is there", [managed("helm", 11)], Moved(MAYBE, "helm"), MAYBE),
    Fate("the last of them is named", [managed("helm", 30), managed("sed", 40), managed("vi", 35)], Moved(SETTINGS, "sed")),
    Fate("binary data counts", [managed("helm", 11, "f:binaryData")], Moved(SETTINGS, "helm")),
    Fate("a label is no configuration", [managed("helm", 9), managed("argocd", 30, "f:metadata")]),
    Fate("a manager without a name", [managed("", 11)], Moved(SETTINGS, "")),
    Fate("one that is missing", None, Moved(SETTINGS)),
    Fate("one that is missing and may be", None, None, MAYBE),
    Fate("one that says nothing of its managers", []),
    Fate("odd entries", [7, {"manager": 3}, {**managed("helm", 30), "time": "late"}, {**managed("helm", 30), "fieldsV1": 1}]),
]  # fmt: skip


@pytest.mark.parametrize("row", FATES, ids=lambda row: row.says)
def test_fate(row: Fate) -> None:
    metadata = None if row.managers is None else {"name": "settings", "managedFields": row.managers}
    assert moved(row.reference, metadata, at(10)) == row.found


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        pytest.param([], "", id="nothing where nothing is known"),
        pytest.param(
            [Moved(SETTINGS, "kubectl-edit")],
            "; ConfigMap settings was changed by kubectl-edit after the release had proven healthy: "
            "restore it, or roll out a version that fits",
            id="who changed it",
        ),
        pytest.param(
            [Moved(SETTINGS, ""), Moved(KEY)],
            "; Secret key is missing; ConfigMap settings was changed after the release had proven healthy: "
            "restore them, or roll out a version that fits",
            id="what is missing comes first",
        ),
        pytest.param(
            [Moved(Reference("Secret", name)) for name in "abcde"],
            "; Secret a is missing; Secret b is missing; Secret c is missing; and 2 more: "
            "restore them, or roll out a version that fits",
            id="not all of very many",
        ),
    ],
)
def test_suspicion(changes: list[Moved], said: str) -> None:
    assert suspicion(changes) == said
