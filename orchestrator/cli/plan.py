"""`orch plan`: what `up` would change and why, with diffs; hosts are read, nothing is changed."""

from __future__ import annotations

import json
import sys

import click

from orchestrator.cli.options import Site, cluster_options


@click.command()
@cluster_options
@click.option("--playbook", default="up", help="Another playbook than `up` (name or file).")
def plan(site: Site, playbook: str) -> None:
    """Show what would change; exit 0 when nothing is wrong."""
    from orchestrator.cli.drive import look
    from orchestrator.plan.show import as_json, counts

    decision = look(site, playbook)
    if site.json:
        click.echo(json.dumps(as_json(decision), indent=2))
    sys.exit(1 if counts(decision)["wrong"] else 0)
