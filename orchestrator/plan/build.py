"""Playbook + spec → steps in order. Pure; hosts are not asked here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from orchestrator.contracts import Step
from orchestrator.errors import FilesWrong
from orchestrator.meant import did_you_mean
from orchestrator.plan.graph import Frontier, ordered
from orchestrator.plan.predicates import PREDICATES
from orchestrator.plan.stages import stage_builders
from orchestrator.spec.models import Cluster
from orchestrator.spec.playbook import PlaybookFile, StageEntry
from orchestrator.spec.units import parse_duration
from orchestrator.steps.shell import shell_steps


def build(
    cluster: Cluster,
    playbook: PlaybookFile,
    only: frozenset[str] | None = None,
    undo: bool = False,
) -> Mapping[str, Step]:
    """All steps of a playbook for a cluster, in topological order.

    only: host names; steps that touch none of them are left out, and a gang that is partly inside is refused.
    """
    reached: dict[str, Frontier] = {}
    everything: list[Step] = []
    previous: str | None = None
    for entry in _undoing(playbook) if undo else playbook.stages:
        needs = entry.needs if entry.needs is not None else ((previous,) if previous else ())
        frontier = Frontier()
        for need in needs:
            frontier = frontier.joined(reached[need])
        steps = [
            _in_stage(step, entry, frontier) for step in _stage_steps(cluster, entry, only, undo)
        ]
        everything.extend(steps)
        reached[entry.id] = frontier.after(steps)
        previous = entry.id
    return ordered(everything)


def _undoing(playbook: PlaybookFile) -> Iterable[StageEntry]:
    """The shell stages that can be undone, last first, each undoing."""
    for entry in reversed(playbook.stages):
        if entry.shell is not None and entry.shell.undo is not None:
            yield entry.model_copy(update={"needs": None})


def _stage_steps(
    cluster: Cluster, entry: StageEntry, only: frozenset[str] | None, undo: bool
) -> list[Step]:
    """The steps that a stage's builder gives for the hosts it may touch."""
    if only is not None and entry.stage == "start":
        _refuse_parts_of_gangs(cluster, only)
    return [step for step in _built(cluster, entry, undo) if _wanted(cluster, entry, step, only)]


def _refuse_parts_of_gangs(cluster: Cluster, only: frozenset[str]) -> None:
    """Ranks live and die together: a gang is started on all of its hosts or not at all."""
    for name, one in cluster.deployments.items():
        outside = [host for host in one.hosts if host not in only]
        if outside and only & set(one.hosts):
            raise FilesWrong(
                f"deployment {name} also runs on {', '.join(outside)}: a gang is started whole",
                hint=f"--hosts {','.join(dict.fromkeys([*sorted(only), *one.hosts]))}",
            )


def _built(cluster: Cluster, entry: StageEntry, undo: bool) -> Iterable[Step]:
    if entry.shell is not None:
        return shell_steps(cluster, entry.id, entry.shell, undo=undo)
    builders = stage_builders()
    name = entry.stage or ""
    if name not in builders:
        raise unknown("stage", name, builders)
    try:
        return list(builders[name](cluster, entry.with_))
    except (ValueError, TypeError) as error:
        if isinstance(error, FilesWrong) or not entry.with_:
            raise
        raise FilesWrong(f"stage {name}: `with:` can't be taken: {error}") from error


def _wanted(cluster: Cluster, entry: StageEntry, step: Step, only: frozenset[str] | None) -> bool:
    if only is None and entry.on is None and entry.when is None:
        return True
    hosts = {step.host} if step.host else set(step.touches)
    if only is not None and hosts and not hosts & only:
        return False
    if entry.on is not None and not hosts & named_hosts(cluster, entry.on):
        return False
    if entry.when is None:
        return True
    if entry.when not in PREDICATES:
        raise unknown("predicate", entry.when, PREDICATES)
    predicate = PREDICATES[entry.when]
    return any(predicate(cluster, cluster.hosts[host]) for host in hosts if host in cluster.hosts)


def named_hosts(cluster: Cluster, names: str | tuple[str, ...]) -> set[str]:
    found: set[str] = set()
    for name in (names,) if isinstance(names, str) else names:
        if name in cluster.groups:
            found.update(cluster.groups[name])
        elif name in cluster.hosts:
            found.add(name)
        else:
            raise unknown("host or group", name, [*cluster.hosts, *cluster.groups])
    return found


def _in_stage(step: Step, entry: StageEntry, frontier: Frontier) -> Step:
    """The step behind what came before it, with the entry's settings."""
    before = frontier.everything() if entry.barrier else frontier.before(step)
    patience = step.patience
    if entry.deadline is not None:
        patience = replace(patience, total=parse_duration(entry.deadline))
    if entry.stall is not None:
        patience = replace(patience, stall=parse_duration(entry.stall))
    if entry.retry is not None:
        patience = replace(patience, retry=entry.retry)
    return step.with_(stage=entry.id, patience=patience, needs=step.needs | before)


def unknown(what: str, name: str, known: Iterable[Any]) -> FilesWrong:
    """An error for a name that is none of `known`, with the nearest one."""
    return FilesWrong(
        f"there is no {what} {name!r}", hint=did_you_mean(name, sorted(map(str, known)))
    )
