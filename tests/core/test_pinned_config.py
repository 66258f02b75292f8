"""What copies of configuration are called and contain, and where a template names them."""

from __future__ import annotations

import base64
import copy
import json
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.builders import UID, images, raw_spec

from podpin.core import pinned_config
from podpin.core.config import references
from podpin.core.names import Key
from podpin.core.pinned_config import (
    MOST_REFERENCES,
    Contents,
    Copy,
    changed,
    copy_of,
    is_faithful,
    is_owned,
    key_in,
    key_manifest,
    manifest_of,
    size_of,
    too_many,
    with_copies,
)
from podpin.core.release import record_manifest, record_of, release_from_record, release_of, spec_hash_of, unjudged
from podpin.core.spec import parse_spec
from podpin.core.workload import owner_reference

WEB = Key("shop", "web")
SECRET = bytes(range(32))
RAW = {"metadata": {"name": "settings", "resourceVersion": "7"}, "data": {"a": "1", "b": "2"}}
SETTINGS, LOGIN = Copy("ConfigMap", "settings", "web-settings-0"), Copy("Secret", "login", "web-login-0")


def named(of: str = "settings", rollout: str = "web", key: bytes = SECRET, kind: str = "ConfigMap", **raw: Any) -> str:
    found = copy_of(rollout, key, kind, of, {**RAW, **raw})
    assert found is not None
    return found.name


def test_a_name_does_not_move_with_podpin_s_version() -> None:
    """Were it another one day, whatever pins its configuration would roll out anew. Never change this word."""
    assert named() == "web-settings-170403d3193e503f"


@dataclass(frozen=True)
class Name:
    says: str
    other: str
    same: bool = False


NAMES = [
    Name("of one that was labelled since", named(metadata={"name": "settings", "labels": {"a": "b"}}), same=True),
    Name("with its fields in another order", named(data={"b": "2", "a": "1"}), same=True),
    Name("with no binary data at all", named(binaryData=None), same=True),
    Name("with another value", named(data={"a": "1", "b": "3"})),
    Name("with a key less", named(data={"a": "1"})),
    Name("with nothing in it", named(data=None)),
    Name("with binary data besides", named(binaryData={"c": "AA=="})),
    Name("under another key", named(key=bytes(32))),
    Name("of a Secret", named(kind="Secret")),
    Name("of another object with the same in it", named(of="others").replace("others", "settings")),
]


@pytest.mark.parametrize("row", NAMES, ids=lambda row: row.says)
def test_a_copy_s_name_tells_what_is_in_it(row: Name) -> None:
    assert (row.other == named()) is row.same


@pytest.mark.parametrize("of", ["s" * 253, "a." * 120 + "a", "x" * 231 + ".y"], ids=["long", "dotted", "cut at a dot"])
def test_a_name_is_one_that_kubernetes_takes(of: str) -> None:
    name = named(of)
    assert len(name) <= 253
    assert all(part and part[0].isalnum() and part[-1].isalnum() for part in name.split("."))


@pytest.mark.parametrize("kind", ["kubernetes.io/service-account-token", "bootstrap.kubernetes.io/token"])
def test_credentials_of_the_cluster_are_not_copied(kind: str) -> None:
    assert copy_of("web", SECRET, "Secret", "login", {"type": kind}) is None


def test_a_copy_has_the_contents_and_the_type_and_nothing_else_of_the_original() -> None:
    metadata = {"name": "login", "labels": {"team": "shop"}, "annotations": {"note": "x"}, "finalizers": ["f"]}
    raw = {"kind": "Secret", "type": "example.com/login", "metadata": metadata, "data": {"password": "cGFzcw=="}}
    assert manifest_of(WEB, UID, LOGIN, raw) == {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": "web-login-0",
            "namespace": "shop",
            "labels": {"podpin.dev/rollout": "web", "app.kubernetes.io/managed-by": "podpin"},
            "annotations": {"podpin.dev/copy-of": "login"},
            "ownerReferences": [
                {"apiVersion": "podpin.dev/v1alpha1", "kind": "ImageRollout", "name": "web", "uid": UID}
            ],
        },
        "immutable": True,
        "type": "example.com/login",
        "data": {"password": "cGFzcw=="},
    }


def test_a_copy_is_faithful_as_long_as_nobody_makes_another_of_its_name() -> None:
    one = copy_of("web", SECRET, "ConfigMap", "settings", RAW)
    assert one is not None
    made = manifest_of(WEB, UID, one, RAW)
    assert is_faithful(SECRET, one, made)
    assert not is_faithful(SECRET, one, {**made, "data": {"a": "theirs"}})
    assert not is_faithful(SECRET, one, {**made, "immutable": False})
    assert is_owned(WEB, UID, made["metadata"])
    assert not is_owned(WEB, "another", made["metadata"])
    assert not is_owned(WEB, UID, {**made["metadata"], "labels": {"podpin.dev/rollout": "web"}})
    assert not is_owned(WEB, UID, {**made["metadata"], "ownerReferences": "odd"})


def test_the_key_is_read_back_from_its_secret() -> None:
    made = key_manifest(WEB, UID, SECRET)
    assert made["metadata"]["name"].startswith("web-config-key-")
    assert made["immutable"] is True
    assert key_in(WEB, UID, made) == SECRET
    assert key_manifest(WEB, "another", SECRET)["metadata"]["name"] != made["metadata"]["name"]


@pytest.mark.parametrize("data", [None, {}, {"key": "AAAA"}, {"key": "?"}, {"key": 7}, {"other": "AAAA"}], ids=str)
def test_a_key_that_is_spoilt_is_none(data: Any) -> None:
    assert key_in(WEB, UID, {**key_manifest(WEB, UID, SECRET), "data": data}) is None


def test_a_key_that_somebody_else_has_planted_is_none() -> None:
    planted = {"metadata": {"name": "x"}, "data": {"key": base64.b64encode(SECRET).decode()}}
    assert key_in(WEB, UID, planted) is None


EVERYWHERE: dict[str, Any] = {
    "spec": {
        "imagePullSecrets": [{"name": "login"}],
        "containers": [
            {
                "name": "app",
                "envFrom": [{"configMapRef": {"name": "settings"}}, {"secretRef": {"name": "login"}}],
                "env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "login", "key": "password"}}}],
            }
        ],
        "initContainers": [
            {"name": "a", "env": [{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "a"}}}]}
        ],
        "volumes": [
            {"name": "a", "configMap": {"name": "settings"}},
            {"name": "b", "secret": {"secretName": "login"}},
            {
                "name": "c",
                "projected": {"sources": [{"configMap": {"name": "settings"}}, {"secret": {"name": "login"}}]},
            },
            {"name": "d", "csi": {"driver": "d", "nodePublishSecretRef": {"name": "login"}}},
        ],
    }
}


def test_a_template_names_the_copies_wherever_it_named_the_originals_and_the_kubelet_s_own_stay() -> None:
    before = copy.deepcopy(EVERYWHERE)
    there = with_copies(EVERYWHERE, (SETTINGS, LOGIN))
    assert before == EVERYWHERE, "the user's own is not changed"
    assert [one.name for one in references(there)] == ["web-settings-0", "web-login-0"]
    assert json.dumps(there).count('"login"') == 2
    assert there["spec"]["imagePullSecrets"] == [{"name": "login"}]


def test_what_has_no_copy_stays_named_as_it_is() -> None:
    there = with_copies(EVERYWHERE, (LOGIN,))
    assert [one.name for one in references(there)] == ["settings", "web-login-0"]
    assert with_copies(EVERYWHERE, ()) == EVERYWHERE


def test_one_name_of_a_configmap_and_a_secret_are_two_things() -> None:
    template = {"spec": {"containers": [{"name": "a", "envFrom": [{"configMapRef": {"name": "login"}}]}]}}
    assert with_copies(template, (LOGIN,)) == template


odd = st.recursive(
    st.none() | st.booleans() | st.integers() | st.sampled_from(["settings", "login", ""]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["spec", "containers", "volumes", "envFrom", "configMapRef", "secret", "secretName", "name"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=20,
)


@given(st.dictionaries(st.sampled_from(["spec", "metadata"]), odd, max_size=2))
def test_a_template_of_any_shape_names_no_original_any_more(template: dict[str, Any]) -> None:
    there = {(one.kind, one.of): one.name for one in (SETTINGS, LOGIN)}
    wanted = {(one.kind, there.get((one.kind, one.name), one.name)) for one in references(template)}
    assert {(one.kind, one.name) for one in references(with_copies(template, (SETTINGS, LOGIN)))} == wanted


# --- releases


def wish(*, pin: bool = True) -> Any:
    return parse_spec(raw_spec(template=EVERYWHERE, workload={"pinConfig": pin}))


def test_other_contents_are_another_release_of_the_same_spec() -> None:
    one = release_of(wish(), images("a"), Contents((SETTINGS, LOGIN)))
    other = release_of(wish(), images("a"), Contents((SETTINGS._replace(name="web-settings-1"), LOGIN)))
    assert one.id != other.id
    assert one.spec_hash == other.spec_hash == spec_hash_of(wish())


def test_where_nothing_is_pinned_the_release_is_what_it_was() -> None:
    plain = parse_spec(raw_spec(template=EVERYWHERE))
    assert release_of(wish(pin=False), images("a")) == release_of(plain, images("a"))
    assert release_of(wish(), images("a"), Contents()).id == release_of(plain, images("a")).id
    assert spec_hash_of(wish()) != spec_hash_of(plain)


def test_what_is_missing_of_the_copies_makes_no_difference_to_the_release() -> None:
    assert release_of(wish(), images("a"), Contents((LOGIN,), (LOGIN,))) == release_of(
        wish(), images("a"), Contents((LOGIN,))
    )


def test_a_record_says_which_copies_its_release_has() -> None:
    release = release_of(wish(), images("a"), Contents((SETTINGS, LOGIN)))
    body = record_manifest("web", "shop", owner_reference("web", UID), release, unjudged(release))
    body = json.loads(json.dumps(body))
    record = record_of(body["metadata"])
    assert record is not None
    assert record.copies == release.copies
    assert release_from_record(body["metadata"], body["data"]) == release


@pytest.mark.parametrize(
    "noted",
    [
        None, "", "{", "7", '{"a": 1}', '["ConfigMap"]', '[["Pod", "a", "b"]]', '[["ConfigMap", "a", 7]]',
        '[["ConfigMap", "../a", "b"]]', '[["ConfigMap", "a", "b", "c"]]', '[[["ConfigMap"], "a", "b"]]',
    ],
    ids=str,
)  # fmt: skip
def test_a_note_that_is_spoilt_names_nothing(noted: Any) -> None:
    assert pinned_config.read(noted) == ()


def test_the_first_note_stays_readable_for_every_later_podpin() -> None:
    assert pinned_config.read('[["ConfigMap", "settings", "web-settings-0"]]') == (SETTINGS,)


# --- words and bounds


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ((), (), ""),
        ((SETTINGS,), (SETTINGS,), ""),
        ((), (SETTINGS,), ""),
        ((SETTINGS,), (SETTINGS._replace(name="x"),), ", with another ConfigMap settings"),
        (
            (SETTINGS, LOGIN),
            (SETTINGS._replace(name="x"), LOGIN._replace(name="y")),
            ", with another ConfigMap settings, Secret login",
        ),
    ],
)
def test_what_is_other_is_told_by_the_names_of_the_originals(
    old: tuple[Copy, ...], new: tuple[Copy, ...], told: str
) -> None:
    assert changed(old, new) == told


def test_the_length_counts_names_and_values_in_bytes() -> None:
    assert size_of({"data": {"a": "ü"}, "binaryData": {"bb": "AAAA"}}) == 1 + 2 + 2 + 4
    assert size_of({"data": None}) == 0


def test_more_objects_than_are_copied_are_counted_to_the_user() -> None:
    names = [{"configMapRef": {"name": f"c{nth}"}} for nth in range(MOST_REFERENCES + 1)]
    template = {"spec": {"containers": [{"name": "app", "envFrom": names}]}}
    assert "names 33 ConfigMaps and Secrets, and workload.pinConfig copies 32" in too_many(references(template))
    template["spec"]["containers"][0]["envFrom"] = names[1:]
    assert too_many(references(template)) == ""
