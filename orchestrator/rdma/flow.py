"""One direction of one link: what a cell of the matrix and of the heat map says."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from orchestrator.network.cabling import natural
from orchestrator.rdma.answers import (
    WORST_FIRST,
    Expected,
    FabricVerdict,
    LaneVerdict,
    LinkVerdict,
    Load,
    State,
    Way,
)

How = Literal["together", "alone", "halves added", ""]  # what a direction's number is made of


@dataclass(frozen=True)
class Flow:
    """All that goes from one host to another over one link."""

    link: LinkVerdict
    source: str
    target: str
    gbps: float | None
    how: How
    state: State

    @property
    def way(self) -> Way:
        return self.link.way

    @property
    def expected(self) -> Expected:
        return self.link.expected

    @property
    def share(self) -> float | None:
        """Of what is expected, 1.0: all of it; None where either is not known."""
        return share(self.gbps, self.expected)

    @property
    def badness(self) -> tuple[int, float]:
        """Sorts the worst first."""
        return WORST_FIRST.index(self.state), 2.0 if self.share is None else self.share


def share(gbps: float | None, expected: Expected) -> float | None:
    """A rate as a part of what is expected."""
    return gbps / expected.gbps if gbps is not None and expected.gbps else None


def is_latency(lane: LaneVerdict) -> bool:
    """Whether it is the test of the time, not of the rate."""
    measured = lane.measured
    return measured is not None and "/latency/" in measured.test


def rates(link: LinkVerdict, source: str, load: Load) -> dict[int, LaneVerdict]:
    """Half → the rate test that sends from `source` under that load."""
    return {
        one.lane.half: one
        for one in link.lanes
        if one.load == load and one.lane.client.host == source and not is_latency(one)
    }


def gbps(lane: LaneVerdict | None) -> float | None:
    """Its number; None where there is none."""
    return lane.measured.gbps if lane is not None and lane.measured is not None else None


def flows(link: LinkVerdict) -> tuple[Flow, Flow]:
    """Both directions, the one from the first host first. Where neither is as bad as the link, both are."""
    first, second = link.hosts
    there, back = _flow(link, first, second), _flow(link, second, first)
    worst = WORST_FIRST.index(link.state)
    if min(there.badness[0], back.badness[0]) <= worst:
        return there, back
    return (
        Flow(link, first, second, there.gbps, there.how, link.state),
        Flow(link, second, first, back.gbps, back.how, link.state),
    )


def _flow(link: LinkVerdict, source: str, target: str) -> Flow:
    rate, how = _rate(link, source)
    mine = {one.state for one in link.lanes if one.lane.client.host == source}
    if rate is None:
        mine.add("unknown")
    else:
        mine.add(_judged(rate, link.expected))
    state = next(one for one in WORST_FIRST if one in mine)
    return Flow(link, source, target, rate, how, state)


def _rate(link: LinkVerdict, source: str) -> tuple[float | None, How]:
    together = rates(link, source, "together")
    alone = rates(link, source, "alone")
    numbers = [gbps(one) for one in (together or alone).values()]
    known = [one for one in numbers if one is not None]
    if not known or len(known) < len(numbers):
        return None, ""
    if together:
        return sum(known), "together"
    return sum(known), "alone" if len(known) == 1 else "halves added"


def _judged(rate: float, expected: Expected) -> State:
    if expected.healthy_gbps is None or expected.failed_gbps is None:
        return "unknown"
    if rate >= expected.healthy_gbps:
        return "healthy"
    return "failed" if rate < expected.failed_gbps else "degraded"


@dataclass(frozen=True)
class Grid:
    """Host by host: (from, to) → the flows between them, worst first."""

    hosts: tuple[str, ...]
    cells: Mapping[tuple[str, str], tuple[Flow, ...]]

    def around(self, host: str) -> tuple[Flow, ...]:
        """All that a host sends and gets, worst first."""
        mine = [flow for pair, some in self.cells.items() if host in pair for flow in some]
        return tuple(sorted(mine, key=lambda flow: flow.badness))

    def worst_hosts(self, most: int) -> tuple[str, ...]:
        """At most so many hosts, those with the worst links, in natural order."""
        if len(self.hosts) <= most:
            return self.hosts
        around: dict[str, list[tuple[int, float]]] = {one: [] for one in self.hosts}
        for pair, some in self.cells.items():
            for host in pair:
                around[host] += [flow.badness for flow in some]
        kept = sorted(self.hosts, key=lambda host: (sorted(around[host])[:8], natural(host)))
        return tuple(sorted(kept[:most], key=natural))


def grid(links: Iterable[LinkVerdict]) -> Grid:
    """The matrix of a run."""
    cells: dict[tuple[str, str], list[Flow]] = {}
    for link in links:
        for flow in flows(link):
            cells.setdefault((flow.source, flow.target), []).append(flow)
    hosts = sorted({host for pair in cells for host in pair}, key=natural)
    worst_first = {
        pair: tuple(sorted(some, key=lambda flow: flow.badness)) for pair, some in cells.items()
    }
    return Grid(tuple(hosts), worst_first)


def worst_first(verdict: FabricVerdict) -> tuple[LinkVerdict, ...]:
    """Its links: failed, unknown, degraded, healthy; by name within."""
    return tuple(
        sorted(verdict.links, key=lambda link: (WORST_FIRST.index(link.state), natural(link.name)))
    )
