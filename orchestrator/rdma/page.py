"""A fabric's verdict as one HTML page that needs nothing else: to be kept, sent and printed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from jinja2 import Environment, StrictUndefined, Template

from orchestrator.data import read_template
from orchestrator.network.cabling import natural
from orchestrator.rdma.answers import (
    WORST_FIRST,
    FabricVerdict,
    Fingerprint,
    LaneVerdict,
    LinkVerdict,
    Reason,
    State,
)
from orchestrator.rdma.chart import Chart, chart
from orchestrator.rdma.flow import Flow, flows, grid, is_latency, share, worst_first
from orchestrator.rdma.past import Past
from orchestrator.rdma.words import (
    at_most,
    day,
    enough,
    failed_because,
    headline,
    no_cause,
    number,
    percent,
    reasons,
    test_title,
    unexplained,
)
from orchestrator.tidy import printable

TEMPLATE = "rdma/report.html.j2"
HOSTS = 48  # of the heat map; of more, those with the worst links
DETAILS = 200  # links that are told one by one; of more, the worst
FOLD = 12  # of more links, the healthy ones open at a click
STEPS = (0.25, 0.5, 0.75, 0.9)  # of what is expected: where the colour changes


@dataclass(frozen=True)
class Heat:
    """A cell of the heat map."""

    kind: str  # self, none, or flow
    colour: str = ""  # h0 … h4: its share of what is expected; hx: not known
    state: State = "unknown"
    number: str = ""
    share: str = ""
    more: str = ""
    title: str = ""
    anchor: str = ""


@dataclass(frozen=True)
class Row:
    """A test of a link."""

    half: int
    path: str
    kind: str
    number: str
    unit: str
    needs: str
    share: str
    state: State
    proof: str
    tool: str
    why: str


@dataclass(frozen=True)
class Cause:
    reason: Reason
    where: tuple[str, ...]


@dataclass(frozen=True)
class Section:
    """A link with all that is known of it."""

    link: LinkVerdict
    anchor: str
    told: str
    flows: tuple[Flow, Flow]
    causes: tuple[Cause, ...]
    said: tuple[tuple[str, tuple[str, ...]], ...]
    no_cause: str
    rows: tuple[Row, ...]
    chart: Chart | None


@dataclass(frozen=True)
class Part:
    """A part of the fingerprint: value → the hosts that have it."""

    name: str
    values: tuple[tuple[str, tuple[str, ...]], ...]

    @property
    def differs(self) -> bool:
        return len(self.values) > 1


def page(
    verdict: FabricVerdict,
    pasts: Mapping[str, Sequence[Past]] | None = None,
    root: Path | None = None,
) -> str:
    """The page; `pasts`: LinkVerdict.name → its runs, oldest first. The user's own template wins."""
    ordered = worst_first(verdict)
    anchors = {link.name: f"link-{number + 1}" for number, link in enumerate(ordered)}
    matrix = grid(verdict.links)
    hosts = matrix.worst_hosts(HOSTS)
    kept = ordered[:DETAILS]
    return _template(read_template(TEMPLATE, root)).render(
        verdict=verdict,
        when=day(verdict.at),
        headline=headline(verdict),
        counts={one: sum(link.state == one for link in ordered) for one in reversed(WORST_FIRST)},
        hosts=hosts,
        folded=len(matrix.hosts) - len(hosts),
        heat=[[_heat(matrix.cells.get((a, b)), a, b, anchors) for b in hosts] for a in hosts],
        sections=[_section(link, anchors[link.name], pasts or {}) for link in kept],
        fold_at=_fold_at(kept),
        untold=len(ordered) - len(kept),
        parts=list(_parts(verdict.fingerprint, matrix.hosts)),
        hosts_total=len(matrix.hosts),
    )


@lru_cache(maxsize=4)
def _template(text: str) -> Template:
    made = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    made.filters.update(number=number, plain=printable)
    return made.from_string(text)


def _fold_at(links: Sequence[LinkVerdict]) -> int | None:
    """Where the healthy links begin, which are last; None where all are shown as they are."""
    bad = sum(link.state != "healthy" for link in links)
    return bad if len(links) > FOLD and bad < len(links) else None


def _heat(some: Sequence[Flow] | None, a: str, b: str, anchors: Mapping[str, str]) -> Heat:
    if a == b:
        return Heat("self")
    if not some:
        return Heat("none")
    flow = some[0]
    part = flow.share
    colour = "hx" if part is None else f"h{sum(part >= step for step in STEPS)}"
    needs = enough(flow.expected)
    return Heat(
        "flow",
        colour,
        flow.state,
        number(flow.gbps),
        percent(part),
        f"worst of {len(some)}" if len(some) > 1 else "",
        f"{a} → {b}: {number(flow.gbps)} Gb/s {flow.how}, {flow.state}, needs {needs}",
        anchors[flow.link.name],
    )


def _section(link: LinkVerdict, anchor: str, pasts: Mapping[str, Sequence[Past]]) -> Section:
    causes = tuple(
        Cause(reason, tuple(test_title(one) for one in lanes)) for reason, lanes in reasons(link)
    )
    return Section(
        link,
        anchor,
        at_most(link),
        flows(link),
        causes,
        tuple(
            (why, tuple(test_title(one) for one in lanes))
            for why, lanes in unexplained(link).items()
        ),
        no_cause(link) if link.state != "healthy" and not causes else "",
        tuple(_row(one) for one in link.lanes),
        chart(link.name, pasts.get(link.name, ())),
    )


def _row(one: LaneVerdict) -> Row:
    lane, measured = one.lane, one.measured
    latency = is_latency(one)
    arrow = "↔" if one.load == "both-ways" else "→"
    value = None if measured is None else measured.latency_us if latency else measured.gbps
    return Row(
        lane.half + 1,
        f"{lane.client.host} {arrow} {lane.server.host}",
        "latency" if latency else one.load.replace("-", " "),
        number(value),
        "µs" if latency else "Gb/s",
        "" if latency else enough(one.expected),
        "" if latency else percent(share(value, one.expected)),
        one.state,
        _proof(one),
        measured.tool if measured else "",
        failed_because(one),
    )


def _proof(one: LaneVerdict) -> str:
    """What moved, by both ends' own counters."""
    moved = one.measured.moved if one.measured else {}
    known = [f"{host} {_bytes(count)}" for host, count in moved.items()]
    worse = one.measured.errors if one.measured else {}
    return ", ".join([*known, *(f"{what} +{count}" for what, count in worse.items())])


def _bytes(count: int | None) -> str:
    return "?" if count is None else f"{count / 1e9:.1f} GB"


def _parts(fingerprint: Fingerprint, hosts: Sequence[str]) -> Iterator[Part]:
    """By part and value: what differs between hosts is seen at once."""
    found: dict[str, dict[str, list[str]]] = {}
    for key, value in fingerprint.parts.items():
        host, _, rest = key.partition(" ")
        known = host in hosts and bool(rest)
        values = found.setdefault(rest if known else key, {})
        values.setdefault(value, []).extend([host] if known else [])
    for name in sorted(found, key=natural):
        pairs = [(value, tuple(sorted(some, key=natural))) for value, some in found[name].items()]
        yield Part(name, tuple(sorted(pairs, key=lambda one: (-len(one[1]), one[0]))))
