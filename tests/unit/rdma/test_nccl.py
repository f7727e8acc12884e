"""nccl-tests' table and NCCL's own words on its network.

Constructed: the layout of a two-Spark run in NVIDIA's dgx-spark-playbooks (research facts 1.7), numbers consistent;
no GPUs with RDMA were at hand to record one (sockets: test_nccl_captured.py). The rows of 17179869184 bytes are the
ones printed there.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.knowledge.fabric import failures
from orchestrator.rdma import nccl
from orchestrator.rdma.answers import Said

TABLE = """\
# nccl-tests version 2.17.6 nccl-headers=22803 nccl-library=22803
# Collective test starting: all_gather_perf
# nThread 1 nGpus 1 minBytes 17179869184 maxBytes 17179869184 warmup iters: 5 iters: 20 validation: 1
#
# Using devices
#  Rank  0 Group  0 Pid 1935208 on spark device  0 [000f:01:00] NVIDIA GB10
#  Rank  1 Group  0 Pid  935208 on spark2 device  0 [000f:01:00] NVIDIA GB10
#
#                                                              out-of-place                       in-place
#       size         count      type   redop    root     time   algbw   busbw  #wrong     time   algbw   busbw  #wrong
#        (B)    (elements)                               (us)  (GB/s)  (GB/s)             (us)  (GB/s)  (GB/s)
 17179869184    2147483648     float    none      -1   453650   37.87   18.94       0   410049   41.90   20.95       0
# Out of bounds values : 0 OK
# Avg bus bandwidth    : 19.945
#
# Collective test concluded: all_gather_perf
"""
HOST = "spark:1935208:1935215 [0] NCCL INFO "
IB = (
    f"{HOST}NET/IB : Using [0]rocep1s0f1:1/RoCE [1]roceP2p1s0f1:1/RoCE [RO]; OOB enP7s7:10.0.0.5<0>\n"
    f"{HOST}Using network IB\n{HOST}Channel 00/0 : 1[0] -> 0[0] [receive] via NET/IB/0\n"
)
SOCKETS = (
    f"{HOST}NET/IB : No device found.\n{HOST}NET/Socket : Using [0]enP7s7:10.0.0.5<0>\n"
    f"{HOST}Using network Socket\n"
)


def test_the_average_is_the_number() -> None:
    found = nccl.measured("all_gather", Said(0, IB + TABLE))
    assert found.failure is None
    assert (found.bytes, found.gbytes_per_s, found.wrong) == (17179869184, 19.945, 0)
    assert found.tool == "nccl-tests 2.17.6"
    assert found.chosen.network == "rdma"
    assert found.chosen.devices == ("rocep1s0f1:1", "roceP2p1s0f1:1")
    assert found.reason is None


def test_sockets_are_a_number_and_no_pass() -> None:
    found = nccl.measured("all_gather", Said(0, TABLE, SOCKETS))
    assert found.gbytes_per_s == 19.945
    assert found.chosen.network == "sockets"
    assert found.reason is not None
    assert found.reason.name == "sockets"
    assert "/dev/infiniband" in found.reason.remedy


def test_one_rank_with_sockets_is_enough() -> None:
    assert nccl.chosen(IB + SOCKETS).network == "sockets"
    assert (
        nccl.chosen(f"{HOST}Channel 00/0 : 0[0] -> 1[0] [send] via NET/Socket/0").network
        == "sockets"
    )


def test_a_network_that_nobody_named_is_no_pass() -> None:
    found = nccl.measured("all_gather", Said(0, TABLE))
    assert found.reason is not None
    assert found.reason.name == "unknown-network"
    assert (
        nccl.chosen("Using network IB").network == "unknown"
    )  # NCCL's lines only: a script may say anything
    assert nccl.chosen(f"{HOST}Using network IBext_v8").network == "rdma"


def test_lines_of_nccl_in_the_table_are_not_its_rows() -> None:
    place = TABLE.index(" 17179869184    2147")
    assert (
        nccl.measured("all_gather", Said(0, TABLE[:place] + IB + TABLE[place:])).gbytes_per_s
        == 19.945
    )


def test_wrong_values_are_no_number() -> None:
    for text in (
        TABLE.replace("20.95       0", "20.95       3"),
        TABLE.replace("values : 0 OK", "values : 3 FAILED"),
    ):
        found = nccl.measured("all_gather", Said(0, IB + text))
        assert found.failure is not None
        assert (found.failure.kind, found.gbytes_per_s) == ("wrong-values", None)


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        (Said(0, ""), "unreadable"),
        (Said(0, TABLE.replace("19.945", "23.7")), "unreadable"),
        (
            Said(0, TABLE.replace("20.95       0", "20.95     N/A")),
            "unreadable",
        ),  # values were not checked
        (Said(0, TABLE.replace("# Avg", "# avg")), "unreadable"),
        (Said(127, "", "bash: all_gather_perf: command not found"), "no-tool"),
        (Said(124, IB), "timed-out"),
        (Said(None, TABLE), "client-killed"),
        (Said(137, TABLE), "client-killed"),
        (
            Said(3, "", "spark: Test NCCL failure common.cu:961 'unhandled system error'"),
            "nccl-failed",
        ),
        (Said(2, "", "spark: Test CUDA failure common.cu:892 'out of memory'"), "no-gpu-memory"),
        (Said(1, "", "something"), "tool-failed"),
    ],
)
def test_failures(said: Said, kind: str) -> None:
    found = nccl.measured("all_reduce", said)
    assert found.failure is not None
    assert (found.failure.kind, found.gbytes_per_s) == (kind, None)
    assert found.reason is not None
    assert found.reason.name == kind


def test_zero_is_a_failure() -> None:
    """As one rank alone prints it: nothing goes over any bus (nccl-tests issues 71, 249)."""
    text = TABLE.replace("18.94", " 0.00").replace("20.95", " 0.00").replace("19.945", "0")
    found = nccl.measured("all_gather", Said(0, IB + text))
    assert found.failure is not None
    assert found.failure.kind == "nothing-moved"


def test_command_lines() -> None:
    assert nccl.command("all_reduce", 1024)[:5] == ("all_reduce_perf", "-b", "1024", "-e", "1024")
    assert nccl.command("all_gather")[0] == "all_gather_perf"
    for wrong in (0, -1, 2 * 2**30 + 1, 16 * 2**30):
        with pytest.raises(ValueError, match="2 GB at most"):
            nccl.command("all_gather", wrong)


@given(st.data())
def test_a_cut_or_garbled_table_is_no_other_number(data: st.DataObject) -> None:
    place = data.draw(
        st.integers(TABLE.index("#       size"), TABLE.index("# Collective test concluded") - 3)
    )
    if data.draw(st.booleans()):
        text = TABLE[:place]
    else:
        with_ = data.draw(st.sampled_from(["", "\n", " ", "-", ".", "x", *"0123456789"]))
        text = TABLE[:place] + with_ + TABLE[place + 1 :]
    found = nccl.measured("all_gather", Said(0, IB + text))
    if found.failure is None:
        assert found.gbytes_per_s == pytest.approx(19.945, abs=0.03)
    else:
        assert found.failure.kind in failures()


@given(st.text(), st.text(), st.sampled_from([None, 0, 1, 124, 137]))
def test_any_text(out: str, err: str, rc: int | None) -> None:
    found = nccl.measured("all_gather", replace(Said(rc, out), err=err))
    assert found.failure is not None
    assert found.reason is not None
