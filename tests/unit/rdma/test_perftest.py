"""Every recording is read as what it is; a broken one is never a pass, never a traceback, never a wrong number."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.knowledge.fabric import failures
from orchestrator.rdma import perftest
from orchestrator.rdma.answers import Effort, Metric, Said
from tests.captured import RDMA, a_test, like, rdma

GOOD = {
    "10_write_bw_R_q4_64k_D5.txt": (0.072467, 415, 4096),
    "10b_write_bw_R_q4_64k_D5_idle.txt": (0.23, 1313, 4096),
    "10c_write_bw_R_q1_64k_D5_idle.txt": (0.10, 598, 4096),
    "10d_write_bw_R_final_recipe.txt": (0.23, 1296, 4096),
    "11_write_bw_noR_x1.txt": (0.21, 1234, 4096),
    "12_write_bw_noR_nox.txt": (0.29, 1659, 4096),
    "13_write_bw_R_8M_D5.txt": (0.089412, 4, 4096),
    "14_write_bw_R_1M_D5_q1.txt": (0.24, 85, 4096),
    "15_write_bw_R_json.txt": (0.082599, 473, 4096),
    "16_send_bw_R.txt": (0.12, 100, 4096),
    "16b_send_bw_R_D5_idle.txt": (0.23, 1343, 4096),
    "19_read_bw_R_n.txt": (0.28, 100, 4096),
    "20_both_rail1.txt": (0.13, 892, 4096),
    "20_both_rail2.txt": (0.081032, 464, 4096),
    "20b_both_rail1_idle.txt": (0.096125, 551, 4096),
    "20b_both_rail2_idle.txt": (0.096856, 557, 4096),
    "43_ok_fw18515_R.txt": (0.22, 1275, 4096),
    "50_mtu_mismatch_R.txt": (0.22, 1289, 1024),
    "51_mtu_mismatch_tcp.txt": (0.042226, 242, 1024),
    "52_mtu1500_both_R.txt": (0.17, 1003, 1024),
    "61_ll_rail1_R.txt": (0.22, 1238, 4096),
    "64_ll_rail2_noR.txt": (0.32, 1811, 4096),
}
LATENCIES = {"17b_read_lat_R_gap6.txt": 345.50, "18_write_lat_R.txt": 335.66}
BAD = {
    "17_read_lat_R.txt": "no-server",  # REJECTED, and then it crashes
    "30_fail_wrong_device_client.txt": "wrong-device",
    "31_fail_no_server_R.txt": "no-server",
    "32_fail_no_server_tcp.txt": "no-server",
    "33_fail_no_host_R.txt": "no-host",
    "34_fail_no_host_tcp.txt": "no-server",  # by TCP the same words as 32: the ping tells them apart (diagnose)
    "35_fail_wrong_gid.txt": "wrong-gid",
    "36_fail_gid_out_of_range.txt": "gid-out-of-range",
    "37_fail_qp_mismatch.txt": "qp-mismatch",
    "38_fail_R_mismatch.txt": "cm-mismatch",
    "40_fail_fw4791_R.txt": "firewall",
    "41_fail_fw4791_tcp.txt": "nothing-moved",
    "42_fail_fw18515_tcp.txt": "firewall",
    "44_fail_fwreject18515_tcp.txt": "firewall",
    "45_fail_path_drops_jumbo_R.txt": "mtu-path",
    "54_fail_link_down_R.txt": "link-down",
    "55_fail_link_down_tcp.txt": "link-down",
    "56_fail_link_lost_midway_R.txt": "link-lost",
    "57_fail_server_killed_R.txt": "server-killed",
    "62_ll_rail2_R.txt": "timed-out",
    "63_ll_rail2_R_source_ip.txt": "timed-out",
}
OTHERWISE = {  # no test of two ends in them, or more than one; each has its own test below
    "00_no_device.txt",
    "05_ib_write_bw_help.txt",
    "21_server_ready.txt",
    "58_fail_port_in_use.txt",
    "72_netns_shared.txt",
}


def test_no_recording_is_left_out() -> None:
    assert {path.name for path in RDMA.glob("*.txt")} == {*GOOD, *LATENCIES, *BAD, *OTHERWISE}


@pytest.mark.parametrize(("name", "expected"), GOOD.items())
def test_a_good_one_is_a_number(name: str, expected: tuple[float, int, int]) -> None:
    client, server = rdma(name)
    test = like(client)
    found = perftest.measured(test, client, server)
    assert found.failure is None
    assert (found.gbps, found.iterations, found.mtu) == expected
    assert found.claimed_bytes == expected[1] * test.effort.bytes
    assert found.latency_us is None


@pytest.mark.parametrize(("name", "expected"), LATENCIES.items())
def test_a_latency_is_the_average(name: str, expected: float) -> None:
    found = perftest.measured(a_test(metric="latency"), *rdma(name))
    assert (found.latency_us, found.gbps, found.failure) == (expected, None, None)
    assert found.iterations == 200


@pytest.mark.parametrize(("name", "kind"), BAD.items())
def test_a_failure_has_its_own_kind(name: str, kind: str) -> None:
    client, server = rdma(name)
    found = perftest.measured(like(client), client, server)
    assert found.failure is not None
    assert found.failure.kind == kind
    assert (found.gbps, found.latency_us, found.claimed_bytes) == (None, None, None)


def test_the_kinds_that_need_both_command_lines_are_told_less_without() -> None:
    for name, kind in (
        ("37_fail_qp_mismatch.txt", "timed-out"),
        ("38_fail_R_mismatch.txt", "firewall"),
    ):
        client, server = (replace(one, argv=()) for one in rdma(name))
        failure = perftest.measured(a_test(), client, server).failure
        assert failure is not None
        assert failure.kind == kind


def test_a_port_that_is_taken_by_rdma_cm_and_by_tcp() -> None:
    text = (RDMA / "58_fail_port_in_use.txt").read_text(encoding="utf-8")
    for one in text.split("rc=1\n")[:2]:
        failure = perftest.measured(
            a_test(), Said(1, "", "Unexpected CM event bl blka 8"), Said(1, one)
        ).failure
        assert failure is not None
        assert failure.kind == "port-in-use"


def test_a_host_without_devices() -> None:
    text = (RDMA / "00_no_device.txt").read_text(encoding="utf-8").partition("ib_core")[0]
    failure = perftest.measured(a_test(), Said(1, "", text), Said(124, "")).failure
    assert failure is not None
    assert failure.kind == "no-device"


def test_a_path_that_answers_nothing() -> None:
    """Two namespaces whose Soft-RoCE has no socket: by rdma_cm event 7, without it not one completion."""
    text = (RDMA / "72_netns_shared.txt").read_text(encoding="utf-8")
    first, _, second = text.partition("client rc=1")
    for part, kind in ((first, "firewall"), (second, "no-path")):
        failure = perftest.measured(a_test(), Said(1, part), Said(124, "")).failure
        assert failure is not None
        assert failure.kind == kind


def test_a_server_that_only_waits_is_no_result() -> None:
    text = (RDMA / "21_server_ready.txt").read_text(encoding="utf-8")
    failure = perftest.measured(a_test(), Said(None, ""), Said(124, text)).failure
    assert failure is not None
    assert failure.kind == "client-killed"


def test_versions() -> None:
    assert (
        perftest.version((RDMA / "05_ib_write_bw_help.txt").read_text(encoding="utf-8")) == "6.06"
    )
    assert perftest.version("Version: 6.29\n") == "6.29"
    assert perftest.version("") is None
    assert perftest.version("Version: x") is None


def test_both_ends_get_the_same_flags() -> None:
    test = a_test(load="both-ways", effort=Effort(seconds=7, bytes=1024, qps=2), half=1)
    assert perftest.client(test) == (
        *("ib_write_bw", "-R", "-F", "-d", "rocep1s0f1", "-p", "18516", "--report_gbits"),
        *("-q", "2", "-s", "1024", "-D", "7", "-b", "192.168.100.2"),
    )
    assert perftest.server(test) == perftest.client(test)[:-1]
    latency = a_test(metric="latency")
    assert perftest.server(latency) == perftest.client(latency)[:-1]
    assert perftest.server(latency)[0] == "ib_write_lat"


def test_flags_are_known_to_the_tool() -> None:
    text = (RDMA / "05_ib_write_bw_help.txt").read_text(encoding="utf-8")
    argv = perftest.client(a_test(load="both-ways"))
    for flag in (word for word in argv if word.startswith("-")):
        assert re.search(rf"(?:^|\s){flag}[,= \n]", text), flag


def test_no_device_no_command_line() -> None:
    with pytest.raises(ValueError, match="no RDMA device"):
        perftest.server(a_test(device=None))


def test_mebibytes_are_converted() -> None:
    """As perftest prints without --report_gbits: 26.96 MiB/s are 0.2262 Gb/s."""
    client, server = rdma("43_ok_fw18515_R.txt")
    found = perftest.measured(a_test(), _in_mebibytes(client), _in_mebibytes(server))
    assert found.failure is None
    assert found.gbps == pytest.approx(26.50 * 2**20 * 8 / 1e9)


def test_both_ways_is_the_sum_and_ends_may_count_apart() -> None:
    """Constructed from a recording: with -b each end counts its own iterations."""
    client, server = rdma("43_ok_fw18515_R.txt")
    other = replace(server, out=server.out.replace("1275 ", "1274 "))
    assert perftest.measured(a_test(load="both-ways"), client, other).gbps == 0.22
    failure = perftest.measured(a_test(), client, other).failure
    assert failure is not None
    assert failure.kind == "unreadable"


def test_the_columns_must_agree_where_there_is_one_row_only() -> None:
    """Rate and message rate say the same twice; the server's row is not always there."""
    client, server = rdma("43_ok_fw18515_R.txt")
    alone = replace(server, out="")
    assert perftest.measured(a_test(), client, alone).gbps == 0.22
    for wrong in (" 2.22 ", " 0.25 ", "92.22 "):
        garbled = replace(client, out=client.out.replace(" 0.22 ", wrong))
        failure = perftest.measured(a_test(), garbled, alone).failure
        assert failure is not None
        assert failure.kind == "unreadable"


def test_another_size_is_another_test() -> None:
    client, server = rdma("43_ok_fw18515_R.txt")
    failure = perftest.measured(a_test(effort=Effort(bytes=4096)), client, server).failure
    assert failure is not None
    assert failure.kind == "unreadable"


@pytest.mark.parametrize("rc", [None, 124, 130, 137, 139, 143, 1])
def test_an_end_that_did_not_end_well_is_no_pass(rc: int | None) -> None:
    client, server = rdma("43_ok_fw18515_R.txt")
    for ends in ((replace(client, rc=rc), server), (client, replace(server, rc=rc))):
        found = perftest.measured(a_test(), *ends)
        assert found.gbps is None
        assert found.failure is not None
        assert found.failure.kind in failures()


def test_a_number_in_the_noise_is_no_second_row() -> None:
    client, server = rdma("43_ok_fw18515_R.txt")
    row = " 65536      1275"
    warned = replace(client, out=client.out.replace(row, " WARNING: 3 of 4 are slow\n" + row))
    assert perftest.measured(a_test(), warned, server).gbps == 0.22
    doubled = replace(client, out=client.out.replace(row, f" 65536 9 0.00 9.00 0.017166\n{row}"))
    assert perftest.measured(a_test(), doubled, server).gbps is None


GOOD_ONES = st.sampled_from(sorted(GOOD))
ALL = st.sampled_from(sorted({*GOOD, *LATENCIES, *BAD}))
RCS = st.sampled_from([None, 0, 1, 124, 137, 139])


@given(GOOD_ONES, st.data())
def test_a_cut_table_is_no_number(name: str, data: st.DataObject) -> None:
    """Wherever the client's text ends before the rule below the row."""
    client, server = rdma(name)
    end = client.out.rstrip().rfind("\n") + 20
    if "---json" in client.out:
        end = client.out.index("---json") - 70
    cut = data.draw(st.integers(0, end))
    found = perftest.measured(like(client), replace(client, out=client.out[:cut]), server)
    assert found.gbps is None
    assert found.failure is not None
    assert found.failure.kind == "unreadable"


@given(GOOD_ONES, st.data())
def test_a_garbled_row_is_no_other_number(name: str, data: st.DataObject) -> None:
    """One character of header or row replaced, taken out or put in: the same number, or none."""
    client, server = rdma(name)
    start = client.out.index(" #bytes")
    stop = client.out.index("\n---", start)
    place = data.draw(st.integers(start, stop))
    with_ = data.draw(
        st.sampled_from(["", "\n", " ", "\t", ".", "-", "x", *"0123456789", "٣", "\0"])
    )
    width = data.draw(st.integers(0, 1))
    broken = client.out[:place] + with_ + client.out[place + width :]
    found = perftest.measured(like(client), replace(client, out=broken), server)
    if found.failure is None:
        first = perftest.measured(like(client), client, server)
        assert found.gbps == first.gbps
        if "write" in name:  # of a write both ends print the same row
            assert found.iterations == first.iterations
    else:
        assert found.gbps is None


@given(ALL, st.data())
def test_whatever_breaks_there_is_no_traceback_and_no_pass(name: str, data: st.DataObject) -> None:
    client, server = rdma(name)
    texts = [client.out, client.err, server.out, server.err]
    for number in range(4):
        start, stop = (data.draw(st.integers(0, len(texts[number]))) for _ in range(2))
        texts[number] = (
            texts[number][:start] + data.draw(st.text(max_size=9)) + texts[number][stop:]
        )
    one = replace(client, out=texts[0], err=texts[1], rc=data.draw(RCS))
    other = replace(server, out=texts[2], err=texts[3], rc=data.draw(RCS))
    metrics: list[Metric] = ["bandwidth", "latency"]
    metric = data.draw(st.sampled_from(metrics))
    found = perftest.measured(like(client, metric), one, other)
    assert (found.failure is None) != (found.gbps is None and found.latency_us is None)
    if found.failure is not None:
        assert found.failure.kind in failures()
        assert len(found.failure.said) <= 300
    elif name in BAD:
        pytest.fail(f"{name} became a pass")


@given(st.text(), st.text(), RCS, RCS)
def test_any_text(out: str, err: str, rc: int | None, other: int | None) -> None:
    found = perftest.measured(a_test(), Said(rc, out, err), Said(other, err, out))
    assert found.failure is not None


def _in_mebibytes(said: Said) -> Said:
    out = said.out.replace("[Gb/sec]", "[MiB/sec]").replace(" 0.22 ", "26.50 ")
    return replace(said, out=out)
