"""Where a lab's virtual machines have their files, and which of them run."""

from __future__ import annotations

from pathlib import Path

from orchestrator.lab import records
from orchestrator.lab.home import Home
from orchestrator.lab.layout import LabHost, Layout
from orchestrator.lab.vm import processes
from orchestrator.lab.vm.layout import slot_of


def wires(home: Home, layout: Layout) -> Path:
    """The folder of the cables' sockets, and of all else that the lab's machines have."""
    return records.path_of(home, layout.name).parent / "vm"


def of_host(home: Home, layout: Layout, host: LabHost) -> Path:
    return wires(home, layout) / str(slot_of(layout, host))


def states(home: Home, layout: Layout) -> dict[str, str]:
    """Host: running or exited, in docker's words."""
    return {
        host.name: "running" if processes.of_folder(of_host(home, layout, host)) else "exited"
        for host in layout.hosts
    }
