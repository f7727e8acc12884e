"""Runs contestants against the farm, one at a time, and leaves nothing of them running."""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Literal

from benchmarks import farm as farms
from benchmarks.contestants import Contestant, Job, client_environment
from benchmarks.measure import MemoryWatch, Meter, Sample, processes

Phase = Literal["cold", "warm"]
PHASES: tuple[Phase, ...] = ("cold", "warm")
DRAIN_S = 30.0  # for sessions of contestants that were ended


@dataclass
class Series:
    """Everything that was measured of one contestant with one number of hosts."""

    name: str
    samples: dict[Phase, list[Sample]] = field(default_factory=dict)
    right: bool = True  # every host was as it should be, afterwards


class Arena:
    def __init__(self, farm: farms.Farm, peers: Path | None) -> None:
        self.farm = farm
        self._peers = peers
        self._meter = Meter((farm.sshd, farm.proxy))

    def once(
        self,
        one: Contestant,
        hosts: int,
        limit_s: float,
        port: int = farms.PORT,
        phases: tuple[Phase, ...] = PHASES,
    ) -> Iterator[tuple[Phase, Sample]]:
        """Cold, then warm where the contestant keeps something open. Nothing of it runs afterwards."""
        with tempfile.TemporaryDirectory(dir=self.farm.root, prefix="job-") as folder:
            job = Job(self.farm, hosts, port, Path(folder), self._peers, limit_s)
            try:
                yield from (self._talk if one.talks else self._command)(one, job, phases)
            except FileNotFoundError as missing:
                yield "cold", Sample(0, 0, 0, 0, None, error=str(missing))
            finally:
                self._end_clients()

    def _command(
        self, one: Contestant, job: Job, phases: tuple[Phase, ...]
    ) -> Iterator[tuple[Phase, Sample]]:
        """A command line, once per phase."""
        for phase in phases if one.warm else phases[:1]:
            command = one.command(job)
            with (job.folder / "output").open("w+") as output:
                watch = Watch(self._meter)
                process = _start(command, _environment(one, job), output)
                code = _code_within(process, job.limit_s)
                yield phase, watch.stop(code, one.changed, _text(output), drained=not one.warm)
            if code is None:
                return

    def _talk(
        self, one: Contestant, job: Job, phases: tuple[Phase, ...]
    ) -> Iterator[tuple[Phase, Sample]]:
        """One process that goes through both phases."""
        command = one.command(job)
        with (job.folder / "errors").open("w+") as errors:
            watch = Watch(self._meter)
            process = _start(command, _environment(one, job), errors, subprocess.PIPE)
            try:
                for phase in phases:
                    if phase == "warm":
                        watch = Watch(self._meter)
                        _write_line(process.stdin)
                    line = _line_within(process, job.limit_s)
                    code = None if line is None else 0 if line else 1
                    yield phase, watch.stop(code, one.changed, line or _text(errors))
                    if code != 0:
                        return
            finally:
                _kill(process)

    def _end_clients(self) -> None:
        """Control masters and whatever else a contestant left: ended by pid and waited for."""
        for pid in self._meter.clients(processes()):
            _signal(pid)
        end = time.monotonic() + DRAIN_S
        while time.monotonic() < end:
            _reap()
            table = processes()
            if not self._meter.clients(table) and not self._meter.sessions(table):
                return
            time.sleep(0.02)
        raise RuntimeError("a contestant's processes or sessions do not end")


class Watch:
    """Wall, CPU and memory from here to `stop`."""

    def __init__(self, meter: Meter) -> None:
        self._meter = meter
        self._client, self._server = meter.client_cpu_s(), meter.server_cpu_s()
        self._memory = MemoryWatch(meter)
        self._memory.start()
        self._start = time.perf_counter()

    def stop(
        self,
        code: int | None,
        changed: Callable[[str], int | None],
        output: str,
        *,
        drained: bool = False,
    ) -> Sample:
        """code None: it was ended at its limit. `drained`: it has closed its sessions; they count too."""
        wall = time.perf_counter() - self._start
        peak = self._memory.stop()
        client = self._meter.client_cpu_s() - self._client
        end = time.monotonic() + DRAIN_S
        while drained and self._meter.sessions() and time.monotonic() < end:
            time.sleep(0.02)
        failed = code not in (0, None)
        return Sample(
            wall_s=wall,
            client_cpu_s=client,
            server_cpu_s=self._meter.server_cpu_s() - self._server,
            peak_bytes=peak,
            changed=None if failed or code is None else changed(output),
            over=code is None,
            error=f"exit {code}: {_last_words(output)}" if failed else "",
        )


def _environment(one: Contestant, job: Job) -> Mapping[str, str]:
    return {**client_environment(job), **one.environment(job)}


def _start(
    command: list[str], environment: Mapping[str, str], errors: IO[str], pipe: int | None = None
) -> subprocess.Popen[str]:
    """In a session of its own, so that all of it can be ended."""
    return subprocess.Popen(
        command,
        env=dict(environment),
        stdin=subprocess.DEVNULL if pipe is None else pipe,
        stdout=errors if pipe is None else pipe,
        stderr=errors,
        text=True,
        start_new_session=True,
    )


def _code_within(process: subprocess.Popen[str], limit_s: float) -> int | None:
    try:
        return process.wait(limit_s)
    except subprocess.TimeoutExpired:
        _kill(process)
        return None


def _line_within(process: subprocess.Popen[str], limit_s: float) -> str | None:
    """The next line; None when the limit passed, empty when the process ended."""
    if process.stdout is None:
        raise ValueError("the process has no pipe")
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        return process.stdout.readline() if selector.select(limit_s) else None


def _write_line(stdin: IO[str] | None) -> None:
    if stdin is None:
        raise ValueError("the process has no pipe")
    stdin.write("again\n")
    stdin.flush()


def _text(file: IO[str]) -> str:
    file.seek(0)
    return file.read()


def _kill(process: subprocess.Popen[str]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def _signal(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def _reap() -> None:
    """Wait for orphans: they are ours, since we are process 1."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return


def _last_words(output: str) -> str:
    """The end of what it said, long lines cut."""
    return " / ".join(line[:200] for line in output.strip().splitlines()[-6:])
