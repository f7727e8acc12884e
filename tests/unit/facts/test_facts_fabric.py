"""What is asked of the fabric's hosts: each probe over folders like the kernel's, in each shell."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator import facts
from orchestrator.contracts import Query
from orchestrator.errors import Unknown
from orchestrator.facts.answers import (
    IpSettings,
    LldpNeighbour,
    Neighbour,
    PcieLink,
    RdmaCounters,
    Sighting,
)
from orchestrator.facts.ip_settings import in_force
from orchestrator.facts.rdma_counters import errors_of, moved_bytes, moved_packets
from orchestrator.framing import NO_SUDO, NO_SUDO_TEXT
from orchestrator.script import Result
from tests import captured
from tests.local_shell import SHELLS
from tests.unit.facts.trees import (
    MLX5_COUNTERS,
    MLX5_HW_COUNTERS,
    RXE_COUNTERS,
    asked,
    function,
    write,
)

NET, CONF, IB = "/sys/class/net", "/proc/sys/net/ipv4/conf", "/sys/class/infiniband"


def result(out: str, rc: int = 0, err: bytes = b"") -> Result:
    return Result(rc, out.encode(), err, 0.1)


# --- PCIe --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shell", SHELLS)
def test_the_lanes_behind_each_netdev(tmp_path: Path, shell: str) -> None:
    function(tmp_path, "enp1s0f1np1")
    function(tmp_path, "enP2p1s0f1np1", current_link_width="2")
    function(tmp_path, "eth9", current_link_speed="Unknown", current_link_width="255")
    function(tmp_path, "old", current_link_speed="8.0 GT/s", max_link_speed="8.0 GT/s")
    write(tmp_path / "veth1", {"ifindex": 3})
    (tmp_path / "virtio1" / "device").mkdir(parents=True)
    query = facts.ReadPcie()
    found = query.parse(asked(query, shell, {NET: tmp_path}))
    assert found == {
        "enp1s0f1np1": PcieLink(32.0, 4, 32.0, 16),
        "enP2p1s0f1np1": PcieLink(32.0, 2, 32.0, 16),
        "eth9": PcieLink(None, None, 32.0, 16),
        "old": PcieLink(8.0, 4, 8.0, 16),
    }
    assert [round(found[one].gbps or 0) for one in ("enp1s0f1np1", "enP2p1s0f1np1")] == [126, 63]
    assert found["eth9"].gbps is None


@pytest.mark.parametrize(
    "out", ["", "x 4 4 32.0 GT/s PCIe|", "x 4 16 fast|fast\nend\n", "x\nend\n"]
)
def test_lanes_that_can_not_be_read_are_unknown(out: str) -> None:
    with pytest.raises(Unknown):
        facts.ReadPcie().parse({"pcie": result(out)})


# --- IP settings ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("shell", SHELLS)
def test_the_larger_of_all_and_its_own_is_in_force(tmp_path: Path, shell: str) -> None:
    for name, words in (("all", (1, 0, 0)), ("default", (0, 0, 2)), ("enp1s0f1np1", (0, 2, 2))):
        keys = ("arp_ignore", "arp_announce", "rp_filter")
        write(tmp_path / name, dict(zip(keys, words, strict=True)))
    (tmp_path / "gone").mkdir()  # it went away while we looked
    query = facts.ReadIpSettings()
    found = query.parse(asked(query, shell, {CONF: tmp_path}))
    assert found["all"] == IpSettings(1, 0, 0)
    assert "gone" not in found
    assert in_force(found, "enp1s0f1np1") == IpSettings(1, 2, 2)
    assert in_force(found, "enp9s0") is None


def test_settings_without_all_are_unknown() -> None:
    with pytest.raises(Unknown, match="all interfaces"):
        facts.ReadIpSettings().parse({"ipsettings": result("end\n")})


# --- counters --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shell", SHELLS)
def test_counters_of_mlx5_and_of_soft_roce(tmp_path: Path, shell: str) -> None:
    mlx5, rxe = tmp_path / "rocep1s0f1/ports/1", tmp_path / "rxe0/ports/1"
    write(mlx5, {"state": "4: ACTIVE"})
    write(mlx5 / "counters", MLX5_COUNTERS)
    write(mlx5 / "hw_counters", MLX5_HW_COUNTERS)
    write(rxe, {"state": "4: ACTIVE"})
    write(rxe / "hw_counters", RXE_COUNTERS)
    query = facts.ReadRdmaCounters()
    found = query.parse(asked(query, shell, {IB: tmp_path}))
    assert found["rocep1s0f1", 1].counters == MLX5_COUNTERS
    assert found["rxe0", 1].counters == {}
    assert "lifespan" not in found["rxe0", 1].hw_counters
    assert found["rxe0", 1].hw_counters["sent_pkts"] == 0
    assert errors_of(found["rocep1s0f1", 1]) == {"link_downed": 1, "out_of_sequence": 4}
    assert errors_of(found["rxe0", 1]) == {}


@pytest.mark.parametrize("shell", SHELLS)
def test_a_port_without_counters_is_there_and_has_none(tmp_path: Path, shell: str) -> None:
    write(tmp_path / "bare/ports/1", {"state": "1: DOWN"})
    query = facts.ReadRdmaCounters()
    assert query.parse(asked(query, shell, {IB: tmp_path})) == {("bare", 1): RdmaCounters({}, {})}
    assert query.parse(asked(query, shell, {IB: tmp_path / "none"})) == {}


def test_data_is_counted_in_words_of_four_bytes() -> None:
    before = RdmaCounters(MLX5_COUNTERS, MLX5_HW_COUNTERS)
    more = {**MLX5_COUNTERS, "port_xmit_data": 1_250, "port_xmit_packets": 6}
    after = RdmaCounters(more, MLX5_HW_COUNTERS)
    assert moved_bytes(before, after) == 1_000
    assert moved_packets(before, after) == 1
    assert moved_bytes(after, before) is None, "a counter that went back was reset"


def test_soft_roce_counts_packets_alone() -> None:
    before = RdmaCounters({}, RXE_COUNTERS)
    after = RdmaCounters({}, {**RXE_COUNTERS, "sent_pkts": 100, "rcvd_pkts": 20})
    assert moved_bytes(before, after) is None
    assert moved_packets(before, after) == 120
    assert moved_packets(RdmaCounters({}, {}), after) is None


@given(st.text(max_size=60))
def test_counters_never_give_a_traceback(line: str) -> None:
    try:
        facts.ReadRdmaCounters().parse({"rdmacounters": result(f"{line}\nend\n")})
    except Unknown:
        return


# --- neighbours -------------------------------------------------------------------------------------------

# Constructed in the form of `ip -j neigh show`, as it stands after `ping ff02::1`.
NEIGH = (
    '[{"dst":"10.77.0.1","dev":"eth0","lladdr":"02:42:01:02:03:04","state":["REACHABLE"]},'
    '{"dst":"fe80::5054:ff:fe00:b02","dev":"enp1s0f1np1","lladdr":"52:54:00:00:0B:02","state":["STALE"]},'
    '{"dst":"10.1.0.9","dev":"enp1s0f1np1","state":["FAILED"]}]'
)


def test_neighbours_have_a_mac_and_come_over_our_interfaces() -> None:
    query = facts.ReadNeighbours(("enp1s0f1np1",))
    found = query.parse({"neighbours": result(f"@table\n{NEIGH}\nend\n")})
    assert found == (
        Neighbour("enp1s0f1np1", "fe80::5054:ff:fe00:b02", "52:54:00:00:0b:02", "STALE"),
    )
    assert query.parse({"neighbours": result("@table\nend\n")}) == ()


@pytest.mark.parametrize("out", ["", "@table\n", "@table\nfailed\nend\n", "@table\n[{\nend\n"])
def test_a_table_that_can_not_be_read_is_unknown(out: str) -> None:
    with pytest.raises(Unknown):
        facts.ReadNeighbours(("x",)).parse({"neighbours": result(out)})


# --- LLDP ----------------------------------------------------------------------------------------------------

# Constructed in the form that lldpd's own tests expect of `lldpcli -f json`: once an object, more often a list.
LLDPD_ONE = """{"lldp": {"interface": {"enp1s0f1np1": {"via": "LLDP", "rid": "1", "chassis": {"spark-2":
{"id": {"type": "mac", "value": "52:54:00:00:0b:02"}, "descr": "Linux"}}, "port":
{"id": {"type": "mac", "value": "52:54:00:00:0b:02"}, "descr": "enp1s0f1np1", "ttl": "120"}}}}}"""
LLDPD_TWO = """{"lldp": {"interface": [{"enp1s0f0np0": {"chassis": {"leaf01": {"id": {"type": "mac",
"value": "44:38:39:ff:00:01"}}}, "port": {"id": {"type": "ifname", "value": "swp1"}}}},
{"enp1s0f1np1": {"chassis": {"id": {"type": "local", "value": "x"}}, "port": {}}}]}}"""
LLDPD_NONE = '{\n  "lldp": {\n    \n  }\n}\n'  # captured (lldpd 1.0.16)
# Constructed from systemd's sources (257 and newer).
NETWORKD = """{"Neighbors": [{"InterfaceIndex": 3, "InterfaceName": "enp1s0f1np1", "Neighbors": [
{"ChassisID": "abc", "PortID": "enp1s0f0np0", "PortDescription": "p0", "SystemName": "spark-2"}]}]}"""


def lldp(daemon: str = "", networkd: str = "") -> Any:
    out = f"@lldpcli\n{daemon}\n\n@networkctl\n{networkd}\n\nend\n"
    return facts.ReadLldp().parse({"lldp": result(out)})


def test_who_is_heard_over_lldp() -> None:
    mac = "52:54:00:00:0b:02"
    assert lldp(LLDPD_ONE) == (LldpNeighbour("enp1s0f1np1", "spark-2", mac, mac, "enp1s0f1np1"),)
    assert lldp(LLDPD_TWO) == (
        LldpNeighbour("enp1s0f0np0", "leaf01", "44:38:39:ff:00:01", "swp1"),
        LldpNeighbour("enp1s0f1np1", "", "x", ""),
    )
    assert lldp(networkd=NETWORKD) == (
        LldpNeighbour("enp1s0f1np1", "spark-2", "abc", "enp1s0f0np0", "p0"),
    )


def test_what_three_machines_in_a_ring_really_heard() -> None:
    """tests/captured/lldp: each half hears the half at the other end of its own cable, and no other."""
    heard = lldp(captured.lldp("ring_a.json"))
    told = {one.netdev: (one.system, one.port, one.described) for one in heard}
    assert told == {
        "enp1s0f0np0": ("b", "52:54:00:0c:02:06", "enp1s0f1np1"),
        "enP2p1s0f0np0": ("b", "52:54:00:0c:02:07", "enP2p1s0f1np1"),
        "enp1s0f1np1": ("c", "52:54:00:0c:03:04", "enp1s0f0np0"),
        "enP2p1s0f1np1": ("c", "52:54:00:0c:03:05", "enP2p1s0f0np0"),
    }


def test_a_networkctl_without_json_is_nobody_listening() -> None:
    table = captured.lldp("networkctl_252_json.txt")
    assert lldp(networkd=table) is None
    assert len(lldp(captured.lldp("ring_b.json"), table)) == 4


@given(st.sampled_from(["ring_a.json", "networkctl_252_json.txt"]), st.integers(0, 6000))
def test_a_cut_recording_is_never_a_traceback(name: str, cut: int) -> None:
    for daemon, networkd in ((captured.lldp(name)[:cut], ""), ("", captured.lldp(name)[:cut])):
        try:
            lldp(daemon, networkd)
        except Unknown:
            continue


def test_nobody_heard_is_not_nobody_listening() -> None:
    assert lldp(LLDPD_NONE) == ()
    assert lldp() is None


@given(st.text(max_size=80) | st.sampled_from([LLDPD_ONE[:n] for n in range(0, 300, 7)]))
def test_lldp_never_gives_a_traceback(text: str) -> None:
    try:
        lldp(text)
    except Unknown:
        return


# --- frames --------------------------------------------------------------------------------------------------


def test_frames_of_others_are_sightings() -> None:
    query = facts.ReadFrames("spark-1", ("enp1s0f1np1",))
    lines = [
        json.dumps(["enp1s0f1np1", "52:54:00:00:0B:02", "spark-2", "enp1s0f1np1"]),
        json.dumps(["enp1s0f1np1", "52:54:00:00:0a:02", "spark-1", "enp1s0f0np0"]),
    ]
    found = query.parse({"frames": result("\n".join([*lines, "end\n"]))})
    assert found == (Sighting("enp1s0f1np1", "52:54:00:00:0b:02", "spark-2", "enp1s0f1np1"),)


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (result("", NO_SUDO, NO_SUDO_TEXT), "sudo without a password"),
        (result("", 127), "no python3"),
        (result("[1, 2]\nend\n"), "can't be read"),
        (result("", 1, b"PermissionError"), "PermissionError"),
        (result(""), "cut"),
    ],
)
def test_frames_that_could_not_be_sent_are_unknown(answer: Result, why: str) -> None:
    with pytest.raises(Unknown, match=why):
        facts.ReadFrames("a", ("x",)).parse({"frames": answer})


NEW: list[Query[Any]] = [
    facts.ReadPcie(),
    facts.ReadIpSettings(),
    facts.ReadRdmaCounters(),
    facts.ReadNeighbours(("lo",)),
    facts.ReadLldp(),
    facts.ReadFrames("a", ("lo",)),
]


@pytest.mark.parametrize("query", NEW, ids=lambda one: type(one).__name__)
@given(cut=st.integers(0, 400))
def test_a_cut_answer_is_never_taken_for_a_short_one(query: Query[Any], cut: int) -> None:
    whole = "@table\n[]\n@lldpcli\n\n@networkctl\n\nx 4 4 32.0 GT/s PCIe|\nall 0 0 0\nend\n"
    name = next(iter(query.ask().commands))  # type: ignore[union-attr]
    with pytest.raises(Unknown):
        query.parse({name: result(whole[: min(cut, len(whole) - 5)])})
