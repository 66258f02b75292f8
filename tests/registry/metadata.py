"""A machine on which somebody listens where a cloud's metadata service does, and counts what podpin sends there.

It is a network namespace of its own, in which 169.254.169.254 is an address like any other: were podpin to connect to
it, the connection would come about. `python -m tests.registry.metadata` runs within it, leads podpin there in every way
that a stranger could, and prints what was said and what was counted, as JSON. tests/registry/test_metadata.py starts
it and judges.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import json
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tests.adapters.registry.scripted import Scripted, reply, serving

from podpin.adapters.registry.client import RegistryClient
from podpin.core.keyring import Access
from podpin.core.reference import Repository
from podpin.errors import Invalid, Unavailable, Untrusted

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

METADATA: Final = "169.254.169.254"
TRANSLATED: Final = "64:ff9b::a9fe:a9fe"
LOCAL: Final = (ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1/128"))
HOSTS: Final = f"""\
127.0.0.1 localhost
{METADATA} metadata.example
::ffff:{METADATA} mapped.example
{TRANSLATED} translated.example
127.0.0.1 both.example
{METADATA} both.example
"""

SPELLINGS: Final = {
    "its address": METADATA,
    "a name that leads there": "metadata.example",
    "a name that leads there, mapped into IPv6": "mapped.example",
    "a name that leads there, translated into IPv6": "translated.example",
    "a name that leads there and elsewhere": "both.example",
    "its address, mapped into IPv6": f"[::ffff:{METADATA}]",
    "its address, mapped into IPv6, in hexadecimal": "[::ffff:a9fe:a9fe]",
    "its address, translated into IPv6": f"[{TRANSLATED}]",
    "its address in decimal": "2852039166",
    "its address in hexadecimal": "0xa9fea9fe",
    "its address in octal": "0251.0376.0251.0376",
    "its address in three parts": "169.254.43518",
    "its address with a dot at its end": f"{METADATA}.",
    "its address in digits within circles": "①⑥⑨.②⑤④.①⑥⑨.②⑤④",
    "its address with another script's dots": "169。254。169。254",
    "its address with a wide blank at its end": f"{METADATA}\u3000",
}

_ROLLOUT: Final = """\
apiVersion: podpin.dev/v1alpha1
kind: ImageRollout
metadata: {name: web}
spec:
  images: [{container: app, repository: "HOST/app", policy: {tag: {name: "1"}}}]
  workload:
    kind: Deployment
    replicas: 1
    template:
      metadata: {labels: {app: web}}
      spec: {containers: [{name: app}]}
"""


class Listener:
    """Listens at the metadata service's ports, hangs up, and sees every packet that leaves loopback's own addresses."""

    def __init__(self) -> None:
        self.connections = 0
        self._packets = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.ntohs(0x0003))
        self._packets.setblocking(False)

    async def listen(self) -> None:
        """Begin to."""
        for host in (METADATA, TRANSLATED):
            for port in (80, 443):
                await asyncio.start_server(self._hang_up, host, port)

    def _hang_up(self, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        writer.close()

    def packets(self) -> int:
        """How many packets went to any other address than loopback's since the last time this was asked."""
        count = 0
        with contextlib.suppress(BlockingIOError):
            while True:
                packet = self._packets.recv(128)
                here = packet[16:20] if packet[0] >> 4 == 4 else packet[24:40]
                address = ipaddress.ip_address(here)
                count += not any(address in network for network in LOCAL)
        return count


async def _named(host: str) -> None:
    """The rollout itself names it, and podpin asks all that it ever asks of a registry."""
    for insecure in (frozenset[str](), frozenset({host})):
        client = _client(insecure)
        repository = Repository(host, "app")
        try:
            for ask in (
                client.list_tags(repository, Access()),
                client.resolve(repository, "1", Access()),
                client.exists(repository, "sha256:" + "0" * 64, Access()),
            ):
                await _refused(ask)
        finally:
            await client.close()


async def _rollout(host: str) -> None:
    """The same, from a file to the end of the program."""
    program = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "podpin", "choose", "-f", "-", "--insecure-registry", host),
        stdin=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    _, said = await program.communicate(_ROLLOUT.replace("HOST", host).encode())
    assert program.returncode == 1, said
    assert b"podpin does not connect to" in said, said


async def _sent(host: str, answer: Callable[[Scripted, str], None]) -> None:
    """A registry that is none of them sends podpin there."""
    async with serving() as registry:
        for scheme, insecure in (("https", frozenset[str]()), ("http", frozenset({host}))):
            answer(registry, f"{scheme}://{host}/latest/meta-data")
            client = _client(insecure | {registry.host})
            try:
                for ask in (
                    client.list_tags(registry.app, Access()),
                    client.resolve(registry.app, "1", Access()),
                    client.exists(registry.app, "sha256:" + "0" * 64, Access()),
                ):
                    await _refused(ask)
            finally:
                await client.close()
        assert registry.seen


async def _linked(host: str) -> None:
    """A Link leads there. It is followed at the registry's own host, so the list comes about all the same."""
    async with serving() as registry:
        link = f'<http://{host}/latest/meta-data?last=1>; rel="next"'
        registry.on("GET /v2/app/tags/list", reply(200, {"tags": ["1"]}, link=link))
        registry.on("GET /v2/app/tags/list?last=1", reply(200, {"tags": ["2"]}))
        client = _client(frozenset({host, registry.host}))
        assert await client.list_tags(registry.app, Access()) == ("1", "2")
        await client.close()


def _realm(registry: Scripted, there: str) -> None:
    registry.on("*", reply(401, www_authenticate=f'Bearer realm="{there}",service="x"'))


def _redirect(registry: Scripted, there: str) -> None:
    registry.on("*", reply(307, location=there))


def _token_redirect(registry: Scripted, there: str) -> None:
    registry.on("*", reply(401, www_authenticate=f'Bearer realm="http://{registry.host}/token"'))
    registry.on("GET /token", reply(302, location=there))


def _client(insecure: frozenset[str]) -> RegistryClient:
    return RegistryClient(insecure_hosts=insecure)


async def _refused(ask: Awaitable[object]) -> None:
    try:
        answer = await ask
    except (Invalid, Untrusted):
        return
    raise AssertionError(answer)


async def _allowed(host: str) -> None:
    """Were the administrator to allow it, podpin would get there: what keeps it away is the rule and nothing else."""
    hosts = frozenset({host})
    client = RegistryClient(insecure_hosts=hosts, reachable_hosts=hosts)
    with contextlib.suppress(Unavailable):
        await client.resolve(Repository(host, "app"), "1", Access())
    await client.close()


async def _plain(host: str) -> None:
    reader, writer = await asyncio.open_connection(host.strip("[]"), 80)
    assert await reader.read() == b""
    writer.close()


CONTROLS: Final = {
    f"{how}, {spelling}": (do, SPELLINGS[spelling])
    for how, do in (("a connection of anybody's", _plain), ("podpin, if it were allowed", _allowed))
    for spelling in ("its address", "a name that leads there", "its address, translated into IPv6")
}
CASES: Final = {
    **{f"a rollout names {spelling}": (_named, host) for spelling, host in SPELLINGS.items()},
    **{f"podpin choose -f names {spelling}": (_rollout, SPELLINGS[spelling]) for spelling in list(SPELLINGS)[:2]},
    **{f"a realm is {spelling}": (lambda host: _sent(host, _realm), host) for spelling, host in SPELLINGS.items()},
    **{
        f"a redirect to {spelling}": (lambda host: _sent(host, _redirect), host) for spelling, host in SPELLINGS.items()
    },
    **{
        f"a token server redirects to {spelling}": (lambda host: _sent(host, _token_redirect), host)
        for spelling, host in SPELLINGS.items()
    },
    **{f"a Link to {spelling}": (_linked, host) for spelling, host in SPELLINGS.items()},
}


@contextlib.contextmanager
def _names() -> Iterator[None]:
    """Have the C library resolve our names, for this mount namespace alone."""
    with tempfile.NamedTemporaryFile("w", suffix=".hosts") as hosts:
        hosts.write(HOSTS)
        hosts.flush()
        subprocess.run(["mount", "--bind", hosts.name, "/etc/hosts"], check=True)
        yield
        subprocess.run(["umount", "/etc/hosts"], check=True)


async def _observe(listener: Listener) -> dict[str, Any]:
    observed: dict[str, Any] = {}
    await listener.listen()
    for name, (do, host) in {**CONTROLS, **CASES}.items():
        listener.packets()
        before = listener.connections
        flaw = None
        try:
            await do(host)
        except Exception as error:
            flaw = f"{type(error).__name__}: {error}"
        observed[name] = {
            "packets": listener.packets(),
            "connections": listener.connections - before,
            "flaw": flaw,
        }
    return observed


def main() -> None:
    """Set the machine up, lead podpin astray, and print what came of it."""
    if Path("/sys/class/net").exists() and len(socket.if_nameindex()) != 1:
        sys.exit("This must run in a network namespace of its own; tests/registry/test_metadata.py makes one.")
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    for address in (f"{METADATA}/32", f"{TRANSLATED}/128"):
        subprocess.run(["ip", "address", "add", address, "dev", "lo"], check=True)
    with _names():
        print(json.dumps(asyncio.run(_observe(Listener()))))


if __name__ == "__main__":
    main()
