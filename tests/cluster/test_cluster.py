"""The real cluster, tried.

Pods run by digest, registries and Services answer, the API server falls and rises, nothing is left behind.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.cluster import build, local, state
from tests.cluster.builders import (
    build_index_with_buildah,
    build_with_buildah,
    build_with_docker,
    build_with_podman,
)
from tests.cluster.commands import run
from tests.cluster.errors import ClusterError
from tests.cluster.images import formats, push_app
from tests.cluster.local import LocalCluster, Wanted
from tests.cluster.places import DATA, RUN
from tests.waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.cluster.registry import Registry

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.timeout(180),
    pytest.mark.skipif(os.environ.get("CLUSTER", "local") != "local", reason="tests the local cluster itself"),
]


@pytest.fixture
def namespace(cluster: LocalCluster) -> Iterator[str]:
    name = "try-" + os.urandom(3).hex()
    cluster.kubectl("create", "namespace", name)
    wait_for(
        lambda: cluster.kubectl("get", "serviceaccount", "default", "-n", name, "--ignore-not-found"),
        20,
        "the namespace's service account",
    )
    yield name
    cluster.kubectl("delete", "namespace", name, "--wait=false")


def deployment(namespace: str, image: str, replicas: int = 1, **pod: Any) -> dict[str, Any]:
    container = {
        "name": "app",
        "image": image,
        "readinessProbe": {"httpGet": {"path": "/healthz", "port": 8080}, "periodSeconds": 1},
        "resources": {"limits": {"memory": "32Mi"}},
    }
    template = {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [container], **pod}}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "namespace": namespace},
        "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": "web"}}, "template": template},
    }


def pin(registry: Registry, repository: str, tag: str, digest: str) -> str:
    return f"{registry.address}/{repository}:{tag}@{digest}"


def container_status(cluster: LocalCluster, namespace: str) -> dict[str, Any]:
    pods = cluster.kubectl.get("pods", "-n", namespace, "-l", "app=web")["items"]
    statuses = pods[0]["status"].get("containerStatuses", []) if pods else []
    found: dict[str, Any] = statuses[0] if statuses else {}
    return found


def wait_until_ready(cluster: LocalCluster, namespace: str) -> dict[str, Any]:
    wait_for(
        lambda: container_status(cluster, namespace).get("ready"),
        40,
        "the container to be ready",
        seen=lambda: cluster.kubectl("describe", "pods", "-n", namespace)[-3000:],
    )
    return container_status(cluster, namespace)


def trouble(status: dict[str, Any]) -> set[str]:
    """The reasons that a container has for not running, now or before."""
    states = [status.get("state", {}), status.get("lastState", {})]
    return {part["reason"] for one in states for part in one.values() if "reason" in part}


@pytest.mark.parametrize("form", formats())
def test_an_application_runs_by_digest_whatever_the_manifest_looks_like(
    cluster: LocalCluster, namespace: str, form: Any
) -> None:
    digest = push_app(cluster.registry, f"formats/{form}", "1.0.0", format=form)
    cluster.apply(deployment(namespace, pin(cluster.registry, f"formats/{form}", "1.0.0", digest)))
    status = wait_until_ready(cluster, namespace)
    assert status["imageID"] == f"{cluster.registry.address}/formats/{form}@{digest}"


def test_the_images_of_the_real_builders_run(cluster: LocalCluster, namespace: str) -> None:
    registry = cluster.registry
    digests = {
        "buildah": build_with_buildah(registry, "built/buildah", "1"),
        "buildah-docker": build_with_buildah(registry, "built/buildah-docker", "1", form="docker"),
        "buildah-index": build_index_with_buildah(registry, "built/buildah-index", "1"),
        "podman": build_with_podman(registry, "built/podman", "1"),
        "docker": build_with_docker(cluster, "built/docker", "1"),
    }
    kinds = {name: registry.manifest(f"built/{name}", "1")[0] for name in digests}
    assert "index" in kinds["buildah-index"]
    assert "docker" in kinds["docker"]
    assert "oci" in kinds["podman"]
    for name, digest in digests.items():
        cluster.apply(deployment(namespace, pin(registry, f"built/{name}", "1", digest)))
        cluster.kubectl("rollout", "status", "deployment/web", "-n", namespace, "--timeout=60s")


@pytest.mark.parametrize(
    ("kind", "reasons"),
    [
        ("crash", {"Error", "CrashLoopBackOff"}),
        ("oom", {"OOMKilled", "CrashLoopBackOff"}),
        ("missing_binary", {"StartError", "RunContainerError", "CrashLoopBackOff"}),
        ("exec_format", {"StartError", "RunContainerError", "Error", "CrashLoopBackOff"}),
        ("wrong_platform", {"ErrImagePull", "ImagePullBackOff"}),
    ],
)
def test_each_bad_application_fails_in_its_own_way(
    cluster: LocalCluster, namespace: str, kind: Any, reasons: set[str]
) -> None:
    digest = push_app(cluster.registry, "bad", kind, kind)
    cluster.apply(deployment(namespace, pin(cluster.registry, "bad", kind, digest)))
    wait_for(
        lambda: trouble(container_status(cluster, namespace)) & reasons,
        40,
        f"one of {reasons}",
        seen=lambda: json.dumps(container_status(cluster, namespace), indent=1),
    )


def test_an_application_can_lose_its_readiness_and_restart_later(cluster: LocalCluster, namespace: str) -> None:
    digest = push_app(cluster.registry, "later", "1", "becomes_unready", after=2)
    cluster.apply(deployment(namespace, pin(cluster.registry, "later", "1", digest)))
    wait_until_ready(cluster, namespace)
    wait_for(lambda: container_status(cluster, namespace)["ready"] is False, 20, "readiness to be lost")
    digest = push_app(cluster.registry, "later", "2", "restarts_later", after=2)
    cluster.kubectl("delete", "deployment", "web", "-n", namespace, "--cascade=foreground", "--grace-period=1")
    cluster.apply(deployment(namespace, pin(cluster.registry, "later", "2", digest)))
    wait_for(lambda: container_status(cluster, namespace).get("restartCount", 0) > 0, 30, "a restart")


def test_the_private_registry_gives_its_images_to_a_pull_secret_alone(cluster: LocalCluster, namespace: str) -> None:
    private = cluster.private_registry
    digest = push_app(private, "secret/web", "1.0.0")
    cluster.apply(deployment(namespace, pin(private, "secret/web", "1.0.0", digest)))
    refused = {"ErrImagePull", "ImagePullBackOff"}
    wait_for(lambda: trouble(container_status(cluster, namespace)) & refused, 20, "the pull to be refused")
    cluster.apply(private.pull_secret("pull", namespace))
    image = pin(private, "secret/web", "1.0.0", digest)
    cluster.apply(deployment(namespace, image, imagePullSecrets=[{"name": "pull"}]))
    cluster.kubectl("rollout", "status", "deployment/web", "-n", namespace, "--timeout=60s")


def test_this_machine_reaches_a_service_by_its_own_address(cluster: LocalCluster, namespace: str) -> None:
    digest = push_app(cluster.registry, "shop/web", "1.0.0")
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "web", "namespace": namespace},
        "spec": {"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": 8080}]},
    }
    cluster.apply([deployment(namespace, pin(cluster.registry, "shop/web", "1.0.0", digest), replicas=2), service])
    cluster.kubectl("rollout", "status", "deployment/web", "-n", namespace, "--timeout=60s")

    def page() -> bytes:
        with urllib.request.urlopen(cluster.service_url("web", namespace), timeout=5) as answer:
            content: bytes = answer.read()
        return content

    assert wait_for(page, 10, "the Service to answer", retry_on=(OSError,)) == b"1.0.0\n"


def test_a_tag_can_move_and_a_manifest_can_go(cluster: LocalCluster) -> None:
    registry = cluster.registry
    first = push_app(registry, "moving", "1.0.0")
    second = push_app(registry, "moving", "1.1.0")
    assert registry.tag("moving", first, "stable") == first
    assert registry.digest("moving", "stable") == first
    registry.tag("moving", "1.1.0", "stable")
    assert registry.digest("moving", "stable") == second
    registry.delete("moving", first)
    assert registry.tags("moving") == ["1.1.0", "stable"]
    assert registry.tags("nothing/here") == []


def test_the_registrys_access_log_tells_who_asked_what(cluster: LocalCluster) -> None:
    before = cluster.registry.position()
    push_app(cluster.registry, "logged", "1.0.0")
    asked = wait_for(lambda: cluster.registry.requests("podpin-tests", since=before), 5, "the log")
    assert ("PUT", "/v2/logged/manifests/1.0.0", 201) in [(one.verb, one.path, one.code) for one in asked]


def test_the_audit_log_counts_writes_by_user_and_agent(control_plane: LocalCluster) -> None:
    cluster = control_plane
    config = cluster.kubeconfig_for("somebody", ["system:masters"])
    before = cluster.audit.position()
    cluster.kubectl("--kubeconfig", str(config), "create", "configmap", "counted")
    cluster.kubectl("--kubeconfig", str(config), "create", "configmap", "not-counted", "--dry-run=server")
    cluster.kubectl("--kubeconfig", str(config), "get", "configmaps")
    (write,) = cluster.audit.writes("kubectl/", user="somebody", since=before)
    assert (write.verb, write.resource, write.name, write.code) == ("create", "configmaps", "counted", 201)
    verbs = [entry.verb for entry in cluster.audit.requests(user="somebody", since=before, resource="configmaps")]
    assert verbs == ["create", "create", "list"]


def test_an_identity_of_ones_own_has_no_rights_until_they_are_given(control_plane: LocalCluster) -> None:
    config = str(control_plane.kubeconfig_for("stranger"))
    with pytest.raises(ClusterError, match='User "stranger" cannot list resource "pods"'):
        control_plane.kubectl("--kubeconfig", config, "get", "pods")


def test_the_api_server_can_be_killed_and_started_again(control_plane: LocalCluster) -> None:
    control_plane.kubectl("create", "configmap", "kept")
    control_plane.stop_apiserver()
    with pytest.raises(ClusterError, match="refused"):
        control_plane.kubectl("get", "configmaps")
    control_plane.start_apiserver()
    assert "kept" in control_plane.kubectl("get", "configmaps")


def test_a_frozen_api_server_answers_when_it_is_let_go(control_plane: LocalCluster) -> None:
    control_plane.parts.signal("kube-apiserver", signal.SIGSTOP)
    try:
        with pytest.raises(ClusterError, match=r"imeout|deadline"):
            control_plane.kubectl("get", "configmaps", "--request-timeout=1s")
    finally:
        control_plane.parts.signal("kube-apiserver", signal.SIGCONT)
    assert control_plane.kubectl("get", "namespaces")


def test_any_part_can_be_stopped_and_started_again(control_plane: LocalCluster) -> None:
    push_app(control_plane.registry, "kept", "1")
    control_plane.stop_part("registry")
    with pytest.raises(ClusterError, match="does not answer"):
        control_plane.registry.tags("kept")
    control_plane.start_part("registry")
    wait_for(lambda: control_plane.registry.tags("kept") == ["1"], 10, "the registry", retry_on=(ClusterError,))


def test_a_watch_from_before_is_gone_when_history_is_forgotten(control_plane: LocalCluster) -> None:
    path = "/api/v1/namespaces/default/configmaps"
    old = json.loads(control_plane.kubectl("get", "--raw", path))["metadata"]["resourceVersion"]
    control_plane.kubectl("create", "configmap", "newer")
    control_plane.expire_watches()
    watch = f"{path}?watch=1&timeoutSeconds=1&resourceVersion={old}"
    assert '"code":410' in control_plane.kubectl("get", "--raw", watch)


def test_two_clusters_run_at_once_and_each_is_alone(cluster: LocalCluster, control_plane: LocalCluster) -> None:
    assert cluster.network.number != control_plane.network.number
    cluster.kubectl("create", "configmap", "mine")
    assert "mine" not in control_plane.kubectl("get", "configmaps")
    assert cluster.kubectl("get", "nodes", "-o", "name").split() == [f"node/podpin-{cluster.network.number}"]
    assert control_plane.kubectl("get", "nodes", "-o", "name") == ""


def test_kwok_says_that_a_hundred_pods_run(kwok_plane: LocalCluster) -> None:
    pinned = "registry.example:5000/web:1.0.0@sha256:" + "a" * 64
    kwok_plane.apply(deployment("default", pinned, replicas=100))
    kwok_plane.kubectl("rollout", "status", "deployment/web", "--timeout=60s")
    status = container_status(kwok_plane, "default")
    assert status["imageID"] == "registry.example:5000/web@sha256:" + "a" * 64
    kwok_plane.apply(deployment("default", pinned.replace("web", "broken"), replicas=100))

    def reasons() -> bool:
        pods = kwok_plane.kubectl.get("pods")["items"]
        return any("ImagePullBackOff" in json.dumps(pod["status"]) for pod in pods)

    wait_for(reasons, 20, "a Pod whose image is broken")


def test_the_pretended_node_keeps_saying_that_it_lives(kwok_plane: LocalCluster) -> None:
    def renewed() -> str:
        return kwok_plane.kubectl("get", "lease", "-n", "kube-node-lease", "-o", "jsonpath={.items[0].spec.renewTime}")

    first = wait_for(renewed, 20, "the node's lease", retry_on=(ClusterError,))
    wait_for(lambda: renewed() != first, 30, "the lease to be renewed")


@pytest.fixture
def everything() -> set[str]:
    """All that this machine has of what a cluster is made of."""
    return inventory()


def inventory() -> set[str]:
    found = {f"route {line}" for line in run("ip", "route").splitlines()}
    found |= {f"link {one['ifname']}" for one in json.loads(run("ip", "-json", "link"))}
    found |= {f"namespace {line}" for line in run("ip", "netns").splitlines()}
    found |= {f"mount {line.split()[1]}" for line in Path("/proc/self/mounts").read_text().splitlines()}
    found |= {f"folder {path}" for top in (RUN, DATA) if top.is_dir() for path in top.iterdir()}
    found |= {
        f"folder {path}" for path in ("/var/lib/cni", "/var/lib/kubelet", "/run/containerd") if Path(path).exists()
    }
    found |= {f"cgroup {path}" for path in Path("/sys/fs/cgroup").glob("*/podpin-*")}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except (FileNotFoundError, ProcessLookupError):
            continue
        if str(RUN) in command or "containerd-shim" in command:
            found.add(f"process {process.name} {command[:80]}")
    return found


def test_a_cluster_that_is_taken_down_leaves_no_trace(everything: set[str]) -> None:
    made = local.up(Wanted(name="trace-" + os.urandom(3).hex()))
    try:
        name = made.name
        digest = push_app(made.registry, "web", "1")
        made.apply(deployment("default", pin(made.registry, "web", "1", digest)))
        wait_until_ready(made, "default")
        assert any(name in line for line in inventory())
    finally:
        made.down()
    signs = (name, f"podpin-{made.network.number}", f".{made.network.number}.")
    left = {line for line in inventory() - everything if any(sign in line for sign in signs)}
    assert left == set()


def test_bringing_up_what_runs_already_returns_it(control_plane: LocalCluster) -> None:
    again = local.up(Wanted(name=control_plane.name, full=False))
    assert again.network == control_plane.network
    with pytest.raises(ClusterError, match="of the other kind"):
        local.up(Wanted(name=control_plane.name, full=True))


def test_a_start_that_was_killed_is_cleaned_up_by_the_next(everything: set[str]) -> None:
    name = "killed-" + os.urandom(3).hex()
    script = (
        "import os, signal\n"
        "from tests.cluster import local\n"
        "local.wait_for_cluster = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
        f"local.up(local.Wanted(name={name!r}, full=False))\n"
    )
    with run_python(script) as child:
        child.wait()
    record = state.record(name)
    assert record is not None
    assert record.stale
    with state.lock():
        assert name in local.remove_stale()
    assert not {line for line in inventory() - everything if name in line or record.network.namespace in line}


def run_python(script: str) -> subprocess.Popen[str]:
    """Another process, in the checkout's folder."""
    folder = Path(build.__file__).parents[2]
    pipe = subprocess.PIPE
    return subprocess.Popen([sys.executable, "-c", script], stdin=pipe, stdout=pipe, cwd=folder, text=True)


def test_the_cluster_of_a_killed_test_dies_with_it_and_is_cleaned_up_by_the_next(tmp_path: Path) -> None:
    name = "orphan-" + os.urandom(3).hex()
    script = (
        "import sys, time\n"
        "from tests.cluster import local\n"
        f"made = local.up(local.Wanted(name={name!r}, full=False, owned=True))\n"
        "print('up', flush=True)\n"
        "sys.stdin.read()\n"
    )
    with run_python(script) as child:
        assert child.stdout is not None
        assert child.stdout.readline().strip() == "up"
        child.send_signal(signal.SIGKILL)
    record = state.record(name)
    assert record is not None
    supervisor = record.supervisor
    assert supervisor is not None
    wait_for(lambda: not supervisor.alive, 10, "the orphan's processes to end")
    assert record.stale
    with state.lock():
        assert name in local.remove_stale()
    assert state.record(name) is None
    assert not record.run.exists()
    assert not record.data.exists()


def test_a_part_that_does_not_start_is_told_with_the_end_of_its_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(build.OVERRIDE, str(build.binaries()))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    name = "broken-" + os.urandom(3).hex()
    with pytest.raises(ClusterError, match=r"kube-apiserver ended with 1[\s\S]*unknown flag: --nonsense"):
        local.up(Wanted(name=name, full=False, apiserver_flags=["--nonsense"]))
    assert state.record(name) is None
    assert list((tmp_path / "podpin" / "logs").glob(f"{name}-*/kube-apiserver.log"))
