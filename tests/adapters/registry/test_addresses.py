"""No rollout and no registry makes podpin connect where it should not."""

from __future__ import annotations

import dataclasses
import socket
from typing import TYPE_CHECKING

import pytest
from aiohttp.abc import ResolveResult
from tests.adapters.registry.scripted import Scripted

from podpin.adapters.registry import addresses
from podpin.adapters.registry.addresses import Reach, VettedResolver
from podpin.adapters.registry.client import RegistryClient
from podpin.core.keyring import Access
from podpin.core.reference import parse_repository
from podpin.errors import Invalid, PodpinError

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.adapters.registry.conftest import NewClient

ANYBODY = Access()

HERE = ("r.example", 443)
NAMED = Reach(named=frozenset({HERE}))
INSECURE = Reach(insecure=frozenset({HERE}))

NEVER = {
    "any address": "0.0.0.0",
    "any address over IPv6": "::",
    "any address, mapped": "::ffff:0.0.0.0",
    "a group": "224.0.0.1",
    "a group over IPv6": "ff02::1",
    "everybody": "255.255.255.255",
    "reserved": "240.0.0.1",
    "an IPv4 address in IPv6's oldest spelling": "::169.254.169.254",
    "translated within a network of its own": "64:ff9b:1::a9fe:a9fe",
    "no address": "nonsense",
}
METADATA = {
    "link-local": "169.254.1.1",
    "the metadata service": "169.254.169.254",
    "the metadata service, mapped": "::ffff:169.254.169.254",
    "the metadata service, mapped, in hexadecimal": "::ffff:a9fe:a9fe",
    "the metadata service, translated": "64:ff9b::169.254.169.254",
    "the metadata service, tunnelled": "2002:a9fe:a9fe::1",
    "Alibaba Cloud's": "100.100.100.200",
    "Azure's": "168.63.129.16",
    "AWS's over IPv6": "fd00:ec2::254",
    "AWS's for Pods over IPv6": "fd00:ec2::23",
    "Google's over IPv6": "fd20:ce::254",
    "Scaleway's over IPv6": "fd00:42::42",
    "link-local over IPv6": "fe80::1",
    "link-local over IPv6, with a zone": "fe80::1%eth0",
}
LOOPBACK = {
    "loopback": "127.0.0.1",
    "all of loopback": "127.8.9.10",
    "loopback over IPv6": "::1",
    "loopback, mapped": "::ffff:127.0.0.1",
    "loopback, translated": "64:ff9b::7f00:1",
}
PRIVATE = {
    "ten": "10.0.0.1",
    "a hundred and seventy-two": "172.16.0.1",
    "a hundred and ninety-two": "192.168.1.1",
    "a carrier's": "100.64.0.1",
    "over IPv6": "fd00::1",
    "over IPv6, as it was once": "fec0::1",
    "mapped": "::ffff:10.0.0.1",
    "translated": "64:ff9b::a00:1",
}
PUBLIC = ["8.8.8.8", "2a00::1", "::ffff:8.8.8.8"]


@pytest.mark.parametrize("address", NEVER.values(), ids=NEVER)
def test_connects_for_nobody_to(address: str) -> None:
    for reach in (Reach(), INSECURE, NAMED):
        with pytest.raises(Invalid, match="podpin does not connect to"):
            reach.check(*HERE, address)


@pytest.mark.parametrize("address", METADATA.values(), ids=METADATA)
def test_connects_for_hosts_that_the_administrator_named_alone_to(address: str) -> None:
    NAMED.check(*HERE, address)
    for reach, host, port in ((Reach(), *HERE), (INSECURE, *HERE), (NAMED, "r.example", 80), (NAMED, "r.evil", 443)):
        with pytest.raises(Invalid, match=r"a link-local or metadata address.*--reachable-host"):
            reach.check(host, port, address)


@pytest.mark.parametrize("address", LOOPBACK.values(), ids=LOOPBACK)
def test_connects_to_loopback_for_named_and_insecure_hosts_alone(address: str) -> None:
    for reach in (NAMED, INSECURE):
        reach.check(*HERE, address)
        reach.check("R.Example", 443, address)
    with pytest.raises(Invalid, match="a loopback address"):
        Reach().check(*HERE, address)


@pytest.mark.parametrize("address", PRIVATE.values(), ids=PRIVATE)
def test_connects_to_private_addresses_unless_they_are_denied(address: str) -> None:
    Reach().check(*HERE, address)
    for reach in (NAMED, INSECURE):
        dataclasses.replace(reach, private=False).check(*HERE, address)
    with pytest.raises(Invalid, match=r"a private address.*--reachable-host"):
        Reach(private=False).check(*HERE, address)


@pytest.mark.parametrize("address", PUBLIC)
def test_connects_to_public_addresses(address: str) -> None:
    Reach(private=False).check(*HERE, address)
    Reach().check_literal(address, 443)


@pytest.mark.parametrize("host", ["r.example", "r2d2", "1.example", "0xa9.example", "1e"])
def test_a_name_is_no_literal(host: str) -> None:
    Reach().check_literal(host, 443)


@pytest.mark.parametrize(
    "host",
    ["2852039166", "0xa9fea9fe", "0251.0376.0251.0376", "169.254.43518", "0xA9.254.169.254", "169.254.169.254.", "8.8"],
)
def test_an_odd_spelling_of_an_address_is_refused_whatever_it_stands_for(host: str) -> None:
    with pytest.raises(Invalid, match="in a spelling that podpin does not take"):
        NAMED.check_literal(host, 443)


def leads_to(*addresses: str) -> Callable[..., object]:
    def look_up(host: str, port: int, *_: object) -> list[object]:
        return [
            (socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))
            for address in addresses
        ]

    return look_up


@pytest.mark.parametrize(
    "addresses", [["169.254.169.254"], ["10.0.0.1", "169.254.169.254"], ["::ffff:a9fe:a9fe"], ["127.0.0.1"]]
)
async def test_a_name_that_leads_astray_is_refused(monkeypatch: pytest.MonkeyPatch, addresses: list[str]) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", leads_to(*addresses))
    client = RegistryClient()
    with pytest.raises(Invalid, match=r"The host r\.example leads to"):
        await client.resolve(parse_repository("r.example/app"), "1", ANYBODY)
    await client.close()


async def test_a_name_that_leads_to_loopback_reaches_nobody_there(
    registry: Scripted, monkeypatch: pytest.MonkeyPatch, new_client: NewClient
) -> None:
    port = registry.host.rpartition(":")[2]
    registry.serves("1")
    monkeypatch.setattr(socket, "getaddrinfo", leads_to("127.0.0.1"))
    # It may even be named, as long as it is another one that is.
    for client in (new_client(registry), RegistryClient(insecure_hosts=frozenset({f"r.example:{int(port) ^ 1}"}))):
        with pytest.raises(Invalid, match="loopback"):
            await client.resolve(parse_repository(f"r.example:{port}/app"), "1", ANYBODY)
        await client.close()
    assert registry.seen == []


@pytest.mark.parametrize("name", ["r.example", "xn--bcher-kva.example"])
async def test_a_name_that_the_administrator_named_may_be_on_loopback(
    registry: Scripted, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    port = registry.host.rpartition(":")[2]
    digest = registry.serves("1")
    monkeypatch.setattr(socket, "getaddrinfo", leads_to("127.0.0.1"))
    client = RegistryClient(insecure_hosts=frozenset({f"{name.title()}:{port}"}))
    assert await client.resolve(parse_repository(f"{name}:{port}/app"), "1", ANYBODY) == digest
    await client.close()


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "[::1]", "0.0.0.0", "2130706433", "127.1", "0x7f.1", "017700000001"]
)
async def test_no_spelling_of_loopback_passes(registry: Scripted, host: str) -> None:
    client = RegistryClient()
    repository = parse_repository(f"{host}:{registry.host.rpartition(':')[2]}/app")
    with pytest.raises(PodpinError) as caught:
        await client.resolve(repository, "1", ANYBODY)
    assert type(caught.value) is Invalid
    assert registry.seen == []
    await client.close()


async def test_private_ranges_denied_leave_the_hosts_that_are_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = []

    def look_up(host: str, port: int, family: socket.AddressFamily) -> list[ResolveResult]:
        asked.append(host)
        return [ResolveResult(hostname=host, host="10.0.0.1", port=1, family=family, proto=6, flags=0)]

    monkeypatch.setattr(addresses, "_look_up", look_up)
    client = RegistryClient(private_ranges=False)
    with pytest.raises(Invalid, match=r"r\.example leads to a private address"):
        await client.resolve(parse_repository("r.example/app"), "1", ANYBODY)
    with pytest.raises(Invalid, match=r"10\.0\.0\.1 leads to a private address"):
        await client.resolve(parse_repository("10.0.0.1/app"), "1", ANYBODY)
    assert asked == ["r.example"]
    await client.close()


async def test_a_resolver_looks_up_and_closes_twice() -> None:
    resolver = VettedResolver(Reach(insecure=frozenset({("localhost", 5000)})))
    found = await resolver.resolve("localhost", 5000)
    assert {result["host"] for result in found} <= {"127.0.0.1", "::1"}
    with pytest.raises(Invalid):
        await resolver.resolve("localhost", 5001)
    await resolver.close()
    await resolver.close()
