"""`orch verify-rdma --nccl`: what NCCL makes of the fabric, and which network it chose."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from typing import Any

import click

from orchestrator.cli.drive import interruptible, toolbox
from orchestrator.cli.options import Site
from orchestrator.cli.playbooks import cluster_playbook, with_options
from orchestrator.errors import FilesWrong, OrchError
from orchestrator.facts.rank_log import RankLog
from orchestrator.hosts.pool import run_all
from orchestrator.plan.build import build
from orchestrator.rdma.answers import Said
from orchestrator.rdma.nccl import Busbw, measured
from orchestrator.run.converge import converge, exit_code, survey
from orchestrator.run.observers import open_bus
from orchestrator.run.session import host_reader
from orchestrator.run.world import LiveWorld
from orchestrator.runtimes import runtime
from orchestrator.script import Command, Script
from orchestrator.spec.models import Deployment
from orchestrator.steps.gang import log_read, ours
from orchestrator.steps.nccl import COLLECTIVES, LINES, nccl_name

VERSION = 1  # of the JSON form, docs/json.md
PLAYBOOK = "verify-nccl"


def nccl(site: Site) -> int:
    """Run both collectives for each deployment over hosts. Exit 0 only with a number over RDMA for each."""
    spread = [one for one in site.cluster.deployments.values() if len(set(one.hosts)) > 1]
    if site.only is not None:
        spread = [one for one in spread if set(one.hosts) <= site.only]
    if not spread:
        raise FilesWrong(
            "no deployment spans several hosts",
            hint="--nccl runs in the image of a deployment of cluster.yaml, on its hosts",
        )
    stream = sys.stderr if site.json else sys.stdout
    with open_bus(redact=site.redact, stream=stream) as bus, interruptible() as cancel:
        options = {"run": bus.run, "hosts": site.only}
        book = with_options(cluster_playbook(site.cluster, PLAYBOOK), {"nccl": options})
        steps = build(site.cluster, book, site.only)
        bus.run_started("verify-rdma --nccl", site.cluster.name, files=site.cluster.sources)
        world = LiveWorld(site.cluster.hosts, host_reader(site.hosts))
        try:
            decision = survey(steps, world)
            bus.planned(decision.plan, decision.problems)
            tools = toolbox(site, world, bus, cancel)
            outcome, _ = converge(steps, decision, tools, lambda again: None)
        except OrchError as error:
            bus.run_done(error.exit_code, text=str(error), hint=error.hint)
            return error.exit_code
        code = exit_code(outcome)
        found = {one.name: _collected(world, site, one) for one in spread} if not code else {}
        remove(site, spread)
        passed = all(one.reason is None for each in found.values() for one in each)
        code = code or int(not passed)
        bus.run_done(code)
    _show(site, found, code)
    return code


def _collected(world: LiveWorld, site: Site, deployment: Deployment) -> list[Busbw]:
    """Each collective from what its ranks wrote."""
    found = []
    for collective in COLLECTIVES:
        logs: list[RankLog] = []
        codes: list[int | None] = []
        for index, host in enumerate(deployment.hosts):
            name = nccl_name(site.cluster.name, deployment.name, collective, index)
            query = log_read(site.cluster, host, name, LINES)
            world.read(frozenset({(host, query)}))
            logs.append(world[host].get(query))
            mine = [one for one in world[host].get(ours(site.cluster, host)) if one.name == name]
            codes.append(mine[0].exit_code if mine else None)
        bad = next((code for code in codes if code != 0), 0)
        out, *others = ["\n".join(one.lines) for one in logs]
        found.append(measured(collective, Said(bad, f"{out}\n", "\n".join(others))))
    return found


def remove(site: Site, spread: list[Deployment]) -> None:
    """The containers of the test go, whatever came of them."""
    scripts: dict[str, dict[str, Command]] = {}
    for one in spread:
        for collective in COLLECTIVES:
            for index, host in enumerate(one.hosts):
                name = nccl_name(site.cluster.name, one.name, collective, index)
                kind = runtime(site.cluster.hosts[host].runtime)
                for label, command in kind.stop(name, 1).commands.items():
                    scripts.setdefault(host, {})[f"{name}/{label}"] = command
    run_all(site.hosts, {host: Script(each, mutates=True) for host, each in scripts.items()})


def _show(site: Site, found: dict[str, list[Busbw]], code: int) -> None:
    if site.json:
        told: dict[str, Any] = {
            name: [asdict(one) | {"why": one.reason and asdict(one.reason)} for one in each]
            for name, each in found.items()
        }
        document = {"version": VERSION, "exit_code": code, "deployments": told}
        click.echo(json.dumps(document, indent=2, ensure_ascii=False))
        return
    for name, each in found.items():
        for one in each:
            rate = "no number" if one.gbytes_per_s is None else f"{one.gbytes_per_s:.2f} GB/s"
            click.echo(f"{name}  {one.collective:<11} {rate}  over {one.chosen.network}")
            if one.reason is not None:
                click.secho(f"  cause  {one.reason.cause}\n  do     {one.reason.remedy}", fg="red")
