"""ib_write_bw and ib_write_lat: argv of both ends, and what their text says.

Both ends get the same flags: where they differ, perftest hangs. The GID index is left to rdma_cm (-R), which takes
the one that fits the address. JSON is invalid before 24.01 and lacks the unit, so the row is what is read.
"""

from __future__ import annotations

import re

from orchestrator.rdma import row
from orchestrator.rdma.answers import End, Failure, Measured, Said, Test
from orchestrator.rdma.failing import failure

__all__ = ["Said", "client", "measured", "server", "version"]

LATENCY_ROUNDS = 1000
LATENCY_BYTES = 2  # perftest's own default
VERSION = re.compile(r"^\s*Version: (\d+(?:\.\d+){1,3})\s*$", re.MULTILINE)


def server(test: Test) -> tuple[str, ...]:
    """What the server of the lane runs; it serves one client and ends."""
    return _argv(test, test.lane.server)


def client(test: Test) -> tuple[str, ...]:
    """What the client runs, once the server waits."""
    return (*_argv(test, test.lane.client), test.lane.server.address)


def measured(test: Test, client: Said, server: Said) -> Measured:
    """A number, or why there is none. With -b it is the sum of both directions, as perftest prints it."""
    failed = failure(client, server)
    if failed is not None:
        return Measured(test.id, failure=failed, mtu=row.mtu(client.out))
    return (
        _latency(test, client, server)
        if test.metric == "latency"
        else _bandwidth(test, client, server)
    )


def version(text: str) -> str | None:
    """From `ib_write_bw --version` or --help: "6.06"."""
    found = VERSION.search(text)
    return found[1] if found else None


def _argv(test: Test, end: End) -> tuple[str, ...]:
    if end.rdma is None:
        raise ValueError(f"{end.host}: {end.netdev} has no RDMA device")
    common = ("-R", "-F", "-d", end.rdma, "-p", str(test.port))
    if test.metric == "latency":
        return ("ib_write_lat", *common, "-n", str(LATENCY_ROUNDS))
    effort = test.effort
    size = ("-q", str(effort.qps), "-s", str(effort.bytes), "-D", str(effort.seconds))
    both = ("-b",) if test.load == "both-ways" else ()
    return ("ib_write_bw", *common, "--report_gbits", *size, *both)


def _bandwidth(test: Test, client: Said, server: Said) -> Measured:
    found, other = row.bandwidth(client.out), row.bandwidth(server.out)
    mtu = row.mtu(client.out)
    if (
        found is None
        or found.bytes != test.effort.bytes
        or (row.has_table(server.out) and other is None)
    ):
        return Measured(test.id, failure=_unreadable(client), mtu=mtu)
    if not found.iterations or not found.gbps:
        kind = "mtu-path" if row.by_rdma_cm(client.out) else "nothing-moved"
        return Measured(test.id, failure=Failure(kind, _row_line(client)), mtu=mtu)
    if test.load != "both-ways" and row.is_write(server.out) and other not in (None, found):
        return Measured(test.id, failure=_unreadable(server), mtu=mtu)
    return Measured(
        test.id,
        gbps=found.gbps,
        iterations=found.iterations,
        claimed_bytes=found.moved,
        tool="ib_write_bw",
        mtu=mtu,
    )


def _latency(test: Test, client: Said, server: Said) -> Measured:
    found, other = row.latency(client.out), row.latency(server.out)
    mtu = row.mtu(client.out)
    if (
        found is None
        or found.bytes != LATENCY_BYTES
        or (row.has_table(server.out) and other is None)
    ):
        return Measured(test.id, failure=_unreadable(client), mtu=mtu)
    if not found.iterations or not found.average_us:
        return Measured(test.id, failure=Failure("nothing-moved", _row_line(client)), mtu=mtu)
    return Measured(
        test.id,
        latency_us=found.average_us,
        iterations=found.iterations,
        claimed_bytes=found.bytes * found.iterations,
        tool="ib_write_lat",
        mtu=mtu,
    )


def _unreadable(said: Said) -> Failure:
    return Failure("unreadable", _row_line(said))


def _row_line(said: Said) -> str:
    """What stands below the header, for people."""
    after = said.out.partition("#bytes")[2].splitlines()[1:2]
    return after[0].strip()[:300] if after else ""
