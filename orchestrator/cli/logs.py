"""`orch logs`: what all ranks say, as one stream with their names before each line."""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

import click

from orchestrator.cli import complete
from orchestrator.cli.options import Site, cluster_options
from orchestrator.cli.terminal import waiting
from orchestrator.errors import FilesWrong, OrchError, unasked
from orchestrator.hosts.reader import read
from orchestrator.meant import did_you_mean
from orchestrator.observe.logs import Follower, Line, Source
from orchestrator.observe.service_logs import service_sources
from orchestrator.runtimes import runtime
from orchestrator.spec.models import Cluster
from orchestrator.spec.units import parse_duration

COLOURS = ("cyan", "green", "yellow", "magenta", "blue", "bright_red", "bright_cyan")
DEFAULT_FILE = Path("cluster.yaml")
POLL_SECONDS = 1.0
SINCE_LINES = 5_000  # of each rank, where a time limits it rather than a number
FOLLOW_LINES = 500
FIND_EVERY = 10  # polls


def _moment(ctx: click.Context, param: click.Parameter, value: str | None) -> float | None:
    """Seconds since the epoch of a duration ago, or of a time (local, or with Z or an offset)."""
    if value is None:
        return None
    try:
        if re.match(r"\d{4}-", value):
            return datetime.fromisoformat(value).astimezone().timestamp()
        return time.time() - parse_duration(value)
    except ValueError as error:
        raise click.BadParameter(f"{error}; or a time: 2026-01-02T03:04:05") from error


@click.command()
@cluster_options(purpose="look", first=complete.file_or_deployment)
@click.argument("names", nargs=-1, metavar="[DEPLOYMENT]...", shell_complete=complete.deployments)
@click.option("--follow", "-f", is_flag=True, help="Go on with what is said from now on.")
@click.option(
    "--since", callback=_moment, metavar="WHEN", help="Only from then on: 10m, or a time."
)
@click.option("--tail", "-n", type=click.IntRange(min=0), help="Last lines of each rank [100].")
@click.option("--timestamps", "-t", is_flag=True, help="Show each line's time.")
def logs(
    site: Site,
    names: tuple[str, ...],
    follow: bool,
    since: float | None,
    tail: int | None,
    timestamps: bool,
) -> None:
    """Print the logs of all ranks, or of some deployments, merged by time.

    The first word may be a cluster file. Exits 3 if a host could not be asked, 2 where the files are why.
    """
    names = _deployments(site, names)
    with waiting("looking for ranks"):
        sources, missed = find(site, names)
    for host, why in missed.items():
        click.echo(f"{host}: {str(why).removeprefix(f'{host}: ')}", err=True)
    if follow and not sources:
        click.echo("no rank yet: what comes is shown, Ctrl-C ends this", err=True)
    show = Printer(sources, site.json, timestamps, since)
    first = tail if tail is not None else SINCE_LINES if since is not None else 100
    window = max(first, FOLLOW_LINES if follow else 1)
    follower = Follower(site.hosts, sources, window)
    failed = _turn(follower, show, most=first)
    if not (follow or missed):
        _show_kept(site, names, {one.deployment for one in sources}, show, first)
    if follow:
        _follow(site, names, follower, show)
    sys.exit(unasked(missed.values()) if missed else int(failed))


def _show_kept(site: Site, names: Sequence[str], there: set[str], show: Printer, most: int) -> None:
    """For a deployment without ranks: what its last failed start left."""
    from orchestrator.observe.kept import last_kept
    from orchestrator.run.journal import runs_folder

    evidence = runs_folder().parent / "evidence"
    for name in names or site.cluster.deployments:
        if name in there:
            continue
        kept = last_kept(evidence, site.cluster.name, name, most)
        if kept is None:
            click.echo(f"{name} has no rank", err=True)
            continue
        click.echo(f"{name} has no rank; kept from its failed start: {kept.folder}", err=True)
        for line in kept.lines:
            show(line)


def _follow(site: Site, names: Sequence[str], follower: Follower, show: Printer) -> None:
    """Until Ctrl-C. Ranks that come later are found, too."""
    for turn in count(1):
        time.sleep(POLL_SECONDS)
        if turn % FIND_EVERY == 0:
            follower.sources, _ = find(site, names)
        _turn(follower, show)


def _deployments(site: Site, names: tuple[str, ...]) -> tuple[str, ...]:
    """`orch logs vl`: a first word that is no file is a deployment of the file that is here."""
    if site.path.suffix in (".yaml", ".yml") or site.path.is_file():
        return names
    first, site.path = str(site.path), DEFAULT_FILE
    return (first, *names)


def find(site: Site, names: Sequence[str]) -> tuple[list[Source], dict[str, OrchError]]:
    """Ranks of the cluster that exist on its hosts, running or not; and hosts that did not tell."""
    cluster = site.cluster
    hosts = [one for one in cluster.hosts.values() if site.only is None or one.name in site.only]
    reads = frozenset((one.name, runtime(one.runtime).ours(cluster.name)) for one in hosts)
    world = read(site.hosts, reads)
    sources: list[Source] = []
    missed: dict[str, OrchError] = {}
    for host in hosts:
        try:
            containers = world[host.name].get(runtime(host.runtime).ours(cluster.name))
        except OrchError as why:
            missed[host.name] = world.errors.get(host.name, why)
            continue
        for one in containers:
            labels = one.labels
            deployment, rank = labels.get("orch.deployment", "?"), labels.get("orch.rank", "?")
            sources.append(Source(host.name, host.runtime, one.name, deployment, rank))
    told = {one.name for one in hosts if one.name not in missed}
    sources += [one for one in service_sources(cluster) if one.host in told]
    _all_known(cluster, names, sources)
    wanted = [one for one in sources if not names or one.deployment in names]
    return sorted(wanted, key=lambda one: (one.deployment, one.rank)), missed


def _all_known(cluster: Cluster, names: Iterable[str], sources: Iterable[Source]) -> None:
    """A deployment that was taken out of the files but still runs is known, too."""
    known = {*cluster.deployments, *(one.deployment for one in sources)}
    for name in names:
        if name not in known:
            raise FilesWrong(
                f"there is no deployment {name!r}", hint=did_you_mean(name, sorted(known))
            )


def _turn(follower: Follower, show: Printer, most: int | None = None) -> bool:
    """One poll, printed; True if a log could not be read."""
    lines, troubles = follower.poll(most)
    for line in lines:
        show(line)
    for source, why in troubles:
        click.echo(f"{source.label}: {why}", err=True)
    sys.stdout.flush()
    return bool(troubles)


class Printer:
    """Writes lines with the rank's name in its colour, or as JSON lines."""

    def __init__(
        self, sources: Sequence[Source], as_json: bool, timestamps: bool, since: float | None
    ) -> None:
        self._json = as_json
        self._timestamps = timestamps
        self._since = since
        self._width = max((len(one.label) for one in sources), default=0)
        self._colours: dict[Source, str] = {}

    def __call__(self, line: Line) -> None:
        if self._since is not None and line.at is not None and line.at < self._since:
            return
        click.echo(
            json.dumps(self._form(line), ensure_ascii=False) if self._json else self._text(line)
        )

    def _text(self, line: Line) -> str:
        next_one = COLOURS[len(self._colours) % len(COLOURS)]
        colour = self._colours.setdefault(line.source, next_one)
        prefix = click.style(line.source.label.ljust(self._width), fg=colour)
        when = ""
        if self._timestamps:
            when = f"{datetime.fromtimestamp(line.at):%H:%M:%S.%f} " if line.at else "-" * 15 + " "
        return f"{prefix} | {when}{line.text}"

    def _form(self, line: Line) -> dict[str, object]:
        source = line.source
        when = None if line.at is None else datetime.fromtimestamp(line.at, UTC).isoformat()
        return {
            "v": 1,
            "at": when,
            "host": source.host,
            "deployment": source.deployment,
            "rank": source.rank,
            "container": source.container,
            "text": line.text,
        }
