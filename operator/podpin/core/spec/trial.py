"""How a new version is tried, and what follows when it fails: `spec.rollout` and `spec.rollback`."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, ClassVar, Final

from pydantic import Field

from podpin.core.schema import Keyed, Part, Rule, Span
from podpin.core.spec.checks import MAX_CHECKS, CheckSpec

MAX_STEPS: Final = 8

Size = Annotated[int, Field(ge=1, le=1000, json_schema_extra={"format": "int32"})]
Percent = Annotated[int, Field(ge=1, le=100, json_schema_extra={"format": "int32"})]
BakeTime = Annotated[timedelta, Span("0s", "24h")]


class CanaryStep(Part):
    """One step of a canary: how many Pods, and for how long."""

    replicas: Size | None = None
    """How many Pods the canary has, from 1 to 1000."""
    percent: Percent | None = None
    """How many Pods the canary has, in percent of those of the workload when the step begins; rounded up, so that there
    is always one."""
    bake_time: BakeTime | None = None
    """How long every Pod of the canary must stay ready, without a restart, up to 24h; left out, rollout.bakeTime."""
    pause: bool = False
    """Wait, once the step is done, for the annotation podpin.dev/approve=RELEASE/STEP."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "has(self.replicas) != has(self.percent)",
            "a step of a canary needs either replicas or percent, and not both",
            lambda step: (step.replicas is None) != (step.percent is None),
        ),
    )


class CanarySpec(Part):
    """A few Pods of the new version beside the stable ones, which are not touched before these have proven healthy:
    either one step, by replicas or percent, or several."""

    replicas: Size | None = None
    """How many Pods the canary has, from 1 to 1000."""
    percent: Percent | None = None
    """How many Pods the canary has, in percent of those of the workload when it begins; rounded up."""
    bake_time: BakeTime | None = None
    """How long every Pod of the canary must stay ready, without a restart, up to 24h; left out, rollout.bakeTime."""
    pause: bool = False
    """Wait, once the canary has proven healthy, for the annotation podpin.dev/approve=RELEASE/1."""
    steps: Annotated[tuple[CanaryStep, ...], Field(max_length=MAX_STEPS)] = ()
    """Several steps, one after another, instead of replicas or percent."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "[has(self.replicas), has(self.percent), has(self.steps) && self.steps.size() > 0]"
            ".filter(given, given).size() == 1",
            "canary needs exactly one of replicas, percent and steps",
            lambda canary: (canary.replicas is not None) + (canary.percent is not None) + bool(canary.steps) == 1,
        ),
        Rule(
            "!has(self.steps) || self.steps.size() == 0 || !(has(self.bakeTime) || (has(self.pause) && self.pause))",
            "bakeTime and pause stand in each of the steps: leave them out beside steps",
            lambda canary: not canary.steps or not (canary.bake_time is not None or canary.pause),
        ),
    )


class RolloutSpec(Part):
    """When a new version counts as good."""

    progress_deadline: Annotated[timedelta, Span("1s", "24h")] = timedelta(minutes=10)
    """How long the new version may make no progress before it is rejected, from 1s to 24h."""
    bake_time: Annotated[timedelta, Span("0s", "24h")] = timedelta(seconds=30)
    """How long every replica must stay ready, without a restart, before the new version is stable; up to 24h."""
    pre_pull: bool = False
    """Pull a new version onto the nodes of the running Pods before anything changes; what can't be had is rejected."""
    canary: CanarySpec | None = None
    """Try a new version with a few Pods first; left out, it takes the place of the stable one Pod by Pod."""
    checks: Annotated[tuple[CheckSpec, ...], Field(max_length=MAX_CHECKS), Keyed("name")] = ()
    """What else must hold of the new version while its bake time runs: each check is made again and again, and must
    have passed the last time."""


class RollbackSpec(Part):
    """What follows when a new version fails."""

    enabled: bool = True
    """Go back to the stable version. If false, the failed one is named as such and left in place."""
