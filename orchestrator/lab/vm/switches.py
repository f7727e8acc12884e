"""Starts the switches of a lab: one process for each half, as a rail is one network."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from orchestrator.lab.command import run, until
from orchestrator.lab.docker import DETACHED
from orchestrator.lab.layout import Layout
from orchestrator.lab.vm import processes
from orchestrator.lab.vm.layout import slot_of, switched

START_SECONDS = 20


def start(folder: Path, layout: Layout) -> None:
    """Start those that do not run; each is there once its sockets are."""
    for wire, hosts in switched(layout).items():
        ends = [folder / f"{wire}-{slot_of(layout, host)}" for host in hosts]
        if not processes.with_argument(str(ends[0]), processes.SWITCH):
            _start(wire, ends, folder / f"{wire}.log")


def _start(wire: str, ends: Sequence[Path], log: Path) -> None:
    own = [end.with_name(f"{end.name}s") for end in ends]
    for socket in own:
        socket.unlink(missing_ok=True)
    program = [sys.executable, "-m", processes.SWITCH, *map(str, ends)]
    run(["sh", "-c", DETACHED, "sh", str(log), *program])
    until(
        lambda: all(socket.exists() for socket in own),
        seconds=START_SECONDS,
        what=f"the switch of {wire} is there",
        hint=f"what it said: {log}",
        every=0.05,
    )
