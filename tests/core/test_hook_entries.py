"""Which hooks a file allows, and what is said of one that cannot be used."""

from __future__ import annotations

from typing import Any

import pytest

from podpin.core.hooks.entry import EntryInvalid, entries_of, find

PATH = "0f9d3c5a7b1e2846"
SECRET = "correct-horse-battery"


def test_each_hook_has_a_source_a_path_and_a_secret_if_the_source_sends_one() -> None:
    hub, harbor = entries_of(
        [{"source": "dockerhub", "path": PATH}, {"source": "harbor", "path": "shop", "secret": SECRET}]
    )
    assert (hub.name, hub.path, hub.secret, hub.by_body) == ("dockerhub", PATH, None, False)
    assert (harbor.name, harbor.path, harbor.secret, harbor.by_body) == ("harbor", "shop", SECRET, False)
    assert hub.holds({}, b"")
    assert harbor.holds({"authorization": SECRET}, b"")
    assert not harbor.holds({}, b"")


def test_a_signature_needs_the_body_but_only_where_there_is_a_secret() -> None:
    signed, unsigned = entries_of([{"source": "ghcr", "path": "a", "secret": SECRET}, {"source": "ghcr", "path": PATH}])
    assert (signed.by_body, unsigned.by_body) == (True, False)
    assert unsigned.holds({}, b"")


def test_an_empty_list_allows_nothing() -> None:
    assert entries_of([]) == ()


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "must be a list"),
        ({"source": "harbor"}, "must be a list"),
        (["harbor"], "Hook 1 must have source, path and"),
        ([{"source": "harbor", "path": PATH, "password": SECRET}], "Hook 1 must have source, path and"),
        ([{7: "harbor"}], "Hook 1 must have source, path and"),
        ([{"source": "Harbor", "path": PATH}], "Hook 1 has no source that podpin knows; give one of acr, artifactory,"),
        ([{"source": ["harbor"], "path": PATH}], "Hook 1 has no source that podpin knows"),
        ([{"path": PATH}], "Hook 1 has no source that podpin knows"),
        ([{"source": "harbor"}], "Hook 1 (harbor) needs a path"),
        ([{"source": "harbor", "path": 1234567890123456}], "Hook 1 (harbor) needs a path"),
        ([{"source": "harbor", "path": f"{PATH}/x"}], "Hook 1 (harbor) needs a path"),
        ([{"source": "harbor", "path": f"{PATH}\n"}], "Hook 1 (harbor) needs a path"),
        ([{"source": "harbor", "path": "x" * 257}], "Hook 1 (harbor) needs a path"),
        ([{"source": "dockerhub", "path": PATH, "secret": SECRET}], "this source sends none: leave it out"),
        ([{"source": "harbor", "path": PATH, "secret": ""}], "needs a secret of at least 16 characters"),
        ([{"source": "harbor", "path": PATH, "secret": "short"}], "needs a secret of at least 16 characters"),
        ([{"source": "harbor", "path": PATH, "secret": 1234567890123456}], "written as text"),
        ([{"source": "dockerhub", "path": PATH[1:]}], "Hook 1 (dockerhub) has no secret, so nobody may guess its path"),
        ([{"source": "quay", "path": PATH}, {"source": "harbor", "path": "a"}], "Hook 2 (harbor) has no secret"),
        (
            [{"source": "quay", "path": PATH}, {"source": "quay", "path": PATH}],
            "Hook 2 has the source and the path of another",
        ),
    ],
)
def test_what_cannot_be_used_is_refused_without_telling_a_secret(content: Any, says: str) -> None:
    with pytest.raises(EntryInvalid) as raised:
        entries_of(content)
    assert says in str(raised.value)
    assert not any(word in str(raised.value) for word in (PATH, PATH[1:], SECRET))


def test_an_entry_is_found_by_its_source_and_its_whole_path() -> None:
    entries = entries_of([{"source": "quay", "path": PATH}, {"source": "gar", "path": PATH}])
    assert find(entries, "gar", PATH) is entries[1]
    for name, path in (("harbor", PATH), ("quay", PATH[:-1]), ("quay", f"{PATH}0"), ("", ""), ("quay", "\udcff")):
        assert find(entries, name, path) is None


def test_an_entry_does_not_show_its_secrets() -> None:
    (entry,) = entries_of([{"source": "harbor", "path": PATH, "secret": SECRET}])
    assert repr(entry) == "Entry(name='harbor')"
