"""Before anything is measured: is each half there, up, fast, addressed, reached, and if not, why?

From facts alone. What could not be read is said as unknown and is no pass.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from orchestrator.contracts import Facts, Query, World
from orchestrator.errors import OrchError
from orchestrator.facts.identity import Identify
from orchestrator.facts.ip_settings import ReadIpSettings
from orchestrator.facts.network import ReadNetwork
from orchestrator.facts.pcie import ReadPcie
from orchestrator.facts.ping import Ping
from orchestrator.facts.rdma import ReadRdma
from orchestrator.facts.rdma_counters import ReadRdmaCounters
from orchestrator.network.topology import Fabric, Member, Segment
from orchestrator.spec.models import Cluster

T = TypeVar("T")
Grade = Literal["ok", "warn", "bad", "unknown"]
WORST_FIRST: tuple[Grade, ...] = ("bad", "unknown", "warn", "ok")
HOST_QUERIES: tuple[Query[Any], ...] = (
    ReadNetwork(),
    ReadRdma(),
    ReadPcie(),
    ReadIpSettings(),
    ReadRdmaCounters(),
    Identify(),
)


@dataclass(frozen=True)
class Found:
    """One thing that was looked at on a half."""

    name: str  # present, up, cable, speed, pcie, device, mtu, roce-mtu, address, subnet, gid, firmware, ping, counters
    grade: Grade
    said: str  # what is so: "200 Gb/s"
    cause: str = ""  # why that is wrong, or what it comes from
    remedy: str = ""  # what to do or type


@dataclass(frozen=True)
class HalfReport:
    """All that was looked at on one end of one half of a link."""

    link: str
    half: int
    host: str
    port: str
    netdev: str
    rdma: str | None  # the device that is there, whatever the kind says
    address: str | None
    gid_index: int | None  # RoCE v2, of that address, now
    findings: tuple[Found, ...]

    @property
    def grade(self) -> Grade:
        return worst(one.grade for one in self.findings)

    @property
    def wrong(self) -> tuple[Found, ...]:
        """What is not ok, the worst first."""
        bad = (one for one in self.findings if one.grade != "ok")
        return tuple(sorted(bad, key=lambda one: WORST_FIRST.index(one.grade)))


def worst(grades: Iterator[Grade]) -> Grade:
    """Of several; of none it is unknown."""
    found = set(grades)
    return next((one for one in WORST_FIRST if one in found), "unknown")


def ping_of(segment: Segment, member: Member) -> Ping | None:
    """The full-sized ping to the other members; None where their addresses are not known."""
    others = (one.interface for one in segment.members if one.host != member.host)
    addresses = tuple(str(interface.ip) for interface in others if interface is not None)
    return Ping(member.netdev, segment.mtu, addresses) if addresses else None


def preflight_reads(fabric: Fabric) -> frozenset[tuple[str, Query[Any]]]:
    """What `preflight` needs of the hosts: one script for each."""
    reads: set[tuple[str, Query[Any]]] = set()
    for segment in fabric.segments:
        for member in segment.members:
            reads.update((member.host, query) for query in HOST_QUERIES)
            ping = ping_of(segment, member)
            if ping is not None:
                reads.add((member.host, ping))
    return frozenset(reads)


def preflight(cluster: Cluster, fabric: Fabric, world: World) -> tuple[HalfReport, ...]:
    """A report for each end of each half, in the fabric's order."""
    from orchestrator.rdma.half import look  # which makes reports

    return tuple(
        look(cluster, segment, member, Answered(world[member.host]), world)
        for segment in fabric.segments
        for member in segment.members
    )


def by_link(reports: tuple[HalfReport, ...]) -> Mapping[str, tuple[HalfReport, ...]]:
    """Reports under the names of their links."""
    found: dict[str, list[HalfReport]] = defaultdict(list)
    for one in reports:
        found[one.link].append(one)
    return {link: tuple(each) for link, each in found.items()}


@dataclass(frozen=True)
class Answered:
    """One host's facts, with what could not be read as None and a reason."""

    facts: Facts

    def get(self, query: Query[T]) -> T | None:
        try:
            return self.facts.get(query)
        except OrchError:
            return None

    def why(self, query: Query[Any]) -> str:
        """Why there is no answer."""
        try:
            self.facts.get(query)
        except OrchError as error:
            return error.message
        return ""
