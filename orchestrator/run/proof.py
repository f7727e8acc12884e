"""After a start: what its first answers went over, said once, as `orch verify-rdma --live` says it later."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from orchestrator.contracts import Step
from orchestrator.run.executor import Outcome
from orchestrator.run.world import LiveWorld
from orchestrator.steps.counters import FabricUsed


def proofs(
    steps: Mapping[str, Step], outcome: Outcome, world: LiveWorld
) -> Iterator[tuple[str, str]]:
    """(host, sentence) of each gang that was asked in this run; what is wrong its step has said itself."""
    for one in outcome.changed:
        step = steps[one]
        if not isinstance(step, FabricUsed):
            continue
        use = step.use(world)
        if use.use == "rdma":
            yield step.host, f"{use.deployment}: {use.text}"
