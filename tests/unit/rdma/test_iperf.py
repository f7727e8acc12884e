"""Every recording of iperf3 is read as what it is, though it exits 0 whatever happens."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.knowledge.fabric import failures
from orchestrator.rdma import iperf
from orchestrator.rdma.answers import Effort, Load, Said, Test
from tests.captured import IPERF3, a_test, iperf3

GOOD = ("10_four_streams.txt", "11_one_stream.txt", "12_both_ways.txt")
BAD = {
    "30_wrong_address_client.txt": "wrong-address",
    "31_no_server.txt": "no-server",
    "32_no_route.txt": "no-host",
    "33_wrong_address_server.txt": "wrong-address",
    "34_no_host.txt": "no-host",
    "38_unknown_flag.txt": "tool-failed",
    "40_firewall.txt": "firewall",
    "45_big_packets_dropped.txt": "mtu-path",
    "57_server_killed.txt": "server-killed",
    "58_port_in_use.txt": "port-in-use",  # and the client measured, with a server that is not ours
    "59_client_killed.txt": "client-killed",
    "60_busy.txt": "port-in-use",
}
OTHERWISE = ("05_version.txt",)
RCS = st.sampled_from([None, 0, 1, 124, 137, 143])


def of(name: str) -> Test:
    load: Load = "both-ways" if name == "12_both_ways.txt" else "alone"
    return a_test("tcp", load=load, effort=Effort(seconds=1, qps=1 if "one_stream" in name else 4))


def test_no_recording_is_left_out() -> None:
    assert {path.name for path in IPERF3.glob("*.txt")} == {*GOOD, *BAD, *OTHERWISE}


@pytest.mark.parametrize("name", GOOD)
def test_what_arrived_is_the_number(name: str) -> None:
    client, server = iperf3(name)
    found = iperf.measured(of(name), client, server)
    end = json.loads(client.out)["end"]
    received = [line for key, line in end.items() if key.startswith("sum_received")]
    assert found.failure is None
    assert found.gbps == pytest.approx(sum(one["bits_per_second"] for one in received) / 1e9)
    assert found.claimed_bytes == min(one["bytes"] for one in received)
    assert len(received) == (2 if name == "12_both_ways.txt" else 1)
    assert found.tool == "iperf3 3.12"


@pytest.mark.parametrize(("name", "kind"), BAD.items())
def test_a_failure_has_its_own_kind(name: str, kind: str) -> None:
    found = iperf.measured(of(name), *iperf3(name))
    assert found.failure is not None
    assert (found.failure.kind, found.gbps) == (kind, None)


def test_what_an_unknown_failure_said_is_kept() -> None:
    found = iperf.measured(of(""), *iperf3("38_unknown_flag.txt"))
    assert found.failure is not None
    assert "unrecognized option '--nosuchflag'" in found.failure.said


def test_an_old_tool_is_named() -> None:
    found = iperf.measured(
        of(""), Said(1, "", "iperf3: unrecognized option '--bidir'"), Said(124, "")
    )
    assert found.failure is not None
    assert found.failure.kind == "old-tool"


def test_a_server_that_was_reaped_gives_no_cause() -> None:
    """Both ends ran out of time; what timeout(1) makes them say is not why."""
    client, server = iperf3("40_firewall.txt")
    silent = replace(client, rc=124, out=server.out)
    found = iperf.measured(of(""), silent, server)
    assert found.failure is not None
    assert found.failure.kind == "timed-out"


def test_another_test_than_was_asked_for() -> None:
    client, server = iperf3("11_one_stream.txt")
    assert iperf.measured(of("10_four_streams.txt"), client, server).failure is not None
    assert iperf.measured(of("12_both_ways.txt"), client, server).failure is not None


def test_the_two_ends_must_count_the_same() -> None:
    client, server = iperf3("11_one_stream.txt")
    other = iperf3("10_four_streams.txt")[1]
    found = iperf.measured(of("11_one_stream.txt"), client, other)
    assert found.failure is not None
    assert found.failure.kind == "unreadable"
    assert iperf.measured(of("11_one_stream.txt"), client, server).failure is None


def test_command_lines() -> None:
    test = a_test("tcp", load="both-ways", effort=Effort(seconds=3, qps=8), half=1)
    assert iperf.client(test) == (
        *("iperf3", "-c", "192.168.100.2", "-B", "192.168.100.1", "-p", "18516"),
        *("-t", "3", "-l", "65536", "-P", "8", "--connect-timeout", "5000", "--bidir", "--json"),
    )
    assert iperf.server(test) == (
        *("iperf3", "-s", "-1", "-B", "192.168.100.2", "-p", "18516", "--json"),
    )
    assert "--bidir" not in iperf.client(a_test("tcp"))
    huge = iperf.client(a_test("tcp", effort=Effort(bytes=2**23)))
    assert huge[huge.index("-l") + 1] == "1048576"  # more is refused by the tool
    with pytest.raises(ValueError, match="latency"):
        iperf.client(a_test("tcp", metric="latency"))


def test_versions() -> None:
    assert iperf.version((IPERF3 / "05_version.txt").read_text(encoding="utf-8")) == "3.12"
    assert iperf.version("iperf 3.16+ (cJSON 1.7.15)") == "3.16"
    assert iperf.version("") is None


@given(st.sampled_from(GOOD), st.data())
def test_a_cut_report_is_no_number(name: str, data: st.DataObject) -> None:
    client, server = iperf3(name)
    cut = data.draw(st.integers(0, len(client.out.rstrip()) - 1))
    found = iperf.measured(of(name), replace(client, out=client.out[:cut]), server)
    assert (found.gbps, found.failure is None) == (None, False)


@given(st.sampled_from(GOOD), st.data())
def test_a_garbled_end_is_no_other_number(name: str, data: st.DataObject) -> None:
    """One character of the sums changed: the same number within the report's own precision, or none."""
    client, server = iperf3(name)
    start = client.out.rindex('"sum_sent"')
    place = data.draw(st.integers(start, len(client.out) - 1))
    with_ = data.draw(st.sampled_from(["", "-", ".", "e", '"', "x", *"0123456789", "\0"]))
    broken = client.out[:place] + with_ + client.out[place + 1 :]
    found = iperf.measured(of(name), replace(client, out=broken), server)
    if found.failure is None:
        assert found.gbps == pytest.approx(iperf.measured(of(name), client, server).gbps, rel=0.05)


@given(st.sampled_from([*GOOD, *BAD]), st.data())
def test_whatever_breaks_there_is_no_traceback_and_no_pass(name: str, data: st.DataObject) -> None:
    client, server = iperf3(name)
    texts = [client.out, client.err, server.out, server.err]
    for number in range(4):
        start, stop = (data.draw(st.integers(0, len(texts[number]))) for _ in range(2))
        texts[number] = (
            texts[number][:start] + data.draw(st.text(max_size=9)) + texts[number][stop:]
        )
    one = replace(client, out=texts[0], err=texts[1], rc=data.draw(RCS))
    other = replace(server, out=texts[2], err=texts[3], rc=data.draw(RCS))
    found = iperf.measured(of(name), one, other)
    assert (found.failure is None) != (found.gbps is None)
    if found.failure is not None:
        assert found.failure.kind in failures()
    else:
        # of the failures only this one has a whole report: it is the other server's
        assert name not in BAD or name == "58_port_in_use.txt"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)
KEYS = st.sampled_from(
    ["bytes", "bits_per_second", "seconds", "streams", "sum_received", "sum_sent"]
)


@given(st.sampled_from(GOOD), KEYS, JSON)
def test_any_value_in_the_place_of_a_number(name: str, key: str, value: object) -> None:
    client, server = iperf3(name)
    report = json.loads(client.out)
    where = report["end"] if key in report["end"] else report["end"]["sum_received"]
    where[key] = value
    found = iperf.measured(of(name), replace(client, out=json.dumps(report)), server)
    assert found.failure is not None or found.gbps is not None


@given(st.text(), st.text(), RCS, RCS)
def test_any_text(out: str, err: str, rc: int | None, other: int | None) -> None:
    assert iperf.measured(of(""), Said(rc, out, err), Said(other, err, out)).failure is not None
