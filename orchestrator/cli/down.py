"""`orch down`: stop what carries the cluster's label, in reverse order, and look again."""

from __future__ import annotations

import sys

import click

from orchestrator.cli.options import Site, cluster_options


@click.command()
@cluster_options(purpose="look")
@click.option("--dry-run", is_flag=True, help="Stop after the plan.")
@click.option("--playbook", default="down", help="Another playbook than `down` (name or file).")
def down(site: Site, dry_run: bool, playbook: str) -> None:
    """Take the cluster's ranks away; exit non-zero for every host that can't be confirmed."""
    from orchestrator.cli.drive import drive

    sys.exit(drive(site, playbook, dry_run=dry_run))
