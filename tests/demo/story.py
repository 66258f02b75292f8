"""The story that the demo tells: four versions, one of them bad, and a client that notices nothing."""

from __future__ import annotations

import contextlib
import os
import re
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from tests.cluster.errors import ClusterError, last_lines
from tests.demo import backstage
from tests.demo.backstage import CRD, REPOSITORY
from tests.demo.errors import DemoError
from tests.demo.remains import NAMESPACE
from tests.demo.terminal import Awaited
from tests.waiting import NotInTimeError

if TYPE_CHECKING:
    from tests.cluster.application import Kind
    from tests.demo.backstage import Backstage
    from tests.demo.screen import Screen

PATIENCE: Final = 60.0
"""Seconds that any step may take, podpin's wait for its next look at the registry included."""
WATCH: Final = "kubectl get ir web --watch"
NEXT_LOOK: Final = "podpin looks at the registry every 10 s"
PLACES: Final = {
    "local": "A cluster of its own on this machine. The first time, Kubernetes is built from source, which takes "
    "minutes; after that it starts in seconds.",
    "kind": "A cluster of its own by kind, and a registry beside it; this takes a minute or two.",
    "current": f"The cluster of your kubeconfig's current context. All that is made there is in {NAMESPACE}, and the "
    "ImageRollout's definition.",
}
"""Where it all happens, by the kind of cluster."""


@dataclass(slots=True)
class Story:
    """The demo, told on a screen."""

    screen: Screen
    backstage: Backstage
    took: dict[str, float] = field(default_factory=dict)
    """By version, the seconds from its push to the end of its trial."""

    def install(self) -> None:
        """podpin's resource, and podpin."""
        terminal = self.backstage.terminal
        self.screen.heading("podpin")
        self.screen.say(
            f"podpin runs as a process of this machine, in the background. Its log is {self.backstage.remains.log}."
        )
        terminal.run(f"kubectl create namespace {NAMESPACE}")
        terminal.run(f"kubectl apply --server-side -f {CRD}")
        # Its names come first: to wait for a condition is an error while the list of conditions is still null.
        terminal.run(
            "kubectl wait --for=jsonpath={.status.acceptedNames.kind}=ImageRollout crd/imagerollouts.podpin.dev"
        )
        terminal.run("kubectl wait --for=condition=Established crd/imagerollouts.podpin.dev")
        self.backstage.start_podpin()

    def first_version(self) -> None:
        """1.0.0 is rolled out, and a client begins to ask."""
        terminal = self.backstage.terminal
        self.screen.heading("Version 1.0.0: an application is run by its digest")
        self.push("1.0.0")
        image = f"{self.backstage.registry.address}/{REPOSITORY}:1.0.0"
        self.screen.say(
            "(The demo writes this small image itself, so that it needs no builder. You would have said "
            f"`docker build -t {image} . && docker push {image}`.)"
        )
        terminal.run("cat web.yaml")
        begun = time.monotonic()
        terminal.run("kubectl apply -f web.yaml")
        self.watch("1.0.0", begun, ("web:1.0.0", "True", "RolledOut", "3/3"))
        self.screen.say("What runs is a digest. The tag is there for people to read.")
        terminal.run("kubectl get deployment web -o 'custom-columns=IMAGE:.spec.template.spec.containers[*].image'")
        self.screen.say("From now on a client asks the Service some ten times a second, and counts.")
        terminal.run("kubectl apply -f client.yaml")
        terminal.run("kubectl wait --for=condition=Ready --timeout=60s pod/client")

    def newer_version(self) -> None:
        """1.1.0 is picked up."""
        self.screen.heading("Version 1.1.0: a newer one is picked up")
        self.push("1.1.0")
        self.watch("1.1.0", time.monotonic(), ("web:1.1.0", "True", "RolledOut", "3/3"))
        self.ask_client()

    def bad_version(self) -> None:
        """1.2.0 fails, is rejected and rolled back."""
        self.screen.heading("Version 1.2.0: a bad one is rolled back")
        self.push("1.2.0", "missing_binary")
        self.screen.say("This one is broken: its entrypoint names a program that is not in the image.")
        self.watch("1.2.0", time.monotonic(), ("web:1.1.0", "True", "RolledBack", "3/3"))
        terminal = self.backstage.terminal
        self.screen.say("The Pods of 1.1.0 have been running all the time. What podpin says:")
        terminal.run("kubectl get pods -l app=web")
        told = terminal.run("kubectl get ir web -o jsonpath='{.status.conditions[?(@.type==\"Ready\")].message}'")
        if "1.2.0" not in told:
            raise DemoError(f"expected podpin to say that 1.2.0 was rejected, but it says {told!r}")
        self.ask_client()

    def fixed_version(self) -> None:
        """1.2.1 succeeds."""
        self.screen.heading("Version 1.2.1: the fixed one is taken")
        self.screen.say("podpin does not try 1.2.0 again. A new image is a new chance.")
        self.push("1.2.1")
        self.watch("1.2.1", time.monotonic(), ("web:1.2.1", "True", "RolledOut", "3/3"))
        self.ask_client()

    def push(self, version: str, kind: Kind = "good") -> None:
        """Push a version and say so."""
        digest = self.backstage.push(version, kind)
        image = f"{self.backstage.registry.address}/{REPOSITORY}:{version}"
        self.screen.say(f"Pushed {image}, which is {digest.partition(':')[2][:12]}.")

    def watch(self, version: str, since: float, words: tuple[str, ...]) -> None:
        """Watch the rollout until its line has these words; note how long that took."""
        awaited = Awaited(words, since, PATIENCE, NEXT_LOOK)
        self.took[version] = self.backstage.terminal.watch(WATCH, awaited, self.backstage.check_podpin)

    def ask_client(self) -> None:
        """Show the client's count, and insist that no request has failed."""
        said = self.backstage.terminal.run("kubectl logs client --tail=1")
        count = re.match(r"(\d+) requests, (\d+) failed", said)
        if count is None:
            raise DemoError(f"expected the client to tell its count, but it says {said!r}")
        if count[2] != "0":
            raise DemoError(f"expected no request to fail, but {count[2]} of {count[1]} did")

    def end(self, seconds: float) -> None:
        """What has been seen."""
        terminal = self.backstage.terminal
        self.screen.heading("The whole story, as podpin tells it")
        terminal.run("kubectl events --for imagerollout/web")
        count = terminal.run("kubectl logs client --tail=1").partition(",")[0]
        back = self.took["1.2.0"]
        self.screen.say(
            f"Four versions in {seconds:.0f} s, {count}, none failed. "
            f"The bad one was rolled back {back:.1f} s after its push."
        )


def tell(name: str, screen: Screen) -> None:
    """Tell it from beginning to end; where it takes another course, show what there is to see, and fail."""
    screen.heading("A Kubernetes cluster")
    screen.say(PLACES.get(os.environ.get("CLUSTER", "local"), ""))
    begun = time.monotonic()
    behind = backstage.set_up(name, screen)
    screen.say(f"It is up after {time.monotonic() - begun:.1f} s.")
    begun = time.monotonic()
    story = Story(screen, behind)
    try:
        story.install()
        story.first_version()
        story.newer_version()
        story.bad_version()
        story.fixed_version()
        story.end(time.monotonic() - begun)
    except (DemoError, ClusterError, NotInTimeError):
        screen.heading("Not what was to be seen")
        with contextlib.suppress(DemoError):
            behind.terminal.run("kubectl get ir web -o wide")
            behind.terminal.run("kubectl get pods")
        screen.output(f"\nThe end of podpin's log:\n{last_lines(behind.remains.log)}")
        raise
