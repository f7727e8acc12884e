"""`orch init`: look at hosts, find out what they are and how they are cabled, and write an inventory."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from orchestrator.cli.errors import show_error
from orchestrator.cli.options import accept_option, json_option, traceback_option
from orchestrator.cli.paths import GivenPath
from orchestrator.cli.terminal import waiting
from orchestrator.errors import FilesWrong, OrchError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from orchestrator.network.discovery import Difference, Discovery, Ports
    from orchestrator.network.written import WrittenHost
    from orchestrator.spec.models import Cluster


@dataclass(frozen=True)
class Asked:
    """What the command line says."""

    words: tuple[str, ...]
    path: Path
    ssh: Mapping[str, str]
    accept: bool
    force: bool
    json: bool


@click.command()
@click.argument("words", nargs=-1, metavar="[HOST…]")
@click.option(
    "-i",
    "--inventory",
    "path",
    type=GivenPath(dir_okay=False),
    default=Path("inventory.yaml"),
    show_default=True,
    help="The file to write, or to compare.",
)
@click.option("--user", help="SSH user of all hosts that do not say their own (user@host).")
@click.option("--key", help="SSH key of all hosts.")
@click.option("--known-hosts", help="Another known_hosts file.")
@accept_option
@click.option(
    "--force", is_flag=True, help="Write over an inventory that is there; a copy is kept."
)
@traceback_option
@json_option
def init(
    words: tuple[str, ...],
    path: Path,
    user: str | None,
    key: str | None,
    known_hosts: str | None,
    accept_new_host_keys: bool,
    force: bool,
    verbose: bool,
    as_json: bool,
) -> None:
    """Look at HOSTs over SSH and write an inventory with their kinds and cables.

    A HOST is a name, an address or an alias of ~/.ssh/config, with user@ where it needs one. Without a HOST, the
    inventory that is there is compared with the cables (exit 1 if one goes elsewhere). Ports that are down are up
    for some seconds while the hosts look, and nothing else is changed.
    """  # fmt: skip
    said = {"user": user, "key": key, "known_hosts": known_hosts}
    ssh = {name: value for name, value in said.items() if value is not None}
    asked = Asked(words, path, ssh, accept_new_host_keys, force, as_json)
    sys.exit(_write(asked) if words else _compare(asked))


# --- a new inventory -----------------------------------------------------------------------------------


def _write(asked: Asked) -> int:
    from orchestrator.cli.init_hosts import absolute, found_hosts, provisional
    from orchestrator.network.written import inventory_text

    if asked.path.exists() and not asked.force:
        raise FilesWrong(
            f"{asked.path} is there already, and is not written over",
            hint="--force writes it anew and keeps a copy; `orch init` without a host compares it",
        )
    cluster = provisional(asked.words, asked.ssh)
    with _pool(cluster, asked) as pool:
        with waiting("looking at the hosts"):
            hosts, errors = found_hosts(pool, cluster, asked.ssh)
        if errors:
            return _unreachable(asked, {cluster.hosts[one].address: errors[one] for one in errors})
        _note(asked, f"looking for the cables of {len(hosts)} hosts")
        cabled = _renamed(_look(pool, _ports(cluster, hosts))[0], hosts)
    written = list(hosts.values())
    text = inventory_text(written, cabled, absolute(asked.ssh))
    kept = put(asked.path, text)
    if asked.json:
        _print(asked, written, cabled, (), kept)
    else:
        click.echo(text, nl=False)
        if kept is not None:
            click.echo(f"the old one is {kept}", err=True)
        click.echo(f"{click.style('written', fg='green')}: {asked.path}", err=True)
        click.echo("next: say in cluster.yaml what shall run on them, then `orch check`", err=True)
    return 0


def _ports(cluster: Cluster, hosts: Mapping[str, WrittenHost]) -> Ports:
    from orchestrator.cli.init_hosts import known

    kinds = known().kinds
    return {name: hosts[name].found.netdevs(kinds) for name in cluster.hosts}


def put(path: Path, text: str) -> Path | None:
    """Write the file; what was there is kept under a name of its own."""
    kept = None
    if path.exists():
        number = 1
        kept = path.with_name(f"{path.name}.{number}.bak")
        while kept.exists():
            number += 1
            kept = path.with_name(f"{path.name}.{number}.bak")
        path.rename(kept)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return kept


def _unreachable(asked: Asked, errors: Mapping[str, OrchError]) -> int:
    for address, one in errors.items():
        one.host = address  # as it was typed: the name that stands for it is ours
    if asked.json:
        told = {host: {"error": str(one), "hint": one.hint} for host, one in errors.items()}
        click.echo(json.dumps({"version": 1, "errors": told}, indent=2, ensure_ascii=False))
    for one in errors.values():
        show_error(one)
    click.echo("nothing was written", err=True)
    return max(one.exit_code for one in errors.values())


def _renamed(cabled: Discovery, hosts: Mapping[str, WrittenHost]) -> Discovery:
    """With the names under which the hosts are written."""
    from orchestrator.network.discovery import Discovery, Plugged
    from orchestrator.spec.models import PortRef

    def named(end: PortRef) -> PortRef:
        return PortRef(host=hosts[end.host].name, port=end.port)

    return Discovery(
        tuple(Plugged(tuple(map(named, one.ends)), one.switch) for one in cabled.plugged),
        tuple(map(named, cabled.silent)),
        tuple(hosts[host].name for host in cabled.blind),
    )


# --- the one that is there -----------------------------------------------------------------------------


def _compare(asked: Asked) -> int:
    from orchestrator.network.discovery import compare, links_of
    from orchestrator.network.look import cluster_ports
    from orchestrator.network.written import link_text
    from orchestrator.spec.resolve import load_inventory

    if not asked.path.exists():
        raise FilesWrong(
            f"there is no {asked.path}", hint="name the hosts: orch init spark-1 spark-2"
        )
    if asked.force:
        raise FilesWrong(
            "--force writes an inventory: name its hosts", hint="orch init --force HOST…"
        )
    cluster = load_inventory(asked.path)
    with _pool(cluster, asked) as pool:
        _note(asked, f"looking for the cables of {len(cluster.hosts)} hosts")
        cabled, errors = _look(pool, cluster_ports(cluster))
    differences = compare(cluster, cabled)
    wrong = any(one.grade == "wrong" for one in differences)
    code = int(wrong) or max((one.exit_code for one in errors.values()), default=0)
    if asked.json:
        _print(asked, (), cabled, differences, None)
        return code
    for one in differences:
        colour = "red" if one.grade == "wrong" else "yellow"
        where = f" ({one.path})" if one.path else ""
        click.echo(f"{click.style(one.grade, fg=colour)}: {one.message}{where}")
    if not differences:
        click.secho("the cables are where the inventory says", fg="green")
    elif wrong:
        click.echo("\nwhat was seen:\n\nlinks:")
        for link in links_of(cabled):
            click.echo(f"  - {link_text(link)}")
    return code


# --- both ----------------------------------------------------------------------------------------------


def _pool(cluster: Cluster, asked: Asked) -> Any:
    from orchestrator.hosts.pool import Pool
    from orchestrator.hosts.secrets import Secrets, secret_refs
    from orchestrator.redact import Redactor

    refs = secret_refs(cluster.hosts, cluster)
    secrets = Secrets(refs, Redactor(), cluster.root)
    return Pool(cluster.hosts, secrets, accept_new_host_keys=asked.accept)


def _look(pool: Any, ports: Ports) -> tuple[Discovery, Mapping[str, OrchError]]:
    """All hosts at once, each listens while the others call; and why some can't."""
    from orchestrator.hosts.reader import read
    from orchestrator.network.discovery import discover
    from orchestrator.network.look import look_reads, seen_by

    with waiting("they call each other over every port"):
        reading = read(pool, look_reads(ports))
    for host, error in reading.errors.items():
        show_error(error, host=host)
    return discover(ports, seen_by(ports, reading)), reading.errors


def _note(asked: Asked, text: str) -> None:
    if not asked.json:
        click.echo(f"{text} …", err=True)


def _print(
    asked: Asked,
    hosts: Sequence[WrittenHost],
    cabled: Discovery,
    differences: Sequence[Difference],
    kept: Path | None,
) -> None:
    """What `--json` prints; docs/json.md describes it."""
    from orchestrator.network.discovery import links_of

    document = {
        "version": 1,
        "inventory": str(asked.path),
        "kept": str(kept) if kept is not None else None,
        "hosts": [
            {
                "name": one.name,
                "address": one.address,
                "kind": one.found.kind,
                "why": one.found.why,
                "also": list(one.found.also),
            }
            for one in hosts
        ],
        "links": [
            {"ends": [str(end) for end in one.ends], "switch": one.switch}
            for one in links_of(cabled)
        ],
        "silent": [str(end) for end in cabled.silent],
        "blind": list(cabled.blind),
        "differences": [
            {"grade": one.grade, "message": one.message, "path": one.path} for one in differences
        ],
    }
    click.echo(json.dumps(document, indent=2, ensure_ascii=False))
