"""The words of a playbook that only code knows: stages, their options, predicates, policies, hosts."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from orchestrator.meant import did_you_mean
from orchestrator.plan.predicates import PREDICATES
from orchestrator.plan.stages import stage_builders, stage_options
from orchestrator.spec.models import Cluster
from orchestrator.spec.playbook import PlaybookFile, StageEntry

Wrong = tuple[tuple[str | int, ...], str, str]  # where, what is wrong, what to write


def wrong_words(book: PlaybookFile, cluster: Cluster, policies: Collection[str]) -> Iterator[Wrong]:
    """Every word of a playbook that nobody knows."""
    for index, entry in enumerate(book.stages):
        for path, what, word, known in _words(entry, cluster, policies):
            if word not in known:
                hint = did_you_mean(word, sorted(known))
                yield ("stages", index, *path), f"there is no {what} {word[:60]!r}", hint


def _words(
    entry: StageEntry, cluster: Cluster, policies: Collection[str]
) -> Iterator[tuple[tuple[str | int, ...], str, str, Collection[str]]]:
    """Each word with its place, what it should be, and what there is of that."""
    if entry.stage is not None:
        yield ("stage",), "stage", entry.stage, stage_builders()
        for option in entry.with_:
            known = stage_options().get(entry.stage, ())
            yield ("with", option), f"option of {entry.stage}", option, known
    if entry.when is not None:
        yield ("when",), "predicate", entry.when, PREDICATES
    if entry.retry is not None:
        yield ("retry",), "retry policy", entry.retry, policies
    hosts = [*cluster.hosts, *cluster.groups]
    if isinstance(entry.on, str):
        yield ("on",), "host or group", entry.on, hosts
    for index, name in enumerate(() if isinstance(entry.on, str) else entry.on or ()):
        yield ("on", index), "host or group", name, hosts
