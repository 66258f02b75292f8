"""The API server's audit log as a test reads it: who wrote what, and how often.

It is how the write budgets, and "a quiet cluster is never written to", are shown: by counting at the server, not in
podpin.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

if TYPE_CHECKING:
    from pathlib import Path

WRITES = frozenset({"create", "update", "patch", "delete", "deletecollection"})


@dataclass(frozen=True, slots=True)
class Entry:
    """One request, as the API server saw it."""

    verb: str
    resource: str
    subresource: str
    namespace: str
    name: str
    user: str
    agent: str
    code: int
    dry_run: bool
    field_manager: str
    at: datetime
    uri: str

    @property
    def is_write(self) -> bool:
        """Whether it could have changed something. A dry run cannot, nor can asking who may do what."""
        return self.verb in WRITES and not self.dry_run and not self.resource.endswith("reviews")


@dataclass(frozen=True, slots=True)
class Audit:
    """The log, and ways to ask it."""

    log: Path

    def position(self) -> int:
        """Where the log's last whole line ends now; give it as `since` later."""
        try:
            with self.log.open("rb") as file:
                end = file.seek(0, 2)
                while end:
                    begin = max(0, end - 65536)
                    file.seek(begin)
                    last = file.read(end - begin).rfind(b"\n")
                    if last >= 0:
                        return begin + last + 1
                    end = begin
        except FileNotFoundError:
            pass
        return 0

    def requests(
        self,
        agent: str = "",
        *,
        user: str | None = None,
        since: int | datetime = 0,
        resource: str | None = None,
        namespace: str | None = None,
    ) -> list[Entry]:
        """Every finished request, and every watch that began, oldest first.

        `agent` is a prefix of the user agent; `since` an earlier `position()`, or a moment.
        """
        found = []
        try:
            file = self.log.open("rb")
        except FileNotFoundError:
            return []
        with file:
            if isinstance(since, int):
                file.seek(since)
            for line in file:
                if not line.endswith(b"\n"):
                    break  # still being written
                entry = parse(json.loads(line))
                if entry is not None:
                    found.append(entry)
        return [
            one
            for one in found
            if one.agent.startswith(agent)
            and (user is None or one.user == user)
            and (resource is None or one.resource == resource)
            and (namespace is None or one.namespace == namespace)
            and (isinstance(since, int) or one.at >= since)
        ]

    def writes(
        self,
        agent: str = "",
        *,
        user: str | None = None,
        since: int | datetime = 0,
        resource: str | None = None,
        namespace: str | None = None,
    ) -> list[Entry]:
        """Only what could have changed something, whether it succeeded or not; events and leases are writes too."""
        asked = self.requests(agent, user=user, since=since, resource=resource, namespace=namespace)
        return [one for one in asked if one.is_write]


def parse(event: dict[str, Any]) -> Entry | None:
    """One line of the log; None for a stage that another line tells better."""
    wanted = "ResponseStarted" if event["verb"] == "watch" else "ResponseComplete"
    if event["stage"] != wanted:
        return None
    target = event.get("objectRef", {})
    query = parse_qs(urlsplit(event["requestURI"]).query)
    return Entry(
        verb=event["verb"],
        resource=target.get("resource", ""),
        subresource=target.get("subresource", ""),
        namespace=target.get("namespace", ""),
        name=target.get("name", ""),
        user=event["user"].get("username", ""),
        agent=event.get("userAgent", ""),
        code=event.get("responseStatus", {}).get("code", 0),
        dry_run="dryRun" in query,
        field_manager=query.get("fieldManager", [""])[0],
        at=datetime.fromisoformat(event["requestReceivedTimestamp"]),
        uri=event["requestURI"],
    )
