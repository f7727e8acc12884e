"""Whether RDMA is in use is told by counters, device by device; what can't be read is no proof."""

from __future__ import annotations

import pytest

from orchestrator.facts.answers import RdmaCounters
from orchestrator.rdma.live import (
    Through,
    Use,
    devices_of,
    environment_of,
    judged,
    through,
)


def counted(words: int) -> RdmaCounters:
    return RdmaCounters({"port_xmit_data": words, "port_rcv_data": 0}, {})


def test_the_devices_are_the_running_ranks_own() -> None:
    label = '{"env": {"NCCL_IB_HCA": "=rocep1s0f1:1,roceP2p1s0f1"}}'
    assert devices_of(environment_of(label)) == (("rocep1s0f1", 1), ("roceP2p1s0f1", 1))
    assert devices_of({"NCCL_IB_HCA": "=x:1", "NCCL_IB_DISABLE": "1"}) == ()
    assert devices_of({"NCCL_IB_HCA": "^mlx5_0"}) == ()
    assert environment_of(None) == environment_of("no json") == environment_of("[]") == {}


def test_words_of_four_bytes() -> None:
    port = ("rocep1s0f1", 1)
    found = through("a", port, {port: counted(0)}, {port: counted(250_000_000)})
    assert (found.bytes, found.carried) == (10**9, True)
    assert through("a", port, {}, {port: counted(1)}).carried is None
    assert through("a", port, {port: counted(9)}, {port: counted(1)}).carried is None  # a reset


def test_soft_roce_counts_packets() -> None:
    port = ("rxe0", 1)
    before, after = (
        RdmaCounters({}, {"sent_pkts": n, "rcvd_pkts": 0, "lifespan": 10}) for n in (5, 500)
    )
    found = through("a", port, {port: before}, {port: after})
    assert (found.carried, found.packets, found.bytes) == (True, 495, None)


RAIL_1 = Through("a", "r1:1", True, bytes=620_000_000)
RAIL_2 = Through("a", "r2:1", True, bytes=620_000_000)
STILL = Through("a", "r2:1", False, bytes=12)
UNREAD = Through("b", "r1:1", None)


@pytest.mark.parametrize(
    ("each", "use", "said"),
    [
        ((RAIL_1, RAIL_2), "rdma", "RoCE in use on both rails, 1.24 GB moved"),
        ((RAIL_1,), "rdma", "RoCE in use on its rail, 0.62 GB moved"),
        ((RAIL_1, STILL), "partly", "RoCE in use, but not on a r2:1"),
        ((STILL,), "tcp", "TCP fallback"),
        ((), "tcp", "given no RDMA device"),
        ((RAIL_1, UNREAD), "unknown", "no counters of b r1:1"),
    ],
)
def test_the_sentence(each: tuple[Through, ...], use: Use, said: str) -> None:
    found = judged("vl", each)
    assert found.use == use
    assert said in found.text
