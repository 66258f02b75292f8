"""The registry, and what becomes of an image that is run: its fate, which podpin has to find out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from tests.builders import digest


@dataclass(frozen=True, slots=True)
class Fate:
    """What happens to a container of an image. Seconds count from the start of the container."""

    says: str
    ready_after: float = 1.0
    exits_after: float | None = None
    """It exits then, each time."""
    exit: tuple[int, str, str] = (1, "Error", "")
    """With which code, reason and message."""
    stays_ready: float | None = None
    """It loses its readiness so long after it has had it."""
    returns_after: float | None = None
    """And has it again so much later; None: never."""
    pull: str | None = None
    """Why it cannot be pulled by any node."""
    config: str | None = None
    """Why its container cannot be created."""
    good: bool = False
    """A release of it is to become stable."""
    rots: bool = False
    """It becomes stable first, and is not rolled back when it fails later."""

    def is_restless(self, *, probed: bool) -> bool:
        """Its Pods are ready at times and at times not, long after it was rolled out."""
        sometimes = self.exits_after is not None and self.exits_after > (self.ready_after if probed else 0)
        return self.rots or sometimes or self.returns_after is not None


NO_BINARY: Final = 'runc create failed: exec: "/bin/no": stat /bin/no: no such file or directory: unknown'

FATES: Final[Mapping[str, Fate]] = {
    "a": Fate("good", ready_after=1, good=True),
    "b": Fate("good, and starts in its own time", ready_after=12, good=True),
    "c": Fate("good, and slow", ready_after=45, good=True),
    "d": Fate("crashes at once", ready_after=5, exits_after=0.5),
    "e": Fate("crashes soon after it was ready", ready_after=2, exits_after=6),
    "f": Fate("never gets ready", ready_after=1e9),
    "0": Fate("is killed for its memory", ready_after=20, exits_after=3, exit=(137, "OOMKilled", "")),
    "1": Fate("has no binary", exits_after=0, exit=(128, "StartError", NO_BINARY)),
    "2": Fate("is ready for three seconds at a time", ready_after=2, stays_ready=3, returns_after=3),
    "3": Fate("lacks a key of its Secret", config="couldn't find key url in Secret shop/db"),
    "4": Fate("has no variant for the nodes", pull="no match for platform in manifest: not found"),
    "5": Fate("loses its readiness for good", ready_after=2, stays_ready=4),
    "6": Fate("fails after ten minutes", ready_after=3, stays_ready=600, rots=True),
}
GOOD: Final = tuple(letter for letter, fate in FATES.items() if fate.good)
BAD: Final = tuple(letter for letter, fate in FATES.items() if not fate.good and not fate.rots)
BROKEN: Final = Fate("does not survive its template", ready_after=5, exits_after=0.5)
UNSEEN: Final = Fate("is good as far as anybody can see", good=True)
"""What a readiness probe would show, without a readiness probe."""
MISSING: Final = 'failed to pull and unpack image "x": failed to resolve reference "x": x: not found'
BUSY: Final = "received unexpected HTTP status: 503 Service Unavailable"


def letter_of(image: str) -> str:
    """The letter of which an image's digest is made."""
    return image[-1]


def fate_of(template: Mapping[str, Any]) -> Fate:
    """What becomes of Pods of a template."""
    container = template["spec"]["containers"][0]
    if "--broken" in (container.get("args") or ()):
        return BROKEN
    fate = FATES[letter_of(container["image"])]
    if "readinessProbe" not in container and (fate.stays_ready is not None or fate.ready_after > 1e6):
        return UNSEEN
    return fate


@dataclass
class Registry:
    """One repository with one tag that moves."""

    tag: str | None = "a"
    """The letter of the digest that the tag names; None: somebody has deleted the tag."""
    down: bool = False
    lost: set[str] = field(default_factory=set)
    """Letters of digests that are gone."""
    lies: bool = False
    """What the nodes ask says "not found" of everything, and it is not so."""

    def has(self, exact: str) -> bool:
        """Whether the registry itself has a digest."""
        return all(exact != digest(letter) for letter in self.lost)

    def pull(self, image: str) -> str | None:
        """Why a node cannot pull an image now, or None."""
        if self.down:
            return BUSY
        if self.lies or letter_of(image) in self.lost:
            return MISSING
        return FATES[letter_of(image)].pull
