"""`orch rehearse`: a cluster's own files in the lab, up until it answers, down, and what that could not show."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click
import yaml

from orchestrator.cli.options import Site, cluster_options
from orchestrator.cli.paths import GivenPath

if TYPE_CHECKING:
    from orchestrator.lab.like import Model
    from orchestrator.lab.rehearse import Rehearsal

WELL = ("✔ the rehearsal went well", "green")
FAILED = ("✘ the rehearsal failed", "red")

NAME = "rehearsal"


@click.command()
@cluster_options
@click.option("--light", is_flag=True, help="llama.cpp in place of vLLM too: ready in a minute.")
@click.option("--keep", is_flag=True, help="Leave the lab and what it serves up.")
@click.option("--name", default=NAME, show_default=True, help="Which lab.")
@click.option("--dir", "folder", type=GivenPath(file_okay=False),
              help="Where the rehearsal's files go.  [default: ./.orch/rehearse/NAME]")  # fmt: skip
@click.option("--dry-run", is_flag=True, help="Show the files and what would not be rehearsed.")
def rehearse(
    site: Site, light: bool, keep: bool, name: str, folder: Path | None, dry_run: bool
) -> None:
    """Bring a cluster up on rehearsal hosts of this machine, ask it, take it down."""
    from orchestrator.lab.rehearse import lab_hosts, rehearsal

    made = rehearsal(site.cluster, light=light)
    model, hosts_lack = lab_hosts(_inventory(site.path), site.cluster)
    lacks = _lacks(model, [*hosts_lack, *made.lacks])
    if dry_run:
        _show_files(site, made)
        _tell(site, lacks, 0, dry_run=True)
        return
    code = _rehearsed(site, made, model, name, folder or Path(".orch/rehearse") / name, keep)
    _tell(site, lacks, code)
    sys.exit(code)


def _inventory(cluster_file: Path) -> Model:
    """The inventory that the cluster file names."""
    from orchestrator.lab.like import read

    said = (yaml.safe_load(cluster_file.read_text()) or {}).get("inventory", "inventory.yaml")
    return read(cluster_file.parent / Path(str(said)).expanduser())


def _lacks(model: Model, more: list[str]) -> list[str]:
    from orchestrator.lab.like import not_rehearsed
    from orchestrator.lab.recipe import recipe

    return [*recipe().not_rehearsed, *not_rehearsed(model), *more]


def _rehearsed(
    site: Site, made: Rehearsal, model: Model, name: str, folder: Path, keep: bool
) -> int:
    """Up, up again, down; the lab goes whatever came of it, and the first failure is the answer."""
    from orchestrator.cli.lab_progress import shown_progress
    from orchestrator.lab.down import take_down
    from orchestrator.lab.home import Home
    from orchestrator.lab.rehearse_files import write
    from orchestrator.lab.up import Wish, bring_up

    home, progress = Home(), shown_progress()
    wish = Wish(name, model.hosts, model.segments, folder, model, made.engines)
    there = bring_up(home, wish, progress).folder
    codes = []
    try:
        file = write(made, site.path, site.cluster.root, there)
        codes = [_drive(site, file, "up")]
        if codes == [0]:
            codes += [_drive(site, file, "up")]  # which finds nothing to do, and says so
        if not keep:
            codes += [_drive(site, file, "down")]
    finally:
        if not keep:
            take_down(home, name, progress)
    return next((code for code in codes if code), 0)


def _drive(site: Site, file: Path, playbook: str) -> int:
    """As `orch up` and `orch down` do it."""
    from orchestrator.cli.drive import drive

    one = Site(
        file,
        (),
        None,
        json=site.json,
        verbose=site.verbose,
        accept_new_host_keys=False,
        purpose="look" if playbook == "down" else "up",
    )
    if not site.json:
        click.secho(f"\n$ orch {playbook} {file}", bold=True)
    try:
        return drive(one, playbook)
    finally:
        one.close()


def _show_files(site: Site, made: Rehearsal) -> None:
    if site.json:
        return
    files = {"cluster.yaml": made.cluster}
    files |= {f"profiles/{name}.yaml": one for name, one in made.profiles.items()}
    for path, content in files.items():
        click.secho(path, bold=True)
        click.echo(yaml.safe_dump(dict(content), sort_keys=False, default_flow_style=None))


def _tell(site: Site, lacks: list[str], code: int, *, dry_run: bool = False) -> None:
    """What it could not show, and how it ended."""
    if site.json:
        shown = {
            "version": 1,
            "kind": "rehearsal",
            "ok": code == 0,
            "dry_run": dry_run,
            "not_rehearsed": lacks,
        }
        click.echo(json.dumps(shown))
        return
    from orchestrator.cli.lab import tell_not_rehearsed

    tell_not_rehearsed(lacks)
    if not dry_run:
        said, colour = WELL if code == 0 else FAILED
        click.secho(f"\n{said}", fg=colour)
