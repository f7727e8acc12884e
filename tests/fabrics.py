"""Constructed verdicts of fabrics, for what shows and keeps them: nothing here was measured."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import combinations

from orchestrator.rdma.answers import (
    WORST_FIRST,
    End,
    Expected,
    FabricVerdict,
    Failure,
    Fingerprint,
    Lane,
    LaneVerdict,
    LinkVerdict,
    Load,
    Measured,
    Reason,
    State,
    Way,
)

DAY = 86_400.0
START = 1_767_268_800.0  # 2026-01-01 12:00 UTC
HALF = Expected(92.0, "kind dgx-spark: 92 for one half", 85.0, 40.0)
WHOLE = Expected(185.0, "min(link 200, PCIe x4 252) × 0.93, kind dgx-spark: 185", 175.0, 90.0)
SLOW = Reason(
    "power-cycle",
    "13 Gb/s whatever the queue pairs, with link and PCIe looking right: the adapter is stuck.",
    "Shut both hosts down, unplug their power for a minute, start them again: "
    "`sudo shutdown -h now`",
    "13.1 Gb/s, link 200 Gb/s, PCIe x4",
)


@dataclass(frozen=True)
class Rates:
    """What one direction of a Spark's cable gives."""

    halves: tuple[float | None, ...] = (98.2, 97.9)
    together: tuple[float | None, ...] = (93.2, 93.1)
    reasons: tuple[Reason, ...] = field(default=())
    failure: Failure | None = None


GOOD = Rates()
STUCK = Rates((13.1, 13.0), (6.6, 6.5), (SLOW,))
CUT = Rates(
    (None, None), (None, None), failure=Failure("refused", "Couldn't connect to 10.20.0.2:18515")
)


def end(host: str, half: int, port: str = "p1") -> End:
    number = port[-1]
    netdev = ("enp1s0f{0}np{0}", "enP2p1s0f{0}np{0}")[half].format(number)
    address = f"10.20.{half}.{sum(map(ord, host)) % 250 + 1}"
    return End(host, netdev, address, ("rocep1s0f", "roceP2p1s0f")[half] + number)


def lane(
    at: Lane, load: Load, rate: float | None, expected: Expected, rates: Rates, way: Way
) -> LaneVerdict:
    healthy, failed = expected.healthy_gbps or 0, expected.failed_gbps or 0
    state: State = "healthy"
    if rate is None or rate < failed:
        state = "failed"
    elif rate < healthy:
        state = "degraded"
    told = Measured(
        f"{at.name}/bandwidth/{load}",
        rate,
        iterations=None if rate is None else 1000,
        claimed_bytes=None if rate is None else int(rate * 5e9 / 8),
        moved={host: None if rate is None else int(rate * 5.1e9 / 8) for host in at.hosts},
        failure=rates.failure if rate is None else None,
        tool="ib_write_bw 6.06" if way == "rdma" else "iperf3 3.12",
    )
    return LaneVerdict(at, way, load, state, told, expected, rates.reasons)


def link(
    first: str,
    second: str,
    there: Rates = GOOD,
    back: Rates = GOOD,
    ports: tuple[str, str] = ("p1", "p0"),
    name: str = "",
    way: Way = "rdma",
    latency: float | None = 2.1,
) -> LinkVerdict:
    """A cable with two halves, both ways."""
    name = name or f"{first}.{ports[0]}~{second}.{ports[1]}"
    lanes = []
    share = Expected(92.0, HALF.why, 85.0, 5.0)
    ways = ((there, first, second, ports), (back, second, first, ports[::-1]))
    for rates, source, target, (a, b) in ways:
        for half in range(len(rates.halves)):
            at = Lane(name, half, end(source, half, a), end(target, half, b))
            lanes.append(lane(at, "alone", rates.halves[half], HALF, rates, way))
            lanes.append(lane(at, "together", rates.together[half], share, rates, way))
    sums = [_sum(rates.together) for rates in (there, back)]
    known = [one for one in sums if one is not None]
    weaker = min(known) if len(known) == 2 else None
    if latency is not None:
        at = lanes[0].lane
        told = Measured(f"{at.name}/latency/alone", latency_us=latency, tool="ib_write_lat 6.06")
        lanes.append(LaneVerdict(at, way, "alone", "healthy", told, HALF))
    states = {one.state for one in lanes}
    worst = next(one for one in WORST_FIRST if one in states)
    return LinkVerdict(name, (first, second), worst, way, weaker, WHOLE, tuple(lanes), latency)


def _sum(rates: tuple[float | None, ...]) -> float | None:
    known = [one for one in rates if one is not None]
    return sum(known) if len(known) == len(rates) else None


def fingerprint(*hosts: str, **parts: str) -> Fingerprint:
    told = {"kernel": "6.11", "firmware": "28.45.4028", "driver": "24.10", "mtu": "9000", **parts}
    return Fingerprint({f"{host} {key}": told[key] for host in hosts for key in told})


def fabric(
    *links: LinkVerdict, run: str = "20260101T120000-0001", at: float = START
) -> FabricVerdict:
    hosts = sorted({host for one in links for host in one.hosts})
    return FabricVerdict(at, run, links, fingerprint(*hosts))


def ring() -> FabricVerdict:
    """Of three: one cable good, one slow one way, one without a number."""
    run = fabric(
        link("spark-1", "spark-2"),
        link("spark-2", "spark-3", STUCK),
        link("spark-1", "spark-3", CUT, CUT, ports=("p0", "p1"), latency=None),
    )
    parts = {**run.fingerprint.parts, "spark-3 kernel": "6.14"}
    return replace(run, fingerprint=Fingerprint(parts))


def switch(count: int) -> FabricVerdict:
    """All pairs of so many hosts over one switch, all good."""
    hosts = [f"spark-{number + 1}" for number in range(count)]
    return fabric(
        *(link(a, b, name="s1:p1", ports=("p1", "p1")) for a, b in combinations(hosts, 2))
    )


def tcp() -> FabricVerdict:
    """A pair without RDMA devices."""
    rates = Rates((9.4,), (9.4,))
    one = link("tower", "shed", rates, rates, way="tcp", latency=None)
    expected = Expected(10.0, "link 10", 9.0, 5.0)
    lanes = tuple(replace(each, state="healthy", expected=expected) for each in one.lanes)
    one = replace(one, state="healthy", expected=expected, lanes=lanes)
    return replace(fabric(one), notes=("no RDMA; TCP measured",))


def unknown() -> FabricVerdict:
    """A link whose expectation nobody knows."""
    one = link("a", "b")
    nothing = Expected(None, "kind gpu-host says nothing of its ports")
    lanes = tuple(replace(each, state="unknown", expected=nothing) for each in one.lanes)
    return fabric(replace(one, state="unknown", expected=nothing, lanes=lanes))


def earlier(verdict: FabricVerdict, count: int = 12) -> list[FabricVerdict]:
    """So many runs before it, a day apart: all links good, then a kernel changes and one gets slow."""
    runs = []
    for number in range(count):
        links = tuple(
            link(*one.hosts, name=one.link, there=_worn(number, number % 3))
            if number < count - 4
            else one
            for one in verdict.links
        )
        run = fabric(*links, run=f"20251220T120000-{number:04x}", at=START - (count - number) * DAY)
        if number >= count - 4:
            run = replace(run, fingerprint=verdict.fingerprint)
        runs.append(run)
    return runs


def _worn(number: int, wobble: int) -> Rates:
    return Rates(together=(93.2 - 0.3 * wobble, 93.1 - 0.2 * (number % 2)))
