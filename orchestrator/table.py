"""Columns for people: aligned by what is in them, never cut, no lines to get into a pipe's way."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from itertools import zip_longest

import click
from rich.cells import cell_len

Cell = str | tuple[str, str]  # text, or text and its colour


def table(
    header: Sequence[str],
    rows: Sequence[Sequence[Cell]],
    gap: int = 2,
    width: int | None = None,
) -> Iterator[str]:
    """The lines of a table; the last column is not padded. Within `width`, cells are wrapped between words."""
    styled = [[cell if isinstance(cell, tuple) else (cell, "") for cell in row] for row in rows]
    texts = [[row[number][0] for row in styled] for number in range(len(header))]
    widths = [
        max([cell_len(name), *map(cell_len, column)])
        for name, column in zip(header, texts, strict=True)
    ]
    if width is not None:
        widths = _fitted(widths, _narrowest(header, texts), width - gap * (len(header) - 1))
    yield click.style(_line([(name, "") for name in header], widths, gap), dim=True)
    for row in styled:
        cells = [
            [(line, colour) for line in _wrapped(text, widths[number])]
            for number, (text, colour) in enumerate(row)
        ]
        for lines in zip_longest(*cells, fillvalue=("", "")):
            yield _line(lines, widths, gap)


def _narrowest(header: Sequence[str], texts: Sequence[Sequence[str]]) -> list[int]:
    """What each column can't go below: its longest word."""
    return [
        max([cell_len(name), *(cell_len(word) for text in column for word in text.split())])
        for name, column in zip(header, texts, strict=True)
    ]


def _fitted(widths: list[int], least: list[int], room: int) -> list[int]:
    """The widest columns made narrower until all fit, or as they are where words leave no room for that."""
    if sum(widths) <= room or sum(least) > room:
        return widths
    fitted = list(widths)
    while sum(fitted) > room:
        free = [number for number in range(len(fitted)) if fitted[number] > least[number]]
        fitted[max(free, key=lambda number: fitted[number])] -= 1
    return fitted


def _wrapped(text: str, width: int) -> list[str]:
    if cell_len(text) <= width:
        return [text]
    return textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False)


def _line(row: Sequence[tuple[str, str]], widths: Sequence[int], gap: int) -> str:
    cells = []
    for number, (text, colour) in enumerate(row):
        pad = " " * (widths[number] - cell_len(text)) if number < len(row) - 1 else ""
        cells.append((click.style(text, fg=colour) if colour else text) + pad)
    return (" " * gap).join(cells).rstrip()
