"""The part of a plan that is about some deployments: what they need, and nothing of the others. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from orchestrator.contracts import Step
from orchestrator.plan.graph import ordered
from orchestrator.spec.models import Cluster
from orchestrator.spec.playbook import PlaybookFile

CLEARING = frozenset({"stale", "takeover"})  # what others have left is for `up` to clear away


def part(
    steps: Mapping[str, Step], cluster: Cluster, names: frozenset[str], playbook: PlaybookFile
) -> Mapping[str, Step]:
    """Steps of these deployments and of their hosts. Where a step is left out, who needed it needs what it needed."""
    hosts = frozenset(host for name in names for host in cluster.deployments[name].hosts)
    clearing = frozenset(one.id for one in playbook.stages if one.stage in CLEARING)
    kept: list[Step] = []
    through: dict[
        str, frozenset[str]
    ] = {}  # a step that is left out → what it would have waited for
    for one, step in steps.items():
        needs = _needs(step.needs, through)
        if step.stage not in clearing and _is_about(step, names, hosts):
            kept.append(step.with_(needs=needs))
        else:
            through[one] = needs
    return ordered(kept)


def _needs(needs: Iterable[str], through: Mapping[str, frozenset[str]]) -> frozenset[str]:
    return frozenset(one for need in needs for one in through.get(need, (need,)))


def _is_about(step: Step, names: frozenset[str], hosts: frozenset[str]) -> bool:
    if step.scope is not None:
        return step.scope in names
    if step.serves is not None:
        return bool(step.serves & names)
    return not step.touches or bool(step.touches & hosts)


def renamed(steps: Mapping[str, Step], before: str) -> Mapping[str, Step]:
    """The same steps under other ids, so that a run can do them after others of those names."""

    def named(ids: frozenset[str]) -> frozenset[str]:
        return frozenset(before + one for one in ids)

    return {
        before + one: step.with_(
            id=before + one,
            needs=named(step.needs),
            order=named(step.order),
            turns=named(step.turns),
            redo=named(step.redo),
        )
        for one, step in steps.items()
    }
