"""How long choosing among many tags takes: CPU time, for it is pure computing."""

from __future__ import annotations

import random
import time

from podpin.core.policy import Choice, choose
from podpin.core.spec.images import Policy, Selection, SemverPolicy
from tests.bench import figures

TAGS = 10_000
RUNS = 50


def measure() -> figures.Figure:
    """Choose again and again, from a list in the order of a registry that sorts its tags, and from a shuffled one."""
    versions = [f"{'v' * (n % 2)}{n // 1000}.{n // 10 % 100}.{n % 10}" for n in range(TAGS)]
    shuffled = random.Random(1).sample(versions, len(versions))
    selection = Selection(Policy(semver=SemverPolicy(range=">=2.1 <9 || ~9.5")))
    samples = []
    for tags in (sorted(versions), shuffled) * RUNS:
        begun = time.thread_time()
        choice = choose(selection, tags)
        samples.append(time.thread_time() - begun)
        if not isinstance(choice, Choice):
            raise figures.CannotMeasureError("choosing among 10,000 tags found none, which is a mistake of the bench.")
    return figures.median("choose", samples)
