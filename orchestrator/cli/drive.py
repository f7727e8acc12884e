"""How `up`, `down`, `run` and `plan` go: the same road, another playbook. Shows, never decides."""

from __future__ import annotations

import shlex
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, Any

import click

from orchestrator.cli.options import Site
from orchestrator.cli.playbooks import cluster_playbook, with_options
from orchestrator.cli.terminal import columns, waiting, wrapped
from orchestrator.contracts import Step
from orchestrator.errors import OrchError
from orchestrator.plan.build import build
from orchestrator.plan.decide import Decision, settled
from orchestrator.plan.show import counts, lines
from orchestrator.run.events import Bus, Served
from orchestrator.run.observers import open_bus
from orchestrator.run.survey import host_reader, survey, worst
from orchestrator.run.world import LiveWorld

if TYPE_CHECKING:  # what carries a plan out is loaded when there is something to do
    from orchestrator.run.converge import Toolbox
    from orchestrator.run.executor import Outcome

COUNTED = {
    "change": "to change",
    "later": "decided later",
    "unchanged": "as they should be",
    "wrong": "wrong",
}
INTERRUPTED = "interrupted: what has begun on a host goes on to its end; once more to leave at once"


def look(site: Site, playbook: str) -> Decision:
    """Read the hosts and show what a playbook would change."""
    steps = build(site.cluster, cluster_playbook(site.cluster, playbook), site.only)
    world = LiveWorld(site.cluster.hosts, host_reader(site.hosts))
    with waiting("looking at the hosts"):
        decision = survey(steps, world)
    if not site.json:
        show(decision, site.verbose)
    return decision


def show(decision: Decision, verbose: bool = False) -> None:
    """A plan for a person."""
    for style, text in lines(decision, verbose):
        if style == "bold":
            click.secho(text, bold=True)
        elif style in ("dim", "names"):
            click.secho(wrapped(text, columns(), 4) if style == "names" else text, dim=True)
        else:
            click.secho(text, fg=style)
    found = counts(decision)
    said = [f"{found[name]} {word}" for name, word in COUNTED.items() if found[name]]
    click.echo(", ".join(["nothing to change", *said] if settled(decision) else said))


def drive(
    site: Site,
    playbook: str,
    *,
    dry_run: bool = False,
    undo: bool = False,
    options: Mapping[str, Mapping[str, Any]] | None = None,
) -> int:
    """Run a playbook to its end and give the exit code of design §7. `options`: stage → more of its `with:`."""
    book = with_options(cluster_playbook(site.cluster, playbook), options or {})
    steps = build(site.cluster, book, site.only, undo=undo)
    with open_bus(site.json, site.redact) as bus, interruptible() as cancel:
        bus.run_started(playbook, site.cluster.name, files=site.cluster.sources, dry_run=dry_run)
        try:
            return _driven(site, playbook, steps, bus, cancel, dry_run)
        except OrchError as error:
            bus.run_done(error.exit_code, text=str(error), hint=error.hint)
            return error.exit_code


def _driven(
    site: Site,
    playbook: str,
    steps: Mapping[str, Step],
    bus: Bus,
    cancel: threading.Event,
    dry_run: bool,
) -> int:
    world, decision = surveyed(site, steps, bus)
    if dry_run:
        if not site.json:
            show(decision, site.verbose)
        code = worst(decision.problems.values())
        bus.run_done(code, text="nothing was changed")
        return code
    if settled(decision):
        bus.run_done(0, text="nothing to do", served=_answering(site, steps, world))
        return 0
    return _carried_through(site, playbook, steps, decision, toolbox(site, world, bus, cancel))


def _answering(site: Site, steps: Mapping[str, Step], world: LiveWorld) -> list[Served]:
    """Deployments whose answer was asked for and seen."""
    if not any(f"{name}/answer" in steps for name in site.cluster.deployments):
        return []
    from orchestrator.run.aftermath import served  # all that is known of ranks: a while to load

    return served(site.cluster, steps, None, world)


def _carried_through(
    site: Site, playbook: str, steps: Mapping[str, Step], decision: Decision, tools: Toolbox
) -> int:
    """Do what is to be done, and tell what came of it."""
    from orchestrator.run.aftermath import clean_up, served, still_up  # a while to load
    from orchestrator.run.converge import converge, exit_code
    from orchestrator.run.proof import proofs

    bus, world = tools.bus, tools.world
    tools.aftermath = lambda outcome, tools: clean_up(
        site.cluster, steps, outcome, tools, site.hosts, site.redact
    )
    outcome, found = converge(steps, decision, tools, replanned(bus))
    for host, text in proofs(steps, outcome, world):
        bus.note(text, host=host)
    code = exit_code(outcome)
    bus.run_done(
        code,
        hint=found.hint,
        served=served(site.cluster, steps, outcome, world),
        running=still_up(site.cluster, world) if code else (),
        evidence=found.evidence,
        then=_then(site, playbook, code),
    )
    return code


def surveyed(site: Site, steps: Mapping[str, Step], bus: Bus) -> tuple[LiveWorld, Decision]:
    """What the hosts say, and the plan that follows, told."""
    world = LiveWorld(site.cluster.hosts, host_reader(site.hosts))
    decision = survey(steps, world)
    bus.planned(decision.plan, decision.problems)
    return world, decision


def replanned(bus: Bus) -> Callable[[Decision], None]:
    """A plan that has changed under the lease is told again."""
    return lambda again: bus.planned(again.plan, again.problems)


def carried_out(
    site: Site, steps: Mapping[str, Step], bus: Bus, cancel: threading.Event
) -> tuple[LiveWorld, Outcome]:
    """Steps from first read to last outcome, for a verb that makes a document of what they left."""
    from orchestrator.run.converge import converge

    world, decision = surveyed(site, steps, bus)
    outcome, _ = converge(steps, decision, toolbox(site, world, bus, cancel), replanned(bus))
    return world, outcome


@contextmanager
def told_beside(site: Site) -> Iterator[tuple[Bus, threading.Event]]:
    """A run whose verb prints a document: with --json that has stdout, and the run is told on stderr."""
    stream = sys.stderr if site.json else sys.stdout
    with open_bus(redact=site.redact, stream=stream) as bus, interruptible() as cancel:
        yield bus, cancel


def toolbox(site: Site, world: LiveWorld, bus: Bus, cancel: threading.Event) -> Toolbox:
    """What a run on the site's hosts needs."""
    from orchestrator.run.converge import Toolbox
    from orchestrator.run.session import HostApplier, host_leases

    return Toolbox(
        world=world,
        apply=HostApplier(site.hosts, world, bus, cancel),
        bus=bus,
        leases=host_leases(site.hosts, site.held, world, bus, cancel),
        cancel=cancel,
    )


def _then(site: Site, playbook: str, code: int) -> list[str]:
    """What to type next."""
    if code == 0:
        return []
    verb = [playbook] if playbook in ("up", "down") else ["run", playbook]
    again = shlex.join(["orch", *verb, *site.words])
    return [again] if code == 130 else ["orch runs show last", again]


@contextmanager
def interruptible() -> Iterator[threading.Event]:
    """Ctrl-C, SIGTERM and a lost terminal set the event; a second one ends the program at once.

    `nohup orch up` outlives its terminal.
    """
    cancel = threading.Event()

    def stop(signum: int, frame: FrameType | None) -> None:
        if cancel.is_set():
            raise KeyboardInterrupt
        cancel.set()
        # not from here: what the signal broke into may be writing itself
        threading.Thread(target=click.echo, args=(INTERRUPTED,), kwargs={"err": True}).start()

    caught = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
        caught.append(signal.SIGHUP)
    before = {one: signal.signal(one, stop) for one in caught}
    try:
        yield cancel
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)
