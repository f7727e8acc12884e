"""Why here: runs a Script's commands on this machine, as hosts/ would, but with a shell of the test's choice."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Mapping

from orchestrator.script import Command, Result, Script

# dash and bash are on every machine that the tests are for; busybox joins where it is.
SHELLS = ["dash", "bash --posix", *(["busybox sh"] if shutil.which("busybox") else [])]


def run_command(
    command: Command, shell: str = "sh", env: Mapping[str, str] | None = None
) -> Result:
    """One command; `sudo` runs as it is (tests run as root, or the probe fails for itself)."""
    began = time.monotonic()
    done = subprocess.run(
        [*shell.split(), "-c", command.sh],
        input=command.stdin,
        capture_output=True,
        timeout=command.timeout,
        env={**os.environ, **(env or {})},
        check=False,
    )
    return Result(done.returncode, done.stdout, done.stderr, time.monotonic() - began)


def run_script(
    script: Script, shell: str = "sh", env: Mapping[str, str] | None = None
) -> dict[str, Result]:
    """All commands of a script, one after another."""
    results: dict[str, Result] = {}
    for name, command in script.commands.items():
        results[name] = run_command(command, shell, env)
        if script.stop_on_error and results[name].rc != 0:
            break
    return results


def syntax(command: Command, shell: str) -> str:
    """What the shell says of the command's syntax; empty when it has nothing to say."""
    done = subprocess.run(
        [*shell.split(), "-n"], input=command.sh.encode(), capture_output=True, check=False
    )
    return done.stderr.decode()
