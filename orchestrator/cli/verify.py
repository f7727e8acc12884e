"""`orch verify-rdma`: the fabric measured half by half, explained, and remembered."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import click

from orchestrator.cli.options import Site, host_options
from orchestrator.cli.paths import GivenPath
from orchestrator.errors import FilesWrong, OrchError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from orchestrator.rdma.answers import Effort, FabricVerdict
    from orchestrator.rdma.past import Past

WAYS = ("history", "live", "nccl")
INTERRUPTED = 130  # half a run is no history
MOST_BYTES = 2**30  # of one message: perftest registers two buffers of it for each queue pair


@click.command("verify-rdma")
@host_options
@click.option(
    "--link",
    "links",
    multiple=True,
    metavar="NAME",
    help="Only this link, by its name or one of its ports (spark-1.p1).",
)
@click.option("--duration", metavar="5s", help="How long each bandwidth test runs.")
@click.option("--size", metavar="64KiB", help="Bytes of one message.")
@click.option(
    "--qps", type=click.IntRange(1, 1024), help="Queue pairs; streams where TCP is measured."
)
@click.option(
    "--quick",
    is_flag=True,
    help="One pass: all halves of a link at once, two seconds there and two back.",
)
@click.option("--soak", metavar="1h", help="All halves at once for so long.")
@click.option(
    "--all-pairs",
    is_flag=True,
    help="Behind a switch, everybody with everybody, not neighbours alone.",
)
@click.option(
    "--html",
    type=GivenPath(dir_okay=False),
    help="Write a page with heat map and history.",
)
@click.option(
    "--history",
    is_flag=True,
    help="Show earlier runs and since when a link is slower; no host is asked.",
)
@click.option(
    "--live", is_flag=True, help="Ask what runs, and see whether its answer goes over RDMA."
)
@click.option(
    "--nccl",
    is_flag=True,
    help="Run nccl-tests over the hosts of each deployment, in its profile's image.",
)
def verify(site: Site, **said: Any) -> None:  # fmt: skip
    """Measure every link, half by half, both ways and all halves at once.

    Exit 0: every link is healthy, or degraded and said so; 1: one failed, or can't be judged; 3: a host
    could not be reached; 4: a host lacks the tool.
    """
    _one_way(said)
    if said["history"]:
        _history(site)
        return
    if said["live"]:
        from orchestrator.cli.verify_live import live

        sys.exit(live(site))
    if said["nccl"]:
        from orchestrator.cli.verify_nccl import nccl

        sys.exit(nccl(site))
    sys.exit(measure(site, said))


def _one_way(said: Mapping[str, Any]) -> None:
    """What is looked at otherwise than by measuring takes none of measuring's words."""
    ways = [name for name in WAYS if said[name]]
    also = [
        name for name, value in said.items() if name not in WAYS and value not in (None, False, ())
    ]
    if len(ways) > 1 or (ways and also):
        other = {"links": "link"}.get(one := (ways[1:] + also)[0], one).replace("_", "-")
        raise FilesWrong(f"--{ways[0]} and --{other} exclude each other")


def measure(site: Site, said: Mapping[str, Any]) -> int:
    """Measure, judge, remember, show."""
    from orchestrator.cli.measured import measured

    page_file = said["html"]
    if page_file is not None and not page_file.parent.is_dir():
        raise FilesWrong(f"--html: there is no folder {page_file.parent}")
    options = wanted_of(site, said)
    verdict, code = measured(site, options)
    if verdict is None:
        return code
    notes, pasts = _remember(verdict) if code != INTERRUPTED else ([], {})
    _show(site, verdict, pasts, code)
    for note in notes:
        click.echo(f"note: {note}", err=True)
    if page_file is not None:
        from orchestrator.rdma.page import page

        page_file.write_text(page(verdict, pasts, site.cluster.root), encoding="utf-8")
        click.echo(f"the page is {page_file}", err=True)
    return code


def wanted_of(site: Site, said: Mapping[str, Any]) -> dict[str, Any]:
    """What of the fabric is to be measured, and how hard."""
    from orchestrator.network.topology import plan_fabric
    from orchestrator.steps.measure import Wanted

    links = frozenset(named_link(site, one) for one in said["links"])
    fabric = plan_fabric(site.cluster)
    if not fabric.segments:
        raise FilesWrong(
            "there are no links to measure",
            hint="write `links:` into the inventory: - [spark-1.p1, spark-2.p1]",
        )
    if said["quick"] and said["soak"]:
        raise FilesWrong("--quick and --soak exclude each other")
    wanted = {
        "hosts": site.only,
        "links": links or None,
        "all_pairs": said["all_pairs"],
        "effort": effort_of(said),
        "soak": said["soak"] is not None,
    }
    if not Wanted.of(wanted).pairs(fabric):
        between = ", ".join(sorted(site.only or ()))
        raise FilesWrong(
            f"no link to measure lies between the hosts of --hosts ({between})",
            hint="name both ends: `--hosts spark-1,spark-2`",
        )
    return wanted


def named_link(site: Site, name: str) -> str:
    """A link by its own name, or by a port at one of its ends."""
    from orchestrator.network.cabling import cables
    from orchestrator.plan.build import unknown

    found = cables(site.cluster)[0]
    for one in found:
        if name == one.name or name in {f"{end.host}.{end.port}" for end in one.ends}:
            return one.name
    raise unknown("link", name, [one.name for one in found])


def effort_of(said: Mapping[str, Any]) -> Effort:
    """How hard each test tries."""
    from dataclasses import replace

    from orchestrator.rdma.trials import FULL, QUICK
    from orchestrator.spec.units import parse_duration, parse_size

    effort = QUICK if said["quick"] else FULL
    try:
        for name in ("duration", "soak"):
            if said[name] is not None:
                effort = replace(effort, seconds=max(1, round(parse_duration(said[name]))))
        if said["size"] is not None:
            effort = replace(effort, bytes=parse_size(said["size"]))
    except ValueError as wrong:
        raise FilesWrong(str(wrong)) from wrong
    if not 1 <= effort.bytes <= MOST_BYTES:
        raise FilesWrong(f"--size lies between 1 byte and {MOST_BYTES}")
    return effort if said["qps"] is None else replace(effort, qps=said["qps"])


def _remember(verdict: FabricVerdict) -> tuple[list[str], dict[str, Sequence[Past]]]:
    """Keep the run; a history that can't be written is told and spoils nothing."""
    from orchestrator.observe.fabric_history import FabricHistory

    history = FabricHistory()
    try:
        history.record(verdict)
        pasts: dict[str, Sequence[Past]] = {
            link.name: history.trend(link.name) for link in verdict.links
        }
    except OrchError as error:
        return [str(error)], {}
    return history.notes, pasts


def _show(
    site: Site, verdict: FabricVerdict, pasts: Mapping[str, Sequence[Past]], code: int
) -> None:
    from orchestrator.cli.terminal import columns
    from orchestrator.rdma.form import form
    from orchestrator.rdma.matrix import matrix
    from orchestrator.rdma.past import slower
    from orchestrator.rdma.tell import WIDTH, terminal

    if site.json:
        known = {name: slower(points) for name, points in pasts.items()}
        fallen = {name: one for name, one in known.items() if one is not None}
        document = {**form(verdict, fallen), "exit_code": code}
        click.echo(json.dumps(document, indent=2, ensure_ascii=False))
        return
    click.echo()
    for line in terminal(verdict, everything=site.verbose, width=min(columns() or WIDTH, WIDTH)):
        click.echo(line)
    if len({host for link in verdict.links for host in link.hosts}) > 2:
        click.echo()
        for line in matrix(verdict):
            click.echo(line)


def past_document(pasts: Mapping[str, Sequence[Past]]) -> dict[str, Any]:
    """What `--history --json` prints; docs/json.md describes it."""
    from dataclasses import asdict

    links = {name: [asdict(one) for one in points] for name, points in pasts.items()}
    return {"version": 1, "links": links}


def _history(site: Site) -> None:
    from orchestrator.observe.fabric_history import FabricHistory
    from orchestrator.rdma.trend import history

    kept = FabricHistory()
    pasts = {name: kept.trend(name) for name in kept.links()}
    for note in kept.notes:
        click.echo(f"note: {note}", err=True)
    if site.json:
        click.echo(json.dumps(past_document(pasts), indent=2, ensure_ascii=False))
        return
    for line in history(pasts):
        click.echo(line)
