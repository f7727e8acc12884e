"""A decision as text and as JSON: what would change, why, and what is decided later."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from orchestrator.contracts import Step
from orchestrator.plan.decide import Decision

MARKS = {"change": "~", "wait": "…", "gate": "?"}
VERSION = 1  # of the JSON form, docs/json.md


def counts(decision: Decision) -> dict[str, int]:
    plan = decision.plan
    later = len(plan.provisional)
    idle = len(plan.steps) - len(plan.changes) - later - len(decision.problems) - len(plan.pruned)
    return {
        "change": len(plan.changes),
        "later": later,
        "wrong": len(decision.problems),
        "unchanged": idle + len(plan.pruned),
    }


def lines(decision: Decision, verbose: bool = False) -> Iterator[tuple[str, str]]:
    """(style, text) lines for a person, by stage in the order of the playbook; "names" may be wrapped."""
    plan = decision.plan
    stage = ""
    later: list[str] = []
    for one, step in plan.steps.items():
        if one in plan.provisional and not verbose:
            later.append(one)
            continue
        row = _row(decision, one, step)
        if row is None and not verbose:
            continue
        if step.stage != stage:
            stage = step.stage
            yield "bold", f"{stage}"
        if row is None:
            yield "dim", f"    {one}: as it should be"
            continue
        yield row
        yield from _diff(plan.changes[one].diff if one in plan.changes else "")
    if later:
        yield "bold", "decided after that"
        stages = dict.fromkeys(plan.steps[one].stage for one in later)
        number = f"{len(later)} step" + ("" if len(later) == 1 else "s")
        yield "names", f"    {', '.join(stages)} ({number}; -v lists them)"
    for text in decision.remarks:
        yield "yellow", f"warning: {text}"


def _row(decision: Decision, one: str, step: Step) -> tuple[str, str] | None:
    plan = decision.plan
    if one in decision.problems:
        error = decision.problems[one]
        tail = f"\n        hint: {error.hint}" if error.hint else ""
        return "red", f"  ! {one}: {error}{tail}"
    if one in plan.changes:
        return "yellow", f"  {MARKS[step.role]} {one}: {plan.changes[one].summary}"
    if one in plan.provisional:
        after = ", ".join(sorted(_first_cause(plan.steps, one, plan.changes))[:2])
        return "dim", f"    {one}: decided after {after or 'what comes before'}"
    return None


def _first_cause(
    steps: Mapping[str, Step], one: str, changes: Mapping[str, Any], depth: int = 50
) -> set[str]:
    """The nearest steps before this one that are known to change something."""
    seen, todo = {one}, [one]
    while todo and depth:
        depth -= 1
        needs = [need for need in steps[todo.pop(0)].needs if need not in seen]
        hit = {need for need in needs if need in changes}
        if hit:
            return hit
        seen.update(needs)
        todo.extend(needs)
    return set()


def _diff(text: str) -> Iterator[tuple[str, str]]:
    for line in text.splitlines():
        style = {"+": "green", "-": "red", "@": "cyan"}.get(line[:1], "dim")
        yield style, f"        {line}"


def as_json(decision: Decision) -> dict[str, Any]:
    """The documented, versioned form of a plan."""
    plan = decision.plan
    return {
        "version": VERSION,
        "counts": counts(decision),
        "steps": [_step_json(decision, one, step) for one, step in plan.steps.items()],
        "warnings": list(decision.remarks),
    }


def _step_json(decision: Decision, one: str, step: Step) -> dict[str, Any]:
    plan = decision.plan
    state = "unchanged"
    if one in decision.problems:
        state = "wrong"
    elif one in plan.changes:
        state = "change"
    elif one in plan.pruned:
        state = "not-needed"
    elif one in plan.provisional:
        state = "later"
    found: dict[str, Any] = {
        "id": one,
        "stage": step.stage,
        "host": step.host,
        "role": step.role,
        "state": state,
        "needs": sorted(step.needs | step.order | step.turns),
    }
    if one in plan.changes:
        found |= {"summary": plan.changes[one].summary, "diff": plan.changes[one].diff}
    if one in decision.problems:
        error = decision.problems[one]
        found |= {"error": str(error), "hint": error.hint, "kind": type(error).__name__}
    return found
