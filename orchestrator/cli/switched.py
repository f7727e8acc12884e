"""How a switch goes: the part of `up` that is about one deployment, the way back, and last the cluster file."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

from orchestrator.cli.drive import interruptible, show, toolbox
from orchestrator.cli.options import Site
from orchestrator.cli.playbooks import cluster_playbook, with_options
from orchestrator.cli.profile_line import ProfileLine
from orchestrator.contracts import Step
from orchestrator.errors import OrchError
from orchestrator.hosts.secrets import secret_refs
from orchestrator.plan.build import build
from orchestrator.plan.decide import Decision, lost, settled
from orchestrator.plan.part import part
from orchestrator.run.aftermath import clean_up, served, still_up
from orchestrator.run.back import Back, go_back
from orchestrator.run.converge import Aftermath, Toolbox, converge, exit_code
from orchestrator.run.events import Bus
from orchestrator.run.executor import Outcome
from orchestrator.run.observers import open_bus
from orchestrator.run.survey import host_reader, survey, worst
from orchestrator.run.world import LiveWorld
from orchestrator.spec.models import Cluster

Steps = Mapping[str, Step]


@dataclass(frozen=True)
class Switch:
    """What was asked for. `old` is None where the files as they stand are wrong: then no way leads back."""

    old: Cluster | None
    new: Site
    names: frozenset[str]  # the deployment, or its replicas
    line: ProfileLine
    write: bool
    fetch: bool
    playbook: str
    options: Mapping[str, Mapping[str, Any]]

    def forth(self) -> Steps:
        """What `up` would do for this deployment; but weights are there before what answers now is stopped."""
        wanted = {} if self.fetch else {"weights": {"fetch": False}}
        return self._steps(self.new.cluster, {**self.options, **wanted})

    def back(self) -> Steps | None:
        return None if self.old is None else self._steps(self.old, self.options)

    def _steps(self, cluster: Cluster, options: Mapping[str, Mapping[str, Any]]) -> Steps:
        book = with_options(cluster_playbook(cluster, self.playbook), options)
        return part(build(cluster, book), cluster, self.names, book)

    def unsure(self, steps: Steps) -> list[str]:
        """Models of which nobody can tell whether they are on the hosts."""
        asked = {
            self.new.cluster.deployments[name].profile.model
            for name in self.names
            if not self.fetch and f"{name}/weights" not in steps
        }
        return sorted(asked - {""})


def switched(wish: Switch, *, dry_run: bool = False) -> int:
    """Switch, and give the exit code of design §7."""
    site = wish.new
    steps, back = wish.forth(), wish.back()
    with open_bus(site.json, site.redact) as bus, interruptible() as cancel:
        bus.run_started("switch", site.cluster.name, files=site.cluster.sources, dry_run=dry_run)
        bus.note(f"{wish.line.deployment}: {wish.line.old} → {wish.line.new}")
        run = _Run(wish, steps, back, bus, cancel)
        try:
            return run.dry() if dry_run else run.whole()
        except OrchError as error:
            bus.run_done(error.exit_code, text=str(error), hint=error.hint)
            return error.exit_code


@dataclass
class _Run:
    """One switch under way."""

    wish: Switch
    steps: Steps
    back_steps: Steps | None
    bus: Bus
    cancel: threading.Event
    back: Back | None = None

    def dry(self) -> int:
        decision = self._survey(LiveWorld(self.site.cluster.hosts, host_reader(self.site.hosts)))
        if not self.site.json:
            show(decision, self.site.verbose)
        code = worst(decision.problems.values())
        self.bus.run_done(code, text="nothing was changed")
        return code

    def whole(self) -> int:
        """Look, refuse what can't be, change, write; or change back."""
        site = self.site
        world = LiveWorld(site.cluster.hosts, host_reader(site.hosts))
        decision = self._survey(world)
        code = self._refused(decision)
        if code:
            return code
        if settled(decision):
            return self._held(None, world)
        self._caution()
        tools = toolbox(site, world, self.bus, self.cancel)
        tools.aftermath = self._after
        outcome, found = converge(
            self.steps, decision, tools, lambda again: self.bus.planned(again.plan, again.problems)
        )
        code = exit_code(outcome)
        return self._failed(code, found, world) if code else self._held(outcome, world)

    @property
    def site(self) -> Site:
        return self.wish.new

    def _caution(self) -> None:
        """What one may want to press Ctrl-C for."""
        if self.back_steps is None:
            told = f"if {self.wish.line.new} does not answer, nothing leads back"
            self.bus.note(f"the files as they stand are wrong: {told}", severity="warning")
        for model in self.wish.unsure(self.steps):
            told = f"nobody can tell whether {model} is on the hosts: its engine may fetch it while nothing answers"
            self.bus.note(told, severity="warning")

    def _survey(self, world: LiveWorld) -> Decision:
        decision = survey(self.steps, world)
        self.bus.planned(decision.plan, decision.problems)
        return decision

    def _refused(self, decision: Decision) -> int:
        """The exit code where the new ranks can't come up, as far as is known by now; else 0."""
        gone = lost(decision)
        ranks = [one for one, step in self.steps.items() if step.stage == "start"]
        if not gone.intersection(ranks):
            return 0
        for one, error in decision.problems.items():
            self.bus.failed(self.steps[one], error)
        code = worst(decision.problems.values())
        told = f"nothing was touched: {self.wish.line.deployment} stays on {self.wish.line.old}"
        self.bus.note(told, severity="warning")
        self.bus.run_done(code, text=told)
        return code

    def _after(self, outcome: Outcome, tools: Toolbox) -> Aftermath:
        """Under the leases still: evidence of what failed, away with it, and the old one up again."""
        site = self.site
        found = clean_up(site.cluster, self.steps, outcome, tools, site.hosts, site.redact)
        old, steps = self.wish.old, self.back_steps
        if exit_code(outcome) and not outcome.interrupted and old and steps is not None:
            self.bus.note(f"{self.wish.line.deployment}: back to {self.wish.line.old}")
            site.secrets.turn_to(secret_refs(old.hosts, old))
            try:
                with self._also_held(tools):
                    self.back = go_back(steps, tools, self._anew)
            except OrchError as error:
                self.bus.note(str(error), host=error.host, severity="warning")
        return found

    def _also_held(self, tools: Toolbox) -> AbstractContextManager[None]:
        """Hosts that the way there did not need to hold, because the new ranks ran already."""
        hosts = {
            host for name in self.wish.names for host in self.site.cluster.deployments[name].hosts
        }
        free = frozenset(hosts) - frozenset(self.site.held)
        return tools.leases(free, frozenset()) if free else nullcontext()

    def _anew(self, tools: Toolbox) -> Toolbox:
        world = LiveWorld(self.site.cluster.hosts, host_reader(self.site.hosts))
        return toolbox(self.site, world, tools.bus, tools.cancel)

    def _held(self, outcome: Outcome | None, world: LiveWorld) -> int:
        """The new profile answers: now the file may say so."""
        line = self.wish.line
        if line.old != line.new and self.wish.write:
            line.write()
            self.bus.note(line.told)
        elif line.old != line.new:
            told = f"{line.file} still says {line.old}: the next `orch up` goes back to it"
            self.bus.note(told, severity="warning")
        told = "nothing to do" if outcome is None else ""
        found = served(self.site.cluster, self.steps, outcome, world)
        self.bus.run_done(0, text=told, served=found)
        return 0

    def _failed(self, code: int, found: Aftermath, world: LiveWorld) -> int:
        line, back = self.wish.line, self.back
        told, then = _told(line, back, code)
        self.bus.note(told, severity="warning")
        well = back is not None and back.exit_code == 0
        seen = back.world if back is not None else world
        self.bus.run_done(
            code,
            text=told,
            hint=found.hint,
            served=served(self.wish.old, self.back_steps or {}, None, seen)
            if well and self.wish.old
            else (),
            running=still_up(self.site.cluster, seen),
            evidence=found.evidence,
            then=["orch runs show last", *then],
        )
        return code


def _told(line: ProfileLine, back: Back | None, code: int) -> tuple[str, list[str]]:
    """How it stands now, and what to type next."""
    name, again = line.deployment, f"orch switch {line.deployment} {line.new}"
    if back is None:
        why = "interrupted" if code == 130 else "it can't be brought back"
        return f"{name}: {why}; the files still say {line.old}", [again, "orch up"]
    if back.exit_code:
        return f"{name} could not be brought back to {line.old}", ["orch up"]
    if back.touched:
        return f"{line.new} did not come up: {name} is back on {line.old}, which answers", []
    return f"{line.new} did not come up: {name} was not touched, {line.old} answers", []
