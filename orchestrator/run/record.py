"""A run as its events tell it so far: folded once, shown by display, summary and `orch runs`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from orchestrator.contracts import Event
from orchestrator.run.events import Kind, redact_all
from orchestrator.tidy import printable, tidy

State = Literal[
    "pending",
    "waiting",
    "running",
    "changed",
    "unchanged",
    "failed",
    "refused",
    "skipped",
    "pruned",
]
ENDED: frozenset[State] = frozenset(
    ("changed", "unchanged", "failed", "refused", "skipped", "pruned")
)


@dataclass
class StepRecord:
    """One step: what the plan said of it, and what became of it."""

    id: str
    role: str = "change"
    host: str | None = None
    scope: str | None = None
    stage: str = ""
    needs: tuple[str, ...] = ()
    state: State = "pending"
    summary: str = ""  # what it would do, or does
    why: str = ""  # why it waits, failed or was skipped
    log: str = ""  # last line seen
    hint: str = ""
    error: str = ""  # class of the error
    evidence: str = ""
    because: tuple[str, ...] = ()
    attempts: int = 1
    started: float | None = None
    ended: float | None = None

    @property
    def seconds(self) -> float | None:
        """How long it took; None where it was never started or has not ended."""
        if self.started is None or self.ended is None:
            return None
        return max(0.0, self.ended - self.started)

    @property
    def word(self) -> str:
        """The state of a step that is over, for a person: a wait is ready, not unchanged."""
        if self.state == "unchanged":
            return {"wait": "ready", "gate": "passed"}.get(self.role, "as it should be")
        return self.state

    @property
    def label(self) -> str:
        """A short name within its stage: what its id says beyond stage and deployment, and where."""
        parts = [part for part in self.id.split("/") if part not in (self.scope, self.stage)]
        if self.host and self.host not in parts:
            parts = ["/".join(parts), self.host] if parts else [self.host]
            return " ".join(parts)
        return "/".join(parts) or self.scope or self.id


@dataclass
class Record:
    """The fold. `add` each event in order; everything else is derived or a plain field."""

    run: str = ""
    verb: str = ""
    cluster: str = ""
    dry: bool = False  # it ends with its plan
    started: float | None = None
    ended: float | None = None
    at: float = 0.0  # time of the last event
    steps: dict[str, StepRecord] = field(default_factory=dict)
    plans: int = 0  # how many plans were told
    notes: list[Event] = field(default_factory=list)
    leases: dict[str, str] = field(default_factory=dict)  # host → last action
    outcome: str = ""  # "" while it runs
    exit_code: int | None = None
    text: str = ""
    hint: str = ""
    evidence: str = ""
    served: list[Mapping[str, Any]] = field(default_factory=list)
    running: list[Mapping[str, Any]] = field(default_factory=list)
    then: list[str] = field(default_factory=list)

    def add(self, event: Event) -> None:
        event = replace(event, text=printable(event.text))
        self.run = self.run or event.run
        self.started = event.at if self.started is None else self.started
        self.at = max(self.at, event.at)
        if event.kind == Kind.RUN_STARTED:
            self.verb = str(event.data.get("verb", ""))
            self.cluster = str(event.data.get("cluster", ""))
            self.dry = bool(event.data.get("dry_run"))
        elif event.kind == Kind.PLAN:
            self._plan(event.data.get("steps", ()))
        elif event.kind == Kind.NOTE:
            self.notes.append(event)
        elif event.kind == Kind.LEASE:
            self.leases[event.host or ""] = event.text
        elif event.kind == Kind.RUN_DONE:
            self._end(event)
        elif event.step is not None:
            self._step(event)

    def with_state(self, *states: State) -> list[StepRecord]:
        return [step for step in self.steps.values() if step.state in states]

    @property
    def title(self) -> str:
        """What was typed, or the run's id where nobody knows."""
        words = (self.verb, self.cluster, "--dry-run" if self.dry else "")
        return " ".join(word for word in words if word) or self.run or "?"

    @property
    def failures(self) -> list[StepRecord]:
        return self.with_state("failed", "refused")

    def blamed(self) -> dict[str, list[StepRecord]]:
        """Failed step → all steps that were skipped for it, through others or not."""
        roots: dict[str, set[str]] = {step.id: {step.id} for step in self.failures}
        found: dict[str, list[StepRecord]] = {name: [] for name in roots}
        for step in self.with_state("skipped"):  # in topological order
            mine = set().union(*(roots.get(name, ()) for name in step.because))
            roots[step.id] = mine
            for name in mine:
                found[name].append(step)
        return found

    @property
    def hosts(self) -> list[str]:
        return list(dict.fromkeys(step.host for step in self.steps.values() if step.host))

    @property
    def seconds(self) -> float:
        """From the first event to the last one seen."""
        return 0.0 if self.started is None else max(0.0, (self.ended or self.at) - self.started)

    def counts(self) -> dict[State, int]:
        found: dict[State, int] = {}
        for step in self.steps.values():
            found[step.state] = found.get(step.state, 0) + 1
        return found

    def _plan(self, planned: Iterable[Mapping[str, Any]]) -> None:
        """Take over a plan; steps that have moved already keep what they are."""
        self.plans += 1
        for item in planned:
            name = str(item["id"])
            known = self.steps.get(name)
            if known is not None and known.started is not None:
                continue
            self.steps[name] = StepRecord(
                name,
                role=str(item.get("role", "change")),
                host=_word(item.get("host")),
                scope=_word(item.get("scope")),
                stage=str(item.get("stage", "")),
                needs=tuple(map(str, item.get("needs", ()))),
                state=_planned_state(item),
                summary=str(item.get("change") or ""),
                why=str(item.get("problem") or ""),
            )

    def _step(self, event: Event) -> None:
        name = str(event.step)
        step = self.steps.setdefault(name, StepRecord(name, host=event.host))
        fold = _FOLDS.get(event.kind)
        if fold is not None:
            fold(step, event)

    def _end(self, event: Event) -> None:
        data = redact_all(event.data, printable)
        self.ended = event.at
        self.text = event.text
        self.outcome = str(data.get("outcome", "failed"))
        self.exit_code = data.get("exit_code")
        self.hint = str(data.get("hint", ""))
        self.evidence = str(data.get("evidence", ""))
        self.served = list(data.get("served", ()))
        self.running = list(data.get("running", ()))
        self.then = list(data.get("then", ()))


def _word(value: Any) -> str | None:
    return None if value is None else str(value)


def _planned_state(item: Mapping[str, Any]) -> State:
    if item.get("pruned"):
        return "pruned"
    settled = item.get("change") is None and item.get("problem") is None
    if settled and not item.get("provisional"):
        return "unchanged"
    return "pending"


def _waiting(step: StepRecord, event: Event) -> None:
    step.state = "waiting"
    step.why = event.text


def _started(step: StepRecord, event: Event) -> None:
    step.state, step.started, step.ended = "running", event.at, None
    step.summary = event.text or step.summary
    step.why = ""


def _progress(step: StepRecord, event: Event) -> None:
    step.summary = event.text or step.summary
    step.why = ""


def _log(step: StepRecord, event: Event) -> None:
    rank = str(event.data.get("rank", ""))
    said = tidy(event.text)
    step.log = f"{rank}: {said}" if rank and rank != step.host else said


def _retry(step: StepRecord, event: Event) -> None:
    step.attempts = int(event.data.get("attempt", step.attempts)) + 1
    step.why = f"attempt {step.attempts}: {event.text}"


def _done(step: StepRecord, event: Event) -> None:
    changed = event.data.get("changed", event.text == "changed")
    step.state = "changed" if changed else "unchanged"
    step.ended, step.why = event.at, ""


def _failed(step: StepRecord, event: Event) -> None:
    refused = event.kind == Kind.GATE_REFUSED or event.data.get("error") == "Refused"
    step.state = "refused" if refused else "failed"
    step.ended, step.why = event.at, event.text
    step.error = str(event.data.get("error", ""))
    step.hint = printable(str(event.data.get("hint", "")))
    step.evidence = str(event.data.get("evidence", ""))


def _skipped(step: StepRecord, event: Event) -> None:
    needed = event.data.get("needed", True)
    step.state, step.why = ("skipped" if needed else "pruned"), event.text
    step.because = tuple(map(str, event.data.get("because", ())))


_FOLDS: Mapping[str, Callable[[StepRecord, Event], None]] = {
    Kind.STEP_WAITING: _waiting,
    Kind.STEP_STARTED: _started,
    Kind.STEP_PROGRESS: _progress,
    Kind.STEP_LOG: _log,
    Kind.STEP_RETRY: _retry,
    Kind.STEP_DONE: _done,
    Kind.STEP_FAILED: _failed,
    Kind.GATE_REFUSED: _failed,
    Kind.STEP_SKIPPED: _skipped,
}


def fold(events: Iterable[Event]) -> Record:
    """All events of a run, in order, as one record."""
    record = Record()
    for event in events:
        record.add(event)
    return record


@dataclass(frozen=True)
class Hop:
    """One step of the critical path; `idle` is the time between what it needed and its start."""

    step: StepRecord
    idle: float
    seconds: float  # so far, where it goes on


def critical_path(record: Record) -> list[Hop]:
    """The chain of steps that ended last: what to make faster if the run shall be faster."""
    timed = {
        step.id: step
        for step in record.steps.values()
        if step.started is not None and not (step.stage == "down" and record.verb != "down")
    }  # what is stopped again after a failure comes last, and is not why it took so long
    if not timed:
        return []

    def _end_of(step: StepRecord) -> float:
        return record.at if step.ended is None else step.ended  # it goes on

    chain: list[StepRecord] = []
    last: StepRecord | None = max(timed.values(), key=_end_of)
    while last is not None:
        chain.append(last)
        before = _timed_needs(last, record, timed) - {step.id for step in chain}
        last = max((timed[name] for name in before), key=_end_of, default=None)
    chain.reverse()
    begin = record.started or 0.0
    hops = []
    for step in chain:
        started = begin if step.started is None else step.started
        hops.append(Hop(step, max(0.0, started - begin), max(0.0, _end_of(step) - started)))
        begin = _end_of(step)
    return hops


def _timed_needs(step: StepRecord, record: Record, timed: Mapping[str, StepRecord]) -> set[str]:
    """Nearest ancestors with times: steps that had nothing to do are passed through."""
    found: set[str] = set()
    seen: set[str] = set()
    ahead = list(step.needs)
    while ahead:
        name = ahead.pop()
        if name in seen:
            continue
        seen.add(name)
        if name in timed:
            found.add(name)
        elif name in record.steps:
            ahead.extend(record.steps[name].needs)
    return found


def span(seconds: float) -> str:
    """A duration as people read it: 0.4s, 42s, 3:12, 1:02:03."""
    if seconds < 9.95:
        return f"{seconds:.1f}s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
