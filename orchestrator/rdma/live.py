"""Whether what serves now uses RDMA: its own NCCL_IB_HCA, and counters around one answer. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from orchestrator.facts.rdma_counters import Counters, Port, moved_bytes, moved_packets

LEAST_BYTES = 100_000  # a device that carries nothing shows some management datagrams at most
LEAST_PACKETS = 50  # of such a device that counts no bytes (Soft-RoCE)
Use = Literal["rdma", "partly", "tcp", "unknown"]


@dataclass(frozen=True)
class Through:
    """What one device carried; `bytes` None: it counts packets alone."""

    host: str
    device: str
    carried: bool | None  # None: it has no counters that can be read
    bytes: int | None = None
    packets: int | None = None

    @property
    def said(self) -> str:
        where = f"{self.host} {self.device}"
        if self.bytes is not None:
            return f"{where} {gigabytes(self.bytes)}"
        return f"{where} ?" if self.packets is None else f"{where} {self.packets} packets"


@dataclass(frozen=True)
class Live:
    """How one deployment's data went while it answered."""

    deployment: str
    use: Use
    text: str
    through: tuple[Through, ...] = field(default=())


def gigabytes(amount: int) -> str:
    """1.23 GB, 4.5 MB."""
    if amount >= 10**8:
        return f"{amount / 10**9:.2f} GB"
    return f"{amount / 10**6:.1f} MB"


def environment_of(label: str | None) -> Mapping[str, str]:
    """The environment of a running rank, from its label; {} where that can't be read."""
    try:
        found = json.loads(label or "{}").get("env", {})
        return {str(name): str(value) for name, value in found.items()}
    except (ValueError, AttributeError):
        return {}


def devices_of(environment: Mapping[str, str]) -> tuple[Port, ...]:
    """`NCCL_IB_HCA`: "=rocep1s0f1:1,roceP2p1s0f1:1"; a port that is not said is the first."""
    named = environment.get("NCCL_IB_HCA", "").lstrip("=")
    if environment.get("NCCL_IB_DISABLE") == "1" or named.startswith("^"):
        return ()
    found = []
    for one in filter(None, (word.strip() for word in named.split(","))):
        device, _, port = one.partition(":")
        found.append((device, int(port) if port.isdigit() else 1))
    return tuple(found)


def through(host: str, port: Port, before: Counters, after: Counters) -> Through:
    """What one device carried between two reads."""
    name = f"{port[0]}:{port[1]}"
    if port not in before or port not in after:
        return Through(host, name, None)
    amount = moved_bytes(before[port], after[port])
    if amount is not None:
        return Through(host, name, amount >= LEAST_BYTES, bytes=amount)
    packets = moved_packets(before[port], after[port])
    carried = None if packets is None else packets >= LEAST_PACKETS
    return Through(host, name, carried, packets=packets)


def judged(deployment: str, each: tuple[Through, ...]) -> Live:
    """The sentence. Rails that carried nothing are named; what can't be read is no proof."""
    if not each:
        return Live(deployment, "tcp", "TCP: its ranks were given no RDMA device")
    unread = [one for one in each if one.carried is None]
    still = [one for one in each if one.carried is False]
    used = [one for one in each if one.carried]
    if unread:
        names = ", ".join(f"{one.host} {one.device}" for one in unread)
        return Live(deployment, "unknown", f"not known: no counters of {names}", each)
    if not used:
        return Live(deployment, "tcp", "TCP fallback: no RDMA device carried its data", each)
    told = ", ".join(one.said for one in used)
    if still:
        names = ", ".join(f"{one.host} {one.device}" for one in still)
        return Live(deployment, "partly", f"RoCE in use, but not on {names} ({told})", each)
    rails = len({one.device for one in used})
    where = {1: "its rail", 2: "both rails"}.get(rails, f"all {rails} rails")
    total = sum(one.bytes or 0 for one in used)
    amount = gigabytes(total) if total else told
    return Live(deployment, "rdma", f"RoCE in use on {where}, {amount} moved", each)
