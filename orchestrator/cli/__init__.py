"""The `orch` command: verbs are loaded only when they are called, so that `orch --help` stays fast."""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
import os
import sys

import click
from click.shell_completion import CompletionItem

from orchestrator import __version__

VERBS = {
    "check": ("orchestrator.cli.files:check", "Check the files offline: schema, placement, ports."),
    "completion": ("orchestrator.cli.completion:completion", "Print shell completion."),
    "down": ("orchestrator.cli.down:down", "Stop a cluster's deployments and look again."),
    "exec": ("orchestrator.cli.hosts:exec_", "Run a command on hosts."),
    "export": (
        "orchestrator.cli.export:export",
        "Write the cluster for compose, systemd, Kubernetes.",
    ),
    "import": (
        "orchestrator.cli.import_:import_",
        "Take recipes, compose files, containers that run.",
    ),
    "init": ("orchestrator.cli.init:init", "Look at hosts and cables, write an inventory."),
    "lab": ("orchestrator.cli.lab:lab", "Rehearsal hosts on this machine."),
    "logs": ("orchestrator.cli.logs:logs", "Logs of all ranks, merged."),
    "plan": ("orchestrator.cli.plan:plan", "Show what would change and why."),
    "profiles": (
        "orchestrator.cli.profiles:profiles",
        "List, show, compare profiles; where they fit.",
    ),
    "rehearse": (
        "orchestrator.cli.rehearse:rehearse",
        "A cluster's own files on rehearsal hosts: up, an answer, down.",
    ),
    "render": (
        "orchestrator.cli.render:render",
        "Print netplan, environment, docker run; no host.",
    ),
    "run": ("orchestrator.cli.run:run", "Run a playbook of your own."),
    "runs": ("orchestrator.cli.runs:runs", "List and show past runs."),
    "schema": ("orchestrator.cli.files:schema", "Print the JSON Schema of a file."),
    "status": ("orchestrator.cli.status:status", "Deployments, ranks, endpoints, strangers."),
    "switch": (
        "orchestrator.cli.switch:switch",
        "Change a deployment to another profile, or back.",
    ),
    "unlock": ("orchestrator.cli.hosts:unlock", "Break a lease, with a reason."),
    "up": ("orchestrator.cli.up:up", "Bring a cluster up until it answers."),
    "verify-rdma": (
        "orchestrator.cli.verify:verify",
        "Measure the fabric, say what is wrong with it.",
    ),
}


class LazyVerbs(click.Group):
    """A click group whose commands are imported on use; help lines come from the table above."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(VERBS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in VERBS:
            return None
        module, attribute = VERBS[name][0].split(":")
        command = getattr(importlib.import_module(module), attribute)
        if not isinstance(command, click.Command):
            raise TypeError(f"{VERBS[name][0]} is not a click command")
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        word = args[0]
        if word not in VERBS and not word.startswith("-") and not ctx.resilient_parsing:
            from orchestrator.meant import did_you_mean

            ctx.fail(f"there is no verb {word!r}: {did_you_mean(word, sorted(VERBS))}")
        return super().resolve_command(ctx, args)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Verbs from the table, so that Tab imports none of them; then options."""
        verbs = (CompletionItem(name, help=line) for name, (_, line) in sorted(VERBS.items()))
        known = [verb for verb in verbs if verb.value.startswith(incomplete)]
        return known + click.Command.shell_complete(self, ctx, incomplete)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, VERBS[name][1]) for name in sorted(VERBS)])


@click.group(cls=LazyVerbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="orch")
def root() -> None:
    """One large model served across the machines you own, over SSH."""


def collect_rarely() -> None:
    """A plan is many small objects that live to its end, and nearly all others go without being looked for.

    For 1,000 hosts it is 700,000 of them: looking for cycles every 100,000 took 0.24 of 3.4 s, and freed 22,000.
    """
    gc.set_threshold(1_000_000, 50, 50)
    atexit.register(gc.freeze)  # nor is it at the end: all of it goes with the process


def open_streams() -> None:
    """Closed ones (`>&-`, some service managers) are nowhere to write to, and no reason to do nothing."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115, PTH123


def main() -> None:
    """Console entry point; an OrchError becomes one line, a hint and its exit code."""
    open_streams()
    collect_rarely()
    from orchestrator.cli.errors import run_guarded
    from orchestrator.errors import Interrupted

    code = run_guarded(root)
    if code == Interrupted.exit_code:
        with contextlib.suppress(OSError):  # the terminal may be gone
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)  # threads that still wait for a host would be waited for
    sys.exit(code)
