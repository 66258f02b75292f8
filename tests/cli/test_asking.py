"""The commands against an API server that is scripted: what they print, and which answer they end with."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable

import pytest
import yaml
from tests.adapters.kube.scripted import ApiServer, Reply, failure, page
from tests.builders import raw_spec, spec
from tests.cli.objects import deployment, entry, pinned, pod, rejected, rollout, waiting

from podpin.cli.commands import main
from podpin.core.release import release_of

ROLLOUTS = "/apis/podpin.dev/v1alpha1/namespaces/shop/imagerollouts"
PODS = "/api/v1/namespaces/shop/pods"
DEPLOYMENTS = "/apis/apps/v1/namespaces/shop/deployments"
RECORDS = "/apis/apps/v1/namespaces/shop/controllerrevisions"
EVENTS = "/api/v1/namespaces/shop/events"
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


async def test_a_request_is_one_annotation_under_a_name_of_its_own(server: ApiServer, run: Run) -> None:
    raw = rollout("AwaitingApproval", waiting=waiting())
    server.on("GET", f"{ROLLOUTS}/web", Reply(body=raw))
    server.on("PATCH", f"{ROLLOUTS}/web", Reply(body=raw))
    assert await run("approve", "web") == (0, "Approved: release bbbb (web:1.1.0@bbbbbbbbbbbb) may begin.\n", "")
    assert server.last.body == {"metadata": {"annotations": {"podpin.dev/approve": "bbbb"}}}
    assert server.last.query == {"fieldManager": "kubectl-podpin"}
    assert server.last.headers["Content-Type"] == "application/merge-patch+json"


async def test_a_request_that_makes_no_sense_is_not_written(server: ApiServer, run: Run) -> None:
    server.on("GET", f"{ROLLOUTS}/web", Reply(body=rollout()))
    said = "podpin approve: Nothing to approve: no release of web waits.\n"
    assert await run("approve", "web") == (1, "", said)
    assert [asked.method for asked in server.asked] == ["GET"]


async def test_what_may_not_be_written_is_said_in_the_api_servers_words(server: ApiServer, run: Run) -> None:
    server.on("GET", f"{ROLLOUTS}/web", Reply(body=rollout()))
    server.on("PATCH", f"{ROLLOUTS}/web", failure(403, 'anna cannot patch resource "imagerollouts"'))
    assert await run("pause", "web") == (1, "", 'podpin pause: anna cannot patch resource "imagerollouts"\n')


BACK = "podpin.dev/rollback-to"
GONE_BACK = rollout(
    "RolledBack",
    history=[entry("Stable", "1.0.0", "a", 60), entry("Stable", "0.9.0", "c", 40)],
    annotations={BACK: "previous"},
    requests={"rollbackTo": "previous"},
)


async def test_the_same_rollback_once_more_waits_until_podpin_has_seen_the_first_one_gone(
    server: ApiServer, run: Run
) -> None:
    server.on("GET", f"{ROLLOUTS}/web", Reply(body=GONE_BACK))
    server.on("GET", ROLLOUTS, page(GONE_BACK, version=1))
    server.on("GET", RECORDS, failure(403, "no"))
    server.on("PATCH", f"{ROLLOUTS}/web", Reply(body=GONE_BACK))
    running = run("rollback", "web")
    stream = await server.watch()
    assert [asked.body for asked in server.asked if asked.method == "PATCH"] == [
        {"metadata": {"annotations": {BACK: None}}}
    ]
    noticed = rollout(requests={}, metadata={"resourceVersion": "2"})
    stream.send("MODIFIED", noticed)
    status, out, _ = await running
    assert status == 0
    assert out.startswith("Asked podpin to take web back to release cccc (web:0.9.0@cccccccccccc)")
    assert server.last.body == {"metadata": {"annotations": {BACK: "previous"}}}


async def test_where_podpin_does_not_notice_it_is_asked_whether_it_runs(
    server: ApiServer, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("podpin.cli.requests.NOTICE_SECONDS", 0.1)
    server.on("GET", f"{ROLLOUTS}/web", Reply(body=GONE_BACK))
    server.on("GET", ROLLOUTS, page(GONE_BACK, version=1))
    server.on("GET", RECORDS, failure(403, "no"))
    server.on("PATCH", f"{ROLLOUTS}/web", Reply(body=GONE_BACK))
    status, out, err = await run("rollback", "web")
    assert (status, out) == (1, "")
    assert "podpin has not noticed" in err
    assert sum(asked.method == "PATCH" for asked in server.asked) == 1


FAILED = rollout("RolledBack", rejected=[rejected()], history=[entry("Rejected", "1.1.0", "b", 3000)])


def on_record(tag: str, letter: str, port: int) -> dict[str, object]:
    images = {one["container"]: one["image"] for one in pinned(tag, letter)}
    labels = {"podpin.dev/release": letter * 4, "podpin.dev/rollout": "web"}
    return {
        "metadata": {
            "name": f"web-{letter * 4}",
            "labels": labels,
            "annotations": {"podpin.dev/images": json.dumps(images)},
        },
        "data": {"images": images, "template": {"spec": {"containers": [{"name": "app", "port": port}]}}},
    }


async def test_diff_compares_what_runs_with_what_failed(server: ApiServer, run: Run) -> None:
    old, new = on_record("1.0.0", "a", 80), on_record("1.1.0", "b", 81)
    server.on("GET", f"{ROLLOUTS}/web", Reply(body=FAILED))
    server.on("GET", RECORDS, page(old, new, version=1))
    server.on("GET", f"{RECORDS}/web-aaaa", Reply(body=old))
    server.on("GET", f"{RECORDS}/web-bbbb", Reply(body=new))
    status, out, err = await run("diff", "web")
    assert (status, err) == (0, "")
    assert {"--- release aaaa", "+++ release bbbb", "-      port: 80", "+      port: 81"} <= {
        line.rstrip() for line in out.splitlines()
    }


async def test_diff_shows_what_a_release_that_waits_would_change(server: ApiServer, run: Run) -> None:
    wish = spec(template={"metadata": {"labels": {"team": "post"}}, "spec": {"containers": [{"name": "app"}]}})
    images = tuple((one["container"], one["image"]) for one in pinned("1.1.0", "b"))
    waits = {**waiting(), "release": release_of(wish, images).id}
    raw = rollout("AwaitingApproval", waiting=waits, spec=raw_spec(template=dict(wish.template)))
    old = on_record("1.0.0", "a", 80)
    server.on("GET", f"{ROLLOUTS}/web", Reply(body=raw))
    server.on("GET", RECORDS, page(old, version=1))
    server.on("GET", f"{RECORDS}/web-aaaa", Reply(body=old))
    status, out, err = await run("diff", "web")
    assert (status, err) == (0, "")
    assert f"+++ release {waits['release']}" in out.splitlines()
    assert "+      team: post" in out.splitlines()


async def test_diff_of_what_is_on_no_record_says_so(server: ApiServer, run: Run) -> None:
    server.on("GET", f"{ROLLOUTS}/web", Reply(body=FAILED))
    server.on("GET", RECORDS, page(on_record("1.0.0", "a", 80), version=1))
    server.on("GET", f"{RECORDS}/web-aaaa", Reply(body=on_record("1.0.0", "a", 80)))
    said = "podpin diff: Release bbbb is not on record, so it cannot be compared.\n"
    assert await run("diff", "web") == (1, "", said)


async def test_diff_without_the_right_to_read_records_compares_images_and_says_so(server: ApiServer, run: Run) -> None:
    server.on("GET", f"{ROLLOUTS}/web", Reply(body=FAILED))
    server.on("GET", RECORDS, failure(403, "anna cannot list controllerrevisions"))
    server.on("GET", f"{RECORDS}/web-aaaa", failure(403, "anna cannot get controllerrevisions"))
    status, out, err = await run("diff", "web", "stable", "1.1.0")
    assert status == 0
    assert "+    image: registry.example.com/shop/web:1.1.0" in out
    assert err == "You may not read the records, so only images are compared: anna cannot get controllerrevisions\n"


async def test_diff_of_nothing_says_what_it_needs(server: ApiServer, run: Run) -> None:
    server.on("GET", f"{ROLLOUTS}/web", Reply(body=rollout()))
    server.on("GET", RECORDS, page(version=1))
    said = "podpin diff: Nothing to compare: nothing of web is tried, waits or was rejected; name two releases.\n"
    assert await run("diff", "web") == (1, "", said)


async def test_history_as_json_is_that_of_status(server: ApiServer, run: Run) -> None:
    server.on("GET", f"{ROLLOUTS}/web", Reply(body=FAILED))
    status, out, _ = await run("history", "web", "-o", "json")
    assert (status, json.loads(out)) == (0, FAILED["status"]["history"])


async def test_why_asks_for_the_events_of_the_rollout_alone(server: ApiServer, run: Run) -> None:
    server.on("GET", f"{ROLLOUTS}/web", Reply(body=FAILED))
    server.on("GET", PODS, page(version=1))
    server.on("GET", EVENTS, page(version=1))
    status, out, _ = await run("why", "web")
    assert status == 0
    assert "\nFailed\n  release bbbb (web:1.1.0@bbbbbbbbbbbb), " in out
    asked = next(one for one in server.asked if one.path == EVENTS)
    assert asked.query["fieldSelector"] == "involvedObject.kind=ImageRollout,involvedObject.name=web"
