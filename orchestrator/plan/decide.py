"""Steps + facts → plan: what would change now, what can only be decided later, what nobody demands. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from orchestrator.contracts import Change, Plan, Query, Step, World
from orchestrator.errors import NotRead, OrchError
from orchestrator.plan.graph import dependents
from orchestrator.script import Request


@dataclass(frozen=True)
class Decision:
    """A plan, what is still to be read to complete it, and steps that fail already now."""

    plan: Plan
    missing: frozenset[tuple[str, Query[Any]]]
    problems: Mapping[str, OrchError]


def first_reads(steps: Mapping[str, Step]) -> frozenset[tuple[str, Query[Any]]]:
    """What one script per host can answer before anything is decided (HTTP is asked only when needed)."""
    reads = frozenset().union(*(step.reads for step in steps.values()))
    # Most queries are the same on every host; each is asked what it is once.
    by_http = {query for query in {one for _, one in reads} if isinstance(query.ask(), Request)}
    return frozenset(read for read in reads if read[1] not in by_http)


def decide(steps: Mapping[str, Step], world: World) -> Decision:
    """Check every step whose ancestors leave the world as it is; the others are provisional."""
    changes: dict[str, Change] = {}
    provisional: set[str] = set()
    problems: dict[str, OrchError] = {}
    missing: set[tuple[str, Query[Any]]] = set()
    unsettled: set[str] = (
        set()
    )  # changing, provisional, failing or unread: what follows is decided later
    for one, step in steps.items():
        if step.needs & unsettled:
            unsettled.add(one)
            provisional.add(one)
            continue
        if step.on_demand:
            continue
        try:
            change = step.check(world)
        except NotRead:
            missing.update(step.reads)
            unsettled.add(one)
            provisional.add(one)
        except OrchError as error:
            problems[one] = error
            unsettled.add(one)
        else:
            if change is not None:
                changes[one] = change
                unsettled.add(one)
    moving = {one for one in (*changes, *provisional) if steps[one].role == "change"}
    demanded = _demanded(steps, moving)
    pruned = {one for one, step in steps.items() if step.on_demand and one not in demanded}
    plan = Plan(
        steps=steps,
        changes=changes,
        provisional=frozenset((provisional | demanded) - pruned),
        pruned=frozenset(pruned),
    )
    return Decision(plan, frozenset(missing), problems)


def _demanded(steps: Mapping[str, Step], moving: set[str]) -> set[str]:
    """On-demand steps before a step that changes something (and is not itself on demand)."""
    below = dependents(steps)
    wanted: set[str] = set()
    leads: set[str] = set()  # steps with something moving at or after them
    for one in reversed(list(steps)):
        step = steps[one]
        if below[one] & leads:
            leads.add(one)
            if step.on_demand:
                wanted.add(one)
        if one in moving and not step.on_demand:
            leads.add(one)
    return wanted


def settled(decision: Decision) -> bool:
    """Nothing to do: no change, nothing open, nothing wrong."""
    return not (decision.plan.changes or decision.plan.provisional or decision.problems)
