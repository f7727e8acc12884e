"""What a run begins with, and ends with where nothing is to do: read the hosts, decide."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from orchestrator.contracts import Hosts, Step
from orchestrator.errors import OrchError, Unreachable
from orchestrator.hosts.reader import Answers, read
from orchestrator.plan.decide import Decision, decide, first_reads
from orchestrator.run.world import LiveWorld, Reader, Reads


def host_reader(hosts: Hosts) -> Reader:
    """Asks hosts anew, one script per host, all at once. An unreachable host answers with that error."""

    def reader(wanted: Reads) -> Mapping[str, Answers]:
        reading = read(hosts, wanted)
        lost = {host: _lost(host, error, wanted) for host, error in reading.errors.items()}
        return {**reading, **lost}

    return reader


def _lost(host: str, error: OrchError, wanted: Reads) -> Answers:
    return Answers(host, {query: error for where, query in wanted if where == host})


def survey(steps: Mapping[str, Step], world: LiveWorld) -> Decision:
    """Read the hosts and decide."""
    world.read(first_reads(steps))
    return settle(steps, world)


def settle(steps: Mapping[str, Step], world: LiveWorld) -> Decision:
    """Decide, and ask what is still missing: HTTP and the like, where the rest is as it should be."""
    decision = decide(steps, world)
    while decision.missing:
        unread = frozenset(read for read in decision.missing if not world.known(frozenset({read})))
        if not unread:
            break
        world.read(unread)
        decision = decide(steps, world)
    return decision


def worst(errors: Iterable[OrchError]) -> int:
    """One exit code for many errors: theirs if they agree, else unreachable before the others."""
    codes = {error.exit_code for error in errors}
    if len(codes) <= 1:
        return next(iter(codes), 0)
    return Unreachable.exit_code if Unreachable.exit_code in codes else 1
