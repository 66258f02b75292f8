"""The kopf shell: what the watch tells becomes keys on the queue, and nothing is left on the users' objects."""

from __future__ import annotations

import asyncio
import itertools
from typing import TYPE_CHECKING, Any

import kopf
import pytest
from kubernetes.aio.client.configuration import Configuration

from podpin import handlers
from podpin.core.names import Key
from podpin.queue import WorkQueue
from podpin.rollouts import Rollouts
from tests.virtual_time import in_virtual_time, now

if TYPE_CHECKING:
    from collections.abc import Callable

WEB, API = Key("shop", "web"), Key("shop", "api")


def rollout(version: int, name: str = "web", **fields: Any) -> dict[str, Any]:
    metadata = {"namespace": "shop", "name": name, "uid": "u", "resourceVersion": str(version)}
    return {"metadata": metadata, "spec": {}, **fields}


class Shell:
    """The handlers, with what they fill."""

    def __init__(self, **connection: Any) -> None:
        self.rollouts, self.queue, self.gone = Rollouts(), WorkQueue(now=lambda: 0.0), list[Key]()
        self.registry = handlers.registry_of(Configuration(**connection), self.rollouts, self.queue, self.gone.append)

    async def hear(self, kind: str | None, body: dict[str, Any]) -> object:
        """An event, told as kopf tells it."""
        (handler,) = self.registry._watching.get_all_handlers()
        tell: Any = handler.fn
        return await tell(event={"type": kind, "object": body}, body=body, patch={}, memo=None)

    async def waiting(self) -> list[Key | None]:
        return [await self.queue.get() for _ in range(len(self.queue))]


def test_only_events_are_listened_to_so_that_kopf_writes_nothing() -> None:
    """Handlers of changes, timers, daemons and indices would make it leave annotations, finalizers and tasks."""
    registry = Shell().registry
    (heard,) = registry._watching.get_all_handlers()
    assert heard.selector is not None
    assert (heard.selector.group, heard.selector.version, heard.selector.any_name) == (
        "podpin.dev",
        "v1alpha1",
        "imagerollouts",
    )
    assert {
        name: list(table.get_all_handlers())
        for name, table in vars(registry).items()
        if name not in ("_watching", "_activities")
    } == {"_indexing": [], "_spawning": [], "_changing": [], "_webhooks": []}
    (login,) = registry._activities.get_all_handlers()
    assert login.activity is not None
    assert login.activity.value == "authentication"


def test_kopf_posts_nothing_and_scans_nothing() -> None:
    settings = handlers.settings_of()
    assert settings.posting.enabled is False
    assert settings.scanning.disabled is True
    assert dict(settings.watching.label_selectors) == {}


def test_a_selector_goes_to_the_api_server_with_the_list_and_the_watch() -> None:
    settings = handlers.settings_of("shard in (a,b)")
    resource = kopf.Resource("podpin.dev", "v1alpha1", "imagerollouts")
    assert list(settings.watching.label_selectors.collect(resource)) == ["shard in (a,b)"]


@pytest.mark.parametrize("kind", [None, "ADDED", "MODIFIED"])
async def test_news_is_kept_and_its_key_put_on_the_queue(kind: str | None) -> None:
    shell = Shell()
    assert await shell.hear(kind, rollout(5)) is None
    assert shell.rollouts.version(WEB) == 5
    assert await shell.waiting() == [WEB]


async def test_what_is_told_of_is_not_touched() -> None:
    body = rollout(5)
    before = repr(body)
    await Shell().hear("ADDED", body)
    assert repr(body) == before


async def test_the_listing_at_the_start_waits_behind_live_news() -> None:
    shell = Shell()
    await shell.hear(None, rollout(5))
    await shell.hear("MODIFIED", rollout(6, "api"))
    assert await shell.waiting() == [API, WEB]


@pytest.mark.parametrize("version", [4, 5], ids=["older", "the same"])
async def test_news_that_is_none_wakes_nobody(version: int) -> None:
    shell = Shell()
    await shell.hear("ADDED", rollout(5))
    await shell.waiting()
    await shell.hear("MODIFIED", rollout(version, spec={"suspend": True}))
    assert len(shell.queue) == 0
    assert (shell.rollouts.get(WEB) or {})["spec"] == {}


async def test_a_deletion_forgets_and_wakes_nobody() -> None:
    shell = Shell()
    await shell.hear("ADDED", rollout(5))
    await shell.waiting()
    await shell.hear("DELETED", rollout(6))
    assert shell.rollouts.get(WEB) is None
    assert shell.gone == [WEB]
    assert len(shell.queue) == 0


async def test_a_deletion_of_what_is_not_known_is_nothing() -> None:
    shell = Shell()
    await shell.hear("DELETED", rollout(6))
    assert shell.gone == []


async def test_a_deletion_from_before_the_rollout_was_made_anew_is_nothing() -> None:
    shell = Shell()
    await shell.hear("ADDED", rollout(9))
    await shell.hear("DELETED", rollout(6))
    assert shell.gone == []
    assert shell.rollouts.version(WEB) == 9


@pytest.mark.parametrize(
    ("connection", "wanted"),
    [
        ({}, {"scheme": None, "token": None}),
        ({"api_key": {"BearerToken": "Bearer s3cret"}}, {"scheme": "Bearer", "token": "s3cret"}),
        ({"api_key": {"BearerToken": "s3cret"}}, {"scheme": None, "token": "s3cret"}),
        ({"api_key": {"BearerToken": "s3cret"}, "api_key_prefix": {"BearerToken": "Bearer"}},
         {"scheme": "Bearer", "token": "s3cret"}),
        ({"ssl_ca_cert": "/ca.pem"}, {"ca_path": "/ca.pem", "insecure": False}),
        ({"ca_cert_data": "PEM"}, {"ca_data": "PEM"}),
    ],
)  # fmt: skip
async def test_kopf_goes_to_the_same_cluster_as_the_same_user(
    connection: dict[str, Any], wanted: dict[str, Any]
) -> None:
    shell = Shell(host="https://cluster:6443", **connection)
    (login,) = shell.registry._activities.get_all_handlers()
    log_in: Any = login.fn
    info = await log_in(logger=None)
    assert info.server == "https://cluster:6443"
    assert {name: getattr(info, name) for name in wanted} == wanted


def test_waits_never_end_grow_and_stay_below_half_a_minute() -> None:
    waits = list(itertools.islice(handlers.Backoffs(), 2000))
    assert waits[0] <= 1.0
    assert 15.0 < waits[-1] <= 30.0
    assert all(0.0 < wait <= 30.0 for wait in waits)
    assert max(waits[:3]) < min(waits[20:])


class Kopf:
    """Takes kopf.operator's place, and ends as the test has it."""

    def __init__(self, *ends: Exception | None) -> None:
        self.ends, self.calls, self.times = list(ends), list[dict[str, Any]](), list[float]()

    async def operator(self, **how: Any) -> None:
        self.calls.append(how)
        self.times.append(now())
        how["ready_flag"].set()
        if not self.ends:
            await how["stop_flag"].wait()
            return
        end = self.ends.pop(0)
        if end is not None:
            raise end


def watching(kopf_: Kopf, monkeypatch: pytest.MonkeyPatch, *namespaces: str) -> tuple[Any, asyncio.Event, list[object]]:
    monkeypatch.setattr(kopf, "operator", kopf_.operator)
    stop, made = asyncio.Event(), list[object]()

    def make() -> kopf.OperatorRegistry:
        made.append(kopf.OperatorRegistry())
        return made[-1]  # type: ignore[return-value]

    task = asyncio.ensure_future(handlers.watch_forever(make, namespaces, stop, asyncio.Event()))
    return task, stop, made


def run_in_virtual_time(story: Callable[[], Any]) -> None:
    in_virtual_time(story)()


@pytest.mark.parametrize("end", [None, RuntimeError("watcher died"), kopf.PermanentError("no")], ids=repr)
def test_a_watch_that_ends_is_started_again_after_a_moment(
    end: Exception | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story() -> None:
        kopf_ = Kopf(end, end)
        task, stop, made = watching(kopf_, monkeypatch)
        await asyncio.sleep(60)
        assert kopf_.times == [0.0, 2.0, 4.0]
        assert len({id(registry) for registry in made}) == 3
        stop.set()
        await task

    run_in_virtual_time(story)


@pytest.mark.parametrize("namespaces", [(), ("shop", "blog")], ids=["all namespaces", "two namespaces"])
def test_kopf_watches_what_the_settings_say(namespaces: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    async def story() -> None:
        kopf_ = Kopf()
        task, stop, _ = watching(kopf_, monkeypatch, *namespaces)
        await asyncio.sleep(1)
        stop.set()
        await task
        (call,) = kopf_.calls
        assert call["standalone"] is True
        assert call["clusterwide"] is (not namespaces)
        assert call["namespaces"] == namespaces

    run_in_virtual_time(story)


def test_stopping_does_not_wait_for_the_next_start(monkeypatch: pytest.MonkeyPatch) -> None:
    async def story() -> None:
        kopf_ = Kopf(RuntimeError("watcher died"))
        task, stop, _ = watching(kopf_, monkeypatch)
        await asyncio.sleep(1)
        stop.set()
        await task
        assert now() == 1.0
        assert len(kopf_.calls) == 1

    run_in_virtual_time(story)
