"""`orch completion`: the script that makes a shell complete verbs, options, hosts and runs."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

HOW = {
    "bash": 'add to ~/.bashrc:  eval "$(orch completion bash)"',
    "zsh": 'add to ~/.zshrc:  eval "$(orch completion zsh)"',
    "fish": "orch completion fish > ~/.config/fish/completions/orch.fish",
}


@click.command(epilog="\b\n" + "\n".join(HOW.values()))
@click.argument("shell", type=click.Choice(sorted(HOW)))
def completion(shell: str) -> None:
    """Print the completion script for a shell."""
    from orchestrator.cli import root

    found = get_completion_class(shell)
    if found is None:
        raise click.UsageError(f"click has no completion for {shell}")
    made = found(root, {}, "orch", "_ORCH_COMPLETE")
    # not source(): it runs bash to ask for its version, and the shell may be on another machine
    click.echo(made.source_template % made.source_vars())
