"""How the way back from a rejected release goes: at once where its Pods keep their places, else as the user says."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from tests.builders import START, at, container, pod, pods, record, release_id, rollout, seen, spec, workload
from tests.decisions import told

from podpin.core.decision import Apply, Manner, marked
from podpin.core.manner import in_manner
from podpin.core.observation import Observation
from podpin.core.rollout import decide
from podpin.core.spec import Spec

TEN = spec(workload={"replicas": 10})
BACK = (record("a", "Stable", wish=TEN), record("b", "Rejected", 2, TEN))


def asked(*there: Any, wish: Spec = TEN, **fields: Any) -> Observation:
    """The world in the moment of going back from b to a."""
    left = workload("b", wish, **fields)
    records = (record("a", "Stable", wish=wish), record("b", "Rejected", 2, wish))
    return seen("b", workload=left, pods=there, records=records)


def strategy(**rolling: Any) -> Spec:
    return spec(workload={"replicas": 10, "strategy": {"type": "RollingUpdate", "rollingUpdate": rolling}})


@dataclass(frozen=True)
class Row:
    says: str
    seen: Observation
    manner: Manner | None
    """None where there is nothing to apply."""
    wish: Spec = field(default_factory=lambda: TEN)


def under_way(wish: Spec = TEN, **counts: Any) -> Observation:
    """The world after all of a's Pods were asked for at once."""
    there = workload("a", wish)
    there = replace(there, intent=marked(there.intent or "", Manner.AT_ONCE), **counts)
    return seen("b", workload=there, pods=pods("a", 10, TEN), records=BACK)


RECREATE = spec(workload={"replicas": 10, "strategy": {"type": "Recreate"}})
NO_SURGE = strategy(maxSurge=0, maxUnavailable=2)
WIDE = strategy(maxSurge="100%")

ROWS = [
    Row("at once where more of the rejected serve than may be surged", asked(*pods("b", 4, TEN)), Manner.AT_ONCE),
    Row("as usual where no more of them serve than may be surged", asked(*pods("b", 3, TEN)), Manner.USUAL),
    Row("as usual where they do not serve, for they go first", asked(*(pod("b", container(ready=False), name=f"b-{nth}", wish=TEN) for nth in range(10))), Manner.USUAL),
    Row("as usual where they are going already", asked(*pods("b", 10, TEN, deleting=True)), Manner.USUAL),
    Row("as usual where there is to be no Pod beyond the replicas", asked(*pods("b", 10, NO_SURGE), wish=NO_SURGE), Manner.USUAL, NO_SURGE),
    Row("as usual where all are taken away first anyhow", asked(*pods("b", 10, RECREATE), wish=RECREATE), Manner.USUAL, RECREATE),
    Row("as usual where the user lets all be made at once", asked(*pods("b", 10, WIDE), wish=WIDE), Manner.USUAL, WIDE),
    Row("goes on at once while Pods of the rejected are left", under_way(total=12), None),
    Row("goes on at once while its own are not all made", under_way(updated=9, total=9), None),
    Row("goes on at once while its controller has not counted", under_way(generation=4), None),
    Row("as usual again when none but its own are left", under_way(), Manner.USUAL),
    Row("as usual, in one step, when the user changes something meanwhile", under_way(total=12), Manner.USUAL, spec(workload={"replicas": 11})),
]  # fmt: skip


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.says)
def test_the_way_back_goes(row: Row) -> None:
    decision = decide(rollout(row.wish), row.seen, at(13))
    applied = [action for action in decision.actions if isinstance(action, Apply)]
    assert [action.manner for action in applied] == ([] if row.manner is None else [row.manner])
    assert [told(action) for action in decision.actions] == ["apply a"] * len(applied)


def test_a_new_release_goes_on_as_usual_whatever_was_before() -> None:
    (write, apply) = decide(rollout(TEN), replace(under_way(total=12), images=seen("c").images), START).actions
    assert (told(write), told(apply)) == ("write c", "apply c")
    assert isinstance(apply, Apply)
    assert apply.manner is Manner.USUAL


def test_a_release_that_was_not_rejected_is_left_as_the_user_says() -> None:
    there = replace(asked(*pods("b", 10, TEN)), records=(record("a", "Stable", wish=TEN), record("b", wish=TEN)))
    (apply,) = decide(rollout(TEN), replace(there, images=seen("a").images), at(4)).actions
    assert isinstance(apply, Apply)
    assert (apply.id, apply.manner) == (release_id("a", TEN), Manner.USUAL)


@pytest.mark.parametrize(
    ("manner", "change"),
    [
        (Manner.USUAL, {}),
        (Manner.PAUSED, {"paused": True}),
        (
            Manner.AT_ONCE,
            {"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "100%", "maxUnavailable": 0}}},
        ),
    ],
    ids=lambda value: str(value) if isinstance(value, Manner) else "",
)
def test_a_manner_changes_that_much_of_the_manifest(manner: Manner, change: dict[str, Any]) -> None:
    wish = {
        "replicas": 3,
        "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": 0}},
    }
    manifest = {"kind": "Deployment", "spec": wish}
    assert in_manner(manifest, manner) == {"kind": "Deployment", "spec": {**wish, **change}}
    assert "paused" not in manifest["spec"]


def test_the_intents_of_all_manners_differ() -> None:
    assert len({marked("0123", manner) for manner in Manner}) == len(Manner)
