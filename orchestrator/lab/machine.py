"""This machine's own packages for the lab: an engine, and a tool that makes a host image."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from orchestrator.errors import CommandFailed, Refused
from orchestrator.lab.command import as_root, run, run_logged
from orchestrator.lab.home import Home
from orchestrator.lab.progress import Progress
from orchestrator.lab.recipe import recipe

ADMIN_PATH = os.pathsep.join(("/usr/local/sbin", "/usr/sbin", "/sbin"))


def missing_commands(wanted: Mapping[str, str]) -> list[str]:
    path = os.pathsep.join((os.environ.get("PATH", ""), ADMIN_PATH))
    return [name for name in wanted if shutil.which(name, path=path) is None]


def ensure_packages(
    home: Home, progress: Progress, wanted: Mapping[str, str] | None = None
) -> None:
    """Install what is missing (command: package) with apt-get, and look that it is there afterwards."""
    wanted = recipe().machine if wanted is None else wanted
    missing = missing_commands(wanted)
    if not missing:
        return
    packages = sorted({wanted[name] for name in missing})
    if shutil.which("apt-get") is None:
        raise Refused(
            f"not installed: {', '.join(missing)}, and this machine has no apt-get",
            hint="the lab runs on Debian and Ubuntu; install these commands and try again",
        )
    log = home.log("apt")
    with home.lock("apt", progress), progress.timed(f"installing {', '.join(packages)}", log):
        _install(packages, log)
        extra = {recipe().machine_alternatives.get(name, "") for name in missing_commands(wanted)}
        if extra - {""}:
            _install(sorted(extra - {""}), log)
    if missing_commands(wanted):
        raise Refused(
            f"still not installed: {', '.join(missing_commands(wanted))}",
            hint=f"what apt-get said: {log}",
        )


def _install(packages: list[str], log: Path) -> None:
    argv = [*as_root(), "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "install", "-y",
            "--no-install-recommends", *packages]  # fmt: skip
    try:
        run_logged(argv, log)
    except CommandFailed:
        run(
            [*as_root(), "apt-get", "update"], timeout=300
        )  # an old package list names files that are gone
        run_logged(argv, log)
