"""What must hold in every weather: checked at each of podpin's writes, before and after it is done.

Each promise is a method named for what it says. What the model knows and podpin does not is the fate of an image, so
that a wrong verdict shows at the moment in which it is written.
"""

from __future__ import annotations

import json
import operator
from typing import TYPE_CHECKING, Any, Final

from podpin.core import names
from podpin.core.names import PAUSE, REQUEST_APPROVE, Key
from podpin.core.release import Record, record_of
from podpin.core.status import parse_status, render_status
from podpin.core.transitions import ASKED, order_of
from tests.simulation.images import fate_of, letter_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.simulation.api import Json
    from tests.simulation.cluster import PaperCluster
    from tests.simulation.images import Fate

WRITERS: Final = ("deployments", "controllerrevisions", "imagerollouts", "pods")
"""The collections that podpin may write to."""
CANARY: Final = "web-canary"


class Promises:
    def __init__(self, cluster: PaperCluster) -> None:
        self._cluster, self._api = cluster, cluster.api
        self._read: tuple[list[Json], dict[str, Record]] | None = None
        """The records as they were read last: most of the time they are the same."""
        self.causes = 0
        """How often there was a reason to change what runs."""
        self.changes: list[str] = []
        """The releases that podpin has made the workload run, one after another."""
        self.canaries: list[str] = []
        """The releases that podpin has given a canary, one after another."""
        self.excuses: set[str] = set()
        """What has happened since the last change that may lead to the rejection of a good release, rightly."""
        self.excused: set[str] = set()
        """Good releases that were rejected, rightly."""
        self.forgotten: set[str] = set()
        """Releases whose records a backup did not have."""
        self.unseen: set[str] = set()
        """Bad releases that were proven while nobody could see how their Pods do."""
        self.blinded = False
        """Since the last change nobody could see how the Pods do: the operator's clock has jumped forward over the
        trial, or a node has fallen silent."""

    def cause(self, count: int = 1) -> None:
        """Something has happened for which podpin may change what runs."""
        self.causes += count

    def records(self) -> dict[str, Record]:
        """All records, by release."""
        listed = self._api.all("controllerrevisions")
        if self._read is None or len(self._read[0]) != len(listed) or any(map(operator.is_not, self._read[0], listed)):
            found = (record_of(raw["metadata"]) for raw in listed)
            self._read = (listed, {record.release: record for record in found if record is not None})
        return self._read[1]

    def stable(self) -> Record | None:
        """The newest stable release."""
        return max((one for one in self.records().values() if one.is_stable), key=order_of, default=None)

    def fate(self, release: str | None) -> Fate | None:
        """What becomes of a release."""
        raw = self._api.get("controllerrevisions", names.record_name("web", release)) if release else None
        return _fate(raw) if raw is not None else None

    def witness(self, method: str, collection: str, name: str, body: Any, do: Callable[[], Json]) -> Json:
        """See one write, and have it done."""
        assert collection in WRITERS, f"podpin writes to {collection}"
        if collection == "pods":
            return self._sees_pod(method, name, body, do)
        runs, records, stable, canary = self._cluster.running, self.records(), self.stable(), self._cluster.canary
        if method != "DELETE":
            self.nothing_is_written_without_a_digest(body)
        elif collection == "controllerrevisions":
            self.no_release_that_matters_is_pruned(name, runs, stable)
        else:
            assert name == CANARY, f"podpin deletes {collection} {name}"
        answer = do()
        if collection == "imagerollouts":
            self.status_can_be_read_back(answer)
        elif collection == "controllerrevisions" and method != "DELETE":
            self._sees_verdict(answer, records, stable)
        elif name == CANARY and method != "DELETE":
            self._sees_canary(canary, records)
        self._sees_what_runs(runs, canary, stable)
        return answer

    # --- at a write

    def nothing_is_written_without_a_digest(self, body: Any) -> None:
        """Nothing that podpin writes names an image without a digest."""
        for image in _images(body):
            assert "@sha256:" in image, f"an image without a digest: {image}"

    def no_release_that_matters_is_pruned(self, name: str, runs: str | None, stable: Record | None) -> None:
        """The stable release is never lost and never pruned, nor is that which runs."""
        canary = self._cluster.canary
        needed = (runs, stable and stable.release, canary and canary[0])
        kept = {names.record_name("web", one) for one in needed if one}
        assert name not in kept, f"{name} is pruned, and needed"

    def status_can_be_read_back(self, answer: Json) -> None:
        """What status says is what podpin reads from it."""
        assert render_status(parse_status(answer["status"])) == answer["status"]

    def _sees_what_runs(self, before: str | None, canary: tuple[str, int] | None, stable: Record | None) -> None:
        now, records = self._cluster.running, self.records()
        if now is None or now == before:
            return
        self.changes.append(now)
        self.no_rejected_release_is_applied(records.get(now))
        self.there_is_no_second_rollout(self.changes)
        newest = self.stable()
        if newest is None or newest.release != now:  # else podpin goes back
            if stable is not None and before == stable.release:
                self.stable_gives_way_to_what_a_canary_has_tried(now, canary)
            if canary is None or canary[0] != now:
                self.nothing_begins_while_it_is_held(records[now], stable)
            self.nothing_goes_on_while_it_is_paused()
        self._begins()

    def _begins(self) -> None:
        """What happened before is no excuse for what is tried from now on."""
        backend = {"the backend fails"} if self._cluster.nodes.backend_down else set()
        self.excuses = self._cluster.lasting_excuses() | backend
        self.blinded = any(not node.up for node in self._cluster.nodes.nodes)

    def _sees_canary(self, before: tuple[str, int] | None, records: dict[str, Record]) -> None:
        canary = self._cluster.canary
        assert canary is not None
        if canary == before:
            return
        release, step = canary
        self.no_rejected_release_is_applied(records.get(release))
        self.nothing_goes_on_while_it_is_paused()
        anew = release in self.forgotten and step == 1  # its record does not tell that it was tried before
        self.forgotten.discard(release)
        if before is not None and before[0] == release and not anew:
            assert step == before[1] + 1, f"the canary goes from step {before[1]} to {step}"
            self.a_step_that_asks_waits_for_approval(release, before[1])
            return
        assert step == 1, f"the canary begins with step {step}"
        self.canaries.append(release)
        self.there_is_no_second_rollout(self.canaries)
        self.nothing_begins_while_it_is_held(records[release], self.stable())
        self._begins()

    # --- canaries and gates

    def stable_gives_way_to_what_a_canary_has_tried(self, release: str, canary: tuple[str, int] | None) -> None:
        """Where canaries are wanted, the stable release is not touched before one has taken all steps, and stood."""
        steps = self._steps()
        podpin, spec = self._cluster.podpin, self._spec()
        assert podpin is not None
        replicas = spec["workload"].get("replicas", 1) if self._cluster.has_pods else podpin.replicas()
        if not steps or not replicas:
            return
        assert canary is not None, f"{release} takes over without a canary"
        done = canary[0] == release and canary[1] >= len(steps)
        assert done, f"{release} takes over, and the canary is {canary}"
        self.a_step_that_asks_waits_for_approval(release, len(steps))
        fate = self.fate(release)
        assert fate is None or fate.good or fate.rots or self.blinded, f"what {fate.says} passes its canary"

    def _spec(self) -> Json:
        assert self._cluster.podpin is not None
        spec: Json = self._cluster.podpin.basis["spec"]
        return spec

    def _steps(self) -> list[Json]:
        canary = self._spec()["rollout"].get("canary")
        return [] if canary is None else canary.get("steps") or [canary]

    def _annotation(self, name: str) -> str | None:
        assert self._cluster.podpin is not None
        value: str | None = (self._cluster.podpin.basis["metadata"].get("annotations") or {}).get(name)
        return value

    def a_step_that_asks_waits_for_approval(self, release: str, step: int) -> None:
        """After a step with a pause nothing more happens without a person's word."""
        steps = self._steps()
        if step > len(steps) or not steps[step - 1].get("pause"):
            return
        asked, _, number = (self._annotation(REQUEST_APPROVE) or "").partition("/")
        assert asked == release, f"step {step} goes on with the approval of {asked or 'nobody'}"
        assert int(number or 0) >= step, f"step {step} goes on with the approval of {number or 'none'}"

    def nothing_goes_on_while_it_is_paused(self) -> None:
        """Nothing new begins or goes on while the rollout is paused."""
        assert self._annotation(PAUSE) is None, "it goes on while paused"

    def nothing_begins_while_it_is_held(self, record: Record, stable: Record | None) -> None:
        """No new release begins while a gate is closed, by what podpin knew when its look began."""
        podpin, spec, release = self._cluster.podpin, self._spec(), record.release
        assert podpin is not None
        if spec.get("dependsOn"):
            status = podpin.known(Key("shop", "db")).get("status") or {}
            assert status["conditions"][0]["status"] == "True", f"{release} begins without what it depends on"
        approved = (self._annotation(REQUEST_APPROVE) or "").partition("/")[0] == release
        if stable is None or approved or (record.request or "").partition("=")[0].endswith("retry"):
            return
        update = spec["update"]
        assert update["mode"] == "Auto", f"{release} begins without approval"
        moments = (podpin.began, self._cluster.now())
        assert not update["windows"] or any(moment.minute < 20 for moment in moments), f"{release} begins too late"
        assert not update["freeze"] or any(not 10 <= moment.minute < 15 for moment in moments), f"{release} begins"

    # --- Pods that podpin makes itself

    def _sees_pod(self, method: str, name: str, body: Any, do: Callable[[], Json]) -> Json:
        podpin = self._cluster.podpin
        assert podpin is not None
        # By its name, too: one that is gone already may be deleted once more, where the news of that is late.
        pulls = names.LABEL_PULLS in (body.get("metadata") or {}).get("labels", {}) or "-pull-" in name
        assert self._cluster.has_pods or pulls, f"podpin writes to Pod {name}"
        if pulls:
            self.nothing_is_written_without_a_digest(body)
            return do()
        if method == "POST" and body.get("kind") == "Pod":
            self.nothing_is_written_without_a_digest(body)
            answer = do()
            self.there_are_never_too_many_pods()
            return answer
        if method in ("DELETE", "POST"):
            self.what_serves_is_not_taken_away(name)
        return do()

    def _pullers(self) -> set[str]:
        """The Pods that only pull a release."""
        return {name for name, pod in self._cluster.nodes.pods.items() if pod.pulls}

    def there_are_never_too_many_pods(self) -> None:
        """However late podpin hears: never more Pods than replicas and surge. On the way back the stable release's are
        made at once, beside those of a rejected one that serve, and these only count as long as they are there."""
        terms, records = self._cluster.terms, self.records()
        there = [pod for pod in self._cluster.pods if pod.active]
        if len(there) <= terms.replicas + terms.surge:
            return
        running = records[self._cluster.running or ""]
        own = [pod for pod in there if pod.is_of(running)]
        others = [record for pod in there if (record := records.get(pod.labels[names.LABEL_RELEASE])) is not None]
        told = f"{len(there)} Pods, {len(own)} of {running.release}, for {terms}"
        assert running.is_stable and any(one.is_rejected for one in others), f"not on the way back: {told}"  # noqa: PT018
        assert terms.surge, told
        assert len(own) <= terms.replicas, told

    def what_serves_is_not_taken_away(self, name: str) -> None:
        """As far as podpin knows, its own doing leaves as many available Pods as the strategy demands."""
        podpin, terms, now = self._cluster.podpin, self._cluster.terms, self._cluster.now()
        assert podpin is not None

        def serves(pod: Any) -> bool:
            long = pod.ready_changed is not None and now >= pod.ready_changed + terms.ready_for
            return pod.ready and not pod.deleting and not pod.is_over and long

        # What has changed since the look began may not be known to the decision that it led to.
        for pods in (podpin.pods(), podpin.basis_pods):
            if not any(pod.name == name and serves(pod) for pod in pods):
                return
        left = max(sum(serves(pod) for pod in pods if pod.name != name) for pods in (podpin.pods(), podpin.basis_pods))
        assert left >= terms.floor, f"{left} Pods are left to serve, of {terms}"

    def no_rejected_release_is_applied(self, record: Record | None) -> None:
        """A rejected release is not applied again without a new cause."""
        assert record is not None, "what is applied has no record"
        assert not record.is_rejected, f"{record.release} was rejected, and is applied again"

    def there_is_no_second_rollout(self, changes: list[str]) -> None:
        """Whatever podpin has died of: what runs, or is a canary, changes no more often than there are causes."""
        assert len(changes) <= self.causes, f"{len(changes)} changes for {self.causes} causes: {changes}"

    def _sees_verdict(self, answer: Json, before: dict[str, Record], stable: Record | None) -> None:
        record = record_of(answer["metadata"])
        assert record is not None
        old = before.get(record.release)
        if old is not None and old.verdict == record.verdict:
            return
        if record.is_rejected:
            self.cause()
            assert record.verdict is not None
            self.stable_is_not_lost(record, stable, before)
            if record.verdict.reason != ASKED:
                self.no_good_release_is_rejected(record, answer)
        if record.is_stable and record.verdict is not None and record.verdict.reason != ASKED:
            self.no_bad_release_is_proven(record, answer)

    def stable_is_not_lost(self, record: Record, stable: Record | None, before: dict[str, Record]) -> None:
        """The newest stable release is given up only for another one, by a person's word."""
        if stable is None or stable.release != record.release:
            return
        others = [one for one in before.values() if one.is_stable and one.release != record.release]
        assert others, "the last stable release is rejected"
        assert record.verdict is not None
        assert record.verdict.reason == ASKED, f"the stable release is rejected: {record.verdict}"

    def no_good_release_is_rejected(self, record: Record, raw: Json) -> None:
        """No fault of the cluster, lag, jump of a clock, restart, eviction or scaling is blamed on a release."""
        fate = _fate(raw)
        if not fate.good:
            return
        excuses = (
            self.excuses | self._cluster.lasting_excuses() | self._cluster.excuses_now(letter_of(record.images[0][1]))
        )
        if excuses:
            self.excused.add(record.release)
        assert excuses, f"a good release is rejected: {record.verdict}"

    def no_bad_release_is_proven(self, record: Record, raw: Json) -> None:
        """What does not run well for the bake time is not stable."""
        fate = _fate(raw)
        if not fate.good and not fate.rots:
            assert self.blinded, f"a release that {fate.says} is proven: {record.verdict}"
            self.unseen.add(record.release)

    # --- at rest

    def complaint(self) -> str | None:
        """What is not as it should be yet, or None."""
        try:
            self.all_is_as_it_should_be()
        except AssertionError as error:
            return str(error)
        return None

    def all_is_as_it_should_be(self) -> None:
        """Left alone for long enough, everything comes to rest in the right state."""
        cluster, records, stable = self._cluster, self.records(), self.stable()
        ready, wanted = cluster.ready, cluster.wanted
        told = f"wanted {wanted}, runs {cluster.running}, stable {stable and stable.release}, Ready {ready}"
        if wanted is None:
            assert cluster.running is None, told
            return
        assert not self._pullers(), f"Pods that pull are left: {self._pullers()}: {told}"
        record = records.get(wanted.id)
        assert record is not None, f"what is wanted has no record: {told}"
        if cluster.has_pods:
            failed = [pod for pod in cluster.pods if pod.phase == "Failed" and pod.owners]
            assert not failed, f"a Pod that has failed is still there: {told}"
        fate = fate_of(
            {"spec": {"containers": [{**wanted.template["spec"]["containers"][0], "image": wanted.images[0][1]}]}}
        )
        verdict = record.verdict
        told = f"{told}, verdict {verdict}"
        if fate.good:
            by_right = verdict is not None and (verdict.reason == ASKED or wanted.id in self.excused)
            by_right = by_right and cluster.running != wanted.id  # what runs all the same is proven when it comes up
            assert record.is_stable or (record.is_rejected and by_right), f"a good release is not stable: {told}"
        elif not fate.rots and not self.blinded and not self.stable_is_ill(stable):
            assert record.is_rejected, f"a bad release is not rejected: {told}"
        if record.verdict is None and self.stable_is_ill(stable):
            return  # it is not blamed as long as its control group fails
        if record.is_stable and stable is not None and stable.release == wanted.id:
            expected = wanted.id
        elif stable is not None and (cluster.rollback_enabled or cluster.running != wanted.id):
            expected = stable.release
        else:
            expected = wanted.id
        if stable is None and record.is_rejected and cluster.running != wanted.id:
            # One rejected release is not exchanged for another, nor brought back once its Deployment is gone.
            running = records.get(cluster.running or "")
            assert running is None or running.verdict is not None or self.blinded, f"no verdict yet: {told}"
            return
        assert cluster.running == expected, f"{expected} should run: {told}"
        if not self.stable_is_ill(stable):
            self.the_canary_is_gone(wanted.id, records)
        if cluster.has_pods and records[expected].is_stable:
            self.there_are_as_many_pods_as_there_should_be(expected)
        if cluster.running == wanted.id and record.is_stable:
            ill = [] if fate.good else [("False", "Degraded"), ("Unknown", "Progressing")]
            assert ready in (("True", "RolledOut"), *ill), told
        elif cluster.running == wanted.id:
            assert ready == ("False", "Rejected"), told
        else:
            slow = ["RollingBack"] if self.stable_is_ill(stable) else []
            assert ready[1] in ("RolledBack", "Degraded", *slow), told

    def stable_is_ill(self, stable: Record | None) -> bool:
        """The control group fails, so that nothing is blamed on another release."""
        fate = self.fate(stable.release) if stable else None
        return stable is not None and fate is not None and (fate.rots or stable.release in self.unseen)

    def the_canary_is_gone(self, wanted: str, records: dict[str, Record]) -> None:
        """It is taken away when it has done its part, or failed; it stays where nothing is to be taken back."""
        canary = self._cluster.canary
        if canary is not None:
            record = records.get(canary[0])
            failed = canary[0] == wanted and record is not None and record.is_rejected
            left = failed and not self._cluster.rollback_enabled
            assert left, f"the canary is there still: {canary}, {record}"

    def there_are_as_many_pods_as_there_should_be(self, running: str) -> None:
        """Pods of what runs, no others, and none that has failed."""
        pods, replicas = [pod for pod in self._cluster.pods if pod.owners], self._cluster.wish.replicas
        own = [pod for pod in pods if pod.labels[names.LABEL_RELEASE] == running and pod.active]
        told = f"{len(pods)} Pods, {len(own)} of {running}, for {replicas} replicas"
        assert len(own) == len(pods) == (1 if replicas is None else replicas), told

    def a_quiet_world_gets_no_writes(self, seconds: float) -> None:
        """Nothing happens, so podpin writes nothing."""
        cluster = self._cluster
        before = len(cluster.connection.writes)
        cluster.run(seconds)
        after = cluster.connection.writes[before:]
        assert not after, f"podpin writes in a quiet world: {after[:5]} ({len(after)})"


def _fate(raw: Json) -> Fate:
    container = raw["data"]["template"]["spec"]["containers"][0]
    image = raw["data"]["images"][container["name"]]
    return fate_of({"spec": {"containers": [{**container, "image": image}]}})


def _images(value: Any) -> Iterator[str]:
    """All that is named an image in something that is written, also in JSON within it."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if key == "image" and isinstance(inner, str) and "/" in inner:
                yield inner
            elif key == "images" and isinstance(inner, dict):
                yield from inner.values()
            elif key == names.ANNOTATION_IMAGES:
                yield from json.loads(inner).values()
            else:
                yield from _images(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _images(inner)
