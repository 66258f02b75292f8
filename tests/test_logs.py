"""How podpin's log looks."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from podpin import logs
from podpin.core.names import Key
from tests.builders import release_id
from tests.test_reconcile import trying

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    """The logging of the tests themselves is left as it was."""
    root = logging.getLogger()
    handlers, levels = (
        root.handlers[:],
        {name: logging.getLogger(name).level for name in ("", "podpin", logs.DECISIONS, "kopf", "asyncio")},
    )
    yield
    root.handlers[:] = handlers
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)


def test_json_is_one_object_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    logs.set_up("json", "info")
    logging.getLogger("podpin.reconcile").warning("%s: two\nlines, and an ümlaut", "shop/web")
    (line,) = capsys.readouterr().err.splitlines()
    told = json.loads(line)
    told.pop("time")
    assert told == {
        "level": "warning",
        "logger": "podpin.reconcile",
        "message": "shop/web: two\nlines, and an ümlaut",
    }


def test_a_line_about_a_rollout_has_it_and_the_release_as_fields(capsys: pytest.CaptureFixture[str]) -> None:
    logs.set_up("json", "info")
    logging.getLogger("podpin.reconcile").info(
        "%s: release %s applied", Key("shop", "web"), "8280dd6f19", extra={"release": "8280dd6f19", "reason": None}
    )
    told = json.loads(capsys.readouterr().err)
    assert told["message"] == "shop/web: release 8280dd6f19 applied"
    assert {field: told.get(field) for field in ("namespace", "rollout", "release")} == {
        "namespace": "shop",
        "rollout": "web",
        "release": "8280dd6f19",
    }
    assert "reason" not in told


@pytest.mark.parametrize(
    ("form", "level", "shown"),
    [("json", "info", True), ("human", "info", False), ("human", "debug", True), ("json", "warning", False)],
)
def test_a_decision_is_a_line_for_machines(
    form: str, level: str, shown: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    logs.set_up(form, level)
    logging.getLogger(logs.DECISIONS).info("%s: Progressing: apply a", Key("shop", "web"), extra={"actions": ("a",)})
    assert ("apply a" in capsys.readouterr().err) is shown


async def test_a_decision_that_does_something_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    world, podpin = await trying()
    logs.set_up("json", "info")
    world.fail_to_start()
    await podpin.settle()
    await podpin.settle()
    told = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    (decision,) = [line for line in told if line["logger"] == logs.DECISIONS]
    good, bad = release_id("a"), release_id("b")
    assert (decision["namespace"], decision["rollout"], decision["release"]) == ("shop", "web", good)
    assert decision["actions"] == [f"judge {bad}: Rejected (CrashLooping)", f"apply {good}"]
    assert decision["reason"] in ("RollingBack", "RolledBack")
    assert all(line["rollout"] == "web" for line in told)


async def test_a_look_that_decides_nothing_is_no_line(capsys: pytest.CaptureFixture[str]) -> None:
    _, podpin = await trying()
    logs.set_up("json", "debug")
    await podpin.settle()
    assert capsys.readouterr().err == ""


def test_json_times_are_utc_to_the_millisecond() -> None:
    record = logging.LogRecord("podpin", logging.INFO, "", 0, "so", (), None)
    record.created = datetime(2026, 3, 1, 12, 0, 0, 250000, tzinfo=UTC).timestamp()
    assert json.loads(logs.JsonLines().format(record))["time"] == "2026-03-01T12:00:00.250Z"


def test_an_exception_is_within_the_line(capsys: pytest.CaptureFixture[str]) -> None:
    logs.set_up("json", "info")
    try:
        int("odd")
    except ValueError:
        logging.getLogger("podpin").exception("it broke")
    (line,) = capsys.readouterr().err.splitlines()
    assert json.loads(line)["exception"].endswith("ValueError: invalid literal for int() with base 10: 'odd'")


def test_human_lines_have_time_level_and_message(capsys: pytest.CaptureFixture[str]) -> None:
    logs.set_up("human", "info")
    logging.getLogger("podpin.serve").info("podpin serves all namespaces")
    time, level, message = capsys.readouterr().err.rstrip("\n").split(maxsplit=2)
    assert datetime.fromisoformat(time)
    assert (level, message) == ("INFO", "podpin serves all namespaces")


@pytest.mark.parametrize(
    ("level", "logger", "says", "shown"),
    [
        ("info", "podpin", logging.INFO, True),
        ("info", "podpin", logging.DEBUG, False),
        ("debug", "podpin", logging.DEBUG, True),
        ("error", "podpin", logging.WARNING, False),
        ("info", "kopf", logging.WARNING, False),
        ("info", "kopf", logging.ERROR, True),
        ("debug", "kopf", logging.DEBUG, True),
        ("info", "somebody", logging.INFO, False),
        ("info", "somebody", logging.WARNING, True),
        ("debug", "asyncio", logging.WARNING, False),
    ],
)
def test_what_is_shown(level: str, logger: str, says: int, shown: bool, capsys: pytest.CaptureFixture[str]) -> None:
    logs.set_up("human", level)
    logging.getLogger(logger).log(says, "so it is")
    assert ("so it is" in capsys.readouterr().err) is shown


def test_setting_up_twice_does_not_say_everything_twice(capsys: pytest.CaptureFixture[str]) -> None:
    logs.set_up("human", "info")
    logs.set_up("human", "info")
    logging.getLogger("podpin").warning("once")
    assert capsys.readouterr().err.count("once") == 1
