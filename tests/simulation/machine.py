"""The weather: whatever may happen to a rollout, in any order, as Hypothesis likes it.

A rule is one step. Most of them change one thing and let a moment pass; `calm` takes all troubles away and asks
whether everything has come to rest where it should.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, ClassVar, Final

import hypothesis.strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from podpin.core.names import PAUSE
from tests.builders import REPOSITORY
from tests.simulation.cluster import DEADLINE, WATCHED, PaperCluster
from tests.simulation.images import FATES

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tests.simulation.api import Json
    from tests.simulation.nodes import Node

MOMENTS = st.sampled_from([0.0, 0.03, 0.5, 2.0, 6.0])
LETTERS = st.sampled_from(sorted(FATES))
GOOD_LETTERS = st.sampled_from("abc")
COLLECTIONS = st.sampled_from(WATCHED)
JUMPS = (-60.0, -10.0, 10.0, 60.0)
CANARIES: Final[Mapping[str, Json | None]] = {
    "none": None,
    "one step": {"replicas": 1, "bakeTime": "20s"},
    "approved": {"percent": 50, "pause": True},
    "two steps": {"steps": [{"replicas": 1}, {"percent": 100, "bakeTime": "30s", "pause": True}]},
}
MOST_SKEW = 100.0
"""How far the operator's clock is ever off, in seconds: a third of the deadline."""


class Weather(RuleBasedStateMachine):
    steps: ClassVar[Counter[str]] = Counter()
    """How often each rule has been followed in this process."""
    lives: ClassVar[Counter[str]] = Counter()
    """How many rollouts have lived, by their kinds."""

    def __init__(self) -> None:
        super().__init__()
        self.cluster = PaperCluster()
        self.backup: dict[str, Json] = {}

    def teardown(self) -> None:
        self.cluster.close()

    def step(self, name: str, seconds: float = 0.0) -> PaperCluster:
        """Count a step, and let a moment pass before it."""
        self.steps[name] += 1
        self.cluster.run(seconds)
        return self.cluster

    def node(self, number: int) -> Node:
        nodes = self.cluster.nodes.nodes
        return nodes[number % len(nodes)]

    @initialize(
        replicas=st.sampled_from([1, 2, 3, None]),
        probed=st.sampled_from([True, True, True, False]),
        skew=st.sampled_from([0.0, -4.0, 4.0]),
        letter=LETTERS,
        strategy=st.sampled_from(
            [None, None, {"type": "Recreate"}, {"rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1}}]
        ),
        min_ready=st.sampled_from([0, 0, 4]),
        kind=st.sampled_from(["Deployment", "Pods"]),
        canary=st.sampled_from(sorted(CANARIES)),
        pre_pull=st.booleans(),
    )
    def begins(
        self,
        replicas: int | None,
        probed: bool,
        skew: float,
        letter: str,
        strategy: Json | None,
        min_ready: int,
        kind: str = "Deployment",
        canary: str = "none",
        pre_pull: bool = False,
    ) -> None:
        self.lives[f"{kind}, canary: {canary}"] += 1
        cluster = self.cluster
        for number, node in enumerate(cluster.nodes.nodes):
            node.skew = skew * (1, -1, 0)[number % 3]
        cluster.registry.tag = letter
        cluster.other_is(well=True)
        cluster.apply(
            kind=kind,
            canary=CANARIES[canary],
            pre_pull=pre_pull,
            replicas=replicas,
            probed=probed,
            strategy=strategy,
            min_ready=min_ready,
        )
        cluster.start_podpin()

    # --- time

    @rule(seconds=st.sampled_from([1.0, 5.0, 20.0, 60.0, 310.0]))
    def time_passes(self, seconds: float) -> None:
        self.step("time passes").run(seconds)

    @rule()
    def calm(self) -> None:
        self.step("calm").calm()

    @rule(jump=st.sampled_from(JUMPS))
    def the_operators_clock_jumps(self, jump: float) -> None:
        cluster = self.step("the operator's clock jumps")
        if abs(cluster.skew + jump) <= MOST_SKEW:
            cluster.skew += jump
            cluster.promises.blinded |= jump > 0

    # --- people

    @rule(letter=LETTERS, told=st.booleans(), after=MOMENTS)
    def somebody_pushes(self, letter: str, told: bool, after: float) -> None:
        self.step("somebody pushes", after).push(letter, told=told)

    @rule(letter=GOOD_LETTERS, after=MOMENTS)
    def somebody_pushes_what_is_good(self, letter: str, after: float) -> None:
        self.step("somebody pushes what is good", after).push(letter)

    @rule(variant=st.sampled_from("01"), broken=st.sampled_from([False, False, True]), after=MOMENTS)
    def the_user_edits_the_template(self, variant: str, broken: bool, after: float) -> None:
        self.step("the user edits the template", after).apply(variant=variant, broken=broken)

    @rule(enabled=st.booleans(), suspend=st.booleans(), after=MOMENTS)
    def the_user_edits_the_switches(self, enabled: bool, suspend: bool, after: float) -> None:
        self.step("the user edits the switches", after).apply(enabled=enabled, suspend=suspend)

    @rule(
        manual=st.booleans(),
        windows=st.sampled_from([False, False, True]),
        freeze=st.sampled_from([False, False, True]),
        depends=st.booleans(),
        after=MOMENTS,
    )
    def the_user_edits_the_gates(self, manual: bool, windows: bool, freeze: bool, depends: bool, after: float) -> None:
        cluster = self.step("the user edits the gates", after)
        cluster.apply(manual=manual, windows=windows, freeze=freeze, depends=depends)

    @rule(well=st.booleans(), after=MOMENTS)
    def the_other_rollout_is_well_or_not(self, well: bool, after: float) -> None:
        self.step("the other rollout is well or not", after).other_is(well=well)

    @rule(canary=st.sampled_from(sorted(CANARIES)), after=MOMENTS)
    def the_user_edits_the_canary(self, canary: str, after: float) -> None:
        self.step("the user edits the canary", after).apply(canary=CANARIES[canary])

    @rule(pre_pull=st.booleans(), after=MOMENTS)
    def the_user_edits_what_is_pulled_first(self, pre_pull: bool, after: float) -> None:
        self.step("the user edits what is pulled first", after).apply(pre_pull=pre_pull)

    @rule(step=st.sampled_from([None, 1, 2]), after=MOMENTS)
    def somebody_approves(self, step: int | None, after: float) -> None:
        self.step("somebody approves", after).approve(step)

    @rule(paused=st.booleans(), after=MOMENTS)
    def somebody_pauses(self, paused: bool, after: float) -> None:
        self.step("somebody pauses or resumes", after).annotate(PAUSE, "a look first" if paused else None)

    @precondition(lambda self: self.cluster.canary)
    @rule(after=MOMENTS)
    def somebody_deletes_the_canary(self, after: float) -> None:
        self.step("somebody deletes the canary", after).delete_canary()

    @rule(replicas=st.sampled_from([0, 1, 2, 4, None]), after=MOMENTS)
    def the_user_scales(self, replicas: int | None, after: float) -> None:
        self.step("the user scales", after).apply(replicas=replicas)

    @precondition(lambda self: self.cluster.wish.replicas is None)
    @rule(replicas=st.sampled_from([1, 2, 3, 5]), after=MOMENTS)
    def the_autoscaler_scales(self, replicas: int, after: float) -> None:
        self.step("the autoscaler scales", after).scale(replicas)

    @rule(what=st.sampled_from(["retry", "reconcile"]), after=MOMENTS)
    def the_user_asks(self, what: str, after: float) -> None:
        self.step(f"the user asks for {what}", after).ask(what)

    @rule(after=MOMENTS)
    def the_user_asks_to_go_back(self, after: float) -> None:
        self.step("the user asks to go back", after).ask("rollback-to", "previous")

    @precondition(lambda self: not self.cluster.has_pods)
    @rule(after=MOMENTS, what=st.sampled_from(["image", "paused", "replicas", "strategy"]), letter=LETTERS)
    def somebody_edits_the_deployment(self, after: float, what: str, letter: str) -> None:
        cluster = self.step(f"somebody edits the Deployment's {what}", after)
        match what:
            case "image":
                cluster.set_image(letter)
            case "paused":
                cluster.edit_deployment(paused=True)
            case "replicas":
                cluster.edit_deployment(replicas=3)
            case "strategy":
                cluster.edit_deployment(strategy={"type": "Recreate"})

    @rule(after=MOMENTS)
    def somebody_deletes_the_deployment(self, after: float) -> None:
        self.step("somebody deletes the Deployment, or all Pods", after).delete_workload()

    @precondition(lambda self: self.cluster.has_pods)
    @rule(number=st.integers(0, 9), letter=LETTERS, after=MOMENTS)
    def somebody_edits_a_pod(self, number: int, letter: str, after: float) -> None:
        cluster = self.step("somebody edits a Pod's image", after)
        if pods := cluster.pods:
            pods[number % len(pods)].change_image(f"{REPOSITORY}:by-hand-{letter}")

    @precondition(lambda self: self.cluster.has_pods)
    @rule(number=st.integers(0, 9), after=MOMENTS)
    def somebody_orphans_a_pod(self, number: int, after: float) -> None:
        cluster = self.step("somebody orphans a Pod", after)
        if pods := cluster.pods:
            cluster.nodes.hand_over(pods[number % len(pods)].name, [])

    @precondition(lambda self: self.cluster.has_pods)
    @rule(budget=st.sampled_from([None, 1, 2]))
    def there_is_a_disruption_budget_or_not(self, budget: int | None) -> None:
        self.step("there is a disruption budget or not").nodes.budget = budget

    @rule(after=MOMENTS)
    def the_status_is_lost(self, after: float) -> None:
        self.step("the status is lost", after).lose_status()

    @rule()
    def a_backup_is_made(self) -> None:
        self.backup = self.step("a backup is made").snapshot()

    @precondition(lambda self: self.backup)
    @rule()
    def a_backup_is_restored(self) -> None:
        cluster = self.step("a backup is restored")
        cluster.stop_podpin()
        cluster.restore(self.backup)
        cluster.start_podpin()

    # --- podpin's own fate

    @rule(writes=st.integers(1, 4))
    def podpin_will_die_after_some_writes(self, writes: int) -> None:
        self.step("podpin will die after some writes").connection.crash_after = writes

    @rule(seconds=st.sampled_from([0.0, 2.0, 30.0, 400.0]))
    def podpin_is_down(self, seconds: float) -> None:
        cluster = self.step("podpin is down")
        cluster.stop_podpin()
        cluster.run(seconds)
        if seconds > DEADLINE:
            cluster.promises.excuses.add("nobody has watched it for its deadline")
        cluster.start_podpin()

    # --- the line between podpin and the API server

    @rule(collection=COLLECTIONS, held=st.booleans())
    def news_is_late(self, collection: str, held: bool) -> None:
        self.step("news is late").connection.hold(collection, held=held)

    @rule(collection=COLLECTIONS)
    def news_is_lost(self, collection: str) -> None:
        self.step("news is lost").connection.cut(collection)

    @rule(down=st.booleans(), latency=st.sampled_from([0.0, 0.0, 0.3, 2.0]))
    def the_api_server_is_slow_or_down(self, down: bool, latency: float) -> None:
        cluster = self.step("the API server is slow or down")
        cluster.connection.down, cluster.connection.latency = down, latency

    @rule(collection=COLLECTIONS, count=st.integers(1, 3))
    def some_requests_fail(self, collection: str, count: int) -> None:
        self.step("some requests fail").connection.fails = failing(collection, count, "refused")

    @rule(
        collection=COLLECTIONS,
        how=st.sampled_from(["lost", "denied"]),
    )
    def some_writes_fail(self, collection: str, how: str) -> None:
        self.step(f"some writes are {how}").connection.fails = failing(collection, 2, how)

    # --- the registry

    @rule(down=st.booleans())
    def the_registry_goes_or_comes(self, down: bool) -> None:
        self.step("the registry goes or comes").registry.down = down

    @rule(letter=LETTERS, gone=st.booleans())
    def the_registry_loses_an_image(self, letter: str, gone: bool) -> None:
        registry = self.step("the registry loses an image").registry
        (registry.lost.add if gone else registry.lost.discard)(letter)

    @rule()
    def somebody_deletes_the_tag(self) -> None:
        self.step("somebody deletes the tag").registry.tag = None

    @rule(lies=st.booleans())
    def a_mirror_lies(self, lies: bool) -> None:
        cluster = self.step("a mirror lies")
        cluster.registry.lies = lies
        cluster.promises.excuses |= cluster.lasting_excuses()

    # --- the cluster

    @rule(number=st.integers(0, 2), delay=st.sampled_from([0.5, 4.0, 9.0]), after=MOMENTS)
    def a_kubelet_is_started_anew(self, number: int, delay: float, after: float) -> None:
        cluster = self.step("a kubelet is started anew", after)
        cluster.nodes.restart_kubelet(self.node(number), delay)

    @rule(number=st.integers(0, 2))
    def a_node_is_lost(self, number: int) -> None:
        cluster = self.step("a node is lost")
        cluster.promises.blinded = True
        cluster.nodes.lose(self.node(number))

    @rule(number=st.integers(0, 2), rebooted=st.booleans())
    def a_node_is_back(self, number: int, rebooted: bool) -> None:
        cluster = self.step("a node is back")
        cluster.nodes.find(self.node(number), rebooted=rebooted)

    @rule(number=st.integers(0, 2))
    def a_node_is_replaced(self, number: int) -> None:
        cluster = self.step("a node is replaced")
        cluster.promises.blinded = True
        cluster.nodes.replace(self.node(number))

    @rule(number=st.integers(0, 2), after=MOMENTS)
    def a_node_is_drained(self, number: int, after: float) -> None:
        cluster = self.step("a node is drained", after)
        cluster.nodes.drain(self.node(number))

    @rule(number=st.integers(0, 9), how=st.sampled_from(["evict", "fail", "delete"]), after=MOMENTS)
    def a_pod_is_taken_away(self, number: int, how: str, after: float) -> None:
        cluster = self.step(f"a Pod is taken away: {how}", after)
        pods = sorted(cluster.nodes.pods.values(), key=lambda pod: pod.name)
        if pods:
            pod = pods[number % len(pods)]
            match how:
                case "evict":
                    pod.evict("EvictionByEvictionAPI")
                case "fail":
                    pod.fail("Evicted")
                case _:
                    pod.delete()

    @rule(room=st.sampled_from([0, 1, 20, 20]))
    def the_nodes_have_room_or_not(self, room: int) -> None:
        self.step("the nodes have room or not").nodes.room = room

    @rule(quota=st.sampled_from([None, None, 1, 2]))
    def there_is_a_quota_or_not(self, quota: int | None) -> None:
        self.step("there is a quota or not").nodes.quota = quota

    @rule(what=st.sampled_from(["storage", "scheduler", "controllers"]), down=st.booleans())
    def the_cluster_is_in_trouble(self, what: str, down: bool) -> None:
        cluster = self.step(f"the cluster is in trouble: {what}")
        match what:
            case "storage":
                cluster.nodes.storage_down = down
            case "scheduler":
                cluster.nodes.scheduler_down = down
            case _:
                cluster.deployments.asleep = down

    @rule(seconds=st.sampled_from([15.0, 60.0, 400.0]), after=MOMENTS)
    def what_all_pods_need_is_gone_for_a_while(self, seconds: float, after: float) -> None:
        cluster = self.step("what all Pods need is gone for a while", after)
        cluster.promises.excuses.add("the backend fails")
        cluster.nodes.lose_backend()
        cluster.run(seconds)
        cluster.nodes.backend_down = False


def failing(collection: str, count: int, how: str) -> Callable[[str], str | None]:
    """The next requests to a collection fail so."""
    left = [count]

    def fails(asked: str) -> str | None:
        if asked != collection or left[0] <= 0:
            return None
        left[0] -= 1
        return how

    return fails
