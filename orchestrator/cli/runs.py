"""`orch runs`: what was run, how it ended, where its time went; `show` and `prune`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import groupby
from typing import Any

import click
from click.shell_completion import CompletionItem

from orchestrator.cli.options import json_option
from orchestrator.cli.terminal import columns
from orchestrator.run.journal import Run, find_run, list_runs, read_run, runs_folder
from orchestrator.run.record import Hop, Record, StepRecord, critical_path, span
from orchestrator.run.summary import alike, failure_lines
from orchestrator.table import Cell, table

VERSION = 1  # of the JSON forms, docs/json.md
SHORT = 0.1  # seconds; quicker steps of a critical path share a line
COLOURS = {"done": "green", "running": "cyan", "interrupted": "yellow", "cut short": "yellow"}
STATE_COLOURS = {"changed": "green", "failed": "red", "refused": "red", "skipped": "yellow"}


def _known(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    found = [CompletionItem("last", help="the newest")] + [
        CompletionItem(run.id, help=f"{run.record.title}: {run.outcome}")
        for run in list_runs(limit=20)
    ]
    return [item for item in found if str(item.value).startswith(incomplete)]


@click.group(invoke_without_command=True)
@click.option("--limit", "-n", type=click.IntRange(min=1), default=20, show_default=True)
@json_option
@click.pass_context
def runs(ctx: click.Context, limit: int, as_json: bool) -> None:
    """List past runs, newest first."""
    if ctx.invoked_subcommand is not None:
        return
    found = list_runs(limit=limit)
    if as_json:
        forms = [_glance(run) for run in found]
        click.echo(json.dumps({"version": VERSION, "runs": forms}, indent=2))
        return
    if not found:
        click.echo(f"no runs yet under {runs_folder()}")
        return
    header = ("RUN", "WHEN", "WHAT", "OUTCOME", "TOOK")
    for line in table(header, [_row(run) for run in found], width=columns()):
        click.echo(line)


def _row(run: Run) -> list[Cell]:
    began = run.record.started
    when = f"{datetime.fromtimestamp(began):%Y-%m-%d %H:%M}" if began is not None else "?"
    code = run.record.exit_code
    told = f"{run.outcome} ({code})" if code else run.outcome
    took = span(run.record.seconds) if run.record.ended is not None else ""
    return [run.id, when, run.record.title, (told, COLOURS.get(run.outcome, "red")), took]


def _glance(run: Run) -> dict[str, Any]:
    return {
        "id": run.id,
        "path": str(run.path),
        "verb": run.record.verb,
        "cluster": run.record.cluster,
        "outcome": run.outcome,
        "exit_code": run.record.exit_code,
        "started": run.record.started,
        "seconds": round(run.record.seconds, 3) if run.record.ended is not None else None,
    }


@runs.command()
@click.argument("run", default="last", shell_complete=_known)
@json_option
@click.option("--all", "everything", is_flag=True, help="Also steps that had nothing to do.")
def show(run: str, as_json: bool, everything: bool) -> None:
    """Show one run: times, critical path, failures.

    RUN is an id, the beginning of one, or `last`.
    """
    found = read_run(find_run(run))
    if as_json:
        click.echo(json.dumps(_full(found), indent=2, ensure_ascii=False))
        return
    for line in _lines(found, everything):
        click.echo(line)


def _full(run: Run) -> dict[str, Any]:
    record = run.record
    return {
        "version": VERSION,
        **_glance(run),
        "damaged": run.damaged,
        "steps": [_step(record, step) for step in record.steps.values()],
        "critical_path": [
            {"id": hop.step.id, "seconds": _rounded(hop.seconds), "idle": _rounded(hop.idle)}
            for hop in critical_path(record)
        ],
        "failures": [step.id for step in record.failures],
        "notes": [note.text for note in record.notes],
    }


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 3)


def _step(record: Record, step: StepRecord) -> dict[str, Any]:
    began = step.started
    form = {
        "id": step.id,
        "stage": step.stage,
        "host": step.host,
        "state": step.state,
        "started": None if began is None else _rounded(began - (record.started or 0)),
        "seconds": _rounded(step.seconds),
        "attempts": step.attempts,
    }
    for name in ("why", "hint", "error", "evidence"):
        if getattr(step, name):
            form[name] = getattr(step, name)
    return form


def _lines(run: Run, everything: bool) -> Iterator[str]:
    record = run.record
    yield f"{click.style(record.title, bold=True)}  {run.id}"
    began = datetime.fromtimestamp(record.started or 0)
    yield f"{run.outcome}, {began:%Y-%m-%d %H:%M:%S}, journal {run.path}"
    if run.damaged:
        yield f"{run.damaged} lines of the journal could not be read"
    yield ""
    yield from _steps(record, everything)
    yield from _path(record)
    yield from _failures(record)


def _steps(record: Record, everything: bool) -> Iterator[str]:
    shown = [
        step
        for step in record.steps.values()
        if everything or step.state not in ("unchanged", "pruned")
    ]
    rows: list[list[Cell]] = []
    for step in shown:
        at = "" if step.started is None else span(step.started - (record.started or 0))
        took = "" if step.seconds is None else span(step.seconds)
        state = (step.state, STATE_COLOURS.get(step.state, ""))
        rows.append([step.id, state, at, took, (step.why or step.summary).split("\n")[0]])
    if rows:
        yield from table(("STEP", "STATE", "AT", "TOOK", "WHAT"), rows, width=columns())
    quiet = len(record.steps) - len(shown)
    if quiet:
        yield f"{quiet} steps had nothing to do" + ("" if rows else ": nothing was changed")


def _path(record: Record) -> Iterator[str]:
    path = critical_path(record)
    if not path:
        return
    total = sum(hop.idle + hop.seconds for hop in path)
    yield f"\ncritical path: {span(total)} of {span(record.seconds)}"
    for name, took, idle in _long_and_short(path):
        share = f"{100 * took / total:.0f}%" if total else ""
        waited = f"  after {span(idle)} idle" if idle >= SHORT else ""
        yield f"  {span(took):>8} {share:>4}  {name}{waited}"


def _long_and_short(path: Sequence[Hop]) -> Iterator[tuple[str, float, float]]:
    """Name, seconds and idle seconds; neighbours that took no time to speak of as one."""
    for short, hops in groupby(path, lambda hop: hop.seconds < SHORT and hop.idle < SHORT):
        some = list(hops)
        if short and len(some) > 1:
            yield f"{len(some)} quick steps", sum(hop.seconds + hop.idle for hop in some), 0
        else:
            yield from ((hop.step.id, hop.seconds, hop.idle) for hop in some)


def _failures(record: Record) -> Iterator[str]:
    for steps in alike(record.failures):
        yield ""
        yield from (line.plain for line in failure_lines(*steps))


@runs.command()
@click.option("--keep", type=click.IntRange(min=0), required=True, help="How many of the newest.")
def prune(keep: int) -> None:
    """Delete the journals of old runs; one that goes on is kept."""
    gone = 0
    for run in list_runs()[keep:]:
        if not run.alive:
            run.path.unlink()
            gone += 1
    click.echo(f"{gone} deleted")
