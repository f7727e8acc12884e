"""A fabric's verdict for a terminal: a table of links, then what is wrong with each and what to do."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Sequence

import click
from rich.cells import cell_len

from orchestrator.rdma.answers import FabricVerdict, LaneVerdict, LinkVerdict, Reason
from orchestrator.rdma.flow import Flow, flows, gbps, rates, worst_first
from orchestrator.rdma.words import (
    COLOURS,
    UNKNOWN,
    at_most,
    enough,
    headline,
    many,
    no_cause,
    number,
    reasons,
    test_title,
    unexplained,
)
from orchestrator.table import Cell, table
from orchestrator.tidy import printable

WIDTH = 100
SAME = 2  # so many causes with the same remedy are told, the others counted
FEW = 12  # so many links are all in the table; of more, the healthy ones share a line
Told = tuple[Reason, tuple[LaneVerdict, ...]]  # a cause, and the tests that it was seen in
HEADER = ("STATE", "GB/S →", "← GB/S", "HALVES →", "← HALVES", "BOTH WAYS", "NEEDS", "µS")


def terminal(verdict: FabricVerdict, everything: bool = False, width: int = WIDTH) -> Iterator[str]:
    """Lines in colour; click takes the colours away where there is no terminal."""
    yield click.style(headline(verdict), bold=True, fg=COLOURS[verdict.state])
    for note in verdict.notes:
        yield from _note(note, width)
    links = worst_first(verdict)
    quiet = [] if everything or len(links) <= FEW else [x for x in links if x.state == "healthy"]
    shown = [one for one in links if one not in quiet]
    if shown:
        yield ""
        yield from _table(shown, width)
    if quiet:
        yield _folded(quiet)
    for link in links:
        if link.state != "healthy" or link.reasons:
            yield ""
            yield from _why(link, width)


def _note(note: str, width: int) -> Iterator[str]:
    """Something that one has to know before the numbers."""
    for line in _wrapped("NOTE: ", note, width):
        yield click.style(line, bold=True, fg="yellow")


def _table(links: Sequence[LinkVerdict], width: int) -> Iterator[str]:
    """One row a link; names that leave no room get lines of their own."""
    cells = [_row(link) for link in links]
    names = [printable(link.name) for link in links]
    columns = [(HEADER[place], [row[place] for row in cells]) for place in range(len(HEADER))]
    told = [(head, column) for head, column in columns if any(column)]  # nobody tested: no column
    aligned = [_right(head, column) for head, column in told]
    header = [head for head, _ in aligned]
    rows = list(zip(*(column for _, column in aligned), strict=True))
    full = [[name, *row] for name, row in zip(names, rows, strict=True)]
    lines = list(table(["LINK", *header], full))
    if max(cell_len(click.unstyle(line)) for line in lines) <= width:
        yield from lines
        return
    first, *rest = table(["", *header], [["", *row] for row in rows])
    yield first
    for name, line in zip(names, rest, strict=True):
        yield click.style(name, bold=True)
        yield line


def _row(link: LinkVerdict) -> list[Cell]:
    there, back = flows(link)
    both = [gbps(one) for host in link.hosts for one in rates(link, host, "both-ways").values()]
    known = [one for one in both if one is not None]
    return [
        (link.state, COLOURS[link.state]),
        _rate(there),
        _rate(back),
        _halves(link, there.source),
        _halves(link, back.source),
        "" if not both else number(min(known) if len(known) == len(both) else None),
        enough(link.expected),
        UNKNOWN if link.latency_us is None else f"{link.latency_us:.1f}",
    ]


def _rate(flow: Flow) -> Cell:
    told = number(flow.gbps)
    return told if flow.state == "healthy" else (told, COLOURS[flow.state])


def _halves(link: LinkVerdict, source: str) -> str:
    """Each half alone, or as it was beside the others where that is all: '98.2 97.9'."""
    found = rates(link, source, "alone") or rates(link, source, "together")
    return " ".join(number(gbps(found[half])) for half in sorted(found))


def _right(head: str, column: Sequence[Cell]) -> tuple[str, list[Cell]]:
    """Numbers stand under each other, words do not."""
    if head == "STATE":
        return head, list(column)
    width = max(len(head), _widest(column))
    return head.rjust(width), [
        one.rjust(width) if isinstance(one, str) else (one[0].rjust(width), one[1])
        for one in column
    ]


def _widest(cells: Iterable[Cell]) -> int:
    return max(cell_len(one if isinstance(one, str) else one[0]) for one in cells)


def _folded(links: Sequence[LinkVerdict]) -> str:
    found = sorted(one.gbps for one in links if one.gbps is not None)
    span = f", {found[0]:.1f} to {found[-1]:.1f} Gb/s" if found else ""
    return click.style(f"{many(len(links), 'healthy link')}{span}; -v shows each", dim=True)


def _why(link: LinkVerdict, width: int) -> Iterator[str]:
    """What is wrong with one link, where that was seen, and what to do."""
    state = click.style(link.state, fg=COLOURS[link.state])
    name, told = printable(link.name), f"{state}, {at_most(link)}"
    fits = cell_len(f"{name}  {click.unstyle(told)}") <= width
    yield click.style(name, bold=True) + (f"  {told}" if fits else "")
    if not fits:
        yield f"  {told}"
    causes = _alike(link)
    for some in causes.values():
        yield from _cause(some, width)
    for why, tests in unexplained(link).items():
        yield from _wrapped("  tool   ", why, width)
        yield from _wrapped("  where  ", _where(tests), width)
    if not causes and link.state != "healthy":
        yield from _wrapped("  cause  ", no_cause(link), width)


def _alike(link: LinkVerdict) -> dict[tuple[str, ...], list[Told]]:
    """Causes with one remedy together: a slow link is slow in each of its tests, and is so by other numbers."""
    found: dict[tuple[str, ...], list[Told]] = {}
    for reason, lanes in reasons(link):
        found.setdefault((reason.name, reason.remedy, reason.evidence), []).append((reason, lanes))
    return found


def _cause(told: Sequence[Told], width: int) -> Iterator[str]:
    for reason, _ in told[:SAME]:
        yield from _wrapped("  cause  ", reason.cause, width)
    if len(told) > SAME:
        yield f"         and {len(told) - SAME} more like it"
    reason = told[0][0]
    yield from _wrapped("  do     ", reason.remedy, width)
    if reason.evidence:
        yield from _wrapped("  seen   ", reason.evidence, width)
    if lanes := [lane for _, some in told for lane in some]:
        yield from _wrapped("  where  ", _where(lanes), width)


def _where(lanes: Sequence[LaneVerdict]) -> str:
    some = [test_title(one) for one in lanes]
    rest = len(some) - 3
    return "; ".join(some[:3]) + (f"; and {many(rest, 'more test')}" if rest > 0 else "")


def _wrapped(label: str, text: str, width: int) -> Iterator[str]:
    """A label and text beside it; what a host said can't move the cursor. Commands are never cut."""
    yield from textwrap.wrap(
        printable(text).replace("\n", " ") or UNKNOWN,
        width,
        initial_indent=label,
        subsequent_indent=" " * len(label),
        break_long_words=False,
        break_on_hyphens=False,
    )
