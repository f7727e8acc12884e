"""`orch verify-rdma --live`: one request to what runs, and whether the devices of its NCCL_IB_HCA carried it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict

import click

from orchestrator.cli.options import Site
from orchestrator.errors import Failed, FilesWrong, OrchError, Unreachable, unasked
from orchestrator.facts.answers import Container
from orchestrator.facts.probe import said
from orchestrator.facts.rdma_counters import Counters, Port, ReadRdmaCounters
from orchestrator.hosts.reader import read
from orchestrator.rdma.live import Live, devices_of, environment_of, judged, through
from orchestrator.spec.models import Deployment
from orchestrator.steps.counters import request
from orchestrator.steps.gang import ours

COLOURS = {"rdma": "green", "partly": "yellow", "tcp": "red", "unknown": "magenta"}
VERSION = 1  # of the JSON form, docs/json.md


def live(site: Site) -> int:
    """Ask each deployment that spans hosts. Exit 0 only if all of its devices carried data."""
    spread = [one for one in site.cluster.deployments.values() if len(set(one.hosts)) > 1]
    if site.only is not None:
        spread = [one for one in spread if site.only & set(one.hosts)]
    if not spread:
        raise FilesWrong(
            "no deployment spans several hosts",
            hint="--live looks at what cluster.yaml says that runs; without it the links are measured",
        )
    found: list[Live] = []
    lost: list[OrchError] = []
    for one in spread:
        try:
            found.append(looked(site, one))
        except OrchError as error:
            lost += [error] if isinstance(error, Unreachable | FilesWrong) else []
            found.append(Live(one.name, "unknown", f"not known: {error}"))
    _show(site, found)
    if lost:
        return unasked(lost)
    return int(any(one.use != "rdma" for one in found))


def looked(site: Site, deployment: Deployment) -> Live:
    """One deployment: counters of all hosts, a request, counters again."""
    ranks = running(site, deployment)
    ports = {
        host: devices_of(environment_of(rank.labels.get("orch.spec")))
        for host, rank in ranks.items()
    }
    if not any(ports.values()):
        return judged(deployment.name, ())
    before = counters(site, ports)
    asked = site.hosts.run(
        deployment.head, request(site.cluster, deployment, ranks[deployment.head].name)
    )
    if asked["ask"].rc != 0:
        why = said(asked["ask"])
        raise Failed(f"{deployment.name} gave no answer: {why}", host=deployment.head)
    after = counters(site, ports)
    each = tuple(
        through(host, port, before[host], after[host]) for host in ports for port in ports[host]
    )
    return judged(deployment.name, each)


def running(site: Site, deployment: Deployment) -> Mapping[str, Container]:
    """The deployment's container on each of its hosts, as it runs now."""
    world = read(site.hosts, {(host, ours(site.cluster, host)) for host in deployment.hosts})
    found = {}
    for host in dict.fromkeys(deployment.hosts):
        if host in world.errors:
            raise world.errors[host]
        mine = [
            one
            for one in world[host].get(ours(site.cluster, host))
            if one.labels.get("orch.deployment") == deployment.name and one.state == "running"
        ]
        if not mine:
            raise Failed(f"{deployment.name} does not run on {host}", host=host, hint="orch up")
        found[host] = mine[0]
    return found


def counters(site: Site, ports: Mapping[str, tuple[Port, ...]]) -> Mapping[str, Counters]:
    """All hosts at once."""
    world = read(site.hosts, {(host, ReadRdmaCounters()) for host in ports})
    for error in world.errors.values():
        raise error
    return {host: world[host].get(ReadRdmaCounters()) for host in ports}


def _show(site: Site, found: list[Live]) -> None:
    if site.json:
        document = {"version": VERSION, "deployments": [asdict(one) for one in found]}
        click.echo(json.dumps(document, indent=2, ensure_ascii=False))
        return
    for one in found:
        click.echo(f"{click.style(one.deployment, bold=True)}  ", nl=False)
        click.secho(one.text, fg=COLOURS[one.use])
        for part in one.through:
            click.echo(f"  {part.said}")
