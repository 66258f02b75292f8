"""Facts of an image from its documents: what they say, and that nothing a stranger writes can do harm."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podpin.core.image import Child, Facts, Layer, children_of, config_of, created_of, facts_of, pick, platform_of

A, B, C = ("sha256:" + letter * 64 for letter in "abc")
AMD, ARM = {"os": "linux", "architecture": "amd64"}, {"os": "linux", "architecture": "arm", "variant": "v7"}
CREATED = "org.opencontainers.image.created"
BASE = "org.opencontainers.image.base"


def index(*entries: dict[str, Any], **annotations: str) -> dict[str, Any]:
    return {"manifests": list(entries), "annotations": annotations}


def manifest(*sizes: int, config: str = A, **annotations: str) -> dict[str, Any]:
    layers = [{"digest": f"sha256:{nth:064x}", "size": size} for nth, size in enumerate(sizes)]
    return {"config": {"digest": config, "size": 7}, "layers": layers, "annotations": annotations}


CHILDREN: dict[str, tuple[Any, tuple[Child, ...]]] = {
    "each image with its platform": (
        [{"digest": A, "platform": AMD}, {"digest": B, "platform": ARM}],
        (Child(A, "linux/amd64"), Child(B, "linux/arm/v7")),
    ),
    "no attestation": (
        [
            {"digest": A, "platform": AMD},
            {"digest": B, "platform": {"os": "unknown", "architecture": "unknown"}},
            {
                "digest": C,
                "platform": AMD,
                "annotations": {"vnd.docker.reference.type": "attestation-manifest"},
            },
        ],
        (Child(A, "linux/amd64"),),
    ),
    "none without a platform": ([{"digest": A}, {"digest": A, "platform": {"os": "linux"}}], ()),
    "none whose digest is a path": ([{"digest": "sha256:../../x", "platform": AMD}], ()),
    "none of what is no entry": ([None, 7, "x", []], ()),
    "none of what is no list": ({"digest": A}, ()),
}


@pytest.mark.parametrize(("entries", "children"), CHILDREN.values(), ids=CHILDREN)
def test_children(entries: Any, children: tuple[Child, ...]) -> None:
    assert children_of({"manifests": entries}) == children


PICKS = {
    "the first wanted one that is there": (("linux/s390x", "linux/arm64"), B),
    "the first there is where none is wanted": ((), A),
    "and where none of the wanted is there": (("windows/amd64",), A),
    "one with any variant where none is named": (("linux/arm",), C),
    "not one with another variant": (("linux/arm/v6",), A),
}


@pytest.mark.parametrize(("wanted", "digest"), PICKS.values(), ids=PICKS)
def test_pick(wanted: tuple[str, ...], digest: str) -> None:
    children = (Child(A, "linux/amd64"), Child(B, "linux/arm64/v8"), Child(C, "linux/arm/v7"))
    found = pick(children, wanted)
    assert found is not None
    assert found.digest == digest
    assert pick((), wanted) is None


LACKING: dict[str, tuple[tuple[str, ...], list[str]]] = {
    "nothing": ((), []),
    "nothing that is there": (("linux/amd64", "linux/arm64"), []),
    "arm64 and its v8 are the same": (("linux/arm64/v8",), []),
    "a variant counts where it is asked for": (("linux/arm/v6", "linux/arm"), ["linux/arm/v6"]),
    "another system": (("windows/amd64",), ["windows/amd64"]),
}


@pytest.mark.parametrize(("wanted", "lacking"), LACKING.values(), ids=LACKING)
def test_lacks(wanted: tuple[str, ...], lacking: list[str]) -> None:
    assert Facts(("linux/amd64", "linux/arm64", "linux/arm/v7")).lacks(wanted) == lacking


def test_an_image_by_itself_has_the_platform_and_the_time_of_its_config() -> None:
    config = {**AMD, "created": "2026-11-20T10:00:00.123456789Z", "config": {"Labels": {f"{BASE}.name": "debian:12"}}}
    facts = facts_of(None, manifest(100, 20), config)
    assert facts.platforms == ("linux/amd64",)
    assert facts.created == datetime(2026, 11, 20, 10, 0, 0, tzinfo=UTC)
    assert facts.base == "debian:12"
    assert facts.size == 127


def test_an_index_has_the_platforms_of_its_images() -> None:
    facts = facts_of(index({"digest": A, "platform": AMD}, {"digest": B, "platform": ARM}), manifest(5), None)
    assert facts == Facts(("linux/amd64", "linux/arm/v7"), None, None, (Layer(A, 7), Layer(f"sha256:{0:064x}", 5)))


TIMES: dict[str, tuple[tuple[str | None, str | None, Any], int | None]] = {
    "the index comes first": (("2021-01-01T00:00:00Z", "2022-01-01T00:00:00Z", "2023-01-01T00:00:00Z"), 2021),
    "then the manifest": ((None, "2022-01-01T00:00:00Z", "2023-01-01T00:00:00Z"), 2022),
    "then the config": ((None, None, "2023-01-01T00:00:00Z"), 2023),
    "what cannot be read is passed over": (("yesterday", "", "2023-01-01T00:00:00Z"), 2023),
    "1970 says nothing": ((None, None, "1970-01-01T00:00:00Z"), None),
    "nor does 1980": ((None, "1980-01-01T00:00:01Z", None), None),
    "nor does the year 1": ((None, None, "0001-01-01T00:00:00Z"), None),
    "nor does what is no text": ((None, None, 20231212), None),
    "a time without a zone is UTC": ((None, None, "2023-06-01T00:00:00"), 2023),
    "nor does a time that adding to would overflow": ((None, None, "9999-12-31T23:59:59Z"), None),
    "a time beyond the calendar says nothing": ((None, None, "9999-12-31T23:59:59-23:59"), None),
}


@pytest.mark.parametrize(("said", "year"), TIMES.values(), ids=TIMES)
def test_when_it_was_built(said: tuple[str | None, str | None, Any], year: int | None) -> None:
    top, inner, deep = said
    documents = (
        index(**({CREATED: top} if top is not None else {})),
        manifest(**({CREATED: inner} if inner is not None else {})),
        {"created": deep},
    )
    created = facts_of(*documents).created
    assert (created.year if created else None) == year


def test_the_base_has_name_and_digest_wherever_they_stand() -> None:
    found = facts_of(index(**{f"{BASE}.name": "debian:12"}), manifest(**{f"{BASE}.digest": B}), None)
    assert found.base == f"debian:12@{B}"
    assert facts_of(index(**{f"{BASE}.name": "two words\n"}), manifest(), None).base is None


def test_only_layers_that_the_other_lacks_are_new() -> None:
    old, new = facts_of(None, manifest(100, 20), None), facts_of(None, manifest(100, 20, 3, config=B), None)
    assert new.new_beside(old) == 3 + 7
    assert new.new_beside(new) == 0
    assert new.new_beside(Facts()) is None
    assert Facts().new_beside(new) is None
    assert Facts().size is None


ODD: dict[str, dict[str, Any]] = {
    "a negative size": {"digest": A, "size": -1},
    "a size that is true": {"digest": A, "size": True},
    "a size beyond all disks": {"digest": A, "size": 2**60},
    "no digest": {"size": 7},
}


@pytest.mark.parametrize("layer", ODD.values(), ids=ODD)
def test_a_layer_that_is_none_does_not_count(layer: dict[str, Any]) -> None:
    assert facts_of(None, {"layers": [layer]}, None).layers == ()


WORDS = "manifests annotations platform os architecture variant digest size layers config Labels created"
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.sampled_from([A, "linux"]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from([*WORDS.split(), CREATED, f"{BASE}.name"]),
            inner,
            max_size=5,
        )
    ),
    max_leaves=25,
)
documents = st.dictionaries(
    st.sampled_from(["manifests", "annotations", "layers", "config", "created", "os", "architecture"]), anything
)


@given(index=st.none() | documents, inner=st.none() | documents, config=st.none() | documents)
def test_reading_is_total(index: Any, inner: Any, config: Any) -> None:
    facts = facts_of(index, inner, config)
    assert all(layer.size >= 0 for layer in facts.layers)
    assert hash(facts) == hash(facts_of(index, inner, config))
    for document in (index or {}, inner or {}, config or {}):
        assert pick(children_of(document), ("linux/amd64",)) is None or children_of(document)
        assert config_of(document) in (None, A)
        assert created_of(document) is None or created_of(document) is not None
        platform_of(document)
