"""Several podpins: one works and the other takes over, or each has its share; nothing is lost or rolled out twice."""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest
import yaml
from tests.e2e.faultproxy import FaultProxy, Shot
from tests.e2e.stage import RELEASE, stays

from podpin.clock import now
from podpin.core.election import DEADLINE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.e2e.program import Program
    from tests.e2e.stage import Stage

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]

RIGHTS: Final = Path(__file__).parent.parent.parent / "manifests" / "ha" / "rbac.yaml"
STOPPED, DEAD = 1.0, 20.0
"""Within how many seconds the other leads when the leader is told to stop, and when it dies."""


@dataclass(frozen=True)
class Pair:
    """Two podpins that serve the stage's namespace and share a Lease in it."""

    stage: Stage
    first: Program
    second: Program

    def lease(self) -> dict[str, Any]:
        """What the Lease says."""
        spec: dict[str, Any] = json.loads(self.stage.kubectl("get", "lease", "podpin", "-o", "json"))["spec"]
        return spec

    def told(self, podpin: Program, words: str, count: int = 1) -> datetime | None:
        """When a podpin has logged this for that many times."""
        lines = podpin.log.read_text().splitlines() if podpin.log.exists() else []
        found = [one for one in map(json.loads, filter(_is_json, lines)) if words in one["message"]]
        return datetime.fromisoformat(found[count - 1]["time"]) if len(found) >= count else None

    def waits_until_leading(self, podpin: Program, name: str, since: datetime, timeout: float, count: int = 1) -> float:
        """Wait until a podpin leads; returns how many seconds after a certain time it began to."""
        at = self.stage.until(lambda: self.told(podpin, f"{name} leads", count), f"{name} to lead", timeout)
        took = float((at - since).total_seconds())
        self.stage.notes.append(f"{name} led after {took:.2f} s")
        return took


def _is_json(line: str) -> bool:
    return line.startswith("{")


@contextlib.contextmanager
def pair(stage: Stage, way: Path | None = None) -> Iterator[Pair]:
    """The first one leads, and the other stands by. `way` is the first one's to the API server."""
    stage.need("identities")
    for body in yaml.safe_load_all(
        RIGHTS.read_text().replace("namespace: podpin-system", f"namespace: {stage.namespace}")
    ):
        if body["kind"] == "RoleBinding":
            body["subjects"][0]["namespace"] = "podpin-system"
        stage.apply(body)

    def make(name: str, kubeconfig: Path | None = None) -> Program:
        flags = [f"--lease={stage.namespace}/podpin", f"--identity={name}", "--leader-elect", "--log-format=json"]
        more = {"kubeconfig": kubeconfig} if kubeconfig else {}
        return stage.make_podpin(f"{stage.namespace}-{name}", namespaces=[stage.namespace], flags=flags, **more)

    both = Pair(stage, make("first", way), make("second"))
    try:
        both.first.start()
        stage.until(lambda: both.told(both.first, "first leads"), "the first to lead")
        both.second.start()  # ready, though it does not lead
        stage.until(lambda: both.told(both.second, "second stands by: first leads"), "the second to stand by")
        yield both
        assert both.first.trouble() + both.second.trouble() == []
    except AssertionError as error:
        error.add_note(both.first.said())
        error.add_note(both.second.said())
        raise
    finally:
        both.first.kill()
        both.second.kill()


def begin(stage: Stage) -> None:
    """A first version is stable, and a second one is under way."""
    stage.push("1.0.0")
    stage.apply(stage.rollout(rollout={"bakeTime": "5s"}, registry={"interval": "10s"}))
    stage.until_stable("1.0.0")
    stage.push("1.1.0")
    stage.annotate("reconcile", "1.1.0")
    stage.until(lambda: runs(stage) == stage.release("1.1.0"), "1.1.0 to begin")


def runs(stage: Stage) -> str:
    return str(stage.deployment()["spec"]["template"]["metadata"]["labels"][RELEASE])


def ran(stage: Stage) -> list[str]:
    """The versions that the Deployment has run, in their order."""
    tags = {stage.release(tag): tag for tag in stage.verdicts()}
    return [tags[release] for release in stage.templates()]


def test_the_leader_is_killed_in_mid_rollout_and_told_to_stop_in_the_next_one(bare_stage: Stage) -> None:
    stage = bare_stage
    with pair(stage) as both:
        begin(stage)
        killed = now()
        both.first.kill()
        assert both.waits_until_leading(both.second, "second", killed, DEAD + 10) <= DEAD
        stage.until_stable("1.1.0")
        assert ran(stage) == ["1.0.0", "1.1.0"]

        both.first.start()
        stage.until(lambda: both.told(both.first, "first stands by: second leads"), "the first to stand by")
        stage.push("1.2.0", "missing_binary")
        stage.annotate("reconcile", "1.2.0")
        stage.until(lambda: runs(stage) == stage.release("1.2.0"), "1.2.0 to begin")
        stopped = now()
        code, _ = both.second.terminate()
        assert code == 0
        assert both.waits_until_leading(both.first, "first", stopped, DEAD, count=2) <= STOPPED
        stage.until_says("RolledBack", ":1.1.0@")
        assert ran(stage) == ["1.0.0", "1.1.0", "1.2.0", "1.1.0"]
        assert stage.verdicts() == {"1.0.0": "Stable", "1.1.0": "Stable", "1.2.0": "CannotStart"}
        assert both.lease()["leaseTransitions"] == 2

        assert both.first.terminate()[0] == 0
        assert both.lease()["holderIdentity"] == ""
        begun = now()
        both.second.start()
        assert both.waits_until_leading(both.second, "second", begun, DEAD, count=2) <= 10, "it waited for a free Lease"
        stage.look()
        assert ran(stage) == ["1.0.0", "1.1.0", "1.2.0", "1.1.0"]


def test_a_leader_that_is_cut_off_from_the_api_server_writes_nothing_from_when_another_may_lead(
    bare_stage: Stage,
) -> None:
    stage, cut = bare_stage, list[datetime]()
    way = stage.folder / f"{stage.namespace}.kubeconfig"

    def cut_off() -> None:
        proxy.cut()
        cut.append(now())

    proxy = FaultProxy(stage.kubeconfig, cut_off)
    proxy.start(way)
    try:
        with pair(stage, way) as both:
            stage.push("1.0.0")
            stage.apply(stage.rollout())
            stage.until_stable("1.0.0")
            proxy.aim(Shot(1, "before"))
            stage.push("1.1.0")
            stage.annotate("reconcile", "1.1.0")
            stage.until(lambda: cut, "the first to write of 1.1.0")
            assert both.waits_until_leading(both.second, "second", cut[0], DEAD + 10) <= DEAD
            lost = both.told(both.first, "first does not lead any more")
            assert lost is not None
            assert (lost - cut[0]).total_seconds() <= DEADLINE + 0.5
            assert both.first.ask("/healthz") == (200, "ok")
            assert both.first.ask("/readyz")[0] == 503
            stage.until_stable("1.1.0")
            # It goes on asking for the Lease, which is refused to whoever has not seen the newest state of it.
            assert not proxy.missed, "the first never wanted to write"
            assert [one for when, one in proxy.late if when > DEADLINE and "/leases" not in one] == []
            proxy.mend()
            both.first.wait_ready()
            stage.until(lambda: both.told(both.first, "first stands by: second leads"), "the first to stand by")
            stage.look()
            assert stage.verdicts() == {"1.0.0": "Stable", "1.1.0": "Stable"}
            assert ran(stage) == ["1.0.0", "1.1.0"]
    finally:
        proxy.stop()


def test_a_rollout_goes_over_from_one_share_to_another_in_mid_rollout(bare_stage: Stage) -> None:
    stage = bare_stage
    stage.need("identities")
    shares = {
        name: stage.make_podpin(
            f"{stage.namespace}-{name}", namespaces=[stage.namespace], flags=[f"--selector=shard={name}"]
        )
        for name in ("a", "b")
    }
    try:
        for podpin in shares.values():
            podpin.start()
        stage.push("1.0.0")
        body = stage.rollout(rollout={"bakeTime": "5s"}, registry={"interval": "10s"})
        body["metadata"]["labels"] = {"shard": "a"}
        stage.apply(body)
        stage.until_stable("1.0.0")
        stage.push("1.1.0")
        stage.annotate("reconcile", "1.1.0")
        stage.until(lambda: runs(stage) == stage.release("1.1.0"), "1.1.0 to begin")
        stage.change({"metadata": {"labels": {"shard": "b"}}})
        stage.until_stable("1.1.0")
        assert f"{stage.namespace}/web: RolledOut" in shares["b"].said("RolledOut")
        stage.push("1.2.0", "missing_binary")
        stage.look()
        stage.until_says("RolledBack", ":1.2.0@")
        assert ran(stage) == ["1.0.0", "1.1.0", "1.2.0", "1.1.0"]
        assert stage.verdicts() == {"1.0.0": "Stable", "1.1.0": "Stable", "1.2.0": "CannotStart"}
        assert "RolledBack" not in shares["a"].said()
        stage.change({"metadata": {"labels": {"shard": None}}})
        stage.push("1.3.0")
        stage.annotate("reconcile", "nobody's")
        stays(12, lambda: runs(stage) == stage.release("1.1.0"), "nobody serves it")
        assert [podpin.trouble() for podpin in shares.values()] == [[], []]
    except AssertionError as error:
        for podpin in shares.values():
            error.add_note(podpin.said())
        raise
    finally:
        for podpin in shares.values():
            podpin.kill()
