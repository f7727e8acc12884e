"""Columns for people: aligned by what is in them, never cut, no lines to get into a pipe's way."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import click
from rich.cells import cell_len

Cell = str | tuple[str, str]  # text, or text and its colour


def table(header: Sequence[str], rows: Sequence[Sequence[Cell]], gap: int = 2) -> Iterator[str]:
    """The lines of a table; the last column is not padded."""
    styled = [[cell if isinstance(cell, tuple) else (cell, "") for cell in row] for row in rows]
    widths = [
        max([cell_len(name), *(cell_len(row[number][0]) for row in styled)])
        for number, name in enumerate(header)
    ]
    yield click.style(_line([(name, "") for name in header], widths, gap), dim=True)
    for row in styled:
        yield _line(row, widths, gap)


def _line(row: Sequence[tuple[str, str]], widths: Sequence[int], gap: int) -> str:
    cells = []
    for number, (text, colour) in enumerate(row):
        pad = " " * (widths[number] - cell_len(text)) if number < len(row) - 1 else ""
        cells.append((click.style(text, fg=colour) if colour else text) + pad)
    return (" " * gap).join(cells).rstrip()
