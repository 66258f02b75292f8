"""The examples: each is taken by a real API server and by podpin as it stands, and runs where its images are.

What is changed for the test is the registry's name, and of the fixed digests the value: nobody can foresee that.
"""

from __future__ import annotations

import re
import textwrap
import uuid
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from tests.adapters.signatures.signing import pem
from tests.cluster.images import push_app
from tests.cluster.signatures import sign
from tests.e2e.program import Program
from tests.manifests.installed import ACCOUNT, CRD, GROUPS, MANIFESTS, Rollout

from podpin.core.spec import Spec
from podpin.reconcile import rollout_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.cluster.protocol import Cluster
    from tests.cluster.registry import Registry

EXAMPLES = sorted((MANIFESTS / "examples").glob("*.yaml"))
HOST = "registry.example.com"
BUILT = "2026-01-01T00:00:00Z"
TAGS = {
    "web": ("1.4.2", "main"),
    "orders": ("2.1.0",),
    "search": ("3.0.0",),
    "worker": ("stable",),
    "payments": ("1.2.0",),
    "site": ("main-3f2a9c1", "topic-9999999"),
    "reports": ("main-1041-3f2a9c1", "topic-2000-0000000"),
}
"""What each repository needs to have for the examples to find their version."""

each = pytest.mark.parametrize("example", EXAMPLES, ids=lambda file: file.stem)


def objects(text: str) -> list[dict[str, Any]]:
    return [one for one in yaml.safe_load_all(text) if one]


def rollout_in(text: str) -> dict[str, Any]:
    (only,) = [one for one in objects(text) if one["kind"] == "ImageRollout"]
    return only


@each
def test_podpin_can_use_it(example: Path) -> None:
    body = rollout_in(example.read_text())
    body["metadata"] |= {"namespace": "shop", "uid": "1"}
    assert isinstance(rollout_of(body).spec, Spec)


@each
def test_it_says_what_it_is_for(example: Path) -> None:
    first = example.read_text().splitlines()[0]
    assert re.fullmatch(r"# .{20,}", first)
    assert re.fullmatch(r"[a-z-]+", example.stem)


@pytest.fixture(scope="module")
def stage(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A cluster with a podpin at work."""
    cluster.apply(CRD, "--server-side")
    cluster.kubectl.serve("imagerollouts", "podpin.dev")
    cluster.apply(MANIFESTS / "rbac.yaml")
    cluster.apply(MANIFESTS / "pin-config.yaml")
    podpin = Program(
        cluster.kubeconfig_for(ACCOUNT, GROUPS) if cluster.can("identities") else cluster.kubeconfig,
        tmp_path_factory.mktemp("podpin") / "log",
        cluster.environment(),
        insecure=[cluster.registry.address],
    )
    podpin.start()
    try:
        yield cluster
    finally:
        podpin.kill()
        cluster.kubectl.delete(MANIFESTS / "rbac.yaml")
        cluster.kubectl.delete(MANIFESTS / "pin-config.yaml")


@pytest.fixture
def namespace(stage: Cluster, example: Path) -> Iterator[str]:
    name = f"{example.stem}-{uuid.uuid4().hex[:8]}"
    stage.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    try:
        yield name
    finally:
        stage.kubectl("delete", "namespace", name, "--wait=false")


@pytest.mark.cluster
@pytest.mark.timeout(180)
@each
def test_it_is_taken_as_it_stands_and_says_so_where_there_is_no_registry(
    stage: Cluster, namespace: str, example: Path
) -> None:
    """Nothing listens at that port. What needs no registry to be resolved waits for the node to get its image."""
    text = example.read_text().replace(HOST, f"{stage.registry.address.partition(':')[0]}:9")
    said = stage.kubectl("apply", "-n", namespace, "--validate=strict", "-f", "-", stdin=text)
    assert len(said.splitlines()) == len(objects(text))
    assert "unchanged" not in said
    rollout = Rollout(stage, namespace, rollout_in(text)["metadata"]["name"])
    fixed = all("digest" in image["policy"] for image in rollout_in(text)["spec"]["images"])
    secret = "pullSecrets" in rollout_in(text)["spec"].get("registry", {})
    reason = "SecretMissing" if secret else "RegistryUnavailable"
    waiting = "Ready" if fixed else "Resolved"

    def told(_: object) -> bool:
        return rollout.condition(waiting).get("reason") == reason

    status = rollout.wait(f"{waiting} to give the reason {reason}", told)
    assert rollout.condition(waiting)["status"] in ("False", "Unknown")
    assert rollout.condition(waiting)["message"]
    assert [one for one in status["conditions"] if one["type"] == "Stalled" and one["status"] == "True"] == []


@pytest.mark.cluster
@pytest.mark.timeout(180)
@each
def test_it_runs_where_its_images_are(stage: Cluster, namespace: str, example: Path) -> None:
    text = example.read_text()
    registry = stage.registry
    if "pullSecrets" in text:
        if not stage.can("private-registry"):
            pytest.skip("this cluster has no private registry")
        registry = stage.private_registry
        stage.apply(registry.pull_secret("shop-registry", namespace))
        stage.apply(registry.ca_secret("shop-registry-ca", namespace))
    text = with_images(text, registry)
    body = rollout_in(text)
    body["spec"]["rollout"] = {"bakeTime": "1s"}
    rest = [one for one in objects(text) if one["kind"] != "ImageRollout"]
    stage.kubectl("apply", "-n", namespace, "--validate=strict", "-f", "-", stdin=yaml.safe_dump_all([body, *rest]))
    rollout = Rollout(stage, namespace, body["metadata"]["name"])
    rollout.wait("it to be ready", lambda _: rollout.condition("Ready").get("status") == "True", 90)
    if "verify:" in text:
        assert rollout.condition("Verified")["status"] == "True"
    if body["spec"]["workload"]["kind"] == "Pods":
        found = stage.kubectl.get("pods", "-n", namespace, "-l", f"podpin.dev/rollout={rollout.name}")["items"]
    else:
        found = [stage.kubectl.get("deployment", rollout.name, "-n", namespace)["spec"]["template"]]
    pods = [one["spec"] for one in found]
    images = [one["image"] for pod in pods for one in (*pod["containers"], *pod.get("initContainers", ()))]
    assert images
    assert all(re.search(r"@sha256:[0-9a-f]{64}$", image) for image in images), images


def with_images(text: str, registry: Registry) -> str:
    """The example with the test cluster's registry, in which everything is that it names."""
    for repository in sorted(set(re.findall(rf"{HOST}/([a-z/]+)", text))):
        tags = TAGS.get(repository.rpartition("/")[2], ("1",))
        digests = [push_app(registry, repository, tag, created=BUILT) for tag in tags]
        if "publicKey:" in text:
            for digest in digests:
                sign(registry, repository, digest)
            ours = textwrap.indent(pem(), " " * 10).strip()
            text = re.sub(r"-----BEGIN PUBLIC KEY-----[^-]+-----END PUBLIC KEY-----", ours, text)
        text = re.sub(rf"({HOST}/{repository}:\S+@)sha256:[0-9a-f]{{64}}", rf"\g<1>{digests[0]}", text)
        text = re.sub(r'(digest: \{value: )"sha256:[0-9a-f]{64}"', rf'\g<1>"{digests[0]}"', text)
    return text.replace(HOST, registry.address)
