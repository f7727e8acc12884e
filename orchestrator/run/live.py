"""A run on a terminal: a tree that moves while it goes on, and a summary that stays."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from rich.console import Console, ConsoleOptions, Group, RenderResult
from rich.live import Live

from orchestrator.contracts import Event
from orchestrator.run.events import Kind
from orchestrator.run.frame import Frame, glyphs_for
from orchestrator.run.layout import Layout
from orchestrator.run.record import Record
from orchestrator.run.summary import summary

REFRESH_HZ = 8


class LiveObserver:
    """Draws into `console`, which is a terminal, from the first event to run-done or close()."""

    def __init__(self, console: Console, clock: Callable[[], float] = time.time) -> None:
        self._console = console
        self._clock = clock
        self._record = Record()
        self._lock = threading.Lock()
        self._glyphs = glyphs_for(console.encoding)
        self._layout: Layout | None = None
        self._seen = (0, 0)
        self._live = Live(self, console=console, refresh_per_second=REFRESH_HZ, transient=True)

    def on(self, event: Event) -> None:
        with self._lock:
            self._record.add(event)
        if event.kind == Kind.RUN_DONE:
            self._finish()
        elif self._record.dry and self._record.plans:
            self._live.stop()  # the plan itself is printed by who asked for it
        elif not self._live.is_started and self._record.outcome == "":
            self._live.start(refresh=True)

    def close(self) -> None:
        """Give the terminal back, whatever has happened."""
        self._live.stop()

    def _finish(self) -> None:
        self._live.stop()
        frame = self._frame(self._record.at, self._console.width)
        stages = [] if self._record.dry else frame.final()
        for line in (*stages, *summary(self._record)):
            self._console.print(line, soft_wrap=True)

    def _frame(self, now: float, width: int) -> Frame:
        seen = (self._record.plans, len(self._record.steps))
        if self._layout is None or seen != self._seen:
            self._seen, self._layout = seen, Layout(self._record)
        return Frame(self._record, now, width, self._glyphs, self._layout)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        width, height = console.size
        with self._lock:
            lines = self._frame(self._clock(), width).lines(height - 1)
        yield Group(*lines)
