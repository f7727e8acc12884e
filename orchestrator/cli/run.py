"""`orch run PLAYBOOK`: a playbook of your own, with your own shell steps if you like."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import click

from orchestrator.cli import complete
from orchestrator.cli.options import Site, cluster_options


def _list(ctx: click.Context, param: click.Parameter, wanted: bool) -> None:
    """What a playbook can be made of; needs no files."""
    if not wanted or ctx.resilient_parsing:
        return
    for line in listing(Path.cwd()):
        click.echo(line)
    ctx.exit()


@click.command()
@click.argument("playbook", shell_complete=complete.playbooks)
@cluster_options
@click.option("--dry-run", is_flag=True, help="Stop after the plan.")
@click.option("--undo", is_flag=True, help="Run the `undo` of its shell steps, in reverse order.")
@click.option("--list", is_flag=True, is_eager=True, expose_value=False, callback=_list,
              help="Show the playbooks, stages, predicates and retry policies that there are.")  # fmt: skip
def run(site: Site, playbook: str, dry_run: bool, undo: bool) -> None:
    """Run a playbook on the cluster's hosts."""
    from orchestrator.cli.drive import drive

    sys.exit(drive(site, playbook, dry_run=dry_run, undo=undo))


def listing(folder: Path) -> Iterator[str]:
    """Playbooks here and in orch, and the words that a stage of one may say."""
    from orchestrator.cli.terminal import columns
    from orchestrator.data import label
    from orchestrator.data import listing as files
    from orchestrator.plan.predicates import PREDICATES
    from orchestrator.plan.stages import stage_builders
    from orchestrator.run.policies import POLICIES
    from orchestrator.table import table

    books = files("playbooks", folder, ".yaml")
    rows = [[name.removesuffix(".yaml"), label(path, folder)] for name, path in books.items()]
    yield from table(("PLAYBOOK", "FILE"), rows, width=columns())
    yield ""
    stages = sorted(stage_builders().items())
    said = [[name, _about(sys.modules[one.__module__].__doc__)] for name, one in stages]
    yield from table(("STAGE", "WHAT IT IS FOR"), said, width=columns())
    yield ""
    yield f"when:   {', '.join(sorted(PREDICATES))}"
    yield f"retry:  {', '.join(POLICIES)}"


def _about(docstring: str | None) -> str:
    return (docstring or "").strip().split("\n")[0]
