"""`orch up`: files → facts → plan → run, until every deployment answered."""

from __future__ import annotations

import sys

import click

from orchestrator.cli.options import Site, cluster_options


@click.command()
@cluster_options(purpose="up")
@click.option("--dry-run", is_flag=True, help="Stop after the plan.")
@click.option(
    "--accept-degraded",
    is_flag=True,
    help="Start although a link carries less than it should; the journal says so.",
)
@click.option("--playbook", default="up", help="Another playbook than `up` (name or file).")
def up(site: Site, dry_run: bool, accept_degraded: bool, playbook: str) -> None:
    """Bring the cluster up; exit 0 only if every deployment answered."""
    from orchestrator.cli.drive import drive

    options = {"bandwidth": {"accept": accept_degraded}}
    sys.exit(drive(site, playbook, dry_run=dry_run, options=options))
