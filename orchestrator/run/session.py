"""One run of a playbook against real hosts: wires reader, applier, leases, events into converge."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from orchestrator.contracts import Hosts, Query, Step, World
from orchestrator.errors import CommandFailed, OutcomeUnknown
from orchestrator.hosts.reader import read, script_with_reads, split_reads
from orchestrator.run.world import LiveWorld, Reads
from orchestrator.script import Request, Result, Script
from orchestrator.spec.models import Cluster


def host_reader(hosts: Hosts) -> Callable[[Reads], World]:
    """Asks hosts anew: one script per host, all at once."""
    return lambda wanted: read(hosts, wanted, {})


@dataclass
class HostApplier:
    """Sends a step's script with the step's own reads behind it: one round trip."""

    hosts: Hosts
    world: LiveWorld
    sent: dict[str, int] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, step: Step, script: Script) -> None:
        if step.host is None:
            raise TypeError(f"{step.id} has no host to apply to")
        here = _scripted(step, step.host)
        with self.lock:
            self.sent[step.id] = self.sent.get(step.id, 0) + 1
        try:
            results = self.hosts.run(step.host, script_with_reads(script, here))
        except OutcomeUnknown:
            self.world.read(
                step.reads
            )  # look; the check that follows decides, nothing is repeated blindly
            return
        own, answers = split_reads(results, here)
        _raise_failed(step, script, own)
        wanted = frozenset((step.host, query) for query in here)
        self.world.take(wanted, {step.host: answers})
        self.world.read(step.reads - wanted)


def _scripted(step: Step, host: str) -> frozenset[Query[Any]]:
    return frozenset(
        query
        for where, query in step.reads
        if where == host and not isinstance(query.ask(), Request)
    )


def _raise_failed(step: Step, script: Script, results: Mapping[str, Result]) -> None:
    for name in script.commands:
        result = results.get(name)
        if result is None or result.rc != 0:
            raise _failure(step, name, result)


def _failure(step: Step, name: str, result: Result | None) -> CommandFailed:
    if result is None:
        return CommandFailed(f"{name} was not run", host=step.host, step=step.id)
    if result.rc in (124, 137):
        return CommandFailed(
            f"{name} took longer than its limit and was ended (exit {result.rc})",
            host=step.host,
            step=step.id,
        )
    said = (result.err.strip() or result.out.strip()).decode(errors="replace")
    tail = "; ".join(said.splitlines()[-3:])[-400:]
    return CommandFailed(
        f"{name} failed (exit {result.rc}): {tail or 'it said nothing'}",
        host=step.host,
        step=step.id,
    )


def hosts_of(cluster: Cluster, steps: Mapping[str, Step]) -> frozenset[str]:
    """Every host that the steps touch."""
    return frozenset(host for step in steps.values() for host in step.touches) & set(cluster.hosts)
