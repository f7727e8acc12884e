"""How a verb ends: one line, a hint, an exit code; a traceback only with ORCH_TRACEBACK or -v."""

from __future__ import annotations

import os
import sys
import traceback

import click

from orchestrator.errors import OrchError


def run_guarded(command: click.Command) -> int:
    """Run a click command and return its exit code, whatever it raised (§7 of the design)."""
    try:
        command.main(standalone_mode=False)
    except click.exceptions.Abort:
        click.echo("interrupted", err=True)
        return 130
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except click.ClickException as wrong:
        wrong.show()
        return 2
    except KeyboardInterrupt:
        click.echo("interrupted", err=True)
        return 130
    except OrchError as error:
        show_error(error)
        return error.exit_code
    except OSError as error:
        # of this machine: a full disk, a folder that is gone, no right to write
        what = f"{error.filename}: " if error.filename is not None else ""
        show_error(OrchError(f"{what}{error.strerror or error}"), error)
        return 1
    except Exception as bug:
        # nothing of ours should get here; nobody shall have to read a traceback for it
        at = traceback.extract_tb(bug.__traceback__)[-1]
        show_error(
            OrchError(
                f"orch itself is at fault: {type(bug).__name__}: {bug} ({at.filename}:{at.lineno})",
                hint="ORCH_TRACEBACK=1 in front shows the way there: report it, with your files",
            ),
            bug,
        )
        return 1
    return 0


def show_error(error: OrchError, cause: Exception | None = None, host: str = "") -> None:
    """Print an error for a tired person: what, on which host, why, what to type next."""
    where = f"{host}: " if host and not str(error).startswith(host) else ""
    findings = getattr(error, "findings", ())
    for finding in findings:
        click.echo(str(finding), err=True)
    click.echo(f"{click.style('error', fg='red')}: {where}{error}", err=True)
    if error.hint:
        click.echo(f"{click.style('hint', fg='cyan')}: {error.hint}", err=True)
    if os.environ.get("ORCH_TRACEBACK") or "-v" in sys.argv or "--verbose" in sys.argv:
        traceback.print_exception(cause or error)
