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
    """Show what would change; exit as `up` would because of what is wrong already now."""
    from orchestrator.cli.drive import look
    from orchestrator.plan.show import as_json
    from orchestrator.run.survey import worst

    decision = look(site, playbook)
    if site.json:
        click.echo(json.dumps(as_json(decision), indent=2))
    sys.exit(worst(decision.problems.values()))
