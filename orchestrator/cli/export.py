"""`orch export`: the cluster in another system's words; no host is contacted."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path

import click

from orchestrator.cli.options import Site, cluster_options
from orchestrator.cli.paths import GivenPath
from orchestrator.cli.terminal import columns, wrapped
from orchestrator.errors import FilesWrong


@click.command()
@click.argument("form", metavar="FORM")
@cluster_options
@click.option(
    "-o",
    "--output",
    type=GivenPath(file_okay=False),
    help="Write the files below this folder; printed if not said.",
)
@click.option("--force", is_flag=True, help="Write over files that are there; a copy is kept.")  # fmt: skip
def export(site: Site, form: str, output: Path | None, force: bool) -> None:
    """Write the cluster as FORM: compose, systemd, leaderworkerset or rayservice.

    Secrets are references: their values are neither read nor written. What a form has no word for is named.
    """
    from orchestrator.export.formats import export_format
    from orchestrator.facts.assumed import assumed_world

    chosen = export_format(form)
    cluster = site.cluster
    if site.only is not None:  # half a gang is none: deployments that touch one of them
        kept = {
            name: one for name, one in cluster.deployments.items() if site.only & set(one.hosts)
        }
        cluster = cluster.model_copy(update={"deployments": kept})
    made = chosen.export(cluster, assumed_world(cluster))
    if not made.texts:
        why = "; ".join(map(str, made.unsaid[-3:]))
        raise FilesWrong(f"nothing of {cluster.name} can be written as {chosen.what}", hint=why)
    written = _write(output, made.texts, force) if output is not None else []
    if site.json:
        document = {"version": 1, "files": made.texts, "written": written}
        document["unsaid"] = [asdict(one) for one in made.unsaid]
        click.echo(json.dumps(document, indent=2, ensure_ascii=False))
        sys.exit(0)
    if output is None:
        for path, text in made.texts.items():
            click.secho(f"# --- {path}", fg="cyan")
            click.echo(text)
    for path in written:
        click.echo(path)
    for one in made.unsaid:
        said = f"{click.style('not in it', fg='yellow')}: {one}"
        click.echo(wrapped(said, columns()), err=True)


def _write(folder: Path, texts: dict[str, str], force: bool) -> list[str]:
    from orchestrator.cli.init import put

    there = [str(folder / path) for path in texts if (folder / path).exists()]
    if there and not force:
        raise FilesWrong(
            f"{', '.join(there[:3])}: there already, and not written over",
            hint="--force writes them anew and keeps copies; -o FOLDER writes elsewhere",
        )
    for path, text in texts.items():
        put(folder / path, text)
    return [str(folder / path) for path in texts]
