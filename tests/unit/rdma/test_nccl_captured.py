"""NCCL's own words on real GPUs (tests/captured/gpu), and what is made of them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from orchestrator.rdma.answers import Said
from orchestrator.rdma.nccl import Collective, chosen, measured
from tests import captured

TABLE = "# torch 2.11.0+cu130, NCCL 2.28.9"


@pytest.mark.parametrize(
    ("name", "collective", "rate"),
    [("two_gather", "all_gather", 1.5177), ("two_reduce", "all_reduce", 1.7864)],
)
def test_two_ranks_over_sockets(name: str, collective: Collective, rate: float) -> None:
    """A number, right values, and no pass: NCCL says in its own words that it took sockets."""
    found = measured(collective, captured.nccl(f"h200_nccl_{name}"))
    assert (found.bytes, found.gbytes_per_s, found.wrong) == (2**28, rate, 0)
    assert found.failure is None
    assert (found.chosen.network, found.chosen.devices) == ("sockets", ())
    assert found.reason is not None
    assert found.reason.name == "sockets"


@pytest.mark.parametrize("line", ["Using network Socket", "via NET/Socket/0"])
def test_each_of_its_words_tells_the_network(line: str) -> None:
    log = captured.nccl("h200_nccl_two_gather").out
    told = "\n".join(one for one in log.splitlines() if line in one)
    assert chosen(told).network == "sockets"
    assert chosen(log.replace("NCCL INFO", "")).network == "unknown"


@pytest.mark.parametrize(
    ("name", "reason", "words"),
    [
        ("same_gpu", "same-gpu", "Duplicate GPU detected : rank 1 and rank 0 both on CUDA device"),
        ("net_ib", "no-nccl-network", "Failed to initialize any NET plugin"),
    ],
)
def test_why_it_would_not_start(name: str, reason: str, words: str) -> None:
    found = measured("all_gather", captured.nccl(f"h200_nccl_{name}", rc=1))
    assert found.gbytes_per_s is None
    assert found.reason is not None
    assert found.reason.name == reason
    assert words in found.reason.evidence


def test_what_nccl_remarks_on_its_way_is_not_why_it_failed() -> None:
    """Each run without RDMA says "Failed to initialize NET plugin IB", also those that go well."""
    said = captured.nccl("h200_nccl_two_gather")
    cut = said.out.partition(TABLE)[0]
    found = measured("all_gather", Said(1, f"{cut}ValueError: something else\n", said.err))
    assert found.failure is not None
    assert (found.failure.kind, found.failure.said) == ("tool-failed", "ValueError: something else")


def test_a_table_in_the_middle_of_a_line() -> None:
    """C's buffer was full: half of NCCL's line stands before the table, the other half behind it."""
    out = captured.gpu("h100_nccl_cut_line.out")
    assert f"[0] {TABLE}" in out
    found = measured("all_gather", Said(0, out))
    assert found.failure is not None
    assert (
        found.failure.kind == "nothing-moved"
    )  # one rank: there is nobody to send to, and the table says so
    row = next(line for line in out.splitlines() if line.split()[0] == "1073741824")
    lost = measured("all_gather", Said(0, out.replace(row, row.replace(" 0.00 ", " NCCL WARN "))))
    assert lost.failure is not None
    assert lost.failure.kind == "unreadable"
    assert "NCCL INFO" not in lost.failure.said


def test_a_warning_behind_the_table_takes_nothing_from_it() -> None:
    said = captured.nccl("h200_nccl_two_gather")
    warned = f"{said.out}\n[2026-11-26 22:09:37] rig:1:2 [0] socket.cc:1 NCCL WARN closed\n"
    assert measured("all_gather", replace(said, out=warned)).gbytes_per_s == 1.5177
