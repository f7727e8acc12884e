"""A link's own past: what it gave in earlier runs, when it got slower, and what was changed by then."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from statistics import median

from orchestrator.rdma.answers import FabricVerdict, Fingerprint, LinkVerdict, State, Way

DROP = (
    0.10  # slower by this part of its past is no noise: runs of one healthy link differ by 1 to 3 %
)
WINDOW = 20  # so many runs before are its past


@dataclass(frozen=True)
class Past:
    """One link in one run."""

    run: str
    at: float  # seconds since the epoch
    link: str  # LinkVerdict.name
    state: State
    way: Way
    gbps: float | None
    expected_gbps: float | None
    latency_us: float | None
    fingerprint: Fingerprint  # what of the run's concerns this link


@dataclass(frozen=True)
class Slower:
    """Since when a link gives less than it gave before."""

    since: Past  # the first run that was slower
    before: Past  # the run before that
    was_gbps: float  # median of its past
    now_gbps: float  # of the newest run
    changed: tuple[str, ...]  # 'spark-1 kernel: 6.11 → 6.14', between those two runs

    @property
    def told(self) -> str:
        """In one sentence, without the date."""
        rates = f"{self.now_gbps:.1f} Gb/s, {self.was_gbps:.1f} before"
        what = "; ".join(self.changed) or "nothing that the fingerprint knows of"
        return f"{rates}; changed then: {what}"


def past(verdict: FabricVerdict, link: LinkVerdict) -> Past:
    """What the history keeps of a link."""
    return Past(
        verdict.run,
        verdict.at,
        link.name,
        link.state,
        link.way,
        link.gbps,
        link.expected.gbps,
        link.latency_us,
        concerning(verdict, link),
    )


def concerning(verdict: FabricVerdict, link: LinkVerdict) -> Fingerprint:
    """The fingerprint without what other hosts and other links are alone in."""
    hosts = {host for one in verdict.links for host in one.hosts}
    links = {name for one in verdict.links for name in (one.link, one.name)}
    others = (hosts | links) - {*link.hosts, link.link, link.name}
    parts = verdict.fingerprint.parts
    return Fingerprint({key: parts[key] for key in parts if key.split(" ")[0] not in others})


def changes(points: Sequence[Past]) -> Iterator[tuple[str, ...]]:
    """For each run what differs from the run before it; the first has none."""
    for number, one in enumerate(points):
        yield points[number - 1].fingerprint.differences(one.fingerprint) if number else ()


def slower(points: Iterable[Past], drop: float = DROP) -> Slower | None:
    """When a link fell below its own past for good, oldest run first; None if it did not, or nobody knows."""
    every = list(points)
    if not every or every[-1].gbps is None:
        return None
    same = [one for one in every if one.way == every[-1].way]
    known = [(one, one.gbps) for one in same if one.gbps is not None]
    most = 0.0  # of what came since
    fallen = None
    for number in range(len(known) - 1, 0, -1):
        most = max(most, known[number][1])
        was = median(rate for _, rate in known[max(0, number - WINDOW) : number])
        if most < was * (1 - drop):
            fallen = number, was
    if fallen is None:
        return None
    number, was = fallen
    since, before = known[number][0], known[number - 1][0]
    changed = before.fingerprint.differences(since.fingerprint)
    return Slower(since, before, was, known[-1][1], changed)
