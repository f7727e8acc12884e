"""`orch exec` and `orch unlock`: a command on hosts, and a lease broken with a reason."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from orchestrator.cli import complete
from orchestrator.cli.options import Site, host_options
from orchestrator.cli.terminal import waiting
from orchestrator.errors import FilesWrong, OrchError

if TYPE_CHECKING:
    from orchestrator.facts.lease import LeaseState
    from orchestrator.script import Result

KEEP = 4 * 1024 * 1024


@click.command("exec")
@host_options
@click.option("--sudo", is_flag=True, help="As root.")
@click.option("--timeout", default=60.0, show_default=True, help="Seconds until it is ended.")
@click.argument("words", nargs=-1, required=True, metavar="-- COMMAND…")
def exec_(site: Site, words: tuple[str, ...], sudo: bool, timeout: float) -> None:
    """Run a command on hosts, and show what each said.

    One word is shell (`orch exec -- 'docker ps | wc -l'`), more are a command and its arguments. It
    takes no lease and is never run twice: it is for looking, and for what you answer for yourself.
    """
    from orchestrator.script import Command, Script, Sh, argv

    text = Sh(words[0]) if len(words) == 1 else argv(*words)
    script = Script(
        {"exec": Command(text, sudo=sudo, timeout=timeout, keep=KEEP)},
        once=True,
    )
    with waiting("the hosts are at it"):
        found = site.hosts.run_all(dict.fromkeys(chosen(site), script))
    outcomes = {
        host: outcome if isinstance(outcome, OrchError) else outcome["exec"]
        for host, outcome in found.items()
    }
    if site.json:
        click.echo(json.dumps(_document(site, outcomes), indent=2, ensure_ascii=False))
    else:
        for host, one in outcomes.items():
            _show(site, host, one, alone=len(outcomes) == 1)
    sys.exit(_exit_code(outcomes))


def chosen(site: Site) -> list[str]:
    """The hosts that `--hosts` names, else all, in the inventory's order."""
    return [host for host in site.cluster.hosts if site.only is None or host in site.only]


def _document(site: Site, outcomes: Mapping[str, Result | OrchError]) -> dict[str, Any]:
    return {
        "version": 1,
        "hosts": {
            host: {"error": site.redact(str(one)), "hint": one.hint}
            if isinstance(one, OrchError)
            else {
                "rc": one.rc,
                "out": site.redact(one.text),
                "err": site.redact(one.err.decode(errors="replace")),
                "seconds": one.seconds,
                "truncated": one.truncated,
            }
            for host, one in outcomes.items()
        },
    }


def _show(site: Site, host: str, one: Result | OrchError, *, alone: bool) -> None:
    mark = "" if alone else f"{click.style(host, fg='cyan')} | "
    if isinstance(one, OrchError):
        click.echo(f"{click.style('error', fg='red')}: {site.redact(str(one))}", err=True)
        if one.hint:
            click.echo(f"{click.style('hint', fg='cyan')}: {one.hint}", err=True)
        return
    if one.truncated:
        click.echo(f"{mark}… only the last {KEEP} bytes", err=True)
    for line in site.redact(one.text).splitlines():
        click.echo(f"{mark}{line}")
    for line in site.redact(one.err.decode(errors="replace")).splitlines():
        click.echo(f"{mark}{line}", err=True)
    if one.rc != 0:
        click.echo(f"{host}: exit code {one.rc}", err=True)


def _exit_code(outcomes: Mapping[str, Result | OrchError]) -> int:
    """An unreachable host counts most, then a command that failed."""
    codes = {
        one.exit_code if isinstance(one, OrchError) else int(one.rc != 0)
        for one in outcomes.values()
    }
    return max(codes, default=0)


@click.command()
@host_options
@click.option("--reason", required=True, help="Kept on the host, with who broke it and when.")
@click.argument("names", nargs=-1, required=True, metavar="HOST…", shell_complete=complete.hosts)
def unlock(site: Site, names: tuple[str, ...], reason: str) -> None:
    """Break the leases of hosts. The run that holds one can change nothing there from then on."""
    from orchestrator.plan.build import named_hosts
    from orchestrator.run.lease import myself
    from orchestrator.run.leases import break_all

    if not reason.strip():
        raise FilesWrong("--reason is empty", hint="say why, for whoever reads the history")
    wanted = named_hosts(site.cluster, names)
    hosts = [host for host in site.cluster.hosts if host in wanted]
    with waiting("breaking leases"):
        found = break_all(site.hosts, hosts, myself("unlock").owner, reason)
    if site.json:
        document = {"version": 1, "hosts": {host: _broken(found[host]) for host in hosts}}
        click.echo(json.dumps(document, indent=2, ensure_ascii=False))
    else:
        for host in hosts:
            _show_broken(host, found[host])
    errors = [one.exit_code for one in found.values() if isinstance(one, OrchError)]
    sys.exit(max(errors, default=0))


def _broken(one: LeaseState | OrchError | None) -> dict[str, Any]:
    if isinstance(one, OrchError):
        return {"error": str(one), "hint": one.hint}
    if one is None:
        return {"broken": None}
    return {"broken": {"owner": one.owner, "run": one.run, "since": one.since, "until": one.until}}


def _show_broken(host: str, one: LeaseState | OrchError | None) -> None:
    if isinstance(one, OrchError):
        click.echo(f"{click.style('error', fg='red')}: {one}", err=True)
        if one.hint:
            click.echo(f"{click.style('hint', fg='cyan')}: {one.hint}", err=True)
    elif one is None:
        click.echo(f"{host}: nobody holds it")
    else:
        click.echo(f"{host}: broken; it was held by {one}")
