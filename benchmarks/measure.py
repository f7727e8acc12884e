"""Seconds, CPU seconds and memory of a contestant and of the servers it talks to, from /proc."""

from __future__ import annotations

import os
import resource
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

TICK = 1 / os.sysconf("SC_CLK_TCK")
SAMPLER_SHARE = 0.03  # of the wall time at most goes into watching memory


@dataclass(frozen=True)
class Process:
    pid: int
    parent: int
    cpu_s: float  # with what it has waited for


def processes() -> dict[int, Process]:
    """All processes of this namespace."""
    found: dict[int, Process] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                fields = (folder / "stat").read_text().rsplit(")", 1)[1].split()
            except (OSError, IndexError):
                continue  # it ended meanwhile
            cpu = sum(int(one) for one in fields[11:15]) * TICK
            pid = int(folder.name)
            found[pid] = Process(pid, int(fields[1]), cpu)
    return found


def below(top: int, table: dict[int, Process]) -> set[int]:
    """`top` and everything that it started."""
    children: dict[int, list[int]] = {}
    for one in table.values():
        children.setdefault(one.parent, []).append(one.pid)
    found: set[int] = set()
    todo = [top]
    while todo:
        pid = todo.pop()
        if pid in table and pid not in found:
            found.add(pid)
            todo.extend(children.get(pid, ()))
    return found


@dataclass(frozen=True)
class Meter:
    """Tells the contestants' CPU from the servers': those are below `servers`, we are process 1."""

    servers: tuple[int, ...]

    def clients(self, table: dict[int, Process]) -> set[int]:
        ours = set().union(*(below(pid, table) for pid in self.servers))
        return set(table) - ours - {os.getpid()}

    def sessions(self, table: dict[int, Process] | None = None) -> int:
        """Processes of open SSH sessions."""
        return len(below(self.servers[0], table or processes())) - 1

    def client_cpu_s(self) -> float:
        """Live ones, and those that were waited for. Servers are never waited for while it runs."""
        table = processes()
        ended = resource.getrusage(resource.RUSAGE_CHILDREN)
        return (
            ended.ru_utime + ended.ru_stime + sum(table[pid].cpu_s for pid in self.clients(table))
        )

    def server_cpu_s(self) -> float:
        table = processes()
        return sum(table[pid].cpu_s for pid in below(self.servers[0], table))


class MemoryWatch:
    """Peak of the contestant's proportional memory, summed over its processes, sampled.

    A lower bound: a peak between two samples is missed.
    """

    def __init__(self, meter: Meter) -> None:
        self._meter = meter
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self.peak_bytes = 0

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> int:
        """The peak in bytes. One last look, for contestants that keep something open."""
        self._stop.set()
        self._thread.join()
        return max(self.peak_bytes, sum(self._each()))

    def _watch(self) -> None:
        pause = 0.1
        while not self._stop.wait(pause):
            start = time.perf_counter()
            self.peak_bytes = max(self.peak_bytes, sum(self._each()))
            pause = max(0.1, (time.perf_counter() - start) / SAMPLER_SHARE)

    def _each(self) -> Iterator[int]:
        for pid in self._meter.clients(processes()):
            try:
                text = Path(f"/proc/{pid}/smaps_rollup").read_text()
            except OSError:
                continue
            for line in text.splitlines():
                if line.startswith("Pss:"):
                    yield int(line.split()[1]) * 1024


@dataclass(frozen=True)
class Sample:
    """One run of one contestant. `over`: it was ended at the limit; `wall_s` is then the limit."""

    wall_s: float
    client_cpu_s: float
    server_cpu_s: float
    peak_bytes: int
    changed: int | None  # what the contestant itself says that it changed; None: it did not say
    over: bool = False
    error: str = ""
