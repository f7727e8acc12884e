"""The processes of virtual machines: found by the folder that they were started with, ended by their ids."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from orchestrator.errors import NoPatience
from orchestrator.lab.command import until

END_SECONDS = 20
QEMU, SWITCH = "qemu-system-", "orchestrator.lab.vm.switch"


def of_folder(folder: Path) -> list[int]:
    """QEMUs and switches that have something in this folder in their arguments."""
    return [pid for name in (QEMU, SWITCH) for pid in with_argument(f"{folder}/", name)]


def with_argument(part: str, program: str) -> list[int]:
    """Processes of a program with these words in one of their arguments."""
    return [
        pid
        for pid, words in _running()
        if any(program in word for word in words[:3]) and any(part in word for word in words)
    ]


def _running() -> list[tuple[int, list[str]]]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "cmdline").read_text(errors="replace").split("\0")
            except OSError:  # it has ended meanwhile, or is somebody else's
                continue
            found.append((int(entry.name), words))
    return found


def end(folder: Path) -> list[str]:
    """Kill them, as by pulling the plug; return what still runs."""
    for pid in of_folder(folder):
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
    try:
        until(lambda: not of_folder(folder), seconds=END_SECONDS, what="ended", every=0.05)
    except NoPatience:
        return [f"process {pid}" for pid in of_folder(folder)]
    return []
