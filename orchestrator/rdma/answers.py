"""The nouns of a fabric measurement: lanes, tests, what was measured, what that means.

Rates are Gb/s (10^9 bits), latencies microseconds, sizes bytes. What is not known is None and never passes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Way = Literal["rdma", "tcp"]  # ib_write_bw, or iperf3 where there is no RDMA device
Metric = Literal["bandwidth", "latency"]
Load = Literal[
    "alone", "together", "both-ways"
]  # one half; all halves of the link at once; both directions of one
State = Literal["healthy", "degraded", "failed", "unknown"]
WORST_FIRST: tuple[State, ...] = ("failed", "unknown", "degraded", "healthy")


@dataclass(frozen=True, order=True)
class End:
    """One half of a port, as a test uses it."""

    host: str
    netdev: str
    address: str  # IPv4, without prefix
    rdma: str | None = None  # device; None: this half has none


@dataclass(frozen=True, order=True)
class Lane:
    """Two ends of one half of one link: data flows from client to server."""

    link: str  # the link's name, as network.cabling names it: "spark-1.p1~spark-2.p1"
    half: int  # 0 or 1
    client: End
    server: End

    @property
    def hosts(self) -> tuple[str, str]:
        """Client, server."""
        return self.client.host, self.server.host

    @property
    def name(self) -> str:
        """Stable, in every run the same: 'spark-1.p1~spark-2.p1/h1/spark-1>spark-2'."""
        return f"{self.link}/h{self.half + 1}/{self.client.host}>{self.server.host}"

    @property
    def reversed(self) -> Lane:
        """The same cable half, data the other way."""
        return Lane(self.link, self.half, self.server, self.client)


@dataclass(frozen=True)
class Effort:
    """How hard a test tries; what the command line may say."""

    seconds: int = 5  # of one bandwidth test
    bytes: int = 65_536  # message size
    qps: int = 4  # queue pairs (streams for TCP)
    alone: bool = True  # each half by itself, too
    both_ways: bool = True
    together: bool = True
    latency: bool = True


@dataclass(frozen=True)
class Test:
    """One run of one tool between two hosts. Tests of one `group` run at the same time (all halves together)."""

    __test__ = False  # pytest takes every Test… for one of its own

    lane: Lane
    way: Way
    metric: Metric
    load: Load
    effort: Effort
    port: int  # TCP port of the exchange: 18515, 18516 for the second half
    group: str = ""  # tests with the same one start together; "": by itself

    @property
    def id(self) -> str:
        return f"{self.lane.name}/{self.metric}/{self.load}"


@dataclass(frozen=True)
class Said:
    """What a tool left: its exit code, or None if it was killed or nobody knows; and what was run, where known."""

    rc: int | None
    out: str
    err: str = ""
    argv: tuple[str, ...] = ()


NOTHING = Said(None, "", "")


@dataclass(frozen=True)
class Failure:
    """Why a tool measured nothing. `kind` is a key of knowledge/rdma.yaml (`failures:`)."""

    kind: str
    said: str = ""  # the tool's own line


@dataclass(frozen=True)
class Measured:
    """What one test gave. With a failure there is no number; a number never stands without proof that data moved."""

    test: str  # Test.id
    gbps: float | None = None  # average, never the peak; both-ways: the sum of both directions
    latency_us: float | None = None  # average
    iterations: int | None = None
    claimed_bytes: int | None = None  # what the tool says that it moved, at least; each way
    moved: Mapping[str, int | None] = field(
        default_factory=dict
    )  # host → bytes by that end's counters; None: unknown
    errors: Mapping[str, int] = field(
        default_factory=dict
    )  # "spark-1 out_of_sequence" → by how much it went up
    failure: Failure | None = None
    tool: str = ""  # "iperf3 3.12"; perftest's rows have no version: "ib_write_bw"
    mtu: int | None = None  # RoCE MTU that the tool says it used


@dataclass(frozen=True)
class Expected:
    """What a lane (or all of a link's halves together) should give, and why."""

    gbps: float | None  # None: not known, so nothing passes
    why: str = ""  # "min(link 200, PCIe x4 126) × 0.85, kind dgx-spark: 90"
    healthy_gbps: float | None = None  # at and above this: healthy
    failed_gbps: float | None = None  # below this: failed; between them: degraded


@dataclass(frozen=True)
class Reason:
    """A cause with what to do, from knowledge/rdma.yaml."""

    name: str  # key of the entry
    cause: str
    remedy: str
    evidence: str = ""  # the number or line that says so


@dataclass(frozen=True)
class LaneVerdict:
    lane: Lane
    way: Way
    load: Load
    state: State
    measured: Measured | None
    expected: Expected
    reasons: tuple[Reason, ...] = ()


@dataclass(frozen=True)
class LinkVerdict:
    """One link between two hosts: all its halves, both directions, together."""

    link: str
    hosts: tuple[str, str]
    state: State  # the worst of what it is made of
    way: Way
    gbps: float | None  # together, or the sum where only one half exists; the weaker direction
    expected: Expected
    lanes: tuple[LaneVerdict, ...]
    latency_us: float | None = None
    reasons: tuple[Reason, ...] = ()

    @property
    def name(self) -> str:
        """Of this link alone, in every run the same: a switch's cable is one link for each pair of hosts."""
        if all(f"{host}." in self.link for host in self.hosts):
            return self.link
        return f"{self.link}/{'+'.join(sorted(self.hosts))}"


@dataclass(frozen=True)
class Fingerprint:
    """What a measurement stands on: when any of it differs, an old verdict no longer holds."""

    parts: Mapping[
        str, str
    ]  # "spark-1 firmware" → "28.45.4028"; firmware, driver, kernel, MTU, cable, tool version

    def differences(self, other: Fingerprint) -> tuple[str, ...]:
        """What differs, for people: 'spark-1 kernel: 6.11 → 6.14'."""
        names = sorted(self.parts.keys() | other.parts.keys())
        told = ((one, self.parts.get(one, "none"), other.parts.get(one, "none")) for one in names)
        return tuple(f"{one}: {a} → {b}" for one, a, b in told if a != b)


@dataclass(frozen=True)
class FabricVerdict:
    """All links of one run."""

    at: float  # seconds since the epoch
    run: str
    links: tuple[LinkVerdict, ...]
    fingerprint: Fingerprint
    notes: tuple[str, ...] = ()  # "no RDMA; TCP measured"

    @property
    def state(self) -> State:
        """The worst link's; nothing measured is unknown."""
        states = {one.state for one in self.links}
        return next((one for one in WORST_FIRST if one in states), "unknown")
