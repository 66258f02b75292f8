"""Addresses, and the refusal to take somebody else's."""

from __future__ import annotations

import json

import pytest

from tests.cluster import network
from tests.cluster.errors import ClusterError
from tests.cluster.network import NUMBERS, Network


def test_no_two_clusters_share_an_address() -> None:
    clusters = [Network(number) for number in NUMBERS]
    for addresses in (
        [one.node for one in clusters],
        [one.pods for one in clusters],
        [one.services for one in clusters],
        [one.namespace for one in clusters],
        [one.link for one in clusters],
    ):
        assert len(set(addresses)) == len(clusters)
    assert all(len(one.link) <= 15 for one in clusters), "the kernel's limit for names of links"


@pytest.mark.parametrize(
    ("route", "refused"),
    [
        ({"dst": "10.200.5.0/24", "dev": "tun0"}, True),
        ({"dst": "10.200.1.0/30", "dev": "podpin1"}, False),
        ({"type": "unreachable", "dst": "10.200.0.0/16"}, False),
    ],
)
def test_a_network_that_this_machine_uses_otherwise_is_left_alone(
    monkeypatch: pytest.MonkeyPatch, route: dict[str, str], refused: bool
) -> None:
    def run(*words: str) -> str:
        return json.dumps([route] if words[-1] == network.NODES else [])

    monkeypatch.setattr(network, "run", run)
    if not refused:
        network.refuse_foreign_routes()
        return
    with pytest.raises(ClusterError, match=r"already has a route to 10\.200\.5\.0/24 \(by tun0\).*CLUSTER=kind"):
        network.refuse_foreign_routes()
