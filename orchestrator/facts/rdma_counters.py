"""Why here: what a port really moved and lost is in its counters, whatever a tool prints.

`counters/port_xmit_data` counts words of four bytes (kernel: Documentation/ABI/stable/sysfs-class-infiniband),
RDMA alone on RoCE. Soft-RoCE has no such file: it counts packets, in `hw_counters/`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from orchestrator.facts.answers import RdmaCounters
from orchestrator.facts.probe import count, listed, probe, reading, script
from orchestrator.question import question
from orchestrator.script import Result, Script, sh

# One grep reads all; a counter that can't be read (EINVAL on some drivers) is not in its answer.
BODY = sh(
    """for port in /sys/class/infiniband/*/ports/*; do
  [ ! -e "$port/state" ] || echo "port $port"
done
grep -H . /sys/class/infiniband/*/ports/*/counters/* \
  /sys/class/infiniband/*/ports/*/hw_counters/* /dev/null 2>/dev/null
echo end"""
)
# The few that tell how much a port carried.
TRAFFIC = sh(
    """for port in /sys/class/infiniband/*/ports/*; do
  [ ! -e "$port/state" ] || echo "port $port"
done
grep -H . /sys/class/infiniband/*/ports/*/counters/port_xmit_* \
  /sys/class/infiniband/*/ports/*/counters/port_rcv_* \
  /sys/class/infiniband/*/ports/*/hw_counters/sent_pkts \
  /sys/class/infiniband/*/ports/*/hw_counters/rcvd_pkts /dev/null 2>/dev/null
echo end"""
)
WORD = 4  # bytes that port_xmit_data and port_rcv_data count as one
PORT = re.compile(r"port /sys/class/infiniband/([^/]+)/ports/(\d+)")
COUNTER = re.compile(
    r"/sys/class/infiniband/([^/]+)/ports/(\d+)/(counters|hw_counters)/([^/:]+):(\d+)"
)
NEVER_ERRORS = frozenset({"lifespan"})  # how often the kernel refreshes the others, in ms

# What a healthy link does not count. mlx5: NVIDIA, "Understanding mlx5 Linux Counters"; rxe: kernel,
# drivers/infiniband/sw/rxe/rxe_hw_counters.c; the rest: sysfs-class-infiniband.
ERRORS = frozenset(
    (
        "implied_nak_seq_err",
        "link_downed",
        "link_error_recovery",
        "local_ack_timeout_err",
        "local_link_integrity_errors",
        "out_of_buffer",
        "out_of_seq_request",
        "out_of_sequence",
        "packet_seq_err",
        "port_rcv_errors",
        "port_rcv_remote_physical_errors",
        "port_xmit_discards",
        "rcvd_seq_err",
        "req_cqe_error",
        "resp_cqe_error",
        "retry_exceeded_err",
        "rnr_nak_retry_err",
        "roce_adp_retrans_to",
        "rx_discards_phy",
        "rx_icrc_encapsulated",
        "rx_read_requests_err",
        "send_err",
        "symbol_error",
    )
)


Port = tuple[str, int]  # of a device
Counters = Mapping[Port, RdmaCounters]


@question
class ReadRdmaCounters:
    """The counters of each port; with `traffic` alone those of what it carried."""

    traffic: bool = False

    def ask(self) -> Script:
        return script(**{self._name: probe(TRAFFIC if self.traffic else BODY)})

    @property
    def _name(self) -> str:
        return "rdmatraffic" if self.traffic else "rdmacounters"

    def parse(self, results: Mapping[str, Result]) -> Counters:
        what = "RDMA counters"
        with reading(what):
            found: dict[Port, dict[str, dict[str, int]]] = {}
            for line in listed(results, self._name, what):
                if port := PORT.fullmatch(line):
                    found[port[1], count(port[2])] = {"counters": {}, "hw_counters": {}}
                elif (one := COUNTER.fullmatch(line)) and one[4] not in NEVER_ERRORS:
                    found[one[1], count(one[2])][one[3]][one[4]] = count(one[5])
                elif one is None:
                    raise ValueError(f"not a counter's line: {line[:80]!r}")
            return {
                port: RdmaCounters(each["counters"], each["hw_counters"])
                for port, each in found.items()
            }


def moved_bytes(before: RdmaCounters, after: RdmaCounters) -> int | None:
    """Bytes in and out between two reads; None where the device counts none (Soft-RoCE) or was reset."""
    total = 0
    for name in ("port_xmit_data", "port_rcv_data"):
        if name not in before.counters or name not in after.counters:
            return None
        moved = after.counters[name] - before.counters[name]
        if moved < 0:
            return None
        total += moved * WORD
    return total


def moved_packets(before: RdmaCounters, after: RdmaCounters) -> int | None:
    """Packets in and out, by whichever counters the device has; None where it has neither."""
    for kind, names in (
        ("counters", ("port_xmit_packets", "port_rcv_packets")),
        ("hw_counters", ("sent_pkts", "rcvd_pkts")),
    ):
        old, new = getattr(before, kind), getattr(after, kind)
        if all(name in old and name in new for name in names):
            moved = sum(new[name] - old[name] for name in names)
            return moved if moved >= 0 else None
    return None


def errors_of(counters: RdmaCounters) -> Mapping[str, int]:
    """The error counters that are not zero."""
    both = {**counters.counters, **counters.hw_counters}
    return {name: value for name, value in sorted(both.items()) if name in ERRORS and value}
