"""What a rollout lives through in a real cluster, a row for each: how it ends, and with how many writes of podpin's.

A row begins with release a, proven and serving. Each is told once as it is, and once more for every write of podpin's in
it, with a death right after that write: it must come to the same end, without a second rollout.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from podpin.core.names import LABEL_RELEASE, PAUSE
from tests.simulation.cluster import DEADLINE, PaperCluster

Story = Callable[[PaperCluster], None]


@dataclass(frozen=True)
class Row:
    says: str
    story: Story
    runs: str
    """The letter of the image that runs in the end."""
    ready: str
    writes: int
    """How many writes podpin has made by then, events aside."""
    world: dict[str, Any] = field(default_factory=dict)
    changes: int = 1
    """How often what runs has changed."""


def says(cluster: PaperCluster, reason: str) -> None:
    """What Ready says at this moment of a story; whoever has died in it may be late."""
    if cluster.lives == 1:
        assert cluster.ready[1] == reason


def pushed(letter: str, seconds: float = 6.0) -> Story:
    def story(cluster: PaperCluster) -> None:
        cluster.push(letter)
        cluster.run(seconds)

    return story


def the_autoscaler_scales_up(cluster: PaperCluster) -> None:
    pushed("c")(cluster)
    cluster.scale(6)
    cluster.run(30)
    cluster.scale(8)


def the_autoscaler_scales_down(cluster: PaperCluster) -> None:
    pushed("c", 50)(cluster)
    cluster.scale(1)


def an_autoscaler_evicts(cluster: PaperCluster) -> None:
    pushed("b")(cluster)
    for _ in range(6):
        pods = sorted((pod for pod in cluster.nodes.pods.values() if pod.active), key=lambda pod: pod.name)
        pods[0].evict("EvictionByEvictionAPI")
        cluster.run(7)


def a_node_is_drained(cluster: PaperCluster) -> None:
    pushed("b")(cluster)
    cluster.nodes.drain(cluster.nodes.nodes[0])


def a_spot_node_is_lost(cluster: PaperCluster) -> None:
    pushed("c", 52)(cluster)
    cluster.nodes.replace(cluster.nodes.nodes[-1])


def the_cluster_is_upgraded(cluster: PaperCluster) -> None:
    pushed("b", 2)(cluster)
    for node in list(cluster.nodes.nodes):
        cluster.nodes.drain(node)
        cluster.run(10)
        cluster.nodes.replace(node)
        cluster.run(40)


def kubelets_are_started_anew(cluster: PaperCluster) -> None:
    pushed("b", 16)(cluster)
    for node in cluster.nodes.nodes:
        cluster.nodes.restart_kubelet(node, 9.0)
        cluster.run(3)


def a_kubelet_is_started_anew_and_the_clocks_differ(cluster: PaperCluster) -> None:
    cluster.skew = 60.0
    pushed("b", 24)(cluster)
    for node in cluster.nodes.nodes:
        cluster.nodes.restart_kubelet(node, 6.0)


def what_crashes_is_ready_for_a_moment_and_the_clocks_differ(cluster: PaperCluster) -> None:
    cluster.skew = 60.0
    pushed("d")(cluster)


def somebody_edits_by_hand(cluster: PaperCluster) -> None:
    pushed("b")(cluster)
    cluster.edit_deployment(strategy={"type": "Recreate"}, replicas=7)
    cluster.run(5)


def somebody_sets_an_image_by_hand(cluster: PaperCluster) -> None:
    pushed("b")(cluster)
    cluster.set_image("d")
    cluster.run(5)


def a_person_goes_back(cluster: PaperCluster) -> None:
    old = {pod.labels[LABEL_RELEASE] for pod in cluster.nodes.pods.values() if pod.active}
    pushed("b", 80)(cluster)
    cluster.ask("rollback-to", "previous")
    cluster.run(2)
    back = [pod for pod in cluster.nodes.pods.values() if pod.active and pod.labels[LABEL_RELEASE] in old]
    assert cluster.lives > 1 or len(back) == 20, "all at once"


def nobody_is_wanted_for_an_hour(cluster: PaperCluster) -> None:
    cluster.apply(replicas=0)
    cluster.run(60)
    pushed("b", 3600)(cluster)
    says(cluster, "ScaledToZero")
    cluster.apply(replicas=2)


def two_releases_in_a_minute(cluster: PaperCluster) -> None:
    pushed("c", 20)(cluster)
    pushed("b", 20)(cluster)


def a_bad_and_a_good_release_in_a_minute(cluster: PaperCluster) -> None:
    pushed("f", 30)(cluster)
    pushed("b", 20)(cluster)


def a_release_comes_during_the_rollback(cluster: PaperCluster) -> None:
    pushed("1", 3.0)(cluster)
    pushed("b")(cluster)


def what_all_need_is_gone(cluster: PaperCluster) -> None:
    pushed("b", 2)(cluster)
    cluster.promises.excuses.add("the backend fails")
    cluster.nodes.lose_backend()
    cluster.run(2 * DEADLINE)
    says(cluster, "StableFailingToo")
    cluster.nodes.backend_down = False


def there_is_no_room(cluster: PaperCluster) -> None:
    cluster.nodes.room = 0
    pushed("b", 3600)(cluster)
    says(cluster, "Unschedulable")
    cluster.nodes.room = 20


def there_is_no_quota(cluster: PaperCluster) -> None:
    cluster.nodes.quota = 2
    pushed("b", 3600)(cluster)
    says(cluster, "PodsNotCreated")
    cluster.nodes.quota = None


def there_is_no_storage(cluster: PaperCluster) -> None:
    cluster.nodes.storage_down = True
    pushed("b", 3600)(cluster)
    says(cluster, "VolumeNotReady")
    cluster.nodes.storage_down = False


def the_registry_goes_while_nodes_pull(cluster: PaperCluster) -> None:
    cluster.push("b")
    cluster.registry.down = True
    cluster.run(3600)
    says(cluster, "RegistryUnavailable")
    cluster.registry.down = False


def there_are_no_controllers(cluster: PaperCluster) -> None:
    cluster.deployments.asleep = True
    pushed("b", 3600)(cluster)
    says(cluster, "PodsNotCreated")
    cluster.deployments.asleep = False


def a_long_bake_is_disturbed(cluster: PaperCluster) -> None:
    pushed("b", 2 * DEADLINE)(cluster)
    cluster.scale(6)
    cluster.run(60)
    cluster.nodes.drain(cluster.nodes.nodes[0])


def a_pod_falls_ill_later(cluster: PaperCluster) -> None:
    pushed("6", 120)(cluster)
    says(cluster, "RolledOut")


def the_registry_goes_while_a_release_is_pulled_first(cluster: PaperCluster) -> None:
    cluster.push("b")
    cluster.registry.down = True
    cluster.run(3600)
    says(cluster, "PrePulling")
    cluster.registry.down = False


def a_node_is_lost_while_a_release_is_pulled_first(cluster: PaperCluster) -> None:
    cluster.nodes.pull_seconds = 30.0
    pushed("b", 5)(cluster)
    says(cluster, "PrePulling")
    cluster.nodes.lose(cluster.nodes.nodes[0])
    cluster.run(60)
    cluster.nodes.find(cluster.nodes.nodes[0], rebooted=True)


def there_is_no_quota_to_pull_first(cluster: PaperCluster) -> None:
    cluster.nodes.quota = 3
    pushed("b")(cluster)
    cluster.nodes.quota = None


def a_person_approves_an_hour_later(cluster: PaperCluster) -> None:
    pushed("b", 3600)(cluster)
    says(cluster, "AwaitingApproval")
    cluster.approve()


def an_hour_of_pause(cluster: PaperCluster) -> None:
    pushed("c", 20)(cluster)
    cluster.annotate(PAUSE, "a look first")
    cluster.run(3600)
    says(cluster, "Paused")
    cluster.annotate(PAUSE, None)


def the_other_rollout_comes_up_an_hour_later(cluster: PaperCluster) -> None:
    cluster.other_is(well=False)
    cluster.apply(depends=True)
    pushed("b", 3600)(cluster)
    says(cluster, "AwaitingDependency")
    cluster.other_is(well=True)


def a_window_opens(cluster: PaperCluster) -> None:
    cluster.run(1800 - cluster.clock.now % 3600)
    pushed("d", 600)(cluster)
    says(cluster, "OutsideWindow")


def nothing(cluster: PaperCluster) -> None:
    cluster.run(24 * 3600)


FIRST = {"pre_pull": True}
PODS = {"kind": "Pods"}
CANARY = {"canary": {"steps": [{"replicas": 1}, {"percent": 100, "bakeTime": "30s"}]}}
AUTOSCALED = {"replicas": None}
SHORT_BAKE = {
    "kind": "Pods",
    "probed": False,
    "replicas": 1,
    "terms": {"progressDeadline": "300s", "bakeTime": "5s"},
}
LONG_BAKE = {"replicas": None, "terms": {"progressDeadline": "300s", "bakeTime": "1200s"}}

ROWS = [
    Row("a day in which nothing happens", nothing, "a", "RolledOut", 0, changes=0),
    Row("a good release", pushed("b"), "b", "RolledOut", 5),
    Row("a bad release, while the stable one serves", pushed("d"), "a", "RolledBack", 6, changes=2),
    Row("an autoscaler scales up in mid-trial", the_autoscaler_scales_up, "c", "RolledOut", 8, AUTOSCALED),
    Row("an autoscaler scales down in mid-trial", the_autoscaler_scales_down, "c", "RolledOut", 7, {"replicas": None}),
    Row("an autoscaler evicts Pods to give them other resources", an_autoscaler_evicts, "b", "RolledOut", 5),
    Row("a node is drained in mid-trial", a_node_is_drained, "b", "RolledOut", 5),
    Row("a spot node is lost in mid-trial", a_spot_node_is_lost, "c", "RolledOut", 8),
    Row("the nodes are replaced one by one in mid-trial", the_cluster_is_upgraded, "b", "RolledOut", 8),
    Row("the kubelets are started anew in mid-trial", kubelets_are_started_anew, "b", "RolledOut", 7),
    Row("a kubelet is started anew, and podpin's clock is a minute ahead of the node's", a_kubelet_is_started_anew_and_the_clocks_differ, "b", "RolledOut", 5, {"replicas": 1}),
    Row("what crashes is ready for a moment, and podpin's clock is a minute ahead of the node's", what_crashes_is_ready_for_a_moment_and_the_clocks_differ, "a", "RolledBack", 10, SHORT_BAKE, changes=2),
    Row("somebody edits the Deployment in mid-rollout", somebody_edits_by_hand, "b", "RolledOut", 7),
    Row("somebody sets a broken image in mid-rollout", somebody_sets_an_image_by_hand, "b", "RolledOut", 7),
    Row("no replicas are wanted for an hour", nobody_is_wanted_for_an_hour, "b", "RolledOut", 14),
    Row("a good release of one replica", pushed("b"), "b", "RolledOut", 5, {"replicas": 1}),
    Row("a bad release of one replica", pushed("d"), "a", "RolledBack", 6, {"replicas": 1}, changes=2),
    Row("a good release of 200 replicas", pushed("b"), "b", "RolledOut", 5, {"replicas": 200, "nodes": 10, "room": 40}),
    Row("a bad release of 200 replicas", pushed("1"), "a", "RolledBack", 6, {"replicas": 200, "nodes": 10, "room": 40}, changes=2),
    Row("two releases in a minute", two_releases_in_a_minute, "b", "RolledOut", 8, changes=2),
    Row("a bad release and its mend in a minute", a_bad_and_a_good_release_in_a_minute, "b", "RolledOut", 8, changes=2),
    Row("a release comes in the middle of a rollback", a_release_comes_during_the_rollback, "b", "RolledOut", 11, changes=3),
    Row("what all Pods need is gone for two deadlines", what_all_need_is_gone, "b", "RolledOut", 7),
    Row("there is no room for an hour", there_is_no_room, "b", "RolledOut", 7),
    Row("there is no quota for an hour", there_is_no_quota, "b", "RolledOut", 7),
    Row("a volume cannot be mounted for an hour", there_is_no_storage, "b", "RolledOut", 7),
    Row("the registry is down while the nodes pull", the_registry_goes_while_nodes_pull, "b", "RolledOut", 9),
    Row("the cluster's controllers are down for an hour", there_are_no_controllers, "b", "RolledOut", 7),
    Row("a bake longer than the deadline is disturbed", a_long_bake_is_disturbed, "b", "RolledOut", 7, LONG_BAKE),
    Row("a good release of Pods of podpin's own", pushed("b"), "b", "RolledOut", 8, PODS),
    Row("a bad release of Pods of podpin's own", pushed("d"), "a", "RolledBack", 7, PODS, changes=2),
    Row("a node is drained under Pods of podpin's own", a_node_is_drained, "b", "RolledOut", 7, PODS),
    Row("a good release by canary, in two steps", pushed("b"), "b", "RolledOut", 10, CANARY),
    Row("a bad release by canary, in two steps", pushed("d"), "a", "RolledBack", 6, CANARY, changes=0),
    Row("a good release of Pods by canary", pushed("b"), "b", "RolledOut", 14, {**PODS, **CANARY}),
    Row("a release that waits for approval", a_person_approves_an_hour_later, "b", "RolledOut", 6, {"manual": True}),
    Row("a slow release that is paused for an hour in mid-trial", an_hour_of_pause, "c", "RolledOut", 9),
    Row("a slow release of Pods that is paused for an hour in mid-trial", an_hour_of_pause, "c", "RolledOut", 10, PODS),
    Row("a canary that is paused for an hour in mid-trial", an_hour_of_pause, "c", "RolledOut", 11, CANARY),
    Row("a release that waits for another rollout", the_other_rollout_comes_up_an_hour_later, "b", "RolledOut", 6),
    Row("a window that opens within the hour, and a bad release in it", a_window_opens, "a", "RolledBack", 7, {"windows": True}, changes=2),
    Row("readiness that flaps faster than a probe round", pushed("2"), "a", "RolledBack", 7, changes=2),
    Row("readiness that is lost in the bake time", pushed("5"), "a", "RolledBack", 8, changes=2),
    Row("a crash in the bake time", pushed("e"), "a", "RolledBack", 12, changes=2),
    Row("a good release that is pulled first", pushed("b"), "b", "RolledOut", 10, FIRST),
    Row("a release for another platform that is pulled first", pushed("4"), "a", "RolledBack", 7, FIRST, changes=0),
    Row("the registry is down while a release is pulled first", the_registry_goes_while_a_release_is_pulled_first, "b", "RolledOut", 14, FIRST),
    Row("a node is lost while a release is pulled first", a_node_is_lost_while_a_release_is_pulled_first, "b", "RolledOut", 10, FIRST),
    Row("the quota lets one node pull first", there_is_no_quota_to_pull_first, "b", "RolledOut", 8, FIRST),
    Row("a person asks 20 that serve to go back", a_person_goes_back, "a", "RolledBack", 11, {"replicas": 20, "room": 40}, changes=2),
    Row("a release that falls ill after it was proven", a_pod_falls_ill_later, "6", "Degraded", 8),
]  # fmt: skip


def lived(row: Row, crash_after: int | None = None) -> PaperCluster:
    """A world after a row's story, and after it has come to rest."""
    world = dict(row.world)
    cluster = PaperCluster(nodes=world.pop("nodes", 3), room=world.pop("room", 20), **world)
    try:
        cluster.apply()
        cluster.start_podpin()
        cluster.run(40)
        if cluster.wish.replicas is None:
            cluster.scale(2)
        cluster.run(1500 if row.world is LONG_BAKE else 120)
        assert cluster.ready == ("True", "RolledOut")
        cluster.connection.writes.clear()
        cluster.promises.changes.clear()
        cluster.connection.crash_after = crash_after
        row.story(cluster)
        cluster.run(3000)
        cluster.promises.all_is_as_it_should_be()
        if not cluster.is_restless:
            cluster.promises.a_quiet_world_gets_no_writes(2 * DEADLINE)
    finally:
        cluster.close()
    return cluster


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.says)
def test_row(row: Row) -> None:
    cluster = lived(row)
    ended = (cluster.runs, cluster.ready[1], len(cluster.connection.writes), len(cluster.promises.changes))
    told = Counter(write.partition(" ")[0] for write in cluster.connection.writes)
    assert ended == (row.runs, row.ready, row.writes, row.changes), told


@pytest.mark.timeout(240)  # many lives, on a machine that may be busy
def test_a_death_after_any_write_leads_to_the_same_end_without_a_second_rollout() -> None:
    for row in ROWS:
        if row.world.get("replicas") == 200:
            continue  # one replica shows the same in a hundredth of the time
        whole = lived(row)
        for number in range(1, len(whole.connection.writes) + 1):
            cluster = lived(row, number)
            ended = (cluster.runs, cluster.ready[1])
            assert ended == (whole.runs, whole.ready[1]), f"{row.says}, after write {number}"
            assert len(cluster.promises.changes) <= row.changes, f"{row.says}, after write {number}"
