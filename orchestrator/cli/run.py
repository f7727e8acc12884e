"""`orch run PLAYBOOK`: a playbook of your own, with your own shell steps if you like."""

from __future__ import annotations

import sys

import click

from orchestrator.cli.options import Site, cluster_options


@click.command()
@click.argument("playbook")
@cluster_options
@click.option("--dry-run", is_flag=True, help="Stop after the plan.")
@click.option("--undo", is_flag=True, help="Run the `undo` of its shell steps, in reverse order.")
def run(site: Site, playbook: str, dry_run: bool, undo: bool) -> None:
    """Run a playbook on the cluster's hosts."""
    from orchestrator.cli.drive import drive

    sys.exit(drive(site, playbook, dry_run=dry_run, undo=undo))
