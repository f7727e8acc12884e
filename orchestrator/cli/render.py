"""`orch render`: the exact netplan, environment and docker or podman run of every host; no host is contacted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from orchestrator.cli.options import Site, cluster_options
from orchestrator.cli.paths import GivenPath


@click.command()
@cluster_options
@click.option(
    "--output", type=GivenPath(file_okay=False), help="Write the files below this folder."
)
def render(site: Site, output: Path | None) -> None:
    """Print what would be written and run, from the files alone."""
    from orchestrator.cli.rendered import rendered, write

    found = rendered(site.cluster, site.only)
    if output is not None:
        for path in write(found, output):
            click.echo(path)
        return
    if site.json:
        click.echo(json.dumps({"version": 1, "hosts": found}, indent=2))
        return
    for host, parts in found.items():
        _show(host, parts)


def _restarts(rank: dict[str, Any]) -> str:
    """Who starts it again: the container engine, told by this command, or what keeps a process."""
    if rank["runtime"] == "process":
        return f"restarts {rank['restart']}, by its keeper on the host"
    return f"{rank['runtime']} update --restart {rank['restart']} {rank['name']}"


def _show(host: str, parts: dict[str, Any]) -> None:
    click.secho(f"# {host}", bold=True)
    if parts["netplan"]:
        click.secho("## /etc/netplan/40-orch.yaml", fg="cyan")
        click.echo(parts["netplan"])
    for build in parts["builds"]:
        click.secho(f"## image of {build['deployment']}", fg="cyan")
        click.echo(build["run"])
        click.echo()
    for rank in parts["ranks"]:
        click.secho(f"## {rank['deployment']} rank {rank['index']} ({rank['role']})", fg="cyan")
        for path, text in rank["files"].items():
            click.secho(f"### {path}", fg="blue")
            click.echo(text)
        click.secho("### environment", fg="blue")
        for name, value in rank["env"].items():
            click.echo(f"{name}={value}")
        click.secho(f"### {rank['runtime']} run", fg="blue")
        click.echo(rank["run"])
        if rank["restart"] != "no":
            click.echo(f"# once the deployment has answered: {_restarts(rank)}")
        click.echo()
