"""Host by host: what each sends to each, as a grid that a terminal can show; of many hosts, a line a host."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

import click
from rich.cells import cell_len

from orchestrator.rdma.answers import WORST_FIRST, FabricVerdict
from orchestrator.rdma.flow import Flow, Grid, grid
from orchestrator.rdma.words import COLOURS, many, number
from orchestrator.table import Cell, table
from orchestrator.tidy import printable

MOST = 16  # hosts of a grid
FINE = 20  # Gb/s; below that the digit after the point matters
MARKS = {"healthy": "", "degraded": "d", "failed": "F", "unknown": "u"}
LEGEND = "Gb/s from the host of the row to that of the column; F failed, d degraded, u unknown"


def matrix(verdict: FabricVerdict, width: int = 100) -> Iterator[str]:
    """A grid where hosts are few, else the worst hosts with how their links are."""
    found = grid(verdict.links)
    if len(found.hosts) > MOST:
        yield from _by_host(found)
        return
    if found.hosts:
        yield from _grid(found, width)


def _grid(found: Grid, width: int) -> Iterator[str]:
    """Columns have the hosts' names where these fit, else the numbers of the rows."""
    names = [printable(host) for host in found.hosts]
    bodies = [
        [_cell(found.cells.get((source, target)), source == target) for target in found.hosts]
        for source in found.hosts
    ]
    cell = max(len(_text(one)) for row in bodies for one in row)
    named = (
        max(map(cell_len, names)) + sum(2 + max(cell, cell_len(name)) for name in names) <= width
    )
    heads = names if named else [f"→{index + 1}" for index in range(len(names))]
    rows = names if named else [f"{index + 1} {name}" for index, name in enumerate(names)]
    widths = [max(cell_len(head), cell) for head in heads]
    header = ["FROM \\ TO", *(head.rjust(w) for head, w in zip(heads, widths, strict=True))]
    padded = [
        [row, *(_padded(one, w) for one, w in zip(body, widths, strict=True))]
        for row, body in zip(rows, bodies, strict=True)
    ]
    fits = sum(2 + w for w in widths) + max(map(cell_len, rows)) <= width
    yield from table(header, padded, gap=2 if fits else 1)
    yield click.style(LEGEND, dim=True)


def _cell(flows: Sequence[Flow] | None, same: bool) -> Cell:
    if same or not flows:
        return "-" if same else "·"
    worst = flows[0]
    several = f"×{len(flows)}" if len(flows) > 1 else ""
    known = worst.gbps
    rate = f"{known:.0f}" if known is not None and known >= FINE else number(known)
    mark = MARKS[worst.state]
    return f"{rate}{mark}{several}", COLOURS[worst.state]


def _text(cell: Cell) -> str:
    return cell if isinstance(cell, str) else cell[0]


def _padded(cell: Cell, width: int) -> Cell:
    return cell.rjust(width) if isinstance(cell, str) else (cell[0].rjust(width), cell[1])


def _by_host(found: Grid) -> Iterator[str]:
    worst = found.worst_hosts(MOST)
    rows: list[list[Cell]] = []
    for host in worst:
        around = found.around(host)
        counts = Counter(flow.state for flow in around)
        told = ", ".join(f"{counts[one]} {one}" for one in WORST_FIRST if counts[one])
        last = around[0]
        slowest = f"{number(last.gbps)} {printable(last.source)} → {printable(last.target)}"
        rows.append([printable(host), (told, COLOURS[last.state]), slowest])
    yield from table(("HOST", "DIRECTIONS", "WORST, GB/S"), rows)
    rest = set(found.hosts) - set(worst)
    states = {flow.state for host in rest for flow in found.around(host)[:1]}
    how = (
        "all healthy"
        if states == {"healthy"}
        else "with " + ", ".join(one for one in WORST_FIRST if one in states) + " links"
    )
    yield click.style(f"and {many(len(rest), 'host')}, {how}", dim=True)
