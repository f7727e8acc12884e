"""A run as lines, one for each event that matters: for pipes, CI and dumb terminals."""

from __future__ import annotations

from typing import TextIO

from rich.console import Console

from orchestrator.contracts import Event
from orchestrator.run.events import Kind
from orchestrator.run.record import Record, span
from orchestrator.run.summary import summary
from orchestrator.tidy import printable

QUIET = frozenset((Kind.STEP_WAITING, Kind.STEP_LOG, Kind.RUN_DONE))
WORDS = {
    Kind.STEP_STARTED: "started",
    Kind.STEP_RETRY: "again",
    Kind.STEP_FAILED: "FAILED",
    Kind.GATE_REFUSED: "REFUSED",
    Kind.STEP_SKIPPED: "skipped",
}
LOG = 120  # characters of a log line; `orch logs` has it all
PROGRESS_EVERY = 15.0  # seconds between two lines about the same step that goes on


class PlainObserver:
    """Writes to a stream; keeps quiet about steps that had nothing to do."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._record = Record()
        self._shown: dict[str, float] = {}

    def on(self, event: Event) -> None:
        self._record.add(event)
        line = self._line(event)
        if line is not None:
            elapsed = span(event.at - (self._record.started or event.at))
            self._stream.write(f"[{elapsed:>7}] {printable(line)}\n")
        if event.kind == Kind.RUN_DONE:
            self._summary()
        self._stream.flush()

    def _summary(self) -> None:
        console = Console(
            file=self._stream, no_color=True, highlight=False, force_terminal=False, width=10_000
        )
        for text in summary(self._record):
            console.print(text.plain, markup=False, soft_wrap=True)

    def _line(self, event: Event) -> str | None:
        if event.kind in QUIET:
            return None
        if event.step is None:
            return self._of_run(event)
        if event.kind == Kind.STEP_DONE:
            return self._done(event)
        if event.kind == Kind.STEP_PROGRESS:
            return self._progress(event)
        if event.kind == Kind.STEP_STARTED and not event.text:
            return None  # told when there is something to do
        if event.kind == Kind.STEP_SKIPPED and event.data.get("needed") is False:
            return None
        hint = event.data.get("hint")
        tail = f"{event.text} (hint: {hint})" if hint else event.text
        return f"{event.step}: {WORDS.get(Kind(event.kind), event.kind)}: {tail}"

    def _of_run(self, event: Event) -> str | None:
        if event.kind == Kind.LEASE:
            owner = event.data.get("owner")
            return f"{event.host}: lease {event.text}" + (f" ({owner})" if owner else "")
        if event.kind == Kind.NOTE and event.data.get("severity") == "warning":
            return f"warning: {event.text}"
        return f"{event.host}: {event.text}" if event.host else event.text

    def _done(self, event: Event) -> str | None:
        step = self._record.steps[str(event.step)]
        told = self._shown.pop(step.id, None) is not None
        if step.state == "unchanged" and not told:
            return None
        took = span(step.seconds) if step.seconds is not None else "no time"
        return f"{step.id}: {step.word}, {took}"

    def _progress(self, event: Event) -> str | None:
        """At most one line a step and PROGRESS_EVERY seconds."""
        name = str(event.step)
        last = self._shown.get(name)
        if last is not None and event.at - last < PROGRESS_EVERY:
            return None
        self._shown[name] = event.at
        step = self._record.steps[name]
        log = step.log if len(step.log) <= LOG else f"{step.log[: LOG - 1]}…"
        more = " · ".join(part for part in (step.summary, log) if part)
        return f"{name}: {more}" if more else None
