"""Where podpin may connect to.

Who writes an ImageRollout names the registry's host, and a registry names further ones: its token server, redirects.
podpin would then make requests from inside the cluster on a stranger's behalf. So every name is checked after it is
resolved, for the very addresses that the connection uses, and addresses written out are checked too, since aiohttp does
not resolve those.

Never allowed: link-local addresses (the clouds' metadata services), the metadata services elsewhere, and what is no
single host. Loopback is the operator's own Pod, allowed for hosts alone that the administrator named. Private ranges
are where most registries live.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from aiohttp.abc import AbstractResolver, ResolveResult

from podpin.errors import Invalid

_METADATA: Final = frozenset(
    ipaddress.ip_address(address)
    for address in (
        "100.100.100.200",  # Alibaba Cloud
        "168.63.129.16",  # Azure's wire server
        "192.0.0.192",  # Oracle Cloud, old
        "fd00:ec2::254",  # AWS
        "fd20:ce::254",  # Google Cloud
    )
)
_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")
_LOOKUPS_AT_ONCE: Final = 16


def check_address(host: str, address: str, *, loopback: bool) -> None:
    """Raise Invalid if podpin must not connect to this address, which `host` stands for."""
    kind = _forbidden(address, loopback=loopback)
    if kind:
        raise Invalid(f"The host {host} leads to {kind}, where podpin never connects to; name another registry.")


def check_literal(host: str, *, loopback: bool) -> None:
    """Raise Invalid if `host`, as a URL has it, is itself an address that podpin must not connect to."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return
    check_address(host, host, loopback=loopback)


def _forbidden(address: str, *, loopback: bool) -> str | None:
    try:
        ip = _innermost(ipaddress.ip_address(address))
    except ValueError:
        return "no address"
    if ip.is_loopback:
        return None if loopback else "a loopback address"
    if ip in _METADATA or ip.is_link_local:
        return "a link-local or metadata address"
    if ip.is_multicast or ip.is_unspecified or ip.is_reserved:
        return "a reserved address"
    return None


def _innermost(ip: ipaddress.IPv4Address | ipaddress.IPv6Address) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """Unpack an IPv4 address that is written as an IPv6 one: mapped, translated (NAT64) or tunnelled (6to4, Teredo)."""
    if isinstance(ip, ipaddress.IPv4Address):
        return ip
    if ip in _NAT64:
        return ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
    teredo = ip.teredo
    return ip.ipv4_mapped or ip.sixtofour or (teredo[1] if teredo else ip)


class VettedResolver(AbstractResolver):
    """Looks names up and refuses those that lead where podpin must not connect to.

    It has threads of its own: a name whose DNS server hangs must not hold up the whole program's default executor.
    `loopback_hosts` are the `host:port` pairs that may be on loopback.
    """

    def __init__(self, loopback_hosts: frozenset[tuple[str, int]]) -> None:
        self._loopback_hosts = loopback_hosts
        self._threads: ThreadPoolExecutor | None = None

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Look a host up. Raises Invalid if any of its addresses is forbidden, OSError if there is none."""
        if self._threads is None:
            self._threads = ThreadPoolExecutor(_LOOKUPS_AT_ONCE, thread_name_prefix="podpin-dns")
        loop = asyncio.get_running_loop()
        found = await loop.run_in_executor(self._threads, _look_up, host, port, family)
        loopback = (host.lower(), port) in self._loopback_hosts
        for result in found:
            check_address(host, result["host"], loopback=loopback)
        return found

    async def close(self) -> None:
        """Let go of the threads; a lookup that hangs ends by itself."""
        if self._threads is not None:
            self._threads.shutdown(wait=False, cancel_futures=True)
            self._threads = None


def _look_up(host: str, port: int, family: socket.AddressFamily) -> list[ResolveResult]:
    flags = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
    return [
        ResolveResult(
            hostname=host, host=str(address[0]).partition("%")[0], port=port, family=kind, proto=proto, flags=flags
        )
        for kind, _, proto, _, address in socket.getaddrinfo(host, port, family, socket.SOCK_STREAM)
    ]
