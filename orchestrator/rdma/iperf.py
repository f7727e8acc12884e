"""iperf3 where there is no RDMA device: argv of both ends, and the JSON that it prints.

With --json iperf3 exits 0 whatever happens (3.12): the answer counts only with what arrived, and without an `error`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from orchestrator.knowledge.fabric import recognised
from orchestrator.rdma.answers import Failure, Measured, Said, Test
from orchestrator.rdma.failing import failure, telling_line

__all__ = ["Said", "client", "measured", "server", "version"]

CONNECT_MS = 5000
VERSION = re.compile(r"^iperf (\d+(?:\.\d+)+)\+?(?: |$)", re.MULTILINE)
REAPED = "interrupt - "  # our own timeout ended it: no cause
TOLERANCE = 0.02  # rate against bytes and seconds of the same line

Json = Mapping[str, Any]

MOST_BLOCK = 2**20  # iperf3 refuses more: "block size too large (maximum = 1048576 bytes)"


def server(test: Test) -> tuple[str, ...]:
    """What the server of the lane runs; it serves one client and ends."""
    address = test.lane.server.address
    return ("iperf3", "-s", "-1", "-B", address, "-p", str(test.port), "--json")


def client(test: Test) -> tuple[str, ...]:
    """What the client runs, once the server listens; both ways needs iperf3 3.7."""
    if test.metric != "bandwidth":
        raise ValueError("iperf3 measures no latency")
    lane, effort = test.lane, test.effort
    line = ("iperf3", "-c", lane.server.address, "-B", lane.client.address, "-p", str(test.port))
    block = str(min(effort.bytes, MOST_BLOCK))
    size = ("-t", str(effort.seconds), "-l", block, "-P", str(effort.qps))
    both = ("--bidir",) if test.load == "both-ways" else ()
    return (*line, *size, "--connect-timeout", str(CONNECT_MS), *both, "--json")


def measured(test: Test, client: Said, server: Said) -> Measured:
    """What arrived, as both ends count it, or why there is no number."""
    one, other = _json(client.out), _json(server.out)
    failed = _failure(client, server, one, other)
    if failed is not None:
        return Measured(test.id, failure=failed)
    try:
        return _number(test, one, other)
    except (KeyError, TypeError, ValueError, OverflowError):
        return Measured(test.id, failure=Failure("unreadable", telling_line(client)))


def version(text: str) -> str | None:
    """From `iperf3 --version`: "3.12"."""
    found = VERSION.search(text)
    return found[1] if found else None


def _failure(client: Said, server: Said, one: Json, other: Json) -> Failure | None:
    told = [error for each in (other, one) if (error := _error(each))]
    known = recognised([*server.err.splitlines(), *client.err.splitlines(), *told])
    if known is not None and (told or client.rc != 0 or server.rc != 0):
        return Failure(*known)
    return failure(client, server) or (Failure("tool-failed", told[0][:300]) if told else None)


def _error(said: Json) -> str:
    error = said.get("error", "")
    text = error if isinstance(error, str) else "an error that is no text"
    return "" if text.startswith(REAPED) else text


def _json(out: str) -> Json:
    try:
        found = json.loads(out)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _number(test: Test, one: Json, other: Json) -> Measured:
    """Raises whatever a report that is not whole or not in itself right gives."""
    ways = ("", "_bidir_reverse") if test.load == "both-ways" else ("",)
    start = one["start"]["test_start"]
    if (
        start["num_streams"] != test.effort.qps
        or start["protocol"] != "TCP"
        or start["reverse"] != 0
    ):
        raise ValueError("another test than was asked for")
    arrived = [_sum(one["end"][f"sum_received{way}"]) for way in ways]
    sent = [_sum(one["end"][f"sum_sent{way}"]) for way in ways]
    if sum(_streams(one["end"]["streams"])) != sum(count for count, _ in arrived):
        raise ValueError("the streams are not the sum")
    if other and _sum(other["end"]["sum_received"])[0] != arrived[0][0]:
        raise ValueError("the two ends do not count the same")
    if not all(count for count, _ in arrived):
        kind = "mtu-path" if any(count for count, _ in sent) else "nothing-moved"
        said = f"{sent[0][0]} bytes sent, {arrived[0][0]} arrived"
        return Measured(test.id, failure=Failure(kind, said))
    return Measured(
        test.id,
        gbps=sum(rate for _, rate in arrived) / 1e9,
        claimed_bytes=min(count for count, _ in arrived),
        tool=f"iperf3 {str(one['start']['version']).removeprefix('iperf ')}"[:40],
    )


def _sum(line: Json) -> tuple[int, float]:
    """Bytes and bits a second of one line, which must agree."""
    count, rate, seconds = line["bytes"], line["bits_per_second"], line["seconds"]
    if type(count) is not int or count < 0 or not _real(rate) or not _real(seconds) or seconds <= 0:
        raise ValueError("no number")
    if abs(count * 8 / seconds - rate) > TOLERANCE * rate:
        raise ValueError("bytes, seconds and rate do not fit together")
    return count, float(rate)


def _streams(streams: list[Json]) -> Iterator[int]:
    for stream in streams:
        count = stream["receiver"]["bytes"]
        if type(count) is not int or count < 0:
            raise ValueError("no number of bytes")
        yield count


def _real(value: object) -> bool:
    return type(value) in (int, float) and 0 <= value < 1e15  # type: ignore[operator]
