"""What a terminal wants and a pipe does not: lines that fit it, and a sign of life while hosts are asked."""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager


def columns() -> int | None:
    """How wide the terminal is; None where stdout is none: a pipe gets whole lines."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def wrapped(text: str, width: int | None, hang: int = 2) -> str:
    """Text in lines between words, the later ones indented by `hang`. Words, and so paths, are never cut."""
    if width is None:
        return text
    return textwrap.fill(
        text,
        width,
        subsequent_indent=" " * hang,
        break_long_words=False,
        break_on_hyphens=False,
    )


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
