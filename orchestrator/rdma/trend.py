"""Links' pasts as text, for `orch verify-rdma --history`: a line of bars, then the runs and what was changed."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence

import click

from orchestrator.rdma.past import Past, changes, slower
from orchestrator.rdma.words import COLOURS, day, many, number
from orchestrator.table import Cell, table
from orchestrator.tidy import printable

BARS = "▁▂▃▄▅▆▇█"
RUNS = 10  # shown one by one, the newest; the bars show them all
BROKEN, DARK = "×", "?"  # failed without a number; not known


def history(pasts: Mapping[str, Sequence[Past]], width: int = 100) -> Iterator[str]:
    """Each link's past, oldest run first in each."""
    if not any(pasts.values()):
        yield "no runs yet: `orch verify-rdma` measures and remembers"
    for place, (name, points) in enumerate(pasts.items()):
        if place:
            yield ""
        yield from trend(name, points, width)


def trend(name: str, points: Sequence[Past], width: int = 100) -> Iterator[str]:
    """One link."""
    yield click.style(printable(name), bold=True)
    if not points:
        yield "  no runs yet"
        return
    shown = points[-(width - 4) :]
    yield f"  {bars(shown)}"
    yield click.style(f"  {_scale(points)}", dim=True)
    fallen = slower(points)
    if fallen is not None:
        text = f"SLOWER since {day(fallen.since.at)}: {fallen.told}"
        for line in _wrapped(printable(text), width):
            yield click.style(line, fg="yellow", bold=True)
    yield from _runs(points, width)


def bars(points: Sequence[Past]) -> str:
    """A character a run, against the most that was expected or measured."""
    known = [one.gbps for one in points if one.gbps is not None]
    most = max([*known, *(one.expected_gbps or 0.0 for one in points)], default=0.0)
    return "".join(_bar(one, most) for one in points)


def _bar(one: Past, most: float) -> str:
    if one.gbps is None:
        return BROKEN if one.state == "failed" else DARK
    step = int(one.gbps / most * len(BARS)) if most > 0 else 0
    return BARS[max(0, min(step, len(BARS) - 1))]


def _scale(points: Sequence[Past]) -> str:
    known = [one.gbps for one in points if one.gbps is not None]
    span = f"{min(known):.1f} to {max(known):.1f} Gb/s" if known else "no number yet"
    expected = points[-1].expected_gbps
    of = f", {expected:.1f} expected" if expected is not None else ""
    return f"{many(len(points), 'run')} since {day(points[0].at)}: {span}{of}"


def _runs(points: Sequence[Past], width: int) -> Iterator[str]:
    """The newest runs, newest first, each with what was changed since the one before."""
    newest = list(zip(points, changes(points), strict=True))[: -RUNS - 1 : -1]
    rows: list[list[Cell]] = [
        [
            f"  {day(one.at)}",
            (one.state, COLOURS[one.state]),
            number(one.gbps).rjust(5),
            number(one.latency_us).rjust(5),
            one.way,
        ]
        for one, _ in newest
    ]
    first, *lines = table(("  WHEN", "STATE", " GB/S", "   µS", "BY"), rows)
    yield first
    for line, (_, changed) in zip(lines, newest, strict=True):
        yield line
        for what in changed:
            yield from _wrapped(f"  changed: {printable(what)}", width)


def _wrapped(text: str, width: int) -> list[str]:
    return textwrap.wrap(
        text,
        width,
        initial_indent="  ",
        subsequent_indent="      ",
        break_long_words=False,
        break_on_hyphens=False,
    )
