"""What happens in a run, told to every observer: the executor speaks to a Bus, never prints.

The JSON form is documented in docs/json.md and versioned by SCHEMA.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import Any

from orchestrator.contracts import Change, Event, Observer, Plan, Step
from orchestrator.errors import OrchError, Refused

END_OF_TIME = (
    253_402_214_400  # seconds since the epoch: the last day that a calendar has a name for
)
SCHEMA = 1  # raised when a field changes its meaning or goes; not when one is added


class Kind(StrEnum):
    """Every kind of event; the values stand in journals and in `--json`."""

    RUN_STARTED = "run-started"
    PLAN = "plan"
    STEP_WAITING = "step-waiting"
    STEP_STARTED = "step-started"
    STEP_PROGRESS = "step-progress"
    STEP_LOG = "step-log"
    STEP_RETRY = "step-retry"
    STEP_DONE = "step-done"
    STEP_FAILED = "step-failed"
    STEP_SKIPPED = "step-skipped"
    GATE_REFUSED = "gate-refused"
    LEASE = "lease"
    NOTE = "note"
    RUN_DONE = "run-done"


REPEATED = frozenset((Kind.STEP_WAITING, Kind.STEP_PROGRESS, Kind.STEP_LOG))

OUTCOMES = {
    0: "done",
    1: "failed",
    2: "files-wrong",
    3: "unreachable",
    4: "refused",
    5: "locked",
    130: "interrupted",
}


@dataclass(frozen=True)
class Served:
    """A deployment that answered, and how to ask it."""

    deployment: str
    url: str  # http://192.168.102.11:8000
    model: str
    path: str = "/v1/chat/completions"
    body: str = ""  # JSON to send; "": a chat message
    key: str = ""  # shell expression of the API key, as "$VLLM_API_KEY"; never the key
    answer: str = ""  # the start of what it said


@dataclass(frozen=True)
class Running:
    """A rank that is still up when a run ends badly."""

    deployment: str
    host: str
    name: str


def redact_all(value: Any, redact: Callable[[str], str]) -> Any:
    """The same value with each string, keys too, passed through `redact`; the rest as text."""
    if type(value) is str:  # nearly all of a plan
        return redact(value)
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, Mapping):
        return {redact(str(key)): redact_all(item, redact) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        items = sorted(value) if isinstance(value, set | frozenset) else value
        return [redact_all(item, redact) for item in items]
    return redact(str(value))


class Bus:
    """Hands each event, redacted, to all observers, in one order for all threads."""

    def __init__(
        self,
        run: str,
        observers: Iterable[Observer],
        redact: Callable[[str], str] = str,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.run = run
        self._observers = list(observers)
        self._redact = redact
        self._clock = clock
        self._lock = threading.RLock()
        self._broken: set[int] = set()
        self._said: dict[tuple[str, str | None], object] = {}

    def __enter__(self) -> Bus:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let observers that hold something (a file, the terminal) go of it."""
        with self._lock:  # a thread that was left behind shall not open the display again
            observers, self._observers = self._observers, []
        for observer in observers:
            close = getattr(observer, "close", None)
            if close is not None:
                with contextlib.suppress(Exception):  # the run is over; nobody is left to tell
                    close()

    def emit(self, kind: str, step: Step, text: str = "", **data: Any) -> None:
        """An event of a step. What a poll says twice in a row about a step is told once."""
        if kind in REPEATED:
            said = (text, data)
            with self._lock:
                if self._said.get((kind, step.id)) == said:
                    return
                self._said[kind, step.id] = said
        self.publish(kind, step=step.id, host=step.host, text=text, data=data)

    def announce(self, kind: str, data: Mapping[str, Any]) -> None:
        """An event of the run as a whole."""
        self.publish(kind, text=str(data.get("text", "")), data=data)

    def publish(
        self,
        kind: str,
        *,
        step: str | None = None,
        host: str | None = None,
        text: str = "",
        data: Mapping[str, Any] | None = None,
    ) -> None:
        """Deliver one event. Never raises because of an observer."""
        text, data = self._redact(text), redact_all(data or {}, self._redact)
        with self._lock:
            event = Event(self._clock(), self.run, kind, step, host, text, data)
            for observer in self._observers:
                self._deliver(observer, event)

    def _deliver(self, observer: Observer, event: Event) -> None:
        try:
            observer.on(event)
        except Exception as error:  # the promise of this class
            if id(observer) in self._broken:
                return
            self._broken.add(id(observer))
            self.note(
                f"{type(observer).__name__} is broken and may miss events: "
                f"{type(error).__name__}: {error}",
                severity="warning",
            )

    def run_started(self, verb: str, cluster: str, **data: Any) -> None:
        """First event of a run. Wanted in `data`: argv, files, version."""
        self.publish(
            Kind.RUN_STARTED,
            text=f"orch {verb} {cluster}".rstrip(),
            data={"schema": SCHEMA, "verb": verb, "cluster": cluster, **data},
        )

    def planned(self, plan: Plan, problems: Mapping[str, BaseException] | None = None) -> None:
        """The whole plan, with what is wrong already; again if it changed under the leases."""
        wrong = {name: _what(error) for name, error in (problems or {}).items()}
        steps = [_planned_step(step, plan, wrong.get(step.id)) for step in plan.steps.values()]
        changes = sum(1 for step in steps if step["change"] is not None)
        text = f"{changes} of {len(steps)} steps would change something"
        if plan.provisional:
            text += f", {len(plan.provisional)} decided later"
        if wrong:
            text += f", {len(wrong)} wrong already"
        self.publish(Kind.PLAN, text=text, data={"steps": steps})

    def waiting(self, step: Step, needs: Sequence[str] = (), text: str = "") -> None:
        """A step that could not start yet: for other steps, or for what `text` says."""
        self.emit(Kind.STEP_WAITING, step, text or ", ".join(needs), **{"for": list(needs)})

    def started(self, step: Step, change: Change | None = None) -> None:
        found = {"diff": change.diff, "under_way": change.under_way} if change else {}
        text = change.summary if change else ""
        self.emit(Kind.STEP_STARTED, step, text, role=step.role, **found)

    def progress(self, step: Step, change: Change, done: float | None = None) -> None:
        """What is still to come, and how far it is; `done`: 0 to 1, where that is known."""
        known = {} if done is None else {"done": done}
        self.emit(Kind.STEP_PROGRESS, step, change.summary, progress=change.progress, **known)

    def log_line(self, step: Step, line: str, rank: str = "") -> None:
        """The last line that a rank or job wrote; `rank`: whose, as "spark-2"."""
        self.emit(Kind.STEP_LOG, step, line, **({"rank": rank} if rank else {}))

    def retrying(self, step: Step, error: BaseException, attempt: int, wait: float) -> None:
        self.emit(Kind.STEP_RETRY, step, str(error), attempt=attempt, wait=round(wait, 3))

    def done(self, step: Step, *, changed: bool) -> None:
        self.emit(Kind.STEP_DONE, step, "changed" if changed else "unchanged", changed=changed)

    def failed(self, step: Step, error: BaseException, evidence: str = "") -> None:
        """`evidence`: the file or folder that holds the last logs of all ranks and the rest."""
        kind = Kind.GATE_REFUSED if isinstance(error, Refused) else Kind.STEP_FAILED
        text, at = _what(error), getattr(error, "host", None)
        if at not in (None, step.host) and at not in text:
            text = f"{at}: {text}"
        self.emit(kind, step, text, **_why(error, evidence))

    def skipped(
        self, step: Step, why: str, because: Sequence[str] = (), *, needed: bool = True
    ) -> None:
        """Not done: `because` names the failed steps; `needed=False`: nothing demands it."""
        self.emit(Kind.STEP_SKIPPED, step, why, because=list(because), needed=needed)

    def lease(self, host: str, action: str, **data: Any) -> None:
        """`action`: taken, renewed, released, lost, refused. Wanted: owner, since, until."""
        self.publish(Kind.LEASE, host=host, text=action, data={"action": action, **data})

    def note(self, text: str, *, host: str | None = None, severity: str = "info") -> None:
        """A word to the user that belongs to no step. `severity`: info, warning."""
        self.publish(Kind.NOTE, host=host, text=text, data={"severity": severity})

    def run_done(
        self,
        exit_code: int,
        *,
        text: str = "",
        hint: str = "",
        served: Iterable[Served] = (),
        running: Iterable[Running] = (),
        evidence: str = "",
        then: Sequence[str] = (),
    ) -> None:
        """Last event. `text`: why, where no step says it; `then`: commands to type next."""
        data = {
            "outcome": OUTCOMES.get(exit_code, "failed"),
            "exit_code": exit_code,
            "hint": hint,
            "served": [asdict(one) for one in served],
            "running": [asdict(one) for one in running],
            "evidence": evidence,
            "then": list(then),
        }
        self.publish(Kind.RUN_DONE, text=text or str(data["outcome"]), data=data)


def _planned_step(step: Step, plan: Plan, problem: str | None) -> dict[str, Any]:
    change = plan.changes.get(step.id)
    return {
        "id": step.id,
        "role": step.role,
        "host": step.host,
        "hosts": sorted(step.touches),
        "scope": step.scope,
        "stage": step.stage,
        "needs": sorted(step.needs | step.order | step.turns),
        "change": change.summary if change else None,
        "provisional": step.id in plan.provisional,
        "pruned": step.id in plan.pruned,
        "problem": problem,
    }


def _what(error: BaseException) -> str:
    message = error.message if isinstance(error, OrchError) else str(error)
    return message or type(error).__name__


def _why(error: BaseException, evidence: str) -> dict[str, Any]:
    hint = error.hint if isinstance(error, OrchError) else ""
    code = error.exit_code if isinstance(error, OrchError) else 1
    return {
        "error": type(error).__name__,
        "exit_code": code,
        "hint": hint,
        "evidence": evidence,
        "at": (error.host if isinstance(error, OrchError) else None),
    }


def to_json(event: Event) -> dict[str, Any]:
    """The documented form of one event; what is None or empty is left out."""
    form = {
        "v": SCHEMA,
        "at": round(event.at, 3),
        "run": event.run,
        "kind": str(event.kind),
        "step": event.step,
        "host": event.host,
        "text": event.text,
        "data": dict(event.data),
    }
    return {key: value for key, value in form.items() if value not in (None, "", {})}


def from_json(form: Mapping[str, Any]) -> Event:
    """One event from its documented form. Raises KeyError, TypeError or ValueError else."""
    if form["v"] != SCHEMA:
        raise ValueError(f"event schema {form['v']}, this orch reads {SCHEMA}")
    event = Event(float(form["at"]), str(form["run"]), str(form["kind"]))
    if not 0 <= event.at < END_OF_TIME:
        raise ValueError(f"{event.at} is no time")
    data, step, host = form.get("data", {}), form.get("step"), form.get("host")
    if not isinstance(data, Mapping):
        raise TypeError("data is not an object")
    return replace(
        event,
        step=None if step is None else str(step),
        host=None if host is None else str(host),
        text=str(form.get("text", "")),
        data=data,
    )
