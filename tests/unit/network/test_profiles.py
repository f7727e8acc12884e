"""NetworkManager's own profiles are matched, taken over by name, or refused; and who of two renderers is asked."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Interface
from typing import Any

import pytest

from orchestrator.facts.answers import Profile
from orchestrator.network.netplan import PRIORITY, Wanted
from orchestrator.network.profiles import FOLDER, ProfileClaims, profile_claims
from orchestrator.network.target import renderer_of
from tests.unit.network.worlds import file, netdev, network

P1 = Wanted("enp1s0f1np1", "p1", 0, 9000, IPv4Interface("192.168.100.10/24"), ipv6=False)
P1B = Wanted("enP2p1s0f1np1", "p1", 1, 9000, IPv4Interface("192.168.101.10/24"), ipv6=False)
HOST = replace(
    network(
        a=netdev("enp1s0f1np1", mac="4c:bb:47:00:00:01"),
        b=netdev("enP2p1s0f1np1", mac="4c:bb:47:00:00:02"),
        c=netdev("enP7s7", mac="4c:bb:47:00:00:03"),
    ),
    renderer="NetworkManager",
)
NOTHING = ProfileClaims(frozenset(), (), ())
SAME = Profile(
    path=f"{FOLDER}/rail.nmconnection",
    id="rail",
    interface="enp1s0f1np1",
    mac="",
    patterns=(),
    autoconnect=True,
    priority=0,
    port_of="",
    method="manual",
    addresses=("192.168.100.10/24",),
    mtu=9000,
)


def claims(*adopt: str, **changed: Any) -> ProfileClaims:
    return profile_claims([replace(SAME, **changed)], (P1, P1B), HOST, adopt)


def test_one_that_says_the_same_is_left_alone() -> None:
    assert claims().matched == {"enp1s0f1np1"}
    local = replace(P1, address=None)
    link_local = replace(SAME, method="link-local", addresses=())
    assert profile_claims([link_local], (local,), HOST).matched == {"enp1s0f1np1"}


@pytest.mark.parametrize(
    "changed",
    [
        {"mtu": 1500},
        {"addresses": ()},
        {"addresses": ("192.168.100.10/24", "10.0.0.1/8")},
        {"method": "auto"},
        {"interface": "", "mac": "4c:bb:47:00:00:01"},
        {"interface": "", "patterns": ("enp1s0f1np*",)},
    ],
)
def test_one_that_says_otherwise_is_refused_or_taken_over(changed: dict[str, Any]) -> None:
    (refused,) = claims(**changed).refused
    assert "adopt: [rail.nmconnection]" in refused
    assert claims("rail.nmconnection", **changed) == replace(
        NOTHING, adopted=("rail.nmconnection",)
    )


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"interface": "", "patterns": ("en*",)}, "may take enp1s0f1np1 and"),
        ({"interface": "", "patterns": ("!lo",)}, "may take enp1s0f1np1 and"),
        ({"interface": "", "priority": PRIORITY}, "may take enp1s0f1np1 and"),
        ({"port_of": "bond0"}, "gives enp1s0f1np1 to bond0"),
        ({"path": "/run/NetworkManager/system-connections/x", "mtu": 1}, "is not kept"),
    ],
)
def test_one_that_can_not_be_taken_over_is_refused_all_the_same(
    changed: dict[str, Any], reason: str
) -> None:
    found = claims("rail.nmconnection", "x", **changed)
    assert reason in found.refused[0]
    assert not found.adopted


@pytest.mark.parametrize(
    "changed",
    [
        {"interface": "enP7s7"},
        {"interface": "", "mac": "4c:bb:47:00:00:03"},
        {"interface": "", "patterns": ("wl*",)},
        {"interface": ""},  # fits any, and ours comes before it
        {"autoconnect": False, "mtu": 1},  # somebody has to ask for it
    ],
)
def test_one_that_never_takes_our_interface_is_none_of_our_business(
    changed: dict[str, Any],
) -> None:
    assert claims(**changed) == NOTHING


def test_two_that_say_the_same_are_refused() -> None:
    """Which of them comes up is NetworkManager's choice, but so is what is changed in one of them."""
    again = replace(SAME, path=f"{FOLDER}/again.nmconnection")
    assert len(profile_claims([SAME, again], (P1,), HOST).refused) == 2


def test_where_network_manager_does_not_run_its_profiles_are_nothing() -> None:
    wrong = replace(SAME, mtu=1)
    assert profile_claims([wrong], (P1,), replace(HOST, renderer="networkd")) == NOTHING
    assert profile_claims([wrong], (P1,), replace(HOST, renderer="both")).refused


@pytest.mark.parametrize(
    ("runs", "text", "asked"),
    [
        ("NetworkManager", "network: {renderer: networkd}", "NetworkManager"),
        ("networkd", "network: {renderer: NetworkManager}", "networkd"),
        ("both", "network: {version: 2}", "networkd"),  # netplan's own default
        ("both", "network: {renderer: NetworkManager}", "NetworkManager"),
        ("both", "network: {ethernets: {renderer: NetworkManager}}", "NetworkManager"),
        ("both", "network: {ethernets: {eth0: {renderer: NetworkManager}}}", "networkd"),
        (
            "both",
            "network: {renderer: NetworkManager, ethernets: {eth0: {renderer: networkd}}}",
            "NetworkManager",
        ),
    ],
)
def test_who_is_asked_to_render(runs: str, text: str, asked: str) -> None:
    files = [file("01-first.yaml", text), file("50-cloud-init.yaml", "network: {version: 2}")]
    assert renderer_of(replace(HOST, renderer=runs), files) == asked


def test_a_later_file_says_who_renders() -> None:
    files = [
        file("01-first.yaml", "network: {renderer: networkd}"),
        file("02-second.yaml", "network: {renderer: NetworkManager}"),
    ]
    assert renderer_of(replace(HOST, renderer="both"), files) == "NetworkManager"
