"""Who watches a run: the journal always, and one of three ways to show it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TextIO

from orchestrator.contracts import Observer
from orchestrator.run.events import Bus
from orchestrator.run.journal import Journal, new_run_id
from orchestrator.run.jsonl import JsonLines


def observer_for(json: bool, terminal: bool, stream: TextIO | None = None) -> Observer:
    """JSON lines, the live display, or plain lines; `stream` is stdout where not given."""
    out = stream or sys.stdout
    if json:
        return JsonLines(out)
    if terminal:
        from rich.console import Console

        from orchestrator.run.live import LiveObserver

        return LiveObserver(Console(file=out, highlight=False))
    from orchestrator.run.plain import PlainObserver  # rich takes a while to load

    return PlainObserver(out)


def open_bus(
    json: bool = False,
    redact: Callable[[str], str] = str,
    stream: TextIO | None = None,
) -> Bus:
    """A new run with its journal and display; use it as a context manager."""
    out = stream or sys.stdout
    run = new_run_id()
    observers = [observer_for(json, out.isatty(), out)]
    try:
        observers.insert(0, Journal(run))
    except OSError as error:
        bus = Bus(run, observers, redact)
        bus.note(f"this run is not recorded: {error}", severity="warning")
        return bus
    return Bus(run, observers, redact)
