"""What is known of one half at one end while a link is judged. What nobody read is None, never a default."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

LANE_GBPS = {
    2.5: 2.0,
    5.0: 4.0,
    8.0: 7.877,
    16.0: 15.754,
    32.0: 31.508,
    64.0: 60.5,
}  # by GT/s; coding taken off


@dataclass(frozen=True)
class Pcie:
    """A function's PCIe link as it runs and as it could: sysfs current_link_* and max_link_*."""

    gts: float | None = None  # GT/s a lane
    width: int | None = None
    max_gts: float | None = None
    max_width: int | None = None

    @property
    def gbps(self) -> float | None:
        """What it carries as it runs now."""
        return _carries(self.gts, self.width)

    @property
    def max_gbps(self) -> float | None:
        """What it could carry: 126 on one half of a Spark's port."""
        return _carries(self.max_gts, self.max_width)


@dataclass(frozen=True)
class Condition:
    """One End of a lane, as its host shows it."""

    host: str
    netdev: str
    rdma: str | None = None
    soft: bool = False  # Soft-RoCE: no PCIe, no port counters, no firmware
    up: bool | None = None
    carrier: bool | None = None
    speed_mbps: int | None = None
    pcie: Pcie | None = None
    mtu: int | None = None
    active_mtu: int | None = None  # RoCE MTU: 1024, 4096
    link_layer: str | None = None  # "Ethernet", "InfiniBand"
    firmware: str | None = None
    address: str | None = None  # IPv4 without prefix
    gids: tuple[tuple[int, str, str], ...] | None = None  # as facts.answers.RdmaDevice has them
    errors: Mapping[str, int] = field(
        default_factory=dict
    )  # error counters that went up meanwhile, by how much
    ping: bool | None = None  # the other end answers
    ping_full: bool | None = None  # it answers in packets of the full MTU that may not be cut
    firewall: tuple[
        str, ...
    ] = ()  # what may be in the way: "ufw is active", "nft drops udp dport 4791"


def _carries(gts: float | None, width: int | None) -> float | None:
    if gts is None or width is None:
        return None
    lane = LANE_GBPS.get(gts)
    return None if lane is None else round(lane * width, 1)
