"""How a measurement is said: numbers with one digit, what is not known as what it is, states with their colours."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from orchestrator.rdma.answers import (
    WORST_FIRST,
    Expected,
    FabricVerdict,
    LaneVerdict,
    LinkVerdict,
    Reason,
    State,
)
from orchestrator.rdma.flow import flows, gbps, is_latency

COLOURS: dict[State, str] = {
    "healthy": "green",
    "degraded": "yellow",
    "failed": "red",
    "unknown": "magenta",
}
UNKNOWN = "?"


SMALL = 0.1  # below it a rate has two digits: an emulated machine's is not nothing


def number(value: float | None) -> str:
    """A rate or a time; what is not known is never 0."""
    if value is None:
        return UNKNOWN
    return f"{value:.2g}" if 0 < value < SMALL else f"{value:.1f}"


def percent(part: float | None) -> str:
    """Of what is expected."""
    return "" if part is None else f"{100 * part:.0f} %"


def enough(expected: Expected) -> str:
    """From where on it is healthy."""
    return UNKNOWN if expected.healthy_gbps is None else f"≥ {number(expected.healthy_gbps)}"


def day(at: float) -> str:
    """Local time, to the minute."""
    return f"{datetime.fromtimestamp(at):%Y-%m-%d %H:%M}"


def many(count: int, word: str) -> str:
    """'1 link', '2 links'."""
    return f"{count} {word}" if count == 1 else f"{count} {word}s"


def headline(verdict: FabricVerdict) -> str:
    """The run in one sentence: how many links are how."""
    if not verdict.links:
        return "unknown: no link was measured"
    counts = {one: sum(link.state == one for link in verdict.links) for one in WORST_FIRST}
    total = many(len(verdict.links), "link")
    if counts["healthy"] == len(verdict.links):
        return f"healthy: {'all ' if len(verdict.links) > 1 else ''}{total}"
    told = ", ".join(f"{count} {one}" for one, count in counts.items() if count)
    return f"{verdict.state}: {f'{told} of ' if len(verdict.links) > 1 else ''}{total}"


def at_most(link: LinkVerdict) -> str:
    """A link's number against what is expected: '13.1 of 190.0 Gb/s'."""
    if link.gbps is None:
        found = [one.gbps for one in flows(link) if one.gbps is not None]
        return f"one way {number(min(found))} Gb/s" if found else "no number"
    expected = link.expected.gbps
    whole = "an unknown expectation" if expected is None else f"{number(expected)} Gb/s"
    return f"{number(link.gbps)} of {whole}"


def test_title(one: LaneVerdict) -> str:
    """A test in words: 'half 1, spark-1 → spark-2, alone'."""
    lane = one.lane
    arrow = "↔" if one.load == "both-ways" else "→"
    kind = "latency" if is_latency(one) else one.load.replace("-", " ")
    return f"half {lane.half + 1}, {lane.client.host} {arrow} {lane.server.host}, {kind}"


def failed_because(one: LaneVerdict) -> str:
    """The tool's own word where there is no number."""
    failure = one.measured.failure if one.measured else None
    if failure is None:
        return "" if _has_number(one) else "nothing was measured"
    return f"{failure.kind}: {failure.said}" if failure.said else failure.kind


def _has_number(one: LaneVerdict) -> bool:
    if is_latency(one):
        return one.measured is not None and one.measured.latency_us is not None
    return gbps(one) is not None


def unexplained(link: LinkVerdict) -> dict[str, list[LaneVerdict]]:
    """What tools said for want of a number, with the tests, where no cause explains them."""
    found: dict[str, list[LaneVerdict]] = {}
    for lane in link.lanes:
        why = failed_because(lane)
        if why and not lane.reasons:
            found.setdefault(why, []).append(lane)
    return found


def no_cause(link: LinkVerdict) -> str:
    """What is said where nothing explains the state."""
    if link.expected.gbps is None:
        return f"it is not known what this link should give: {link.expected.why or 'no kind says'}"
    return "not known: nothing that orch knows of fits"


def reasons(link: LinkVerdict) -> Iterator[tuple[Reason, tuple[LaneVerdict, ...]]]:
    """Each cause once, those of the link first, with the tests that it was seen in (none: the whole link)."""
    seen: dict[tuple[str, str], tuple[Reason, list[LaneVerdict]]] = {}
    for reason in link.reasons:
        seen.setdefault((reason.name, reason.cause), (reason, []))
    whole = set(seen)
    for lane in link.lanes:
        for reason in lane.reasons:
            key = (reason.name, reason.cause)
            _, lanes = seen.setdefault(key, (reason, []))
            if key not in whole:
                lanes.append(lane)
    yield from ((reason, tuple(lanes)) for reason, lanes in seen.values())
