"""Steps and their order: the edges that the stage order gives, and the topological walk."""

from __future__ import annotations

import graphlib
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import product

from orchestrator.contracts import Step
from orchestrator.errors import FilesWrong

NOBODY = "(no deployment)"  # the scope of what serves none


@dataclass
class Frontier:
    """The last steps seen on each host, by scope: what the next stage's steps have to wait for."""

    by_host: dict[str, dict[str | None, set[str]]] = field(default_factory=dict)
    _found: dict[tuple[frozenset[str], str | None], frozenset[str]] = field(default_factory=dict)

    def before(self, step: Step) -> frozenset[str]:
        """Steps that `step` must wait for: same host, and the same scope or none."""
        known = self._found.get((step.touches, step.scope))
        if known is None:
            known = self._found[step.touches, step.scope] = frozenset(self._before(step))
        return known

    def _before(self, step: Step) -> set[str]:
        found: set[str] = set()
        for host in step.touches:
            for scope, ids in self.by_host.get(host, {}).items():
                if scope is None or step.scope is None or scope == step.scope:
                    found |= ids
        return found

    def everything(self) -> set[str]:
        return {one for scopes in self.by_host.values() for ids in scopes.values() for one in ids}

    def after(self, steps: Iterable[Step]) -> Frontier:
        """The frontier once these steps of one stage stand behind it."""
        fresh: dict[str, dict[str | None, set[str]]] = defaultdict(lambda: defaultdict(set))
        for step in steps:
            for host, scope in product(step.touches, _waiting_scopes(step)):
                fresh[host][scope].add(step.id)
        merged = dict(self.by_host)
        for host, scopes in fresh.items():
            old = {} if None in scopes else merged.get(host, {})
            merged[host] = {**old, **scopes}
        return Frontier(merged)

    def joined(self, other: Frontier) -> Frontier:
        if not self.by_host:
            return other
        merged = {host: {s: set(i) for s, i in sc.items()} for host, sc in self.by_host.items()}
        for host, scopes in other.by_host.items():
            for scope, ids in scopes.items():
                merged.setdefault(host, {}).setdefault(scope, set()).update(ids)
        return Frontier(merged)


def _waiting_scopes(step: Step) -> Iterable[str | None]:
    """Whose steps wait for this one; a host's own later steps always do."""
    return (step.scope,) if step.serves is None else (*step.serves, NOBODY)


def ordered(steps: Iterable[Step]) -> Mapping[str, Step]:
    """Steps in topological order; needs that name no step of the plan are dropped."""
    by_id: dict[str, Step] = {}
    for step in steps:
        if step.id in by_id:
            raise ValueError(f"two steps are called {step.id}")
        by_id[step.id] = step
    known = by_id.keys()
    kept = {
        one: step
        if step.needs <= known and step.order <= known and step.turns <= known
        else step.with_(
            needs=step.needs & known,
            order=step.order & known,
            turns=step.turns & known,
        )
        for one, step in by_id.items()
    }
    if _in_order(kept):
        return kept
    sorter = graphlib.TopologicalSorter(
        {one: step.needs | step.order | step.turns for one, step in kept.items()}
    )
    try:
        order = list(sorter.static_order())
    except graphlib.CycleError as cycle:
        circle = " → ".join(str(one) for one in cycle.args[1])
        raise FilesWrong(
            f"the stages' order makes a circle: {circle}",
            hint="a playbook or an `after:` puts a step before what it needs",
        ) from cycle
    return {one: kept[one] for one in order}


def _in_order(steps: Mapping[str, Step]) -> bool:
    """Each after what it waits for: so they mostly come, since stages are built in their order."""
    seen: set[str] = set()
    for one, step in steps.items():
        if not (step.needs <= seen and step.order <= seen and step.turns <= seen):
            return False
        seen.add(one)
    return True


def ancestors(steps: Mapping[str, Step]) -> dict[str, frozenset[str]]:
    """Id → all steps before it. `steps` must be in topological order."""
    above: dict[str, frozenset[str]] = {}
    for one, step in steps.items():
        above[one] = step.needs.union(*(above[need] for need in step.needs))
    return above


def dependents(steps: Mapping[str, Step]) -> dict[str, set[str]]:
    """Id → the steps that need it directly."""
    below: dict[str, set[str]] = {one: set() for one in steps}
    for one, step in steps.items():
        for need in step.needs:
            below[need].add(one)
    return below
