"""What counts as a write, from lines as the API server writes them."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

from tests.cluster.audit import Audit

LINE = {
    "kind": "Event",
    "stage": "ResponseComplete",
    "requestURI": "/apis/apps/v1/namespaces/shop/deployments/web?fieldManager=podpin&force=true",
    "verb": "patch",
    "user": {"username": "podpin", "groups": ["system:authenticated"]},
    "userAgent": "podpin/0.1",
    "objectRef": {"resource": "deployments", "namespace": "shop", "name": "web", "apiGroup": "apps"},
    "responseStatus": {"code": 200},
    "requestReceivedTimestamp": "2026-11-24T07:00:00.000000Z",
}


def log(path: Path, *changes: dict[str, object]) -> Audit:
    file = path / "audit.log"
    file.write_text("".join(json.dumps(LINE | change) + "\n" for change in changes))
    return Audit(file)


def test_a_write_is_told_with_who_what_and_when(tmp_path: Path) -> None:
    (write,) = log(tmp_path, {}).writes("podpin/")
    assert (write.verb, write.resource, write.namespace, write.name) == ("patch", "deployments", "shop", "web")
    assert (write.user, write.code, write.field_manager) == ("podpin", 200, "podpin")
    assert write.at == datetime(2026, 11, 24, 7, tzinfo=UTC)


def test_reads_dry_runs_and_questions_about_rights_are_no_writes(tmp_path: Path) -> None:
    audit = log(
        tmp_path,
        {"verb": "get"},
        {"verb": "watch", "stage": "ResponseStarted"},
        {"requestURI": "/apis/apps/v1/x?dryRun=All"},
        {"verb": "create", "objectRef": {"resource": "selfsubjectaccessreviews"}},
    )
    assert audit.writes() == []
    assert len(audit.requests()) == 4


def test_each_request_counts_once(tmp_path: Path) -> None:
    audit = log(
        tmp_path, {"stage": "RequestReceived"}, {}, {"verb": "watch"}, {"verb": "watch", "stage": "ResponseStarted"}
    )
    assert [entry.verb for entry in audit.requests()] == ["patch", "watch"]


def test_requests_are_chosen_by_agent_user_resource_and_position(tmp_path: Path) -> None:
    audit = log(
        tmp_path, {"userAgent": "kubectl/v1"}, {"user": {"username": "else"}}, {"objectRef": {"resource": "pods"}}
    )
    assert len(audit.writes("kubectl")) == 1
    assert len(audit.writes(user="else")) == 1
    assert len(audit.writes(resource="pods")) == 1
    assert audit.writes(since=audit.position()) == []
    assert audit.writes(since=datetime(2026, 11, 25, tzinfo=UTC)) == []


def test_a_position_is_never_within_a_line(tmp_path: Path) -> None:
    audit = log(tmp_path, {}, {})
    with audit.log.open("ab") as file:
        file.write(b'{"kind": "Ev')
    position = audit.position()
    assert position == audit.log.stat().st_size - len(b'{"kind": "Ev')
    with audit.log.open("ab") as file:
        file.write(b'ent", "x": "' + b"x" * 200_000)
    assert audit.position() == position
    assert audit.writes(since=position) == []


def test_no_log_and_half_a_line_are_nothing_yet(tmp_path: Path) -> None:
    assert Audit(tmp_path / "missing").writes() == []
    (tmp_path / "half").write_text('{"kind": "Ev')
    assert Audit(tmp_path / "half").position() == 0
    assert Audit(tmp_path / "half").writes() == []
