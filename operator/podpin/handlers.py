"""The thin kopf shell: the watch of ImageRollouts becomes keys on the queue, and nothing else.

Only `on.event` is used: handlers of any other kind would make kopf write annotations and finalizers on users' objects,
keep tasks per object, and retry by the event instead of by the state. The events of a watch are news, not truth:
`Rollouts` keeps the newest state, and a sweep finds what vanished while the watch was blind, for kopf does not tell of
that.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import random
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import kopf
from kubernetes.aio.client.configuration import Configuration

from podpin.core.names import FIELD_MANAGER, GROUP, PLURAL, VERSION, Key
from podpin.queue import WorkQueue
from podpin.rollouts import Rollouts

RegistryOf = Callable[[Rollouts, WorkQueue, Callable[[Key], None]], kopf.OperatorRegistry]

log = logging.getLogger(__name__)


class Backoffs:
    """Endless waits in seconds, growing to half a minute, each a little off lest many podpins march in step."""

    def __iter__(self) -> Iterator[float]:
        """The waits of one request's retries."""
        for attempt in itertools.count():
            yield min(30.0, 1.6 ** min(attempt, 10)) * random.uniform(0.6, 1.0)  # noqa: S311


def registry_of(
    configuration: Configuration, rollouts: Rollouts, queue: WorkQueue, gone: Callable[[Key], None]
) -> kopf.OperatorRegistry:
    """podpin's kopf handlers, bound to the objects that they serve."""
    registry = kopf.OperatorRegistry()

    @kopf.on.login(registry=registry)
    async def login(**_: object) -> kopf.ConnectionInfo:
        bearer = await configuration.get_api_key_with_prefix("BearerToken", alias="authorization")
        scheme, _blank, token = str(bearer or "").rpartition(" ")
        return kopf.ConnectionInfo(
            server=str(configuration.host),
            ca_path=configuration.ssl_ca_cert,
            ca_data=configuration.ca_cert_data,
            insecure=not configuration.verify_ssl,
            certificate_path=configuration.cert_file,
            private_key_path=configuration.key_file,
            scheme=scheme or None,
            token=token or None,
            proxy_url=configuration.proxy,
        )

    @kopf.on.event(GROUP, VERSION, PLURAL, registry=registry)
    async def heard(event: Mapping[str, Any], **_: object) -> None:
        body = event["object"]
        key = Key(body["metadata"]["namespace"], body["metadata"]["name"])
        if event["type"] == "DELETED":
            if rollouts.drop(key, int(body["metadata"]["resourceVersion"])):
                gone(key)
        elif rollouts.put(body):
            queue.add(key, bulk=event["type"] is None)

    return registry


def settings_of(selector: str = "") -> kopf.OperatorSettings:
    """kopf's settings: no events and no scans of its own, patience without end, and little memory per object.

    The label selector is sent along: what it does not select costs nothing.
    """
    settings = kopf.OperatorSettings()
    if selector:
        settings.watching.label_selectors[GROUP, PLURAL] = selector
    settings.posting.enabled = False
    settings.scanning.disabled = True
    settings.networking.error_backoffs = Backoffs()
    settings.watching.server_timeout = 600
    settings.watching.chunk_size = 500
    settings.queueing.idle_timeout = 0.2
    settings.queueing.worker_limit = 200
    settings.execution.max_workers = 1
    return settings


async def watch_forever(
    make_registry: Callable[[], kopf.OperatorRegistry],
    namespaces: tuple[str, ...],
    stop: asyncio.Event,
    ready: asyncio.Event,
    selector: str = "",
) -> None:
    """Keep kopf running until `stop` is set: whatever ends it early, it is started again."""
    while not stop.is_set():
        try:
            await kopf.operator(
                registry=make_registry(),
                settings=settings_of(selector),
                standalone=True,
                # Only peering needs it, which is off; kopf would ask for the user's name, which a bare number has not.
                identity=FIELD_MANAGER,  # type: ignore[arg-type]
                clusterwide=not namespaces,
                namespaces=namespaces,
                stop_flag=stop,
                ready_flag=ready,
            )
        except Exception as error:
            log.warning("the watch of ImageRollouts ended and is started again: %s: %s", type(error).__name__, error)
        if not stop.is_set():
            try:
                await asyncio.wait_for(stop.wait(), timeout=2.0)
            except TimeoutError:
                continue
