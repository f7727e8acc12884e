"""`orch verify-rdma --nccl`: what NCCL makes of the fabric, and which network it chose."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

import click

from orchestrator.cli.drive import carried_out, told_beside
from orchestrator.cli.options import Site
from orchestrator.cli.playbooks import cluster_playbook, with_options
from orchestrator.contracts import Step
from orchestrator.errors import FilesWrong, OrchError
from orchestrator.facts.rank_log import RankLog
from orchestrator.hosts.pool import run_all
from orchestrator.hosts.reader import Reading, read
from orchestrator.plan.build import build
from orchestrator.rdma.answers import Said
from orchestrator.rdma.live import environment_of
from orchestrator.rdma.nccl import Busbw, measured
from orchestrator.run.converge import exit_code
from orchestrator.run.events import Bus
from orchestrator.run.executor import Outcome
from orchestrator.run.world import LiveWorld
from orchestrator.runtimes import runtime
from orchestrator.script import Command, Script
from orchestrator.spec.models import Deployment
from orchestrator.steps.gang import log_read, ours
from orchestrator.steps.nccl import COLLECTIVES, LINES, NcclStart, nccl_name

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
    with told_beside(site) as (bus, cancel):
        code, found = _ran(site, spread, bus, cancel)
    _show(site, found, code)
    return code


def _ran(
    site: Site, spread: list[Deployment], bus: Bus, cancel: threading.Event
) -> tuple[int, dict[str, list[Busbw]]]:
    """Both collectives of each, and nothing of them left behind, however it ended."""
    options = {"run": bus.run, "hosts": site.only}
    book = with_options(cluster_playbook(site.cluster, PLAYBOOK), {"nccl": options})
    steps = build(site.cluster, book, site.only)
    bus.run_started("verify-rdma --nccl", site.cluster.name, files=site.cluster.sources)
    hosts = {host for one in spread for host in one.hosts}
    found: dict[str, list[Busbw]] = {}
    text, hint = "", ""
    try:
        world, outcome = carried_out(site, steps, bus, cancel)
        hosts = begun(steps, outcome)
        code = exit_code(outcome)
        if not code:
            found = {one.name: _collected(world, site, one) for one in spread}
            code = int(any(one.reason is not None for each in found.values() for one in each))
    except OrchError as error:
        code, text, hint = error.exit_code, str(error), error.hint or ""
    finally:
        left = remove(site, hosts, bus.run)
    for note in left:
        bus.note(note, severity="warning")
    code = code or int(bool(left))
    bus.run_done(code, text=text, hint=hint)
    return code, found


def begun(steps: Mapping[str, Step], outcome: Outcome) -> set[str]:
    """Hosts on which a container may have been started."""
    return {
        step.host
        for one, step in steps.items()
        if isinstance(step, NcclStart) and outcome.states.get(one) in ("changed", "failed")
    }


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


def remove(site: Site, hosts: Iterable[str], run: str) -> list[str]:
    """This run's containers go, and no other's; told is what could not be seen to be gone."""
    chosen = sorted(hosts)
    told: list[str] = []
    reading = read(site.hosts, {(host, ours(site.cluster, host)) for host in chosen})
    stops = {}
    for host in chosen:
        kind = runtime(site.cluster.hosts[host].runtime)
        commands: dict[str, Command] = {}
        for name in _of_run(site, reading, host, run, told):
            commands |= {
                f"{name}/{label}": each for label, each in kind.stop(name, 1).commands.items()
            }
        if commands:
            stops[host] = Script(commands, mutates=True)
    run_all(site.hosts, stops)
    again = read(site.hosts, {(host, ours(site.cluster, host)) for host in stops})
    for host in stops:
        names = _of_run(site, again, host, run, told)
        told += [
            f"{host}: the container {name} is still there: remove it by hand" for name in names
        ]
    return told


def _of_run(site: Site, reading: Reading, host: str, run: str, told: list[str]) -> list[str]:
    """Names of the run's containers on a host; that it could not be asked is told."""
    try:
        if host in reading.errors:
            raise reading.errors[host]
        found = reading[host].get(ours(site.cluster, host))
    except OrchError as error:
        told.append(f"{host}: whether containers of the test are left is not known: {error}")
        return []
    return [
        one.name
        for one in found
        if environment_of(one.labels.get("orch.spec")).get("ORCH_RUN") == run
    ]


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
            click.echo(
                f"{name}  {one.collective:<11} {rate}  over {one.chosen.network}"
                + (f"  by {one.tool}" if one.tool else "")
            )
            if one.reason is not None:
                click.secho(f"  cause  {one.reason.cause}\n  do     {one.reason.remedy}", fg="red")
