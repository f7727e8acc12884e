"""`orch profiles`: which there are and where they fit, what one comes to, how two differ; no host is asked."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from orchestrator.cli import complete
from orchestrator.cli.options import json_option
from orchestrator.cli.paths import GivenPath
from orchestrator.cli.terminal import columns, wrapped
from orchestrator.table import Cell, table

if TYPE_CHECKING:
    from orchestrator.spec.catalogue import Known, Value
    from orchestrator.spec.fit import Fit
    from orchestrator.spec.models import Host

VERSION = 1  # of the JSON form, docs/json.md
UNSURE = (
    "?: the memory of its GPUs is not said; `gpus: [{index: 0, memory: 24GiB}]` of the host says it"
)


def _options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The same for the group and for each of its commands; whoever says it last is heard."""
    file = click.option(
        "-f",
        "--file",
        "cluster_file",
        type=GivenPath(),
        help="Another cluster.yaml: its folder's profiles, its inventory's hosts.",
    )
    return file(json_option(command))


@dataclass(frozen=True)
class _Asked:
    """Where to look, and how to tell."""

    path: Path = Path("cluster.yaml")
    json: bool = False

    def but(self, cluster_file: Path | None, as_json: bool) -> _Asked:
        return _Asked(cluster_file or self.path, self.json or as_json)


@click.group(invoke_without_command=True)
@_options
@click.pass_context
def profiles(ctx: click.Context, cluster_file: Path | None, as_json: bool) -> None:
    """List profiles with the hosts that they fit on; `show NAME`, `compare A B`. No host is asked."""
    ctx.obj = _Asked().but(cluster_file, as_json)
    if ctx.invoked_subcommand is None:
        _list(ctx.obj)


@profiles.command("list")
@_options
@click.pass_obj
def list_(asked: _Asked, cluster_file: Path | None, as_json: bool) -> None:
    """List all profiles, and the hosts that they fit on."""
    _list(asked.but(cluster_file, as_json))


@profiles.command()
@click.argument("name", shell_complete=complete.profiles)
@_options
@click.pass_obj
def show(asked: _Asked, name: str, cluster_file: Path | None, as_json: bool) -> None:
    """Show a profile: its values, and where each is said."""
    asked = asked.but(cluster_file, as_json)
    found, hosts = _known(name, asked.path.parent), _hosts(asked.path)
    if asked.json:
        click.echo(json.dumps(_document(found, hosts), indent=2, ensure_ascii=False))
        return
    click.secho(found.name, bold=True)
    click.echo("files  " + " → ".join(found.chain))
    for line in _about(found, hosts):
        click.echo(line)
    click.echo()
    rows = [[one.path, _shown(one), _place(one)] for one in found.values]
    for line in table(("KEY", "VALUE", "FROM"), rows, width=columns()):
        click.echo(line)


@profiles.command()
@click.argument("first", shell_complete=complete.profiles)
@click.argument("second", shell_complete=complete.profiles)
@_options
@click.pass_obj
def compare(
    asked: _Asked, first: str, second: str, cluster_file: Path | None, as_json: bool
) -> None:
    """Show what two profiles say differently."""
    from orchestrator.spec.catalogue import differences

    asked = asked.but(cluster_file, as_json)
    one, other = _known(first, asked.path.parent), _known(second, asked.path.parent)
    found = list(differences(one, other))
    if asked.json:
        values = [{"path": at, "first": _pair(a), "second": _pair(b)} for at, a, b in found]
        document = {"version": VERSION, "first": one.name, "second": other.name, "values": values}
        click.echo(json.dumps(document, indent=2, ensure_ascii=False))
    elif not found:
        click.echo("they come to the same")
    else:
        rows = [[at, _shown(a), _shown(b)] for at, a, b in found]
        for line in table(("KEY", one.name, other.name), rows, width=columns()):
            click.echo(line)


def _known(name: str, root: Path) -> Known:
    """A profile that is right; FilesWrong with all that is wrong with it."""
    from orchestrator.spec.catalogue import known
    from orchestrator.spec.load import raise_errors

    found = known(name, root)
    raise_errors(found.findings)
    return found


def _list(asked: _Asked) -> None:
    from orchestrator.spec.catalogue import known, names

    root = asked.path.parent
    found, hosts = [known(name, root) for name in names(root)], _hosts(asked.path)
    if asked.json:
        document = {"version": VERSION, "profiles": [_document(one, hosts) for one in found]}
        click.echo(json.dumps(document, indent=2, ensure_ascii=False))
        return
    # What is archived comes last: nobody should have to read past it.
    ordered = sorted(found, key=lambda one: bool(one.profile and one.profile.archived))
    rows = [_row(one, hosts) for one in ordered if not one.common]
    header = ("PROFILE", "ENGINE", "WEIGHTS", _heading(hosts))
    for line in table(header, rows, width=columns()):
        click.echo(line)
    if hosts and any(_unsure(one, hosts) for one in ordered):
        click.echo("\n" + wrapped(UNSURE, columns()))
    common = [one.name for one in ordered if one.common]
    if common:
        click.echo()
        click.echo(wrapped(f"for others to build on: {', '.join(common)}", columns()))


def _heading(hosts: Mapping[str, Host] | None) -> str:
    return "FITS ON" if hosts else "DESCRIPTION"


def _row(one: Known, hosts: Mapping[str, Host] | None) -> list[Cell]:
    profile = one.profile
    if profile is None:
        return [one.name, "", "", ("wrong: orch profiles show " + one.name, "red")]
    engine = profile.engine + (f" ({profile.executor})" if profile.executor else "")
    told = "; ".join(_fits(one, hosts)) if hosts else profile.description
    last: Cell = told
    if profile.archived:
        last = (f"archived: {profile.archived}", "yellow")
    return [one.name, engine, _size(one), last]


def _size(one: Known) -> str:
    from orchestrator.spec.fit import weights
    from orchestrator.spec.units import show_size

    size = weights(one.profile) if one.profile is not None else None
    if size is None:
        return "?"
    return show_size(size.size) if size.said else f"≈ {show_size(_rounded(size.size))}"


def _rounded(size: int) -> int:
    """Two digits: an estimate has no more."""
    return round(size, 2 - len(str(size)))


def _fits(one: Known, hosts: Mapping[str, Host] | None) -> Iterator[str]:
    """Places, then what is not known; a host that is too small is told where nothing fits."""
    from orchestrator.spec.fit import told

    found = _fit(one, hosts)
    if found is None:
        yield "? (say `weights:` in the profile)"
        return
    yield from told(found)
    if not found.places and found.small:
        yield f"too large for {', '.join(found.small)}"
    if found.unknown:
        yield f"? {', '.join(found.unknown)}"


def _unsure(one: Known, hosts: Mapping[str, Host]) -> bool:
    found = _fit(one, hosts)
    return found is not None and bool(found.unknown)


def _fit(one: Known, hosts: Mapping[str, Host] | None) -> Fit | None:
    from orchestrator.spec.fit import fit, weights

    if one.profile is None or not one.profile.model or hosts is None:
        return None
    size = weights(one.profile)
    return None if size is None else fit(one.profile, hosts.values(), size.size)


def _about(one: Known, hosts: Mapping[str, Host] | None) -> Iterator[str]:
    profile = one.profile
    if profile is None:
        return
    if profile.archived:
        yield click.style(f"archived: {profile.archived}", fg="yellow")
    if profile.model:
        yield f"size   {_size(one)}"
        if hosts:
            yield "fits   " + ("; ".join(_fits(one, hosts)) or "nowhere")
            if _unsure(one, hosts):
                yield f"       {UNSURE}"


def _hosts(path: Path) -> Mapping[str, Host] | None:
    """The hosts of the cluster file, or of an inventory beside it; None where there is neither."""
    from orchestrator.spec.resolve import load_cluster, load_inventory

    if path.exists() or path != Path("cluster.yaml"):
        return load_cluster(path, purpose="look").hosts
    inventory = path.parent / "inventory.yaml"
    return load_inventory(inventory).hosts if inventory.exists() else None


def _document(one: Known, hosts: Mapping[str, Host] | None) -> dict[str, Any]:
    """One profile as docs/json.md describes it."""
    from orchestrator.spec.fit import weights

    profile, found = one.profile, _fit(one, hosts)
    size = weights(profile) if profile is not None else None
    return {
        "version": VERSION,
        "name": one.name,
        "description": profile.description if profile else "",
        "engine": profile.engine if profile else None,
        "executor": profile.executor if profile else None,
        "model": profile.model if profile else None,
        "archived": profile.archived if profile else "",
        "weights": {"bytes": size.size, "said": size.said} if size else None,
        "fits": [asdict(place) for place in found.places] if found else None,
        "too_small": list(found.small) if found else [],
        "not_known": list(found.unknown) if found else [],
        "files": list(one.chain),
        "values": [asdict(value) for value in one.values],
        "findings": [finding.model_dump() for finding in one.findings],
    }


def _pair(value: Value | None) -> dict[str, Any] | None:
    return asdict(value) if value is not None else None


def _shown(value: Value | None) -> str:
    """A value as one would write it on a line."""
    if value is None:
        return "-"
    said = value.value
    return said if isinstance(said, str) and said else json.dumps(said, ensure_ascii=False)


def _place(value: Value) -> str:
    """Without the folder: `files` above the table has it."""
    return f"{value.file.rpartition('/')[2]}:{value.line}" if value.file else ""
