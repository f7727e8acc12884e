"""After a run: what answers, what is still up; and for a failed start, evidence first, then away with it.

Only a gang that this run started is taken down again; what was up before is left alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from orchestrator.contracts import Hosts, Step, World
from orchestrator.errors import OrchError
from orchestrator.plan.graph import ordered
from orchestrator.ranks.context import subject
from orchestrator.run.converge import Aftermath, Toolbox
from orchestrator.run.events import Running, Served
from orchestrator.run.evidence import gather
from orchestrator.run.executor import Executor, Outcome
from orchestrator.run.journal import runs_folder
from orchestrator.run.survey import survey
from orchestrator.run.world import LiveWorld
from orchestrator.spec.models import Cluster, Deployment
from orchestrator.spec.services import SERVICES, listens
from orchestrator.steps.answer import proof
from orchestrator.steps.down import down_steps
from orchestrator.steps.gang import has_ranks, ours
from orchestrator.steps.service import service_down_steps

SAID = 120  # characters of an answer


def clean_up(
    cluster: Cluster,
    steps: Mapping[str, Step],
    outcome: Outcome,
    tools: Toolbox,
    hosts: Hosts,
    redact: Callable[[str], str],
) -> Aftermath:
    """Evidence of every deployment that failed after it was started; then its ranks go."""
    found = Aftermath()
    for scope in failed_starts(cluster, steps, outcome):
        folder = runs_folder().parent / "evidence" / tools.bus.run / scope
        try:
            evidence = gather(cluster, cluster.deployments[scope], hosts, folder, redact)
            found.causes += evidence.causes
            found.evidence = str(folder)
        except OSError as error:  # a full disk here is no reason to leave a broken gang there
            tools.bus.note(f"no evidence is kept: {error}", severity="warning")
        if has_ranks(cluster.deployments[scope]) or f"{scope}/rank/0" in outcome.changed:
            _take_down(cluster, scope, tools)  # a project that could not be renewed may still be up
    if found.causes:
        found.hint = f"{found.causes[0].cause}: {found.causes[0].remedy}"
    return found


def failed_starts(cluster: Cluster, steps: Mapping[str, Step], outcome: Outcome) -> Iterable[str]:
    """Deployments that this run began to start, and which failed then or at once. An interrupted start goes on."""
    if outcome.interrupted:
        return []
    started = {steps[one].scope for one in outcome.sent if "/rank/" in one}
    failed = {steps[one].scope for one in outcome.errors}
    lost = {steps[one].scope for one, state in outcome.states.items() if state == "skipped"}
    return [name for name in cluster.deployments if name in started and name in failed | lost]


def _take_down(cluster: Cluster, scope: str, tools: Toolbox) -> None:
    """A failed start gets `down`'s steps, for this deployment alone."""
    every = (*down_steps(cluster, {}), *service_down_steps(cluster, {}))
    steps = ordered(step for step in every if step.scope == scope)
    decision = survey(steps, tools.world)
    tools.bus.planned(decision.plan, decision.problems)
    outcome = Executor(
        steps,
        tools.world,
        tools.apply,
        tools.bus,
        skip=decision.plan.pruned,
        clock=tools.clock,
    ).run()
    told = "not all of its ranks could be" if outcome.errors else "its ranks are"
    tools.bus.note(f"{scope} failed: {told} stopped again")


def served(
    cluster: Cluster, steps: Mapping[str, Step], outcome: Outcome | None, world: World
) -> list[Served]:
    """How to ask the deployments whose answer was seen; `outcome` None: all was as it should be."""
    found = []
    for name, deployment in cluster.deployments.items():
        answer = f"{name}/answer"
        fine = outcome is None or outcome.states.get(answer) in ("changed", "unchanged")
        if answer not in steps or not fine or deployment.port not in listens(deployment):
            continue
        key = deployment.profile.api_key
        found.append(
            Served(
                name,
                cluster.url(deployment),
                subject(deployment),
                key=f"${key.env}" if key is not None and key.env else "",
                answer=_said(cluster, deployment, world),
                path=_path(deployment),
            )
        )
    return found


def _path(deployment: Deployment) -> str:
    """What to ask: of a service the page that proved it, or its first one."""
    if deployment.profile.engine_key in SERVICES:
        return deployment.profile.ready.http or "/"
    return Served.path


def _said(cluster: Cluster, deployment: Deployment, world: World) -> str:
    """The start of what it answered, where this run has read it."""
    try:
        return world[deployment.head].get(proof(cluster, deployment)).text.strip()[:SAID]
    except OrchError:
        return ""


def still_up(cluster: Cluster, world: LiveWorld) -> list[Running]:
    """Ranks that ran when their hosts were last read."""
    found = []
    for host in cluster.hosts:
        try:
            containers = world[host].get(ours(cluster, host))
        except OrchError:
            continue
        found += [
            Running(one.labels.get("orch.deployment", ""), host, one.name)
            for one in containers
            if one.state == "running"
        ]
    return found
