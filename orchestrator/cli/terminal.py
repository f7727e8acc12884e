"""What a terminal wants and a pipe does not: lines that fit it, and a sign of life while hosts are asked."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import click


def columns() -> int | None:
    """How wide the terminal is; None where stdout is none: a pipe gets whole lines."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def wrapped(text: str, width: int | None, hang: int = 2) -> str:
    """Prose in lines between words, the later ones indented by `hang`; colours take no room.

    Words, and so paths, are never cut. Not for commands: who copies one wants one line.
    """
    if width is None:
        return text
    from rich.cells import cell_len

    first, *words = text.split(" ")
    lines = [first]
    for word in words:
        longer = f"{lines[-1]} {word}"
        fits = cell_len(click.unstyle(longer)) <= width or not lines[-1].strip()
        lines[-1:] = [longer] if fits else [lines[-1], " " * hang + word]
    return "\n".join(lines)


@contextmanager
def waiting(text: str) -> Iterator[None]:
    """What is waited for and for how long, on stderr as long as it takes; nothing where that is no terminal."""
    if not sys.stderr.isatty():
        yield
        return
    from rich.console import Console  # a while to load
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn()
    console = Console(stderr=True, highlight=False)
    with Progress(*columns, console=console, transient=True) as shown:
        shown.add_task(text, total=None)
        yield
