"""What a link should give: min(cable, PCIe) as they should be, with what its hosts' kinds know from the field.

Not as they are: a link that came up at half its speed must not be measured against half of its speed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from orchestrator.rdma.answers import Expected, Load, Way
from orchestrator.spec.models import Expect, Host


@dataclass(frozen=True)
class Reach:
    """What one end should be able to, by the inventory, its kind and its hardware."""

    host: str
    kind: str
    expect: Expect
    gbps: float | None = (
        None  # of the cable, as the inventory or kind says; None: nothing can be said
    )
    halves: int = 1  # of the port that are in this link
    pcie_gbps: float | None = None  # of one half at its full width (Pcie.max_gbps); None: not known


def reach(
    host: Host, port: str, pcie_gbps: float | None = None, halves: int | None = None
) -> Reach:
    """Of a port of the inventory."""
    spec = host.ports[port]
    count = halves if halves is not None else len(spec.halves)
    return Reach(host.name, host.kind.name, host.expect, spec.gbps, count, pcie_gbps)


def expected(way: Way, load: Load, ends: Sequence[Reach]) -> Expected:
    """What the weakest of these ends lets one expect; unknown where one of them says nothing.

    Both ways is the sum of the directions: at least what one gives, as no source says how much more.
    """
    each = [_of(way, load, end) for end in ends]
    if not each:
        return Expected(None, "no host says what to expect")
    unknown = next((one for one in each if one.healthy_gbps is None), None)
    if unknown is not None:
        return unknown
    return min(each, key=lambda one: one.healthy_gbps or 0.0)


def _of(way: Way, load: Load, end: Reach) -> Expected:
    number = _number(way, load, end)
    if end.expect.relative:
        limit, word = None, f"relative: {end.expect.relative}; {end.kind}"
    else:
        limit, word = _limit(load, end)
        word = f"{word}, {end.kind}" if word else end.kind
    if limit is None and number is None:
        return Expected(
            None, f"neither the inventory nor kind {end.kind} says what {end.host} should give"
        )
    bounds = [one for one in (number, limit and end.expect.share * limit) if one is not None]
    healthy = min(bounds)
    failed = end.expect.failed_share * healthy
    why = f"{word}: {healthy:.4g} Gb/s is healthy, below {failed:.3g} is failed"
    return Expected(limit if limit is not None else healthy, why, healthy, failed)


def _number(way: Way, load: Load, end: Reach) -> float | None:
    if way == "tcp":
        return end.expect.tcp_gbps
    if load == "together" and end.halves > 1:
        return end.expect.port_gbps
    return end.expect.half_gbps


def _limit(load: Load, end: Reach) -> tuple[float | None, str]:
    """min(cable, PCIe), and in words."""
    lanes = end.halves if load == "together" else 1
    pcie = end.pcie_gbps * lanes if end.pcie_gbps is not None else None
    known = [one for one in (end.gbps, pcie) if one is not None]
    if not known:
        return None, ""
    return min(known), f"min(cable {_said(end.gbps)}, PCIe {_said(pcie)})"


def _said(gbps: float | None) -> str:
    return "unknown" if gbps is None else f"{gbps:g}"
