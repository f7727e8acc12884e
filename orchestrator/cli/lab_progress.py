"""How far a lab is, as it is shown: on a terminal a line that moves for each piece of work, else plain lines."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
from rich.console import Console
from rich.markup import escape
from rich.progress import Progress as Bars
from rich.progress import ProgressColumn, SpinnerColumn, Task, TaskID, TextColumn
from rich.text import Text

from orchestrator.lab.progress import Progress, last_line
from orchestrator.run.frame import FANCY, glyphs_for
from orchestrator.run.record import span
from orchestrator.tidy import printable


def shown_progress() -> Progress:
    """On stderr, so that stdout holds the result alone."""
    if not sys.stderr.isatty():
        return Progress(lambda text: click.echo(text, err=True))
    return LiveProgress(Console(stderr=True, highlight=False))


class LiveProgress(Progress):
    """What is being worked on moves, with the last words of its log; what is done stays as one line."""

    def __init__(self, console: Console) -> None:
        super().__init__(lambda text: console.print(escape(text), soft_wrap=True))
        glyphs = glyphs_for(console.encoding)
        self._icons = glyphs.icons
        self._bars = Bars(
            SpinnerColumn("dots" if glyphs is FANCY else "line"),
            TextColumn("{task.description}"),
            _Moving(),
            console=console,
            transient=True,
        )

    @contextmanager
    def timed(self, text: str, log: Path | None = None) -> Iterator[None]:
        """A line that moves, then how it ended and how long it took."""
        began = time.monotonic()
        with self._lock:
            task = self._bars.add_task(escape(text), total=None, log=log)
            self._bars.start()
        try:
            yield
        except BaseException:
            self._end(task, f"[red]{self._icons['failed']}[/] {escape(text)}", began)
            raise
        self._end(task, f"[green]{self._icons['changed']}[/] {escape(text)}", began)

    def _end(self, task: TaskID, said: str, began: float) -> None:
        with self._lock:
            self._bars.remove_task(task)
            if not self._bars.tasks:
                self._bars.stop()
            self._bars.console.print(f"{said}  [dim]{span(time.monotonic() - began)}[/]")


class _Moving(ProgressColumn):
    """For how long, and what the log said last."""

    max_refresh = 0.5

    def render(self, task: Task) -> Text:
        said = printable(last_line(task.fields["log"], keep=60))
        return Text(f"{span(task.elapsed or 0)}  {said}", style="dim")
