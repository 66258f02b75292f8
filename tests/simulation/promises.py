"""What must hold in every weather: checked at each of podpin's writes, before and after it is done.

Each promise is a method named for what it says. What the model knows and podpin does not is the fate of an image, so
that a wrong verdict shows at the moment in which it is written.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from podpin.core import names
from podpin.core.names import LABEL_RELEASE
from podpin.core.release import Record, record_of
from podpin.core.status import parse_status, render_status
from podpin.core.transitions import ASKED, order_of
from tests.simulation.images import fate_of, letter_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.simulation.api import Json
    from tests.simulation.cluster import PaperCluster

WRITERS: Final = ("deployments", "controllerrevisions", "imagerollouts")
"""The collections that podpin may write to."""


class Promises:
    def __init__(self, cluster: PaperCluster) -> None:
        self._cluster, self._api = cluster, cluster.api
        self.causes = 0
        """How often there was a reason to change what runs."""
        self.changes: list[str] = []
        """The releases that podpin has made the workload run, one after another."""
        self.excuses: set[str] = set()
        """What has happened since the last change that may lead to the rejection of a good release, rightly."""
        self.excused: set[str] = set()
        """Good releases that were rejected, rightly."""
        self.blinded = False
        """Since the last change nobody could see how the Pods do: the operator's clock has jumped forward over the
        trial, or a node has fallen silent."""

    def cause(self, count: int = 1) -> None:
        """Something has happened for which podpin may change what runs."""
        self.causes += count

    def records(self) -> dict[str, Record]:
        """All records, by release."""
        found = (record_of(raw["metadata"]) for raw in self._api.all("controllerrevisions"))
        return {record.release: record for record in found if record is not None}

    def stable(self) -> Record | None:
        """The newest stable release."""
        return max((one for one in self.records().values() if one.is_stable), key=order_of, default=None)

    def witness(self, method: str, collection: str, name: str, body: Any, do: Callable[[], Json]) -> Json:
        """See one write, and have it done."""
        assert collection in WRITERS, f"podpin writes to {collection}"
        runs, records, stable = self._cluster.running, self.records(), self.stable()
        if method == "DELETE":
            self.no_release_that_matters_is_pruned(name, runs, stable)
        else:
            self.nothing_is_written_without_a_digest(body)
        answer = do()
        if collection == "deployments":
            self._sees_workload(answer, runs, records)
        elif collection == "controllerrevisions" and method != "DELETE":
            self._sees_verdict(answer, records, stable)
        elif collection == "imagerollouts":
            self.status_can_be_read_back(answer)
        return answer

    # --- at a write

    def nothing_is_written_without_a_digest(self, body: Any) -> None:
        """Nothing that podpin writes names an image without a digest."""
        for image in _images(body):
            assert "@sha256:" in image, f"an image without a digest: {image}"

    def no_release_that_matters_is_pruned(self, name: str, runs: str | None, stable: Record | None) -> None:
        """The stable release is never lost and never pruned, nor is that which runs."""
        kept = {names.record_name("web", one) for one in (runs, stable and stable.release) if one}
        assert name not in kept, f"{name} is pruned, and needed"

    def status_can_be_read_back(self, answer: Json) -> None:
        """What status says is what podpin reads from it."""
        assert render_status(parse_status(answer["status"])) == answer["status"]

    def _sees_workload(self, answer: Json, runs: str | None, records: dict[str, Record]) -> None:
        now = answer["spec"]["template"]["metadata"]["labels"][LABEL_RELEASE]
        if now == runs:
            return
        self.changes.append(now)
        backend = {"the backend fails"} if self._cluster.nodes.backend_down else set()
        self.excuses = self._cluster.lasting_excuses() | backend
        self.blinded = any(not node.up for node in self._cluster.nodes.nodes)
        self.no_rejected_release_is_applied(records.get(now))
        self.there_is_no_second_rollout()

    def no_rejected_release_is_applied(self, record: Record | None) -> None:
        """A rejected release is not applied again without a new cause."""
        assert record is not None, "what is applied has no record"
        assert not record.is_rejected, f"{record.release} was rejected, and is applied again"

    def there_is_no_second_rollout(self) -> None:
        """Whatever podpin has died of: what runs changes no more often than there are causes."""
        assert len(self.changes) <= self.causes, f"{len(self.changes)} changes for {self.causes} causes: {self.changes}"

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
        if not fate.good and not fate.rots and not self.blinded:
            raise AssertionError(f"a release that {fate.says} is proven: {record.verdict}")

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
        record = records.get(wanted.id)
        assert record is not None, f"what is wanted has no record: {told}"
        fate = fate_of(
            {"spec": {"containers": [{**wanted.template["spec"]["containers"][0], "image": wanted.images[0][1]}]}}
        )
        verdict = record.verdict
        told = f"{told}, verdict {verdict}"
        if fate.good:
            by_right = verdict is not None and (verdict.reason == ASKED or wanted.id in self.excused)
            by_right = by_right and cluster.running != wanted.id  # what runs all the same is proven when it comes up
            assert record.is_stable or (record.is_rejected and by_right), f"a good release is not stable: {told}"
        elif not fate.rots and not self.blinded:
            assert record.is_rejected, f"a bad release is not rejected: {told}"
        if record.is_stable and stable is not None and stable.release == wanted.id:
            expected = wanted.id
        elif stable is not None and (cluster.rollback_enabled or cluster.running != wanted.id):
            expected = stable.release
        else:
            expected = wanted.id
        if stable is None and record.is_rejected and cluster.running != wanted.id:
            return  # one rejected release is not exchanged for another, nor brought back once its Deployment is gone
        assert cluster.running == expected, f"{expected} should run: {told}"
        if cluster.running == wanted.id and record.is_stable:
            assert ready in (("True", "RolledOut"), *([("False", "Degraded")] if fate.rots else [])), told
        elif cluster.running == wanted.id:
            assert ready == ("False", "Rejected"), told
        else:
            assert ready[1] in ("RolledBack", "Degraded"), told

    def a_quiet_world_gets_no_writes(self, seconds: float) -> None:
        """Nothing happens, so podpin writes nothing."""
        cluster = self._cluster
        before = len(cluster.connection.writes)
        cluster.run(seconds)
        after = cluster.connection.writes[before:]
        assert not after, f"podpin writes in a quiet world: {after[:5]} ({len(after)})"


def _fate(raw: Json) -> Any:
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
