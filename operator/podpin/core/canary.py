"""The canary: a few Pods of a new release beside the workload, which is not touched before they have proven healthy.

It is a workload of its own behind the same Service, for its Pods have the labels of the template. It takes one step
after another, each with its number of Pods and its bake time, and is judged alone, by the rules by which any release
is judged. After the last step it has done its part: the workload takes the release over and is judged in its turn, and
the canary goes. Where it fails it goes as well, and nothing else has happened.

How many Pods a step has is settled when it begins, so that nobody who scales the workload meanwhile disturbs it. The
step stands on the canary itself: a crash of podpin forgets nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta

from podpin.core.observation import Observation
from podpin.core.release import Images, digest_of
from podpin.core.spec import Spec


@dataclass(frozen=True, slots=True)
class Step:
    """One step: a number of Pods or a part of the workload's, in percent."""

    replicas: int | None
    percent: int | None
    bake: timedelta
    """How long its Pods must be undisturbed."""
    pause: bool
    """Whether a person must approve of what comes next."""

    def size(self, replicas: int) -> int:
        """How many Pods the canary has, where the workload has so many."""
        if self.replicas is not None:
            return self.replicas
        assert self.percent is not None
        return max(1, -(-replicas * self.percent // 100))


def steps_of(spec: Spec) -> tuple[Step, ...]:
    """The steps that a new release takes before it takes the workload over; none where there is no canary."""
    canary, usual = spec.rollout.canary, spec.rollout.bake_time
    if canary is None:
        return ()
    return tuple(
        Step(each.replicas, each.percent, usual if each.bake_time is None else each.bake_time, each.pause)
        for each in canary.steps or (canary,)
    )


def apart(seen: Observation) -> Observation:
    """The world without the canary: the workload with its own Pods."""
    return replace(seen, canary=None, pods=tuple(pod for pod in seen.pods if not pod.canary))


def beside(seen: Observation) -> Observation:
    """The world as if the canary were the workload. The Pods of other releases stay in it, as the control group."""
    release = seen.canary.release if seen.canary else None
    pods = tuple(pod for pod in seen.pods if pod.canary or pod.release != release)
    return replace(seen, workload=seen.canary, canary=None, pods=pods)


def on_trial(seen: Observation) -> Observation:
    """The part of the world that is judged: the canary's, where there is one."""
    return apart(seen) if seen.canary is None else beside(seen)


def canary_intent(release: str, images: Images, retried: str | None, step: int, replicas: int) -> str:
    """A hash of everything that the canary is to be."""
    return digest_of(
        {
            "v": 1,
            "canary": [step, replicas],
            "release": release,
            "images": dict(images),
            **({"retried": retried} if retried else {}),
        }
    )
