"""Each fault of a half gives its own finding with cause and remedy; what is not known is never a pass."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from orchestrator.contracts import Query, World
from orchestrator.facts.answers import IpSettings, PcieLink, Rdma, RdmaCounters, RdmaDevice
from orchestrator.facts.identity import Identify
from orchestrator.facts.ip_settings import ReadIpSettings
from orchestrator.facts.network import ReadNetwork
from orchestrator.facts.pcie import ReadPcie
from orchestrator.facts.ping import Ping
from orchestrator.facts.rdma import ReadRdma
from orchestrator.facts.rdma_counters import ReadRdmaCounters
from orchestrator.network.topology import plan_fabric
from orchestrator.rdma.gid import gid_index
from orchestrator.rdma.half import ping_of
from orchestrator.rdma.preflight import preflight, preflight_reads
from orchestrator.rdma.reports import Found, HalfReport
from tests.unit.network.clusters import SPARK, cable, cluster, host, names
from tests.unit.network.worlds import NETDEVS, RDMA, Answers, identity, network, with_addresses

KIND = SPARK.model_copy(update={"expect_half_gbps": 90})
PAIR = cluster(
    [host(name, kind=KIND) for name in names(2)],
    cable("spark-1.p1", "spark-2.p1", "192.168.100.0/24", "192.168.101.0/24"),
)
FABRIC = plan_fabric(PAIR)
A, B = "enp1s0f1np1", "enP2p1s0f1np1"
PCI = {A: "0000:01:00.1", B: "0002:01:00.1"}
GIDS = (  # NVIDIA's usual table: v1 and v2 of the link-local address, then of the IPv4 one
    (0, "fe80::4ebb:47ff:fe00:1", "IB/RoCE v1"),
    (1, "fe80::4ebb:47ff:fe00:1", "RoCE v2"),
)


def gids(address: str, first: int = 2) -> tuple[tuple[int, str, str], ...]:
    return (
        *GIDS,
        (first, f"::ffff:{address}", "IB/RoCE v1"),
        (first + 1, f"::ffff:{address}", "RoCE v2"),
    )


def number(name: str) -> int:
    return 10 if name == "spark-1" else 11


def addresses(name: str) -> dict[str, str]:
    return {A: f"192.168.100.{number(name)}", B: f"192.168.101.{number(name)}"}


def healthy(name: str) -> dict[Query[Any], Any]:
    """A Spark as it should be: constructed."""
    net = network()
    for one, address in addresses(name).items():
        net = with_addresses(net, 9000, **{one: f"{address}/24"})
    netdevs = {one: replace(netdev, pci=PCI.get(one, "")) for one, netdev in net.netdevs.items()}
    devices = tuple(
        replace(one, gids=gids(addresses(name)[one.netdev])) if one.netdev in (A, B) else one
        for one in RDMA.devices
    )
    found: dict[Query[Any], Any] = {
        ReadNetwork(): replace(net, netdevs=netdevs),
        ReadRdma(): replace(RDMA, devices=devices),
        ReadPcie(): dict.fromkeys(NETDEVS, PcieLink(32.0, 4, 32.0, 16)),
        ReadIpSettings(): dict.fromkeys((*NETDEVS, "all"), IpSettings(0, 0, 2)),
        ReadRdmaCounters(): {
            (one.name, 1): RdmaCounters({"port_xmit_data": 1}, {"out_of_sequence": 0})
            for one in RDMA.devices
        },
        Identify(): identity(),
    }
    for segment in FABRIC.segments:
        ping = ping_of(segment, segment.member(name))
        assert ping is not None
        found[ping] = dict.fromkeys(ping.addresses, "")
    return found


def world(changed: Mapping[Query[Any], Any] | None = None, drop: Query[Any] | None = None) -> World:
    """Both healthy, spark-1 with something changed or not read."""
    first = {**healthy("spark-1"), **(changed or {})}
    if drop is not None:
        del first[drop]
    return {"spark-1": Answers(first), "spark-2": Answers(healthy("spark-2"))}


def reports(changed: Mapping[Query[Any], Any] | None = None) -> dict[tuple[str, int], HalfReport]:
    return {(one.host, one.half): one for one in preflight(PAIR, FABRIC, world(changed))}


def finding(report: HalfReport, name: str) -> Found:
    return next(one for one in report.findings if one.name == name)


def with_netdev(**more: Any) -> dict[Query[Any], Any]:
    net = healthy("spark-1")[ReadNetwork()]
    return {
        ReadNetwork(): replace(net, netdevs={**net.netdevs, A: replace(net.netdevs[A], **more)})
    }


def with_device(**more: Any) -> dict[Query[Any], Any]:
    rdma: Rdma = healthy("spark-1")[ReadRdma()]
    devices = tuple(replace(one, **more) if one.netdev == A else one for one in rdma.devices)
    return {ReadRdma(): replace(rdma, devices=devices)}


def test_a_healthy_pair_is_ok_on_all_four_ends() -> None:
    found = reports()
    assert len(found) == 4
    assert {one.grade for one in found.values()} == {"ok"}
    first = found["spark-1", 0]
    assert (first.netdev, first.rdma, first.address, first.gid_index) == (
        A,
        "rocep1s0f1",
        "192.168.100.10",
        3,
    )
    assert "PCIe 32 GT/s x4 (126 Gb/s), the card can x16 at 32" in finding(first, "pcie").said
    assert first.link == "spark-1.p1~spark-2.p1"


def test_all_that_it_needs_is_asked_in_its_reads() -> None:
    reads = preflight_reads(FABRIC)
    for name in names(2):
        assert {query for one, query in reads if one == name} == set(healthy(name))


FAULTS: list[tuple[str, dict[Query[Any], Any], str, str, str]] = [
    ("down", with_netdev(up=False), "up", "bad", "is down"),
    ("unplugged", with_netdev(carrier=False), "cable", "bad", "no carrier"),
    ("100G switch", with_netdev(speed_mbps=100_000), "speed", "bad", "100 Gb/s, not 200"),
    ("no speed", with_netdev(speed_mbps=None), "speed", "unknown", "can't be read"),
    (
        "x2 lanes",
        {ReadPcie(): {A: PcieLink(32.0, 2, 32.0, 16), B: PcieLink(32.0, 4, 32.0, 16)}},
        "pcie",
        "bad",
        "PCIe 32 GT/s x2 (63 Gb/s)",
    ),
    ("no lanes told", {ReadPcie(): {}}, "pcie", "unknown", "does not say"),
    ("mtu unlike", with_netdev(mtu=1500), "mtu", "bad", "MTU 1500 here, 9000 at spark-2"),
    ("no address", with_netdev(addresses=()), "address", "bad", "has no 192.168.100.10/24"),
    ("no device", {ReadRdma(): replace(RDMA, devices=())}, "device", "bad", "no RDMA device for"),
    ("device down", with_device(state="DOWN"), "device", "bad", "rocep1s0f1 is DOWN"),
    ("infiniband", with_device(link_layer="InfiniBand"), "device", "bad", "not Ethernet"),
    ("roce 1024", with_device(active_mtu=1024), "roce-mtu", "bad", "1024 where MTU 9000 gives"),
    ("no devinfo", with_device(active_mtu=None), "roce-mtu", "unknown", "can't be read"),
    ("no gid", with_device(gids=GIDS), "gid", "bad", "no RoCE v2 GID of 192.168.100.10"),
    (
        "old firmware",
        with_device(firmware="28.40.1"),
        "firmware",
        "warn",
        "28.40.1 here, 28.45.4028",
    ),
    ("no counters", {ReadRdmaCounters(): {}}, "counters", "unknown", "the device has none"),
    (
        "switch port at 1500",
        {Ping(A, 9000, ("192.168.100.11",)): {"192.168.100.11": "no answer"}},
        "ping",
        "bad",
        "192.168.100.11 over enp1s0f1np1: no answer",
    ),
]


@pytest.mark.parametrize(
    ("changed", "name", "grade", "said"),
    [one[1:] for one in FAULTS],
    ids=[one[0] for one in FAULTS],
)
def test_each_fault_has_its_own_finding(
    changed: dict[Query[Any], Any], name: str, grade: str, said: str
) -> None:
    found = reports(changed)
    wrong = finding(found["spark-1", 0], name)
    assert (wrong.grade, said in wrong.said) == (grade, True), wrong
    assert wrong.cause or grade == "unknown"
    assert wrong.remedy or grade == "unknown"
    assert found["spark-2", 1].grade == "ok"


def test_a_labs_cable_has_no_speed() -> None:
    slow = with_netdev(speed_mbps=10_000)
    assert finding(reports(slow)["spark-1", 0], "speed").grade == "bad"
    lab = {**slow, Identify(): identity(in_lab=True)}
    assert finding(reports(lab)["spark-1", 0], "speed").grade == "ok"


def test_an_mtu_that_differs_is_told_at_both_ends() -> None:
    found = reports(with_netdev(mtu=1500))
    assert finding(found["spark-2", 0], "mtu").said == "MTU 9000 here, 1500 at spark-1"


def test_an_interface_that_is_not_there_ends_the_look() -> None:
    net = healthy("spark-1")[ReadNetwork()]
    without = {name: one for name, one in net.netdevs.items() if name != A}
    report = reports({ReadNetwork(): replace(net, netdevs=without)})["spark-1", 0]
    (only,) = report.findings
    assert (only.grade, only.said) == ("bad", f"there is no {A}")
    assert "enP7s7" in only.cause


@pytest.mark.parametrize("query", [query for query in healthy("spark-1") if query != Identify()])
def test_what_was_not_read_is_unknown_and_no_pass(query: Query[Any]) -> None:
    found = [one for one in preflight(PAIR, FABRIC, world(drop=query)) if one.host == "spark-1"]
    if isinstance(query, Ping):
        found = [one for one in found if one.netdev == query.netdev]
    assert {one.grade for one in found} == {"unknown"}


@pytest.mark.parametrize(
    ("settings", "grade"), [(IpSettings(0, 0, 2), "bad"), (IpSettings(1, 2, 2), "warn")]
)
def test_two_halves_in_one_subnet_are_a_trap(settings: IpSettings, grade: str) -> None:
    net = healthy("spark-1")[ReadNetwork()]
    both = {**net.netdevs, B: replace(net.netdevs[B], addresses=("192.168.100.20/24",))}
    changed: dict[Query[Any], Any] = {
        ReadNetwork(): replace(net, netdevs=both),
        ReadIpSettings(): dict.fromkeys((*NETDEVS, "all"), settings),
    }
    trap = finding(reports(changed)["spark-1", 0], "subnet")
    assert (trap.grade, f"{A} and {B} are in one subnet" in trap.said) == (grade, True)


def test_a_smaller_mtu_on_both_ends_is_only_slower() -> None:
    small = PAIR.model_copy(update={"mtu": 1500})
    fabric = plan_fabric(small)
    both = {}
    for name in names(2):
        facts = healthy(name)
        net = facts[ReadNetwork()]
        less = {one: replace(netdev, mtu=1500) for one, netdev in net.netdevs.items()}
        rdma = tuple(replace(one, active_mtu=1024) for one in facts[ReadRdma()].devices)
        facts[ReadNetwork()] = replace(net, netdevs=less)
        facts[ReadRdma()] = replace(RDMA, devices=rdma)
        for segment in fabric.segments:
            ping = ping_of(segment, segment.member(name))
            assert ping is not None
            facts[ping] = dict.fromkeys(ping.addresses, "")
        both[name] = Answers(facts)
    found = preflight(small, fabric, both)
    assert {one.grade for one in found} == {"warn"}
    assert {one.name for report in found for one in report.wrong} == {"roce-mtu"}


# --- GID -------------------------------------------------------------------------------------------------


def device(*table: tuple[int, str, str]) -> RdmaDevice:
    return replace(RDMA.devices[0], gids=table)


@pytest.mark.parametrize("first", [0, 2, 4, 250])
def test_the_index_moves_and_is_found_each_time(first: int) -> None:
    assert gid_index(device(*gids("10.0.0.1", first)), "10.0.0.1") == first + 1


def test_only_the_right_address_and_version_fits() -> None:
    assert gid_index(device(*gids("10.0.0.1")), "10.0.0.2") is None
    assert gid_index(device((0, "::ffff:10.0.0.1", "IB/RoCE v1")), "10.0.0.1") is None
    assert gid_index(device(), "10.0.0.1") is None
    # Captured: Soft-RoCE has RoCE v2 alone; index 1 is the IPv4 address, written by Python with or without dots.
    rxe = device((0, "fe80::5054:ff:fe00:a02", "RoCE v2"), (1, "::ffff:c0a8:6401", "RoCE v2"))
    assert gid_index(rxe, "192.168.100.1") == 1
