"""What a link should give: min(cable, PCIe) with what its hosts' kinds know from the field."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from orchestrator.rdma.answers import Expected, Load, Way


@dataclass(frozen=True)
class Reach:
    """What one end should be able to, by the inventory, its kind and its hardware."""

    host: str
    kind: str
    gbps: float | None  # of the cable, as the inventory or kind says; None: nothing can be said
    halves: int  # of the port that are in this link
    pcie_gbps: float | None = (
        None  # of one half, at its full width (Pcie.max_gbps); None: not known
    )
    half_gbps: float | None = None  # the kind's numbers: healthy from here on
    port_gbps: float | None = None
    tcp_gbps: float | None = None
    share: float = (
        0.85  # of min(cable, PCIe), where that is less than the kind's number or there is none
    )
    failed_share: float = 2 / 3  # of what is healthy: below is failed
    relative: str = ""  # "what Soft-RoCE can": then the kind's numbers stand alone


def expected(way: Way, load: Load, ends: Sequence[Reach]) -> Expected:
    """What the weakest of these ends lets one expect."""
    raise NotImplementedError
