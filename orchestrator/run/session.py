"""Wires a run to real hosts: how facts are read, how a step is sent, how hosts are held."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

from orchestrator.contracts import Hosts, Step
from orchestrator.errors import CommandFailed, OrchError, OutcomeUnknown
from orchestrator.framing import Held
from orchestrator.hosts.reader import apply_and_read
from orchestrator.knowledge import diagnose
from orchestrator.run.events import Bus
from orchestrator.run.lease import myself
from orchestrator.run.leases import Leases
from orchestrator.run.retry import retrying
from orchestrator.run.world import LiveWorld, Reads
from orchestrator.script import Result, Script


@dataclass
class HostApplier:
    """Sends a step's script with the step's own reads behind it: one round trip."""

    hosts: Hosts
    world: LiveWorld
    bus: Bus
    cancel: threading.Event

    def __call__(self, step: Step, script: Script) -> None:
        if step.host is None:
            raise TypeError(f"{step.id} has no host to apply to")
        host = step.host
        here = frozenset(read for read in step.reads if read[0] == host)
        again = retrying(
            step.patience.retry if step.patience.retry != "none" else "connect",
            self.cancel,
            lambda error, attempt, wait: self.bus.retrying(step, error, attempt, wait),
        )
        try:
            results, answers = again(
                apply_and_read, self.hosts, host, script, [query for _, query in here]
            )
        except OutcomeUnknown:
            self.world.read(
                step.reads
            )  # look; the check that follows decides, nothing is repeated blindly
            return
        _raise_failed(step, script, results)
        self.world.take({host: answers})
        self.world.read(step.reads - here)


def _raise_failed(step: Step, script: Script, results: Mapping[str, Result]) -> None:
    for name in script.commands:
        result = results.get(name)
        if result is None or result.rc != 0:
            raise _failure(step, name, result)


def _failure(step: Step, name: str, result: Result | None) -> CommandFailed:
    if result is None:
        return CommandFailed(f"{name!r} was not run", host=step.host, step=step.id)
    if result.rc in (124, 137):
        return CommandFailed(
            f"{name!r} was ended after {result.seconds:.0f} s (exit {result.rc}): that is its limit",
            host=step.host,
            step=step.id,
            hint=f"is {step.host} busy, or a disk or network of it slow? the next run begins there",
        )
    said = (result.err.strip() or result.out.strip()).decode(errors="replace")
    tail = "; ".join(said.splitlines()[-3:])[-400:]
    known = next(iter(diagnose(said)), None)
    return CommandFailed(
        f"{name!r} failed (exit {result.rc}): {tail or 'it said nothing'}",
        host=step.host,
        step=step.id,
        hint=known.remedy if known is not None else "",
    )


def host_leases(
    hosts: Hosts, held: dict[str, Held], world: LiveWorld, bus: Bus, cancel: threading.Event
) -> Callable[[frozenset[str], Reads], AbstractContextManager[None]]:
    """Takes the leases of a run on all hosts or on none, renews them, gives them back."""

    gone: list[OrchError] = []

    def lost(host: str, error: OrchError) -> None:
        gone.append(error)
        bus.lease(host, "lost", why=str(error))
        cancel.set()

    @contextmanager
    def hold(names: frozenset[str], reads: Reads) -> Iterator[None]:
        leases = Leases(hosts, held, myself(bus.run), on_lost=lost)
        here = frozenset(read for read in reads if read[0] in names)
        for host, lease in leases.acquire(sorted(names), here).items():
            bus.lease(host, "taken", owner=lease.owner, since=lease.since, until=lease.until)
        leases.start()
        try:
            world.take(leases.reading)
            yield
        finally:
            leases.release()
        if gone:
            raise gone[0]

    return hold
