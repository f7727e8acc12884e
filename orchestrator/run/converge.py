"""From steps to a finished run: read, decide, lease, read again, execute, clean up. Design §6.

The lease, the hosts, the observers come in as arguments: this file knows their order and nothing else.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Protocol

from orchestrator.contracts import Step
from orchestrator.knowledge import Cause
from orchestrator.plan.decide import Decision, first_reads, futile, lost
from orchestrator.run.events import Bus
from orchestrator.run.executor import Applier, Clock, Executor, Outcome
from orchestrator.run.survey import settle, worst
from orchestrator.run.world import LiveWorld, Reads


@dataclass
class Aftermath:
    """What is known of a run that failed: evidence, and what it means."""

    causes: list[Cause] = field(default_factory=list)
    evidence: str = ""
    hint: str = ""


class Leases(Protocol):
    """Holds hosts for the length of a run, and reads them anew in the same round trip.

    Entering raises Locked with all hosts that another holds.
    """

    def __call__(self, names: frozenset[str], reads: Reads, /) -> AbstractContextManager[None]: ...


@dataclass
class Toolbox:
    """What a run needs of the outside."""

    world: LiveWorld
    apply: Applier
    bus: Bus
    leases: Leases
    cancel: threading.Event = field(default_factory=threading.Event)
    clock: Clock = field(default_factory=Clock)
    aftermath: Callable[[Outcome, Toolbox], Aftermath] = lambda outcome, tools: Aftermath()


def hosts_to_hold(decision: Decision) -> frozenset[str]:
    """Hosts that a change may touch: those are leased. What is wrong already now touches none."""
    plan = decision.plan
    moving = {*plan.changes, *plan.provisional} - lost(decision) - futile(decision)
    return frozenset(
        step.host
        for one, step in plan.steps.items()
        if one in moving and step.host and type(step).apply is not Step.apply
    )


def converge(
    steps: Mapping[str, Step],
    decision: Decision,
    tools: Toolbox,
    review: Callable[[Decision], None],
) -> tuple[Outcome, Aftermath]:
    """Carry a decision out. `review` is shown the plan again where it changed under the lease."""
    held = hosts_to_hold(decision)
    while held:
        with tools.leases(held, first_reads(steps)):
            again = settle(steps, tools.world)
            wider = hosts_to_hold(again)
            if wider <= held:
                if _differs(decision, again):
                    review(again)
                outcome = execute(steps, again, tools)
                return outcome, tools.aftermath(outcome, tools)
        held |= wider
    outcome = execute(steps, decision, tools)
    return outcome, tools.aftermath(outcome, tools)


def _differs(one: Decision, other: Decision) -> bool:
    return {k: c.summary for k, c in one.plan.changes.items()} != {
        k: c.summary for k, c in other.plan.changes.items()
    } or one.problems.keys() != other.problems.keys()


def execute(steps: Mapping[str, Step], decision: Decision, tools: Toolbox) -> Outcome:
    """Carry it out as it stands, under whatever leases are held."""
    executor = Executor(
        steps,
        tools.world,
        tools.apply,
        tools.bus,
        skip=decision.plan.pruned,
        futile=futile(decision),
        cancel=tools.cancel,
        clock=tools.clock,
    )
    return executor.run()


def exit_code(outcome: Outcome) -> int:
    """How a run ended, as design §7 numbers it."""
    if outcome.interrupted:
        return 130
    left = any(state == "skipped" for state in outcome.states.values())
    return worst(outcome.errors.values()) or int(left)
