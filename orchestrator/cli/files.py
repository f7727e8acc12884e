"""`orch check` and `orch schema`: what the files say, with no host asked."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from orchestrator.cli.options import json_option, set_option, traceback_option
from orchestrator.cli.paths import GivenPath
from orchestrator.cli.terminal import columns, wrapped
from orchestrator.errors import FilesWrong
from orchestrator.facts.engine_words import program
from orchestrator.table import Cell, table

if TYPE_CHECKING:
    from orchestrator.spec.models import Deployment, Finding, Host
    from orchestrator.spec.resolve import Loaded

COLOURS = {"error": "red", "warning": "yellow"}


@click.command()
@click.argument("cluster_file", type=GivenPath(), default="cluster.yaml")
@set_option
@json_option
@traceback_option
def check(cluster_file: Path, overrides: tuple[str, ...], as_json: bool, verbose: bool) -> None:
    """Check the files offline: schema, placement, ports, sizes. Exit 2 if something is wrong."""
    loaded, findings = read_files(cluster_file, overrides)
    if as_json:
        click.echo(json.dumps(_document(loaded, findings), indent=2, ensure_ascii=False))
    else:
        _show(loaded, findings)
    sys.exit(2 if any(one.severity == "error" for one in findings) else 0)


@click.command()
@click.argument("name", metavar="FILE", required=False)
@click.option("--write", "folder", type=GivenPath(file_okay=False),
              help="Write the schemas as files into this folder.")  # fmt: skip
def schema(name: str | None, folder: Path | None) -> None:
    """Print the JSON Schema of FILE: cluster, inventory, kind, playbook or profile."""
    from orchestrator.spec.schema import MODELS, text

    if name is not None and name not in MODELS:
        raise FilesWrong(f"there is no file {name!r}", hint=f"one of: {', '.join(MODELS)}")
    if name is None and folder is None:
        raise FilesWrong("which file's schema?", hint=f"one of: {', '.join(MODELS)}")
    for one in [name] if name else MODELS:
        if folder is None:
            click.echo(text(one), nl=False)
            continue
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{one}.json"
        path.write_text(text(one), encoding="utf-8")
        click.echo(str(path))


def read_files(path: Path, overrides: tuple[str, ...]) -> tuple[Loaded | None, tuple[Any, ...]]:
    """What the files say, as far as they can be read, and all that is wrong with them."""
    from orchestrator.spec.resolve import load

    try:
        loaded = load(path, overrides)
        return loaded, (*loaded.findings, *_playbook_findings(loaded))
    except FilesWrong as wrong:
        if not wrong.findings:
            raise
        return None, wrong.findings


def _playbook_findings(loaded: Loaded) -> tuple[Finding, ...]:
    """What is wrong with playbooks/up.yaml and what is hooked into it; asked where the rest is right."""
    from orchestrator.cli.playbooks import cluster_playbook
    from orchestrator.plan.build import build
    from orchestrator.spec.models import Finding

    if loaded.errors:
        return ()
    try:
        build(loaded.cluster, cluster_playbook(loaded.cluster, "up"))
    except FilesWrong as wrong:
        said = tuple(one for one in wrong.findings if isinstance(one, Finding))
        return said or (Finding(message=str(wrong), suggestion=wrong.hint),)
    return ()


def _show(loaded: Loaded | None, findings: tuple[Finding, ...]) -> None:
    """For a person: what was read, what it comes to, what is wrong."""
    if loaded is not None:
        _show_cluster(loaded)
    for one in sorted(findings, key=lambda finding: (finding.file, finding.line)):
        click.echo(finding_line(one))
    errors = sum(one.severity == "error" for one in findings)
    warnings = len(findings) - errors
    if errors:
        click.secho(f"{_count(errors, 'error')}, {_count(warnings, 'warning')}", fg="red")
    else:
        tail = f", {_count(warnings, 'warning')}" if warnings else ""
        click.secho(f"the files are right{tail}", fg="green")


def _show_cluster(loaded: Loaded) -> None:
    cluster = loaded.cluster
    click.secho(cluster.name, bold=True)
    click.echo(wrapped("files  " + " ".join(cluster.sources), columns(), len("files  ")))
    for name in cluster.shadowed:
        click.echo(f"your own file hides {name}")
    hosts = [_host_row(host) for host in cluster.hosts.values()]
    deployments = [_deployment_row(one) for one in cluster.deployments.values()]
    for header, rows in (
        (("HOST", "KIND", "ADDRESS", "GPUS", "RUNTIME", "PORTS"), hosts),
        (("DEPLOYMENT", "PROFILE", "ENGINE", "HOSTS", "GPUS", "SIZE", "PORT"), deployments),
    ):
        if rows:
            click.echo()
            for line in table(header, rows, width=columns()):
                click.echo(line)
    click.echo()


def _host_row(host: Host) -> list[Cell]:
    count = "?" if host.gpu_count is None else str(host.gpu_count)
    ports = ", ".join(host.ports) or "-"
    return [host.name, host.kind.name, host.address, count, program(host.runtime), ports]


def _deployment_row(one: Deployment) -> list[Cell]:
    from orchestrator.spec.services import listens

    engine = one.profile.engine + (f" ({one.profile.executor})" if one.profile.executor else "")
    sizes = {"TP": one.parallel.tensor, "PP": one.parallel.pipeline, "DP": one.parallel.data}
    said = " ".join(f"{name}={size}" for name, size in sizes.items() if size > 1)
    gpus = ",".join(map(str, one.gpus)) if isinstance(one.gpus, tuple) else str(one.gpus)
    hosts = ", ".join(one.hosts)
    port = str(one.port) if one.port in listens(one) else "-"
    return [one.name, one.profile.name, engine, hosts, gpus or "none", said or "-", port]


def finding_line(one: Finding) -> str:
    where = click.style(f"{one.file}:{one.line}:{one.column}: ", dim=True) if one.file else ""
    severity = click.style(one.severity, fg=COLOURS[one.severity])
    path = click.style(f"{one.path}: ", bold=True) if one.path else ""
    tail = click.style(f" ({one.suggestion})", fg="cyan") if one.suggestion else ""
    return f"{where}{severity}: {path}{one.message}{tail}"


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _document(loaded: Loaded | None, findings: tuple[Finding, ...]) -> dict[str, Any]:
    """What `--json` prints; docs/json.md describes it."""
    cluster = loaded.cluster if loaded else None
    return {
        "version": 1,
        "ok": not any(one.severity == "error" for one in findings),
        "cluster": cluster.name if cluster else None,
        "files": list(cluster.sources) if cluster else [],
        "shadowed": list(cluster.shadowed) if cluster else [],
        "hosts": [
            {
                "name": host.name,
                "kind": host.kind.name,
                "address": host.address,
                "gpus": host.gpu_count,
                "runtime": program(host.runtime),
                "ports": list(host.ports),
            }
            for host in (cluster.hosts.values() if cluster else ())
        ],
        "deployments": [
            {
                "name": one.name,
                "profile": one.profile.name,
                "engine": one.profile.engine,
                "executor": one.profile.executor,
                "model": one.profile.model,
                "hosts": list(one.hosts),
                "gpus": one.gpus,
                "parallel": one.parallel.model_dump(),
                "port": one.port,
                "after": list(one.after),
                "supervision": one.supervision,
            }
            for one in (cluster.deployments.values() if cluster else ())
        ],
        "findings": [one.model_dump() for one in findings],
    }
