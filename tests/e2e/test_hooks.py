"""Webhooks: a real registry tells podpin of a push, and the Deployment has it long before podpin would have looked."""

from __future__ import annotations

import contextlib
import json
import statistics
import time
from typing import TYPE_CHECKING, Final

import pytest
from tests import confidential
from tests.cluster.images import push_app
from tests.cluster.local import LocalCluster
from tests.cluster.registry import Registry, daemon, hosts_toml
from tests.e2e.program import free_port
from tests.e2e.stage import container_of, stays
from tests.waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.e2e.program import Program
    from tests.e2e.stage import Stage

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]

SECRET: Final = confidential.HOOK
PUSHES: Final = 5
MOST_SECONDS: Final = 0.5


@contextlib.contextmanager
def told_podpin(stage: Stage) -> Iterator[tuple[Program, Registry]]:
    """A podpin for this stage alone, and a registry that sends its notifications to it."""
    cluster = stage.cluster
    if not isinstance(cluster, LocalCluster):
        pytest.skip("this cluster's node cannot be told of another registry")
    hooks = f"{cluster.network.gateway}:{free_port()}"
    file = stage.folder / f"{stage.namespace}-hooks.yaml"
    file.write_text(json.dumps([{"source": "distribution", "path": "e2e", "secret": SECRET}]))
    name = f"telling-{stage.namespace}"
    registry = Registry(f"{cluster.network.node}:{free_port()}", log=cluster.parts.log(name))
    folder = cluster.run / "registries" / registry.address
    folder.mkdir(exist_ok=True)
    (folder / "hosts.toml").write_text(hosts_toml(registry))
    url = f"http://{hooks}/hook/distribution/e2e"
    cluster.begin(daemon(name, registry, cluster.run, stage.folder / name, tell=(url, SECRET)))
    flags = [f"--hook-address={hooks}", f"--hook-secrets={file}", f"--insecure-registry={registry.address}"]
    podpin = stage.make_podpin(f"{stage.namespace}-podpin", namespaces=[stage.namespace], flags=flags)
    try:
        wait_for(lambda: registry.ask("GET", "/v2/").status == 200, 20, "the registry", retry_on=(Exception,))
        podpin.start()
        yield podpin, registry
    finally:
        podpin.kill()
        cluster.stop_part(name)


def test_a_push_that_the_registry_tells_of_is_in_the_deployment_well_under_a_second(bare_stage: Stage) -> None:
    stage = bare_stage
    with told_podpin(stage) as (podpin, registry):
        push_app(registry, stage.repository, "1.0.0")
        image = {"container": "app", "policy": {"semver": {"range": ">=1"}}}
        stage.apply(stage.rollout(images=[image | {"repository": f"{registry.address}/{stage.repository}"}]))
        stage.until_stable("1.0.0")

        took = []
        for number in range(1, PUSHES + 1):
            digest = push_app(registry, stage.repository, f"build-{number}", version=f"1.{number}.0")

            def arrived(digest: str = digest) -> bool:
                template = {"spec": {"workload": {"template": stage.deployment()["spec"]["template"]}}}
                return digest in container_of(template)["image"]

            begun = time.monotonic()
            registry.tag(stage.repository, f"build-{number}", f"1.{number}.0")
            wait_for(arrived, 30, f"1.{number}.0 in the Deployment", every=0.005, seen=stage.story)
            took.append(time.monotonic() - begun)
        stage.until_stable(f"1.{PUSHES}.0")
        assert statistics.median(took) < MOST_SECONDS, took

        # podpin's own requests are notified too, as pulls: they bring about no look, and so no further requests.
        asked = len(registry.requests("podpin"))
        stays(3, lambda: len(registry.requests("podpin")) == asked, "podpin asks nothing more")
        stage.assert_pinned()
        assert podpin.trouble() == []
