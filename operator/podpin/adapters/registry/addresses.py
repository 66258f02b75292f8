"""Where podpin may connect to.

Who writes an ImageRollout names the registry's host, and a registry names further ones: its token server, redirects.
podpin would then make requests from inside the cluster on a stranger's behalf. So every name is checked after it is
resolved, for the very addresses that the connection uses, and addresses written out are checked too, since aiohttp does
not resolve those.

Never reached: what is no single host. Only for hosts that the administrator names: link-local addresses (the clouds'
metadata services), the metadata services elsewhere, and loopback, which is podpin's own Pod. Private ranges are reached
unless the administrator denies them: that is where most registries live, and the nodes pull from there too.
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
import socket
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final, TypeAlias

from aiohttp.abc import AbstractResolver, ResolveResult

from podpin.errors import Invalid

_METADATA: Final = frozenset(
    ipaddress.ip_address(address)
    for address in (
        "100.100.100.200",  # Alibaba Cloud
        "168.63.129.16",  # Azure's wire server
        "192.0.0.192",  # Oracle Cloud, old
        "fd00:ec2::254",  # AWS
        "fd00:ec2::23",  # AWS: the identities of Pods
        "fd00:42::42",  # Scaleway
        "fd20:ce::254",  # Google Cloud
    )
)
_Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
_ENDS_IN_NUMBER: Final = re.compile(r"(?:^|\.)(?:[0-9]+|0x[0-9a-f]*)\.?$", re.ASCII | re.IGNORECASE)
_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")
_LOOKUPS_AT_ONCE: Final = 16


Place: TypeAlias = tuple[str, int]
"""A host in lowercase, as a URL has it, and its port."""


@dataclass(frozen=True, slots=True)
class Reach:
    """Which addresses podpin may connect to, for which hosts.

    `named` are the administrator's own exceptions: they may be at any address of a single host. `insecure` are those
    of plain HTTP: they may be on loopback and in private ranges. `private` says whether all others may be in those.
    """

    named: frozenset[Place] = frozenset()
    insecure: frozenset[Place] = frozenset()
    private: bool = True

    def check(self, host: str, port: int, address: str) -> None:
        """Raise Invalid if podpin must not connect to this address, which `host` stands for."""
        kind = self._forbidden((host.lower(), port), address)
        if kind:
            raise Invalid(
                f"The host {host} leads to {kind}, where podpin does not connect to; name another host, or ask the "
                "administrator, who can allow this host by --reachable-host.",
            )

    def check_literal(self, host: str, port: int) -> None:
        """Raise Invalid if `host`, as a URL has it, is itself an address that podpin must not connect to.

        Only the usual spelling of an address is taken. Others (`2852039166`, `0xa9.254.169.254`) are read by some
        resolvers and not by others, which is how they slip through; no name in the DNS ends in a number.
        """
        try:
            ipaddress.ip_address(host)
        except ValueError:
            if _ENDS_IN_NUMBER.search(host) or ":" in host:
                raise Invalid(
                    f"The host {host} is an address in a spelling that podpin does not take; write it as 192.0.2.1, or "
                    "better as a name.",
                ) from None
            return
        self.check(host, port, host)

    def _forbidden(self, place: Place, address: str) -> str | None:
        try:
            ip = _innermost(ipaddress.ip_address(address))
        except ValueError:
            return "no address"
        if ip.is_multicast or ip.is_unspecified or (ip.is_reserved and not ip.is_loopback):
            return "a reserved address"
        if place in self.named:
            return None
        if ip in _METADATA or ip.is_link_local:
            return "a link-local or metadata address"
        if place in self.insecure:
            return None
        if ip.is_loopback:
            return "a loopback address"
        if not self.private and not _is_public(ip):
            return "a private address"
        return None


def _is_public(ip: _Address) -> bool:
    # fec0::/10 was meant for private networks before fc00::/7 was.
    return ip.is_global and not (isinstance(ip, ipaddress.IPv6Address) and ip.is_site_local)


def _innermost(ip: _Address) -> _Address:
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
    """

    def __init__(self, reach: Reach) -> None:
        self._reach = reach
        self._threads: ThreadPoolExecutor | None = None

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Look a host up. Raises Invalid if any of its addresses is forbidden, OSError if there is none."""
        if self._threads is None:
            self._threads = ThreadPoolExecutor(_LOOKUPS_AT_ONCE, thread_name_prefix="podpin-dns")
        loop = asyncio.get_running_loop()
        found = await loop.run_in_executor(self._threads, _look_up, host, port, family)
        for result in found:
            self._reach.check(host, port, result["host"])
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
