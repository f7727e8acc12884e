"""`orch status`: what runs, whether it answers, and what runs that the files do not know."""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import asdict, replace

import click

from orchestrator.cli.options import Site, cluster_options
from orchestrator.cli.terminal import columns, waiting
from orchestrator.errors import OrchError
from orchestrator.facts.lease import LeaseState
from orchestrator.hosts.reader import read
from orchestrator.observe.status import (
    DeploymentStatus,
    Reply,
    Status,
    judge,
    narrowed,
    questions,
    seen,
    to_ask,
    wanted_ranks,
)
from orchestrator.run.record import span
from orchestrator.spec.models import Deployment
from orchestrator.steps.answer import proof
from orchestrator.table import Cell, table

VERSION = 1  # of the JSON form, docs/json.md
COLOURS = {
    "answers": "green",
    "done": "green",
    "failed": "red",
    "running": "green",
    "starting": "yellow",
    "partly": "yellow",
    "silent": "red",
    "down": "red",
    "unknown": "magenta",
    "missing": "red",
    "exited": "red",
    "unhealthy": "red",
}


@click.command()
@cluster_options(purpose="look")
def status(site: Site) -> None:
    """Show deployments, ranks, endpoints, strangers; exit 0 only if every deployment answers."""
    with waiting("looking at the hosts"):
        found = look(site)
    if site.json:
        click.echo(json.dumps(_document(found), indent=2, ensure_ascii=False))
    else:
        for line in _lines(found):
            click.echo(line)
    sys.exit(found.exit_code)


def look(site: Site) -> Status:
    """One script a host, then one question for each deployment whose head runs."""
    cluster = narrowed(site.cluster, site.only)
    hosts = list(cluster.hosts.values())
    wanted = questions(cluster, hosts)
    world = read(site.hosts, wanted)
    found = {one.name: seen(one, wanted, world, world.errors.get(one.name)) for one in hosts}
    ranks = wanted_ranks(cluster)
    told = judge(cluster, ranks, found, _replies(site, to_ask(cluster, ranks, found)))
    strangers = tuple(one for one in told.strangers if site.only is None or one.host in site.only)
    return replace(told, strangers=strangers)  # of another host of a gang, not all is known


def _replies(site: Site, asked: list[Deployment]) -> dict[str, Reply]:
    """What each said; an answer that can't be read is no answer."""
    queries = {one.name: proof(site.cluster, one) for one in asked}
    reads = frozenset((one.head, queries[one.name]) for one in asked)
    if not reads:
        return {}
    world = read(site.hosts, reads)
    replies = {}
    for one in asked:
        try:
            answer = world[one.head].get(queries[one.name])
        except OrchError as error:
            replies[one.name] = Reply(False, str(error))
            continue
        replies[one.name] = Reply(answer.answered, answer.why, getattr(answer, "state", ""))
    return replies


def _document(found: Status) -> dict[str, object]:
    form = asdict(found)
    form["unreachable"] = {host: str(error) for host, error in found.unreachable.items()}
    form["leases"] = {host: _lease(one) for host, one in found.leases.items()}
    for deployment in form["deployments"]:
        deployment["ranks"] = [rank.pop("rank") | rank for rank in deployment["ranks"]]
    return {"version": VERSION, "exit_code": found.exit_code, **form}


def _lease(one: LeaseState) -> dict[str, object]:
    """Without the token: it is nobody else's."""
    told = {name: getattr(one, name) for name in ("owner", "run", "since", "until")}
    return {**told, "expired": one.expired}


def _lines(found: Status) -> Iterator[str]:
    if not found.deployments:
        yield f"{found.cluster} has no deployments"
    else:
        yield from _deployments(found.deployments)
        yield ""
        yield from _ranks(found)
    if found.strangers:
        yield "\n" + click.style("not in the files", bold=True)
        yield from (f"  {one.host}: {one.what}" for one in found.strangers)
    if found.leases or found.jobs:
        yield "\n" + click.style("under way", bold=True)
        yield from (f"  {text}" for text in _under_way(found))
    if found.unreachable:
        yield "\n" + click.style("could not be asked", bold=True, fg="red")
        yield from (f"  {host}: {_without(host, e)}" for host, e in found.unreachable.items())
    if found.unread:
        yield "\n" + click.style("not known", bold=True)
        yield from (f"  {text}" for text in found.unread)


def _under_way(found: Status) -> Iterator[str]:
    """Leases, those of one run in one line, and jobs, with how to end them."""
    held: dict[str, list[str]] = defaultdict(list)
    for host, lease in found.leases.items():
        told = f"left by {lease}, `orch up` goes on" if lease.expired else f"changed by {lease}"
        held[told].append(host)
    yield from (f"{', '.join(hosts)}: {told}" for told, hosts in held.items())
    for host, jobs in found.jobs.items():
        for job in jobs:
            said = f": {job.last_line}" if job.last_line else ""
            end = f"`orch exec --hosts {host} --sudo -- kill {job.pid}` ends it"
            yield f"{host}: job {job.name} for {span(job.seconds)}{said} ({end})"


def _without(host: str, why: OrchError) -> str:
    return str(why).removeprefix(f"{host}: ")


def _deployments(deployments: tuple[DeploymentStatus, ...]) -> Iterator[str]:
    rows: list[list[Cell]] = [
        [one.name, (one.state, COLOURS.get(one.state, "")), one.url, one.model, one.why]
        for one in deployments
    ]
    yield from table(("DEPLOYMENT", "STATE", "ENDPOINT", "MODEL", ""), rows, width=columns())


def _ranks(found: Status) -> Iterator[str]:
    rows: list[list[Cell]] = []
    for one in (rank for deployment in found.deployments for rank in deployment.ranks):
        up = span(one.up_seconds) if one.up_seconds is not None else ""
        state = (one.state, COLOURS.get(one.state, ""))
        rank = one.rank
        restarts = str(one.restarts) if one.restarts else ""
        health = (one.health, COLOURS.get(one.health, ""))
        name = f"{rank.deployment}/{rank.index}"
        detail = "" if rank.host in found.unreachable else one.detail  # why is told below, once
        rows.append([name, rank.host, rank.role, state, up, restarts, health, detail])
    header = ("RANK", "HOST", "ROLE", "STATE", "UP", "RESTARTS", "HEALTH", "")
    yield from table(header, rows, width=columns())
