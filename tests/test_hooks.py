"""Webhooks over a real socket on loopback: who is let in, what that brings about, and what everybody else hears."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import gzip
import hashlib
import hmac
import json
import logging
import re
import socket
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
import yaml

from podpin import hooks
from podpin.core.hooks import SOURCES, Notice
from podpin.core.hooks.entry import entries_of
from podpin.errors import Invalid
from podpin.hooks import (
    BODY_SECONDS,
    BURST,
    BURST_OF_ALL,
    MOST_BODIES,
    MOST_BYTES,
    PER_SECOND,
    PER_SECOND_OF_ALL,
    REREAD_SECONDS,
    Book,
    Bucket,
)
from tests.test_probes import free_port

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection, Mapping

PATH = "0f9d3c5a7b1e2846"
SECRET = "correct-horse-battery"
FILE = [
    {"source": "plain", "path": PATH},
    {"source": "distribution", "path": "shop", "secret": SECRET},
    {"source": "ghcr", "path": "shop", "secret": SECRET},
    {"source": "plain", "path": f"{PATH}-another"},
    {"source": "cloudevents", "path": PATH},
    {"source": "cloudevents", "path": "shop", "secret": SECRET},
]
WEB = {"repository": "registry.example.com/shop/web"}
NOTICE = Notice("registry.example.com", "shop/web")
PULL = {"events": [{"action": "pull", "target": {"repository": "shop/web", "tag": "1"}}]}
UNAUTHORIZED = (401, "unauthorized\n")


@dataclass
class World:
    """A server of webhooks, and what it has asked the poller for. `followed` is how many looks each notice takes."""

    url: str = ""
    port: int = 0
    asked: list[Notice] = field(default_factory=list)
    followed: int = 1
    leads: bool = True
    answer: tuple[int, str] | None = (202, "accepted\n")
    """What the podpin that leads says, if it is another one."""
    handed_on: list[tuple[str, bytes]] = field(default_factory=list)
    heard: list[tuple[tuple[str, str], ...]] = field(default_factory=list)

    def look_at(self, notices: Collection[Notice]) -> int:
        self.asked += notices
        return self.followed * len(notices)

    async def hand_on(self, path: str, headers: Mapping[str, str], body: bytes) -> tuple[int, str] | None:
        self.handed_on.append((path, body))
        return self.answer

    async def post(self, path: str, body: Any = WEB, method: str = "POST", **headers: str) -> tuple[int, str]:
        """Send one request; header names have underscores for dashes."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        sent = {"Content-Type": "application/json", **{name.replace("_", "-"): text for name, text in headers.items()}}
        async with (
            aiohttp.ClientSession(auto_decompress=False) as session,
            session.request(method, f"{self.url}{path}", data=data, headers=sent) as answer,
        ):
            self.heard.append(tuple((n, v) for n, v in answer.headers.items() if n != "Date"))
            return answer.status, await answer.text()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "hooks.yaml"
    path.write_text(yaml.safe_dump(FILE))
    return path


@pytest.fixture
async def world(file: Path) -> AsyncIterator[World]:
    world = World(port=free_port())
    world.url = f"http://127.0.0.1:{world.port}"
    runner = await hooks.answer(f"127.0.0.1:{world.port}", Book(str(file)), world.look_at, world)
    yield world
    await runner.cleanup()


def signed(body: bytes, secret: str = SECRET) -> str:
    return "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


PACKAGE = json.dumps(
    {
        "action": "published",
        "package": {"package_type": "container", "package_version": {"package_url": "ghcr.io/shop/web:1"}},
    }
).encode()


async def test_a_notice_that_proves_itself_brings_a_look(world: World) -> None:
    assert await world.post(f"/hook/plain/{PATH}") == (202, "accepted\n")
    assert world.asked == [NOTICE]
    event = {"action": "push", "target": {"repository": "shop/api", "tag": "1"}, "request": {"host": "r.example.com"}}
    assert (await world.post("/hook/distribution/shop", {"events": [event]}, Authorization=SECRET))[0] == 202
    assert (await world.post("/hook/ghcr/shop", PACKAGE, X_Hub_Signature_256=signed(PACKAGE)))[0] == 202
    assert world.asked[1:] == [Notice("r.example.com", "shop/api"), Notice("ghcr.io", "shop/web")]


async def test_a_podpin_that_stands_by_hands_on_what_has_proven_itself_and_says_what_the_leader_says(
    world: World,
) -> None:
    world.leads = False
    assert await world.post(f"/hook/plain/{PATH}?a=b%20c") == (202, "accepted\n")
    assert world.handed_on == [(f"/hook/plain/{PATH}?a=b%20c", json.dumps(WEB).encode())]
    assert world.asked == []
    world.answer = (429, "too many\n")
    assert await world.post(f"/hook/plain/{PATH}") == (429, "too many\n")
    world.answer = None
    status, text = await world.post(f"/hook/plain/{PATH}")
    assert (status, text) == (503, "this podpin stands by, and the one that leads does not answer: ask again\n")
    assert ("Retry-After", "2") in world.heard[-1]
    world.handed_on.clear()
    assert await world.post(f"/hook/plain/{PATH}x") == UNAUTHORIZED
    assert await world.post("/hook/distribution/shop", Authorization="Bearer wrong") == UNAUTHORIZED
    assert world.handed_on == []


async def test_who_sends_cloudevents_may_ask_first(world: World) -> None:
    assert await world.post(f"/hook/cloudevents/{PATH}", b"", "OPTIONS", WebHook_Request_Origin="eventgrid") == (
        200,
        "",
    )
    assert dict(world.heard[-1])["WebHook-Allowed-Origin"] == "*"
    assert (await world.post("/hook/cloudevents/shop", b"", "OPTIONS", Authorization=SECRET))[0] == 200
    assert world.asked == []


async def test_what_nobody_follows_and_what_is_no_push_get_the_same_answer(world: World) -> None:
    world.followed = 0
    assert await world.post(f"/hook/plain/{PATH}") == (202, "accepted\n")
    assert await world.post("/hook/distribution/shop", PULL, Authorization=SECRET) == (202, "accepted\n")
    assert world.asked == [NOTICE]


async def test_all_that_is_wrong_gets_the_very_same_answer_and_brings_about_nothing(world: World) -> None:
    push: dict[str, list[object]] = {"events": []}
    wrong = [
        world.post("/"), world.post("/healthz"), world.post("/hook"), world.post(f"/hook/{PATH}"),
        world.post(f"/hook/plain/{PATH}/"), world.post(f"/hook/plain/{PATH}/x"), world.post(f"//hook/plain/{PATH}"),
        world.post(f"/hook/plain/{PATH[:-1]}"), world.post(f"/hook/plain/{PATH}0"), world.post("/hook/plain/shop"),
        world.post(f"/hook/nothing/{PATH}"), world.post(f"/hook/quay/{PATH}"), world.post(f"/hook/Plain/{PATH}"),
        world.post("/hook/plain/%FF"), world.post("/hook/plain/%2e%2e"),
        world.post(f"/hook/plain/{PATH}", method="GET"), world.post(f"/hook/plain/{PATH}", method="PUT"),
        world.post(f"/hook/plain/{PATH}", method="OPTIONS"), world.post("/hook/cloudevents/shop", b"", "OPTIONS"),
        world.post("/hook/distribution/shop", push),
        world.post("/hook/distribution/shop", push, Authorization="x" * 21),
        world.post("/hook/distribution/shop", push, Authorization=f"Bearer {SECRET}x"),
        world.post("/hook/distribution/shop", b"not JSON"),
        world.post("/hook/distribution/shop", b" " * (MOST_BYTES + 1)),
        world.post("/hook/ghcr/shop", PACKAGE), world.post("/hook/ghcr/shop", PACKAGE, Authorization=SECRET),
        world.post("/hook/ghcr/shop", PACKAGE + b" ", X_Hub_Signature_256=signed(PACKAGE)),
        world.post("/hook/ghcr/shop", PACKAGE, X_Hub_Signature_256=signed(PACKAGE, "another")),
        world.post("/hook/ghcr/shop", b" " * (MOST_BYTES + 1), X_Hub_Signature_256=signed(PACKAGE)),
    ]  # fmt: skip
    assert [await one for one in wrong] == [UNAUTHORIZED] * len(wrong)
    assert len(set(world.heard)) == 1
    assert world.asked == []


async def test_once_it_has_proven_itself_a_notice_hears_what_is_wrong_with_it(world: World) -> None:
    path = f"/hook/plain/{PATH}"
    assert await world.post(path, b"hunter2") == (400, "The body is not JSON.\n")
    assert await world.post(path, {}) == (400, "The body does not say which repository it is about.\n")
    assert (await world.post(path, b" " * (MOST_BYTES + 1)))[0] == 413
    assert await world.post(path, json.dumps(WEB).encode().ljust(MOST_BYTES)) == (202, "accepted\n")
    assert (await world.post(path, gzip.compress(b" " * 10_000_000), Content_Encoding="gzip"))[0] == 400
    assert world.asked == [NOTICE]


async def test_a_body_without_an_end_is_cut_off(world: World) -> None:
    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b" " * 65536

    async with aiohttp.ClientSession() as session:
        with contextlib.suppress(aiohttp.ClientError):
            async with session.post(f"{world.url}/hook/plain/{PATH}", data=endless()) as answer:
                assert answer.status == 413
    assert await world.post(f"/hook/plain/{PATH}") == (202, "accepted\n")


async def test_a_body_that_does_not_come_is_not_waited_for(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hooks, "BODY_SECONDS", 0.05)
    reader, writer = await asyncio.open_connection("127.0.0.1", world.port)
    writer.write(f"POST /hook/plain/{PATH} HTTP/1.1\r\nHost: podpin\r\nContent-Length: 100\r\n\r\n{{".encode())
    assert (await asyncio.wait_for(reader.readline(), 10)).startswith(b"HTTP/1.1 408 ")
    writer.close()
    assert world.asked == []


async def test_a_hook_that_asks_too_often_has_to_wait_and_others_do_not(world: World) -> None:
    world.followed = BURST
    assert (await world.post(f"/hook/plain/{PATH}"))[0] == 202
    repositories = "&".join(f"repository=registry.example.com/shop/web-{n}" for n in range(64)).encode()
    form = "application/x-www-form-urlencoded"
    answers = [await world.post(f"/hook/plain/{PATH}", repositories, Content_Type=form) for _ in range(4)]
    assert {status for status, _ in answers[:1]} == {202}
    assert answers[-1] == (429, "too many\n")
    assert int(dict(world.heard[-1])["Retry-After"]) > 0
    asked = len(world.asked)
    assert (await world.post(f"/hook/plain/{PATH}"))[0] == 429
    assert len(world.asked) == asked
    assert (await world.post(f"/hook/plain/{PATH}-another"))[0] == 202
    assert (await world.post("/hook/distribution/shop", PULL, Authorization=SECRET))[0] == 202


async def test_what_nobody_follows_does_not_count(world: World) -> None:
    world.followed = 0
    for _ in range(BURST + 1):
        assert (await world.post(f"/hook/plain/{PATH}"))[0] == 202
    assert len(world.asked) == BURST + 1


async def test_neither_secrets_nor_bodies_are_logged(world: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    for _ in range(3):
        await world.post(f"/hook/plain/{PATH}", {"repository": "hunter2 "})
        await world.post(f"/hook/plain/{PATH}", b"hunter2")
        await world.post("/hook/distribution/shop", b"hunter2", Authorization="hunter2")
        await world.post("/hook/ghcr/shop", b"hunter2", X_Hub_Signature_256="hunter2")
        await world.post(f"/hook/plain/{PATH}x", b"hunter2")
    said = [record.getMessage() for record in caplog.records if record.name.startswith("podpin")]
    assert not [line for line in said if any(word in line for word in ("hunter2", PATH, SECRET))]
    assert said == [
        "a notice from plain was not understood: The repository that it names is none.",
        "a notice from plain was not understood: The body is not JSON.",
        "a notice from distribution was refused: its Authorization does not prove that it knows the secret",
        "a notice from ghcr was refused: its X-Hub-Signature-256 does not prove that it knows the secret",
    ]


async def test_basic_authorization_is_the_secret_written_as_user_and_password(tmp_path: Path) -> None:
    file = tmp_path / "hooks.yaml"
    file.write_text(yaml.safe_dump([{"source": "plain", "path": "ci", "secret": f"ci:{SECRET}"}]))
    world = World(port=free_port())
    world.url = f"http://127.0.0.1:{world.port}"
    runner = await hooks.answer(f"127.0.0.1:{world.port}", Book(str(file)), world.look_at)
    basic = base64.b64encode(f"ci:{SECRET}".encode()).decode()
    assert (await world.post("/hook/plain/ci", Authorization=f"Basic {basic}"))[0] == 202
    assert await world.post("/hook/plain/ci", Authorization=f"Basic {basic}x") == UNAUTHORIZED
    await runner.cleanup()


async def test_an_address_in_use_is_told_in_a_sentence(file: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(Invalid, match=f"can't answer webhooks at {address}: .*Give another --hook-address"):
            await hooks.answer(address, Book(str(file)), lambda _: 0)


# --- the file


def test_a_file_that_changes_is_read_again(file: Path) -> None:
    now = [0.0]
    book = Book(str(file), lambda: now[0])
    assert len(book.entries()) == len(FILE)
    file.write_text(yaml.safe_dump(FILE[:1]))
    assert len(book.entries()) == len(FILE)
    now[0] += REREAD_SECONDS
    assert len(book.entries()) == 1


@pytest.mark.parametrize("content", ["[}", "a: 1", "- {source: plain, path: short}", None, "[" * 10_000, "\0"])
def test_a_file_that_cannot_be_used_any_more_leaves_the_hooks_from_before(
    file: Path, content: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    now = [0.0]
    book = Book(str(file), lambda: now[0])
    before = book.entries()
    if content is None:
        file.unlink()
    else:
        file.write_text(content)
    for _ in range(3):
        now[0] += REREAD_SECONDS
        assert book.entries() is before
    (line,) = [record.getMessage() for record in caplog.records]
    assert line.startswith(f"The hooks in {file} can't be ")
    assert line.endswith("The hooks from before stay as they were.")
    assert "short" not in line


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "can't be read: No such file or directory. See --hook-secrets"),
        ("[}", "can't be used. It is not YAML."),
        ("", "can't be used. It must be a list of hooks"),
        ("- {source: nowhere, path: 0f9d3c5a7b1e2846}", "can't be used. Hook 1 has no source that podpin knows"),
    ],
)
def test_podpin_does_not_start_with_a_file_that_cannot_be_used(tmp_path: Path, content: str | None, says: str) -> None:
    file = tmp_path / "hooks.yaml"
    if content is not None:
        file.write_text(content)
    with pytest.raises(Invalid) as raised:
        Book(str(file))
    assert says in str(raised.value)


def test_json_is_yaml_too(tmp_path: Path) -> None:
    file = tmp_path / "hooks.json"
    file.write_text(json.dumps(FILE))
    assert len(Book(str(file)).entries()) == len(FILE)


# --- the rate


def test_a_bucket_gives_a_burst_and_then_its_rate() -> None:
    bucket = Bucket(3, 2, 0)
    for _ in range(3):
        assert bucket.wait(0) == 0
        bucket.take(1)
    assert bucket.wait(0) == 0.5
    assert bucket.wait(0.25) == 0.25
    assert bucket.wait(0.5) == 0
    bucket.take(5)
    assert bucket.wait(0.5) == 2.5
    assert bucket.wait(100) == 0
    bucket.take(3)
    assert bucket.wait(100) == 1 / 2


DOCUMENT = (Path(__file__).parent.parent / "docs" / "hooks.md").read_text()


def test_the_documentation_names_every_source_and_how_it_proves_itself() -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \|.*\| (.+) \|$", DOCUMENT, re.MULTILINE))
    wanted = {name: source.proof.sent or "by the path" for name, source in SOURCES.items()}
    assert {name: how.replace("`", "").lower() for name, how in rows.items()} == {
        name: how.lower() for name, how in wanted.items()
    }


def test_the_documentation_names_the_limits() -> None:
    assert f"{BURST} repositories at once that somebody follows, and {PER_SECOND:.0f} more each second" in DOCUMENT
    assert BURST_OF_ALL / BURST == PER_SECOND_OF_ALL / PER_SECOND == 4
    assert f"{MOST_BYTES // 1024} KiB" in DOCUMENT


def test_the_documented_file_is_one_that_can_be_used() -> None:
    (example,) = re.findall(r"# hooks\.yaml\n(.*?)   ```", DOCUMENT, re.DOTALL)
    entries = entries_of(yaml.safe_load(example.replace("…", "0" * 12)))
    assert [entry.name for entry in entries] == ["harbor", "dockerhub"]


async def test_bodies_that_prove_nothing_yet_hold_up_no_other_hook(world: World) -> None:
    """Connections to a hook that is proven by its body alone, with a body that does not come."""
    head = b"POST /hook/ghcr/shop HTTP/1.1\r\nHost: x\r\nX-Hub-Signature-256: sha256=0\r\nContent-Length: 9\r\n\r\n"
    writers = []
    for _ in range(2 * MOST_BODIES):
        _, writer = await asyncio.open_connection("127.0.0.1", world.port)
        writer.write(head)
        await writer.drain()
        writers.append(writer)
    async with asyncio.timeout(BODY_SECONDS / 2):
        assert (await world.post(f"/hook/plain/{PATH}"))[0] == 202
    for writer in writers:
        writer.close()
        await writer.wait_closed()
