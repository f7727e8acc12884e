"""The user's own netplan files are matched, taken over by name, or refused; never stacked upon."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Interface

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.network.claims import Claims, conflicts
from orchestrator.network.netplan import Wanted
from tests.unit.network.worlds import file, netdev, network

P1 = Wanted("enp1s0f1np1", "p1", 0, 9000, IPv4Interface("192.168.100.10/24"), ipv6=False)
P1B = Wanted("enP2p1s0f1np1", "p1", 1, 9000, IPv4Interface("192.168.101.10/24"), ipv6=False)
HOST = network(
    a=netdev("enp1s0f1np1", mac="4c:bb:47:00:00:01"),
    b=netdev("enP2p1s0f1np1", mac="4c:bb:47:00:00:02"),
    c=netdev("enP7s7", mac="4c:bb:47:00:00:03", driver="r8127"),
)

NVIDIA = """
network:
  version: 2
  ethernets:
    enp1s0f1np1:
      addresses:
        - 192.168.100.10/24
      dhcp4: no
    enP2p1s0f1np1:
      addresses:
        - 192.168.101.10/24
      dhcp4: no
"""
LINK_LOCAL = """
network:
  version: 2
  ethernets:
    enp1s0f0np0: {link-local: [ipv4]}
    enp1s0f1np1: {link-local: [ipv4]}
"""


def compare(
    text: str, *adopt: str, name: str = "40-cx7.yaml", folder: str = "/etc/netplan"
) -> Claims:
    return conflicts([file(name, text, folder=folder)], (P1, P1B), HOST, adopt)


def stanza(body: str, ident: str = "enp1s0f1np1") -> str:
    return f"network: {{version: 2, ethernets: {{{ident}: {{{body}}}}}}}"


def test_no_file_no_claim() -> None:
    assert conflicts([], (P1, P1B), HOST) == Claims({}, (), ())


def test_the_same_addresses_and_mtu_match() -> None:
    found = compare(NVIDIA.replace("dhcp4: no", "mtu: 9000"))
    assert {netdev: one.name for netdev, one in found.matched.items()} == {
        "enp1s0f1np1": "40-cx7.yaml",
        "enP2p1s0f1np1": "40-cx7.yaml",
    }
    assert not found.refused
    assert not found.adopted


def test_nvidias_file_has_no_mtu_and_is_refused_with_what_to_type() -> None:
    first, second = compare(NVIDIA).refused
    assert "/etc/netplan/40-cx7.yaml (ethernets.enp1s0f1np1) sets enp1s0f1np1" in first
    assert (
        "192.168.100.10/24 and MTU 1500, the inventory to 192.168.100.10/24 and MTU 9000" in first
    )
    assert "adopt: [40-cx7.yaml]" in first
    assert "enP2p1s0f1np1" in second


def test_nvidias_file_matches_an_inventory_without_jumbo_frames() -> None:
    wanted = (replace(P1, mtu=1500), replace(P1B, mtu=1500))
    assert len(conflicts([file("40-cx7.yaml", NVIDIA)], wanted, HOST).matched) == 2


def test_a_file_that_is_named_is_taken_over_whole() -> None:
    (one,) = compare(NVIDIA, "40-cx7.yaml").adopted
    assert (one.name, one.remainder) == ("40-cx7.yaml", None)


def test_what_is_not_ours_stays_in_a_file_that_is_taken_over() -> None:
    (one,) = compare(LINK_LOCAL, "40-cx7.yaml").adopted
    assert one.remainder is not None
    assert yaml.safe_load(one.remainder) == {
        "network": {"version": 2, "ethernets": {"enp1s0f0np0": {"link-local": ["ipv4"]}}}
    }


def test_a_renderer_for_all_stays_in_a_file_that_is_taken_over() -> None:
    text = (
        "network: {version: 2, renderer: NetworkManager, ethernets: {enp1s0f1np1: {dhcp4: true}}}"
    )
    (one,) = compare(text, "40-cx7.yaml").adopted
    assert one.remainder is not None
    assert yaml.safe_load(one.remainder)["network"]["renderer"] == "NetworkManager"


def test_a_matched_half_moves_with_the_other_when_their_file_is_taken_over() -> None:
    text = NVIDIA.replace("dhcp4: no", "mtu: 9000", 1)  # the first half is as it should be
    assert list(compare(text).matched) == ["enp1s0f1np1"]
    found = compare(text, "40-cx7.yaml")
    assert not found.matched
    assert [one.ids for one in found.adopted] == [frozenset({"enp1s0f1np1", "enP2p1s0f1np1"})]


@pytest.mark.parametrize(
    "body",
    [
        "addresses: [192.168.100.10/24, 10.0.0.1/8], mtu: 9000",
        "addresses: [192.168.100.10/24], mtu: 9000, dhcp4: true",
        "addresses: [192.168.100.10/24], mtu: 9000, link-local: [ipv4]",
        "addresses: [192.168.100.10/25], mtu: 9000",
        "addresses: [192.168.100.10], mtu: 9000",
        "addresses: ['fe80::1/64'], mtu: 9000",
        "addresses: [{192.168.100.11/24: {label: x}}], mtu: 9000",
        "dhcp4: true",
        "",
    ],
)
def test_anything_else_is_refused(body: str) -> None:
    found = compare(stanza(body))
    assert found.refused
    assert not found.matched


def test_an_address_with_a_label_is_the_same_address() -> None:
    body = "addresses: [{192.168.100.10/24: {label: x}}], mtu: 9000"
    assert list(compare(stanza(body)).matched) == ["enp1s0f1np1"]


@pytest.mark.parametrize(
    "match",
    [
        "match: {name: 'en*'}",
        "match: {name: '*'}",
        "match: {driver: mlx5_core}",
        "match: {}",
        "match: {driver: [mlx5_*, other]}",
        "match: {unheard-of: 1}",
    ],
)
def test_what_may_match_several_interfaces_is_refused_even_by_name(match: str) -> None:
    found = compare(stanza(f"{match}, dhcp4: true", "all"), "40-cx7.yaml")
    assert any("narrow its `match:`" in one for one in found.refused)


@pytest.mark.parametrize(
    "match",
    ["match: {name: enp1s0f1np1}", "match: {macaddress: '4C:BB:47:00:00:01'}"],
)
def test_what_matches_one_interface_alone_is_that_interface(match: str) -> None:
    same = "addresses: [192.168.100.10/24], mtu: 9000"
    found = compare(stanza(f"{match}, {same}", "fast"))
    assert {netdev: one.id for netdev, one in found.matched.items()} == {"enp1s0f1np1": "fast"}
    (one,) = compare(stanza(f"{match}, dhcp4: true", "fast"), "40-cx7.yaml").adopted
    assert one.ids == {"fast"}


@pytest.mark.parametrize("match", ["match: {name: eth*}", "match: {driver: r8127}"])
def test_what_matches_others_is_theirs(match: str) -> None:
    assert compare(stanza(f"{match}, dhcp4: true", "x")) == Claims({}, (), ())


@pytest.mark.parametrize(
    "text",
    [
        "network: {bonds: {bond0: {interfaces: [enp1s0f1np1]}}}",
        "network: {bridges: {br0: {interfaces: [enp1s0f1np1], dhcp4: true}}}",
        "network: {ethernets: {q: {match: {macaddress: '4c:bb:47:00:00:01'}}}, bridges: {b: {interfaces: [q]}}}",
    ],
)
def test_a_bond_or_bridge_over_our_interface_is_refused(text: str) -> None:
    found = compare(text, "40-cx7.yaml")
    assert any("takes enp1s0f1np1 for itself" in one for one in found.refused)


def test_a_profile_of_network_manager_is_seen() -> None:
    text = (
        "network: {nm-devices: {NM-1: {renderer: NetworkManager, networkmanager: "
        "{passthrough: {connection.interface-name: enp1s0f1np1}}}}}"
    )
    assert compare(text).refused


def test_only_etc_can_be_taken_over() -> None:
    found = compare(NVIDIA, "40-cx7.yaml", folder="/run/netplan")
    assert all("not in /etc/netplan: remove it there" in one for one in found.refused)


def test_a_file_in_run_hides_that_of_the_same_name_in_etc() -> None:
    files = [
        file("40-cx7.yaml", NVIDIA),
        file("40-cx7.yaml", "network: {version: 2}", folder="/run/netplan"),
    ]
    assert conflicts(files, (P1, P1B), HOST) == Claims({}, (), ())


def test_address_lists_of_two_files_add_up() -> None:
    files = [
        file("40-cx7.yaml", stanza("addresses: [192.168.100.10/24], mtu: 9000")),
        file("41-more.yaml", stanza("addresses: [10.0.0.1/8]")),
    ]
    (refused,) = conflicts(files, (P1,), HOST, ["40-cx7.yaml"]).refused
    assert "adopt: [41-more.yaml]" in refused
    both = conflicts(files, (P1,), HOST, ["40-cx7.yaml", "41-more.yaml"])
    assert [one.name for one in both.adopted] == ["40-cx7.yaml", "41-more.yaml"]


def test_our_own_file_is_no_claim() -> None:
    assert conflicts([file("40-orch.yaml", NVIDIA)], (P1, P1B), HOST) == Claims({}, (), ())


@pytest.mark.parametrize(
    "text", ["a: [", "\t", "- x", "network: 3", "!!python/object:os.system {}"]
)
def test_a_file_that_can_not_be_read_is_refused(text: str) -> None:
    assert compare(text).refused


@pytest.mark.parametrize(
    "text", ["", "# nothing", "network:", "network: {version: 2}", "other: {}"]
)
def test_an_empty_file_is_no_claim(text: str) -> None:
    assert compare(text) == Claims({}, (), ())


KEYS = st.sampled_from(
    ["network", "ethernets", "bonds", "match", "name", "addresses", "mtu", "interfaces", "dhcp4"]
) | st.sampled_from(["enp1s0f1np1", "set-name", "macaddress", "version", "renderer", "link-local"])
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | KEYS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=20,
)


@given(ANYTHING | st.fixed_dictionaries({"network": st.dictionaries(KEYS, ANYTHING, max_size=4)}))
def test_no_file_gives_a_traceback_and_none_is_left_open(content: object) -> None:
    """Every interface ends up matched, taken over, refused, or free of other files."""
    found = conflicts([file("40-x.yaml", yaml.safe_dump(content))], (P1, P1B), HOST, ["40-x.yaml"])
    assert not (found.refused and found.adopted)


@given(st.text(max_size=200))
def test_no_text_gives_a_traceback(text: str) -> None:
    compare(text)
