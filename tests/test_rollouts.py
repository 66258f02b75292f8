"""The table of ImageRollouts: news goes in, what is older stays out."""

from __future__ import annotations

from typing import Any

import pytest

from podpin.core.names import Key
from podpin.core.selector import parse_selector
from podpin.rollouts import Rollouts

WEB = Key("shop", "web")


def body(version: int, **fields: Any) -> dict[str, Any]:
    metadata = {"namespace": "shop", "name": "web", "uid": "u1", "resourceVersion": str(version), "generation": 1}
    return {"metadata": metadata, "spec": {"suspend": True}, **fields}


def test_an_unknown_rollout_is_none_and_there_is_nothing_to_forget() -> None:
    rollouts = Rollouts()
    assert rollouts.get(WEB) is None
    assert rollouts.version(WEB) is None
    assert rollouts.drop(WEB) is False
    assert len(rollouts) == 0
    assert list(rollouts) == []


def test_what_is_put_in_comes_out_without_what_podpin_never_reads() -> None:
    rollouts = Rollouts()
    raw = body(5, status={"replicas": 2}, apiVersion="podpin.dev/v1alpha1")
    raw["metadata"] |= {
        "annotations": {"podpin.dev/retry": "1"},
        "deletionTimestamp": "2026-03-01T12:00:00Z",
        "managedFields": [{"manager": "kubectl"}],
        "labels": {"app": "web"},
    }
    assert rollouts.put(raw)
    assert rollouts.get(WEB) == {
        "metadata": {
            "namespace": "shop",
            "name": "web",
            "uid": "u1",
            "resourceVersion": "5",
            "generation": 1,
            "annotations": {"podpin.dev/retry": "1"},
            "deletionTimestamp": "2026-03-01T12:00:00Z",
        },
        "spec": {"suspend": True},
        "status": {"replicas": 2},
    }
    assert list(rollouts) == [WEB]
    assert len(rollouts) == 1


def test_what_comes_out_is_a_copy() -> None:
    rollouts = Rollouts()
    raw = body(5)
    rollouts.put(raw)
    raw["spec"]["suspend"] = False
    taken = rollouts.get(WEB)
    assert taken is not None
    taken["spec"].clear()
    assert (rollouts.get(WEB) or {})["spec"] == {"suspend": True}


@pytest.mark.parametrize(
    ("known", "comes", "news"),
    [(9, 10, True), (10, 9, False), (10, 10, False), (99, 100, True)],
    ids=["newer", "older", "the same", "newer with one digit more"],
)
def test_only_what_is_newer_is_news(known: int, comes: int, news: bool) -> None:
    rollouts = Rollouts()
    rollouts.put(body(known))
    assert rollouts.put(body(comes, spec={})) is news
    assert rollouts.version(WEB) == max(known, comes)
    assert (rollouts.get(WEB) or {})["spec"] == ({} if news else {"suspend": True})


@pytest.mark.parametrize(
    ("version", "gone"), [(None, True), (11, True), (10, True), (9, False)], ids=["any", "newer", "the same", "older"]
)
def test_a_deletion_counts_unless_something_newer_is_known(version: int | None, gone: bool) -> None:
    rollouts = Rollouts()
    rollouts.put(body(10))
    assert rollouts.drop(WEB, version) is gone
    assert (rollouts.get(WEB) is None) is gone


def test_keys_may_be_dropped_while_they_are_gone_through() -> None:
    rollouts = Rollouts()
    for name in "abc":
        raw = body(1)
        raw["metadata"]["name"] = name
        rollouts.put(raw)
    for key in rollouts:
        assert rollouts.drop(key)
    assert len(rollouts) == 0


STAGING = Key("staging", "web")


def staging(version: int) -> dict[str, Any]:
    metadata = {"namespace": "staging", "name": "web", "uid": "u2", "resourceVersion": str(version), "generation": 1}
    return {"metadata": metadata}


def test_who_follows_another_is_woken_by_its_news_alone() -> None:
    woken: list[Key] = []
    rollouts = Rollouts(woken.append)
    rollouts.follow(WEB, [STAGING])
    rollouts.put(body(1))
    assert woken == []
    rollouts.put(staging(2))
    rollouts.put(staging(2))
    assert woken == [WEB]
    rollouts.put({**staging(3), "status": {"replicas": 3}})
    assert woken == [WEB], "that is nothing to those who follow it"
    rollouts.drop(STAGING)
    assert woken == [WEB, WEB]


def test_who_follows_nobody_any_more_is_let_sleep() -> None:
    woken: list[Key] = []
    rollouts = Rollouts(woken.append)
    rollouts.follow(WEB, [STAGING, WEB])
    rollouts.follow(WEB, [STAGING])
    rollouts.put(body(1))
    assert woken == []
    rollouts.drop(WEB)
    rollouts.put(staging(2))
    assert woken == []
    rollouts.follow(WEB, [])
    assert rollouts._followers == rollouts._sources == {}


def labelled(version: int, **labels: str) -> dict[str, Any]:
    raw = body(version)
    raw["metadata"]["labels"] = labels
    return raw


def test_what_another_podpin_serves_is_not_held() -> None:
    woken: list[Key] = []
    rollouts = Rollouts(woken.append, parse_selector("shard=a"))
    assert rollouts.put(labelled(5, shard="b")) is False
    assert (list(rollouts), woken) == ([], [])
    assert rollouts.put(labelled(6, shard="a")) is True


def test_one_that_goes_over_to_another_podpin_is_dropped_and_its_key_told_of() -> None:
    woken: list[Key] = []
    rollouts = Rollouts(woken.append, parse_selector("shard=a"))
    rollouts.put(labelled(6, shard="a"))
    assert rollouts.put(labelled(5, shard="b")) is False, "news from before is none"
    assert (list(rollouts), woken) == ([WEB], [])
    assert rollouts.put(labelled(7)) is False
    assert (list(rollouts), woken) == ([], [WEB])
