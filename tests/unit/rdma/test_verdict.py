"""A measurement is the tool's word and the ports' counters; where they differ, the counters are believed."""

from __future__ import annotations

import pytest

from orchestrator.facts.fabric_left import Left
from orchestrator.rdma.answers import Said
from orchestrator.rdma.verdict import measurement
from tests.captured import a_test, rdma


def left(said: Said, *, netdev_bytes: int) -> Left:
    """What an end of a Soft-RoCE device leaves: bytes are counted by its netdev."""
    at = "net/enp1s0f1np1/statistics"
    counters = {f"{at}/rx_bytes": (5, 5 + netdev_bytes), f"{at}/tx_bytes": (7, 7)}
    return Left("r", 1, "t", "rdma", a_test().effort, said, counters, {})


@pytest.mark.parametrize(
    ("client_bytes", "server_bytes", "kind"),
    [
        (9_000, 2_000, "mtu-path"),  # small packets of the connection alone
        (5_000_000, 2_000, "mtu-path"),  # sent again and again, and never there
        (5_000_000, 5_000_000, "too-short"),
    ],
)
def test_no_message_in_time_is_not_no_message_on_the_way(
    client_bytes: int, server_bytes: int, kind: str
) -> None:
    """Both ends print 0.000000 and exit 0 in all three."""
    client, server = rdma("45_fail_path_drops_jumbo_R.txt")
    sides = left(client, netdev_bytes=client_bytes), left(server, netdev_bytes=server_bytes)
    found = measurement(a_test(), *sides, {})
    assert found is not None and found.failure is not None
    assert (found.failure.kind, found.gbps) == (kind, None)
