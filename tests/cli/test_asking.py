"""The commands against an API server that is scripted: what they print, and which answer they end with."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable

import pytest
import yaml
from tests.adapters.kube.scripted import ApiServer, Reply, failure, page
from tests.cli.objects import deployment, pod, rollout

from podpin.cli.commands import main

ROLLOUTS = "/apis/podpin.dev/v1alpha1/namespaces/shop/imagerollouts"
PODS = "/api/v1/namespaces/shop/pods"
DEPLOYMENTS = "/apis/apps/v1/namespaces/shop/deployments"
FORBIDDEN = 'pods is forbidden: User "anna" cannot list resource "pods"'

Run = Callable[..., "asyncio.Future[tuple[int, str, str]]"]


@pytest.fixture
def run(kubeconfig: str, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command in a thread of its own, as the program does; exit status, output and errors."""

    def ran(name: str, *arguments: str) -> tuple[int, str, str]:
        status = main(name, [*arguments, "--kubeconfig", kubeconfig])
        told = capsys.readouterr()
        return status, told.out, told.err

    return lambda *words: asyncio.ensure_future(asyncio.to_thread(ran, *words))


async def test_get_lists_the_namespace_of_the_context(server: ApiServer, run: Run) -> None:
    server.on("GET", ROLLOUTS, page(rollout(name="web"), rollout(name="api"), version=3))
    status, out, err = await run("get")
    assert (status, err) == (0, "")
    assert [line.split()[:2] for line in out.splitlines()[1:]] == [["✓", "api"], ["✓", "web"]]


@pytest.mark.parametrize(
    ("form", "names"),
    [
        pytest.param("json", lambda out: json.loads(out)["metadata"]["name"], id="json"),
        pytest.param("yaml", lambda out: yaml.safe_load(out)["metadata"]["name"], id="yaml"),
        pytest.param("name", lambda out: out.strip().removeprefix("imagerollout.podpin.dev/"), id="name"),
    ],
)
async def test_get_has_forms_for_programs(server: ApiServer, run: Run, form: str, names: Callable[[str], str]) -> None:
    server.on("GET", f"{ROLLOUTS}/web", Reply(body=rollout(metadata={"managedFields": [1]})))
    status, out, _ = await run("get", "ir/web", "-o", form)
    assert (status, names(out)) == (0, "web")
    assert "managedFields" not in out


@pytest.mark.parametrize(
    ("reply", "says"),
    [
        pytest.param(
            failure(404, 'imagerollouts.podpin.dev "web" not found'),
            "There is no ImageRollout web in namespace shop.",
            id="no such rollout",
        ),
        pytest.param(
            failure(404, "the server could not find the requested resource"),
            "This cluster knows no ImageRollout: podpin is not installed there.",
            id="no such kind",
        ),
        pytest.param(failure(403, "forbidden: anna cannot get"), "forbidden: anna cannot get", id="no right"),
    ],
)
async def test_what_is_not_there_is_said_in_a_sentence(server: ApiServer, run: Run, reply: Reply, says: str) -> None:
    server.on("GET", f"{ROLLOUTS}/web", reply)
    assert await run("status", "web") == (1, "", f"podpin status: {says}\n")


async def test_nothing_to_list_is_no_error(server: ApiServer, run: Run) -> None:
    server.on("GET", ROLLOUTS, page(version=3))
    assert await run("get") == (0, "", "There are no ImageRollouts in namespace shop.\n")


async def test_a_tree_without_the_right_to_read_pods_says_so_and_shows_the_rest(server: ApiServer, run: Run) -> None:
    server.on("GET", f"{ROLLOUTS}/web", Reply(body=rollout()))
    server.on("GET", ROLLOUTS, page(rollout(), version=1))
    server.on("GET", DEPLOYMENTS, page(deployment("a"), version=1))
    server.on("GET", PODS, failure(403, FORBIDDEN))
    status, out, _ = await run("tree", "web")
    assert status == 0
    assert "Deployment web  2/2 available" in out
    assert out.splitlines()[-1] == f"└─ (you may not read Pods, so they are not shown: {FORBIDDEN})"


async def test_a_tree_into_a_pipe_is_written_anew_when_something_changes(server: ApiServer, run: Run) -> None:
    server.on("GET", f"{ROLLOUTS}/web", Reply(body=rollout()))
    server.on("GET", ROLLOUTS, page(rollout(), version=1))
    server.on("GET", DEPLOYMENTS, page(version=1))
    server.on("GET", PODS, page(pod("web-1", "a"), version=1))
    running = run("tree", "web", "-w")
    streams = {stream.asked.path: stream for stream in [await server.watch() for _ in range(4)]}
    gone = rollout()
    gone["metadata"]["resourceVersion"] = "2"
    streams[ROLLOUTS].send("DELETED", gone)
    status, out, err = await running
    assert (status, err) == (1, "podpin tree: There is no ImageRollout web in namespace shop any more.\n")
    assert "Pod web-1  ready" in out


async def test_status_waits_and_tells_what_changes(server: ApiServer, run: Run) -> None:
    begun = rollout("Progressing", "Unknown", message="trying")
    server.on("GET", f"{ROLLOUTS}/web", Reply(body=begun))
    server.on("GET", ROLLOUTS, page(begun, version=1))
    running = run("status", "web", "--wait", "--timeout", "30s")
    stream = await server.watch()
    for version, raw in enumerate(
        [rollout("RollingBack", "Unknown", message="coming back"), rollout("RolledBack", message="it failed")], 2
    ):
        raw["metadata"]["resourceVersion"] = str(version)
        stream.send("MODIFIED", raw)
    status, out, _ = await running
    assert status == 3
    assert out.splitlines()[0] == "◐ web  Progressing  trying"
    assert out.splitlines()[-1] == "↩ web  RolledBack  it failed"


async def test_status_gives_up_when_the_time_is_over(server: ApiServer, run: Run) -> None:
    begun = rollout("Progressing", "Unknown", message="trying")
    server.on("GET", f"{ROLLOUTS}/web", Reply(body=begun))
    server.on("GET", ROLLOUTS, page(begun, version=1))
    status, out, _ = await run("status", "web", "--wait", "--timeout", "200ms")
    assert (status, out.splitlines()[-1]) == (4, "It was not decided within 200ms.")
