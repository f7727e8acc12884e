"""Steps + facts → plan: what would change now, what can only be decided later, what nobody demands. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
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
    remarks: tuple[str, ...] = ()  # of gates that have passed


def first_reads(steps: Mapping[str, Step]) -> frozenset[tuple[str, Query[Any]]]:
    """What one script per host can answer before anything is decided (HTTP is asked only when needed)."""
    apart = {id(step.reads): step.reads for step in steps.values()}  # many steps share theirs
    reads = frozenset().union(*apart.values())
    kinds = {type(query): query for _, query in reads}  # all of a kind ask in the same way
    by_http = {kind for kind, query in kinds.items() if isinstance(query.ask(), Request)}
    return reads.difference(read for read in reads if type(read[1]) in by_http)


@dataclass
class _Findings:
    """What checks said so far."""

    changes: dict[str, Change] = field(default_factory=dict)
    problems: dict[str, OrchError] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)
    missing: set[tuple[str, Query[Any]]] = field(default_factory=set)
    later: set[str] = field(default_factory=set)  # unread, or behind what moves
    unsettled: set[str] = field(default_factory=set)  # what follows these is decided later

    def look(self, step: Step, world: World) -> None:
        """One step's check."""
        try:
            change = step.check(world)
        except NotRead:
            self.missing.update(step.reads)
            self.later.add(step.id)
        except OrchError as error:
            self.problems[step.id] = error
        else:
            if change is None:
                self.remarks.extend(step.remarks(world))
                return
            self.changes[step.id] = change
        self.unsettled.add(step.id)


def decide(steps: Mapping[str, Step], world: World) -> Decision:
    """Check every step whose ancestors leave the world as it is; the others are provisional."""
    found = _Findings()
    for one, step in steps.items():
        if not step.needs.isdisjoint(found.unsettled):
            found.unsettled.add(one)
            found.later.add(one)
        elif not step.on_demand:
            found.look(step, world)
    moving = {one for one in (*found.changes, *found.later) if steps[one].role == "change"}
    demanded = _demanded(steps, moving)
    pruned = {one for one, step in steps.items() if step.on_demand and one not in demanded}
    later = _look_at_demanded(steps, world, demanded, found)
    plan = Plan(
        steps=steps,
        changes={one: found.changes[one] for one in steps if one in found.changes},
        provisional=frozenset((found.later | later) - pruned),
        pruned=frozenset(pruned),
    )
    return Decision(plan, frozenset(found.missing), found.problems, tuple(found.remarks))


def _look_at_demanded(
    steps: Mapping[str, Step], world: World, demanded: set[str], found: _Findings
) -> set[str]:
    """Steps on demand are judged too where nothing before them moves: what refuses a start is known at once.

    Returns those that are decided later.
    """
    moving = set(found.unsettled)
    later: set[str] = set()
    for one, step in steps.items():
        if not step.needs.isdisjoint(moving):
            moving.add(one)
            later |= {one} & demanded
        elif one in demanded:
            found.look(step, world)
            moving |= {one} & found.unsettled
    return later


def lost(decision: Decision) -> frozenset[str]:
    """Steps that are wrong already now, and all that follows them."""
    found: set[str] = set()
    for one, step in decision.plan.steps.items():
        if one in decision.problems or step.needs & found:
            found.add(one)
    return frozenset(found)


def futile(decision: Decision) -> frozenset[str]:
    """Steps that would change something only for what is lost: nothing is touched in vain."""
    plan, gone = decision.plan, lost(decision)
    below = dependents(plan.steps)
    useful: set[str] = set()  # they lead to a step that can be done
    for one in reversed(list(plan.steps)):
        if one not in gone and (not below[one] or below[one] & useful):
            useful.add(one)
    return plan.provisional.union(plan.changes) - gone - useful


def _demanded(steps: Mapping[str, Step], moving: set[str]) -> set[str]:
    """On-demand steps before a step that changes something (and is not itself on demand)."""
    wanted: set[str] = set()
    leads: set[str] = set()  # steps with something moving after them
    for one in reversed(list(steps)):
        step = steps[one]
        if one in leads and step.on_demand:
            wanted.add(one)
        if one in leads or (one in moving and not step.on_demand):
            leads |= step.needs
    return wanted


def settled(decision: Decision) -> bool:
    """Nothing to do: no change, nothing open, nothing wrong."""
    return not (decision.plan.changes or decision.plan.provisional or decision.problems)
