"""The run behind `orch verify-rdma`: its playbook carried out, and a verdict from what it left."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

from orchestrator.cli.drive import carried_out, told_beside
from orchestrator.cli.options import Site
from orchestrator.cli.playbooks import cluster_playbook, with_options
from orchestrator.contracts import Step
from orchestrator.errors import OrchError, Refused, Unreachable
from orchestrator.network.topology import plan_fabric
from orchestrator.plan.build import build
from orchestrator.rdma.answers import FabricVerdict
from orchestrator.rdma.words import headline
from orchestrator.run.events import Bus
from orchestrator.run.executor import Outcome
from orchestrator.run.fabric import Fabrics
from orchestrator.run.survey import worst
from orchestrator.steps.measure import Wanted

PLAYBOOK = "verify-rdma"
STAGES = ("fabric-tools", "measure")


def measured(site: Site, options: Mapping[str, Any]) -> tuple[FabricVerdict | None, int]:
    """The verdict and the exit code; no verdict where nothing could be begun. With --json the run is told on stderr."""
    with told_beside(site) as (bus, cancel):
        options = {**options, "run": bus.run}
        wanted = Wanted.of(options)
        book = cluster_playbook(site.cluster, PLAYBOOK)
        book = with_options(book, dict.fromkeys(STAGES, options))
        steps = build(site.cluster, book, _hosts(site, wanted))
        bus.run_started(PLAYBOOK, site.cluster.name, files=site.cluster.sources)
        try:
            return _measured(site, wanted, steps, bus, cancel)
        except OrchError as error:
            bus.run_done(error.exit_code, text=str(error), hint=error.hint)
            return None, error.exit_code


def _hosts(site: Site, wanted: Wanted) -> frozenset[str]:
    """The hosts that have something to measure."""
    chosen = wanted.pairs(plan_fabric(site.cluster))
    return frozenset(host for pair in chosen for host in (pair.first, pair.second))


def _measured(
    site: Site, wanted: Wanted, steps: Mapping[str, Step], bus: Bus, cancel: threading.Event
) -> tuple[FabricVerdict, int]:
    world, outcome = carried_out(site, steps, bus, cancel)
    verdict = Fabrics(site.cluster, wanted, world).verdict(_notes(outcome))
    code = exit_code(verdict, outcome)
    bus.run_done(code, text=headline(verdict), then=["orch verify-rdma --history"] if code else [])
    return verdict, code


def _notes(outcome: Outcome) -> list[str]:
    """What kept hosts from being measured."""
    told = {}
    for error in outcome.errors.values():
        told[str(error)] = f"{error}; {error.hint}" if error.hint else str(error)
    return list(told.values())


def exit_code(verdict: FabricVerdict, outcome: Outcome) -> int:
    """Degraded is 0 and said: it works. What is not known is never 0."""
    if outcome.interrupted:
        return 130
    grave = [e for e in outcome.errors.values() if isinstance(e, Unreachable | Refused)]
    if grave:
        return worst(grave)
    if outcome.errors:
        return worst(outcome.errors.values())
    return int(verdict.state in ("failed", "unknown"))
