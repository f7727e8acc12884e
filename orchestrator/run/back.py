"""Back to what was before: the steps of what is known to work, in the same run and under the same leases."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from orchestrator.contracts import Step
from orchestrator.plan.decide import settled
from orchestrator.plan.part import renamed
from orchestrator.run.converge import Toolbox, execute, exit_code
from orchestrator.run.survey import survey
from orchestrator.run.world import LiveWorld

BACK = "back/"


@dataclass(frozen=True)
class Back:
    """How it went. `touched`: something had to be done for it."""

    exit_code: int
    touched: bool
    world: LiveWorld


def go_back(steps: Mapping[str, Step], tools: Toolbox, anew: Callable[[Toolbox], Toolbox]) -> Back:
    """Look at the hosts with new eyes, then do what it takes; `anew` gives tools that have seen nothing yet."""
    fresh = anew(tools)
    steps = renamed(steps, BACK)
    decision = survey(steps, fresh.world)
    fresh.bus.planned(decision.plan, decision.problems)
    if settled(decision):
        return Back(0, touched=False, world=fresh.world)
    outcome = execute(steps, decision, fresh)
    return Back(exit_code(outcome), touched=True, world=fresh.world)
