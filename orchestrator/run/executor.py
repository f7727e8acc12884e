"""Runs a plan: each step as soon as what it needs is done, all hosts at once, failures kept apart.

A step: read anew what an ancestor may have changed → check → apply → check again. The executor prints
nothing and decides nothing about hosts; it emits events and returns an outcome per step.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, field
from typing import Literal, Protocol

from orchestrator.contracts import Change, Step
from orchestrator.errors import Failed, Interrupted, NoPatience, OrchError, Refused, Unknown
from orchestrator.hosts.pool import threads
from orchestrator.plan.graph import ancestors, dependents
from orchestrator.run.events import Bus
from orchestrator.run.policies import POLICIES
from orchestrator.run.world import LiveWorld
from orchestrator.script import Script

State = Literal["changed", "unchanged", "failed", "skipped", "not-needed"]
LOST = ("failed", "skipped")


class Applier(Protocol):
    """Sends a step's script to its host and reads what the step reads, in one round trip where it can."""

    def __call__(self, step: Step, script: Script) -> None: ...


@dataclass
class Outcome:
    """How a run ended, step by step."""

    states: dict[str, State] = field(default_factory=dict)
    errors: dict[str, OrchError] = field(default_factory=dict)
    sent: set[str] = field(default_factory=set)  # steps that sent something to a host
    interrupted: bool = False

    @property
    def changed(self) -> list[str]:
        return [one for one, state in self.states.items() if state == "changed"]


def _before(step: Step) -> set[str]:
    """All that it waits for."""
    return {*step.needs, *step.order, *step.turns}


@dataclass
class Clock:
    """Time as the executor sees it; tests put in their own."""

    now: Callable[[], float] = time.monotonic
    pause: Callable[[threading.Event, float], bool] = threading.Event.wait  # True: cancelled


class Executor:
    def __init__(
        self,
        steps: Mapping[str, Step],
        world: LiveWorld,
        apply: Applier,
        bus: Bus,
        *,
        skip: frozenset[str] = frozenset(),
        futile: frozenset[str] = frozenset(),
        cancel: threading.Event | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._steps = dict(steps)
        self._world = world
        self._apply = apply
        self._bus = bus
        self._skip = skip
        self._futile = futile
        self._cancel = cancel or threading.Event()
        self._clock = clock or Clock()
        self._above = ancestors(steps)
        self._below = dependents(steps)
        self._outcome = Outcome()

    def run(self) -> Outcome:
        """Walk the graph until every step has an outcome. Never raises for a step's failure."""
        waiting = {one: _before(step) for one, step in self._steps.items()}
        followers: dict[str, list[str]] = {one: [] for one in self._steps}
        for one, before in waiting.items():
            for first in before:
                followers[first].append(one)
        running: dict[Future[State], str] = {}
        with threads(max(1, len(waiting))) as pool:
            ready = [one for one, before in waiting.items() if not before]
            while ready or running:
                running.update({pool.submit(self._guarded, self._steps[one]): one for one in ready})
                ready = []
                finished, _ = wait(running, return_when=FIRST_COMPLETED)
                for future in finished:
                    one = running.pop(future)
                    self._outcome.states[one] = future.result()
                    again = self._once_more(self._steps[one])
                    waiting.update(again)
                    ready += [first for first, before in again.items() if not before]
                    for below in () if again else followers[one]:
                        if waiting[below] == {one}:
                            ready.append(below)
                        waiting[below].discard(one)
        self._outcome.interrupted = self._cancel.is_set()
        return self._outcome

    def _guarded(self, step: Step) -> State:
        """One step, whatever it raises, as an outcome and events."""
        reason = self._why_not(step)
        if reason:
            self._bus.skipped(step, reason, self._lost(step))
            return "skipped"
        try:
            state = self._run(step)
        except OrchError as error:
            error.step = error.step or step.id
            error.host = error.host or step.host
            self._outcome.errors[step.id] = error
            self._bus.failed(step, error)
            return "failed"
        except Exception as defect:
            failed = Failed(f"a defect of orch: {type(defect).__name__}: {defect}", step=step.id)
            failed.__cause__ = defect
            self._outcome.errors[step.id] = failed
            self._bus.failed(step, failed)
            return "failed"
        if state == "not-needed":
            self._bus.skipped(step, "nothing that needs it changes", needed=False)
        else:
            self._bus.done(step, changed=state == "changed")
            for text in step.remarks(self._world):
                self._bus.note(text, host=step.host, severity="warning")
        return state

    def _once_more(self, step: Step) -> dict[str, set[str]]:
        """Steps that are done over, as another attempt, with those among them that they wait for."""
        mine = {one: self._steps[one] for one in step.redo & self._steps.keys()}
        if not mine or {self._outcome.states.get(one) for one in mine} - {"changed", "unchanged"}:
            return {}
        try:
            why = step.missed(self._world)
        except OrchError:
            return {}  # nothing says so
        if not why or step.attempt >= POLICIES[step.patience.retry].attempts:
            return {}
        self._bus.retrying(step, Failed(why), step.attempt, 0)
        for one, old in mine.items():
            self._steps[one] = old.with_(attempt=old.attempt + 1)
        return {one: _before(old) & mine.keys() for one, old in mine.items()}

    def _lost(self, step: Step) -> list[str]:
        """Needs of a step that failed or were skipped."""
        lost = {need for need in step.needs if self._outcome.states.get(need) in LOST}
        return sorted(lost | {one for one in step.order if self._went_wrong(one)})

    def _went_wrong(self, one: str) -> bool:
        """It did not end well, and its stage had sent something to its host: whoever goes after it stays."""
        if self._outcome.states.get(one) not in LOST:
            return False
        stage = self._steps[one].stage
        group = {
            one,
            *(need for need in self._steps[one].needs if self._steps[need].stage == stage),
        }
        return bool(group & self._outcome.sent)

    def _why_not(self, step: Step) -> str:
        if self._cancel.is_set():
            return "interrupted"
        for need in self._lost(step):
            how = "failed" if need in self._outcome.errors else "was skipped"
            return f"needs {need}, which {how}"
        if step.id in self._futile:
            return "what it is for can't be done"
        return ""

    def _run(self, step: Step) -> State:
        if step.id in self._skip:
            return "not-needed"
        self._bus.started(step)
        stale = step.attempt > 1 or bool(self._above[step.id] & self._outcome.sent)
        if step.on_demand and not self._demanded(step, stale):
            return "not-needed"
        if stale or not self._world.known(step.reads):
            self._world.read(step.reads)
        if step.role == "wait":
            return self._wait(step, self._try_check(step), "unchanged")
        change = self._settled(step) if stale else step.check(self._world)
        if change is None:
            return "unchanged"
        if step.role == "gate" and type(step).apply is Step.apply:
            raise Refused(change.summary, step=step.id, hint=change.hint)
        return self._change(step, change)

    def _settled(self, step: Step) -> Change | None:
        """Check, where a gate behind a change may pass a moment later."""
        start = self._clock.now()
        while True:
            try:
                return step.check(self._world)
            except Refused as refusal:
                if self._clock.now() - start >= step.patience.settle:
                    raise
                self._bus.progress(step, Change(f"not yet: {refusal.message}"))
            if self._clock.pause(self._cancel, step.patience.poll):
                raise Interrupted("interrupted while waiting", step=step.id)
            self._world.read(step.reads)

    def _demanded(self, step: Step, stale: bool) -> bool:
        """Is there a step below, not on demand itself, that will change something?"""
        below = self._reachable(step.id)
        wanted = [self._steps[one] for one in below if one not in self._skip]
        changers = [one for one in wanted if one.role == "change" and not one.on_demand]
        if stale:
            self._world.read(frozenset(read for one in changers for read in one.reads))
        return any(self._would_change(one) for one in changers)

    def _would_change(self, step: Step) -> bool:
        try:
            return step.check(self._world) is not None
        except OrchError:
            return True  # can't tell yet: the demand stands

    def _reachable(self, start: str) -> set[str]:
        found: set[str] = set()
        todo = [start]
        while todo:
            for below in self._below[todo.pop()] - found:
                found.add(below)
                todo.append(below)
        return found

    def _change(self, step: Step, change: Change) -> State:
        if not change.under_way:
            self._bus.started(step, change)
            script = step.apply(change, self._world)
            self._outcome.sent.add(step.id)
            self._apply(step, script)
        else:
            self._outcome.sent.add(step.id)
        return self._wait(step, self._try_check(step), "changed")

    def _try_check(self, step: Step) -> Change | None:
        """Check, where an answer that can't be read means "not yet"."""
        try:
            return step.check(self._world)
        except Unknown as unread:
            return Change(str(unread), under_way=True)

    def _wait(self, step: Step, change: Change | None, state: State) -> State:
        """Read again until the step is satisfied; its patience follows progress."""
        patience = step.patience
        start = moved = self._clock.now()
        progress = ""
        while change is not None:
            if step.role != "wait" and not change.under_way:
                told = "".join(f"\n    {line}" for line in change.log.splitlines())
                what = change.unmet or f"still not so after it was applied: {change.summary}"
                raise Failed(
                    f"{what}{told}",
                    step=step.id,
                    hint=change.hint,
                )
            now = self._clock.now()
            if change.progress != progress:
                progress, moved = change.progress, now
            self._bus.progress(step, change)
            if change.log:
                self._bus.log_line(step, change.log, rank=change.rank)
            if now - start > patience.total:
                raise NoPatience(
                    f"{change.summary} (gave up after {patience.total:.0f} s)", hint=change.hint
                )
            if now - moved > patience.stall:
                raise NoPatience(
                    f"{change.summary} (nothing moved for {patience.stall:.0f} s)", hint=change.hint
                )
            if self._clock.pause(self._cancel, patience.poll):
                raise Interrupted("interrupted while waiting", step=step.id)
            self._world.read(step.reads)
            change = self._try_check(step)
        return state
